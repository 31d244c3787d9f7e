//! A datagram from the underlay: is it ours, and may its frame go to the TAP?

use core::{net::IpAddr, time::Duration};

use ether_wire::{ecn, ecn::Ecn, ethernet::EthernetHeader};
use fdb::{Claim, Learn, RemoteId, RowState, SegmentId};
use overlay_types::MacAddr;

use crate::{
    DataLane, DropReason, Encapsulation, Mss, Sources, Vlan,
    counters::add,
    encapsulation::{self, Decoded},
    endpoint::Shared,
    inner,
    segment::{Segment, Segments},
    suppress::check_neighbor_message,
};

/// What the outer headers of a datagram said, and on which socket it came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Received {
    /// The encapsulation of the socket.
    pub encapsulation: Encapsulation,
    /// The port of the socket; 0 for NVGRE.
    pub port: u16,
    /// Which of the program's underlays the socket is on, as [`SegmentConfig::underlay`](crate::SegmentConfig::underlay) has it.
    pub underlay: u8,
    /// The outer source address.
    pub source: IpAddr,
    /// The outer ECN field.
    pub ecn: Ecn,
}

impl Received {
    /// A VXLAN datagram from `source` to our `port`, not ECN-capable.
    #[must_use]
    pub const fn vxlan(source: IpAddr, port: u16) -> Self {
        Self { encapsulation: Encapsulation::Vxlan, port, underlay: 0, source, ecn: Ecn::NotEct }
    }

    /// The same for each kind of tunnel, on its default port.
    #[must_use]
    pub const fn new(encapsulation: Encapsulation, source: IpAddr) -> Self {
        Self { encapsulation, port: encapsulation.default_port(), underlay: 0, source, ecn: Ecn::NotEct }
    }
}

/// What to do with a datagram.
#[derive(Debug)]
#[must_use]
pub enum UnderlayVerdict<'a> {
    /// Write this frame to the segment's TAP.
    Deliver {
        /// Whose TAP.
        segment: SegmentId,
        /// The inner frame, a part of the caller's buffer, its ECN field brought up to date.
        frame: &'a mut [u8],
    },
    /// Nothing. The drop is counted already.
    Drop {
        /// Whose datagram it is, and where it is counted; `None` where that can't be told, and it is counted by the
        /// [endpoint](crate::Endpoint::drops).
        segment: Option<SegmentId>,
        /// Why.
        reason: DropReason,
    },
}

impl DataLane {
    /// Decides on a datagram, from its tunnel header's first byte.
    ///
    /// Where the segment learns, the inner source MAC is now behind the outer source address (RFC 7348 §4.1).
    pub fn from_underlay<'a>(&self, datagram: &'a mut [u8], received: Received, now: Duration) -> UnderlayVerdict<'a> {
        let (segment, decoded) = match self.segments.of_datagram(datagram, &received) {
            Ok(found) => found,
            Err(reason) => {
                self.dropped(None, 1, reason);
                return UnderlayVerdict::Drop { segment: None, reason };
            }
        };
        match self.shared.decide_on_datagram(segment, &decoded, datagram, &received, now, self) {
            Ok(ecn) => {
                // The decision has looked at the frame's header: it lies inside.
                let frame = datagram.get_mut(decoded.header_len..).unwrap_or_default();
                if let Some(ecn) = ecn {
                    inner::set_ecn(frame, ecn);
                }
                if segment.config.mss == Mss::Clamp {
                    self.shared.clamp_received(segment, received.source, frame);
                }
                UnderlayVerdict::Deliver { segment: segment.id, frame }
            }
            Err(reason) => {
                self.counters(segment).drops.count(reason, 1);
                UnderlayVerdict::Drop { segment: Some(segment.id), reason }
            }
        }
    }
}

/// What a decision on a datagram does beside the verdict: the data lane does it, and [`Unchanged`] only looks what would
/// come of it. The decision itself changes and counts nothing.
pub(crate) trait Pupil {
    /// Is taught that `source` is behind `remote`; without one, behind a remote with this address that nobody knows yet.
    /// [`DropReason::StaticMoved`] where the row is another's.
    fn learn(
        &self,
        shared: &Shared,
        segment: &Segment,
        source: MacAddr,
        remote: &mut Option<RemoteId>,
        address: IpAddr,
        now: Duration,
    ) -> Result<(), DropReason>;

    /// Hears that a datagram came from `remote`.
    fn hear(&self, shared: &Shared, remote: RemoteId, now: Duration);

    /// Hears that the source of a frame is not the address of a station.
    fn hear_invalid_mac(&self, segment: &Segment);

    /// Takes a frame against which nothing else speaks: storm control counts it, and where the segment suppresses, its
    /// neighbours are learned from it.
    fn take(
        &self,
        shared: &Shared,
        segment: &Segment,
        frame: &[u8],
        learning: bool,
        now: Duration,
    ) -> Result<(), DropReason>;
}

impl Pupil for DataLane {
    // As calls they would cost a tenth of the decision.
    #[allow(clippy::inline_always)]
    #[inline(always)]
    fn learn(
        &self,
        shared: &Shared,
        segment: &Segment,
        source: MacAddr,
        remote: &mut Option<RemoteId>,
        address: IpAddr,
        now: Duration,
    ) -> Result<(), DropReason> {
        if remote.is_none() {
            match shared.remotes.intern(address, now) {
                Ok(id) => *remote = Some(id),
                Err(_) => add(&self.counters(segment).remotes_full, 1),
            }
        }
        // Without a remote there is nothing to learn; but the row of another one still stands.
        let Some(id) = *remote else { return shared.own(segment, source, None) };
        match shared.forwarding.learn(segment.id, source, id, now) {
            Learn::Owned { .. } => Err(DropReason::StaticMoved),
            _ => Ok(()),
        }
    }

    #[allow(clippy::inline_always)]
    #[inline(always)]
    fn hear(&self, shared: &Shared, remote: RemoteId, now: Duration) {
        shared.remotes.record_received(remote, 1, now);
    }

    fn hear_invalid_mac(&self, segment: &Segment) {
        add(&self.counters(segment).invalid_mac, 1);
    }

    #[allow(clippy::inline_always)]
    #[inline(always)]
    fn take(
        &self,
        shared: &Shared,
        segment: &Segment,
        frame: &[u8],
        learning: bool,
        now: Duration,
    ) -> Result<(), DropReason> {
        if let Some(storm) = &segment.config.storm {
            segment.storm.pass_from_tunnel(storm, frame, 1, now)?;
        }
        if segment.config.suppress && learning { shared.learn_neighbor(segment.id, frame, now) } else { Ok(()) }
    }
}

/// Who is taught and stays as it is.
pub(crate) struct Unchanged;

impl Pupil for Unchanged {
    fn learn(
        &self,
        shared: &Shared,
        segment: &Segment,
        source: MacAddr,
        remote: &mut Option<RemoteId>,
        _address: IpAddr,
        now: Duration,
    ) -> Result<(), DropReason> {
        let Some(remote) = *remote else { return shared.own(segment, source, None) };
        match shared.forwarding.claim(segment.id, source, remote, now) {
            Claim::Owned { .. } => Err(DropReason::StaticMoved),
            _ => Ok(()),
        }
    }

    fn hear(&self, _shared: &Shared, _remote: RemoteId, _now: Duration) {}

    fn hear_invalid_mac(&self, _segment: &Segment) {}

    fn take(
        &self,
        _shared: &Shared,
        segment: &Segment,
        frame: &[u8],
        learning: bool,
        now: Duration,
    ) -> Result<(), DropReason> {
        if let Some(storm) = &segment.config.storm {
            segment.storm.pass_from_tunnel(storm, frame, 0, now)?;
        }
        if segment.config.suppress && learning { check_neighbor_message(frame) } else { Ok(()) }
    }
}

impl Segments {
    /// Whose a datagram is, and what its tunnel header says.
    #[inline]
    pub(crate) fn of_datagram(&self, datagram: &[u8], received: &Received) -> Result<(&Segment, Decoded), DropReason> {
        let decoded = received.encapsulation.decode(datagram)?;
        let key = (received.encapsulation, received.underlay, received.port, decoded.vni);
        let segment = self.on_wire(key).ok_or(DropReason::UnknownVni)?;
        Ok((segment, decoded))
    }
}

impl Shared {
    /// Decides whether the frame in a segment's datagram is delivered, and what its ECN field has to become. All that this
    /// changes is what `pupil` does: so the data lane and
    /// [`Endpoint::explain_from_underlay`](crate::Endpoint::explain_from_underlay) ask the same question.
    #[allow(clippy::inline_always)]
    #[inline(always)]
    pub(crate) fn decide_on_datagram(
        &self,
        segment: &Segment,
        decoded: &Decoded,
        datagram: &[u8],
        received: &Received,
        now: Duration,
        pupil: &impl Pupil,
    ) -> Result<Option<Ecn>, DropReason> {
        let told = encapsulation::check(&segment.config, decoded, datagram)?;
        let frame = datagram.get(decoded.header_len..).ok_or(DropReason::Truncated)?;
        let config = &segment.config;
        let mut remote = self.remotes.id_of(received.source);
        if config.sources == Sources::Configured
            && remote.is_none_or(|remote| segment.configured.binary_search(&remote).is_err())
        {
            return Err(DropReason::UnknownSource);
        }
        let Ok((ethernet, _)) = EthernetHeader::from_prefix(frame) else { return Err(DropReason::Truncated) };
        let (source, destination) = (ethernet.source(), ethernet.destination());
        if ethernet.ether_type().is_vlan() && config.vlan == Vlan::Drop {
            return Err(DropReason::VlanTag);
        }
        if config.mac == Some(source) {
            return Err(DropReason::OwnMac);
        }
        let ecn = match inner::read(frame) {
            Some(ip) => {
                let ecn = ecn::decapsulate(ip.ecn, received.ecn).ok_or(DropReason::Ecn)?;
                (ecn != ip.ecn).then_some(ecn)
            }
            None => None,
        };

        if !config.learning || told.dont_learn {
            self.own(segment, source, remote)?;
        } else if source.is_unicast() {
            pupil.learn(self, segment, source, &mut remote, received.source, now)?;
        } else {
            pupil.hear_invalid_mac(segment);
        }
        if let Some(remote) = remote {
            pupil.hear(self, remote, now);
        }
        if !destination.is_multicast()
            && config.mac != Some(destination)
            && let Some(forward) = self.forwarding.lookup(segment.id, destination)
            && (forward.remote().is_none() || forward.remote() != remote)
            // It is for the station that it is from, which is there now.
            && destination != source
        {
            return Err(DropReason::SplitHorizon);
        }
        pupil.take(self, segment, frame, config.learning && !told.dont_learn, now)?;
        Ok(ecn)
    }

    /// Checks that nobody else owns the row of `source`.
    // Few segments do without learning.
    #[inline(never)]
    fn own(&self, segment: &Segment, source: MacAddr, remote: Option<RemoteId>) -> Result<(), DropReason> {
        match self.forwarding.lookup(segment.id, source) {
            Some(row) if row.state() != RowState::Learned && (remote.is_none() || row.remote() != remote) => {
                Err(DropReason::StaticMoved)
            }
            _ => Ok(()),
        }
    }
}
