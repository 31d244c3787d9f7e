//! State that survives a crash: every change is on the disk before it is acknowledged.
//!
//! A [`Journal`] is an append log over any state that changes by values ([`Journaled`]). The state is in memory; the file has
//! what happened to it. One process writes, others may read meanwhile ([`Snapshot`], [`history`], [`check`]).
//!
//! ```
//! use std::{collections::BTreeMap, convert::Infallible};
//! use ipam::{Event, Journaled, journal::{Journal, JournalOptions}};
//!
//! /// Names and numbers.
//! struct Numbers(BTreeMap<String, u32>);
//!
//! impl Journaled for Numbers {
//!     type Change = (String, u32);
//!     type Error = Infallible;
//!
//!     fn empty() -> Self {
//!         Self(BTreeMap::new())
//!     }
//!
//!     fn apply(&mut self, (name, number): &Self::Change) -> Result<(), Infallible> {
//!         self.0.insert(name.clone(), *number);
//!         Ok(())
//!     }
//!
//!     fn changes(&self) -> impl Iterator<Item = Self::Change> + '_ {
//!         self.0.iter().map(|(name, number)| (name.clone(), *number))
//!     }
//!
//!     fn event(_: &Self::Change) -> Option<Event> {
//!         None
//!     }
//! }
//!
//! # let directory = std::env::temp_dir().join(format!("ipam-doc-{}", std::process::id()));
//! # std::fs::create_dir_all(&directory)?;
//! let path = directory.join("numbers");
//! let journal = Journal::create(&path, Numbers::empty(), JournalOptions::default())?;
//! journal.change(|numbers| {
//!     numbers.0.insert("blue".into(), 42);
//!     Ok::<_, Infallible>(((), [("blue".into(), 42)]))
//! })?;
//! drop(journal);
//!
//! let (journal, torn) = Journal::<Numbers>::open(&path, JournalOptions::default())?;
//! assert_eq!(torn, None);
//! assert_eq!(journal.read(|numbers| numbers.0["blue"])?, 42);
//! # std::fs::remove_dir_all(&directory)?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # What holds
//!
//! - When [`Journal::change`] returns `Ok`, the change is durable: neither `kill -9` nor a loss of power takes it back, as far as
//!   the disk keeps what it says after `fdatasync`.
//! - All changes of one call are there after a crash, or none is.
//! - A change that was not acknowledged when the crash came is there or not. If it is there, it is from the opening on.
//! - When it returns an error, the state is what it was before. Only where the process dies before it could cut the file back
//!   may such a change be found by the next opening, as one that was not acknowledged.
//! - A file always opens after a crash. Nothing that a crash does looks like damage, and damage does not look like a crash
//!   but where it says so below.
//! - A change waits for one `fdatasync`, and shares it with all others that wait: many threads are faster than one.
//!
//! # The file
//!
//! Numbers are little-endian. The checksums are CRC-32 (ISO-HDLC).
//!
//! | bytes | header |
//! |---|---|
//! | 0–7 | `89 49 50 41 4d 4a 0d 0a` (`IPAMJ` between bytes that no text has) |
//! | 8–11 | version of the format: 1 |
//! | 12–15 | form of the state ([`Journaled::FORM`]) |
//! | 16–19 | checksum of bytes 0–15 |
//!
//! Then records, one behind another. One record is one write, of all changes that waited together:
//!
//! | bytes | record |
//! |---|---|
//! | 0–3 | `n`, the length of the payload |
//! | 4–7 | checksum of: the record's offset in the file (8 bytes), bytes 0–3, bytes 8–11 |
//! | 8–11 | checksum of the payload |
//! | 12–(11+n) | payload: entries, one behind another |
//! | 12+n | `a5` |
//!
//! An entry is [postcard](https://postcard.jamesmunns.com)'s encoding of one of:
//!
//! | number | entry | where |
//! |---|---|---|
//! | 0 | a change | behind the compacted part |
//! | 1 | a change that makes the state | compacted part |
//! | 2 | a prefix, its owner, from when, to when: history | compacted part |
//! | 3 | a prefix, its owner, since when: history, where the change under 1 does not say the same | compacted part |
//! | 4 | how many entries the compacted part has: its end | once in each file |
//!
//! Behind the last record are zeros, up to the end of the room that is reserved; there may be none.
//!
//! # Crash or damage
//!
//! A record is written only after the one before is durable. So a crash can leave one record unfinished, and nothing behind it.
//! What a disk did not write of it is missing at the end of the file, or is still zeros: the end of the record, or whole sectors
//! of 512 bytes of it, in any order. A record that does not fit its checksums was cut short by a crash if such a part is missing
//! and no record is behind it. It is left out then, and [`Journal::open`] says so ([`TornTail`]). Its last byte is not
//! zero, so that an end that is missing is seen.
//!
//! All else is damage: the file is refused with the offset and what is wrong ([`Damage`]), and is not touched. A bit that flipped
//! in a record is damage in the last one, too, since all of it is there. What can't be told from a crash is a file from which a
//! piece was cut off behind its compacted part, and a last record of which a sector was lost later. A file is never taken for an
//! empty one: it is made with its header and its compacted part under another name, and is renamed when it is durable.
//!
//! # Errors of the disk
//!
//! Room is reserved before a change is made, so a full disk is an error that has not touched the state, and it goes on by itself
//! when there is room. When a write or an `fdatasync` fails, all who wait get the error; the state is read again from what is
//! durable, the file is cut off there, and the block that it ends in is written anew, since after a failed `fdatasync` the system
//! may hold pages for written that are not. As long as that fails, changes are refused.
//!
//! # Compaction
//!
//! When the file has grown to several times what the last compaction wrote ([`JournalOptions`]), a new one is
//! written beside it that makes the same state, with as much of the history as is to be kept ([`Retention`]). It is made durable,
//! gets the old one's name, and the name is made durable. A crash leaves the one or the other. The thread does it that has
//! grown the file; others go on to read, and their changes wait.
//!
//! # Names
//!
//! Beside `pool` there is `pool.lock`, which is locked (`flock`) as long as the journal is open and says by whom; it stays. `pool.new`
//! is a file that is about to replace `pool`; what a crash leaves of it is removed by the next opening.

mod batch;
mod check;
mod commit;
mod compaction;
mod error;
mod format;
mod history;
mod lock;
mod reader;
mod replay;
mod snapshot;
mod storage;

#[cfg(test)]
mod crash_points;
#[cfg(test)]
mod simulated_disk;

use core::{
    fmt::{self, Debug, Formatter},
    time::Duration,
};
use std::{path::Path, vec::Vec};

use ipnet::IpNet;

#[doc(hidden)]
pub use self::replay::{Replayed, replay};
pub use self::{
    check::{Finding, Report},
    compaction::Compaction,
    error::{ChangeError, Damage, DamageKind, DiskError, Holder, JournalError, OpenError, Operation},
    history::Interval,
    reader::TornTail,
    snapshot::{Snapshot, check, history},
};
use self::{
    commit::Core,
    error::During,
    lock::Lock,
    reader::Frames,
    storage::{Directory as _, Place},
};
use crate::Journaled;

/// How much of the history a compaction keeps. What is granted now, and since when, is always kept.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Retention {
    /// Intervals that ended longer ago are forgotten, by the latest time that a change has.
    pub time: Duration,
    /// Intervals that have ended, at most; the oldest are forgotten. Each takes some 50 bytes of the file, and of memory while
    /// it is compacted.
    pub entries: usize,
}

impl Default for Retention {
    /// 90 days, 100,000 intervals.
    fn default() -> Self {
        Self { time: Duration::from_secs(90 * 24 * 60 * 60), entries: 100_000 }
    }
}

/// When a journal is compacted, and what is kept then.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct JournalOptions {
    /// What is kept of the history.
    pub retention: Retention,
    /// Compact when the records are as many times what the last compaction wrote; 0: only when it is asked for. The work
    /// for each change is bounded: with 4, each byte that is appended costs a third of one that is compacted.
    pub growth: u32,
    /// Don't compact below as many bytes.
    pub at_least: u64,
}

impl Default for JournalOptions {
    /// At four times the size, from 8 MiB on: some 200,000 changes.
    fn default() -> Self {
        Self { retention: Retention::default(), growth: 4, at_least: 1 << 23 }
    }
}

impl JournalOptions {
    /// At which size to compact next, by that of the compacted part.
    fn compact_at(&self, compacted: u64) -> u64 {
        if self.growth == 0 { u64::MAX } else { self.at_least.max(compacted.saturating_mul(self.growth.into())) }
    }
}

/// State that survives a crash. The [module](self) says what holds, and how.
pub struct Journal<S: Journaled> {
    core: Core<S, Place>,
    // Dropped last.
    _lock: Lock,
}

impl<S: Journaled> Journal<S> {
    /// Makes a journal that begins with this state. The file is there with all of it, or it is not there.
    ///
    /// # Errors
    ///
    /// [`OpenError::Exists`] where there is a file, [`OpenError::Locked`] where another process makes the same one, and
    /// [`OpenError::Journal`] with the disk's error.
    pub fn create(path: impl AsRef<Path>, state: S, options: JournalOptions) -> Result<Self, OpenError> {
        let place = Place::for_new(path.as_ref()).during(Operation::Open)?;
        if place.exists() {
            return Err(OpenError::Exists);
        }
        let lock = Lock::take(&place.lock_path())?;
        // Another process may have made it since.
        if place.exists() {
            return Err(OpenError::Exists);
        }
        Ok(Self { core: Core::create(place, state, options)?, _lock: lock })
    }

    /// Opens a journal: takes the lock, and makes the state out of the file.
    ///
    /// What a crash has left unfinished at the end is cut off, and is said in the second value: it was never acknowledged.
    ///
    /// # Errors
    ///
    /// [`OpenError::Locked`] with who has it open, and [`OpenError::Journal`] with what the disk says, or with where the file is
    /// damaged and how.
    pub fn open(path: impl AsRef<Path>, options: JournalOptions) -> Result<(Self, Option<TornTail>), OpenError> {
        let place = Place::of(path.as_ref()).during(Operation::Open)?;
        // Beside a file that is no journal there is to be no lock either.
        Frames::new(&place.open().during(Operation::Open)?, S::FORM)?;
        let lock = Lock::take(&place.lock_path())?;
        let (core, torn) = Core::open(place, options)?;
        Ok((Self { core, _lock: lock }, torn))
    }

    /// Changes the state, and returns when that is durable.
    ///
    /// The closure does it by the state's own methods, and says what came out: its result, and the changes that make the same of
    /// the state before. They are durable together. What it returns as an error it has not changed. Others wait while it runs.
    ///
    /// Without any change it still waits until all is durable that it has seen: what it answers is true after a crash, too.
    ///
    /// # Errors
    ///
    /// [`ChangeError::Refused`] with the closure's own error, and [`ChangeError::Journal`] where the change can't be made
    /// durable: the state is as before then. A refusal may come of a change of another thread that is not durable yet.
    pub fn change<R, E, C>(&self, change: impl FnOnce(&mut S) -> Result<(R, C), E>) -> Result<R, ChangeError<E>>
    where
        C: IntoIterator<Item = S::Change>,
    {
        self.core.change(change)
    }

    /// Looks at the state as it is now: changes that are just being made durable are in it.
    ///
    /// # Errors
    ///
    /// Where the state has to be read again after an error of the disk or a panic, and that fails.
    pub fn read<R>(&self, look: impl FnOnce(&S) -> R) -> Result<R, JournalError> {
        self.core.read(look)
    }

    /// Compacts the file now.
    ///
    /// # Errors
    ///
    /// Those of the disk. The state and what is durable stay as they are; a disk that is full is one for changes only when there is
    /// no room for them, too.
    pub fn compact(&self) -> Result<Compaction, JournalError> {
        self.core.compact()
    }

    /// Who had what overlaps with a prefix (`None`: anything), from when to when, the oldest first: of what is durable. It reads the
    /// file, as [`history`](history()) does.
    ///
    /// # Errors
    ///
    /// Where the file can't be read, or is damaged.
    pub fn history(&self, of: Option<IpNet>) -> Result<Vec<Interval>, JournalError> {
        let (file, end) = self.core.durable();
        history::history::<S, _>(Frames::new(&*file, S::FORM)?.up_to(end), of)
    }
}

impl<S: Journaled> Debug for Journal<S> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.debug_struct("Journal").field("place", self.core.directory()).finish_non_exhaustive()
    }
}
