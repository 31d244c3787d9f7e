//! Segmentation is what building each frame by itself gives.

use offload::{GsoType, OffloadError, SuperFrame, VirtioNetHeader, finish_checksum, is_partial};
use proptest::{prelude::*, strategy::ValueTree as _, test_runner::TestRunner};

use super::{
    any::super_frame,
    packet::{Checksum, Spec},
};

pub(crate) fn virtio(spec: &Spec, segment_size: u16) -> VirtioNetHeader {
    let gso_type = match (&spec.tcp, spec.is_ipv6) {
        (None, _) => GsoType::UdpL4,
        (Some(_), false) => GsoType::TcpV4,
        (Some(_), true) => GsoType::TcpV6,
    };
    let offset = if spec.tcp.is_some() { 16 } else { 6 };
    VirtioNetHeader::new().with_checksum(spec.transport_offset() as u16, offset).with_gso(
        gso_type,
        segment_size,
        spec.header_length() as u16,
    )
}

/// All segments, each with its headers.
pub(crate) fn segments(virtio: &VirtioNetHeader, frame: &[u8]) -> Result<Vec<Vec<u8>>, OffloadError> {
    let super_frame = SuperFrame::parse(virtio, frame)?;
    let segments = (0..super_frame.segments()).map(|index| {
        let mut header = vec![0xaa; super_frame.header_len() + 1];
        let payload = super_frame.write_segment(frame, index, &mut header);
        assert_eq!(payload, super_frame.payload_range(index));
        assert_eq!(header.pop(), Some(0xaa));
        assert!(header.len() + payload.len() <= super_frame.largest_frame());
        [&header, &frame[payload]].concat()
    });
    Ok(segments.collect())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1000))]

    #[test]
    fn as_if_each_was_built_by_itself((spec, size) in super_frame(), ecn: bool, hdr_len: u16) {
        let frame = spec.build();
        let virtio = virtio(&spec, size);
        let virtio = if ecn { virtio.with_ecn() } else { virtio };
        let virtio = virtio.with_gso(virtio.gso_type().unwrap(), size, hdr_len);
        let expected = spec.cut(usize::from(size));
        prop_assert_eq!(segments(&virtio, &frame).unwrap(), expected.clone());

        let parsed = SuperFrame::parse(&virtio, &frame).unwrap();
        prop_assert_eq!(parsed.header_len(), spec.header_length());
        prop_assert_eq!(parsed.payload_len(), spec.payload.len());
        prop_assert_eq!(parsed.segment_size(), usize::from(size));
        prop_assert_eq!(parsed.largest_frame(), expected.iter().map(Vec::len).max().unwrap());
        // What no segment is, is nothing.
        let mut header = vec![0xaa; parsed.header_len()];
        prop_assert!(parsed.write_segment(&frame, parsed.segments(), &mut header).is_empty());
        prop_assert!(parsed.write_segment(&frame, usize::MAX, &mut header).is_empty());
        prop_assert!(parsed.write_segment(&frame[..parsed.header_len() - 1], 0, &mut header).is_empty());
        let short = parsed.header_len() - 1;
        prop_assert!(parsed.write_segment(&frame, 0, &mut header[..short]).is_empty());
        prop_assert!(header.iter().all(|byte| *byte == 0xaa));
    }

    #[test]
    fn a_partial_checksum_is_told_and_finished((spec, _) in super_frame()) {
        let mut frame = spec.build();
        let whole = Spec { checksum: Checksum::Whole, ..spec.clone() }.build();
        // They may be the same by chance.
        prop_assert_eq!(is_partial(&frame), frame != whole);
        prop_assert!(!is_partial(&whole));
        for checksum in [Checksum::Wrong, Checksum::Zero] {
            let other = Spec { checksum, ..spec.clone() }.build();
            prop_assert_eq!(is_partial(&other), other == frame);
        }
        // Not a word of a super-frame.
        let offset = if spec.tcp.is_some() { 16 } else { 6 };
        let virtio = VirtioNetHeader::new().with_checksum(spec.transport_offset() as u16, offset);
        prop_assert_eq!(finish_checksum(&VirtioNetHeader::new(), &mut frame), Ok(()));
        prop_assert_eq!(&frame, &spec.build());
        prop_assert_eq!(finish_checksum(&virtio, &mut frame), Ok(()));
        prop_assert_eq!(frame, whole);
    }

    #[test]
    fn wrong_offsets_are_refused((spec, size) in super_frame(), start: u16, offset: u16) {
        let mut frame = spec.build();
        let virtio = virtio(&spec, size);
        let (expected_start, expected_offset) = (virtio.csum_start(), virtio.csum_offset());
        if start != expected_start {
            let error = OffloadError::ChecksumStart { found: start, expected: usize::from(expected_start) };
            prop_assert_eq!(SuperFrame::parse(&virtio.with_checksum(start, expected_offset), &frame).unwrap_err(), error);
        }
        if offset != expected_offset {
            let error = OffloadError::ChecksumOffset { found: offset, expected: expected_offset };
            prop_assert_eq!(SuperFrame::parse(&virtio.with_checksum(expected_start, offset), &frame).unwrap_err(), error);
        }
        let before = frame.clone();
        let lone = VirtioNetHeader::new().with_checksum(start, offset);
        let end = usize::from(start) + usize::from(offset) + 2;
        let expected = if end <= frame.len() {
            Ok(())
        } else {
            Err(OffloadError::ChecksumBeyondFrame { end, available: frame.len() })
        };
        prop_assert_eq!(finish_checksum(&lone, &mut frame), expected);
        if expected.is_err() {
            prop_assert_eq!(frame, before);
        }
    }

    #[test]
    fn a_frame_cut_anywhere_is_refused((mut spec, size) in super_frame(), cut: prop::sample::Index) {
        spec.padding = 0;
        let frame = spec.build();
        let cut = cut.index(frame.len());
        prop_assert!(SuperFrame::parse(&virtio(&spec, size), &frame[..cut]).is_err());
        prop_assert!(!is_partial(&frame[..cut]));
    }

    #[test]
    fn any_bytes_do_not_panic(
        (spec, size) in super_frame(),
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..8),
        header: [u8; 10],
        keep_header: bool,
    ) {
        let mut frame = spec.build();
        for (at, byte) in changes {
            // Mostly the headers.
            let at = at.index(frame.len().min(120));
            frame[at] = byte;
        }
        let virtio = if keep_header { virtio(&spec, size) } else { *VirtioNetHeader::from_prefix(&header).unwrap().0 };
        if let Ok(segments) = segments(&virtio, &frame) {
            // Each is a whole packet, and no byte of payload is lost.
            let parsed = SuperFrame::parse(&virtio, &frame).unwrap();
            let payload: usize = segments.iter().map(|segment| segment.len() - parsed.header_len()).sum();
            prop_assert_eq!(payload, parsed.payload_len());
        }
        let _ = is_partial(&frame);
        let _ = finish_checksum(&virtio, &mut frame);
    }
}

/// A super-frame of TCP over IPv4.
fn some() -> (Spec, VirtioNetHeader) {
    let mut runner = TestRunner::deterministic();
    loop {
        let (spec, _) = super_frame().new_tree(&mut runner).unwrap().current();
        let is_it = !spec.is_ipv6 && spec.tcp.is_some() && spec.payload.len() > 100 && spec.extensions.is_empty();
        if is_it {
            let virtio = virtio(&spec, 100);
            return (spec, virtio);
        }
    }
}

#[test]
fn what_virtio_says_is_not_trusted() {
    let (spec, virtio) = some();
    let frame = spec.build();
    let parse = |virtio: VirtioNetHeader| SuperFrame::parse(&virtio, &frame).map(|_| ());
    assert_eq!(parse(virtio), Ok(()));
    assert_eq!(parse(virtio.with_gso(GsoType::TcpV4, 0, 0)), Err(OffloadError::ZeroSegmentSize));
    assert_eq!(parse(virtio.with_gso(GsoType::None, 100, 0)), Err(OffloadError::NotSuperFrame));
    assert_eq!(parse(virtio.with_gso(GsoType::Udp, 100, 0)), Err(OffloadError::UdpFragmentation));
    for gso_type in [GsoType::TcpV6, GsoType::UdpL4] {
        assert_eq!(parse(virtio.with_gso(gso_type, 100, 0)), Err(OffloadError::Protocol { gso_type }));
    }
    assert_eq!(parse(VirtioNetHeader::new().with_gso(GsoType::TcpV4, 100, 0)), Err(OffloadError::NoChecksum));
    for gso_type in [2, 6, 0x10, 0x21, 0x7f, 0xff] {
        let mut bytes = virtio.to_bytes();
        bytes[1] = gso_type;
        let (virtio, _) = VirtioNetHeader::from_prefix(&bytes).unwrap();
        let unknown = OffloadError::UnknownGsoType { found: gso_type & 0x7f };
        assert!(virtio.is_super_frame());
        assert_eq!(parse(*virtio), Err(unknown));
        assert_eq!(finish_checksum(virtio, &mut frame.clone()), Err(unknown));
    }
    let refused = Err(OffloadError::SuperFrame { gso_type: GsoType::TcpV4 });
    assert_eq!(finish_checksum(&virtio, &mut frame.clone()), refused);
}

#[test]
fn a_checksum_of_zero_is_sent_as_ones_by_udp_alone() {
    let (spec, _) = some();
    for tcp in [None, spec.tcp.clone()] {
        for is_ipv6 in [false, true] {
            let is_udp = tcp.is_none();
            let mut spec = Spec { tcp: tcp.clone(), is_ipv6, fragment: 0, padding: 0, ..spec.clone() };
            // The checksum of a segment with a word of zeros, put into that word, makes the sum all ones.
            spec.payload = vec![0; 10];
            spec.checksum = Checksum::Whole;
            let field = spec.transport_offset() + if is_udp { 6 } else { 16 };
            let word: [u8; 2] = *spec.build()[field..].first_chunk().unwrap();
            spec.payload[..2].copy_from_slice(&word);
            spec.checksum = Checksum::Partial;

            let expected = if is_udp { [0xff, 0xff] } else { [0, 0] };
            let virtio = virtio(&spec, 10);
            let mut frame = spec.build();
            assert_eq!(segments(&virtio, &frame).unwrap()[0][field..field + 2], expected);
            let lone = VirtioNetHeader::new().with_checksum(virtio.csum_start(), virtio.csum_offset());
            assert_eq!(finish_checksum(&lone, &mut frame), Ok(()));
            assert_eq!(frame[field..field + 2], expected);
        }
    }
}

#[test]
fn fragments_and_wrong_lengths_are_refused() {
    let (spec, virtio) = some();
    for fragment in [0x2000, 0x0001, 0x3fff] {
        let frame = Spec { fragment, ..spec.clone() }.build();
        assert_eq!(SuperFrame::parse(&virtio, &frame).unwrap_err(), OffloadError::Fragment);
    }
    let spec = Spec { tcp: None, ..spec };
    let mut frame = spec.build();
    let at = spec.transport_offset() + 5;
    frame[at] ^= 1;
    let error = SuperFrame::parse(&self::virtio(&spec, 100), &frame).unwrap_err();
    assert!(matches!(error, OffloadError::UdpLength { expected, .. } if expected == 8 + spec.payload.len()));
}

#[test]
fn more_tags_than_are_walked_are_refused() {
    let (mut spec, _) = some();
    spec.tags = vec![[0x81, 0, 0, 1]; 5];
    let error = SuperFrame::parse(&virtio(&spec, 100), &spec.build()).unwrap_err();
    assert_eq!(error, OffloadError::VlanTags);
}
