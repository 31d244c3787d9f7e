//! The rules of merging, written down plainly: whole frames in vectors, everything compared and summed at once.

use std::ops::Range;

use ether_wire::{IpProtocol, Ipv4Header, Ipv6Header};
use offload::Port;

use super::packet::{pseudo_header, sum};

/// What is written to a TAP, and what it was made of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Delivered {
    pub(crate) port: u32,
    pub(crate) virtio: [u8; 10],
    pub(crate) bytes: Vec<u8>,
    pub(crate) originals: Vec<Range<usize>>,
}

/// Port, addresses, and protocol with ports where they are known.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Flow {
    pair: (u32, Vec<u8>),
    transport: Option<(u8, [u8; 4])>,
}

/// A frame, looked at.
#[derive(Clone, Debug)]
struct Frame {
    port: Port,
    range: Range<usize>,
    bytes: Vec<u8>,
    flow: Option<Flow>,
    /// Where IP, transport and payload begin, and where the packet ends, of a whole packet of TCP or UDP.
    parts: Option<[usize; 4]>,
    may_merge: bool,
    is_partial: bool,
    is_right: bool,
}

fn be16(bytes: &[u8]) -> u16 {
    u16::from_be_bytes([bytes[0], bytes[1]])
}

impl Frame {
    fn new(port: Port, range: Range<usize>, bytes: &[u8]) -> Self {
        let bytes = bytes.to_vec();
        let alone =
            Self { port, range, bytes, flow: None, parts: None, may_merge: false, is_partial: false, is_right: false };
        alone.clone().look().unwrap_or(alone)
    }

    fn look(mut self) -> Option<Self> {
        let bytes = self.bytes.clone();
        let mut network = 14;
        while matches!(bytes.get(network - 2..network)?, [0x81, 0x00] | [0x88, 0xa8]) {
            network += 4;
        }
        if network > 14 + 16 {
            return None;
        }
        let packet = &bytes[network..];
        let (is_ipv6, addresses) = match bytes[network - 2..network] {
            [0x08, 0x00] => (false, packet.get(..20)?[12..].to_vec()),
            [0x86, 0xdd] => (true, packet.get(..40)?[8..].to_vec()),
            _ => return None,
        };
        let mut flow = Flow { pair: (self.port.id, addresses.clone()), transport: None };
        self.flow = Some(flow.clone());
        // Those of `ether-wire` have tests of their own.
        let (protocol, is_bare, is_fragment, payload) = if is_ipv6 {
            let Ok(packet) = Ipv6Header::decode(packet) else { return Some(self) };
            (packet.protocol, packet.extension_headers.is_empty(), packet.fragment.is_some(), packet.payload)
        } else {
            let Ok(packet) = Ipv4Header::decode(packet) else { return Some(self) };
            let is_bare = packet.options_bytes.is_empty() && !packet.header.reserved();
            (packet.header.protocol(), is_bare, packet.header.is_fragment(), packet.payload)
        };
        if is_fragment {
            return Some(self);
        }
        flow.transport = payload.first_chunk().map(|ports| (protocol.get(), *ports));
        self.flow = Some(flow);
        let is_tcp = protocol == IpProtocol::TCP;
        let minimum = match protocol {
            IpProtocol::TCP => 20,
            IpProtocol::UDP => 8,
            _ => return Some(self),
        };
        if payload.len() < minimum || !is_tcp && usize::from(be16(&payload[4..])) != payload.len() {
            return Some(self);
        }
        let header_length = if is_tcp { usize::from(payload[12] >> 4) * 4 } else { 8 };
        let field = be16(&payload[if is_tcp { 16 } else { 6 }..]);
        let pseudo = pseudo_header(&addresses, protocol.get(), payload.len());
        self.is_partial = field == sum(&pseudo);
        self.is_right = sum(&[&pseudo[..], payload].concat()) == 0xffff || self.is_partial;
        let transport = payload.as_ptr() as usize - bytes_start(packet) + network;
        let parts = [network, transport, transport + header_length, transport + payload.len()];
        self.parts = Some(parts);
        let has_payload = header_length >= minimum && header_length < payload.len();
        let suits = if is_tcp { payload[13] & !0x58 == 0 } else { self.port.merge_udp && field != 0 };
        self.may_merge = is_bare && has_payload && suits && !self.is_uncut();
        Some(self)
    }

    fn is_tcp(&self) -> bool {
        matches!(&self.flow, Some(Flow { transport: Some((6, _)), .. }))
    }

    fn is_ipv6(&self) -> bool {
        matches!(&self.flow, Some(Flow { pair: (_, addresses), .. }) if addresses.len() == 32)
    }

    fn is_uncut(&self) -> bool {
        let Some([network, _, _, end]) = self.parts else { return false };
        self.is_tcp() && self.is_partial && end - network > usize::from(self.port.mtu)
    }

    fn payload(&self) -> &[u8] {
        let [_, _, payload, end] = self.parts.unwrap();
        &self.bytes[payload..end]
    }

    fn pushes(&self) -> bool {
        self.is_tcp() && self.bytes[self.parts.unwrap()[1] + 13] & 0x08 != 0
    }

    fn sequence_number(&self) -> u32 {
        let at = self.parts.unwrap()[1] + 4;
        if self.is_tcp() { u32::from_be_bytes(*self.bytes[at..].first_chunk().unwrap()) } else { 0 }
    }

    fn identification(&self) -> Option<u16> {
        (!self.is_ipv6()).then(|| be16(&self.bytes[self.parts.unwrap()[0] + 4..]))
    }

    fn dont_fragment(&self) -> bool {
        self.bytes[self.parts.unwrap()[0] + 6] & 0x40 != 0
    }

    /// The headers without what may differ in a run.
    fn constant_headers(&self) -> Vec<u8> {
        let [network, transport, payload, _] = self.parts.unwrap();
        let mut headers = self.bytes[..payload].to_vec();
        if self.is_ipv6() {
            headers[network + 4..network + 6].fill(0);
        } else {
            headers[network + 2..network + 6].fill(0);
            headers[network + 10..network + 12].fill(0);
        }
        if self.is_tcp() {
            headers[transport + 4..transport + 8].fill(0);
            headers[transport + 13] &= !0x08;
            headers[transport + 16..transport + 18].fill(0);
        } else {
            headers[transport + 4..transport + 8].fill(0);
        }
        headers
    }

    /// The frame by itself.
    fn alone(&self) -> Delivered {
        let mut delivered = Delivered {
            port: self.port.id,
            virtio: [0; 10],
            bytes: self.bytes.clone(),
            originals: vec![self.range.clone()],
        };
        let Some([network, transport, payload, end]) = self.parts else { return delivered };
        if !self.is_partial {
            return delivered;
        }
        delivered.bytes.truncate(end);
        delivered.originals[0].end = self.range.start + end;
        let offset = if self.is_tcp() { 16 } else { 6 };
        let room = usize::from(self.port.mtu).saturating_sub(payload - network);
        let is_sound = !self.is_tcp() || payload - transport >= 20 && payload <= end;
        delivered.virtio = if self.is_uncut() && is_sound && room > 0 {
            let has_cwr = self.bytes[transport + 13] & 0x80 != 0;
            let gso_type = if self.is_ipv6() { 4 } else { 1 } | if has_cwr { 0x80 } else { 0 };
            virtio(gso_type, payload, room, transport, offset)
        } else {
            virtio(0, 0, 0, transport, offset)
        };
        delivered
    }
}

/// Where a slice begins.
fn bytes_start(bytes: &[u8]) -> usize {
    bytes.as_ptr() as usize
}

fn virtio(gso_type: u8, hdr_len: usize, gso_size: usize, csum_start: usize, csum_offset: usize) -> [u8; 10] {
    let mut bytes = vec![1, gso_type];
    for field in [hdr_len, gso_size, csum_start, csum_offset] {
        bytes.extend((field as u16).to_le_bytes());
    }
    bytes.try_into().unwrap()
}

/// The frames of a run as one.
fn merged(frames: &[Frame]) -> Delivered {
    let first = &frames[0];
    if frames.len() == 1 {
        return first.alone();
    }
    let [network, transport, payload, _] = first.parts.unwrap();
    let mut bytes = first.bytes[..payload].to_vec();
    for frame in frames {
        bytes.extend(frame.payload());
    }
    let length = bytes.len();
    let mut set = |at: usize, value: u16| bytes[at..at + 2].copy_from_slice(&value.to_be_bytes());
    if first.is_ipv6() {
        set(network + 4, (length - network - 40) as u16);
    } else {
        set(network + 2, (length - network) as u16);
        set(network + 10, 0);
        let checksum = !sum(&bytes[network..transport]);
        bytes[network + 10..network + 12].copy_from_slice(&checksum.to_be_bytes());
    }
    let (offset, gso_type) = match (first.is_tcp(), first.is_ipv6()) {
        (true, false) => (16, 1),
        (true, true) => (16, 4),
        (false, _) => (6, 5),
    };
    if first.is_tcp() {
        bytes[transport + 13] |= u8::from(frames.iter().any(Frame::pushes)) << 3;
    } else {
        bytes[transport + 4..transport + 6].copy_from_slice(&((length - transport) as u16).to_be_bytes());
    }
    let Some(Flow { pair: (_, addresses), transport: Some((protocol, _)) }) = &first.flow else { unreachable!() };
    let partial = sum(&pseudo_header(addresses, *protocol, length - transport));
    bytes[transport + offset..transport + offset + 2].copy_from_slice(&partial.to_be_bytes());
    let originals = frames.iter().map(|frame| frame.range.start..frame.range.start + frame.parts.unwrap()[3]);
    Delivered {
        port: first.port.id,
        virtio: virtio(gso_type, payload, first.payload().len(), transport, offset),
        bytes,
        originals: originals.collect(),
    }
}

/// `true` where the frame goes on where the run ends.
fn goes_on(run: &[Frame], frame: &Frame) -> bool {
    let (first, last) = (&run[0], &run[run.len() - 1]);
    let size = first.payload().len();
    let sum: usize = run.iter().map(|frame| frame.payload().len()).sum::<usize>() + frame.payload().len();
    let [network, _, payload, _] = first.parts.unwrap();
    let identifications: Option<Vec<u16>> = run.iter().chain([frame]).map(Frame::identification).collect();
    let identification_goes_on = identifications.is_none_or(|all| {
        let counts = all.windows(2).all(|pair| pair[1] == pair[0].wrapping_add(1));
        counts || first.dont_fragment() && all.iter().all(|one| *one == all[0])
    });
    let next = if first.is_tcp() { last.sequence_number().wrapping_add(last.payload().len() as u32) } else { 0 };
    first.parts.map(|parts| parts[..3].to_vec()) == frame.parts.map(|parts| parts[..3].to_vec())
        && first.constant_headers() == frame.constant_headers()
        && identification_goes_on
        && frame.sequence_number() == next
        && frame.payload().len() <= size
        && payload - network + sum <= 65_535 - 30
}

/// Delivers what the rules say for these frames, in order.
pub(crate) fn coalesce(memory: &[u8], frames: &[(Port, Range<usize>)]) -> Vec<Delivered> {
    let mut delivered = Vec::new();
    // The oldest first.
    let mut runs: Vec<Vec<Frame>> = Vec::new();
    for (port, range) in frames {
        let frame = Frame::new(*port, range.clone(), &memory[range.clone()]);
        let run = runs.iter().position(|run| frame.flow.is_some() && run[0].flow == frame.flow);
        if let Some(place) = run
            && frame.may_merge
            && goes_on(&runs[place], &frame)
            && runs[place][0].is_right
            && frame.is_right
        {
            let run = &mut runs[place];
            let is_short = frame.payload().len() < run[0].payload().len();
            let limit = if frame.is_tcp() { 128 } else { 64 };
            let pushes = frame.pushes();
            run.push(frame);
            if is_short || pushes || run.len() == limit {
                delivered.push(merged(&runs.remove(place)));
            }
            continue;
        }
        // A wrong checksum shows when there is something to merge with.
        let is_refused = run.is_some_and(|place| {
            frame.may_merge && goes_on(&runs[place], &frame) && runs[place][0].is_right && !frame.is_right
        });
        // Nothing overtakes its flow, nor what it may be a fragment of.
        let touches = |run: &Vec<Frame>| match (&frame.flow, &run[0].flow) {
            (Some(flow), Some(other)) => {
                flow.pair == other.pair && (flow.transport.is_none() || flow.transport == other.transport)
            }
            _ => false,
        };
        delivered.extend(runs.iter().filter(|run| touches(run)).map(|run| merged(run)));
        runs.retain(|run| !touches(run));
        if !frame.may_merge || frame.pushes() || is_refused {
            delivered.push(frame.alone());
            continue;
        }
        if runs.len() == 8 {
            delivered.push(merged(&runs.remove(0)));
        }
        runs.push(vec![frame]);
    }
    delivered.extend(runs.iter().map(|run| merged(run)));
    delivered
}
