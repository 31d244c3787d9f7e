//! Headers, numbers and options as people write them.

#![cfg(feature = "serde")]

use nvgre_wire::{DecodeOptions, FlowId, GreFields, NvgreHeader, Vsid};
use overlay_types::EtherType;
use serde_json::json;

#[test]
fn headers_are_structures_of_their_fields() {
    let header = NvgreHeader::new(Vsid::MIN, FlowId::new(7));
    let json = json!({"gre": {"flags": [0x20, 0], "protocol_type": 0x6558}, "vsid": [0, 0x10, 0], "flow_id": 7});
    assert_eq!(serde_json::to_value(header).unwrap(), json);
    assert_eq!(serde_json::from_value::<NvgreHeader>(json).unwrap(), header);

    let fields = GreFields { key: Some(42), ..GreFields::new(EtherType::IPV4) };
    let json = json!({"protocol_type": 0x0800, "checksum": false, "key": 42, "sequence_number": null});
    assert_eq!(serde_json::to_value(fields).unwrap(), json);
    assert_eq!(serde_json::from_value::<GreFields>(json).unwrap(), fields);
}

#[test]
fn options_are_words() {
    let json = json!({"reserved_bits": "reject", "reserved_vsids": "reject"});
    assert_eq!(serde_json::to_value(DecodeOptions::STRICT).unwrap(), json);
    assert_eq!(serde_json::from_value::<DecodeOptions>(json).unwrap(), DecodeOptions::STRICT);
}
