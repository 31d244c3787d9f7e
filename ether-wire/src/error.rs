//! Why bytes are not the packet that they should be, and why a packet cannot be written.

use core::net::Ipv6Addr;

use overlay_types::EtherType;
use thiserror::Error;

/// Why bytes do not decode.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Error)]
#[non_exhaustive]
pub enum DecodeError {
    /// The bytes end before the header or the packet does.
    #[error("truncated: {needed} bytes needed, {available} available")]
    Truncated {
        /// How many bytes it takes.
        needed: usize,
        /// How many there are.
        available: usize,
    },
    /// The version field is not that of the protocol: 4 (RFC 791 §3.1) or 6 (RFC 8200 §3).
    #[error("IP version {found} in place of {expected}")]
    Version {
        /// The version of the protocol.
        expected: u8,
        /// The version in the header.
        found: u8,
    },
    /// The header length field is smaller than the fixed part: IPv4's IHL (RFC 791 §3.1) or TCP's data offset
    /// (RFC 9293 §3.1).
    #[error("a header length of {length} bytes, less than {minimum}")]
    HeaderLength {
        /// The length that the field gives, in bytes.
        length: usize,
        /// The length of the fixed part, in bytes.
        minimum: usize,
    },
    /// The length field does not cover the header itself: IPv4's total length (RFC 791 §3.1) or UDP's length
    /// (RFC 768).
    #[error("a packet length of {length} bytes, less than its header of {header}")]
    PacketLength {
        /// The length that the field gives, in bytes.
        length: usize,
        /// The length of the header, in bytes.
        header: usize,
    },
    /// A reserved bit is set, and the [`DecodeOptions`](crate::DecodeOptions) refuse that.
    #[error("reserved bits {bits:#06x} set")]
    ReservedBits {
        /// The reserved bits as they stand in their 16-bit field.
        bits: u16,
    },
    /// The checksum is wrong (RFC 1071; RFC 1122 §3.2.1.2 for IPv4, RFC 768, RFC 4443 §2.3).
    #[error("checksum {found:#06x} is wrong")]
    Checksum {
        /// The checksum in the packet.
        found: u16,
    },
    /// More IPv6 extension headers than anyone sends.
    #[error("more than {limit} IPv6 extension headers")]
    TooManyExtensionHeaders {
        /// How many are walked.
        limit: usize,
    },
    /// An option's length is too small for its own head, or leads out of the area of options: IPv4 (RFC 791 §3.1),
    /// TCP (RFC 9293 §3.1) or Neighbor Discovery, where it must not be zero (RFC 4861 §4.6).
    #[error("option {kind} with a length of {length} bytes, {available} left")]
    OptionLength {
        /// The option's kind or type.
        kind: u8,
        /// The length that the option gives, in bytes.
        length: usize,
        /// Bytes from the option's start to the end of the options.
        available: usize,
    },
    /// An ARP packet of another link layer than Ethernet (RFC 826).
    #[error("ARP for hardware type {found} in place of 1")]
    HardwareType {
        /// The hardware type in the packet.
        found: u16,
    },
    /// An ARP packet for another protocol than IPv4 (RFC 826).
    #[error("ARP for protocol type {found} in place of 0x0800")]
    ProtocolType {
        /// The protocol type in the packet.
        found: EtherType,
    },
    /// An ARP packet whose addresses have other lengths than those of Ethernet and IPv4 (RFC 826).
    #[error("ARP with addresses of {hardware} and {protocol} bytes in place of 6 and 4")]
    AddressLengths {
        /// The length of a MAC address in the packet.
        hardware: u8,
        /// The length of a protocol address in the packet.
        protocol: u8,
    },
    /// Another kind of message.
    #[error("ICMP type {found} in place of {expected}")]
    IcmpType {
        /// The type of the message that was asked for.
        expected: u8,
        /// The type in the message.
        found: u8,
    },
    /// A Neighbor Discovery message with a code that is not 0 (RFC 4861 §7.1).
    #[error("ICMP code {found} in place of 0")]
    IcmpCode {
        /// The code in the message.
        found: u8,
    },
    /// A Neighbor Discovery message that a router has passed on: its hop limit is not 255 (RFC 4861 §7.1).
    #[error("hop limit {found} in place of 255")]
    HopLimit {
        /// The hop limit in the packet.
        found: u8,
    },
    /// A Neighbor Discovery message in a fragment (RFC 6980 §5).
    #[error("Neighbor Discovery in a fragment")]
    Fragmented,
    /// The target of a Neighbor Discovery message is a multicast address (RFC 4861 §7.1).
    #[error("the target {target} is a multicast address")]
    MulticastTarget {
        /// The target address.
        target: Ipv6Addr,
    },
    /// A Neighbor Solicitation without source address that goes elsewhere than to a solicited-node address (RFC 4861
    /// §7.1.1).
    #[error("duplicate address detection sent to {destination}, not to a solicited-node address")]
    DetectionDestination {
        /// The destination address.
        destination: Ipv6Addr,
    },
    /// A Neighbor Solicitation without source address that has a source link-layer address (RFC 4861 §7.1.1).
    #[error("duplicate address detection with a source link-layer address")]
    DetectionLinkLayerAddress,
    /// A Neighbor Advertisement to a multicast address that says it was solicited (RFC 4861 §7.1.2).
    #[error("a solicited advertisement sent to {destination}")]
    SolicitedMulticast {
        /// The destination address.
        destination: Ipv6Addr,
    },
}

/// Why a packet cannot be written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Error)]
#[non_exhaustive]
pub enum EncodeError {
    /// The buffer is shorter than what goes into it.
    #[error("buffer too small: {needed} bytes needed, {available} available")]
    BufferTooSmall {
        /// How many bytes it takes.
        needed: usize,
        /// How many there are.
        available: usize,
    },
    /// A length that its 16-bit field cannot say.
    #[error("{length} bytes are more than the {maximum} that the length field can say")]
    TooLong {
        /// The length, in bytes.
        length: usize,
        /// The largest possible, in bytes.
        maximum: usize,
    },
    /// Source and destination of a tunnel are not of one address family.
    #[error("one of source and destination is IPv4, the other IPv6")]
    AddressFamilies,
    /// A Neighbor Solicitation without source address cannot carry a source link-layer address (RFC 4861 §4.3).
    #[error("a solicitation with a link-layer address needs a source address")]
    UnspecifiedSource,
    /// A Neighbor Advertisement to a multicast address cannot be a solicited one (RFC 4861 §4.4).
    #[error("a solicited advertisement cannot go to a multicast address")]
    SolicitedMulticast,
    /// The frame that is too big carries no IP packet, or not a whole one, so nobody can be told.
    #[error("no whole IP packet to answer")]
    NotIp,
    /// The packet that is too big is from or to something else than one host (RFC 1122 §3.2.2, RFC 4443 §2.4 (e)).
    #[error("a packet that is not from one host to one host is not answered")]
    NotUnicast,
    /// The packet that is too big is an ICMP error itself (RFC 1122 §3.2.2, RFC 4443 §2.4 (e)).
    #[error("an ICMP error is not answered with another")]
    IcmpError,
    /// The packet that is too big is a fragment of IPv4 and not the first one (RFC 1122 §3.2.2).
    #[error("a fragment other than the first is not answered")]
    LaterFragment,
    /// The IPv4 packet that is too big has not set DF, and only such packets are answered (RFC 1191 §4).
    #[error("a packet without DF is not answered")]
    MayFragment,
}
