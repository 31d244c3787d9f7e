//! A program without std, without an allocator and without a panic path can be linked from `offload`: nothing of it
//! allocates or panics.

#![cfg(target_os = "linux")]

#[path = "../../testdata/no_std_no_alloc.rs"]
#[expect(dead_code, reason = "the crate has no feature that allocates, so that proof cannot be seen to fail here")]
mod no_std_no_alloc;

const RUN: &str = r"
use offload::{
    Coalescer, OuterNetwork, Port, SuperFrame, TunnelOffsets, VirtioNetHeader, VirtioNetTunnelHeader, finish_checksum,
    is_partial,
};

fn run() -> Option<u32> {
    let mut frame = black_box([0_u8; 1400]);
    let (virtio, _) = VirtioNetHeader::from_prefix(black_box(&[0; 10])).ok()?;
    finish_checksum(virtio, &mut frame).ok()?;
    let super_frame = SuperFrame::parse(virtio, &frame).ok()?;
    let mut header = black_box([0; 200]);
    let mut sum = super_frame.write_segment(&frame, black_box(3), &mut header).end;
    sum += super_frame.largest_frame() + usize::from(is_partial(&frame));
    let tunnel = VirtioNetTunnelHeader::new(*virtio, OuterNetwork::Ipv4, black_box(TunnelOffsets::default()));
    sum += usize::from(tunnel.inner(black_box(50))?.csum_start());
    let mut coalescer = Coalescer::new();
    let mut deliver = |delivery: offload::Delivery<'_>| {
        sum += delivery.frames() + delivery.bytes() + delivery.originals().map(|range| range.end).sum::<usize>();
    };
    for start in 0..black_box(10) {
        let port = Port { id: 1, mtu: black_box(1500), merge_udp: true };
        coalescer.push(port, &frame, start..black_box(1000), &mut deliver);
    }
    coalescer.flush(&frame, &mut deliver);
    Some(sum as u32)
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
