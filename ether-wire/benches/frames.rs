//! What a tunnel endpoint does to each frame, next to others doing the same, in one run.
//!
//! `cargo bench -p ether-wire`

use std::{hint::black_box, time::Duration};

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use ether_wire::{
    DecodeOptions, EtherType, EthernetHeader, IpProtocol, Ipv4Header, Ipv6Header, MacAddr, UdpHeader,
    checksum::Sum,
    flow::{DEFAULT_SOURCE_PORTS, FlowHasher},
    outer::{InnerFrame, OuterTemplate, Underlay},
};

const STATIONS: (MacAddr, MacAddr) = (MacAddr::new([2, 0, 0, 0, 0, 2]), MacAddr::new([2, 0, 0, 0, 0, 1]));

fn udp_over_ipv4() -> Vec<u8> {
    let data = [7; 64];
    let mut bytes = EthernetHeader::new(STATIONS.0, STATIONS.1, EtherType::IPV4).to_bytes().to_vec();
    let ip = Ipv4Header::new([10, 0, 0, 1].into(), [10, 0, 0, 2].into(), IpProtocol::UDP, 20 + 8 + 64);
    bytes.extend(ip.as_bytes());
    bytes.extend(UdpHeader::new(50000, 4789, 8 + 64).as_bytes());
    bytes.extend(data);
    bytes
}

fn udp_over_ipv6() -> Vec<u8> {
    let mut bytes = EthernetHeader::new(STATIONS.0, STATIONS.1, EtherType::IPV6).to_bytes().to_vec();
    let [source, destination] = [1, 2].map(|last| [0x2001, 0xdb8, 0, 0, 0, 0, 0, last].into());
    bytes.extend(Ipv6Header::new(source, destination, IpProtocol::UDP, 8 + 64).as_bytes());
    bytes.extend(UdpHeader::new(50000, 4789, 8 + 64).as_bytes());
    bytes.extend([7; 64]);
    bytes
}

fn decode(frame: &[u8], options: DecodeOptions) -> Option<(u32, u32, u16, &[u8])> {
    let (ethernet, packet) = EthernetHeader::from_prefix(frame).ok()?;
    if ethernet.ether_type() != EtherType::IPV4 {
        return None;
    }
    let packet = Ipv4Header::decode_with(packet, options).ok()?;
    if packet.header.protocol() != IpProtocol::UDP {
        return None;
    }
    let (udp, data) = UdpHeader::decode(packet.payload).ok()?;
    let addresses = (packet.header.source().to_bits(), packet.header.destination().to_bits());
    Some((addresses.0, addresses.1, udp.destination_port(), data))
}

fn decode_by_etherparse(frame: &[u8]) -> Option<(u32, u32, u16, &[u8])> {
    let packet = etherparse::SlicedPacket::from_ethernet(frame).ok()?;
    let (Some(etherparse::NetSlice::Ipv4(ip)), Some(etherparse::TransportSlice::Udp(udp))) =
        (&packet.net, &packet.transport)
    else {
        return None;
    };
    let addresses = (ip.header().source_addr().to_bits(), ip.header().destination_addr().to_bits());
    Some((addresses.0, addresses.1, udp.destination_port(), udp.payload()))
}

fn decode_by_smoltcp(frame: &[u8], checksum: bool) -> Option<(u32, u32, u16, &[u8])> {
    use smoltcp::wire::{EthernetFrame, EthernetProtocol, IpProtocol, Ipv4Packet, UdpPacket};

    let ethernet = EthernetFrame::new_checked(frame).ok()?;
    if ethernet.ethertype() != EthernetProtocol::Ipv4 {
        return None;
    }
    let ip = Ipv4Packet::new_checked(ethernet.payload()).ok()?;
    if ip.version() != 4 || ip.next_header() != IpProtocol::Udp || (checksum && !ip.verify_checksum()) {
        return None;
    }
    let udp = UdpPacket::new_checked(ip.payload()).ok()?;
    Some((ip.src_addr().to_bits(), ip.dst_addr().to_bits(), udp.dst_port(), udp.payload()))
}

fn parse(criterion: &mut Criterion) {
    let frame = udp_over_ipv4();
    let expected = decode(&frame, DecodeOptions::STRICT);
    assert!(expected.is_some());
    assert_eq!(decode_by_etherparse(&frame), expected);
    assert_eq!(decode_by_smoltcp(&frame, true), expected);

    let mut group = criterion.benchmark_group("ethernet + ipv4 + udp");
    group.bench_function("ether-wire", |bencher| {
        bencher.iter(|| decode(black_box(&frame), DecodeOptions::LENGTHS));
    });
    group.bench_function("smoltcp", |bencher| bencher.iter(|| decode_by_smoltcp(black_box(&frame), false)));
    group.bench_function("etherparse", |bencher| bencher.iter(|| decode_by_etherparse(black_box(&frame))));
    group.bench_function("ether-wire, header checksum", |bencher| {
        bencher.iter(|| decode(black_box(&frame), DecodeOptions::RFC));
    });
    group.bench_function("smoltcp, header checksum", |bencher| {
        bencher.iter(|| decode_by_smoltcp(black_box(&frame), true));
    });
    group.finish();
}

fn flow_hash(criterion: &mut Criterion) {
    let hasher = FlowHasher::new(*b"sixteen secrets!");
    let mut group = criterion.benchmark_group("flow hash");
    for (name, frame) in [("ipv4", udp_over_ipv4()), ("ipv6", udp_over_ipv6())] {
        group.bench_function(name, |bencher| bencher.iter(|| hasher.hash(black_box(&frame))));
    }
    group.finish();
}

fn checksum(criterion: &mut Criterion) {
    for length in [1460_u16, 65000] {
        let bytes: Vec<u8> = (0..length).map(|index| index.wrapping_mul(7) as u8).collect();
        let mut group = criterion.benchmark_group(format!("checksum of {length} bytes"));
        group.throughput(Throughput::Bytes(length.into()));
        group.bench_function("ether-wire", |bencher| {
            bencher.iter(|| Sum::ZERO.add_bytes(black_box(&bytes)).checksum());
        });
        group.bench_function("smoltcp", |bencher| {
            bencher.iter(|| smoltcp::wire::checksum::data(black_box(&bytes)));
        });
        group.bench_function("etherparse", |bencher| {
            bencher.iter(|| etherparse::checksum::Sum16BitWords::new().add_slice(black_box(&bytes)).ones_complement());
        });
        group.bench_function("pnet_packet", |bencher| {
            bencher.iter(|| pnet_packet::util::checksum(black_box(&bytes), usize::MAX));
        });
        group.finish();
    }
}

fn outer(criterion: &mut Criterion) {
    let vxlan = [8, 0, 0, 0, 0, 0, 42, 0];
    let hasher = FlowHasher::new(*b"sixteen secrets!");
    let inner = InnerFrame::new(1514, hasher.hash(&udp_over_ipv4()));
    let mut group = criterion.benchmark_group("outer headers of vxlan");
    for (name, source, destination) in
        [("ipv4, 50 bytes", "192.0.2.1", "192.0.2.2"), ("ipv6, 70 bytes", "2001:db8::1", "2001:db8::2")]
    {
        let underlay = Underlay::new(source.parse().expect("an address"), destination.parse().expect("an address"))
            .expect("one family")
            .with_ethernet(STATIONS.0, STATIONS.1);
        let template = OuterTemplate::udp(underlay, 4789, DEFAULT_SOURCE_PORTS, &vxlan).expect("a template");
        let mut buffer = [0; 128];
        group.bench_function(name, |bencher| {
            bencher.iter(|| black_box(&template).write_to(black_box(&mut buffer), black_box(inner)));
        });
        let bytes = vec![0; template.len()];
        group.bench_function(format!("{name}, only copied"), |bencher| {
            bencher.iter(|| black_box(&mut buffer)[..template.len()].copy_from_slice(black_box(&bytes)));
        });
    }
    group.finish();
}

criterion_group! {
    name = benches;
    config = Criterion::default().warm_up_time(Duration::from_millis(500)).measurement_time(Duration::from_secs(2));
    targets = parse, flow_hash, checksum, outer
}
criterion_main!(benches);
