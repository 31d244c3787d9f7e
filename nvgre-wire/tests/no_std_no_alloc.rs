//! A program without std, without an allocator and without a panic path can be linked from `nvgre-wire`: nothing of it
//! allocates or panics.

#![cfg(target_os = "linux")]

#[path = "../../testdata/no_std_no_alloc.rs"]
mod no_std_no_alloc;

const RUN: &str = r#"
use nvgre_wire::{DecodeOptions, FlowId, GreFields, GrePacket, NvgreHeader, Vsid};
use overlay_types::EtherType;

fn run() -> Option<u32> {
    let mut buffer = black_box([0_u8; 64]);
    let vsid: Vsid = black_box("5000").parse().ok()?;
    NvgreHeader::new(vsid, FlowId::new(7)).write_to(&mut buffer).ok()?;
    let (header, frame) = NvgreHeader::decode_with(black_box(&buffer), DecodeOptions::STRICT).ok()?;
    let mut sum = header.key() + frame.len() as u32;
    let protocol_type = EtherType::IPV4;
    let fields = GreFields { protocol_type, checksum: true, key: Some(black_box(7)), sequence_number: Some(1) };
    fields.write_to(&mut buffer).ok()?;
    let packet = GrePacket::decode(black_box(&buffer)).ok()?;
    packet.verify_checksum().ok()?;
    sum += u32::from(packet.as_nvgre().is_err());
    Some(sum + packet.key()? + packet.sequence_number()?)
}
"#;

#[test]
fn a_program_without_std_and_alloc_and_panic_links() {
    no_std_no_alloc::assert_links(RUN);
}

#[test]
fn a_program_with_a_panic_path_does_not() {
    no_std_no_alloc::assert_panics_are_found(RUN);
}

#[test]
fn a_program_with_alloc_does_not() {
    no_std_no_alloc::assert_needs_allocator(RUN);
}
