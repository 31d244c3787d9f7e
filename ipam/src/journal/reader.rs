//! Reads the records of a journal one after another, and tells a write that was cut short from damage.

use std::{thread, vec::Vec};

use super::{
    error::{Damage, DamageKind, During, JournalError, Operation},
    format::{FRAME, HEAD, HEADER, Head, check_header},
    storage::ReadAt,
};

/// How much is read at once.
const CHUNK: usize = 1 << 18;
/// The smallest part of a file that a disk writes as a whole or not at all.
const SECTOR: u64 = 512;
/// How often a record that another process may be about to write is read again before it counts as damaged.
const PATIENCE: usize = 50;

/// The end of a file that a crash left unfinished: a record that was being written, and never acknowledged.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct TornTail {
    /// Where the whole records end.
    pub offset: u64,
    /// How many bytes behind it were left out.
    pub bytes: u64,
}

/// A whole record.
#[derive(Clone, Copy)]
pub(super) struct Frame<'a> {
    pub(super) offset: u64,
    pub(super) payload: &'a [u8],
}

impl Frame<'_> {
    /// The size of the record.
    pub(super) fn size(&self) -> u64 {
        (self.payload.len() + FRAME) as u64
    }
}

/// The records of a file, from its header on.
pub(super) struct Frames<'a, R: ?Sized> {
    source: &'a R,
    /// What is read ahead, and where it begins.
    buffer: Vec<u8>,
    start: u64,
    /// Where the next record begins.
    offset: u64,
    /// Nothing from here on is read.
    limit: u64,
    /// How often to read again what does not fit, since another process may be writing it.
    patience: usize,
    torn: Option<TornTail>,
}

impl<'a, R: ReadAt + ?Sized> Frames<'a, R> {
    /// Of a file that nobody else writes.
    pub(super) fn new(source: &'a R, form: u32) -> Result<Self, JournalError> {
        let limit = source.size().during(Operation::Read)?;
        let mut frames = Self::from(source, 0, limit);
        let needed = HEADER.min(usize::try_from(limit).unwrap_or(HEADER));
        check_header(frames.window(0, needed as u64)?, form)?;
        frames.offset = HEADER as u64;
        Ok(frames)
    }

    /// Of a file that its holder may be writing meanwhile: what was whole at some time from now on.
    pub(super) fn while_written(source: &'a R, form: u32) -> Result<Self, JournalError> {
        Ok(Self { patience: PATIENCE, ..Self::new(source, form)? })
    }

    /// Of the part of a file that is known to be records from `offset` up to `limit`.
    pub(super) fn from(source: &'a R, offset: u64, limit: u64) -> Self {
        Self { source, buffer: Vec::new(), start: 0, offset, limit, patience: 0, torn: None }
    }

    /// Of the records up to there.
    pub(super) fn up_to(mut self, limit: u64) -> Self {
        self.limit = self.limit.min(limit);
        self
    }

    /// Where the whole records end that were read so far.
    pub(super) fn offset(&self) -> u64 {
        self.offset
    }

    /// What was left out at the end; known when there is no next record.
    pub(super) fn torn(&self) -> Option<TornTail> {
        self.torn
    }

    /// The next record; `None` behind the last whole one.
    pub(super) fn next(&mut self) -> Result<Option<Frame<'_>>, JournalError> {
        let mut again = self.patience;
        let found = loop {
            match self.look()? {
                Look::Whole(size) => break Some(size),
                // Behind the last record are zeros, and few of them are read.
                Look::Nothing => break None,
                Look::Torn(_) | Look::Damaged(_) if again > 0 => {
                    again -= 1;
                    self.buffer.clear();
                    thread::yield_now();
                }
                Look::Torn(torn) => {
                    self.torn = Some(torn);
                    break None;
                }
                Look::Damaged(kind) => return Err(Damage { offset: self.offset, kind }.into()),
            }
        };
        let Some(size) = found else { return Ok(None) };
        let offset = self.offset;
        self.offset += size;
        let record = self.window(offset, size)?;
        Ok(Some(Frame { offset, payload: &record[HEAD..record.len() - 1] }))
    }

    /// What there is at the offset.
    fn look(&mut self) -> Result<Look, JournalError> {
        let offset = self.offset;
        let head = self.window(offset, HEAD as u64)?;
        if head.len() < HEAD {
            return self.unfinished(None);
        }
        let zeros = head.iter().all(|&byte| byte == 0);
        match Head::decode(head, offset) {
            Some(head) => {
                let record = self.window(offset, head.size())?;
                if record.len() as u64 == head.size() && head.is_whole(record) {
                    return Ok(Look::Whole(head.size()));
                }
                self.unfinished(Some(head))
            }
            None if zeros && self.last_written()?.is_none() => Ok(Look::Nothing),
            None => self.unfinished(None),
        }
    }

    /// Whether a record that is not whole is one that a crash cut short, or one that was whole and is damaged.
    ///
    /// It was cut short when a part is missing that a disk may not have written yet: bytes up to the end, or a sector that
    /// is still as it was reserved, all zeros. And there is nothing behind it, since the next record is written only after
    /// this one was durable.
    fn unfinished(&mut self, head: Option<Head>) -> Result<Look, JournalError> {
        let offset = self.offset;
        let Some(last) = self.last_written()? else { return Ok(Look::Nothing) };
        let torn = Look::Torn(TornTail { offset, bytes: last + 1 - offset });
        let Some(head) = head else {
            let cut_in_head = last < offset + HEAD as u64;
            let is_torn = cut_in_head || (self.lacks_a_sector(offset, HEAD as u64)? && !self.has_record_behind()?);
            return Ok(if is_torn { torn } else { Look::Damaged(DamageKind::RecordHead) });
        };
        let end = offset.saturating_add(head.size());
        let is_torn = last < end && (last + 1 < end || self.lacks_a_sector(offset, head.size())?);
        Ok(if is_torn { torn } else { Look::Damaged(DamageKind::RecordChecksum { length: head.length }) })
    }

    /// Whether one of the sectors has nothing of these bytes.
    fn lacks_a_sector(&mut self, offset: u64, size: u64) -> Result<bool, JournalError> {
        let end = offset.saturating_add(size).min(self.limit);
        let mut at = offset;
        while at < end {
            let next = (at / SECTOR + 1).saturating_mul(SECTOR).min(end);
            if self.window(at, next - at)?.iter().all(|&byte| byte == 0) {
                return Ok(true);
            }
            at = next;
        }
        Ok(false)
    }

    /// Whether a whole record begins anywhere behind the offset.
    fn has_record_behind(&mut self) -> Result<bool, JournalError> {
        let mut at = self.offset + 1;
        while at.saturating_add(FRAME as u64) <= self.limit {
            let head = self.window(at, HEAD as u64)?;
            if head.len() < HEAD {
                break;
            }
            if let Some(head) = Head::decode(head, at).filter(|head| head.size() <= self.limit - at) {
                let record = self.window(at, head.size())?;
                if record.len() as u64 == head.size() && head.is_whole(record) {
                    return Ok(true);
                }
            }
            at += 1;
        }
        Ok(false)
    }

    /// Where the last byte is, from the offset on, that is not zero.
    fn last_written(&mut self) -> Result<Option<u64>, JournalError> {
        let (mut at, mut last) = (self.offset, None);
        while at < self.limit {
            let bytes = self.window(at, CHUNK as u64)?;
            if bytes.is_empty() {
                break;
            }
            if let Some(index) = bytes.iter().rposition(|&byte| byte != 0) {
                last = Some(at + index as u64);
            }
            at += bytes.len() as u64;
        }
        Ok(last)
    }

    /// The bytes from `from` on, `size` of them or up to the end.
    fn window(&mut self, from: u64, size: u64) -> Result<&[u8], JournalError> {
        let size = size.min(self.limit.saturating_sub(from)) as usize;
        let kept = usize::try_from(from.wrapping_sub(self.start)).ok().filter(|&skip| skip <= self.buffer.len());
        let skip = if let Some(skip) = kept {
            skip
        } else {
            self.buffer.clear();
            self.start = from;
            0
        };
        if self.buffer.len() - skip < size {
            self.buffer.drain(..skip);
            self.start = from;
            let mut filled = self.buffer.len();
            let wanted = size.max(CHUNK.min(self.limit.saturating_sub(from) as usize));
            self.buffer.resize(wanted.max(filled), 0);
            while filled < size {
                let count = self.source.read_at(&mut self.buffer[filled..], from + filled as u64);
                let count = count.during(Operation::Read)?;
                if count == 0 {
                    break;
                }
                filled += count;
            }
            self.buffer.truncate(filled);
            return Ok(&self.buffer[..size.min(filled)]);
        }
        Ok(&self.buffer[skip..skip + size])
    }
}

/// What there is where a record may be.
enum Look {
    /// A record of this size.
    Whole(u64),
    /// The end.
    Nothing,
    Torn(TornTail),
    Damaged(DamageKind),
}
