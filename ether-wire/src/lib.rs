//! The frames on either side of a tunnel header, in place: Ethernet, VLAN tags, IPv4, IPv6, UDP, TCP, ARP, Neighbor
//! Discovery, ICMP too-big; checksums, ECN, flow hash and outer headers.
//!
//! ```text
//!          14                20 / 40          8            8                  14        4           20 / 40
//! +----------------+------------------+-----------+---------------+----------------+---------+------------------+ - -
//! | EthernetHeader | Ipv4Header       | UdpHeader | tunnel header | EthernetHeader | VlanTag | Ipv4Header       |
//! |                | Ipv6Header       | or GRE    | not here      |                |  0 .. 4 | Ipv6Header       |
//! +----------------+------------------+-----------+---------------+----------------+---------+------------------+ - -
//! |<------------ outer: outer::OuterTemplate -------------------->|<-- inner: flow::FlowHasher, ecn, icmp::too_big -->
//!
//!  0                   1                   2                   3
//!  0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1
//! +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
//! |Version|  IHL  |   DSCP    |ECN|         Total Length          |  Ipv4Header, RFC 791
//! +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
//! |        Identification         |R|D|M|     Fragment Offset     |
//! +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
//! | Time to Live  |   Protocol    |        Header Checksum        |
//! +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
//! |                        Source Address                         |
//! +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
//! |                      Destination Address                      |
//! +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
//! |          Source Port          |       Destination Port        |  UdpHeader, RFC 768
//! +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
//! |            Length             |           Checksum            |
//! +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
//! ```
//!
//! Each header's page has its own drawing. A header is a view into the bytes of the caller: `from_prefix` looks at
//! them whatever they hold, `from_prefix_mut` edits them in place, `decode` validates once, and everything after it is a
//! load.
//!
//! Decoding:
//!
//! ```
//! use ether_wire::{DecodeError, EtherType, Ipv4Header, UdpHeader, ethernet};
//!
//! # let mut frame = [0_u8; 46];
//! # frame[12..18].copy_from_slice(&[0x08, 0x00, 0x45, 0, 0, 32]);
//! # frame[23..26].copy_from_slice(&[17, 0xba, 0xce]);
//! # frame[36..40].copy_from_slice(&[0x12, 0xb5, 0, 12]);
//! let payload = ethernet::payload(&frame).expect("a whole Ethernet header");
//! assert_eq!(payload.ether_type, EtherType::IPV4);
//! let packet = Ipv4Header::decode(&frame[payload.offset..])?;
//! let (udp, data) = UdpHeader::decode(packet.payload)?;
//! assert_eq!((udp.destination_port(), data.len()), (4789, 4));
//! // Congestion on the way: the header checksum goes with the edit.
//! let (header, _) = Ipv4Header::from_prefix_mut(&mut frame[payload.offset..])?;
//! header.set_ecn(ether_wire::Ecn::Ce);
//! assert!(header.is_checksum_valid(&[]));
//! # Ok::<(), DecodeError>(())
//! ```
//!
//! Encoding, all headers in front of an inner frame at once:
//!
//! ```
//! use ether_wire::flow::{DEFAULT_SOURCE_PORTS, FlowHasher};
//! use ether_wire::outer::{InnerFrame, OuterTemplate, Underlay};
//! use ether_wire::{EncodeError, Ipv4Header};
//!
//! let inner = [0x02; 60];
//! let hasher = FlowHasher::new(*b"random, once set");
//! let underlay = Underlay::new([192, 0, 2, 1].into(), [192, 0, 2, 2].into())?;
//! let template = OuterTemplate::udp(underlay, 4789, DEFAULT_SOURCE_PORTS, &[8, 0, 0, 0, 0, 0, 42, 0])?;
//! let mut packet = [0; 36 + 60];
//! let length = template.write_to(&mut packet, InnerFrame::new(inner.len(), hasher.hash(&inner)))?;
//! packet[length..].copy_from_slice(&inner);
//! assert_eq!(Ipv4Header::decode(&packet).expect("our own").payload.len(), 8 + 8 + 60);
//! # Ok::<(), EncodeError>(())
//! ```
//!
//! How strict decoding is, is a value: [`DecodeOptions::RFC`] verifies IPv4's header checksum and ignores reserved bits;
//! [`DecodeOptions::LENGTHS`] is for bytes that someone else has checked.
//!
//! # What it does not do
//!
//! It reassembles no fragments, keeps no table and no time, and decides on no drop. It knows neither tunnel headers nor
//! jumbograms, and of IPv6's extension headers it walks those that a tunnel endpoint meets: hop-by-hop options, routing,
//! fragment, destination options. It never looks at the checksum of UDP, TCP or ICMP on its own, because from a TAP with
//! offloads it may be partial; Neighbor Discovery is the exception, whose RFC wants it verified.
//!
//! # Features
//!
//! - `serde`: headers as structures of their fields, the other values by name or number.
//! - `arbitrary`: values for fuzz targets.
//! - `bytes`: headers into a `BufMut`, and off the front of `Bytes`.
//!
//! All of them add, none changes a type. Without `arbitrary` and `bytes` nothing needs std or an allocator.
#![no_std]
#![forbid(unsafe_code)]

// `arbitrary` itself needs std.
#[cfg(any(test, feature = "arbitrary"))]
extern crate std;

#[macro_use]
mod header;

#[cfg(feature = "serde")]
mod fields;

pub mod arp;
pub mod checksum;
mod decode_options;
pub mod ecn;
mod error;
pub mod ethernet;
pub mod flow;
pub mod icmp;
mod ip_protocol;
pub mod ipv4;
pub mod ipv6;
pub mod mss;
pub mod nd;
pub mod options;
pub mod outer;
pub mod tcp;
pub mod udp;

pub use decode_options::{DecodeOptions, ReservedBits};
pub use ecn::{Ecn, EcnMode};
pub use error::{DecodeError, EncodeError};
pub use ethernet::{EthernetHeader, VlanTag};
pub use flow::{FlowHash, FlowHasher};
pub use ip_protocol::IpProtocol;
pub use ipv4::Ipv4Header;
pub use ipv6::Ipv6Header;
pub use overlay_types::{EtherType, MacAddr};
pub use tcp::{TcpFlags, TcpHeader};
pub use udp::UdpHeader;

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
