//! What the program may do in the system: little is needed, and nothing else is kept.

use std::{fs, path::Path};

use testbed::{Family, Host, TapVtep, Underlay, ping, transfer, wait_until};

use crate::{
    bed::{
        PROGRAM, TAP, add_guest_addresses, flood_to_all, guest_address, kernel_peers, one_segment, start,
        with_super_frames,
    },
    tunnel::Tunnel,
};

/// `CAP_NET_ADMIN` and `CAP_NET_RAW`, as the kernel writes them.
const NEEDED: &str = "0000000000003000";

/// Every thread has these two and can get no others.
#[track_caller]
fn expect_only_needed(vtep: &TapVtep) {
    expect_only_needed_within(vtep, NEEDED);
}

/// The same where the bounding set is this: to make it narrower is a privilege of its own.
#[track_caller]
fn expect_only_needed_within(vtep: &TapVtep, bounding: &str) {
    let tasks: Vec<_> =
        fs::read_dir(format!("/proc/{}/task", vtep.id())).unwrap().map(|task| task.unwrap().path()).collect();
    assert!(tasks.len() >= 2, "{tasks:?}");
    let value = |task: &Path, name: &str| {
        let status = fs::read_to_string(task.join("status")).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(":\t"));
        line.unwrap_or_else(|| panic!("no {name}: {status}")).to_owned()
    };
    for task in &tasks {
        for (set, expected) in [
            ("CapEff", NEEDED),
            ("CapPrm", NEEDED),
            ("CapBnd", bounding),
            ("CapInh", "0000000000000000"),
            ("CapAmb", "0000000000000000"),
            ("NoNewPrivs", "1"),
        ] {
            assert_eq!(value(task, set), expected, "{set} of {}", value(task, "Name"));
        }
    }
}

#[test]
fn root_keeps_what_is_needed() {
    let underlay = Underlay::new(2);
    let vtep = start(&underlay, Family::V4, "");
    expect_only_needed(&vtep);
    assert_eq!(vtep.stop().status, Some(0));
}

/// An ordinary user with two capabilities does all that root does: TAPs that come back, SIGHUP, super-frames that leave whole.
#[test]
fn two_capabilities_are_enough() {
    let underlay = Underlay::new(2);
    let ours = &underlay.host(0).namespace;
    let _peers = kernel_peers(&underlay, Family::V4);
    let addresses = format!("addresses = [\"{}/24\"]\n", guest_address(1, Family::V4));
    let lines = format!("{}\n{addresses}", flood_to_all(&underlay, Family::V4));
    let configuration = with_super_frames("auto", &one_segment(underlay.host(0), Family::V4, &lines));
    let by_root = TapVtep::configured(PROGRAM, ours, &configuration).stop();
    let start = || TapVtep::configured_as_nobody(PROGRAM, ours, &configuration, &["net_admin", "net_raw"]);
    let vtep = start();
    expect_only_needed(&vtep);
    let super_frames = |log: &[String]| {
        let line = log.iter().find(|line| line.contains("super-frames leave"));
        line.map(|line| line.split_once("INFO").unwrap().1.to_owned())
    };
    assert_eq!(super_frames(&vtep.log()), super_frames(&by_root.log));
    let reaches = || ping(ours, guest_address(2, Family::V4), 1).received == 1;
    wait_until("they reach each other", reaches);

    ours.ip(&format!("link delete {TAP}"));
    ours.ip(&format!("tuntap add {TAP} mode tap"));
    wait_until("the TAP is back", || vtep.log().iter().any(|line| line.contains("the TAP is back")));
    wait_until("they reach each other again", reaches);

    let more = "\n[[segment]]\nname = \"red\"\nencapsulation = \"nvgre\"\nvni = 5001\ntap = \"tap1\"\nmtu = 1300\n";
    vtep.reload(&format!("{configuration}{more}"));
    wait_until("the new segment is there", || vtep.show("segments").as_array().unwrap().len() == 2);
    assert_eq!(ours.device("tap1")["mtu"], 1300);
    assert!(reaches());
    expect_only_needed(&vtep);
    assert_eq!(vtep.stop().status, Some(0));
    assert!(!ours.has_device("tap1"));
}

/// Super-frames of NVGRE leave whole only with a third one, which is given up, too.
#[test]
fn super_frames_of_nvgre_take_one_more_at_the_start() {
    let underlay = Underlay::new(2);
    let [ours, theirs] = [0, 1].map(|index| &underlay.host(index).namespace);
    let peer = Tunnel::Nvgre.start_on(&underlay, 1, Family::V4, &flood_to(underlay.host(0)));
    theirs.add_address(TAP, guest_address(2, Family::V4), 24);
    for (capabilities, bounding, expected) in [
        (
            &["net_admin", "net_raw"][..],
            NEEDED,
            "super-frames leave by sockets: the kernel cannot be told of super-frames in GRE",
        ),
        (&["net_admin", "net_raw", "bpf"], "0000008000003000", "super-frames, also of NVGRE, leave whole"),
    ] {
        let addresses =
            format!("addresses = [\"{}/24\"]\n{}", guest_address(1, Family::V4), flood_to(underlay.host(1)));
        let configuration = Tunnel::Nvgre.one_segment(underlay.host(0), Family::V4, &addresses);
        let vtep = TapVtep::configured_as_nobody(PROGRAM, ours, &configuration, capabilities);
        expect_only_needed_within(&vtep, bounding);
        assert!(vtep.log().iter().any(|line| line.contains(expected)), "{:?}", vtep.log());
        wait_until("they reach each other", || ping(ours, guest_address(2, Family::V4), 1).received == 1);
        let moved = transfer(ours, theirs, guest_address(2, Family::V4), 10_000_000);
        assert_eq!(moved.sent, moved.received, "{capabilities:?}");
        assert_eq!(vtep.stop().status, Some(0));
    }
    assert_eq!(peer.stop().status, Some(0));
}

fn flood_to(host: &Host) -> String {
    format!("flood = [\"{}\"]", host.address(Family::V4))
}

/// NVGRE alone needs the right to open raw sockets.
#[test]
fn without_raw_sockets_there_is_vxlan() {
    let underlay = Underlay::new(2);
    let ours = &underlay.host(0).namespace;
    let _peers = kernel_peers(&underlay, Family::V4);
    let configuration = one_segment(underlay.host(0), Family::V4, &flood_to_all(&underlay, Family::V4));
    let vtep = TapVtep::configured_as_nobody(PROGRAM, ours, &configuration, &["net_admin"]);
    add_guest_addresses(&underlay);
    wait_until("they reach each other", || ping(ours, guest_address(2, Family::V4), 1).received == 1);
    vtep.reload(&format!(
        "{configuration}\n[[segment]]\nname = \"red\"\nencapsulation = \"nvgre\"\nvni = 5001\ntap = \"tap1\"\n"
    ));
    wait_until("it says what is missing", || vtep.log().iter().any(|line| line.contains("CAP_NET_RAW")));
    assert!(!ours.has_device("tap1"));
    assert_eq!(vtep.stop().status, Some(0));
}
