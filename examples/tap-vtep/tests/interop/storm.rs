//! Storm control: of what goes to everyone no more passes than the rate and the burst allow, and the rest is counted.

use std::time::{Duration, Instant};

use overlay_types::MacAddr;
use testbed::{Family, FrameSender, Numbered, Sniffer, TapVtep, Underlay, guest_mac, stays, wait_until};

use crate::bed::{Counts, HandPeer, TAP, expect_at, start, stranger};

const COUNT: u32 = 1000;
const BURST: u64 = 50;

struct Bed {
    underlay: Underlay,
    peer: HandPeer,
    vtep: TapVtep,
}

impl Bed {
    fn new(storm: &str) -> Self {
        let underlay = Underlay::new(2);
        let peer = HandPeer::new(&underlay, 1, Family::V4);
        let vtep = start(&underlay, Family::V4, &format!("flood = [\"{}\"]\nstorm = {storm}", peer.address()));
        Self { underlay, peer, vtep }
    }

    fn send_from_tap(&self, destination: MacAddr) {
        let frames = Numbered::new(destination, stranger(1), 1);
        FrameSender::new(&self.underlay.host(0).namespace, TAP).send_all(frames.frames(COUNT));
    }

    fn send_from_peer(&self, destination: MacAddr) {
        for (number, frame) in Numbered::new(destination, guest_mac(2), 1).frames(COUNT).enumerate() {
            self.peer.send(&frame);
            if number % 16 == 15 {
                std::thread::sleep(Duration::from_micros(500));
            }
        }
    }
}

fn group() -> MacAddr {
    "01:00:5e:01:02:03".parse().unwrap()
}

/// The burst passes at least, and besides what the rate of one a second gave meanwhile.
#[track_caller]
fn expect_burst(bed: &Bed, before: &Counts, begun: Instant, passed: impl Fn(&Counts) -> u64, context: &str) {
    wait_until("all is dealt with", || Counts::of(&bed.vtep).total() == before.total() + u64::from(COUNT));
    let now = Counts::of(&bed.vtep);
    let storm = |counts: &Counts| counts.drops.get("storm").copied().unwrap_or(0);
    let passed = passed(&now) - passed(before);
    assert_eq!(passed + storm(&now) - storm(before), u64::from(COUNT), "{context}");
    let most = BURST + 1 + begun.elapsed().as_secs();
    assert!((BURST..=most).contains(&passed), "{passed} of at most {most}: {context}");
}

#[test]
fn each_kind_has_its_bucket_each_way() {
    let bed = Bed::new("{ broadcast = 1, unknown_unicast = 1, multicast = 1, burst = 50 }");
    for destination in [MacAddr::BROADCAST, group(), stranger(99)] {
        let (before, begun) = (Counts::of(&bed.vtep), Instant::now());
        bed.send_from_tap(destination);
        expect_burst(&bed, &before, begun, |counts| counts.sent, &destination.to_string());
    }
    for destination in [MacAddr::BROADCAST, group()] {
        let (before, begun) = (Counts::of(&bed.vtep), Instant::now());
        bed.send_from_peer(destination);
        expect_burst(&bed, &before, begun, |counts| counts.delivered, &destination.to_string());
    }
}

#[test]
fn what_goes_to_one_station_is_no_storm() {
    let bed = Bed::new("{ broadcast = 0, unknown_unicast = 0, multicast = 0 }");
    let delivered = Sniffer::of_stream(&bed.underlay.host(0).namespace, TAP, 1);
    let before = Counts::of(&bed.vtep);
    for destination in [MacAddr::BROADCAST, group(), guest_mac(2)] {
        bed.send_from_tap(destination);
    }
    let before = before.and_dropped("storm", 3 * u64::from(COUNT));
    before.expect(&bed.vtep);
    for destination in [MacAddr::BROADCAST, group()] {
        bed.send_from_peer(destination);
    }
    let before = before.and_dropped("storm", 2 * u64::from(COUNT));
    before.expect(&bed.vtep);
    stays("nothing arrives", Duration::from_millis(200), || delivered.count() == 0);
    // What is for one passes, whatever else does not.
    bed.send_from_peer(stranger(1));
    let mut before = before.and_delivered(COUNT.into());
    before.expect(&bed.vtep);
    delivered.expect(COUNT.into());
    expect_at(&bed.vtep, guest_mac(2), &bed.peer.address());
    bed.send_from_tap(guest_mac(2));
    before.sent += u64::from(COUNT);
    before.expect(&bed.vtep);
}

#[test]
fn a_kind_without_a_rate_passes() {
    let bed = Bed::new("{ broadcast = 0 }");
    let mut before = Counts::of(&bed.vtep);
    for destination in [group(), stranger(99)] {
        bed.send_from_tap(destination);
        before.sent += u64::from(COUNT);
    }
    before.expect(&bed.vtep);
    bed.send_from_tap(MacAddr::BROADCAST);
    before.and_dropped("storm", COUNT.into()).expect(&bed.vtep);
}

/// The rate changes with the configuration, and what is being carried does not mind.
#[test]
fn a_rate_is_heeded_on_reload() {
    let bed = Bed::new("{ broadcast = 0 }");
    let before = Counts::of(&bed.vtep);
    bed.send_from_tap(MacAddr::BROADCAST);
    let mut before = before.and_dropped("storm", COUNT.into());
    before.expect(&bed.vtep);
    let lines = format!("flood = [\"{}\"]", bed.peer.address());
    bed.vtep.reload(&crate::bed::one_segment(bed.underlay.host(0), Family::V4, &lines));
    let mut sender = FrameSender::new(&bed.underlay.host(0).namespace, TAP);
    let frame = Numbered::new(MacAddr::BROADCAST, stranger(1), 2).frame(0);
    wait_until("a broadcast passes", || {
        sender.send(&frame);
        Counts::of(&bed.vtep).sent > before.sent
    });
    wait_until("nothing is on its way", || {
        before = Counts::of(&bed.vtep);
        std::thread::sleep(Duration::from_millis(200));
        before == Counts::of(&bed.vtep)
    });
    bed.send_from_tap(MacAddr::BROADCAST);
    before.sent += u64::from(COUNT);
    before.expect(&bed.vtep);
}
