//! `capture`: tshark reads what the program wrote, and finds each packet once with what became of it; whatever happens to
//! the file, frames go on.

use std::{
    collections::BTreeMap,
    fs::{self, File},
    path::PathBuf,
    process::{Command, Stdio},
};

use overlay_types::MacAddr;
use rustix::process::Signal;
use testbed::{
    Background, Family, FrameSender, Numbered, PATIENCE, Scratch, TapVtep, Underlay, guest_mac, ping, transfer, vxlan,
    wait_until,
};

use crate::{
    bed::{
        Counts, HandPeer, PORT, PROGRAM, TAP, VNI, flood_to_all, guest_address, kernel_peers, missing, only_line,
        start, start_two, start_two_with, stranger,
    },
    tunnel::Tunnel,
};

/// A capture that runs, and its files.
struct Capture {
    process: Background,
    file: PathBuf,
    said: PathBuf,
    _files: Scratch,
}

impl Capture {
    /// It has begun.
    fn start(underlay: &Underlay, vtep: &TapVtep, words: &[&str]) -> Self {
        let files = Scratch::new();
        let (file, said) = (files.path("capture.pcapng"), files.path("said"));
        let mut command = Command::new(PROGRAM);
        command.arg("capture").args(words).arg("--control").arg(vtep.control()).arg(&file);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(File::create(&said).unwrap());
        let process = underlay.host(0).namespace.start(command);
        wait_until("the capture has begun", || fs::metadata(&file).is_ok_and(|file| file.len() > 0));
        Self { process, file, said, _files: files }
    }

    /// It ends well when it is told to; how many packets it has, and how many it lost.
    fn stop(&mut self) -> [u64; 2] {
        self.process.signal(Signal::INT);
        self.end()
    }

    /// It ends well by itself.
    fn end(&mut self) -> [u64; 2] {
        let status = self.process.wait(PATIENCE);
        let said = fs::read_to_string(&self.said).unwrap();
        assert_eq!(status.code(), Some(0), "{said}");
        let words: Vec<_> = said.split(' ').collect();
        let [_, "packets", "captured,", _, "lost", ..] = words[..] else { panic!("{said}") };
        [0, 3].map(|word| words[word].parse().unwrap())
    }

    /// What tshark prints of the packets that `filter` lets through.
    fn tshark(&self, underlay: &Underlay, filter: &str, fields: &[&str]) -> Vec<Vec<String>> {
        let file = self.file.display().to_string();
        let mut words = vec!["tshark", "-n", "-r", &file, "-Y", filter, "-T", "fields", "-E", "occurrence=f"];
        words.extend(["-o", "ip.check_checksum:TRUE", "-o", "udp.check_checksum:TRUE"]);
        words.extend(fields.iter().flat_map(|field| ["-e", *field]));
        let finished = underlay.host(0).namespace.run(&words);
        assert_eq!(finished.status, Some(0), "{finished}");
        finished.stdout.lines().map(|line| line.split('\t').map(str::to_owned).collect()).collect()
    }

    /// How many packets there are of each interface, direction and comment.
    fn counts(&self, underlay: &Underlay, filter: &str) -> BTreeMap<String, u64> {
        let mut counts = BTreeMap::new();
        for packet in
            self.tshark(underlay, filter, &["frame.interface_name", "frame.packet_flags_direction", "frame.comment"])
        {
            let direction = match &*packet[1] {
                "0x00000001" | "0x01" | "1" => "in",
                "0x00000002" | "0x02" | "2" => "out",
                other => panic!("{other}: {packet:?}"),
            };
            *counts.entry(format!("{} {direction} {}", packet[0], packet[2])).or_default() += 1;
        }
        counts
    }
}

fn expected<const N: usize>(counts: [(&str, u64); N]) -> BTreeMap<String, u64> {
    counts.map(|(what, count)| (what.to_owned(), count)).into()
}

#[test]
fn tshark_finds_each_packet_with_what_became_of_it() {
    for (family, ours, theirs) in [(Family::V4, "10.200.0.1", "10.200.0.2"), (Family::V6, "fd00:200::1", "fd00:200::2")]
    {
        let underlay = Underlay::new(3);
        let [peer, _] = <[_; 2]>::try_from(kernel_peers(&underlay, family)).ok().unwrap();
        let vtep = start(&underlay, family, &format!("flood = [\"{}\"]", underlay.host(1).address(family)));
        underlay.host(0).namespace.add_address(TAP, guest_address(1, Family::V4), 24);
        let mut capture = Capture::start(&underlay, &vtep, &[]);
        let before = Counts::of(&vtep);
        assert_eq!(ping(&underlay.host(0).namespace, peer.guest_address(Family::V4), 3).received, 3);
        let frame = Numbered::new(MacAddr::BROADCAST, guest_mac(7), 1).frame(0);
        for (host, vni, count) in [(1, VNI + 1, 5), (2, VNI, 4)] {
            let host = underlay.host(host);
            let socket = host.namespace.udp_socket((host.address(family), 0));
            for _ in 0..count {
                socket.send_to(&vxlan(vni, &frame), (underlay.host(0).address(family), PORT)).unwrap();
            }
        }
        let invalid = Numbered::new(guest_mac(2), MacAddr::BROADCAST, 2);
        FrameSender::new(&underlay.host(0).namespace, TAP).send_all(invalid.frames(2));
        // With the question for the guest's address, and its answer.
        let after = before.and_sent(4).and_delivered(4);
        let after = after.and_dropped("unknown_vni", 5).and_dropped("unknown_source", 4).and_dropped("source_mac", 2);
        after.expect(&vtep);
        assert_eq!(capture.stop(), [27, 0], "{:?}", capture.counts(&underlay, "frame"));

        let (out, into) = (format!("underlay {ours} out sent to {theirs}"), format!("underlay {ours} in "));
        let sent_to = format!("{TAP} out sent to {theirs}");
        let delivered = format!("{TAP} in delivered");
        let decapsulated = format!("{into}decapsulated");
        let both_ways = [(&*sent_to, 3), (&*delivered, 3), (&*out, 3), (&*decapsulated, 3)];
        assert_eq!(capture.counts(&underlay, "icmp"), expected(both_ways));
        let asked = format!("{TAP} out flooded to 1 remote");
        let arp = [(&*asked, 1), (&*delivered, 1), (&*out, 1), (&*decapsulated, 1)];
        assert_eq!(capture.counts(&underlay, "arp"), expected(arp));
        let (vni, source) = (format!("{into}dropped: unknown_vni"), format!("{into}dropped: unknown_source"));
        let mac = format!("{TAP} out dropped: source_mac");
        let dropped = [(&*vni, 5), (&*source, 4), (&*mac, 2)];
        assert_eq!(capture.counts(&underlay, "!icmp && !arp"), expected(dropped));

        assert_eq!(capture.counts(&underlay, "_ws.malformed"), BTreeMap::new());
        let outer = capture.tshark(&underlay, "vxlan", &["udp.checksum.status", "udp.dstport", "vxlan.vni"]);
        assert_eq!(outer.len(), 17);
        let is_right = |packet: &Vec<String>| matches!(&*packet[0], "1" | "Good") && packet[1] == "4789";
        assert!(outer.iter().all(is_right), "{outer:?}");
        assert_eq!(outer.iter().filter(|packet| packet[2] == (VNI + 1).to_string()).count(), 5);
        let capinfos = underlay.host(0).namespace.run(&["capinfos", "-c", "-M", &capture.file.display().to_string()]);
        assert_eq!(capinfos.status, Some(0), "{capinfos}");
        assert!(capinfos.stdout.contains("27"), "{capinfos}");
    }
}

#[test]
fn what_is_wanted_is_captured_and_no_more() {
    let underlay = Underlay::new(2);
    let peer = HandPeer::new(&underlay, 1, Family::V4);
    let lines = format!(
        "{flood}\n[[segment]]\nname = \"red\"\nvni = 43\ntap = \"tap1\"\n{flood}",
        flood = flood_to_all(&underlay, Family::V4)
    );
    let vtep = start(&underlay, Family::V4, &lines);
    let host = &underlay.host(0).namespace;
    let pass = || {
        for tap in [TAP, "tap1"] {
            let before = Counts::of(&vtep);
            FrameSender::new(host, tap).send_all(Numbered::new(MacAddr::BROADCAST, stranger(1), 1).frames(3));
            before.and_sent(3).expect(&vtep);
        }
        let before = Counts::of(&vtep);
        for vni in [42, 42, 43, 44] {
            peer.send_datagram(&vxlan(vni, &Numbered::new(MacAddr::BROADCAST, guest_mac(2), 2).frame(0)));
        }
        before.and_delivered(3).and_dropped("unknown_vni", 1).expect(&vtep);
    };
    for (words, packets) in [
        (&["--inner"][..], 6 + 3),
        (&["--outer"], 6 + 4),
        (&["--segment", "blue"], 3 + 3 + 2 + 2),
        (&["--segment", "red", "--inner"], 3 + 1),
        (&["--segment", "red", "--outer"], 3 + 1),
    ] {
        let mut capture = Capture::start(&underlay, &vtep, words);
        pass();
        assert_eq!(capture.stop(), [packets, 0], "{words:?}");
    }
    let mut counted = Capture::start(&underlay, &vtep, &["--count", "4", "--snaplen", "33"]);
    pass();
    assert_eq!(counted.end()[0], 4);
    let lengths = counted.tshark(&underlay, "frame", &["frame.cap_len"]);
    assert_eq!(lengths, vec![vec!["33"]; 4]);
    Capture::start(&underlay, &vtep, &["--duration", "10ms"]).end();
}

#[test]
fn what_is_wrong_is_said_in_one_line() {
    let underlay = Underlay::new(2);
    let vtep = start(&underlay, Family::V4, &flood_to_all(&underlay, Family::V4));
    for (words, line) in [
        (&["--count", "0"][..], "--count"),
        (&["--duration", "soon"], "--duration"),
        (&["--snaplen", "0"], "--snaplen"),
        (&["--inner", "--outer"], "--outer"),
        (&["--segment", "red"], "no segment is named \"red\"; there is blue"),
    ] {
        let finished = vtep.command(&[&["capture", "/dev/null"], words].concat());
        assert_eq!(finished.status, Some(2), "{finished}");
        assert!(only_line(&finished).contains(line), "{finished}");
    }
    let mut running = Capture::start(&underlay, &vtep, &[]);
    let second = vtep.command(&["capture", "/dev/null"]);
    assert_eq!(second.status, Some(1), "{second}");
    assert!(only_line(&second).contains("another capture is running"), "{second}");
    running.stop();
    let mut left = Capture::start(&underlay, &vtep, &[]);
    assert_eq!(vtep.stop().status, Some(0));
    assert_eq!(left.process.wait(PATIENCE).code(), Some(1));
    assert!(fs::read_to_string(&left.said).unwrap().contains("the endpoint has ended"));
}

/// A client that stands still or dies, and a disk that is full, cost packets of the capture, and no frame.
#[test]
fn a_slow_client_and_a_full_disk_cost_no_frame() {
    const FRAMES: u32 = 20_000;
    let underlay = Underlay::new(2);
    let vtep = start(&underlay, Family::V4, &flood_to_all(&underlay, Family::V4));
    let host = &underlay.host(0).namespace;
    let pass = |frames: u32| {
        let before = Counts::of(&vtep);
        let sent = Numbered { len: 1400, ..Numbered::new(MacAddr::BROADCAST, stranger(1), 1) };
        FrameSender::new(host, TAP).send_all(sent.frames(frames));
        before.and_sent(frames.into()).expect(&vtep);
    };
    let mut slow = Capture::start(&underlay, &vtep, &[]);
    slow.process.signal(Signal::STOP);
    pass(FRAMES);
    slow.process.signal(Signal::CONT);
    let [captured, lost] = slow.stop();
    assert_eq!(captured + lost, 2 * u64::from(FRAMES));
    assert!(captured > 1000 && lost > 1000, "{captured} captured, {lost} lost");
    assert_eq!(slow.counts(&underlay, "frame").values().sum::<u64>(), captured);

    let full = vtep.command(&["capture", "/dev/full"]);
    assert_eq!(full.status, Some(1), "{full}");
    assert!(only_line(&full).contains("/dev/full: No space left on device"), "{full}");
    pass(100);

    let begin = || {
        let capture = ["capture", "--duration", "1ms", "/dev/null"];
        wait_until("the one before has ended", || vtep.command(&capture).status == Some(0));
    };
    begin();
    let killed = Capture::start(&underlay, &vtep, &[]);
    pass(100);
    killed.process.signal(Signal::KILL);
    pass(100);
    begin();
}

#[test]
fn each_encapsulation_is_read_over_each_family() {
    for (tunnel, protocol) in [(Tunnel::Vxlan, "vxlan"), (Tunnel::Geneve, "geneve"), (Tunnel::Nvgre, "gre")] {
        for family in Family::ALL {
            let underlay = Underlay::new(2);
            let [vtep, _other] = start_two_with("auto", tunnel, &underlay, family, "");
            let mut capture = Capture::start(&underlay, &vtep, &["--outer"]);
            assert_eq!(ping(&underlay.host(0).namespace, guest_address(2, Family::V4), 3).received, 3);
            capture.stop();
            let (ours, theirs) = (underlay.host(0).address(family), underlay.host(1).address(family));
            let sent = format!("underlay {ours} out sent to {theirs}");
            let decapsulated = format!("underlay {ours} in decapsulated");
            let both_ways = expected([(&*sent, 3), (&*decapsulated, 3)]);
            assert_eq!(capture.counts(&underlay, &format!("{protocol} && icmp")), both_ways);
            assert_eq!(capture.counts(&underlay, "_ws.malformed || udp.checksum.status == 0"), BTreeMap::new());
        }
    }
}

/// A super-frame is one packet, and its comment says of how many frames: together they are those that were counted.
#[test]
fn super_frames_say_how_many_frames_they_are() {
    let underlay = Underlay::new(2);
    let both = start_two(&underlay, Family::V4, "");
    missing(&both);
    let counts = || {
        let counts = Counts::of(&both[0]);
        [counts.sent, counts.delivered]
    };
    let [here, there] = [0, 1].map(|index| &underlay.host(index).namespace);
    // What a guest says of its own accord while a capture begins or ends may be counted and not captured, or the other way
    // round: then again.
    let (capture, [captured, lost], counted) = loop {
        let before = counts();
        let mut capture = Capture::start(&underlay, &both[0], &["--inner"]);
        let started = counts();
        let _ = transfer(here, there, guest_address(2, Family::V4), 500_000);
        missing(&both);
        let stopping = counts();
        let said = capture.stop();
        if before == started && stopping == counts() {
            break (capture, said, [0, 1].map(|way| stopping[way] - started[way]));
        }
    };
    assert_eq!(lost, 0);
    let mut frames = [0, 0];
    for (packet, count) in capture.counts(&underlay, "frame") {
        let of_each = packet.strip_suffix(" frames").and_then(|packet| packet.rsplit(' ').next());
        let way = usize::from(packet.contains(" in delivered"));
        frames[way] += count * of_each.map_or(1, |frames| frames.parse().unwrap());
    }
    assert_eq!(frames, counted);
    assert!(captured < frames[0] + frames[1], "no super-frame among {captured} packets");
}
