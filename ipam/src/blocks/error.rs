//! What can be wrong with blocks and their addresses.

use core::{
    fmt::{self, Display, Formatter},
    net::IpAddr,
};

use ipnet::IpNet;

use crate::owners::UnknownOwner;

/// Why a node gets no address.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AllocateFromBlocksError {
    /// The node has as many blocks as it may have.
    #[error("the node's {max_blocks} blocks are full, and it may not have more{}", Borrowing(*borrow))]
    MaxBlocks {
        /// How many it may have.
        max_blocks: u32,
        /// Whether addresses of other nodes' blocks may be given.
        borrow: bool,
    },
    /// No block is free.
    #[error("no block is free, and the node's {blocks} are full{}", Borrowing(*borrow))]
    NoBlock {
        /// How many it has.
        blocks: usize,
        /// Whether addresses of other nodes' blocks may be given.
        borrow: bool,
    },
    /// The pool has as many pieces as it can keep: some sixty million at least.
    #[error("the pool is in too many pieces")]
    Full,
    /// The number is none of an owner, or of a node.
    #[error(transparent)]
    Owner(#[from] UnknownOwner),
}

struct Borrowing(bool);

impl Display for Borrowing {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str(if self.0 { "; no other node's has room" } else { "; borrowing is off" })
    }
}

/// Why an address that was asked for by name is not given.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ClaimFromBlocksError<O, N> {
    /// It is not within the pool.
    #[error("{address} is not within the pool")]
    Outside {
        /// What was asked for.
        address: IpAddr,
    },
    /// Somebody has it.
    #[error("{address} is {owner}'s")]
    Taken {
        /// What was asked for.
        address: IpAddr,
        /// Whose it is.
        owner: O,
    },
    /// It is of another node's block, and borrowing is off.
    #[error("{address} is of {block}, which is {node}'s; borrowing is off")]
    OtherNode {
        /// What was asked for.
        address: IpAddr,
        /// The block.
        block: IpNet,
        /// Whose block it is.
        node: N,
    },
    /// It is of a block whose node was released, and borrowing is off.
    #[error("{address} is of {block}, whose node was released; borrowing is off")]
    NoNode {
        /// What was asked for.
        address: IpAddr,
        /// The block.
        block: IpNet,
    },
    /// It is of a block that no node has, and this one may not have more.
    #[error("{address} is of {block}, which the node may not have: it has {max_blocks} already")]
    MaxBlocks {
        /// What was asked for.
        address: IpAddr,
        /// The block.
        block: IpNet,
        /// How many it may have.
        max_blocks: u32,
    },
    /// The pool has as many pieces as it can keep: some sixty million at least.
    #[error("the pool is in too many pieces")]
    Full,
    /// The number is none of an owner, or of a node.
    #[error(transparent)]
    Owner(#[from] UnknownOwner),
}

/// Why a node does not get a block.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ClaimBlockError<N> {
    /// It is no block of the pool's length.
    #[error("{block}: the pool's blocks are of /{length}")]
    Length {
        /// What was asked for.
        block: IpNet,
        /// The prefix length of the blocks.
        length: u8,
    },
    /// There are bits set behind the prefix length.
    #[error("{given} has bits set behind its prefix length: {block} is meant?")]
    HostBits {
        /// As it was given.
        given: IpNet,
        /// The prefix without these bits.
        block: IpNet,
    },
    /// It is not within the pool.
    #[error("{block} is not within the pool")]
    Outside {
        /// What was asked for.
        block: IpNet,
    },
    /// A node has it.
    #[error("{block} is {node}'s")]
    Taken {
        /// What was asked for.
        block: IpNet,
        /// Whose it is.
        node: N,
    },
    /// Its node was released, and somebody has addresses of it.
    #[error("{block} has no node, and is free once its addresses are released: there are {addresses}")]
    NoNode {
        /// What was asked for.
        block: IpNet,
        /// How many.
        addresses: usize,
    },
    /// The node has as many blocks as it may have.
    #[error("{block}: the node has {max_blocks} blocks, and may not have more")]
    MaxBlocks {
        /// What was asked for.
        block: IpNet,
        /// How many it may have.
        max_blocks: u32,
    },
    /// The pool has as many pieces as it can keep: some sixty million at least.
    #[error("the pool is in too many pieces")]
    Full,
    /// The number is none of a node.
    #[error(transparent)]
    Owner(#[from] UnknownOwner),
}

/// Why a block can't be released.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ReleaseBlockError<O> {
    /// No node has it.
    #[error("{block} is no block that a node has")]
    NotAllocated {
        /// What was to be released.
        block: IpNet,
    },
    /// Somebody has addresses of it.
    #[error("{address} of {block} is {owner}'s{}", Others(*others))]
    Held {
        /// What was to be released.
        block: IpNet,
        /// The lowest address that somebody has.
        address: IpAddr,
        /// Whose it is.
        owner: O,
        /// How many more there are.
        others: usize,
    },
}

struct Others(usize);

impl Display for Others {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self.0 {
            0 => Ok(()),
            others => write!(f, ", and {others} more are held"),
        }
    }
}

/// Why an address can't be released.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ReleaseFromBlocksError<O> {
    /// It is not within the pool.
    #[error("{address} is not within the pool")]
    Outside {
        /// What was to be released.
        address: IpAddr,
    },
    /// Nobody has it: it was never given, or is released already.
    #[error("{address} is not allocated")]
    NotAllocated {
        /// What was to be released.
        address: IpAddr,
    },
    /// It is somebody else's.
    #[error("{address} is {owner}'s")]
    NotTheirs {
        /// What was to be released.
        address: IpAddr,
        /// Whose it is.
        owner: O,
    },
}
