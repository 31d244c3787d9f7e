//! 100 MB by TCP each way between our TAP and a guest behind kernel VXLAN, equal by SHA-256.

use testbed::{Family, Underlay, finish_checksums, transfer};

use crate::bed::{add_guest_addresses, flood_to_all, guest_address, kernel_peers, start};

const BYTES: u64 = 100_000_000;

fn move_both_ways(underlay_family: Family, inner: Family) {
    let underlay = Underlay::new(2);
    finish_checksums(underlay.host(1));
    let peers = kernel_peers(&underlay, underlay_family);
    peers[0].enable_ipv6();
    let vtep = start(&underlay, underlay_family, &flood_to_all(&underlay, underlay_family));
    add_guest_addresses(&underlay);
    let (ours, theirs) = (&underlay.host(0).namespace, &peers[0].guest);

    let out = transfer(ours, theirs, peers[0].guest_address(inner), BYTES);
    assert_eq!(out.sent.bytes, BYTES);
    assert_eq!(out.sent, out.received, "out, {inner:?} over {underlay_family:?}");
    let back = transfer(theirs, ours, guest_address(1, inner), BYTES);
    assert_eq!(back.sent.bytes, BYTES);
    assert_eq!(back.sent, back.received, "in, {inner:?} over {underlay_family:?}");

    assert!(vtep.counter("tx_bytes") > BYTES && vtep.counter("rx_bytes") > BYTES, "{}", vtep.show("stats"));
}

#[test]
fn ipv4_over_ipv4() {
    move_both_ways(Family::V4, Family::V4);
}

#[test]
fn ipv6_over_ipv6() {
    move_both_ways(Family::V6, Family::V6);
}
