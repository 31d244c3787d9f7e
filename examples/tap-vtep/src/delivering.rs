//! Frames to their TAPs: merged runs by a write each, small lone ones many at once; and what became of them.

use std::time::Duration;

use offload::{Delivery, GsoType, Piece, VirtioNetHeader};
use rustix::io::Errno;
use tracing::warn;
use vtep::{DataLane, DropReason, SegmentId};

use crate::{
    capture::InboundNotes,
    complaints::{Complaints, Trouble, Work},
    lone_frames::LoneFrames,
    tap::{self, Tap, TapWriter},
};

/// Where frames of a segment go.
#[derive(Clone, Copy)]
pub(crate) struct Destination<'a> {
    pub(crate) segment: SegmentId,
    /// The segment's name.
    pub(crate) name: &'a str,
    /// `None` while it is away.
    pub(crate) tap: Option<&'a Tap>,
}

/// What brings frames to their TAPs.
pub(crate) struct Delivering<'w, D> {
    /// By the number of a segment.
    pub(crate) destination: D,
    pub(crate) outcomes: Outcomes<'w>,
    pub(crate) writer: &'w mut TapWriter,
    pub(crate) lone: &'w mut LoneFrames,
    /// Whether TAPs take merged UDP datagrams.
    pub(crate) merge_udp: &'w mut bool,
}

impl<'t, D: Fn(u32) -> Option<Destination<'t>>> Delivering<'_, D> {
    /// Has a frame, or a run of them, go to the TAP of its port, whose number is that of a segment: now, or with the next
    /// [`flush`](Self::flush). The order of frames stays.
    pub(crate) fn deliver(&mut self, memory: &[u8], delivery: Delivery<'_>) {
        let Some(to) = (self.destination)(delivery.port) else { return };
        let Delivery { virtio, header, pieces, .. } = delivery;
        let written = Written { memory, header, pieces, frames: delivery.frames(), bytes: delivery.bytes() };
        let Some(tap) = to.tap else { return self.outcomes.conclude(to, Err(Errno::NODEV), written) };
        if let ([piece], true, false) = (pieces, header.is_empty(), virtio.is_super_frame())
            && self.lone.takes(tap, piece.len as usize)
        {
            if self.lone.is_full() {
                self.flush();
            }
            return self.lone.push(to.segment, virtio, &memory[piece.range()]);
        }
        // What came before it goes before it.
        self.flush();
        match self.writer.write(tap, virtio, header, memory, pieces) {
            // It does not take the run: one by one, then.
            Err(Errno::INVAL) if written.frames > 1 => {
                if virtio.gso_type() == Ok(GsoType::UdpL4) && std::mem::take(self.merge_udp) {
                    warn!("the TAP does not take merged UDP datagrams; they are delivered one by one from now on");
                }
                for frame in delivery.originals() {
                    let frame = &memory[frame];
                    let outcome = self.writer.write(tap, one_of(virtio, frame), frame, memory, &[]);
                    self.outcomes.conclude(to, outcome, Written::one(frame));
                }
            }
            outcome => self.outcomes.conclude(to, outcome, written),
        }
    }

    /// Writes what waits.
    pub(crate) fn flush(&mut self) {
        let Self { destination, outcomes, lone, .. } = self;
        let tap = |segment: SegmentId| destination(segment.get())?.tap;
        lone.flush(tap, |segment, frame, outcome| {
            if let Some(to) = destination(segment.get()) {
                outcomes.conclude(to, outcome, Written::one(frame));
            }
        });
    }
}

/// Who hears what became of frames.
pub(crate) struct Outcomes<'w> {
    pub(crate) lane: &'w DataLane,
    pub(crate) notes: &'w InboundNotes<'w>,
    pub(crate) complaints: &'w mut Complaints,
    pub(crate) now: Duration,
    /// A segment whose TAP is dead.
    pub(crate) dead: &'w mut Option<SegmentId>,
}

impl Outcomes<'_> {
    fn conclude(&mut self, to: Destination<'_>, outcome: rustix::io::Result<()>, written: Written<'_>) {
        let Written { memory, header, pieces, frames, bytes } = written;
        self.notes.delivered(to.segment, memory, (header, pieces), frames, outcome);
        match outcome {
            Ok(()) => self.lane.delivered(to.segment, frames as u32, bytes),
            Err(error) => {
                self.lane.dropped(Some(to.segment), frames as u32, DropReason::Socket);
                if tap::is_gone(error) {
                    *self.dead = Some(to.segment);
                } else if to.tap.is_some() {
                    self.complain(error, to);
                }
            }
        }
    }

    /// Says that a TAP does not take frames.
    fn complain(&mut self, error: Errno, to: Destination<'_>) {
        let trouble = Trouble::Error(error);
        if let Some(left_out) = self.complaints.admit(Work::WriteTap, trouble, Some(to.segment), self.now) {
            let reason = DropReason::Socket.as_str();
            warn!(%error, segment = to.name, reason, left_out, "the TAP does not take frames; they are drops");
        }
    }
}

/// What was written to a TAP at once: `header`, and behind it pieces of `memory`.
#[derive(Clone, Copy)]
struct Written<'a> {
    memory: &'a [u8],
    header: &'a [u8],
    pieces: &'a [Piece],
    frames: usize,
    bytes: usize,
}

impl<'a> Written<'a> {
    /// This frame alone.
    fn one(frame: &'a [u8]) -> Self {
        Self { memory: &[], header: frame, pieces: &[], frames: 1, bytes: frame.len() }
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
