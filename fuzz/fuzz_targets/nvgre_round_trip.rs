//! A GRE or NVGRE packet, written again from what was read, gives the same bytes.

#![no_main]

use libfuzzer_sys::fuzz_target;
use nvgre_wire::{DecodeOptions, GreFields, GrePacket, NvgreHeader};

fuzz_target!(|bytes: &[u8]| {
    if let Ok((header, _)) = NvgreHeader::decode_with(bytes, DecodeOptions::STRICT) {
        let vsid = header.vsid().expect("none is reserved");
        assert_eq!(NvgreHeader::new(vsid, header.flow_id()).to_bytes()[..], bytes[..8]);
    }
    let Ok(packet) = GrePacket::decode(bytes) else { return };
    let fields = GreFields {
        protocol_type: packet.header().protocol_type(),
        checksum: packet.checksum().is_some(),
        key: packet.key(),
        sequence_number: packet.sequence_number(),
    };
    assert_eq!(fields.header_len(), packet.header().header_len());
    let mut again = vec![0xaa; fields.header_len()];
    again.extend_from_slice(packet.payload());
    fields.write_to(&mut again).expect("room for the header");
    let written = GrePacket::decode_with(&again, DecodeOptions::STRICT).expect("canonical");
    assert_eq!(written.verify_checksum(), Ok(()));
    assert_eq!((written.key(), written.sequence_number()), (packet.key(), packet.sequence_number()));
    // A checksum of 0x0000 and one of 0xffff are the same number of one's complement, and both are right.
    let canonical = GrePacket::decode_with(bytes, DecodeOptions::STRICT).is_ok()
        && packet.verify_checksum().is_ok()
        && packet.reserved1().unwrap_or(0) == 0
        && packet.checksum() != Some(0xffff);
    if canonical {
        assert_eq!(again, bytes);
    }
});
