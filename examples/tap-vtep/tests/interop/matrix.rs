//! Each encapsulation with each peer that speaks it, over IPv4 and IPv6, with both inside: ping, UDP, TCP and VLAN tags, as
//! tshark sees them on the wire; and each frame accounted for.

mod bridged;
mod geneve_options;
mod peer;
mod traffic;
mod wire;

use std::{net::IpAddr, time::Duration};

use testbed::{Encapsulation, Family, TapVtep, Underlay, ping, wait_until};

use self::{peer::Peer, wire::Wire};
use crate::{
    bed::{Cable, Counts, PROGRAM, TAP, guest_address},
    shown::{Feature, With, shown},
};

/// Our endpoint on the first host, and its peer on the second.
struct Pair {
    underlay: Underlay,
    encapsulation: Encapsulation,
    outer: Family,
    vtep: TapVtep,
    peer: Peer,
}

impl Pair {
    fn new(encapsulation: Encapsulation, with: With, outer: Family) -> Self {
        Self::with_lines(encapsulation, with, outer, "")
    }

    /// With these lines for the segment of ours.
    fn with_lines(encapsulation: Encapsulation, with: With, outer: Family, lines: &str) -> Self {
        let underlay = Underlay::new(2);
        Cable::Wire.lay(&underlay);
        let peer = Peer::new(&underlay, 1, encapsulation, with, outer);
        let host = underlay.host(0);
        let vtep =
            TapVtep::configured(PROGRAM, &host.namespace, &(configuration(&underlay, 0, encapsulation, outer) + lines));
        for family in Family::ALL {
            host.namespace.add_address(TAP, guest_address(1, family), prefix_len(family));
        }
        let pair = Self { underlay, encapsulation, outer, vtep, peer };
        for family in Family::ALL {
            // Open vSwitch drops what it has while it looks for the other end of a tunnel.
            wait_until(&format!("they reach each other, {}", pair.context()), || {
                ping(pair.guests()[0], guest_address(2, family), 1).received == 1
            });
        }
        pair
    }

    fn context(&self) -> String {
        format!("{} with {} over {:?}", self.encapsulation, self.peer.with(), self.outer)
    }

    /// The namespaces of both guests.
    fn guests(&self) -> [&testbed::Namespace; 2] {
        [&self.underlay.host(0).namespace, self.peer.guest()]
    }

    /// For each direction, frames that one side has sent less those that the other has taken or dropped, when for a moment
    /// nothing has been on its way.
    fn on_the_way(&self) -> [i64; 2] {
        let ([sent, taken], [their_sent, their_taken]) = in_silence(|| {
            let counts = Counts::of(&self.vtep);
            ([counts.sent, counts.delivered + counts.drops_in_all()], self.peer.frames())
        });
        [(sent, their_taken), (their_sent, taken)].map(|(sent, taken)| sent.cast_signed() - taken.cast_signed())
    }

    /// Frames that we have sent less those on the wire.
    fn unseen(&self, wire: &Wire) -> i64 {
        let (sent, seen) = in_silence(|| (Counts::of(&self.vtep).sent, wire.sent(self.encapsulation, self.outer)));
        sent.cast_signed() - seen.cast_signed()
    }

    /// Waits until each frame that was sent since then is accounted for; those that a socket had no room for are, too.
    #[track_caller]
    fn expect_balance(&self, before: [i64; 2], what: &str) {
        let mut now = self.on_the_way();
        let lost = (self.peer.lost_in_sockets() + peer::lost_by_us(self.underlay.host(0))).cast_signed();
        wait_until(
            &format!(
                "as many are sent as taken, but {now:?}, before {before:?}, lost {lost}: {what}, {}",
                self.context()
            ),
            || {
                now = self.on_the_way();
                let missing = [now[0] - before[0], now[1] - before[1]];
                missing.iter().all(|missing| *missing >= 0) && missing.iter().sum::<i64>() <= lost
            },
        );
    }

    /// What was shown, for the table.
    fn shown(&self, feature: Feature) {
        shown(feature, self.encapsulation, self.peer.with(), self.outer);
    }
}

/// Without a frame so long: nothing is on its way.
const MOMENT: Duration = Duration::from_millis(200);

/// The segment of all of them: RFC 7637 §3.2 reserves VSIDs below 4096.
const VNI: u32 = 0x01_2345;

/// What is read when it has been the same for a moment.
fn in_silence<T: PartialEq>(read: impl Fn() -> T) -> T {
    let mut now = read();
    wait_until("the guests are silent for a moment", || {
        std::thread::sleep(MOMENT);
        let before = std::mem::replace(&mut now, read());
        now == before
    });
    now
}

/// Of the endpoint on this host, with the other one of two for its remote.
fn configuration(underlay: &Underlay, host: usize, encapsulation: Encapsulation, outer: Family) -> String {
    let [here, remote] = [host, 1 - host].map(|index| underlay.host(index).address(outer));
    format!("[underlay]\nlocal = \"{here}\"\n{}", segment(TAP, encapsulation, remote))
}

fn segment(tap: &str, encapsulation: Encapsulation, remote: IpAddr) -> String {
    format!(
        "[[segment]]\nname = \"{tap}\"\ntap = \"{tap}\"\nvni = {VNI}\nencapsulation = \"{encapsulation}\"\n\
         flood = [\"{remote}\"]\n"
    )
}

fn prefix_len(family: Family) -> u8 {
    match family {
        Family::V4 => 24,
        Family::V6 => 64,
    }
}

fn all(encapsulation: Encapsulation, with: With) {
    for outer in Family::ALL {
        let pair = Pair::new(encapsulation, with, outer);
        let [ours, theirs] = pair.guests();
        let wire = Wire::new(pair.underlay.host(0));
        let before = pair.on_the_way();
        let unseen = pair.unseen(&wire);
        let drops = Counts::of(&pair.vtep).drops;
        for inner in Family::ALL {
            let addresses = [1, 2].map(|number| guest_address(number, inner));
            traffic::ping_all_sizes(ours, theirs, addresses, &pair.context());
        }
        pair.expect_balance(before, "ping");
        pair.shown(Feature::Ping);
        for inner in Family::ALL {
            traffic::datagrams(ours, theirs, [1, 2].map(|number| guest_address(number, inner)), &pair.context());
        }
        pair.expect_balance(before, "UDP");
        pair.shown(Feature::Udp);
        for inner in Family::ALL {
            traffic::streams(ours, theirs, [1, 2].map(|number| guest_address(number, inner)), &pair.context());
        }
        pair.expect_balance(before, "TCP");
        pair.shown(Feature::Tcp);
        assert_eq!(Counts::of(&pair.vtep).drops, drops, "{}", pair.context());
        assert_eq!(pair.unseen(&wire), unseen, "frames that are sent and not on the wire: {}", pair.context());
        wire.expect_only(encapsulation, outer, &pair.context());
        pair.shown(Feature::Wire);
        if encapsulation != Encapsulation::Nvgre {
            carry_tags(&pair);
            pair.shown(Feature::Vlan);
        }
    }
}

/// Our endpoint carries tags from now on. RFC 7637 §3.3 forbids it for NVGRE.
fn carry_tags(pair: &Pair) {
    let before = pair.on_the_way();
    let carrying = |host| configuration(&pair.underlay, host, pair.encapsulation, pair.outer) + "vlan = \"carry\"\n";
    let reload = |vtep: &TapVtep, host| {
        vtep.reload(&carrying(host));
        wait_until("it has read that", || vtep.log().iter().any(|line| line.contains("read again")));
    };
    reload(&pair.vtep, 0);
    if let Peer::Ours { vtep, .. } = &pair.peer {
        reload(vtep, 1);
    }
    let [ours, theirs] = pair.guests();
    traffic::tagged_frames((ours, TAP), (theirs, pair.peer.guest_device()));
    pair.expect_balance(before, "VLAN tags");
}

#[test]
fn vxlan_with_the_linux_kernel() {
    all(Encapsulation::Vxlan, With::Kernel);
}

#[test]
fn vxlan_with_open_vswitch() {
    all(Encapsulation::Vxlan, With::OpenVswitch);
}

#[test]
fn vxlan_between_two_of_ours() {
    all(Encapsulation::Vxlan, With::Ours);
}

#[test]
fn geneve_with_open_vswitch() {
    all(Encapsulation::Geneve, With::OpenVswitch);
}

#[test]
fn geneve_between_two_of_ours() {
    all(Encapsulation::Geneve, With::Ours);
}

#[test]
fn nvgre_with_open_vswitch() {
    all(Encapsulation::Nvgre, With::OpenVswitch);
}

#[test]
fn nvgre_between_two_of_ours() {
    all(Encapsulation::Nvgre, With::Ours);
}
