//! Any outer headers by template, read again.

#![no_main]

use std::net::IpAddr;

use arbitrary::Arbitrary;
use ether_wire::{
    DecodeOptions, Ecn, EncodeError, EtherType, EthernetHeader, FlowHash, IpProtocol, Ipv4Header, Ipv6Header, MacAddr,
    UdpHeader,
    checksum::Sum,
    outer::{InnerFrame, MAX_TUNNEL_HEADER_LEN, OuterTemplate, Underlay},
};
use libfuzzer_sys::fuzz_target;

#[derive(Arbitrary, Debug)]
struct Input<'a> {
    addresses: [IpAddr; 2],
    stations: Option<[MacAddr; 2]>,
    dscp: u8,
    ttl: u8,
    kind: Kind<'a>,
    flow: FlowHash,
    ecn: Ecn,
    checksum: bool,
    /// Bytes of the inner frame beyond those that are given.
    more: u16,
    inner: &'a [u8],
}

#[derive(Arbitrary, Debug)]
enum Kind<'a> {
    Udp { port: u16, ports: [u16; 2], header: &'a [u8] },
    Gre { header: &'a [u8] },
    Nvgre { header: [u8; 8] },
}

fuzz_target!(|input: Input<'_>| {
    let [source, destination] = input.addresses;
    let underlay = match Underlay::new(source, destination) {
        Ok(underlay) => underlay.with_dscp(input.dscp).with_ttl(input.ttl),
        Err(error) => {
            assert_eq!(error, EncodeError::AddressFamilies);
            assert_ne!(source.is_ipv4(), destination.is_ipv4());
            return;
        }
    };
    let underlay = match input.stations {
        Some([destination, source]) => underlay.with_ethernet(destination, source),
        None => underlay,
    };
    let (template, header) = match input.kind {
        Kind::Udp { port, ports: [first, last], header } => {
            (OuterTemplate::udp(underlay, port, first..=last, header), header)
        }
        Kind::Gre { header } => (OuterTemplate::gre(underlay, header), header),
        Kind::Nvgre { ref header } => (Ok(OuterTemplate::nvgre(underlay, *header)), &header[..]),
    };
    let template = match template {
        Ok(template) => template,
        Err(error) => {
            let (length, maximum) = (header.len(), MAX_TUNNEL_HEADER_LEN);
            assert!(length > maximum && error == EncodeError::TooLong { length, maximum });
            return;
        }
    };
    let mut inner = input.inner.to_vec();
    inner.resize(inner.len() + usize::from(input.more), 0x5a);
    check(&input, &template, header, &inner);
});

fn check(input: &Input<'_>, template: &OuterTemplate, header: &[u8], inner: &[u8]) {
    let sum = input.checksum.then(|| Sum::ZERO.add_bytes(inner));
    let frame = InnerFrame { length: inner.len(), flow: input.flow, ecn: input.ecn, sum };
    let mut packet = vec![0xaa; template.len() - 1];
    let error = EncodeError::BufferTooSmall { needed: template.len(), available: template.len() - 1 };
    assert_eq!(template.write_to(&mut packet, frame), Err(error));
    packet.push(0xaa);
    packet.extend(inner);
    match template.write_to(&mut packet, frame) {
        Ok(length) => assert_eq!(length, template.len()),
        Err(EncodeError::TooLong { length, maximum }) => {
            assert!(length > maximum && maximum == 65_535 && packet[..template.len()].iter().all(|byte| *byte == 0xaa));
            return;
        }
        Err(other) => panic!("{other}"),
    }
    assert_eq!(packet[template.len()..], *inner);

    let mut rest = &packet[..];
    if let Some([destination, source]) = input.stations {
        let ether_type = if input.addresses[0].is_ipv4() { EtherType::IPV4 } else { EtherType::IPV6 };
        let (ethernet, behind) = EthernetHeader::from_prefix(rest).expect("it was written");
        assert_eq!(*ethernet, EthernetHeader::new(destination, source, ether_type));
        rest = behind;
    }
    let udp = matches!(input.kind, Kind::Udp { .. });
    let protocol = if udp { IpProtocol::UDP } else { IpProtocol::GRE };
    let (payload, pseudo_header) = if input.addresses[0].is_ipv4() {
        let packet = Ipv4Header::decode_with(rest, DecodeOptions::STRICT).expect("right checksum and lengths");
        let ip = packet.header;
        assert_eq!([ip.source(), ip.destination()].map(IpAddr::V4), input.addresses);
        assert_eq!((ip.dscp(), ip.ecn(), ip.ttl()), (input.dscp & 63, input.ecn, input.ttl));
        assert_eq!((ip.protocol(), ip.dont_fragment(), ip.is_fragment()), (protocol, true, false));
        assert_eq!(usize::from(ip.total_length()), rest.len());
        (packet.payload, ip.pseudo_header(packet.payload.len() as u16))
    } else {
        let packet = Ipv6Header::decode(rest).expect("right lengths");
        let ip = packet.header;
        assert_eq!([ip.source(), ip.destination()].map(IpAddr::V6), input.addresses);
        assert_eq!((ip.dscp(), ip.ecn(), ip.hop_limit()), (input.dscp & 63, input.ecn, input.ttl));
        assert_eq!((ip.next_header(), ip.flow_label()), (protocol, input.flow.ipv6_flow_label()));
        (packet.payload, ip.pseudo_header(protocol, packet.payload.len() as u32))
    };
    let mut tunnel = payload;
    if let Kind::Udp { port, ports: [first, last], .. } = input.kind {
        let (udp, data) = UdpHeader::decode(payload).expect("right length");
        assert_eq!(usize::from(udp.length()), payload.len());
        assert_eq!(udp.destination_port(), port);
        assert_eq!(udp.source_port(), input.flow.udp_source_port(first..=last));
        assert!((first..=last.max(first)).contains(&udp.source_port()));
        assert_eq!(udp.checksum() != 0, input.checksum);
        if input.checksum {
            assert_eq!(udp.checksum(), udp.compute_checksum(pseudo_header, data));
        }
        tunnel = data;
    }
    let mut expected = header.to_vec();
    if let Kind::Nvgre { .. } = input.kind {
        expected[7] = input.flow.nvgre_flow_id();
    }
    assert_eq!(tunnel[..header.len()], expected);
    assert_eq!(tunnel[header.len()..], *inner);
}
