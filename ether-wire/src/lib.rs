//! The frames on either side of a tunnel header: Ethernet, VLAN tags, IPv4, IPv6, UDP and TCP as views into a buffer,
//! with checksums, ECN and the flow hash.
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
