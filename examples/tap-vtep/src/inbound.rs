//! From tunnels to TAPs: datagrams as they come, and frames of one flow merged into one that the TAP takes at once.

use std::{cell::RefCell, os::fd::AsFd, time::Duration};

use offload::{Coalescer, Delivery, GsoType, Piece, Port, VirtioNetHeader};
use rustix::io::Errno;
use tracing::warn;
use vtep::{DataLane, DropReason, Received, SegmentId, UnderlayVerdict};

use crate::{
    capture::{InboundNotes, Recorder},
    complaints::{Complaints, Trouble, Work},
    receive::ReceiveBatch,
    tap::{self, Tap, TapWriter},
    underlay::Receiver,
};

/// The memory for what comes from tunnels.
pub(crate) struct Inbound {
    incoming: ReceiveBatch,
    coalescer: Box<Coalescer>,
    writer: TapWriter,
    /// Whether TAPs take merged UDP datagrams: Linux 6.2 and newer.
    merge_udp: bool,
    /// While somebody captures.
    pub(crate) recorder: Option<Box<Recorder>>,
}

/// Where frames of a segment go.
#[derive(Clone, Copy)]
pub(crate) struct Destination<'a> {
    pub(crate) segment: SegmentId,
    /// The segment's name.
    pub(crate) name: &'a str,
    /// `None` while it is away.
    pub(crate) tap: Option<&'a Tap>,
}

impl Inbound {
    pub(crate) fn new() -> Self {
        Self {
            incoming: ReceiveBatch::new(),
            coalescer: Box::new(Coalescer::new()),
            writer: TapWriter::new(),
            merge_udp: true,
            recorder: None,
        }
    }

    /// Delivers what a socket has, but no more than a batch. A segment whose TAP is dead is
    /// written to `gone`.
    pub(crate) fn serve<'a>(
        &mut self,
        receiver: &Receiver,
        lane: &DataLane,
        destination: impl Fn(u32) -> Option<Destination<'a>>,
        now: Duration,
        complaints: &mut Complaints,
        gone: &mut Option<SegmentId>,
    ) {
        let Self { incoming, coalescer, writer, merge_udp, recorder } = self;
        let notes = InboundNotes::new(recorder.as_deref_mut());
        // Nothing there after all, or an error of something sent earlier: the next datagram is not worse for it.
        let Ok(count) = incoming.receive(receiver.as_fd()) else { return };
        let merges_udp = *merge_udp;
        // Delivering and deciding both complain.
        let complaints = RefCell::new(complaints);
        let mut deliver = |memory: &[u8], delivery: Delivery<'_>| {
            let Some(to) = destination(delivery.port) else { return };
            let mut conclude = |outcome, (header, pieces), frames: usize, bytes: usize| {
                notes.delivered(to.segment, memory, (header, pieces), frames, outcome);
                match outcome {
                    Ok(()) => lane.delivered(to.segment, frames as u32, bytes),
                    Err(error) => {
                        lane.dropped(Some(to.segment), frames as u32, DropReason::Socket);
                        if tap::is_gone(error) {
                            *gone = Some(to.segment);
                        } else if to.tap.is_some() {
                            complain(error, to, &mut complaints.borrow_mut(), now);
                        }
                    }
                }
            };
            let parts = (delivery.header, delivery.pieces);
            let Some(tap) = to.tap else {
                return conclude(Err(Errno::NODEV), parts, delivery.frames(), delivery.bytes());
            };
            match writer.write(tap, delivery.virtio, delivery.header, memory, delivery.pieces) {
                // It does not take the run: one by one, then.
                Err(Errno::INVAL) if delivery.frames() > 1 => {
                    if delivery.virtio.gso_type() == Ok(GsoType::UdpL4) && std::mem::take(merge_udp) {
                        warn!("the TAP does not take merged UDP datagrams; they are delivered one by one from now on");
                    }
                    for frame in delivery.originals() {
                        let frame = &memory[frame];
                        let virtio = one_of(delivery.virtio, frame);
                        let outcome = writer.write(tap, virtio, frame, memory, &[]);
                        conclude(outcome, (frame, &[]), 1, frame.len());
                    }
                }
                outcome => conclude(outcome, parts, delivery.frames(), delivery.bytes()),
            }
        };
        for index in 0..count {
            let Some(message) = incoming.message(index) else { continue };
            let encapsulation = receiver.encapsulation;
            let message =
                if encapsulation.is_udp() { Some(message) } else { message.behind_ip_header(incoming.memory()) };
            let Some(mut message) = message else {
                lane.dropped(None, 1, DropReason::Truncated);
                continue;
            };
            let received = Received {
                encapsulation,
                port: receiver.port,
                underlay: receiver.underlay,
                source: message.source,
                ecn: message.ecn,
            };
            // Where the kernel is the peer over a veth, a guest's datagrams come as one that nobody has cut; the size that the
            // socket says is that of the inner ones then.
            let uncut = message.segment().and_then(|segment| {
                let datagram = &incoming.memory()[message.bytes.clone()];
                offload::uncut_datagrams(&datagram[encapsulation.frame_offset(datagram)?..], segment)
            });
            if uncut.is_some() {
                message.take_as_one();
            }
            for datagram in message.datagrams() {
                let end = datagram.end;
                notes.keep(receiver, &message, &incoming.memory()[datagram.clone()]);
                let verdict = lane.from_underlay(&mut incoming.memory()[datagram], received, now);
                notes.decided(&verdict);
                let (segment, frame) = match verdict {
                    UnderlayVerdict::Deliver { segment, frame } => (segment, frame),
                    UnderlayVerdict::Drop(reason) => {
                        complaints.borrow_mut().datagram_dropped(reason, received.source, received.port, now);
                        continue;
                    }
                };
                let frame = end - frame.len()..end;
                let (Some(_), Some(mtu)) = (destination(segment.get()), lane.mtu(segment)) else {
                    notes.delivered(segment, &[], (&incoming.memory()[frame], &[]), 1, Err(Errno::NODEV));
                    lane.dropped(Some(segment), 1, DropReason::Socket);
                    continue;
                };
                let memory = &*incoming.memory();
                if let Some(virtio) = uncut {
                    // What came before it goes before it.
                    coalescer.flush(memory, &mut |delivery| deliver(memory, delivery));
                    let piece = Piece { start: frame.start as u32, len: frame.len() as u32 };
                    deliver(memory, Delivery { port: segment.get(), virtio, header: &[], pieces: &[piece] });
                    continue;
                }
                let port = Port { id: segment.get(), mtu, merge_udp: merges_udp };
                coalescer.push(port, memory, frame, &mut |delivery| deliver(memory, delivery));
            }
        }
        let memory = &*incoming.memory();
        coalescer.flush(memory, &mut |delivery| deliver(memory, delivery));
    }
}

/// Says that a TAP does not take frames.
fn complain(error: Errno, to: Destination<'_>, complaints: &mut Complaints, now: Duration) {
    if let Some(left_out) = complaints.admit(Work::WriteTap, Trouble::Error(error), Some(to.segment), now) {
        let reason = DropReason::Socket.as_str();
        warn!(%error, segment = to.name, reason, left_out, "the TAP does not take frames; they are drops");
    }
}

/// What is said of one frame of a run: its checksum may be as partial as the run's.
fn one_of(run: VirtioNetHeader, frame: &[u8]) -> VirtioNetHeader {
    if offload::is_partial(frame) {
        VirtioNetHeader::new().with_checksum(run.csum_start(), run.csum_offset())
    } else {
        VirtioNetHeader::new()
    }
}
