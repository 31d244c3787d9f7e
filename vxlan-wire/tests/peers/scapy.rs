//! What scapy encodes, read by us.

use geneve_wire::GenevePacket;
use nvgre_wire::{GrePacket, NvgreHeader};
use serde_json::Value;
use vxlan_wire::{GbpHeader, GpeHeader, VxlanHeader};

use crate::peers::{check_by_scapy, equal};

/// The program that makes the packets, one JSON object on a line for each: its bytes and the values given to scapy.
const PROGRAM: &str = include_str!("packets.py");

/// Asserts that `decode` reads from each packet of `kind` the values that scapy was given.
fn check(kind: &str, decode: impl Fn(&[u8], &Value)) {
    check_by_scapy(PROGRAM, kind, decode);
}

/// The 24 bits as a number.
fn number([a, b, c]: [u8; 3]) -> u32 {
    u32::from_be_bytes([0, a, b, c])
}

#[test]
fn vxlan() {
    check("vxlan", |bytes, packet| {
        let (header, frame) = VxlanHeader::decode(bytes).expect("a VXLAN header");
        equal(packet, "flags", header.flags());
        equal(packet, "reserved", number(header.reserved()));
        equal(packet, "vni", header.vni().get());
        equal(packet, "reserved2", header.reserved2());
        equal(packet, "inner", frame.len());
    });
}

#[test]
fn group_policy() {
    check("gbp", |bytes, packet| {
        let (header, frame) = GbpHeader::decode(bytes).expect("a Group Policy header");
        let policy = header.group_policy().expect("G is set");
        equal(packet, "flags", header.flags());
        equal(packet, "id", policy.id);
        equal(packet, "dont_learn", policy.dont_learn);
        equal(packet, "policy_applied", policy.policy_applied);
        equal(packet, "vni", header.vni().get());
        equal(packet, "inner", frame.len());
    });
}

#[test]
fn generic_protocol_extension() {
    check("gpe", |bytes, packet| {
        let (header, frame) = GpeHeader::decode(bytes).expect("a Generic Protocol Extension header");
        equal(packet, "bum", header.is_bum());
        equal(packet, "oam", header.is_oam());
        equal(packet, "next_protocol", header.payload_protocol().get());
        equal(packet, "reserved", u16::from_be_bytes(header.reserved()));
        equal(packet, "vni", header.vni().get());
        equal(packet, "inner", frame.len());
    });
}

#[test]
fn geneve() {
    check("geneve", |bytes, packet| {
        let decoded = GenevePacket::decode(bytes).expect("a Geneve packet");
        let header = decoded.header();
        equal(packet, "control", header.is_control());
        equal(packet, "critical", header.is_critical());
        equal(packet, "reserved", header.flags() & 0x3f);
        equal(packet, "protocol_type", header.protocol_type().get());
        equal(packet, "vni", header.vni().get());
        equal(packet, "reserved2", header.reserved2());
        let options = packet["options"].as_array().expect("options");
        assert_eq!(decoded.options().iter().count(), options.len(), "{packet}");
        for (option, expected) in decoded.options().iter().zip(options) {
            equal(expected, "class", option.class().get());
            equal(expected, "type", option.option_type().get());
            equal(expected, "reserved", option.reserved());
            equal(expected, "data", option.data());
        }
        equal(packet, "inner", decoded.payload().len());
    });
}

#[test]
fn nvgre() {
    check("nvgre", |bytes, packet| {
        let (header, frame) = NvgreHeader::decode(bytes).expect("an NVGRE header");
        equal(packet, "vsid", header.vsid().expect("not reserved").get());
        equal(packet, "flow_id", header.flow_id().get());
        equal(packet, "inner", frame.len());
    });
}

#[test]
fn gre() {
    check("gre", |bytes, packet| {
        let decoded = GrePacket::decode(bytes).expect("a GRE packet");
        assert_eq!(decoded.verify_checksum(), Ok(()), "{packet}");
        equal(packet, "protocol_type", decoded.header().protocol_type().get());
        equal(packet, "checksum", decoded.checksum().is_some());
        equal(packet, "key", decoded.key());
        equal(packet, "sequence_number", decoded.sequence_number());
        equal(packet, "inner", decoded.payload().len());
    });
}
