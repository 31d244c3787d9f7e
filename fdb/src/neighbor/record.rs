//! A row as it is packed, so that readers need no lock.

use core::net::IpAddr;

use super::{Neighbor, NeighborState};
use crate::{
    packed_address::PackedAddress,
    row::{key_of, mac_of},
    segment_id::SegmentId,
    sync::{AtomicU32, AtomicU64, Ordering},
};

impl NeighborState {
    const fn to_bits(self) -> u64 {
        match self {
            Self::Learned => 1,
            Self::Registry => 2,
            Self::Static => 3,
        }
    }

    const fn from_bits(bits: u64) -> Option<Self> {
        match bits {
            1 => Some(Self::Learned),
            2 => Some(Self::Registry),
            3 => Some(Self::Static),
            _ => None,
        }
    }
}

/// One row, or a place for one.
#[derive(Default)]
pub(super) struct Record {
    /// `tag(12) v6(1) router(1) state(2) mac(48)`; a state of 0 is none. One word, changed in one store.
    row: AtomicU64,
    /// The key, which changes only while there is no row.
    address: [AtomicU64; 2],
    segment: AtomicU32,
    /// The second when it was last heard of.
    pub(super) heard: AtomicU32,
}

const STATE: u32 = 48;
const ROUTER: u64 = 1 << 50;
const V6: u64 = 1 << 51;
const TAG: u32 = 52;

impl Record {
    fn row(neighbor: Neighbor, address: IpAddr, tag: u64) -> u64 {
        let router = if neighbor.router { ROUTER } else { 0 };
        let v6 = if address.is_ipv6() { V6 } else { 0 };
        tag << TAG | v6 | router | neighbor.state.to_bits() << STATE | key_of(neighbor.mac) >> 16
    }

    /// The row here with its key. `None` where there is none, and while the place changes hands.
    pub(super) fn read(&self) -> Option<(SegmentId, PackedAddress, Neighbor)> {
        let row = self.row.load(Ordering::Acquire);
        let words = [self.address[0].load(Ordering::Acquire), self.address[1].load(Ordering::Acquire)];
        let segment = SegmentId::from_stored(self.segment.load(Ordering::Acquire));
        if self.row.load(Ordering::Acquire) >> TAG != row >> TAG {
            return None;
        }
        let state = NeighborState::from_bits(row >> STATE & 3)?;
        let neighbor = Neighbor { mac: mac_of(row << 16 & !0xffff), state, router: row & ROUTER != 0 };
        Some((segment, PackedAddress { words, v6: row & V6 != 0 }, neighbor))
    }

    fn tag(&self) -> u64 {
        self.row.load(Ordering::Relaxed) >> TAG
    }

    pub(super) fn fill(&self, segment: SegmentId, address: IpAddr, neighbor: Neighbor) {
        let [high, low] = PackedAddress::from(address).words;
        self.address[0].store(high, Ordering::Release);
        self.address[1].store(low, Ordering::Release);
        self.segment.store(segment.get(), Ordering::Release);
        self.row.store(Self::row(neighbor, address, self.tag()), Ordering::Release);
    }

    pub(super) fn set(&self, address: IpAddr, neighbor: Neighbor) {
        self.row.store(Self::row(neighbor, address, self.tag()), Ordering::Release);
    }

    /// Empties the place, under another tag.
    pub(super) fn clear(&self) {
        self.row.store((self.tag() + 1) << TAG, Ordering::Release);
    }
}
