//! A program without std, without an allocator and without a panic path can be linked from `vxlan-wire` and `overlay-types`: nothing of it
//! allocates or panics.

#![cfg(target_os = "linux")]

#[path = "../../testdata/no_std_no_alloc.rs"]
mod no_std_no_alloc;

const RUN: &str = r#"
use overlay_types::{EtherType, MacAddr, Vni};
use vxlan_wire::{DecodeOptions, GbpHeader, GpeHeader, GroupPolicy, NextProtocol, VxlanHeader};

fn run() -> Option<u32> {
    let mut buffer = black_box([0_u8; 64]);
    let vni: Vni = black_box("42").parse().ok()?;
    let mac: MacAddr = black_box("02:00:00:00:00:01").parse().ok()?;
    VxlanHeader::new(vni).write_to(&mut buffer).ok()?;
    let (header, frame) = VxlanHeader::decode_with(black_box(&buffer), DecodeOptions::LINUX).ok()?;
    let mut sum = header.vni().get() + frame.len() as u32 + u32::from(mac.octets()[0]);
    let policy = GroupPolicy { id: black_box(7), dont_learn: true, policy_applied: false };
    GbpHeader::new(vni, Some(policy)).write_to(&mut buffer).ok()?;
    sum += u32::from(GbpHeader::decode(black_box(&buffer)).ok()?.0.group_policy_id());
    GpeHeader::new(vni, NextProtocol::ETHERNET).write_to(&mut buffer).ok()?;
    sum += GpeHeader::decode(black_box(&buffer)).ok()?.0.vni().get();
    Some(sum + u32::from(EtherType::IPV4.get()))
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
