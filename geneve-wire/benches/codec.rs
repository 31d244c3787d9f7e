//! Decoding and encoding one header with and without options, against the floor.
//!
//! The floor is what no codec can go below: one bounds check and one big-endian load or store of the eight bytes that
//! are always there, and for options a copy of their bytes. No other crate in reach reads Geneve.

use std::hint::black_box;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use geneve_wire::{DecodeOptions, GeneveBuilder, GeneveHeader, GenevePacket, OptionClass, OptionType};
use overlay_types::{EtherType, Vni};

/// Packets for each measurement: they fit the first-level cache.
const PACKETS: usize = 128;
/// Eight bytes of header, four options of four bytes of header and eight bytes of data, some frame.
const LEN: usize = 96;

const DATA: [u8; 8] = [1, 2, 3, 4, 5, 6, 7, 8];
const ETHERNET: EtherType = EtherType::TRANSPARENT_ETHERNET_BRIDGING;

fn build(packet: &mut [u8], vni: Vni, options: u8) -> bool {
    let Ok(mut builder) = GeneveBuilder::new(packet, vni, ETHERNET) else { return false };
    for option_type in 1..=options {
        if builder.push(OptionClass::OVN, OptionType::new(option_type), &DATA).is_err() {
            return false;
        }
    }
    builder.finish() == GeneveHeader::LEN + 12 * usize::from(options)
}

fn vnis() -> Vec<Vni> {
    (0..PACKETS).map(|index| Vni::new(u32::try_from(index * 65_537).expect("small")).expect("24 bits")).collect()
}

fn packets(options: u8) -> Vec<[u8; LEN]> {
    let packets = vnis().into_iter().map(|vni| {
        let mut packet = [0; LEN];
        assert!(build(&mut packet, vni, options));
        packet
    });
    packets.collect()
}

/// Sums up what `read` finds in each packet.
fn each(packets: &[[u8; LEN]], read: impl Fn(&[u8]) -> u32) -> u32 {
    packets.iter().fold(0, |sum, packet| sum.wrapping_add(read(black_box(packet))))
}

fn decode(criterion: &mut Criterion) {
    for options in [0, 4] {
        let packets = packets(options);
        let mut group = criterion.benchmark_group(format!("geneve/decode, {options} options"));
        group.throughput(Throughput::Elements(PACKETS as u64));
        group.bench_function("floor", |bencher| {
            bencher.iter(|| {
                each(&packets, |packet| {
                    packet.first_chunk().map_or(0, |header| (u64::from_be_bytes(*header) >> 8) as u32 & 0xff_ffff)
                })
            });
        });
        group.bench_function("geneve-wire", |bencher| {
            bencher.iter(|| {
                each(&packets, |packet| GenevePacket::decode(packet).map_or(0, |packet| packet.header().vni().get()))
            });
        });
        group.bench_function("geneve-wire, strict", |bencher| {
            bencher.iter(|| {
                each(&packets, |packet| {
                    GenevePacket::decode_with(packet, DecodeOptions::STRICT)
                        .map_or(0, |packet| packet.header().vni().get())
                })
            });
        });
        group.bench_function("geneve-wire, and the last option looked up", |bencher| {
            bencher.iter(|| {
                each(&packets, |packet| {
                    let Ok(packet) = GenevePacket::decode(packet) else { return 0 };
                    let option = packet.options().find(OptionClass::OVN, black_box(OptionType::new(4)));
                    packet.header().vni().get() + option.map_or(0, |option| u32::from(option.data()[7]))
                })
            });
        });
        group.finish();
    }
}

/// Writes a header to the front of each packet.
fn write_each(packets: &mut [[u8; LEN]], vnis: &[Vni], write: impl Fn(&mut [u8], Vni) -> bool) {
    for (packet, vni) in packets.iter_mut().zip(vnis) {
        assert!(write(black_box(packet), black_box(*vni)));
    }
}

fn encode(criterion: &mut Criterion) {
    let vnis = vnis();
    for options in [0, 4] {
        let mut packets = packets(options);
        let template = packets[0];
        let len = GeneveHeader::LEN + 12 * usize::from(options);
        let mut group = criterion.benchmark_group(format!("geneve/encode, {options} options"));
        group.throughput(Throughput::Elements(PACKETS as u64));
        group.bench_function("floor", |bencher| {
            bencher.iter(|| {
                write_each(&mut packets, &vnis, |packet, vni| {
                    let header = (u64::from(options) * 3) << 56 | 0x6558 << 32 | u64::from(vni.get()) << 8;
                    let Some((place, rest)) = packet.split_first_chunk_mut() else { return false };
                    *place = header.to_be_bytes();
                    let room = rest.get_mut(..len - GeneveHeader::LEN);
                    room.map(|room| room.copy_from_slice(&template[GeneveHeader::LEN..len])).is_some()
                });
            });
        });
        group.bench_function("geneve-wire", |bencher| {
            bencher.iter(|| write_each(&mut packets, &vnis, |packet, vni| build(packet, vni, options)));
        });
        group.finish();
    }
}

criterion_group!(benches, decode, encode);
criterion_main!(benches);
