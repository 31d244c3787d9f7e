//! Many frames in, one super-frame out.

mod flow;
mod run;

use core::ops::Range;

use self::{
    flow::{Candidate, Flow, Frame},
    run::Run,
};
use crate::{GsoType, VirtioNetHeader, packet::Packet};

/// Flows that are open at once.
const RUNS: usize = 8;
/// Bytes of the longest headers that are merged: Ethernet, four VLAN tags, IPv6, TCP with all options.
const MAX_HEADER: usize = 14 + 4 * 4 + 40 + 60;

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

    /// Takes one frame, from its Ethernet header, and delivers what cannot wait: this frame, runs that it ends, or
    /// nothing.
    ///
    /// `frame` is a range of `memory`, the caller's receive buffers, which must not change until [`flush`](Self::flush). A
    /// range that is not inside it, or not inside its first 4 GiB, is not delivered.
    #[inline]
    pub fn push(&mut self, port: Port, memory: &[u8], frame: Range<usize>, deliver: &mut impl FnMut(Delivery<'_>)) {
        let Some(bytes) = memory.get(frame.clone()) else { return };
        let Ok(start) = u32::try_from(frame.start) else { return };
        let Ok(len) = u32::try_from(bytes.len()) else { return };
        let piece = Piece { start, len };
        match flow::classify(port, bytes) {
            Frame::Candidate(candidate) => self.merge(port, memory, bytes, piece, &candidate, deliver),
            Frame::Alone(flow) => {
                self.close_flow(&flow, memory, deliver);
                deliver_alone(port, bytes, piece, deliver);
            }
        }
    }

    /// Delivers all open runs, the oldest first.
    #[inline]
    pub fn flush(&mut self, memory: &[u8], deliver: &mut impl FnMut(Delivery<'_>)) {
        let order = self.order;
        for number in &order[..self.open.min(RUNS)] {
            if let Some(run) = self.runs.get(usize::from(*number)) {
                deliver_run(run, memory, deliver);
            }
        }
        self.open = 0;
    }

    /// Merges the frame into the run of its flow, or opens one for it.
    #[inline]
    fn merge(
        &mut self,
        port: Port,
        memory: &[u8],
        bytes: &[u8],
        piece: Piece,
        candidate: &Candidate,
        deliver: &mut impl FnMut(Delivery<'_>),
    ) {
        if let Some(place) = self.find(&candidate.flow) {
            let number = usize::from(self.order[place]);
            let run = &mut self.runs[number];
            if run.takes(memory, bytes, candidate) && run.verify_first(memory) {
                if !candidate.is_verified(bytes) {
                    self.close(place, memory, deliver);
                    deliver_alone(port, bytes, piece, deliver);
                    return;
                }
                run.append(piece, candidate);
                if run.is_full(candidate) {
                    self.close(place, memory, deliver);
                }
                return;
            }
            self.close(place, memory, deliver);
        }
        if candidate.ends_run || candidate.is_uncut(port, bytes) {
            deliver_alone(port, bytes, piece, deliver);
            return;
        }
        if self.open >= RUNS {
            self.close(0, memory, deliver);
        }
        let number = usize::from(self.order[self.open]);
        self.runs[number].begin(port, piece, candidate);
        self.open += 1;
    }

    /// The place of the flow's run in the order.
    #[inline]
    fn find(&self, flow: &Flow) -> Option<usize> {
        self.order.iter().take(self.open).position(|number| self.runs[usize::from(*number)].flow == *flow)
    }

    /// Closes the runs that a frame which is not merged must not overtake.
    #[inline]
    fn close_flow(&mut self, flow: &Flow, memory: &[u8], deliver: &mut impl FnMut(Delivery<'_>)) {
        let mut place = 0;
        while place < self.open {
            if flow.covers(&self.runs[usize::from(self.order[place])].flow) {
                self.close(place, memory, deliver);
            } else {
                place += 1;
            }
        }
    }

    /// Delivers the run at this place of the order.
    #[inline]
    fn close(&mut self, place: usize, memory: &[u8], deliver: &mut impl FnMut(Delivery<'_>)) {
        deliver_run(&self.runs[usize::from(self.order[place])], memory, deliver);
        self.order[place..self.open].rotate_left(1);
        self.open -= 1;
    }
}

/// Delivers the frames of a run.
#[inline]
fn deliver_run(run: &Run, memory: &[u8], deliver: &mut impl FnMut(Delivery<'_>)) {
    let mut header = [0; MAX_HEADER];
    match run.header(memory, &mut header) {
        Some((virtio, header)) => deliver(Delivery { port: run.port.id, virtio, header, pieces: run.pieces() }),
        None => {
            let bytes = memory.get(run.first.range()).unwrap_or_default();
            deliver_alone(run.port, bytes, run.first, deliver);
        }
    }
}

/// Delivers one frame as it is.
#[inline]
fn deliver_alone(port: Port, bytes: &[u8], piece: Piece, deliver: &mut impl FnMut(Delivery<'_>)) {
    let virtio = partial_header(port, bytes).unwrap_or_default();
    deliver(Delivery { port: port.id, virtio, header: &[], pieces: &[piece] });
}

/// The virtio-net header of a lone frame whose checksum its sender left to hardware.
#[inline]
fn partial_header(port: Port, frame: &[u8]) -> Option<VirtioNetHeader> {
    let packet = Packet::parse(frame).ok()??;
    let (field, offset) = packet.checksum(frame)?;
    // A whole checksum that happens to be the same as the partial one is the same when it is finished, too; so there is no
    // need to look at the payload.
    if field != packet.whole_pseudo().fold() {
        return None;
    }
    let virtio = VirtioNetHeader::new().with_checksum(packet.transport as u16, offset);
    Some(packet.uncut(frame, port.mtu).map_or(virtio, |(segment_size, header_length, has_cwr)| {
        let gso_type = if packet.is_ipv6 { GsoType::TcpV6 } else { GsoType::TcpV4 };
        let virtio = virtio.with_gso(gso_type, segment_size, header_length);
        if has_cwr { virtio.with_ecn() } else { virtio }
    }))
}
