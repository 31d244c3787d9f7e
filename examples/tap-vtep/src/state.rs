//! The running endpoint as questions see it: names for segments, JSON for tables.

use std::{
    net::IpAddr,
    sync::{
        Arc, PoisonError, RwLock,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use serde_json::{Map, Value, json};
use vtep::{
    ControlError, Cursor, DropCounts, Endpoint, NeighborRow, NeighborState, RemoteStatus, RowState, SegmentId,
    SegmentStatistics,
};

use crate::{
    control::{Request, Response, Shown},
    explanation,
    health::{Health, Pulse},
    hex,
    plan::PlannedSegment,
    underlay::{SenderPool, Underlay},
    worker::Remote,
};

/// What the control thread shares with everybody who asks.
pub(crate) struct State {
    pub(crate) endpoint: Endpoint,
    /// By number.
    pub(crate) underlays: Box<[Underlay]>,
    /// One for each worker.
    pub(crate) pulses: Vec<Arc<Pulse>>,
    /// As it was at the last look.
    health: RwLock<Health>,
    /// A change puts a new list in the place of the old one.
    segments: RwLock<Arc<[Segment]>>,
    pub(crate) workers: Vec<Remote>,
    /// Whether somebody captures.
    pub(crate) is_capturing: AtomicBool,
    /// Where `now` counts from.
    pub(crate) origin: Instant,
}

/// A segment that is served.
#[derive(Clone)]
pub(crate) struct Segment {
    pub(crate) id: SegmentId,
    pub(crate) plan: PlannedSegment,
    /// Who sends for it.
    pub(crate) pool: Arc<SenderPool>,
}

impl Segment {
    pub(crate) fn name(&self) -> &str {
        &self.plan.options.name
    }
}

impl State {
    pub(crate) fn new(endpoint: Endpoint, underlays: Box<[Underlay]>, workers: Vec<Remote>, origin: Instant) -> Self {
        let (health, segments) = (RwLock::default(), RwLock::new(Arc::new([]) as Arc<[_]>));
        let pulses = workers.iter().map(|worker| Arc::clone(&worker.pulse)).collect();
        let is_capturing = AtomicBool::new(false);
        Self { endpoint, underlays, pulses, health, segments, workers, is_capturing, origin }
    }

    /// Whether it can carry frames, as it was at the last look.
    pub(crate) fn health(&self) -> Health {
        self.health.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(crate) fn set_health(&self, health: Health) {
        *self.health.write().unwrap_or_else(PoisonError::into_inner) = health;
    }

    /// The path MTU to a remote: that of the underlay's interface where nothing less is known.
    pub(crate) fn underlay_mtu(&self, remote: &RemoteStatus) -> u32 {
        let segments = self.segments();
        let segment = segments.iter().find(|segment| remote.segments.contains(&segment.id));
        let number = segment.map_or(0, |segment| segment.plan.options.rules.underlay);
        let interface =
            self.underlays.get(usize::from(number)).map_or(0, |underlay| underlay.mtu.load(Ordering::Relaxed));
        remote.path_mtu.map_or(interface, |path| interface.min(path.into()))
    }

    /// The segments that are served now.
    pub(crate) fn segments(&self) -> Arc<[Segment]> {
        Arc::clone(&self.segments.read().unwrap_or_else(PoisonError::into_inner))
    }

    pub(crate) fn set_segments(&self, segments: Vec<Segment>) {
        *self.segments.write().unwrap_or_else(PoisonError::into_inner) = segments.into();
    }

    pub(crate) fn now(&self) -> Duration {
        self.origin.elapsed()
    }

    pub(crate) fn answer(&self, request: Request) -> Response {
        self.view().try_answer(request).unwrap_or_else(Response::wrong)
    }

    /// One line for each segment, and one for what belongs to none where there was something: said at the end.
    pub(crate) fn summary(&self) -> Vec<String> {
        self.view().summary()
    }

    fn view(&self) -> View<'_> {
        View { state: self, segments: self.segments() }
    }
}

/// The running endpoint with the segments that it had when the question came.
struct View<'a> {
    state: &'a State,
    segments: Arc<[Segment]>,
}

impl View<'_> {
    fn try_answer(&self, request: Request) -> Result<Response, String> {
        let refused = |error: ControlError| error.to_string();
        let done = Ok(Response::Done(Value::Null));
        match request {
            Request::Show { what, segment } => self.show(what, segment.as_deref()).map(Response::Done),
            Request::FdbAdd { mac, remote, segment } => {
                let segment = self.one(segment.as_deref())?;
                self.state.endpoint.add_forward(segment.id, mac, remote, self.state.now()).map_err(
                    |error| match error {
                        ControlError::InvalidMac => format!("{mac} is not a unicast MAC address"),
                        error => format!("{remote}: {error}"),
                    },
                )?;
                done
            }
            Request::FdbDel { mac, remote, segment } => {
                let segment = self.one(segment.as_deref())?;
                if let Some(remote) = remote
                    && self.row(segment.id, mac).is_some_and(|there| there != remote)
                {
                    return Err(format!("{mac} is not behind {remote} in segment {}", segment.name()));
                }
                let missing = |_| format!("segment {} has no row for {mac}", segment.name());
                self.state.endpoint.remove_forward(segment.id, mac).map_err(missing)?;
                done
            }
            Request::FdbFlush { segment, remote, learned } => {
                let segment = segment.as_deref().map(|name| self.named(name)).transpose()?;
                self.state.endpoint.flush(segment.map(|segment| segment.id), remote, learned).map_err(|error| {
                    match remote {
                        Some(remote) => format!("{remote}: {error}"),
                        None => error.to_string(),
                    }
                })?;
                done
            }
            Request::NeighborAdd { ip, mac, segment } => {
                let segment = self.one(segment.as_deref())?;
                self.state.endpoint.add_neighbor(segment.id, ip, mac).map_err(|error| match error {
                    ControlError::InvalidMac => format!("{mac} is not a unicast MAC address"),
                    error => format!("{ip}: {error}"),
                })?;
                done
            }
            Request::NeighborDel { ip, mac, segment } => {
                let segment = self.one(segment.as_deref())?;
                let row = self.state.endpoint.neighbor(segment.id, ip);
                let row = row.ok_or_else(|| format!("segment {} has no row for {ip}", segment.name()))?;
                if mac.is_some_and(|mac| mac != row.mac) {
                    return Err(format!("{ip} is at {} in segment {}", row.mac, segment.name()));
                }
                self.state.endpoint.remove_neighbor(segment.id, ip).map_err(refused)?;
                done
            }
            Request::Capture(_) => Err("a capture is more than one answer".to_owned()),
            Request::Explain { segment, from, ecn, bytes } => {
                let bytes = hex::decode(&bytes).map_err(|error| error.to_string())?;
                Ok(Response::Done(match from {
                    None => explanation::of_frame(self.state, self.one(segment.as_deref())?, &bytes)?,
                    Some(remote) => {
                        let socket_of = self.with_socket(segment.as_deref())?;
                        explanation::of_datagram(self.state, socket_of, remote, ecn, &bytes)
                    }
                }))
            }
        }
    }

    /// The segment of this name; without a name, the only one.
    fn one(&self, name: Option<&str>) -> Result<&Segment, String> {
        match (name, &*self.segments) {
            (Some(name), _) => self.named(name),
            (None, [only]) => Ok(only),
            (None, _) => Err(format!("which segment? --segment with one of {}", self.names())),
        }
    }

    /// The segment of this name; without a name one of all, where all have one encapsulation and port.
    fn with_socket(&self, name: Option<&str>) -> Result<&Segment, String> {
        let socket = |segment: &Segment| {
            let rules = &segment.plan.options.rules;
            (rules.encapsulation, rules.port)
        };
        match (name, self.segments.first()) {
            (None, Some(first)) if self.segments.iter().all(|segment| socket(segment) == socket(first)) => Ok(first),
            _ => self.one(name),
        }
    }

    fn named(&self, name: &str) -> Result<&Segment, String> {
        let found = self.segments.iter().find(|segment| segment.name() == name);
        found.ok_or_else(|| format!("no segment is named \"{name}\"; there is {}", self.names()))
    }

    fn names(&self) -> String {
        self.segments.iter().map(Segment::name).collect::<Vec<_>>().join(", ")
    }

    fn name_of(&self, id: SegmentId) -> &str {
        self.segments.iter().find(|segment| segment.id == id).map_or("", Segment::name)
    }

    fn row(&self, segment: SegmentId, mac: overlay_types::MacAddr) -> Option<IpAddr> {
        self.state.endpoint.remote_address(self.state.endpoint.forward(segment, mac)?.remote()?)
    }

    fn rows(&self) -> Vec<vtep::Row> {
        let mut rows = Vec::new();
        let mut cursor = Some(Cursor::default());
        while let Some(from) = cursor {
            let (page, next) = self.state.endpoint.forwards(from, 4096, self.state.now());
            rows.extend(page);
            cursor = next;
        }
        rows
    }

    fn show(&self, what: Shown, segment: Option<&str>) -> Result<Value, String> {
        let only = segment.map(|name| self.named(name)).transpose()?.map(|segment| segment.id);
        let shown: Vec<_> = self.segments.iter().filter(|segment| only.is_none_or(|only| only == segment.id)).collect();
        Ok(match what {
            Shown::Segments => shown.iter().map(|segment| self.segment(segment)).collect(),
            Shown::Fdb => self.forwards(only),
            Shown::Neighbors => self.neighbors(only),
            Shown::Remotes => self.remotes(only),
            Shown::Stats => json!({
                "segments": shown.iter().map(|segment| self.statistics(segment)).collect::<Value>(),
                "drops": drops(&self.state.endpoint.drops()),
            }),
        })
    }

    fn segment(&self, segment: &Segment) -> Value {
        let options = &segment.plan.options;
        let rules = &options.rules;
        json!({
            "name": options.name,
            "encapsulation": rules.encapsulation.as_str(),
            "vni": rules.vni,
            "port": rules.port,
            "tap": options.tap,
            "mtu": rules.mtu,
            "local": segment.plan.local,
            "flood": self.state.endpoint.flood(segment.id),
            "learning": rules.learning,
            "entries": self.state.endpoint.entries(segment.id),
        })
    }

    fn forwards(&self, only: Option<SegmentId>) -> Value {
        let mut rows = self.rows();
        rows.retain(|row| only.is_none_or(|only| only == row.segment));
        rows.sort_unstable_by_key(|row| (row.segment, row.mac));
        let row = |row: vtep::Row| {
            json!({
                "segment": self.name_of(row.segment),
                "mac": row.mac,
                "remote": row.to.remote().and_then(|remote| self.state.endpoint.remote_address(remote)),
                "state": match row.state {
                    RowState::Static => "static",
                    RowState::Registry => "registry",
                    RowState::Learned => "learned",
                },
                "age_s": row.age.map(|age| age.as_secs()),
            })
        };
        rows.into_iter().map(row).collect()
    }

    fn neighbors(&self, only: Option<SegmentId>) -> Value {
        let mut rows: Vec<NeighborRow> = Vec::new();
        loop {
            let after = rows.last().map(|row| (row.segment, row.address));
            let page = self.state.endpoint.neighbors(after, 4096, self.state.now());
            if page.is_empty() {
                break;
            }
            rows.extend(page);
        }
        let row = |row: NeighborRow| {
            json!({
                "segment": self.name_of(row.segment),
                "ip": row.address,
                "mac": row.neighbor.mac,
                "state": match row.neighbor.state {
                    NeighborState::Static => "static",
                    NeighborState::Registry => "registry",
                    NeighborState::Learned => "learned",
                },
            })
        };
        rows.into_iter().filter(|row| only.is_none_or(|only| only == row.segment)).map(row).collect()
    }

    fn remotes(&self, only: Option<SegmentId>) -> Value {
        let remotes = self.state.endpoint.remotes(self.state.now()).into_iter();
        let remotes = remotes.filter(|remote| only.is_none_or(|only| remote.segments.contains(&only)));
        let remote = |remote: RemoteStatus| {
            json!({
                "address": remote.address,
                "segments": remote.segments.iter().map(|id| self.name_of(*id)).collect::<Vec<_>>(),
                "tx_packets": remote.tx_packets,
                "rx_packets": remote.rx_packets,
                "mtu": self.state.underlay_mtu(&remote),
                "last_heard_s": remote.last_heard.map(|heard| heard.as_secs()),
            })
        };
        remotes.map(remote).collect()
    }

    fn statistics(&self, segment: &Segment) -> Value {
        let statistics = self.state.endpoint.statistics(segment.id).unwrap_or_default();
        let SegmentStatistics {
            tx_frames,
            tx_bytes,
            rx_frames,
            rx_bytes,
            flooded,
            suppressed,
            drops: dropped,
            not_learned,
            neighbors,
            ..
        } = statistics;
        json!({
            "name": segment.name(),
            "tx_frames": tx_frames,
            "tx_bytes": tx_bytes,
            "rx_frames": rx_frames,
            "rx_bytes": rx_bytes,
            "flooded": flooded,
            "suppressed": suppressed,
            "drops": drops(&dropped),
            "not_learned": {
                "table_full": not_learned.table_full,
                "dampened": not_learned.dampened,
                "invalid_mac": not_learned.invalid_mac,
            },
            "neighbors": {
                "learned": neighbors.learned,
                "moved": neighbors.moved,
                "aged": neighbors.aged,
                "table_full": neighbors.table_full,
                "duplicate": neighbors.duplicate,
                "answered": neighbors.answered,
                "flooded": neighbors.flooded,
                "held": neighbors.held,
                "passed_on": neighbors.passed_on,
            },
        })
    }

    fn summary(&self) -> Vec<String> {
        let counts = |drops: &DropCounts| {
            let words: Vec<_> = drops
                .iter()
                .filter(|(_, count)| *count > 0)
                .map(|(reason, count)| format!("{reason} {count}"))
                .collect();
            if words.is_empty() { "dropped nothing".to_owned() } else { format!("dropped: {}", words.join(", ")) }
        };
        let segment = |segment: &Segment| {
            let statistics = self.state.endpoint.statistics(segment.id).unwrap_or_default();
            format!(
                "segment {}: sent {} frames ({} bytes), delivered {} frames ({} bytes), {}",
                segment.name(),
                statistics.tx_frames,
                statistics.tx_bytes,
                statistics.rx_frames,
                statistics.rx_bytes,
                counts(&statistics.drops),
            )
        };
        let mut lines: Vec<_> = self.segments.iter().map(segment).collect();
        let drops = self.state.endpoint.drops();
        if drops.total() > 0 {
            lines.push(format!("of no segment: {}", counts(&drops)));
        }
        lines
    }
}

fn drops(counts: &DropCounts) -> Value {
    Value::Object(counts.iter().map(|(reason, count)| (reason.to_string(), count.into())).collect::<Map<_, _>>())
}
