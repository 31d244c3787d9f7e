//! Reads a journal that another process may have open.

use std::{fs::File, path::Path, vec::Vec};

use ipnet::IpNet;

use super::{
    check::{self, Report},
    error::{During, JournalError, Operation},
    history::{self, Interval},
    reader::{Frames, TornTail},
    replay::{Replayed, replayed},
};
use crate::Journaled;

/// The state of a journal at some time, read without its lock.
///
/// Another process may hold the journal and go on: what comes out is a state that there was since the call began, and a
/// compaction meanwhile does not disturb it. A change that is in it may be one that is just being made durable.
///
/// ```no_run
/// # fn of<S: ipam::Journaled>() -> Result<(), ipam::journal::JournalError> {
/// let snapshot = ipam::journal::Snapshot::<S>::read("/var/lib/pool")?;
/// println!("{} changes make it", snapshot.state().changes().count());
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct Snapshot<S> {
    replayed: Replayed<S>,
}

impl<S: Journaled> Snapshot<S> {
    /// Reads the file.
    ///
    /// # Errors
    ///
    /// [`JournalError::Disk`] where it can't be read, and [`JournalError::Damaged`] where
    /// [`Journal::open`](super::Journal::open) would refuse it.
    pub fn read(path: impl AsRef<Path>) -> Result<Self, JournalError> {
        let file = open(path.as_ref())?;
        Ok(Self { replayed: replayed(Frames::while_written(&file, S::FORM)?)? })
    }

    /// The state.
    pub fn state(&self) -> &S {
        &self.replayed.state
    }

    /// The state, as one's own.
    pub fn into_state(self) -> S {
        self.replayed.state
    }

    /// The unfinished record at the end: a crash left it, or it is just being written.
    pub fn torn(&self) -> Option<TornTail> {
        self.replayed.torn
    }
}

fn open(path: &Path) -> Result<File, JournalError> {
    Ok(File::open(path).during(Operation::Open)?)
}

/// Who had what overlaps with a prefix (`None`: anything), from when to when, the oldest first. It needs no lock.
///
/// Where the history begins is said by [`Retention`](super::Retention). An address is a prefix of full length: the answer has
/// the grants of longer and of shorter prefixes that overlap with it, too.
///
/// # Errors
///
/// As [`Snapshot::read`].
pub fn history<S: Journaled>(path: impl AsRef<Path>, of: Option<IpNet>) -> Result<Vec<Interval>, JournalError> {
    let file = open(path.as_ref())?;
    history::history::<S, _>(Frames::while_written(&file, S::FORM)?, of)
}

/// Reads all of a journal and proves that it is right. It needs no lock, and changes nothing.
///
/// That is: each byte is what was written, by checksums; each change fits the state before ([`Journaled::apply`] refuses what
/// overlaps and what lies outside of its pool); what is granted was free and what is taken back was granted; no interval of
/// the history ends before it begins; the compacted part is complete; what the state is compacted to makes the same state;
/// and what the state finds in itself ([`Journaled::findings`]).
///
/// # Errors
///
/// [`JournalError::Disk`] where the file can't be read. Damage is a finding.
pub fn check<S: Journaled>(path: impl AsRef<Path>) -> Result<Report, JournalError> {
    let file = open(path.as_ref())?;
    match Frames::while_written(&file, S::FORM) {
        Ok(frames) => check::check::<S, _>(frames),
        Err(JournalError::Damaged(damage)) => Ok(Report::unreadable(damage)),
        Err(error) => Err(error),
    }
}
