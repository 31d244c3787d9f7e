//! What becomes of a frame from the TAP that does not fit: its sender is told (RFC 1191, RFC 4443 §3.2).
//!
//! Fragmenting is not a tunnel endpoint's business: it must not touch what it has made (RFC 7348 §4.3), and of what others
//! have made it is no router. So IPv4 packets without DF are answered like those with it; the sender's system learns the
//! MTU, and makes fragments by itself from then on.
//!
//! The answer looks as if it came from the station and the address that the packet was for, as with Linux's and Open
//! vSwitch's tunnels: a bridge has no address in the networks that it carries. Where the TAP has an address
//! ([`SegmentConfig::addresses`](crate::SegmentConfig::addresses)) and the frame is that of another station, behind a bridge,
//! it comes from there. For frames of the TAP's own station that would be no good: a system does not believe what comes from
//! outside with an address of its own as the source (RFC 1812 §5.3.7).

use core::{
    net::IpAddr,
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

use ether_wire::{
    ethernet::{self, EthernetHeader},
    icmp::TooBig,
};
use fdb::SegmentId;

use crate::{Cut, DataLane, DropReason, REPLY_LEN, TapVerdict, endpoint::Shared, segment::Segment};

/// The bucket for answers: so many at once (RFC 1812 §4.3.2.8, RFC 4443 §2.4 (f)) …
const BURST: u64 = 1000;
/// … and one more each millisecond, as many as Linux sends.
const INTERVAL: u64 = 1_000_000;

/// A token bucket with one writer: the time, in nanoseconds, when it is full again.
#[derive(Debug, Default)]
pub(crate) struct AnswerBucket {
    full_at: AtomicU64,
}

impl AnswerBucket {
    fn has_token(&self, now: u64) -> bool {
        self.full_at.load(Ordering::Relaxed) <= now.saturating_add((BURST - 1) * INTERVAL)
    }

    fn take(&self, now: u64) {
        let from = self.full_at.load(Ordering::Relaxed).max(now);
        self.full_at.store(from.saturating_add(INTERVAL), Ordering::Relaxed);
    }
}

impl DataLane {
    /// Decides on a frame from the TAP that the system refused to send, as too big: after
    /// [`set_path_mtu`](Self::set_path_mtu) has learned what would fit. The drop is counted, for each frame of the cut.
    pub fn refused_too_big<'reply>(
        &self,
        segment: SegmentId,
        frame: &[u8],
        cut: Cut,
        reply: &'reply mut [u8; REPLY_LEN],
        now: Duration,
    ) -> TapVerdict<'_, 'reply> {
        self.dropped(Some(segment), cut.frames, DropReason::TooBig);
        let Some(segment) = self.segments.get(segment) else { return TapVerdict::Drop(DropReason::TooBig) };
        match self.answer_too_big(segment, frame, cut.largest, reply, now) {
            Some(answer) => TapVerdict::Answer(answer),
            None => TapVerdict::Drop(DropReason::TooBig),
        }
    }

    /// The answer to a frame that does not fit, from which frames of up to `largest` bytes are cut. `None` where nobody may be
    /// told, where enough have been told for now, and where it would fit for all that is known.
    pub(crate) fn answer_too_big<'reply>(
        &self,
        segment: &Segment,
        frame: &[u8],
        largest: usize,
        reply: &'reply mut [u8; REPLY_LEN],
        now: Duration,
    ) -> Option<&'reply [u8]> {
        let limit = self.shared.frame_limit(segment, frame)?;
        let bucket = &self.counters(segment).answers;
        let now = u64::try_from(now.as_nanos()).unwrap_or(u64::MAX);
        if largest <= limit || !bucket.has_token(now) {
            return None;
        }
        let link_header = ethernet::payload(frame)?.offset;
        let mtu = u16::try_from(limit.saturating_sub(link_header)).unwrap_or(u16::MAX);
        let (stations, _) = EthernetHeader::from_prefix(frame).ok()?;
        let mut answer = TooBig::new(mtu).without_df();
        if segment.config.mac != Some(stations.source()) {
            for address in &segment.config.addresses {
                answer = match address {
                    IpAddr::V4(address) => answer.from_ipv4(*address),
                    IpAddr::V6(address) => answer.from_ipv6(*address),
                };
            }
        }
        let length = answer.write(frame, reply).ok()?;
        bucket.take(now);
        reply.get(..length)
    }
}

impl Shared {
    /// The longest frame, Ethernet header included, for whom this one is for.
    pub(crate) fn frame_limit(&self, segment: &Segment, frame: &[u8]) -> Option<usize> {
        let (stations, _) = EthernetHeader::from_prefix(frame).ok()?;
        let path = |remote| self.path_frame_limit(segment, remote);
        let path = match self.forwarding.lookup(segment.id, stations.destination()) {
            Some(forward) => forward.remote().and_then(path),
            None => segment.flood.iter().filter_map(|to| path(to.remote)).min(),
        };
        let own = segment.config.frame_limit(stations.ether_type().is_vlan());
        Some(path.map_or(own, |path| path.min(own)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_and_then_one_each_millisecond() {
        let bucket = AnswerBucket::default();
        let mut now = 5_000_000_000;
        let taken = |now: u64| {
            let mut count = 0;
            while bucket.has_token(now) {
                bucket.take(now);
                count += 1;
            }
            count
        };
        assert_eq!(taken(now), BURST);
        now += INTERVAL - 1;
        assert_eq!(taken(now), 0);
        now += 1;
        assert_eq!(taken(now), 1);
        now += 10 * INTERVAL;
        assert_eq!(taken(now), 10);
        now += 1_000_000 * INTERVAL;
        assert_eq!(taken(now), BURST);
    }
}
