//! Release code of decoding and writing has no panic path and no call.

#[path = "../../testdata/release_code.rs"]
mod release_code;

const PROBE: &str = r"
use nvgre_wire::{DecodeError, DecodeOptions, EncodeError, FlowId, GrePacket, NvgreHeader, Vsid};

#[inline(never)]
pub fn nvgre_decode(bytes: &[u8]) -> Result<(&NvgreHeader, &[u8]), DecodeError> {
    NvgreHeader::decode(bytes)
}

#[inline(never)]
pub fn nvgre_decode_with(bytes: &[u8], options: DecodeOptions) -> Result<(&NvgreHeader, &[u8]), DecodeError> {
    NvgreHeader::decode_with(bytes, options)
}

#[inline(never)]
pub fn nvgre_decode_vsid(bytes: &[u8]) -> Option<Vsid> {
    NvgreHeader::decode(bytes).ok().and_then(|(header, _)| header.vsid().ok())
}

#[inline(never)]
pub fn nvgre_write_to(vsid: Vsid, flow_id: FlowId, buffer: &mut [u8]) -> Result<(), EncodeError> {
    NvgreHeader::new(vsid, flow_id).write_to(buffer)
}

#[inline(never)]
pub fn gre_decode_with(bytes: &[u8], options: DecodeOptions) -> Result<GrePacket<'_>, DecodeError> {
    GrePacket::decode_with(bytes, options)
}
";

#[test]
fn decoding_and_writing_call_nothing() {
    let functions = ["nvgre_decode", "nvgre_decode_with", "nvgre_decode_vsid", "nvgre_write_to", "gre_decode_with"];
    release_code::assert_calls_nothing(PROBE, &functions);
}
