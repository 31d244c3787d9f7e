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

/// A copy of `LEN` bytes whose first eight are the header.
fn floor<const LEN: usize>(packet: &mut [u8], vni: Vni, template: &[u8; LEN]) -> bool {
    let Some(room) = packet.first_chunk_mut::<LEN>() else { return false };
    *room = *template;
    let header = u64::from(template[0]) << 56 | 0x6558 << 32 | u64::from(vni.get()) << 8;
    room.first_chunk_mut().map(|place| *place = header.to_be_bytes()).is_some()
}

/// Encodes headers with this many options, of `LEN` bytes in all.
fn encode_options<const LEN: usize>(criterion: &mut Criterion, options: u8) {
    let (mut packets, vnis) = (packets(options), vnis());
    let template = *packets[0].first_chunk::<LEN>().expect("longer packets");
    let mut group = criterion.benchmark_group(format!("geneve/encode, {options} options"));
    group.throughput(Throughput::Elements(PACKETS as u64));
    group.bench_function("floor", |bencher| {
        bencher.iter(|| write_each(&mut packets, &vnis, |packet, vni| floor(packet, vni, black_box(&template))));
    });
    group.bench_function("geneve-wire", |bencher| {
        bencher.iter(|| write_each(&mut packets, &vnis, |packet, vni| build(packet, vni, options)));
    });
    group.finish();
}

fn encode(criterion: &mut Criterion) {
    encode_options::<{ GeneveHeader::LEN }>(criterion, 0);
    encode_options::<{ GeneveHeader::LEN + 4 * 12 }>(criterion, 4);
}

criterion_group!(benches, decode, encode);
criterion_main!(benches);
