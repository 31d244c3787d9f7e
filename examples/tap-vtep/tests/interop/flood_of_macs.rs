//! A remote that sends from a million source MACs: what the table holds stays bounded, and who was there before keeps its rows
//! and its rate.

use std::{
    io::{Read, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    sync::atomic::{AtomicBool, AtomicU64, Ordering},
    thread,
    time::{Duration, Instant},
};

use testbed::{Family, KernelVtep, KernelVtepOptions, Underlay, frame, guest_mac, ping, vxlan};

use crate::bed::{HandPeer, TAP, VNI, add_guest_addresses, expect_at, flood_to_all, start, stranger, tap_mac};

const A_SECOND: u32 = 50_000;
/// The bursts of a millisecond in a window: short beside what else a machine does, so that this meets both kinds alike.
const WINDOW: u32 = 100;
/// Pairs of windows: known source MACs and new ones. A million new ones in all.
const PAIRS: u32 = 200;
/// So few that to learn them again costs nothing.
const KNOWN: u32 = 10;
/// A machine that is busy with something else blurs what is measured: so often it is measured at the most.
const TRIALS: usize = 3;
const MAX_ENTRIES: u64 = 1000;

/// Bytes that a connection has moved, until it is told to end.
fn stream(mut from: TcpStream, mut to: TcpStream, moved: &AtomicU64, end: &AtomicBool) {
    from.set_write_timeout(Some(Duration::from_secs(20))).unwrap();
    thread::scope(|scope| {
        scope.spawn(|| {
            let mut block = vec![0; 1 << 18];
            while let Ok(count @ 1..) = to.read(&mut block) {
                moved.fetch_add(count as u64, Ordering::Relaxed);
            }
        });
        let block = vec![0x5a; 1 << 16];
        while !end.load(Ordering::Relaxed) {
            from.write_all(&block).unwrap();
        }
        drop(from);
    });
}

/// Sends a window's datagrams in bursts of a millisecond, each from the MAC that `source` says.
fn send_for_a_window(peer: &HandPeer, destination: overlay_types::MacAddr, mut source: impl FnMut() -> u32) {
    let mut datagram = vxlan(VNI, &frame(destination, stranger(0), &[0; 46]));
    let start = Instant::now();
    for burst in 1..=WINDOW {
        for _ in 0..A_SECOND / 1000 {
            // Behind the tunnel header and the destination.
            datagram[14..20].copy_from_slice(&stranger(source()).octets());
            peer.send_datagram(&datagram);
        }
        thread::sleep((start + Duration::from_millis(burst.into())).saturating_duration_since(Instant::now()));
    }
}

fn median(mut values: Vec<u64>) -> u64 {
    values.sort_unstable();
    values[values.len() / 2]
}

#[test]
fn a_million_source_macs_cost_a_connection_no_tenth_of_its_rate() {
    let underlay = Underlay::new(3);
    let ours = &underlay.host(0).namespace;
    let attacker = HandPeer::new(&underlay, 1, Family::V4);
    let local = underlay.host(0).address(Family::V4);
    let peer = KernelVtep::new(underlay.host(2), &KernelVtepOptions { vni: VNI, ..KernelVtepOptions::to(&[local]) });
    let row = format!("[[segment.fdb]]\nmac = \"{}\"\nremote = \"10.200.0.3\"", guest_mac(9));
    let lines = format!("{}\nmax_entries = {MAX_ENTRIES}\n{row}", flood_to_all(&underlay, Family::V4));
    let vtep = start(&underlay, Family::V4, &lines);
    add_guest_addresses(&underlay);
    assert_eq!(ping(ours, peer.guest_address(Family::V4), 1).received, 1);

    let address = peer.guest_address(Family::V4);
    let listener = peer.guest.enter(|| TcpListener::bind(SocketAddr::new(address, 0))).unwrap();
    let from = ours.enter(|| TcpStream::connect(listener.local_addr().unwrap())).unwrap();
    let (to, _) = listener.accept().unwrap();
    let (moved, end) = (AtomicU64::new(0), AtomicBool::new(false));
    let destination = tap_mac(&underlay);
    thread::scope(|scope| {
        scope.spawn(|| stream(from, to, &moved, &end));
        let (mut known, mut new) = (0, KNOWN);
        // Bytes a second in windows of known source MACs, and in those of new ones.
        let mut rates: [Vec<u64>; 2] = Default::default();
        let mut most_entries = 0;
        let is_kept = (0..TRIALS).any(|_| {
            for pair in 0..PAIRS {
                // By turns, too, which of the two is first.
                for is_new in [pair % 2 == 0, pair % 2 == 1] {
                    let (before, start) = (moved.load(Ordering::Relaxed), Instant::now());
                    send_for_a_window(&attacker, destination, || {
                        let next = if is_new { &mut new } else { &mut known };
                        *next += 1;
                        if is_new { *next } else { *next % KNOWN }
                    });
                    let bytes = moved.load(Ordering::Relaxed) - before;
                    let micros = u64::try_from(start.elapsed().as_micros()).unwrap();
                    rates[usize::from(is_new)].push(bytes * 1_000_000 / micros);
                }
                most_entries = most_entries.max(vtep.show("segments")[0]["entries"].as_u64().unwrap());
            }
            let [known, new] = rates.clone().map(median);
            new * 10 >= known * 9
        });
        end.store(true, Ordering::Relaxed);
        assert!(is_kept, "{rates:?}");
        // The static row is beside what is learned.
        assert!(most_entries <= MAX_ENTRIES + 1, "{most_entries} rows");
    });
    expect_at(&vtep, peer.guest_mac(), "10.200.0.3");
    expect_at(&vtep, guest_mac(9), "10.200.0.3");
    assert_eq!(vtep.fdb_row(guest_mac(9)).unwrap()["state"], "static");
    assert!(vtep.drops() == 0 && ours.has_device(TAP), "{}", vtep.show("stats"));
}
