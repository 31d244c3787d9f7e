//! Who had a prefix, from when to when.

use core::time::Duration;
use std::{
    collections::{HashMap, VecDeque},
    string::String,
    vec::Vec,
};

use ipnet::IpNet;

use super::{error::JournalError, format::Entry, reader::Frames, replay::Walk, storage::ReadAt};
use crate::{
    block::{Block, Family},
    journaled::{Event, EventKind, Journaled},
};

/// A prefix was an owner's from a time to a time.
#[derive(Clone, PartialEq, Eq, Debug, serde::Serialize, serde::Deserialize)]
pub struct Interval {
    /// The prefix; a single address is one of full length.
    pub prefix: IpNet,
    /// Whose it was.
    pub owner: String,
    /// When it was granted, since the Unix epoch.
    pub from: Duration,
    /// When it was taken back; `None` while it is the owner's.
    pub to: Option<Duration>,
}

/// What an event makes of the history before.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Step {
    /// As it should be.
    Fits,
    /// A grant of what was granted already.
    Granted,
    /// The end of what was not granted.
    NotGranted,
}

/// The history while the entries of a file go by.
pub(super) struct History {
    /// Of what overlaps with it; all where there is none.
    of: Option<IpNet>,
    /// At most as many intervals that have ended: the last ones.
    cap: usize,
    pub(super) open: HashMap<IpNet, (String, Duration)>,
    pub(super) past: VecDeque<Interval>,
    /// The latest time that any event has.
    pub(super) latest: Duration,
}

impl History {
    pub(super) fn new(of: Option<IpNet>, cap: usize) -> Self {
        Self { of, cap, open: HashMap::new(), past: VecDeque::new(), latest: Duration::ZERO }
    }

    pub(super) fn entry<S: Journaled>(&mut self, entry: Entry<S::Change>) -> Step {
        match entry {
            Entry::Change(change) => return S::event(&change).map_or(Step::Fits, |event| self.event(event)),
            // What the state says of a prefix that is free is no news.
            Entry::State(change) => {
                if let Some(Event { prefix, at, kind: EventKind::Granted { owner } }) = S::event(&change) {
                    self.since(prefix, owner, at);
                }
            }
            Entry::Since { prefix, owner, from } => self.since(prefix, owner, from),
            Entry::Past { prefix, owner, from, to } => {
                if self.concerns(prefix) {
                    self.end(Interval { prefix, owner, from, to: Some(to) });
                }
            }
            Entry::Compacted { .. } => {}
        }
        Step::Fits
    }

    fn since(&mut self, prefix: IpNet, owner: String, from: Duration) {
        if self.concerns(prefix) {
            self.latest = self.latest.max(from);
            self.open.insert(prefix, (owner, from));
        }
    }

    fn event(&mut self, event: Event) -> Step {
        let Event { prefix, at, kind } = event;
        if !self.concerns(prefix) {
            return Step::Fits;
        }
        self.latest = self.latest.max(at);
        let before = self.open.remove(&prefix);
        let step = match (&before, &kind) {
            (None, EventKind::Granted { .. }) | (Some(_), EventKind::Released) => Step::Fits,
            (Some(_), EventKind::Granted { .. }) => Step::Granted,
            (None, EventKind::Released) => Step::NotGranted,
        };
        if let Some((owner, from)) = before {
            self.end(Interval { prefix, owner, from, to: Some(at) });
        }
        if let EventKind::Granted { owner } = kind {
            self.open.insert(prefix, (owner, at));
        }
        step
    }

    fn end(&mut self, interval: Interval) {
        self.latest = self.latest.max(interval.to.unwrap_or_default());
        self.past.push_back(interval);
        if self.past.len() > self.cap {
            self.past.pop_front();
        }
    }

    fn concerns(&self, prefix: IpNet) -> bool {
        self.of.is_none_or(|of| {
            Family::of(of.addr()) == Family::of(prefix.addr()) && Block::of(of).overlaps(Block::of(prefix))
        })
    }

    /// Forgets what ended longer ago than `keep`, by the latest time that is known.
    pub(super) fn forget(&mut self, keep: Duration) {
        let latest = self.latest;
        self.past.retain(|past| past.to.is_none_or(|to| to.saturating_add(keep) >= latest));
    }

    fn into_intervals(self) -> Vec<Interval> {
        let open = self.open.into_iter().map(|(prefix, (owner, from))| Interval { prefix, owner, from, to: None });
        let mut intervals: Vec<Interval> = self.past.into_iter().chain(open).collect();
        intervals.sort_by(|a, b| {
            let key = |interval: &Interval| (interval.from, interval.to.is_none(), interval.to, interval.prefix);
            key(a).cmp(&key(b))
        });
        intervals
    }
}

/// The history of what overlaps with a prefix, the oldest first.
pub(super) fn history<S: Journaled, R: ReadAt + ?Sized>(
    mut frames: Frames<'_, R>,
    of: Option<IpNet>,
) -> Result<Vec<Interval>, JournalError> {
    let mut history = History::new(of, usize::MAX);
    Walk::default().all(&mut frames, |_, entry| {
        history.entry::<S>(entry);
        Ok(())
    })?;
    Ok(history.into_intervals())
}
