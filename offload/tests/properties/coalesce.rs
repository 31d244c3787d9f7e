//! Coalescing is what the rules say, loses nothing, and is undone by segmentation.

use std::ops::Range;

use offload::{Coalescer, Delivery, Port, VirtioNetHeader, finish_checksum, is_partial};
use proptest::prelude::*;

use super::{
    any::{burst, super_frame},
    model::{self, Delivered},
    packet::{Checksum, Spec},
    segment::segments,
};

pub(crate) const PORT: Port = Port { id: 7, mtu: 1500, merge_udp: true };

/// One frame behind the other, with something between them.
fn lay_out(frames: impl IntoIterator<Item = (Port, Vec<u8>)>) -> (Vec<u8>, Vec<(Port, Range<usize>)>) {
    let mut memory = vec![0xee; 3];
    let mut ranges = Vec::new();
    for (port, frame) in frames {
        ranges.push((port, memory.len()..memory.len() + frame.len()));
        memory.extend(frame);
        memory.extend([0xee; 5]);
    }
    (memory, ranges)
}

fn deliver(memory: &[u8], delivery: &Delivery<'_>) -> Delivered {
    let mut bytes = delivery.header.to_vec();
    for piece in delivery.pieces {
        bytes.extend(&memory[piece.range()]);
    }
    let originals: Vec<_> = delivery.originals().collect();
    assert_eq!(delivery.frames(), originals.len());
    assert_eq!(delivery.bytes(), originals.iter().map(ExactSizeIterator::len).sum());
    Delivered { port: delivery.port, virtio: delivery.virtio.to_bytes(), bytes, originals }
}

/// What the coalescer makes of these.
fn coalesce(coalescer: &mut Coalescer, memory: &[u8], frames: &[(Port, Range<usize>)]) -> Vec<Delivered> {
    let mut delivered = Vec::new();
    for (port, range) in frames {
        coalescer.push(*port, memory, range.clone(), &mut |delivery| delivered.push(deliver(memory, &delivery)));
    }
    coalescer.flush(memory, &mut |delivery| delivered.push(deliver(memory, &delivery)));
    delivered
}

/// The frames of one delivery, each for itself and finished.
fn undo(delivered: &Delivered) -> Vec<Vec<u8>> {
    let (virtio, _) = VirtioNetHeader::from_prefix(&delivered.virtio).unwrap();
    if virtio.is_super_frame() {
        return segments(virtio, &delivered.bytes).unwrap();
    }
    let mut frame = delivered.bytes.clone();
    finish_checksum(virtio, &mut frame).unwrap();
    vec![frame]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn as_the_rules_say(batches in prop::collection::vec(burst(), 1..3)) {
        // One coalescer for all batches.
        let mut coalescer = Coalescer::new();
        for burst in batches {
            let (memory, frames) = lay_out(burst);
            let delivered = coalesce(&mut coalescer, &memory, &frames);
            prop_assert_eq!(&delivered, &model::coalesce(&memory, &frames));

            // Each frame is in one delivery.
            let mut starts: Vec<_> = delivered.iter().flat_map(|one| &one.originals).map(|range| range.start).collect();
            starts.sort_unstable();
            prop_assert_eq!(starts, frames.iter().map(|(_, range)| range.start).collect::<Vec<_>>());

            // What the guest makes of a run is what was received, with the checksum that the sender meant.
            for one in delivered.iter().filter(|one| one.originals.len() > 1) {
                let segments = undo(one);
                prop_assert_eq!(segments.len(), one.originals.len());
                for (segment, range) in segments.iter().zip(&one.originals) {
                    prop_assert_eq!(without_identification(segment), without_identification(&finished(&memory[range.clone()])));
                }
            }
        }
    }

    #[test]
    fn segments_are_merged_again((spec, _) in super_frame(), segments in 2..64_usize) {
        let mut spec = Spec { extensions: Vec::new(), fragment: 0, padding: 0, ..spec };
        spec.payload.extend([1, 2]);
        if let Some(tcp) = &mut spec.tcp {
            tcp.flags &= 0x58;
        }
        let size = spec.payload.len().div_ceil(segments) as u16;
        let frames = spec.cut(usize::from(size));
        let (memory, frames) = lay_out(frames.into_iter().map(|frame| (PORT, frame)));
        let delivered = coalesce(&mut Coalescer::new(), &memory, &frames);
        prop_assert_eq!(delivered.len(), 1);
        prop_assert_eq!(&delivered[0].bytes, &spec.build());
        prop_assert_eq!(delivered[0].virtio, super::segment::virtio(&spec, size).to_bytes());
        let originals: Vec<_> = frames.iter().map(|(_, range)| range.clone()).collect();
        prop_assert_eq!(&delivered[0].originals, &originals);
        prop_assert_eq!(undo(&delivered[0]), spec.cut(usize::from(size)));
    }

    #[test]
    fn any_bytes_do_not_panic(
        burst in burst(),
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..40),
        ends in prop::collection::vec(any::<prop::sample::Index>(), 0..4),
        other in prop::collection::vec(any::<u8>(), 0..300),
    ) {
        let (mut memory, mut frames) = lay_out(burst);
        for (at, byte) in changes {
            let at = at.index(memory.len());
            memory[at] = byte;
        }
        // Some are cut off.
        for end in ends {
            let at = end.index(frames.len());
            let (_, range) = &mut frames[at];
            range.end = range.start + end.index(range.len() + 1);
        }
        let mut coalescer = Coalescer::new();
        prop_assert_eq!(coalesce(&mut coalescer, &memory, &frames), model::coalesce(&memory, &frames));

        // Whoever breaks the contract gets nonsense at worst: memory that is another one, and ranges that lie outside.
        for (index, (port, range)) in frames.iter().enumerate() {
            let memory = if index % 2 == 0 { &memory } else { &other };
            coalescer.push(*port, memory, range.clone(), &mut |_| {});
        }
        coalescer.push(PORT, &memory, memory.len()..memory.len() + 1, &mut |_| panic!("not in the memory"));
        #[expect(clippy::reversed_empty_ranges, reason = "what is not a range is not delivered")]
        coalescer.push(PORT, &memory, 2..1, &mut |_| panic!("not a range"));
        coalescer.flush(&other, &mut |_| {});
    }
}

/// The frame with the checksum that it was to get, and without padding.
fn finished(frame: &[u8]) -> Vec<u8> {
    let (memory, frames) = (frame, [(PORT, 0..frame.len())]);
    if !is_partial(frame) {
        return frame.to_vec();
    }
    let delivered = coalesce(&mut Coalescer::new(), memory, &frames);
    let (virtio, _) = VirtioNetHeader::from_prefix(&delivered[0].virtio).unwrap();
    assert!(virtio.needs_checksum());
    undo(&delivered[0]).concat()
}

/// A constant identification counts after segmentation; all else is the same.
fn without_identification(frame: &[u8]) -> Vec<u8> {
    let mut frame = frame.to_vec();
    let payload = ether_wire::ethernet::payload(&frame).unwrap();
    if payload.ether_type == ether_wire::EtherType::IPV4 {
        let (header, _) = ether_wire::Ipv4Header::from_prefix_mut(&mut frame[payload.offset..]).unwrap();
        header.set_identification(0);
    }
    frame
}

/// Frames of one flow of TCP over IPv4, `size` bytes of payload each.
pub(crate) fn stream(frames: usize, size: usize) -> Vec<Spec> {
    let frames = (0..frames).map(|index| Spec {
        station: 1,
        tags: Vec::new(),
        is_ipv6: false,
        source: 1,
        destination: 2,
        traffic_class: 0b10,
        flow_label: 0,
        hop_limit: 64,
        identification: index as u16,
        fragment: 0x4000,
        extensions: Vec::new(),
        ports: (40000, 5201),
        tcp: Some(super::packet::Tcp {
            sequence_number: (index * size) as u32,
            acknowledgment_number: 1,
            reserved: 0,
            flags: 0x10,
            window: 500,
            urgent_pointer: 0,
            options: vec![1, 1, 8, 10, 0, 0, 0, 7, 0, 0, 0, 9],
        }),
        payload: vec![index as u8; size],
        checksum: Checksum::Whole,
        padding: 0,
    });
    frames.collect()
}

fn coalesced(frames: &[Spec]) -> Vec<Delivered> {
    let (memory, frames) = lay_out(frames.iter().map(|spec| (PORT, spec.build())));
    let delivered = coalesce(&mut Coalescer::new(), &memory, &frames);
    assert_eq!(delivered, model::coalesce(&memory, &frames));
    delivered
}

/// How many frames each delivery has.
fn counts(frames: &[Spec]) -> Vec<usize> {
    coalesced(frames).iter().map(|delivered| delivered.originals.len()).collect()
}

#[test]
fn congestion_is_not_merged_away() {
    for marked in 0..64 {
        let mut frames = stream(64, 500);
        frames[marked].traffic_class = 0b11;
        let delivered = coalesced(&frames);
        let all: Vec<_> = delivered.iter().flat_map(undo).collect();
        let ecn: Vec<_> = all.iter().map(|frame| frame[15] & 0b11).collect();
        let expected: Vec<_> = (0..64).map(|index| if index == marked { 0b11 } else { 0b10 }).collect();
        assert_eq!(ecn, expected);
        assert_eq!(all, frames.iter().map(Spec::build).collect::<Vec<_>>());
    }
}

#[test]
fn a_packet_is_never_too_long() {
    // 52 bytes of IP and TCP in front of 1448: 45 of them would be 65,212 bytes, 46 would be 66,660.
    assert_eq!(counts(&stream(100, 1448)), [45, 45, 10]);
    assert_eq!(counts(&stream(5, 32_000)), [2, 2, 1]);
    assert_eq!(counts(&stream(300, 1)), [128, 128, 44]);
    // To the byte: the packet has 65,505 at most.
    let exact = (65_535 - 30 - 52) / 3;
    assert_eq!(counts(&stream(3, exact)), [3]);
    assert_eq!(counts(&stream(3, exact + 1)), [2, 1]);
}

#[test]
fn what_ends_a_run() {
    type Change = fn(&mut Spec);
    let tcp: [(Change, &[usize]); 20] = [
        (|_| {}, &[8]),
        (|spec| spec.payload.truncate(90), &[4, 4]),
        (|spec| spec.payload.clear(), &[3, 1, 4]),
        // It begins a run, of which the next is the short end.
        (|spec| spec.payload.push(0), &[3, 2, 3]),
        (|spec| spec.tcp.as_mut().unwrap().flags |= 0x08, &[4, 4]),
        (|spec| spec.tcp.as_mut().unwrap().flags |= 0x01, &[3, 1, 4]),
        (|spec| spec.tcp.as_mut().unwrap().flags |= 0x20, &[3, 1, 4]),
        (|spec| spec.tcp.as_mut().unwrap().flags |= 0x80, &[3, 1, 4]),
        (|spec| spec.tcp.as_mut().unwrap().flags |= 0x40, &[3, 1, 4]),
        (|spec| spec.tcp.as_mut().unwrap().reserved = 1, &[3, 1, 4]),
        (|spec| spec.tcp.as_mut().unwrap().window += 1, &[3, 1, 4]),
        (|spec| spec.tcp.as_mut().unwrap().acknowledgment_number += 1, &[3, 1, 4]),
        (|spec| spec.tcp.as_mut().unwrap().urgent_pointer += 1, &[3, 1, 4]),
        (|spec| spec.tcp.as_mut().unwrap().options[7] ^= 1, &[3, 1, 4]),
        (|spec| spec.hop_limit -= 1, &[3, 1, 4]),
        (|spec| spec.fragment = 0, &[3, 1, 4]),
        // With the next it has one that is constant.
        (|spec| spec.identification += 1, &[3, 2, 3]),
        (|spec| spec.station = 9, &[3, 1, 4]),
        (|spec| spec.tags.push([0x81, 0, 0, 1]), &[3, 1, 4]),
        (|spec| spec.checksum = Checksum::Wrong, &[3, 1, 4]),
    ];
    for (number, (change, expected)) in tcp.into_iter().enumerate() {
        let mut frames = stream(8, 100);
        change(&mut frames[3]);
        let end = |spec: &Spec| spec.tcp.as_ref().unwrap().sequence_number + spec.payload.len() as u32;
        // A longer or shorter payload moves what is behind it.
        for index in 4..8 {
            let sequence_number = end(&frames[index - 1]);
            frames[index].tcp.as_mut().unwrap().sequence_number = sequence_number;
        }
        assert_eq!(counts(&frames), expected, "change {number}");
    }
    // A hole in the stream.
    let mut frames = stream(8, 100);
    frames.remove(3);
    assert_eq!(counts(&frames), [3, 4]);
}

#[test]
fn vlan_tags_are_compared() {
    let mut frames = stream(8, 100);
    for frame in &mut frames {
        frame.tags = vec![[0x88, 0xa8, 0, 7], [0x81, 0, 0, 1]];
    }
    assert_eq!(counts(&frames), [8]);
    frames[3].tags[1][3] = 2;
    assert_eq!(counts(&frames), [3, 1, 4]);
    frames[5].tags[0][2] = 0x20;
    assert_eq!(counts(&frames), [3, 1, 1, 1, 2]);
}

#[test]
fn an_identification_counts_or_is_constant_from_the_start() {
    let with = |identifications: &[u16], fragment| {
        let mut frames = stream(identifications.len(), 100);
        for (frame, identification) in frames.iter_mut().zip(identifications) {
            (frame.identification, frame.fragment) = (*identification, fragment);
        }
        counts(&frames)
    };
    assert_eq!(with(&[0xfffe, 0xffff, 0, 1], 0), [4]);
    assert_eq!(with(&[9, 9, 9, 9], 0x4000), [4]);
    assert_eq!(with(&[9, 9, 9, 9], 0), [1, 1, 1, 1]);
    assert_eq!(with(&[0, 1, 0, 1], 0x4000), [2, 2]);
    assert_eq!(with(&[0, 0, 1, 2], 0x4000), [2, 2]);
    assert_eq!(with(&[0, 1, 3, 4], 0x4000), [2, 2]);
}

#[test]
fn datagrams_are_merged_up_to_64_and_only_where_wanted() {
    let mut frames = stream(70, 100);
    for frame in &mut frames {
        frame.tcp = None;
    }
    assert_eq!(counts(&frames), [64, 6]);
    frames[3].checksum = Checksum::Zero;
    assert_eq!(counts(&frames), [3, 1, 64, 2]);
    frames[3].checksum = Checksum::Whole;
    frames[3].payload.truncate(7);
    frames[3].padding = 20;
    assert_eq!(counts(&frames), [4, 64, 2]);
    let port = Port { merge_udp: false, ..PORT };
    let (memory, ranges) = lay_out(frames.iter().map(|spec| (port, spec.build())));
    assert_eq!(coalesce(&mut Coalescer::new(), &memory, &ranges).len(), 70);
}

#[test]
fn the_ninth_flow_ends_the_oldest_run() {
    let mut frames = Vec::new();
    for turn in 0..3 {
        for flow in 0..9_u16 {
            let mut spec = stream(3, 100)[turn].clone();
            spec.ports.0 = flow;
            frames.push(spec);
        }
    }
    // Nine flows in turn through eight places: each is out again before it comes.
    assert_eq!(counts(&frames), [1; 27]);
    frames.retain(|spec| spec.ports.0 != 4);
    assert_eq!(counts(&frames), [3; 8]);
}

#[test]
fn a_run_of_partial_checksums_is_one() {
    let mut frames = stream(4, 1000);
    frames[1].checksum = Checksum::Partial;
    frames[2].checksum = Checksum::Partial;
    assert_eq!(counts(&frames), [4]);
}

#[test]
fn a_lone_frame_is_finished_by_the_receiver() {
    let mut spec = stream(1, 20).remove(0);
    spec.padding = 4;
    spec.checksum = Checksum::Partial;
    let delivered = coalesced(&[spec.clone()]);
    assert_eq!(delivered[0].virtio, VirtioNetHeader::new().with_checksum(34, 16).to_bytes());
    let whole = Spec { checksum: Checksum::Whole, padding: 0, ..spec };
    assert_eq!(undo(&delivered[0]), [whole.build()]);
}

#[test]
fn a_super_frame_that_was_never_cut_is_cut_by_the_receiver() {
    for (is_ipv6, size) in [(false, 1448), (true, 1428)] {
        for flags in [0x10, 0x18, 0x90] {
            let mut spec = stream(1, 60_000).remove(0);
            spec.is_ipv6 = is_ipv6;
            if is_ipv6 {
                spec.fragment = 0;
            }
            spec.tcp.as_mut().unwrap().flags = flags;
            spec.checksum = Checksum::Partial;
            // It is in no run, and overtakes none.
            let mut before = Spec { payload: vec![1; 1000], ..spec.clone() };
            let tcp = before.tcp.as_mut().unwrap();
            (tcp.flags, tcp.sequence_number) = (0x10, tcp.sequence_number.wrapping_sub(1000));
            let delivered = coalesced(&[before, spec.clone()]);
            assert_eq!(delivered.len(), 2);
            assert_eq!(undo(&delivered[1]), spec.cut(size));
            // Where the checksum is whole, it is what the sender meant to send.
            spec.checksum = Checksum::Whole;
            assert_eq!(coalesced(&[spec])[0].virtio, [0; 10]);
        }
    }
}
