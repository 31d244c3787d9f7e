//! A worker's end of a capture: packets copied into a ring. No allocation, no lock, no waiting: what finds no room is counted.

use std::{
    fmt,
    io::Write as _,
    net::{IpAddr, SocketAddr},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::SystemTime,
};

use ether_wire::{Ecn, flow::FlowHash};
use rtrb::{Consumer, Producer, RingBuffer};
use vtep::{DropReason, Encapsulation, SegmentId};

use super::record::{Direction, Head};
use crate::{
    outer_packet::OuterPacket,
    send::Addressed,
    underlay::{Receiver, SenderPool},
};

/// The bytes that wait for the client at the most.
const RING: usize = 2 << 20;
/// Behind the longest outer headers it is still a packet that an IP header can say the length of.
const LARGEST_DATAGRAM: usize = 65_000;
/// The longest comment.
const COMMENT: usize = 96;

/// What is captured.
#[derive(Debug)]
pub(crate) struct Plan {
    /// The interface of each segment's TAP, by the segment's number; of segments that are not wanted there is none.
    pub(super) taps: Vec<Option<u32>>,
    /// Our addresses; the interface of the first is behind those of all TAPs.
    pub(super) underlays: Vec<IpAddr>,
    pub(super) first_underlay: u32,
    /// Only datagrams of one segment.
    pub(super) only: Option<Only>,
    pub(super) inner: bool,
    pub(super) outer: bool,
    pub(super) snaplen: usize,
    /// Packets that found no room, by interface.
    pub(super) lost: Box<[AtomicU64]>,
}

/// How datagrams of a segment are known, whatever becomes of them.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Only {
    pub(super) encapsulation: Encapsulation,
    pub(super) port: u16,
    pub(super) underlay: u8,
    pub(super) vni: u32,
}

impl Only {
    fn is_for(self, receiver: &Receiver, datagram: &[u8]) -> bool {
        let [_, a, b, c] = self.vni.to_be_bytes();
        (self.encapsulation, self.port, self.underlay) == (receiver.encapsulation, receiver.port, receiver.underlay)
            // VXLAN, Geneve and NVGRE have it at the same place.
            && datagram.get(4..7) == Some(&[a, b, c])
    }
}

/// What became of a packet.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Verdict {
    SentTo(IpAddr),
    Flooded(usize),
    Decapsulated,
    Delivered,
    /// A question that was answered here.
    Answered,
    /// What it was answered with.
    Answer,
    Held,
    Dropped(DropReason),
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::SentTo(remote) => write!(f, "sent to {remote}"),
            Self::Flooded(1) => f.write_str("flooded to 1 remote"),
            Self::Flooded(remotes) => write!(f, "flooded to {remotes} remotes"),
            Self::Decapsulated => f.write_str("decapsulated"),
            Self::Delivered => f.write_str("delivered"),
            Self::Answered => f.write_str("answered"),
            Self::Answer => f.write_str("answer"),
            Self::Held => f.write_str("held"),
            Self::Dropped(reason) => write!(f, "dropped: {reason}"),
        }
    }
}

/// What a worker records by, one for each way.
pub(crate) struct Recorder {
    ring: Ring,
    /// The outer packet that is made.
    packet: Vec<u8>,
    /// Of a datagram whose verdict is still to come: its interface and its length.
    kept: Option<(u32, usize)>,
    /// What will have become of each frame of a batch, if it can be sent.
    sending: Vec<Verdict>,
}

impl Recorder {
    /// A recorder, and the ring's other end.
    pub(super) fn new(plan: Arc<Plan>) -> (Self, Consumer<u8>) {
        let (producer, consumer) = RingBuffer::new(RING);
        let recorder = Self {
            ring: Ring { producer, plan },
            packet: Vec::with_capacity(1 << 16),
            kept: None,
            sending: Vec::with_capacity(256),
        };
        (recorder, consumer)
    }

    /// A frame that came from the TAP, or `frames` of them in one.
    pub(crate) fn sent_by_tap(&mut self, segment: SegmentId, frame: &[u8], frames: u32, verdict: Verdict) {
        self.ring.put_inner(segment, Direction::Outbound, frames, verdict, [frame]);
    }

    /// A frame for the TAP in these parts, or `frames` of them in one.
    pub(crate) fn for_tap<'a, P>(&mut self, segment: SegmentId, parts: P, frames: u32, verdict: Verdict)
    where
        P: IntoIterator<Item = &'a [u8]>,
        P::IntoIter: Clone,
    {
        self.ring.put_inner(segment, Direction::Inbound, frames, verdict, parts);
    }

    /// The next frame of a batch, which is about to be sent.
    pub(crate) fn sends(&mut self, verdict: Verdict) {
        self.sending.push(verdict);
    }

    /// What was said of this frame of the batch.
    pub(crate) fn said(&self, frame: usize) -> Verdict {
        // A recorder that came with the batch half read has not heard of all.
        self.sending.get(frame).copied().unwrap_or(Verdict::Dropped(DropReason::Socket))
    }

    /// The batch is done.
    pub(crate) fn clear(&mut self) {
        self.sending.clear();
    }

    /// A datagram to a remote: tunnel header, and one frame or `frames` of them in one.
    pub(crate) fn outgoing(
        &mut self,
        segment: SegmentId,
        pool: &SenderPool,
        to: &Addressed,
        (header, frame): (&[u8], &[u8]),
        frames: u32,
        verdict: Verdict,
    ) {
        if !self.ring.plan.outer || self.ring.plan.tap(segment).is_none() {
            return;
        }
        let options = &pool.options;
        let packet = OuterPacket {
            source: pool.underlay.local,
            destination: to.destination.ip(),
            ports: options.is_udp.then(|| (pool.port(to.socket), to.destination.port())),
            traffic_class: to.traffic_class,
            ttl: to.ttl,
            df: options.df,
            flow_label: match to.destination {
                SocketAddr::V4(_) => None,
                SocketAddr::V6(destination) => Some(u32::from_be(destination.flowinfo())),
            },
            checksum: options.is_udp && options.udp_checksum,
            flow: FlowHash::new(0),
            tunnel_header: header,
        };
        let interface = self.ring.plan.first_underlay + u32::from(pool.underlay.number);
        if packet.write_to(&mut self.packet, &frame[..frame.len().min(LARGEST_DATAGRAM)]).is_ok() {
            self.ring.put(interface, Direction::Outbound, frames, verdict, [self.packet.as_slice()]);
        }
    }

    /// A datagram from a remote, before the decision, which may change it.
    pub(crate) fn keep(&mut self, receiver: &Receiver, source: SocketAddr, ecn: Ecn, datagram: &[u8]) {
        self.kept = None;
        let plan = &self.ring.plan;
        if !plan.outer || plan.only.is_some_and(|only| !only.is_for(receiver, datagram)) {
            return;
        }
        let Some(local) = plan.underlays.get(usize::from(receiver.underlay)) else { return };
        let is_udp = receiver.encapsulation.is_udp();
        let packet = OuterPacket {
            source: source.ip(),
            destination: receiver.group.unwrap_or(*local),
            ports: is_udp.then_some((source.port(), receiver.port)),
            traffic_class: ecn.bits(),
            // Nobody asks the kernel for it.
            ttl: 0,
            df: false,
            flow_label: None,
            checksum: is_udp,
            flow: FlowHash::new(0),
            tunnel_header: &[],
        };
        if packet.write_to(&mut self.packet, &datagram[..datagram.len().min(LARGEST_DATAGRAM)]).is_ok() {
            self.kept = Some((plan.first_underlay + u32::from(receiver.underlay), self.packet.len()));
        }
    }

    /// The datagram that was kept, with what became of it.
    pub(crate) fn decided(&mut self, verdict: Verdict) {
        if let Some((interface, length)) = self.kept.take() {
            self.ring.put(interface, Direction::Inbound, 1, verdict, [&self.packet[..length]]);
        }
    }
}

impl Plan {
    fn tap(&self, segment: SegmentId) -> Option<u32> {
        self.taps.get(segment.get() as usize).copied().flatten()
    }
}

struct Ring {
    producer: Producer<u8>,
    plan: Arc<Plan>,
}

impl Ring {
    fn put_inner<'a, P>(&mut self, segment: SegmentId, direction: Direction, frames: u32, verdict: Verdict, parts: P)
    where
        P: IntoIterator<Item = &'a [u8]>,
        P::IntoIter: Clone,
    {
        if self.plan.inner
            && let Some(interface) = self.plan.tap(segment)
        {
            self.put(interface, direction, frames, verdict, parts);
        }
    }

    fn put<'a, P>(&mut self, interface: u32, direction: Direction, frames: u32, verdict: Verdict, parts: P)
    where
        P: IntoIterator<Item = &'a [u8]>,
        P::IntoIter: Clone,
    {
        let parts = parts.into_iter();
        let mut comment = [0; COMMENT];
        let mut free = &mut comment[..];
        // What does not fit is cut off.
        let _ = if frames == 1 { write!(free, "{verdict}") } else { write!(free, "{verdict}, {frames} frames") };
        let comment_len = COMMENT - free.len();
        let original: usize = parts.clone().map(<[u8]>::len).sum();
        let mut length = original.min(self.plan.snaplen);
        let total = Head::LEN + comment_len + length;
        if self.producer.slots() < total {
            if let Some(lost) = self.plan.lost.get(interface as usize) {
                lost.fetch_add(1, Ordering::Relaxed);
            }
            return;
        }
        let time = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        let head = Head {
            total: total as u32,
            original: original as u32,
            time: time.as_nanos() as u64,
            interface,
            direction,
            comment: comment_len as u8,
        };
        // There is room for all of it.
        let _ = self.producer.push_entire_slice(&head.to_bytes());
        let _ = self.producer.push_entire_slice(&comment[..comment_len]);
        for part in parts {
            let part = &part[..part.len().min(length)];
            length -= part.len();
            let _ = self.producer.push_entire_slice(part);
        }
    }
}

/// A recorder of all that the first segment sends and gets, over IPv4.
#[cfg(test)]
pub(crate) fn of_first_segment() -> (Recorder, Consumer<u8>) {
    Recorder::new(tests::plan())
}

#[cfg(test)]
mod tests {
    use super::{super::record::Record, *};

    pub(super) fn plan() -> Arc<Plan> {
        Arc::new(Plan {
            taps: vec![Some(0)],
            underlays: vec!["192.0.2.1".parse().unwrap()],
            first_underlay: 1,
            only: None,
            inner: true,
            outer: true,
            snaplen: 100,
            lost: [AtomicU64::new(0), AtomicU64::new(0)].into(),
        })
    }

    #[test]
    fn parts_are_one_packet_and_cut_at_the_snap_length() {
        let (mut recorder, mut ring) = Recorder::new(plan());
        recorder.ring.put(0, Direction::Inbound, 3, Verdict::Delivered, [&[1; 60][..], &[2; 60], &[3; 60]]);
        let mut bytes = vec![0; ring.slots()];
        ring.pop_entire_slice(&mut bytes).unwrap();
        let (record, rest) = Record::split_from(&bytes).unwrap();
        assert_eq!((record.comment, record.head.original, rest), (&b"delivered, 3 frames"[..], 180, &[][..]));
        assert_eq!(record.bytes, [[1; 60].as_slice(), &[2; 40]].concat());
    }

    #[test]
    fn a_ring_that_nobody_reads_loses_what_finds_no_room_and_counts_it() {
        let plan = plan();
        let (mut recorder, mut ring) = Recorder::new(Arc::clone(&plan));
        for _ in 0..100_000 {
            recorder.ring.put(1, Direction::Outbound, 1, Verdict::Held, [&[7; 90][..]]);
        }
        let mut bytes = vec![0; ring.slots()];
        assert!(bytes.len() <= RING);
        ring.pop_entire_slice(&mut bytes).unwrap();
        let (mut rest, mut kept) = (&bytes[..], 0);
        while let Some((record, behind)) = Record::split_from(rest) {
            assert_eq!((record.comment, record.bytes), (&b"held"[..], &[7; 90][..]));
            (rest, kept) = (behind, kept + 1);
        }
        assert!(rest.is_empty());
        let lost = [0, 1].map(|interface: usize| plan.lost[interface].load(Ordering::Relaxed));
        assert_eq!(lost, [0, 100_000 - kept]);
    }
}
