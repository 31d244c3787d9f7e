//! What `tap-vtep run` is told, by a configuration file or by options: read, checked, and explained where it is wrong.

mod defence;
mod segment;
mod values;

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt, fs, io,
    net::{IpAddr, SocketAddr},
    ops::Range,
    path::{Path, PathBuf},
    time::Duration,
};

use clap::ValueEnum;
use ipnet::IpNet;
use overlay_types::{MacAddr, Vni};
use serde::{Deserialize, de::IgnoredAny};
use thiserror::Error;
use toml::Spanned;
use vtep::{Encapsulation, SegmentConfig};

use self::segment::SegmentTable;
pub(crate) use self::values::Local;
use self::values::{Age, Locals};
use crate::{cli::RunOptions, worker::WorkerOptions};

/// Every IPv4 host must take packets of 576 bytes (RFC 791 §3.1); less is a slip of the pen.
pub(crate) const MIN_MTU: u16 = 576;
/// What one UDP datagram holds behind VXLAN, Ethernet and a VLAN tag, over IPv4 and IPv6.
pub(crate) const MAX_MTU: u16 = 65_535 - 40 - 8 - 8 - 14 - 4;
/// Linux's `IFNAMSIZ` less the final zero.
const MAX_INTERFACE_NAME: usize = 15;
/// The most addresses of the underlay: each takes sockets of its own.
const MAX_LOCALS: usize = 16;
/// The most workers: a TAP has up to 256 queues, and no machine gains by so many.
const MAX_WORKERS: usize = 64;

/// How super-frames leave.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum SuperFrames {
    /// As it is faster here: whole where the underlay's interface takes them so or they are NVGRE's, else by the sockets.
    #[default]
    Auto,
    /// Cut by us, and sent by sockets.
    Socket,
    /// Whole, by a helper TAP with tunnel GSO.
    TunnelGso,
}

/// The whole configuration, checked.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Config {
    /// Source addresses of the tunnels; none: the default route's.
    pub(crate) locals: Vec<IpAddr>,
    /// The interface to bind to.
    pub(crate) device: Option<String>,
    pub(crate) super_frames: SuperFrames,
    /// How often paths are probed for black holes; zero for never.
    pub(crate) path_mtu_probe: Duration,
    pub(crate) workers: WorkerOptions,
    /// Where metrics can be had.
    pub(crate) metrics: Option<SocketAddr>,
    pub(crate) segments: Vec<SegmentOptions>,
}

/// One segment, checked.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct SegmentOptions {
    pub(crate) name: String,
    pub(crate) tap: String,
    /// One of the underlay's addresses; `None`: the default route's.
    pub(crate) local: Option<IpAddr>,
    /// `None`: the underlay's less the overhead.
    pub(crate) mtu: Option<u16>,
    pub(crate) addresses: Vec<IpNet>,
    /// Unicast addresses, or a multicast group.
    pub(crate) flood: Vec<IpAddr>,
    pub(crate) forwards: Vec<(MacAddr, IpAddr)>,
    pub(crate) neighbors: Vec<(IpAddr, MacAddr)>,
    /// The VLAN that it is on a trunk: a TAP that it shares with others.
    pub(crate) vlan_id: Option<u16>,
    pub(crate) df: bool,
    pub(crate) udp_checksum: bool,
    /// The rest; `mtu` and `underlay_is_ipv6` are set when the underlay is known.
    pub(crate) rules: SegmentConfig,
}

impl SegmentOptions {
    /// The remotes that it names.
    fn remotes(&self) -> impl Iterator<Item = &IpAddr> {
        self.flood.iter().chain(self.forwards.iter().map(|(_, remote)| remote))
    }
}

impl Config {
    /// The family that the remotes ask for, where the configuration says so: `Some(true)` is IPv6.
    pub(crate) fn remotes_are_ipv6(&self) -> Option<bool> {
        self.segments.iter().find_map(|segment| segment.remotes().next()).map(IpAddr::is_ipv6)
    }

    /// Reads and checks a file.
    pub(crate) fn read(file: &Path) -> Result<Self, ConfigError> {
        let text = fs::read_to_string(file)
            .map_err(|error| ConfigError::Read { file: file.to_owned(), error: error.kind() })?;
        Self::parse(&text).map_err(|problem| {
            let (line, column) = problem.place(&text);
            ConfigError::Wrong { file: file.to_owned(), line, column, problem }
        })
    }

    /// The same with what the command line says about the way that it runs: that goes before the file.
    pub(crate) fn with(mut self, options: &RunOptions) -> Result<Self, ConfigError> {
        if let Some(count) = options.workers {
            let problem = |reason| ConfigError::Option(Problem { span: None, key: "--workers".to_owned(), reason });
            check_workers(count).map_err(problem)?;
            self.workers.count = count;
        }
        if let Some(microseconds) = options.busy_poll {
            self.workers.busy_poll = Duration::from_micros(microseconds.into());
        }
        self.workers.io_uring = options.io_uring.or(self.workers.io_uring);
        self.super_frames = options.underlay.unwrap_or(self.super_frames);
        Ok(self)
    }

    fn parse(text: &str) -> Result<Self, Problem> {
        let syntax = |error: &toml::de::Error, key: String| Problem {
            span: error.span(),
            key,
            reason: error.message().lines().collect::<Vec<_>>().join(": "),
        };
        let deserializer = toml::Deserializer::parse(text).map_err(|error| syntax(&error, String::new()))?;
        let file: File = serde_path_to_error::deserialize(deserializer)
            .map_err(|error| syntax(error.inner(), readable(&error.path().to_string())))?;
        file.check()
    }

    /// The configuration that command-line options stand for: one segment, named like its TAP.
    pub(crate) fn from_options(options: &RunOptions) -> Result<Self, ConfigError> {
        let missing = |key: &str| {
            ConfigError::Option(Problem {
                span: None,
                key: format!("--{key}"),
                reason: "is needed where there is no --config".to_owned(),
            })
        };
        let tap = options.tap.clone().ok_or_else(|| missing("tap"))?;
        let vni = options.vni.ok_or_else(|| missing("vni"))?;
        let local = options.local.ok_or_else(|| missing("local"))?;
        let file = File {
            underlay: Underlay {
                local: unplaced(local.into()),
                device: None,
                super_frames: SuperFrames::default(),
                path_mtu_probe: None,
            },
            workers: Workers::default(),
            metrics: None,
            registry: None,
            segment: vec![SegmentTable::from_options(options, tap, vni)],
        };
        file.check().map_err(|problem| {
            // The options have the names of the keys, but for two.
            let key = problem.key.rsplit('.').next().unwrap_or_default();
            let key = match key.split('[').next().unwrap_or_default() {
                "flood" => "remote",
                "name" => "tap",
                key => key,
            };
            ConfigError::Option(Problem { key: format!("--{key}"), ..problem })
        })
    }
}

/// Why a configuration is refused: one line that says what and where.
#[derive(Debug, Error)]
pub(crate) enum ConfigError {
    #[error("{}: {error}", file.display())]
    Read { file: PathBuf, error: io::ErrorKind },
    #[error("{}:{line}:{column}: {problem}", file.display())]
    Wrong { file: PathBuf, line: usize, column: usize, problem: Problem },
    #[error("{0}")]
    Option(Problem),
}

/// What is wrong with which key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Problem {
    span: Option<Range<usize>>,
    key: String,
    reason: String,
}

impl Problem {
    fn at<T>(value: &Spanned<T>, key: impl Into<String>, reason: impl fmt::Display) -> Self {
        Self { span: Some(value.span()), key: key.into(), reason: reason.to_string() }
    }

    /// Line and column, from 1.
    fn place(&self, text: &str) -> (usize, usize) {
        let start = self.span.as_ref().map_or(0, |span| span.start).min(text.len());
        let before = &text.as_bytes()[..start];
        let line = before.split(|byte| *byte == b'\n').count();
        let column = before.iter().rev().take_while(|byte| **byte != b'\n').count() + 1;
        (line, column)
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.key.is_empty() || self.key == "." {
            write!(f, "{}", self.reason)
        } else {
            write!(f, "{}: {}", self.key, self.reason)
        }
    }
}

/// A value that stands in no file.
fn unplaced<T>(value: T) -> Spanned<T> {
    Spanned::new(0..0, value)
}

/// The path of a key without the steps that only the reader of positions takes.
fn readable(path: &str) -> String {
    path.split('.').filter(|step| !step.starts_with("$__")).collect::<Vec<_>>().join(".")
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    underlay: Underlay,
    #[serde(default)]
    workers: Workers,
    metrics: Option<Metrics>,
    registry: Option<Spanned<IgnoredAny>>,
    #[serde(default)]
    segment: Vec<SegmentTable>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Underlay {
    local: Spanned<Locals>,
    device: Option<Spanned<String>>,
    #[serde(default)]
    super_frames: SuperFrames,
    path_mtu_probe: Option<Age>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Workers {
    count: Spanned<usize>,
    /// Microseconds, as `net.core.busy_poll` has them.
    busy_poll: u32,
    io_uring: Option<bool>,
}

impl Default for Workers {
    fn default() -> Self {
        Self { count: unplaced(1), busy_poll: 0, io_uring: None }
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Metrics {
    listen: Spanned<SocketAddr>,
}

impl Metrics {
    fn check(&self) -> Result<SocketAddr, Problem> {
        let listen = *self.listen.get_ref();
        if listen.port() == 0 || listen.ip().is_multicast() {
            let reason = format!("{listen} is not an address and a port to listen on");
            return Err(Problem::at(&self.listen, "metrics.listen", reason));
        }
        Ok(listen)
    }
}

impl File {
    fn check(self) -> Result<Config, Problem> {
        if let Some(section) = &self.registry {
            return Err(Problem::at(section, "registry", "is not supported yet"));
        }
        let metrics = self.metrics.as_ref().map(Metrics::check).transpose()?;
        let locals = check_locals(&self.underlay.local)?;
        if let Some(device) = &self.underlay.device {
            check_interface_name(device, "underlay.device")?;
        }
        let count = *self.workers.count.get_ref();
        check_workers(count).map_err(|reason| Problem::at(&self.workers.count, "workers.count", reason))?;
        let busy_poll = Duration::from_micros(self.workers.busy_poll.into());
        let workers = WorkerOptions { count, busy_poll, io_uring: self.workers.io_uring };
        if self.segment.is_empty() {
            return Err(Problem { span: None, key: "segment".into(), reason: "there is no [[segment]]".into() });
        }
        let mut family = Family::of(&locals);
        let mut taken = Taken::default();
        let mut segments = Vec::with_capacity(self.segment.len());
        for (index, table) in self.segment.into_iter().enumerate() {
            segments.push(table.check(&format!("segment[{index}]"), &locals, &mut family, &mut taken)?);
        }
        let Underlay { device, super_frames, path_mtu_probe, .. } = self.underlay;
        let path_mtu_probe = path_mtu_probe.map_or(Duration::ZERO, |Age(interval)| interval);
        Ok(Config {
            locals,
            device: device.map(Spanned::into_inner),
            super_frames,
            path_mtu_probe,
            workers,
            metrics,
            segments,
        })
    }
}

/// The addresses of the underlay, each once.
fn check_locals(locals: &Spanned<Locals>) -> Result<Vec<IpAddr>, Problem> {
    let problem = |reason| Problem::at(locals, "underlay.local", reason);
    let Locals(addresses) = locals.get_ref();
    for (index, address) in addresses.iter().enumerate() {
        if address.is_unspecified() || address.is_multicast() {
            return Err(problem(format!("{address} is not the address of one host")));
        }
        if addresses[..index].contains(address) {
            return Err(problem(format!("{address} is in the list already")));
        }
    }
    if addresses.len() > MAX_LOCALS {
        return Err(problem(format!("has {} addresses, and {MAX_LOCALS} is the most", addresses.len())));
    }
    Ok(addresses.clone())
}

/// The address family of the underlay, or of a segment where the underlay has both, once something has said it.
#[derive(Clone, Copy)]
struct Family {
    is_ipv6: Option<bool>,
}

impl Family {
    /// What these addresses say: nothing where there are none, or both families.
    fn of(locals: &[IpAddr]) -> Self {
        let is_ipv6 = locals.first().map(IpAddr::is_ipv6);
        Self { is_ipv6: is_ipv6.filter(|is_ipv6| locals.iter().all(|local| local.is_ipv6() == *is_ipv6)) }
    }

    fn check(&mut self, address: &Spanned<IpAddr>, key: &str) -> Result<IpAddr, Problem> {
        let value = *address.get_ref();
        let is_ipv6 = *self.is_ipv6.get_or_insert(value.is_ipv6());
        if value.is_ipv6() != is_ipv6 {
            let (this, underlay) = if is_ipv6 { ("IPv4", "IPv6") } else { ("IPv6", "IPv4") };
            return Err(Problem::at(
                address,
                key,
                format!("{value} is an {this} address and the underlay is {underlay}"),
            ));
        }
        if value.is_unspecified() {
            return Err(Problem::at(address, key, format!("{value} is not the address of one host")));
        }
        Ok(value)
    }
}

/// What two segments cannot share.
#[derive(Default)]
struct Taken {
    names: BTreeSet<String>,
    /// Each with its segment, and the segment of each VLAN where it is a trunk.
    taps: BTreeMap<String, (String, BTreeMap<u16, String>)>,
    vnis: BTreeMap<(Encapsulation, Option<IpAddr>, u16, Vni), String>,
    /// UDP ports of addresses, each with the encapsulation that is spoken there.
    ports: BTreeMap<(Option<IpAddr>, u16), Encapsulation>,
    /// Who sends zero checksums over IPv6, by address and port.
    zero_checksums: BTreeMap<(Option<IpAddr>, u16), String>,
    /// Who takes datagrams from anybody over IPv6.
    any_sources: BTreeMap<(Option<IpAddr>, u16), String>,
}

fn check_workers(count: usize) -> Result<(), String> {
    if (1..=MAX_WORKERS).contains(&count) {
        return Ok(());
    }
    Err(format!("{count} is not a number of workers, which is 1 to {MAX_WORKERS}"))
}

fn check_interface_name(name: &Spanned<String>, key: &str) -> Result<(), Problem> {
    let text = name.get_ref();
    if text.len() > MAX_INTERFACE_NAME {
        let reason = format!("\"{text}\" has {} bytes, an interface name has at most {MAX_INTERFACE_NAME}", text.len());
        return Err(Problem::at(name, key, reason));
    }
    // What the kernel refuses, and `%`, which it would fill in.
    let refused = |character: char| character.is_whitespace() || character.is_control() || "/:%".contains(character);
    if text.is_empty() || text == "." || text == ".." || text.contains(refused) {
        return Err(Problem::at(name, key, format!("\"{text}\" is not an interface name")));
    }
    Ok(())
}

#[cfg(test)]
mod tests;
