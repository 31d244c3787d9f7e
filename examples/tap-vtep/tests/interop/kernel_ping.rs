//! Ping between our TAP and a guest behind kernel VXLAN: inner and outer IPv4 and IPv6, both ends of the VNI's range, both
//! usual ports, both directions.

use testbed::{Family, KernelVtep, KernelVtepOptions, Ping, TapVtep, Underlay, ping, ping_with};

use crate::{
    bed::{PROGRAM, TAP, add_guest_addresses, guest_address},
    shown::{Feature, With, shown_by_vxlan},
};

const ALL: Ping = Ping { sent: 3, received: 3, duplicates: 0 };

fn ping_both_ways(family: Family, vni: u32, port: u16) {
    let underlay = Underlay::new(2);
    let (ours, theirs) = (underlay.host(0), underlay.host(1));
    let (local, remote) = (ours.address(family), theirs.address(family));
    let options = KernelVtepOptions { vni, port, ..KernelVtepOptions::to(&[local]) };
    let peer = KernelVtep::new(theirs, &options);
    peer.enable_ipv6();
    let vtep = TapVtep::run(
        PROGRAM,
        &ours.namespace,
        &[
            "--vni",
            &vni.to_string(),
            "--port",
            &port.to_string(),
            "--tap",
            TAP,
            "--local",
            &local.to_string(),
            "--remote",
            &remote.to_string(),
        ],
    );
    add_guest_addresses(&underlay);
    for inner in Family::ALL {
        let context = format!("{inner:?} over {family:?}, VNI {vni}, port {port}");
        assert_eq!(ping(&ours.namespace, peer.guest_address(inner), 3), ALL, "out: {context}");
        assert_eq!(ping(&peer.guest, guest_address(1, inner), 3), ALL, "in: {context}");
    }
    let segment = &vtep.show("segments")[0];
    assert_eq!(segment["vni"], vni);
    assert_eq!(segment["port"], port);
    assert_eq!(segment["encapsulation"], "vxlan");
    assert_eq!(segment["local"], local.to_string());
    assert_eq!(vtep.drops(), 0, "{}", vtep.show("stats"));
}

fn ping_at_both_ends(family: Family) {
    for vni in [1, 16_777_215] {
        for port in [4789, 8472] {
            ping_both_ways(family, vni, port);
        }
    }
    shown_by_vxlan(Feature::Ends, With::Kernel, family);
}

#[test]
fn over_ipv4() {
    ping_at_both_ends(Family::V4);
}

#[test]
fn over_ipv6() {
    ping_at_both_ends(Family::V6);
}

/// The MTU of the TAP is the underlay's less the overhead, and a packet of that size passes unfragmented.
#[test]
fn the_largest_packet_passes_unfragmented() {
    for (family, mtu) in [(Family::V4, 1450_u32), (Family::V6, 1430)] {
        let underlay = Underlay::new(2);
        let (ours, theirs) = (underlay.host(0), underlay.host(1));
        let peer = KernelVtep::new(theirs, &KernelVtepOptions::to(&[ours.address(family)]));
        let vtep = crate::bed::start(&underlay, family, &format!("flood = [\"{}\"]", theirs.address(family)));
        add_guest_addresses(&underlay);
        assert_eq!(ours.namespace.device(TAP)["mtu"], mtu);
        assert_eq!(vtep.show("segments")[0]["mtu"], mtu);
        let largest = (mtu - 28).to_string();
        let options = ["-s", &largest, "-M", "do"];
        assert_eq!(ping_with(&ours.namespace, peer.guest_address(Family::V4), 3, &options), ALL, "{family:?}");
        assert_eq!(ping_with(&peer.guest, guest_address(1, Family::V4), 3, &options), ALL, "{family:?}");
    }
}
