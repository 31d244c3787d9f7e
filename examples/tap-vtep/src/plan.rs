//! What a configuration means on this host: which address, which interface, which MTU.

use std::{
    collections::BTreeMap,
    fmt, io,
    net::{IpAddr, SocketAddr},
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use nvgre_wire::Vsid;
use thiserror::Error;
use vtep::Sources;

use crate::{
    config::{Config, MAX_MTU, MIN_MTU, SegmentOptions, SuperFrames},
    netlink::{Link, Netlink},
    trunk::Mapping,
    underlay::{SendOptions, Underlay},
    worker::WorkerOptions,
};

/// A configuration with everything that the host had to say filled in.
#[derive(Debug)]
pub(crate) struct Plan {
    pub(crate) workers: WorkerOptions,
    pub(crate) super_frames: SuperFrames,
    /// How often paths are probed; zero for never.
    pub(crate) path_mtu_probe: Duration,
    pub(crate) underlays: Vec<PlannedUnderlay>,
    /// Where metrics can be had.
    pub(crate) metrics: Option<SocketAddr>,
    pub(crate) segments: Vec<PlannedSegment>,
}

/// One of our addresses, and where it is.
#[derive(Debug)]
pub(crate) struct PlannedUnderlay {
    pub(crate) underlay: Underlay,
    /// The name of its interface.
    pub(crate) interface: String,
}

impl PlannedUnderlay {
    fn new(number: usize, local: IpAddr, device: Option<&str>, netlink: &Netlink) -> Result<Self, PlanError> {
        let link: Link = match device {
            Some(device) => netlink.link(device)?.ok_or_else(|| PlanError::NoDevice(device.to_owned()))?,
            None => netlink.link_of_address(local)?.ok_or(PlanError::NoInterface(local))?,
        };
        let underlay = Underlay {
            number: number as u8,
            local,
            interface: Arc::new(AtomicU32::new(link.index)),
            device: device.map(str::to_owned),
            // What the kernel can do for datagrams is found out at start.
            segments: false,
            merges: false,
            mtu: Arc::new(AtomicU32::new(link.mtu)),
            tunnel: None,
        };
        Ok(Self { underlay, interface: link.name })
    }

    fn mtu(&self) -> u32 {
        self.underlay.mtu.load(Ordering::Relaxed)
    }
}

/// One segment of a [`Plan`]: `options.rules` is complete.
#[derive(Clone, Debug)]
pub(crate) struct PlannedSegment {
    pub(crate) options: SegmentOptions,
    /// The address that its tunnels come from.
    pub(crate) local: IpAddr,
    /// Whether there is an interface of the TAP's name already.
    pub(crate) tap_exists: bool,
}

impl PlannedSegment {
    /// Where it is on a trunk.
    pub(crate) fn mapping(&self) -> Option<Mapping> {
        let vlan = self.options.vlan_id?;
        Some(Mapping { trunk: self.options.tap.as_str().into(), vlan })
    }

    /// The underlay and the port where zero checksums over IPv6 come, where the segment sends such.
    pub(crate) fn zero_checksum_port(&self) -> Option<(u8, u16)> {
        let rules = &self.options.rules;
        (!self.options.udp_checksum && self.local.is_ipv6()).then_some((rules.underlay, rules.port))
    }

    pub(crate) fn send_options(&self) -> SendOptions {
        SendOptions {
            is_udp: self.options.rules.encapsulation.is_udp(),
            df: self.options.df,
            udp_checksum: self.options.udp_checksum,
            source_ports: self.options.rules.source_ports.clone(),
        }
    }
}

/// Who sends zero checksums over IPv6 must know whom it takes them from (RFC 6936 §5), and a socket takes them for all segments
/// of its port.
fn check_zero_checksums(segments: &[PlannedSegment]) -> Result<(), PlanError> {
    for segment in segments {
        let Some(place) = segment.zero_checksum_port() else { continue };
        let is_open = |other: &&PlannedSegment| {
            let rules = &other.options.rules;
            (rules.underlay, rules.port) == place && rules.sources == Sources::Any
        };
        if let Some(other) = segments.iter().find(is_open) {
            return Err(PlanError::ZeroChecksum {
                segment: segment.options.name.clone(),
                port: place.1,
                other: other.options.name.clone(),
            });
        }
    }
    Ok(())
}

/// Why a configuration cannot be carried out on this host.
#[derive(Debug, Error)]
pub(crate) enum PlanError {
    #[error("cannot ask the kernel for its interfaces: {0}")]
    Netlink(#[from] io::Error),
    #[error("underlay.local is \"auto\", and there is no default route to take an address from")]
    NoDefaultRoute,
    #[error("no interface has the address {0} (underlay.local)")]
    NoInterface(IpAddr),
    #[error("there is no interface {0} (underlay.device)")]
    NoDevice(String),
    #[error("the default route's address is {0}, and the remotes have addresses of the other family")]
    OtherFamily(IpAddr),
    #[error("segment {segment}: the underlay's MTU of {underlay_mtu} leaves {mtu} bytes, and {MIN_MTU} are needed")]
    SmallUnderlay { segment: String, underlay_mtu: u32, mtu: u32 },
    #[error(
        "segment {segment}: udp_checksum = false over IPv6 (RFC 6936) takes sources = \"configured\" in all segments of port {port}; segment {other} takes any"
    )]
    ZeroChecksum { segment: String, port: u16, other: String },
}

impl Plan {
    pub(crate) fn new(config: Config, netlink: &Netlink) -> Result<Self, PlanError> {
        let locals = match &config.locals[..] {
            [] => vec![netlink.default_route_source()?.ok_or(PlanError::NoDefaultRoute)?],
            locals => locals.to_vec(),
        };
        if let [local] = locals[..]
            && config.remotes_are_ipv6().is_some_and(|is_ipv6| is_ipv6 != local.is_ipv6())
        {
            return Err(PlanError::OtherFamily(local));
        }
        let underlays = locals.iter().enumerate();
        let underlays = underlays
            .map(|(number, local)| PlannedUnderlay::new(number, *local, config.device.as_deref(), netlink))
            .collect::<Result<Vec<_>, _>>()?;
        let mut segments = Vec::with_capacity(config.segments.len());
        for mut options in config.segments {
            let of_segment = |planned: &&PlannedUnderlay| options.local == Some(planned.underlay.local);
            let planned = underlays.iter().find(of_segment).unwrap_or(&underlays[0]);
            let (local, underlay_mtu) = (planned.underlay.local, planned.mtu());
            // Members of a mesh may share one list: each passes over itself.
            options.flood.retain(|remote| !locals.contains(remote));
            options.forwards.retain(|(_, remote)| !locals.contains(remote));
            let rules = &mut options.rules;
            rules.underlay = planned.underlay.number;
            rules.underlay_is_ipv6 = local.is_ipv6();
            let mtu = underlay_mtu.saturating_sub(rules.mtu_overhead().into());
            if options.mtu.is_none() && mtu < MIN_MTU.into() {
                return Err(PlanError::SmallUnderlay { segment: options.name, underlay_mtu, mtu });
            }
            let tap_exists = netlink.link(&options.tap)?.is_some();
            segments.push(PlannedSegment { options, local, tap_exists });
        }
        set_mtus(&mut segments, |number| underlays[usize::from(number)].mtu());
        check_zero_checksums(&segments)?;
        let Config { workers, super_frames, path_mtu_probe, metrics, .. } = config;
        Ok(Self { workers, super_frames, path_mtu_probe, underlays, metrics, segments })
    }
}

/// Each segment has the MTU that is configured, or what its underlay's leaves; `of_underlay` has the latter by number.
pub(crate) fn set_mtus(segments: &mut [PlannedSegment], of_underlay: impl Fn(u8) -> u32) {
    for PlannedSegment { options, .. } in &mut *segments {
        let rules = &mut options.rules;
        let fitting = of_underlay(rules.underlay).saturating_sub(rules.mtu_overhead().into());
        rules.mtu = options.mtu.unwrap_or(fitting.clamp(MIN_MTU.into(), MAX_MTU.into()) as u16);
    }
    share_mtu(segments);
}

/// The TAP of a trunk has one MTU, which all its segments can carry.
fn share_mtu(segments: &mut [PlannedSegment]) {
    let mut smallest: BTreeMap<String, u16> = BTreeMap::new();
    for PlannedSegment { options, .. } in segments.iter().filter(|segment| segment.options.vlan_id.is_some()) {
        let mtu = smallest.entry(options.tap.clone()).or_insert(options.rules.mtu);
        *mtu = options.rules.mtu.min(*mtu);
    }
    for PlannedSegment { options, .. } in segments {
        options.rules.mtu = smallest.get(&options.tap).copied().unwrap_or(options.rules.mtu);
    }
}

/// What `tap-vtep check` prints.
impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for planned in &self.underlays {
            let Underlay { local, device, .. } = &planned.underlay;
            write!(f, "underlay: from {local}, MTU {}", planned.mtu())?;
            match device {
                Some(device) => writeln!(f, ", bound to {device}")?,
                None => writeln!(f)?,
            }
        }
        if let Some(listen) = self.metrics {
            writeln!(f, "metrics: http://{listen}/metrics, health: http://{listen}/healthz")?;
        }
        for PlannedSegment { options, local, tap_exists } in &self.segments {
            let rules = &options.rules;
            let what = if *tap_exists { "attached to" } else { "made" };
            write!(f, "segment {}: {}", options.name, rules.encapsulation)?;
            if rules.encapsulation.is_udp() {
                writeln!(f, " VNI {}, UDP port {}", rules.vni, rules.port)?;
            } else {
                let reserved = if Vsid::is_reserved(rules.vni.get()) { ", which RFC 7637 reserves" } else { "" };
                writeln!(f, " VSID {}{reserved}", rules.vni)?;
            }
            write!(f, "  TAP {} would be {what}, MTU {}", options.tap, rules.mtu)?;
            if let Some(vlan) = options.vlan_id {
                write!(f, ", VLAN {vlan}")?;
            }
            if let Some(mac) = rules.mac {
                write!(f, ", MAC {mac}")?;
            }
            for address in &options.addresses {
                write!(f, ", address {address}")?;
            }
            writeln!(f)?;
            if self.underlays.len() > 1 {
                writeln!(f, "  from {local}")?;
            }
            let list = |addresses: &[IpAddr]| {
                let words: Vec<_> = addresses.iter().map(ToString::to_string).collect();
                if words.is_empty() { "nobody".to_owned() } else { words.join(", ") }
            };
            writeln!(f, "  floods to {}", list(&options.flood))?;
            if !options.forwards.is_empty() || !options.neighbors.is_empty() {
                let (rows, neighbors) = (options.forwards.len(), options.neighbors.len());
                writeln!(f, "  static rows: {rows} in the forwarding table, {neighbors} in the neighbour table")?;
            }
        }
        Ok(())
    }
}
