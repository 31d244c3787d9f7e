//! Builds frames and prints them in hexadecimal: UDP over IPv4, an ARP request and its answer, outer VXLAN headers by
//! template.

use ether_wire::{
    Ecn, EtherType, EthernetHeader, FlowHasher, IpProtocol, Ipv4Header, MacAddr, UdpHeader, VlanTag,
    arp::ArpPacket,
    flow::DEFAULT_SOURCE_PORTS,
    outer::{InnerFrame, OuterTemplate, Underlay},
};

fn print(what: &str, bytes: &[u8]) {
    print!("{what}: ");
    for byte in bytes {
        print!("{byte:02x}");
    }
    println!();
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let (host, other) = (MacAddr::new([2, 0, 0, 0, 0, 1]), MacAddr::new([2, 0, 0, 0, 0, 2]));
    let data = [0; 4];

    let udp_length = UdpHeader::LEN + data.len();
    let total_length = Ipv4Header::LEN + udp_length;
    let mut ip =
        Ipv4Header::new([10, 0, 0, 1].into(), [10, 0, 0, 2].into(), IpProtocol::UDP, u16::try_from(total_length)?);
    ip.set_dont_fragment(true);
    let udp_length = u16::try_from(udp_length)?;
    let mut udp = UdpHeader::new(50000, 4789, udp_length);
    udp.set_checksum(udp.compute_checksum(ip.pseudo_header(udp_length), &data));
    let mut frame = EthernetHeader::new(other, host, EtherType::VLAN).as_bytes().to_vec();
    frame.extend(VlanTag::new(7, EtherType::IPV4).as_bytes());
    frame.extend(ip.as_bytes());
    frame.extend(udp.as_bytes());
    frame.extend(data);
    print("UDP over IPv4 in VLAN 7", &frame);

    // An edit in place; the checksum goes with it.
    Ipv4Header::from_prefix_mut(&mut frame[18..])?.0.set_ecn(Ecn::Ce);
    print("the same, congestion experienced", &frame);

    let request = ArpPacket::request(host, [10, 0, 0, 1].into(), [10, 0, 0, 2].into());
    print("ARP request", &request.to_frame(MacAddr::BROADCAST));
    print("its answer", &request.answer(other).to_frame(host));

    let underlay = Underlay::new("2001:db8::1".parse()?, "2001:db8::2".parse()?)?.with_ethernet(other, host);
    let template = OuterTemplate::udp(underlay, 4789, DEFAULT_SOURCE_PORTS, &[8, 0, 0, 0, 0, 0, 42, 0])?;
    let mut room = vec![0; template.len()];
    let flow = FlowHasher::new(*b"not a secret key").hash(&frame);
    template.write_to(&mut room, InnerFrame::new(frame.len(), flow))?;
    print("outer headers of VXLAN over IPv6", &room);
    Ok(())
}
