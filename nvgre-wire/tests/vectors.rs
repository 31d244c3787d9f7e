//! Every GRE packet of the test data against what its manifest says, as NVGRE and as plain GRE.

use nvgre_wire::{DecodeError, DecodeOptions, GreFields, GrePacket, NvgreHeader, ReservedBits, Vsid};

#[path = "../../testdata/vectors.rs"]
mod vectors;

/// The name that the manifest has for an error.
fn reason(error: DecodeError) -> &'static str {
    match error {
        DecodeError::Truncated { .. } => "truncated",
        DecodeError::UnknownVersion { .. } => "unknown_version",
        DecodeError::ReservedBits { .. } => "reserved_bits",
        DecodeError::ChecksumPresent { .. }
        | DecodeError::SequenceNumberPresent { .. }
        | DecodeError::KeyAbsent { .. } => "invalid_header",
        DecodeError::WrongProtocolType { .. } => "wrong_protocol_type",
        other => panic!("{other:?} has no name"),
    }
}

#[test]
fn every_packet_is_what_the_manifest_says() {
    let mut canonical = 0;
    for vector in vectors::of("nvgre") {
        let (verdict, by_decoder) = vector.verdict();
        // Linux was not measured on it, and the manifest has nothing else to say about it.
        assert_eq!(vector.linux_verdict(), verdict);
        for options in [DecodeOptions::RFC, DecodeOptions::LINUX] {
            let refused = NvgreHeader::decode_with(&vector.tunnel, options).err().map(reason);
            assert_eq!(refused, by_decoder.then_some(verdict), "{}", vector.name());
        }
        let Ok((header, inner)) = NvgreHeader::decode(&vector.tunnel) else { continue };
        assert_eq!(u64::from(header.gre().flags()), vector.number("flags"), "{}", vector.name());
        assert_eq!(u64::from(header.gre().version()), vector.number("version"));
        assert_eq!(u64::from(header.gre().protocol_type().get()), vector.number("protocol_type"));
        assert_eq!(u64::from(header.raw_vsid()), vector.number("vsid"));
        assert_eq!(u64::from(header.flow_id().get()), vector.number("flow_id"));
        assert_eq!(u64::from(header.key()), vector.number("key"));
        vector.assert_inner(inner);
        if let Ok(vsid) = header.vsid()
            && header.gre().flags() == NvgreHeader::FLAGS
        {
            let again = NvgreHeader::new(vsid, header.flow_id());
            assert_eq!(again.as_bytes()[..], vectors::hex(vector.text("header")));
            canonical += 1;
        }
        let strict = NvgreHeader::decode_with(&vector.tunnel, DecodeOptions::STRICT).err();
        let clean = header.gre().flags() == NvgreHeader::FLAGS && !Vsid::is_reserved(header.raw_vsid());
        assert_eq!(strict.is_none(), clean, "{}: {strict:?}", vector.name());
    }
    assert!(canonical > 250, "only {canonical} canonical packets");
}

/// Open vSwitch takes no packet with one of the bits 6 to 12.
#[test]
fn open_vswitch_strictness() {
    let options = DecodeOptions { reserved_bits: ReservedBits::Reject, ..DecodeOptions::RFC };
    let mut rejected = 0;
    for vector in vectors::of("nvgre") {
        if vector.manifest["verdict"]["openvswitch"]["verdict"] == "reserved_bits" {
            let error = NvgreHeader::decode_with(&vector.tunnel, options).unwrap_err();
            assert_eq!(reason(error), "reserved_bits", "{}", vector.name());
            rejected += 1;
        }
    }
    assert!(rejected > 0, "no packet that Open vSwitch rejects");
}

#[test]
fn plain_gre_reads_what_is_not_nvgre() {
    let (mut not_nvgre, mut with_checksum) = (0, 0);
    for vector in vectors::of("nvgre") {
        let (verdict, _) = vector.verdict();
        let packet = match GrePacket::decode(&vector.tunnel) {
            Ok(packet) => packet,
            Err(error) => {
                assert_eq!(reason(error), verdict, "{}", vector.name());
                continue;
            }
        };
        assert_eq!(u64::from(packet.checksum().is_some()), vector.number("c"), "{}", vector.name());
        assert_eq!(u64::from(packet.key().is_some()), vector.number("k"));
        assert_eq!(u64::from(packet.sequence_number().is_some()), vector.number("s"));
        assert_eq!(packet.key().map(u64::from), vector.manifest.get("key").map(vectors::number));
        assert_eq!(packet.header().header_len() as u64, vector.number("header_length"));
        vector.assert_inner(packet.payload());

        // It says why it is not NVGRE, in the same words as the decoder of NVGRE.
        match packet.as_nvgre() {
            Ok(header) => assert_eq!(NvgreHeader::decode(&vector.tunnel).map(|(header, _)| header), Ok(header)),
            Err(error) => {
                assert_eq!(reason(error), verdict, "{}", vector.name());
                not_nvgre += 1;
            }
        }
        if packet.checksum().is_some() {
            let wrong = vector.text("name").contains("zero") || vector.text("name") == "C and S set";
            assert_eq!(packet.verify_checksum().is_err(), wrong, "{}", vector.name());
            with_checksum += 1;
        }

        // Written again from its fields, it is the same, but for a checksum that was wrong.
        let fields = GreFields {
            protocol_type: packet.header().protocol_type(),
            checksum: packet.checksum().is_some(),
            key: packet.key(),
            sequence_number: packet.sequence_number(),
        };
        let mut again = vec![0xaa; fields.header_len()];
        again.extend_from_slice(packet.payload());
        fields.write_to(&mut again).unwrap();
        if packet.verify_checksum().is_ok() && packet.header().flags() & 0x03f8 == 0 {
            assert_eq!(again, vector.tunnel, "{}", vector.name());
        }
        assert_eq!(GrePacket::decode(&again).unwrap().verify_checksum(), Ok(()));
    }
    assert!(not_nvgre >= 20 && with_checksum >= 5, "{not_nvgre}, {with_checksum}");
}
