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
use overlay_types::Vni;
use vxlan_wire::VxlanHeader;

const STATIONS: (MacAddr, MacAddr) = (MacAddr::new([2, 0, 0, 0, 0, 2]), MacAddr::new([2, 0, 0, 0, 0, 1]));

/// Frames for each measurement of headers: they fit the first-level cache.
const FRAMES: usize = 128;

/// Bytes of a frame: its headers and 64 bytes of an inner frame.
const LEN: usize = 14 + 20 + 8 + 8 + 64;

/// VXLAN over UDP over IPv4.
fn vxlan_over_ipv4(vni: u32) -> [u8; LEN] {
    let mut bytes = EthernetHeader::new(STATIONS.0, STATIONS.1, EtherType::IPV4).to_bytes().to_vec();
    let ip = Ipv4Header::new([10, 0, 0, 1].into(), [10, 0, 0, 2].into(), IpProtocol::UDP, 20 + 8 + 8 + 64);
    bytes.extend(ip.as_bytes());
    bytes.extend(UdpHeader::new(50000, VxlanHeader::UDP_PORT, 8 + 8 + 64).as_bytes());
    bytes.extend(VxlanHeader::new(Vni::new(vni).expect("24 bits")).as_bytes());
    bytes.extend([7; 64]);
    bytes.try_into().expect("as many bytes as the IP header says")
}

fn udp_over_ipv6() -> Vec<u8> {
    let mut bytes = EthernetHeader::new(STATIONS.0, STATIONS.1, EtherType::IPV6).to_bytes().to_vec();
    let [source, destination] = [1, 2].map(|last| [0x2001, 0xdb8, 0, 0, 0, 0, 0, last].into());
    bytes.extend(Ipv6Header::new(source, destination, IpProtocol::UDP, 8 + 64).as_bytes());
    bytes.extend(UdpHeader::new(50000, 4789, 8 + 64).as_bytes());
    bytes.extend([7; 64]);
    bytes
}

/// What all of them read: source and destination address, destination port, and what is behind UDP.
type Datagram<'a> = (u32, u32, u16, &'a [u8]);

#[inline]
fn decode(frame: &[u8], options: DecodeOptions) -> Option<Datagram<'_>> {
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

#[inline]
fn decode_by_etherparse(frame: &[u8]) -> Option<Datagram<'_>> {
    let packet = etherparse::SlicedPacket::from_ethernet(frame).ok()?;
    let (Some(etherparse::NetSlice::Ipv4(ip)), Some(etherparse::TransportSlice::Udp(udp))) =
        (&packet.net, &packet.transport)
    else {
        return None;
    };
    let addresses = (ip.header().source_addr().to_bits(), ip.header().destination_addr().to_bits());
    Some((addresses.0, addresses.1, udp.destination_port(), udp.payload()))
}

#[inline]
fn decode_by_smoltcp(frame: &[u8], checksum: bool) -> Option<Datagram<'_>> {
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

/// It checks that each fixed header is there, and nothing else; version and lengths are looked at here, as the others do.
#[inline]
fn decode_by_pnet(frame: &[u8]) -> Option<Datagram<'_>> {
    use pnet_packet::{
        ethernet::{EtherTypes, EthernetPacket},
        ip::IpNextHeaderProtocols,
        ipv4::Ipv4Packet,
        udp::UdpPacket,
    };

    let ethernet = EthernetPacket::new(frame)?;
    if ethernet.get_ethertype() != EtherTypes::Ipv4 {
        return None;
    }
    let packet = frame.get(EthernetPacket::minimum_packet_size()..)?;
    let ip = Ipv4Packet::new(packet)?;
    if ip.get_version() != 4 || ip.get_header_length() < 5 || ip.get_next_level_protocol() != IpNextHeaderProtocols::Udp
    {
        return None;
    }
    let datagram = packet.get(usize::from(ip.get_header_length()) * 4..usize::from(ip.get_total_length()))?;
    let udp = UdpPacket::new(datagram)?;
    let data = datagram.get(UdpPacket::minimum_packet_size()..usize::from(udp.get_length()))?;
    Some((ip.get_source().to_bits(), ip.get_destination().to_bits(), udp.get_destination(), data))
}

/// Sums up what `read` finds in each frame.
fn each(frames: &[[u8; LEN]], read: impl Fn(&[u8]) -> u32) -> u32 {
    frames.iter().fold(0, |sum, frame| sum.wrapping_add(read(black_box(frame))))
}

/// What an endpoint takes from the outer headers: who sent the datagram, and what is in it.
fn sum(datagram: Option<Datagram<'_>>) -> u32 {
    datagram.map_or(0, |(source, _, _, data)| source ^ data.len() as u32)
}

/// The same with the VXLAN header at the front of the data: who sent it, in which network, and the frame.
fn sum_vxlan(datagram: Option<Datagram<'_>>) -> u32 {
    let Some((source, _, _, data)) = datagram else { return 0 };
    VxlanHeader::decode(data).map_or(0, |(header, frame)| source ^ header.vni().get() ^ frame.len() as u32)
}

fn parse(criterion: &mut Criterion) {
    let frames: Vec<_> = (0..FRAMES).map(|index| vxlan_over_ipv4(index as u32)).collect();
    let expected = decode(&frames[0], DecodeOptions::STRICT);
    assert!(expected.is_some());
    assert_eq!(decode_by_etherparse(&frames[0]), expected);
    assert_eq!(decode_by_smoltcp(&frames[0], true), expected);
    assert_eq!(decode_by_pnet(&frames[0]), expected);

    let mut group = criterion.benchmark_group("ethernet + ipv4 + udp");
    group.throughput(Throughput::Elements(FRAMES as u64));
    group.bench_function("ether-wire", |bencher| {
        bencher.iter(|| each(&frames, |frame| sum(decode(frame, DecodeOptions::LENGTHS))));
    });
    group.bench_function("ether-wire, and vxlan-wire behind it", |bencher| {
        bencher.iter(|| each(&frames, |frame| sum_vxlan(decode(frame, DecodeOptions::LENGTHS))));
    });
    group.bench_function("smoltcp", |bencher| {
        bencher.iter(|| each(&frames, |frame| sum(decode_by_smoltcp(frame, false))));
    });
    group.bench_function("pnet_packet", |bencher| bencher.iter(|| each(&frames, |frame| sum(decode_by_pnet(frame)))));
    group.bench_function("etherparse", |bencher| {
        bencher.iter(|| each(&frames, |frame| sum(decode_by_etherparse(frame))));
    });
    group.finish();

    let mut group = criterion.benchmark_group("ethernet + ipv4 with its checksum + udp");
    group.throughput(Throughput::Elements(FRAMES as u64));
    group.bench_function("ether-wire", |bencher| {
        bencher.iter(|| each(&frames, |frame| sum(decode(frame, DecodeOptions::RFC))));
    });
    group.bench_function("ether-wire, and vxlan-wire behind it", |bencher| {
        bencher.iter(|| each(&frames, |frame| sum_vxlan(decode(frame, DecodeOptions::RFC))));
    });
    group.bench_function("smoltcp", |bencher| {
        bencher.iter(|| each(&frames, |frame| sum(decode_by_smoltcp(frame, true))));
    });
    group.finish();
}

fn flow_hash(criterion: &mut Criterion) {
    let hasher = FlowHasher::new(*b"sixteen secrets!");
    let mut group = criterion.benchmark_group("flow hash");
    for (name, frame) in [("ether-wire, ipv4", vxlan_over_ipv4(42).to_vec()), ("ether-wire, ipv6", udp_over_ipv6())] {
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

/// The floor is a copy of as many bytes.
fn outer(criterion: &mut Criterion) {
    let vxlan = [8, 0, 0, 0, 0, 0, 42, 0];
    let hasher = FlowHasher::new(*b"sixteen secrets!");
    let frame = vxlan_over_ipv4(42);
    let inner = InnerFrame::new(1514, hasher.hash(&frame));
    let summed = InnerFrame { sum: Some(Sum::ZERO.add_bytes(&frame)), ..inner };
    for (name, source, destination) in
        [("ipv4, 50 bytes", "192.0.2.1", "192.0.2.2"), ("ipv6, 70 bytes", "2001:db8::1", "2001:db8::2")]
    {
        let underlay = Underlay::new(source.parse().expect("an address"), destination.parse().expect("an address"))
            .expect("one family")
            .with_ethernet(STATIONS.0, STATIONS.1);
        let template = OuterTemplate::udp(underlay, 4789, DEFAULT_SOURCE_PORTS, &vxlan).expect("a template");
        let mut buffer = [0; 128];
        let bytes = vec![0; template.len()];
        let mut group = criterion.benchmark_group(format!("outer headers of vxlan, {name}"));
        group.bench_function("floor", |bencher| {
            bencher.iter(|| black_box(&mut buffer)[..template.len()].copy_from_slice(black_box(&bytes)));
        });
        group.bench_function("ether-wire", |bencher| {
            bencher.iter(|| black_box(&template).write_to(black_box(&mut buffer), black_box(inner)).is_ok());
        });
        group.bench_function("ether-wire, with UDP checksum", |bencher| {
            bencher.iter(|| black_box(&template).write_to(black_box(&mut buffer), black_box(summed)).is_ok());
        });
        group.finish();
    }
}

criterion_group! {
    name = benches;
    config = Criterion::default().warm_up_time(Duration::from_millis(500)).measurement_time(Duration::from_secs(2));
    targets = parse, flow_hash, checksum, outer
}
criterion_main!(benches);
