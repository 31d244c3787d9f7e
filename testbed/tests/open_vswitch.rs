//! Open vSwitch on both sides: shows that the peer is right by itself.

use testbed::{
    Encapsulation, Family, Host, OpenVswitchOptions, OpenVswitchVtep, ping, ping_with, transfer, wait_until,
};

fn pair(encapsulation: Encapsulation, family: Family) -> ([Host; 2], [OpenVswitchVtep; 2]) {
    let hosts = Host::pair();
    let peers = [0, 1].map(|index| {
        let remote = hosts[1 - index].address(family);
        let peer = OpenVswitchVtep::new(&hosts[index], &OpenVswitchOptions::to(encapsulation, &[remote]));
        peer.enable_ipv6();
        peer
    });
    (hosts, peers)
}

#[test]
fn guests_reach_each_other_by_each_tunnel_over_either_underlay() {
    for encapsulation in Encapsulation::ALL {
        for family in Family::ALL {
            let (_hosts, [one, two]) = pair(encapsulation, family);
            let context = format!("{encapsulation} over {family:?}");
            for inner in Family::ALL {
                // The first packets have the switch look for the other end.
                wait_until(&context, || ping(&one.guest, two.guest_address(inner), 1).received == 1);
                assert_eq!(ping(&two.guest, one.guest_address(inner), 3).received, 3, "{inner:?} in {context}");
            }
            let largest = (1500 - encapsulation.overhead(family) - 28).to_string();
            let options = ["-s", &largest, "-M", "do"];
            assert_eq!(ping_with(&one.guest, two.guest_address(Family::V4), 2, &options).received, 2, "{context}");
            assert_eq!([one.lost_in_sockets(), two.lost_in_sockets()], [0, 0], "{context}");
        }
    }
}

#[test]
fn a_transfer_arrives_whole() {
    let (_hosts, [one, two]) = pair(Encapsulation::Geneve, Family::V4);
    let far = two.guest_address(Family::V4);
    wait_until("they reach each other", || ping(&one.guest, far, 1).received == 1);
    let moved = transfer(&one.guest, &two.guest, far, 5_000_000);
    assert_eq!(moved.sent, moved.received);
}
