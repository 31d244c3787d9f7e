//! Headers and options as people write them.

#![cfg(feature = "serde")]

use overlay_types::Vni;
use serde_json::json;
use vxlan_wire::{DecodeOptions, GbpHeader, GpeHeader, GroupPolicy, NextProtocol, VxlanHeader};

#[test]
fn headers_are_structures_of_their_fields() {
    let header = VxlanHeader::new(Vni::MAX);
    let json = json!({"flags": 8, "reserved": [0, 0, 0], "vni": 16_777_215, "reserved2": 0});
    assert_eq!(serde_json::to_value(header).unwrap(), json);
    assert_eq!(serde_json::from_value::<VxlanHeader>(json).unwrap(), header);

    let policy = GroupPolicy { id: 7, dont_learn: true, policy_applied: false };
    let header = GbpHeader::new(Vni::MIN, Some(policy));
    let json = serde_json::to_value(header).unwrap();
    assert_eq!(serde_json::from_value::<GbpHeader>(json).unwrap(), header);
    assert_eq!(serde_json::to_value(policy).unwrap(), json!({"id": 7, "dont_learn": true, "policy_applied": false}));

    let header = GpeHeader::new(Vni::MIN, NextProtocol::IPV6);
    let json = serde_json::to_value(header).unwrap();
    assert_eq!(json["next_protocol"], 2);
    assert_eq!(serde_json::from_value::<GpeHeader>(json).unwrap(), header);

    // A VNI of more than 24 bits is no VNI here either.
    let json = json!({"flags": 8, "reserved": [0, 0, 0], "vni": 16_777_216, "reserved2": 0});
    assert!(serde_json::from_value::<VxlanHeader>(json).is_err());
}

#[test]
fn options_are_words() {
    let json = json!({"reserved_bits": "reject", "group_policy_bits": "ignore", "require_next_protocol": true});
    assert_eq!(serde_json::to_value(DecodeOptions::LINUX).unwrap(), json);
    assert_eq!(serde_json::from_value::<DecodeOptions>(json).unwrap(), DecodeOptions::LINUX);
}
