use proptest::prelude::*;
use std::vec::Vec;

use super::*;
use crate::{DecodeOptions, flow::DEFAULT_SOURCE_PORTS};

#[derive(Clone, Copy, Debug)]
enum Kind {
    Udp,
    Gre,
    Nvgre,
}

prop_compose! {
    fn underlays()(addresses: [u128; 2], ipv6: bool, stations: Option<[[u8; 6]; 2]>, dscp in 0_u8..64, ttl: u8) -> Underlay {
        let [source, destination] = addresses.map(|address| {
            if ipv6 { IpAddr::from(Ipv6Addr::from_bits(address)) } else { Ipv4Addr::from_bits(address as u32).into() }
        });
        let underlay = Underlay::new(source, destination).unwrap().with_dscp(dscp).with_ttl(ttl);
        match stations {
            Some([destination, source]) => underlay.with_ethernet(destination.into(), source.into()),
            None => underlay,
        }
    }
}

/// The packet as it is built without a template, every checksum computed over the whole.
fn model(underlay: Underlay, kind: Kind, tunnel: &[u8], inner: &[u8], flow: FlowHash, ecn: Ecn, sum: bool) -> Vec<u8> {
    let mut behind_ip = Vec::from(tunnel);
    let mut protocol = IpProtocol::GRE;
    match kind {
        Kind::Gre => {}
        Kind::Nvgre => behind_ip[7] = flow.nvgre_flow_id(),
        Kind::Udp => {
            protocol = IpProtocol::UDP;
            let length = (8 + tunnel.len() + inner.len()) as u16;
            let mut header = UdpHeader::new(flow.udp_source_port(DEFAULT_SOURCE_PORTS), 4789, length);
            let pseudo = match underlay.addresses {
                Addresses::Ipv4(source, destination) => Sum::pseudo_ipv4(source, destination, protocol, length),
                Addresses::Ipv6(source, destination) => Sum::pseudo_ipv6(source, destination, protocol, length.into()),
            };
            if sum {
                header.set_checksum(header.compute_checksum(pseudo, &[tunnel, inner].concat()));
            }
            behind_ip = [header.as_bytes(), tunnel].concat();
        }
    }
    behind_ip.extend(inner);
    let (ip, ether_type) = match underlay.addresses {
        Addresses::Ipv4(source, destination) => {
            let mut header = Ipv4Header::new(source, destination, protocol, (20 + behind_ip.len()) as u16);
            header.set_dont_fragment(true);
            header.set_dscp(underlay.dscp);
            header.set_ecn(ecn);
            header.set_ttl(underlay.ttl);
            (header.as_bytes().to_vec(), EtherType::IPV4)
        }
        Addresses::Ipv6(source, destination) => {
            let mut header = Ipv6Header::new(source, destination, protocol, behind_ip.len() as u16);
            header.set_dscp(underlay.dscp);
            header.set_ecn(ecn);
            header.set_hop_limit(underlay.ttl);
            header.set_flow_label(flow.ipv6_flow_label());
            (header.as_bytes().to_vec(), EtherType::IPV6)
        }
    };
    let ethernet = underlay.stations.map(|(destination, source)| EthernetHeader::new(destination, source, ether_type));
    let ethernet = ethernet.map_or(Vec::new(), |header| header.as_bytes().to_vec());
    [ethernet, ip, behind_ip].concat()
}

proptest! {
    #[test]
    fn as_built_by_hand(
        underlay in underlays(),
        kind in prop::sample::select(&[Kind::Udp, Kind::Gre, Kind::Nvgre][..]),
        tunnel in prop_oneof![
            prop::collection::vec(any::<u8>(), 8),
            prop::collection::vec(any::<u8>(), 0..=MAX_TUNNEL_HEADER_LEN),
        ],
        inner in prop::collection::vec(any::<u8>(), 0..200),
        flow: u32,
        ecn in 0_u8..4,
        sum: bool,
    ) {
        let flow = FlowHash::new(flow);
        let ecn = Ecn::from_bits(ecn);
        let tunnel = if matches!(kind, Kind::Nvgre) { [&tunnel[..], &[0; 8]].concat()[..8].to_vec() } else { tunnel };
        let template = match kind {
            Kind::Udp => OuterTemplate::udp(underlay, 4789, DEFAULT_SOURCE_PORTS, &tunnel).unwrap(),
            Kind::Gre => OuterTemplate::gre(underlay, &tunnel).unwrap(),
            Kind::Nvgre => OuterTemplate::nvgre(underlay, tunnel[..].try_into().unwrap()),
        };
        let expected = model(underlay, kind, &tunnel, &inner, flow, ecn, sum);
        let len = expected.len() - inner.len();
        prop_assert_eq!(template.len(), len);
        let mut buffer = std::vec![0xaa; len];
        buffer.extend(&inner);
        let sum = sum.then(|| Sum::ZERO.add_bytes(&inner));
        let frame = InnerFrame { ecn, sum, ..InnerFrame::new(inner.len(), flow) };
        prop_assert_eq!(template.write_to(&mut buffer, frame), Ok(len));
        prop_assert_eq!(&buffer, &expected);

        // A short buffer is refused, and nothing behind the headers is touched.
        for available in 0..len {
            let error = EncodeError::BufferTooSmall { needed: len, available };
            prop_assert_eq!(template.write_to(&mut buffer[..available], frame), Err(error));
        }

        let packet = &buffer[if underlay.stations.is_some() { 14 } else { 0 }..];
        let (payload, pseudo) = match underlay.addresses {
            Addresses::Ipv4(..) => {
                let packet = Ipv4Header::decode_with(packet, DecodeOptions::STRICT).unwrap();
                (packet.payload, packet.header.pseudo_header(packet.payload.len() as u16))
            }
            Addresses::Ipv6(..) => {
                let packet = Ipv6Header::decode(packet).unwrap();
                (packet.payload, packet.header.pseudo_header(IpProtocol::UDP, packet.payload.len() as u32))
            }
        };
        if matches!(kind, Kind::Udp) {
            let (udp, data) = UdpHeader::decode(payload).unwrap();
            prop_assert!(udp.is_checksum_valid(pseudo, data));
            prop_assert_eq!(udp.checksum() == 0, sum.is_none());
        }
    }
}

#[test]
fn the_lengths_of_the_standards() {
    let stations = (MacAddr::BROADCAST, MacAddr::BROADCAST);
    let ipv4 = Underlay::new(Ipv4Addr::LOCALHOST.into(), Ipv4Addr::LOCALHOST.into()).unwrap();
    let ipv6 = Underlay::new(Ipv6Addr::LOCALHOST.into(), Ipv6Addr::LOCALHOST.into()).unwrap();
    for (underlay, vxlan, nvgre) in [(ipv4, 50, 42), (ipv6, 70, 62)] {
        let underlay = underlay.with_ethernet(stations.0, stations.1);
        assert_eq!(OuterTemplate::udp(underlay, 4789, DEFAULT_SOURCE_PORTS, &[0; 8]).unwrap().len(), vxlan);
        assert_eq!(OuterTemplate::nvgre(underlay, [0; 8]).len(), nvgre);
    }
}

#[test]
fn what_cannot_be_said_is_refused() {
    let ipv4 = Underlay::new(Ipv4Addr::LOCALHOST.into(), Ipv4Addr::LOCALHOST.into()).unwrap();
    let ipv6 = Underlay::new(Ipv6Addr::LOCALHOST.into(), Ipv6Addr::LOCALHOST.into()).unwrap();
    let mixed = Underlay::new(Ipv4Addr::LOCALHOST.into(), Ipv6Addr::LOCALHOST.into());
    assert_eq!(mixed, Err(EncodeError::AddressFamilies));
    let long = OuterTemplate::gre(ipv4, &[0; 261]).err();
    assert_eq!(long, Some(EncodeError::TooLong { length: 261, maximum: 260 }));

    let mut buffer = [0; 100];
    for (underlay, most) in [(ipv4, 65535 - 20 - 16), (ipv6, 65535 - 16)] {
        let template = OuterTemplate::udp(underlay, 4789, DEFAULT_SOURCE_PORTS, &[0; 8]).unwrap();
        let mut write = |length| template.write_to(&mut buffer, InnerFrame::new(length, FlowHash::new(0)));
        assert_eq!(write(most), Ok(template.len()));
        assert_eq!(write(most + 1), Err(EncodeError::TooLong { length: 65536, maximum: 65535 }));
        assert_eq!(write(usize::MAX), Err(EncodeError::TooLong { length: usize::MAX, maximum: 65535 }));
        let mut untouched = [0xaa; 100];
        assert!(template.write_to(&mut untouched, InnerFrame::new(most + 1, FlowHash::new(0))).is_err());
        assert_eq!(untouched, [0xaa; 100]);
    }
}
