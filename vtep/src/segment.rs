//! A segment: one virtual layer-2 network, and the rules for its frames.

use alloc::{boxed::Box, vec::Vec};
use core::{net::IpAddr, ops::RangeInclusive, time::Duration};

use ether_wire::{
    ecn::EcnMode,
    ethernet::{EthernetHeader, VlanTag},
};
use fdb::{RemoteId, SegmentId};
use geneve_wire::Options;
use overlay_types::{MacAddr, Vni};

use crate::{
    AllowedSources, Encapsulation, Storm, TunnelOption, counters::SegmentCounters, encapsulation::TunnelHeaders,
    path_mtu, routing_loop::OwnTunnels, storm::StormBuckets,
};

/// What a segment is: RFC 7348's word for one virtual layer-2 network.
///
/// [`SegmentConfig::new`] gives what the standards recommend; fields are changed one by one.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct SegmentConfig {
    /// The tunnel header.
    pub encapsulation: Encapsulation,
    /// Its identifier on the wire.
    pub vni: Vni,
    /// The group policy ID of what is sent (VXLAN Group Policy); `None`: plain VXLAN. With one, the group policy bits of what is
    /// received are no reserved bits, and a frame with D is not learned from.
    pub group_policy: Option<u16>,
    /// Options that are sent with each frame. Geneve only.
    pub options: Vec<TunnelOption>,
    /// The UDP port that it listens on and sends to; 0 for NVGRE, which has none.
    pub port: u16,
    /// Which of the program's underlays it is on, by a number of the program's choice: what comes in by another one is not
    /// this segment's. 0 where there is one.
    pub underlay: u8,
    /// Whether the underlay is IPv6: which family its remotes have.
    pub underlay_is_ipv6: bool,
    /// The largest inner packet in bytes, Ethernet header not counted.
    pub mtu: u16,
    /// Whether datagrams may be fragmented on their way. Default [`Fragments::Never`].
    pub fragments: Fragments,
    /// What becomes of the maximum segment size of TCP connections that open. Default [`Mss::Keep`].
    pub mss: Mss,
    /// The MAC of the TAP, where it is known.
    pub mac: Option<MacAddr>,
    /// The addresses of the TAP: who answers other stations behind it that a frame is too big.
    pub addresses: Vec<IpAddr>,
    /// Whether source MACs of received frames are learned (RFC 7348 §4.1).
    pub learning: bool,
    /// How long a learned row lives without a received frame; `None`: for ever.
    pub ageing: Option<Duration>,
    /// The most learned rows.
    pub max_entries: u32,
    /// Whose datagrams are taken.
    pub sources: Sources,
    /// What a set reserved bit means.
    pub reserved_bits: ReservedBits,
    /// What becomes of frames with a VLAN tag.
    pub vlan: Vlan,
    /// Whether ARP and Neighbor Discovery from the TAP are answered from the table: where the MAC of an address is known, and
    /// behind which remote it is. Neighbours are learned from both, by [`learning`](Self::learning) and
    /// [`ageing`](Self::ageing); a segment has four times [`max_entries`](Self::max_entries) of them at most. What has a
    /// VLAN tag is not looked at.
    pub suppress: bool,
    /// How many frames for everyone may pass; `None`: any number.
    pub storm: Option<Storm>,
    /// Who may speak on the TAP, and as whom; `None`: everyone.
    pub allowed_sources: Option<AllowedSources>,
    /// How the ECN field of the outer header comes from the inner one (RFC 6040 §4.1).
    pub ecn: EcnMode,
    /// The outer TTL or hop limit.
    pub ttl: Ttl,
    /// The outer differentiated services code point (RFC 2983).
    pub dscp: Dscp,
    /// The range of UDP source ports, chosen from by the flow hash (RFC 7348 §5).
    pub source_ports: RangeInclusive<u16>,
}

impl SegmentConfig {
    /// A VXLAN segment with this identifier on an IPv4 underlay with an MTU of 1500 bytes, by the book: port 4789, learning
    /// with 300 s and 8,192 rows, datagrams from configured remotes only, reserved bits ignored, VLAN tags dropped, ECN
    /// in normal mode, TTL 64, DSCP inherited.
    #[must_use]
    pub fn new(vni: Vni) -> Self {
        Self::with_encapsulation(Encapsulation::Vxlan, vni)
    }

    /// The same with this tunnel header: on its default port, without options, and with the MTU that fits.
    #[must_use]
    pub fn with_encapsulation(encapsulation: Encapsulation, vni: Vni) -> Self {
        Self {
            encapsulation,
            vni,
            group_policy: None,
            options: Vec::new(),
            port: encapsulation.default_port(),
            underlay: 0,
            underlay_is_ipv6: false,
            mtu: 1500 - encapsulation.mtu_overhead(false),
            fragments: Fragments::Never,
            mss: Mss::Keep,
            mac: None,
            addresses: Vec::new(),
            learning: true,
            ageing: Some(Duration::from_secs(300)),
            max_entries: 8192,
            sources: Sources::Configured,
            reserved_bits: ReservedBits::Ignore,
            vlan: Vlan::Drop,
            suppress: false,
            storm: None,
            allowed_sources: None,
            ecn: EcnMode::Normal,
            ttl: Ttl::Fixed(64),
            dscp: Dscp::Inherit,
            source_ports: ether_wire::flow::DEFAULT_SOURCE_PORTS,
        }
    }

    /// What the underlay's MTU must have over [`mtu`](Self::mtu): outer headers with options, and the inner Ethernet header.
    #[must_use]
    pub fn mtu_overhead(&self) -> u16 {
        self.encapsulation.mtu_overhead(self.underlay_is_ipv6) + self.options_len()
    }

    /// The bytes of the tunnel header, options included.
    #[must_use]
    pub fn tunnel_header_len(&self) -> usize {
        /// All three have eight bytes.
        const WITHOUT_OPTIONS: usize = 8;
        WITHOUT_OPTIONS + usize::from(self.options_len())
    }

    /// The bytes of the outer headers, IP header first.
    pub(crate) fn outer_len(&self) -> usize {
        usize::from(self.mtu_overhead()) - EthernetHeader::LEN
    }

    /// The longest frame from the TAP, Ethernet header included. One tag is not part of the packet that the MTU is about
    /// (IEEE Std 802.3 §3.2.7).
    #[inline]
    pub(crate) fn frame_limit(&self, is_tagged: bool) -> usize {
        usize::from(self.mtu) + EthernetHeader::LEN + if is_tagged { VlanTag::LEN } else { 0 }
    }

    /// The longest frame that fits every path behind its outer headers.
    pub(crate) fn fits_always(&self) -> usize {
        if self.fragments == Fragments::Allowed {
            return usize::MAX;
        }
        usize::from(path_mtu::least(self.underlay_is_ipv6)).saturating_sub(self.outer_len())
    }

    fn options_len(&self) -> u16 {
        /// Class, type and length.
        const HEADER: usize = 4;
        let options: usize = self.options.iter().map(|option| HEADER + option.data.len()).sum();
        options.min(Options::MAX_LEN) as u16
    }
}

impl SegmentConfig {
    /// What tells its datagrams from those of other segments.
    pub(crate) const fn wire_key(&self) -> WireKey {
        (self.encapsulation, self.underlay, self.port, self.vni)
    }
}

/// Whose datagrams a segment takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Deserialize, serde::Serialize), serde(rename_all = "lowercase"))]
pub enum Sources {
    /// Those from remotes that the flood list or a static row names.
    Configured,
    /// All.
    Any,
}

/// What a set reserved bit means.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Deserialize, serde::Serialize), serde(rename_all = "lowercase"))]
pub enum ReservedBits {
    /// Nothing (RFC 7348 §5: ignored on receipt).
    Ignore,
    /// A drop, as in Linux and Open vSwitch.
    Reject,
}

/// Whether the datagrams of a segment may be fragmented on their way.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Fragments {
    /// No: they have DF, and the path MTU to a remote limits what is sent there (RFC 7348 §4.3).
    Never,
    /// Yes, by whom they don't fit.
    Allowed,
}

/// What becomes of the maximum segment size in a TCP SYN, in either direction.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Mss {
    /// It stays.
    Keep,
    /// It is lowered to what fits the segment and the path (RFC 6691).
    Clamp,
}

/// What becomes of a frame with a VLAN tag (802.1Q or 802.1ad), in either direction.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Deserialize, serde::Serialize), serde(rename_all = "lowercase"))]
pub enum Vlan {
    /// It is dropped (RFC 7348 §6.1).
    Drop,
    /// It is carried as it is.
    Carry,
}

/// The outer TTL or hop limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Ttl {
    /// Always this.
    Fixed(u8),
    /// That of the inner IP packet; 64 for other frames.
    Inherit,
}

/// The outer differentiated services code point.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Dscp {
    /// Always this, 0 to 63.
    Fixed(u8),
    /// That of the inner IP packet; 0 for other frames.
    Inherit,
}

/// A segment as the data lanes see it: one immutable value that a change replaces.
#[derive(Debug)]
pub(crate) struct Segment {
    pub(crate) id: SegmentId,
    pub(crate) config: SegmentConfig,
    pub(crate) headers: TunnelHeaders,
    /// A frame of so many bytes fits every path.
    pub(crate) fits_always: usize,
    /// Who gets broadcast, unknown unicast and multicast.
    pub(crate) flood: Box<[Destination]>,
    /// Remotes that configuration names, sorted: whose datagrams [`Sources::Configured`] takes.
    pub(crate) configured: Box<[RemoteId]>,
    pub(crate) storm: alloc::sync::Arc<StormBuckets>,
    pub(crate) counters: alloc::sync::Arc<[SegmentCounters]>,
    /// The tunnels of all segments.
    pub(crate) own_tunnels: alloc::sync::Arc<OwnTunnels>,
}

/// Where a datagram goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Destination {
    /// The remote in the endpoint's table.
    pub remote: RemoteId,
    /// Its address: unicast, or an IP multicast group.
    pub address: IpAddr,
    /// The UDP port.
    pub port: u16,
}

/// All segments at one moment.
#[derive(Debug, Default)]
pub(crate) struct Segments {
    /// By [`SegmentId`]: a removed one leaves its place empty.
    pub(crate) by_id: Vec<Option<alloc::sync::Arc<Segment>>>,
    /// Sorted by what a datagram brings.
    by_wire: Box<[(WireKey, u32)]>,
}

/// What tells segments apart on the wire.
pub(crate) type WireKey = (Encapsulation, u8, u16, Vni);

impl Segments {
    pub(crate) fn new(by_id: Vec<Option<alloc::sync::Arc<Segment>>>) -> Self {
        let mut by_wire: Vec<_> =
            by_id.iter().flatten().map(|segment| (segment.config.wire_key(), segment.id.get())).collect();
        by_wire.sort_unstable();
        Self { by_id, by_wire: by_wire.into_boxed_slice() }
    }

    pub(crate) fn get(&self, id: SegmentId) -> Option<&Segment> {
        self.by_id.get(id.get() as usize)?.as_deref()
    }

    pub(crate) fn on_wire(&self, key: WireKey) -> Option<&Segment> {
        let place = self.by_wire.binary_search_by(|(other, _)| other.cmp(&key)).ok()?;
        self.by_id.get(self.by_wire[place].1 as usize)?.as_deref()
    }
}
