//! `show`, `fdb` and `neighbor` on the control socket: their words, their JSON, and what a wrong word does.

use std::os::unix::fs::PermissionsExt;

use serde_json::{Value, json};
use testbed::{Family, FrameSender, Numbered, TapVtep, Underlay, guest_mac};

use crate::bed::{HandPeer, PROGRAM, TAP, expect_at, flood_to_all, keys, only_line, rows, run_to_end, start, stranger};

/// One segment, and a peer that has sent something.
fn one() -> (Underlay, HandPeer, TapVtep) {
    let underlay = Underlay::new(3);
    let peer = HandPeer::new(&underlay, 1, Family::V4);
    let vtep = start(&underlay, Family::V4, &flood_to_all(&underlay, Family::V4));
    peer.send(&Numbered::new(overlay_types::MacAddr::BROADCAST, guest_mac(2), 1).frame(0));
    expect_at(&vtep, guest_mac(2), &peer.address());
    (underlay, peer, vtep)
}

/// Two segments, `blue` and `red`.
fn two(underlay: &Underlay) -> TapVtep {
    let configuration = "[underlay]\nlocal = \"10.200.0.1\"\n\
        [[segment]]\nname = \"blue\"\nvni = 1\ntap = \"tap0\"\nflood = [\"10.200.0.2\"]\n\
        [[segment]]\nname = \"red\"\nvni = 2\ntap = \"tap1\"\nflood = [\"10.200.0.2\"]\n";
    TapVtep::configured(PROGRAM, &underlay.host(0).namespace, configuration)
}

#[test]
fn the_documents_have_the_documented_keys() {
    let (underlay, peer, vtep) = one();
    vtep.expect(&["neighbor", "add", "10.50.0.9", &stranger(9).to_string()]);
    FrameSender::new(&underlay.host(0).namespace, TAP).send(&Numbered::new(guest_mac(2), stranger(1), 2).frame(0));
    peer.receive();

    let segments = vtep.show("segments");
    assert_eq!(segments.as_array().unwrap().len(), 1);
    let flood: Vec<_> = underlay.hosts()[1..].iter().map(|host| host.address(Family::V4).to_string()).collect();
    let expected = json!({
        "name": "blue", "encapsulation": "vxlan", "vni": 42, "port": 4789, "tap": TAP, "mtu": 1450,
        "local": underlay.host(0).address(Family::V4).to_string(), "flood": flood, "learning": true, "entries": 1,
    });
    for (key, value) in expected.as_object().unwrap() {
        assert_eq!(segments[0][key], *value, "{key}");
    }

    let fdb = vtep.show("fdb");
    for key in ["segment", "mac", "remote", "state", "age_s"] {
        assert!(keys(&fdb[0]).contains(&key), "{fdb}");
    }
    assert!(fdb[0]["age_s"].is_number());

    let neighbors = vtep.show("neighbors");
    let expected = json!({"segment": "blue", "ip": "10.50.0.9", "mac": stranger(9).to_string(), "state": "static"});
    for (key, value) in expected.as_object().unwrap() {
        assert_eq!(neighbors[0][key], *value, "{key}");
    }

    let remotes = vtep.show("remotes");
    let remote = remotes.as_array().unwrap().iter().find(|remote| remote["address"] == peer.address()).unwrap();
    for key in ["address", "segments", "tx_packets", "rx_packets", "mtu", "last_heard_s"] {
        assert!(keys(remote).contains(&key), "{remote}");
    }
    assert_eq!(
        (&remote["segments"], &remote["tx_packets"], &remote["rx_packets"]),
        (&json!(["blue"]), &1.into(), &1.into())
    );
    assert!(remote["last_heard_s"].is_number(), "{remote}");

    let statistics = vtep.show("stats");
    let segment = &statistics["segments"][0];
    for key in ["name", "tx_frames", "tx_bytes", "rx_frames", "rx_bytes", "flooded", "suppressed", "drops"] {
        assert!(keys(segment).contains(&key), "{segment}");
    }
    assert_eq!((&segment["tx_frames"], &segment["tx_bytes"]), (&1.into(), &100.into()));
    assert_eq!((&segment["rx_frames"], &segment["rx_bytes"]), (&1.into(), &100.into()));
    for reason in ["table_full", "dampened", "invalid_mac"] {
        assert_eq!(segment["not_learned"][reason], 0, "{segment}");
    }
    for reason in ["truncated", "unknown_vni", "socket", "too_big", "split_horizon"] {
        assert_eq!((&segment["drops"][reason], &statistics["drops"][reason]), (&0.into(), &0.into()), "{reason}");
    }
}

#[test]
fn every_table_is_shown_to_people_too() {
    let (_underlay, peer, vtep) = one();
    for (what, words) in [
        ("segments", vec!["blue".to_owned(), "42".to_owned()]),
        ("fdb", vec![guest_mac(2).to_string(), peer.address()]),
        ("neighbors", vec![]),
        ("remotes", vec![peer.address()]),
        ("stats", vec!["blue".to_owned()]),
    ] {
        let shown = vtep.expect(&["show", what]);
        assert!(words.iter().all(|word| shown.contains(word)), "{what}: {shown}");
        assert!(serde_json::from_str::<Value>(&shown).is_err(), "{what} is for people: {shown}");
    }
}

#[test]
fn rows_are_added_and_removed() {
    let (_underlay, peer, vtep) = one();
    let mac = stranger(5).to_string();
    vtep.expect(&["fdb", "add", &mac, "remote", &peer.address()]);
    let row = vtep.fdb_row(&mac).unwrap();
    assert_eq!((&row["state"], &row["remote"]), (&"static".into(), &peer.address().into()));
    // Once more, elsewhere: the word of an operator counts.
    vtep.expect(&["fdb", "add", &mac, "remote", "10.200.0.3"]);
    assert_eq!(vtep.remote_of(&mac).as_deref(), Some("10.200.0.3"));
    vtep.expect(&["fdb", "del", &mac, "remote", "10.200.0.3"]);
    assert_eq!(vtep.remote_of(&mac), None);
    // A learned row can become a static one, and be removed.
    vtep.expect(&["fdb", "add", &guest_mac(2).to_string(), "remote", &peer.address()]);
    assert_eq!(vtep.fdb_row(guest_mac(2)).unwrap()["state"], "static");
    vtep.expect(&["fdb", "del", &guest_mac(2).to_string(), "remote", &peer.address()]);
    assert_eq!(rows(&vtep), 0);

    for ip in ["10.50.0.7", "fd00:50::7"] {
        vtep.expect(&["neighbor", "add", ip, &mac]);
        assert!(vtep.show("neighbors").to_string().contains(ip));
        vtep.expect(&["neighbor", "del", ip, &mac]);
        assert_eq!(vtep.show("neighbors"), json!([]));
    }
}

/// A static row sends its frames to its remote, whether or not that one is in the flood list.
#[test]
fn a_row_that_was_added_is_used() {
    let underlay = Underlay::new(3);
    let peers = [1, 2].map(|host| HandPeer::new(&underlay, host, Family::V4));
    let vtep = start(&underlay, Family::V4, "flood = [\"10.200.0.2\"]");
    vtep.expect(&["fdb", "add", &stranger(5).to_string(), "remote", &peers[1].address()]);
    let frame = Numbered::new(stranger(5), stranger(1), 1).frame(0);
    FrameSender::new(&underlay.host(0).namespace, TAP).send(&frame);
    assert_eq!(peers[1].receive()[8..], frame);
    assert_eq!(vtep.counter("flooded"), 0);
}

#[test]
fn with_several_segments_one_is_named() {
    let underlay = Underlay::new(2);
    let vtep = two(&underlay);
    let mac = stranger(5).to_string();
    vtep.expect(&["fdb", "add", &mac, "remote", "10.200.0.2", "--segment", "red"]);
    vtep.expect(&["neighbor", "add", "10.50.0.7", &mac, "--segment", "blue"]);
    assert_eq!(vtep.show("fdb")[0]["segment"], "red");
    assert_eq!(vtep.show("neighbors")[0]["segment"], "blue");
    for (what, segment, count) in
        [("fdb", "red", 1), ("fdb", "blue", 0), ("neighbors", "blue", 1), ("segments", "red", 1)]
    {
        let shown: Value = serde_json::from_str(&vtep.expect(&["show", what, "--segment", segment, "--json"])).unwrap();
        assert_eq!(shown.as_array().unwrap().len(), count, "{what} of {segment}: {shown}");
    }
    vtep.expect(&["fdb", "flush", "--segment", "blue"]);
    assert_eq!(rows(&vtep), 1);
    vtep.expect(&["fdb", "flush", "--segment", "red"]);
    assert_eq!(rows(&vtep), 0);
}

/// One line on standard error, status 2, nothing changed.
#[test]
fn a_wrong_word_changes_nothing() {
    let underlay = Underlay::new(2);
    let vtep = two(&underlay);
    let mac = stranger(5).to_string();
    vtep.expect(&["fdb", "add", &mac, "remote", "10.200.0.2", "--segment", "red"]);
    vtep.expect(&["neighbor", "add", "10.50.0.7", &mac, "--segment", "blue"]);
    let before = [vtep.show("fdb"), vtep.show("neighbors"), vtep.show("segments"), vtep.show("stats")];
    let wrong: &[&[&str]] = &[
        &["show", "frobs"],
        &["show", "fdb", "--segment", "green"],
        &["fdb", "add", "02:00:00:00:00", "remote", "10.200.0.2", "--segment", "red"],
        &["fdb", "add", "03:00:00:00:00:01", "remote", "10.200.0.2", "--segment", "red"],
        &["fdb", "add", "02:00:00:00:00:01", "remote", "10.200.0", "--segment", "red"],
        &["fdb", "add", "02:00:00:00:00:01", "remote", "fd00:200::2", "--segment", "red"],
        &["fdb", "add", "02:00:00:00:00:01", "via", "10.200.0.2", "--segment", "red"],
        &["fdb", "add", "02:00:00:00:00:01", "remote", "10.200.0.2", "--segment", "green"],
        // Which of the two is not said.
        &["fdb", "add", "02:00:00:00:00:01", "remote", "10.200.0.2"],
        &["fdb", "del", "02:00:00:00:00", "remote", "10.200.0.2", "--segment", "red"],
        &["fdb", "del", &mac, "remote", "10.200.0.9", "--segment", "red"],
        &["fdb", "del", "02:00:00:00:00:01", "remote", "10.200.0.2", "--segment", "red"],
        &["fdb", "flush", "--segment", "green"],
        &["fdb", "flush", "--remote", "10.200.0"],
        &["fdb", "frob"],
        &["neighbor", "add", "10.50.0", &mac, "--segment", "blue"],
        &["neighbor", "add", "10.50.0.8", "02:00:00:00:00", "--segment", "blue"],
        &["neighbor", "add", "10.50.0.8", &mac, "--segment", "green"],
        &["neighbor", "del", "10.50.0.9", &mac, "--segment", "blue"],
    ];
    for words in wrong {
        let finished = vtep.command(words);
        assert_eq!(finished.status, Some(2), "{words:?}: {finished}");
        only_line(&finished);
        assert_eq!(finished.stdout, "", "{words:?}");
    }
    let after = [vtep.show("fdb"), vtep.show("neighbors"), vtep.show("segments"), vtep.show("stats")];
    for (before, after) in before.iter().zip(&after) {
        assert_eq!(without_ages(before), without_ages(after));
    }
}

fn without_ages(document: &Value) -> Value {
    let mut document = document.clone();
    for row in document.as_array_mut().into_iter().flatten() {
        if let Some(row) = row.as_object_mut() {
            row.remove("age_s");
        }
    }
    document
}

#[test]
fn the_socket_is_for_its_owner_and_goes_with_the_program() {
    let (_underlay, _peer, vtep) = one();
    let control = vtep.control();
    assert_eq!(control.metadata().unwrap().permissions().mode() & 0o777, 0o600);
    assert_eq!(vtep.stop().status, Some(0));
    assert!(!control.exists());
}

#[test]
fn with_no_endpoint_running_a_command_fails_in_one_line() {
    let underlay = Underlay::new(1);
    let finished = run_to_end(&underlay, &["show", "segments", "--control", "/no/such/socket"]);
    assert_eq!(finished.status, Some(1), "{finished}");
    assert!(only_line(&finished).contains("/no/such/socket"), "{finished}");
}

/// What a killed endpoint left in the way is taken away; what a living one has is not.
#[test]
fn a_socket_that_nobody_answers_is_replaced() {
    let underlay = Underlay::new(1);
    let ours = &underlay.host(0).namespace;
    let files = testbed::Scratch::new();
    let control = files.path("shared.sock").display().to_string();
    // A socket without an owner.
    drop(std::os::unix::net::UnixListener::bind(&control).unwrap());
    let mut command = std::process::Command::new(PROGRAM);
    command.args(["run", "--vni", "42", "--tap", TAP, "--local", "10.200.0.1", "--control", &control]);
    command.stderr(std::process::Stdio::null());
    let _first = ours.start(command);
    testbed::wait_until("the endpoint answers", || {
        ours.run(&[PROGRAM, "show", "segments", "--control", &control]).status == Some(0)
    });
    let second = run_to_end(
        &underlay,
        &["run", "--vni", "43", "--port", "8472", "--tap", "tap1", "--local", "10.200.0.1", "--control", &control],
    );
    assert_eq!(second.status, Some(1), "{second}");
    assert!(second.stderr.lines().last().is_some_and(|line| line.contains(&control)), "{second}");
    assert!(!ours.has_device("tap1"));
    assert_eq!(ours.run(&[PROGRAM, "show", "segments", "--control", &control]).status, Some(0));
}
