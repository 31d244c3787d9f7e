//! Any bytes as a Geneve packet, under every strictness, to look at and to edit.

#![no_main]

use geneve_wire::{
    CriticalFlag, DecodeError, DecodeOptions, GeneveHeader, GenevePacket, GenevePacketMut, OptionHandling, Options,
    ReservedBits,
};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    for reserved_bits in [ReservedBits::Ignore, ReservedBits::Reject] {
        for option_handling in [OptionHandling::Process, OptionHandling::Strip] {
            for critical_flag in [CriticalFlag::Ignore, CriticalFlag::NeedsOptions, CriticalFlag::Exact] {
                check(bytes, DecodeOptions { reserved_bits, option_handling, critical_flag });
            }
        }
    }
});

fn check(bytes: &[u8], options: DecodeOptions) {
    let mut copy = bytes.to_vec();
    let mutable = GenevePacketMut::decode_with(&mut copy, options);
    match GenevePacket::decode_with(bytes, options) {
        Ok(packet) => {
            let len = packet.header().header_len();
            assert_eq!(packet.header().version(), 0);
            assert_eq!(packet.payload(), &bytes[len..]);
            check_options(packet.options(), &bytes[8..len], options);

            let mutable = mutable.expect("the same packet");
            assert_eq!(&*mutable.header, packet.header());
            assert_eq!(&*mutable.payload, packet.payload());
            let mut left = packet.options().iter();
            for mut option in mutable.options {
                assert_eq!(Some(option.as_option()), left.next());
                option.data_mut().fill(0xff);
            }
            assert!(left.next().is_none());
        }
        Err(error) => {
            assert_eq!(mutable.err(), Some(error));
            if let DecodeError::Truncated { needed, available } = error {
                assert!(available == bytes.len() && available < needed && needed <= GeneveHeader::MAX_LEN);
            }
        }
    }
}

fn check_options(found: Options<'_>, area: &[u8], options: DecodeOptions) {
    if options.option_handling == OptionHandling::Strip {
        assert!(found.is_empty());
        return;
    }
    assert_eq!(found.as_bytes(), area);
    let mut sum = 0;
    for option in found {
        sum += 4 + option.data().len();
        assert!(option.data().len() <= 124);
        let first = found.find(option.class(), option.option_type()).expect("it is there");
        assert_eq!((first.class(), first.option_type()), (option.class(), option.option_type()));
    }
    assert_eq!(sum, area.len());
    assert_eq!(found.refuse_unknown_critical(|_, _| false).is_err(), found.has_critical());
}
