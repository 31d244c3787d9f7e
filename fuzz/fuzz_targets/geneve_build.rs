//! No sequence of calls makes the builder write an invalid packet, or write where it should not.

#![no_main]

use arbitrary::Arbitrary;
use geneve_wire::{DecodeOptions, EncodeError, GeneveBuilder, GenevePacket, OptionClass, OptionType};
use libfuzzer_sys::fuzz_target;
use overlay_types::{EtherType, Vni};

#[derive(Arbitrary, Debug)]
struct Input<'a> {
    room: u16,
    vni: Vni,
    protocol_type: EtherType,
    control: bool,
    options: Vec<(OptionClass, OptionType, &'a [u8])>,
}

fuzz_target!(|input: Input<'_>| {
    let mut buffer = vec![0xaa; usize::from(input.room % 320)];
    let room = buffer.len();
    let mut builder = match GeneveBuilder::new(&mut buffer, input.vni, input.protocol_type) {
        Ok(builder) => builder,
        Err(error) => {
            assert_eq!(error, EncodeError::BufferTooSmall { needed: 8, available: room });
            assert!(room < 8 && buffer.iter().all(|byte| *byte == 0xaa));
            return;
        }
    };
    builder.set_control(input.control);
    let mut taken = Vec::new();
    let mut len = 8;
    for (class, option_type, data) in input.options {
        let needed = len + 4 + data.len();
        let fits = data.len() <= 124 && data.len() % 4 == 0 && needed - 8 <= 252 && needed <= room;
        assert_eq!(builder.push(class, option_type, data).is_ok(), fits);
        if fits {
            taken.push((class, option_type, data));
            len = needed;
        }
    }
    assert_eq!(builder.finish(), len);
    assert!(buffer[len..].iter().all(|byte| *byte == 0xaa));
    let packet = GenevePacket::decode_with(&buffer[..len], DecodeOptions::STRICT).expect("always valid");
    assert_eq!(packet.header().is_control(), input.control);
    assert_eq!((packet.header().vni(), packet.header().protocol_type()), (input.vni, input.protocol_type));
    assert!(packet.options().iter().map(|option| (option.class(), option.option_type(), option.data())).eq(taken));
});
