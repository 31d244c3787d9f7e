//! The VXLAN header, in place: RFC 7348, Group Policy and Generic Protocol Extension.
//!
//! ```text
//!  0                   1                   2                   3
//!  0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1
//! +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
//! |R|R|R|R|I|R|R|R|            Reserved                           |  VxlanHeader, RFC 7348
//! |G|R|R|R|I|R|R|R|R|D|R|R|A|R|R|R|        Group Policy ID        |  GbpHeader, draft-smith-vxlan-group-policy
//! |R|R|Ver|I|P|B|O|       Reserved                |Next Protocol  |  GpeHeader, draft-ietf-nvo3-vxlan-gpe
//! +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
//! |                VXLAN Network Identifier (VNI) |   Reserved    |
//! +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
//! ```
//!
//! A header is a view into the bytes of the caller. [`VxlanHeader::decode`] validates once; everything after it is a
//! load. Which of the three layouts a packet has is chosen by type, as the port is configured: nothing in the packet
//! tells.
//!
//! Decoding the payload of a UDP datagram:
//!
//! ```
//! use vxlan_wire::{DecodeError, VxlanHeader};
//!
//! let datagram = [0x08, 0, 0, 0, 0, 0, 42, 0, 0x02, 0, 0, 0, 0, 0x01];
//! let (header, frame) = VxlanHeader::decode(&datagram)?;
//! assert_eq!(header.vni().get(), 42);
//! assert_eq!(frame, [0x02, 0, 0, 0, 0, 0x01]);
//! // Without the I flag there is no network to deliver to.
//! assert_eq!(VxlanHeader::decode(&[0; 8]), Err(DecodeError::InvalidFlags { flags: 0 }));
//! # Ok::<(), DecodeError>(())
//! ```
//!
//! Encoding, in front of a frame that lies in the same buffer:
//!
//! ```
//! use overlay_types::Vni;
//! use vxlan_wire::{EncodeError, VxlanHeader};
//!
//! let mut datagram = [0; 8 + 60];
//! VxlanHeader::new(Vni::MAX).write_to(&mut datagram)?;
//! assert_eq!(datagram[..8], [0x08, 0, 0, 0, 0xff, 0xff, 0xff, 0]);
//! // A field of a header that is there already is edited in place.
//! let (header, _) = VxlanHeader::from_prefix_mut(&mut datagram).expect("68 bytes");
//! header.set_vni(Vni::MIN);
//! assert_eq!(datagram[..8], [0x08, 0, 0, 0, 0, 0, 0, 0]);
//! # Ok::<(), EncodeError>(())
//! ```
//!
//! How strict decoding is, is a value: [`DecodeOptions::RFC`] ignores reserved bits, as RFC 7348 §5 asks;
//! [`DecodeOptions::LINUX`] refuses them, as Linux and Open vSwitch do.
//!
//! # What it does not do
//!
//! It knows neither the UDP header in front nor the frame behind, picks no source port, and keeps no table of networks.
//! It does not guess whether a port speaks Group Policy or Generic Protocol Extension. It drops nothing: a header with
//! the O flag of Generic Protocol Extension decodes, and what becomes of it is the endpoint's decision.
//!
//! # Features
//!
//! - `serde`: headers and options as structures of their fields.
//! - `arbitrary`: values for fuzz targets.
//! - `bytes`: encoding into a `BufMut`, payloads as owned `Bytes`.
//!
//! All of them add, none changes a type. Without `arbitrary` and `bytes` nothing needs std or an allocator.
#![no_std]
#![forbid(unsafe_code)]

// `arbitrary` itself needs std.
#[cfg(any(test, feature = "arbitrary"))]
extern crate std;

#[cfg(feature = "bytes")]
mod buffer;
mod decode_options;
mod error;
mod gbp;
mod gpe;
mod header;

pub use decode_options::{DecodeOptions, ReservedBits};
pub use error::{DecodeError, EncodeError};
pub use gbp::{GbpHeader, GroupPolicy};
pub use gpe::{GpeHeader, NextProtocol};
pub use header::VxlanHeader;

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
