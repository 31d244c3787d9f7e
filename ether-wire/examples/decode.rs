//! Reads an Ethernet frame, given as hexadecimal text, as deep as it goes.
//!
//! `cargo run --example ether-decode -- ffffffffffff02000000000108060001080006040001020000000001c0000201000000000000c0000202`

use std::{env, process::ExitCode};

use ether_wire::{
    DecodeError, EtherType, EthernetHeader, FlowHasher, IpProtocol, Ipv4Header, Ipv6Header, TcpHeader, UdpHeader,
    arp::ArpPacket, checksum::Sum, ethernet, nd::NeighborSolicitation,
};

/// UDP over IPv4 behind a VLAN tag.
const SAMPLE: &str =
    "0200000000020200000000018100000708004500002000004000401126cb0a0000010a000002c35012b5000c15ce00000000";

fn main() -> ExitCode {
    let text = env::args().nth(1).unwrap_or_else(|| SAMPLE.to_owned());
    let digits = text.as_bytes().chunks(2).map(|pair| str::from_utf8(pair).map(|pair| u8::from_str_radix(pair, 16)));
    let Some(frame) = digits.map(|byte| byte.ok()?.ok()).collect::<Option<Vec<u8>>>() else {
        eprintln!("{text:?} is not hexadecimal");
        return ExitCode::from(2);
    };
    let hash = FlowHasher::new(*b"not a secret key").hash(&frame);
    println!("flow: {:#010x}", hash.get());
    match read(&frame) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            println!("refused: {error}");
            ExitCode::FAILURE
        }
    }
}

fn read(frame: &[u8]) -> Result<(), DecodeError> {
    let (header, _) = EthernetHeader::from_prefix(frame)?;
    println!("Ethernet: {} to {}", header.source(), header.destination());
    let Some(payload) = ethernet::payload(frame) else {
        println!("no payload");
        return Ok(());
    };
    println!("payload: {} behind {} tags", payload.ether_type, payload.tags);
    let bytes = &frame[payload.offset..];
    match payload.ether_type {
        EtherType::ARP => {
            let (packet, _) = ArpPacket::decode(bytes)?;
            println!("ARP: {:?}, {} asks for {}", packet.operation(), packet.sender_ip(), packet.target_ip());
            println!("to learn: {:?}", packet.sender_binding());
            Ok(())
        }
        EtherType::IPV4 => {
            let packet = Ipv4Header::decode(bytes)?;
            let header = packet.header;
            println!(
                "IPv4: {} to {}, TTL {}, ECN {:?}",
                header.source(),
                header.destination(),
                header.ttl(),
                header.ecn()
            );
            read_transport(header.protocol(), packet.payload, header.pseudo_header(packet.payload.len() as u16))
        }
        EtherType::IPV6 => {
            let packet = Ipv6Header::decode(bytes)?;
            let header = packet.header;
            println!("IPv6: {} to {}, flow label {:#07x}", header.source(), header.destination(), header.flow_label());
            if packet.payload.first() == Some(&NeighborSolicitation::TYPE) && packet.protocol == IpProtocol::ICMPV6 {
                let solicitation = NeighborSolicitation::decode(&packet)?;
                println!("Neighbor Solicitation for {}", solicitation.message.target());
                return Ok(());
            }
            let pseudo_header = header.pseudo_header(packet.protocol, packet.payload.len() as u32);
            read_transport(packet.protocol, packet.payload, pseudo_header)
        }
        _ => Ok(()),
    }
}

fn read_transport(protocol: IpProtocol, bytes: &[u8], pseudo_header: Sum) -> Result<(), DecodeError> {
    match protocol {
        IpProtocol::UDP => {
            let (header, data) = UdpHeader::decode(bytes)?;
            let valid = header.is_checksum_valid(pseudo_header, data);
            let (from, to) = (header.source_port(), header.destination_port());
            println!("UDP: port {from} to {to}, {} bytes, checksum valid: {valid}", data.len());
        }
        IpProtocol::TCP => {
            let segment = TcpHeader::decode(bytes)?;
            let (header, data) = (segment.header, segment.data);
            let (from, to) = (header.source_port(), header.destination_port());
            println!("TCP: port {from} to {to}, {:?}, {} bytes", header.flags(), data.len());
        }
        other => println!("protocol {other}, {} bytes", bytes.len()),
    }
    Ok(())
}
