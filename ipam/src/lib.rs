//! Subnets and addresses that never overlap, never leak, and survive a crash.
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;
#[cfg(any(test, feature = "std"))]
extern crate std;
// For the tests' state, which tests outside of the crate have, too.
#[cfg(test)]
extern crate self as ipam;

mod address_pool;
mod amount;
mod block;
mod blocks;
mod choice;
mod dual_stack;
mod error;
mod grant;
#[cfg(feature = "std")]
pub mod journal;
#[cfg(feature = "serde")]
mod journaled;
mod owners;
mod prefix_set;
mod range;
mod ranges;
#[cfg(feature = "serde")]
mod seconds;
mod space;
mod subnet_pool;
mod usage;

#[cfg(feature = "serde")]
pub use self::journaled::{Event, EventKind, Journaled};
pub use self::{
    address_pool::{
        AddressPool, AddressPoolChange, AddressPoolEdit, AddressPoolOptions, AddressState, AllocateAddressError,
        ClaimAddressError, ReleaseAddressError, Unusable,
    },
    amount::Amount,
    block::Family,
    blocks::{
        AllocateFromBlocksError, BlockGrant, BlockUsage, Blocks, BlocksChange, BlocksGrant, BlocksOptions, BlocksUsage,
        ClaimBlockError, ClaimFromBlocksError, NodeUsage, ReleaseBlockError, ReleaseFromBlocksError, ReleasedNode,
    },
    choice::Choice,
    dual_stack::{DualAddress, DualStack, DualStackChange, DualStackError, DualStackOptions},
    error::{AllocateError, ApplyError, ChangeError, ClaimError, ConfigError, ReleaseError},
    grant::Grant,
    owners::{AsOwner, OwnerId, UnknownOwner},
    range::{AddressRange, RangeError},
    subnet_pool::{FlannelNetwork, SubnetPool, SubnetPoolChange, SubnetPoolOptions},
    usage::Usage,
};
