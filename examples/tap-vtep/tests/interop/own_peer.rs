//! Our endpoint on both sides.

use testbed::{Family, Ping, TapVtep, Underlay, ping, transfer};

use crate::bed::{PROGRAM, TAP, guest_address};

#[test]
fn two_of_ours_reach_each_other_and_move_a_hundred_megabytes() {
    for family in Family::ALL {
        let underlay = Underlay::new(2);
        let both = [0, 1].map(|index| {
            let (here, there) = (underlay.host(index), underlay.host(1 - index));
            TapVtep::run(
                PROGRAM,
                &here.namespace,
                &[
                    "--vni",
                    "7",
                    "--tap",
                    TAP,
                    "--local",
                    &here.address(family).to_string(),
                    "--remote",
                    &there.address(family).to_string(),
                    "--address",
                    &format!("{}/24", guest_address(here.number(), Family::V4)),
                ],
            )
        });
        let [one, two] = [0, 1].map(|index| &underlay.host(index).namespace);
        let far = guest_address(2, Family::V4);
        assert_eq!(ping(one, far, 5), Ping { sent: 5, received: 5, duplicates: 0 });
        for (from, to, address) in [(one, two, far), (two, one, guest_address(1, Family::V4))] {
            let moved = transfer(from, to, address, 100_000_000);
            assert_eq!(moved.sent, moved.received);
        }
        for vtep in both {
            assert_eq!(vtep.stop().status, Some(0));
        }
    }
}
