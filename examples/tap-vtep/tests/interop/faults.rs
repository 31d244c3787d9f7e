//! Errors of the system: each has a counted answer, ends nothing, and costs no other peer a packet.

use std::time::Duration;

use overlay_types::MacAddr;
use rustix::process::Signal;
use testbed::{Family, Fault, FrameSender, KernelVtep, Numbered, Sniffer, TapVtep, Underlay, stays, wait_until};

use crate::bed::{Counts, HandPeer, TAP, flood_to_all, kernel_peers, start, stranger};

/// What `sendmmsg` may say that the loop must survive.
const ERRORS: [&str; 9] =
    ["ENOBUFS", "EAGAIN", "EINTR", "EPERM", "ENETDOWN", "ENETUNREACH", "EHOSTUNREACH", "ECONNREFUSED", "EMSGSIZE"];

/// The reason under which a datagram is counted that could not be sent for this error.
fn reason(error: &str) -> &'static str {
    if error == "EMSGSIZE" { "too_big" } else { "socket" }
}

/// Our endpoint with a kernel peer on each other host.
struct Sending {
    underlay: Underlay,
    peers: Vec<KernelVtep>,
    vtep: TapVtep,
}

impl Sending {
    fn new(hosts: u8) -> Self {
        Self::configured(hosts, "")
    }

    fn configured(hosts: u8, lines: &str) -> Self {
        let underlay = Underlay::new(hosts);
        let peers = kernel_peers(&underlay, Family::V4);
        let vtep = start(&underlay, Family::V4, &format!("{}\n{lines}", flood_to_all(&underlay, Family::V4)));
        Self { underlay, peers, vtep }
    }

    fn arriving(&self, peer: usize, stream: u32) -> Sniffer {
        Sniffer::of_stream(&self.peers[peer].guest, KernelVtep::GUEST_DEVICE, stream)
    }

    /// Broadcasts a stream out of our TAP.
    fn broadcast(&self, stream: u32, count: u32) {
        let frames = Numbered::new(MacAddr::BROADCAST, stranger(1), stream);
        FrameSender::new(&self.underlay.host(0).namespace, TAP).send_all(frames.frames(count));
    }

    /// The same, all at once: our endpoint finds them as one batch.
    fn broadcast_at_once(&self, stream: u32, count: u32) {
        self.vtep.signal(Signal::STOP);
        self.broadcast(stream, count);
        self.vtep.signal(Signal::CONT);
    }
}

/// An error that passes costs nothing: what could not be sent at once is sent then.
#[test]
fn an_error_that_passes_costs_no_packet() {
    let sending = Sending::new(2);
    let mut before = Counts::of(&sending.vtep);
    for (stream, error) in (1..).zip(ERRORS) {
        let arriving = sending.arriving(0, stream);
        let fault = Fault::inject(sending.vtep.id(), "sendmmsg", &format!("error={error}:when=2+7"));
        sending.broadcast(stream, 200);
        arriving.expect_stream(stream, 200);
        assert!(fault.end() > 0, "{error} was never met");
        before.sent += 200;
        before.expect(&sending.vtep);
    }
}

/// An error that stays: every frame is counted as a drop, the loop goes on, and afterwards all is well again.
#[test]
fn an_error_that_stays_is_counted_and_ends_nothing() {
    // An interruption that never ends is not one.
    for error in ERRORS.into_iter().filter(|error| *error != "EINTR") {
        let sending = Sending::new(2);
        let arriving = sending.arriving(0, 1);
        let before = Counts::of(&sending.vtep);
        let fault = Fault::inject(sending.vtep.id(), "sendmmsg", &format!("error={error}"));
        sending.broadcast(1, 50);
        let mut after = before.and_dropped(reason(error), 50);
        after.expect(&sending.vtep);
        assert!(fault.end() > 0, "{error} was never met");
        arriving.expect(0);
        sending.broadcast(1, 50);
        arriving.expect_stream(1, 50);
        after.sent += 50;
        after.expect(&sending.vtep);
    }
}

/// `sendmmsg` says that it sent one of many: the others are sent by the next call. (The first one's is the made answer: it
/// really is lost.) Without checksums each datagram is a message of its own.
#[test]
fn a_short_count_is_sent_on() {
    let sending = Sending::configured(2, "udp_checksum = false");
    for (stream, count) in [(1, 2), (2, 30), (3, 64)] {
        let arriving = sending.arriving(0, stream);
        let fault = Fault::inject(sending.vtep.id(), "sendmmsg", "retval=1:when=1");
        sending.broadcast_at_once(stream, count);
        arriving.expect(u64::from(count) - 1);
        assert_eq!(fault.end(), 1);
        let mut numbers = arriving.numbers(stream);
        numbers.sort_unstable();
        numbers.dedup();
        assert_eq!(numbers.len(), count as usize - 1, "a frame came twice");
    }
}

/// Equal frames go as one message; where the system takes none of that kind, they go one by one, and none is lost.
#[test]
fn a_message_of_many_datagrams_that_is_refused_costs_no_packet() {
    let sending = Sending::new(2);
    let mut before = Counts::of(&sending.vtep);
    for (stream, error) in (1..).zip(["EINVAL", "EMSGSIZE", "EIO"]) {
        let arriving = sending.arriving(0, stream);
        // Twice: each message is tried again.
        let fault = Fault::inject(sending.vtep.id(), "sendmmsg", &format!("error={error}:when=1..2"));
        sending.broadcast_at_once(stream, 64);
        arriving.expect_stream(stream, 64);
        assert_eq!(fault.end(), 2, "{error}");
        assert_eq!(arriving.numbers(stream), (0..64).collect::<Vec<_>>(), "{error}");
        before.sent += 64;
        before.expect(&sending.vtep);
    }
    let said = sending.vtep.log().iter().filter(|line| line.contains("one by one")).count();
    assert_eq!(said, 1, "{:?}", sending.vtep.log());
}

/// A peer that the underlay's routes cannot reach, in each way in which they say so, beside a healthy one.
#[test]
fn a_peer_out_of_reach_costs_the_other_no_packet() {
    // EHOSTUNREACH, EACCES, EINVAL, ENETUNREACH.
    for route in ["unreachable", "prohibit", "blackhole", "throw"] {
        let sending = Sending::new(3);
        let ours = &sending.underlay.host(0).namespace;
        let lost = sending.underlay.host(2).address(Family::V4);
        if route == "throw" {
            // No route at all for this one: the network's is replaced by one for the healthy peer.
            let healthy = sending.underlay.host(1).address(Family::V4);
            ours.ip(&format!("route add {healthy}/32 dev u0"));
            ours.ip("route del 10.200.0.0/24 dev u0");
        } else {
            ours.ip(&format!("route add {route} {lost}/32"));
        }
        let arriving = [0, 1].map(|peer| sending.arriving(peer, 1));
        let before = Counts::of(&sending.vtep);
        // In batches too: an error in their midst cuts the call short.
        sending.broadcast_at_once(1, 200);
        arriving[0].expect_stream(1, 200);
        arriving[1].expect(0);
        // Each frame was sent to one remote at least.
        Counts { sent: before.sent + 200, ..before }.expect(&sending.vtep);
    }
}

/// The only peer out of reach: each frame is one drop.
#[test]
fn frames_for_a_peer_out_of_reach_are_counted() {
    let sending = Sending::new(2);
    let ours = &sending.underlay.host(0).namespace;
    let before = Counts::of(&sending.vtep);
    let route = format!("unreachable {}/32", sending.underlay.host(1).address(Family::V4));
    ours.ip(&format!("route add {route}"));
    sending.broadcast(1, 100);
    let mut after = before.and_dropped("socket", 100);
    after.expect(&sending.vtep);
    ours.ip(&format!("route del {route}"));
    let arriving = sending.arriving(0, 2);
    sending.broadcast(2, 100);
    arriving.expect_stream(2, 100);
    after.sent += 100;
    after.expect(&sending.vtep);
}

/// A TAP that is down takes no frame: each is one drop, and when it is up again traffic goes on.
#[test]
fn a_tap_that_takes_nothing_costs_counted_drops() {
    let underlay = Underlay::new(2);
    let peer = HandPeer::new(&underlay, 1, Family::V4);
    let vtep = start(&underlay, Family::V4, &format!("flood = [\"{}\"]", peer.address()));
    let ours = &underlay.host(0).namespace;
    let frames = Numbered::new(MacAddr::BROADCAST, stranger(1), 1);
    let before = Counts::of(&vtep);
    ours.ip(&format!("link set {TAP} down"));
    frames.frames(50).for_each(|frame| peer.send(&frame));
    let after = before.and_dropped("socket", 50);
    after.expect(&vtep);
    ours.ip(&format!("link set {TAP} up"));
    let arriving = Sniffer::of_stream(ours, TAP, 1);
    frames.frames(50).for_each(|frame| peer.send(&frame));
    arriving.expect_stream(1, 50);
    after.and_delivered(50).expect(&vtep);
}

/// Errors while receiving are survived as well.
#[test]
fn errors_of_receiving_end_nothing() {
    let underlay = Underlay::new(2);
    let peer = HandPeer::new(&underlay, 1, Family::V4);
    let mut vtep = start(&underlay, Family::V4, &format!("flood = [\"{}\"]", peer.address()));
    let arriving = Sniffer::of_stream(&underlay.host(0).namespace, TAP, 1);
    let frames = Numbered::new(MacAddr::BROADCAST, stranger(1), 1);
    for (round, error) in (0..).zip(["EINTR", "EAGAIN", "ECONNREFUSED", "ENETDOWN", "ENOBUFS", "EHOSTUNREACH"]) {
        let fault = Fault::inject(vtep.id(), "recvmmsg", &format!("error={error}:when=1..5"));
        for number in round * 100..(round + 1) * 100 {
            peer.send(&frames.frame(number));
        }
        let expected = u64::from(round + 1) * 100;
        wait_until(&format!("all frames arrive after {error}"), || arriving.count() == expected);
        assert!(fault.end() > 0, "{error} was never met");
    }
    arriving.expect_stream(1, 600);
    stays("it runs", Duration::from_millis(200), || vtep.is_running());
}
