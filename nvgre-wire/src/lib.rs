//! The NVGRE header, in place: RFC 7637 on GRE, RFC 2784 and RFC 2890.
//!
//! ```text
//!  0                   1                   2                   3
//!  0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1
//! +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
//! |0| |1|0|   Reserved0       | Ver |   Protocol Type 0x6558        |
//! +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
//! |               Virtual Subnet ID (VSID)        |    FlowID     |
//! +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
//! ```
//!
//! A header is a view into the bytes of the caller. [`NvgreHeader::decode`] validates once. Under it lies plain GRE, as
//! [`GrePacket`], so that a user can read what a peer really sent and say why it is not NVGRE.
//!
//! Decoding the payload of an IP packet of protocol 47:
//!
//! ```
//! use nvgre_wire::{DecodeError, FlowId, GrePacket, NvgreHeader, Vsid};
//!
//! let packet = [0x20, 0, 0x65, 0x58, 0, 0x10, 42, 7, 0x02, 0, 0, 0, 0, 0x01];
//! let (header, frame) = NvgreHeader::decode(&packet)?;
//! assert_eq!(header.vsid(), Ok(Vsid::new(4096 + 42).unwrap()));
//! assert_eq!(header.flow_id(), FlowId::new(7));
//! assert_eq!(frame, [0x02, 0, 0, 0, 0, 0x01]);
//!
//! // A peer that numbers its packets speaks GRE, but not NVGRE.
//! let packet = [0x30, 0, 0x65, 0x58, 0, 0x10, 42, 7, 0, 0, 0, 1, 0x02, 0, 0, 0, 0, 0x01];
//! assert_eq!(NvgreHeader::decode(&packet), Err(DecodeError::SequenceNumberPresent { flags: 0x3000 }));
//! let packet = GrePacket::decode(&packet)?;
//! assert_eq!(packet.sequence_number(), Some(1));
//! assert_eq!(packet.payload(), [0x02, 0, 0, 0, 0, 0x01]);
//! # Ok::<(), DecodeError>(())
//! ```
//!
//! Encoding, in front of a frame that lies in the same buffer:
//!
//! ```
//! use nvgre_wire::{EncodeError, FlowId, NvgreHeader, Vsid};
//!
//! let mut packet = [0; 8 + 60];
//! NvgreHeader::new(Vsid::MIN, FlowId::new(7)).write_to(&mut packet)?;
//! assert_eq!(packet[..8], [0x20, 0, 0x65, 0x58, 0, 0x10, 0, 7]);
//! // A field of a header that is there already is edited in place.
//! let (header, _) = NvgreHeader::from_prefix_mut(&mut packet).expect("68 bytes");
//! header.set_vsid(Vsid::MAX);
//! assert_eq!(header.key(), 0xffff_fe07);
//! # Ok::<(), EncodeError>(())
//! ```
//!
//! A [`Vsid`] is not a `Vni`: RFC 7637 §3.2 reserves ranges. `Vsid::try_from(vni)` refuses them.
//!
//! # What it does not do
//!
//! It knows neither the IP header in front nor the frame behind; that no 802.1Q tag may be in the frame (RFC 7637 §3.3) is
//! checked where frames are read. It reads no RFC 1701 routing, and keeps no state of sequence numbers.
//!
//! # Features
//!
//! - `serde`: headers, numbers and options as structures of their fields.
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
mod checksum;
mod decode_options;
mod encode;
mod error;
mod gre;
mod header;
mod vsid;

pub use decode_options::{DecodeOptions, ReservedBits, ReservedVsids};
pub use encode::GreFields;
pub use error::{DecodeError, EncodeError};
pub use gre::{GreHeader, GrePacket, GrePacketMut};
pub use header::NvgreHeader;
pub use vsid::{FlowId, ParseVsidError, Vsid};

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
