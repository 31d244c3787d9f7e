//! Any frames in any order: what is merged is what plain rules say, and each frame is delivered once.
//!
//! The input is a list of frames. Each begins with a byte that says where it goes and what becomes of its checksum, and then
//! is either a length and as many bytes, or the frame before with one byte changed, one further in its stream.

#![no_main]

use std::ops::Range;

use ether_wire::{EtherType, IpProtocol, Ipv4Header, Ipv6Header, TcpHeader, UdpHeader, checksum::Sum, ethernet};
use libfuzzer_sys::fuzz_target;
use offload::{Coalescer, Port};

#[path = "../../offload/tests/properties/model.rs"]
mod model;
#[path = "../../offload/tests/properties/packet.rs"]
#[expect(dead_code, reason = "the sums are for the model; frames come from the input here")]
mod packet;

use model::Delivered;

fuzz_target!(|bytes: &[u8]| {
    let (memory, frames) = lay_out(bytes);
    let mut coalescer = Coalescer::new();
    // Twice, since nothing of the first time may be left.
    for _ in 0..2 {
        let mut delivered = Vec::new();
        let mut deliver = |delivery: offload::Delivery<'_>| {
            let pieces = delivery.pieces.iter().map(|piece| &memory[piece.range()]);
            let bytes = [delivery.header].into_iter().chain(pieces).collect::<Vec<_>>().concat();
            let originals: Vec<_> = delivery.originals().collect();
            assert_eq!(delivery.bytes(), originals.iter().map(ExactSizeIterator::len).sum());
            delivered.push(Delivered { port: delivery.port, virtio: delivery.virtio.to_bytes(), bytes, originals });
        };
        for (port, range) in &frames {
            coalescer.push(*port, &memory, range.clone(), &mut deliver);
        }
        coalescer.flush(&memory, &mut deliver);
        assert_eq!(delivered.iter().map(|one| one.originals.len()).sum::<usize>(), frames.len());
        assert_eq!(delivered, model::coalesce(&memory, &frames));
    }
});

/// The frames of the input, one behind the other.
fn lay_out(mut bytes: &[u8]) -> (Vec<u8>, Vec<(Port, Range<usize>)>) {
    let (mut memory, mut frames, mut last) = (Vec::new(), Vec::new(), Vec::new());
    while let Some((&[say, a, b], behind)) = bytes.split_first_chunk() {
        bytes = behind;
        if say & 1 == 0 {
            let length = usize::from(u16::from_be_bytes([a, b])).min(bytes.len()).min(4096);
            let (frame, behind) = bytes.split_at(length);
            (last, bytes) = (frame.to_vec(), behind);
        } else {
            advance(&mut last);
            if let Some(byte) = last.get_mut(usize::from(a)) {
                *byte ^= b;
            }
        }
        sum_up(&mut last, say >> 1 & 3);
        let port = Port {
            id: u32::from(say >> 3 & 1),
            mtu: if say & 0x20 == 0 { 1500 } else { 100 },
            merge_udp: say & 0x10 != 0,
        };
        frames.push((port, memory.len()..memory.len() + last.len()));
        memory.extend_from_slice(&last);
    }
    (memory, frames)
}

/// Where IP and transport are, and the sum of the pseudo-header.
fn parts(frame: &[u8]) -> Option<(usize, Range<usize>, IpProtocol, Sum)> {
    let payload = ethernet::payload(frame)?;
    let at = payload.offset;
    let bytes = &frame[at..];
    if payload.ether_type == EtherType::IPV4 {
        let options = ether_wire::DecodeOptions::LENGTHS;
        let packet = Ipv4Header::decode_with(bytes, options).ok()?;
        let transport = at + packet.header.header_length();
        let range = transport..transport + packet.payload.len();
        return Some((at, range, packet.header.protocol(), packet.header.pseudo_header(packet.payload.len() as u16)));
    }
    let packet = (payload.ether_type == EtherType::IPV6).then(|| Ipv6Header::decode(bytes).ok())??;
    let transport = at + 40 + packet.extension_headers.len();
    let sum = packet.header.pseudo_header(packet.protocol, packet.payload.len() as u32);
    Some((at, transport..transport + packet.payload.len(), packet.protocol, sum))
}

/// The same frame, one further: sequence number and identification.
fn advance(frame: &mut [u8]) {
    let Some((network, transport, protocol, _)) = parts(frame) else { return };
    if let Ok((ip, _)) = Ipv4Header::from_prefix_mut(&mut frame[network..])
        && ip.version() == 4
    {
        ip.set_identification(ip.identification().wrapping_add(1));
    }
    let bytes = &mut frame[transport];
    let Ok(segment) = TcpHeader::decode(bytes) else { return };
    let length = segment.data.len() as u32;
    if let (Ok((tcp, _)), IpProtocol::TCP) = (TcpHeader::from_prefix_mut(bytes), protocol) {
        tcp.set_sequence_number(tcp.sequence_number().wrapping_add(length));
    }
}

/// Makes the checksums whole (1), partial (2) or nearly whole (3).
fn sum_up(frame: &mut [u8], how: u8) {
    let Some((network, transport, protocol, pseudo)) = parts(frame).filter(|_| how != 0) else { return };
    let (head, bytes) = frame.split_at_mut(transport.start);
    if let Ok((ip, options)) = Ipv4Header::from_prefix_mut(&mut head[network..])
        && ip.version() == 4
    {
        ip.set_checksum(ip.compute_checksum(options));
    }
    let bytes = &mut bytes[..transport.len()];
    let finish = |whole: u16| match how {
        1 => whole,
        2 => pseudo.fold(),
        _ => whole ^ 1,
    };
    match protocol {
        IpProtocol::TCP => {
            let Ok((tcp, behind)) = TcpHeader::from_prefix_mut(bytes) else { return };
            tcp.set_checksum(finish(tcp.compute_checksum(pseudo, behind)));
        }
        IpProtocol::UDP => {
            let Ok((udp, behind)) = UdpHeader::from_prefix_mut(bytes) else { return };
            udp.set_checksum(finish(udp.compute_checksum(pseudo, behind)));
        }
        _ => {}
    }
}
