//! Headers, numbers and decode options as people write them.

#![cfg(feature = "serde")]

use geneve_wire::{DecodeOptions, GeneveHeader, OptionClass, OptionType};
use overlay_types::{EtherType, Vni};
use serde_json::json;

#[test]
fn headers_are_structures_of_their_fields() {
    let header = GeneveHeader::new(Vni::MAX, EtherType::IPV4);
    let json = json!({"version_opt_len": 0, "flags": 0, "protocol_type": 0x0800, "vni": 16_777_215, "reserved2": 0});
    assert_eq!(serde_json::to_value(header).unwrap(), json);
    assert_eq!(serde_json::from_value::<GeneveHeader>(json).unwrap(), header);
}

#[test]
fn numbers_are_numbers() {
    assert_eq!(serde_json::to_value(OptionClass::OVN).unwrap(), 0x0102);
    assert_eq!(serde_json::from_value::<OptionClass>(json!(0x0102)).unwrap(), OptionClass::OVN);
    assert!(serde_json::from_value::<OptionClass>(json!(0x1_0000)).is_err());
    assert_eq!(serde_json::to_value(OptionType::new(0x80)).unwrap(), 128);
    assert_eq!(serde_json::from_value::<OptionType>(json!(128)).unwrap(), OptionType::new(0x80));
}

#[test]
fn options_are_words() {
    let json = json!({"reserved_bits": "ignore", "option_handling": "strip", "critical_flag": "needs_options"});
    assert_eq!(serde_json::to_value(DecodeOptions::LINUX).unwrap(), json);
    assert_eq!(serde_json::from_value::<DecodeOptions>(json).unwrap(), DecodeOptions::LINUX);
}
