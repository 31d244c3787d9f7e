//! The endpoint and its control lane: segments, remotes, rows, statistics and time.

use alloc::{boxed::Box, collections::BTreeMap, sync::Arc, vec::Vec};
use core::{
    iter,
    net::IpAddr,
    sync::atomic::{AtomicBool, AtomicU64, Ordering},
    time::Duration,
};

use ether_wire::flow::FlowHasher;
use fdb::{
    FloodList, Flush, Forward, ForwardingTable, InsertError, Neighbor, NeighborError, NeighborOptions, NeighborTable,
    Origin, RemoteId, RemoteTable, SegmentId, SegmentOptions, TableOptions,
};
use overlay_types::MacAddr;
use spin::Mutex;

use crate::{
    ControlError, DataLane, Dscp, SegmentConfig,
    counters::{LaneCounters, SegmentCounters},
    encapsulation::TunnelHeaders,
    path_mtu::PathMtus,
    routing_loop::OwnTunnels,
    segment::{Destination, Segment, Segments},
    storm::StormBuckets,
};

/// How often the tables are swept for rows past their age.
const SWEEP_INTERVAL: Duration = Duration::from_millis(500);
/// Rows that one sweep looks at: bounds the time of one [`Endpoint::handle_timeout`].
const SWEEP_BUDGET: usize = 1 << 18;
/// Neighbours that one sweep looks at under one lock, which who learns one waits for.
const NEIGHBOR_BUDGET: usize = 1 << 14;
/// A host has an IPv4 address and some of IPv6.
const ADDRESSES_PER_ENTRY: u32 = 4;
/// How long a remote that only learning knows is remembered without rows and without being heard.
const REMOTE_IDLE: Duration = Duration::from_secs(60);

/// Sizes and the secret of an [`Endpoint`].
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct EndpointOptions {
    /// Random bytes, new for each process: they key the flow hash and the tables, so that nobody outside can aim at a
    /// source port or a bucket.
    pub secret: [u8; 16],
    /// How many [`DataLane`]s there can be at a time. Default 1.
    pub lanes: usize,
    /// The most learned rows of all segments. Default 2²⁰.
    pub max_learned: usize,
    /// The most remotes. Default 65,536.
    pub max_remotes: u32,
    /// The most neighbour rows. Default 2²⁰.
    pub max_neighbors: u32,
}

impl EndpointOptions {
    /// The defaults, with this secret.
    #[must_use]
    pub const fn new(secret: [u8; 16]) -> Self {
        Self { secret, lanes: 1, max_learned: 1 << 20, max_remotes: 1 << 16, max_neighbors: 1 << 20 }
    }
}

/// A tunnel endpoint: its segments and tables. See the [crate's page](crate).
///
/// Its methods are the control lane: they take `&self`, may be called from any thread, wait for each other, and never
/// make a [`DataLane`] wait longer than it takes to copy a pointer.
#[derive(Debug)]
pub struct Endpoint {
    pub(crate) shared: Arc<Shared>,
    control: Mutex<Control>,
}

/// What the lanes read.
#[derive(Debug)]
pub(crate) struct Shared {
    /// Goes up with each change of `segments`.
    pub(crate) version: AtomicU64,
    segments: Mutex<Arc<Segments>>,
    pub(crate) forwarding: ForwardingTable,
    pub(crate) remotes: RemoteTable,
    pub(crate) neighbors: NeighborTable,
    pub(crate) path_mtus: PathMtus,
    pub(crate) hasher: FlowHasher,
    pub(crate) lane_counters: Box<[LaneCounters]>,
    pub(crate) lanes_taken: Box<[AtomicBool]>,
}

impl Shared {
    /// The segments now, and their version.
    pub(crate) fn current(&self) -> (u64, Arc<Segments>) {
        let segments = self.segments.lock();
        (self.version.load(Ordering::Acquire), Arc::clone(&segments))
    }

    fn publish(&self, segments: Segments) {
        let mut current = self.segments.lock();
        *current = Arc::new(segments);
        self.version.fetch_add(1, Ordering::Release);
    }
}

/// What only the control lane knows.
#[derive(Debug, Default)]
struct Control {
    /// By [`SegmentId`].
    segments: Vec<Option<SegmentControl>>,
    /// The addresses that our tunnels come from.
    local: Box<[IpAddr]>,
    next_sweep: Duration,
}

#[derive(Debug)]
struct SegmentControl {
    config: SegmentConfig,
    headers: TunnelHeaders,
    flood: FloodList,
    static_rows: BTreeMap<MacAddr, RemoteId>,
    /// How many flood entries and static rows name a remote.
    named: BTreeMap<RemoteId, u32>,
    storm: Arc<StormBuckets>,
    counters: Arc<[SegmentCounters]>,
}

impl SegmentControl {
    fn name(&mut self, remote: RemoteId) {
        *self.named.entry(remote).or_default() += 1;
    }

    /// Undoes one [`name`](Self::name).
    fn unname(&mut self, remote: RemoteId) {
        if let Some(count) = self.named.get_mut(&remote) {
            *count -= 1;
            if *count == 0 {
                self.named.remove(&remote);
            }
        }
    }
}

impl Endpoint {
    /// An endpoint without segments.
    #[must_use]
    pub fn new(options: EndpointOptions) -> Self {
        let lanes = options.lanes.max(1);
        // Four uses of one secret, kept apart by its last byte.
        let secret = |purpose: u8| {
            let mut secret = options.secret;
            secret[15] ^= purpose;
            secret
        };
        let shared = Shared {
            version: AtomicU64::new(0),
            segments: Mutex::new(Arc::default()),
            forwarding: ForwardingTable::new(TableOptions {
                max_learned: options.max_learned,
                ..TableOptions::new(secret(1))
            }),
            remotes: RemoteTable::new(secret(2), options.max_remotes),
            neighbors: NeighborTable::new(secret(3), options.max_neighbors),
            path_mtus: PathMtus::default(),
            hasher: FlowHasher::new(secret(4)),
            lane_counters: iter::repeat_with(LaneCounters::default).take(lanes).collect(),
            lanes_taken: iter::repeat_with(|| AtomicBool::new(false)).take(lanes).collect(),
        };
        Self { shared: Arc::new(shared), control: Mutex::default() }
    }

    /// A data lane for one worker, or `None` when as many as [`EndpointOptions::lanes`] says are in use.
    #[must_use]
    pub fn lane(&self) -> Option<DataLane> {
        let index = self.shared.lanes_taken.iter().position(|taken| !taken.swap(true, Ordering::AcqRel))?;
        Some(DataLane::new(Arc::clone(&self.shared), index))
    }

    /// Adds a segment, without remotes.
    ///
    /// # Errors
    ///
    /// [`ControlError::DuplicateVni`] when a segment of this underlay has this VNI on this port and encapsulation already;
    /// [`ControlError::InvalidConfig`] for a field out of its range.
    pub fn add_segment(&self, config: SegmentConfig) -> Result<SegmentId, ControlError> {
        let headers = check(&config)?;
        let mut control = self.control.lock();
        let same = |other: &SegmentControl| other.config.wire_key() == config.wire_key();
        if control.segments.iter().flatten().any(same) {
            return Err(ControlError::DuplicateVni);
        }
        let place = control.segments.iter().position(Option::is_none).unwrap_or(control.segments.len());
        let id = u32::try_from(place).ok().and_then(SegmentId::new).ok_or(ControlError::TooManySegments)?;
        self.shared.forwarding.add_segment(id, table_options(&config));
        self.shared.neighbors.add_segment(id, neighbor_options(&config));
        let segment = SegmentControl {
            config,
            headers,
            flood: FloodList::default(),
            static_rows: BTreeMap::new(),
            named: BTreeMap::new(),
            storm: Arc::default(),
            counters: iter::repeat_with(SegmentCounters::default).take(self.shared.lane_counters.len()).collect(),
        };
        if place == control.segments.len() {
            control.segments.push(Some(segment));
        } else {
            control.segments[place] = Some(segment);
        }
        self.publish(&control);
        Ok(id)
    }

    /// Removes a segment with its rows, remotes and counters.
    ///
    /// # Errors
    ///
    /// [`ControlError::NoSuchSegment`].
    pub fn remove_segment(&self, segment: SegmentId) -> Result<(), ControlError> {
        let mut control = self.control.lock();
        let place = control.segments.get_mut(segment.get() as usize).ok_or(ControlError::NoSuchSegment)?;
        let removed = place.take().ok_or(ControlError::NoSuchSegment)?;
        self.publish(&control);
        self.shared.neighbors.remove_segment(segment);
        self.shared.forwarding.remove_segment(segment);
        for (remote, names) in removed.named {
            for _ in 0..names {
                self.shared.remotes.release(remote);
            }
        }
        Ok(())
    }

    /// Changes the rules of a segment; its rows, remotes and counters stay. Without a MAC in `config` the old one stays, too.
    ///
    /// # Errors
    ///
    /// [`ControlError::NoSuchSegment`]; [`ControlError::InvalidConfig`] for a field out of its range, and for a change of
    /// encapsulation, VNI, port, underlay or address family: those make another segment.
    pub fn set_rules(&self, segment: SegmentId, mut config: SegmentConfig) -> Result<(), ControlError> {
        let headers = check(&config)?;
        let mut control = self.control.lock();
        let state = control.segment(segment)?;
        for (is_same, field) in [
            (config.encapsulation == state.config.encapsulation, "encapsulation"),
            (config.vni == state.config.vni, "vni"),
            (config.port == state.config.port, "port"),
            (config.underlay == state.config.underlay, "underlay"),
            (config.underlay_is_ipv6 == state.config.underlay_is_ipv6, "underlay_is_ipv6"),
        ] {
            if !is_same {
                return Err(ControlError::InvalidConfig { field });
            }
        }
        config.mac = config.mac.or(state.config.mac);
        state.config = config;
        state.headers = headers;
        self.shared.forwarding.add_segment(segment, table_options(&state.config));
        self.shared.neighbors.add_segment(segment, neighbor_options(&state.config));
        self.publish(&control);
        Ok(())
    }

    /// Says which MAC the segment's TAP has, once it is known or when it changes.
    ///
    /// # Errors
    ///
    /// [`ControlError::NoSuchSegment`], [`ControlError::InvalidMac`].
    pub fn set_mac(&self, segment: SegmentId, mac: MacAddr) -> Result<(), ControlError> {
        if !mac.is_unicast() {
            return Err(ControlError::InvalidMac);
        }
        let mut control = self.control.lock();
        control.segment(segment)?.config.mac = Some(mac);
        self.publish(&control);
        Ok(())
    }

    /// Says which addresses our tunnels come from: a packet from one of them to a remote that comes out of a TAP is one of our
    /// own, and goes no further ([`DropReason::RoutingLoop`](crate::DropReason::RoutingLoop)). None are known at first.
    pub fn set_local_addresses(&self, addresses: &[IpAddr]) {
        let mut control = self.control.lock();
        control.local = addresses.into();
        self.publish(&control);
    }

    /// Adds a remote to the flood list: a unicast address (head-end replication) or an IP multicast group.
    ///
    /// `Ok(false)` when it was there.
    ///
    /// # Errors
    ///
    /// [`ControlError::NoSuchSegment`]; [`ControlError::InvalidRemote`] and [`ControlError::OtherFamily`] for the address;
    /// [`ControlError::TooManyRemotes`].
    pub fn add_flood(&self, segment: SegmentId, address: IpAddr) -> Result<bool, ControlError> {
        let mut control = self.control.lock();
        let state = control.segment(segment)?;
        let remote = self.pin(&state.config, address, true)?;
        let added = state.flood.insert(remote);
        if added {
            state.name(remote);
            self.publish(&control);
        } else {
            self.shared.remotes.release(remote);
        }
        Ok(added)
    }

    /// Takes a remote from the flood list. `Ok(false)` when it was not there.
    ///
    /// # Errors
    ///
    /// [`ControlError::NoSuchSegment`].
    pub fn remove_flood(&self, segment: SegmentId, address: IpAddr) -> Result<bool, ControlError> {
        let mut control = self.control.lock();
        let state = control.segment(segment)?;
        let Some(remote) = self.shared.remotes.id_of(address) else { return Ok(false) };
        let removed = state.flood.remove(remote);
        if removed {
            state.unname(remote);
            self.publish(&control);
            self.shared.remotes.release(remote);
        }
        Ok(removed)
    }

    /// Adds a static row: `mac` is behind the remote with this address, whatever frames say. Replaces the row that was there.
    ///
    /// # Errors
    ///
    /// [`ControlError::NoSuchSegment`]; [`ControlError::InvalidMac`]; [`ControlError::InvalidRemote`] and
    /// [`ControlError::OtherFamily`] for the address; [`ControlError::TooManyRemotes`].
    pub fn add_forward(
        &self,
        segment: SegmentId,
        mac: MacAddr,
        address: IpAddr,
        now: Duration,
    ) -> Result<(), ControlError> {
        let mut control = self.control.lock();
        let state = control.segment(segment)?;
        let remote = self.pin(&state.config, address, false)?;
        if let Err(error) = self.shared.forwarding.insert(segment, mac, remote, Origin::Static, now) {
            self.shared.remotes.release(remote);
            return Err(match error {
                InsertError::InvalidMac => ControlError::InvalidMac,
                InsertError::UnknownSegment => ControlError::NoSuchSegment,
                _ => ControlError::TableFull,
            });
        }
        state.name(remote);
        if let Some(old) = state.static_rows.insert(mac, remote) {
            state.unname(old);
            self.shared.remotes.release(old);
        }
        self.publish(&control);
        Ok(())
    }

    /// Removes the row of `mac`, static or learned, and says what it was.
    ///
    /// # Errors
    ///
    /// [`ControlError::NoSuchSegment`], [`ControlError::NoSuchRow`].
    pub fn remove_forward(&self, segment: SegmentId, mac: MacAddr) -> Result<Forward, ControlError> {
        let mut control = self.control.lock();
        let state = control.segment(segment)?;
        let removed = self.shared.forwarding.remove(segment, mac).ok_or(ControlError::NoSuchRow)?;
        if let Some(remote) = state.static_rows.remove(&mac) {
            state.unname(remote);
            self.publish(&control);
            self.shared.remotes.release(remote);
        }
        Ok(removed)
    }

    /// Removes the rows of a segment (`None`: of all) at a remote (`None`: at all); with `learned_only` the learned ones.
    ///
    /// # Errors
    ///
    /// [`ControlError::NoSuchSegment`], [`ControlError::NoSuchRemote`].
    pub fn flush(
        &self,
        segment: Option<SegmentId>,
        remote: Option<IpAddr>,
        learned_only: bool,
    ) -> Result<(), ControlError> {
        let mut control = self.control.lock();
        if let Some(segment) = segment {
            control.segment(segment)?;
        }
        let remote = match remote {
            Some(address) => Some(self.shared.remotes.id_of(address).ok_or(ControlError::NoSuchRemote)?),
            None => None,
        };
        self.shared.forwarding.flush(Flush { segment, remote, learned_only });
        if learned_only {
            return Ok(());
        }
        let mut released = Vec::new();
        for (place, state) in control.segments.iter_mut().enumerate() {
            let Some(state) = state else { continue };
            if segment.is_some_and(|segment| segment.get() as usize != place) {
                continue;
            }
            let before = released.len();
            state.static_rows.retain(|_, row| {
                let keep = remote.is_some_and(|remote| remote != *row);
                if !keep {
                    released.push(*row);
                }
                keep
            });
            for row in &released[before..] {
                state.unname(*row);
            }
        }
        self.publish(&control);
        for remote in released {
            self.shared.remotes.release(remote);
        }
        Ok(())
    }

    /// Adds a static neighbour row: `ip` is at `mac`. Replaces the row that was there.
    ///
    /// # Errors
    ///
    /// [`ControlError::NoSuchSegment`], [`ControlError::InvalidMac`], [`ControlError::InvalidRemote`] for an address that no
    /// host can have.
    pub fn add_neighbor(&self, segment: SegmentId, ip: IpAddr, mac: MacAddr) -> Result<(), ControlError> {
        let mut control = self.control.lock();
        control.segment(segment)?;
        if !mac.is_unicast() {
            return Err(ControlError::InvalidMac);
        }
        if ip.is_unspecified() || ip.is_multicast() {
            return Err(ControlError::InvalidRemote);
        }
        let neighbor = Neighbor::new(mac, Origin::Static);
        self.shared.neighbors.insert(segment, ip, neighbor).map(drop).map_err(|error| match error {
            NeighborError::InvalidMac => ControlError::InvalidMac,
            NeighborError::InvalidAddress => ControlError::InvalidRemote,
            _ => ControlError::TableFull,
        })
    }

    /// Removes the neighbour row of `ip`.
    ///
    /// # Errors
    ///
    /// [`ControlError::NoSuchSegment`], [`ControlError::NoSuchRow`].
    pub fn remove_neighbor(&self, segment: SegmentId, ip: IpAddr) -> Result<(), ControlError> {
        let mut control = self.control.lock();
        control.segment(segment)?;
        self.shared.neighbors.remove(segment, ip).map(drop).ok_or(ControlError::NoSuchRow)
    }

    /// Lets time pass: sweeps rows past their age and remotes that nobody needs. Bounded work; call it again at
    /// [`poll_timeout`](Self::poll_timeout).
    pub fn handle_timeout(&self, now: Duration) {
        let mut control = self.control.lock();
        if now < control.next_sweep {
            return;
        }
        control.next_sweep = now + SWEEP_INTERVAL;
        self.shared.forwarding.age(now, SWEEP_BUDGET);
        self.shared.neighbors.age(now, NEIGHBOR_BUDGET);
        self.shared.remotes.reclaim(now, REMOTE_IDLE, |remote| self.shared.forwarding.remote_in_use(remote));
        self.shared.path_mtus.expire(&self.shared.remotes, now);
    }

    /// When [`handle_timeout`](Self::handle_timeout) next has something to do.
    #[must_use]
    pub fn poll_timeout(&self) -> Duration {
        self.control.lock().next_sweep
    }

    /// The id of a remote that configuration names; undone by `release`.
    fn pin(&self, config: &SegmentConfig, address: IpAddr, group_allowed: bool) -> Result<RemoteId, ControlError> {
        if address.is_unspecified() || (address.is_multicast() && !group_allowed) {
            return Err(ControlError::InvalidRemote);
        }
        if address.is_ipv6() != config.underlay_is_ipv6 {
            return Err(ControlError::OtherFamily);
        }
        self.shared.remotes.insert(fdb::Remote::new(address)).map_err(|_| ControlError::TooManyRemotes)
    }

    /// Makes the control lane's state the one that data lanes see.
    fn publish(&self, control: &Control) {
        let configs = control.segments.iter().flatten().map(|state| &state.config);
        let own_tunnels = Arc::new(OwnTunnels::new(control.local.clone(), configs));
        let by_id = control.segments.iter().enumerate().map(|(place, state)| {
            let state = state.as_ref()?;
            let destination = |remote: RemoteId| {
                let known = self.shared.remotes.get(remote)?;
                Some(Destination { remote, address: known.address, port: known.port.unwrap_or(state.config.port) })
            };
            Some(Arc::new(Segment {
                id: SegmentId::new(u32::try_from(place).ok()?)?,
                headers: state.headers.clone(),
                fits_always: state.config.fits_always(),
                flood: state.flood.iter().filter_map(destination).collect(),
                configured: state.named.keys().copied().collect(),
                config: state.config.clone(),
                storm: Arc::clone(&state.storm),
                counters: Arc::clone(&state.counters),
                own_tunnels: Arc::clone(&own_tunnels),
            }))
        });
        self.shared.publish(Segments::new(by_id.collect()));
    }
}

impl Control {
    fn segment(&mut self, segment: SegmentId) -> Result<&mut SegmentControl, ControlError> {
        self.segments.get_mut(segment.get() as usize).and_then(Option::as_mut).ok_or(ControlError::NoSuchSegment)
    }
}

fn table_options(config: &SegmentConfig) -> SegmentOptions {
    SegmentOptions { max_learned: config.max_entries, ageing: config.ageing, ..Default::default() }
}

fn neighbor_options(config: &SegmentConfig) -> NeighborOptions {
    NeighborOptions { max_learned: config.max_entries.saturating_mul(ADDRESSES_PER_ENTRY), ageing: config.ageing }
}

/// The tunnel headers that follow from rules that are right.
fn check(config: &SegmentConfig) -> Result<TunnelHeaders, ControlError> {
    let invalid = |field| Err(ControlError::InvalidConfig { field });
    if config.encapsulation.is_udp() != (config.port != 0) {
        return invalid("port");
    }
    if config.source_ports.is_empty() || *config.source_ports.start() == 0 {
        return invalid("source_ports");
    }
    if matches!(config.dscp, Dscp::Fixed(dscp) if dscp > 63) {
        return invalid("dscp");
    }
    if config.storm.is_some_and(|storm| !storm.is_valid()) {
        return invalid("storm");
    }
    if config.mac.is_some_and(|mac| !mac.is_unicast()) {
        return Err(ControlError::InvalidMac);
    }
    TunnelHeaders::new(config)
}
