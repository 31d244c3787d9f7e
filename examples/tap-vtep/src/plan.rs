//! What a configuration means on this host: which address, which interface, which MTU.

use std::{
    fmt, io,
    net::{IpAddr, SocketAddr},
    sync::{Arc, atomic::AtomicU32},
};

use thiserror::Error;

use crate::{
    config::{Config, MAX_MTU, MIN_MTU, SegmentOptions, SuperFrames},
    netlink::{Link, Netlink},
    underlay::{SendOptions, Underlay},
    worker::WorkerOptions,
};

/// A configuration with everything that the host had to say filled in.
#[derive(Debug)]
pub(crate) struct Plan {
    pub(crate) workers: WorkerOptions,
    pub(crate) super_frames: SuperFrames,
    pub(crate) underlay: Underlay,
    /// The name of the underlay's interface.
    pub(crate) underlay_interface: String,
    /// Its MTU.
    pub(crate) underlay_mtu: u32,
    /// Where metrics can be had.
    pub(crate) metrics: Option<SocketAddr>,
    pub(crate) segments: Vec<PlannedSegment>,
}

/// One segment of a [`Plan`]: `options.rules` is complete.
#[derive(Clone, Debug)]
pub(crate) struct PlannedSegment {
    pub(crate) options: SegmentOptions,
    /// Whether there is an interface of the TAP's name already.
    pub(crate) tap_exists: bool,
}

impl PlannedSegment {
    pub(crate) fn send_options(&self) -> SendOptions {
        SendOptions {
            is_udp: self.options.rules.encapsulation.is_udp(),
            df: self.options.df,
            udp_checksum: self.options.udp_checksum,
            source_ports: self.options.rules.source_ports.clone(),
        }
    }
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
    #[error("segment {0}: udp_checksum = false over an IPv6 underlay (RFC 6936) is not supported yet")]
    ZeroChecksum(String),
}

impl Plan {
    pub(crate) fn new(config: Config, netlink: &Netlink) -> Result<Self, PlanError> {
        let local = match config.local {
            Some(local) => local,
            None => netlink.default_route_source()?.ok_or(PlanError::NoDefaultRoute)?,
        };
        if config.underlay_is_ipv6().is_some_and(|is_ipv6| is_ipv6 != local.is_ipv6()) {
            return Err(PlanError::OtherFamily(local));
        }
        let link: Link = match &config.device {
            Some(device) => netlink.link(device)?.ok_or_else(|| PlanError::NoDevice(device.clone()))?,
            None => netlink.link_of_address(local)?.ok_or(PlanError::NoInterface(local))?,
        };
        let mut segments = Vec::with_capacity(config.segments.len());
        for mut options in config.segments {
            // Members of a mesh may share one list: each passes over itself.
            options.flood.retain(|remote| *remote != local);
            options.forwards.retain(|(_, remote)| *remote != local);
            let rules = &mut options.rules;
            rules.underlay_is_ipv6 = local.is_ipv6();
            if local.is_ipv6() && !options.udp_checksum {
                return Err(PlanError::ZeroChecksum(options.name));
            }
            let fitting = link.mtu.saturating_sub(rules.mtu_overhead().into());
            rules.mtu = match options.mtu {
                Some(mtu) => mtu,
                None if fitting < MIN_MTU.into() => {
                    return Err(PlanError::SmallUnderlay {
                        segment: options.name,
                        underlay_mtu: link.mtu,
                        mtu: fitting,
                    });
                }
                None => fitting.min(MAX_MTU.into()) as u16,
            };
            let tap_exists = netlink.link(&options.tap)?.is_some();
            segments.push(PlannedSegment { options, tap_exists });
        }
        let interface = Arc::new(AtomicU32::new(link.index));
        // What the kernel can do for datagrams is found out at start.
        let mtu = Arc::new(AtomicU32::new(link.mtu));
        let device = config.device;
        let underlay = Underlay { local, interface, device, mtu, segments: false, merges: false, tunnel: None };
        Ok(Self {
            workers: config.workers,
            super_frames: config.super_frames,
            underlay,
            underlay_interface: link.name,
            underlay_mtu: link.mtu,
            metrics: config.metrics,
            segments,
        })
    }
}

/// What `tap-vtep check` prints.
impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Underlay { local, device, .. } = &self.underlay;
        write!(f, "underlay: from {local}, MTU {}", self.underlay_mtu)?;
        match device {
            Some(device) => writeln!(f, ", bound to {device}")?,
            None => writeln!(f)?,
        }
        if let Some(listen) = self.metrics {
            writeln!(f, "metrics: http://{listen}/metrics, health: http://{listen}/healthz")?;
        }
        for PlannedSegment { options, tap_exists } in &self.segments {
            let rules = &options.rules;
            let what = if *tap_exists { "attached to" } else { "made" };
            write!(f, "segment {}: {}", options.name, rules.encapsulation)?;
            if rules.encapsulation.is_udp() {
                writeln!(f, " VNI {}, UDP port {}", rules.vni, rules.port)?;
            } else {
                writeln!(f, " VSID {}", rules.vni)?;
            }
            write!(f, "  TAP {} would be {what}, MTU {}", options.tap, rules.mtu)?;
            if let Some(mac) = rules.mac {
                write!(f, ", MAC {mac}")?;
            }
            for address in &options.addresses {
                write!(f, ", address {address}")?;
            }
            writeln!(f)?;
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
