//! TCP between guests, equal by SHA-256: against kernel VXLAN and between two of ours, with the offloads of the guests and
//! of the underlay on and off. 100 MB each way; `TAP_VTEP_TRANSFER_BYTES` says how many instead.

use testbed::{Family, Host, KernelVtep, Namespace, TapVtep, Underlay, transfer};

use crate::{
    bed::{
        Cable, Counts, PROGRAM, TAP, add_guest_addresses, expect_all_delivered, flood_to_all, guest_address,
        kernel_peers, missing, one_segment, start_two_with, with_super_frames,
    },
    shown::{Feature, With, shown},
    tunnel::Tunnel,
};

/// Where super-frames go that leave by tunnel GSO.
const HELPER_TAP: &str = "tv-gso0";

/// Bytes each way.
fn bytes() -> u64 {
    let wanted = std::env::var("TAP_VTEP_TRANSFER_BYTES").ok();
    wanted.map_or(100_000_000, |wanted| wanted.replace('_', "").parse().expect("a number of bytes"))
}

/// What the guests' own devices leave to others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum GuestOffloads {
    On,
    Off,
}

impl GuestOffloads {
    fn set(self, namespace: &Namespace, device: &str) {
        if self == Self::Off {
            namespace.set_offloads(device, "tx off tso off gso off gro off");
        }
    }
}

/// Nobody has met a wrong checksum, on the way or at the end of it.
fn expect_no_wrong_checksum(namespaces: &[&Namespace], context: &str) {
    for namespace in namespaces {
        for counter in ["TcpInCsumErrors", "UdpInCsumErrors", "Udp6InCsumErrors", "Ip6InHdrErrors", "IpInHdrErrors"] {
            assert_eq!(namespace.protocol_counter(counter), 0, "{counter} in {namespace:?}: {context}");
        }
    }
}

/// Super-frames were carried as such: what the TAP gave are far fewer frames than were sent.
fn expect_super_frames(host: &Host, vtep: &TapVtep, context: &str) {
    let read = host.namespace.statistic(TAP, "tx", "packets");
    let sent = vtep.counter("tx_frames");
    assert!(read * 2 < sent, "{read} frames from the TAP, {sent} sent: {context}");
}

fn shown_by_transfers(tunnel: Tunnel, with: With, outer: Family, cable: Cable, guests: GuestOffloads, way: &str) {
    let feature = match (guests, way, cable) {
        (GuestOffloads::Off, ..) => Feature::NoOffloads,
        (_, "tunnel-gso", _) => Feature::TunnelGso,
        (_, _, Cable::Veth) => Feature::Uncut,
        (_, _, Cable::Wire | Cable::WireWithGro) => Feature::Wires,
    };
    shown(feature, tunnel.encapsulation(), with, outer);
}

fn move_between(from: &Namespace, to: &Namespace, family: Family, number: u8, context: &str) {
    let moved = transfer(from, to, guest_address(number, family), bytes());
    assert_eq!(moved.sent.bytes, bytes());
    assert_eq!(moved.sent, moved.received, "to guest {number}: {context}");
}

fn against_the_kernel(outer: Family, inner: Family, cable: Cable, guests: GuestOffloads, way: &str) {
    let context = &format!("kernel, {inner:?} over {outer:?}, {cable:?}, guests' offloads {guests:?}, {way}");
    let underlay = Underlay::new(2);
    cable.lay(&underlay);
    let peer = kernel_peers(&underlay, outer).remove(0);
    peer.enable_ipv6();
    let host = underlay.host(0);
    let configuration = with_super_frames(way, &one_segment(host, outer, &flood_to_all(&underlay, outer)));
    let vtep = TapVtep::configured(PROGRAM, &host.namespace, &configuration);
    add_guest_addresses(&underlay);
    let (ours, theirs) = (&underlay.host(0).namespace, &peer.guest);
    guests.set(ours, TAP);
    guests.set(theirs, KernelVtep::GUEST_DEVICE);

    move_between(ours, theirs, inner, 2, context);
    if guests == GuestOffloads::On {
        expect_super_frames(underlay.host(0), &vtep, context);
    }
    move_between(theirs, ours, inner, 1, context);
    expect_no_wrong_checksum(&[ours, theirs, &underlay.host(1).namespace], context);
    Counts::expect_no_drop(&vtep, context);
    assert!(vtep.counter("tx_bytes") > bytes() && vtep.counter("rx_bytes") > bytes(), "{}", vtep.show("stats"));
    shown_by_transfers(Tunnel::Vxlan, With::Kernel, outer, cable, guests, way);
}

fn between_ours(tunnel: Tunnel, outer: Family, inner: Family, cable: Cable, guests: GuestOffloads, way: &str) {
    let context = &format!("ours, {tunnel:?}, {inner:?} over {outer:?}, {cable:?}, guests' offloads {guests:?}, {way}");
    let underlay = Underlay::new(2);
    cable.lay(&underlay);
    let endpoints = start_two_with(way, tunnel, &underlay, outer, "");
    let before = missing(&endpoints);
    underlay.hosts().iter().for_each(|host| guests.set(&host.namespace, TAP));
    let [one, two] = [0, 1].map(|index| &underlay.host(index).namespace);
    move_between(one, two, inner, 2, context);
    move_between(two, one, inner, 1, context);
    for (vtep, host) in endpoints.iter().zip(underlay.hosts()) {
        if guests == GuestOffloads::On {
            expect_super_frames(host, vtep, context);
        }
        if way == "tunnel-gso" {
            assert!(host.namespace.statistic(HELPER_TAP, "rx", "packets") > 0, "{context}");
        }
        Counts::expect_no_drop(vtep, context);
    }
    expect_no_wrong_checksum(&[one, two], context);
    // A super-frame that goes across whole is one to its receiver, and as many as are in it to its sender.
    if way == "socket" || cable != Cable::Veth {
        expect_all_delivered(&underlay, &endpoints, before, context);
    }
    shown_by_transfers(tunnel, With::Ours, outer, cable, guests, way);
}

#[test]
fn with_kernel_vxlan_as_a_newcomer_sets_it_up() {
    for (outer, inner) in
        [(Family::V4, Family::V4), (Family::V6, Family::V6), (Family::V4, Family::V6), (Family::V6, Family::V4)]
    {
        against_the_kernel(outer, inner, Cable::Veth, GuestOffloads::On, "auto");
        against_the_kernel(outer, inner, Cable::Veth, GuestOffloads::On, "socket");
    }
}

#[test]
fn with_kernel_vxlan_over_a_wire() {
    for cable in [Cable::Wire, Cable::WireWithGro] {
        against_the_kernel(Family::V4, Family::V4, cable, GuestOffloads::On, "auto");
        against_the_kernel(Family::V6, Family::V6, cable, GuestOffloads::On, "auto");
    }
}

#[test]
fn with_kernel_vxlan_and_guests_without_offloads() {
    for cable in Cable::ALL {
        against_the_kernel(Family::V4, Family::V4, cable, GuestOffloads::Off, "auto");
        against_the_kernel(Family::V6, Family::V6, cable, GuestOffloads::Off, "auto");
    }
}

#[test]
fn between_two_of_ours_with_offloads() {
    for cable in Cable::ALL {
        for way in ["auto", "socket"] {
            between_ours(Tunnel::Vxlan, Family::V4, Family::V4, cable, GuestOffloads::On, way);
            between_ours(Tunnel::Vxlan, Family::V6, Family::V6, cable, GuestOffloads::On, way);
        }
    }
}

/// Whole into the tunnel, and cut by the kernel at the interface.
#[test]
fn by_tunnel_gso_over_a_wire() {
    for cable in [Cable::Wire, Cable::WireWithGro] {
        for inner in Family::ALL {
            against_the_kernel(Family::V4, inner, cable, GuestOffloads::On, "tunnel-gso");
            between_ours(Tunnel::Vxlan, Family::V4, inner, cable, GuestOffloads::On, "tunnel-gso");
        }
    }
}

/// Here also over a veth, which takes it whole.
#[test]
fn nvgre_by_tunnel_gso() {
    for (cable, inner) in Cable::ALL.into_iter().flat_map(|cable| Family::ALL.map(|inner| (cable, inner))) {
        between_ours(Tunnel::Nvgre, Family::V4, inner, cable, GuestOffloads::On, "tunnel-gso");
    }
}

#[test]
fn nvgre_by_sockets() {
    for cable in Cable::ALL {
        between_ours(Tunnel::Nvgre, Family::V4, Family::V6, cable, GuestOffloads::On, "socket");
        between_ours(Tunnel::Nvgre, Family::V6, Family::V4, cable, GuestOffloads::On, "auto");
    }
}

#[test]
fn between_two_of_ours_and_guests_without_offloads() {
    for cable in Cable::ALL {
        between_ours(Tunnel::Vxlan, Family::V4, Family::V4, cable, GuestOffloads::Off, "auto");
        between_ours(Tunnel::Vxlan, Family::V6, Family::V6, cable, GuestOffloads::Off, "auto");
    }
}
