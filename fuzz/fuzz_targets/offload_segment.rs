//! Any virtio-net header before any frame: what is cut is a packet each, and all of them are the super-frame.
//!
//! The first byte says how much of the rest is made to fit: nothing, or the header to the frame.

#![no_main]

use ether_wire::{EtherType, IpProtocol, Ipv4Header, Ipv6Header, TcpHeader, UdpHeader, ethernet};
use libfuzzer_sys::fuzz_target;
use offload::{GsoType, SuperFrame, VirtioNetHeader, finish_checksum, is_partial};

fuzz_target!(|bytes: &[u8]| {
    let Some((&fits, rest)) = bytes.split_first() else { return };
    let Ok((virtio, frame)) = VirtioNetHeader::from_prefix(rest) else { return };
    let virtio = if fits & 1 == 1 { fitting(*virtio, frame).unwrap_or(*virtio) } else { *virtio };
    let _ = is_partial(frame);
    check_finished(&virtio, frame);
    let Ok(super_frame) = SuperFrame::parse(&virtio, frame) else { return };

    assert!(virtio.is_super_frame() && super_frame.segments() >= 1);
    let size = super_frame.segment_size();
    assert_eq!(super_frame.segments(), super_frame.payload_len().div_ceil(size).max(1));
    let mut end = super_frame.header_len();
    // Segments of one byte take long, and are like the others.
    let last = super_frame.segments() - 1;
    for index in (0..super_frame.segments()).filter(|index| *index < 100 || *index == last) {
        let mut header = vec![0xaa; super_frame.header_len() + 1];
        let payload = super_frame.write_segment(frame, index, &mut header);
        assert_eq!(header.pop(), Some(0xaa));
        if index != last || last < 100 {
            assert_eq!(payload.start, end);
        }
        assert!(payload.len() == size || index == last);
        end = payload.end;
        let segment = [&header, &frame[payload]].concat();
        assert!(segment.len() <= super_frame.largest_frame());
        check_segment(&segment, frame, index, size);
    }
    assert_eq!(end, super_frame.header_len() + super_frame.payload_len());
});

/// The header that belongs to the frame, if it carries TCP or UDP.
fn fitting(virtio: VirtioNetHeader, frame: &[u8]) -> Option<VirtioNetHeader> {
    let payload = ethernet::payload(frame)?;
    let bytes = &frame[payload.offset..];
    let (protocol, transport, tcp) = match payload.ether_type {
        EtherType::IPV4 => {
            let header = Ipv4Header::decode(bytes).ok()?.header;
            (header.protocol(), payload.offset + header.header_length(), GsoType::TcpV4)
        }
        EtherType::IPV6 => {
            let packet = Ipv6Header::decode(bytes).ok()?;
            (packet.protocol, payload.offset + 40 + packet.extension_headers.len(), GsoType::TcpV6)
        }
        _ => return None,
    };
    let is_tcp = protocol == IpProtocol::TCP;
    let (gso_type, offset) = if is_tcp { (tcp, 16) } else { (GsoType::UdpL4, 6) };
    Some(virtio.with_checksum(transport as u16, offset).with_gso(gso_type, virtio.gso_size().max(1), 0))
}

/// Two bytes change at most, and only where asked for.
fn check_finished(virtio: &VirtioNetHeader, frame: &[u8]) {
    let mut finished = frame.to_vec();
    let is_done = finish_checksum(virtio, &mut finished).is_ok() && virtio.needs_checksum();
    let field = usize::from(virtio.csum_start()) + usize::from(virtio.csum_offset());
    for (at, (before, after)) in frame.iter().zip(&finished).enumerate() {
        assert!(before == after || is_done && (at == field || at == field + 1));
    }
}

/// A segment is a whole packet with right lengths and checksums, at its place in the stream.
fn check_segment(segment: &[u8], frame: &[u8], index: usize, size: usize) {
    let payload = ethernet::payload(segment).expect("the super-frame has it");
    let (bytes, whole) = (&segment[payload.offset..], &frame[payload.offset..]);
    let (protocol, pseudo, transport, has_extensions) = if payload.ether_type == EtherType::IPV4 {
        let packet = Ipv4Header::decode(bytes).expect("its checksum is right");
        assert_eq!(usize::from(packet.header.total_length()), bytes.len());
        let (first, _) = Ipv4Header::from_prefix(whole).expect("a header");
        assert_eq!(packet.header.identification(), first.identification().wrapping_add(index as u16));
        let pseudo = packet.header.pseudo_header(packet.payload.len() as u16);
        (packet.header.protocol(), pseudo, packet.payload, false)
    } else {
        let packet = Ipv6Header::decode(bytes).expect("a packet");
        assert_eq!(usize::from(packet.header.payload_length()) + 40, bytes.len());
        let pseudo = packet.header.pseudo_header(packet.protocol, packet.payload.len() as u32);
        (packet.protocol, pseudo, packet.payload, !packet.extension_headers.is_empty())
    };
    let first = &frame[segment.len() - transport.len()..];
    // Behind extension headers the sum is the sender's, which may be anything here.
    if protocol == IpProtocol::TCP {
        let tcp = TcpHeader::decode(transport).expect("a header").header;
        assert!(has_extensions || tcp.is_checksum_valid(pseudo, &transport[20..]));
        let (first, _) = TcpHeader::from_prefix(first).expect("a header");
        let offset = (index * size) as u32;
        assert_eq!(tcp.sequence_number(), first.sequence_number().wrapping_add(offset));
        assert_eq!(first.flags(), first.flags() | tcp.flags());
    } else {
        let (udp, data) = UdpHeader::decode(transport).expect("a header");
        assert_eq!(data.len() + 8, transport.len());
        assert!(udp.checksum() != 0 && (has_extensions || udp.is_checksum_valid(pseudo, data)));
    }
}
