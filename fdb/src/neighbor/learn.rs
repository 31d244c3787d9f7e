//! Learning from ARP and Neighbor Discovery, and forgetting what was not heard of.

use core::{net::IpAddr, time::Duration};

use overlay_types::MacAddr;
use thiserror::Error;

use super::{Counted, Neighbor, NeighborState, NeighborTable, Writer, is_host};
use crate::{
    dampening::{Dampening, Verdict},
    segment_id::SegmentId,
};

/// What a packet taught of an IP address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize), serde(rename_all = "snake_case"))]
pub enum LearnNeighbor {
    /// The address was not known.
    New,
    /// It was known to be there.
    Refreshed,
    /// It had another MAC address.
    Moved {
        /// Which one.
        from: MacAddr,
    },
    /// It belongs to configuration or registry with another MAC address, and stays.
    Owned {
        /// Which one.
        mac: MacAddr,
    },
    /// Nothing.
    NotLearned(NotLearnedNeighbor),
}

/// Why nothing was learned of an IP address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize), serde(rename_all = "snake_case"))]
pub enum NotLearnedNeighbor {
    /// Not the MAC address of a station, or not the IP address of a host.
    #[error("not the address of a host")]
    InvalidAddress,
    /// The segment has as many learned rows as it may, or learned rows have their three quarters of the table.
    #[error("the table is full")]
    TableFull,
    /// Two hosts have the address: it moved too often and is held where it is.
    #[error("two hosts have the address")]
    Duplicate {
        /// `true` for the packet with which it began: the one to report.
        began: bool,
    },
}

impl NeighborTable {
    /// Learns that an IP address has a MAC address, from ARP or Neighbor Discovery. `router` is the R flag where there is
    /// one: without it a row keeps what it says.
    ///
    /// What is asked of the packet itself is the caller's affair, or that of [`learn_from_frame`](Self::learn_from_frame).
    /// An address whose MAC address changes too often is two hosts' (RFC 9161 §3.7): it is held for a while as of
    /// [`Dampening::default`], and reported as [`NotLearnedNeighbor::Duplicate`]. Learned rows take at most three quarters
    /// of the table, and of a segment no more than [`NeighborOptions::max_learned`](crate::NeighborOptions). A row that stays is written at most once per second, without a lock.
    pub fn learn(
        &self,
        segment: SegmentId,
        address: IpAddr,
        mac: MacAddr,
        router: Option<bool>,
        now: Duration,
    ) -> LearnNeighbor {
        if !mac.is_unicast() || !is_host(address) {
            self.count(segment, Counted::InvalidAddress);
            return LearnNeighbor::NotLearned(NotLearnedNeighbor::InvalidAddress);
        }
        if let Some((number, known)) = self.find(segment, address)
            && known.mac == mac
            && (known.state > NeighborState::Learned || router.is_none_or(|router| router == known.router))
        {
            self.hear(number, now);
            return LearnNeighbor::Refreshed;
        }
        let mut writer = self.writer.lock();
        let answer = self.learn_locked(&mut writer, segment, address, (mac, router), now);
        let counted = match answer {
            LearnNeighbor::New => Counted::Learned,
            LearnNeighbor::Refreshed => return answer,
            LearnNeighbor::Moved { .. } => Counted::Moved,
            LearnNeighbor::Owned { .. } => Counted::Owned,
            LearnNeighbor::NotLearned(reason) => match reason {
                NotLearnedNeighbor::InvalidAddress => Counted::InvalidAddress,
                NotLearnedNeighbor::TableFull => Counted::TableFull,
                NotLearnedNeighbor::Duplicate { began: false } => Counted::Duplicate,
                NotLearnedNeighbor::Duplicate { began: true } => {
                    self.count(segment, Counted::DuplicateBegan);
                    Counted::Duplicate
                }
            },
        };
        self.count(segment, counted);
        answer
    }

    /// The part of learning that changes the table.
    fn learn_locked(
        &self,
        writer: &mut Writer,
        segment: SegmentId,
        address: IpAddr,
        (mac, router): (MacAddr, Option<bool>),
        now: Duration,
    ) -> LearnNeighbor {
        use LearnNeighbor::{NotLearned, Refreshed};
        let before = self.owned_row(writer, segment, address);
        let known = before.map(|(_, known)| known);
        let router = router.unwrap_or_else(|| known.is_some_and(|known| known.router));
        let neighbor = Neighbor { mac, state: NeighborState::Learned, router };
        let answer = match before {
            None if writer.learned >= self.max - self.max / 4 || writer.is_full(segment) => {
                return NotLearned(NotLearnedNeighbor::TableFull);
            }
            None => LearnNeighbor::New,
            Some((_, known)) if known.mac == mac && known.state > NeighborState::Learned => return Refreshed,
            Some((_, known)) if known.mac == mac => Refreshed,
            Some((_, known)) if known.state > NeighborState::Learned => return LearnNeighbor::Owned { mac: known.mac },
            Some((number, known)) => match writer.moves.judge(u64::from(number), Dampening::default(), now) {
                Verdict::Move => LearnNeighbor::Moved { from: known.mac },
                Verdict::Hold => return NotLearned(NotLearnedNeighbor::Duplicate { began: true }),
                Verdict::Held => return NotLearned(NotLearnedNeighbor::Duplicate { began: false }),
            },
        };
        match self.put(writer, segment, address, neighbor, before.map(|(number, _)| number), now) {
            Some(()) => answer,
            None => NotLearned(NotLearnedNeighbor::TableFull),
        }
    }

    /// Takes learned rows away that were not heard of for as long as their segments' rules say
    /// ([`NeighborOptions::ageing`](crate::NeighborOptions)). One call looks at no more than `budget` places and goes on
    /// where the last one ended. How many rows it aged.
    pub fn age(&self, now: Duration, budget: usize) -> usize {
        let mut writer = self.writer.lock();
        let mut aged = 0;
        for _ in 0..budget.min(writer.next as usize) {
            let number = writer.sweep % writer.next;
            writer.sweep = number + 1;
            let Some((segment, address, neighbor)) = self.read(number) else { continue };
            if neighbor.state == NeighborState::Learned
                && let Some(ageing) = writer.ageing(segment)
                && self.age_of(number, now).as_secs() >= ageing.as_secs()
            {
                let address = address.unpack();
                writer.rows.remove(&(segment, address));
                self.give_back(&mut writer, segment, address, number);
                self.count(segment, Counted::Aged);
                aged += 1;
            }
        }
        aged
    }
}
