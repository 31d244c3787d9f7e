//! Every frame of the test data, outer and inner, made by scapy, Linux and Open vSwitch.

use std::{fs, path::Path};

use ether_wire::{
    DecodeError, DecodeOptions, Ecn, EtherType, EthernetHeader, FlowHasher, IpProtocol, Ipv4Header, Ipv6Header,
    TcpHeader, UdpHeader, arp::ArpPacket, checksum::Sum, ecn, ethernet, icmp::IcmpHeader, ipv4::Ipv4Packet,
    ipv6::Ipv6Packet, nd,
};
use serde_json::Value;

#[path = "../../testdata/vectors.rs"]
mod vectors;

use vectors::{Vector, number};

/// Every kind of frame that was met.
#[derive(Debug, Default)]
struct Met {
    arp: usize,
    ipv4: usize,
    ipv6: usize,
    tags: usize,
    fragments: usize,
    udp: usize,
    udp_without_checksum: usize,
    tcp: usize,
    tcp_options: usize,
    icmp: usize,
    icmpv6: usize,
    solicitations: usize,
    advertisements: usize,
    other: usize,
}

/// Decodes the frame as deep as this crate can, with all checksums. Each header is written again from what was decoded.
fn decode(frame: &[u8], met: &mut Met) -> Result<(), DecodeError> {
    let (header, _) = EthernetHeader::from_prefix(frame)?;
    assert_written_again(frame, |buffer| header.write_to(buffer));
    let payload = ethernet::payload(frame).expect("a frame with whole tags");
    met.tags += usize::from(payload.tags);
    let bytes = &frame[payload.offset..];
    match payload.ether_type {
        EtherType::ARP => {
            let (packet, _) = ArpPacket::decode(bytes)?;
            assert_written_again(bytes, |buffer| packet.write_to(buffer));
            met.arp += 1;
        }
        EtherType::IPV4 => {
            let packet = Ipv4Header::decode_with(bytes, DecodeOptions::STRICT)?;
            assert_eq!(packet.header.compute_checksum(packet.options_bytes), packet.header.checksum());
            assert_written_again(bytes, |buffer| packet.header.write_to(buffer));
            met.ipv4 += 1;
            for option in packet.options() {
                option?;
            }
            decode_ipv4_payload(&packet, met)?;
        }
        EtherType::IPV6 => {
            let packet = Ipv6Header::decode(bytes)?;
            assert_written_again(bytes, |buffer| packet.header.write_to(buffer));
            met.ipv6 += 1;
            decode_ipv6_payload(&packet, met)?;
        }
        _ => met.other += 1,
    }
    Ok(())
}

fn decode_ipv4_payload(packet: &Ipv4Packet<'_>, met: &mut Met) -> Result<(), DecodeError> {
    if packet.header.is_fragment() {
        met.fragments += 1;
        return Ok(());
    }
    let pseudo_header = packet.header.pseudo_header(packet.payload.len() as u16);
    if packet.header.protocol() == IpProtocol::ICMP {
        let (header, behind) = IcmpHeader::from_prefix(packet.payload)?;
        assert!(header.is_checksum_valid(Sum::ZERO, behind));
        assert_eq!(header.compute_checksum(Sum::ZERO, behind), header.checksum());
        met.icmp += 1;
        return Ok(());
    }
    decode_transport(packet.header.protocol(), packet.payload, pseudo_header, met)
}

fn decode_ipv6_payload(packet: &Ipv6Packet<'_>, met: &mut Met) -> Result<(), DecodeError> {
    if packet.fragment.is_some() {
        met.fragments += 1;
        return Ok(());
    }
    let pseudo_header = packet.header.pseudo_header(packet.protocol, packet.payload.len() as u32);
    if packet.protocol == IpProtocol::ICMPV6 {
        let (header, behind) = IcmpHeader::from_prefix(packet.payload)?;
        assert!(header.is_checksum_valid(pseudo_header, behind));
        met.icmpv6 += 1;
        match header.message_type() {
            nd::NeighborSolicitation::TYPE => {
                nd::NeighborSolicitation::decode(packet)?;
                met.solicitations += 1;
            }
            nd::NeighborAdvertisement::TYPE => {
                nd::NeighborAdvertisement::decode(packet)?;
                met.advertisements += 1;
            }
            _ => {}
        }
        return Ok(());
    }
    decode_transport(packet.protocol, packet.payload, pseudo_header, met)
}

fn decode_transport(protocol: IpProtocol, bytes: &[u8], pseudo_header: Sum, met: &mut Met) -> Result<(), DecodeError> {
    match protocol {
        IpProtocol::UDP => {
            let (header, data) = UdpHeader::decode(bytes)?;
            assert_written_again(bytes, |buffer| header.write_to(buffer));
            assert!(header.is_checksum_valid(pseudo_header, data));
            if header.checksum() == 0 {
                met.udp_without_checksum += 1;
            } else {
                assert_eq!(header.compute_checksum(pseudo_header, data), header.checksum());
            }
            met.udp += 1;
        }
        IpProtocol::TCP => {
            let segment = TcpHeader::decode_with(bytes, DecodeOptions::STRICT)?;
            assert_written_again(bytes, |buffer| segment.header.write_to(buffer));
            let behind = &bytes[TcpHeader::LEN..];
            assert!(segment.header.is_checksum_valid(pseudo_header, behind));
            assert_eq!(segment.header.compute_checksum(pseudo_header, behind), segment.header.checksum());
            for option in segment.options() {
                option?;
                met.tcp_options += 1;
            }
            met.tcp += 1;
        }
        _ => met.other += 1,
    }
    Ok(())
}

/// Asserts that writing a header gives the bytes that it was read from.
fn assert_written_again<E: std::fmt::Debug>(bytes: &[u8], write: impl FnOnce(&mut [u8]) -> Result<(), E>) {
    let mut written = bytes.to_vec();
    written.fill(0xaa);
    write(&mut written).expect("room");
    let len = written.iter().rposition(|byte| *byte != 0xaa).map_or(0, |last| last + 1);
    assert_eq!(written[..len], bytes[..len]);
}

/// The frame inside the tunnel, where there is an Ethernet frame and the header is one that decodes.
fn inner_frame(vector: &Vector) -> Option<&[u8]> {
    let header = usize::try_from(vector.number("header_length")).expect("a length");
    let protocol = match vector.text("encapsulation") {
        "geneve" | "nvgre" => vector.number("protocol_type"),
        "vxlan-gpe" => match vector.manifest["gpe"]["next_protocol"] {
            Value::Null => 0,
            ref protocol if number(protocol) == 3 => 0x6558,
            _ => 0,
        },
        _ => 0x6558,
    };
    let accepted = vector.verdict().0 == "accept";
    (accepted && protocol == 0x6558).then(|| vector.tunnel.get(header..)).flatten()
}

#[test]
fn every_captured_frame_decodes() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../testdata");
    let hasher = FlowHasher::new(*b"sixteen secrets!");
    let mut met = Met::default();
    let mut files = 0;
    for entry in fs::read_dir(folder).expect("testdata") {
        let path = entry.expect("an entry").path();
        if path.extension().is_none_or(|extension| extension != "pcap") {
            continue;
        }
        files += 1;
        for (index, frame) in vectors::frames_of_pcap(&fs::read(&path).expect("a file")).iter().enumerate() {
            if let Err(error) = decode(frame, &mut met) {
                panic!("{} {}: {error}", path.display(), index + 1);
            }
            assert_eq!(hasher.hash(frame), hasher.hash(frame));
        }
    }
    assert!(files >= 29, "{files} files");
    // Tunnels over UDP, and the GRE of NVGRE.
    assert!(met.ipv4 > 1000 && met.ipv6 > 500 && met.udp > 1500 && met.other > 300, "{met:?}");
    assert!(met.udp_without_checksum > 0, "{met:?}");
}

#[test]
fn every_inner_frame_decodes() {
    let mut met = Met::default();
    let mut whole = 0;
    for encapsulation in ["vxlan", "vxlan-gbp", "vxlan-gpe", "geneve", "nvgre"] {
        for vector in vectors::of(encapsulation) {
            let Some(frame) = inner_frame(&vector) else { continue };
            let mut frame = frame.to_vec();
            if vector.manifest["inner"]["description"].as_str().is_some_and(|text| text.starts_with("ip-fragment")) {
                // scapy gave these an EtherType of 0x9000.
                frame[12..14].copy_from_slice(&EtherType::IPV4.to_be_bytes());
            }
            if let Err(error) = decode(&frame, &mut met) {
                panic!("{}: {error}", vector.name());
            }
            whole += 1;
        }
    }
    assert!(whole > 1000, "{whole} {met:?}");
    assert!(met.arp > 50 && met.tags > 10 && met.fragments >= 20, "{met:?}");
    assert!(met.tcp > 300 && met.tcp_options > 300 && met.icmp > 150 && met.icmpv6 > 150, "{met:?}");
    assert!(met.solicitations > 20 && met.advertisements > 20 && met.udp_without_checksum > 0, "{met:?}");
}

#[test]
fn outer_fields_are_those_of_the_manifest() {
    for encapsulation in ["vxlan", "vxlan-gbp", "vxlan-gpe", "geneve", "nvgre"] {
        for vector in vectors::of(encapsulation) {
            let outer = &vector.manifest["outer"];
            let payload = ethernet::payload(&vector.frame).expect("an Ethernet frame");
            let bytes = &vector.frame[payload.offset..];
            let (fields, addresses, behind) = if number(&outer["ip_version"]) == 4 {
                let packet = Ipv4Header::decode(bytes).expect("IPv4");
                let header = packet.header;
                let fields = [header.ttl(), header.dscp(), header.ecn().bits()];
                (fields, [header.source().to_string(), header.destination().to_string()], packet.payload)
            } else {
                let packet = Ipv6Header::decode(bytes).expect("IPv6");
                let header = packet.header;
                assert_eq!(u64::from(header.flow_label()), number(&outer["flow_label"]), "{}", vector.name());
                let fields = [header.hop_limit(), header.dscp(), header.ecn().bits()];
                (fields, [header.source().to_string(), header.destination().to_string()], packet.payload)
            };
            let expected = ["ttl", "dscp", "ecn"].map(|key| number(&outer[key]));
            assert_eq!(fields.map(u64::from), expected, "{}", vector.name());
            assert_eq!(addresses, ["src", "dst"].map(|key| outer[key].as_str().expect("an address")));
            if encapsulation == "nvgre" {
                assert_eq!(behind, vector.tunnel);
            } else {
                let (udp, data) = UdpHeader::decode(behind).expect("UDP");
                let ports = [udp.source_port(), udp.destination_port()].map(u64::from);
                assert_eq!(ports, ["src_port", "dst_port"].map(|key| number(&outer[key])), "{}", vector.name());
                assert_eq!(udp.checksum() == 0, outer["udp_checksum"] == "zero", "{}", vector.name());
                assert_eq!(data, vector.tunnel);
            }
        }
    }
}

#[test]
fn ecn_is_that_of_rfc_6040() {
    let field = |value: &Value| match value.as_str().expect("an ECN field") {
        "Not-ECT" => Some(Ecn::NotEct),
        "ECT(0)" => Some(Ecn::Ect0),
        "ECT(1)" => Some(Ecn::Ect1),
        "CE" => Some(Ecn::Ce),
        "drop" => None,
        other => panic!("{other}"),
    };
    let mut pairs = 0;
    for encapsulation in ["vxlan", "vxlan-gbp", "vxlan-gpe", "geneve", "nvgre"] {
        for vector in vectors::of(encapsulation) {
            let ecn = &vector.manifest["ecn"];
            if ecn.is_object() {
                let [inner, outer] = ["inner", "outer"].map(|key| field(&ecn[key]).expect("a field"));
                assert_eq!(ecn::decapsulate(inner, outer), field(&ecn["rfc6040"]), "{}", vector.name());
                pairs += 1;
            }
        }
    }
    assert!(pairs >= 16);
}

#[test]
fn cut_frames_never_panic() {
    let mut met = Met::default();
    for vector in vectors::of("vxlan").iter().step_by(7) {
        for length in 14..vector.frame.len() {
            let frame = &vector.frame[..length];
            if ethernet::payload(frame).is_some() {
                let result = decode(frame, &mut met);
                assert!(length >= 60 || result.is_err() || vector.frame.len() <= 60, "{} at {length}", vector.name());
            }
        }
    }
}
