//! The Linux kernel's VXLAN as a peer.

use std::net::IpAddr;

use overlay_types::MacAddr;

use crate::{
    family::Family,
    frame::guest_mac,
    guest::{GUEST_DEVICE, guest_address},
    namespace::Namespace,
    underlay::Host,
};

/// Who gets what the peer has no entry for.
#[derive(Clone, Debug)]
pub enum Flood {
    /// Each of these: head-end replication.
    Remotes(Vec<IpAddr>),
    /// An IP multicast group.
    Group(IpAddr),
}

/// How a kernel VXLAN peer is set up.
#[derive(Clone, Debug)]
pub struct KernelVtepOptions {
    /// The segment.
    pub vni: u32,
    /// UDP port of the segment.
    pub port: u16,
    /// Who gets what the peer has no entry for. Its family is that of the tunnel.
    pub flood: Flood,
}

impl KernelVtepOptions {
    /// VNI 42 on port 4789, with head-end replication to these remotes.
    #[must_use]
    pub fn to(remotes: &[IpAddr]) -> Self {
        Self { vni: 42, port: 4789, flood: Flood::Remotes(remotes.to_vec()) }
    }

    fn family(&self) -> Family {
        let address = match &self.flood {
            Flood::Remotes(remotes) => remotes.first(),
            Flood::Group(group) => Some(group),
        };
        if address.is_some_and(IpAddr::is_ipv6) { Family::V6 } else { Family::V4 }
    }
}

/// Kernel VXLAN under a bridge that learns, with a guest behind a veth on the same bridge.
#[derive(Debug)]
pub struct KernelVtep {
    /// The guest: its device is [`KernelVtep::GUEST_DEVICE`].
    pub guest: Namespace,
    number: u8,
    device: String,
    access: String,
}

impl KernelVtep {
    /// The guest's device.
    pub const GUEST_DEVICE: &str = GUEST_DEVICE;

    /// Sets it up on a host. Several segments may share a host.
    #[track_caller]
    #[must_use]
    pub fn new(host: &Host, options: &KernelVtepOptions) -> Self {
        let KernelVtepOptions { vni, port, flood } = options;
        let family = options.family();
        let mtu = host.mtu() - family.vxlan_overhead();
        let local = host.address(family);
        let number = host.number();
        let (bridge, device, access) = (format!("br{vni}"), format!("vx{vni}"), format!("p{vni}"));
        let guest = Namespace::new(&format!("guest{number}"));
        let namespace = &host.namespace;

        let group = match flood {
            Flood::Group(group) => format!("group {group}"),
            Flood::Remotes(_) => String::new(),
        };
        namespace.ip(&format!("link add {bridge} type bridge mcast_snooping 0"));
        namespace.ip(&format!(
            "link add {device} mtu {mtu} type vxlan id {vni} local {local} {group} dstport {port} dev {}",
            Host::DEVICE
        ));
        if let Flood::Remotes(remotes) = flood {
            for remote in remotes {
                namespace.bridge(&format!("fdb append {} dev {device} dst {remote}", MacAddr::ZERO));
            }
        }
        namespace.ip(&format!(
            "link add {access} mtu {mtu} type veth peer name {} mtu {mtu} address {} netns {}",
            Self::GUEST_DEVICE,
            guest_mac(number),
            guest.name()
        ));
        for port in [&device, &access] {
            namespace.ip(&format!("link set {port} master {bridge} up"));
        }
        namespace.ip(&format!("link set {bridge} up"));
        guest.ip(&format!("link set {} up", Self::GUEST_DEVICE));

        let peer = Self { guest, number, device, access };
        peer.guest.add_address(Self::GUEST_DEVICE, peer.guest_address(Family::V4), 24);
        peer
    }

    /// Gives the guest its IPv6 address too.
    #[track_caller]
    pub fn enable_ipv6(&self) {
        self.guest.add_address(Self::GUEST_DEVICE, self.guest_address(Family::V6), 64);
    }

    /// As [`guest_address`].
    #[must_use]
    pub fn guest_address(&self, family: Family) -> IpAddr {
        guest_address(self.number, family)
    }

    /// The guest's MAC address.
    #[must_use]
    pub fn guest_mac(&self) -> MacAddr {
        guest_mac(self.number)
    }

    /// Name of the VXLAN device in the host.
    #[must_use]
    pub fn device(&self) -> &str {
        &self.device
    }

    /// Name of the host's end of the guest's veth.
    #[must_use]
    pub fn access(&self) -> &str {
        &self.access
    }
}
