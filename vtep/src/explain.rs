//! What would happen to a frame or a datagram: the data lane's own decisions, of which nothing comes.

use alloc::vec::Vec;
use core::time::Duration;

use ether_wire::ethernet::EthernetHeader;
use fdb::{Row, SegmentId};
use overlay_types::MacAddr;

use crate::{
    Destination, DropReason, Endpoint, Mss, REPLY_LEN, Received, from_tap::FrameEffects, from_underlay::Unchanged,
    inner,
};

/// What would happen to a frame from a TAP, and by which rows.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct FrameExplanation {
    /// What would become of it.
    pub verdict: ExplainedFrame,
    /// The row of its source MAC.
    pub source: Option<Row>,
    /// The row of its destination MAC.
    pub destination: Option<Row>,
    /// Whether the row of the source is a learned one, which would be forgotten: the station speaks here.
    pub forgets_source: bool,
}

/// What would become of a frame from a TAP.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ExplainedFrame {
    /// It would be sent.
    Send(ExplainedSend),
    /// It would be answered with this frame, and go nowhere.
    Answer(Vec<u8>),
    /// It would be dropped.
    Drop(DropReason),
}

/// How a frame would be sent: what [`Encapsulated`](crate::Encapsulated) says, as a value of its own.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ExplainedSend {
    /// The tunnel header.
    pub header: Vec<u8>,
    /// Who would get it.
    pub destinations: Vec<Destination>,
    /// Why it would go to the flood list, if it would.
    pub flooded: Option<FloodReason>,
    /// The hash of the inner flow.
    pub flow: ether_wire::flow::FlowHash,
    /// The UDP source port that the hash chooses out of the segment's range.
    pub source_port: u16,
    /// The outer traffic class (type of service).
    pub traffic_class: u8,
    /// The outer TTL or hop limit.
    pub ttl: u8,
}

/// Why a frame goes to the flood list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FloodReason {
    /// It is for everybody.
    Broadcast,
    /// It is for a group.
    Multicast,
    /// Nobody knows where its destination is.
    UnknownUnicast,
}

impl FloodReason {
    fn of(destination: MacAddr) -> Self {
        if destination == MacAddr::BROADCAST {
            Self::Broadcast
        } else if destination.is_multicast() {
            Self::Multicast
        } else {
            Self::UnknownUnicast
        }
    }
}

/// What would happen to a datagram from a tunnel, and by which rows.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct DatagramExplanation {
    /// Whose it is.
    pub segment: Option<SegmentId>,
    /// The frame that would be delivered to the segment's TAP, or why none would be.
    pub verdict: Result<Vec<u8>, DropReason>,
    /// The row of the inner source MAC.
    pub source: Option<Row>,
    /// The row of the inner destination MAC.
    pub destination: Option<Row>,
}

impl Endpoint {
    /// What [`DataLane::from_tap`](crate::DataLane::from_tap) would do with this frame now, by the same decision. Nothing is
    /// sent, counted, learned or forgotten. `None` where there is no such segment.
    ///
    /// A question that would be held because it was flooded just now is explained as if it were not.
    #[must_use]
    pub fn explain_from_tap(&self, segment: SegmentId, frame: &[u8], now: Duration) -> Option<FrameExplanation> {
        let (_, segments) = self.shared.current();
        let segment = segments.get(segment)?;
        let (source, destination) = self.rows_of(segment.id, frame, now);
        let mut effects = FrameEffects::default();
        let mut decision = self.shared.decide_on_frame(segment, frame, frame.len(), now, &mut effects);
        let mut answer = None;
        if segment.config.suppress && matches!(decision, Ok(_) | Err(DropReason::NoRemote)) {
            let mut reply = [0; REPLY_LEN];
            match self.shared.would_answer(segment.id, frame, &mut reply) {
                Ok(len) => answer = len.map(|len| reply[..len].to_vec()),
                Err(reason) => decision = Err(reason),
            }
        }
        if let (Some(storm), Ok(sent)) = (&segment.config.storm, &decision)
            && sent.is_flooded()
            && let Err(reason) = segment.storm.pass_from_tap(storm, frame, 0, now)
        {
            decision = Err(reason);
        }
        let verdict = match (answer, decision) {
            (Some(answer), _) => ExplainedFrame::Answer(answer),
            (None, Ok(sent)) => ExplainedFrame::Send(ExplainedSend {
                header: sent.header().to_vec(),
                destinations: sent.destinations().to_vec(),
                flooded: EthernetHeader::from_prefix(frame)
                    .ok()
                    .filter(|_| sent.is_flooded())
                    .map(|(ethernet, _)| FloodReason::of(ethernet.destination())),
                flow: sent.flow(),
                source_port: sent.source_port(),
                traffic_class: sent.traffic_class,
                ttl: sent.ttl,
            }),
            (None, Err(reason)) => ExplainedFrame::Drop(reason),
        };
        Some(FrameExplanation { verdict, source, destination, forgets_source: effects.forgets.is_some() })
    }

    /// What [`DataLane::from_underlay`](crate::DataLane::from_underlay) would do with this datagram now, by the same decision.
    /// Nothing is delivered, counted or learned.
    #[must_use]
    pub fn explain_from_underlay(&self, datagram: &[u8], received: Received, now: Duration) -> DatagramExplanation {
        let (_, segments) = self.shared.current();
        let (segment, decoded) = match segments.of_datagram(datagram, &received) {
            Ok(found) => found,
            Err(reason) => {
                return DatagramExplanation { segment: None, verdict: Err(reason), source: None, destination: None };
            }
        };
        let frame = datagram.get(decoded.header_len..).unwrap_or_default();
        let (source, destination) = self.rows_of(segment.id, frame, now);
        let decision = self.shared.decide_on_datagram(segment, &decoded, datagram, &received, now, &Unchanged);
        let verdict = decision.map(|ecn| {
            let mut frame = frame.to_vec();
            if let Some(ecn) = ecn {
                inner::set_ecn(&mut frame, ecn);
            }
            if segment.config.mss == Mss::Clamp {
                self.shared.clamp_received(segment, received.source, &mut frame);
            }
            frame
        });
        DatagramExplanation { segment: Some(segment.id), verdict, source, destination }
    }

    /// The rows of a frame's source and destination.
    fn rows_of(&self, segment: SegmentId, frame: &[u8], now: Duration) -> (Option<Row>, Option<Row>) {
        let Ok((ethernet, _)) = EthernetHeader::from_prefix(frame) else { return (None, None) };
        let row = |mac| self.shared.forwarding.row_of(segment, mac, now);
        (row(ethernet.source()), row(ethernet.destination()))
    }
}
