//! Address resolution for IPv4 over Ethernet: RFC 826, with the probes of RFC 5227.

use core::{fmt, net::Ipv4Addr};

use overlay_types::{EtherType, MacAddr};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned, big_endian::U16};

use crate::{DecodeError, EthernetHeader};

/// The hardware type of Ethernet (RFC 826).
pub const HARDWARE_TYPE_ETHERNET: u16 = 1;

/// What an ARP packet is for (RFC 826).
#[derive(
    Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned,
)]
#[cfg_attr(feature = "arbitrary", derive(arbitrary::Arbitrary))]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize), serde(from = "u16", into = "u16"))]
#[repr(transparent)]
pub struct ArpOperation([u8; 2]);

impl ArpOperation {
    /// Who has the target address?
    pub const REQUEST: Self = Self::new(1);
    /// The sender address is here.
    pub const REPLY: Self = Self::new(2);

    /// The operation with this number.
    #[must_use]
    pub const fn new(number: u16) -> Self {
        Self(number.to_be_bytes())
    }

    /// The number.
    #[must_use]
    pub const fn get(self) -> u16 {
        u16::from_be_bytes(self.0)
    }
}

impl From<u16> for ArpOperation {
    fn from(number: u16) -> Self {
        Self::new(number)
    }
}

impl From<ArpOperation> for u16 {
    fn from(operation: ArpOperation) -> Self {
        operation.get()
    }
}

impl fmt::Debug for ArpOperation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ArpOperation({})", self.get())
    }
}

/// An ARP packet for IPv4 over Ethernet (RFC 826): 28 bytes.
///
/// ```text
///  0                   1                   2                   3
///  0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1
/// +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
/// |       Hardware Type = 1       |    Protocol Type = 0x0800     |
/// +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
/// | HW Length = 6 | Pr Length = 4 |           Operation           |
/// +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
/// |                      Sender MAC Address                       |
/// +                               +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
/// |                               |       Sender IP Address       |
/// +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
/// |  Sender IP Address (behind)   |                               |
/// +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+                               +
/// |                      Target MAC Address                       |
/// +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
/// |                       Target IP Address                       |
/// +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
/// ```
///
/// ```
/// use ether_wire::arp::ArpPacket;
///
/// let (host, other) = ([2, 0, 0, 0, 0, 1].into(), [2, 0, 0, 0, 0, 2].into());
/// let request = ArpPacket::request(host, [10, 0, 0, 1].into(), [10, 0, 0, 2].into());
/// let answer = request.answer(other);
/// assert_eq!(answer.sender_binding(), Some(([10, 0, 0, 2].into(), other)));
/// assert_eq!(answer.to_frame(host).len(), ArpPacket::FRAME_LEN);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
// Any value of the fields is a header, and the unsafe code is inside zerocopy's derives.
#[cfg_attr(feature = "serde", expect(clippy::unsafe_derive_deserialize))]
#[repr(C)]
pub struct ArpPacket {
    #[cfg_attr(feature = "serde", serde(with = "crate::fields"))]
    hardware_type: U16,
    protocol_type: EtherType,
    hardware_length: u8,
    protocol_length: u8,
    operation: ArpOperation,
    sender_mac: MacAddr,
    #[cfg_attr(feature = "serde", serde(with = "crate::fields"))]
    sender_ip: [u8; 4],
    target_mac: MacAddr,
    #[cfg_attr(feature = "serde", serde(with = "crate::fields"))]
    target_ip: [u8; 4],
}

fixed_header!(ArpPacket, 28);

impl ArpPacket {
    /// Bytes of an Ethernet frame with an ARP packet, without padding and FCS.
    pub const FRAME_LEN: usize = EthernetHeader::LEN + Self::LEN;

    /// A packet for IPv4 over Ethernet.
    #[must_use]
    pub const fn new(operation: ArpOperation, sender: (MacAddr, Ipv4Addr), target: (MacAddr, Ipv4Addr)) -> Self {
        Self {
            hardware_type: U16::new(HARDWARE_TYPE_ETHERNET),
            protocol_type: EtherType::IPV4,
            hardware_length: 6,
            protocol_length: 4,
            operation,
            sender_mac: sender.0,
            sender_ip: sender.1.octets(),
            target_mac: target.0,
            target_ip: target.1.octets(),
        }
    }

    /// The question who has `target_ip`. A `sender_ip` of 0.0.0.0 makes it a probe (RFC 5227 §2.1.1).
    #[must_use]
    pub const fn request(sender_mac: MacAddr, sender_ip: Ipv4Addr, target_ip: Ipv4Addr) -> Self {
        Self::new(ArpOperation::REQUEST, (sender_mac, sender_ip), (MacAddr::ZERO, target_ip))
    }

    /// The reply to this request: its target address is at `mac`.
    #[must_use]
    pub const fn answer(&self, mac: MacAddr) -> Self {
        Self::new(ArpOperation::REPLY, (mac, self.target_ip()), (self.sender_mac, self.sender_ip()))
    }

    /// The packet in a frame from its sender to `destination`, without padding.
    #[must_use]
    pub fn to_frame(&self, destination: MacAddr) -> [u8; Self::FRAME_LEN] {
        #[derive(IntoBytes, Immutable)]
        #[repr(C)]
        struct Frame(EthernetHeader, ArpPacket);

        zerocopy::transmute!(Frame(EthernetHeader::new(destination, self.sender_mac, EtherType::ARP), *self))
    }

    /// The packet in front of `bytes`, checked to be one for IPv4 over Ethernet, and what is behind it: padding.
    ///
    /// The operation is not checked: who waits for a request or a reply ignores the others.
    ///
    /// # Errors
    ///
    /// - [`DecodeError::Truncated`].
    /// - [`DecodeError::HardwareType`], [`DecodeError::ProtocolType`], [`DecodeError::AddressLengths`]: another kind of
    ///   ARP.
    #[inline]
    pub fn decode(bytes: &[u8]) -> Result<(&Self, &[u8]), DecodeError> {
        let (packet, padding) = Self::from_prefix(bytes)?;
        if packet.hardware_type() != HARDWARE_TYPE_ETHERNET {
            return Err(DecodeError::HardwareType { found: packet.hardware_type() });
        }
        if packet.protocol_type != EtherType::IPV4 {
            return Err(DecodeError::ProtocolType { found: packet.protocol_type });
        }
        let (hardware, protocol) = (packet.hardware_length, packet.protocol_length);
        if (hardware, protocol) != (6, 4) {
            return Err(DecodeError::AddressLengths { hardware, protocol });
        }
        Ok((packet, padding))
    }

    /// What one may learn from the packet: the sender's address and where it is.
    ///
    /// `None` for a probe, whose sender has no address yet (RFC 5227 §2.1.1), and for addresses that nobody can have: a
    /// group address or all zero as MAC, multicast or broadcast as IP.
    #[must_use]
    pub fn sender_binding(&self) -> Option<(Ipv4Addr, MacAddr)> {
        let ip = self.sender_ip();
        let possible = !ip.is_unspecified() && !ip.is_multicast() && !ip.is_broadcast() && self.sender_mac.is_unicast();
        possible.then_some((ip, self.sender_mac))
    }

    /// `true` for a request without sender address: does somebody have the target address (RFC 5227 §1.1)? An answer says
    /// that the address is taken.
    #[must_use]
    pub fn is_probe(&self) -> bool {
        self.operation == ArpOperation::REQUEST && self.sender_ip().is_unspecified()
    }

    /// `true` for a packet that asks nothing and tells everyone where its sender is: sender and target address are the
    /// same (RFC 5227 §1.1 calls it an announcement; also known as gratuitous ARP).
    #[must_use]
    pub fn is_announcement(&self) -> bool {
        self.sender_ip == self.target_ip && !self.sender_ip().is_unspecified()
    }

    /// The kind of MAC addresses; 1 for Ethernet.
    #[inline]
    #[must_use]
    pub fn hardware_type(&self) -> u16 {
        self.hardware_type.get()
    }

    /// Sets the kind of MAC addresses.
    #[inline]
    pub fn set_hardware_type(&mut self, hardware_type: u16) {
        self.hardware_type.set(hardware_type);
    }

    /// The kind of protocol addresses.
    #[inline]
    #[must_use]
    pub const fn protocol_type(&self) -> EtherType {
        self.protocol_type
    }

    /// Sets the kind of protocol addresses.
    #[inline]
    pub const fn set_protocol_type(&mut self, protocol_type: EtherType) {
        self.protocol_type = protocol_type;
    }

    /// The length of a MAC address, in bytes.
    #[inline]
    #[must_use]
    pub const fn hardware_length(&self) -> u8 {
        self.hardware_length
    }

    /// Sets the length of a MAC address, in bytes. The layout does not change with it.
    #[inline]
    pub const fn set_hardware_length(&mut self, hardware_length: u8) {
        self.hardware_length = hardware_length;
    }

    /// The length of a protocol address, in bytes.
    #[inline]
    #[must_use]
    pub const fn protocol_length(&self) -> u8 {
        self.protocol_length
    }

    /// Sets the length of a protocol address, in bytes. The layout does not change with it.
    #[inline]
    pub const fn set_protocol_length(&mut self, protocol_length: u8) {
        self.protocol_length = protocol_length;
    }

    /// What the packet is for.
    #[inline]
    #[must_use]
    pub const fn operation(&self) -> ArpOperation {
        self.operation
    }

    /// Sets what the packet is for.
    #[inline]
    pub const fn set_operation(&mut self, operation: ArpOperation) {
        self.operation = operation;
    }

    /// The MAC address of the sender.
    #[inline]
    #[must_use]
    pub const fn sender_mac(&self) -> MacAddr {
        self.sender_mac
    }

    /// Sets the MAC address of the sender.
    #[inline]
    pub const fn set_sender_mac(&mut self, sender_mac: MacAddr) {
        self.sender_mac = sender_mac;
    }

    /// The address of the sender; 0.0.0.0 in a probe.
    #[inline]
    #[must_use]
    pub const fn sender_ip(&self) -> Ipv4Addr {
        Ipv4Addr::from_bits(u32::from_be_bytes(self.sender_ip))
    }

    /// Sets the address of the sender.
    #[inline]
    pub const fn set_sender_ip(&mut self, sender_ip: Ipv4Addr) {
        self.sender_ip = sender_ip.octets();
    }

    /// The MAC address of the target; without meaning in a request.
    #[inline]
    #[must_use]
    pub const fn target_mac(&self) -> MacAddr {
        self.target_mac
    }

    /// Sets the MAC address of the target.
    #[inline]
    pub const fn set_target_mac(&mut self, target_mac: MacAddr) {
        self.target_mac = target_mac;
    }

    /// The address of the target: the one that a request asks for.
    #[inline]
    #[must_use]
    pub const fn target_ip(&self) -> Ipv4Addr {
        Ipv4Addr::from_bits(u32::from_be_bytes(self.target_ip))
    }

    /// Sets the address of the target.
    #[inline]
    pub const fn set_target_ip(&mut self, target_ip: Ipv4Addr) {
        self.target_ip = target_ip.octets();
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const HOST: (MacAddr, Ipv4Addr) = (MacAddr::new([2, 0, 0, 0, 0, 1]), Ipv4Addr::new(10, 0, 0, 1));
    const OTHER: (MacAddr, Ipv4Addr) = (MacAddr::new([2, 0, 0, 0, 0, 2]), Ipv4Addr::new(10, 0, 0, 2));

    proptest! {
        #[test]
        fn set_then_get(bytes: [[u8; 7]; 4], words: [u16; 3], lengths: [u8; 2], macs: [[u8; 6]; 2], ips: [u32; 2]) {
            let mut bytes = bytes.concat();
            let (packet, _) = ArpPacket::from_prefix_mut(&mut bytes).unwrap();
            packet.set_hardware_type(words[0]);
            packet.set_protocol_type(words[1].into());
            packet.set_operation(words[2].into());
            packet.set_hardware_length(lengths[0]);
            packet.set_protocol_length(lengths[1]);
            packet.set_sender_mac(macs[0].into());
            packet.set_target_mac(macs[1].into());
            packet.set_sender_ip(ips[0].into());
            packet.set_target_ip(ips[1].into());
            prop_assert_eq!([packet.hardware_type(), packet.protocol_type().get(), packet.operation().get()], words);
            prop_assert_eq!([packet.hardware_length(), packet.protocol_length()], lengths);
            prop_assert_eq!([packet.sender_mac().octets(), packet.target_mac().octets()], macs);
            prop_assert_eq!([packet.sender_ip().to_bits(), packet.target_ip().to_bits()], ips);
            packet.set_hardware_type(1);
            packet.set_protocol_type(EtherType::IPV4);
            packet.set_hardware_length(6);
            packet.set_protocol_length(4);
            let new = ArpPacket::new(
                words[2].into(), (macs[0].into(), ips[0].into()), (macs[1].into(), ips[1].into()));
            prop_assert_eq!(*packet, new);
            prop_assert_eq!(ArpPacket::decode(new.as_bytes()), Ok((&new, &[][..])));
        }
    }

    #[test]
    fn other_kinds_of_arp_are_named() {
        let good = ArpPacket::request(HOST.0, HOST.1, OTHER.1);
        let decode = |edit: fn(&mut ArpPacket)| {
            let mut packet = good;
            edit(&mut packet);
            ArpPacket::decode(packet.as_bytes()).map(|(packet, _)| *packet)
        };
        assert_eq!(decode(|_| ()), Ok(good));
        assert_eq!(decode(|packet| packet.set_hardware_type(6)), Err(DecodeError::HardwareType { found: 6 }));
        let found = EtherType::IPV6;
        assert_eq!(
            decode(|packet| packet.set_protocol_type(EtherType::IPV6)),
            Err(DecodeError::ProtocolType { found })
        );
        let lengths = |hardware, protocol| Err(DecodeError::AddressLengths { hardware, protocol });
        assert_eq!(decode(|packet| packet.set_hardware_length(8)), lengths(8, 4));
        assert_eq!(decode(|packet| packet.set_protocol_length(16)), lengths(6, 16));
        for length in 0..28 {
            let expected = DecodeError::Truncated { needed: 28, available: length };
            assert_eq!(ArpPacket::decode(&good.as_bytes()[..length]), Err(expected));
        }
    }

    #[test]
    fn an_answer_turns_the_question_round() {
        let request = ArpPacket::request(HOST.0, HOST.1, OTHER.1);
        let answer = request.answer(OTHER.0);
        assert_eq!(answer, ArpPacket::new(ArpOperation::REPLY, OTHER, HOST));
        let frame = answer.to_frame(HOST.0);
        let (header, packet) = EthernetHeader::from_prefix(&frame).unwrap();
        assert_eq!(*header, EthernetHeader::new(HOST.0, OTHER.0, EtherType::ARP));
        assert_eq!(packet, answer.as_bytes());
    }

    #[test]
    fn probes_and_announcements() {
        let zero = Ipv4Addr::UNSPECIFIED;
        let probe = ArpPacket::request(HOST.0, zero, OTHER.1);
        assert!(probe.is_probe() && !probe.is_announcement());
        let announcement = ArpPacket::request(HOST.0, HOST.1, HOST.1);
        assert!(announcement.is_announcement() && !announcement.is_probe());
        let question = ArpPacket::request(HOST.0, HOST.1, OTHER.1);
        assert!(!question.is_probe() && !question.is_announcement());
        assert!(!ArpPacket::request(HOST.0, zero, zero).is_announcement());
        assert!(!ArpPacket::new(ArpOperation::REPLY, (HOST.0, zero), OTHER).is_probe());
    }

    #[test]
    fn only_possible_addresses_are_learned() {
        let binding = |mac: [u8; 6], ip: [u8; 4]| ArpPacket::request(mac.into(), ip.into(), OTHER.1).sender_binding();
        assert_eq!(binding(HOST.0.octets(), HOST.1.octets()), Some((HOST.1, HOST.0)));
        for ip in [[0, 0, 0, 0], [255, 255, 255, 255], [224, 0, 0, 1]] {
            assert_eq!(binding(HOST.0.octets(), ip), None);
        }
        for mac in [[0; 6], [0xff; 6], [1, 0, 0x5e, 0, 0, 1]] {
            assert_eq!(binding(mac, HOST.1.octets()), None);
        }
    }
}
