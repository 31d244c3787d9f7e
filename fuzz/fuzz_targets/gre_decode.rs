//! Any bytes as a plain GRE packet, to look at and to edit.

#![no_main]

use libfuzzer_sys::fuzz_target;
use nvgre_wire::{DecodeError, DecodeOptions, GrePacket, GrePacketMut, NvgreHeader};

fuzz_target!(|bytes: &[u8]| {
    for options in [DecodeOptions::RFC, DecodeOptions::STRICT] {
        let mut copy = bytes.to_vec();
        let mutable = GrePacketMut::decode_with(&mut copy, options);
        match GrePacket::decode_with(bytes, options) {
            Ok(packet) => {
                assert_eq!(packet.payload(), &bytes[packet.header().header_len()..]);
                let _ = packet.verify_checksum();
                if packet.as_nvgre().is_ok() {
                    assert!(NvgreHeader::decode(bytes).is_ok());
                }
                let mut mutable = mutable.expect("the same packet");
                assert_eq!(mutable.key.as_deref().map(|key| key.get()), packet.key());
                assert_eq!(&*mutable.payload, packet.payload());
                if let Some(byte) = mutable.payload.first_mut() {
                    *byte = !*byte;
                }
                mutable.update_checksum();
                let packet = GrePacket::decode_with(&copy, options).expect("its flags are the same");
                assert_eq!(packet.verify_checksum(), Ok(()));
            }
            Err(error) => {
                assert_eq!(mutable.err(), Some(error));
                if let DecodeError::Truncated { needed, available } = error {
                    assert!(available == bytes.len() && available < needed && needed <= 16);
                }
            }
        }
    }
});
