//! Changes become durable: many threads, one write and one `fdatasync` for all that wait.

use std::{
    io, mem,
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    vec,
};

use super::{
    JournalOptions,
    batch::{Batch, lock},
    compaction::{Compaction, image, write_new},
    error::{ChangeError, Damage, DamageKind, DiskError, During, JournalError, Operation},
    format::{Entry, Record},
    history::History,
    reader::{Frame, Frames, TornTail},
    replay::{Replayed, Walk, apply, replayed},
    storage::{Directory, LogFile, ReadAt},
};
use crate::Journaled;

/// Room that is there before a change is made: what one takes is not known before, and is rarely more.
const ROOM: u64 = 1 << 14;
/// Room that is reserved at once: a quarter of the file, within these bounds.
const RESERVE: core::ops::RangeInclusive<u64> = 1 << 16..=1 << 22;
/// What is written anew after a failure: the block that the last durable record ends in, of which the rest was being written.
const BLOCK: u64 = 4096;

/// The journal behind its lock.
pub(super) struct Core<S, D: Directory> {
    directory: D,
    options: JournalOptions,
    inner: Mutex<Inner<S, D::File>>,
    /// Told when nobody writes any more.
    turn: Condvar,
}

struct Inner<S, F> {
    state: S,
    file: Arc<F>,
    /// All before it is durable.
    end: u64,
    /// From the end up to here are zeros that have room on the disk.
    reserved: u64,
    /// Changes that wait to be written.
    pending: Record,
    /// Who waits for them.
    batch: Arc<Batch>,
    /// Somebody writes the file or replaces it, without the lock of the state. Nobody else may then.
    is_writing: bool,
    /// What is being written.
    flying: Option<Flying>,
    /// How many waited for the last one.
    last_joined: usize,
    /// A buffer to use again.
    spare: Record,
    /// Compact when the records are as large.
    compact_at: u64,
    faults: Faults,
}

/// What is to be done before the next change.
#[derive(Default)]
struct Faults {
    /// The state is not what the file says: it has to be read again.
    is_state_lost: bool,
    /// There may be something behind the end, or the block that it is in may not be durable any more.
    is_tail_spoilt: bool,
    /// The name may not lead to this file after a crash.
    is_name_pending: bool,
}

/// A record on its way to the disk, as those see it who come meanwhile.
struct Flying {
    size: u64,
    batch: Arc<Batch>,
}

/// A record on its way to the disk.
struct Flight<F> {
    file: Arc<F>,
    end: u64,
    size: u64,
    record: Record,
    batch: Arc<Batch>,
}

impl<F: LogFile> Flight<F> {
    fn write(&mut self) -> Result<(), DiskError> {
        self.file.write_at(self.record.seal(self.end), self.end).during(Operation::Write)?;
        self.file.sync().during(Operation::Sync)
    }
}

type Guard<'a, S, D> = MutexGuard<'a, Inner<S, <D as Directory>::File>>;

impl<S: Journaled, D: Directory> Core<S, D> {
    /// Makes a new file with this state; one that is there is replaced.
    pub(super) fn create(directory: D, state: S, options: JournalOptions) -> Result<Self, JournalError> {
        let image = image(&state, History::new(None, 0), options.retention)?;
        let file = write_new(&directory, &image)?;
        directory.rename_new().during(Operation::Rename)?;
        directory.sync().during(Operation::Sync)?;
        let end = image.len() as u64;
        Ok(Self::new(directory, options, state, file, end, end, end))
    }

    /// Reads the file, and cuts off what a crash left unfinished.
    pub(super) fn open(directory: D, options: JournalOptions) -> Result<(Self, Option<TornTail>), JournalError> {
        // What a crash left of a compaction. Where it can't be removed it does no harm.
        let _: io::Result<()> = directory.remove_new();
        let file = directory.open().during(Operation::Open)?;
        let Replayed { state, torn, end, compacted } = replayed(Frames::new(&file, S::FORM)?)?;
        let size = file.size().during(Operation::Read)?;
        let mut reserved = size;
        if torn.is_some() {
            file.truncate(end).during(Operation::Truncate)?;
            reserved = end;
        }
        // Also what a process wrote, and did not live to make durable: it is acknowledged from now on.
        file.sync().during(Operation::Sync)?;
        // It may be a compaction's, of which the renaming is not durable.
        directory.sync().during(Operation::Sync)?;
        Ok((Self::new(directory, options, state, file, end, reserved, compacted), torn))
    }

    fn new(
        directory: D,
        options: JournalOptions,
        state: S,
        file: D::File,
        end: u64,
        reserved: u64,
        compacted: u64,
    ) -> Self {
        let inner = Inner {
            state,
            file: Arc::new(file),
            end,
            reserved,
            pending: Record::default(),
            batch: Arc::default(),
            is_writing: false,
            flying: None,
            last_joined: 0,
            spare: Record::default(),
            compact_at: options.compact_at(compacted),
            faults: Faults::default(),
        };
        Self { directory, options, inner: Mutex::new(inner), turn: Condvar::new() }
    }

    pub(super) fn directory(&self) -> &D {
        &self.directory
    }

    pub(super) fn read<R>(&self, look: impl FnOnce(&S) -> R) -> Result<R, JournalError> {
        Ok(look(&self.whole()?.state))
    }

    /// The file, and up to where it is durable.
    pub(super) fn durable(&self) -> (Arc<D::File>, u64) {
        let inner = lock(&self.inner);
        (Arc::clone(&inner.file), inner.end)
    }

    pub(super) fn change<R, E, C>(&self, change: impl FnOnce(&mut S) -> Result<(R, C), E>) -> Result<R, ChangeError<E>>
    where
        C: IntoIterator<Item = S::Change>,
    {
        let mut guard = self.whole()?;
        let inner = &mut *guard;
        self.make_room(inner)?;
        // Should it panic, this stays.
        inner.faults.is_state_lost = true;
        let before = inner.pending.len();
        match change(&mut inner.state) {
            Ok((result, changes)) => {
                let encoded = changes.into_iter().try_for_each(|change| inner.pending.push(&Entry::Change(change)));
                if let Err(error) = encoded {
                    inner.pending.truncate(before);
                    return Err(error.into());
                }
                inner.faults.is_state_lost = false;
                self.settle(guard, before == 0)?;
                Ok(result)
            }
            Err(refusal) => {
                inner.faults.is_state_lost = false;
                Err(ChangeError::Refused(refusal))
            }
        }
    }

    /// Waits until all is durable that the state says now. The first of a batch writes it.
    fn settle<'a>(&'a self, guard: Guard<'a, S, D>, is_first: bool) -> Result<(), JournalError> {
        if !guard.pending.is_empty() {
            guard.batch.join();
            if is_first {
                return self.lead(guard);
            }
            let batch = Arc::clone(&guard.batch);
            drop(guard);
            return batch.wait();
        }
        // No change, but what it has seen may be one that is being written.
        let Some(batch) = guard.flying.as_ref().map(|flight| Arc::clone(&flight.batch)) else { return Ok(()) };
        drop(guard);
        batch.wait()
    }

    fn lead<'a>(&'a self, mut guard: Guard<'a, S, D>) -> Result<(), JournalError> {
        let batch = Arc::clone(&guard.batch);
        while guard.is_writing {
            guard = self.wait(guard);
        }
        // It may have failed with the one before, or a compaction has written it.
        if let Some(outcome) = batch.outcome() {
            return outcome;
        }
        guard.is_writing = true;
        if guard.last_joined + batch.joined() > 2 {
            drop(guard);
            batch.gather();
            guard = lock(&self.inner);
        }
        let (mut flight, room) = self.seal(&mut guard);
        drop(guard);
        let written = room.and_then(|()| flight.write());
        guard = lock(&self.inner);
        let batch = Arc::clone(&flight.batch);
        let landed = self.land(&mut guard, flight, written);
        let is_due = guard.end >= guard.compact_at;
        if is_due {
            // Nobody else does, too.
            guard.compact_at = u64::MAX;
        }
        drop(guard);
        if landed.is_ok() {
            batch.finish(Ok(()));
        }
        if is_due {
            // What fails is tried again when the file has grown.
            let _: Result<Compaction, JournalError> = self.compact();
        }
        landed
    }

    /// Closes the batch: who comes now is in the next one.
    fn seal(&self, inner: &mut Inner<S, D::File>) -> (Flight<D::File>, Result<(), DiskError>) {
        inner.is_writing = true;
        let spare = mem::take(&mut inner.spare);
        let record = mem::replace(&mut inner.pending, spare);
        let flight = Flight {
            file: Arc::clone(&inner.file),
            end: inner.end,
            size: record.size(),
            record,
            batch: mem::take(&mut inner.batch),
        };
        inner.flying = Some(Flying { size: flight.size, batch: Arc::clone(&flight.batch) });
        let room = self.confirm_name(inner).and_then(|()| reserve(inner, flight.end + flight.size));
        (flight, room)
    }

    /// What was written counts, or never was. In the second case all who wait are told.
    fn land(
        &self,
        inner: &mut Inner<S, D::File>,
        flight: Flight<D::File>,
        written: Result<(), DiskError>,
    ) -> Result<(), JournalError> {
        inner.is_writing = false;
        inner.flying = None;
        inner.last_joined = flight.batch.joined();
        inner.spare = flight.record;
        inner.spare.clear();
        self.turn.notify_all();
        let Err(error) = written.map_err(JournalError::from) else {
            inner.end += flight.size;
            return Ok(());
        };
        // Those that came meanwhile build on what is not to be.
        inner.pending.clear();
        inner.faults.is_state_lost = true;
        inner.faults.is_tail_spoilt = true;
        for batch in [flight.batch, mem::take(&mut inner.batch)] {
            batch.finish(Err(error.clone()));
        }
        // What can't be done now is done before the next change.
        let _: Result<(), JournalError> = restore(inner).and_then(|()| Ok(repair(inner)?));
        Err(error)
    }

    /// The state, as it is to be.
    fn whole(&self) -> Result<Guard<'_, S, D>, JournalError> {
        let mut guard = lock(&self.inner);
        while guard.faults.is_state_lost {
            if guard.is_writing {
                guard = self.wait(guard);
            } else {
                restore(&mut guard)?;
            }
        }
        Ok(guard)
    }

    /// The state, when nobody writes.
    fn alone(&self) -> Result<Guard<'_, S, D>, JournalError> {
        loop {
            let mut guard = self.whole()?;
            if !guard.is_writing {
                repair(&mut guard)?;
                return Ok(guard);
            }
            drop(self.wait(guard));
        }
    }

    fn wait<'a>(&self, guard: Guard<'a, S, D>) -> Guard<'a, S, D> {
        self.turn.wait(guard).unwrap_or_else(PoisonError::into_inner)
    }

    /// Sees that a change can be written, before it is made: a disk that is full says so here.
    fn make_room(&self, inner: &mut Inner<S, D::File>) -> Result<(), JournalError> {
        repair(inner)?;
        self.confirm_name(inner)?;
        let flying = inner.flying.as_ref().map_or(0, |flight| flight.size);
        let needed = inner.end + flying + inner.pending.size() + ROOM;
        Ok(reserve(inner, needed)?)
    }

    fn confirm_name(&self, inner: &mut Inner<S, D::File>) -> Result<(), DiskError> {
        if inner.faults.is_name_pending {
            self.directory.sync().during(Operation::Sync)?;
            inner.faults.is_name_pending = false;
        }
        Ok(())
    }

    /// Writes a new file with what is to be kept, and puts it in the place of the old one.
    pub(super) fn compact(&self) -> Result<Compaction, JournalError> {
        let compacted = self.try_compact();
        if compacted.is_err() {
            let mut inner = lock(&self.inner);
            inner.compact_at = self.options.compact_at(0).max(inner.end.saturating_add(inner.end / 4));
        }
        compacted
    }

    fn try_compact(&self) -> Result<Compaction, JournalError> {
        loop {
            let (file, from) = self.durable();
            // The long part of the history, while others go on.
            let mut history = History::new(None, self.options.retention.entries);
            let keep = |_, entry| {
                history.entry::<S>(entry);
                Ok(())
            };
            Walk::default().all(&mut Frames::new(&*file, S::FORM)?.up_to(from), keep)?;
            let mut guard = self.alone()?;
            if !Arc::ptr_eq(&file, &guard.file) {
                continue;
            }
            let inner = &mut *guard;
            // So that the state is what is durable, and a new file that is not to be takes nothing with it.
            if !inner.pending.is_empty() {
                let (mut flight, room) = self.seal(inner);
                let written = room.and_then(|()| flight.write());
                let batch = Arc::clone(&flight.batch);
                self.land(inner, flight, written)?;
                batch.finish(Ok(()));
            }
            let keep = |_, entry| {
                history.entry::<S>(entry);
                Ok(())
            };
            Walk::behind_compacted().all(&mut Frames::from(&*file, from, inner.end), keep)?;
            let image = image(&inner.state, history, self.options.retention)?;
            let before = inner.end;
            inner.is_writing = true;
            // Changes and readers go on; what changes waits for its turn.
            drop(guard);
            let replaced = self.replace(&image);
            let mut guard = lock(&self.inner);
            guard.is_writing = false;
            self.turn.notify_all();
            let (file, is_named) = replaced?;
            let after = image.len() as u64;
            guard.file = Arc::new(file);
            guard.end = after;
            guard.reserved = after;
            guard.compact_at = self.options.compact_at(after);
            guard.faults.is_name_pending = is_named.is_err();
            is_named?;
            return Ok(Compaction { before, after });
        }
    }

    /// The new file under the journal's name, and whether that is durable.
    fn replace(&self, image: &[u8]) -> Result<(D::File, Result<(), DiskError>), DiskError> {
        let file = write_new(&self.directory, image)?;
        if let Err(error) = self.directory.rename_new().during(Operation::Rename) {
            let _: io::Result<()> = self.directory.remove_new();
            return Err(error);
        }
        Ok((file, self.directory.sync().during(Operation::Sync)))
    }
}

/// The reserved room goes back where nothing failed and nothing is left to be done.
impl<S, D: Directory> Drop for Core<S, D> {
    fn drop(&mut self) {
        let inner = lock(&self.inner);
        if inner.reserved > inner.end {
            let _: io::Result<()> = inner.file.truncate(inner.end);
        }
    }
}

/// Reads the state again: what is durable, and what waits to be.
fn restore<S: Journaled, F: LogFile>(inner: &mut Inner<S, F>) -> Result<(), JournalError> {
    let frames = Frames::new(&*inner.file, S::FORM)?.up_to(inner.end);
    let Replayed { mut state, end, .. } = replayed::<S, _>(frames)?;
    if end != inner.end {
        return Err(Damage { offset: end, kind: DamageKind::RecordHead }.into());
    }
    let pending = Frame { offset: end, payload: inner.pending.payload() };
    Walk::behind_compacted().record(pending, |at, entry| apply(&mut state, at, &entry))?;
    inner.state = state;
    inner.faults.is_state_lost = false;
    Ok(())
}

/// Cuts off what a failed write has left.
///
/// After a failed `fdatasync` the system may take pages for clean that are not on the disk. All that is written from here on is
/// written anew; of what was durable before, the block in which it ends is, too.
fn repair<S, F: LogFile>(inner: &mut Inner<S, F>) -> Result<(), DiskError> {
    if inner.faults.is_tail_spoilt {
        inner.file.truncate(inner.end).during(Operation::Truncate)?;
        inner.reserved = inner.end;
        let from = inner.end - inner.end % BLOCK;
        let mut block = vec![0; (inner.end - from) as usize];
        let mut filled = 0;
        while filled < block.len() {
            match inner.file.read_at(&mut block[filled..], from + filled as u64).during(Operation::Read)? {
                0 => return Err(io::Error::from(io::ErrorKind::UnexpectedEof)).during(Operation::Read),
                count => filled += count,
            }
        }
        inner.file.write_at(&block, from).during(Operation::Write)?;
        inner.file.sync().during(Operation::Sync)?;
        inner.faults.is_tail_spoilt = false;
    }
    Ok(())
}

/// Sees that there is room on the disk up to there.
fn reserve<S, F: LogFile>(inner: &mut Inner<S, F>, needed: u64) -> Result<(), DiskError> {
    if needed <= inner.reserved {
        return Ok(());
    }
    let step = (inner.end / 4).clamp(*RESERVE.start(), *RESERVE.end());
    let needed = needed.next_multiple_of(BLOCK);
    let much = needed.max((inner.reserved + step).next_multiple_of(BLOCK));
    let mut reserved = inner.file.reserve(inner.reserved, much).map(|()| much);
    if reserved.is_err() && needed < much {
        reserved = inner.file.reserve(inner.reserved, needed).map(|()| needed);
    }
    inner.reserved = reserved.during(Operation::Reserve)?;
    Ok(())
}
