//! Packets of the underlay, made by hand from the Ethernet header on: what no socket would send.

use std::net::IpAddr;

use overlay_types::MacAddr;

use crate::{
    family::Family,
    frame::{UDP, ip_header, udp_datagram},
    underlay::Host,
};

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
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::frame::{guest_mac, internet_checksum};

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
}
