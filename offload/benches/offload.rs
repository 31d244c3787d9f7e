//! Segmentation without a copy of the payload and coalescing, each next to the same by copying.
//!
//! `cargo bench -p offload`

use std::{hint::black_box, ops::Range};

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use ether_wire::{
    EtherType, EthernetHeader, IpProtocol, Ipv4Header, MacAddr, TcpFlags, TcpHeader, UdpHeader,
    checksum::{Sum, checksum},
};
use offload::{Coalescer, GsoType, Port, SuperFrame, VirtioNetHeader, is_partial};

const PORT: Port = Port { id: 1, mtu: 1500, merge_udp: true };
/// Ethernet, IPv4, TCP with timestamps.
const HEADERS: usize = 14 + 20 + 32;
const TIMESTAMPS: [u8; 12] = [1, 1, 8, 10, 0, 0, 0, 7, 0, 0, 0, 9];

/// Ethernet and IPv4 in front of this.
fn packet(protocol: IpProtocol, identification: u16, transport: &[u8]) -> Vec<u8> {
    let stations = (MacAddr::new([2, 0, 0, 0, 0, 2]), MacAddr::new([2, 0, 0, 0, 0, 1]));
    let mut frame = EthernetHeader::new(stations.0, stations.1, EtherType::IPV4).to_bytes().to_vec();
    let length = (20 + transport.len()) as u16;
    let mut ip = Ipv4Header::new([10, 0, 0, 1].into(), [10, 0, 0, 2].into(), protocol, length);
    ip.set_identification(identification);
    ip.set_dont_fragment(true);
    frame.extend(ip.as_bytes());
    frame.extend(transport);
    frame
}

fn pseudo(protocol: IpProtocol, length: usize) -> Sum {
    Sum::pseudo_ipv4([10, 0, 0, 1].into(), [10, 0, 0, 2].into(), protocol, length as u16)
}

/// A segment of TCP with this payload.
fn tcp(flow: u16, sequence_number: u32, identification: u16, payload: usize, is_partial: bool) -> Vec<u8> {
    let mut header = TcpHeader::new(40000 + flow, 5201);
    header.set_sequence_number(sequence_number);
    header.set_flags(TcpFlags::ACK);
    header.set_data_offset(8);
    let behind = [&TIMESTAMPS[..], &vec![0x5a; payload]].concat();
    let pseudo = pseudo(IpProtocol::TCP, TcpHeader::LEN + behind.len());
    header.set_checksum(if is_partial { pseudo.fold() } else { header.compute_checksum(pseudo, &behind) });
    packet(IpProtocol::TCP, identification, &[header.as_bytes(), &behind[..]].concat())
}

/// A datagram of UDP with this payload.
fn udp(flow: u16, identification: u16, payload: usize) -> Vec<u8> {
    let mut header = UdpHeader::new(40000 + flow, 5201, (UdpHeader::LEN + payload) as u16);
    let data = vec![0x5a; payload];
    header.set_checksum(header.compute_checksum(pseudo(IpProtocol::UDP, UdpHeader::LEN + payload), &data));
    packet(IpProtocol::UDP, identification, &[header.as_bytes(), &data[..]].concat())
}

/// One frame behind the other, as datagrams are in the buffers of a batch.
fn lay_out(frames: impl IntoIterator<Item = Vec<u8>>) -> (Vec<u8>, Vec<Range<usize>>) {
    let mut memory = Vec::new();
    let mut ranges = Vec::new();
    for frame in frames {
        // A tunnel header in front of each.
        memory.resize(memory.len() + 8, 0);
        ranges.push(memory.len()..memory.len() + frame.len());
        memory.extend(frame);
    }
    (memory, ranges)
}

/// Each frame built whole: headers and payload copied, and then summed up.
fn cut_by_copying(frame: &[u8], size: usize, out: &mut Vec<u8>) -> Option<()> {
    out.clear();
    let (headers, payload) = frame.split_at_checked(HEADERS)?;
    let last = payload.len().div_ceil(size) - 1;
    for (index, piece) in payload.chunks(size).enumerate() {
        let start = out.len();
        out.extend_from_slice(headers);
        out.extend_from_slice(piece);
        let frame = out.get_mut(start..)?;
        let (ip, transport) = Ipv4Header::from_prefix_mut(frame.get_mut(14..)?).ok()?;
        ip.set_total_length((HEADERS - 14 + piece.len()) as u16);
        ip.set_identification(ip.identification().wrapping_add(index as u16));
        let pseudo = ip.pseudo_header(transport.len() as u16);
        let (tcp, behind) = TcpHeader::from_prefix_mut(transport).ok()?;
        tcp.set_sequence_number(tcp.sequence_number().wrapping_add((index * size) as u32));
        if index != last {
            tcp.set_flags(tcp.flags() & !TcpFlags::PSH);
        }
        tcp.set_checksum(tcp.compute_checksum(pseudo, behind));
    }
    Some(())
}

fn segmentation(criterion: &mut Criterion) {
    let size = 1398;
    // As much as fits a packet and is cut evenly.
    let payload = 46 * size;
    let frame = tcp(0, 0, 0, payload, true);
    let virtio = VirtioNetHeader::new().with_checksum(34, 16).with_gso(GsoType::TcpV4, size as u16, HEADERS as u16);

    let mut group = criterion.benchmark_group("offload/cut 64 KiB of TCP");
    group.throughput(Throughput::Bytes(frame.len() as u64));
    let mut arena = vec![0; 64 * 128];
    group.bench_function("offload", |bencher| {
        bencher.iter(|| {
            let Ok(super_frame) = SuperFrame::parse(&virtio, black_box(&frame)) else { return 0 };
            let headers = arena.chunks_exact_mut(128).take(super_frame.segments());
            let ends = headers.enumerate().map(|(index, header)| super_frame.write_segment(&frame, index, header).end);
            ends.sum()
        });
    });
    let mut out = Vec::with_capacity(1 << 17);
    group.bench_function("copying", |bencher| {
        bencher.iter(|| {
            cut_by_copying(black_box(&frame), size, &mut out);
            out.len()
        });
    });
    group.bench_function("floor", |bencher| bencher.iter(|| checksum(black_box(&frame))));
    group.finish();
}

/// The bytes and frames of what is delivered.
fn coalesce(coalescer: &mut Coalescer, memory: &[u8], frames: &[Range<usize>]) -> (usize, usize) {
    let mut delivered = (0, 0);
    let mut deliver = |delivery: offload::Delivery<'_>| {
        delivered.0 += usize::from(delivery.virtio.is_super_frame());
        delivered.1 += delivery.frames();
    };
    for frame in frames {
        coalescer.push(PORT, memory, frame.clone(), &mut deliver);
    }
    coalescer.flush(memory, &mut deliver);
    delivered
}

/// One flow, whose payloads are copied behind each other.
fn coalesce_by_copying(memory: &[u8], frames: &[Range<usize>], out: &mut Vec<u8>) -> Option<()> {
    out.clear();
    let mut next = None;
    for range in frames {
        let frame = memory.get(range.clone())?;
        let packet = Ipv4Header::decode(frame.get(14..)?).ok()?;
        let segment = TcpHeader::decode(packet.payload).ok()?;
        let behind = packet.payload.get(TcpHeader::LEN..)?;
        if !segment.header.is_checksum_valid(packet.header.pseudo_header(packet.payload.len() as u16), behind) {
            return None;
        }
        let sequence_number = segment.header.sequence_number();
        match next {
            None => out.extend_from_slice(frame),
            Some(next) => {
                let own = out.get(..HEADERS)?;
                let is_same = own.get(..16) == frame.get(..16)
                    && own.get(20..24) == frame.get(20..24)
                    && own.get(26..38) == frame.get(26..38)
                    && own.get(42..50) == frame.get(42..50)
                    && own.get(52..HEADERS) == frame.get(52..HEADERS);
                if !is_same || next != sequence_number {
                    return None;
                }
                out.extend_from_slice(segment.data);
            }
        }
        next = Some(sequence_number.wrapping_add(segment.data.len() as u32));
    }
    let length = out.len();
    let (ip, transport) = Ipv4Header::from_prefix_mut(out.get_mut(14..)?).ok()?;
    ip.set_total_length((length - 14) as u16);
    let pseudo = ip.pseudo_header(transport.len() as u16);
    let (tcp, _) = TcpHeader::from_prefix_mut(transport).ok()?;
    tcp.set_checksum(pseudo.fold());
    Some(())
}

fn coalescing(criterion: &mut Criterion) {
    const FRAMES: u16 = 45;
    let mut coalescer = Box::new(Coalescer::new());
    let train =
        |is_partial| lay_out((0..FRAMES).map(move |index| tcp(0, u32::from(index) * 1400, index, 1400, is_partial)));

    let (memory, frames) = train(false);
    let mut group = criterion.benchmark_group("offload/merge 45 frames of TCP with 1400 bytes, each");
    group.throughput(Throughput::Elements(frames.len() as u64));
    assert_eq!(coalesce(&mut coalescer, &memory, &frames), (1, frames.len()));
    group.bench_function("offload", |bencher| {
        bencher.iter(|| coalesce(&mut coalescer, black_box(&memory), &frames));
    });
    let mut out = Vec::with_capacity(1 << 17);
    group.bench_function("copying", |bencher| {
        bencher.iter(|| {
            coalesce_by_copying(black_box(&memory), &frames, &mut out);
            out.len()
        });
    });
    group.bench_function("floor", |bencher| {
        bencher.iter(|| {
            let memory = black_box(&memory);
            frames.iter().map(|range| u32::from(checksum(&memory[range.clone()]))).sum::<u32>()
        });
    });
    let (memory, frames) = train(true);
    assert_eq!(coalesce(&mut coalescer, &memory, &frames), (1, frames.len()));
    group.bench_function("offload, checksums left to hardware", |bencher| {
        bencher.iter(|| coalesce(&mut coalescer, black_box(&memory), &frames));
    });
    group.finish();

    let mut group = criterion.benchmark_group("offload/small frames, each");
    let one = (0..64).map(|index| udp(0, index, 18));
    let flows = (0..64).map(|index| udp(index, index, 18));
    let acknowledgments = (0..64).map(|index| tcp(index, 0, index, 0, false));
    let cases = [
        ("one flow of UDP", lay_out(one)),
        ("64 flows of UDP", lay_out(flows)),
        ("acknowledgments", lay_out(acknowledgments)),
    ];
    for (name, (memory, frames)) in cases {
        group.throughput(Throughput::Elements(frames.len() as u64));
        group.bench_function(format!("offload, {name}"), |bencher| {
            bencher.iter(|| coalesce(&mut coalescer, black_box(&memory), &frames));
        });
    }
    group.finish();
}

fn partial(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("offload/is the checksum partial");
    group.throughput(Throughput::Elements(1));
    for (name, left) in [("whole", false), ("partial", true)] {
        let frame = tcp(0, 0, 0, 1400, left);
        assert_eq!(is_partial(&frame), left);
        group.bench_function(format!("offload, {name}"), |bencher| bencher.iter(|| is_partial(black_box(&frame))));
    }
    group.finish();
}

criterion_group!(benches, segmentation, coalescing, partial);
criterion_main!(benches);
