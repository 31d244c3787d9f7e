//! Neighbor Solicitation and Neighbor Advertisement with their options: RFC 4861, with RFC 2464 for Ethernet.
//!
//! Decoding makes all checks of RFC 4861 §7.1, so that what comes out may be acted on:
//!
//! ```
//! use ether_wire::{EthernetHeader, Ipv6Header, nd::{NeighborAdvertisement, NeighborSolicitation}};
//!
//! let host = ([2, 0, 0, 0, 0, 1].into(), "fe80::1".parse().unwrap());
//! let other = ([2, 0, 0, 0, 0, 2].into(), "fe80::2".parse().unwrap());
//! let question = NeighborSolicitation::new(other.1).to_frame(host, other)?;
//!
//! let packet = Ipv6Header::decode(&question[EthernetHeader::LEN..])?;
//! let solicitation = NeighborSolicitation::decode(&packet)?;
//! assert_eq!(solicitation.sender_binding(), Some((host.1, host.0)));
//!
//! // A proxy knows the answer.
//! let answer = solicitation.answer(host.0, other.0, false);
//! let packet = Ipv6Header::decode(&answer[EthernetHeader::LEN..])?;
//! assert_eq!(NeighborAdvertisement::decode(&packet)?.target_binding(), Some((other.1, other.0)));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

use core::net::Ipv6Addr;

use overlay_types::{EtherType, MacAddr};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned, big_endian::U16};

use crate::{DecodeError, EncodeError, EthernetHeader, IpProtocol, Ipv6Header, ipv6::Ipv6Packet};

mod option;

pub use option::{LinkLayerAddress, NdOption, NdOptions, NdOptionsIter};

/// The hop limit of every Neighbor Discovery message: none has passed a router (RFC 4861 §7.1).
pub const HOP_LIMIT: u8 = 255;
/// `ff02::1`, where an answer to a host without address goes (RFC 4291 §2.7.1).
pub const ALL_NODES: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 1);
/// Bytes of a frame with one message and one link-layer address.
pub const FRAME_LEN: usize = EthernetHeader::LEN + Ipv6Header::LEN + NeighborSolicitation::LEN + LinkLayerAddress::LEN;

const ROUTER: u8 = 0x80;
const SOLICITED: u8 = 0x40;
const OVERRIDE: u8 = 0x20;

/// The multicast address that the owner of `address` listens to: `ff02::1:ff00:0/104` with the last 24 bits of `address`
/// (RFC 4291 §2.7.1).
#[must_use]
pub const fn solicited_node(address: Ipv6Addr) -> Ipv6Addr {
    const PREFIX: u128 = 0xff02_0000_0000_0000_0000_0001_ff00_0000;
    Ipv6Addr::from_bits(PREFIX | address.to_bits() & 0xff_ffff)
}

/// The Ethernet group of an IPv6 multicast address: `33:33` and its last 32 bits (RFC 2464 §7).
#[must_use]
pub const fn multicast_mac(address: Ipv6Addr) -> MacAddr {
    let [.., a, b, c, d] = address.octets();
    MacAddr::new([0x33, 0x33, a, b, c, d])
}

/// A Neighbor Solicitation without its options (RFC 4861 §4.3): 24 bytes.
///
/// ```text
///  0                   1                   2                   3
///  0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1
/// +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
/// |  Type = 135   |   Code = 0    |           Checksum            |
/// +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
/// |                           Reserved                            |
/// +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
/// |                                                               |
/// +                                                               +
/// |                                                               |
/// +                        Target Address                         +
/// |                                                               |
/// +                                                               +
/// |                                                               |
/// +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
// Any value of the fields is a header, and the unsafe code is inside zerocopy's derives.
#[cfg_attr(feature = "serde", expect(clippy::unsafe_derive_deserialize))]
#[repr(C)]
pub struct NeighborSolicitation {
    message_type: u8,
    code: u8,
    #[cfg_attr(feature = "serde", serde(with = "crate::fields"))]
    checksum: U16,
    reserved: [u8; 4],
    #[cfg_attr(feature = "serde", serde(with = "crate::fields"))]
    target: [u8; 16],
}

fixed_header!(NeighborSolicitation, 24);

/// A Neighbor Advertisement without its options (RFC 4861 §4.4): 24 bytes.
///
/// ```text
///  0                   1                   2                   3
///  0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1
/// +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
/// |  Type = 136   |   Code = 0    |           Checksum            |
/// +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
/// |R|S|O|                        Reserved                         |
/// +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
/// |                                                               |
/// +                                                               +
/// |                                                               |
/// +                        Target Address                         +
/// |                                                               |
/// +                                                               +
/// |                                                               |
/// +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
// Any value of the fields is a header, and the unsafe code is inside zerocopy's derives.
#[cfg_attr(feature = "serde", expect(clippy::unsafe_derive_deserialize))]
#[repr(C)]
pub struct NeighborAdvertisement {
    message_type: u8,
    code: u8,
    #[cfg_attr(feature = "serde", serde(with = "crate::fields"))]
    checksum: U16,
    flags: u8,
    reserved: [u8; 3],
    #[cfg_attr(feature = "serde", serde(with = "crate::fields"))]
    target: [u8; 16],
}

fixed_header!(NeighborAdvertisement, 24);

/// The fields that both messages have.
macro_rules! neighbor_message {
    ($message:ident) => {
        impl $message {
            /// The type of the message; [`TYPE`](Self::TYPE) in one that decodes.
            #[inline]
            #[must_use]
            pub const fn message_type(&self) -> u8 {
                self.message_type
            }

            /// Sets the type of the message.
            #[inline]
            pub const fn set_message_type(&mut self, message_type: u8) {
                self.message_type = message_type;
            }

            /// The code; 0 in a message that decodes.
            #[inline]
            #[must_use]
            pub const fn code(&self) -> u8 {
                self.code
            }

            /// Sets the code.
            #[inline]
            pub const fn set_code(&mut self, code: u8) {
                self.code = code;
            }

            /// The checksum.
            #[inline]
            #[must_use]
            pub fn checksum(&self) -> u16 {
                self.checksum.get()
            }

            /// Sets the checksum; no other setter touches it.
            #[inline]
            pub fn set_checksum(&mut self, checksum: u16) {
                self.checksum.set(checksum);
            }

            /// The address that the message is about.
            #[inline]
            #[must_use]
            pub const fn target(&self) -> Ipv6Addr {
                Ipv6Addr::from_bits(u128::from_be_bytes(self.target))
            }

            /// Sets the address that the message is about.
            #[inline]
            pub const fn set_target(&mut self, target: Ipv6Addr) {
                self.target = target.octets();
            }

            /// The checks that both messages share, in the order of RFC 4861 §7.1.
            fn decode_message<'a>(packet: &Ipv6Packet<'a>) -> Result<(&'a Self, NdOptions<'a>), DecodeError> {
                let bytes = packet.payload;
                let (message, options) = Self::from_prefix(bytes)?;
                if packet.protocol != IpProtocol::ICMPV6 || message.message_type != Self::TYPE {
                    return Err(DecodeError::IcmpType { expected: Self::TYPE, found: message.message_type });
                }
                if packet.fragment.is_some() {
                    return Err(DecodeError::Fragmented);
                }
                if packet.header.hop_limit() != HOP_LIMIT {
                    return Err(DecodeError::HopLimit { found: packet.header.hop_limit() });
                }
                let pseudo_header = packet.header.pseudo_header(IpProtocol::ICMPV6, bytes.len() as u32);
                if !pseudo_header.add_bytes(bytes).is_valid() {
                    return Err(DecodeError::Checksum { found: message.checksum() });
                }
                if message.code != 0 {
                    return Err(DecodeError::IcmpCode { found: message.code });
                }
                if message.target().is_multicast() {
                    return Err(DecodeError::MulticastTarget { target: message.target() });
                }
                Ok((message, NdOptions::decode(options)?))
            }

            /// The message in a frame, with the address of the sender's link layer as its option.
            fn frame(&self, from: (MacAddr, Ipv6Addr), to: (MacAddr, Ipv6Addr), option: u8) -> [u8; FRAME_LEN] {
                #[derive(IntoBytes, Immutable)]
                #[repr(C)]
                struct Message($message, LinkLayerAddress);

                #[derive(IntoBytes, Immutable)]
                #[repr(C)]
                struct Frame(EthernetHeader, Ipv6Header, Message);

                const LENGTH: u16 = size_of::<Message>() as u16;

                let ethernet = EthernetHeader::new(to.0, from.0, EtherType::IPV6);
                let mut ip = Ipv6Header::new(from.1, to.1, IpProtocol::ICMPV6, LENGTH);
                ip.set_hop_limit(HOP_LIMIT);
                let mut message = Message(*self, LinkLayerAddress::new(option, from.0));
                message.0.set_checksum(0);
                let sum = ip.pseudo_header(IpProtocol::ICMPV6, LENGTH.into()).add_bytes(message.as_bytes());
                message.0.set_checksum(sum.checksum());
                zerocopy::transmute!(Frame(ethernet, ip, message))
            }
        }
    };
}

neighbor_message!(NeighborSolicitation);
neighbor_message!(NeighborAdvertisement);

impl NeighborSolicitation {
    /// The type of the message (RFC 4861 §4.3).
    pub const TYPE: u8 = 135;

    /// The question who has `target`, with a checksum of zero.
    #[must_use]
    pub const fn new(target: Ipv6Addr) -> Self {
        let target = target.octets();
        Self { message_type: Self::TYPE, code: 0, checksum: U16::ZERO, reserved: [0; 4], target }
    }

    /// Checks the message in `packet` by RFC 4861 §7.1.1 and RFC 6980 §5.
    ///
    /// # Errors
    ///
    /// - [`DecodeError::IcmpType`]: not a Neighbor Solicitation.
    /// - [`DecodeError::Truncated`], [`DecodeError::Fragmented`], [`DecodeError::HopLimit`], [`DecodeError::Checksum`],
    ///   [`DecodeError::IcmpCode`], [`DecodeError::MulticastTarget`], [`DecodeError::OptionLength`].
    /// - From `::`: [`DecodeError::DetectionDestination`], [`DecodeError::DetectionLinkLayerAddress`].
    pub fn decode<'a>(packet: &Ipv6Packet<'a>) -> Result<Solicitation<'a>, DecodeError> {
        let (message, options) = Self::decode_message(packet)?;
        let solicitation = Solicitation { ip: packet.header, message, options };
        if packet.header.source().is_unspecified() {
            let destination = packet.header.destination();
            // Any solicited-node address, as the text has it; a host looks only at those that it listens to.
            if solicited_node(destination) != destination {
                return Err(DecodeError::DetectionDestination { destination });
            }
            if options.find(NdOption::SOURCE_LINK_LAYER_ADDRESS).is_some() {
                return Err(DecodeError::DetectionLinkLayerAddress);
            }
        }
        Ok(solicitation)
    }

    /// The message in a frame between these stations, with the sender's MAC address as source link-layer address (RFC
    /// 4861 §4.3), the checksum filled in.
    ///
    /// To ask everyone, send to [`solicited_node`] of the target and its [`multicast_mac`].
    ///
    /// # Errors
    ///
    /// [`EncodeError::UnspecifiedSource`] for a sender without address.
    pub fn to_frame(&self, from: (MacAddr, Ipv6Addr), to: (MacAddr, Ipv6Addr)) -> Result<[u8; FRAME_LEN], EncodeError> {
        if from.1.is_unspecified() {
            return Err(EncodeError::UnspecifiedSource);
        }
        Ok(self.frame(from, to, NdOption::SOURCE_LINK_LAYER_ADDRESS))
    }

    /// The reserved field, which means nothing on receipt.
    #[inline]
    #[must_use]
    pub const fn reserved(&self) -> u32 {
        u32::from_be_bytes(self.reserved)
    }

    /// Sets the reserved field; RFC 4861 §4.3 wants it zero.
    #[inline]
    pub const fn set_reserved(&mut self, reserved: u32) {
        self.reserved = reserved.to_be_bytes();
    }
}

impl NeighborAdvertisement {
    /// The type of the message (RFC 4861 §4.4).
    pub const TYPE: u8 = 136;

    /// The answer that `target` is here, without flags and with a checksum of zero.
    #[must_use]
    pub const fn new(target: Ipv6Addr) -> Self {
        let target = target.octets();
        Self { message_type: Self::TYPE, code: 0, checksum: U16::ZERO, flags: 0, reserved: [0; 3], target }
    }

    /// Checks the message in `packet` by RFC 4861 §7.1.2 and RFC 6980 §5.
    ///
    /// # Errors
    ///
    /// - [`DecodeError::IcmpType`]: not a Neighbor Advertisement.
    /// - [`DecodeError::Truncated`], [`DecodeError::Fragmented`], [`DecodeError::HopLimit`], [`DecodeError::Checksum`],
    ///   [`DecodeError::IcmpCode`], [`DecodeError::MulticastTarget`], [`DecodeError::OptionLength`].
    /// - [`DecodeError::SolicitedMulticast`].
    pub fn decode<'a>(packet: &Ipv6Packet<'a>) -> Result<Advertisement<'a>, DecodeError> {
        let (message, options) = Self::decode_message(packet)?;
        let destination = packet.header.destination();
        if destination.is_multicast() && message.is_solicited() {
            return Err(DecodeError::SolicitedMulticast { destination });
        }
        Ok(Advertisement { ip: packet.header, message, options })
    }

    /// The message in a frame between these stations, with the sender's MAC address as target link-layer address (RFC
    /// 4861 §4.4), the checksum filled in.
    ///
    /// # Errors
    ///
    /// [`EncodeError::SolicitedMulticast`] for a solicited advertisement to a multicast address.
    pub fn to_frame(&self, from: (MacAddr, Ipv6Addr), to: (MacAddr, Ipv6Addr)) -> Result<[u8; FRAME_LEN], EncodeError> {
        if self.is_solicited() && to.1.is_multicast() {
            return Err(EncodeError::SolicitedMulticast);
        }
        Ok(self.frame(from, to, NdOption::TARGET_LINK_LAYER_ADDRESS))
    }

    /// R: the target is a router.
    #[inline]
    #[must_use]
    pub const fn is_router(&self) -> bool {
        self.flags & ROUTER != 0
    }

    /// Sets R.
    #[inline]
    pub const fn set_router(&mut self, router: bool) {
        self.set_flag(ROUTER, router);
    }

    /// S: the message answers a solicitation.
    #[inline]
    #[must_use]
    pub const fn is_solicited(&self) -> bool {
        self.flags & SOLICITED != 0
    }

    /// Sets S.
    #[inline]
    pub const fn set_solicited(&mut self, solicited: bool) {
        self.set_flag(SOLICITED, solicited);
    }

    /// O: the message replaces what is known. A proxy leaves it unset (RFC 4861 §7.2.8).
    #[inline]
    #[must_use]
    pub const fn is_override(&self) -> bool {
        self.flags & OVERRIDE != 0
    }

    /// Sets O.
    #[inline]
    pub const fn set_override(&mut self, overrides: bool) {
        self.set_flag(OVERRIDE, overrides);
    }

    /// The 29 reserved bits, which mean nothing on receipt.
    #[inline]
    #[must_use]
    pub const fn reserved(&self) -> u32 {
        let [a, b, c] = self.reserved;
        u32::from_be_bytes([self.flags & 0x1f, a, b, c])
    }

    /// Sets the reserved bits to the low 29 bits of `reserved`; RFC 4861 §4.4 wants them zero.
    #[inline]
    pub const fn set_reserved(&mut self, reserved: u32) {
        let [flags, a, b, c] = reserved.to_be_bytes();
        self.flags = self.flags & 0xe0 | flags & 0x1f;
        self.reserved = [a, b, c];
    }

    #[inline]
    const fn set_flag(&mut self, flag: u8, set: bool) {
        self.flags = if set { self.flags | flag } else { self.flags & !flag };
    }
}

/// A Neighbor Solicitation that has passed all checks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Solicitation<'a> {
    /// The IP header that it came with.
    pub ip: &'a Ipv6Header,
    /// The message.
    pub message: &'a NeighborSolicitation,
    /// Its options.
    pub options: NdOptions<'a>,
}

impl Solicitation<'_> {
    /// `true` where the sender has no address yet and asks whether the target is taken (RFC 4862 §5.4). An answer says
    /// that it is.
    #[must_use]
    pub fn is_duplicate_address_detection(&self) -> bool {
        self.ip.source().is_unspecified()
    }

    /// What one may learn from the message (RFC 4861 §7.2.3): the sender's address and where it is.
    ///
    /// `None` in duplicate address detection, without a source link-layer address, and for addresses that no host can
    /// have.
    #[must_use]
    pub fn sender_binding(&self) -> Option<(Ipv6Addr, MacAddr)> {
        let mac = self.options.link_layer_address(NdOption::SOURCE_LINK_LAYER_ADDRESS)?;
        binding(self.ip.source(), mac)
    }

    /// The frame in which a proxy answers that the target is at `mac` (RFC 4861 §7.2.4, §7.2.8), and whether it is a
    /// router. `solicitor` is the source of the solicitation's frame.
    ///
    /// The answer is solicited and does not override. In duplicate address detection it goes to all nodes, and is not
    /// solicited.
    #[must_use]
    pub fn answer(&self, solicitor: MacAddr, mac: MacAddr, router: bool) -> [u8; FRAME_LEN] {
        let solicited = !self.is_duplicate_address_detection();
        let to = if solicited { (solicitor, self.ip.source()) } else { (multicast_mac(ALL_NODES), ALL_NODES) };
        let mut message = NeighborAdvertisement::new(self.message.target());
        message.set_router(router);
        message.set_solicited(solicited && !to.1.is_multicast());
        message.frame((mac, self.message.target()), to, NdOption::TARGET_LINK_LAYER_ADDRESS)
    }
}

/// A Neighbor Advertisement that has passed all checks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Advertisement<'a> {
    /// The IP header that it came with.
    pub ip: &'a Ipv6Header,
    /// The message.
    pub message: &'a NeighborAdvertisement,
    /// Its options.
    pub options: NdOptions<'a>,
}

impl Advertisement<'_> {
    /// What one may learn from the message (RFC 4861 §7.2.5): the target address and where it is.
    ///
    /// `None` without a target link-layer address, and for addresses that no host can have.
    #[must_use]
    pub fn target_binding(&self) -> Option<(Ipv6Addr, MacAddr)> {
        let mac = self.options.link_layer_address(NdOption::TARGET_LINK_LAYER_ADDRESS)?;
        binding(self.message.target(), mac)
    }
}

fn binding(ip: Ipv6Addr, mac: MacAddr) -> Option<(Ipv6Addr, MacAddr)> {
    (!ip.is_unspecified() && !ip.is_multicast() && mac.is_unicast()).then_some((ip, mac))
}

#[cfg(test)]
mod tests;
