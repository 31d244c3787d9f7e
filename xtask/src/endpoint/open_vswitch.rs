//! Open vSwitch's user-space datapath, one instance on each host, as its manual sets it up: a bridge with the guest and the
//! tunnel, and one with the underlay.

use testbed::{Family, Host, Namespace, OpenVswitch};

use super::{
    bed::{DEVICE, Parts, VNI, connect, veth},
    case::PacketIo,
    setting::{Setting, offloads},
};
use crate::step::Failure;

/// The port of the guest.
const ACCESS: &str = "p0";
/// The bridge with the guest and the tunnel, and the one with the underlay.
const INNER: &str = "br-int";
const OUTER: &str = "br-ext";
/// Its ports for raw packets hand no checksum or segmentation state to tunnels.
const OFF: &str = "tx off tso off gso off gro off";

/// Both hosts with their guests.
pub(super) fn set_up(
    tunnel: &str,
    packets: PacketIo,
    setting: Setting,
    parts: &mut Parts,
) -> Result<[Namespace; 2], Failure> {
    let hosts = setting.hosts()?;
    let guests = [1, 2].map(|number| Namespace::new(&format!("guest{number}")));
    for (place, (host, guest)) in hosts.iter().zip(&guests).enumerate() {
        // All its tunnels add as much, or less: the same MTU for each.
        let mtu = host.mtu() - Family::V4.vxlan_overhead();
        veth(&host.namespace, ACCESS, guest, DEVICE, mtu);
        host.namespace.ip(&format!("link set {ACCESS} up"));
        connect(guest, host.number());
        offloads(guest, DEVICE, OFF)?;
        for device in [ACCESS, Host::DEVICE] {
            offloads(&host.namespace, device, OFF)?;
        }
        let switch = OpenVswitch::start(&host.namespace);
        configure(&switch, host, &hosts[1 - place], tunnel, packets);
        parts.others.push(Box::new(switch));
    }
    parts.others.push(Box::new(hosts));
    Ok(guests)
}

fn configure(switch: &OpenVswitch, host: &Host, other: &Host, tunnel: &str, packets: PacketIo) {
    let (device, remote) = (Host::DEVICE, other.address(Family::V4));
    let mut kind = String::new();
    if packets == PacketIo::AfXdp {
        // One polling thread for each instance, each on a processor of its own.
        let mask = 1 << (host.number() - 1);
        switch.configure(&format!("--no-wait set Open_vSwitch . other_config:pmd-cpu-mask={mask:#x}"));
        kind = format!("-- set interface {device} type=afxdp -- set interface {ACCESS} type=afxdp");
    }
    switch.configure(&format!(
        "add-br {INNER} -- set bridge {INNER} datapath_type=netdev \
         -- add-br {OUTER} -- set bridge {OUTER} datapath_type=netdev \
         -- add-port {INNER} {ACCESS} -- add-port {OUTER} {device} -- add-port {INNER} tunnel \
         -- set interface tunnel type={tunnel} options:remote_ip={remote} options:key={VNI} {kind}"
    ));
    // The underlay's address is that of the bridge now.
    let Host { namespace, .. } = host;
    namespace.ip(&format!("addr flush dev {device}"));
    namespace.ip(&format!("addr add {}/24 dev {OUTER}", host.address(Family::V4)));
    namespace.ip(&format!("link set {OUTER} up mtu {}", host.mtu()));
    namespace.ip(&format!("link set {INNER} up"));
}
