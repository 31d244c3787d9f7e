//! Open vSwitch as a peer.

use std::net::IpAddr;

use overlay_types::MacAddr;

use crate::{
    encapsulation::Encapsulation,
    family::Family,
    frame::guest_mac,
    guest::{GUEST_DEVICE, guest_address},
    namespace::Namespace,
    open_vswitch::OpenVswitch,
    underlay::Host,
};

/// The bridge with the underlay.
const OUTER: &str = "br-ext";
/// The port of the guest.
const ACCESS: &str = "p0";
/// Its ports for raw packets hand no checksum or segmentation state to tunnels.
const OFF: &str = "tx off tso off gso off gro off";

/// How an Open vSwitch peer is set up.
#[derive(Clone, Debug)]
pub struct OpenVswitchOptions {
    /// Its tunnels; NVGRE is GRE with a key to it.
    pub encapsulation: Encapsulation,
    /// The segment; the VSID for NVGRE.
    pub vni: u32,
    /// The other ends of its tunnels, all of one family.
    pub remotes: Vec<IpAddr>,
}

impl OpenVswitchOptions {
    /// VNI 42 to these remotes.
    #[must_use]
    pub fn to(encapsulation: Encapsulation, remotes: &[IpAddr]) -> Self {
        Self { encapsulation, vni: 42, remotes: remotes.to_vec() }
    }
}

/// A switch that learns, with a tunnel to each remote and a guest, and its underlay through a second bridge as its manual
/// wants it.
///
/// All that comes by one tunnel stays out of the others. For NVGRE it takes any `FlowID`, and sends the low byte of the
/// source port of TCP and UDP as such.
#[derive(Debug)]
pub struct OpenVswitchVtep {
    /// The guest: its device is [`OpenVswitchVtep::GUEST_DEVICE`].
    pub guest: Namespace,
    switch: OpenVswitch,
    host: Namespace,
    number: u8,
}

impl OpenVswitchVtep {
    /// The guest's device.
    pub const GUEST_DEVICE: &str = GUEST_DEVICE;

    /// The bridge with the guest and the tunnels, for [`OpenVswitch::openflow`]. The tunnels are `tunnel0` and so on.
    pub const BRIDGE: &str = "br-int";

    /// The port of the guest on it.
    pub const ACCESS: &str = ACCESS;

    /// Sets it up on a host, which has no other peer.
    #[track_caller]
    #[must_use]
    pub fn new(host: &Host, options: &OpenVswitchOptions) -> Self {
        let OpenVswitchOptions { encapsulation, vni, remotes } = options;
        let family = if remotes.iter().any(IpAddr::is_ipv6) { Family::V6 } else { Family::V4 };
        let mtu = host.mtu() - encapsulation.overhead(family);
        let number = host.number();
        let guest = Namespace::new(&format!("guest{number}"));
        let namespace = &host.namespace;
        namespace.ip(&format!(
            "link add {ACCESS} mtu {mtu} type veth peer name {GUEST_DEVICE} mtu {mtu} address {} netns {}",
            guest_mac(number),
            guest.name()
        ));
        namespace.ip(&format!("link set {ACCESS} up"));
        guest.ip(&format!("link set {GUEST_DEVICE} up"));
        guest.set_offloads(GUEST_DEVICE, OFF);
        for device in [ACCESS, Host::DEVICE] {
            namespace.set_offloads(device, OFF);
        }

        let switch = OpenVswitch::start(namespace);
        let peer = Self { guest, switch, host: namespace.clone(), number };
        peer.add_bridges(host);
        peer.add_tunnels(*encapsulation, *vni, remotes);
        peer.guest.add_address(GUEST_DEVICE, peer.guest_address(Family::V4), 24);
        peer
    }

    /// The underlay's addresses are those of a bridge from now on: that is how tunnels find their way.
    #[track_caller]
    fn add_bridges(&self, host: &Host) {
        self.switch.configure(&format!(
            "add-br {0} -- set bridge {0} datapath_type=netdev \
             -- add-br {OUTER} -- set bridge {OUTER} datapath_type=netdev \
             -- add-port {0} {ACCESS} -- add-port {OUTER} {1}",
            Self::BRIDGE,
            Host::DEVICE
        ));
        // The kernel sees what comes, too. It has to leave it to the switch: else it refuses datagrams for a port that none
        // of its sockets has.
        self.host.ip(&format!("addr flush dev {}", Host::DEVICE));
        self.host.set_sysctl(&format!("net/ipv4/conf/{}/rp_filter", Host::DEVICE), "1");
        self.host.set_sysctl(&format!("net/ipv6/conf/{}/disable_ipv6", Host::DEVICE), "1");
        self.host.ip(&format!("link set {OUTER} up mtu {}", host.mtu()));
        self.host.add_address(OUTER, host.address(Family::V4), 24);
        self.host.add_address(OUTER, host.address(Family::V6), 64);
        self.host.ip(&format!("link set {} up", Self::BRIDGE));
    }

    #[track_caller]
    fn add_tunnels(&self, encapsulation: Encapsulation, vni: u32, remotes: &[IpAddr]) {
        let (kind, key) = match encapsulation {
            Encapsulation::Vxlan => ("vxlan", format!("options:key={vni}")),
            Encapsulation::Geneve => ("geneve", format!("options:key={vni}")),
            Encapsulation::Nvgre => ("gre", "options:key=flow".to_owned()),
        };
        for (index, remote) in remotes.iter().enumerate() {
            self.switch.configure(&format!(
                "add-port {} tunnel{index} -- set interface tunnel{index} type={kind} options:remote_ip={remote} {key} \
                 -- set port tunnel{index} other_config:protected=true",
                Self::BRIDGE
            ));
        }
        if encapsulation == Encapsulation::Nvgre {
            self.add_flows_of_nvgre(vni << 8, remotes.len());
        }
    }

    /// RFC 7637 §3.2: the key is VSID and `FlowID`.
    #[track_caller]
    fn add_flows_of_nvgre(&self, key: u32, tunnels: usize) {
        let add = |flow: &str| self.switch.openflow(&["add-flow", Self::BRIDGE, flow]);
        for index in 0..tunnels {
            add(&format!("priority=20,in_port=tunnel{index},tun_id={key:#x}/0xffffff00,actions=NORMAL"));
            add(&format!("priority=10,in_port=tunnel{index},actions=drop"));
        }
        add(&format!("priority=10,in_port={ACCESS},actions=set_field:{key:#x}->tun_id,NORMAL"));
        for protocol in ["tcp", "tcp6", "udp", "udp6"] {
            let port = format!("NXM_OF_{}_SRC", &protocol[..3].to_uppercase());
            add(&format!(
                "priority=20,in_port={ACCESS},{protocol},\
                 actions=set_field:{key:#x}->tun_id,move:{port}[0..7]->NXM_NX_TUN_ID[0..7],NORMAL"
            ));
        }
    }

    /// Gives the guest its IPv6 address too.
    #[track_caller]
    pub fn enable_ipv6(&self) {
        self.guest.add_address(GUEST_DEVICE, self.guest_address(Family::V6), 64);
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

    /// The switch itself.
    #[must_use]
    pub fn switch(&self) -> &OpenVswitch {
        &self.switch
    }

    /// Frames that its sockets had no room for.
    #[track_caller]
    #[must_use]
    pub fn lost_in_sockets(&self) -> u64 {
        let shown = self.host.run(&["ss", "--packet", "--memory", "--numeric", "--no-header"]);
        sum_of_drops(&shown.stdout)
    }
}

/// `skmem:(r0,rb212992,…,d7)` for each socket.
fn sum_of_drops(shown: &str) -> u64 {
    let memory = shown.split("skmem:(").skip(1).filter_map(|rest| rest.split(')').next());
    memory.filter_map(|fields| fields.rsplit(',').next()?.strip_prefix('d')?.parse::<u64>().ok()).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn drops_of_sockets_are_summed_up() {
        let shown = "p_raw UNCONN 0 0 *:u0 *\n\t skmem:(r0,rb212992,t0,tb212992,f0,w0,o0,bl0,d7)\n\
                     p_raw UNCONN 0 0 *:p0 *\n\t skmem:(r0,rb212992,t0,tb212992,f0,w0,o0,bl0,d5)\n";
        assert_eq!(sum_of_drops(shown), 12);
    }
}
