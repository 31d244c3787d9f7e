//! What tshark says of the checksums that we make: outer and inner ones on a wire, and inner ones at a guest behind a bridge,
//! for which the kernel cuts what we merged. 50,000 packets in each of so many rounds as
//! `TAP_VTEP_CHECKED_ROUNDS` says; one by default.

use std::{fs, path::PathBuf, time::Duration};

use testbed::{Direction, Family, Host, Namespace, Scratch, Sniffer, Underlay, transfer, wait_until};

use crate::{
    bed::{Cable, TAP, guest_address, start_two},
    socket_options::cut_sends,
};

/// Bytes by TCP: some 43,000 segments.
const BYTES: u64 = 60_000_000;
/// Datagrams by UDP, 30 by each call.
const DATAGRAMS: usize = 9000;

/// A capture file (draft-ietf-opsawg-pcap) of these frames.
pub(crate) fn capture(files: &Scratch, name: &str, frames: &[Vec<u8>]) -> PathBuf {
    let mut bytes = Vec::with_capacity(frames.iter().map(|frame| frame.len() + 16).sum::<usize>() + 24);
    // Magic number, version 2.4, no time zone, the longest frame, Ethernet.
    for word in [0xa1b2_c3d4_u32, 0x0002_0004, 0, 0, 1 << 18, 1] {
        bytes.extend(word.to_be_bytes());
    }
    for frame in frames {
        let length = (frame.len() as u32).to_be_bytes();
        bytes.extend([&[0; 8][..], &length, &length].concat());
        bytes.extend(frame);
    }
    let file = files.path(name);
    fs::write(&file, bytes).unwrap();
    file
}

/// Has tshark check checksums, and say nothing of how packets follow each other.
pub(crate) const CHECKING: [&str; 10] = [
    "-o",
    "ip.check_checksum:TRUE",
    "-o",
    "tcp.check_checksum:TRUE",
    "-o",
    "udp.check_checksum:TRUE",
    "-o",
    "tcp.desegment_tcp_streams:FALSE",
    "-o",
    "tcp.analyze_sequence_numbers:FALSE",
];

/// The last fields of a line, and how it ends where a TCP checksum is zero: Linux writes that as 0xffff, whatever the
/// protocol. It is as right, and tshark says that it is not.
pub(crate) const TCP_ZERO: [&str; 2] = ["tcp.checksum", "tcp.checksum_calculated"];
pub(crate) const IS_TCP_ZERO: &str = "\t0xffff\t0x0000";

/// What tshark says of checksums in a capture: for each of `fields` how many are bad, good, and none of both.
fn verify(file: &std::path::Path, fields: [&str; 3]) -> [[usize; 3]; 3] {
    let file = file.display().to_string();
    let mut words = vec!["tshark", "-n", "-r", &file, "-T", "fields", "-E", "occurrence=a", "-E", "aggregator=,"];
    words.extend(CHECKING);
    for field in fields.iter().chain(&TCP_ZERO) {
        words.extend(["-e", field]);
    }
    let here = Namespace::new("tshark");
    let finished = here.run_within(Duration::from_secs(300), &words);
    assert_eq!(finished.status, Some(0), "{}", finished.stderr);
    let mut counts = [[0; 3]; 3];
    for line in finished.stdout.lines() {
        for ((count, column), field) in counts.iter_mut().zip(line.split('\t')).zip(fields) {
            let is_zero = field == "tcp.checksum.status" && line.ends_with(IS_TCP_ZERO);
            for status in column.split(',').filter(|status| !status.is_empty()) {
                match status {
                    "0" | "Bad" if is_zero => count[1] += 1,
                    "0" | "Bad" => count[0] += 1,
                    "1" | "Good" => count[1] += 1,
                    _ => count[2] += 1,
                }
            }
        }
    }
    counts
}

const FIELDS: [&str; 3] = ["ip.checksum.status", "tcp.checksum.status", "udp.checksum.status"];

/// Between the TAP and a guest: a bridge in the host, and a veth on which everything is cut and summed up.
fn guest_behind_a_bridge(host: &Host) -> Namespace {
    let guest = Namespace::new("guest");
    let namespace = &host.namespace;
    let mtu = namespace.device(TAP)["mtu"].to_string();
    namespace.ip(&format!("addr flush dev {TAP}"));
    namespace.ip(&format!("link add br0 mtu {mtu} type bridge mcast_snooping 0"));
    namespace.ip(&format!("link add port0 mtu {mtu} type veth peer name eth0 mtu {mtu} netns {}", guest.name()));
    for port in [TAP, "port0"] {
        namespace.ip(&format!("link set {port} master br0 up"));
    }
    namespace.ip("link set br0 up");
    namespace.set_offloads("port0", "tx off tso off gso off");
    guest.ip("link set eth0 up");
    for family in Family::ALL {
        guest.add_address("eth0", guest_address(host.number(), family), if family == Family::V4 { 24 } else { 64 });
    }
    guest
}

fn verify_all(family: Family) {
    let underlay = Underlay::new(2);
    Cable::WireWithGro.lay(&underlay);
    let _both = start_two(&underlay, family, "");
    let from = &underlay.host(0).namespace;
    let guest = guest_behind_a_bridge(underlay.host(1));
    // It has another MAC address than the TAP had, which was asked for before.
    from.ip(&format!("neigh flush dev {TAP}"));
    let rounds = std::env::var("TAP_VTEP_CHECKED_ROUNDS").ok();
    for _ in 0..rounds.map_or(1, |rounds| rounds.parse().expect("a number of rounds")) {
        verify_round(family, from, &guest);
    }
}

/// What passes a device until nothing more comes: on a busy machine the last of it is still on its way, or waits to be collected.
fn all_frames(sniffer: &Sniffer) -> Vec<Vec<u8>> {
    const MOMENT: Duration = Duration::from_secs(1);
    let mut count = sniffer.count();
    wait_until("nothing more comes", || {
        std::thread::sleep(MOMENT);
        let before = std::mem::replace(&mut count, sniffer.count());
        count == before
    });
    sniffer.frames()
}

fn verify_round(family: Family, from: &Namespace, guest: &Namespace) {
    let on_the_wire = Sniffer::new(from, Host::DEVICE, Direction::Outgoing, |_| true);
    let at_the_guest = Sniffer::new(guest, "eth0", Direction::Incoming, |_| true);

    let moved = transfer(from, guest, guest_address(2, family), BYTES);
    assert_eq!(moved.sent, moved.received);
    let sender = from.udp_socket((guest_address(1, family), 0));
    let receiver = guest.udp_socket((guest_address(2, family), 0));
    cut_sends(&sender, 1001);
    for number in 0..DATAGRAMS / 30 {
        sender.send_to(&vec![number as u8; 30 * 1001], receiver.local_addr().unwrap()).unwrap();
        std::thread::sleep(Duration::from_millis(1));
    }

    let files = Scratch::new();
    let [wire, at_the_guest] = [&on_the_wire, &at_the_guest].map(all_frames);
    drop(on_the_wire);
    assert!(wire.iter().all(|frame| frame.len() <= 1514), "it is no wire");
    let counts = verify(&capture(&files, "wire.pcap", &wire), FIELDS);
    let context = format!("{family:?}: bad, good and other {FIELDS:?} on the wire: {counts:?} of {}", wire.len());
    println!("{context}");
    let [ip, tcp, udp] = counts;
    assert_eq!([ip[0], tcp[0], udp[0]], [0; 3], "{context}");
    assert_eq!([tcp[2], udp[2]], [0; 2], "{context}");
    // An outer datagram each, and inside TCP and UDP as they were sent.
    assert!(tcp[1] > 40_000 && udp[1] >= tcp[1] + 2 * DATAGRAMS, "{context}");
    if family == Family::V4 {
        assert!(ip[1] >= 2 * (tcp[1] + DATAGRAMS) && ip[2] == 0, "{context}");
    }

    let counts = verify(&capture(&files, "guest.pcap", &at_the_guest), FIELDS);
    let context = format!("{family:?}: bad, good and other {FIELDS:?} at the guest: {counts:?}");
    println!("{context}");
    let [ip, tcp, udp] = counts;
    assert_eq!([ip[0], tcp[0], udp[0]], [0; 3], "{context}");
    assert!(tcp[1] > 40_000 && udp[1] >= DATAGRAMS && tcp[2] + udp[2] == 0, "{context}");
}

#[test]
fn tshark_finds_none_that_is_bad_over_ipv4() {
    verify_all(Family::V4);
}

#[test]
fn tshark_finds_none_that_is_bad_over_ipv6() {
    verify_all(Family::V6);
}
