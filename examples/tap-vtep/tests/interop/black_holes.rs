//! Paths that lose large packets while a firewall swallows what routers say of it: they are found, said and worked around.

use testbed::{Family, Namespace, TapVtep, Underlay, ping, transfer, wait_until};

use crate::{
    bed::{Counts, PROGRAM, TAP, guest_address, one_segment, start_two, stranger},
    path_mtu::{narrow, shown_mtu},
};

/// No error by ICMP leaves this host.
fn silence(namespace: &Namespace) {
    let rules = [
        "add table inet hole",
        "add chain inet hole output { type filter hook output priority 0; }",
        "add rule inet hole output icmp type destination-unreachable drop",
        "add rule inet hole output icmpv6 type packet-too-big drop",
    ];
    for rule in rules {
        let finished = namespace.run(&["nft", rule]);
        assert_eq!(finished.status, Some(0), "{finished}");
    }
}

/// The configuration of the first endpoint of two, with probes as often as this says.
fn with_probes(underlay: &Underlay, outer: Family, every: &str) -> String {
    let lines = format!("flood = [\"{}\"]", underlay.host(1).address(outer));
    let often = format!("[underlay]\npath_mtu_probe = \"{every}\"\n");
    one_segment(underlay.host(0), outer, &lines).replace("[underlay]\n", &often)
}

fn said(vtep: &TapVtep, words: &str) -> usize {
    vtep.log().iter().filter(|line| line.contains(words)).count()
}

fn is_found(outer: Family, mtu: u32) {
    let context = format!("{outer:?}, {mtu}");
    let underlay = Underlay::new(3);
    let [first, _second] = start_two(&underlay, outer, "");
    let [one, two] = [0, 1].map(|index| &underlay.host(index).namespace);
    let remote = underlay.host(1).address(outer);
    // As a service has it.
    assert_eq!(first.stop().status, Some(0));
    let configuration = with_probes(&underlay, outer, "1s");
    let vtep = TapVtep::configured_as_nobody(PROGRAM, one, &configuration, &["net_admin", "net_raw"]);
    one.add_address(TAP, guest_address(1, Family::V4), 24);
    let talk_until = |what: &str, holds: &dyn Fn() -> bool| {
        wait_until(&format!("{what}: {context}"), || {
            let _ = ping(one, guest_address(2, Family::V4), 1);
            holds()
        });
    };
    narrow(&underlay, outer, mtu);
    silence(&underlay.host(2).namespace);
    let line = format!("the path to {remote} loses packets above {mtu} bytes");
    talk_until("the hole is found", &|| shown_mtu(&vtep, remote) == u64::from(mtu));
    // The guest is told, and what it sends gets through.
    let moved = transfer(one, two, guest_address(2, Family::V4), 2_000_000);
    assert_eq!(moved.sent, moved.received, "{context}");
    let counts = Counts::of(&vtep);
    assert!(counts.drops.keys().eq(["too_big"]), "{counts:?}: {context}");

    narrow(&underlay, outer, 1500);
    talk_until("large packets pass again", &|| shown_mtu(&vtep, remote) == 1500);
    assert_eq!((said(&vtep, &line), said(&vtep, "loses packets above")), (1, 1), "{:?}", vtep.log());
    assert_eq!(said(&vtep, "no longer loses large packets"), 1, "{:?}", vtep.log());
    assert_eq!(vtep.stop().status, Some(0));
}

#[test]
fn a_black_hole_is_found_and_said() {
    is_found(Family::V4, 1337);
    is_found(Family::V6, 1400);
}

/// Without the right to raw sockets all goes on but the probes, and that is said once; without the key there are none.
#[test]
fn without_raw_sockets_one_line_says_so() {
    let underlay = Underlay::new(2);
    let one = &underlay.host(0).namespace;
    let remote = underlay.host(1).address(Family::V4);
    let configuration = with_probes(&underlay, Family::V4, "0s");
    let vtep = TapVtep::configured_as_nobody(PROGRAM, one, &configuration, &["net_admin"]);
    one.add_address(TAP, guest_address(1, Family::V4), 24);
    let talk = || {
        let mut frame = vec![0xff; 64];
        frame[6..12].copy_from_slice(&stranger(1).octets());
        testbed::FrameSender::new(one, TAP).send(&frame);
    };
    talk();
    wait_until("it is sent", || Counts::of(&vtep).sent > 0);
    assert_eq!(said(&vtep, "cannot probe paths"), 0);
    vtep.reload(&with_probes(&underlay, Family::V4, "1s"));
    wait_until("it says what is missing", || {
        talk();
        said(&vtep, "cannot probe paths (it takes CAP_NET_RAW)") == 1
    });
    assert_eq!(shown_mtu(&vtep, remote), 1500);
    assert_eq!(vtep.stop().status, Some(0));
}
