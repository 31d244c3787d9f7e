//! A program without std, without an allocator and without a panic path can be linked from `geneve-wire`: nothing of it
//! allocates or panics.

#![cfg(target_os = "linux")]

#[path = "../../testdata/no_std_no_alloc.rs"]
mod no_std_no_alloc;

const RUN: &str = r"
use geneve_wire::{DecodeOptions, GeneveBuilder, GenevePacket, GenevePacketMut, OptionClass, OptionType};
use overlay_types::{EtherType, Vni};

fn run() -> Option<u32> {
    let mut buffer = black_box([0_u8; 256]);
    let mut builder = GeneveBuilder::new(&mut buffer, Vni::MAX, EtherType::TRANSPARENT_ETHERNET_BRIDGING).ok()?;
    for data in black_box([[1_u8; 8], [2; 8], [3; 8]]) {
        builder.push(OptionClass::OVN, OptionType::new(data[0]), &data).ok()?;
    }
    let mut sum = builder.finish() as u32;
    let packet = GenevePacket::decode_with(black_box(&buffer), DecodeOptions::STRICT).ok()?;
    packet.options().refuse_unknown_critical(|class, _| class == OptionClass::OVN).ok()?;
    sum += packet.options().iter().filter_map(|option| option.data().first().copied()).map(u32::from).sum::<u32>();
    sum += packet.options().find(OptionClass::OVN, OptionType::new(2))?.data().len() as u32;
    let packet = GenevePacketMut::decode_with(black_box(&mut buffer), DecodeOptions::RFC).ok()?;
    for mut option in packet.options {
        option.data_mut().fill(9);
    }
    Some(sum + packet.header.vni().get())
}
";

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
