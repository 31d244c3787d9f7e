//! Any bytes as a `GbpHeader`, under every strictness.

#![no_main]

use libfuzzer_sys::fuzz_target;
use vxlan_wire::{DecodeError, DecodeOptions, GbpHeader, ReservedBits};

fuzz_target!(|bytes: &[u8]| {
    let bits = [ReservedBits::Ignore, ReservedBits::Reject];
    for reserved_bits in bits {
        for group_policy_bits in bits {
            for require_next_protocol in [false, true] {
                check(bytes, DecodeOptions { reserved_bits, group_policy_bits, require_next_protocol });
            }
        }
    }
});

fn check(bytes: &[u8], options: DecodeOptions) {
    match GbpHeader::decode_with(bytes, options) {
        Ok((header, payload)) => {
            assert_eq!(header.as_bytes()[..], bytes[..8]);
            assert_eq!(payload, &bytes[8..]);
            assert_eq!(header.vni().to_be_bytes(), bytes[4..7]);
            assert_eq!(header.flags() & GbpHeader::FLAG_I, GbpHeader::FLAG_I);
            assert_eq!(header.validate(options), Ok(()));
        }
        Err(DecodeError::Truncated { needed, available }) => {
            assert!(needed == 8 && available == bytes.len() && available < 8);
        }
        Err(error) => assert_eq!(GbpHeader::from_prefix(bytes).expect("eight bytes").0.validate(options), Err(error)),
    }
}
