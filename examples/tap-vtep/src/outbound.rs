//! From a TAP into tunnels: frames as they come, and super-frames that are cut on the way.

use std::{
    net::{IpAddr, SocketAddr},
    ops::Range,
    sync::atomic::Ordering,
    time::Duration,
};

use ether_wire::{Ipv4Header, UdpHeader};
use geneve_wire::GeneveHeader;
use offload::{SuperFrame, VirtioNetHeader};
use rustix::io::Errno;
use tracing::warn;
use vtep::{Cut, DataLane, Destination, DropReason, Encapsulated, REPLY_LEN, RemoteId, SegmentId, TapVerdict};

use crate::{
    capture::{Recorder, Verdict},
    complaints::{Complaints, Trouble, Work},
    send::{Addressed, Outgoing, SendBatch, drop_reason},
    tap::{self, Tap, TapWriter},
    trunk::{self, TAG_LEN},
    tunnel_gso::{Outer, Transport},
    underlay::{SenderPool, path::PathSocket},
};

/// Frames that are read before they are sent.
const BATCH: usize = 128;
/// Super-frames that are sent before others have their turn.
const SUPER_FRAMES: usize = 16;
/// Frames of a batch lie one behind the other in this much memory.
const MEMORY: usize = 4 * tap::READ_MAX;
/// Frames begin at multiples of this many bytes. Right before each stood its virtio-net header, and stands its tunnel header,
/// which is written over that.
const ALIGNMENT: usize = 64;

/// The memory for what comes from TAPs.
pub(crate) struct Outbound {
    memory: Vec<u8>,
    read: Vec<Read>,
    batch: SendBatch,
    /// For answers to the TAP.
    reply: Box<[u8; REPLY_LEN]>,
    writer: TapWriter,
    /// To ask for path MTUs; one for each family, opened when the first datagram is too big.
    path: [Option<PathSocket>; 2],
    /// Whether the underlay's helper TAP, if there is one, takes super-frames.
    tunnel_works: bool,
    /// While somebody captures.
    pub(crate) recorder: Option<Box<Recorder>>,
}

/// One frame of a batch.
#[derive(Clone)]
struct Read {
    /// Where it lies.
    frame: Range<usize>,
    flooded: bool,
    was_sent: bool,
    failure: Option<DropReason>,
}

/// What sending for a segment takes.
#[derive(Clone, Copy)]
pub(crate) struct Way<'a> {
    pub(crate) lane: &'a DataLane,
    pub(crate) segment: SegmentId,
    /// The segment's name.
    pub(crate) name: &'a str,
    pub(crate) pool: &'a SenderPool,
    pub(crate) now: Duration,
    /// Where answers go.
    pub(crate) tap: &'a Tap,
}

impl<'a> Way<'a> {
    /// The segment, by number and name.
    fn named(self) -> (SegmentId, &'a str) {
        (self.segment, self.name)
    }
}

/// Whose frames a TAP brings.
#[derive(Clone, Copy)]
pub(crate) enum Source<'a> {
    /// One segment's.
    Segment(Way<'a>),
    /// Those of several, by their VLAN identifiers.
    Trunk(&'a DataLane, Duration, &'a dyn Fn(u16) -> Option<Way<'a>>),
}

/// What there has to be before each frame of a trunk: any segment's tunnel header.
const TRUNK_HEADER: usize = GeneveHeader::MAX_LEN;

/// The TAP's file is dead: its interface was deleted.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct TapGone;

impl Outbound {
    pub(crate) fn new() -> Self {
        Self {
            memory: vec![0; MEMORY],
            read: Vec::with_capacity(BATCH),
            batch: SendBatch::new(),
            reply: Box::new([0; REPLY_LEN]),
            writer: TapWriter::new(),
            path: [None, None],
            tunnel_works: true,
            recorder: None,
        }
    }

    /// Sends what a TAP has, but no more than a batch.
    pub(crate) fn serve(&mut self, tap: &Tap, source: Source<'_>, complaints: &mut Complaints) -> Result<(), TapGone> {
        let mut result = Ok(());
        // Frames of which segment are read: when another's come, they are sent.
        let (lane, now, mut current, tunnel_header) = match source {
            Source::Segment(way) => {
                (way.lane, way.now, Some(way), way.lane.tunnel_header_len(way.segment).unwrap_or(0))
            }
            Source::Trunk(lane, now, _) => (lane, now, None, TRUNK_HEADER),
        };
        let frame_at = tunnel_header.max(VirtioNetHeader::LEN).next_multiple_of(ALIGNMENT);
        let virtio_at = frame_at - VirtioNetHeader::LEN;
        let mut clamps_mss = current.is_some_and(|way| lane.clamps_mss(way.segment));
        let (mut at, mut super_frames) = (0, 0);
        while self.read.len() < BATCH && super_frames < SUPER_FRAMES && at + frame_at + tap::READ_MAX <= MEMORY {
            let length = match tap.read(&mut self.memory[at + virtio_at..][..tap::READ_MAX]) {
                Ok(length) => length,
                Err(Errno::INTR) => continue,
                Err(Errno::AGAIN) => break,
                Err(error) if tap::is_gone(error) => {
                    result = Err(TapGone);
                    break;
                }
                // It says nothing about the next frame.
                Err(error) => {
                    let segment = current.map(|way| way.segment);
                    if let Some(left_out) = complaints.admit(Work::ReadTap, Trouble::Error(error), segment, now) {
                        let segment = current.map(|way| way.name);
                        warn!(%error, segment, left_out, "cannot read from the TAP; trying on");
                    }
                    break;
                }
            };
            let Some(mut length) = length.checked_sub(VirtioNetHeader::LEN) else {
                lane.dropped(current.map(|way| way.segment), 1, DropReason::Truncated);
                continue;
            };
            let mut frame_at = frame_at;
            let (before, frame) = self.memory[at..at + frame_at + length].split_at_mut(frame_at);
            let Ok((virtio, _)) = VirtioNetHeader::from_prefix(&before[virtio_at..]) else { continue };
            let mut virtio = *virtio;
            if let Source::Trunk(_, _, way_of) = source {
                let Some(way) = trunk::vlan_of(frame).and_then(way_of) else {
                    lane.dropped(None, frames_of(virtio, frame), DropReason::VlanTag);
                    complaints.frame_dropped(DropReason::VlanTag, None, now);
                    continue;
                };
                trunk::take_tag(frame);
                (frame_at, length) = (frame_at + TAG_LEN, length - TAG_LEN);
                virtio = virtio.moved(-(TAG_LEN.cast_signed() as i16));
                if current.is_none_or(|current| current.segment != way.segment) {
                    self.flush(current, complaints);
                    current = Some(way);
                    clamps_mss = lane.clamps_mss(way.segment);
                }
            }
            let Some(way) = current else { continue };
            let (before, frame) = self.memory[at..at + frame_at + length].split_at_mut(frame_at);
            if virtio.is_super_frame() {
                // What was read before it goes before it.
                self.flush(current, complaints);
                self.cut(at + frame_at..at + frame_at + length, virtio, way, complaints);
                super_frames += 1;
                at = 0;
                continue;
            }
            if offload::finish_checksum(&virtio, frame).is_err() {
                note(&mut self.recorder, way, frame, 1, Verdict::Dropped(DropReason::Truncated));
                way.lane.dropped(Some(way.segment), 1, DropReason::Truncated);
                complaints.frame_dropped(DropReason::Truncated, Some(way.named()), way.now);
                continue;
            }
            if clamps_mss {
                way.lane.clamp_mss(way.segment, frame);
            }
            let encapsulated = match way.lane.from_tap(way.segment, frame, &mut self.reply, way.now) {
                TapVerdict::Send(encapsulated) => encapsulated,
                other => {
                    note_other(&mut self.recorder, way, frame, 1, &other);
                    conclude(&mut self.writer, way, &other, complaints);
                    continue;
                }
            };
            if let Some(recorder) = &mut self.recorder {
                recorder.sends(verdict_of(&encapsulated));
            }
            let header = encapsulated.header();
            before[frame_at - header.len()..].copy_from_slice(header);
            let bytes = at + frame_at - header.len()..at + frame_at + length;
            let flooded = encapsulated.is_flooded();
            let frame = self.read.len();
            let place = at + frame_at..at + frame_at + length;
            self.read.push(Read { frame: place, flooded, was_sent: false, failure: None });
            for (remote, addressed) in addressed(&encapsulated, way) {
                if self.batch.is_full() {
                    self.send(way, complaints);
                }
                self.batch.push(Outgoing { frame, bytes: bytes.clone(), remote, addressed });
            }
            at = (at + frame_at + length).next_multiple_of(ALIGNMENT);
        }
        self.flush(current, complaints);
        result
    }

    /// Sends the batch, and counts its frames.
    fn flush(&mut self, way: Option<Way<'_>>, complaints: &mut Complaints) {
        // Without one nothing was read.
        let Some(way) = way else { return };
        self.send(way, complaints);
        for (place, read) in self.read.iter().enumerate() {
            let frame = &self.memory[read.frame.clone()];
            if read.was_sent {
                if let Some(recorder) = &mut self.recorder {
                    recorder.sent_by_tap(way.segment, frame, 1, recorder.said(place));
                }
                way.lane.sent(way.segment, 1, read.frame.len(), read.flooded);
            } else if read.failure == Some(DropReason::TooBig) {
                let cut = Cut::whole(frame.len());
                let verdict = way.lane.refused_too_big(way.segment, frame, cut, &mut self.reply, way.now);
                note_other(&mut self.recorder, way, frame, 1, &verdict);
                if let TapVerdict::Answer(answer) = verdict {
                    answer_to(way.tap, &mut self.writer, answer);
                }
            } else {
                let reason = read.failure.unwrap_or(DropReason::Socket);
                note(&mut self.recorder, way, frame, 1, Verdict::Dropped(reason));
                way.lane.dropped(Some(way.segment), 1, reason);
            }
        }
        if let Some(recorder) = &mut self.recorder {
            recorder.clear();
        }
        self.read.clear();
    }

    /// Sends the datagrams of the batch, and notes for each frame what became of it.
    fn send(&mut self, way: Way<'_>, complaints: &mut Complaints) {
        let Self { read, path, memory, recorder, .. } = self;
        let mut asked = None;
        self.batch.flush(way.pool, memory, |outgoing, outcome| {
            if let Some(recorder) = recorder {
                let at = read[outgoing.frame].frame.start;
                let parts = (&memory[outgoing.bytes.start..at], &memory[at..outgoing.bytes.end]);
                let sent = Verdict::SentTo(outgoing.addressed.destination.ip());
                let verdict = outcome.map_or_else(|error| Verdict::Dropped(drop_reason(error)), |()| sent);
                recorder.outgoing(way.segment, way.pool, &outgoing.addressed, parts, 1, verdict);
            }
            match outcome {
                Ok(()) => {
                    read[outgoing.frame].was_sent = true;
                    way.lane.sent_to(outgoing.remote, 1);
                }
                Err(error) => {
                    read[outgoing.frame].failure = Some(drop_reason(error));
                    if error == Errno::MSGSIZE && asked.replace(outgoing.remote) != Some(outgoing.remote) {
                        ask_path_mtu(path, outgoing.addressed.destination.ip(), way);
                    }
                    complain(error, Some(&outgoing.addressed), way, complaints);
                }
            }
        });
    }

    /// Sends a super-frame by one decision.
    fn cut(&mut self, frame: Range<usize>, virtio: VirtioNetHeader, way: Way<'_>, complaints: &mut Complaints) {
        let frame = &self.memory[frame];
        let Ok(super_frame) = SuperFrame::parse(&virtio, frame) else {
            note(&mut self.recorder, way, frame, 1, Verdict::Dropped(DropReason::Truncated));
            way.lane.dropped(Some(way.segment), 1, DropReason::Truncated);
            return;
        };
        let cut = Cut { frames: super_frame.segments() as u32, largest: super_frame.largest_frame() };
        let encapsulated = match way.lane.from_tap_cut(way.segment, frame, cut, &mut self.reply, way.now) {
            TapVerdict::Send(encapsulated) => encapsulated,
            other => {
                note_other(&mut self.recorder, way, frame, cut.frames, &other);
                return conclude(&mut self.writer, way, &other, complaints);
            }
        };
        if self.tunnel_works
            && let Some(result) = send_whole(&encapsulated, way, virtio, &super_frame, frame)
        {
            match result {
                Ok(remote) => {
                    let bytes = super_frame.segments() * super_frame.header_len() + super_frame.payload_len();
                    way.lane.sent(way.segment, cut.frames, bytes, encapsulated.is_flooded());
                    way.lane.sent_to(remote, cut.frames);
                    note_sent(&mut self.recorder, way, frame, cut.frames, &encapsulated);
                    return;
                }
                Err(Errno::OPNOTSUPP) => {}
                Err(error) => {
                    warn!(%error, "the helper TAP takes no super-frames any more; they go by sockets from now on");
                    self.tunnel_works = false;
                }
            }
        }
        let sent = self.batch.send_super_frame(
            way.pool,
            &super_frame,
            frame,
            encapsulated.header(),
            &addressed(&encapsulated, way),
            |remote, datagrams| way.lane.sent_to(remote, datagrams),
        );
        if sent.frames > 0 {
            way.lane.sent(way.segment, sent.frames, sent.bytes, encapsulated.is_flooded());
            note_sent(&mut self.recorder, way, frame, sent.frames, &encapsulated);
        }
        if let Some(error) = sent.failure {
            let rest = Cut { frames: cut.frames - sent.frames, ..cut };
            if error == Errno::MSGSIZE {
                for destination in encapsulated.destinations() {
                    ask_path_mtu(&mut self.path, destination.address, way);
                }
                let verdict = way.lane.refused_too_big(way.segment, frame, rest, &mut self.reply, way.now);
                note_other(&mut self.recorder, way, frame, rest.frames, &verdict);
                if let TapVerdict::Answer(answer) = verdict {
                    answer_to(way.tap, &mut self.writer, answer);
                }
            } else {
                let reason = drop_reason(error);
                note(&mut self.recorder, way, frame, rest.frames, Verdict::Dropped(reason));
                way.lane.dropped(Some(way.segment), rest.frames, reason);
            }
            complain(error, None, way, complaints);
        }
    }
}

/// How many frames this one stands for.
fn frames_of(virtio: VirtioNetHeader, frame: &[u8]) -> u32 {
    SuperFrame::parse(&virtio, frame).map_or(1, |super_frame| super_frame.segments() as u32)
}

/// Does what there is to do for a frame that is not sent.
fn conclude(writer: &mut TapWriter, way: Way<'_>, verdict: &TapVerdict<'_, '_>, complaints: &mut Complaints) {
    match verdict {
        TapVerdict::Answer(answer) => answer_to(way.tap, writer, answer),
        TapVerdict::Drop(reason) => complaints.frame_dropped(*reason, Some(way.named()), way.now),
        TapVerdict::Send(_) | TapVerdict::Held => {}
    }
}

/// What becomes of a frame that is sent.
fn verdict_of(encapsulated: &Encapsulated<'_>) -> Verdict {
    match encapsulated.destinations() {
        [only] if !encapsulated.is_flooded() => Verdict::SentTo(only.address),
        all => Verdict::Flooded(all.len()),
    }
}

/// Records a frame from the TAP while somebody captures.
fn note(recorder: &mut Option<Box<Recorder>>, way: Way<'_>, frame: &[u8], frames: u32, verdict: Verdict) {
    if let Some(recorder) = recorder {
        recorder.sent_by_tap(way.segment, frame, frames, verdict);
    }
}

/// The same for a frame that is not sent, and for what it is answered with.
fn note_other(
    recorder: &mut Option<Box<Recorder>>,
    way: Way<'_>,
    frame: &[u8],
    frames: u32,
    verdict: &TapVerdict<'_, '_>,
) {
    let Some(recorder) = recorder else { return };
    match verdict {
        TapVerdict::Send(_) => {}
        TapVerdict::Answer(answer) => {
            recorder.sent_by_tap(way.segment, frame, frames, Verdict::Answered);
            recorder.for_tap(way.segment, [*answer], 1, Verdict::Answer);
        }
        TapVerdict::Held => recorder.sent_by_tap(way.segment, frame, frames, Verdict::Held),
        TapVerdict::Drop(reason) => recorder.sent_by_tap(way.segment, frame, frames, Verdict::Dropped(*reason)),
    }
}

/// The same for a super-frame that was sent, and for the packets that carry it: one for each remote, uncut.
fn note_sent(
    recorder: &mut Option<Box<Recorder>>,
    way: Way<'_>,
    frame: &[u8],
    frames: u32,
    encapsulated: &Encapsulated<'_>,
) {
    let Some(recorder) = recorder else { return };
    recorder.sent_by_tap(way.segment, frame, frames, verdict_of(encapsulated));
    for (_, to) in addressed(encapsulated, way) {
        let verdict = Verdict::SentTo(to.destination.ip());
        recorder.outgoing(way.segment, way.pool, &to, (encapsulated.header(), frame), frames, verdict);
    }
}

/// Writes an answer to the TAP. The frame that it answers is counted already: one that is not taken is as lost as on any wire.
fn answer_to(tap: &Tap, writer: &mut TapWriter, answer: &[u8]) {
    let _ = writer.write(tap, VirtioNetHeader::new(), answer, &[], &[]);
}

/// Learns from the kernel what fits the path to a remote, where it has refused a datagram as too big.
fn ask_path_mtu(paths: &mut [Option<PathSocket>; 2], remote: IpAddr, way: Way<'_>) {
    let path = &mut paths[usize::from(remote.is_ipv6())];
    if path.is_none() {
        *path = PathSocket::open(&way.pool.underlay).ok();
    }
    // What cannot be learned is a drop without an answer, and counted.
    if let Some(Ok(mtu)) = path.as_ref().map(|path| path.mtu(&way.pool.underlay, remote)) {
        let _ = way.lane.set_path_mtu(remote, mtu, way.now);
    }
}

/// Sends a super-frame whole to its one remote; `None` where that is not the way for it.
fn send_whole(
    encapsulated: &Encapsulated<'_>,
    way: Way<'_>,
    virtio: VirtioNetHeader,
    super_frame: &SuperFrame,
    frame: &[u8],
) -> Option<Result<RemoteId, Errno>> {
    let tunnel = way.pool.underlay.tunnel.as_ref()?;
    let &[Destination { remote, address: IpAddr::V4(destination), port }] = encapsulated.destinations() else {
        return None;
    };
    // Nobody would say that it does not fit.
    let header = encapsulated.header();
    let options = &way.pool.options;
    let transport_header = if options.is_udp { UdpHeader::LEN } else { 0 };
    let packet = Ipv4Header::LEN + transport_header + header.len() + super_frame.largest_frame();
    if packet > way.pool.underlay.mtu.load(Ordering::Relaxed) as usize {
        return None;
    }
    let transport = if options.is_udp {
        Transport::Udp {
            source_port: way.pool.port(way.pool.choose(encapsulated.source_port())),
            destination_port: port,
            checksum: options.udp_checksum,
        }
    } else {
        Transport::Gre
    };
    let outer = Outer {
        destination,
        transport,
        traffic_class: encapsulated.traffic_class,
        ttl: encapsulated.ttl,
        df: options.df,
    };
    Some(tunnel.send(&outer, virtio, super_frame, header, frame).map(|()| remote))
}

/// Each remote that gets the frame, and how.
fn addressed<'a>(
    encapsulated: &'a Encapsulated<'_>,
    way: Way<'a>,
) -> impl Iterator<Item = (RemoteId, Addressed)> + Clone + 'a {
    let socket = way.pool.choose(encapsulated.source_port());
    let label = way.pool.flow_label(socket, encapsulated.flow());
    encapsulated.destinations().iter().map(move |to| {
        let mut destination = way.pool.underlay.socket_address(to.address, to.port);
        if let SocketAddr::V6(destination) = &mut destination {
            destination.set_flowinfo(label.to_be());
        }
        let (traffic_class, ttl) = (encapsulated.traffic_class, encapsulated.ttl);
        (to.remote, Addressed { destination, socket, traffic_class, ttl })
    })
}

fn complain(error: Errno, addressed: Option<&Addressed>, way: Way<'_>, complaints: &mut Complaints) {
    if let Some(left_out) = complaints.admit(Work::Send, Trouble::Error(error), Some(way.segment), way.now) {
        let remote = addressed.map(|addressed| addressed.destination.ip().to_string());
        let reason = drop_reason(error).as_str();
        warn!(%error, segment = way.name, remote, reason, left_out, "cannot send; such frames are counted as drops");
    }
}
