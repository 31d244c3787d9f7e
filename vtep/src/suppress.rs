//! Suppression: ARP and Neighbor Discovery are learned from and answered here, so that they need not be flooded.

use core::time::Duration;

use ether_wire::{EthernetHeader, IpProtocol, Ipv6Header};
use fdb::{Answer, NeighborTable, ProxyError, SegmentId};
use overlay_types::{EtherType, MacAddr};

use crate::{DataLane, DropReason, counters::add, endpoint::Shared, segment::Segment};

/// How long a question for an unknown address is not flooded again. Hosts ask once a second (RFC 4861 §10, and Linux for
/// ARP as well): each time that one repeats its question, it goes out.
const HOLD: Duration = Duration::from_millis(500);

/// What becomes of a question that goes nowhere.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Suppressed {
    /// Its answer has this many bytes in the caller's buffer.
    Answered(usize),
    /// It was flooded just now.
    Held,
}

impl DataLane {
    /// Answers a frame from the TAP where it asks for the MAC of a station behind a remote. `None`: it goes on.
    ///
    /// It is answered where both rows are known, that of the neighbour and that which says behind which remote its MAC
    /// is: so nobody is sent to a station that frames don't reach.
    pub(crate) fn suppress(
        &self,
        segment: &Segment,
        frame: &[u8],
        reply: &mut [u8],
        now: Duration,
    ) -> Result<Option<Suppressed>, DropReason> {
        if !may_ask(frame) {
            return Ok(None);
        }
        if segment.config.learning {
            self.shared.learn_neighbor(segment.id, frame, now)?;
        }
        let is_reachable = |mac| self.shared.is_reachable(segment.id, mac);
        let suppressed = match self.shared.neighbors.answer(segment.id, frame, reply, now, HOLD, is_reachable) {
            Ok(Answer::Reply { len }) => Suppressed::Answered(len),
            Ok(Answer::Held) => Suppressed::Held,
            Ok(Answer::PassOn(_) | Answer::Flood) | Err(ProxyError::BufferTooSmall { .. }) => return Ok(None),
            Err(_) => return Err(DropReason::InvalidNeighborMessage),
        };
        add(&self.counters(segment).suppressed, 1);
        Ok(Some(suppressed))
    }
}

impl Shared {
    /// The answer that a frame from the TAP would get now, in `reply`: how many bytes. Nothing is learned, held or counted.
    pub(crate) fn would_answer(
        &self,
        segment: SegmentId,
        frame: &[u8],
        reply: &mut [u8],
    ) -> Result<Option<usize>, DropReason> {
        match self.neighbors.known_answer(segment, frame, reply, |mac| self.is_reachable(segment, mac)) {
            Ok(Some(Answer::Reply { len })) => Ok(Some(len)),
            Ok(_) | Err(ProxyError::BufferTooSmall { .. }) => Ok(None),
            Err(_) => Err(DropReason::InvalidNeighborMessage),
        }
    }

    /// Whether frames to a station would go to a remote.
    fn is_reachable(&self, segment: SegmentId, mac: MacAddr) -> bool {
        self.forwarding.lookup(segment, mac).is_some_and(|forward| forward.remote().is_some())
    }

    /// Learns who has which IP address from a frame of a station, wherever it came from.
    pub(crate) fn learn_neighbor(&self, segment: SegmentId, frame: &[u8], now: Duration) -> Result<(), DropReason> {
        if !may_ask(frame) {
            return Ok(());
        }
        // Why nothing was learned is counted there.
        let learned = self.neighbors.learn_from_frame(segment, frame, now);
        learned.map(drop).map_err(|_| DropReason::InvalidNeighborMessage)
    }
}

/// Whether what [`Shared::learn_neighbor`] looks at is malformed.
pub(crate) fn check_neighbor_message(frame: &[u8]) -> Result<(), DropReason> {
    NeighborTable::check_message(frame).map_err(|_| DropReason::InvalidNeighborMessage)
}

/// Whether a frame can be ARP or Neighbor Discovery: a glance at two fields. Behind a VLAN tag nothing is looked for.
fn may_ask(frame: &[u8]) -> bool {
    let Ok((ethernet, packet)) = EthernetHeader::from_prefix(frame) else { return false };
    match ethernet.ether_type() {
        EtherType::ARP => true,
        EtherType::IPV6 => Ipv6Header::from_prefix(packet)
            .is_ok_and(|(header, _)| !matches!(header.next_header(), IpProtocol::TCP | IpProtocol::UDP)),
        _ => false,
    }
}
