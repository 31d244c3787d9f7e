//! Each error of each system call of the worker, a thousand times: the program lives, every frame is counted once, nobody
//! whom the error does not concern loses a packet, and the log says it once.

use std::{
    net::{IpAddr, Ipv4Addr},
    thread,
    time::Duration,
};

use overlay_types::MacAddr;
use rustix::{io::Errno, process::Signal};
use testbed::{
    Call, Family, Fault, FaultyCalls, FrameSender, KernelVtep, Numbered, Sniffer, TapVtep, Transport, TransportFrame,
    Underlay, vxlan, wait_until,
};

use crate::bed::{Counts, HandPeer, PROGRAM, TAP, VNI, flood_to_all, kernel_peers, one_segment, start, stranger};

const THOUSAND: u32 = 1000;

/// What sending may say.
const SENDING: [Errno; 10] = [
    Errno::AGAIN,
    Errno::NOBUFS,
    Errno::PERM,
    Errno::NETUNREACH,
    Errno::HOSTUNREACH,
    Errno::CONNREFUSED,
    Errno::MSGSIZE,
    Errno::INVAL,
    Errno::IO,
    Errno::NOMEM,
];

/// What receiving may say.
const RECEIVING: [Errno; 9] = [
    Errno::CONNREFUSED,
    Errno::AGAIN,
    Errno::NOMEM,
    Errno::IO,
    Errno::INTR,
    Errno::NETDOWN,
    Errno::HOSTUNREACH,
    Errno::NOBUFS,
    Errno::INVAL,
];

/// What a TAP may say to a frame; that it is gone (EBADFD) is something else.
const TAKING: [Errno; 6] = [Errno::IO, Errno::AGAIN, Errno::INVAL, Errno::NOBUFS, Errno::NOMEM, Errno::FAULT];

/// Our endpoint, whose calls can be made to fail, between hosts.
struct Faulty {
    underlay: Underlay,
    calls: FaultyCalls,
    vtep: TapVtep,
}

impl Faulty {
    fn new(hosts: u8, lines: &str) -> Self {
        let underlay = Underlay::new(hosts);
        let calls = FaultyCalls::new();
        let lines = format!("{}\n{lines}", flood_to_all(&underlay, Family::V4));
        let configuration = one_segment(underlay.host(0), Family::V4, &lines);
        let ours = &underlay.host(0).namespace;
        let vtep = TapVtep::configured_with(PROGRAM, ours, &configuration, calls.environment());
        Self { underlay, calls, vtep }
    }

    fn address(&self, host: usize) -> Ipv4Addr {
        match self.underlay.host(host).address(Family::V4) {
            IpAddr::V4(address) => address,
            IpAddr::V6(address) => panic!("{address}"),
        }
    }

    /// From now on this call fails a thousand times.
    fn fail(&self, call: Call, error: Errno, destination: Option<Ipv4Addr>) {
        self.calls.fail(call, error, destination, THOUSAND);
    }

    fn expect_all_met(&self, call: Call, error: Errno) {
        wait_until(&format!("{error} is met, {} times more", self.calls.left(call)), || self.calls.left(call) == 0);
    }

    /// Frames out of our TAP.
    fn send(&self, destination: MacAddr, stream: u32, count: u32) {
        let frames = Numbered::new(destination, stranger(1), stream);
        FrameSender::new(&self.underlay.host(0).namespace, TAP).send_all(frames.frames(count));
    }

    /// How many lines of the log say this.
    fn said(&self, what: &str) -> usize {
        self.vtep.log().iter().filter(|line| line.contains(what)).count()
    }

    fn sent_to(&self, host: usize) -> u64 {
        let (remotes, address) = (self.vtep.show("remotes"), self.address(host).to_string());
        let row = remotes.as_array().unwrap().iter().find(|row| row["address"] == address);
        row.map_or(0, |row| row["tx_packets"].as_u64().unwrap())
    }
}

/// One of two remotes of the flood list is out of order, in each way and each time a thousand times; all at once, so that
/// errors are met in the midst of batches and by messages of many datagrams.
#[test]
fn a_remote_that_cannot_be_sent_to_costs_the_other_no_packet() {
    let faulty = Faulty::new(3, "");
    let peers = kernel_peers(&faulty.underlay, Family::V4);
    let arriving = |peer: usize, stream| Sniffer::of_stream(&peers[peer].guest, KernelVtep::GUEST_DEVICE, stream);
    let mut counts = Counts::of(&faulty.vtep);
    for (stream, error) in (1..).zip(SENDING) {
        let (healthy, sick) = (arriving(0, stream), arriving(1, stream));
        let before = faulty.sent_to(2);
        faulty.fail(Call::SendMany, error, Some(faulty.address(2)));
        let mut frames = 0;
        while faulty.calls.left(Call::SendMany) > 0 {
            faulty.vtep.signal(Signal::STOP);
            let batch = Numbered::new(MacAddr::BROADCAST, stranger(1), stream);
            let batch = (frames..frames + 100).map(|number| batch.frame(number));
            FrameSender::new(&faulty.underlay.host(0).namespace, TAP).send_all(batch);
            faulty.vtep.signal(Signal::CONT);
            frames += 100;
            // Each of them reaches somebody.
            counts.sent += 100;
            counts.expect(&faulty.vtep);
            assert!(frames <= 5000, "{error} is not met any more, {} times left", faulty.calls.left(Call::SendMany));
        }
        healthy.expect_stream(stream, frames);
        sick.expect(faulty.sent_to(2) - before);
    }
    // Once for each error.
    assert_eq!(faulty.said("cannot send"), SENDING.len(), "{:?}", faulty.vtep.log());
}

/// The only remote is out of order: without checksums each frame is a message of its own, tried twice, and so a thousand
/// errors are 500 drops.
#[test]
fn frames_that_cannot_be_sent_are_counted_one_by_one() {
    let faulty = Faulty::new(2, "udp_checksum = false");
    let peers = kernel_peers(&faulty.underlay, Family::V4);
    let mut counts = Counts::of(&faulty.vtep);
    for (stream, error) in (1..).zip(SENDING) {
        let arriving = Sniffer::of_stream(&peers[0].guest, KernelVtep::GUEST_DEVICE, stream);
        faulty.fail(Call::SendMany, error, None);
        faulty.send(peers[0].guest_mac(), stream, 600);
        let reason = if error == Errno::MSGSIZE { "too_big" } else { "socket" };
        counts = counts.and_dropped(reason, 500);
        counts.sent += 100;
        counts.expect(&faulty.vtep);
        assert_eq!(faulty.calls.left(Call::SendMany), 0, "{error}");
        arriving.expect(100);
        assert_eq!(arriving.numbers(stream), (500..600).collect::<Vec<_>>(), "{error}");
    }
    assert_eq!(faulty.said("cannot send"), SENDING.len(), "{:?}", faulty.vtep.log());
}

/// Errors of receiving cost nothing: what waits in the socket is received afterwards.
#[test]
fn errors_of_receiving_cost_no_packet() {
    let mut faulty = Faulty::new(2, "");
    let peer = HandPeer::new(&faulty.underlay, 1, Family::V4);
    let mut counts = Counts::of(&faulty.vtep);
    for (stream, error) in (1..).zip(RECEIVING) {
        let delivered = Sniffer::of_stream(&faulty.underlay.host(0).namespace, TAP, stream);
        faulty.fail(Call::ReceiveMany, error, None);
        for frame in Numbered::new(MacAddr::BROADCAST, stranger(1), stream).frames(200) {
            peer.send(&frame);
        }
        faulty.expect_all_met(Call::ReceiveMany, error);
        delivered.expect_stream(stream, 200);
        counts = counts.and_delivered(200);
        counts.expect(&faulty.vtep);
    }
    assert!(faulty.vtep.is_running());
}

/// What can be made to fail here are calls, not what a ring is told.
const BY_WRITES: &str = "[workers]\nio_uring = false";

/// A TAP that refuses a thousand frames: each is a drop, and the next one is delivered.
#[test]
fn frames_that_a_tap_refuses_are_counted_one_by_one() {
    let faulty = Faulty::new(2, BY_WRITES);
    let peer = HandPeer::new(&faulty.underlay, 1, Family::V4);
    let mut counts = Counts::of(&faulty.vtep);
    for (stream, error) in (1..).zip(TAKING) {
        let delivered = Sniffer::of_stream(&faulty.underlay.host(0).namespace, TAP, stream);
        faulty.fail(Call::WriteGathered, error, None);
        for (number, frame) in (0..).zip(Numbered::new(MacAddr::BROADCAST, stranger(1), stream).frames(THOUSAND + 100))
        {
            peer.send(&frame);
            if number % 100 == 0 {
                thread::sleep(Duration::from_millis(2));
            }
        }
        counts = counts.and_dropped("socket", THOUSAND.into()).and_delivered(100);
        counts.expect(&faulty.vtep);
        delivered.expect(100);
        assert_eq!(delivered.numbers(stream), (THOUSAND..THOUSAND + 100).collect::<Vec<_>>(), "{error}");
    }
    assert_eq!(faulty.said("does not take frames"), TAKING.len(), "{:?}", faulty.vtep.log());
}

/// A run of merged frames that a TAP refuses is counted frame by frame, or delivered one by one.
#[test]
fn a_run_that_a_tap_refuses_is_counted_by_its_frames() {
    let faulty = Faulty::new(2, BY_WRITES);
    let peer = HandPeer::new(&faulty.underlay, 1, Family::V4);
    let frame = |error: usize, number: u16| {
        let mut frame = TransportFrame::new(MacAddr::BROADCAST, Family::V4, Transport::Udp);
        frame.ports.0 = 5000 + error as u16;
        frame.identification = number;
        vxlan(VNI, &frame.bytes(&[0x5a; 100]))
    };
    let mut before = Counts::of(&faulty.vtep);
    for (place, error) in TAKING.into_iter().enumerate() {
        faulty.fail(Call::WriteGathered, error, None);
        let mut number = 0;
        while faulty.calls.left(Call::WriteGathered) > 0 {
            faulty.vtep.signal(Signal::STOP);
            for _ in 0..500 {
                peer.send_datagram(&frame(place, number));
                number += 1;
            }
            faulty.vtep.signal(Signal::CONT);
            wait_until("they are dealt with", || {
                Counts::of(&faulty.vtep).total() >= before.total() + u64::from(number)
            });
        }
        let after = Counts::of(&faulty.vtep);
        assert_eq!(after.total(), before.total() + u64::from(number), "{error}: {before:?}, {after:?}");
        assert!(after.drops["socket"] > before.drops.get("socket").copied().unwrap_or(0), "{error}");
        before = after;
    }
}

/// Errors of reading the TAP cost nothing: the frames wait in it.
#[test]
fn errors_of_reading_a_tap_cost_no_packet() {
    let underlay = Underlay::new(2);
    let peers = kernel_peers(&underlay, Family::V4);
    let mut vtep = start(&underlay, Family::V4, &flood_to_all(&underlay, Family::V4));
    let ours = &underlay.host(0).namespace;
    let mut counts = Counts::of(&vtep);
    let errors = ["EIO", "EAGAIN", "EINVAL", "ENOBUFS", "ENOMEM", "EFAULT", "EINTR"];
    for (stream, error) in (1..).zip(errors) {
        let arriving = Sniffer::of_stream(&peers[0].guest, KernelVtep::GUEST_DEVICE, stream);
        let how = format!("error={error}:when=1..{THOUSAND}");
        let fault = Fault::inject_thread(vtep.id(), WORKER, "read", &how);
        let frames = Numbered::new(MacAddr::BROADCAST, stranger(1), stream);
        FrameSender::new(ours, TAP).send_all(frames.frames(200));
        arriving.expect_stream(stream, 200);
        assert_eq!(fault.end(), THOUSAND as usize, "{error}");
        counts.sent += 200;
        counts.expect(&vtep);
    }
    // That nothing is there, and that a signal came between, is nothing to speak of.
    let said = vtep.log().iter().filter(|line| line.contains("cannot read")).count();
    assert_eq!(said, errors.len() - 2, "{:?}", vtep.log());
    assert!(vtep.is_running());
    assert_eq!(vtep.stop().status, Some(0));
}

/// The worker's wait is interrupted a thousand times, while frames go both ways.
#[test]
fn a_wait_that_is_interrupted_costs_no_packet() {
    let underlay = Underlay::new(2);
    let peer = HandPeer::new(&underlay, 1, Family::V4);
    let vtep = start(&underlay, Family::V4, &flood_to_all(&underlay, Family::V4));
    let ours = &underlay.host(0).namespace;
    let delivered = Sniffer::of_stream(ours, TAP, 2);
    let mut before = Counts::of(&vtep);
    // Whichever of them this kernel and the libraries use.
    let fault = Fault::inject_thread(
        vtep.id(),
        WORKER,
        "epoll_wait,epoll_pwait,epoll_pwait2",
        &format!("error=EINTR:when=1..{THOUSAND}"),
    );
    let frames = Numbered::new(MacAddr::BROADCAST, stranger(1), 1);
    let mut sender = FrameSender::new(ours, TAP);
    for number in 0..500 {
        sender.send(&frames.frame(number));
        peer.send(&Numbered { source: stranger(2), stream: 2, ..frames }.frame(number));
        assert_eq!(peer.receive(), vxlan(VNI, &frames.frame(number)));
    }
    delivered.expect_stream(2, 500);
    before.sent += 500;
    before.and_delivered(500).expect(&vtep);
    assert_eq!(fault.end(), THOUSAND as usize);
}

/// The thread that does the work.
const WORKER: &str = "worker-0";
