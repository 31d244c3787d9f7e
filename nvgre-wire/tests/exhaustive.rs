//! Every first 16 bits, cut at every byte, against a model that counts by hand.

use nvgre_wire::{
    DecodeError, DecodeOptions, EncodeError, FlowId, GreFields, GrePacket, GrePacketMut, NvgreHeader, ReservedBits,
    Vsid,
};
use overlay_types::EtherType;

/// A packet with all fields behind the first 16 bits, and some payload.
const BYTES: [u8; 18] =
    [0, 0, 0x65, 0x58, 0x11, 0x12, 0x13, 0x14, 0x21, 0x22, 0x23, 0x24, 0x31, 0x32, 0x33, 0x34, 0x41, 0x42];

fn word(index: usize) -> u32 {
    u32::from_be_bytes(BYTES[4 * index..4 * index + 4].try_into().unwrap())
}

/// What version and reserved bits say, the same for GRE and NVGRE.
fn flags_error(flags: u16, reserved_bits: ReservedBits) -> Option<DecodeError> {
    let rejected = if reserved_bits == ReservedBits::Reject { 0x4ff8 } else { 0x4c00 };
    if flags & 0x7 != 0 {
        Some(DecodeError::UnknownVersion { version: (flags & 0x7) as u8 })
    } else if flags & rejected != 0 {
        Some(DecodeError::ReservedBits { bits: flags & rejected })
    } else {
        None
    }
}

#[test]
fn every_flag_word_cut_at_every_byte() {
    for options in [DecodeOptions::RFC, DecodeOptions::STRICT] {
        for flags in 0..=u16::MAX {
            let mut bytes = BYTES;
            bytes[..2].copy_from_slice(&flags.to_be_bytes());
            for available in 0..=bytes.len() {
                check_gre(flags, &bytes[..available], options);
                check_nvgre(flags, &bytes[..available], options);
            }
        }
    }
}

fn check_gre(flags: u16, bytes: &[u8], options: DecodeOptions) {
    let available = bytes.len();
    let decoded = GrePacket::decode_with(bytes, options);
    if available < 4 {
        assert_eq!(decoded, Err(DecodeError::Truncated { needed: 4, available }));
        return;
    }
    if let Some(error) = flags_error(flags, options.reserved_bits) {
        assert_eq!(decoded, Err(error));
        return;
    }
    let mut words = 1;
    let mut field = |present: bool| {
        present.then(|| {
            words += 1;
            words - 1
        })
    };
    let (checksum, key, sequence) =
        (field(flags & 0x8000 != 0), field(flags & 0x2000 != 0), field(flags & 0x1000 != 0));
    let needed = 4 * words;
    if available < needed {
        assert_eq!(decoded, Err(DecodeError::Truncated { needed, available }));
        return;
    }
    let packet = decoded.unwrap();
    assert_eq!(packet.checksum(), checksum.map(|index| (word(index) >> 16) as u16));
    assert_eq!(packet.reserved1(), checksum.map(|index| word(index) as u16));
    assert_eq!(packet.key(), key.map(word));
    assert_eq!(packet.sequence_number(), sequence.map(word));
    assert_eq!(packet.payload(), &BYTES[needed..available]);
    assert_eq!(packet.header().header_len(), needed);
}

fn check_nvgre(flags: u16, bytes: &[u8], options: DecodeOptions) {
    let available = bytes.len();
    let expected = if available < 8 {
        Some(DecodeError::Truncated { needed: 8, available })
    } else if let Some(error) = flags_error(flags, options.reserved_bits) {
        Some(error)
    } else if flags & 0x8000 != 0 {
        Some(DecodeError::ChecksumPresent { flags })
    } else if flags & 0x1000 != 0 {
        Some(DecodeError::SequenceNumberPresent { flags })
    } else if flags & 0x2000 == 0 {
        Some(DecodeError::KeyAbsent { flags })
    } else {
        None
    };
    match NvgreHeader::decode_with(bytes, options) {
        Ok((header, payload)) => {
            assert_eq!(expected, None);
            assert_eq!(header.key(), word(1));
            assert_eq!(payload, &BYTES[8..available]);
        }
        Err(error) => assert_eq!(Some(error), expected, "{flags:#06x}, {available} bytes"),
    }
}

#[test]
fn every_protocol_type() {
    for value in 0..=u16::MAX {
        let mut bytes = NvgreHeader::new(Vsid::MIN, FlowId::NONE).to_bytes();
        bytes[2..4].copy_from_slice(&value.to_be_bytes());
        let error = DecodeError::WrongProtocolType { protocol_type: EtherType::new(value) };
        assert_eq!(NvgreHeader::decode(&bytes).err(), (value != 0x6558).then_some(error));
        assert_eq!(GrePacket::decode(&bytes).unwrap().as_nvgre().err(), (value != 0x6558).then_some(error));
    }
}

#[test]
fn every_vsid_at_a_boundary() {
    let single_bits = (0..24).map(|bit| 1 << bit);
    for value in (0..0x1100).chain(single_bits).chain(0xff_ff00..=0xff_ffff) {
        let key = value << 8 | 0x5a;
        let mut bytes = [0x20, 0, 0x65, 0x58, 0, 0, 0, 0];
        bytes[4..].copy_from_slice(&u32::to_be_bytes(key));
        let (header, _) = NvgreHeader::decode(&bytes).unwrap();
        assert_eq!((header.key(), header.raw_vsid(), header.flow_id().get()), (key, value, 0x5a));
        let reserved = value < 0x1000 || value == 0xff_ffff;
        assert_eq!(header.vsid().map(Vsid::get).ok(), (!reserved).then_some(value));
        let strict = NvgreHeader::decode_with(&bytes, DecodeOptions::STRICT).err();
        assert_eq!(strict, reserved.then_some(DecodeError::ReservedVsid { vsid: value }));
    }
}

#[test]
fn every_truncation_when_writing() {
    let header = NvgreHeader::new(Vsid::MAX, FlowId::new(0xff));
    for available in 0..8 {
        let mut short = [0xaa; 8];
        let error = EncodeError::BufferTooSmall { needed: 8, available };
        assert_eq!(header.write_to(&mut short[..available]), Err(error));
        assert_eq!(short, [0xaa; 8], "nothing is written");
    }
    for bits in 0..8_u8 {
        let fields = GreFields {
            checksum: bits & 1 != 0,
            key: (bits & 2 != 0).then_some(1),
            sequence_number: (bits & 4 != 0).then_some(2),
            ..GreFields::new(EtherType::IPV4)
        };
        let needed = 4 + 4 * bits.count_ones() as usize;
        assert_eq!(fields.header_len(), needed);
        for available in 0..needed {
            let mut short = [0xaa; 16];
            let error = EncodeError::BufferTooSmall { needed, available };
            assert_eq!(fields.write_to(&mut short[..available]), Err(error));
            assert_eq!(short, [0xaa; 16], "nothing is written");
            let mut cut = vec![0; needed];
            fields.write_to(&mut cut).unwrap();
            let mutable = GrePacketMut::decode_with(&mut cut[..available], DecodeOptions::RFC);
            let needed = if available < 4 { 4 } else { needed };
            assert_eq!(mutable.err(), Some(DecodeError::Truncated { needed, available }));
        }
    }
}
