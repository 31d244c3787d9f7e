//! Subnets and addresses that never overlap, never leak, and survive a crash.
//!
//! - [`SubnetPool`]: subnets of any length out of one or several prefixes. [`FlannelNetwork`] has Flannel's rules.
//! - [`AddressPool`]: the addresses of a subnet: gateway, ranges, excluded and reserved addresses; a released one can be held
//!   back for a while, and its owner can get it again.
//! - [`DualStack`]: an IPv4 and an IPv6 address as one grant, of which there is all or nothing.
//! - [`Blocks`]: a pool cut into blocks that belong to nodes, which give addresses out of their own.
//! - [`journal::Journal`]: any of them in a file, where each change is before it is acknowledged. (Feature `std`.)
//!
//! ```
//! use core::time::Duration;
//! use ipam::{Choice, SubnetPool, SubnetPoolOptions};
//!
//! let mut options = SubnetPoolOptions::new(["10.0.0.0/8".parse()?, "2001:db8::/32".parse()?]);
//! // A pool has addresses of one family: this one is refused.
//! assert!(SubnetPool::<String>::new(options.clone()).is_err());
//!
//! options.prefixes.pop();
//! options.choice = Choice::BestFit;
//! let mut pool = SubnetPool::<String>::new(options)?;
//! let now = Duration::from_secs(1_700_000_000); // since the Unix epoch
//! let subnet = pool.allocate(24, "node-1", now)?;
//! assert_eq!(pool.get("10.0.0.7".parse()?).unwrap().owner, "node-1");
//! assert_eq!(pool.usage().allocated, 256.into());
//! pool.release(subnet)?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # Rules
//!
//! - Every grant has an owner: whatever the caller's type is (a `String`, a UUID). All that one has can be listed and released.
//! - Nothing overlaps; what is refused is refused with the name of what is in the way, and whose it is.
//! - A release of what is not allocated is an error.
//! - Nothing is enumerated. `::/0` costs what is given of it: some 50 bytes for each grant where grants are close
//!   together, some 130 where they are far apart, and what each owner's own value takes.
//! - How much is allocated, free, reserved and cooling down, and how large the largest free prefix is, is always known exactly.
//! - No clock is read: `now` is an argument, the time since the Unix epoch, because it outlives the process.
//! - The same calls give the same answers: what is random comes from a seed.
//!
//! # Features
//!
//! - `std` (default): the [`journal`]. Without, the crate needs `alloc` only.
//! - `serde`: all values in and out; prefixes, addresses and ranges as text.
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

#[cfg(all(doctest, feature = "std"))]
#[doc = include_str!("../README.md")]
struct Readme;
