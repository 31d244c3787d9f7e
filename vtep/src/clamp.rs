//! MSS clamping: TCP connections of a segment are told, as they open, to keep to what fits (RFC 6691).

use core::net::IpAddr;

use ether_wire::{ethernet, mss};
use fdb::SegmentId;

use crate::{DataLane, Mss, endpoint::Shared, segment::Segment};

impl DataLane {
    /// Whether the segment wants [`clamp_mss`](Self::clamp_mss) for its frames from the TAP.
    #[must_use]
    pub fn clamps_mss(&self, segment: SegmentId) -> bool {
        self.segments.get(segment).is_some_and(|segment| segment.config.mss == Mss::Clamp)
    }

    /// Lowers the maximum segment size in a frame from the TAP that opens a TCP connection to what fits the segment and the path
    /// to whom it is for. Its checksum must be whole. To be called before [`from_tap`](Self::from_tap); what comes from tunnels
    /// is lowered by [`from_underlay`](Self::from_underlay).
    pub fn clamp_mss(&self, segment: SegmentId, frame: &mut [u8]) {
        if let Some(segment) = self.segments.get(segment)
            && let Some(limit) = self.shared.frame_limit(segment, frame)
        {
            clamp(frame, limit);
        }
    }
}

impl Shared {
    /// The same for a frame from the tunnel to this remote.
    pub(crate) fn clamp_received(&self, segment: &Segment, remote: IpAddr, frame: &mut [u8]) {
        let own = segment.config.frame_limit(ethernet::payload(frame).is_some_and(|payload| payload.tags > 0));
        let path = self.remotes.id_of(remote).and_then(|remote| self.path_frame_limit(segment, remote));
        clamp(frame, path.map_or(own, |path| path.min(own)));
    }
}

fn clamp(frame: &mut [u8], limit: usize) {
    let Some(payload) = ethernet::payload(frame) else { return };
    mss::clamp(frame, u16::try_from(limit.saturating_sub(payload.offset)).unwrap_or(u16::MAX));
}
