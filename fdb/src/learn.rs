//! Learning from frames that were received.

use core::time::Duration;

use overlay_types::MacAddr;
use thiserror::Error;

use crate::{
    dampening::Verdict,
    destination::Destination,
    event::EventKind,
    forward::ForwardingTable,
    remote::RemoteId,
    row::{Forward, RowState, key_of, mac_of, tick},
    segment::{Segment, Writer},
    segment_id::SegmentId,
    slot::Hit,
    sync::Ordering,
    value::Value,
};

/// What a received frame taught.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize), serde(rename_all = "snake_case"))]
pub enum Learn {
    /// The address was not known.
    New,
    /// It was known to be there.
    Refreshed,
    /// It was learned elsewhere.
    Moved {
        /// Where it was.
        from: RemoteId,
    },
    /// It belongs to configuration or registry at another remote, where it stays.
    Owned {
        /// Where it leads.
        to: Destination,
    },
    /// Nothing: the row is what it was, or is not.
    NotLearned(NotLearned),
}

/// Why nothing was learned.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize), serde(rename_all = "snake_case"))]
pub enum NotLearned {
    /// There is no place, and no remote with more rows than the sender's to take one from.
    #[error("the table is full")]
    TableFull,
    /// The station moved too often and is held where it is.
    #[error("the station moved too often")]
    Dampened,
    /// A group address or zero is nobody's (IEEE Std 802-2014 §8.2).
    #[error("not the address of a station")]
    InvalidMac,
    /// There is no such segment.
    #[error("no such segment")]
    UnknownSegment,
}

/// What a look tells of a frame that was received, before it is learned from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub enum Claim {
    /// The row says the same, and there is nothing to write.
    Settled,
    /// The address belongs to configuration or registry at another place: [`learn`](ForwardingTable::learn) will say so.
    Owned {
        /// Where it leads.
        to: Destination,
    },
    /// There is something to learn, or to refuse.
    Open,
}

/// Whether a row says that its station is at this remote, and was heard in this second or need not be.
#[inline]
fn is_settled(hit: Hit<'_>, forward: Forward, remote: RemoteId, now: Duration) -> bool {
    forward.to() == remote.into() && (hit.value.tick() == tick(now) || forward.state() == RowState::Static)
}

impl ForwardingTable {
    /// What [`learn`](Self::learn) would meet, without changing or counting anything. Takes no lock.
    ///
    /// After [`Claim::Settled`] there is no need to learn.
    #[inline]
    pub fn claim(&self, segment: SegmentId, mac: MacAddr, remote: RemoteId, now: Duration) -> Claim {
        let key = key_of(mac);
        let hash = self.hash_of(key);
        // No row has a group address or none for its key.
        match self.glance(segment, key, hash) {
            Some((hit, forward)) if is_settled(hit, forward, remote, now) => Claim::Settled,
            _ => self.claim_further(segment, key, hash, remote, now),
        }
    }

    /// The part of a claim that is more than a glance at a row.
    #[inline(never)]
    fn claim_further(&self, segment: SegmentId, key: u64, hash: u64, remote: RemoteId, now: Duration) -> Claim {
        match self.look(segment, key, hash) {
            Some((hit, forward)) if is_settled(hit, forward, remote, now) => Claim::Settled,
            Some((_, forward)) if forward.to() != remote.into() && forward.state() != RowState::Learned => {
                Claim::Owned { to: forward.to() }
            }
            _ => Claim::Open,
        }
    }

    /// Learns from a frame that was received: its source address is at this remote.
    ///
    /// Takes the lock of the segment only where a row comes or moves. A row that stays is written at most once per
    /// second.
    // Left to itself the compiler makes it a call, for a tenth of the time of what a tunnel endpoint decides on a datagram.
    #[allow(clippy::inline_always)]
    #[inline(always)]
    pub fn learn(&self, segment: SegmentId, mac: MacAddr, remote: RemoteId, now: Duration) -> Learn {
        let key = key_of(mac);
        let hash = self.hash_of(key);
        // No row has a group address or none for its key.
        if let Some((hit, forward)) = self.glance(segment, key, hash)
            && is_settled(hit, forward, remote, now)
        {
            return Learn::Refreshed;
        }
        self.learn_more(segment, mac, hash, remote, now)
    }

    /// The part of learning that is more than a look at a row.
    fn learn_more(&self, segment: SegmentId, mac: MacAddr, hash: u64, remote: RemoteId, now: Duration) -> Learn {
        let Some(place) = self.segment(segment) else { return Learn::NotLearned(NotLearned::UnknownSegment) };
        if !mac.is_unicast() {
            place.counters.invalid_mac.fetch_add(1, Ordering::Relaxed);
            return Learn::NotLearned(NotLearned::InvalidMac);
        }
        let key = key_of(mac);
        if let Some((hit, forward)) = self.look(segment, key, hash) {
            if forward.to() == remote.into() {
                if forward.state() == RowState::Static || hit.value.tick() == tick(now) || hit.refresh(tick(now)) {
                    return Learn::Refreshed;
                }
            } else if forward.state() != RowState::Learned {
                place.counters.owned.fetch_add(1, Ordering::Relaxed);
                let answer = Learn::Owned { to: forward.to() };
                self.tell(segment, mac, remote, answer);
                return answer;
            }
        }
        self.learn_locked(segment, key, remote, now)
    }

    /// The part of learning that changes the table.
    #[cold]
    fn learn_locked(&self, id: SegmentId, key: u64, remote: RemoteId, now: Duration) -> Learn {
        let Some((segment, mut writer)) = self.locked(id) else {
            return Learn::NotLearned(NotLearned::UnknownSegment);
        };
        let answer = self.learn_settled(segment, &mut writer, key, remote, now);
        // Under the lock, so that what happens to a row is told in order.
        self.tell(id, mac_of(key), remote, answer);
        answer
    }

    fn learn_settled(
        &self,
        segment: &Segment,
        writer: &mut Writer,
        key: u64,
        remote: RemoteId,
        now: Duration,
    ) -> Learn {
        let full = || {
            segment.counters.table_full.fetch_add(1, Ordering::Relaxed);
            Learn::NotLearned(NotLearned::TableFull)
        };
        let new = Forward::new(remote.into(), RowState::Learned);
        match self.settled_row(segment, writer, key) {
            Some((hit, forward)) if forward.to() == remote.into() => {
                // Under the lock the row can't change hands: the refresh of another thread is as good as this one.
                let _ = hit.refresh(tick(now));
                Learn::Refreshed
            }
            Some((_, forward)) if forward.state() != RowState::Learned => {
                segment.counters.owned.fetch_add(1, Ordering::Relaxed);
                Learn::Owned { to: forward.to() }
            }
            Some((hit, forward)) => {
                if let Some(rule) = writer.options.dampening
                    && writer.moves.judge(key, rule, now) != Verdict::Move
                {
                    segment.counters.dampened.fetch_add(1, Ordering::Relaxed);
                    return Learn::NotLearned(NotLearned::Dampened);
                }
                let Some(group) = writer.group(&self.groups, new) else { return full() };
                writer.count(&self.groups, group, new);
                hit.replace(Value::new(tick(now), group));
                writer.uncount(&self.groups, hit.value.group());
                segment.counters.changes.moved.fetch_add(1, Ordering::Relaxed);
                // What is learned leads to a remote.
                Learn::Moved { from: forward.remote().unwrap_or(remote) }
            }
            None => {
                if !self.make_room_to_learn(segment, writer, remote, now) {
                    return full();
                }
                if self.add_row(segment, writer, key, new, now) {
                    segment.counters.changes.learned.fetch_add(1, Ordering::Relaxed);
                    Learn::New
                } else {
                    self.release_learned(1);
                    full()
                }
            }
        }
    }

    /// Tells who watches what a frame taught.
    fn tell(&self, segment: SegmentId, mac: MacAddr, remote: RemoteId, answer: Learn) {
        let kind = match answer {
            Learn::New => EventKind::Learned { remote },
            Learn::Moved { from } => EventKind::Moved { from, to: remote },
            Learn::Owned { to: owner } => EventKind::Conflict { owner, claimant: remote },
            Learn::NotLearned(reason) => EventKind::Refused { remote, reason },
            Learn::Refreshed => return,
        };
        self.events.add(segment, mac, kind);
    }

    /// Forgets a learned row: its station was seen on the local side. `true` where there was one.
    ///
    /// Rows of configuration and registry stay. Where there is nothing to forget this is a lookup, without a lock.
    pub fn forget_learned(&self, segment: SegmentId, mac: MacAddr) -> bool {
        let learned = |forward: Forward| forward.state() == RowState::Learned;
        let forgotten =
            self.lookup(segment, mac).is_some_and(learned) && self.remove_if(segment, mac, learned).is_some();
        if forgotten && let Some(place) = self.segment(segment) {
            place.counters.changes.forgotten.fetch_add(1, Ordering::Relaxed);
        }
        forgotten
    }
}
