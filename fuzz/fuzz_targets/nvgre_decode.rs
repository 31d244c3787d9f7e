//! Any bytes as an NVGRE header, under every strictness.

#![no_main]

use libfuzzer_sys::fuzz_target;
use nvgre_wire::{DecodeError, DecodeOptions, GrePacket, NvgreHeader, ReservedBits, ReservedVsids};

fuzz_target!(|bytes: &[u8]| {
    for reserved_bits in [ReservedBits::Ignore, ReservedBits::Reject] {
        for reserved_vsids in [ReservedVsids::Accept, ReservedVsids::Reject] {
            check(bytes, DecodeOptions { reserved_bits, reserved_vsids });
        }
    }
});

fn check(bytes: &[u8], options: DecodeOptions) {
    match NvgreHeader::decode_with(bytes, options) {
        Ok((header, payload)) => {
            assert_eq!(header.as_bytes()[..], bytes[..8]);
            assert_eq!(payload, &bytes[8..]);
            assert!(header.vsid().is_ok() || options.reserved_vsids == ReservedVsids::Accept);
            let packet = GrePacket::decode_with(bytes, options).expect("NVGRE is GRE");
            assert_eq!(packet.as_nvgre(), Ok(header));
            assert_eq!((packet.key(), packet.payload()), (Some(header.key()), payload));
        }
        Err(DecodeError::Truncated { needed, available }) => {
            assert!(needed == 8 && available == bytes.len() && available < 8);
        }
        Err(error) => assert_eq!(NvgreHeader::from_prefix(bytes).expect("eight bytes").0.validate(options), Err(error)),
    }
}
