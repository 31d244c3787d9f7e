//! What holds for all headers and all bytes.

use overlay_types::Vni;
use proptest::prelude::*;
use vxlan_wire::{
    DecodeError, DecodeOptions, EncodeError, GbpHeader, GpeHeader, GroupPolicy, NextProtocol, ReservedBits, VxlanHeader,
};

fn vni() -> impl Strategy<Value = Vni> {
    any::<[u8; 3]>().prop_map(Vni::from_be_bytes)
}

fn options() -> impl Strategy<Value = DecodeOptions> {
    let bits = || prop_oneof![Just(ReservedBits::Ignore), Just(ReservedBits::Reject)];
    (bits(), bits(), any::<bool>()).prop_map(|(reserved_bits, group_policy_bits, require_next_protocol)| {
        DecodeOptions { reserved_bits, group_policy_bits, require_next_protocol }
    })
}

fn policy() -> impl Strategy<Value = GroupPolicy> {
    any::<(u16, bool, bool)>().prop_map(|(id, dont_learn, policy_applied)| GroupPolicy {
        id,
        dont_learn,
        policy_applied,
    })
}

/// Sets a field and asserts that it has the value, that no other bit changed, and that each value can be reached.
macro_rules! set_then_get {
    ($header:ident, $bytes:expr, $set:ident, $get:ident, $value:expr, mask $mask:expr) => {{
        let mut bytes = $bytes;
        let (header, _) = $header::from_prefix_mut(&mut bytes).unwrap();
        header.$set($value);
        prop_assert_eq!(header.$get(), $value);
        let changed = u64::from_be_bytes(bytes) ^ u64::from_be_bytes($bytes);
        prop_assert_eq!(changed & !$mask, 0, "{:016x}", changed);
    }};
}

proptest! {
    #[test]
    fn vxlan_fields(bytes: [u8; 8], vni in vni(), flags: u8, reserved: [u8; 3], reserved2: u8) {
        set_then_get!(VxlanHeader, bytes, set_flags, flags, flags, mask 0xff << 56);
        set_then_get!(VxlanHeader, bytes, set_reserved, reserved, reserved, mask 0xff_ffff << 32);
        set_then_get!(VxlanHeader, bytes, set_vni, vni, vni, mask 0xff_ffff << 8);
        set_then_get!(VxlanHeader, bytes, set_reserved2, reserved2, reserved2, mask 0xff);
    }

    #[test]
    fn gbp_fields(bytes: [u8; 8], vni in vni(), flags: u8, id: u16, policy in policy(), reserved2: u8) {
        set_then_get!(GbpHeader, bytes, set_flags, flags, flags, mask 0xff << 56);
        set_then_get!(GbpHeader, bytes, set_policy_flags, policy_flags, flags, mask 0xff << 48);
        set_then_get!(GbpHeader, bytes, set_group_policy_id, group_policy_id, id, mask 0xffff << 32);
        set_then_get!(GbpHeader, bytes, set_vni, vni, vni, mask 0xff_ffff << 8);
        set_then_get!(GbpHeader, bytes, set_reserved2, reserved2, reserved2, mask 0xff);
        set_then_get!(GbpHeader, bytes, set_group_policy, group_policy, Some(policy), mask 0x80ff_ffff << 32);
        set_then_get!(GbpHeader, bytes, set_group_policy, group_policy, None, mask 0x80ff_ffff << 32);
    }

    #[test]
    fn gpe_fields(bytes: [u8; 8], vni in vni(), flags: u8, reserved: [u8; 2], protocol: u8, reserved2: u8) {
        let protocol = NextProtocol::new(protocol);
        set_then_get!(GpeHeader, bytes, set_flags, flags, flags, mask 0xff << 56);
        set_then_get!(GpeHeader, bytes, set_reserved, reserved, reserved, mask 0xffff << 40);
        set_then_get!(GpeHeader, bytes, set_next_protocol, next_protocol, protocol, mask 0xff << 32);
        set_then_get!(GpeHeader, bytes, set_vni, vni, vni, mask 0xff_ffff << 8);
        set_then_get!(GpeHeader, bytes, set_reserved2, reserved2, reserved2, mask 0xff);
    }

    #[test]
    fn what_is_encoded_is_decoded(vni in vni(), policy in proptest::option::of(policy()), protocol: u8, room in 8..64usize) {
        let mut buffer = vec![0xaa; room];
        let header = VxlanHeader::new(vni);
        prop_assert_eq!(header.write_to(&mut buffer), Ok(()));
        let (decoded, payload) = VxlanHeader::decode_with(&buffer, DecodeOptions::STRICT).unwrap();
        prop_assert_eq!((decoded, payload.len()), (&header, room - 8));
        prop_assert!(payload.iter().all(|byte| *byte == 0xaa));

        let header = GbpHeader::new(vni, policy);
        prop_assert_eq!(header.write_to(&mut buffer), Ok(()));
        let (decoded, _) = GbpHeader::decode_with(&buffer, DecodeOptions::STRICT).unwrap();
        prop_assert_eq!((decoded.vni(), decoded.group_policy()), (vni, policy));

        let header = GpeHeader::new(vni, NextProtocol::new(protocol));
        prop_assert_eq!(header.write_to(&mut buffer), Ok(()));
        let (decoded, _) = GpeHeader::decode_with(&buffer, DecodeOptions::STRICT).unwrap();
        prop_assert_eq!((decoded.vni(), decoded.payload_protocol()), (vni, NextProtocol::new(protocol)));
    }

    #[test]
    fn what_strict_decoding_takes_is_canonical(mut bytes: [u8; 8], mask in proptest::sample::select(vec![0x08_u8, 0x88, 0x8c, 0x0c])) {
        // Most of the reserved bits away, so that many are taken.
        bytes[0] = bytes[0] & mask | 0x08;
        bytes[7] = 0;
        if let Ok((header, _)) = VxlanHeader::decode_with(&bytes, DecodeOptions::STRICT) {
            prop_assert_eq!(VxlanHeader::new(header.vni()).to_bytes(), bytes);
        }
        bytes[1] &= 0x48;
        if let Ok((header, _)) = GbpHeader::decode_with(&bytes, DecodeOptions::STRICT) {
            prop_assert_eq!(GbpHeader::new(header.vni(), header.group_policy()).to_bytes(), bytes);
        }
        bytes[1..3].fill(0);
        if let Ok((header, _)) = GpeHeader::decode_with(&bytes, DecodeOptions::STRICT) {
            prop_assert_eq!(GpeHeader::new(header.vni(), header.next_protocol()).to_bytes(), bytes);
        }
    }

    #[test]
    fn any_bytes_are_answered_within_their_bounds(bytes in proptest::collection::vec(any::<u8>(), 0..24), options in options()) {
        macro_rules! check {
            ($header:ident) => {
                match $header::decode_with(&bytes, options) {
                    Ok((header, payload)) => {
                        prop_assert_eq!(&header.as_bytes()[..], &bytes[..8]);
                        prop_assert_eq!(payload, &bytes[8..]);
                        prop_assert!(bytes.as_ptr_range().contains(&header.as_bytes().as_ptr()));
                    }
                    Err(DecodeError::Truncated { needed: 8, available }) => prop_assert!(available == bytes.len() && available < 8),
                    Err(_) => prop_assert!(bytes.len() >= 8),
                }
                let mut copy = bytes.clone();
                let written = $header::from_prefix(&[0x5a; 8]).unwrap().0.write_to(&mut copy);
                if bytes.len() < 8 {
                    prop_assert_eq!(written, Err(EncodeError::BufferTooSmall { needed: 8, available: bytes.len() }));
                    prop_assert_eq!(&copy, &bytes);
                } else {
                    prop_assert_eq!(written, Ok(()));
                    prop_assert_eq!((&copy[..8], &copy[8..]), (&[0x5a; 8][..], &bytes[8..]));
                }
            };
        }
        check!(VxlanHeader);
        check!(GbpHeader);
        check!(GpeHeader);
    }

    #[test]
    fn stricter_options_take_nothing_more(bytes: [u8; 8]) {
        for (loose, strict) in [(DecodeOptions::RFC, DecodeOptions::LINUX), (DecodeOptions::LINUX, DecodeOptions::STRICT)] {
            if VxlanHeader::decode_with(&bytes, strict).is_ok() {
                prop_assert!(VxlanHeader::decode_with(&bytes, loose).is_ok());
            }
            if GbpHeader::decode_with(&bytes, strict).is_ok() {
                prop_assert!(GbpHeader::decode_with(&bytes, loose).is_ok());
            }
            if GpeHeader::decode_with(&bytes, strict).is_ok() {
                prop_assert!(GpeHeader::decode_with(&bytes, loose).is_ok());
            }
        }
    }
}
