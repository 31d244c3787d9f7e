//! The peers, one like the other.

use testbed::{
    Encapsulation, Family, Host, KernelVtep, KernelVtepOptions, Namespace, OpenVswitchOptions, OpenVswitchVtep,
    TapVtep, Underlay,
};

use super::VNI;
use crate::{
    bed::{Counts, PROGRAM, TAP, guest_address},
    shown::With,
};

/// The other end of a tunnel of ours, with a guest.
pub(super) enum Peer {
    Kernel { vtep: KernelVtep, host: Namespace },
    OpenVswitch(OpenVswitchVtep),
    Ours { vtep: TapVtep, host: Namespace },
}

impl Peer {
    /// On the host with this index, with our endpoint on the first host for its remote.
    pub(super) fn new(
        underlay: &Underlay,
        index: usize,
        encapsulation: Encapsulation,
        with: With,
        outer: Family,
    ) -> Self {
        let host = underlay.host(index);
        let remotes = [underlay.host(0).address(outer)];
        match with {
            With::Kernel => {
                assert_eq!(encapsulation, Encapsulation::Vxlan, "what this kernel speaks");
                let vtep = KernelVtep::new(host, &KernelVtepOptions { vni: VNI, ..KernelVtepOptions::to(&remotes) });
                vtep.enable_ipv6();
                // Frames are counted one by one.
                vtep.guest.set_offloads(KernelVtep::GUEST_DEVICE, "tx off tso off gso off gro off");
                host.namespace.set_offloads(vtep.device(), "gro off");
                Self::Kernel { vtep, host: host.namespace.clone() }
            }
            With::OpenVswitch => {
                let options = OpenVswitchOptions { vni: VNI, ..OpenVswitchOptions::to(encapsulation, &remotes) };
                let vtep = OpenVswitchVtep::new(host, &options);
                vtep.enable_ipv6();
                Self::OpenVswitch(vtep)
            }
            With::Ours => {
                let configuration = format!(
                    "[underlay]\nlocal = \"{}\"\n{}",
                    host.address(outer),
                    super::segment(TAP, encapsulation, remotes[0])
                );
                let vtep = TapVtep::configured(PROGRAM, &host.namespace, &configuration);
                for family in Family::ALL {
                    let address = guest_address(host.number(), family);
                    host.namespace.add_address(TAP, address, super::prefix_len(family));
                }
                Self::Ours { vtep, host: host.namespace.clone() }
            }
        }
    }

    pub(super) fn with(&self) -> With {
        match self {
            Self::Kernel { .. } => With::Kernel,
            Self::OpenVswitch(_) => With::OpenVswitch,
            Self::Ours { .. } => With::Ours,
        }
    }

    pub(super) fn guest(&self) -> &Namespace {
        match self {
            Self::Kernel { vtep, .. } => &vtep.guest,
            Self::OpenVswitch(vtep) => &vtep.guest,
            Self::Ours { host, .. } => host,
        }
    }

    pub(super) fn guest_device(&self) -> &'static str {
        match self {
            Self::Kernel { .. } => KernelVtep::GUEST_DEVICE,
            Self::OpenVswitch(_) => OpenVswitchVtep::GUEST_DEVICE,
            Self::Ours { .. } => TAP,
        }
    }

    /// Frames that the guest has sent, and those that have come to it, or that ours has dropped.
    pub(super) fn frames(&self) -> [u64; 2] {
        if let Self::Ours { vtep, .. } = self {
            let counts = Counts::of(vtep);
            return [counts.sent, counts.delivered + counts.drops_in_all()];
        }
        ["tx", "rx"].map(|direction| self.guest().statistic(self.guest_device(), direction, "packets"))
    }

    /// Frames that the peer's sockets had no room for.
    pub(super) fn lost_in_sockets(&self) -> u64 {
        match self {
            Self::OpenVswitch(vtep) => vtep.lost_in_sockets(),
            Self::Kernel { host, .. } | Self::Ours { host, .. } => lost(host),
        }
    }
}

/// Frames that our own sockets on this host had no room for.
pub(super) fn lost_by_us(host: &Host) -> u64 {
    lost(&host.namespace)
}

fn lost(host: &Namespace) -> u64 {
    ["UdpRcvbufErrors", "Udp6RcvbufErrors"].map(|counter| host.protocol_counter(counter)).iter().sum()
}
