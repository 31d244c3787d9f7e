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
    value::Value,
};

/// After how many learned rows the search for one to evict ends. It goes by rows, so that each bucket gives in the
/// measure in which it gets: those that are split off get half of what others do.
const WINDOW: usize = 64;
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
        while seen < WINDOW && steps < LONGEST.min(buckets) {
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
            self.events.add(segment.number(), mac_of(key), EventKind::Evicted { remote });
        }
        victim.is_some()
    }
}

/// How many ticks ago the last frame was received.
pub(crate) fn age(value: Value, now: Duration) -> u32 {
    tick(now).wrapping_sub(value.tick()) % Value::TICKS
}
