//! Decoding and encoding one header, against the floor and against `pnet_packet`, in one run.
//!
//! The floor is what no codec can go below: one bounds check and one big-endian load or store of the eight bytes.

use std::hint::black_box;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use overlay_types::Vni;
use pnet_packet::vxlan::{MutableVxlanPacket, VxlanPacket};
use vxlan_wire::{DecodeOptions, VxlanHeader};

/// Packets for each measurement: they fit the first-level cache.
const PACKETS: usize = 256;

fn packets() -> Vec<[u8; 64]> {
    let packets = (0..PACKETS).map(|index| {
        let mut packet = [0; 64];
        let vni = Vni::new(u32::try_from(index * 65_537).expect("a small index")).expect("24 bits");
        VxlanHeader::new(vni).write_to(&mut packet).expect("64 bytes");
        packet
    });
    packets.collect()
}

/// Sums up what `read` finds in each packet.
fn each(packets: &[[u8; 64]], read: impl Fn(&[u8]) -> u32) -> u32 {
    packets.iter().fold(0, |sum, packet| sum.wrapping_add(read(black_box(packet))))
}

fn decode(criterion: &mut Criterion) {
    let packets = packets();
    let mut group = criterion.benchmark_group("vxlan/decode");
    group.throughput(Throughput::Elements(PACKETS as u64));
    group.bench_function("floor", |bencher| {
        bencher.iter(|| {
            each(&packets, |packet| {
                packet.first_chunk().map_or(0, |header| (u64::from_be_bytes(*header) >> 8) as u32 & 0xff_ffff)
            })
        });
    });
    group.bench_function("vxlan-wire", |bencher| {
        bencher
            .iter(|| each(&packets, |packet| VxlanHeader::decode(packet).map_or(0, |(header, _)| header.vni().get())));
    });
    group.bench_function("vxlan-wire, Linux", |bencher| {
        bencher.iter(|| {
            each(&packets, |packet| {
                VxlanHeader::decode_with(packet, DecodeOptions::LINUX).map_or(0, |(header, _)| header.vni().get())
            })
        });
    });
    // The I flag is looked at here, too.
    group.bench_function("pnet_packet", |bencher| {
        bencher.iter(|| {
            each(&packets, |packet| match VxlanPacket::new(packet) {
                Some(header) if header.get_flags() & 0x08 != 0 => header.get_vni(),
                _ => 0,
            })
        });
    });
    group.finish();
}

/// Writes a header to the front of each packet.
fn write_each(packets: &mut [[u8; 64]], vnis: &[Vni], write: impl Fn(&mut [u8], Vni) -> bool) {
    for (packet, vni) in packets.iter_mut().zip(vnis) {
        assert!(write(black_box(packet), black_box(*vni)));
    }
}

fn encode(criterion: &mut Criterion) {
    let mut packets = packets();
    let vnis: Vec<_> = packets.iter().map(|packet| Vni::from_be_bytes([packet[4], packet[5], packet[6]])).collect();
    let mut group = criterion.benchmark_group("vxlan/encode");
    group.throughput(Throughput::Elements(PACKETS as u64));
    group.bench_function("floor", |bencher| {
        bencher.iter(|| {
            write_each(&mut packets, &vnis, |packet, vni| {
                let header = 0x08 << 56 | u64::from(vni.get()) << 8;
                packet.first_chunk_mut().map(|place| *place = header.to_be_bytes()).is_some()
            });
        });
    });
    group.bench_function("vxlan-wire", |bencher| {
        bencher.iter(|| write_each(&mut packets, &vnis, |packet, vni| VxlanHeader::new(vni).write_to(packet).is_ok()));
    });
    group.bench_function("pnet_packet", |bencher| {
        bencher.iter(|| {
            write_each(&mut packets, &vnis, |packet, vni| {
                let header = MutableVxlanPacket::new(packet).map(|mut header| {
                    header.set_flags(0x08);
                    header.set_reserved1(0);
                    header.set_vni(vni.get());
                    header.set_reserved2(0);
                });
                header.is_some()
            });
        });
    });
    group.finish();
}

criterion_group!(benches, decode, encode);
criterion_main!(benches);
