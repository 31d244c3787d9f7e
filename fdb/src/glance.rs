//! The short way to a row: what is read at a glance, as most rows are. For the others there is
//! [`resolve`](ForwardingTable::resolve).
//!
//! It is apart so that it is short and calls next to nothing.

use crate::{
    buckets::AtHand,
    forward::ForwardingTable,
    groups::Groups,
    row::Forward,
    segment::Segment,
    segment_id::SegmentId,
    slot::{Bucket, Hit},
};

/// What lookups in one segment need, read once for all that are done at a time.
#[derive(Clone, Copy)]
pub(crate) struct Glance<'a> {
    id: SegmentId,
    segment: &'a Segment,
    buckets: AtHand<'a>,
    groups: &'a Groups,
}

impl<'a> Glance<'a> {
    /// Nothing for a segment that takes longer to come by, or that is not there.
    #[inline]
    pub(crate) fn at(table: &'a ForwardingTable, id: SegmentId) -> Option<Self> {
        let segment = table.segment_at_hand(id)?;
        Some(Self { id, segment, buckets: segment.rows.at_hand()?, groups: &table.groups })
    }

    /// The bucket where the row of a hash is in most cases.
    #[inline]
    pub(crate) fn bucket(self, hash: u64) -> Option<Bucket<'a>> {
        self.buckets.get(hash)
    }

    /// The row of a key in its likely bucket, if it is certain what it says. It holds if [`still`](Self::still) says so
    /// afterwards.
    #[inline]
    pub(crate) fn row(self, bucket: Bucket<'a>, key: u64) -> Option<(Hit<'a>, Forward)> {
        self.certain(bucket.find(key)?)
    }

    /// As [`row`](Self::row), for a row that is away.
    fn row_away(self, key: u64, hash: u64) -> Option<(Hit<'a>, Forward)> {
        self.certain(self.segment.rows.find_away(hash, key)?)
    }

    #[inline]
    fn certain(self, hit: Hit<'a>) -> Option<(Hit<'a>, Forward)> {
        let head = self.groups.at_hand(hit.value.group())?;
        // A group may be given to others once its rows are gone: what the row says holds if the row is still there after
        // its group was asked.
        if head >= self.segment.surely_live() && hit.untouched() { Some((hit, head.forward())) } else { None }
    }

    /// `true` if the place of the segment is still that of this segment, and no flush of a remote is to be looked for.
    #[inline]
    pub(crate) fn still(self) -> bool {
        self.groups.pending() == 0 && self.segment.id() == self.id.get()
    }
}

impl ForwardingTable {
    /// The row of a key where it is found at a glance.
    // Left to itself the compiler makes it a function that answers in memory, for a third of the time of a lookup.
    #[allow(clippy::inline_always)]
    #[inline(always)]
    pub(crate) fn glance(&self, segment: SegmentId, key: u64, hash: u64) -> Option<(Hit<'_>, Forward)> {
        let glance = Glance::at(self, segment)?;
        let row = glance.row(glance.bucket(hash)?, key)?;
        if glance.still() { Some(row) } else { None }
    }

    /// What [`glance`](Self::glance) missed: a row that is away, or that takes the long way.
    pub(crate) fn look(&self, segment: SegmentId, key: u64, hash: u64) -> Option<(Hit<'_>, Forward)> {
        let glance = Glance::at(self, segment);
        let away = glance.and_then(|glance| Some((glance, glance.row_away(key, hash)?)));
        away.filter(|(glance, _)| glance.still()).map(|(_, row)| row).or_else(|| self.resolve(segment, key, hash))
    }
}
