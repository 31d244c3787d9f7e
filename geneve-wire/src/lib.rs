//! The Geneve header and its options, in place: RFC 8926.
//!
//! ```text
//!  0                   1                   2                   3
//!  0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1
//! +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
//! |Ver|  Opt Len  |O|C|    Rsvd.  |          Protocol Type        |
//! +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+  GeneveHeader, 8 bytes
//! |        Virtual Network Identifier (VNI)       |    Reserved   |
//! +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
//! |          Option Class         |      Type     |R|R|R| Length  |
//! +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+  Options, 0 to 252 bytes
//! |                  Variable-Length Option Data                  |
//! +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
//! ```
//!
//! A packet is a view into the bytes of the caller. [`GenevePacket::decode`] validates once, options included;
//! everything after it is infallible. [`GeneveBuilder`] writes into a buffer of the caller and cannot be made to write
//! an invalid header.
//!
//! Decoding the payload of a UDP datagram:
//!
//! ```
//! use geneve_wire::{DecodeError, GenevePacket, OptionClass, OptionType, Payload};
//!
//! // One option of Open Virtual Networking, critical, with four bytes of data; then an Ethernet frame.
//! let datagram = [
//!     2, 0x40, 0x65, 0x58, 0, 0, 42, 0, //
//!     0x01, 0x02, 0x80, 1, 0, 1, 0, 2, //
//!     0x02, 0, 0, 0, 0, 0x01,
//! ];
//! let packet = GenevePacket::decode(&datagram)?;
//! assert_eq!(packet.header().vni().get(), 42);
//! assert_eq!(packet.typed_payload(), Payload::Ethernet(&[0x02, 0, 0, 0, 0, 0x01]));
//! let (class, option_type) = (OptionClass::OVN, OptionType::new(0x80));
//! assert_eq!(packet.options().find(class, option_type).map(|option| option.data()), Some(&[0, 1, 0, 2][..]));
//! // An endpoint that knows this option accepts the packet, any other has to drop it.
//! packet.options().refuse_unknown_critical(|class, _| class == OptionClass::OVN)?;
//! let refused = packet.options().refuse_unknown_critical(|_, _| false);
//! assert_eq!(refused, Err(DecodeError::UnknownCriticalOption { class, option_type }));
//! # Ok::<(), DecodeError>(())
//! ```
//!
//! Encoding, with an option whose layout is known:
//!
//! ```
//! use geneve_wire::{EncodeError, GeneveBuilder, OptionClass, OptionType, TypedOption};
//! use overlay_types::{EtherType, Vni};
//! use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned, byteorder::big_endian::U16};
//!
//! #[derive(FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
//! #[repr(C)]
//! struct LogicalPorts {
//!     input: U16,
//!     output: U16,
//! }
//!
//! impl TypedOption for LogicalPorts {
//!     const CLASS: OptionClass = OptionClass::OVN;
//!     const TYPE: OptionType = OptionType::new(0x80);
//! }
//!
//! let mut datagram = [0; 16 + 60];
//! let mut builder = GeneveBuilder::new(&mut datagram, Vni::MAX, EtherType::TRANSPARENT_ETHERNET_BRIDGING)?;
//! builder.push_typed(&LogicalPorts { input: 1.into(), output: 2.into() })?;
//! assert_eq!(builder.finish(), 16);
//! // The option length and the C flag came by themselves.
//! assert_eq!(datagram[..8], [2, 0x40, 0x65, 0x58, 0xff, 0xff, 0xff, 0]);
//! assert_eq!(datagram[8..16], [0x01, 0x02, 0x80, 1, 0, 1, 0, 2]);
//! # Ok::<(), EncodeError>(())
//! ```
//!
//! How strict decoding is, is a value: [`DecodeOptions::RFC`] processes options and ignores reserved bits,
//! [`DecodeOptions::LINUX`] strips options unseen and refuses each packet with C, [`DecodeOptions::STRICT`] refuses what
//! no sender must send.
//!
//! # What it does not do
//!
//! It knows neither the UDP header in front nor the frame behind, and picks no source port. It knows no option by itself:
//! classes are numbers, layouts come from the caller. It drops nothing: a control packet (O) decodes, and what becomes of
//! it is the endpoint's decision.
//!
//! # Features
//!
//! - `serde`: headers, numbers and decode options as structures of their fields.
//! - `arbitrary`: values for fuzz targets.
//! - `bytes`: encoding into a `BufMut`, packets that own their `Bytes`.
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
mod encode;
mod error;
mod header;
mod option;
mod options;
mod packet;

#[cfg(feature = "bytes")]
pub use buffer::OwnedGenevePacket;
pub use decode_options::{CriticalFlag, DecodeOptions, OptionHandling, ReservedBits};
pub use encode::GeneveBuilder;
pub use error::{DecodeError, EncodeError};
pub use header::GeneveHeader;
pub use option::{GeneveOption, GeneveOptionMut, OptionClass, OptionType, TypedOption};
pub use options::{Options, OptionsIter, OptionsIterMut, OptionsMut};
pub use packet::{GenevePacket, GenevePacketMut, Payload};

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
