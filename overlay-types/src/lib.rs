//! The nouns that the signatures of an overlay network share: [`Vni`], [`MacAddr`] and [`EtherType`].
//!
//! Each of them *is* the bytes that stand on the wire (so it can be a field of a header that lies in a caller's
//! buffer), parses and prints as people write it, and says what kind of value it is. Nothing here knows a header, a
//! table or a socket.
//!
//! ```
//! use overlay_types::{EtherType, MacAddr, Vni};
//!
//! let vni: Vni = "42".parse()?;
//! let mac: MacAddr = "02:00:00:00:00:01".parse()?;
//! assert_eq!(vni.to_be_bytes(), [0, 0, 42]);
//! assert!(mac.is_unicast() && mac.is_local());
//! assert_eq!(EtherType::IPV6.to_string(), "0x86dd");
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # Features
//!
//! - `serde`: a [`Vni`] is a number, a [`MacAddr`] a string such as `"02:00:00:00:00:01"`, an [`EtherType`] a number.
//! - `arbitrary`: values for fuzz targets.
#![no_std]
#![forbid(unsafe_code)]

// `arbitrary` itself needs std.
#[cfg(any(test, feature = "arbitrary"))]
extern crate std;

mod ether_type;
mod mac_addr;
mod vni;

pub use ether_type::EtherType;
pub use mac_addr::{MacAddr, ParseMacAddrError};
pub use vni::{ParseVniError, Vni};

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
