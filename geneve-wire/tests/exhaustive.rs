//! Small spaces of packets, every one of them, against a model that counts by hand.

use geneve_wire::{
    CriticalFlag, DecodeError, DecodeOptions, EncodeError, GeneveBuilder, GeneveHeader, GenevePacket, OptionClass,
    OptionType,
};
use overlay_types::{EtherType, Vni};

/// Every Opt Len, with every number of bytes behind the fixed header, and options of every length in them.
#[test]
fn every_opt_len_and_every_length_and_every_option_length() {
    let mut bytes = [0; 8 + 252];
    for words in 0..32_u8 {
        let step = 4 + 4 * usize::from(words);
        for at in (8..bytes.len()).step_by(step) {
            bytes[at..at + 4].copy_from_slice(&[0x01, 0x02, 0x03, words]);
        }
        for opt_len in 0..64_u8 {
            bytes[0] = opt_len;
            let announced = 4 * usize::from(opt_len);
            for actual in 0..=252 {
                let packet = &bytes[..8 + actual];
                let whole = announced / step;
                let expected = if actual < announced {
                    Err(DecodeError::Truncated { needed: 8 + announced, available: 8 + actual })
                } else if announced % step != 0 {
                    let offset = whole * step;
                    Err(DecodeError::OptionOverrun { offset, needed: step, available: announced - offset })
                } else {
                    Ok((whole, actual - announced))
                };
                let decoded = GenevePacket::decode(packet);
                assert_eq!(
                    decoded.map(|packet| (packet.options().iter().count(), packet.payload().len())),
                    expected,
                    "Opt Len {opt_len}, {actual} bytes, options of {step} bytes"
                );
                // What is not processed cannot be wrong.
                let stripped = GenevePacket::decode_with(packet, DecodeOptions::LINUX);
                assert_eq!(stripped.is_ok(), actual >= announced);
            }
        }
        bytes[8..].fill(0);
    }
}

/// Every value of the first two bytes: version, Opt Len, O, C, reserved bits.
#[test]
fn every_first_two_bytes() {
    // One option after another without data, of which none is critical, as many as there can be.
    let mut bytes = [0; 8 + 252];
    for high in 0..=u8::MAX {
        for low in 0..=u8::MAX {
            bytes[..2].copy_from_slice(&[high, low]);
            let (version, opt_len, flag) = (high >> 6, high & 0x3f, low & 0x40 != 0);
            let version_error = (version != 0).then_some(DecodeError::UnknownVersion { version });
            let mismatch = Some(DecodeError::CriticalFlagMismatch { flag });

            let rfc = version_error.or(if flag && opt_len == 0 { mismatch } else { None });
            assert_eq!(GenevePacket::decode(&bytes).err(), rfc);

            let linux = version_error.or(flag.then_some(DecodeError::CriticalFlag));
            assert_eq!(GenevePacket::decode_with(&bytes, DecodeOptions::LINUX).err(), linux);

            let reserved = DecodeError::ReservedBits { offset: 1, bits: low & 0x3f };
            let strict = version_error.or(if flag { mismatch } else { None }).or((low & 0x3f != 0).then_some(reserved));
            assert_eq!(GenevePacket::decode_with(&bytes, DecodeOptions::STRICT).err(), strict);

            let ignore = DecodeOptions { critical_flag: CriticalFlag::Ignore, ..DecodeOptions::RFC };
            assert_eq!(GenevePacket::decode_with(&bytes, ignore).err(), version_error);
        }
    }
}

/// Every reserved byte of the header and of an option.
#[test]
fn every_reserved_bit() {
    for byte in 0..=u8::MAX {
        let bytes = [1, 0, 0x65, 0x58, 0, 0, 42, byte, 0x01, 0x02, 0x03, 0];
        assert!(GenevePacket::decode(&bytes).is_ok());
        let error = (byte != 0).then_some(DecodeError::ReservedBits { offset: 7, bits: byte });
        assert_eq!(GenevePacket::decode_with(&bytes, DecodeOptions::STRICT).err(), error);

        let bits = byte & 0xe0;
        let bytes = [2, 0, 0x65, 0x58, 0, 0, 42, 0, 0x01, 0x02, 0x03, 0, 0x01, 0x02, 0x03, bits];
        let packet = GenevePacket::decode(&bytes).unwrap();
        assert_eq!(packet.options().iter().last().map(|option| option.reserved()), Some(bits >> 5));
        let error = (bits != 0).then_some(DecodeError::ReservedBits { offset: 15, bits });
        assert_eq!(GenevePacket::decode_with(&bytes, DecodeOptions::STRICT).err(), error);
    }
}

#[test]
fn every_truncation_of_the_fixed_header() {
    let bytes = GeneveHeader::new(Vni::MAX, EtherType::IPV4).to_bytes();
    for available in 0..8 {
        let error = DecodeError::Truncated { needed: 8, available };
        assert_eq!(GenevePacket::decode(&bytes[..available]), Err(error));
        assert_eq!(GeneveHeader::from_prefix(&bytes[..available]), Err(error));
        let mut short = [0xaa; 8];
        let error = EncodeError::BufferTooSmall { needed: 8, available };
        assert_eq!(GeneveHeader::new(Vni::MAX, EtherType::IPV4).write_to(&mut short[..available]), Err(error));
        let built = GeneveBuilder::new(&mut short[..available], Vni::MAX, EtherType::IPV4);
        assert_eq!(built.err(), Some(error));
        assert_eq!(short, [0xaa; 8], "nothing is written");
    }
}

/// Every length of a second option, behind a first one of every length, into a buffer of every size that matters.
#[test]
fn no_sequence_of_lengths_makes_the_builder_write_an_invalid_packet() {
    let data = [0x5a; 200];
    let class = OptionClass::EXPERIMENTAL;
    for first in (0..=124).step_by(4) {
        for second in 0..=data.len() {
            for room in [8 + 4 + first, 8 + 4 + first + 3, 8 + 4 + first + 4 + second, 340] {
                let mut buffer = [0xaa; 340];
                let mut builder = GeneveBuilder::new(&mut buffer[..room], Vni::MIN, EtherType::IPV4).unwrap();
                builder.push(class, OptionType::new(0x01), &data[..first]).unwrap();
                let total = 4 + first + 4 + second;
                let expected = if second > 124 {
                    Err(EncodeError::OptionTooLong { len: second })
                } else if second % 4 != 0 {
                    Err(EncodeError::OptionUnaligned { len: second })
                } else if total > 252 {
                    Err(EncodeError::OptionsTooLong { len: total })
                } else if room < 8 + total {
                    Err(EncodeError::BufferTooSmall { needed: 8 + total, available: room })
                } else {
                    Ok(())
                };
                let pushed = builder.push(class, OptionType::new(0x81), &data[..second]);
                assert_eq!(pushed, expected, "{first} and {second} bytes into {room}");

                let len = builder.finish();
                assert!(buffer[len..].iter().all(|byte| *byte == 0xaa), "nothing behind is touched");
                let packet = GenevePacket::decode_with(&buffer[..len], DecodeOptions::STRICT).unwrap();
                let lengths: Vec<_> = packet.options().iter().map(|option| option.data().len()).collect();
                assert_eq!(lengths, if pushed.is_ok() { vec![first, second] } else { vec![first] });
                assert_eq!(packet.header().is_critical(), pushed.is_ok());
            }
        }
    }
}
