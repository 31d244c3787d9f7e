//! Release code of decoding and writing has no panic path and no call.

#[path = "../../testdata/release_code.rs"]
mod release_code;

const PROBE: &str = r"
use overlay_types::Vni;
use vxlan_wire::{DecodeError, DecodeOptions, EncodeError, GbpHeader, GpeHeader, GroupPolicy, NextProtocol, VxlanHeader};

#[inline(never)]
pub fn vxlan_decode(bytes: &[u8]) -> Result<(&VxlanHeader, &[u8]), DecodeError> {
    VxlanHeader::decode(bytes)
}

#[inline(never)]
pub fn vxlan_decode_with(bytes: &[u8], options: DecodeOptions) -> Result<(&VxlanHeader, &[u8]), DecodeError> {
    VxlanHeader::decode_with(bytes, options)
}

#[inline(never)]
pub fn vxlan_decode_vni(bytes: &[u8]) -> Option<u32> {
    VxlanHeader::decode(bytes).ok().map(|(header, _)| header.vni().get())
}

#[inline(never)]
pub fn vxlan_write_to(vni: Vni, buffer: &mut [u8]) -> Result<(), EncodeError> {
    VxlanHeader::new(vni).write_to(buffer)
}

#[inline(never)]
pub fn gbp_decode_with(bytes: &[u8], options: DecodeOptions) -> Result<(&GbpHeader, &[u8]), DecodeError> {
    GbpHeader::decode_with(bytes, options)
}

#[inline(never)]
pub fn gbp_write_to(vni: Vni, policy: GroupPolicy, buffer: &mut [u8]) -> Result<(), EncodeError> {
    GbpHeader::new(vni, Some(policy)).write_to(buffer)
}

#[inline(never)]
pub fn gpe_decode_with(bytes: &[u8], options: DecodeOptions) -> Result<(&GpeHeader, &[u8]), DecodeError> {
    GpeHeader::decode_with(bytes, options)
}

#[inline(never)]
pub fn gpe_write_to(vni: Vni, protocol: NextProtocol, buffer: &mut [u8]) -> Result<(), EncodeError> {
    GpeHeader::new(vni, protocol).write_to(buffer)
}
";

#[test]
fn decoding_and_writing_call_nothing() {
    let functions = [
        "vxlan_decode",
        "vxlan_decode_with",
        "vxlan_decode_vni",
        "vxlan_write_to",
        "gbp_decode_with",
        "gbp_write_to",
        "gpe_decode_with",
        "gpe_write_to",
    ];
    release_code::assert_calls_nothing(PROBE, &functions);
}
