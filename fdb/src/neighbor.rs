//! The neighbour table: which MAC address has this IP address.

use alloc::{boxed::Box, collections::BTreeMap, vec::Vec};
use core::{
    fmt,
    net::{IpAddr, Ipv6Addr},
    ops::Bound,
    time::Duration,
};

use overlay_types::MacAddr;
use thiserror::Error;

use crate::{
    dampening::Moves,
    extents::{self, Extents},
    hash::KeyedHash,
    index::Index,
    packed_address::PackedAddress,
    proxy::Asked,
    row::Origin,
    segment_id::SegmentId,
    sync::{Mutex, Ordering},
};

mod counters;
mod learn;
mod options;
mod record;

pub(crate) use counters::Counted;
pub use counters::NeighborCounters;
use counters::{CountPlaces, CountsBySegment};
pub use learn::{LearnNeighbor, NotLearnedNeighbor};
pub use options::NeighborOptions;
use options::SegmentRows;
use record::Record;

/// Who says that an IP address has a MAC address. The greater one prevails.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize), serde(rename_all = "snake_case"))]
pub enum NeighborState {
    /// ARP or Neighbor Discovery.
    Learned,
    /// The registry of the cluster.
    Registry,
    /// The configuration.
    Static,
}

impl From<Origin> for NeighborState {
    fn from(origin: Origin) -> Self {
        match origin {
            Origin::Registry => Self::Registry,
            Origin::Static => Self::Static,
        }
    }
}

/// What is known of an IP address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Neighbor {
    /// The MAC address that has it.
    pub mac: MacAddr,
    /// Who says so.
    pub state: NeighborState,
    /// `true` for a router (RFC 4861 §4.4, the R flag); for IPv6.
    pub router: bool,
}

impl Neighbor {
    /// A neighbour that is no router.
    #[must_use]
    pub fn new(mac: MacAddr, origin: Origin) -> Self {
        Self { mac, state: origin.into(), router: false }
    }
}

/// One row of the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct NeighborRow {
    /// The segment.
    pub segment: SegmentId,
    /// The IP address.
    pub address: IpAddr,
    /// What is known of it.
    pub neighbor: Neighbor,
    /// The time since it was last heard of, in whole seconds. `None` for a row that was not learned.
    pub age: Option<Duration>,
}

/// Why a neighbour was not inserted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum NeighborError {
    /// A group address or zero is nobody's.
    #[error("not the MAC address of a station")]
    InvalidMac,
    /// The unspecified address, a multicast or a broadcast one is no neighbour's.
    #[error("not the IP address of a neighbour")]
    InvalidAddress,
    /// The row belongs to one that is above the caller.
    #[error("the row belongs to the configuration, with {mac}")]
    OwnedByHigher {
        /// What it says.
        mac: MacAddr,
    },
    /// The table has as many rows as it was made for.
    #[error("no place for one more neighbour: {max} are known")]
    TableFull {
        /// How many there may be.
        max: u32,
    },
}

/// What only writers need.
#[derive(Default)]
struct Writer {
    rows: BTreeMap<(SegmentId, IpAddr), u32>,
    next: u32,
    free: Vec<u32>,
    /// Rows that were learned, of all segments.
    learned: u32,
    segments: BTreeMap<SegmentId, SegmentRows>,
    moves: Moves,
    /// Where the sweep goes on.
    sweep: u32,
    counted: CountPlaces,
}

/// Which MAC address has an IP address, for each segment.
///
/// [`lookup`](Self::lookup) takes no lock, never waits and never allocates.
///
/// ```
/// use fdb::{Neighbor, NeighborTable, Origin, SegmentId};
/// use overlay_types::MacAddr;
///
/// let neighbors = NeighborTable::new([7; 16], 65536);
/// let (blue, address) = (SegmentId::new(42).unwrap(), "10.42.0.2".parse()?);
/// let neighbor = Neighbor::new(MacAddr::new([2, 0, 0, 0, 0, 1]), Origin::Static);
/// neighbors.insert(blue, address, neighbor).unwrap();
/// assert_eq!(neighbors.lookup(blue, address), Some(neighbor));
/// # Ok::<(), core::net::AddrParseError>(())
/// ```
pub struct NeighborTable {
    max: u32,
    hash: KeyedHash,
    index: Index,
    records: Extents<Record, 8>,
    writer: Mutex<Writer>,
    pub(crate) asked: Asked,
    counts: CountsBySegment,
}

impl NeighborTable {
    /// A table of up to `max_neighbors` rows (2²⁴ at most), its hash keyed by `secret`.
    #[must_use]
    pub fn new(secret: [u8; 16], max_neighbors: u32) -> Self {
        let max = max_neighbors.min(1 << 24);
        Self {
            max,
            hash: KeyedHash::new(secret),
            index: Index::new(max),
            records: Extents::default(),
            writer: Mutex::default(),
            asked: Asked::default(),
            counts: CountsBySegment::default(),
        }
    }

    /// What is known of an IP address. Takes no lock and never waits.
    #[must_use]
    #[inline]
    pub fn lookup(&self, segment: SegmentId, address: IpAddr) -> Option<Neighbor> {
        self.find(segment, address).map(|(_, neighbor)| neighbor)
    }

    #[inline]
    fn find(&self, segment: SegmentId, address: IpAddr) -> Option<(u32, Neighbor)> {
        let (hash, tag) = self.hash_of(segment, address);
        let key = (segment, PackedAddress::from(address));
        self.index.find(hash, tag, |number| {
            let (segment, address, neighbor) = self.read(number)?;
            ((segment, address) == key).then_some((number, neighbor))
        })
    }

    /// Puts a row into the table. What it replaced.
    ///
    /// # Errors
    ///
    /// [`NeighborError::OwnedByHigher`] where a row of a state above the new one is there; the others by their names.
    pub fn insert(
        &self,
        segment: SegmentId,
        address: IpAddr,
        neighbor: Neighbor,
    ) -> Result<Option<Neighbor>, NeighborError> {
        if !neighbor.mac.is_unicast() {
            return Err(NeighborError::InvalidMac);
        }
        if !is_host(address) {
            return Err(NeighborError::InvalidAddress);
        }
        let mut writer = self.writer.lock();
        let before = self.owned_row(&writer, segment, address);
        if let Some((_, before)) = before.filter(|(_, before)| before.state > neighbor.state) {
            return Err(NeighborError::OwnedByHigher { mac: before.mac });
        }
        self.put(&mut writer, segment, address, neighbor, before.map(|(number, _)| number), Duration::ZERO)
            .map(|()| before.map(|(_, before)| before))
            .ok_or(NeighborError::TableFull { max: self.max })
    }

    /// The row of a key under the lock.
    fn owned_row(&self, writer: &Writer, segment: SegmentId, address: IpAddr) -> Option<(u32, Neighbor)> {
        let number = *writer.rows.get(&(segment, address))?;
        Some((number, self.read(number)?.2))
    }

    /// Writes a row, to its place or to a new one. `None` where there is no place.
    fn put(
        &self,
        writer: &mut Writer,
        segment: SegmentId,
        address: IpAddr,
        neighbor: Neighbor,
        number: Option<u32>,
        now: Duration,
    ) -> Option<()> {
        let learned = u32::from(neighbor.state == NeighborState::Learned);
        if let Some(number) = number {
            let record = self.records.get(number as usize)?;
            let before = self.is_learned(number);
            writer.count_learned(segment, before, learned);
            record.set(address, neighbor);
            self.hear(number, now);
            return Some(());
        }
        let number = match writer.free.last() {
            Some(&number) => number,
            None => (writer.next < self.max).then_some(writer.next)?,
        };
        let make = |length| -> Box<[Record]> { extents::defaults(length) };
        let record = self.records.get_or_grow(number as usize, make)?;
        record.fill(segment, address, neighbor);
        self.hear(number, now);
        let (hash, tag) = self.hash_of(segment, address);
        if !self.index.insert(hash, tag, number) {
            record.clear();
            return None;
        }
        if writer.free.pop().is_none() {
            writer.next += 1;
        }
        writer.count_learned(segment, 0, learned);
        self.counts.open(&mut writer.counted, segment);
        writer.moves.forget(u64::from(number));
        writer.rows.insert((segment, address), number);
        Some(())
    }

    fn is_learned(&self, number: u32) -> u32 {
        u32::from(self.read(number).is_some_and(|(_, _, neighbor)| neighbor.state == NeighborState::Learned))
    }

    /// Writes the second of a packet, once.
    fn hear(&self, number: u32, now: Duration) {
        let second = now.as_secs() as u32;
        if let Some(record) = self.records.get(number as usize).filter(|it| it.heard.load(Ordering::Relaxed) != second)
        {
            record.heard.store(second, Ordering::Relaxed);
        }
    }

    /// Removes a row, whoever put it there. What it was.
    pub fn remove(&self, segment: SegmentId, address: IpAddr) -> Option<Neighbor> {
        let mut writer = self.writer.lock();
        let number = writer.rows.remove(&(segment, address))?;
        let before = self.read(number).map(|(_, _, neighbor)| neighbor);
        self.give_back(&mut writer, segment, address, number);
        before
    }

    /// Removes all rows of a segment, and its counters.
    pub fn remove_segment(&self, segment: SegmentId) {
        let mut writer = self.writer.lock();
        let keys = writer.rows.range(Self::all_of(segment)).map(|(&(_, address), &number)| (address, number));
        let keys: Vec<(IpAddr, u32)> = keys.collect();
        for (address, number) in keys {
            writer.rows.remove(&(segment, address));
            self.give_back(&mut writer, segment, address, number);
        }
        self.counts.close(&mut writer.counted, segment);
        writer.segments.remove(&segment);
    }

    /// The number of rows of a segment.
    #[must_use]
    pub fn len(&self, segment: SegmentId) -> usize {
        self.writer.lock().rows.range(Self::all_of(segment)).count()
    }

    /// `true` for a segment without rows.
    #[must_use]
    pub fn is_empty(&self, segment: SegmentId) -> bool {
        self.len(segment) == 0
    }

    /// Up to `limit` rows after one (from the first on: `None`), in the order of segments and addresses, IPv4 first. The
    /// key of the last row of a page is where the next one begins.
    #[must_use]
    pub fn page(&self, after: Option<(SegmentId, IpAddr)>, limit: usize, now: Duration) -> Vec<NeighborRow> {
        let from = after.map_or(Bound::Unbounded, Bound::Excluded);
        let writer = self.writer.lock();
        let rows = writer.rows.range((from, Bound::Unbounded)).take(limit);
        rows.filter_map(|(&(segment, address), &number)| {
            let (_, _, neighbor) = self.read(number)?;
            let age = (neighbor.state == NeighborState::Learned).then(|| self.age_of(number, now));
            Some(NeighborRow { segment, address, neighbor, age })
        })
        .collect()
    }

    /// The time since a row was last heard of. None where another thread, whose time is a little later, has just heard.
    fn age_of(&self, number: u32, now: Duration) -> Duration {
        let heard = self.records.get(number as usize).map_or(0, |record| record.heard.load(Ordering::Relaxed));
        let age = (now.as_secs() as u32).wrapping_sub(heard);
        Duration::from_secs(if age > u32::MAX / 2 { 0 } else { age.into() })
    }

    fn all_of(segment: SegmentId) -> core::ops::RangeInclusive<(SegmentId, IpAddr)> {
        let first = IpAddr::V4(core::net::Ipv4Addr::UNSPECIFIED);
        let last = IpAddr::V6(Ipv6Addr::from_bits(u128::MAX));
        (segment, first)..=(segment, last)
    }

    fn give_back(&self, writer: &mut Writer, segment: SegmentId, address: IpAddr, number: u32) {
        writer.count_learned(segment, self.is_learned(number), 0);
        let (hash, tag) = self.hash_of(segment, address);
        self.index.remove(hash, tag, number);
        if let Some(record) = self.records.get(number as usize) {
            record.clear();
        }
        writer.free.push(number);
    }

    #[inline]
    fn read(&self, number: u32) -> Option<(SegmentId, PackedAddress, Neighbor)> {
        self.records.get(number as usize)?.read()
    }

    #[inline]
    pub(crate) fn hash_of(&self, segment: SegmentId, address: IpAddr) -> (u64, u32) {
        let PackedAddress { words: [high, low], v6 } = address.into();
        let hash = self.hash.words([high, low, u64::from(segment.get()) << 1 | u64::from(v6)]);
        (hash, (hash >> 16) as u32 | 1)
    }
}

impl fmt::Debug for NeighborTable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NeighborTable").field("max", &self.max).finish_non_exhaustive()
    }
}

/// `true` for an address that one host may have.
fn is_host(address: IpAddr) -> bool {
    !address.is_unspecified() && !address.is_multicast() && address != IpAddr::V4(core::net::Ipv4Addr::BROADCAST)
}
