//! What is compared.

use testbed::Family;

/// Something that joins two guests on two hosts.
#[derive(Debug)]
pub(super) struct Case {
    /// In file names, rows and records.
    pub(super) name: &'static str,
    /// For people.
    pub(super) title: &'static str,
    pub(super) layout: Layout,
}

/// How it is set up.
#[derive(Clone, Copy, Debug)]
pub(super) enum Layout {
    /// No overlay: the guests on one veth.
    Bare,
    /// An endpoint on each host: that of the guest that sends, and that of the one that receives.
    Ends([End; 2], Family),
    /// Open vSwitch's user-space datapath on both hosts.
    OpenVswitch { tunnel: &'static str, packets: PacketIo },
    /// Ours on both hosts, with as many segments and as many learned rows as [`super::full_table`] says.
    FullTable,
    /// Many destinations behind many addresses of the second host: [`super::destinations`].
    Destinations(End),
}

/// An endpoint.
#[derive(Clone, Copy, Debug)]
pub(super) enum End {
    /// `tap-vtep run` with these options more.
    Ours(&'static [&'static str]),
    /// The same by a configuration file, whose segment has these lines more.
    Configured(&'static str),
    /// The kernel's VXLAN under a bridge.
    Kernel { offloads: bool },
    /// One packet by one system call.
    Naive,
}

/// How Open vSwitch reaches its devices.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum PacketIo {
    AfPacket,
    AfXdp,
}

impl Case {
    /// `true` when our endpoint is on one of the hosts.
    pub(super) fn is_ours(&self) -> bool {
        let is_ours = |end: &End| matches!(end, End::Ours(_) | End::Configured(_));
        match &self.layout {
            Layout::FullTable => true,
            Layout::Ends(ends, _) => ends.iter().any(is_ours),
            Layout::Destinations(end) => is_ours(end),
            Layout::Bare | Layout::OpenVswitch { .. } => false,
        }
    }
}

impl PartialEq for Case {
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name
    }
}

const OURS: End = End::Ours(&[]);
const KERNEL_WITH_OFFLOADS: End = End::Kernel { offloads: true };

const fn both(name: &'static str, title: &'static str, end: End) -> Case {
    Case { name, title, layout: Layout::Ends([end, end], Family::V4) }
}

const fn open_vswitch(name: &'static str, title: &'static str, tunnel: &'static str, packets: PacketIo) -> Case {
    Case { name, title, layout: Layout::OpenVswitch { tunnel, packets } }
}

pub(super) static BARE: Case = Case { name: "bare", title: "bare veth", layout: Layout::Bare };
pub(super) static KERNEL: Case = both("kernel", "kernel VXLAN", KERNEL_WITH_OFFLOADS);
pub(super) static KERNEL_PLAIN: Case =
    both("kernel-plain", "kernel VXLAN without offloads", End::Kernel { offloads: false });
pub(super) static NAIVE: Case = both("naive", "naive", End::Naive);
pub(super) static OVS: Case = open_vswitch("ovs", "Open vSwitch, AF_PACKET", "vxlan", PacketIo::AfPacket);
pub(super) static OVS_XDP: Case = open_vswitch("ovs-xdp", "Open vSwitch, AF_XDP", "vxlan", PacketIo::AfXdp);
pub(super) static OVS_GENEVE: Case =
    open_vswitch("ovs-geneve", "Open vSwitch, Geneve, AF_PACKET", "geneve", PacketIo::AfPacket);
pub(super) static OVS_GRE: Case = open_vswitch("ovs-gre", "Open vSwitch, GRE, AF_PACKET", "gre", PacketIo::AfPacket);
pub(super) static TAP_VTEP: Case = both("ours", "tap-vtep", OURS);
pub(super) static SOCKET: Case = both("ours-socket", "tap-vtep, sockets alone", End::Ours(&["--underlay", "socket"]));
pub(super) static TUNNEL_GSO: Case =
    both("ours-tunnel-gso", "tap-vtep, tunnel GSO", End::Ours(&["--underlay", "tunnel-gso"]));
pub(super) static BUSY_POLL: Case =
    both("ours-busy-poll", "tap-vtep, busy polling", End::Ours(&["--busy-poll", "1000000"]));
pub(super) static TWO_WORKERS: Case = both("ours-2-workers", "tap-vtep, two workers", End::Ours(&["--workers", "2"]));
pub(super) static IPV6: Case =
    Case { name: "ours-ipv6", title: "tap-vtep over IPv6", layout: Layout::Ends([OURS, OURS], Family::V6) };
pub(super) static GENEVE: Case = both(
    "ours-geneve",
    "tap-vtep, Geneve with an option",
    End::Configured("encapsulation = \"geneve\"\noption = [{ class = 0x0102, type = 0x00, data = \"00010002\" }]"),
);
pub(super) static NVGRE: Case = both("ours-nvgre", "tap-vtep, NVGRE", End::Ours(&["--encapsulation", "nvgre"]));
pub(super) static TO_KERNEL: Case = Case {
    name: "ours-to-kernel",
    title: "tap-vtep to kernel VXLAN",
    layout: Layout::Ends([OURS, KERNEL_WITH_OFFLOADS], Family::V4),
};
pub(super) static FROM_KERNEL: Case = Case {
    name: "kernel-to-ours",
    title: "kernel VXLAN to tap-vtep",
    layout: Layout::Ends([KERNEL_WITH_OFFLOADS, OURS], Family::V4),
};
pub(super) static FULL_TABLE: Case =
    Case { name: "ours-full", title: "tap-vtep, 64 segments, 100,000 entries", layout: Layout::FullTable };
pub(super) static DESTINATIONS: Case =
    Case { name: "ours-destinations", title: "tap-vtep", layout: Layout::Destinations(OURS) };
pub(super) static KERNEL_DESTINATIONS: Case =
    Case { name: "kernel-destinations", title: "kernel VXLAN", layout: Layout::Destinations(KERNEL_WITH_OFFLOADS) };

/// All of them, in the order in which they take turns.
pub(super) static ALL: [&Case; 21] = [
    &BARE,
    &KERNEL,
    &TAP_VTEP,
    &SOCKET,
    &TUNNEL_GSO,
    &TWO_WORKERS,
    &BUSY_POLL,
    &IPV6,
    &GENEVE,
    &NVGRE,
    &TO_KERNEL,
    &FROM_KERNEL,
    &FULL_TABLE,
    &KERNEL_PLAIN,
    &OVS,
    &OVS_XDP,
    &OVS_GENEVE,
    &OVS_GRE,
    &NAIVE,
    &KERNEL_DESTINATIONS,
    &DESTINATIONS,
];

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn each_case_has_a_name_of_its_own() {
        let names: BTreeSet<_> = ALL.iter().map(|case| case.name).collect();
        assert_eq!(names.len(), ALL.len());
        // A record is a line with commas.
        assert!(names.iter().all(|name| !name.contains([',', '/'])));
    }
}
