//! Starting, being told to end, being told to read the configuration again.

use std::time::Duration;

use rustix::process::Signal;
use testbed::{Family, FrameSender, Host, Numbered, PATIENCE, Scratch, TapVtep, Underlay, stays, wait_until};

use crate::bed::{
    HandPeer, PROGRAM, TAP, expect_at, flood_to_all, one_segment, only_line, run_to_end, start, stranger,
};

#[test]
fn a_signal_ends_it_cleanly() {
    for signal in [Signal::TERM, Signal::INT] {
        let underlay = Underlay::new(2);
        let ours = &underlay.host(0).namespace;
        let vtep = start(&underlay, Family::V4, &flood_to_all(&underlay, Family::V4));
        let frames = Numbered::new(overlay_types::MacAddr::BROADCAST, stranger(1), 1);
        FrameSender::new(ours, TAP).send_all(frames.frames(123));
        wait_until("the frames are sent", || vtep.counter("tx_frames") == 123);
        let control = vtep.control();
        vtep.signal(signal);
        let exit = vtep.wait(PATIENCE);
        assert_eq!(exit.status, Some(0), "{exit:?}");
        assert!(!ours.has_device(TAP) && !control.exists());
        // The counters are printed.
        let said = [&exit.log[..], &exit.output].concat().join("\n");
        assert!(said.contains("123"), "{said}");
    }
}

#[test]
fn what_cannot_be_had_fails_in_one_line() {
    let underlay = Underlay::new(1);
    let ours = &underlay.host(0).namespace;
    let files = Scratch::new();
    let control = files.path("control.sock").display().to_string();
    let run = |more: &[&str]| {
        let words = [&["run", "--vni", "42", "--tap", TAP, "--control", &control][..], more].concat();
        let finished = run_to_end(&underlay, &words);
        assert_eq!(finished.status, Some(1), "{finished}");
        assert!(!ours.has_device(TAP), "something was left: {finished}");
        finished
    };
    // An address that is not ours.
    let finished = run(&["--local", "192.0.2.1"]);
    assert!(only_line(&finished).contains("192.0.2.1"), "{finished}");
    // A port that another program has.
    let _taken = ours.udp_socket(([10, 200, 0, 1], 4789));
    let finished = run(&["--local", "10.200.0.1"]);
    assert!(only_line(&finished).contains("4789"), "{finished}");
}

#[test]
fn an_ordinary_user_is_told_what_is_missing() {
    let underlay = Underlay::new(1);
    let setpriv = testbed::require("setpriv").display().to_string();
    let files = Scratch::new();
    // Somewhere that the user can reach.
    let program = files.path("tap-vtep");
    std::fs::copy(PROGRAM, &program).unwrap();
    let finished = underlay.host(0).namespace.run(&[
        &setpriv,
        "--reuid=65534",
        "--regid=65534",
        "--clear-groups",
        &program.display().to_string(),
        "run",
        "--vni",
        "42",
        "--tap",
        TAP,
        "--local",
        "10.200.0.1",
        "--control",
        "/tmp/tap-vtep-of-nobody.sock",
    ]);
    assert_eq!(finished.status, Some(1), "{finished}");
    only_line(&finished);
}

/// SIGHUP applies the difference: what did not change goes on, with its rows and its counters.
#[test]
fn a_new_configuration_is_applied_without_touching_the_rest() {
    let underlay = Underlay::new(3);
    let ours = underlay.host(0);
    let (one, two) = (HandPeer::new(&underlay, 1, Family::V4), HandPeer::new(&underlay, 2, Family::V4));
    let first = one_segment(ours, Family::V4, "flood = [\"10.200.0.2\"]");
    let vtep = TapVtep::configured(PROGRAM, &ours.namespace, &first);
    let broadcast = Numbered::new(overlay_types::MacAddr::BROADCAST, stranger(1), 1);
    one.send(&Numbered { source: stranger(2), ..broadcast }.frame(0));
    expect_at(&vtep, stranger(2), &one.address());
    let index = ours.namespace.device_index(TAP);

    // One more segment.
    let red = "\n[[segment]]\nname = \"red\"\nvni = 43\ntap = \"tap1\"\nflood = [\"10.200.0.3\"]\n";
    vtep.reload(&format!("{first}{red}"));
    wait_until("the new segment is there", || vtep.show("segments").as_array().unwrap().len() == 2);
    assert!(ours.namespace.has_device("tap1"));
    assert_eq!(ours.namespace.device_index(TAP), index, "the TAP that did not change was made anew");
    assert_eq!(vtep.remote_of(stranger(2)), Some(one.address()), "a row was lost");
    assert_eq!(vtep.counter("rx_frames"), 1, "a counter was lost");

    // Another flood list and a row for the segment that stays; the other one goes.
    let row = format!("[[segment.fdb]]\nmac = \"{}\"\nremote = \"10.200.0.3\"", stranger(3));
    vtep.reload(&one_segment(ours, Family::V4, &format!("flood = [\"10.200.0.2\", \"10.200.0.3\"]\n{row}")));
    wait_until("the other segment is gone", || vtep.show("segments").as_array().unwrap().len() == 1);
    wait_until("its TAP is gone", || !ours.namespace.has_device("tap1"));
    assert_eq!(ours.namespace.device_index(TAP), index);
    assert_eq!(vtep.remote_of(stranger(2)), Some(one.address()));
    wait_until("the row is there", || vtep.remote_of(stranger(3)) == Some(two.address()));
    let frame = broadcast.frame(1);
    FrameSender::new(&ours.namespace, TAP).send(&frame);
    assert_eq!(one.receive()[8..], frame);
    assert_eq!(two.receive()[8..], frame);

    // A row that the configuration no longer has goes, a learned one stays.
    vtep.reload(&first);
    wait_until("the row is gone", || vtep.remote_of(stranger(3)).is_none());
    assert_eq!(vtep.remote_of(stranger(2)), Some(one.address()));
    assert_eq!(vtep.stop().status, Some(0));
}

/// A configuration that is wrong changes nothing; the endpoint says so and goes on.
#[test]
fn a_wrong_configuration_is_not_applied() {
    let underlay = Underlay::new(2);
    let ours = underlay.host(0);
    let right = one_segment(ours, Family::V4, "flood = [\"10.200.0.2\"]");
    let mut vtep = TapVtep::configured(PROGRAM, &ours.namespace, &right);
    let before = vtep.show("segments");
    let lines = vtep.log().len();
    vtep.reload(&right.replace("vni = 42", "vni = 16777216"));
    wait_until("it says what is wrong", || vtep.log()[lines..].iter().any(|line| line.contains("vni")));
    stays("it goes on as before", Duration::from_millis(500), || vtep.is_running());
    assert_eq!(vtep.show("segments"), before);
    assert!(ours.namespace.has_device(Host::DEVICE) && ours.namespace.has_device(TAP));
}

/// Idle, it does not spin.
#[test]
fn idle_it_uses_no_processor() {
    let underlay = Underlay::new(2);
    let vtep = start(&underlay, Family::V4, &flood_to_all(&underlay, Family::V4));
    let ticks = || {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", vtep.id())).unwrap();
        let fields: Vec<_> = stat.rsplit(')').next().unwrap().split_whitespace().collect();
        fields[11].parse::<u64>().unwrap() + fields[12].parse::<u64>().unwrap()
    };
    let before = ticks();
    std::thread::sleep(Duration::from_secs(3));
    // A busy loop would use 300 of them.
    assert!(ticks() - before < 30);
}
