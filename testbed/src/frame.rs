//! Frames that a test knows again, made by hand: they must not depend on the code under test.

use std::net::IpAddr;

use overlay_types::{MacAddr, Vni};

/// IEEE Std 802, Local Experimental `EtherType` 1: no kernel says anything in it by itself.
pub const EXPERIMENTAL: u16 = 0x88b5;

/// Bytes of an Ethernet header.
pub(crate) const ETHERNET_LEN: usize = 14;

/// An Ethernet frame with the `EtherType` [`EXPERIMENTAL`].
#[must_use]
pub fn frame(destination: MacAddr, source: MacAddr, payload: &[u8]) -> Vec<u8> {
    [&destination.octets()[..], &source.octets(), &EXPERIMENTAL.to_be_bytes(), payload].concat()
}

/// The frame with an 802.1Q tag of this VLAN, without priority.
#[must_use]
pub fn in_vlan(vlan: u16, frame: &[u8]) -> Vec<u8> {
    let (addresses, rest) = frame.split_at(ETHERNET_LEN - 2);
    [addresses, &[0x81, 0x00], &vlan.to_be_bytes(), rest].concat()
}

/// A VXLAN datagram's payload: the header with the I flag alone, and `inner`.
#[must_use]
pub fn vxlan(vni: u32, inner: &[u8]) -> Vec<u8> {
    let vni = Vni::new(vni).unwrap_or_default().to_be_bytes();
    [&[0x08, 0, 0, 0, vni[0], vni[1], vni[2], 0], inner].concat()
}

/// An Ethernet frame with an IPv4 packet that holds a UDP datagram: what differs from flow to flow, and from hop to hop.
#[derive(Clone, Copy, Debug)]
pub struct UdpFrame {
    /// Whom it goes to.
    pub destination: MacAddr,
    /// Whom it says to be from.
    pub source: MacAddr,
    /// DSCP and ECN.
    pub traffic_class: u8,
    /// Time to live.
    pub ttl: u8,
    /// UDP source port.
    pub source_port: u16,
}

impl UdpFrame {
    /// Where DSCP and ECN stand in the frame.
    pub const TRAFFIC_CLASS: usize = ETHERNET_LEN + 1;

    /// The whole frame, from 10.0.0.1 to 10.0.0.2, with a payload of 18 bytes and without a UDP checksum.
    #[must_use]
    pub fn bytes(&self) -> Vec<u8> {
        const PAYLOAD: [u8; 18] = [0x5a; 18];
        let udp_len = 8 + PAYLOAD.len() as u16;
        let mut ip = [0x45, self.traffic_class, 0, 0, 0, 0, 0, 0, self.ttl, 17, 0, 0, 10, 0, 0, 1, 10, 0, 0, 2];
        ip[2..4].copy_from_slice(&(20 + udp_len).to_be_bytes());
        let checksum = internet_checksum(&ip).to_be_bytes();
        ip[10..12].copy_from_slice(&checksum);
        let udp = [self.source_port.to_be_bytes(), 9_u16.to_be_bytes(), udp_len.to_be_bytes(), [0, 0]].concat();
        let mut bytes = frame(self.destination, self.source, &[&ip[..], &udp, &PAYLOAD].concat());
        bytes[12..14].copy_from_slice(&[0x08, 0x00]);
        bytes
    }
}

/// The number of UDP (RFC 768).
pub(crate) const UDP: u8 = 17;

/// The `EtherType` and the IP header of a packet from the first of these addresses to the second. DF is set.
pub(crate) fn ip_header(
    addresses: [IpAddr; 2],
    traffic_class: u8,
    ttl: u8,
    protocol: u8,
    payload_len: u16,
) -> ([u8; 2], Vec<u8>) {
    let octets = octets(addresses);
    if addresses[0].is_ipv4() {
        let length = (20 + payload_len).to_be_bytes();
        let fixed = [0x45, traffic_class, length[0], length[1], 0, 0, 0x40, 0, ttl, protocol, 0, 0];
        let mut header = [&fixed[..], &octets].concat();
        let checksum = internet_checksum(&header).to_be_bytes();
        header[10..12].copy_from_slice(&checksum);
        ([0x08, 0x00], header)
    } else {
        let [high, low] = payload_len.to_be_bytes();
        let fixed = [0x60 | traffic_class >> 4, traffic_class << 4, 0, 0, high, low, protocol, ttl];
        ([0x86, 0xdd], [&fixed[..], &octets].concat())
    }
}

/// A UDP header and its payload, with its checksum or a zero in its place.
pub(crate) fn udp_datagram(addresses: [IpAddr; 2], ports: [u16; 2], payload: &[u8], has_checksum: bool) -> Vec<u8> {
    let length = (8 + payload.len() as u16).to_be_bytes();
    let [source, destination] = ports.map(u16::to_be_bytes);
    let mut datagram = [&source[..], &destination, &length, &[0, 0], payload].concat();
    if has_checksum {
        let pseudo = [&octets(addresses)[..], &[0, UDP], &length].concat();
        // RFC 768: a zero would say that there is none.
        let checksum = match internet_checksum(&[&pseudo[..], &datagram].concat()) {
            0 => 0xffff,
            checksum => checksum,
        };
        datagram[6..8].copy_from_slice(&checksum.to_be_bytes());
    }
    datagram
}

/// Both addresses as they stand in a header.
fn octets(addresses: [IpAddr; 2]) -> Vec<u8> {
    addresses
        .iter()
        .flat_map(|address| match address {
            IpAddr::V4(address) => address.octets().to_vec(),
            IpAddr::V6(address) => address.octets().to_vec(),
        })
        .collect()
}

/// RFC 1071: over a header that has its checksum in it, the result is 0.
#[must_use]
pub fn internet_checksum(bytes: &[u8]) -> u16 {
    let words = bytes.chunks(2).map(|pair| u64::from(pair[0]) << 8 | u64::from(*pair.get(1).unwrap_or(&0)));
    let mut sum: u64 = words.sum();
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    !(sum as u16)
}

/// The address that the guest of the host with this number has: `02:00:00:00:NN:01`.
#[must_use]
pub fn guest_mac(number: u8) -> MacAddr {
    MacAddr::new([0x02, 0, 0, 0, number, 0x01])
}

/// Frames of one sender with a number in each.
#[derive(Clone, Copy, Debug)]
pub struct Numbered {
    /// Whom they go to.
    pub destination: MacAddr,
    /// Whom they say to be from.
    pub source: MacAddr,
    /// Tells this run of frames from others.
    pub stream: u32,
    /// Bytes of a whole frame, 22 at least.
    pub len: usize,
}

impl Numbered {
    /// Frames of 100 bytes.
    #[must_use]
    pub const fn new(destination: MacAddr, source: MacAddr, stream: u32) -> Self {
        Self { destination, source, stream, len: 100 }
    }

    /// The frame with this number.
    #[must_use]
    pub fn frame(&self, number: u32) -> Vec<u8> {
        let mut payload = [self.stream.to_be_bytes(), number.to_be_bytes()].concat();
        payload.resize(self.len.saturating_sub(ETHERNET_LEN).max(payload.len()), 0x5a);
        frame(self.destination, self.source, &payload)
    }

    /// The frames with the numbers from 0 below `count`.
    pub fn frames(&self, count: u32) -> impl Iterator<Item = Vec<u8>> + '_ {
        (0..count).map(|number| self.frame(number))
    }
}

/// The numbers of the frames of a stream, in the order of arrival. Frames of others are left out.
#[must_use]
pub fn sequence_numbers<'a>(frames: impl IntoIterator<Item = &'a Vec<u8>>, stream: u32) -> Vec<u32> {
    let word = |frame: &[u8], at: usize| frame.get(at..at + 4)?.try_into().ok().map(u32::from_be_bytes);
    frames
        .into_iter()
        .filter(|frame| frame.get(12..14) == Some(&EXPERIMENTAL.to_be_bytes()) && word(frame, 14) == Some(stream))
        .filter_map(|frame| word(frame, 18))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_numbered_frame_is_known_again() {
        let stream = Numbered::new(MacAddr::BROADCAST, guest_mac(1), 7);
        let frames: Vec<_> = stream.frames(3).collect();
        assert!(frames.iter().all(|frame| frame.len() == 100));
        assert_eq!(sequence_numbers(&frames, 7), [0, 1, 2]);
        assert_eq!(sequence_numbers(&frames, 8), [0; 0]);
        assert_eq!(sequence_numbers([&vec![0xff; 14]], 7), [0; 0]);
    }

    #[test]
    fn a_udp_frame_is_whole() {
        let frame = UdpFrame {
            destination: guest_mac(1),
            source: guest_mac(2),
            traffic_class: 0xb9,
            ttl: 9,
            source_port: 5000,
        };
        let bytes = frame.bytes();
        assert_eq!((bytes.len(), bytes[UdpFrame::TRAFFIC_CLASS]), (14 + 20 + 8 + 18, 0xb9));
        assert_eq!(internet_checksum(&bytes[14..34]), 0);
        // RFC 1071 §3.
        assert_eq!(internet_checksum(&[0x00, 0x01, 0xf2, 0x03, 0xf4, 0xf5, 0xf6, 0xf7]), !0xddf2);
    }

    #[test]
    fn a_tag_stands_before_the_type() {
        let frame = frame(guest_mac(1), guest_mac(2), &[9]);
        assert_eq!(in_vlan(7, &frame)[11..], [1, 0x81, 0, 0, 7, 0x88, 0xb5, 9]);
    }

    #[test]
    fn the_vxlan_header_is_that_of_the_standard() {
        assert_eq!(vxlan(0x0012_3456, &[0xaa]), [0x08, 0, 0, 0, 0x12, 0x34, 0x56, 0, 0xaa]);
    }
}
