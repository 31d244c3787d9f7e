//! Subnets and addresses that never overlap, never leak, and survive a crash.
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;
#[cfg(any(test, feature = "std"))]
extern crate std;

mod amount;
mod block;
mod choice;
mod error;
mod grant;
mod owners;
mod prefix_set;
mod range;
mod space;
mod subnet_pool;
mod usage;

pub use self::{
    amount::Amount,
    block::Family,
    choice::Choice,
    error::{AllocateError, ChangeError, ClaimError, ConfigError, ReleaseError},
    grant::Grant,
    owners::{AsOwner, OwnerId, UnknownOwner},
    range::{AddressRange, RangeError},
    subnet_pool::{FlannelNetwork, SubnetPool, SubnetPoolOptions},
    usage::Usage,
};
