//! Super-frames out, and runs in.

use std::os::fd::AsRawFd;

use offload::GsoType;
use testbed::{Family, Transport, TransportFrame, mark};
use vtep::Vlan;

use super::*;

const SEGMENT_SIZE: usize = 1000;
const ACK: u8 = 0x10;
const PSH: u8 = 0x08;
const FIN: u8 = 0x01;
const CWR: u8 = 0x80;

/// Each kind of flow.
fn kinds() -> impl Iterator<Item = (Family, Transport)> {
    Family::ALL.into_iter().flat_map(|family| [Transport::tcp(7), Transport::Udp].map(|transport| (family, transport)))
}

fn outgoing(family: Family, transport: Transport) -> TransportFrame {
    TransportFrame { source: OUR_MAC, identification: 9, ..TransportFrame::new(PEER_MAC, family, transport) }
}

fn incoming(family: Family, transport: Transport) -> TransportFrame {
    TransportFrame { source: PEER_MAC, identification: 9, ..TransportFrame::new(OUR_MAC, family, transport) }
}

fn payload(length: usize) -> Vec<u8> {
    (0..length).map(|place| (place * 7 + place / 251) as u8).collect()
}

/// What a device says of a frame whose checksum it is to finish.
fn partial(frame: &TransportFrame) -> VirtioNetHeader {
    VirtioNetHeader::new().with_checksum(frame.transport_at() as u16, frame.transport.checksum_at() as u16)
}

/// What a device says of a super-frame.
fn gso(frame: &TransportFrame, segment_size: usize) -> VirtioNetHeader {
    let gso_type = match (frame.transport, frame.family) {
        (Transport::Udp, _) => GsoType::UdpL4,
        (_, Family::V4) => GsoType::TcpV4,
        (_, Family::V6) => GsoType::TcpV6,
    };
    partial(frame).with_gso(gso_type, segment_size as u16, frame.header_len() as u16)
}

/// The frame with this number of those that a super-frame stands for.
fn nth(first: &TransportFrame, index: usize, is_last: bool) -> TransportFrame {
    let mut frame = *first;
    frame.identification += index as u16;
    if let Transport::Tcp { sequence, flags } = &mut frame.transport {
        *sequence += (index * SEGMENT_SIZE) as u32;
        if !is_last {
            *flags &= !(PSH | FIN);
        }
        if index > 0 {
            *flags &= !CWR;
        }
    }
    frame
}

/// The frames that a super-frame stands for, made one by one.
fn cut(first: &TransportFrame, payload: &[u8]) -> Vec<Vec<u8>> {
    let count = payload.len().div_ceil(SEGMENT_SIZE);
    let chunks = payload.chunks(SEGMENT_SIZE).enumerate();
    chunks.map(|(index, chunk)| nth(first, index, index + 1 == count).bytes(chunk)).collect()
}

fn receive(bed: &Bed) -> Vec<u8> {
    let mut buffer = vec![0; 1 << 16];
    let count = bed.peer.recv(&mut buffer).unwrap();
    buffer.truncate(count);
    buffer
}

/// Has each datagram of a send of the peer's hold so many bytes.
#[allow(unsafe_code)]
fn segment_sends(peer: &UdpSocket, segment: usize) {
    let value = libc::c_int::try_from(segment).unwrap();
    // SAFETY: the option reads an integer, which outlives the call.
    let status = unsafe {
        libc::setsockopt(
            peer.as_raw_fd(),
            libc::SOL_UDP,
            libc::UDP_SEGMENT,
            (&raw const value).cast(),
            size_of::<libc::c_int>() as libc::socklen_t,
        )
    };
    assert_eq!(status, 0, "UDP_SEGMENT");
}

#[test]
fn a_super_frame_goes_out_cut_byte_by_byte() {
    for (family, transport) in kinds() {
        for length in [1, SEGMENT_SIZE, SEGMENT_SIZE + 1, 5 * SEGMENT_SIZE, 40 * SEGMENT_SIZE + 999] {
            let mut bed = Bed::new();
            let mut first = outgoing(family, transport);
            if let Transport::Tcp { flags, .. } = &mut first.transport {
                *flags = ACK | PSH | FIN | CWR;
            }
            let payload = payload(length);
            let frames = cut(&first, &payload);
            bed.queue(gso(&first, SEGMENT_SIZE), &first.bytes_with_partial_checksum(&payload));
            bed.turn();
            for (number, frame) in frames.iter().enumerate() {
                assert!(receive(&bed) == datagram(frame), "{family:?}, {transport:?}, {length} bytes: frame {number}");
            }
            let statistics = bed.statistics();
            assert_eq!((statistics.tx_frames, statistics.drops.total()), (frames.len() as u64, 0));
            assert_eq!(statistics.tx_bytes, frames.iter().map(Vec::len).sum::<usize>() as u64);
        }
    }
}

/// More than one message holds: 64 datagrams, or 65,507 bytes.
#[test]
fn a_super_frame_of_many_small_segments_arrives_whole() {
    let mut bed = Bed::new();
    let first = outgoing(Family::V4, Transport::Udp);
    let payload = payload(20_000);
    bed.queue(gso(&first, 100), &first.bytes_with_partial_checksum(&payload));
    bed.turn();
    for (index, chunk) in payload.chunks(100).enumerate() {
        let frame = TransportFrame { identification: 9 + index as u16, ..first };
        assert!(receive(&bed) == datagram(&frame.bytes(chunk)), "frame {index}");
    }
    assert_eq!(bed.statistics().tx_frames, 200);
}

/// The kernel refuses to cut for a socket without checksums: each goes alone, with the same bytes.
#[test]
#[allow(unsafe_code)]
fn what_the_kernel_does_not_cut_goes_one_by_one() {
    let mut bed = Bed::new();
    let Some(Some(port)) = bed.worker.ports.get(bed.segment.get() as usize) else { panic!("the segment is served") };
    for socket in &port.pool.sockets {
        let value: libc::c_int = 1;
        // SAFETY: the option reads an integer, which outlives the call.
        let status = unsafe {
            libc::setsockopt(
                socket.as_raw_fd(),
                libc::SOL_SOCKET,
                libc::SO_NO_CHECK,
                (&raw const value).cast(),
                size_of::<libc::c_int>() as libc::socklen_t,
            )
        };
        assert_eq!(status, 0);
    }
    let first = outgoing(Family::V4, Transport::tcp(7));
    let payload = payload(5 * SEGMENT_SIZE + 1);
    bed.queue(gso(&first, SEGMENT_SIZE), &first.bytes_with_partial_checksum(&payload));
    let equal = [1_u8, 2, 3].map(|number| first.bytes(&[number; 99]));
    for frame in &equal {
        bed.queue(VirtioNetHeader::new(), frame);
    }
    bed.turn();
    for frame in cut(&first, &payload).iter().chain(&equal) {
        assert!(receive(&bed) == datagram(frame));
    }
    let statistics = bed.statistics();
    assert_eq!((statistics.tx_frames, statistics.drops.total()), (9, 0));
}

#[test]
fn super_frames_keep_their_place_among_frames() {
    let mut bed = Bed::new();
    let first = outgoing(Family::V6, Transport::tcp(7));
    let payload = payload(3 * SEGMENT_SIZE);
    let mut expected = Vec::new();
    for number in 0..10 {
        let small = first.bytes(&[number; 50]);
        bed.queue(VirtioNetHeader::new(), &small);
        bed.queue(gso(&first, SEGMENT_SIZE), &first.bytes_with_partial_checksum(&payload));
        expected.push(small);
        expected.extend(cut(&first, &payload));
    }
    while bed.statistics().tx_frames < expected.len() as u64 {
        bed.turn();
    }
    for (number, frame) in expected.iter().enumerate() {
        assert!(receive(&bed) == datagram(frame), "frame {number}");
    }
}

#[test]
fn a_checksum_that_was_left_to_us_is_finished() {
    let mut bed = Bed::new();
    for (family, transport) in kinds() {
        let frame = outgoing(family, transport);
        for payload in [&b""[..], b"odd", &payload(1300)] {
            bed.queue(partial(&frame), &frame.bytes_with_partial_checksum(payload));
            bed.turn();
            assert_eq!(receive(&bed), datagram(&frame.bytes(payload)), "{family:?}, {transport:?}");
        }
    }
}

/// What is cut from it would not fit: it is dropped as so many frames.
#[test]
fn a_super_frame_of_too_large_segments_is_counted_by_its_frames() {
    let mut bed = Bed::new();
    let first = outgoing(Family::V4, Transport::tcp(7));
    bed.queue(gso(&first, 1399), &first.bytes_with_partial_checksum(&payload(5 * 1399)));
    bed.turn();
    let statistics = bed.statistics();
    assert_eq!((statistics.tx_frames, statistics.drops.get(DropReason::TooBig)), (0, 5));
}

/// RFC 7348 §6.1: dropped where tags are not carried, and counted by its frames; else cut, its tags in each frame.
#[test]
fn a_super_frame_in_a_vlan_goes_as_its_frames_would() {
    for (vlan, family) in
        [Vlan::Drop, Vlan::Carry].into_iter().flat_map(|vlan| Family::ALL.map(|family| (vlan, family)))
    {
        let mut bed = Bed::with(|config| config.vlan = vlan);
        let first = outgoing(family, Transport::tcp(7));
        let payload = payload(5 * SEGMENT_SIZE + 1);
        let tagged = |frame: &[u8]| [&frame[..12], &[0x81, 0, 0, 5], &frame[12..]].concat();
        let at = |offset: usize| (offset + 4) as u16;
        let virtio = gso(&first, SEGMENT_SIZE).with_checksum(at(first.transport_at()), 16);
        bed.queue(virtio, &tagged(&first.bytes_with_partial_checksum(&payload)));
        bed.turn();
        let statistics = bed.statistics();
        if vlan == Vlan::Drop {
            assert_eq!((statistics.tx_frames, statistics.drops.get(DropReason::VlanTag)), (0, 6));
            continue;
        }
        assert_eq!((statistics.tx_frames, statistics.drops.total()), (6, 0));
        for frame in cut(&first, &payload) {
            assert!(receive(&bed) == datagram(&tagged(&frame)), "{family:?}");
        }
    }
}

/// Whatever a header says of a frame, it is one frame out or one drop.
#[test]
fn a_header_that_is_not_of_its_frame_costs_one_drop() {
    let mut bed = Bed::new();
    let first = outgoing(Family::V4, Transport::tcp(7));
    let bytes = first.bytes_with_partial_checksum(&payload(3000));
    let good = gso(&first, SEGMENT_SIZE);
    let mut headers = vec![
        good.with_gso(GsoType::TcpV4, 0, 66),
        good.with_gso(GsoType::TcpV6, 1000, 66),
        good.with_gso(GsoType::UdpL4, 1000, 66),
        good.with_gso(GsoType::Udp, 1000, 66),
        good.with_checksum(0, 16),
        good.with_checksum(0xffff, 16),
        good.with_checksum(34, 0xffff),
        VirtioNetHeader::new().with_gso(GsoType::TcpV4, 1000, 66),
    ];
    let unknown = [1, 9, 0, 0, 0, 0, 0, 0, 0, 0];
    headers.push(*VirtioNetHeader::from_prefix(&unknown).unwrap().0);
    for (count, header) in (1..).zip(&headers) {
        bed.queue(*header, &bytes);
        bed.turn();
        assert_eq!(bed.statistics().drops.total(), count, "{header:?}");
    }
    assert_eq!(bed.statistics().tx_frames, 0);
    // Shorter than a header, and no frame behind one.
    for length in 1..=VirtioNetHeader::LEN {
        rustix::io::write(&bed.guest, &[0; VirtioNetHeader::LEN][..length]).unwrap();
        bed.turn();
        assert_eq!(bed.statistics().drops.total(), (headers.len() + length) as u64);
    }
}

#[test]
fn frames_of_a_flow_come_in_as_one_run() {
    for (family, transport) in kinds() {
        for is_merged_by_the_kernel in [false, true] {
            let mut bed = Bed::new();
            let mut first = incoming(family, transport);
            if let Transport::Tcp { flags, .. } = &mut first.transport {
                *flags = ACK | PSH;
            }
            let payload = payload(20 * SEGMENT_SIZE + 1);
            let datagrams: Vec<_> = cut(&first, &payload).iter().map(|frame| datagram(frame)).collect();
            if is_merged_by_the_kernel {
                segment_sends(&bed.peer, datagrams[0].len());
                bed.peer.send_to(&datagrams.concat(), (HERE, bed.port)).unwrap();
            } else {
                for datagram in &datagrams {
                    bed.peer.send_to(datagram, (HERE, bed.port)).unwrap();
                }
            }
            bed.turn();
            let context = format!("{family:?}, {transport:?}, merged by the kernel: {is_merged_by_the_kernel}");
            let (virtio, frame) = bed.take().unwrap();
            assert_eq!(virtio, gso(&first, SEGMENT_SIZE), "{context}");
            assert!(frame == first.bytes_with_partial_checksum(&payload), "{context}");
            assert_eq!(bed.take(), Err(Errno::AGAIN));
            let statistics = bed.statistics();
            assert_eq!((statistics.rx_frames, statistics.drops.total()), (21, 0));
            let bytes: usize = datagrams.iter().map(|datagram| datagram.len() - 8).sum();
            assert_eq!(statistics.rx_bytes, bytes as u64);
        }
    }
}

/// Also one whose checksums were left to hardware: each frame says so of itself then.
#[test]
fn a_run_that_the_device_refuses_comes_in_one_by_one() {
    for (family, transport) in kinds() {
        for is_partial in [false, true] {
            let context = format!("{family:?}, {transport:?}, partial: {is_partial}");
            let mut bed = Bed::new();
            let segment = bed.segment;
            bed.worker.port(segment).unwrap().tap.as_mut().unwrap().refuses_super_frames = true;
            let first = incoming(family, transport);
            let payload = payload(20 * SEGMENT_SIZE + 1);
            let frames: Vec<_> = if is_partial {
                let chunks = payload.chunks(SEGMENT_SIZE).enumerate();
                chunks
                    .map(|(index, chunk)| nth(&first, index, index == 20).bytes_with_partial_checksum(chunk))
                    .collect()
            } else {
                cut(&first, &payload)
            };
            let expected = if is_partial { partial(&first) } else { VirtioNetHeader::new() };
            for _ in 0..2 {
                for frame in &frames {
                    bed.peer.send_to(&datagram(frame), (HERE, bed.port)).unwrap();
                }
                bed.turn();
                for frame in &frames {
                    let (virtio, taken) = bed.take().unwrap();
                    assert_eq!(virtio, expected, "{context}");
                    assert!(taken == *frame, "{context}");
                }
                assert_eq!(bed.take(), Err(Errno::AGAIN));
            }
            let statistics = bed.statistics();
            assert_eq!((statistics.rx_frames, statistics.drops.total()), (42, 0));
        }
    }
}

/// 63 frames that are able to carry a mark and one that carries it, inside or outside: exactly one arrives with it, all
/// bytes arrive in order.
#[test]
fn a_mark_of_congestion_is_not_merged_away() {
    const ECT: u8 = 2;
    const CE: u8 = 3;
    const COUNT: usize = 64;
    for (family, transport) in kinds() {
        for marked in [0, 1, 40, COUNT - 1] {
            for is_outside in [false, true] {
                let mut bed = Bed::new();
                let first = TransportFrame { traffic_class: ECT, ..incoming(family, transport) };
                let payload = payload(COUNT * SEGMENT_SIZE);
                for (index, chunk) in payload.chunks(SEGMENT_SIZE).enumerate() {
                    let is_marked = index == marked;
                    let mut frame = nth(&first, index, index + 1 == COUNT);
                    if is_marked && !is_outside {
                        frame.traffic_class = CE;
                    }
                    mark(&bed.peer, if is_marked && is_outside { CE } else { ECT });
                    bed.peer.send_to(&datagram(&frame.bytes(chunk)), (HERE, bed.port)).unwrap();
                }
                while bed.statistics().rx_frames < COUNT as u64 {
                    bed.turn();
                }
                let (mut all, mut with_mark) = (Vec::new(), Vec::new());
                while let Ok((_, frame)) = bed.take() {
                    let data = &frame[first.header_len()..];
                    match TransportFrame::traffic_class_of(family, &frame) {
                        CE => with_mark.extend_from_slice(data),
                        class => assert_eq!(class, ECT),
                    }
                    all.extend_from_slice(data);
                }
                let context = format!("{family:?}, {transport:?}, frame {marked}, outside: {is_outside}");
                assert!(all == payload, "{context}");
                assert!(with_mark == payload[marked * SEGMENT_SIZE..][..SEGMENT_SIZE], "{context}");
            }
        }
    }
}

/// A wrong checksum is the receiver's to see: its frame is neither merged nor mended, and the others come as they should.
#[test]
fn a_frame_with_a_wrong_checksum_stays_alone_and_wrong() {
    const COUNT: usize = 8;
    for (family, transport) in kinds() {
        for wrong in 0..COUNT {
            let mut bed = Bed::new();
            let first = incoming(family, transport);
            let payload = payload(COUNT * SEGMENT_SIZE);
            let mut frames = cut(&first, &payload);
            *frames[wrong].last_mut().unwrap() ^= 1;
            for frame in &frames {
                bed.peer.send_to(&datagram(frame), (HERE, bed.port)).unwrap();
            }
            bed.turn();
            let mut place = 0;
            while let Ok((virtio, frame)) = bed.take() {
                let data = &frame[first.header_len()..];
                let count = data.len() / SEGMENT_SIZE;
                if (place..place + count).contains(&wrong) {
                    assert_eq!((virtio, count), (VirtioNetHeader::new(), 1), "{family:?}, {transport:?}, {wrong}");
                    assert!(frame == frames[wrong]);
                } else {
                    assert!(data == &payload[place * SEGMENT_SIZE..][..data.len()]);
                }
                place += count;
            }
            assert_eq!(place, COUNT, "{family:?}, {transport:?}, {wrong}");
        }
    }
}

/// A sender on this machine leaves checksum and cutting to hardware that is not there.
#[test]
fn what_a_sender_left_to_hardware_is_handed_on_so() {
    for (family, transport) in kinds() {
        let mut bed = Bed::new();
        let frame = incoming(family, transport);
        let small = frame.bytes_with_partial_checksum(&payload(100));
        bed.deliver(&datagram(&small));
        assert_eq!(bed.take(), Ok((partial(&frame), small)), "{family:?}, {transport:?}");
    }
    for family in Family::ALL {
        let mut bed = Bed::new();
        let frame = incoming(family, Transport::tcp(7));
        let uncut = frame.bytes_with_partial_checksum(&payload(64_000));
        bed.deliver(&datagram(&uncut));
        let segment_size = 1450 - (frame.header_len() - 14);
        let (virtio, taken) = bed.take().unwrap();
        assert_eq!(virtio, gso(&frame, segment_size), "{family:?}");
        assert!(taken == uncut, "{family:?}");
    }
}

/// Datagrams of a guest behind kernel VXLAN come uncut over a veth, with the size of the inner ones as the socket's: here
/// the sender's socket gives that size.
#[test]
fn datagrams_that_a_kernel_peer_never_cut_come_in_whole() {
    for family in Family::ALL {
        let mut bed = Bed::new();
        let frame = incoming(family, Transport::Udp);
        let small = frame.bytes(b"before");
        bed.peer.send_to(&datagram(&small), (HERE, bed.port)).unwrap();
        segment_sends(&bed.peer, SEGMENT_SIZE);
        let uncut = frame.bytes_with_partial_checksum(&payload(20 * SEGMENT_SIZE + 1));
        bed.deliver(&datagram(&uncut));
        assert_eq!(bed.take(), Ok((VirtioNetHeader::new(), small)));
        let (virtio, taken) = bed.take().unwrap();
        assert_eq!(virtio, gso(&frame, SEGMENT_SIZE), "{family:?}");
        assert!(taken == uncut, "{family:?}");
        assert_eq!(bed.take(), Err(Errno::AGAIN));
        assert_eq!((bed.statistics().rx_frames, bed.statistics().drops.total()), (2, 0));
        // Anything else of that length is cut where the socket says, as datagrams are.
        bed.deliver(&datagram(&frame.bytes(&payload(SEGMENT_SIZE))));
        let dropped = bed.statistics().drops.total() + bed.endpoint.drops().total();
        assert_eq!((bed.statistics().rx_frames, dropped), (3, 1), "{family:?}");
    }
}

#[test]
fn no_allocation_per_super_frame_or_run() {
    let mut bed = Bed::new();
    let mut buffer = vec![0; 1 << 17];
    let work: Vec<_> = kinds()
        .map(|(family, transport)| {
            let (out, into) = (outgoing(family, transport), incoming(family, transport));
            let payload = payload(20 * SEGMENT_SIZE);
            let datagrams: Vec<_> = cut(&into, &payload).iter().map(|frame| datagram(frame)).collect();
            (gso(&out, SEGMENT_SIZE), out.bytes_with_partial_checksum(&payload), datagrams)
        })
        .collect();
    let round = |bed: &mut Bed, buffer: &mut [u8]| {
        for (virtio, super_frame, datagrams) in &work {
            bed.queue(*virtio, super_frame);
            bed.turn();
            for _ in datagrams {
                bed.peer.recv(buffer).unwrap();
            }
            for datagram in datagrams {
                bed.peer.send_to(datagram, (HERE, bed.port)).unwrap();
            }
            bed.turn();
            rustix::io::read(&bed.guest, &mut *buffer).unwrap();
        }
    };
    round(&mut bed, &mut buffer);
    let before = ALLOCATIONS.get();
    for _ in 0..50 {
        round(&mut bed, &mut buffer);
    }
    assert_eq!(ALLOCATIONS.get() - before, 0);
    let statistics = bed.statistics();
    assert_eq!((statistics.tx_frames, statistics.rx_frames), (51 * 80, 51 * 80));
}

#[test]
fn on_a_trunk_the_tag_is_taken_out_of_a_super_frame_and_put_into_a_run() {
    for (family, transport) in kinds() {
        let (mut bed, second) = with_trunk();
        let payload = payload(5 * SEGMENT_SIZE + 7);
        let first = outgoing(family, transport);
        let whole = first.bytes(&payload);
        // What the device says counts from the frame's first byte, tag included.
        bed.queue(gso(&first, SEGMENT_SIZE).moved(4), &tagged(&whole, 20));
        bed.turn();
        let mut arrived: Vec<_> = (0..6).map(|_| receive(&bed)).collect();
        let header = [8, 0, 0, 0, 0, 0, 43, 0];
        let mut expected: Vec<_> = cut(&first, &payload).iter().map(|frame| [&header, &frame[..]].concat()).collect();
        arrived.sort_unstable();
        expected.sort_unstable();
        assert!(arrived == expected, "{family:?} {transport:?}");
        assert_eq!(bed.endpoint.statistics(second).unwrap().tx_frames, 6);

        let first = incoming(family, transport);
        for frame in cut(&first, &payload) {
            bed.peer.send_to(&[&header, &frame[..]].concat(), (HERE, bed.port)).unwrap();
        }
        bed.turn();
        let (virtio, run) = bed.take().unwrap();
        assert_eq!(&run[12..16], [0x81, 0x00, 0, 20], "{family:?} {transport:?}");
        let untagged = [&run[..12], &run[16..]].concat();
        assert_eq!(untagged.len(), first.header_len() + payload.len());
        let super_frame = offload::SuperFrame::parse(&virtio, &run).expect("a run with a tag");
        assert_eq!((super_frame.segments(), super_frame.header_len()), (6, first.header_len() + 4));
    }
}
