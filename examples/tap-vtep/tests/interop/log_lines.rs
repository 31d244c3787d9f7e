//! Lines about what is not sent or delivered: few, and each says of what, why, and how many were left out.

use std::{
    thread,
    time::{Duration, Instant},
};

use overlay_types::MacAddr;
use testbed::{Family, FrameSender, Numbered, Scratch, TapVtep, Underlay, frame, guest_mac, vxlan, wait_until};

use crate::bed::{
    Counts, HandPeer, PROGRAM, TAP, VNI, configuration_file, flood_to_all, one_segment, only_line, stranger, tap_mac,
};

/// How long a drop is not spoken of again, and more.
const QUIET: Duration = Duration::from_millis(1_100);

/// The lines that have all these words.
fn lines(vtep: &TapVtep, words: &[&str]) -> Vec<String> {
    vtep.log().into_iter().filter(|line| words.iter().all(|word| line.contains(word))).collect()
}

/// For how many drops these lines stand: each for itself and for those that it says were left out.
fn stand_for(lines: &[String]) -> u64 {
    let left_out = |line: &String| -> u64 {
        let (_, behind) = line.split_once("left_out=").unwrap_or_else(|| panic!("{line}"));
        behind.split(' ').next().unwrap().parse().unwrap_or_else(|_| panic!("{line}"))
    };
    lines.iter().map(|line| 1 + left_out(line)).sum()
}

#[test]
fn drops_have_a_line_a_second_and_none_is_missing() {
    let underlay = Underlay::new(2);
    let peer = HandPeer::new(&underlay, 1, Family::V4);
    let configuration = one_segment(underlay.host(0), Family::V4, &flood_to_all(&underlay, Family::V4));
    let ours = &underlay.host(0).namespace;
    let vtep = TapVtep::configured_with(PROGRAM, ours, &configuration, [("RUST_LOG", "debug".into())]);
    let mut sender = FrameSender::new(ours, TAP);
    let from_a_group = frame(guest_mac(2), MacAddr::BROADCAST, &[7; 46]);
    let mut tagged = frame(guest_mac(2), stranger(1), &[0; 46]);
    tagged[12..14].copy_from_slice(&[0x81, 0]);
    let unknown = vxlan(VNI + 1, &Numbered::new(stranger(1), guest_mac(2), 1).frame(0));
    let own_mac = Numbered::new(MacAddr::BROADCAST, tap_mac(&underlay), 2).frame(0);
    let remote = format!("remote={} port=4789", peer.address());
    let of_blue = format!("dropped segment=\"blue\" {remote}");
    let kinds = [
        ["DEBUG a frame from the TAP was dropped", "segment=\"blue\"", "reason=\"source_mac\""],
        ["DEBUG a frame from the TAP was dropped", "segment=\"blue\"", "reason=\"vlan_tag\""],
        ["DEBUG a datagram was dropped remote", &remote, "reason=\"unknown_vni\""],
        ["DEBUG a datagram was dropped", &of_blue, "reason=\"own_mac\""],
    ];
    let mut drop_one_of_each = || {
        sender.send(&from_a_group);
        sender.send(&tagged);
        peer.send_datagram(&unknown);
        peer.send(&own_mac);
    };
    let begun = Instant::now();
    let mut count: u64 = 0;
    while kinds.iter().any(|kind| lines(&vtep, kind).len() < 3) {
        (0..20).for_each(|_| drop_one_of_each());
        count += 20;
        thread::sleep(Duration::from_millis(10));
        assert!(begun.elapsed() < 60 * QUIET, "{:?}", vtep.log());
    }
    thread::sleep(QUIET);
    drop_one_of_each();
    count += 1;
    for kind in &kinds {
        wait_until(&format!("{kind:?} stands for {count}"), || stand_for(&lines(&vtep, kind)) == count);
        let (said, most) = (lines(&vtep, kind).len() as u64, 1 + begun.elapsed().as_secs());
        assert!((4..=most).contains(&said), "{said} lines of at most {most}: {kind:?}");
    }
    let drops = Counts::of(&vtep).drops;
    let reasons = ["source_mac", "vlan_tag", "unknown_vni", "own_mac"];
    assert_eq!(reasons.map(|reason| drops[reason]), [count; 4], "{drops:?}");
}

#[test]
fn who_does_not_ask_hears_of_errors_alone_and_once() {
    let underlay = Underlay::new(2);
    let configuration = one_segment(underlay.host(0), Family::V4, &flood_to_all(&underlay, Family::V4));
    let ours = &underlay.host(0).namespace;
    let vtep = TapVtep::configured(PROGRAM, ours, &configuration);
    let (remote, before) = (underlay.host(1).address(Family::V4), Counts::of(&vtep));
    ours.ip(&format!("route add unreachable {remote}/32"));
    let mut sender = FrameSender::new(ours, TAP);
    sender.send_all(Numbered::new(MacAddr::BROADCAST, stranger(1), 1).frames(200));
    let after = before.and_dropped("socket", 200);
    sender.send_all((0..200).map(|_| frame(guest_mac(2), MacAddr::BROADCAST, &[7; 46])));
    after.and_dropped("source_mac", 200).expect(&vtep);
    let remote = format!("remote=\"{remote}\"");
    let said = ["WARN cannot send", "error=", "segment=\"blue\"", &remote, "reason=\"socket\"", "left_out=0"];
    assert_eq!(lines(&vtep, &said).len(), 1, "{:?}", vtep.log());
    assert_eq!(lines(&vtep, &["WARN"]).len(), 1, "{:?}", vtep.log());
    assert_eq!(lines(&vtep, &["dropped"]), [""; 0]);
}

#[test]
fn a_wrong_rust_log_is_one_line() {
    let underlay = Underlay::new(2);
    let host = underlay.host(0);
    let files = Scratch::new();
    let file = configuration_file(&files, &one_segment(host, Family::V4, ""));
    let finished = host.namespace.run(&["env", "RUST_LOG=info,vtep=loudly", PROGRAM, "run", "--config", &file]);
    assert_eq!(finished.status, Some(2), "{finished}");
    assert!(only_line(&finished).contains("RUST_LOG=\"info,vtep=loudly\": "), "{finished}");
    assert!(!host.namespace.has_device(TAP));
}
