//! The remotes: other VTEPs, by number.

use alloc::{boxed::Box, collections::BTreeMap, vec::Vec};
use core::{fmt, net::IpAddr, time::Duration};

use overlay_types::Vni;
use thiserror::Error;

use crate::{
    extents::{self, Extents},
    hash::KeyedHash,
    index::Index,
    packed_address::PackedAddress,
    sync::{AtomicU32, AtomicU64, Mutex, Ordering},
};

/// The number of a remote: its place in a [`RemoteTable`].
///
/// A [`ForwardingTable`](crate::ForwardingTable) keeps nothing but numbers, so that a switch may use the numbers of its
/// ports just as well.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RemoteId(u32);

impl RemoteId {
    /// The largest number, 2²⁴ − 2.
    pub const MAX: Self = Self(0xff_fffe);

    /// The remote `value`, or `None` above [`MAX`](Self::MAX).
    #[must_use]
    pub const fn new(value: u32) -> Option<Self> {
        if value <= Self::MAX.0 { Some(Self(value)) } else { None }
    }

    /// The number.
    #[must_use]
    pub const fn get(self) -> u32 {
        self.0
    }

    /// The number that is in a table, where none but those of remotes are.
    pub(crate) const fn from_stored(value: u32) -> Self {
        Self(value)
    }
}

impl fmt::Debug for RemoteId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RemoteId({})", self.0)
    }
}

/// Another VTEP: where to send to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Remote {
    /// Its address on the underlay.
    pub address: IpAddr,
    /// Its UDP port, where it is not the one of the segment.
    pub port: Option<u16>,
    /// The VNI to send to it with, where it is not the one of the segment.
    pub vni: Option<Vni>,
}

impl Remote {
    /// A remote with the port and the VNI of the segment.
    #[must_use]
    pub const fn new(address: IpAddr) -> Self {
        Self { address, port: None, vni: None }
    }
}

/// What went to a remote and came from it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct RemoteStatistics {
    /// Packets sent to it.
    pub tx_packets: u64,
    /// Packets received from it.
    pub rx_packets: u64,
    /// When the last one was received, in the time of the caller; to the millisecond.
    pub last_heard: Option<Duration>,
}

/// The table of remotes has no place for one more.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("no place for one more remote: {max} are known")]
pub struct RemoteTableFull {
    /// How many of this kind there may be: all of them for [`RemoteTable::insert`], three quarters of that for
    /// [`RemoteTable::intern`].
    pub max: u32,
}

/// One remote. The first line is what packets need, the second what they count.
#[derive(Default)]
#[repr(C, align(64))]
struct Record {
    /// `tag(16) present(1) v6(1) has_port(1) has_vni(1) …(4) vni(24) port(16)`: one word, changed in one store.
    meta: AtomicU64,
    address: [AtomicU64; 2],
    pins: AtomicU32,
    path_mtu: AtomicU32,
    /// Milliseconds of the time when it became known, plus one.
    known: AtomicU64,
    counted: Counted,
}

#[derive(Default)]
#[repr(C, align(64))]
struct Counted {
    tx_packets: AtomicU64,
    rx_packets: AtomicU64,
    /// Milliseconds of the time of the last packet received, plus one; 0 for none.
    last_heard: AtomicU64,
}

const PRESENT: u64 = 1 << 47;
const V6: u64 = 1 << 46;
const HAS_PORT: u64 = 1 << 45;
const HAS_VNI: u64 = 1 << 44;
const TAG: u32 = 48;

fn millis(now: Duration) -> u64 {
    u64::try_from(now.as_millis()).unwrap_or(u64::MAX - 1).saturating_add(1)
}

/// What is known of the time in a word of milliseconds plus one.
fn time(millis: u64) -> Option<Duration> {
    millis.checked_sub(1).map(Duration::from_millis)
}

impl Record {
    /// The remote here. `None` where there is none, and while the place changes hands.
    fn read(&self) -> Option<Remote> {
        let meta = self.meta.load(Ordering::Acquire);
        if meta & PRESENT == 0 {
            return None;
        }
        let words = [self.address[0].load(Ordering::Acquire), self.address[1].load(Ordering::Acquire)];
        let again = self.meta.load(Ordering::Acquire);
        if again >> TAG != meta >> TAG || again & PRESENT == 0 {
            return None;
        }
        Some(Remote {
            address: PackedAddress { words, v6: meta & V6 != 0 }.unpack(),
            port: (meta & HAS_PORT != 0).then_some(meta as u16),
            vni: if meta & HAS_VNI == 0 { None } else { Vni::new((meta >> 16) as u32 & 0xff_ffff) },
        })
    }

    fn meta(remote: Remote, tag: u64) -> u64 {
        let port = remote.port.map_or(0, |port| HAS_PORT | u64::from(port));
        let vni = remote.vni.map_or(0, |vni| HAS_VNI | u64::from(vni.get()) << 16);
        let v6 = if remote.address.is_ipv6() { V6 } else { 0 };
        tag << TAG | PRESENT | v6 | port | vni
    }

    /// Puts a remote into this free place.
    fn fill(&self, remote: Remote, now: u64) {
        let tag = (self.meta.load(Ordering::Relaxed) >> TAG).wrapping_add(1) & 0xffff;
        let [high, low] = PackedAddress::from(remote.address).words;
        self.address[0].store(high, Ordering::Release);
        self.address[1].store(low, Ordering::Release);
        self.pins.store(0, Ordering::Relaxed);
        self.path_mtu.store(0, Ordering::Relaxed);
        self.known.store(now, Ordering::Relaxed);
        self.counted.tx_packets.store(0, Ordering::Relaxed);
        self.counted.rx_packets.store(0, Ordering::Relaxed);
        self.counted.last_heard.store(0, Ordering::Relaxed);
        self.meta.store(Self::meta(remote, tag), Ordering::Release);
    }

    fn set(&self, remote: Remote) {
        let tag = self.meta.load(Ordering::Relaxed) >> TAG;
        self.meta.store(Self::meta(remote, tag), Ordering::Release);
    }

    fn clear(&self) {
        let tag = (self.meta.load(Ordering::Relaxed) >> TAG).wrapping_add(1) & 0xffff;
        self.meta.store(tag << TAG, Ordering::Release);
    }

    /// Milliseconds, plus one, of when it was last known to be there.
    fn fresh(&self) -> u64 {
        self.known.load(Ordering::Relaxed).max(self.counted.last_heard.load(Ordering::Relaxed))
    }
}

/// What only writers need.
#[derive(Default)]
struct Writer {
    /// Numbers that were given out so far.
    numbers: u32,
    /// Numbers that are free again.
    free: Vec<u32>,
    /// Remotes without a pin.
    unpinned: u32,
    /// Remotes that `reclaim` took out of the index and will forget: no packet finds them any more, those that did
    /// have the time until the next call to use what they found.
    leaving: BTreeMap<IpAddr, u32>,
}

/// Remotes by address and by number.
///
/// What each packet needs takes no lock and never waits: [`id_of`](Self::id_of), [`get`](Self::get) and the counters.
/// There are never more than `max_remotes`; those that packets brought ([`intern`](Self::intern)) take at most three
/// quarters, so that senders who are made up can't shut out those of the configuration.
///
/// ```
/// use core::{net::IpAddr, time::Duration};
/// use fdb::{Remote, RemoteTable};
///
/// let remotes = RemoteTable::new([7; 16], 1024);
/// let address: IpAddr = "192.0.2.2".parse()?;
/// let configured = remotes.insert(Remote::new(address))?;
/// assert_eq!(remotes.id_of(address), Some(configured));
/// assert_eq!(remotes.intern(address, Duration::ZERO), Ok(configured));
/// assert_eq!(remotes.get(configured), Some(Remote::new(address)));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct RemoteTable {
    max: u32,
    hash: KeyedHash,
    index: Index,
    records: Extents<Record, 8>,
    writer: Mutex<Writer>,
}

impl RemoteTable {
    /// A table of up to `max_remotes` remotes (16,777,215 at most), its hash keyed by `secret`.
    #[must_use]
    pub fn new(secret: [u8; 16], max_remotes: u32) -> Self {
        let max = max_remotes.min(RemoteId::MAX.0 + 1);
        Self {
            max,
            hash: KeyedHash::new(secret),
            index: Index::new(max),
            records: Extents::default(),
            writer: Mutex::new(Writer::default()),
        }
    }

    /// A remote by configuration: it stays until each `insert` of its address is undone by a [`release`](Self::release).
    ///
    /// A remote that is known keeps its number; the port and the VNI given last hold.
    ///
    /// # Errors
    ///
    /// [`RemoteTableFull`] where the table has its `max_remotes`.
    pub fn insert(&self, remote: Remote) -> Result<RemoteId, RemoteTableFull> {
        let mut writer = self.writer.lock();
        let id = match self.known(&mut writer, remote.address) {
            Some(id) => id,
            None => self.add(&mut writer, remote, 0, self.max)?,
        };
        if let Some(record) = self.record(id) {
            record.set(remote);
            if record.pins.fetch_add(1, Ordering::Relaxed) == 0 {
                writer.unpinned = writer.unpinned.saturating_sub(1);
            }
        }
        Ok(id)
    }

    /// A remote of a snapshot, with so many pins more. One that is known stays what it is.
    pub(crate) fn restore(&self, remote: Remote, pins: u32, now: Duration) -> Result<RemoteId, RemoteTableFull> {
        let mut writer = self.writer.lock();
        let id = match self.known(&mut writer, remote.address) {
            Some(id) => id,
            None if pins > 0 => self.add(&mut writer, remote, millis(now), self.max)?,
            None => self.add_unpinned(&mut writer, remote, now)?,
        };
        if let Some(record) = self.record(id).filter(|_| pins > 0) {
            let before = record.pins.load(Ordering::Relaxed);
            // No configuration comes near, and none can make it overflow.
            record.pins.store(before.saturating_add(pins).min(u32::MAX / 2), Ordering::Relaxed);
            if before == 0 {
                writer.unpinned = writer.unpinned.saturating_sub(1);
            }
        }
        Ok(id)
    }

    /// Undoes one [`insert`](Self::insert). A remote that no one pins is forgotten by [`reclaim`](Self::reclaim).
    pub fn release(&self, id: RemoteId) {
        let mut writer = self.writer.lock();
        let Some(record) = self.record(id).filter(|record| record.read().is_some()) else { return };
        match record.pins.load(Ordering::Relaxed) {
            0 => {}
            1 => {
                record.pins.store(0, Ordering::Relaxed);
                writer.unpinned += 1;
            }
            pins => record.pins.store(pins - 1, Ordering::Relaxed),
        }
    }

    /// The number of a remote that sent a packet; a new one where it is not known. Takes a lock only then.
    ///
    /// # Errors
    ///
    /// [`RemoteTableFull`] where unpinned remotes have their three quarters of the table, or the table is full.
    pub fn intern(&self, address: IpAddr, now: Duration) -> Result<RemoteId, RemoteTableFull> {
        if let Some(id) = self.id_of(address) {
            return Ok(id);
        }
        let mut writer = self.writer.lock();
        if let Some(id) = self.known(&mut writer, address) {
            if let Some(record) = self.record(id) {
                record.known.fetch_max(millis(now), Ordering::Relaxed);
            }
            return Ok(id);
        }
        self.add_unpinned(&mut writer, Remote::new(address), now)
    }

    /// The number of an address. Takes no lock.
    #[must_use]
    #[inline]
    pub fn id_of(&self, address: IpAddr) -> Option<RemoteId> {
        let (hash, tag) = self.hash_of(address);
        self.index.find(hash, tag, |number| {
            let remote = self.record(RemoteId(number))?.read()?;
            (remote.address == address).then_some(RemoteId(number))
        })
    }

    /// The remote with this number. Takes no lock.
    #[must_use]
    #[inline]
    pub fn get(&self, id: RemoteId) -> Option<Remote> {
        self.record(id)?.read()
    }

    /// `true` for a remote of the configuration: one that was inserted and not yet released. Takes no lock.
    #[must_use]
    #[inline]
    pub fn is_pinned(&self, id: RemoteId) -> bool {
        self.record(id).is_some_and(|record| record.pins.load(Ordering::Relaxed) != 0)
    }

    /// How many inserts hold a remote.
    pub(crate) fn pins(&self, id: RemoteId) -> u32 {
        self.record(id).map_or(0, |record| record.pins.load(Ordering::Relaxed))
    }

    /// Forgets remotes that no one pins, that were not heard for `idle`, and that `in_use` denies.
    ///
    /// It takes two calls: the first one hides the remote from [`id_of`](Self::id_of), the next one gives its number
    /// away. A packet that asked just before the first has until then to put the number into a table, where `in_use`
    /// sees it. Call it every now and then, not twice in a row.
    pub fn reclaim(&self, now: Duration, idle: Duration, in_use: impl Fn(RemoteId) -> bool) {
        let mut writer = self.writer.lock();
        let leaving = core::mem::take(&mut writer.leaving);
        for (address, number) in leaving {
            let id = RemoteId(number);
            if in_use(id) {
                // No place for it is as good as not known: it comes back with its next packet.
                let (hash, tag) = self.hash_of(address);
                if !self.index.insert(hash, tag, number) {
                    writer.leaving.insert(address, number);
                }
            } else if let Some(record) = self.record(id) {
                record.clear();
                writer.unpinned = writer.unpinned.saturating_sub(1);
                writer.free.push(number);
            }
        }
        let before = millis(now.saturating_sub(idle));
        for number in 0..writer.numbers {
            let id = RemoteId(number);
            let Some(record) = self.record(id) else { continue };
            let Some(remote) = record.read() else { continue };
            let silent = record.pins.load(Ordering::Relaxed) == 0 && record.fresh() <= before && now >= idle;
            if silent && !writer.leaving.contains_key(&remote.address) && !in_use(id) {
                let (hash, tag) = self.hash_of(remote.address);
                self.index.remove(hash, tag, number);
                writer.leaving.insert(remote.address, number);
            }
        }
    }

    /// Counts packets sent to a remote.
    #[inline]
    pub fn record_sent(&self, id: RemoteId, packets: u64) {
        if let Some(record) = self.record(id) {
            record.counted.tx_packets.fetch_add(packets, Ordering::Relaxed);
        }
    }

    /// Counts packets received from a remote, the last of them `now`.
    // As in [`ForwardingTable::learn`](crate::ForwardingTable::learn).
    #[allow(clippy::inline_always)]
    #[inline(always)]
    pub fn record_received(&self, id: RemoteId, packets: u64, now: Duration) {
        if let Some(record) = self.record(id) {
            record.counted.rx_packets.fetch_add(packets, Ordering::Relaxed);
            let now = millis(now);
            if record.counted.last_heard.load(Ordering::Relaxed) < now {
                record.counted.last_heard.store(now, Ordering::Relaxed);
            }
        }
    }

    /// Sets what is known of the largest packet that reaches a remote, in bytes of the underlay; `None` for nothing.
    pub fn set_path_mtu(&self, id: RemoteId, mtu: Option<u16>) {
        if let Some(record) = self.record(id) {
            record.path_mtu.store(mtu.map_or(0, |mtu| u32::from(mtu) + 1), Ordering::Relaxed);
        }
    }

    /// The largest packet that reaches a remote, in bytes of the underlay, where that is known. Takes no lock.
    #[must_use]
    #[inline]
    pub fn path_mtu(&self, id: RemoteId) -> Option<u16> {
        self.record(id)?.path_mtu.load(Ordering::Relaxed).checked_sub(1).map(|mtu| mtu as u16)
    }

    /// What went to a remote and came from it since it is known.
    #[must_use]
    pub fn statistics(&self, id: RemoteId) -> RemoteStatistics {
        self.record(id).map_or_else(RemoteStatistics::default, |record| RemoteStatistics {
            tx_packets: record.counted.tx_packets.load(Ordering::Relaxed),
            rx_packets: record.counted.rx_packets.load(Ordering::Relaxed),
            last_heard: time(record.counted.last_heard.load(Ordering::Relaxed)),
        })
    }

    /// The numbers of all remotes, in order.
    #[must_use]
    pub fn ids(&self) -> Vec<RemoteId> {
        let numbers = self.writer.lock().numbers;
        (0..numbers).map(RemoteId).filter(|&id| self.get(id).is_some()).collect()
    }

    #[inline]
    fn record(&self, id: RemoteId) -> Option<&Record> {
        self.records.get(id.0 as usize)
    }

    #[inline]
    fn hash_of(&self, address: IpAddr) -> (u64, u32) {
        let packed = PackedAddress::from(address);
        let hash = self.hash.words([packed.words[0], packed.words[1], u64::from(packed.v6)]);
        // Bits that do not choose the lines; never zero.
        (hash, (hash >> 16) as u32 | 1)
    }

    /// The number of an address under the lock, called back where it was about to leave.
    fn known(&self, writer: &mut Writer, address: IpAddr) -> Option<RemoteId> {
        if let Some(id) = self.id_of(address) {
            return Some(id);
        }
        let number = *writer.leaving.get(&address)?;
        let (hash, tag) = self.hash_of(address);
        if self.index.insert(hash, tag, number) {
            writer.leaving.remove(&address);
            return Some(RemoteId(number));
        }
        None
    }

    /// A new remote that packets brought.
    fn add_unpinned(&self, writer: &mut Writer, remote: Remote, now: Duration) -> Result<RemoteId, RemoteTableFull> {
        let max = self.max - self.max / 4;
        if writer.unpinned >= max {
            return Err(RemoteTableFull { max });
        }
        self.add(writer, remote, millis(now), max)
    }

    /// A new remote, without a pin.
    fn add(&self, writer: &mut Writer, remote: Remote, now: u64, max: u32) -> Result<RemoteId, RemoteTableFull> {
        let full = RemoteTableFull { max };
        let number = match writer.free.last() {
            Some(&number) => number,
            None if writer.numbers < self.max => writer.numbers,
            None => return Err(full),
        };
        let make = |length| -> Box<[Record]> { extents::defaults(length) };
        let record = self.records.get_or_grow(number as usize, make).ok_or(full)?;
        record.fill(remote, now);
        let (hash, tag) = self.hash_of(remote.address);
        if !self.index.insert(hash, tag, number) {
            record.clear();
            return Err(full);
        }
        if writer.free.pop().is_none() {
            writer.numbers += 1;
        }
        writer.unpinned += 1;
        Ok(RemoteId(number))
    }
}

impl fmt::Debug for RemoteTable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RemoteTable").field("max", &self.max).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
