//! Many frames in, one super-frame out.

mod frame;
mod run;

use core::ops::Range;

use self::{
    frame::{Flow, Plain, Role},
    run::{MAX_HEADER, Run},
};
use crate::{VirtioNetHeader, packet::Packet};

/// Flows that are open at once.
const RUNS: usize = 8;

/// Where frames go. Runs of different ports never mix.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Port {
    /// The caller's number for it, which comes back in [`Delivery::port`].
    pub id: u32,
    /// The MTU of the receiver, in bytes of the IP packet: the size that a super-frame which was never cut is cut to.
    pub mtu: u16,
    /// The receiver takes super-frames of UDP (USO).
    pub merge_udp: bool,
}

/// A piece of the caller's memory.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Piece {
    /// Where it begins, in bytes.
    pub start: u32,
    /// How many bytes it has.
    pub len: u32,
}

impl Piece {
    /// The piece as a range of the memory.
    #[inline]
    #[must_use]
    pub const fn range(self) -> Range<usize> {
        self.start as usize..self.start as usize + self.len as usize
    }
}

/// What is to be written to the TAP, in this order: [`virtio`](Self::virtio), [`header`](Self::header), and
/// [`pieces`](Self::pieces) of the memory.
#[derive(Clone, Copy, Debug)]
pub struct Delivery<'a> {
    /// The [`Port::id`] of the frames.
    pub port: u32,
    /// The virtio-net header.
    pub virtio: VirtioNetHeader,
    /// The headers of a run; empty for a lone frame.
    pub header: &'a [u8],
    /// The payloads of a run, one for each frame; for a lone frame the whole frame.
    pub pieces: &'a [Piece],
}

impl Delivery<'_> {
    /// How many frames were received for this.
    #[inline]
    #[must_use]
    pub const fn frames(&self) -> usize {
        self.pieces.len()
    }

    /// The sum of the lengths of the [`originals`](Self::originals), in bytes, each with its headers.
    #[inline]
    #[must_use]
    pub fn bytes(&self) -> usize {
        let payload: usize = self.pieces.iter().map(|piece| piece.len as usize).sum();
        payload + self.pieces.len() * self.header.len()
    }

    /// The frames as they were received, as ranges of the memory: for a caller whose TAP refuses the run. Padding behind
    /// the packets of a run is not in them.
    #[inline]
    #[must_use]
    pub fn originals(&self) -> impl ExactSizeIterator<Item = Range<usize>> {
        let header = self.header.len();
        self.pieces.iter().map(move |piece| {
            let Range { start, end } = piece.range();
            start.saturating_sub(header)..end
        })
    }
}

/// Merges frames of TCP and UDP into super-frames, several flows at a time.
///
/// It is long-lived: [`flush`](Self::flush) after each batch leaves it as new.
#[derive(Debug)]
pub struct Coalescer {
    runs: [Run; RUNS],
    /// Numbers of runs: the open ones, the oldest first, then the others.
    order: [u8; RUNS],
    /// How many are open.
    open: usize,
}

impl Default for Coalescer {
    fn default() -> Self {
        Self::new()
    }
}

impl Coalescer {
    /// One without open runs.
    #[must_use]
    pub const fn new() -> Self {
        Self { runs: [Run::NEW; RUNS], order: [0, 1, 2, 3, 4, 5, 6, 7], open: 0 }
    }

    /// Takes one frame, from its Ethernet header, and delivers what cannot wait: runs that it ends, or the frame itself.
    ///
    /// `frame` is a range of `memory`, the caller's receive buffers, which must not change until [`flush`](Self::flush). A
    /// range that is not inside it, or not inside its first 4 GiB, is not delivered.
    #[inline]
    pub fn push(&mut self, port: Port, memory: &[u8], frame: Range<usize>, deliver: &mut impl FnMut(Delivery<'_>)) {
        let Some(bytes) = memory.get(frame.clone()) else { return };
        let (Ok(start), Ok(_)) = (u32::try_from(frame.start), u32::try_from(frame.end)) else { return };
        let piece = Piece { start, len: bytes.len() as u32 };
        let Some(plain) = Plain::parse(port, bytes) else {
            if let Some(flow) = (self.open != 0).then(|| Flow::of(port, bytes)).flatten() {
                self.close_flow(&flow, memory, deliver);
            }
            return deliver_any(port, bytes, piece, deliver);
        };
        if let Some(place) = self.find(&plain.flow) {
            let run = self.run_mut(place);
            let goes_on = plain.role != Role::Alone
                && run.goes_on_with(memory, bytes, &plain)
                && !plain.is_uncut(port, bytes)
                && run.is_first_verified(memory);
            if goes_on && plain.is_verified(bytes) {
                run.append(piece, &plain);
                if run.is_complete(&plain) {
                    self.close(place, memory, deliver);
                }
                return;
            }
            self.close(place, memory, deliver);
            if goes_on {
                return deliver_plain(port, &plain, bytes, piece, deliver);
            }
        }
        if plain.role != Role::Any || plain.is_uncut(port, bytes) {
            return deliver_plain(port, &plain, bytes, piece, deliver);
        }
        if self.open == RUNS {
            self.close(0, memory, deliver);
        }
        self.run_mut(self.open).begin(port, piece, &plain);
        self.open += 1;
    }

    /// Delivers all open runs, the oldest first.
    #[inline]
    pub fn flush(&mut self, memory: &[u8], deliver: &mut impl FnMut(Delivery<'_>)) {
        for place in 0..self.open {
            deliver_run(self.run(place), memory, deliver);
        }
        self.open = 0;
    }

    /// The run at this place of the order. The remainders are what the compiler knows the bounds by.
    #[inline]
    fn run(&self, place: usize) -> &Run {
        &self.runs[usize::from(self.order[place % RUNS]) % RUNS]
    }

    #[inline]
    fn run_mut(&mut self, place: usize) -> &mut Run {
        &mut self.runs[usize::from(self.order[place % RUNS]) % RUNS]
    }

    /// The place of the flow's run in the order.
    #[inline]
    fn find(&self, flow: &Flow) -> Option<usize> {
        (0..self.open).find(|place| self.run(*place).plain.flow == *flow)
    }

    /// Closes the runs that a frame of this flow must not overtake.
    fn close_flow(&mut self, flow: &Flow, memory: &[u8], deliver: &mut impl FnMut(Delivery<'_>)) {
        let mut place = 0;
        while place < self.open {
            if flow.touches(&self.run(place).plain.flow) {
                self.close(place, memory, deliver);
            } else {
                place += 1;
            }
        }
    }

    /// Delivers the run at this place of the order.
    #[inline]
    fn close(&mut self, place: usize, memory: &[u8], deliver: &mut impl FnMut(Delivery<'_>)) {
        deliver_run(self.run(place), memory, deliver);
        self.open -= 1;
        for place in place..self.open {
            self.order.swap(place % RUNS, (place + 1) % RUNS);
        }
    }
}

/// Delivers the frames of a run.
#[inline]
fn deliver_run(run: &Run, memory: &[u8], deliver: &mut impl FnMut(Delivery<'_>)) {
    let mut header = [0; MAX_HEADER];
    if let Some((virtio, header)) = run.header(memory, &mut header) {
        deliver(Delivery { port: run.port.id, virtio, header, pieces: run.pieces() });
    } else {
        let bytes = memory.get(run.first.range()).unwrap_or_default();
        deliver_plain(run.port, &run.plain, bytes, run.first, deliver);
    }
}

/// Delivers one frame of TCP or UDP alone.
#[inline]
fn deliver_plain(port: Port, plain: &Plain, bytes: &[u8], piece: Piece, deliver: &mut impl FnMut(Delivery<'_>)) {
    if plain.is_partial(bytes) {
        return deliver_any(port, bytes, piece, deliver);
    }
    deliver(Delivery { port: port.id, virtio: VirtioNetHeader::new(), header: &[], pieces: &[piece] });
}

/// Delivers any frame alone.
fn deliver_any(port: Port, bytes: &[u8], piece: Piece, deliver: &mut impl FnMut(Delivery<'_>)) {
    let partial = Packet::parse(bytes).ok().flatten().and_then(|packet| {
        let virtio = packet.finish(bytes, port.mtu)?;
        // To finish a checksum is to sum up to the end, so padding goes.
        Some((virtio, Piece { len: packet.end as u32, ..piece }))
    });
    let (virtio, piece) = partial.unwrap_or((VirtioNetHeader::new(), piece));
    deliver(Delivery { port: port.id, virtio, header: &[], pieces: &[piece] });
}
