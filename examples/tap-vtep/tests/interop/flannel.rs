//! A node among those of Flannel: every host routes between a subnet of its own and those of the others, each of them behind one
//! MAC address; nobody learns and nobody floods.

use std::net::{IpAddr, Ipv4Addr};

use overlay_types::MacAddr;
use testbed::{Family, Host, Namespace, Ping, TapVtep, Underlay, ping, transfer};

use crate::{
    bed::{Cable, Counts, PROGRAM},
    shown::{Feature, With, shown_by_vxlan},
};

/// Flannel's names and numbers.
const DEVICE: &str = "flannel.1";
const VNI: u32 = 1;
const PORT: u16 = 8472;

const BYTES: u64 = 5_000_000;

/// The MAC address of a node's tunnel.
fn tunnel_mac(node: u8) -> MacAddr {
    MacAddr::new([0x02, 0xf1, 0, 0, 0, node])
}

/// The address of a node's tunnel: the first of its subnet, `10.244.N.0/24`.
fn tunnel_address(node: u8) -> IpAddr {
    Ipv4Addr::new(10, 244, node, 0).into()
}

/// Where the node's pod is.
fn pod_address(node: u8) -> IpAddr {
    Ipv4Addr::new(10, 244, node, 2).into()
}

/// A pod behind the node's bridge, which routes.
fn add_pod(host: &Host) -> Namespace {
    let node = host.number();
    let pod = Namespace::new(&format!("pod{node}"));
    let namespace = &host.namespace;
    namespace.set_sysctl("net/ipv4/ip_forward", "1");
    namespace.ip("link add cni0 mtu 1450 type bridge mcast_snooping 0");
    namespace.ip(&format!("addr add 10.244.{node}.1/24 dev cni0"));
    namespace.ip(&format!("link add pod0 mtu 1450 type veth peer name eth0 mtu 1450 netns {}", pod.name()));
    namespace.ip("link set pod0 master cni0 up");
    namespace.ip("link set cni0 up");
    pod.ip("link set eth0 up");
    pod.add_address("eth0", pod_address(node), 24);
    pod.ip(&format!("route add default via 10.244.{node}.1"));
    pod
}

/// What Flannel adds on a node for each other one: a route and a neighbour.
fn add_node(namespace: &Namespace, node: u8) {
    namespace.ip(&format!(
        "neigh replace {} lladdr {} dev {DEVICE} nud permanent",
        tunnel_address(node),
        tunnel_mac(node)
    ));
    namespace.ip(&format!("route add 10.244.{node}.0/24 via {} dev {DEVICE} onlink", tunnel_address(node)));
}

/// A node with the kernel's VXLAN, as Flannel sets it up.
fn kernel_node(underlay: &Underlay, index: usize, others: &[usize]) {
    let host = underlay.host(index);
    let namespace = &host.namespace;
    namespace.ip(&format!(
        "link add {DEVICE} address {} mtu 1450 type vxlan id {VNI} local {} dev {} dstport {PORT} nolearning",
        tunnel_mac(host.number()),
        host.address(Family::V4),
        Host::DEVICE
    ));
    namespace.add_address(DEVICE, tunnel_address(host.number()), 32);
    namespace.ip(&format!("link set {DEVICE} up"));
    for other in others.iter().map(|other| underlay.host(*other)) {
        add_node(namespace, other.number());
        let (mac, remote) = (tunnel_mac(other.number()), other.address(Family::V4));
        namespace.bridge(&format!("fdb append {mac} dev {DEVICE} dst {remote} self permanent"));
    }
}

fn our_node(underlay: &Underlay, others: &[usize]) -> TapVtep {
    let host = underlay.host(0);
    let rows = others.iter().map(|other| underlay.host(*other)).map(|other| {
        let (mac, remote) = (tunnel_mac(other.number()), other.address(Family::V4));
        format!("[[segment.fdb]]\nmac = \"{mac}\"\nremote = \"{remote}\"\n")
    });
    let configuration = format!(
        "[underlay]\nlocal = \"{}\"\n[[segment]]\nname = \"flannel\"\nvni = {VNI}\nport = {PORT}\ntap = \"{DEVICE}\"\n\
         mac = \"{}\"\naddresses = [\"{}/32\"]\nlearning = false\n{}",
        host.address(Family::V4),
        tunnel_mac(host.number()),
        tunnel_address(host.number()),
        rows.collect::<String>()
    );
    let vtep = TapVtep::configured(PROGRAM, &host.namespace, &configuration);
    for other in others {
        add_node(&host.namespace, underlay.host(*other).number());
    }
    vtep
}

#[test]
fn pods_of_all_nodes_reach_each_other() {
    let underlay = Underlay::new(3);
    Cable::Wire.lay(&underlay);
    kernel_node(&underlay, 1, &[0, 2]);
    kernel_node(&underlay, 2, &[0, 1]);
    let vtep = our_node(&underlay, &[1, 2]);
    let pods: Vec<_> = underlay.hosts().iter().map(add_pod).collect();
    for (index, pod) in pods.iter().enumerate() {
        for other in underlay.hosts().iter().filter(|other| other.number() as usize != index + 1) {
            let got = ping(pod, pod_address(other.number()), 3);
            assert_eq!(got, Ping { sent: 3, received: 3, duplicates: 0 }, "{} to {}", index + 1, other.number());
        }
    }
    for (from, to, node) in [(0, 1, 2), (2, 0, 1)] {
        let moved = transfer(&pods[from], &pods[to], pod_address(node), BYTES);
        assert_eq!(moved.sent, moved.received);
    }
    Counts::expect_no_drop(&vtep, "Flannel");
    assert_eq!((vtep.counter("flooded"), vtep.show("fdb").as_array().unwrap().len()), (0, 2), "{}", vtep.show("fdb"));
    shown_by_vxlan(Feature::Flannel, With::Kernel, Family::V4);
}
