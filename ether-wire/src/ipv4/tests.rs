use proptest::prelude::*;
use std::vec::Vec;

use super::*;

const SOURCE: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 1);
const DESTINATION: Ipv4Addr = Ipv4Addr::new(198, 51, 100, 7);

/// Sets one field, chosen by number, and says what a reader should see of it.
fn edit(header: &mut Ipv4Header, field: u8, value: u32) -> (u32, u32) {
    let (byte, word) = (value as u8, value as u16);
    match field {
        0 => {
            header.set_version(byte);
            (u32::from(byte & 0xf), header.version().into())
        }
        1 => {
            header.set_ihl(byte);
            (u32::from(byte & 0xf), header.ihl().into())
        }
        2 => {
            header.set_dscp(byte);
            (u32::from(byte & 0x3f), header.dscp().into())
        }
        3 => {
            header.set_ecn(Ecn::from_bits(byte));
            (u32::from(byte & 3), header.ecn().bits().into())
        }
        4 => {
            header.set_total_length(word);
            (word.into(), header.total_length().into())
        }
        5 => {
            header.set_identification(word);
            (word.into(), header.identification().into())
        }
        6 => {
            header.set_reserved(byte & 1 == 1);
            (u32::from(byte & 1), header.reserved().into())
        }
        7 => {
            header.set_dont_fragment(byte & 1 == 1);
            (u32::from(byte & 1), header.dont_fragment().into())
        }
        8 => {
            header.set_more_fragments(byte & 1 == 1);
            (u32::from(byte & 1), header.more_fragments().into())
        }
        9 => {
            header.set_fragment_offset(word);
            (u32::from(word & 0x1fff), header.fragment_offset().into())
        }
        10 => {
            header.set_ttl(byte);
            (byte.into(), header.ttl().into())
        }
        11 => {
            header.set_protocol(byte.into());
            (byte.into(), header.protocol().get().into())
        }
        12 => {
            header.set_source(Ipv4Addr::from_bits(value));
            (value, header.source().to_bits())
        }
        _ => {
            header.set_destination(Ipv4Addr::from_bits(value));
            (value, header.destination().to_bits())
        }
    }
}

/// Every field but the checksum.
fn fields(header: &Ipv4Header) -> [u32; 14] {
    [
        header.version().into(),
        header.ihl().into(),
        header.dscp().into(),
        header.ecn().bits().into(),
        header.total_length().into(),
        header.identification().into(),
        header.reserved().into(),
        header.dont_fragment().into(),
        header.more_fragments().into(),
        header.fragment_offset().into(),
        header.ttl().into(),
        header.protocol().get().into(),
        header.source().to_bits(),
        header.destination().to_bits(),
    ]
}

proptest! {
    #[test]
    fn set_then_get_and_nothing_else_changes(bytes: [u8; 20], field in 0_u8..14, value: u32) {
        let mut bytes = bytes;
        let (header, _) = Ipv4Header::from_prefix_mut(&mut bytes).unwrap();
        let before = fields(header);
        let (expected, found) = edit(header, field, value);
        prop_assert_eq!(expected, found);
        for (index, (before, after)) in before.into_iter().zip(fields(header)).enumerate() {
            prop_assert!(before == after || index == usize::from(field), "field {} changed with {}", index, field);
        }
    }

    #[test]
    fn checksum_holds_after_any_edits(edits in prop::collection::vec((0_u8..14, any::<u32>()), 0..40)) {
        let mut header = Ipv4Header::new(SOURCE, DESTINATION, IpProtocol::UDP, 1500);
        for (field, value) in edits {
            edit(&mut header, field, value);
            // All zero cannot stand on the wire; everything else is bit for bit what a new computation gives.
            if fields(&header) != [0; 14] {
                prop_assert_eq!(header.checksum(), header.compute_checksum(&[]));
                prop_assert!(header.is_checksum_valid(&[]));
            }
        }
    }

    #[test]
    fn damage_stays_visible(edits in prop::collection::vec((0_u8..14, any::<u32>()), 0..10), damage in 1_u16..0xffff) {
        let mut header = Ipv4Header::new(SOURCE, DESTINATION, IpProtocol::UDP, 1500);
        header.set_checksum(header.checksum() ^ damage);
        let visible = !header.is_checksum_valid(&[]);
        for (field, value) in edits {
            edit(&mut header, field, value);
        }
        prop_assert_eq!(!header.is_checksum_valid(&[]), visible);
    }

    #[test]
    fn decoded_parts_are_the_packet(words in 5_u8..16, payload in prop::collection::vec(any::<u8>(), 0..64), padding in 0_usize..32) {
        let options: Vec<u8> = (1..=(words - 5) * 4).collect();
        let mut header = Ipv4Header::new(SOURCE, DESTINATION, IpProtocol::TCP, 0);
        header.set_ihl(words);
        header.set_total_length((header.header_length() + payload.len()) as u16);
        header.set_checksum(header.compute_checksum(&options));
        let mut bytes = Vec::from(header.to_bytes());
        bytes.extend(&options);
        bytes.extend(&payload);
        let total = bytes.len();
        bytes.resize(total + padding, 0xee);

        let expected = Ipv4Packet { header: &header, options_bytes: &options, payload: &payload };
        prop_assert_eq!(Ipv4Header::decode(&bytes), Ok(expected));
        prop_assert_eq!(Ipv4Header::decode_with(&bytes, DecodeOptions::STRICT), Ok(expected));
        for length in 0..total {
            let needed = if length < 20 { 20 } else { total };
            let error = DecodeError::Truncated { needed, available: length };
            prop_assert_eq!(Ipv4Header::decode(&bytes[..length]), Err(error));
        }
    }

    #[test]
    fn any_bytes_are_answered(mut bytes in prop::collection::vec(any::<u8>(), 0..80), plausible: bool) {
        if plausible && bytes.len() >= 4 {
            bytes[0] = 0x40 | bytes[0] & 0xf;
            bytes[2] = 0;
        }
        for options in [DecodeOptions::RFC, DecodeOptions::STRICT, DecodeOptions::LENGTHS] {
            if let Ok(packet) = Ipv4Header::decode_with(&bytes, options) {
                let total = 20 + packet.options_bytes.len() + packet.payload.len();
                prop_assert_eq!(total, usize::from(packet.header.total_length()));
                prop_assert_eq!(20 + packet.options_bytes.len(), packet.header.header_length());
                prop_assert!(packet.options().count() <= 40);
            }
        }
    }
}

#[test]
fn wrong_headers_are_named() {
    use DecodeError::{Checksum, HeaderLength, PacketLength, ReservedBits, Version};

    let good = Ipv4Header::new(SOURCE, DESTINATION, IpProtocol::UDP, 20);
    let decode = |edit: fn(&mut Ipv4Header), options| {
        let mut header = good;
        edit(&mut header);
        Ipv4Header::decode_with(&header.to_bytes(), options).map(|_| ())
    };
    let rfc = DecodeOptions::RFC;
    assert_eq!(decode(|_| (), rfc), Ok(()));
    assert_eq!(decode(|header| header.set_version(6), rfc), Err(Version { expected: 4, found: 6 }));
    assert_eq!(decode(|header| header.set_ihl(4), rfc), Err(HeaderLength { length: 16, minimum: 20 }));
    assert_eq!(decode(|header| header.set_total_length(19), rfc), Err(PacketLength { length: 19, header: 20 }));
    assert_eq!(decode(|header| header.set_checksum(0), rfc), Err(Checksum { found: 0 }));
    assert_eq!(decode(|header| header.set_checksum(0), DecodeOptions::LENGTHS), Ok(()));
    assert_eq!(decode(|header| header.set_reserved(true), rfc), Ok(()));
    assert_eq!(decode(|header| header.set_reserved(true), DecodeOptions::LINUX), Ok(()));
    assert_eq!(decode(|header| header.set_reserved(true), DecodeOptions::STRICT), Err(ReservedBits { bits: 0x8000 }));
}

#[test]
fn fragments() {
    let mut header = Ipv4Header::new(SOURCE, DESTINATION, IpProtocol::UDP, 20);
    header.set_dont_fragment(true);
    assert!(!header.is_fragment());
    header.set_more_fragments(true);
    assert!(header.is_fragment(), "the first");
    header.set_more_fragments(false);
    header.set_fragment_offset(1);
    assert!(header.is_fragment(), "the last");
}

#[test]
fn a_header_from_the_wire() {
    let header = Ipv4Header::new(Ipv4Addr::new(10, 0, 0, 1), Ipv4Addr::new(10, 0, 0, 2), IpProtocol::ICMP, 84);
    let expected = [0x45, 0, 0, 84, 0, 0, 0, 0, 64, 1, 0x66, 0xa7, 10, 0, 0, 1, 10, 0, 0, 2];
    assert_eq!(header.to_bytes(), expected);
}

#[test]
fn all_short_lengths_are_checked_in_their_order() {
    let bytes = [0xee; 72];
    for (ihl, total, available) in (5..16_u8)
        .flat_map(|ihl| (0..72_u16).flat_map(move |total| (20..=72).map(move |available| (ihl, total, available))))
    {
        let mut bytes = bytes;
        let (header, _) = Ipv4Header::from_prefix_mut(&mut bytes).unwrap();
        header.set_version(4);
        header.set_ihl(ihl);
        header.set_total_length(total);
        let found = Ipv4Header::decode_with(&bytes[..available], DecodeOptions::LENGTHS)
            .map(|packet| (packet.options_bytes.len(), packet.payload.len()));
        let (length, header) = (usize::from(total), usize::from(ihl) * 4);
        let expected = if length < header {
            Err(DecodeError::PacketLength { length, header })
        } else if available < length {
            Err(DecodeError::Truncated { needed: length, available })
        } else {
            Ok((header - 20, length - header))
        };
        assert_eq!(found, expected, "{ihl} words, {total} bytes, {available} of them there");
    }
}
