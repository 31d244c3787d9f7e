//! A frame from the TAP: whom is it sent to, and behind which header?

use core::{slice, time::Duration};

use ether_wire::{
    ecn::{self, Ecn},
    ethernet::{EthernetHeader, VlanTag},
    flow::FlowHash,
};
use fdb::{RowState, SegmentId};
use overlay_types::MacAddr;

use crate::{
    DataLane, Destination, DropReason, Dscp, Ttl, Vlan,
    endpoint::Shared,
    inner,
    segment::{Segment, SegmentConfig},
    suppress::Suppressed,
};

/// The outer TTL of frames that have none to inherit.
const DEFAULT_TTL: u8 = 64;

/// How a frame from a TAP will be cut before it is sent: a super-frame stands for many frames with the same headers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cut {
    /// Into how many frames.
    pub frames: u32,
    /// The length in bytes of the largest of them, its Ethernet header included.
    pub largest: usize,
}

impl Cut {
    /// A frame of this length that goes as it is.
    #[must_use]
    pub const fn whole(length: usize) -> Self {
        Self { frames: 1, largest: length }
    }
}

/// What to do with a frame from a TAP.
#[derive(Clone, Copy, Debug)]
#[must_use]
pub enum TapVerdict<'lane, 'reply> {
    /// Send it: [`Encapsulated::header`] and the frame as one datagram to each of [`Encapsulated::destinations`].
    Send(Encapsulated<'lane>),
    /// Write this frame to the TAP that it came from. What became of the frame itself is counted already.
    Answer(&'reply [u8]),
    /// Nothing, and that is no drop: the same question was flooded just now. Counted already.
    Held,
    /// Nothing. The drop is counted already.
    Drop(DropReason),
}

/// The bytes of the longest answer: a too-big of `ICMPv6` fills the smallest MTU of IPv6 (RFC 4443 §2.4), behind Ethernet header and tags.
pub const REPLY_LEN: usize = 1280 + EthernetHeader::LEN + 2 * VlanTag::LEN;

/// How a frame goes out.
#[derive(Clone, Copy, Debug)]
pub struct Encapsulated<'a> {
    segment: &'a Segment,
    target: Target<'a>,
    flow: FlowHash,
    /// The outer traffic class (type of service): DSCP in the upper six bits, ECN in the lower two.
    pub traffic_class: u8,
    /// The outer TTL or hop limit.
    pub ttl: u8,
}

#[derive(Clone, Copy, Debug)]
enum Target<'a> {
    One(Destination),
    Flood(&'a [Destination]),
}

impl<'a> Encapsulated<'a> {
    /// The tunnel header that stands between UDP header, for NVGRE the IP header, and frame.
    #[must_use]
    pub fn header(&self) -> &'a [u8] {
        self.segment.headers.of(self.flow.nvgre_flow_id())
    }

    /// Who gets it: one remote, or the flood list.
    #[must_use]
    pub fn destinations(&self) -> &[Destination] {
        match &self.target {
            Target::One(destination) => slice::from_ref(destination),
            Target::Flood(destinations) => destinations,
        }
    }

    /// Whether it goes to the flood list: broadcast, multicast or unknown unicast.
    #[must_use]
    pub fn is_flooded(&self) -> bool {
        matches!(self.target, Target::Flood(_))
    }

    /// The hash of the inner flow.
    #[must_use]
    pub fn flow(&self) -> FlowHash {
        self.flow
    }

    /// The UDP source port, from the segment's range by the flow hash (RFC 7348 §5).
    #[must_use]
    pub fn source_port(&self) -> u16 {
        self.flow.udp_source_port(self.segment.config.source_ports.clone())
    }
}

impl DataLane {
    /// Decides on a frame, from its Ethernet header's first byte, that the segment's TAP sent.
    ///
    /// A station that speaks here is here: a learned row that has it behind a remote is forgotten.
    /// An answer is written to `reply`.
    pub fn from_tap<'lane, 'reply>(
        &'lane self,
        segment: SegmentId,
        frame: &[u8],
        reply: &'reply mut [u8; REPLY_LEN],
        now: Duration,
    ) -> TapVerdict<'lane, 'reply> {
        self.from_tap_cut(segment, frame, Cut::whole(frame.len()), reply, now)
    }

    /// Decides once on a super-frame, which will be cut into frames with the same addresses: by its first headers.
    ///
    /// What counts against the MTU is the largest frame that is cut from it, and a drop is counted for each of them.
    pub fn from_tap_cut<'lane, 'reply>(
        &'lane self,
        segment: SegmentId,
        frame: &[u8],
        cut: Cut,
        reply: &'reply mut [u8; REPLY_LEN],
        now: Duration,
    ) -> TapVerdict<'lane, 'reply> {
        let Some(segment) = self.segments.get(segment) else {
            // The segment was removed while this frame was on its way.
            self.dropped(None, cut.frames, DropReason::NoRemote);
            return TapVerdict::Drop(DropReason::NoRemote);
        };
        let mut effects = FrameEffects::default();
        let mut decision = self.shared.decide_on_frame(segment, frame, cut.largest, now, &mut effects);
        if let Some(station) = effects.forgets {
            self.shared.forwarding.forget_learned(segment.id, station);
        }
        if segment.config.suppress && matches!(decision, Ok(_) | Err(DropReason::NoRemote)) {
            match self.suppress(segment, frame, reply, now) {
                Ok(None) => {}
                Ok(Some(Suppressed::Answered(len))) => return TapVerdict::Answer(&reply[..len]),
                Ok(Some(Suppressed::Held)) => return TapVerdict::Held,
                Err(reason) => decision = Err(reason),
            }
        }
        if let (Some(storm), Ok(encapsulated)) = (&segment.config.storm, &decision)
            && encapsulated.is_flooded()
            && let Err(reason) = segment.storm.pass_from_tap(storm, frame, cut.frames, now)
        {
            decision = Err(reason);
        }
        match decision {
            Ok(encapsulated) => TapVerdict::Send(encapsulated),
            Err(reason) => {
                self.counters(segment).drops.count(reason, cut.frames);
                if reason == DropReason::TooBig
                    && let Some(answer) = self.answer_too_big(segment, frame, cut.largest, reply, now)
                {
                    return TapVerdict::Answer(answer);
                }
                TapVerdict::Drop(reason)
            }
        }
    }
}

/// What a decision on a frame from a TAP does beside the verdict: written down by [`Shared::decide_on_frame`], done by the lane.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct FrameEffects {
    /// This station has a learned row behind a remote, and has spoken here.
    pub(crate) forgets: Option<MacAddr>,
}

impl Shared {
    /// Decides on a frame from a TAP. Changes and counts nothing: what is to be done stands in `effects`, so that
    /// [`Endpoint::explain_from_tap`](crate::Endpoint::explain_from_tap) can ask the same question.
    #[inline]
    pub(crate) fn decide_on_frame<'a>(
        &'a self,
        segment: &'a Segment,
        frame: &[u8],
        largest: usize,
        _now: Duration,
        effects: &mut FrameEffects,
    ) -> Result<Encapsulated<'a>, DropReason> {
        let config = &segment.config;
        let Ok((ethernet, _)) = EthernetHeader::from_prefix(frame) else { return Err(DropReason::Truncated) };
        if !ethernet.source().is_unicast() {
            return Err(DropReason::SourceMac);
        }
        if segment.own_tunnels.sent(frame, &self.remotes) {
            return Err(DropReason::RoutingLoop);
        }
        let tagged = ethernet.ether_type().is_vlan();
        if tagged && config.vlan == Vlan::Drop {
            return Err(DropReason::VlanTag);
        }
        if largest > config.frame_limit(tagged) {
            return Err(DropReason::TooBig);
        }
        if let Some(allowed) = &config.allowed_sources {
            allowed.check(config.mac, frame)?;
        }
        let (source, destination) = (ethernet.source(), ethernet.destination());
        if self.forwarding.lookup(segment.id, source).is_some_and(|row| row.state() == RowState::Learned) {
            effects.forgets = Some(source);
        }

        let known = if destination.is_multicast() {
            None
        } else {
            // A row that goes because of this very frame is none for it.
            self.forwarding.lookup(segment.id, destination).filter(|_| effects.forgets != Some(destination))
        };
        let target = match known {
            Some(forward) => {
                let id = forward.remote().ok_or(DropReason::NoRemote)?;
                // A row outlives its remote for a moment only while both are being removed.
                let remote = self.remotes.get(id).ok_or(DropReason::NoRemote)?;
                if !self.fits(segment, id, largest) {
                    return Err(DropReason::TooBig);
                }
                Target::One(Destination {
                    remote: id,
                    address: remote.address,
                    port: remote.port.unwrap_or(config.port),
                })
            }
            None if segment.flood.is_empty() => return Err(DropReason::NoRemote),
            // Nobody can be told of a frame for many: it goes where it fits. One for a single station does not go half the way.
            None if !destination.is_multicast()
                && !segment.flood.iter().all(|to| self.fits(segment, to.remote, largest)) =>
            {
                return Err(DropReason::TooBig);
            }
            None => Target::Flood(&segment.flood),
        };
        let (traffic_class, ttl) = outer_fields(config, frame);
        Ok(Encapsulated { segment, target, flow: self.hasher.hash(frame), traffic_class, ttl })
    }
}

/// Outer traffic class and TTL (RFC 6040 §4.1, RFC 2983).
fn outer_fields(config: &SegmentConfig, frame: &[u8]) -> (u8, u8) {
    let inner = inner::read(frame);
    let dscp = match config.dscp {
        Dscp::Fixed(dscp) => dscp,
        Dscp::Inherit => inner.map_or(0, |ip| ip.dscp),
    };
    let ecn = ecn::encapsulate(config.ecn, inner.map_or(Ecn::NotEct, |ip| ip.ecn));
    let ttl = match config.ttl {
        Ttl::Fixed(ttl) => ttl,
        Ttl::Inherit => inner.map_or(DEFAULT_TTL, |ip| ip.ttl),
    };
    (dscp << 2 | ecn.bits(), ttl)
}
