//! Subnets and addresses that never overlap, never leak, and survive a crash.
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;
#[cfg(any(test, feature = "std"))]
extern crate std;

mod amount;
mod block;
mod prefix_set;

pub use self::{amount::Amount, block::Family};
