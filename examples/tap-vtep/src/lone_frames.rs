//! Frames into TAPs that merge with no other: many by one system call, where the kernel has `io_uring`.
#![allow(unsafe_code)]

use std::{
    io,
    os::fd::{AsFd, AsRawFd},
};

use io_uring::{IoUring, Probe, opcode, types};
use offload::VirtioNetHeader;
use rustix::io::Errno;
use vtep::SegmentId;

use crate::tap::Tap;

/// Frames that one batch holds.
const FRAMES: usize = 64;
/// They lie one behind the other in this much memory, each with its virtio-net header before it.
const MEMORY: usize = 1 << 16;
/// The longest that is worth its copy.
const LONGEST: usize = 2048;
/// For fewer a system call each is no slower.
const BATCH_MIN: usize = 3;

/// Frames that wait to be written.
pub(crate) struct LoneFrames {
    /// Before the memory that it is told to read from: it is closed first.
    ring: Option<IoUring>,
    memory: Vec<u8>,
    frames: Vec<Lone>,
    /// Where in the memory the next one lies.
    end: usize,
}

struct Lone {
    segment: SegmentId,
    /// Where it lies, its virtio-net header first.
    start: usize,
    length: usize,
    /// As the kernel says it: bytes, or an error below zero. `None` until it is written.
    result: Option<i32>,
}

impl LoneFrames {
    /// With `io_uring` where it is demanded (`Some(true)`), or where this kernel has it and it is not refused.
    ///
    /// # Errors
    ///
    /// It is demanded, and this kernel has none or keeps it from us.
    pub(crate) fn new(io_uring: Option<bool>) -> rustix::io::Result<Self> {
        let ring = match io_uring {
            Some(true) => Some(open_ring().map_err(|error| Errno::from_io_error(&error).unwrap_or(Errno::IO))?),
            Some(false) => None,
            None => open_ring().ok(),
        };
        Ok(Self { ring, memory: vec![0; MEMORY], frames: Vec::with_capacity(FRAMES), end: 0 })
    }

    /// Whether a frame of this length for this TAP may wait here at all: on a trunk each gets a tag, and without `io_uring`
    /// it would only be copied.
    pub(crate) fn takes(&self, tap: &Tap, length: usize) -> bool {
        self.ring.is_some() && length <= LONGEST && tap.mapping.is_none()
    }

    /// Whether no further frame has room before a flush.
    pub(crate) fn is_full(&self) -> bool {
        self.frames.len() == FRAMES || self.end + VirtioNetHeader::LEN + LONGEST > MEMORY
    }

    /// Has a frame wait that [`takes`](Self::takes) allows, with room for it.
    pub(crate) fn push(&mut self, segment: SegmentId, virtio: VirtioNetHeader, frame: &[u8]) {
        let (start, length) = (self.end, frame.len());
        let (header, rest) = self.memory[start..].split_at_mut(VirtioNetHeader::LEN);
        header.copy_from_slice(&virtio.to_bytes());
        rest[..length].copy_from_slice(frame);
        self.frames.push(Lone { segment, start, length, result: None });
        self.end = (start + VirtioNetHeader::LEN + length).next_multiple_of(64);
    }

    /// Writes what waits, in order, and tells for each frame what became of it.
    pub(crate) fn flush<'a>(
        &mut self,
        tap: impl Fn(SegmentId) -> Option<&'a Tap>,
        mut outcome: impl FnMut(SegmentId, &[u8], rustix::io::Result<()>),
    ) {
        if self.frames.is_empty() {
            return;
        }
        if self.frames.len() >= BATCH_MIN
            && let Some(ring) = &mut self.ring
            && write_batch(ring, &self.memory, &mut self.frames, &tap).is_err()
        {
            self.ring = None;
        }
        for frame in self.frames.drain(..) {
            let bytes = &self.memory[frame.start..][..VirtioNetHeader::LEN + frame.length];
            let result = match (frame.result, tap(frame.segment)) {
                (Some(result), _) if result < 0 => Err(Errno::from_raw_os_error(-result)),
                (Some(_), _) => Ok(()),
                (None, Some(tap)) => write(tap, bytes),
                (None, None) => Err(Errno::NODEV),
            };
            outcome(frame.segment, &bytes[VirtioNetHeader::LEN..], result);
        }
        self.end = 0;
    }
}

fn open_ring() -> io::Result<IoUring> {
    let ring = IoUring::new(FRAMES as u32)?;
    let mut probe = Probe::new();
    ring.submitter().register_probe(&mut probe)?;
    if probe.is_supported(opcode::Write::CODE) { Ok(ring) } else { Err(Errno::OPNOTSUPP.into()) }
}

/// Writes the frames by one system call, as a rule. On an error the ring is of no use, and frames without a result are not
/// written.
fn write_batch<'a>(
    ring: &mut IoUring,
    memory: &[u8],
    frames: &mut [Lone],
    tap: impl Fn(SegmentId) -> Option<&'a Tap>,
) -> Result<(), Errno> {
    let mut left = 0;
    for (index, frame) in frames.iter().enumerate() {
        let Some(tap) = tap(frame.segment) else { continue };
        let bytes = &memory[frame.start..][..VirtioNetHeader::LEN + frame.length];
        // Done or refused at once: nothing is ever under way when the system call is back.
        let write = opcode::Write::new(types::Fd(tap.as_fd().as_raw_fd()), bytes.as_ptr(), bytes.len() as u32)
            .rw_flags(libc::RWF_NOWAIT)
            .build()
            .user_data(index as u64);
        // SAFETY: the bytes lie in memory that lives longer than the ring and is not written to until every result is here;
        // the file is open as long.
        unsafe { ring.submission().push(&write) }.map_err(|_| Errno::BUSY)?;
        left += 1;
    }
    let mut is_refused = false;
    while left > 0 {
        match ring.submit_and_wait(left) {
            Err(error) if error.kind() != io::ErrorKind::Interrupted => {
                return Err(Errno::from_io_error(&error).unwrap_or(Errno::IO));
            }
            _ => {}
        }
        for completion in ring.completion() {
            left -= 1;
            // A TAP of a kernel before 5.9 does not know that flag.
            if completion.result() == -Errno::OPNOTSUPP.raw_os_error() {
                is_refused = true;
            } else if let Some(frame) = frames.get_mut(completion.user_data() as usize) {
                frame.result = Some(completion.result());
            }
        }
    }
    if is_refused { Err(Errno::OPNOTSUPP) } else { Ok(()) }
}

/// Writes one frame. Again where a signal came between.
fn write(tap: &Tap, bytes: &[u8]) -> rustix::io::Result<()> {
    rustix::io::retry_on_intr(|| rustix::io::write(tap, bytes)).map(drop)
}

#[cfg(test)]
mod tests;
