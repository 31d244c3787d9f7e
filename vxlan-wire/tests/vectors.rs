//! Every VXLAN packet of the test data against what its manifest says.

use overlay_types::Vni;
use vxlan_wire::{DecodeError, DecodeOptions, GbpHeader, GpeHeader, GroupPolicy, NextProtocol, VxlanHeader};

#[path = "../../testdata/vectors.rs"]
mod vectors;

use vectors::Vector;

/// The name that the manifest has for an error.
fn reason(error: DecodeError) -> &'static str {
    match error {
        DecodeError::Truncated { .. } => "truncated",
        DecodeError::InvalidFlags { .. } => "invalid_header",
        DecodeError::ReservedBits { .. } => "reserved_bits",
        DecodeError::UnknownVersion { .. } => "unknown_version",
        other => panic!("{other:?} has no name"),
    }
}

/// Asserts the verdict of the decoder under RFC and Linux strictness, and gives what it decoded by the RFC.
fn judge<'a, T>(
    vector: &'a Vector,
    decode: impl Fn(&'a [u8], DecodeOptions) -> Result<(T, &'a [u8]), DecodeError>,
) -> Option<(T, &'a [u8])> {
    let refused = |result: &Result<_, DecodeError>| result.as_ref().err().copied().map(reason);

    let (verdict, by_decoder) = vector.verdict();
    let rfc = decode(&vector.tunnel, DecodeOptions::RFC);
    assert_eq!(refused(&rfc), by_decoder.then_some(verdict), "{}", vector.name());

    // Where Linux differs, it is by the header; where it agrees, the decoder's part is the same.
    let linux = refused(&decode(&vector.tunnel, DecodeOptions::LINUX));
    let differs = vector.linux_verdict() != verdict;
    let expected = match vector.linux_verdict() {
        "accept" => None,
        same if !differs => by_decoder.then_some(same),
        other => Some(other),
    };
    assert_eq!(linux, expected, "{}, Linux", vector.name());
    rfc.ok()
}

fn vni(vector: &Vector) -> Vni {
    Vni::new(u32::try_from(vector.number("vni")).unwrap()).unwrap()
}

fn byte(vector: &Vector, key: &str) -> u8 {
    u8::try_from(vector.number(key)).unwrap()
}

#[test]
fn vxlan() {
    let mut canonical = 0;
    for vector in vectors::of("vxlan") {
        let Some((header, inner)) = judge(&vector, VxlanHeader::decode_with) else { continue };
        let reserved = vector.number("reserved").to_be_bytes();
        assert_eq!(header.vni(), vni(&vector), "{}", vector.name());
        assert_eq!(header.flags(), byte(&vector, "flags"));
        assert_eq!(header.reserved(), reserved[5..]);
        assert_eq!(header.reserved2(), byte(&vector, "reserved2"));
        vector.assert_inner(inner);

        let mut again = VxlanHeader::new(header.vni());
        if !header.has_reserved_bits() {
            assert_eq!(again.as_bytes()[..], vectors::hex(vector.text("header")));
            canonical += 1;
        }
        again.set_flags(header.flags());
        again.set_reserved(header.reserved());
        again.set_reserved2(header.reserved2());
        assert_eq!(again.as_bytes()[..], vectors::hex(vector.text("header")));
    }
    assert!(canonical > 500, "only {canonical} canonical packets");
}

#[test]
fn group_policy() {
    let mut canonical = 0;
    for vector in vectors::of("vxlan-gbp") {
        let Some((header, inner)) = judge(&vector, GbpHeader::decode_with) else { continue };
        assert_eq!(header.vni(), vni(&vector), "{}", vector.name());
        assert_eq!(header.flags(), byte(&vector, "flags"));
        assert_eq!(header.reserved2(), byte(&vector, "reserved2"));
        let gbp = &vector.manifest["gbp"];
        let flag = |key: &str| gbp[key].as_bool().unwrap();
        let id = u16::try_from(vectors::number(&gbp["group_policy_id"])).unwrap();
        let policy = GroupPolicy { id, dont_learn: flag("dont_learn"), policy_applied: flag("policy_applied") };
        assert_eq!(header.group_policy_id(), id);
        assert_eq!(header.group_policy(), flag("g").then_some(policy), "{}", vector.name());
        vector.assert_inner(inner);

        if header.validate(DecodeOptions::STRICT).is_ok() {
            let again = GbpHeader::new(header.vni(), header.group_policy());
            assert_eq!(again.as_bytes()[..], vectors::hex(vector.text("header")));
            canonical += 1;
        }
        let mut again = GbpHeader::new(header.vni(), None);
        again.set_flags(header.flags());
        again.set_policy_flags(header.policy_flags());
        again.set_group_policy_id(header.group_policy_id());
        again.set_reserved2(header.reserved2());
        assert_eq!(again.as_bytes()[..], vectors::hex(vector.text("header")));
    }
    assert!(canonical > 80, "only {canonical} canonical packets");
}

#[test]
fn generic_protocol_extension() {
    let mut canonical = 0;
    for vector in vectors::of("vxlan-gpe") {
        let Some((header, inner)) = judge(&vector, GpeHeader::decode_with) else { continue };
        let gpe = &vector.manifest["gpe"];
        let flag = |key: &str| gpe[key].as_bool().unwrap();
        let next_protocol = NextProtocol::new(u8::try_from(vectors::number(&gpe["next_protocol"])).unwrap());
        assert_eq!(header.vni(), vni(&vector), "{}", vector.name());
        assert_eq!(u64::from(header.version()), vectors::number(&gpe["version"]));
        assert_eq!(header.flags() & GpeHeader::FLAG_I != 0, flag("i"));
        assert_eq!(header.flags() & GpeHeader::FLAG_P != 0, flag("p"));
        assert_eq!(header.is_bum(), flag("b"));
        assert_eq!(header.is_oam(), flag("o"));
        assert_eq!(header.next_protocol(), next_protocol);
        assert_eq!(header.payload_protocol(), if flag("p") { next_protocol } else { NextProtocol::ETHERNET });
        assert_eq!(header.reserved2(), byte(&vector, "reserved2"));
        vector.assert_inner(inner);

        // What the endpoint drops it for can be told from the header, too.
        match vector.verdict().0 {
            "control_packet" => assert!(header.is_oam()),
            "wrong_protocol_type" => assert_ne!(header.payload_protocol(), NextProtocol::ETHERNET),
            _ => assert!(!header.is_oam() && header.payload_protocol() == NextProtocol::ETHERNET),
        }

        let mut again = GpeHeader::new(header.vni(), next_protocol);
        if header.flags() == GpeHeader::FLAG_I | GpeHeader::FLAG_P && header.reserved_bits() == 0 {
            assert_eq!(again.as_bytes()[..], vectors::hex(vector.text("header")));
            canonical += 1;
        }
        again.set_flags(header.flags());
        again.set_reserved(header.reserved());
        again.set_reserved2(header.reserved2());
        assert_eq!(again.as_bytes()[..], vectors::hex(vector.text("header")));
    }
    assert!(canonical > 40, "only {canonical} canonical packets");
}

/// The reader of the test data itself, against another reader of the outer headers.
#[test]
fn outer_headers_are_found_where_etherparse_finds_them() {
    for encapsulation in ["vxlan", "vxlan-gbp", "vxlan-gpe"] {
        for vector in vectors::of(encapsulation) {
            let packet = etherparse::SlicedPacket::from_ethernet(&vector.frame).unwrap();
            let Some(etherparse::TransportSlice::Udp(udp)) = packet.transport else { panic!("{}", vector.name()) };
            assert_eq!(udp.payload(), vector.tunnel, "{}", vector.name());
            assert_eq!(u64::from(udp.destination_port()), vectors::number(&vector.manifest["outer"]["dst_port"]));
        }
    }
}
