//! Every Geneve packet of the test data against what its manifest says.

use geneve_wire::{DecodeError, DecodeOptions, GeneveBuilder, GeneveHeader, GenevePacket, Payload};

#[path = "../../testdata/vectors.rs"]
mod vectors;

use vectors::{Vector, number};

/// The name that the manifest has for an error.
fn reason(error: DecodeError) -> &'static str {
    match error {
        DecodeError::Truncated { .. } => "truncated",
        DecodeError::UnknownVersion { .. } => "unknown_version",
        DecodeError::OptionOverrun { .. } | DecodeError::CriticalFlagMismatch { .. } => "invalid_options",
        DecodeError::UnknownCriticalOption { .. } | DecodeError::CriticalFlag => "unknown_critical_option",
        DecodeError::ReservedBits { .. } => "reserved_bits",
        other => panic!("{other:?} has no name"),
    }
}

/// Asserts that the fields of the header and the options are those of the manifest.
fn assert_fields(vector: &Vector, packet: &GenevePacket<'_>) {
    let header = packet.header();
    assert_eq!(u64::from(header.version()), vector.number("version"), "{}", vector.name());
    assert_eq!(u64::from(header.opt_len()), vector.number("opt_len"));
    assert_eq!(u64::from(header.is_control()), vector.number("o"));
    assert_eq!(u64::from(header.is_critical()), vector.number("c"));
    assert_eq!(u64::from(header.flags() & 0x3f), vector.number("reserved"));
    assert_eq!(u64::from(header.protocol_type().get()), vector.number("protocol_type"));
    assert_eq!(u64::from(header.vni().get()), vector.number("vni"));
    assert_eq!(u64::from(header.reserved2()), vector.number("reserved2"));
    assert_eq!(header.header_len() as u64, vector.number("header_length"));

    let expected = vector.manifest["options"].as_array().expect("options");
    assert_eq!(packet.options().iter().count(), expected.len(), "{}", vector.name());
    for (option, expected) in packet.options().iter().zip(expected) {
        assert_eq!(u64::from(option.class().get()), number(&expected["class"]), "{}", vector.name());
        assert_eq!(u64::from(option.option_type().get()), number(&expected["type"]));
        assert_eq!(option.is_critical(), expected["critical"].as_bool().unwrap());
        assert_eq!(u64::from(option.reserved()), number(&expected["reserved"]));
        assert_eq!(option.data().len() as u64 / 4, number(&expected["length"]));
        assert_eq!(option.data(), vectors::hex(expected["data"].as_str().unwrap()));
    }
    vector.assert_inner(packet.payload());
}

/// Writes the packet's header again from its fields.
fn encode(packet: &GenevePacket<'_>) -> Vec<u8> {
    let mut buffer = [0xaa; GeneveHeader::MAX_LEN];
    let header = packet.header();
    let mut builder = GeneveBuilder::new(&mut buffer, header.vni(), header.protocol_type()).unwrap();
    builder.set_control(header.is_control());
    for option in packet.options() {
        builder.push_option(&option).unwrap();
    }
    let len = builder.finish();
    buffer[..len].to_vec()
}

#[test]
fn every_packet_is_what_the_manifest_says() {
    let mut canonical = 0;
    for vector in vectors::of("geneve") {
        let (verdict, by_decoder) = vector.verdict();
        let packet = match GenevePacket::decode(&vector.tunnel) {
            Err(error) => {
                assert!(by_decoder, "{}: {error}", vector.name());
                assert_eq!(reason(error), verdict, "{}", vector.name());
                continue;
            }
            Ok(packet) => packet,
        };
        assert!(!by_decoder, "{} decodes", vector.name());
        assert_fields(&vector, &packet);

        // An endpoint that knows no option finds in it what the manifest says.
        let unknown = packet.options().refuse_unknown_critical(|_, _| false);
        match verdict {
            "control_packet" => assert!(packet.header().is_control(), "{}", vector.name()),
            "unknown_critical_option" => assert_eq!(unknown.map_err(reason), Err(verdict), "{}", vector.name()),
            "wrong_protocol_type" => assert!(!matches!(packet.typed_payload(), Payload::Ethernet(_))),
            _ => {
                assert_eq!(unknown, Ok(()), "{}", vector.name());
                assert!(!packet.header().is_control());
                assert!(matches!(packet.typed_payload(), Payload::Ethernet(_)), "{}", vector.name());
            }
        }
        assert_eq!(packet.options().refuse_unknown_critical(|_, _| true), Ok(()));

        if GenevePacket::decode_with(&vector.tunnel, DecodeOptions::STRICT).is_ok() {
            assert_eq!(encode(&packet), vectors::hex(vector.text("header")), "{}", vector.name());
            canonical += 1;
        }
    }
    assert!(canonical > 400, "only {canonical} canonical packets");
}

#[test]
fn linux_strictness() {
    for vector in vectors::of("geneve") {
        let verdict = vector.linux_verdict();
        let differs = vector.manifest["verdict"].get("linux").is_some();
        match GenevePacket::decode_with(&vector.tunnel, DecodeOptions::LINUX) {
            Ok(packet) => {
                let by_endpoint = !differs && !vector.verdict().1;
                assert!(verdict == "accept" || by_endpoint, "{} decodes", vector.name());
                assert!(packet.options().is_empty(), "options are stripped");
                assert_eq!(packet.payload(), &vector.tunnel[packet.header().header_len()..]);
            }
            Err(error) if vector.number("c") == 1 && verdict == "control_packet" => {
                // Both are right: the manifest allows either.
                assert_eq!(error, DecodeError::CriticalFlag, "{}", vector.name());
            }
            Err(error) => assert_eq!(reason(error), verdict, "{}", vector.name()),
        }
    }
}
