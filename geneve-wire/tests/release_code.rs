//! Release code of decoding and writing has no panic path and no call.

#[path = "../../testdata/release_code.rs"]
mod release_code;

const PROBE: &str = r"
use geneve_wire::{
    DecodeError, DecodeOptions, EncodeError, GeneveBuilder, GeneveHeader, GenevePacket, OptionClass, OptionType,
};
use overlay_types::{EtherType, Vni};

#[inline(never)]
pub fn geneve_decode(bytes: &[u8]) -> Result<GenevePacket<'_>, DecodeError> {
    GenevePacket::decode(bytes)
}

#[inline(never)]
pub fn geneve_decode_with(bytes: &[u8], options: DecodeOptions) -> Result<GenevePacket<'_>, DecodeError> {
    GenevePacket::decode_with(bytes, options)
}

#[inline(never)]
pub fn geneve_find<'a>(packet: &GenevePacket<'a>, class: OptionClass, option_type: OptionType) -> Option<&'a [u8]> {
    packet.options().find(class, option_type).map(|option| option.data())
}

#[inline(never)]
pub fn geneve_refuse_unknown_critical(packet: &GenevePacket<'_>) -> Result<(), DecodeError> {
    packet.options().refuse_unknown_critical(|class, _| class == OptionClass::OVN)
}

#[inline(never)]
pub fn geneve_write_to(vni: Vni, buffer: &mut [u8]) -> Result<(), EncodeError> {
    GeneveHeader::new(vni, EtherType::TRANSPARENT_ETHERNET_BRIDGING).write_to(buffer)
}

#[inline(never)]
pub fn geneve_build(vni: Vni, data: [u8; 8], buffer: &mut [u8]) -> Result<usize, EncodeError> {
    let mut builder = GeneveBuilder::new(buffer, vni, EtherType::TRANSPARENT_ETHERNET_BRIDGING)?;
    builder.push(OptionClass::OVN, OptionType::new(0x80), &data)?;
    Ok(builder.finish())
}
";

#[test]
fn decoding_and_writing_call_nothing() {
    let functions = [
        "geneve_decode",
        "geneve_decode_with",
        "geneve_find",
        "geneve_refuse_unknown_critical",
        "geneve_write_to",
        "geneve_build",
    ];
    release_code::assert_calls_nothing(PROBE, &functions);
}
