//! A program without std, without an allocator and without a panic path can be linked from `ether-wire`: nothing of it
//! allocates or panics.

#![cfg(target_os = "linux")]

#[path = "../../testdata/no_std_no_alloc.rs"]
mod no_std_no_alloc;

const RUN: &str = r"
use ether_wire::{
    DecodeOptions, Ecn, EthernetHeader, FlowHasher, Ipv4Header, Ipv6Header, TcpHeader, UdpHeader,
    arp::ArpPacket,
    checksum::checksum,
    ecn, ethernet,
    flow::DEFAULT_SOURCE_PORTS,
    icmp,
    nd::{NeighborAdvertisement, NeighborSolicitation},
    outer::{InnerFrame, OuterTemplate, Underlay},
};

fn run() -> Option<u32> {
    let mut buffer = black_box([0_u8; 1400]);
    let hash = FlowHasher::new(black_box([7; 16])).hash(&buffer);
    let underlay = Underlay::new(black_box([10, 0, 0, 1].into()), black_box([10, 0, 0, 2].into())).ok()?;
    let template = OuterTemplate::udp(underlay, 4789, DEFAULT_SOURCE_PORTS, black_box(&[0; 8])).ok()?;
    template.write_to(&mut buffer, InnerFrame::new(100, hash)).ok()?;
    let packet = Ipv4Header::decode(black_box(&buffer)).ok()?;
    let mut sum = u32::from(checksum(packet.payload)) + u32::from(UdpHeader::decode(packet.payload).ok()?.0.length());
    sum += u32::from(TcpHeader::decode(black_box(&buffer)).ok()?.header.window());
    sum += ArpPacket::decode(black_box(&buffer)).ok()?.0.sender_ip().to_bits();
    let packet = Ipv6Header::decode(black_box(&buffer)).ok()?;
    sum += NeighborSolicitation::decode(&packet).ok()?.message.reserved();
    let advertisement = NeighborAdvertisement::decode(&packet).ok()?;
    sum += advertisement.options.into_iter().map(|option| option.data.len() as u32).sum::<u32>();
    sum += u32::from(advertisement.target_binding()?.1.octets()[5]);
    sum += Ipv4Header::decode_with(black_box(&buffer), DecodeOptions::STRICT).ok()?.options().flatten().count() as u32;
    sum += u32::from(ethernet::payload(black_box(&buffer))?.tags);
    sum += u32::from(ecn::decapsulate(black_box(Ecn::Ect0), black_box(Ecn::Ce))?.bits());
    let (header, behind) = EthernetHeader::from_prefix_mut(&mut buffer).ok()?;
    sum += icmp::too_big(black_box(&[0; 64]), 1450, behind).ok()? as u32;
    Some(sum + u32::from(header.ether_type().get()))
}
";

#[test]
fn a_program_without_std_and_alloc_and_panic_links() {
    no_std_no_alloc::assert_links(RUN);
}

#[test]
fn a_program_with_a_panic_path_does_not() {
    no_std_no_alloc::assert_panics_are_found(RUN);
}

#[test]
fn a_program_with_alloc_does_not() {
    no_std_no_alloc::assert_needs_allocator(RUN);
}
