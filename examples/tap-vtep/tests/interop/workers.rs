//! Several workers for one endpoint, and what it holds of memory.

use std::{fs, thread, time::Instant};

use rustix::process::Signal;
use testbed::{Family, PATIENCE, Ping, Scratch, TapVtep, Underlay, ping, transfer, wait_until};

use crate::{
    bed::{
        Cable, Counts, HandPeer, PROGRAM, TAP, add_guest_addresses, configuration_file, expect_all_delivered,
        flood_to_all, guest_address, kernel_peers, missing, one_segment, only_line, run_to_end, start, start_two,
    },
    shown::{Feature, With, shown_by_vxlan},
};

const ALL: Ping = Ping { sent: 3, received: 3, duplicates: 0 };
const BYTES: u64 = 25_000_000;
const STREAMS: u64 = 4;
const TWO: &str = "[workers]\ncount = 2\n";

/// So many streams at a time, each way.
fn move_streams(one: &testbed::Namespace, two: &testbed::Namespace) {
    thread::scope(|scope| {
        for _ in 0..STREAMS {
            for (from, to, number) in [(one, two, 2), (two, one, 1)] {
                scope.spawn(move || {
                    let moved = transfer(from, to, guest_address(number, Family::V4), BYTES);
                    assert_eq!(moved.sent, moved.received);
                });
            }
        }
    });
}

/// [`one_segment`] with two workers.
fn with_two(underlay: &Underlay, lines: &str) -> String {
    format!("{TWO}{}", one_segment(underlay.host(0), Family::V4, lines))
}

fn start_with_two(underlay: &Underlay, lines: &str) -> TapVtep {
    TapVtep::configured(PROGRAM, &underlay.host(0).namespace, &with_two(underlay, lines))
}

fn threads(vtep: &TapVtep) -> Vec<String> {
    let tasks = fs::read_dir(format!("/proc/{}/task", vtep.id())).unwrap().flatten();
    let name = |task: fs::DirEntry| fs::read_to_string(task.path().join("comm")).unwrap_or_default();
    tasks.map(|task| name(task).trim().to_owned()).collect()
}

#[test]
fn two_workers_move_streams_and_count_each_frame_once() {
    let underlay = Underlay::new(2);
    let peer = kernel_peers(&underlay, Family::V4).remove(0);
    let ours = &underlay.host(0).namespace;
    let (local, remote) = (underlay.host(0).address(Family::V4), underlay.host(1).address(Family::V4));
    let words = ["--vni", "42", "--tap", TAP, "--workers", "2"];
    let (local, remote) = (local.to_string(), remote.to_string());
    let vtep = TapVtep::run(PROGRAM, ours, &[&words[..], &["--local", &local, "--remote", &remote]].concat());
    add_guest_addresses(&underlay);
    move_streams(ours, &peer.guest);
    Counts::expect_no_drop(&vtep, "two workers");
    assert!(vtep.counter("tx_bytes") > STREAMS * BYTES && vtep.counter("rx_bytes") > STREAMS * BYTES);
    assert_eq!(ours.device(TAP)["linkinfo"]["info_data"]["numqueues"], 2, "{}", ours.device(TAP));
    let exit = vtep.stop();
    assert_eq!(exit.status, Some(0), "{exit:?}");
    assert!(!ours.has_device(TAP));
}

/// With `SCHED_BATCH`, unlike the thread that answers people.
#[test]
fn workers_alone_interrupt_nobody_when_they_wake_up() {
    /// `SCHED_OTHER` and `SCHED_BATCH`, as the kernel writes them.
    const POLICIES: [&str; 2] = ["0", "3"];
    let underlay = Underlay::new(1);
    let vtep = start_with_two(&underlay, "");
    // Whether it is a worker, and its policy, of each thread.
    let policies = || -> Vec<(bool, String)> {
        let tasks = fs::read_dir(format!("/proc/{}/task", vtep.id())).unwrap();
        let stats = tasks.map(|task| fs::read_to_string(task.unwrap().path().join("stat")).unwrap());
        let policy = |stat: String| {
            // Its name stands in parentheses, and may hold anything. Behind it are the third field and those that follow.
            let (name, fields) = stat.rsplit_once(") ").unwrap();
            (name.contains("(worker-"), fields.split_ascii_whitespace().nth(41 - 3).unwrap().to_owned())
        };
        stats.map(policy).collect()
    };
    wait_until("each thread has its policy", || {
        let policies = policies();
        let are_right = policies.iter().all(|(is_worker, policy)| policy == POLICIES[usize::from(*is_worker)]);
        are_right && policies.iter().filter(|(is_worker, _)| *is_worker).count() == 2
    });
}

#[test]
fn two_workers_on_both_sides_lose_nothing() {
    let underlay = Underlay::new(2);
    Cable::WireWithGro.lay(&underlay);
    let both = start_two(&underlay, Family::V4, TWO);
    let before = missing(&both);
    let [one, two] = [0, 1].map(|index| &underlay.host(index).namespace);
    move_streams(one, two);
    for vtep in &both {
        Counts::expect_no_drop(vtep, "two workers on both sides");
    }
    expect_all_delivered(&underlay, &both, before, "two workers on both sides");
    shown_by_vxlan(Feature::Workers, With::Ours, Family::V4);
}

#[test]
fn segments_come_and_go_under_two_workers() {
    let underlay = Underlay::new(2);
    let ours = underlay.host(0);
    let peer = kernel_peers(&underlay, Family::V4).remove(0);
    let first = with_two(&underlay, &flood_to_all(&underlay, Family::V4));
    let mut vtep = TapVtep::configured(PROGRAM, &ours.namespace, &first);
    add_guest_addresses(&underlay);
    let address = peer.guest_address(Family::V4);
    let index = ours.namespace.device_index(TAP);
    let red = "\n[[segment]]\nname = \"red\"\nvni = 43\nport = 8472\ntap = \"tap1\"\n";
    for _ in 0..3 {
        vtep.reload(&format!("{first}{red}"));
        wait_until("the new segment is there", || vtep.show("segments").as_array().unwrap().len() == 2);
        assert_eq!(ping(&ours.namespace, address, 3), ALL);
        vtep.reload(&first);
        wait_until("it is gone again", || !ours.namespace.has_device("tap1"));
        assert_eq!(ping(&ours.namespace, address, 3), ALL);
    }
    // A port that is given up can be had again by who asks in the same moment.
    for _ in 0..20 {
        vtep.reload(&format!("{first}{red}"));
        wait_until("the segment is there again", || vtep.show("segments").as_array().unwrap().len() == 2);
        vtep.reload(&first);
        let begun = Instant::now();
        while ours.namespace.has_device("tap1") {
            assert!(begun.elapsed() < PATIENCE, "it is not gone");
        }
    }
    assert_eq!(ours.namespace.device_index(TAP), index);
    assert!(vtep.is_running());
    assert_eq!(vtep.stop().status, Some(0));
}

#[test]
fn other_workers_take_a_restart() {
    let underlay = Underlay::new(2);
    let flood = flood_to_all(&underlay, Family::V4);
    let one = one_segment(underlay.host(0), Family::V4, &flood);
    let two = with_two(&underlay, &flood);
    for (before, after) in [(&one, &two), (&two, &one), (&one, &format!("[workers]\nbusy_poll = 50\n{one}"))] {
        let mut vtep = TapVtep::configured(PROGRAM, &underlay.host(0).namespace, before);
        let lines = vtep.log().len();
        // What else is new is not applied either.
        vtep.reload(&after.replace("vni = 42", "vni = 43"));
        wait_until("it says so", || vtep.log().len() > lines);
        testbed::stays("it goes on", std::time::Duration::from_millis(300), || vtep.is_running());
        let said = vtep.log().split_off(lines);
        assert!(said.len() == 1 && said[0].contains("[workers]"), "{said:?}");
        assert_eq!(vtep.show("segments")[0]["vni"], 42);
        assert_eq!(vtep.stop().status, Some(0));
    }
}

#[test]
fn a_number_of_workers_that_cannot_be_is_refused_in_one_line() {
    let underlay = Underlay::new(1);
    let files = Scratch::new();
    for count in ["0", "65", "x", "-1", "99999999999999999999"] {
        let workers = format!("--workers={count}");
        let options = ["run", "--vni", "42", "--tap", TAP, "--local", "10.200.0.1", &workers];
        let finished = run_to_end(&underlay, &options);
        assert_eq!(finished.status, Some(2), "{count}: {finished}");
        let said = only_line(&finished);
        assert!(said.contains(count) && said.contains("--workers"), "{count}: {finished}");
        let configuration = format!("[workers]\ncount = {count}\n{}", one_segment(underlay.host(0), Family::V4, ""));
        let finished = run_to_end(&underlay, &["check", "--config", &configuration_file(&files, &configuration)]);
        assert_eq!(finished.status, Some(2), "{count}: {finished}");
        only_line(&finished);
    }
    assert!(!underlay.host(0).namespace.has_device(TAP));
}

/// A TAP that somebody made for one queue serves two workers as well, and so does one made for many.
#[test]
fn two_workers_share_a_tap_that_was_there() {
    for kind in ["", " multi_queue"] {
        let underlay = Underlay::new(2);
        let ours = &underlay.host(0).namespace;
        let peer = kernel_peers(&underlay, Family::V4).remove(0);
        ours.ip(&format!("tuntap add {TAP} mode tap{kind}"));
        let vtep = start_with_two(&underlay, &flood_to_all(&underlay, Family::V4));
        add_guest_addresses(&underlay);
        move_streams(ours, &peer.guest);
        Counts::expect_no_drop(&vtep, kind);
        assert_eq!(vtep.stop().status, Some(0));
        assert!(ours.has_device(TAP), "what was there stays");
    }
}

/// And the other way round: one worker takes a TAP with many queues.
#[test]
fn one_worker_takes_a_tap_of_many_queues() {
    let underlay = Underlay::new(2);
    let ours = &underlay.host(0).namespace;
    let peer = kernel_peers(&underlay, Family::V4).remove(0);
    ours.ip(&format!("tuntap add {TAP} mode tap multi_queue"));
    let _vtep = start(&underlay, Family::V4, &flood_to_all(&underlay, Family::V4));
    add_guest_addresses(&underlay);
    assert_eq!(ping(ours, peer.guest_address(Family::V4), 3), ALL);
    move_streams(ours, &peer.guest);
}

#[test]
fn a_tap_deleted_and_made_again_is_taken_up_by_both_workers() {
    for kind in ["", " multi_queue"] {
        let underlay = Underlay::new(2);
        let ours = &underlay.host(0).namespace;
        let peer = kernel_peers(&underlay, Family::V4).remove(0);
        let make = || {
            ours.ip(&format!("tuntap add {TAP} mode tap{kind}"));
            ours.ip(&format!("link set {TAP} up"));
        };
        make();
        let mut vtep = start_with_two(&underlay, &flood_to_all(&underlay, Family::V4));
        for _ in 0..3 {
            ours.ip(&format!("link del {TAP}"));
            make();
            wait_until("the endpoint holds the new TAP", || {
                !vtep.is_running() || ours.device(TAP)["flags"].to_string().contains("LOWER_UP")
            });
            assert!(vtep.is_running(), "{:?}", vtep.log());
            add_guest_addresses(&underlay);
            assert_eq!(ping(ours, peer.guest_address(Family::V4), 3), ALL);
            move_streams(ours, &peer.guest);
        }
        assert_eq!(vtep.stop().status, Some(0));
    }
}

/// A group's socket is served by one worker: each frame is delivered once.
#[test]
fn a_group_is_heard_once() {
    let underlay = Underlay::new(2);
    let ours = &underlay.host(0).namespace;
    let vtep = start_with_two(&underlay, "group = \"239.1.1.1\"\nsources = \"any\"");
    let peer = HandPeer::new(&underlay, 1, Family::V4);
    let stream = testbed::Numbered::new(overlay_types::MacAddr::BROADCAST, testbed::guest_mac(2), 1);
    let delivered = testbed::Sniffer::of_stream(ours, TAP, 1);
    underlay.host(1).namespace.ip("route add 239.0.0.0/8 dev u0");
    for frame in stream.frames(200) {
        peer.socket().send_to(&testbed::vxlan(42, &frame), "239.1.1.1:4789").unwrap();
    }
    delivered.expect_stream(1, 200);
    assert_eq!(vtep.counter("rx_frames"), 200);
}

#[test]
fn a_signal_in_the_midst_of_a_load_ends_both_workers_cleanly() {
    let underlay = Underlay::new(2);
    let ours = &underlay.host(0).namespace;
    let peer = HandPeer::new(&underlay, 1, Family::V4);
    let vtep = start_with_two(&underlay, &format!("flood = [\"{}\"]", peer.address()));
    let workers = threads(&vtep).len();
    assert!(workers >= 3, "{:?}", threads(&vtep));
    vtep.signal(Signal::STOP);
    let frames = testbed::Numbered::new(overlay_types::MacAddr::BROADCAST, crate::bed::stranger(1), 1);
    testbed::FrameSender::new(ours, TAP).send_all(frames.frames(2000));
    vtep.signal(Signal::CONT);
    vtep.signal(Signal::TERM);
    let exit = vtep.wait(PATIENCE);
    assert_eq!(exit.status, Some(0), "{exit:?}");
    assert!(!ours.has_device(TAP));
}

/// After whatever load, 64 MiB for a worker are enough.
#[test]
fn memory_stays_small() {
    let underlay = Underlay::new(2);
    let both = start_two(&underlay, Family::V4, "");
    let [one, two] = [0, 1].map(|index| &underlay.host(index).namespace);
    move_streams(one, two);
    Cable::Wire.lay(&underlay);
    move_streams(one, two);
    for vtep in &both {
        assert!(vtep.memory() > 0 && vtep.memory() <= 64 << 20, "{} bytes", vtep.memory());
    }
}
