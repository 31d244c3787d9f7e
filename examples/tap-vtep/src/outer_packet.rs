//! The outer packet around a frame, as it stands on the wire: for `explain` and `capture`. What sends in earnest hands the kernel the
//! same fields, and the kernel writes the headers.

use std::net::IpAddr;

use ether_wire::{
    Ecn, EncodeError, Ipv4Header,
    checksum::Sum,
    flow::FlowHash,
    outer::{InnerFrame, OuterTemplate, Underlay},
};

/// What the outer headers of a frame say.
#[derive(Clone, Copy, Debug)]
pub(crate) struct OuterPacket<'a> {
    pub(crate) source: IpAddr,
    pub(crate) destination: IpAddr,
    /// Source and destination of UDP; GRE has none.
    pub(crate) ports: Option<(u16, u16)>,
    pub(crate) traffic_class: u8,
    pub(crate) ttl: u8,
    pub(crate) df: bool,
    /// Over IPv6. `None`: the kernel makes one.
    pub(crate) flow_label: Option<u32>,
    /// Whether there is a UDP checksum.
    pub(crate) checksum: bool,
    pub(crate) flow: FlowHash,
    pub(crate) tunnel_header: &'a [u8],
}

impl OuterPacket<'_> {
    /// The packet from its IP header on. Zero stands where only the kernel knows what it writes, see
    /// [`by_kernel`](Self::by_kernel).
    pub(crate) fn bytes(&self, frame: &[u8]) -> Result<Vec<u8>, EncodeError> {
        let mut packet = Vec::new();
        self.write_to(&mut packet, frame)?;
        Ok(packet)
    }

    /// The same in the place of what `packet` holds; nothing is allocated where it has room.
    pub(crate) fn write_to(&self, packet: &mut Vec<u8>, frame: &[u8]) -> Result<(), EncodeError> {
        let way = Underlay::new(self.source, self.destination)?.with_dscp(self.traffic_class >> 2).with_ttl(self.ttl);
        let template = match self.ports {
            Some((source, destination)) => OuterTemplate::udp(way, destination, source..=source, self.tunnel_header)?,
            None => OuterTemplate::gre(way, self.tunnel_header)?,
        };
        let mut inner = InnerFrame::new(frame.len(), self.flow);
        inner.ecn = Ecn::from_bits(self.traffic_class);
        inner.sum = self.checksum.then(|| Sum::ZERO.add_bytes(frame));
        packet.clear();
        packet.resize(template.len(), 0);
        template.write_to(packet, inner)?;
        if self.source.is_ipv6() {
            // Behind version and traffic class.
            let [_, label @ ..] = self.flow_label.unwrap_or(0).to_be_bytes();
            packet[1] = packet[1] & 0xf0 | label[0];
            packet[2..4].copy_from_slice(&label[1..]);
        } else if let Ok((header, _)) = Ipv4Header::from_prefix_mut(packet) {
            header.set_dont_fragment(self.df);
        }
        packet.extend_from_slice(frame);
        Ok(())
    }

    /// The fields of [`bytes`](Self::bytes) that only the kernel fills in.
    pub(crate) fn by_kernel(&self) -> &'static [&'static str] {
        match (self.source, self.flow_label) {
            (IpAddr::V4(_), _) => &["identification", "header_checksum"],
            (IpAddr::V6(_), None) => &["flow_label"],
            (IpAddr::V6(_), Some(_)) => &[],
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn packet(source: &str, destination: &str, ports: Option<(u16, u16)>) -> OuterPacket<'static> {
        OuterPacket {
            source: source.parse().unwrap(),
            destination: destination.parse().unwrap(),
            ports,
            traffic_class: 0xb9,
            ttl: 9,
            df: true,
            flow_label: Some(0xa_bcde),
            checksum: true,
            flow: FlowHash::new(0x1234_5678),
            tunnel_header: &[8, 0, 0, 0, 0, 0, 42, 0],
        }
    }

    #[test]
    fn over_ipv4() {
        let frame = [0xab; 15];
        let bytes = packet("192.0.2.1", "192.0.2.2", Some((50_000, 4789))).bytes(&frame).unwrap();
        let expected = [
            0x45, 0xb9, 0, 51, 0, 0, 0x40, 0, 9, 17, 0xec, 0xfd, 192, 0, 2, 1, 192, 0, 2, 2, 0xc3, 0x50, 0x12, 0xb5, 0,
            31,
        ];
        assert_eq!(bytes[..26], expected);
        assert_eq!(bytes[28..36], [8, 0, 0, 0, 0, 0, 42, 0]);
        assert_eq!(bytes[36..], frame);
        let udp = &bytes[20..];
        let pseudo = Sum::pseudo_ipv4([192, 0, 2, 1].into(), [192, 0, 2, 2].into(), 17.into(), 31);
        assert!(pseudo.add_bytes(udp).is_valid());

        let without =
            OuterPacket { df: false, checksum: false, ..packet("192.0.2.1", "192.0.2.2", Some((50_000, 4789))) };
        let bytes = without.bytes(&frame).unwrap();
        assert_eq!((&bytes[6..8], &bytes[26..28]), (&[0, 0][..], &[0, 0][..]));
        let (header, _) = Ipv4Header::from_prefix(&bytes).unwrap();
        assert!(header.is_checksum_valid(&[]));
    }

    #[test]
    fn over_ipv6_and_gre() {
        let packet = packet("2001:db8::1", "2001:db8::2", None);
        let bytes = packet.bytes(&[0xcd; 60]).unwrap();
        assert_eq!(bytes[..8], [0x6b, 0x9a, 0xbc, 0xde, 0, 68, 47, 9]);
        assert_eq!(bytes[40..48], [8, 0, 0, 0, 0, 0, 42, 0]);
        assert_eq!(bytes.len(), 48 + 60);
        assert_eq!(packet.by_kernel(), [""; 0]);

        let unlabelled = OuterPacket { flow_label: None, ..packet };
        assert_eq!(unlabelled.bytes(&[]).unwrap()[..4], [0x6b, 0x90, 0, 0]);
        assert_eq!(unlabelled.by_kernel(), ["flow_label"]);
    }

    #[test]
    fn families_are_not_mixed() {
        assert!(packet("192.0.2.1", "2001:db8::2", None).bytes(&[]).is_err());
    }
}
