//! Any frames.

use offload::Port;
use proptest::{collection::vec, prelude::*, sample::select};

use super::packet::{Checksum, Spec, Tcp};

/// VLAN tags, up to as many as are walked.
fn tags() -> impl Strategy<Value = Vec<[u8; 4]>> {
    let tag = select(vec![[0x81, 0x00, 0x00, 0x2a], [0x81, 0x00, 0x60, 0x2b], [0x88, 0xa8, 0x00, 0x07]]);
    prop_oneof![3 => Just(Vec::new()), 1 => vec(tag, 1..=4)]
}

fn tcp() -> impl Strategy<Value = Tcp> {
    let options = prop_oneof![
        Just(Vec::new()),
        Just(vec![1, 1, 8, 10, 0, 0, 0, 7, 0, 0, 0, 9]),
        (1..=10_usize).prop_map(|words| vec![1; words * 4]),
    ];
    (any::<u32>(), any::<u32>(), 0..16_u8, any::<u8>(), any::<u16>(), any::<u16>(), options).prop_map(
        |(sequence_number, acknowledgment_number, reserved, flags, window, urgent_pointer, options)| Tcp {
            sequence_number,
            acknowledgment_number,
            reserved,
            flags,
            window,
            urgent_pointer,
            options,
        },
    )
}

/// A super-frame and the size of its segments: with options and extension headers, but no fragment.
pub(crate) fn super_frame() -> impl Strategy<Value = (Spec, u16)> {
    let ip =
        (any::<bool>(), any::<u8>(), any::<u8>(), any::<u8>(), 0..1_u32 << 20, any::<u8>(), any::<u16>(), 0..8_u16);
    let extensions = prop_oneof![3 => Just(Vec::new()), 1 => vec(Just(1_u8), 1..=14)];
    let payload = prop_oneof![vec(any::<u8>(), 0..200), vec(any::<u8>(), 0..6000)];
    let behind = (extensions, any::<(u16, u16)>(), prop::option::of(tcp()), payload, 0..20_usize);
    let size = prop_oneof![1..100_u16, 500..1500_u16, Just(u16::MAX)];
    (any::<u8>(), tags(), ip, behind, size).prop_map(|(station, tags, ip, behind, size)| {
        let (is_ipv6, source, destination, traffic_class, flow_label, hop_limit, identification, flags) = ip;
        let (extensions, ports, tcp, payload, padding) = behind;
        // DF and the reserved bit.
        let fragment = if is_ipv6 { 0 } else { (flags & 0b110) << 13 };
        let spec = Spec {
            station,
            tags,
            is_ipv6,
            source,
            destination,
            traffic_class,
            flow_label,
            hop_limit,
            identification,
            fragment,
            extensions,
            ports,
            tcp,
            payload,
            checksum: Checksum::Partial,
            padding,
        };
        (spec, size)
    })
}

/// Changes one thing of a frame, or nothing for a number that is none of them.
fn change(spec: &mut Spec, number: u8) {
    if let Some(tcp) = &mut spec.tcp {
        match number {
            0 => tcp.flags |= 0x08,
            1 => tcp.flags ^= 0x40,
            2 => tcp.flags ^= 0x80,
            3 => tcp.flags ^= 0x01,
            4 => tcp.flags ^= 0x22,
            5 => tcp.window ^= 1,
            6 => tcp.acknowledgment_number ^= 0x100,
            7 => tcp.sequence_number ^= 1,
            8 => tcp.options.resize(12 - tcp.options.len(), 1),
            9 => tcp.reserved ^= 1,
            10 => tcp.urgent_pointer ^= 1,
            _ => {}
        }
    }
    match number {
        11 => spec.payload.truncate(spec.payload.len() / 2),
        12 => spec.payload.clear(),
        13 => spec.payload.extend([7; 3]),
        14 => spec.checksum = Checksum::Wrong,
        15 => spec.checksum = Checksum::Zero,
        16 => spec.checksum = Checksum::Partial,
        17 => (spec.checksum, spec.payload) = (Checksum::Partial, vec![3; 3000]),
        18 => spec.padding = 7,
        19 => spec.station ^= 1,
        20 => spec.tags = if spec.tags.is_empty() { vec![[0x81, 0, 0, 9]] } else { Vec::new() },
        21 => spec.traffic_class ^= 1,
        22 => spec.flow_label ^= 1,
        23 => spec.hop_limit ^= 1,
        24 => spec.identification ^= 1,
        25 if !spec.is_ipv6 => spec.fragment ^= 0x4000,
        26 if !spec.is_ipv6 => spec.fragment ^= 0x8000,
        27 => spec.fragment ^= 0x2000,
        28 => spec.fragment ^= 0x0003,
        29 => spec.extensions = if spec.extensions.is_empty() { vec![1; 4] } else { Vec::new() },
        30 => spec.tags = vec![[0x81, 0, 0, 9]; 5],
        _ => {}
    }
}

/// A flow: its first frame, whether its identification is constant, and where it goes.
fn flow() -> impl Strategy<Value = (Spec, bool, Port)> {
    let size = prop_oneof![2 => 1..60_usize, 1 => Just(1400_usize), 1 => Just(20_000_usize)];
    let kind = (any::<bool>(), any::<bool>(), any::<bool>(), any::<bool>());
    // Few of each, so that two flows have much in common.
    let ends = (0..2_u8, 0..2_u8, 0..2_u16, 0..3_u16);
    let start = prop_oneof![Just((0_u32, 0_u16)), Just((u32::MAX - 50, u16::MAX - 2))];
    let port =
        (0..2_u32, prop::bool::weighted(0.9), prop_oneof![4 => Just(1500_u16), 1 => Just(0_u16), 1 => Just(53_u16)]);
    (kind, ends, size, start, port).prop_map(|(kind, ends, size, start, (id, merge_udp, mtu))| {
        let (is_ipv6, is_udp, is_constant, dont_fragment) = kind;
        let (source, destination, source_port, destination_port) = ends;
        let tcp = Tcp {
            sequence_number: start.0,
            acknowledgment_number: 77,
            reserved: 0,
            flags: 0x10,
            window: 500,
            urgent_pointer: 0,
            options: vec![1, 1, 8, 10, 0, 0, 0, 7, 0, 0, 0, 9],
        };
        let spec = Spec {
            station: 1,
            tags: Vec::new(),
            is_ipv6,
            source,
            destination,
            traffic_class: 0b10,
            flow_label: 5,
            hop_limit: 64,
            identification: start.1,
            fragment: if dont_fragment && !is_ipv6 { 0x4000 } else { 0 },
            extensions: Vec::new(),
            ports: (source_port, destination_port),
            tcp: (!is_udp).then_some(tcp),
            payload: (0..size).map(|index| (index * 7) as u8).collect(),
            checksum: Checksum::Whole,
            padding: 0,
        };
        (spec, is_constant, Port { id, mtu, merge_udp })
    })
}

/// Frames of some flows as they come, most of them in trains, some with a change, some changes to stay.
pub(crate) fn burst() -> impl Strategy<Value = Vec<(Port, Vec<u8>)>> {
    let train =
        (any::<prop::sample::Index>(), 1..8_usize, prop_oneof![1 => Just(u8::MAX), 2 => 0..31_u8], any::<bool>());
    (vec(flow(), 1..12), vec(train, 1..24)).prop_map(|(mut flows, trains)| {
        let mut frames = Vec::new();
        for (flow, length, number, stays) in trains {
            let at = flow.index(flows.len());
            let (spec, is_constant, port) = &mut flows[at];
            for index in 0..length {
                let mut frame = spec.clone();
                if index + 1 == length {
                    change(&mut frame, number);
                    // What would only make the frames longer and longer does not stay.
                    if stays && !(11..=17).contains(&number) {
                        *spec = frame.clone();
                    }
                }
                frames.push((*port, frame.build()));
                if let Some(tcp) = &mut spec.tcp {
                    tcp.sequence_number = tcp.sequence_number.wrapping_add(frame.payload.len() as u32);
                }
                if !*is_constant {
                    spec.identification = spec.identification.wrapping_add(1);
                }
            }
        }
        frames
    })
}
