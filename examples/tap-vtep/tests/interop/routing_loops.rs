//! A route to a remote that leads into the overlay: each frame would go out in itself, until it fits no more.

use overlay_types::MacAddr;
use testbed::{Family, FrameSender, Numbered, TapVtep, Underlay, guest_mac, wait_until};

use crate::bed::{Counts, PROGRAM, TAP, add_guest_addresses, flood_to_all, guest_address, one_segment, stranger};

const COUNT: u32 = 200;

#[test]
fn a_remote_that_routes_back_into_our_tap_is_a_drop_and_no_loop() {
    for encapsulation in ["vxlan", "geneve", "nvgre"] {
        for family in Family::ALL {
            let underlay = Underlay::new(3);
            let ours = &underlay.host(0).namespace;
            let lines = format!("encapsulation = \"{encapsulation}\"\n{}", flood_to_all(&underlay, family));
            let configuration = one_segment(underlay.host(0), family, &lines).replace("vni = 42", "vni = 5000");
            let vtep = TapVtep::configured(PROGRAM, ours, &configuration);
            add_guest_addresses(&underlay);
            let guest = guest_address(2, family);
            ours.ip(&format!("neigh add {guest} lladdr {} dev {TAP} nud permanent", guest_mac(2)));
            ours.ip(&format!("route add {} via {guest} dev {TAP}", underlay.host(1).address(family)));
            let before = Counts::of(&vtep);
            let frames = Numbered::new(MacAddr::BROADCAST, stranger(1), 1);
            FrameSender::new(ours, TAP).send_all(frames.frames(COUNT));
            // Each goes to both remotes; what is for one of them comes back, once. The host may have said something, too.
            wait_until(&format!("all are back: {:?}", Counts::of(&vtep)), || {
                let after = Counts::of(&vtep);
                let more = after.sent - before.sent;
                more >= COUNT.into() && after == before.clone().and_sent(more).and_dropped("routing_loop", more)
            });
        }
    }
}
