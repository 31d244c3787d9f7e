//! SIGHUP again and again while traffic flows: what stays in the configuration loses nothing, and nothing is left behind.

use std::{
    fs,
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::Duration,
};

use overlay_types::MacAddr;
use testbed::{
    Family, FrameSender, KernelVtep, KernelVtepOptions, Numbered, Sniffer, TapVtep, Underlay, guest_mac, ping, vxlan,
    wait_until,
};

use crate::bed::{
    PORT, PROGRAM, TAP, VNI, add_guest_addresses, guest_address, kernel_peers, one_segment, stranger, tap_mac,
};

const RELOADS: usize = 1000;
/// Reloads before descriptors and memory are looked at for the first time.
const WARM: usize = 200;

/// What is configured in turn. The segment of the traffic is in all of them.
fn configurations(underlay: &Underlay) -> Vec<String> {
    let blue = |lines: &str| one_segment(underlay.host(0), Family::V4, lines);
    let segment = |name: &str, vni: u32, lines: &str| {
        format!("\n[[segment]]\nname = \"{name}\"\nvni = {vni}\ntap = \"{name}0\"\n{lines}\n")
    };
    let flood = "flood = [\"10.200.0.2\"]";
    let row = format!("[[segment.fdb]]\nmac = \"{}\"\nremote = \"10.200.0.3\"", stranger(9));
    vec![
        blue(flood),
        // Another segment on the same port.
        blue(flood) + &segment("red", 43, "flood = [\"10.200.0.3\"]"),
        // Its flood list is another one; a third segment with sockets of its own.
        blue(flood)
            + &segment("red", 43, "flood = [\"10.200.0.2\", \"10.200.0.3\"]")
            + &segment("green", 44, "port = 8472\ndf = false\nflood = [\"10.200.0.3\"]"),
        // One more flood entry and a row for the segment of the traffic itself, other rules; red has another VNI.
        blue(&format!("flood = [\"10.200.0.3\", \"10.200.0.2\"]\nmax_entries = 100\ndscp = 10\n{row}"))
            + &segment("red", 45, "flood = [\"10.200.0.3\"]"),
    ]
}

/// Sends a stream, every other frame a broadcast, until it is told to end: how many. Slow enough for every buffer.
fn send_until(end: &AtomicBool, mut sender: FrameSender, frames: Numbered) -> u32 {
    let mut number = 0;
    while !end.load(Ordering::Relaxed) {
        for destination in [frames.destination, MacAddr::BROADCAST] {
            sender.send(&Numbered { destination, ..frames }.frame(number));
            number += 1;
        }
        thread::sleep(Duration::from_millis(1));
    }
    number
}

/// Open files and threads of the program.
fn holds(vtep: &TapVtep) -> (usize, usize) {
    let entries = |what: &str| fs::read_dir(format!("/proc/{}/{what}", vtep.id())).unwrap().count();
    (entries("fd"), entries("task"))
}

fn reloads_done(vtep: &TapVtep) -> usize {
    vtep.log().iter().filter(|line| line.contains("the configuration was read again")).count()
}

#[test]
fn a_thousand_reloads_cost_no_packet_and_leave_nothing() {
    let underlay = Underlay::new(3);
    let (ours, other) = (&underlay.host(0).namespace, &underlay.host(2));
    let local = underlay.host(0).address(Family::V4);
    let peer = KernelVtep::new(
        underlay.host(1),
        &KernelVtepOptions { vni: VNI, port: PORT, ..KernelVtepOptions::to(&[local]) },
    );
    let configurations = configurations(&underlay);
    let vtep = TapVtep::configured(PROGRAM, ours, &configurations[0]);
    // Without addresses on our side nobody says anything but the test.
    let out = Numbered::new(peer.guest_mac(), tap_mac(&underlay), 1);
    let back = Numbered::new(tap_mac(&underlay), peer.guest_mac(), 2);
    let arriving = Sniffer::of_stream(&peer.guest, KernelVtep::GUEST_DEVICE, 1);
    let delivered = Sniffer::of_stream(ours, TAP, 2);
    let senders = [FrameSender::new(ours, TAP), FrameSender::new(&peer.guest, KernelVtep::GUEST_DEVICE)];
    // Datagrams for the segments that come and go.
    let noise = other.namespace.udp_socket((other.address(Family::V4), PORT));
    let end = AtomicBool::new(false);
    let [sent, received] = thread::scope(|scope| {
        let [out, back] = [out, back].map(|frames| (frames, &end));
        let [one, two] = senders;
        let sending =
            [scope.spawn(move || send_until(out.1, one, out.0)), scope.spawn(move || send_until(back.1, two, back.0))];
        scope.spawn(|| {
            let frame = Numbered::new(MacAddr::BROADCAST, guest_mac(3), 3).frame(0);
            while !end.load(Ordering::Relaxed) {
                for (vni, port) in [(43, PORT), (45, PORT), (44, 8472)] {
                    // Where nobody listens an answer by ICMP may come.
                    let _ = noise.send_to(&vxlan(vni, &frame), (local, port));
                }
                thread::sleep(Duration::from_millis(1));
            }
        });
        let reloaded = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| reload_all(&vtep, &configurations)));
        end.store(true, Ordering::Relaxed);
        let counts = sending.map(|sending| sending.join().unwrap());
        reloaded.unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        counts
    });
    assert!(sent > 1000 && received > 1000, "{sent} and {received} are little traffic");
    arriving.expect_stream(1, sent);
    delivered.expect_stream(2, received);
    let blue = &vtep.show("stats")["segments"][0];
    assert_eq!((&blue["tx_frames"], &blue["rx_frames"]), (&sent.into(), &received.into()), "{blue}");
    assert!(blue["drops"].as_object().unwrap().values().all(|count| *count == 0), "{blue}");
    assert!(!ours.has_device("red0") && !ours.has_device("green0"));
    assert_eq!(vtep.stop().status, Some(0));
}

/// Each of a thousand reloads is waited for. What the program holds afterwards is what it held after the first of them.
fn reload_all(vtep: &TapVtep, configurations: &[String]) {
    let mut warm = None;
    for reload in 1..=RELOADS {
        vtep.reload(&configurations[reload % configurations.len()]);
        wait_until(&format!("reload {reload}: {:?}", vtep.log().last()), || reloads_done(vtep) == reload);
        if reload == WARM {
            warm = Some((holds(vtep), vtep.memory()));
        }
    }
    let (held, memory) = warm.unwrap();
    assert_eq!(holds(vtep), held, "open files and threads");
    let grown = vtep.memory().saturating_sub(memory);
    assert!(grown < 1 << 20, "{grown} bytes more after {} reloads", RELOADS - WARM);
}

/// SIGHUP faster than it can be answered: the last configuration is the one that holds.
#[test]
fn reloads_without_a_pause_end_with_the_last_configuration() {
    let underlay = Underlay::new(3);
    let ours = &underlay.host(0).namespace;
    let peers = kernel_peers(&underlay, Family::V4);
    let configurations = configurations(&underlay);
    let vtep = TapVtep::configured(PROGRAM, ours, &configurations[0]);
    add_guest_addresses(&underlay);
    for reload in 0..RELOADS {
        // Read while it is being written, it is empty, and refused.
        vtep.reload(&configurations[reload % configurations.len()]);
    }
    vtep.reload(&configurations[1]);
    wait_until("the last one is applied", || {
        let segments = vtep.show("segments");
        let names: Vec<_> = segments.as_array().unwrap().iter().map(|segment| segment["name"].clone()).collect();
        names == ["blue", "red"] && ours.has_device("red0") && !ours.has_device("green0")
    });
    assert_eq!(ping(ours, peers[0].guest_address(Family::V4), 3).received, 3);
    assert_eq!(ping(&peers[0].guest, guest_address(1, Family::V4), 3).received, 3);
}
