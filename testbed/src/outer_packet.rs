//! Packets of the underlay, made by hand from the Ethernet header on: what no socket would send.

use std::net::IpAddr;

use overlay_types::MacAddr;

use crate::{
    family::Family,
    frame::{ETHERNET_LEN, UDP, internet_checksum, ip_header, udp_datagram},
    underlay::Host,
};

/// The number of the Fragment header (RFC 8200 §4.5).
const FRAGMENT: u8 = 44;

/// A packet from one host of an underlay to another. DF is set.
#[derive(Clone, Copy, Debug)]
pub struct OuterPacket {
    /// The MAC addresses: destination and source.
    pub macs: [MacAddr; 2],
    /// The IP addresses: source and destination.
    pub addresses: [IpAddr; 2],
    /// DSCP and ECN.
    pub traffic_class: u8,
    /// TTL or hop limit.
    pub ttl: u8,
}

impl OuterPacket {
    /// From the device of one host to that of another.
    #[track_caller]
    #[must_use]
    pub fn between(from: &Host, to: &Host, family: Family) -> Self {
        Self {
            macs: [to.mac(), from.mac()],
            addresses: [from.address(family), to.address(family)],
            traffic_class: 0,
            ttl: 64,
        }
    }

    /// The frame with a UDP datagram and its checksum, from the first of these ports to the second.
    #[must_use]
    pub fn udp(&self, ports: [u16; 2], payload: &[u8]) -> Vec<u8> {
        self.with_payload(UDP, &udp_datagram(self.addresses, ports, payload, true))
    }

    /// The same with a zero in the checksum's place.
    #[must_use]
    pub fn udp_without_checksum(&self, ports: [u16; 2], payload: &[u8]) -> Vec<u8> {
        self.with_payload(UDP, &udp_datagram(self.addresses, ports, payload, false))
    }

    /// The frame with this payload of the IP packet.
    #[must_use]
    pub fn with_payload(&self, protocol: u8, payload: &[u8]) -> Vec<u8> {
        let (ether_type, header) =
            ip_header(self.addresses, self.traffic_class, self.ttl, protocol, payload.len() as u16);
        let [destination, source] = self.macs.map(MacAddr::octets);
        [&destination[..], &source, &ether_type, &header, payload].concat()
    }

    /// The frames with the fragments of the same packet (RFC 791, RFC 8200 §4.5), each with so many bytes of the payload,
    /// a multiple of 8; the last one has what is left.
    ///
    /// # Panics
    ///
    /// When it is none, for offsets are in units of 8 bytes.
    #[must_use]
    pub fn fragments(&self, protocol: u8, payload: &[u8], len: usize, identification: u16) -> Vec<Vec<u8>> {
        assert_eq!(len % 8, 0, "no fragment has {len} bytes");
        let pieces = payload.chunks(len);
        let last = pieces.len() - 1;
        let fragment = |(number, piece): (usize, &[u8])| {
            let (offset, more) = ((number * len) as u16, u16::from(number < last));
            match self.addresses[0] {
                IpAddr::V4(_) => {
                    let mut frame = self.with_payload(protocol, piece);
                    let header = &mut frame[ETHERNET_LEN..][..20];
                    header[4..6].copy_from_slice(&identification.to_be_bytes());
                    header[6..8].copy_from_slice(&((more << 13) | (offset / 8)).to_be_bytes());
                    header[10..12].fill(0);
                    let checksum = internet_checksum(header).to_be_bytes();
                    header[10..12].copy_from_slice(&checksum);
                    frame
                }
                IpAddr::V6(_) => {
                    let place = (offset | more).to_be_bytes();
                    let header = [&[protocol, 0][..], &place, &u32::from(identification).to_be_bytes()].concat();
                    self.with_payload(FRAGMENT, &[&header, piece].concat())
                }
            }
        };
        pieces.enumerate().map(fragment).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::frame::guest_mac;

    fn packet(addresses: [&str; 2]) -> OuterPacket {
        let addresses = addresses.map(|address| address.parse().unwrap());
        OuterPacket { macs: [guest_mac(2), guest_mac(1)], addresses, traffic_class: 0xb9, ttl: 9 }
    }

    #[test]
    fn an_ipv4_packet_is_whole() {
        let bytes = packet(["192.0.2.1", "192.0.2.2"]).udp([5, 6], b"odd");
        assert_eq!(bytes[..14], [2, 0, 0, 0, 2, 1, 2, 0, 0, 0, 1, 1, 8, 0]);
        assert_eq!((bytes.len(), bytes[15], bytes[22]), (14 + 20 + 8 + 3, 0xb9, 9));
        assert_eq!(internet_checksum(&bytes[14..34]), 0);
        let pseudo = [&bytes[26..34], &[0, UDP, 0, 11]].concat();
        assert_eq!(internet_checksum(&[&pseudo, &bytes[34..]].concat()), 0);
    }

    #[test]
    fn an_ipv6_packet_is_whole() {
        let packet = packet(["2001:db8::1", "2001:db8::2"]);
        let bytes = packet.udp([5, 6], b"odd");
        assert_eq!(bytes[12..16], [0x86, 0xdd, 0x6b, 0x90]);
        assert_eq!((bytes.len(), bytes[21]), (14 + 40 + 8 + 3, 9));
        let pseudo = [&bytes[22..54], &[0, UDP, 0, 11]].concat();
        assert_eq!(internet_checksum(&[&pseudo, &bytes[54..]].concat()), 0);
        let without = packet.udp_without_checksum([5, 6], b"odd");
        assert_eq!((&without[..60], &without[60..62], &without[62..]), (&bytes[..60], &[0, 0][..], &bytes[62..]));
    }

    #[test]
    fn fragments_are_whole_packets_that_say_where_they_belong() {
        let payload: Vec<u8> = (0..20).collect();
        let fragments = packet(["192.0.2.1", "192.0.2.2"]).fragments(UDP, &payload, 8, 0x0102);
        assert_eq!(fragments.len(), 3);
        for (fragment, (place, piece)) in
            fragments.iter().zip([([0x20, 0], &payload[..8]), ([0x20, 1], &payload[8..16]), ([0, 2], &payload[16..])])
        {
            assert_eq!((&fragment[18..20], &fragment[20..22], &fragment[34..]), (&[1, 2][..], &place[..], piece));
            assert_eq!(internet_checksum(&fragment[14..34]), 0);
        }
        let fragments = packet(["2001:db8::1", "2001:db8::2"]).fragments(UDP, &payload, 8, 0x0102);
        for (fragment, (place, piece)) in
            fragments.iter().zip([([0, 1], &payload[..8]), ([0, 9], &payload[8..16]), ([0, 16], &payload[16..])])
        {
            assert_eq!(fragment[20], FRAGMENT);
            assert_eq!(fragment[54..62], [UDP, 0, place[0], place[1], 0, 0, 1, 2]);
            assert_eq!(&fragment[62..], piece);
        }
    }
}
