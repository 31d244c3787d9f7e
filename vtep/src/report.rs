//! What an endpoint tells about itself: segments, rows, remotes, counters.

use alloc::{collections::BTreeMap, sync::Arc, vec::Vec};
use core::{net::IpAddr, time::Duration};

use fdb::{Cursor, Forward, Neighbor, NeighborRow, RemoteId, Row, RowState, SegmentId};
use overlay_types::MacAddr;

use crate::{DropCounts, Endpoint, SegmentConfig, SegmentStatistics, counters};

impl Endpoint {
    /// The configuration of a segment, as it is now.
    #[must_use]
    pub fn config(&self, segment: SegmentId) -> Option<SegmentConfig> {
        Some(self.shared.current().1.get(segment)?.config.clone())
    }

    /// The addresses of a segment's flood list, in no particular order.
    #[must_use]
    pub fn flood(&self, segment: SegmentId) -> Vec<IpAddr> {
        let (_, segments) = self.shared.current();
        segments.get(segment).map_or_else(Vec::new, |segment| segment.flood.iter().map(|entry| entry.address).collect())
    }

    /// How many forwarding rows a segment has.
    #[must_use]
    pub fn entries(&self, segment: SegmentId) -> usize {
        self.shared.forwarding.len(segment)
    }

    /// One page of at most `limit` forwarding rows of all segments, and where the next begins; [`Cursor::default`] is the start.
    #[must_use]
    pub fn forwards(&self, cursor: Cursor, limit: usize, now: Duration) -> (Vec<Row>, Option<Cursor>) {
        self.shared.forwarding.page(cursor, limit, now)
    }

    /// One page of at most `limit` neighbour rows of all segments, those behind `after` in the order of segment and address.
    #[must_use]
    pub fn neighbors(&self, after: Option<(SegmentId, IpAddr)>, limit: usize, now: Duration) -> Vec<NeighborRow> {
        self.shared.neighbors.page(after, limit, now)
    }

    /// The neighbour row of `ip`.
    #[must_use]
    pub fn neighbor(&self, segment: SegmentId, ip: IpAddr) -> Option<Neighbor> {
        self.shared.neighbors.lookup(segment, ip)
    }

    /// The forwarding row of `mac`.
    #[must_use]
    pub fn forward(&self, segment: SegmentId, mac: MacAddr) -> Option<Forward> {
        self.shared.forwarding.lookup(segment, mac)
    }

    /// The address of a remote.
    #[must_use]
    pub fn remote_address(&self, remote: RemoteId) -> Option<IpAddr> {
        Some(self.shared.remotes.get(remote)?.address)
    }

    /// Every remote that a flood list or a row points to, sorted by address, with the segments where that is so.
    #[must_use]
    pub fn remotes(&self, now: Duration) -> Vec<RemoteStatus> {
        let mut segments: BTreeMap<RemoteId, Vec<SegmentId>> = BTreeMap::new();
        for segment in self.shared.current().1.by_id.iter().flatten() {
            for remote in &segment.configured {
                segments.entry(*remote).or_default().push(segment.id);
            }
        }
        let mut cursor = Some(Cursor::default());
        while let Some(from) = cursor {
            let (rows, next) = self.shared.forwarding.page(from, 4096, now);
            for row in rows.iter().filter(|row| row.state == RowState::Learned) {
                let Some(remote) = row.to.remote() else { continue };
                let segments = segments.entry(remote).or_default();
                if !segments.contains(&row.segment) {
                    segments.push(row.segment);
                }
            }
            cursor = next;
        }
        let table = &self.shared.remotes;
        let mut remotes: Vec<_> = (table.ids().into_iter())
            .filter_map(|id| {
                // One without segments only waits for the sweep.
                let mut segments = segments.remove(&id)?;
                segments.sort_unstable();
                let statistics = table.statistics(id);
                Some(RemoteStatus {
                    address: table.get(id)?.address,
                    segments,
                    tx_packets: statistics.tx_packets,
                    rx_packets: statistics.rx_packets,
                    path_mtu: table.path_mtu(id),
                    last_heard: statistics.last_heard.map(|heard| now.saturating_sub(heard)),
                })
            })
            .collect();
        remotes.sort_unstable_by_key(|remote| remote.address);
        remotes
    }

    /// What a segment carried and dropped.
    #[must_use]
    pub fn statistics(&self, segment: SegmentId) -> Option<SegmentStatistics> {
        let counters = Arc::clone(&self.shared.current().1.get(segment)?.counters);
        let neighbors = self.shared.neighbors.counters(segment);
        Some(counters::statistics(&counters, &self.shared.forwarding.not_learned(segment), neighbors))
    }

    /// Datagrams that were dropped and belong to no segment.
    #[must_use]
    pub fn drops(&self) -> DropCounts {
        DropCounts::sum(self.shared.lane_counters.iter().map(|lane| &lane.drops))
    }
}

/// A remote and what is known of it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct RemoteStatus {
    /// Its underlay address, or a multicast group.
    pub address: IpAddr,
    /// The segments that name it or have learned rows at it.
    pub segments: Vec<SegmentId>,
    /// Datagrams sent to it.
    pub tx_packets: u64,
    /// Datagrams taken from it.
    pub rx_packets: u64,
    /// The largest packet of the underlay that gets there, in bytes, where that is known.
    pub path_mtu: Option<u16>,
    /// How long ago the last one came; `None`: never.
    pub last_heard: Option<Duration>,
}
