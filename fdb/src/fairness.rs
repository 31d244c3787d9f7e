//! Who gives way when a segment is full.
//!
//! A remote that floods a segment with made-up addresses must not push out the stations behind others. So a row that
//! makes room is one of a remote that has more rows than the newcomer's, or one of the newcomer's own remote.

use core::time::Duration;

use crate::{
    event::EventKind,
    forward::ForwardingTable,
    remote::RemoteId,
    row::{Forward, RowState, mac_of, tick},
    segment::{Segment, Writer},
    slot::Hit,
    sync::Ordering,
    value::Value,
};

/// After how many learned rows the search for one to evict ends, where one is found. It goes by rows, so that each bucket
/// gives in the measure in which it gets: those that are split off get half of what others do.
const WINDOW: usize = 16;
/// After how many it ends where none is found.
const WIDEST: usize = 64;
/// After how many buckets it ends in any case.
const LONGEST: u32 = 512;

impl ForwardingTable {
    /// Makes room for one more learned row, within the cap of the segment and that of all, and takes it. `false` where
    /// there is none.
    pub(crate) fn make_room_to_learn(
        &self,
        segment: &Segment,
        writer: &mut Writer,
        remote: RemoteId,
        now: Duration,
    ) -> bool {
        // Twice, so that a cap that was lowered is reached as rows come.
        for _ in 0..2 {
            if writer.learned >= writer.options.max_learned && !self.evict(segment, writer, remote, now) {
                return false;
            }
        }
        if writer.learned >= writer.options.max_learned {
            return false;
        }
        self.reserve_learned() || self.evict(segment, writer, remote, now) && self.reserve_learned()
    }

    /// Evicts one learned row in favour of a remote: of the rows in the window the oldest one of the remote that has
    /// most of the segment. `false` where there is none that may go.
    fn evict(&self, segment: &Segment, writer: &mut Writer, remote: RemoteId, now: Duration) -> bool {
        let own = writer.rows(&self.groups, Forward::new(remote.into(), RowState::Learned));
        let buckets = segment.rows.buckets();
        let start = writer.hand % buckets;
        let mut victim: Option<((u32, u32), u64, RemoteId, Hit<'_>)> = None;
        let (mut seen, mut steps) = (0, 0);
        while (seen < WINDOW || victim.is_none() && seen < WIDEST) && steps < LONGEST.min(buckets) {
            for (key, hit) in segment.rows.rows_of((start + steps) % buckets) {
                let head = self.groups.head(hit.value.group());
                if !head.is_alive() || head.forward().state() != RowState::Learned {
                    continue;
                }
                let Some(holder) = head.forward().remote() else { continue };
                seen += 1;
                let rows = self.groups.rows(hit.value.group());
                let rank = (rows, age(hit.value, now));
                if (holder == remote || rows > own + 1) && victim.is_none_or(|(best, ..)| rank > best) {
                    victim = Some((rank, key, holder, hit));
                }
            }
            steps += 1;
        }
        writer.hand = (start + steps) % buckets;
        if let Some((_, key, remote, hit)) = victim {
            self.remove_row(segment, writer, hit);
            segment.counters.changes.evicted.fetch_add(1, Ordering::Relaxed);
            self.events.add(segment.number(), mac_of(key), EventKind::Evicted { remote });
        }
        victim.is_some()
    }
}

/// By how many ticks the time of one thread may be behind that of another one.
const BEHIND: u32 = Value::TICKS / 4;

/// How many ticks ago the last frame was received. None where another thread, whose time is a little later, has just
/// received it.
pub(crate) fn age(value: Value, now: Duration) -> u32 {
    let age = tick(now).wrapping_sub(value.tick()) % Value::TICKS;
    if age >= Value::TICKS - BEHIND { 0 } else { age }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ages_of_what_was_received_before_and_after() {
        let received = Value::new(tick(Duration::from_secs(1000)), 1);
        for (now, expected) in [(1000, 0), (1001, 1), (1300, 300), (999, 0), (0, 0), (1 << 20, (1 << 20) - 1000)] {
            assert_eq!(age(received, Duration::from_secs(now)), expected, "{now}");
        }
    }
}
