//! The tunnel headers as their standards draw them, made and taken off by hand.

use testbed::{Encapsulation, Family, Host, OuterPacket, TapVtep, Underlay};

use crate::bed::{PORT, PROGRAM, VNI, one_segment};

/// One way to put a frame into a packet of the underlay.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Tunnel {
    Vxlan,
    Geneve,
    Nvgre,
}

const ETHERNET_LEN: usize = 14;
const UDP: u8 = 17;
const GRE: u8 = 47;
/// The source port of what is made by hand.
const SOURCE_PORT: u16 = 50_000;

impl Tunnel {
    pub(crate) const ALL: [Self; 3] = [Self::Vxlan, Self::Geneve, Self::Nvgre];

    /// The VNI of its segments: that of most tests, but for NVGRE, where it is reserved (RFC 7637 §3.2).
    const fn vni(self) -> u32 {
        match self {
            Self::Vxlan | Self::Geneve => VNI,
            Self::Nvgre => 0x10_0000 + VNI,
        }
    }

    /// As other parts of the tests call it.
    pub(crate) const fn encapsulation(self) -> Encapsulation {
        match self {
            Self::Vxlan => Encapsulation::Vxlan,
            Self::Geneve => Encapsulation::Geneve,
            Self::Nvgre => Encapsulation::Nvgre,
        }
    }

    /// A configuration with one segment of this kind, and these lines.
    pub(crate) fn one_segment(self, host: &Host, family: Family, lines: &str) -> String {
        let word = match self {
            Self::Vxlan => "vxlan",
            Self::Geneve => "geneve",
            Self::Nvgre => "nvgre",
        };
        let both = format!("vni = {}\nencapsulation = \"{word}\"\n", self.vni());
        one_segment(host, family, lines).replace(&format!("vni = {VNI}\n"), &both)
    }

    /// Our endpoint on the first host, configured so.
    pub(crate) fn start(self, underlay: &Underlay, family: Family, lines: &str) -> TapVtep {
        self.start_on(underlay, 0, family, lines)
    }

    /// The same on the host with this index.
    pub(crate) fn start_on(self, underlay: &Underlay, index: usize, family: Family, lines: &str) -> TapVtep {
        let host = underlay.host(index);
        TapVtep::configured(PROGRAM, &host.namespace, &self.one_segment(host, family, lines))
    }

    /// The UDP port; none for NVGRE.
    const fn port(self) -> Option<u16> {
        match self {
            Self::Vxlan => Some(PORT),
            Self::Geneve => Some(6081),
            Self::Nvgre => None,
        }
    }

    /// The tunnel header of its segments; that of NVGRE with this `FlowID`.
    pub(crate) fn header(self, flow_id: u8) -> [u8; 8] {
        let [_, a, b, c] = self.vni().to_be_bytes();
        match self {
            Self::Vxlan => [0x08, 0, 0, 0, a, b, c, 0],
            Self::Geneve => [0, 0, 0x65, 0x58, a, b, c, 0],
            Self::Nvgre => [0x20, 0, 0x65, 0x58, a, b, c, flow_id],
        }
    }

    /// The packet that brings a frame.
    pub(crate) fn packet(self, outer: &OuterPacket, frame: &[u8]) -> Vec<u8> {
        let payload = [&self.header(0), frame].concat();
        match self.port() {
            Some(port) => outer.udp([SOURCE_PORT, port], &payload),
            None => outer.with_payload(GRE, &payload),
        }
    }

    /// The same in fragments, each with so many bytes of the packet's payload.
    pub(crate) fn fragments(self, outer: &OuterPacket, frame: &[u8], len: usize, identification: u16) -> Vec<Vec<u8>> {
        let ip_header = if outer.addresses[0].is_ipv4() { 20 } else { 40 };
        let whole = self.packet(outer, frame);
        let protocol = if self.port().is_some() { UDP } else { GRE };
        outer.fragments(protocol, &whole[ETHERNET_LEN + ip_header..], len, identification)
    }

    /// Where the UDP checksum stands in such a packet; there is none for NVGRE.
    pub(crate) fn udp_checksum_at(self, family: Family) -> Option<usize> {
        let ip_header = if family == Family::V4 { 20 } else { 40 };
        self.port().map(|_| ETHERNET_LEN + ip_header + 6)
    }

    /// The outer IP packet and the frame inside, where `frame` is a packet of this tunnel over this family.
    pub(crate) fn open(self, family: Family, frame: &[u8]) -> Option<(&[u8], &[u8])> {
        let packet = frame.get(ETHERNET_LEN..)?;
        let (is_it, protocol, ip_header) = match family {
            Family::V4 => (frame[12..14] == [0x08, 0x00], *packet.get(9)?, 20),
            Family::V6 => (frame[12..14] == [0x86, 0xdd], *packet.get(6)?, 40),
        };
        let payload = packet.get(ip_header..)?;
        let inside = match self.port() {
            Some(port) if protocol == UDP && payload.get(2..4)? == port.to_be_bytes() => payload.get(8..)?,
            None if protocol == GRE => payload,
            _ => return None,
        };
        let (header, inner) = inside.split_at_checked(8)?;
        (is_it && header[..7] == self.header(0)[..7]).then_some((packet, inner))
    }
}

/// DSCP and ECN of an outer IP packet.
pub(crate) fn traffic_class(family: Family, packet: &[u8]) -> u8 {
    match family {
        Family::V4 => packet[1],
        Family::V6 => packet[0] << 4 | packet[1] >> 4,
    }
}

/// TTL or hop limit of an outer IP packet.
pub(crate) fn ttl(family: Family, packet: &[u8]) -> u8 {
    packet[if family == Family::V4 { 8 } else { 7 }]
}
