//! What the tests have shown of which peer: `cargo xtask interop --table` makes the README's table of it.

use std::{env, fmt, fs::OpenOptions, io::Write};

use testbed::{Encapsulation, Family};

/// Where to write it down; without this variable of the environment, nowhere.
const FILE: &str = "TAP_VTEP_SHOWN";

/// Who is at the other end of the tunnel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum With {
    Kernel,
    OpenVswitch,
    Ours,
}

impl fmt::Display for With {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Kernel => "Linux kernel",
            Self::OpenVswitch => "Open vSwitch",
            Self::Ours => "tap-vtep",
        })
    }
}

/// A row of the table. Their order is that of the table.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Feature {
    Ping,
    Tcp,
    Udp,
    Wire,
    Vlan,
    Bridged,
    OptionsIgnored,
    OptionsSent,
    /// With offloads of guests and of the underlay as a veth has them.
    Uncut,
    Wires,
    TunnelGso,
    NoOffloads,
    Bursts,
    Workers,
    Ends,
    Sizes,
    Flood,
    Groups,
    Segments,
    Learning,
    Flannel,
    Suppression,
    PathMtu,
    ZeroChecksum,
    Returns,
}

impl Feature {
    fn text(self) -> &'static str {
        match self {
            Self::Ping => "ping of 56, 1,600 and 3,200 bytes both ways, IPv4 and IPv6 inside",
            Self::Tcp => "TCP both ways with equal SHA-256, IPv4 and IPv6 inside",
            Self::Udp => "UDP both ways, each datagram once and unchanged, IPv4 and IPv6 inside",
            Self::Wire => {
                "tshark finds what it should be on the wire, nothing malformed, no wrong checksum inside or outside"
            }
            Self::Vlan => "VLAN tags carried inside",
            Self::Bridged => "bridged with a segment of another encapsulation: ping, UDP and TCP through",
            Self::OptionsIgnored => "Geneve options of the peer: unknown ones ignored, unknown critical ones refused",
            Self::OptionsSent => "Geneve options of ours arrive, in every frame",
            Self::Uncut => {
                "TCP (100 MB) over a veth: super-frames that the peer has not cut, checksums that it left to hardware"
            }
            Self::Wires => "the same on a wire, with GRO and without",
            Self::TunnelGso => "the same with super-frames by tunnel GSO on a wire",
            Self::NoOffloads => "the same with the offloads of guests off",
            Self::Bursts => "UDP of equal and unequal sizes in bursts, byte by byte and in order",
            Self::Workers => "two workers on both sides",
            Self::Ends => "ports 4789 and 8472, VNI 1 and 16777215",
            Self::Sizes => "frames of every size up to the MTU, unchanged",
            Self::Flood => "head-end replication: each peer exactly once",
            Self::Groups => "multicast groups: each peer exactly once",
            Self::Segments => "several segments on one port",
            Self::Flannel => "a node among those of Flannel: routes, static rows, nothing learned",
            Self::Suppression => "ARP and Neighbor Discovery answered from the table, IPv4 and IPv6 inside",
            Self::PathMtu => "a path that narrows under way: TCP goes on, the sender is told, IPv4 and IPv6 inside",
            Self::ZeroChecksum => "UDP checksums of zero over IPv6",
            Self::Returns => "a TAP that is deleted and made again",
            Self::Learning => "learning, and following a guest that moves",
        }
    }
}

/// As [`shown`], by VXLAN.
pub(crate) fn shown_by_vxlan(feature: Feature, with: With, underlay: Family) {
    shown(feature, Encapsulation::Vxlan, with, underlay);
}

/// A test has shown this over this underlay, to its end.
pub(crate) fn shown(feature: Feature, encapsulation: Encapsulation, with: With, underlay: Family) {
    let Some(file) = env::var_os(FILE) else { return };
    let column = encapsulation as usize * 3 + with as usize;
    let tunnel = match encapsulation {
        Encapsulation::Vxlan => "VXLAN",
        Encapsulation::Geneve => "Geneve",
        Encapsulation::Nvgre => "NVGRE",
    };
    let underlay = match underlay {
        Family::V4 => "IPv4",
        Family::V6 => "IPv6",
    };
    let line = format!("{}\t{}\t{column}\t{tunnel}: {with}\t{underlay}\n", feature as usize, feature.text());
    let mut file = OpenOptions::new().append(true).create(true).open(file).unwrap();
    file.write_all(line.as_bytes()).unwrap();
}
