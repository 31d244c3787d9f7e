//! A canonical Geneve packet, written again from what was read, gives the same bytes.

#![no_main]

use geneve_wire::{DecodeOptions, GeneveBuilder, GeneveHeader, GenevePacket};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let Ok(packet) = GenevePacket::decode(bytes) else { return };
    let mut buffer = [0xaa; GeneveHeader::MAX_LEN];
    let mut builder =
        GeneveBuilder::new(&mut buffer, packet.header().vni(), packet.header().protocol_type()).expect("room");
    builder.set_control(packet.header().is_control());
    for option in packet.options() {
        builder.push_option(&option).expect("what was read can be written");
    }
    let len = builder.finish();
    assert_eq!(len, packet.header().header_len());

    // What was written is canonical, and says the same.
    let again = GenevePacket::decode_with(&buffer[..len], DecodeOptions::STRICT).expect("canonical");
    assert_eq!(again.header().vni(), packet.header().vni());
    assert_eq!(again.options().iter().count(), packet.options().iter().count());
    for (again, option) in again.options().iter().zip(packet.options()) {
        assert_eq!(
            (again.class(), again.option_type(), again.data()),
            (option.class(), option.option_type(), option.data())
        );
    }
    if GenevePacket::decode_with(bytes, DecodeOptions::STRICT).is_ok() {
        assert_eq!(buffer[..len], bytes[..len]);
    }
});
