//! What is recorded of datagrams from remotes, and of the frames in them.

use std::{cell::RefCell, iter, net::SocketAddr};

use offload::Piece;
use rustix::io::Errno;
use vtep::{DropReason, SegmentId, UnderlayVerdict};

use super::recorder::{Recorder, Verdict};
use crate::{receive::Message, underlay::Receiver};

/// The recorder of a batch, if there is one: datagrams are decided on while frames before them are delivered.
pub(crate) struct InboundNotes<'a>(RefCell<Option<&'a mut Recorder>>);

impl<'a> InboundNotes<'a> {
    pub(crate) fn new(recorder: Option<&'a mut Recorder>) -> Self {
        Self(RefCell::new(recorder))
    }

    /// A datagram before the decision, which may change it.
    pub(crate) fn keep(&self, receiver: &Receiver, message: &Message, datagram: &[u8]) {
        if let Some(recorder) = self.0.borrow_mut().as_deref_mut() {
            recorder.keep(receiver, SocketAddr::new(message.source, message.source_port), message.ecn, datagram);
        }
    }

    /// What was decided on it.
    pub(crate) fn decided(&self, verdict: &UnderlayVerdict<'_>) {
        if let Some(recorder) = self.0.borrow_mut().as_deref_mut() {
            recorder.decided(match verdict {
                UnderlayVerdict::Deliver { .. } => Verdict::Decapsulated,
                UnderlayVerdict::Drop { reason, .. } => Verdict::Dropped(*reason),
            });
        }
    }

    /// A frame for the TAP, or `frames` of them in one, of a header and pieces of `memory`; and what the TAP said.
    pub(crate) fn delivered(
        &self,
        segment: SegmentId,
        memory: &[u8],
        (header, pieces): (&[u8], &[Piece]),
        frames: usize,
        outcome: Result<(), Errno>,
    ) {
        if let Some(recorder) = self.0.borrow_mut().as_deref_mut() {
            let parts = iter::once(header).chain(pieces.iter().map(|piece| &memory[piece.range()]));
            let verdict = outcome.map_or(Verdict::Dropped(DropReason::Socket), |()| Verdict::Delivered);
            recorder.for_tap(segment, parts, frames as u32, verdict);
        }
    }
}
