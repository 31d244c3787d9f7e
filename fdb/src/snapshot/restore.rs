//! Putting a snapshot into tables that may hold something already.

use alloc::{
    collections::{BTreeMap, BTreeSet},
    vec::Vec,
};
use core::{net::IpAddr, time::Duration};

use thiserror::Error;

use super::{Snapshot, SnapshotGroup, SnapshotRemote, SnapshotSegment, Tables};
use crate::{
    equal_cost::{EqualCostError, EqualCostId, EqualCostMember},
    forward::InsertError,
    learn::{Learn, NotLearned},
    neighbor::{LearnNeighbor, NeighborError, NeighborRow, NeighborState, NotLearnedNeighbor},
    page::Row,
    remote::{RemoteId, RemoteTableFull},
    row::{Origin, RowState},
    segment_id::SegmentId,
    value::Value,
};

/// What a snapshot may ask for. What it names beyond that is refused, and costs no memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RestoreLimits {
    /// How many segments there may be in the end.
    pub max_segments: usize,
    /// The largest `max_learned` of a segment.
    pub max_learned: u32,
}

impl Default for RestoreLimits {
    /// 4096 segments of up to 2²⁰ learned rows.
    fn default() -> Self {
        Self { max_segments: 4096, max_learned: 1 << 20 }
    }
}

/// Why a snapshot as a whole can't be restored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum RestoreError {
    /// It has another form.
    #[error("a snapshot of version {version}, not {expected}", expected = Snapshot::VERSION)]
    Version {
        /// Which one.
        version: u32,
    },
}

/// What became of a snapshot.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Restored {
    /// Forwarding rows that are in the table now.
    pub rows: usize,
    /// Neighbours that are in the table now.
    pub neighbors: usize,
    /// Forwarding rows that were too old already.
    pub aged: usize,
    /// Rows of which the tables had one already, which stays: it is newer.
    pub kept: usize,
    /// What was refused, each with the reason: segments, remotes, groups, rows, neighbours.
    pub refused: Vec<Refused>,
    remotes: BTreeMap<RemoteId, RemoteId>,
    groups: BTreeMap<EqualCostId, EqualCostId>,
}

impl Restored {
    /// The number that a remote of the snapshot has now, for what else names it: flood lists, multicast groups. `None` where
    /// there was no such remote, or the snapshot was restored without a table of remotes.
    #[must_use]
    pub fn remote(&self, id: RemoteId) -> Option<RemoteId> {
        self.remotes.get(&id).copied()
    }

    /// The number that an equal-cost group of the snapshot has now.
    #[must_use]
    pub fn group(&self, id: EqualCostId) -> Option<EqualCostId> {
        self.groups.get(&id).copied()
    }
}

/// A part of a snapshot that was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Refused {
    /// A segment.
    Segment {
        /// Which one.
        segment: SegmentId,
        /// Why.
        reason: NotRestored,
    },
    /// A remote.
    Remote {
        /// Its number in the snapshot.
        id: RemoteId,
        /// Its address.
        address: IpAddr,
        /// Why.
        reason: NotRestored,
    },
    /// An equal-cost group.
    Group {
        /// Its number in the snapshot.
        id: EqualCostId,
        /// Why.
        reason: NotRestored,
    },
    /// A forwarding row.
    Row {
        /// The row.
        row: Row,
        /// Why.
        reason: NotRestored,
    },
    /// A neighbour.
    Neighbor {
        /// The row.
        row: NeighborRow,
        /// Why.
        reason: NotRestored,
    },
}

/// Why a part of a snapshot was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum NotRestored {
    /// There are as many segments as [`RestoreLimits`] allow.
    #[error("no place for one more segment: there are {max}")]
    TooManySegments {
        /// How many there may be.
        max: usize,
    },
    /// A segment wants more learned rows than [`RestoreLimits`] allow.
    #[error("a segment of {max_learned} learned rows, of at most {max}")]
    SegmentTooLarge {
        /// How many it wants.
        max_learned: u32,
        /// How many it may want.
        max: u32,
    },
    /// Something else in the snapshot has the same number.
    #[error("the number is there twice")]
    Duplicate,
    /// The snapshot names a remote that is not in it, or that was refused.
    #[error("no remote {}", .remote.get())]
    UnknownRemote {
        /// Its number in the snapshot.
        remote: RemoteId,
    },
    /// The snapshot names an equal-cost group that is not in it, or that was refused.
    #[error("no equal-cost group {}", .group.get())]
    UnknownGroup {
        /// Its number in the snapshot.
        group: EqualCostId,
    },
    /// A row that was learned, and leads to no remote.
    #[error("learned, and leads to no remote")]
    LearnedNowhere,
    /// There are neighbours in the snapshot, and no table for them; or groups.
    #[error("there is no table for it")]
    NoTable,
    /// The segment has its learned rows, or all segments have theirs.
    #[error("the table is full")]
    TableFull,
    /// The table of remotes refuses it.
    #[error("{0}")]
    Remote(RemoteTableFull),
    /// The table of groups refuses it.
    #[error("{0}")]
    Group(EqualCostError),
    /// The forwarding table refuses to insert it.
    #[error("{0}")]
    Insert(InsertError),
    /// The forwarding table refuses to learn it.
    #[error("{0}")]
    Learn(NotLearned),
    /// The neighbour table refuses to insert it.
    #[error("{0}")]
    InsertNeighbor(NeighborError),
    /// The neighbour table refuses to learn it.
    #[error("{0}")]
    LearnNeighbor(NotLearnedNeighbor),
}

/// What became of one row.
enum Fate {
    Restored,
    Aged,
    Kept,
}

impl Tables<'_> {
    /// Puts what a snapshot holds into the tables. What they know already stays, and nothing goes to make room. Traffic may
    /// go on.
    ///
    /// Remotes and groups may get other numbers, see [`Restored::remote`] and [`Restored::group`]. Of the rows that were
    /// learned the youngest come first where not all of them fit. They count as learned, and are told so to who watches.
    /// Flows are spread anew over the members of a group.
    ///
    /// A snapshot may say anything: what makes no sense is refused by name, and the tables' caps hold.
    ///
    /// # Errors
    ///
    /// [`RestoreError::Version`]; the tables are then what they were.
    pub fn restore(self, snapshot: &Snapshot, limits: RestoreLimits, now: Duration) -> Result<Restored, RestoreError> {
        if snapshot.version != Snapshot::VERSION {
            return Err(RestoreError::Version { version: snapshot.version });
        }
        let mut restored = Restored::default();
        self.restore_segments(&snapshot.segments, limits, &mut restored.refused);
        self.restore_remotes(&snapshot.remotes, now, &mut restored);
        self.restore_groups(&snapshot.groups, &mut restored);
        let mut rows: Vec<&Row> = snapshot.rows.iter().collect();
        // Those of configuration and registry take no place of learned ones.
        rows.sort_by_key(|row| (row.state == RowState::Learned).then_some(row.age));
        for row in rows {
            match self.restore_row(row, now, &restored) {
                Ok(Fate::Restored) => restored.rows += 1,
                Ok(Fate::Aged) => restored.aged += 1,
                Ok(Fate::Kept) => restored.kept += 1,
                Err(reason) => restored.refused.push(Refused::Row { row: *row, reason }),
            }
        }
        let mut rows: Vec<&NeighborRow> = snapshot.neighbors.iter().collect();
        rows.sort_by_key(|row| (row.neighbor.state == NeighborState::Learned).then_some(row.age));
        for row in rows {
            match self.restore_neighbor(row, now) {
                Ok(Fate::Restored) => restored.neighbors += 1,
                Ok(Fate::Aged | Fate::Kept) => restored.kept += 1,
                Err(reason) => restored.refused.push(Refused::Neighbor { row: *row, reason }),
            }
        }
        Ok(restored)
    }

    fn restore_segments(&self, segments: &[SnapshotSegment], limits: RestoreLimits, refused: &mut Vec<Refused>) {
        let mut known: BTreeSet<SegmentId> = self.forwarding.segments().into_iter().collect();
        let mut seen = BTreeSet::new();
        for &SnapshotSegment { segment, options } in segments {
            let reason = if !seen.insert(segment) {
                NotRestored::Duplicate
            } else if known.contains(&segment) {
                continue;
            } else if known.len() >= limits.max_segments {
                NotRestored::TooManySegments { max: limits.max_segments }
            } else if options.max_learned > limits.max_learned {
                NotRestored::SegmentTooLarge { max_learned: options.max_learned, max: limits.max_learned }
            } else {
                self.forwarding.add_segment(segment, options);
                known.insert(segment);
                continue;
            };
            refused.push(Refused::Segment { segment, reason });
        }
    }

    fn restore_remotes(&self, remotes: &[SnapshotRemote], now: Duration, restored: &mut Restored) {
        let Some(table) = self.remotes else { return };
        for &SnapshotRemote { id, remote, pins, path_mtu } in remotes {
            let refuse = |reason| Refused::Remote { id, address: remote.address, reason };
            if restored.remotes.contains_key(&id) {
                restored.refused.push(refuse(NotRestored::Duplicate));
                continue;
            }
            match table.restore(remote, pins, now) {
                Ok(new) => {
                    if path_mtu.is_some() && table.path_mtu(new).is_none() {
                        table.set_path_mtu(new, path_mtu);
                    }
                    restored.remotes.insert(id, new);
                }
                Err(full) => restored.refused.push(refuse(NotRestored::Remote(full))),
            }
        }
    }

    fn restore_groups(&self, groups: &[SnapshotGroup], restored: &mut Restored) {
        for SnapshotGroup { id, members } in groups {
            let result = match self.equal_cost {
                None => Err(NotRestored::NoTable),
                Some(_) if restored.groups.contains_key(id) => Err(NotRestored::Duplicate),
                Some(table) => (members.iter())
                    .map(|member| {
                        let remote = self.remote(member.remote, &restored.remotes)?;
                        Ok(EqualCostMember { remote, ..*member })
                    })
                    .collect::<Result<Vec<_>, _>>()
                    .and_then(|members| table.insert(&members).map_err(NotRestored::Group)),
            };
            match result {
                Ok(new) => {
                    restored.groups.insert(*id, new);
                }
                Err(reason) => restored.refused.push(Refused::Group { id: *id, reason }),
            }
        }
    }

    /// The number that a remote has now.
    fn remote(&self, id: RemoteId, remotes: &BTreeMap<RemoteId, RemoteId>) -> Result<RemoteId, NotRestored> {
        match self.remotes {
            Some(_) => remotes.get(&id).copied().ok_or(NotRestored::UnknownRemote { remote: id }),
            None => Ok(id),
        }
    }

    /// The number that an equal-cost group has now.
    fn group(&self, id: EqualCostId, groups: &BTreeMap<EqualCostId, EqualCostId>) -> Result<EqualCostId, NotRestored> {
        match self.equal_cost {
            Some(_) => groups.get(&id).copied().ok_or(NotRestored::UnknownGroup { group: id }),
            None => Ok(id),
        }
    }

    fn restore_row(&self, row: &Row, now: Duration, restored: &Restored) -> Result<Fate, NotRestored> {
        let table = self.forwarding;
        let unknown = NotRestored::Insert(InsertError::UnknownSegment);
        let options = table.segment_options(row.segment).ok_or(unknown)?;
        let to = match (row.to.remote(), row.to.equal_cost()) {
            (Some(remote), _) => self.remote(remote, &restored.remotes)?.into(),
            (None, Some(group)) => self.group(group, &restored.groups)?.into(),
            (None, None) => row.to,
        };
        if table.lookup(row.segment, row.mac).is_some() {
            return Ok(Fate::Kept);
        }
        let age = row.age.unwrap_or_default();
        // Rows know their time modulo so many seconds: what was before the origin of time is after it, that much later.
        let heard = before(now, age.min(Duration::from_secs(u64::from(Value::TICKS / 2))), u64::from(Value::TICKS));
        let insert = |origin| match table.insert(row.segment, row.mac, to, origin, heard) {
            Ok(_) => Ok(Fate::Restored),
            Err(error) => Err(NotRestored::Insert(error)),
        };
        match row.state {
            RowState::Static => insert(Origin::Static),
            RowState::Registry => insert(Origin::Registry),
            RowState::Learned if options.ageing.is_some_and(|ageing| age.as_secs() >= ageing.as_secs()) => {
                Ok(Fate::Aged)
            }
            RowState::Learned => {
                let full = table.learned_len(row.segment) >= options.max_learned as usize || !table.has_room_to_learn();
                if full && row.mac.is_unicast() {
                    return Err(NotRestored::TableFull);
                }
                let Some(remote) = to.remote() else { return Err(NotRestored::LearnedNowhere) };
                match table.learn(row.segment, row.mac, remote, heard) {
                    Learn::New => Ok(Fate::Restored),
                    Learn::NotLearned(reason) => Err(NotRestored::Learn(reason)),
                    Learn::Refreshed | Learn::Moved { .. } | Learn::Owned { .. } => Ok(Fate::Kept),
                }
            }
        }
    }

    fn restore_neighbor(&self, row: &NeighborRow, now: Duration) -> Result<Fate, NotRestored> {
        let NeighborRow { segment, address, neighbor, age } = *row;
        let table = self.neighbors.ok_or(NotRestored::NoTable)?;
        if self.forwarding.segment_options(segment).is_none() {
            return Err(NotRestored::Insert(InsertError::UnknownSegment));
        }
        if table.lookup(segment, address).is_some() {
            return Ok(Fate::Kept);
        }
        if neighbor.state != NeighborState::Learned {
            return match table.insert(segment, address, neighbor) {
                Ok(_) => Ok(Fate::Restored),
                Err(error) => Err(NotRestored::InsertNeighbor(error)),
            };
        }
        let age = age.unwrap_or_default().min(Duration::from_secs(u64::from(u32::MAX / 2)));
        let heard = before(now, age, 1 << 32);
        match table.learn(segment, address, neighbor.mac, Some(neighbor.router), heard) {
            LearnNeighbor::New => Ok(Fate::Restored),
            LearnNeighbor::NotLearned(reason) => Err(NotRestored::LearnNeighbor(reason)),
            LearnNeighbor::Refreshed | LearnNeighbor::Moved { .. } | LearnNeighbor::Owned { .. } => Ok(Fate::Kept),
        }
    }
}

/// The time that was `age` before `now`, for those who know seconds modulo `modulus` only.
fn before(now: Duration, age: Duration, modulus: u64) -> Duration {
    Duration::from_secs((now.as_secs() % modulus + modulus).saturating_sub(age.as_secs()))
}
