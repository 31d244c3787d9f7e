//! The forwarding table under traffic: learned, moved, aged, flushed, and never grown past its cap.

use std::{fs, thread, time::Duration};

use overlay_types::MacAddr;
use testbed::{
    Family, FrameSender, KernelVtep, Numbered, Sniffer, TapVtep, Underlay, frame, guest_mac, ping, stays, wait_until,
};

use crate::{
    bed::{
        Counts, HandPeer, PORT, TAP, VNI, add_guest_addresses, expect_at, flood_to_all, kernel_peers, rows, start,
        stranger, tap_mac,
    },
    shown::{Feature, With, shown_by_vxlan},
};

/// Our endpoint and two peers made by hand.
fn with_hand_peers(underlay: &Underlay, lines: &str) -> (TapVtep, HandPeer, HandPeer) {
    let peers = [1, 2].map(|host| HandPeer::new(underlay, host, Family::V4));
    let vtep = start(underlay, Family::V4, &format!("{}\n{lines}", flood_to_all(underlay, Family::V4)));
    let [one, two] = peers;
    (vtep, one, two)
}

/// A frame that shows its source and is of no interest otherwise.
fn hello(source: MacAddr) -> Vec<u8> {
    frame(MacAddr::BROADCAST, source, &[0; 46])
}

#[test]
fn the_hosts_of_a_kernel_peer_are_learned() {
    for family in Family::ALL {
        let underlay = Underlay::new(3);
        let peers = kernel_peers(&underlay, family);
        let vtep = start(&underlay, family, &flood_to_all(&underlay, family));
        add_guest_addresses(&underlay);
        assert_eq!(rows(&vtep), 0);
        for (peer, host) in peers.iter().zip(&underlay.hosts()[1..]) {
            assert_eq!(ping(&underlay.host(0).namespace, peer.guest_address(Family::V4), 2).received, 2);
            let row = vtep.fdb_row(peer.guest_mac()).unwrap();
            assert_eq!(row["remote"], host.address(family).to_string());
            assert_eq!((&row["state"], &row["segment"]), (&"learned".into(), &"blue".into()));
            assert!(row["age_s"].as_u64().unwrap() < 60, "{row}");
        }
        assert_eq!(vtep.show("segments")[0]["entries"], rows(&vtep));
    }
}

#[test]
fn an_address_moves_with_its_next_frame() {
    let underlay = Underlay::new(3);
    let (vtep, one, two) = with_hand_peers(&underlay, "");
    let mac = stranger(1);
    for peer in [&one, &two, &one] {
        peer.send(&hello(mac));
        expect_at(&vtep, mac, &peer.address());
    }
    assert_eq!(rows(&vtep), 1);
}

/// The same between kernel peers: the guest is heard from behind another host, and its frames go there.
#[test]
fn a_guest_that_moves_to_another_kernel_peer_is_followed() {
    let underlay = Underlay::new(3);
    let peers = kernel_peers(&underlay, Family::V4);
    let vtep = start(&underlay, Family::V4, &flood_to_all(&underlay, Family::V4));
    let ours = &underlay.host(0).namespace;
    let hosts: Vec<_> = underlay.hosts()[1..].iter().map(|host| host.address(Family::V4).to_string()).collect();
    let wanderer = Numbered::new(MacAddr::BROADCAST, stranger(7), 1);
    for (stream, place) in (2..).zip([0, 1, 0]) {
        let here = (&peers[place].guest, KernelVtep::GUEST_DEVICE);
        FrameSender::new(here.0, here.1).send(&wanderer.frame(0));
        expect_at(&vtep, stranger(7), &hosts[place]);
        let arriving = Sniffer::of_stream(here.0, here.1, stream);
        let to_it = Numbered::new(stranger(7), stranger(1), stream);
        FrameSender::new(ours, TAP).send_all(to_it.frames(100));
        arriving.expect_stream(stream, 100);
    }
    shown_by_vxlan(Feature::Learning, With::Kernel, Family::V4);
}

/// A station that speaks on our TAP is no longer behind a remote.
#[test]
fn a_station_that_comes_to_us_is_no_longer_elsewhere() {
    let underlay = Underlay::new(3);
    let (vtep, one, _two) = with_hand_peers(&underlay, "");
    one.send(&hello(stranger(1)));
    expect_at(&vtep, stranger(1), &one.address());
    FrameSender::new(&underlay.host(0).namespace, TAP).send(&hello(stranger(1)));
    wait_until("the row is forgotten", || rows(&vtep) == 0);
}

#[test]
fn an_entry_that_nothing_is_heard_from_ages() {
    let underlay = Underlay::new(3);
    let (vtep, one, _two) = with_hand_peers(&underlay, "ageing = \"2s\"");
    one.send(&hello(stranger(1)));
    expect_at(&vtep, stranger(1), &one.address());
    wait_until("the entry ages", || rows(&vtep) == 0);
}

#[test]
fn an_entry_that_is_only_sent_to_still_ages() {
    let underlay = Underlay::new(3);
    let (vtep, one, _two) = with_hand_peers(&underlay, "ageing = \"2s\"");
    one.send(&hello(stranger(1)));
    expect_at(&vtep, stranger(1), &one.address());
    let mut sender = FrameSender::new(&underlay.host(0).namespace, TAP);
    let to_it = Numbered::new(stranger(1), stranger(2), 1).frame(0);
    wait_until("the entry ages though frames go there", || {
        sender.send(&to_it);
        rows(&vtep) == 0
    });
    // Then it is unknown, and such frames are flooded again.
    let flooded = vtep.counter("flooded");
    sender.send(&to_it);
    wait_until("the frame is flooded", || vtep.counter("flooded") > flooded);
}

#[test]
fn an_entry_that_is_heard_from_stays() {
    let underlay = Underlay::new(3);
    let (vtep, one, _two) = with_hand_peers(&underlay, "ageing = \"3s\"");
    one.send(&hello(stranger(1)));
    expect_at(&vtep, stranger(1), &one.address());
    // Not half as often: ageing may count in whole seconds.
    stays("the entry is there", Duration::from_secs(9), || {
        one.send(&hello(stranger(1)));
        thread::sleep(Duration::from_millis(200));
        rows(&vtep) == 1
    });
}

#[test]
fn zero_means_that_nothing_ages() {
    let underlay = Underlay::new(3);
    let (vtep, one, _two) = with_hand_peers(&underlay, "ageing = \"0s\"");
    one.send(&hello(stranger(1)));
    expect_at(&vtep, stranger(1), &one.address());
    stays("the entry is there", Duration::from_secs(4), || rows(&vtep) == 1);
}

#[test]
fn a_flush_takes_what_it_names() {
    let underlay = Underlay::new(3);
    let (vtep, one, two) = with_hand_peers(&underlay, "");
    let learn = || {
        one.send(&hello(stranger(1)));
        two.send(&hello(stranger(2)));
        expect_at(&vtep, stranger(1), &one.address());
        expect_at(&vtep, stranger(2), &two.address());
    };
    let add_static = || vtep.expect(&["fdb", "add", &stranger(3).to_string(), "remote", &one.address()]);
    add_static();

    learn();
    vtep.expect(&["fdb", "flush", "--learned"]);
    assert_eq!(rows(&vtep), 1);
    assert_eq!(vtep.fdb_row(stranger(3)).unwrap()["state"], "static");

    learn();
    vtep.expect(&["fdb", "flush", "--remote", &two.address()]);
    assert_eq!((vtep.remote_of(stranger(2)), rows(&vtep)), (None, 2));

    learn();
    vtep.expect(&["fdb", "flush", "--remote", &one.address(), "--learned"]);
    assert_eq!(vtep.remote_of(stranger(1)), None);
    assert_eq!(vtep.remote_of(stranger(2)), Some(two.address()));
    assert_eq!(vtep.remote_of(stranger(3)), Some(one.address()));

    learn();
    vtep.expect(&["fdb", "flush", "--segment", "blue"]);
    assert_eq!(rows(&vtep), 0);

    // What was flushed is learned again.
    learn();
    add_static();
    vtep.expect(&["fdb", "flush"]);
    assert_eq!(rows(&vtep), 0);
}

/// A row of the configuration and one that was added: traffic does not move them, and nothing ages them.
#[test]
fn nothing_moves_a_static_row() {
    let underlay = Underlay::new(3);
    let remote = underlay.host(1).address(Family::V4);
    let lines = format!("ageing = \"1s\"\n[[segment.fdb]]\nmac = \"{}\"\nremote = \"{remote}\"", stranger(1));
    let (vtep, one, two) = with_hand_peers(&underlay, &lines);
    vtep.expect(&["fdb", "add", &stranger(2).to_string(), "remote", &one.address()]);
    let arriving = Sniffer::of_stream(&underlay.host(0).namespace, TAP, 1);
    let before = Counts::of(&vtep);
    for mac in [stranger(1), stranger(2)] {
        for frame in Numbered::new(MacAddr::BROADCAST, mac, 1).frames(50) {
            two.send(&frame);
        }
    }
    before.clone().and_dropped("static_moved", 100).expect(&vtep);
    arriving.expect(0);
    // From where they belong they are delivered.
    for frame in Numbered::new(MacAddr::BROADCAST, stranger(1), 1).frames(50) {
        one.send(&frame);
    }
    arriving.expect_stream(1, 50);
    before.and_dropped("static_moved", 100).and_delivered(50).expect(&vtep);
    stays("the rows are where they were", Duration::from_secs(3), || {
        [stranger(1), stranger(2)].iter().all(|mac| {
            let row = vtep.fdb_row(mac).unwrap_or_default();
            row["state"] == "static" && row["remote"] == one.address()
        })
    });
}

#[test]
fn our_own_address_is_not_learned() {
    let underlay = Underlay::new(3);
    let (vtep, one, _two) = with_hand_peers(&underlay, "");
    let before = Counts::of(&vtep);
    one.send(&hello(tap_mac(&underlay)));
    before.and_dropped("own_mac", 1).expect(&vtep);
    assert_eq!(rows(&vtep), 0);
}

/// The frame goes on, its source is not learned.
#[test]
fn an_address_that_no_station_can_have_is_not_learned() {
    let underlay = Underlay::new(3);
    let (vtep, one, _two) = with_hand_peers(&underlay, "");
    let arriving = Sniffer::of_stream(&underlay.host(0).namespace, TAP, 1);
    let before = Counts::of(&vtep);
    let sources = [MacAddr::ZERO, MacAddr::BROADCAST, "01:00:5e:00:00:01".parse().unwrap()];
    for (number, source) in (0..).zip(sources) {
        one.send(&Numbered::new(MacAddr::BROADCAST, source, 1).frame(number));
    }
    arriving.expect_stream(1, 3);
    before.and_delivered(3).expect(&vtep);
    assert_eq!(vtep.counter("not_learned/invalid_mac"), 3);
    assert_eq!(rows(&vtep), 0);
}

#[test]
fn nothing_is_learned_where_learning_is_off() {
    let underlay = Underlay::new(3);
    let (vtep, one, _two) = with_hand_peers(&underlay, "learning = false");
    let before = Counts::of(&vtep);
    one.send(&hello(stranger(1)));
    before.and_delivered(1).expect(&vtep);
    assert_eq!(rows(&vtep), 0);
    assert_eq!(vtep.show("segments")[0]["learning"], false);
}

#[test]
fn the_cap_is_the_one_of_the_configuration() {
    let underlay = Underlay::new(3);
    let (vtep, one, _two) = with_hand_peers(&underlay, "max_entries = 10");
    let before = Counts::of(&vtep);
    for number in 0..100 {
        one.send(&hello(stranger(number)));
    }
    before.and_delivered(100).expect(&vtep);
    assert_eq!(rows(&vtep), 10);
    assert_eq!(vtep.show("segments")[0]["entries"], 10);
}

/// Datagrams that the kernel threw away before our endpoint could take them: its buffer was full.
fn lost_in_socket(underlay: &Underlay) -> u64 {
    let sockets = underlay.host(0).namespace.enter(|| fs::read_to_string("/proc/thread-self/net/udp")).unwrap();
    let port = format!(":{PORT:04X}");
    sockets
        .lines()
        .map(|line| line.split_whitespace().collect::<Vec<_>>())
        .filter(|columns| columns.get(1).is_some_and(|local| local.ends_with(&port)))
        .filter_map(|columns| columns.last()?.parse::<u64>().ok())
        .sum()
}

/// A million source MACs from one remote: the table ends at its cap, another remote's host keeps its row, memory stays flat,
/// every datagram is accounted for, and traffic goes on.
#[test]
fn a_million_addresses_leave_the_table_at_its_cap() {
    const CAP: usize = 8192;
    const FLOOD: u32 = 1_000_000;
    let underlay = Underlay::new(3);
    let (vtep, one, two) = with_hand_peers(&underlay, "");
    two.send(&hello(guest_mac(3)));
    expect_at(&vtep, guest_mac(3), &two.address());
    let before = Counts::of(&vtep);

    let mut state: u32 = 1;
    let mut flood = |count: u32| {
        for number in 0..count {
            // A linear congruential generator of full period: no address comes twice, none comes near the one before.
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            one.send(&hello(stranger(state)));
            if number % 64 == 63 {
                thread::sleep(Duration::from_micros(500));
            }
        }
    };
    flood(FLOOD / 10);
    wait_until("the table is full", || rows(&vtep) == CAP);
    let memory = vtep.memory();
    flood(FLOOD - FLOOD / 10);

    wait_until("every datagram is accounted for", || {
        let now = Counts::of(&vtep);
        now.delivered - before.delivered + lost_in_socket(&underlay) == u64::from(FLOOD) && now.drops == before.drops
    });
    assert_eq!(rows(&vtep), CAP);
    assert_eq!(vtep.show("segments")[0]["entries"], CAP);
    assert_eq!(vtep.remote_of(guest_mac(3)), Some(two.address()), "another remote's host was pushed out");
    let grown = vtep.memory().saturating_sub(memory);
    assert!(grown < 4 << 20, "memory grew by {grown} bytes");

    // The loop still works.
    let frame = Numbered::new(guest_mac(3), stranger(0), VNI).frame(0);
    FrameSender::new(&underlay.host(0).namespace, TAP).send(&frame);
    assert_eq!(two.receive()[8..], frame);
}
