//! Decoding and encoding one header, against the floor and against `pnet_packet`, in one run.
//!
//! The floor is what no codec can go below: one bounds check, one big-endian load or store of the eight bytes, and for
//! decoding one compare of the first four with what RFC 7637 asks.

use std::hint::black_box;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use nvgre_wire::{DecodeOptions, FlowId, GrePacket, NvgreHeader, Vsid};
use pnet_packet::gre::{GrePacket as PnetGrePacket, MutableGrePacket};

/// Packets for each measurement: they fit the first-level cache.
const PACKETS: usize = 256;

fn vsids() -> Vec<Vsid> {
    (0..PACKETS)
        .map(|index| Vsid::new(0x1000 + u32::try_from(index * 65_000).expect("a small index")).expect("not reserved"))
        .collect()
}

fn packets() -> Vec<[u8; 64]> {
    let packets = vsids().into_iter().map(|vsid| {
        let mut packet = [0; 64];
        NvgreHeader::new(vsid, FlowId::new(7)).write_to(&mut packet).expect("64 bytes");
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
    let mut group = criterion.benchmark_group("nvgre/decode");
    group.throughput(Throughput::Elements(PACKETS as u64));
    group.bench_function("floor", |bencher| {
        bencher.iter(|| {
            each(&packets, |packet| {
                let header = packet.first_chunk().map_or(0, |header| u64::from_be_bytes(*header));
                if header >> 32 & 0xfc07_ffff == 0x2000_6558 { header as u32 } else { 0 }
            })
        });
    });
    group.bench_function("nvgre-wire", |bencher| {
        bencher.iter(|| each(&packets, |packet| NvgreHeader::decode(packet).map_or(0, |(header, _)| header.key())));
    });
    group.bench_function("nvgre-wire, strict", |bencher| {
        bencher.iter(|| {
            each(&packets, |packet| {
                NvgreHeader::decode_with(packet, DecodeOptions::STRICT).map_or(0, |(header, _)| header.key())
            })
        });
    });
    group.bench_function("nvgre-wire, plain GRE", |bencher| {
        bencher.iter(|| {
            each(&packets, |packet| GrePacket::decode(packet).ok().and_then(|packet| packet.key()).unwrap_or(0))
        });
    });
    // It has no profile of RFC 7637, so only what has to be looked at is.
    group.bench_function("pnet_packet", |bencher| {
        bencher.iter(|| {
            each(&packets, |packet| match PnetGrePacket::new(packet) {
                Some(header)
                    if header.get_checksum_present() == 0
                        && header.get_key_present() == 1
                        && header.get_sequence_present() == 0
                        && header.get_version() == 0
                        && header.get_protocol_type() == 0x6558 =>
                {
                    header.get_key_raw().first_chunk().map_or(0, |key| u32::from_be_bytes(*key))
                }
                _ => 0,
            })
        });
    });
    group.finish();
}

/// Writes a header to the front of each packet.
fn write_each(packets: &mut [[u8; 64]], vsids: &[Vsid], write: impl Fn(&mut [u8], Vsid) -> bool) {
    for (packet, vsid) in packets.iter_mut().zip(vsids) {
        assert!(write(black_box(packet), black_box(*vsid)));
    }
}

fn encode(criterion: &mut Criterion) {
    let (mut packets, vsids) = (packets(), vsids());
    let mut group = criterion.benchmark_group("nvgre/encode");
    group.throughput(Throughput::Elements(PACKETS as u64));
    group.bench_function("floor", |bencher| {
        bencher.iter(|| {
            write_each(&mut packets, &vsids, |packet, vsid| {
                let header = 0x2000_6558 << 32 | u64::from(vsid.get()) << 8 | 7;
                packet.first_chunk_mut().map(|place| *place = header.to_be_bytes()).is_some()
            });
        });
    });
    group.bench_function("nvgre-wire", |bencher| {
        bencher.iter(|| {
            write_each(&mut packets, &vsids, |packet, vsid| {
                NvgreHeader::new(vsid, FlowId::new(7)).write_to(packet).is_ok()
            });
        });
    });
    group.bench_function("pnet_packet", |bencher| {
        bencher.iter(|| {
            write_each(&mut packets, &vsids, |packet, vsid| {
                packet[..2].fill(0);
                let header = MutableGrePacket::new(packet).map(|mut header| {
                    header.set_key_present(1);
                    header.set_protocol_type(0x6558);
                    header.get_key_raw_mut().copy_from_slice(&(vsid.get() << 8 | 7).to_be_bytes());
                });
                header.is_some()
            });
        });
    });
    group.finish();
}

criterion_group!(benches, decode, encode);
criterion_main!(benches);
