//! Ethernet frames with TCP and UDP over IPv4 and IPv6, made by hand: they must not depend on the code under test.

use overlay_types::MacAddr;

use crate::{
    family::Family,
    frame::{guest_mac, internet_checksum},
};

const ETHERNET_LEN: usize = 14;

/// The protocol of a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transport {
    /// TCP with time stamps.
    Tcp {
        /// Sequence number of the first byte.
        sequence: u32,
        /// The flags.
        flags: u8,
    },
    /// UDP.
    Udp,
}

impl Transport {
    /// TCP with ACK alone.
    #[must_use]
    pub const fn tcp(sequence: u32) -> Self {
        Self::Tcp { sequence, flags: 0x10 }
    }

    /// Bytes of its header.
    #[must_use]
    pub const fn header_len(self) -> usize {
        match self {
            Self::Tcp { .. } => 32,
            Self::Udp => 8,
        }
    }

    /// Where the checksum is in its header.
    #[must_use]
    pub const fn checksum_at(self) -> usize {
        match self {
            Self::Tcp { .. } => 16,
            Self::Udp => 6,
        }
    }

    const fn number(self) -> u8 {
        match self {
            Self::Tcp { .. } => 6,
            Self::Udp => 17,
        }
    }
}

/// What a frame with TCP or UDP says in its headers. DF is set.
#[derive(Clone, Copy, Debug)]
pub struct TransportFrame {
    /// Whom it goes to.
    pub destination: MacAddr,
    /// Whom it says to be from.
    pub source: MacAddr,
    /// IPv4 from `10.50.0.2` to `10.50.0.1`, or IPv6 from `fd00:50::2` to `fd00:50::1`.
    pub family: Family,
    /// DSCP and ECN.
    pub traffic_class: u8,
    /// TTL or hop limit.
    pub ttl: u8,
    /// The identification of IPv4.
    pub identification: u16,
    /// Source and destination port.
    pub ports: (u16, u16),
    /// What is in it.
    pub transport: Transport,
}

impl TransportFrame {
    /// From the guest of the second host.
    #[must_use]
    pub fn new(destination: MacAddr, family: Family, transport: Transport) -> Self {
        Self {
            destination,
            source: guest_mac(2),
            family,
            traffic_class: 0,
            ttl: 64,
            identification: 0,
            ports: (5000, 6000),
            transport,
        }
    }

    /// Where its transport header begins.
    #[must_use]
    pub const fn transport_at(&self) -> usize {
        match self.family {
            Family::V4 => ETHERNET_LEN + 20,
            Family::V6 => ETHERNET_LEN + 40,
        }
    }

    /// Bytes of all headers.
    #[must_use]
    pub const fn header_len(&self) -> usize {
        self.transport_at() + self.transport.header_len()
    }

    /// DSCP and ECN of a frame of this family.
    #[must_use]
    pub fn traffic_class_of(family: Family, frame: &[u8]) -> u8 {
        match family {
            Family::V4 => frame[ETHERNET_LEN + 1],
            Family::V6 => frame[ETHERNET_LEN] << 4 | frame[ETHERNET_LEN + 1] >> 4,
        }
    }

    /// The whole frame, with all checksums.
    #[must_use]
    pub fn bytes(&self, payload: &[u8]) -> Vec<u8> {
        let mut segment = self.segment(payload);
        let checksum = internet_checksum(&[&self.pseudo_header(segment.len())[..], &segment].concat());
        // RFC 768: a zero would say that there is none.
        let checksum = if checksum == 0 && self.transport == Transport::Udp { 0xffff } else { checksum };
        self.set_checksum(&mut segment, checksum);
        self.with_network(&segment)
    }

    /// The frame with the transport checksum left to hardware: the sum of the pseudo-header alone.
    #[must_use]
    pub fn bytes_with_partial_checksum(&self, payload: &[u8]) -> Vec<u8> {
        let mut segment = self.segment(payload);
        let sum = !internet_checksum(&self.pseudo_header(segment.len()));
        self.set_checksum(&mut segment, sum);
        self.with_network(&segment)
    }

    /// The frame with a zero in the checksum's place, as UDP may have it.
    #[must_use]
    pub fn bytes_without_checksum(&self, payload: &[u8]) -> Vec<u8> {
        self.with_network(&self.segment(payload))
    }

    fn set_checksum(&self, segment: &mut [u8], checksum: u16) {
        let at = self.transport.checksum_at();
        segment[at..at + 2].copy_from_slice(&checksum.to_be_bytes());
    }

    /// The transport header without a checksum, and the payload.
    fn segment(&self, payload: &[u8]) -> Vec<u8> {
        let ports = [self.ports.0.to_be_bytes(), self.ports.1.to_be_bytes()].concat();
        let rest = match self.transport {
            Transport::Tcp { sequence, flags } => {
                let acknowledged = [0, 0, 0, 9];
                let stamps = [1, 1, 8, 10, 0, 0, 0, 3, 0, 0, 0, 4];
                let fixed = [0x80, flags, 0x10, 0, 0, 0, 0, 0];
                [&sequence.to_be_bytes()[..], &acknowledged, &fixed, &stamps].concat()
            }
            Transport::Udp => [&(8 + payload.len() as u16).to_be_bytes()[..], &[0, 0]].concat(),
        };
        [&ports[..], &rest, payload].concat()
    }

    fn addresses(&self) -> Vec<u8> {
        match self.family {
            Family::V4 => vec![10, 50, 0, 2, 10, 50, 0, 1],
            Family::V6 => {
                let address = |number| [0xfd, 0, 0, 0x50, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, number];
                [address(2), address(1)].concat()
            }
        }
    }

    fn pseudo_header(&self, len: usize) -> Vec<u8> {
        [&self.addresses()[..], &[0, self.transport.number()], &(len as u16).to_be_bytes()].concat()
    }

    fn with_network(&self, segment: &[u8]) -> Vec<u8> {
        let number = self.transport.number();
        let (ether_type, header) = match self.family {
            Family::V4 => {
                let length = (20 + segment.len() as u16).to_be_bytes();
                let identification = self.identification.to_be_bytes();
                let fixed =
                    [&[0x45, self.traffic_class][..], &length, &identification, &[0x40, 0, self.ttl, number, 0, 0]];
                let mut header = [fixed.concat(), self.addresses()].concat();
                let checksum = internet_checksum(&header).to_be_bytes();
                header[10..12].copy_from_slice(&checksum);
                ([0x08, 0x00], header)
            }
            Family::V6 => {
                let class = [0x60 | self.traffic_class >> 4, self.traffic_class << 4, 0, 0];
                let length = (segment.len() as u16).to_be_bytes();
                ([0x86, 0xdd], [&class[..], &length, &[number, self.ttl], &self.addresses()].concat())
            }
        };
        [&self.destination.octets()[..], &self.source.octets(), &ether_type, &header, segment].concat()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn checksums_are_right() {
        for family in Family::ALL {
            for transport in [Transport::tcp(7), Transport::Udp] {
                let frame = TransportFrame::new(guest_mac(1), family, transport);
                for payload in [&[][..], b"odd", b"even"] {
                    let bytes = frame.bytes(payload);
                    assert_eq!(bytes.len(), frame.header_len() + payload.len());
                    let segment = &bytes[frame.transport_at()..];
                    let summed = [&frame.pseudo_header(segment.len())[..], segment].concat();
                    assert_eq!(internet_checksum(&summed), 0, "{frame:?}");
                    let partial = frame.bytes_with_partial_checksum(payload);
                    let at = frame.transport_at() + transport.checksum_at();
                    let finished = internet_checksum(&partial[frame.transport_at()..]);
                    assert_eq!(finished.to_be_bytes(), bytes[at..at + 2], "{frame:?}");
                }
            }
        }
        let frame = TransportFrame::new(guest_mac(1), Family::V4, Transport::Udp);
        assert_eq!(internet_checksum(&frame.bytes(b"")[14..34]), 0);
    }

    #[test]
    fn the_traffic_class_is_found() {
        for family in Family::ALL {
            let frame =
                TransportFrame { traffic_class: 0xb9, ..TransportFrame::new(guest_mac(1), family, Transport::Udp) };
            assert_eq!(TransportFrame::traffic_class_of(family, &frame.bytes(b"")), 0xb9);
        }
    }
}
