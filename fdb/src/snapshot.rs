//! What the tables hold, as a value: to be kept over a restart, or to be handed to another process.

use alloc::{
    collections::{BTreeMap, BTreeSet},
    vec::Vec,
};
use core::time::Duration;

use crate::{
    equal_cost::{EqualCostId, EqualCostMember, EqualCostTable},
    forward::ForwardingTable,
    neighbor::{NeighborRow, NeighborState, NeighborTable},
    page::{Cursor, Row},
    remote::{Remote, RemoteId, RemoteTable},
    row::RowState,
    segment::SegmentOptions,
    segment_id::SegmentId,
};

mod restore;

pub use restore::{NotRestored, Refused, RestoreError, RestoreLimits, Restored};

/// Rows of one page: each costs a pass over its segment.
const PAGE: usize = 1 << 16;

/// The tables that a [`Snapshot`] is taken of, and restored to.
#[derive(Clone, Copy, Debug)]
pub struct Tables<'a> {
    /// The forwarding table.
    pub forwarding: &'a ForwardingTable,
    /// The remotes; `None` where their numbers are something else's, such as the ports of a switch, and stay as they are.
    pub remotes: Option<&'a RemoteTable>,
    /// The neighbours.
    pub neighbors: Option<&'a NeighborTable>,
    /// The equal-cost groups.
    pub equal_cost: Option<&'a EqualCostTable>,
}

/// What the tables held at some time: segments with their rules, remotes, equal-cost groups, and rows with their ages.
///
/// A plain value. With the feature `serde` it is what is written and read; the field names are those of the types here.
/// It holds no secret and no counters.
///
/// ```
/// use core::{net::IpAddr, time::Duration};
/// use fdb::{ForwardingTable, Remote, RemoteTable, RestoreLimits, SegmentId, SegmentOptions, TableOptions, Tables};
/// use overlay_types::MacAddr;
///
/// let (table, remotes) = (ForwardingTable::new(TableOptions::new([7; 16])), RemoteTable::new([7; 16], 1024));
/// let (blue, mac) = (SegmentId::new(42).unwrap(), MacAddr::new([2, 0, 0, 0, 0, 1]));
/// table.add_segment(blue, SegmentOptions::default());
/// let remote = remotes.intern("192.0.2.1".parse()?, Duration::ZERO)?;
/// let _ = table.learn(blue, mac, remote, Duration::ZERO);
/// let snapshot = Tables { remotes: Some(&remotes), ..Tables::new(&table) }.snapshot(Duration::from_secs(100));
///
/// // Another process: another secret, another origin of time, other numbers. The row is 100 seconds old.
/// let (table, remotes) = (ForwardingTable::new(TableOptions::new([8; 16])), RemoteTable::new([8; 16], 1024));
/// remotes.insert(Remote::new("192.0.2.9".parse()?))?;
/// let tables = Tables { remotes: Some(&remotes), ..Tables::new(&table) };
/// let restored = tables.restore(&snapshot, RestoreLimits::default(), Duration::from_secs(5))?;
/// assert_eq!((restored.rows, restored.refused.len()), (1, 0));
/// let forward = table.lookup(blue, mac).unwrap();
/// assert_eq!(remotes.get(forward.remote().unwrap()).unwrap().address, "192.0.2.1".parse::<IpAddr>()?);
/// assert_eq!(table.age(Duration::from_secs(204), usize::MAX), 0);
/// assert_eq!(table.age(Duration::from_secs(205), usize::MAX), 1);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[cfg_attr(
    feature = "serde",
    doc = "
As JSON:

```
use fdb::{RestoreLimits, Snapshot, Tables, ForwardingTable, TableOptions};

let text = r#\"{
  \"version\": 1,
  \"segments\": [
    {\"segment\": 42, \"options\": {\"max_learned\": 8192, \"ageing\": {\"secs\": 300, \"nanos\": 0}, \"dampening\": null}}
  ],
  \"remotes\": [
    {\"id\": 3, \"remote\": {\"address\": \"192.0.2.1\", \"port\": null, \"vni\": null}, \"pins\": 1, \"path_mtu\": 1450}
  ],
  \"groups\": [{\"id\": 0, \"members\": [{\"remote\": 3, \"weight\": 1}]}],
  \"rows\": [
    {\"segment\": 42, \"mac\": \"02:00:00:00:00:01\", \"to\": {\"remote\": 3}, \"state\": \"learned\", \"age\": {\"secs\": 9, \"nanos\": 0}}
  ],
  \"neighbors\": [
    {
      \"segment\": 42,
      \"address\": \"10.42.0.2\",
      \"neighbor\": {\"mac\": \"02:00:00:00:00:01\", \"state\": \"static\", \"router\": false},
      \"age\": null
    }
  ]
}\"#;
let snapshot: Snapshot = serde_json::from_str(text)?;
assert_eq!(serde_json::to_value(&snapshot)?, serde_json::from_str::<serde_json::Value>(text)?);
# Ok::<(), Box<dyn std::error::Error>>(())
```
"
)]
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize), serde(deny_unknown_fields))]
pub struct Snapshot {
    /// The form that it has: [`VERSION`](Self::VERSION).
    pub version: u32,
    /// The segments.
    pub segments: Vec<SnapshotSegment>,
    /// The remotes, by the numbers that groups and rows name.
    pub remotes: Vec<SnapshotRemote>,
    /// The equal-cost groups.
    pub groups: Vec<SnapshotGroup>,
    /// The forwarding rows.
    pub rows: Vec<Row>,
    /// The neighbours.
    pub neighbors: Vec<NeighborRow>,
}

impl Snapshot {
    /// The form that this version of the crate writes and reads.
    pub const VERSION: u32 = 1;

    /// Lets time pass: the rows get older by as much. For a caller who knows how long it was from the snapshot to the
    /// restart; without it the ages go on as if no time had passed.
    pub fn pass(&mut self, time: Duration) {
        let rows = self.rows.iter_mut().map(|row| &mut row.age);
        for age in rows.chain(self.neighbors.iter_mut().map(|row| &mut row.age)).flatten() {
            *age = age.saturating_add(time);
        }
    }

    /// Leaves what was learned, and nothing that configuration or registry say: for a caller who reads those again. The
    /// remotes are not pinned any more, and the groups go.
    pub fn retain_learned(&mut self) {
        self.rows.retain(|row| row.state == RowState::Learned);
        self.neighbors.retain(|row| row.neighbor.state == NeighborState::Learned);
        self.groups.clear();
        for remote in &mut self.remotes {
            remote.pins = 0;
        }
    }
}

impl Default for Snapshot {
    /// Of empty tables.
    fn default() -> Self {
        Self {
            version: Self::VERSION,
            segments: Vec::new(),
            remotes: Vec::new(),
            groups: Vec::new(),
            rows: Vec::new(),
            neighbors: Vec::new(),
        }
    }
}

/// A segment in a [`Snapshot`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize), serde(deny_unknown_fields))]
pub struct SnapshotSegment {
    /// The segment.
    pub segment: SegmentId,
    /// Its rules.
    pub options: SegmentOptions,
}

/// A remote in a [`Snapshot`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize), serde(deny_unknown_fields))]
pub struct SnapshotRemote {
    /// Its number here. It may get another one where it is restored.
    pub id: RemoteId,
    /// What it is.
    pub remote: Remote,
    /// How many [`insert`](RemoteTable::insert)s hold it; 0 for one that only packets brought.
    pub pins: u32,
    /// The largest packet that reaches it, where that is known.
    pub path_mtu: Option<u16>,
}

/// An equal-cost group in a [`Snapshot`].
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize), serde(deny_unknown_fields))]
pub struct SnapshotGroup {
    /// Its number here. It may get another one where it is restored.
    pub id: EqualCostId,
    /// Its members.
    pub members: Vec<EqualCostMember>,
}

impl<'a> Tables<'a> {
    /// The forwarding table alone.
    #[must_use]
    pub const fn new(forwarding: &'a ForwardingTable) -> Self {
        Self { forwarding, remotes: None, neighbors: None, equal_cost: None }
    }

    /// What the tables hold. Traffic goes on: a row that is there all the time is in the snapshot once, one that comes or
    /// goes meanwhile may be in it, and each leads to the remote that it led to.
    #[must_use]
    pub fn snapshot(self, now: Duration) -> Snapshot {
        let segments = (self.forwarding.segments().into_iter()).filter_map(|segment| {
            Some(SnapshotSegment { segment, options: self.forwarding.segment_options(segment)? })
        });
        let segments: Vec<SnapshotSegment> = segments.collect();
        let before = self.known_remotes();
        let mut rows: Vec<Row> = Vec::new();
        let mut cursor = Some(Cursor::default());
        while let Some(from) = cursor {
            let (page, next) = self.forwarding.page(from, PAGE, now);
            rows.extend(page);
            cursor = next;
        }
        let mut groups: Vec<SnapshotGroup> = self.equal_cost.map_or_else(Vec::new, |table| {
            let group = |id| Some(SnapshotGroup { id, members: table.members(id)? });
            table.ids().into_iter().filter_map(group).collect()
        });
        let mut neighbors: Vec<NeighborRow> = Vec::new();
        if let Some(table) = self.neighbors {
            loop {
                let page = table.page(neighbors.last().map(|row| (row.segment, row.address)), PAGE, now);
                if page.is_empty() {
                    break;
                }
                neighbors.extend(page);
            }
        }
        // A number may have been given to another remote while the rows were read.
        let mut remotes = self.known_remotes();
        remotes.retain(|id, remote| before.get(id).is_some_and(|before| before.remote == remote.remote));
        if self.remotes.is_some() {
            rows.retain(|row| row.to.remote().is_none_or(|remote| remotes.contains_key(&remote)));
            for group in &mut groups {
                group.members.retain(|member| remotes.contains_key(&member.remote));
            }
        }
        // A segment may have come or gone, too.
        let known: BTreeSet<SegmentId> = segments.iter().map(|segment| segment.segment).collect();
        rows.retain(|row| known.contains(&row.segment));
        let remotes = remotes.into_values().collect();
        Snapshot { version: Snapshot::VERSION, segments, remotes, groups, rows, neighbors }
    }

    fn known_remotes(&self) -> BTreeMap<RemoteId, SnapshotRemote> {
        let Some(table) = self.remotes else { return BTreeMap::new() };
        let remote = |id| {
            let remote = table.get(id)?;
            Some((id, SnapshotRemote { id, remote, pins: table.pins(id), path_mtu: table.path_mtu(id) }))
        };
        table.ids().into_iter().filter_map(remote).collect()
    }
}

#[cfg(test)]
mod tests;
