//! The proof that a file is right, from its bytes alone.

use core::time::Duration;
use std::{
    string::{String, ToString},
    vec::Vec,
};

use ipnet::IpNet;

use super::{
    error::{Damage, JournalError},
    format::Entry,
    history::{History, Step},
    reader::{Frames, TornTail},
    replay::{Walk, apply},
    storage::ReadAt,
};
use crate::journaled::{EventKind, Journaled};

/// What [`check`](super::check) has found.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct Report {
    /// Bytes up to the end of the last whole record.
    pub bytes: u64,
    /// Bytes of the part that the last compaction wrote, the header among them.
    pub compacted: u64,
    /// Whole records.
    pub records: u64,
    /// Changes behind the compacted part.
    pub changes: u64,
    /// Prefixes that are granted now, as the events say.
    pub granted: u64,
    /// A record at the end that a crash left unfinished. It is no fault: it was never acknowledged.
    pub torn: Option<TornTail>,
    /// What is wrong, in the order of the file; empty where the file is right.
    pub findings: Vec<Finding>,
    /// How far the time went back from one event to the next, at most: clocks are set, and threads overtake each other.
    pub backwards: Duration,
}

impl Report {
    /// Whether nothing is wrong.
    #[must_use]
    pub fn is_sound(&self) -> bool {
        self.findings.is_empty()
    }

    /// Of a file of which not even the header is right.
    pub(super) fn unreadable(damage: Damage) -> Self {
        Self {
            bytes: 0,
            compacted: 0,
            records: 0,
            changes: 0,
            granted: 0,
            torn: None,
            findings: [Finding::Damaged(damage)].into(),
            backwards: Duration::ZERO,
        }
    }
}

/// Something that is wrong in a file.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Finding {
    /// The bytes are not what was written, or a change does not fit. Nothing behind it was looked at.
    #[error(transparent)]
    Damaged(Damage),
    /// A prefix was granted that was not free, and the state took it.
    #[error("the record at byte {offset} grants {prefix}, which was granted")]
    GrantedTwice {
        /// Where the record begins.
        offset: u64,
        /// The prefix.
        prefix: IpNet,
    },
    /// A grant was ended that there was not, and the state took it.
    #[error("the record at byte {offset} ends the grant of {prefix}, which was not granted")]
    NotGranted {
        /// Where the record begins.
        offset: u64,
        /// The prefix.
        prefix: IpNet,
    },
    /// An interval of the history ends before it begins.
    #[error("the record at byte {offset}: {prefix} was taken back {by:?} before it was granted")]
    EndsBeforeItBegins {
        /// Where the record begins.
        offset: u64,
        /// The prefix.
        prefix: IpNet,
        /// By how much.
        by: Duration,
    },
    /// The changes that the state is compacted to make another state: a compaction would lose something.
    #[error("what the state is compacted to makes another state{}", .reason.as_ref().map(|reason| std::format!(": {reason}")).unwrap_or_default())]
    NotCompactable {
        /// Which of the changes is refused, where one is.
        reason: Option<String>,
    },
    /// What the state says about itself ([`Journaled::findings`]).
    #[error("{0}")]
    State(String),
}

/// The proof for the records of a file.
pub(super) fn check<S: Journaled, R: ReadAt + ?Sized>(mut frames: Frames<'_, R>) -> Result<Report, JournalError> {
    let (mut state, mut walk) = (S::empty(), Walk::default());
    let mut history = History::new(None, 1);
    let mut findings = Vec::new();
    let (mut last, mut backwards) = (Duration::ZERO, Duration::ZERO);
    let walked = walk.all(&mut frames, |at, entry: Entry<S::Change>| {
        apply(&mut state, at, &entry)?;
        let event = match &entry {
            Entry::Change(change) => S::event(change),
            Entry::Past { prefix, from, to, .. } if to < from => {
                let finding =
                    Finding::EndsBeforeItBegins { offset: at.offset, prefix: *prefix, by: from.saturating_sub(*to) };
                findings.push(finding);
                None
            }
            _ => None,
        };
        let Some(event) = event else {
            history.entry::<S>(entry);
            return Ok(());
        };
        backwards = backwards.max(last.saturating_sub(event.at));
        last = event.at;
        let (offset, prefix) = (at.offset, event.prefix);
        if let (EventKind::Released, Some((_, from))) = (&event.kind, history.open.get(&prefix))
            && *from > event.at
        {
            findings.push(Finding::EndsBeforeItBegins { offset, prefix, by: from.saturating_sub(event.at) });
        }
        match history.entry::<S>(entry) {
            Step::Fits => {}
            Step::Granted => findings.push(Finding::GrantedTwice { offset, prefix }),
            Step::NotGranted => findings.push(Finding::NotGranted { offset, prefix }),
        }
        Ok(())
    });
    match walked {
        Ok(()) => {
            findings.extend(not_compactable(&state));
            findings.extend(state.findings().into_iter().map(Finding::State));
        }
        Err(JournalError::Damaged(damage)) => findings.push(Finding::Damaged(damage)),
        Err(error) => return Err(error),
    }
    Ok(Report {
        bytes: frames.offset(),
        compacted: walk.compacted.unwrap_or_default(),
        records: walk.records,
        changes: walk.changes,
        granted: history.open.len() as u64,
        torn: frames.torn(),
        findings,
        backwards,
    })
}

/// Whether the state comes back from its own changes: the changes of that one are the same, in any order.
fn not_compactable<S: Journaled>(state: &S) -> Option<Finding> {
    let mut again = S::empty();
    for change in state.changes() {
        if let Err(error) = again.apply(&change) {
            return Some(Finding::NotCompactable { reason: Some(error.to_string()) });
        }
    }
    (encoded(state) != encoded(&again)).then_some(Finding::NotCompactable { reason: None })
}

fn encoded<S: Journaled>(state: &S) -> Option<Vec<Vec<u8>>> {
    let changes: Result<Vec<Vec<u8>>, _> = state.changes().map(|change| postcard::to_allocvec(&change)).collect();
    let mut changes = changes.ok()?;
    changes.sort_unstable();
    Some(changes)
}
