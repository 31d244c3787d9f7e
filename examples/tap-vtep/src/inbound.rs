//! From tunnels to TAPs: datagrams as they come, and frames of one flow merged into one that the TAP takes at once.

use std::{os::fd::AsFd, time::Duration};

use offload::{Coalescer, Delivery, Piece, Port};
use rustix::io::Errno;
use vtep::{DataLane, DropReason, Received, SegmentId, UnderlayVerdict};

use crate::{
    capture::{InboundNotes, Recorder},
    complaints::Complaints,
    delivering::{Delivering, Destination, Outcomes},
    lone_frames::LoneFrames,
    receive::ReceiveBatch,
    tap::TapWriter,
    underlay::Receiver,
};

/// The memory for what comes from tunnels.
pub(crate) struct Inbound {
    incoming: ReceiveBatch,
    coalescer: Box<Coalescer>,
    writer: TapWriter,
    lone: LoneFrames,
    /// Whether TAPs take merged UDP datagrams: Linux 6.2 and newer.
    merge_udp: bool,
    /// While somebody captures.
    pub(crate) recorder: Option<Box<Recorder>>,
}

impl Inbound {
    pub(crate) fn new(lone: LoneFrames) -> Self {
        Self {
            incoming: ReceiveBatch::new(),
            coalescer: Box::new(Coalescer::new()),
            writer: TapWriter::new(),
            lone,
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
        let Self { incoming, coalescer, writer, lone, merge_udp, recorder } = self;
        let notes = InboundNotes::new(recorder.as_deref_mut());
        // Nothing there after all, or an error of something sent earlier: the next datagram is not worse for it.
        let Ok(count) = incoming.receive(receiver.as_fd()) else { return };
        let merges_udp = *merge_udp;
        let outcomes = Outcomes { lane, notes: &notes, complaints, now, dead: gone };
        let mut delivering = Delivering { destination, outcomes, writer, lone, merge_udp };
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
                    UnderlayVerdict::Drop { segment, reason } => {
                        let to = segment.and_then(|segment| (delivering.destination)(segment.get()));
                        let segment = to.map(|to| (to.segment, to.name));
                        delivering.outcomes.complaints.datagram_dropped(reason, segment, &received, now);
                        continue;
                    }
                };
                let frame = end - frame.len()..end;
                let (Some(_), Some(mtu)) = ((delivering.destination)(segment.get()), lane.mtu(segment)) else {
                    notes.delivered(segment, &[], (&incoming.memory()[frame], &[]), 1, Err(Errno::NODEV));
                    lane.dropped(Some(segment), 1, DropReason::Socket);
                    continue;
                };
                let memory = &*incoming.memory();
                if let Some(virtio) = uncut {
                    // What came before it goes before it.
                    coalescer.flush(memory, &mut |delivery| delivering.deliver(memory, delivery));
                    let piece = Piece { start: frame.start as u32, len: frame.len() as u32 };
                    delivering.deliver(memory, Delivery { port: segment.get(), virtio, header: &[], pieces: &[piece] });
                    continue;
                }
                let port = Port { id: segment.get(), mtu, merge_udp: merges_udp };
                coalescer.push(port, memory, frame, &mut |delivery| delivering.deliver(memory, delivery));
            }
        }
        let memory = &*incoming.memory();
        coalescer.flush(memory, &mut |delivery| delivering.deliver(memory, delivery));
        delivering.flush();
    }
}
