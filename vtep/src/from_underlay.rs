//! A datagram from the underlay: is it ours, and may its frame go to the TAP?

use core::{net::IpAddr, time::Duration};

use ether_wire::{ecn, ecn::Ecn, ethernet::EthernetHeader};
use fdb::{Learn, RemoteId, RowState, SegmentId};
use overlay_types::MacAddr;

use crate::{
    DataLane, DropReason, Encapsulation, Sources, Vlan, counters::add, encapsulation, encapsulation::Told, inner,
    segment::Segment,
};

/// What the outer headers of a datagram said, and on which socket it came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Received {
    /// The encapsulation of the socket.
    pub encapsulation: Encapsulation,
    /// The port of the socket; 0 for NVGRE.
    pub port: u16,
    /// The outer source address.
    pub source: IpAddr,
    /// The outer ECN field.
    pub ecn: Ecn,
}

impl Received {
    /// A VXLAN datagram from `source` to our `port`, not ECN-capable.
    #[must_use]
    pub const fn vxlan(source: IpAddr, port: u16) -> Self {
        Self { encapsulation: Encapsulation::Vxlan, port, source, ecn: Ecn::NotEct }
    }

    /// The same for each kind of tunnel, on its default port.
    #[must_use]
    pub const fn new(encapsulation: Encapsulation, source: IpAddr) -> Self {
        Self { encapsulation, port: encapsulation.default_port(), source, ecn: Ecn::NotEct }
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
    Drop(DropReason),
}

impl DataLane {
    /// Decides on a datagram, from its tunnel header's first byte.
    ///
    /// Where the segment learns, the inner source MAC is now behind the outer source address (RFC 7348 §4.1).
    pub fn from_underlay<'a>(&self, datagram: &'a mut [u8], received: Received, now: Duration) -> UnderlayVerdict<'a> {
        let decoded = match received.encapsulation.decode(datagram) {
            Ok(decoded) => decoded,
            Err(reason) => return self.drop_datagram(reason),
        };
        let Some(segment) = self.segments.on_wire(received.encapsulation, received.port, decoded.vni) else {
            return self.drop_datagram(DropReason::UnknownVni);
        };
        let refuse = |reason| {
            self.counters(segment).drops.count(reason, 1);
            UnderlayVerdict::Drop(reason)
        };
        let told = match encapsulation::check(&segment.config, &decoded, datagram) {
            Ok(told) => told,
            Err(reason) => return refuse(reason),
        };
        let Some(frame) = datagram.get_mut(decoded.header_len..) else { return refuse(DropReason::Truncated) };
        match self.accept(segment, frame, &received, told, now) {
            Ok(()) => UnderlayVerdict::Deliver { segment: segment.id, frame },
            Err(reason) => refuse(reason),
        }
    }

    fn drop_datagram<'a>(&self, reason: DropReason) -> UnderlayVerdict<'a> {
        self.dropped(None, 1, reason);
        UnderlayVerdict::Drop(reason)
    }

    fn accept(
        &self,
        segment: &Segment,
        frame: &mut [u8],
        received: &Received,
        told: Told,
        now: Duration,
    ) -> Result<(), DropReason> {
        let config = &segment.config;
        let mut remote = self.shared.remotes.id_of(received.source);
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

        self.learn(segment, source, &mut remote, received.source, config.learning && !told.dont_learn, now)?;
        if let Some(remote) = remote {
            self.shared.remotes.record_received(remote, 1, now);
        }
        if !destination.is_multicast()
            && config.mac != Some(destination)
            && let Some(forward) = self.shared.forwarding.lookup(segment.id, destination)
            && (forward.remote().is_none() || forward.remote() != remote)
        {
            return Err(DropReason::SplitHorizon);
        }
        if let Some(ecn) = ecn {
            inner::set_ecn(frame, ecn);
        }
        Ok(())
    }

    /// Learns `source` behind `remote`, or checks that nobody else owns it.
    fn learn(
        &self,
        segment: &Segment,
        source: MacAddr,
        remote: &mut Option<RemoteId>,
        address: IpAddr,
        learning: bool,
        now: Duration,
    ) -> Result<(), DropReason> {
        let forwarding = &self.shared.forwarding;
        if !learning {
            return match forwarding.lookup(segment.id, source) {
                Some(row) if row.state() != RowState::Learned && (remote.is_none() || row.remote() != *remote) => {
                    Err(DropReason::StaticMoved)
                }
                _ => Ok(()),
            };
        }
        if !source.is_unicast() {
            add(&self.counters(segment).invalid_mac, 1);
            return Ok(());
        }
        if remote.is_none() {
            match self.shared.remotes.intern(address, now) {
                Ok(id) => *remote = Some(id),
                Err(_) => add(&self.counters(segment).remotes_full, 1),
            }
        }
        // Without a remote there is nothing to learn; but the row of another one still stands.
        let Some(id) = *remote else {
            return match forwarding.lookup(segment.id, source) {
                Some(row) if row.state() != RowState::Learned => Err(DropReason::StaticMoved),
                _ => Ok(()),
            };
        };
        match forwarding.learn(segment.id, source, id, now) {
            Learn::Owned { .. } => Err(DropReason::StaticMoved),
            _ => Ok(()),
        }
    }
}
