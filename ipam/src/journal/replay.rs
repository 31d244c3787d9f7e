//! From bytes to state.

use std::string::ToString;

use serde::de::DeserializeOwned;

use super::{
    error::{Damage, DamageKind, JournalError},
    format::Entry,
    reader::{Frame, Frames, TornTail},
    storage::ReadAt,
};
use crate::Journaled;

/// Goes over the entries of a file in order, and sees that they are where they belong.
#[derive(Clone, Copy, Default)]
pub(super) struct Walk {
    /// Entries of the compacted part so far.
    entries: u64,
    /// Where the compacted part ends; `None` in it.
    pub(super) compacted: Option<u64>,
    /// Records so far.
    pub(super) records: u64,
    /// Changes behind the compacted part so far.
    pub(super) changes: u64,
}

/// Where an entry is.
#[derive(Clone, Copy)]
pub(super) struct At {
    /// The record's.
    pub(super) offset: u64,
    /// The entry's number in it.
    pub(super) entry: u64,
}

impl Walk {
    /// Of records that are all behind the compacted part.
    pub(super) fn behind_compacted() -> Self {
        Self { compacted: Some(0), ..Self::default() }
    }

    /// All records that there are.
    pub(super) fn all<C: DeserializeOwned, R: ReadAt + ?Sized>(
        &mut self,
        frames: &mut Frames<'_, R>,
        mut each: impl FnMut(At, Entry<C>) -> Result<(), DamageKind>,
    ) -> Result<(), JournalError> {
        while let Some(frame) = frames.next()? {
            let end = frame.offset + frame.size();
            let before = self.compacted.is_some();
            self.record(frame, &mut each)?;
            if !before && self.compacted.is_some() {
                self.compacted = Some(end);
            }
        }
        if self.compacted.is_none() {
            return Err(Damage { offset: frames.offset(), kind: DamageKind::CompactedPartCut }.into());
        }
        Ok(())
    }

    /// One record.
    pub(super) fn record<C: DeserializeOwned>(
        &mut self,
        frame: Frame<'_>,
        mut each: impl FnMut(At, Entry<C>) -> Result<(), DamageKind>,
    ) -> Result<(), Damage> {
        let damage = |kind| Damage { offset: frame.offset, kind };
        let (mut rest, mut entry) = (frame.payload, 0);
        while !rest.is_empty() {
            let (found, behind) =
                postcard::take_from_bytes::<Entry<C>>(rest).map_err(|_| damage(DamageKind::Entry { entry }))?;
            rest = behind;
            let in_compacted = self.compacted.is_none();
            match found {
                Entry::Compacted { entries: said } if in_compacted => {
                    if said != self.entries {
                        return Err(damage(DamageKind::CompactedPartCount { found: self.entries, said }));
                    }
                    self.compacted = Some(frame.offset);
                }
                Entry::Change(_) if !in_compacted => self.changes += 1,
                Entry::State(_) | Entry::Past { .. } | Entry::Since { .. } if in_compacted => self.entries += 1,
                _ => return Err(damage(DamageKind::Misplaced { entry })),
            }
            each(At { offset: frame.offset, entry }, found).map_err(damage)?;
            entry += 1;
        }
        self.records += 1;
        Ok(())
    }
}

/// The state's part of an entry.
pub(super) fn apply<S: Journaled>(state: &mut S, at: At, entry: &Entry<S::Change>) -> Result<(), DamageKind> {
    match entry {
        Entry::Change(change) | Entry::State(change) => {
            (state.apply(change)).map_err(|error| DamageKind::Refused { entry: at.entry, reason: error.to_string() })
        }
        Entry::Past { .. } | Entry::Since { .. } | Entry::Compacted { .. } => Ok(()),
    }
}

/// What the bytes of a journal make.
#[derive(Clone, Debug)]
pub struct Replayed<S> {
    /// The state behind the last whole record.
    pub state: S,
    /// What was left out at the end.
    pub torn: Option<TornTail>,
    /// Where the whole records end.
    pub end: u64,
    /// Where the part ends that the last compaction wrote.
    pub compacted: u64,
}

/// The state that the bytes of a journal's file make, without a file: for tests and fuzzing.
///
/// # Errors
///
/// [`JournalError::Damaged`] where [`Journal::open`](super::Journal::open) would refuse the file.
#[doc(hidden)]
pub fn replay<S: Journaled>(bytes: &[u8]) -> Result<Replayed<S>, JournalError> {
    replayed(Frames::new(&bytes, S::FORM)?)
}

/// The state of a file.
pub(super) fn replayed<S: Journaled, R: ReadAt + ?Sized>(
    mut frames: Frames<'_, R>,
) -> Result<Replayed<S>, JournalError> {
    let (mut state, mut walk) = (S::empty(), Walk::default());
    walk.all(&mut frames, |at, entry| apply(&mut state, at, &entry))?;
    Ok(Replayed { state, torn: frames.torn(), end: frames.offset(), compacted: walk.compacted.unwrap_or_default() })
}
