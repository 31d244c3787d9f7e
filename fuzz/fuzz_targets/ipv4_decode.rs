//! Any bytes as an IPv4 packet with options, under every strictness, and edits that keep its checksum.

#![no_main]

use ether_wire::{DecodeError, DecodeOptions, Ecn, Ipv4Header, ReservedBits, checksum::checksum, options::Options};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    for header_checksum in [false, true] {
        for reserved_bits in [ReservedBits::Ignore, ReservedBits::Reject] {
            check(bytes, DecodeOptions { header_checksum, reserved_bits });
        }
    }
    check_edits(bytes);
});

/// What is accepted is what RFC 791 and RFC 1122 say, read from the bytes.
fn check(bytes: &[u8], options: DecodeOptions) {
    let found = Ipv4Header::decode_with(bytes, options);
    let Some(fixed) = bytes.first_chunk::<20>() else {
        assert_eq!(found, Err(DecodeError::Truncated { needed: 20, available: bytes.len() }));
        return;
    };
    let header_length = usize::from(fixed[0] & 0xf) * 4;
    let total_length = usize::from(u16::from_be_bytes([fixed[2], fixed[3]]));
    let fits = fixed[0] >> 4 == 4 && (20..=total_length).contains(&header_length) && total_length <= bytes.len();
    let is_good = fits
        && (!options.header_checksum || checksum(&bytes[..header_length]) == 0)
        && (options.reserved_bits == ReservedBits::Ignore || fixed[6] & 0x80 == 0);
    assert_eq!(found.is_ok(), is_good, "{found:?}");
    match found {
        Ok(packet) => {
            assert_eq!(packet.header.as_bytes(), fixed);
            assert_eq!(packet.options_bytes, &bytes[20..header_length]);
            assert_eq!(packet.payload, &bytes[header_length..total_length]);
            assert_eq!(packet.header.is_checksum_valid(packet.options_bytes), checksum(&bytes[..header_length]) == 0);
            // What stands behind the packet does not matter.
            assert_eq!(Ipv4Header::decode_with(&bytes[..total_length], options), Ok(packet));
            check_options(packet.options(), packet.options_bytes.len());
        }
        Err(DecodeError::Truncated { needed, available }) => {
            assert!(needed == total_length && available == bytes.len() && available < needed);
        }
        Err(DecodeError::PacketLength { length, header }) => assert!(length < header && header == header_length),
        Err(_) => {}
    }
}

fn check_options(options: Options<'_>, area: usize) {
    let mut sum = 0;
    let mut is_over = false;
    for option in options {
        assert!(!is_over, "an error ends the walk");
        match option {
            Ok(option) => sum += option.data.len() + 2,
            Err(DecodeError::OptionLength { length, available, .. }) => {
                is_over = true;
                assert!((length < 2 || available < length) && sum + available <= area);
            }
            Err(other) => panic!("{other}"),
        }
    }
    assert!(sum <= area);
}

/// Every edit keeps a checksum that is right; it is the one that is computed anew.
fn check_edits(bytes: &[u8]) {
    let Some((header, behind)) = bytes.split_first_chunk::<20>() else { return };
    let mut bytes = *header;
    let (header, _) = Ipv4Header::from_prefix_mut(&mut bytes).expect("20 bytes");
    header.set_checksum(header.compute_checksum(&[]));
    for edit in behind.chunks_exact(5) {
        let value = u32::from_be_bytes([edit[1], edit[2], edit[3], edit[4]]);
        let (half, byte) = (value as u16, value as u8);
        match edit[0] % 15 {
            0 => set(header, byte & 15, Ipv4Header::set_version, |header| header.version()),
            1 => set(header, byte & 15, Ipv4Header::set_ihl, |header| header.ihl()),
            2 => set(header, byte & 63, Ipv4Header::set_dscp, |header| header.dscp()),
            3 => set(header, Ecn::from_bits(byte), Ipv4Header::set_ecn, |header| header.ecn()),
            4 => set(header, half, Ipv4Header::set_total_length, |header| header.total_length()),
            5 => set(header, half, Ipv4Header::set_identification, |header| header.identification()),
            6 => set(header, byte & 1 == 1, Ipv4Header::set_reserved, |header| header.reserved()),
            7 => set(header, byte & 1 == 1, Ipv4Header::set_dont_fragment, |header| header.dont_fragment()),
            8 => set(header, byte & 1 == 1, Ipv4Header::set_more_fragments, |header| header.more_fragments()),
            9 => set(header, half & 0x1fff, Ipv4Header::set_fragment_offset, |header| header.fragment_offset()),
            10 => set(header, byte, Ipv4Header::set_ttl, |header| header.ttl()),
            11 => set(header, byte.into(), Ipv4Header::set_protocol, |header| header.protocol()),
            12 => set(header, value.into(), Ipv4Header::set_source, |header| header.source()),
            13 => set(header, value.into(), Ipv4Header::set_destination, |header| header.destination()),
            // No edit hides damage.
            _ => {
                let right = header.checksum();
                header.set_checksum(right ^ 1);
                header.set_ttl(byte);
                assert!(!header.is_checksum_valid(&[]));
                header.set_checksum(header.compute_checksum(&[]));
            }
        }
        // The checksum of nothing but zeros, which no IP header is, has two forms.
        if header.as_bytes()[..10].iter().chain(&header.as_bytes()[12..]).any(|byte| *byte != 0) {
            assert_eq!(header.checksum(), header.compute_checksum(&[]));
            assert!(header.is_checksum_valid(&[]));
        } else {
            header.set_version(4);
            header.set_checksum(header.compute_checksum(&[]));
        }
    }
}

/// What was set is what is got, and only it has changed.
fn set<T: Copy + PartialEq + std::fmt::Debug>(
    header: &mut Ipv4Header,
    value: T,
    set: impl Fn(&mut Ipv4Header, T),
    get: impl Fn(&Ipv4Header) -> T,
) {
    let (before, old) = (*header, get(header));
    set(header, value);
    assert_eq!(get(header), value);
    let mut back = *header;
    set(&mut back, old);
    back.set_checksum(before.checksum());
    assert_eq!(back, before);
}
