//! One encapsulated packet, field by field: the bytes, and what they mean.

use std::{fmt::Write as _, net::Ipv4Addr};

use ether_wire::{
    EtherType, EthernetHeader, IpProtocol, Ipv4Header, MacAddr, UdpHeader, checksum::Sum, ipv4::Ipv4Packet,
};
use geneve_wire::{GeneveHeader, GenevePacket};
use nvgre_wire::NvgreHeader;
use vxlan_wire::VxlanHeader;

/// Of longer fields only so many bytes are shown.
const SHOWN: usize = 6;

/// A field of a packet.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Field {
    /// The header that it belongs to.
    pub(super) layer: &'static str,
    /// Its bytes in hexadecimal.
    pub(super) bytes: String,
    /// What they mean.
    pub(super) meaning: String,
}

/// Whose addresses these are.
pub(super) struct Names {
    pub(super) macs: Vec<(MacAddr, String)>,
    pub(super) ips: Vec<(Ipv4Addr, String)>,
}

impl Names {
    fn mac(&self, mac: MacAddr) -> String {
        let name = self.macs.iter().find(|(known, _)| *known == mac).map(|(_, name)| name.clone());
        name.unwrap_or_else(|| mac.to_string())
    }

    fn ip(&self, ip: Ipv4Addr) -> String {
        let name = self.ips.iter().find(|(known, _)| *known == ip);
        name.map_or_else(|| ip.to_string(), |(_, name)| format!("{ip}, {name}"))
    }
}

/// The fields of a packet that carries an IPv4 echo request in a tunnel over IPv4; `None` for any other.
pub(super) fn echo_request(packet: &[u8], names: &Names) -> Option<Vec<Field>> {
    let (outer_ethernet, rest) = EthernetHeader::from_prefix(packet).ok()?;
    let outer_ip = Ipv4Header::decode(rest).ok().filter(|_| outer_ethernet.ether_type() == EtherType::IPV4)?;
    let (udp, tunnel, frame) = tunnel(&outer_ip)?;
    let (inner_ethernet, rest) = EthernetHeader::from_prefix(frame).ok()?;
    let inner_ip = Ipv4Header::decode(rest).ok().filter(|_| inner_ethernet.ether_type() == EtherType::IPV4)?;
    let icmp = inner_ip.payload;
    if inner_ip.header.protocol() != IpProtocol::ICMP || icmp.len() < 8 || icmp[..2] != [8, 0] {
        return None;
    }

    let mut fields = Fields { rest: packet, fields: Vec::new() };
    fields.ethernet("outer Ethernet", outer_ethernet, names);
    fields.ipv4("outer IPv4", &outer_ip, names);
    if let Some(udp) = udp {
        fields.add("UDP", 2, format!("from port {}: a hash of the flow inside", udp.source_port()));
        fields.add("UDP", 2, format!("to port {}: {}", udp.destination_port(), tunnel.name()));
        fields.add("UDP", 2, format!("{} bytes with this header", udp.length()));
        fields.add("UDP", 2, format!("checksum: {}", udp_checksum(&outer_ip, *udp)));
    }
    fields.tunnel(&tunnel);
    fields.ethernet("inner Ethernet", inner_ethernet, names);
    fields.ipv4("inner IPv4", &inner_ip, names);
    fields.add("inner ICMP", 2, "echo request".to_owned());
    fields.add("inner ICMP", 2, format!("checksum: {}", verdict(Sum::ZERO.add_bytes(icmp).is_valid())));
    fields.add("inner ICMP", 4, "identifier and sequence number".to_owned());
    let data = String::from_utf8_lossy(&icmp[8..]).escape_debug().to_string();
    fields.add("inner ICMP", icmp.len() - 8, format!("{} bytes: \"{data}\"", icmp.len() - 8));
    Some(fields.fields)
}

/// A tunnel header.
enum Tunnel<'a> {
    Vxlan(&'a VxlanHeader),
    Geneve(GenevePacket<'a>),
    Nvgre(&'a NvgreHeader),
}

impl Tunnel<'_> {
    const fn name(&self) -> &'static str {
        match self {
            Self::Vxlan(_) => "VXLAN",
            Self::Geneve(_) => "Geneve",
            Self::Nvgre(_) => "NVGRE",
        }
    }
}

/// The tunnel header in an IP packet, with the UDP header in front where there is one, and the frame behind.
fn tunnel<'a>(outer: &Ipv4Packet<'a>) -> Option<(Option<&'a UdpHeader>, Tunnel<'a>, &'a [u8])> {
    match outer.header.protocol() {
        IpProtocol::UDP => {
            let (udp, datagram) = UdpHeader::from_prefix(outer.payload).ok()?;
            match udp.destination_port() {
                VxlanHeader::UDP_PORT => {
                    let (header, frame) = VxlanHeader::decode(datagram).ok()?;
                    Some((Some(udp), Tunnel::Vxlan(header), frame))
                }
                GeneveHeader::UDP_PORT => {
                    let packet = GenevePacket::decode(datagram).ok()?;
                    Some((Some(udp), Tunnel::Geneve(packet), packet.payload()))
                }
                _ => None,
            }
        }
        IpProtocol::GRE => {
            let (header, frame) = NvgreHeader::decode(outer.payload).ok()?;
            Some((None, Tunnel::Nvgre(header), frame))
        }
        _ => None,
    }
}

/// The fields so far and the bytes behind them.
struct Fields<'a> {
    rest: &'a [u8],
    fields: Vec<Field>,
}

impl Fields<'_> {
    /// The next `length` bytes are a field of this meaning.
    fn add(&mut self, layer: &'static str, length: usize, meaning: String) {
        let (bytes, rest) = self.rest.split_at(length.min(self.rest.len()));
        self.rest = rest;
        self.fields.push(Field { layer, bytes: hexadecimal(bytes), meaning });
    }

    fn ethernet(&mut self, layer: &'static str, header: &EthernetHeader, names: &Names) {
        self.add(layer, 6, format!("to {}", names.mac(header.destination())));
        self.add(layer, 6, format!("from {}", names.mac(header.source())));
        self.add(layer, 2, "carries IPv4".to_owned());
    }

    fn tunnel(&mut self, tunnel: &Tunnel<'_>) {
        let layer = tunnel.name();
        let network =
            |name: &str, identifier: u32| format!("network identifier ({name}) {identifier}: which virtual network");
        match tunnel {
            Tunnel::Vxlan(header) => {
                self.add(layer, 1, "flags: I, the network identifier is valid".to_owned());
                self.add(layer, 3, "reserved, zero".to_owned());
                self.add(layer, 3, network("VNI", header.vni().get()));
                self.add(layer, 1, "reserved, zero".to_owned());
            }
            Tunnel::Geneve(packet) => {
                let header = packet.header();
                self.add(layer, 1, format!("version 0, {} bytes of options", header.options_len()));
                self.add(layer, 1, "no control packet, no critical option".to_owned());
                self.add(layer, 2, "carries Ethernet".to_owned());
                self.add(layer, 3, network("VNI", header.vni().get()));
                self.add(layer, 1, "reserved, zero".to_owned());
                if header.options_len() > 0 {
                    self.add(layer, header.options_len(), "options".to_owned());
                }
            }
            Tunnel::Nvgre(header) => {
                self.add(layer, 2, "flags: K, there is a key; version 0".to_owned());
                self.add(layer, 2, "carries Ethernet".to_owned());
                self.add(layer, 3, network("VSID", header.raw_vsid()));
                self.add(layer, 1, format!("FlowID {}: a hash of the flow inside", header.flow_id().get()));
            }
        }
    }

    fn ipv4(&mut self, layer: &'static str, packet: &Ipv4Packet<'_>, names: &Names) {
        let header = packet.header;
        let carries = match header.protocol() {
            IpProtocol::UDP => "UDP".to_owned(),
            IpProtocol::ICMP => "ICMP".to_owned(),
            IpProtocol::GRE => "GRE".to_owned(),
            other => other.to_string(),
        };
        let (dscp, ecn) = (header.dscp(), header.ecn().bits());
        let fragments = if header.dont_fragment() { "must not be fragmented" } else { "may be fragmented" };
        let checksum = verdict(header.is_checksum_valid(packet.options_bytes));
        self.add(layer, 2, format!("version 4, header of {} bytes; DSCP {dscp}, ECN {ecn}", header.header_length()));
        self.add(layer, 2, format!("{} bytes with this header", header.total_length()));
        self.add(layer, 4, format!("identification {}; {fragments}", header.identification()));
        self.add(layer, 2, format!("may pass {} routers; carries {carries}", header.ttl()));
        self.add(layer, 2, format!("checksum of this header: {checksum}"));
        self.add(layer, 4, format!("from {}", names.ip(header.source())));
        self.add(layer, 4, format!("to {}", names.ip(header.destination())));
        if !packet.options_bytes.is_empty() {
            self.add(layer, packet.options_bytes.len(), "options".to_owned());
        }
    }
}

/// A packet caught on a virtual cable may have a checksum of its pseudo-header alone: the sender left the rest to a
/// network card, and there is none.
fn udp_checksum(packet: &Ipv4Packet<'_>, udp: UdpHeader) -> &'static str {
    let header = packet.header;
    let pseudo = Sum::pseudo_ipv4(header.source(), header.destination(), IpProtocol::UDP, udp.length());
    let bytes = packet.payload.get(..usize::from(udp.length())).unwrap_or(packet.payload);
    if udp.checksum() == 0 {
        "none, as the standard allows"
    } else if pseudo.add_bytes(bytes).is_valid() {
        "right"
    } else if udp.checksum() == pseudo.fold() {
        "to be finished by the network card (offload)"
    } else {
        "wrong"
    }
}

fn verdict(valid: bool) -> &'static str {
    if valid { "right" } else { "wrong" }
}

fn hexadecimal(bytes: &[u8]) -> String {
    let mut text = String::new();
    for byte in bytes.iter().take(SHOWN) {
        let space = if text.is_empty() { "" } else { " " };
        // Writing to a string cannot fail.
        let _ = write!(text, "{space}{byte:02x}");
    }
    if bytes.len() > SHOWN {
        text.push_str(" ..");
    }
    text
}

#[cfg(test)]
mod tests {
    use nvgre_wire::{FlowId, Vsid};
    use overlay_types::Vni;

    use super::*;

    const OUTER: [MacAddr; 2] = [MacAddr::new([2, 0, 0, 0, 0, 0xa]), MacAddr::new([2, 0, 0, 0, 0, 0xb])];
    const INNER: [MacAddr; 2] = [MacAddr::new([2, 0, 0, 0, 0, 1]), MacAddr::new([2, 0, 0, 0, 0, 2])];

    fn names() -> Names {
        Names {
            macs: vec![(OUTER[1], "eth0 of host B".to_owned())],
            ips: vec![(Ipv4Addr::new(192, 0, 2, 2), "host B".to_owned())],
        }
    }

    fn frame() -> Vec<u8> {
        let (a, b) = (Ipv4Addr::new(10, 42, 0, 1), Ipv4Addr::new(10, 42, 0, 2));
        let mut icmp = [&[8, 0, 0, 0, 0, 9, 0, 7][..], b"hello"].concat();
        let sum = Sum::ZERO.add_bytes(&icmp).checksum();
        icmp[2..4].copy_from_slice(&sum.to_be_bytes());
        let ip = Ipv4Header::new(a, b, IpProtocol::ICMP, 20 + icmp.len() as u16);
        let ethernet = EthernetHeader::new(INNER[1], INNER[0], EtherType::IPV4);
        [&ethernet.to_bytes()[..], &ip.to_bytes(), &icmp].concat()
    }

    fn behind_ipv4(protocol: IpProtocol, payload: &[u8]) -> Vec<u8> {
        let (a, b) = (Ipv4Addr::new(192, 0, 2, 1), Ipv4Addr::new(192, 0, 2, 2));
        let ip = Ipv4Header::new(a, b, protocol, 20 + payload.len() as u16);
        let ethernet = EthernetHeader::new(OUTER[1], OUTER[0], EtherType::IPV4);
        [&ethernet.to_bytes()[..], &ip.to_bytes(), payload].concat()
    }

    /// An echo request in a tunnel, with this outer UDP checksum.
    fn packet(udp_checksum: impl Fn(&[u8]) -> u16) -> Vec<u8> {
        udp_packet(4789, &VxlanHeader::new(Vni::new(42).unwrap()).to_bytes(), udp_checksum)
    }

    fn udp_packet(port: u16, tunnel: &[u8], udp_checksum: impl Fn(&[u8]) -> u16) -> Vec<u8> {
        let frame = frame();
        let length = (8 + tunnel.len() + frame.len()) as u16;
        let mut udp = [&50000_u16.to_be_bytes()[..], &port.to_be_bytes(), &length.to_be_bytes(), &[0, 0]].concat();
        udp.extend(tunnel);
        udp.extend(frame);
        let sum = udp_checksum(&udp);
        udp[6..8].copy_from_slice(&sum.to_be_bytes());
        behind_ipv4(IpProtocol::UDP, &udp)
    }

    #[test]
    fn each_tunnel_header_is_told() {
        let option = [1, 2, 0, 1, 0, 0, 0, 0];
        let geneve = GeneveHeader::new(Vni::new(42).unwrap(), EtherType::TRANSPARENT_ETHERNET_BRIDGING);
        let mut with_option = geneve;
        with_option.set_version_opt_len(2);
        let nvgre = NvgreHeader::new(Vsid::new(4242).unwrap(), FlowId::new(7));
        let gre = behind_ipv4(IpProtocol::GRE, &[&nvgre.to_bytes()[..], &frame()].concat());
        for (packet, expected) in [
            (packet(|_| 0), "VXLAN: network identifier (VNI) 42: which virtual network"),
            (udp_packet(6081, &geneve.to_bytes(), |_| 0), "Geneve: network identifier (VNI) 42: which virtual network"),
            (
                udp_packet(6081, &[&with_option.to_bytes()[..], &option].concat(), |_| 0),
                "Geneve: version 0, 8 bytes of options",
            ),
            (gre.clone(), "NVGRE: network identifier (VSID) 4242: which virtual network"),
            (gre, "NVGRE: FlowID 7: a hash of the flow inside"),
        ] {
            let fields = echo_request(&packet, &names()).expect(expected);
            let lines: Vec<_> = fields.iter().map(|field| format!("{}: {}", field.layer, field.meaning)).collect();
            assert!(lines.iter().any(|line| line == expected), "{expected}: {lines:#?}");
            assert_eq!(fields.last().unwrap().meaning, "5 bytes: \"hello\"");
        }
    }

    fn pseudo(length: usize) -> Sum {
        let (a, b) = (Ipv4Addr::new(192, 0, 2, 1), Ipv4Addr::new(192, 0, 2, 2));
        Sum::pseudo_ipv4(a, b, IpProtocol::UDP, length as u16)
    }

    #[test]
    fn every_byte_is_in_a_field() {
        let packet = packet(|_| 0);
        let fields = echo_request(&packet, &names()).unwrap();
        let shown: usize = fields.iter().map(|field| field.bytes.split(' ').count()).sum();
        assert_eq!(shown, packet.len());
        let meanings: Vec<_> = fields.iter().map(|field| field.meaning.as_str()).collect();
        assert_eq!(fields[0].bytes, "02 00 00 00 00 0b");
        assert_eq!(meanings[..3], ["to eth0 of host B", "from 02:00:00:00:00:0a", "carries IPv4"]);
        for meaning in [
            "to 192.0.2.2, host B",
            "to port 4789: VXLAN",
            "network identifier (VNI) 42: which virtual network",
            "to 10.42.0.2",
            "5 bytes: \"hello\"",
        ] {
            assert!(meanings.contains(&meaning), "{meaning}: {meanings:#?}");
        }
        assert!(meanings.iter().all(|meaning| !meaning.ends_with("wrong")));
    }

    #[test]
    fn the_outer_checksum_is_judged() {
        let meaning = |packet: &[u8]| {
            let fields = echo_request(packet, &names()).unwrap();
            fields
                .into_iter()
                .find(|field| field.layer == "UDP" && field.meaning.starts_with("checksum"))
                .unwrap()
                .meaning
        };
        assert_eq!(meaning(&packet(|_| 0)), "checksum: none, as the standard allows");
        assert_eq!(meaning(&packet(|udp| pseudo(udp.len()).add_bytes(udp).checksum())), "checksum: right");
        let offloaded = packet(|udp| pseudo(udp.len()).fold());
        assert_eq!(meaning(&offloaded), "checksum: to be finished by the network card (offload)");
        assert_eq!(meaning(&packet(|_| 1)), "checksum: wrong");
    }

    #[test]
    fn anything_else_is_none() {
        let packet = packet(|_| 0);
        for length in 0..packet.len() {
            assert_eq!(echo_request(&packet[..length], &names()), None, "{length} bytes");
        }
        for index in 0..packet.len() {
            for value in [0, 0x45, 0xff] {
                let mut packet = packet.clone();
                packet[index] = value;
                let _ = echo_request(&packet, &names());
            }
        }
    }

    #[test]
    fn long_fields_are_cut() {
        assert_eq!(hexadecimal(&[0xab; 6]), "ab ab ab ab ab ab");
        assert_eq!(hexadecimal(&[0xab; 7]), "ab ab ab ab ab ab ..");
    }
}
