//! Two segments of different encapsulation on one host, their TAPs in a bridge.

use testbed::{Encapsulation, Family, TapVtep, Underlay, ping, wait_until};

use super::{in_silence, peer::Peer, traffic};
use crate::{
    bed::{Cable, Counts, PROGRAM, guest_address},
    shown::{Feature, With, shown},
};

/// What fits into all tunnels.
const MTU: u32 = 1430;

type Side = (Encapsulation, With);

/// Our endpoint on the first host joins guests of the other two.
fn join(outer: Family, sides: [Side; 2]) {
    let context = format!("{sides:?} over {outer:?}");
    let underlay = Underlay::new(3);
    Cable::Wire.lay(&underlay);
    let peers = [0, 1].map(|side| {
        let (encapsulation, with) = sides[side];
        let peer = Peer::new(&underlay, side + 1, encapsulation, with, outer);
        peer.guest().ip(&format!("link set {} mtu {MTU}", peer.guest_device()));
        peer
    });
    let host = underlay.host(0);
    let vtep = TapVtep::configured(PROGRAM, &host.namespace, &configuration(&underlay, outer, sides));
    host.namespace.ip(&format!("link add br0 mtu {MTU} type bridge mcast_snooping 0"));
    for change in ["tap0 master br0 up", "tap1 master br0 up", "br0 up"] {
        host.namespace.ip(&format!("link set {change}"));
    }
    let guests = peers.each_ref().map(Peer::guest);
    for inner in Family::ALL {
        wait_until(&format!("they reach each other, {context}"), || {
            ping(guests[0], guest_address(3, inner), 1).received == 1
        });
    }
    // Nothing else is behind the bridge: what comes by one tunnel goes by the other, from now on.
    let before = in_silence(|| Counts::of(&vtep));
    for inner in Family::ALL {
        let addresses = [2, 3].map(|number| guest_address(number, inner));
        traffic::ping_all_sizes(guests[0], guests[1], addresses, &context);
        traffic::datagrams(guests[0], guests[1], addresses, &context);
        traffic::streams(guests[0], guests[1], addresses, &context);
    }
    let is_balanced = || {
        let now = Counts::of(&vtep);
        now.sent - before.sent == now.delivered - before.delivered && now.sent - before.sent > 1000
    };
    wait_until(&format!("as many are sent as delivered, {before:?}, {:?}: {context}", Counts::of(&vtep)), is_balanced);
    assert_eq!(Counts::of(&vtep).drops, before.drops, "{context}");
    for (encapsulation, with) in sides {
        shown(Feature::Bridged, encapsulation, with, outer);
    }
}

fn configuration(underlay: &Underlay, outer: Family, sides: [Side; 2]) -> String {
    let segments = sides.iter().enumerate().map(|(side, (encapsulation, _))| {
        let remote = underlay.host(side + 1).address(outer);
        format!("{}mtu = {MTU}\n", super::segment(&format!("tap{side}"), *encapsulation, remote))
    });
    format!("[underlay]\nlocal = \"{}\"\n{}", underlay.host(0).address(outer), segments.collect::<String>())
}

#[test]
fn vxlan_of_the_linux_kernel_and_geneve_of_open_vswitch() {
    for outer in Family::ALL {
        join(outer, [(Encapsulation::Vxlan, With::Kernel), (Encapsulation::Geneve, With::OpenVswitch)]);
    }
}

#[test]
fn vxlan_of_the_linux_kernel_and_nvgre_of_open_vswitch() {
    for outer in Family::ALL {
        join(outer, [(Encapsulation::Vxlan, With::Kernel), (Encapsulation::Nvgre, With::OpenVswitch)]);
    }
}

#[test]
fn nvgre_of_ours_and_geneve_of_ours() {
    for outer in Family::ALL {
        join(outer, [(Encapsulation::Nvgre, With::Ours), (Encapsulation::Geneve, With::Ours)]);
    }
}

#[test]
fn vxlan_of_open_vswitch_and_nvgre_of_ours() {
    join(Family::V4, [(Encapsulation::Vxlan, With::OpenVswitch), (Encapsulation::Nvgre, With::Ours)]);
}
