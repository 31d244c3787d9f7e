//! Any bytes as UDP, TCP with options and ICMP; their checksums, computed, updated and cut in pieces.

#![no_main]

use ether_wire::{
    DecodeError, DecodeOptions, IpProtocol, ReservedBits, TcpHeader, UdpHeader,
    checksum::{Sum, checksum, update, update_u32, update_u128},
    icmp::IcmpHeader,
};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    check_udp(bytes);
    for reserved_bits in [ReservedBits::Ignore, ReservedBits::Reject] {
        check_tcp(bytes, DecodeOptions { reserved_bits, ..DecodeOptions::RFC });
    }
    check_icmp(bytes);
    check_sums(bytes);
});

/// The pseudo-header of some packet.
fn pseudo_header(protocol: IpProtocol, length: usize) -> Sum {
    let [source, destination] = ["2001:db8::1", "2001:db8::2"].map(|address| address.parse().expect("an address"));
    Sum::pseudo_ipv6(source, destination, protocol, length as u32)
}

fn check_udp(bytes: &[u8]) {
    match UdpHeader::decode(bytes) {
        Ok((header, data)) => {
            let length = usize::from(header.length());
            assert_eq!(length, UdpHeader::LEN + data.len());
            assert_eq!([header.as_bytes(), data].concat(), bytes[..length]);
            assert_eq!(UdpHeader::decode(&bytes[..length]), Ok((header, data)));
            let pseudo_header = pseudo_header(IpProtocol::UDP, length);
            let mut header = *header;
            header.set_checksum(header.compute_checksum(pseudo_header, data));
            assert!(header.checksum() != 0 && header.is_checksum_valid(pseudo_header, data));
            // As a NAT edits it.
            let (old, new) = (header.source_port(), header.destination_port() ^ 0x5555);
            header.set_source_port(new);
            header.update_checksum(old, new);
            assert_eq!(header.checksum(), header.compute_checksum(pseudo_header, data));
            header.set_checksum(0);
            header.update_checksum(new, old);
            assert!(header.checksum() == 0 && header.is_checksum_valid(pseudo_header, data));
        }
        Err(DecodeError::PacketLength { length, header }) => assert!(length < header && header == 8),
        Err(DecodeError::Truncated { needed, available }) => assert!(available == bytes.len() && available < needed),
        Err(other) => panic!("{other}"),
    }
}

fn check_tcp(bytes: &[u8], options: DecodeOptions) {
    match TcpHeader::decode_with(bytes, options) {
        Ok(segment) => {
            let length = segment.header.header_length();
            assert_eq!([segment.header.as_bytes(), segment.options_bytes, segment.data].concat(), bytes);
            assert_eq!(length, TcpHeader::LEN + segment.options_bytes.len());
            assert!(segment.header.reserved() == 0 || options.reserved_bits == ReservedBits::Ignore);
            // Data does not matter for the header.
            let header = TcpHeader::decode_with(&bytes[..length], options).expect("the same header");
            assert_eq!((header.header, header.options_bytes), (segment.header, segment.options_bytes));
            let read: usize = segment.options().flatten().map(|option| option.data.len() + 2).sum();
            assert!(read <= segment.options_bytes.len() && segment.options().count() <= 20);

            let behind = &bytes[TcpHeader::LEN..];
            let pseudo_header = pseudo_header(IpProtocol::TCP, bytes.len());
            let mut header = *segment.header;
            header.set_checksum(header.compute_checksum(pseudo_header, behind));
            assert!(header.is_checksum_valid(pseudo_header, behind));
            let (old, new) = (header.window(), header.urgent_pointer() ^ 0xaaaa);
            header.set_window(new);
            header.update_checksum(old, new);
            assert_eq!(header.checksum(), header.compute_checksum(pseudo_header, behind));
        }
        Err(DecodeError::HeaderLength { length, minimum }) => assert!(length < minimum && minimum == 20),
        Err(DecodeError::Truncated { needed, available }) => assert!(available == bytes.len() && available < needed),
        Err(DecodeError::ReservedBits { bits }) => assert_eq!(bits >> 8, u16::from(bytes[12] & 0xf)),
        Err(other) => panic!("{other}"),
    }
}

fn check_icmp(bytes: &[u8]) {
    let Ok((header, behind)) = IcmpHeader::from_prefix(bytes) else {
        assert!(bytes.len() < 8);
        return;
    };
    let mut header = *header;
    for pseudo_header in [Sum::ZERO, pseudo_header(IpProtocol::ICMPV6, bytes.len())] {
        header.set_checksum(header.compute_checksum(pseudo_header, behind));
        let is_zero = header.as_bytes().iter().chain(behind).all(|byte| *byte == 0);
        assert!(is_zero || header.is_checksum_valid(pseudo_header, behind));
    }
}

/// RFC 1071 and RFC 1624 against a new computation.
fn check_sums(bytes: &[u8]) {
    let Some((&cut, data)) = bytes.split_first() else { return };
    let (front, back) = data.split_at(usize::from(cut) % (data.len() + 1));
    let whole = checksum(data);
    assert_eq!(Sum::ZERO.add_bytes(front).add_bytes(back).checksum(), whole);
    assert_eq!(Sum::ZERO.add_bytes(front).add_sum(Sum::ZERO.add_bytes(back)).checksum(), whole);

    let mut words = data.to_vec();
    // Never all zero, as no packet with its pseudo-header is.
    words.push(1);
    let before = checksum(&words);
    let at = usize::from(cut) & !1;
    if let Some(place) = words.get_mut(at..).and_then(|rest| rest.first_chunk_mut::<2>()) {
        let old = u16::from_be_bytes(std::mem::replace(place, [cut, 0x5a]));
        let new = u16::from_be_bytes(*place);
        assert_eq!(after(&words, update(before, old, new)), checksum(&words));
    }
    let before = checksum(&words);
    if let Some(place) = words.get_mut(at..).and_then(|rest| rest.first_chunk_mut::<4>()) {
        let old = u32::from_be_bytes(std::mem::replace(place, [0xff, cut, 0, cut]));
        let new = u32::from_be_bytes(*place);
        assert_eq!(after(&words, update_u32(before, old, new)), checksum(&words));
    }
    let before = checksum(&words);
    if let Some(place) = words.get_mut(at..).and_then(|rest| rest.first_chunk_mut::<16>()) {
        let old = u128::from_be_bytes(std::mem::replace(place, [cut; 16]));
        let new = u128::from_be_bytes(*place);
        assert_eq!(after(&words, update_u128(before, old, new)), checksum(&words));
    }
}

/// The checksum after an update; where an edit has made all of it zero, of which there are two forms, the one of them.
fn after(words: &[u8], updated: u16) -> u16 {
    if words.iter().all(|byte| *byte == 0) { 0xffff } else { updated }
}
