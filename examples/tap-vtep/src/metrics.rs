//! What Prometheus scrapes: the endpoint's own statistics, read when somebody asks. Nothing is counted twice.

mod exposition;
mod server;

use std::{
    collections::BTreeMap,
    fmt,
    net::IpAddr,
    sync::Arc,
    time::{SystemTime, UNIX_EPOCH},
};

use prometheus_client::{
    collector::Collector,
    encoding::{DescriptorEncoder, EncodeLabelSet, EncodeMetric as _},
    metrics::{MetricType, counter::ConstCounter, gauge::ConstGauge},
    registry::Unit,
};
use vtep::{DropCounts, RemoteStatus, SegmentId, SegmentStatistics};

pub(crate) use self::server::Server;
use crate::state::{Segment, State};

/// The most remotes that a scrape names: who is behind learned rows is for others to say, and each would be a time series.
const MAX_REMOTES: usize = 4096;

/// Of a family that has one sample.
const NO_LABELS: [(&str, &str); 0] = [];

/// The running endpoint as a source of metrics.
struct Measured(Arc<State>);

impl fmt::Debug for Measured {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Measured")
    }
}

impl Collector for Measured {
    fn encode(&self, encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let state = &self.0;
        let mut families = Families(encoder);
        families.info("build", "The program", &[("version", env!("CARGO_PKG_VERSION"))])?;
        families.gauges("workers", "Threads that carry frames", None, [(NO_LABELS, number(state.pulses.len()))])?;
        encode_segments(&mut families, state)?;
        encode_remotes(&mut families, state)
    }
}

/// A segment with what it has counted.
struct Counted {
    segment: Segment,
    statistics: SegmentStatistics,
}

fn encode_segments(families: &mut Families<'_>, state: &State) -> fmt::Result {
    let endpoint = &state.endpoint;
    let counted: Vec<_> = (state.segments().iter())
        .filter_map(|segment| Some(Counted { segment: segment.clone(), statistics: endpoint.statistics(segment.id)? }))
        .collect();
    let neighbors = neighbors(state);

    let about = "A segment and how it is carried; always 1";
    families.gauges(
        "segment_info",
        about,
        None,
        counted.iter().map(|Counted { segment, .. }| {
            let options = &segment.plan.options;
            let labels = [
                ("segment", segment.name().to_owned()),
                ("encapsulation", options.rules.encapsulation.as_str().to_owned()),
                ("vni", options.rules.vni.to_string()),
                ("tap", options.tap.clone()),
            ];
            (labels, 1)
        }),
    )?;
    let mut counters = |name, help, unit: Option<&Unit>, count: fn(&SegmentStatistics) -> u64| {
        families.counters(name, help, unit, counted.iter().map(|row| (row.label(), count(&row.statistics))))
    };
    counters("transmit_frames", "Frames from the TAP that were sent to at least one remote", None, |s| s.tx_frames)?;
    let help = "Bytes of these frames, inner Ethernet header included, each frame once";
    counters("transmit", help, Some(&Unit::Bytes), |s| s.tx_bytes)?;
    counters("receive_frames", "Frames from tunnels that were delivered to the TAP", None, |s| s.rx_frames)?;
    let help = "Bytes of these frames, inner Ethernet header included";
    counters("receive", help, Some(&Unit::Bytes), |s| s.rx_bytes)?;
    counters("flooded_frames", "Of the frames sent, those that went to the flood list", None, |s| s.flooded)?;
    let help = "Questions from the TAP that were answered here, or held because they were flooded just before";
    counters("suppressed_frames", help, None, |s| s.suppressed)?;

    let outer = endpoint.drops();
    let drops = counted.iter().map(|row| (row.segment.name(), &row.statistics.drops)).chain([("", &outer)]);
    let help = "Frames and datagrams that were neither sent nor delivered; without a segment where they belong to none";
    families.counters("drops", help, None, drops.flat_map(|(segment, drops)| by_reason(segment, drops)))?;
    let help = "Source MAC addresses that were not learned, though their frames went on";
    families.counters(
        "not_learned",
        help,
        None,
        counted.iter().flat_map(|row| {
            let not_learned = row.statistics.not_learned;
            [
                ("table_full", not_learned.table_full),
                ("dampened", not_learned.dampened),
                ("invalid_mac", not_learned.invalid_mac),
            ]
            .map(|(reason, count)| ([("segment", row.segment.name()), ("reason", reason)], count))
        }),
    )?;

    let mut gauges = |name, help, unit: Option<&Unit>, value: &dyn Fn(&Segment) -> usize| {
        let samples = counted.iter().map(|row| (row.label(), number(value(&row.segment))));
        families.gauges(name, help, unit, samples)
    };
    gauges("fdb_entries", "Rows of the forwarding table", None, &|segment| endpoint.entries(segment.id))?;
    let known = |segment: &Segment| neighbors.get(&segment.id).copied().unwrap_or(0);
    gauges("neighbor_entries", "Rows of the neighbour table", None, &known)?;
    let help = "The largest inner IP packet";
    gauges("segment_mtu", help, Some(&Unit::Bytes), &|segment| segment.plan.options.rules.mtu.into())
}

impl Counted {
    fn label(&self) -> [(&'static str, &str); 1] {
        [("segment", self.segment.name())]
    }
}

fn by_reason<'a>(segment: &'a str, drops: &'a DropCounts) -> impl Iterator<Item = ([(&'static str, &'a str); 2], u64)> {
    drops.iter().map(move |(reason, count)| ([("segment", segment), ("reason", reason.as_str())], count))
}

fn number(value: usize) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

/// How many neighbour rows each segment has.
fn neighbors(state: &State) -> BTreeMap<SegmentId, usize> {
    let mut counts = BTreeMap::new();
    let mut after = None;
    loop {
        let page = state.endpoint.neighbors(after, 4096, state.now());
        let Some(last) = page.last() else { return counts };
        after = Some((last.segment, last.address));
        for row in page {
            *counts.entry(row.segment).or_default() += 1;
        }
    }
}

fn encode_remotes(families: &mut Families<'_>, state: &State) -> fmt::Result {
    let mut remotes = state.endpoint.remotes(state.now());
    families.gauges("remotes", "Other endpoints that are known", None, [(NO_LABELS, number(remotes.len()))])?;
    remotes.truncate(MAX_REMOTES);
    let label = |address: IpAddr| [("remote", address.to_string())];
    let mut counters = |name, help, count: fn(&RemoteStatus) -> u64| {
        families.counters(name, help, None, remotes.iter().map(|remote| (label(remote.address), count(remote))))
    };
    counters("remote_transmit_packets", "Datagrams sent to a remote", |remote| remote.tx_packets)?;
    counters("remote_receive_packets", "Datagrams taken from a remote", |remote| remote.rx_packets)?;
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let heard = remotes.iter().filter_map(|remote| {
        let heard = now.saturating_sub(remote.last_heard?);
        Some((label(remote.address), i64::try_from(heard.as_secs()).unwrap_or(i64::MAX)))
    });
    let help = "When the last datagram came from a remote, since 1970; absent where none came";
    families.gauges("remote_last_heard_timestamp", help, Some(&Unit::Seconds), heard)?;
    let mtu = remotes.iter().map(|remote| (label(remote.address), i64::from(state.underlay_mtu(remote))));
    families.gauges("remote_mtu", "The largest packet on the way to a remote", Some(&Unit::Bytes), mtu)
}

/// Writes metric families, each with its samples.
struct Families<'a>(DescriptorEncoder<'a>);

impl Families<'_> {
    fn counters<L: EncodeLabelSet>(
        &mut self,
        name: &str,
        help: &str,
        unit: Option<&Unit>,
        samples: impl IntoIterator<Item = (L, u64)>,
    ) -> fmt::Result {
        let mut family = self.0.encode_descriptor(name, help, unit, MetricType::Counter)?;
        samples
            .into_iter()
            .try_for_each(|(labels, value)| ConstCounter::new(value).encode(family.encode_family(&labels)?))
    }

    fn gauges<L: EncodeLabelSet>(
        &mut self,
        name: &str,
        help: &str,
        unit: Option<&Unit>,
        samples: impl IntoIterator<Item = (L, i64)>,
    ) -> fmt::Result {
        let mut family = self.0.encode_descriptor(name, help, unit, MetricType::Gauge)?;
        samples
            .into_iter()
            .try_for_each(|(labels, value)| ConstGauge::new(value).encode(family.encode_family(&labels)?))
    }

    fn info(&mut self, name: &str, help: &str, labels: &[(&str, &str)]) -> fmt::Result {
        self.0.encode_descriptor(name, help, None, MetricType::Info)?.encode_info(&labels)
    }
}
