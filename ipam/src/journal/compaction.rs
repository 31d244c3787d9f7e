//! A file that says the same in fewer bytes.

use core::time::Duration;
use std::{io, vec::Vec};

use super::{
    Retention,
    error::{DiskError, During, JournalError, Operation},
    format::{Entry, HEADER, Record, header},
    history::History,
    storage::{Directory, LogFile},
};
use crate::journaled::{Event, EventKind, Journaled};

/// The payload of the records that a compacted part is made of, about: one record is held in memory when it is read.
const RECORD: u64 = 1 << 16;

/// What a compaction has done.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Compaction {
    /// Bytes of records before.
    pub before: u64,
    /// Bytes of records after.
    pub after: u64,
}

/// The bytes of a file that holds this state, and of the history what is kept.
pub(super) fn image<S: Journaled>(
    state: &S,
    mut history: History,
    retention: Retention,
) -> Result<Vec<u8>, JournalError> {
    let mut image = Image { bytes: header(S::FORM).to_vec(), record: Record::default(), entries: 0 };
    for change in state.changes() {
        if let Some(Event { prefix, at, kind: EventKind::Granted { owner } }) = S::event(&change)
            && history.open.get(&prefix).is_some_and(|open| *open == (owner, at))
        {
            history.open.remove(&prefix);
        }
        image.push(&Entry::State(&change))?;
    }
    history.forget(retention.time);
    for past in history.past {
        let to = past.to.unwrap_or(Duration::MAX);
        image.push::<&S::Change>(&Entry::Past { prefix: past.prefix, owner: past.owner, from: past.from, to })?;
    }
    for (prefix, (owner, from)) in history.open {
        image.push::<&S::Change>(&Entry::Since { prefix, owner, from })?;
    }
    let entries = image.entries;
    image.push::<&S::Change>(&Entry::Compacted { entries })?;
    image.seal();
    Ok(image.bytes)
}

struct Image {
    bytes: Vec<u8>,
    record: Record,
    entries: u64,
}

impl Image {
    fn push<C: serde::Serialize>(&mut self, entry: &Entry<C>) -> Result<(), JournalError> {
        self.record.push(entry)?;
        self.entries += 1;
        if self.record.size() >= RECORD {
            self.seal();
        }
        Ok(())
    }

    fn seal(&mut self) {
        if !self.record.is_empty() {
            let offset = self.bytes.len() as u64;
            self.bytes.extend_from_slice(self.record.seal(offset));
            self.record.clear();
        }
    }
}

/// Makes a durable file of these bytes beside the journal's. It has no part in the journal until it is renamed.
pub(super) fn write_new<D: Directory>(directory: &D, image: &[u8]) -> Result<D::File, DiskError> {
    debug_assert!(image.len() >= HEADER);
    let write = || -> Result<D::File, DiskError> {
        let file = directory.create_new().during(Operation::Open)?;
        // With the room first: a disk that is full says so before much is written.
        file.reserve(0, image.len() as u64).during(Operation::Reserve)?;
        file.write_at(image, 0).during(Operation::Write)?;
        file.sync().during(Operation::Sync)?;
        Ok(file)
    };
    write().inspect_err(|_| {
        let _: io::Result<()> = directory.remove_new();
    })
}
