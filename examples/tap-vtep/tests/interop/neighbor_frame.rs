//! Frames of ARP and Neighbor Discovery, right and wrong, made by hand: they must not depend on the code under test.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use overlay_types::MacAddr;
use testbed::internet_checksum;

const ETHERNET_LEN: usize = 14;
const IPV6_LEN: usize = 40;

/// An ARP packet in its frame.
pub(crate) struct Arp {
    source: MacAddr,
    packet: Vec<u8>,
}

impl Arp {
    fn new(operation: u8, sender: (MacAddr, Ipv4Addr), target: (MacAddr, Ipv4Addr)) -> Self {
        let head = [0, 1, 0x08, 0x00, 6, 4, 0, operation];
        let packet =
            [&head[..], &sender.0.octets(), &sender.1.octets(), &target.0.octets(), &target.1.octets()].concat();
        Self { source: sender.0, packet }
    }

    /// Who has `target`?
    pub(crate) fn request(sender: (MacAddr, Ipv4Addr), target: Ipv4Addr) -> Self {
        Self::new(1, sender, (MacAddr::ZERO, target))
    }

    /// `sender` is there.
    pub(crate) fn reply(sender: (MacAddr, Ipv4Addr), target: (MacAddr, Ipv4Addr)) -> Self {
        Self::new(2, sender, target)
    }

    /// The same in a frame from this station.
    pub(crate) fn from(self, source: MacAddr) -> Self {
        Self { source, ..self }
    }

    /// The same with another byte in this place of the packet.
    pub(crate) fn with(mut self, place: usize, byte: u8) -> Self {
        self.packet[place] = byte;
        self
    }

    /// The frame.
    pub(crate) fn frame(&self, destination: MacAddr) -> Vec<u8> {
        [&destination.octets()[..], &self.source.octets(), &[0x08, 0x06], &self.packet].concat()
    }
}

/// A Neighbor Solicitation with its source link-layer address, in its frame.
pub(crate) struct Nd {
    source: MacAddr,
    ip: Ipv6Addr,
    target: Ipv6Addr,
    hop_limit: u8,
    message: Vec<u8>,
    checksum_error: u16,
}

impl Nd {
    /// Who has `target`?
    pub(crate) fn solicitation(sender: (MacAddr, Ipv6Addr), target: Ipv6Addr) -> Self {
        let message = [&[135, 0, 0, 0, 0, 0, 0, 0][..], &target.octets(), &[1, 1], &sender.0.octets()].concat();
        Self { source: sender.0, ip: sender.1, target, hop_limit: 255, message, checksum_error: 0 }
    }

    /// The same in a frame from this station.
    pub(crate) fn from(self, source: MacAddr) -> Self {
        Self { source, ..self }
    }

    pub(crate) fn with_hop_limit(self, hop_limit: u8) -> Self {
        Self { hop_limit, ..self }
    }

    pub(crate) fn with_code(mut self, code: u8) -> Self {
        self.message[1] = code;
        self
    }

    pub(crate) fn with_option_length(mut self, length: u8) -> Self {
        self.message[25] = length;
        self
    }

    pub(crate) fn with_wrong_checksum(self) -> Self {
        Self { checksum_error: 1, ..self }
    }

    /// The frame to the group that the target listens to.
    pub(crate) fn frame_to_group(&self) -> Vec<u8> {
        let [.., x, y, z] = self.target.octets();
        let group = Ipv6Addr::from([0xff, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0xff, x, y, z]);
        self.frame(MacAddr::new([0x33, 0x33, 0xff, x, y, z]), group)
    }

    /// The frame.
    pub(crate) fn frame(&self, destination: MacAddr, ip: Ipv6Addr) -> Vec<u8> {
        let length = self.message.len() as u16;
        let pseudo_header = [&self.ip.octets()[..], &ip.octets(), &u32::from(length).to_be_bytes(), &[0, 0, 0, 58]];
        let sum = internet_checksum(&[&pseudo_header.concat()[..], &self.message].concat()) ^ self.checksum_error;
        let mut message = self.message.clone();
        message[2..4].copy_from_slice(&sum.to_be_bytes());
        let [high, low] = length.to_be_bytes();
        let header = [0x60, 0, 0, 0, high, low, 58, self.hop_limit];
        let parts: [&[u8]; 7] = [
            &destination.octets(),
            &self.source.octets(),
            &[0x86, 0xdd],
            &header,
            &self.ip.octets(),
            &ip.octets(),
            &message,
        ];
        parts.concat()
    }
}

fn is_arp(frame: &[u8], operation: u8) -> bool {
    frame.len() >= ETHERNET_LEN + 28 && frame[12..14] == [0x08, 0x06] && frame[20..22] == [0, operation]
}

/// The `ICMPv6` message of a frame.
fn icmpv6(frame: &[u8]) -> Option<&[u8]> {
    let is_it = frame.get(12..14) == Some(&[0x86, 0xdd]) && frame.get(20) == Some(&58);
    frame.get(ETHERNET_LEN + IPV6_LEN..).filter(|message| is_it && message.len() >= 24)
}

/// Whether a frame asks who has this address.
pub(crate) fn is_question_for(frame: &[u8], target: IpAddr) -> bool {
    match target {
        IpAddr::V4(target) => is_arp(frame, 1) && frame[38..42] == target.octets(),
        IpAddr::V6(target) => {
            icmpv6(frame).is_some_and(|message| message[0] == 135 && message[8..24] == target.octets())
        }
    }
}

/// Whether a frame is an ARP reply that says who has this address.
pub(crate) fn is_arp_reply_of(frame: &[u8], sender: IpAddr) -> bool {
    matches!(sender, IpAddr::V4(sender) if is_arp(frame, 2) && frame[28..32] == sender.octets())
}

/// The flags of a Neighbor Advertisement for this address.
pub(crate) fn is_advertisement_of(frame: &[u8], target: IpAddr) -> Option<u8> {
    let IpAddr::V6(target) = target else { return None };
    icmpv6(frame).filter(|message| message[0] == 136 && message[8..24] == target.octets()).map(|message| message[4])
}
