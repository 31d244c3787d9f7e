//! Why a pool does not do what it is asked for.

use ipam::{
    AllocateAddressError, AllocateError, AllocateFromBlocksError, ChangeError, ClaimAddressError, ClaimBlockError,
    ClaimError, ClaimFromBlocksError, ConfigError, DualStackError, ReleaseAddressError, ReleaseBlockError,
    ReleaseError, ReleaseFromBlocksError,
};
use ipnet::IpNet;
use thiserror::Error;

use crate::{STATUS_FAILED, STATUS_USAGE, ipam::cli::Kind};

/// Why a pool does not do what it is asked for.
#[derive(Debug, Error)]
pub(crate) enum PoolError {
    #[error(transparent)]
    Config(#[from] ConfigError),
    #[error(transparent)]
    Allocate(#[from] AllocateError),
    #[error(transparent)]
    Claim(#[from] ClaimError<String>),
    #[error(transparent)]
    Release(#[from] ReleaseError<String>),
    #[error(transparent)]
    Change(#[from] ChangeError<String>),
    #[error(transparent)]
    AllocateAddress(#[from] AllocateAddressError),
    #[error(transparent)]
    AllocateBoth(#[from] DualStackError<AllocateAddressError>),
    #[error(transparent)]
    ConfigBoth(#[from] DualStackError<ConfigError>),
    #[error(transparent)]
    ClaimAddress(#[from] ClaimAddressError<String>),
    #[error(transparent)]
    ReleaseAddress(#[from] ReleaseAddressError<String>),
    #[error(transparent)]
    AllocateFromBlocks(#[from] AllocateFromBlocksError),
    #[error(transparent)]
    ClaimFromBlocks(#[from] ClaimFromBlocksError<String, String>),
    #[error(transparent)]
    ClaimBlock(#[from] ClaimBlockError<String>),
    #[error(transparent)]
    ReleaseFromBlocks(#[from] ReleaseFromBlocksError<String>),
    #[error(transparent)]
    ReleaseBlock(#[from] ReleaseBlockError<String>),
    #[error("--block-length is needed for a pool of blocks")]
    NoBlockLength,
    #[error("--owner is needed: only a block of a pool of blocks has none")]
    NoOwner,
    #[error("--node is needed for a pool of blocks")]
    NoNode,
    /// An option, or a change, of another kind of pool.
    #[error("{option} is not for a pool of {kind}")]
    Option { option: &'static str, kind: Kind },
    #[error("--length is needed: the pool gives subnets of /{shortest} to /{longest}")]
    NoLength { shortest: u8, longest: u8 },
    #[error("{prefix} is not a single address")]
    NoAddress { prefix: IpNet },
    #[error("{given} has bits set behind its prefix length: {prefix} is meant?")]
    HostBits { given: IpNet, prefix: IpNet },
    #[error("--gateway none: the pool has two gateways")]
    WhichGateway,
    #[error("{owner} has nothing")]
    Nothing { owner: String },
    #[error("the file says nothing of a pool")]
    Unmade,
}

impl PoolError {
    pub(crate) fn option(option: &'static str, kind: Kind) -> Self {
        Self::Option { option, kind }
    }

    /// The exit status: what could be given another time is no wrong usage.
    pub(crate) fn status(&self) -> u8 {
        match self {
            Self::Allocate(AllocateError::Length { .. }) => STATUS_USAGE,
            Self::Allocate(_)
            | Self::AllocateAddress(_)
            | Self::AllocateBoth(_)
            | Self::AllocateFromBlocks(_)
            | Self::ClaimFromBlocks(
                ClaimFromBlocksError::Full | ClaimFromBlocksError::Owner(_) | ClaimFromBlocksError::MaxBlocks { .. },
            )
            | Self::Claim(ClaimError::Full | ClaimError::Owner(_))
            | Self::ClaimAddress(
                ClaimAddressError::TooManyCooling { .. } | ClaimAddressError::Owner(_) | ClaimAddressError::Full,
            )
            | Self::ClaimBlock(ClaimBlockError::Full | ClaimBlockError::Owner(_) | ClaimBlockError::MaxBlocks { .. })
            | Self::Unmade => STATUS_FAILED,
            _ => STATUS_USAGE,
        }
    }
}
