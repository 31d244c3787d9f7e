//! Release code of decoding and writing has no panic path and no call.
//!
//! Two things are left out because they call by their nature: the walk over IPv6 extension headers, and what sums data.
//! That these do not panic either is shown at link time, in `no_std_no_alloc.rs`.
//! Writing a TCP header is writing 20 bytes, as it is for IPv4: the compiler makes one function of both.

#[path = "../../testdata/release_code.rs"]
mod release_code;

const PROBE: &str = r"
use ether_wire::{
    DecodeError, DecodeOptions, Ecn, EncodeError, EthernetHeader, Ipv4Header, Ipv6Header, TcpHeader, UdpHeader,
    arp::ArpPacket,
    ethernet::{self, Payload},
    ipv4::Ipv4Packet,
    tcp::TcpSegment,
};

#[inline(never)]
pub fn ethernet_from_prefix(bytes: &[u8]) -> Result<(&EthernetHeader, &[u8]), DecodeError> {
    EthernetHeader::from_prefix(bytes)
}

#[inline(never)]
pub fn ethernet_payload(frame: &[u8]) -> Option<Payload> {
    ethernet::payload(frame)
}

#[inline(never)]
pub fn ethernet_write_to(header: &EthernetHeader, buffer: &mut [u8]) -> Result<(), EncodeError> {
    header.write_to(buffer)
}

#[inline(never)]
pub fn ipv4_decode_with(bytes: &[u8], options: DecodeOptions) -> Result<Ipv4Packet<'_>, DecodeError> {
    Ipv4Header::decode_with(bytes, options)
}

#[inline(never)]
pub fn ipv4_write_to(header: &Ipv4Header, buffer: &mut [u8]) -> Result<(), EncodeError> {
    header.write_to(buffer)
}

#[inline(never)]
pub fn ipv4_set_ecn(header: &mut Ipv4Header, ecn: Ecn) {
    header.set_ecn(ecn);
}

#[inline(never)]
pub fn ipv6_from_prefix(bytes: &[u8]) -> Result<(&Ipv6Header, &[u8]), DecodeError> {
    Ipv6Header::from_prefix(bytes)
}

#[inline(never)]
pub fn ipv6_write_to(header: &Ipv6Header, buffer: &mut [u8]) -> Result<(), EncodeError> {
    header.write_to(buffer)
}

#[inline(never)]
pub fn udp_decode(bytes: &[u8]) -> Result<(&UdpHeader, &[u8]), DecodeError> {
    UdpHeader::decode(bytes)
}

#[inline(never)]
pub fn udp_write_to(header: &UdpHeader, buffer: &mut [u8]) -> Result<(), EncodeError> {
    header.write_to(buffer)
}

#[inline(never)]
pub fn tcp_decode_with(bytes: &[u8], options: DecodeOptions) -> Result<TcpSegment<'_>, DecodeError> {
    TcpHeader::decode_with(bytes, options)
}

#[inline(never)]
pub fn arp_decode(bytes: &[u8]) -> Result<(&ArpPacket, &[u8]), DecodeError> {
    ArpPacket::decode(bytes)
}

#[inline(never)]
pub fn arp_write_to(packet: &ArpPacket, buffer: &mut [u8]) -> Result<(), EncodeError> {
    packet.write_to(buffer)
}
";

#[test]
fn decoding_and_writing_call_nothing() {
    let functions = [
        "ethernet_from_prefix",
        "ethernet_payload",
        "ethernet_write_to",
        "ipv4_decode_with",
        "ipv4_write_to",
        "ipv4_set_ecn",
        "ipv6_from_prefix",
        "ipv6_write_to",
        "udp_decode",
        "udp_write_to",
        "tcp_decode_with",
        "arp_decode",
        "arp_write_to",
    ];
    release_code::assert_calls_nothing(PROBE, &functions);
}
