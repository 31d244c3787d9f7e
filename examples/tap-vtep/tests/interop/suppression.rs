//! ARP and Neighbor Discovery in a segment that suppresses: the kernel asks, and is answered by the guest or by us.

use std::{
    net::{IpAddr, Ipv6Addr},
    time::{Duration, Instant},
};

use overlay_types::MacAddr;
use testbed::{
    Direction, Family, FrameSender, KernelVtep, Namespace, Sniffer, TapVtep, Underlay, ping, stays, wait_until,
};

use crate::{
    bed::{
        Counts, HandPeer, TAP, add_guest_addresses, expect_at, flood_to_all, guest_address, kernel_peers, start,
        stranger, tap_mac,
    },
    neighbor_frame::{Arp, Nd, is_advertisement_of, is_arp_reply_of, is_question_for},
    shown::{Feature, With, shown_by_vxlan},
};

/// Time for a frame that should not come to come.
const MOMENT: Duration = Duration::from_millis(300);

/// Our endpoint, suppressing, on the first host, with addresses on its TAP; a kernel peer with a guest on the second.
struct Bed {
    underlay: Underlay,
    peer: KernelVtep,
    vtep: TapVtep,
}

impl Bed {
    fn new(lines: &str) -> Self {
        let underlay = Underlay::new(2);
        let Ok([peer]) = <[_; 1]>::try_from(kernel_peers(&underlay, Family::V4)) else { panic!("one peer") };
        peer.enable_ipv6();
        let lines = format!("{}\nsuppress = true\n{lines}", flood_to_all(&underlay, Family::V4));
        let vtep = start(&underlay, Family::V4, &lines);
        add_guest_addresses(&underlay);
        Self { underlay, peer, vtep }
    }

    fn ours(&self) -> &Namespace {
        &self.underlay.host(0).namespace
    }

    /// The kernel on our side forgets what it knows of the guest, and asks again.
    fn asks(&self, family: Family) -> u32 {
        self.ours().ip(&format!("neigh flush dev {TAP}"));
        ping(self.ours(), self.peer.guest_address(family), 1).received
    }

    /// Questions for the guest that arrive there, group or broadcast.
    fn questions(&self, family: Family) -> Sniffer {
        let target = self.peer.guest_address(family);
        let wanted = move |frame: &[u8]| frame[0] & 1 == 1 && is_question_for(frame, target);
        Sniffer::new(&self.peer.guest, KernelVtep::GUEST_DEVICE, Direction::Incoming, wanted)
    }

    fn suppressed(&self) -> u64 {
        self.vtep.counter("suppressed")
    }

    /// What the kernel on our side knows of the guest: its MAC and more.
    fn known(&self, family: Family) -> String {
        self.ours().ip(&format!("neigh show dev {TAP} {}", self.peer.guest_address(family)))
    }

    fn sender(&self) -> FrameSender {
        FrameSender::new(self.ours(), TAP)
    }

    /// What arrives at the guest of what pleases.
    fn arriving(&self, wanted: impl Fn(&[u8]) -> bool + Send + 'static) -> Sniffer {
        Sniffer::new(&self.peer.guest, KernelVtep::GUEST_DEVICE, Direction::Incoming, wanted)
    }
}

/// The row of an IP address in the neighbour table.
fn neighbor(vtep: &TapVtep, ip: IpAddr) -> Option<String> {
    let rows = vtep.show("neighbors");
    let row = rows.as_array()?.iter().find(|row| row["ip"] == ip.to_string())?;
    assert_eq!(row["segment"], "blue");
    Some(format!("{} {}", row["state"].as_str()?, row["mac"].as_str()?))
}

/// The same, as it should be.
fn row(mac: MacAddr, state: &str) -> String {
    format!("{state} {mac}")
}

#[test]
fn the_kernel_is_answered_once_both_rows_are_known() {
    for family in Family::ALL {
        let bed = Bed::new("");
        let questions = bed.questions(family);
        let target = bed.peer.guest_address(family);
        assert_eq!((bed.asks(family), bed.suppressed()), (1, 0), "{family:?}");
        questions.expect(1);
        assert_eq!(neighbor(&bed.vtep, target), Some(row(bed.peer.guest_mac(), "learned")));
        for asked in 1..=5 {
            assert_eq!((bed.asks(family), bed.suppressed()), (1, asked), "{family:?}");
        }
        // And with the target away.
        bed.peer.guest.ip(&format!("link set {} down", KernelVtep::GUEST_DEVICE));
        assert_eq!((bed.asks(family), bed.suppressed()), (0, 6), "{family:?}");
        assert!(bed.known(family).contains(&bed.peer.guest_mac().to_string()), "{}", bed.known(family));
        questions.expect(1);
        assert_eq!(bed.vtep.drops(), 0);
    }
    shown_by_vxlan(Feature::Suppression, With::Kernel, Family::V4);
}

/// One row is not enough, whichever: without the other the question goes out.
#[test]
fn static_rows_answer_together_only() {
    for family in Family::ALL {
        let bed = Bed::new("learning = false");
        let questions = bed.questions(family);
        let (ip, mac) = (bed.peer.guest_address(family).to_string(), bed.peer.guest_mac().to_string());
        let remote = bed.underlay.host(1).address(Family::V4).to_string();
        bed.vtep.expect(&["neighbor", "add", &ip, &mac]);
        assert_eq!((bed.asks(family), bed.suppressed()), (1, 0));
        let question = question(stranger(1), 1, bed.peer.guest_address(family));
        let digits = question.iter().map(|byte| format!("{byte:02x}")).collect::<Vec<_>>().join(" ");
        let explained = || bed.vtep.expect(&["explain", &digits]);
        assert!(!explained().contains("answered here"), "{}", explained());
        bed.vtep.expect(&["fdb", "add", &mac, "remote", &remote]);
        assert!(explained().contains("answered here with 060000000001"), "{}", explained());
        assert_eq!((bed.asks(family), bed.suppressed()), (1, 1));
        bed.vtep.expect(&["neighbor", "del", &ip]);
        assert_eq!(bed.asks(family), 1);
        questions.expect(2);
        // The first try may have come too close behind the question before.
        let suppressed = bed.suppressed();
        assert!((1..=2).contains(&suppressed), "{suppressed}");
        bed.vtep.expect(&["neighbor", "add", &ip, &mac]);
        assert_eq!(neighbor(&bed.vtep, bed.peer.guest_address(family)), Some(row(bed.peer.guest_mac(), "static")));
        assert_eq!((bed.asks(family), bed.suppressed()), (1, suppressed + 1));
        questions.expect(2);
    }
}

#[test]
fn without_the_key_nothing_is_answered() {
    let underlay = Underlay::new(2);
    let peers = kernel_peers(&underlay, Family::V4);
    let vtep = start(&underlay, Family::V4, &flood_to_all(&underlay, Family::V4));
    add_guest_addresses(&underlay);
    let ours = &underlay.host(0).namespace;
    for _ in 0..3 {
        ours.ip(&format!("neigh flush dev {TAP}"));
        assert_eq!(ping(ours, peers[0].guest_address(Family::V4), 1).received, 1);
    }
    assert_eq!(vtep.counter("suppressed"), 0);
    assert_eq!(vtep.show("neighbors").as_array().map(Vec::len), Some(0));
}

/// The configuration can be changed while it runs, and rows that are static stay.
#[test]
fn the_key_is_heeded_on_reload() {
    let bed = Bed::new("");
    assert_eq!((bed.asks(Family::V4), bed.suppressed()), (1, 0));
    assert_eq!((bed.asks(Family::V4), bed.suppressed()), (1, 1));
    let lines = flood_to_all(&bed.underlay, Family::V4);
    let with = |more: &str| crate::bed::one_segment(bed.underlay.host(0), Family::V4, &format!("{lines}\n{more}"));
    let questions = bed.questions(Family::V4);
    bed.vtep.reload(&with("suppress = false"));
    wait_until("questions go out", || bed.asks(Family::V4) == 1 && questions.count() > 0);
    let suppressed = bed.suppressed();
    assert_eq!((bed.asks(Family::V4), bed.suppressed()), (1, suppressed));
    bed.vtep.reload(&with("suppress = true"));
    wait_until("questions are answered", || bed.asks(Family::V4) == 1 && bed.suppressed() > suppressed);
}

/// The guest is asked itself: that is how a host finds out that another one is gone.
#[test]
fn a_question_to_one_station_goes_on() {
    let bed = Bed::new("");
    for family in Family::ALL {
        assert_eq!(bed.asks(family), 1);
        let suppressed = bed.suppressed();
        let (from, to) = ((tap_mac(&bed.underlay), guest_address(1, family)), bed.peer.guest_mac());
        let frame = match (from.1, bed.peer.guest_address(family)) {
            (IpAddr::V4(ip), IpAddr::V4(target)) => Arp::request((from.0, ip), target).frame(to),
            (IpAddr::V6(ip), IpAddr::V6(target)) => Nd::solicitation((from.0, ip), target).frame(to, target),
            _ => unreachable!("one family"),
        };
        let target = bed.peer.guest_address(family);
        let arriving = bed.arriving(move |frame| frame[0] & 1 == 0 && is_question_for(frame, target));
        let answers = Sniffer::new(bed.ours(), TAP, Direction::Incoming, move |frame| {
            is_arp_reply_of(frame, target) || is_advertisement_of(frame, target).is_some()
        });
        bed.sender().send(&frame);
        arriving.expect(1);
        answers.expect(1);
        assert_eq!(bed.suppressed(), suppressed);
    }
}

/// A probe for the guest's address, though we know who has it: the guest itself defends it.
#[test]
fn duplicate_detection_works_across_the_overlay() {
    let bed = Bed::new("");
    let (v4, v6) = (bed.peer.guest_address(Family::V4), bed.peer.guest_address(Family::V6));
    for family in Family::ALL {
        assert_eq!([bed.asks(family), bed.asks(family)], [1, 1]);
    }
    let (IpAddr::V4(target), suppressed) = (v4, bed.suppressed()) else { unreachable!("IPv4") };
    assert_eq!(suppressed, 2);
    let probe = Arp::request((stranger(1), [0; 4].into()), target).frame(MacAddr::BROADCAST);
    let arriving = bed.arriving(move |frame| is_question_for(frame, v4));
    let defence = Sniffer::new(bed.ours(), TAP, Direction::Incoming, move |frame| is_arp_reply_of(frame, v4));
    // Not held either: RFC 5227 §2.1.1 has a host probe three times.
    bed.sender().send_all((0..3).map(|_| probe.clone()));
    arriving.expect(3);
    defence.expect(3);

    // The kernel's own detection, for an address that the guest has.
    for setting in ["all", TAP] {
        bed.ours().set_sysctl(&format!("net/ipv6/conf/{setting}/accept_dad"), "1");
    }
    bed.ours().ip(&format!("address add {v6}/64 dev {TAP}"));
    wait_until("the address is found to be a duplicate", || {
        bed.ours().ip(&format!("-6 address show dev {TAP}")).contains("dadfailed")
    });
    assert_eq!((bed.suppressed(), bed.vtep.drops()), (suppressed, 0));
}

/// What a host tells of itself goes to everyone, each time.
#[test]
fn announcements_go_on() {
    let bed = Bed::new("");
    let arriving = bed.arriving(|frame| frame[12..14] == [0x08, 0x06] && frame[6..12] == stranger(1).octets());
    let own = (stranger(1), [10, 50, 0, 77].into());
    let announcement = Arp::request(own, own.1).frame(MacAddr::BROADCAST);
    let gratuitous = Arp::reply(own, own).frame(MacAddr::BROADCAST);
    let before = Counts::of(&bed.vtep);
    bed.sender()
        .send_all((0..50).map(|number| if number % 2 == 0 { announcement.clone() } else { gratuitous.clone() }));
    arriving.expect(50);
    let now = Counts::of(&bed.vtep);
    assert!(now.sent >= before.sent + 50);
    assert_eq!((now.suppressed, now.drops), (before.suppressed, before.drops));
}

/// Many ask for one that nobody has: the first question goes out, and then one in each half second.
#[test]
fn a_question_that_nobody_answers_is_flooded_now_and_then() {
    for family in Family::ALL {
        let (underlay, peer, vtep) = with_hand_peer("");
        let target = guest_address(99, family);
        let before = Counts::of(&vtep);
        let start = Instant::now();
        let frames = (0..200).map(|number| question(stranger(number), number as u8, target));
        FrameSender::new(&underlay.host(0).namespace, TAP).send_all(frames);
        wait_until("all are dealt with", || Counts::of(&vtep).total() >= before.total() + 200);
        let now = Counts::of(&vtep);
        let flooded = now.sent - before.sent;
        assert_eq!((flooded + now.suppressed - before.suppressed, now.drops.len()), (200, 0));
        let most = 1 + start.elapsed().as_millis() as u64 / 500;
        assert!((1..=most).contains(&flooded), "{flooded} of at most {most}");
        for _ in 0..flooded {
            assert!(is_question_for(&peer.receive()[8..], target));
        }
        assert_eq!(vtep.show("remotes")[0]["tx_packets"], flooded);
    }
}

/// A question of a station for an address, to all that may have it.
fn question(mac: MacAddr, number: u8, target: IpAddr) -> Vec<u8> {
    match target {
        IpAddr::V4(target) => Arp::request((mac, [10, 50, 1, number].into()), target).frame(MacAddr::BROADCAST),
        IpAddr::V6(target) => {
            let ip = Ipv6Addr::new(0xfd00, 0x50, 0, 0, 0, 0, 1, number.into());
            Nd::solicitation((mac, ip), target).frame_to_group()
        }
    }
}

/// R as the guest says it, S set and O clear: what a proxy says is not the last word (RFC 4861 §7.2.8).
#[test]
fn advertisements_have_the_flags_of_a_proxy() {
    for is_router in [false, true] {
        let bed = Bed::new("");
        bed.peer.guest.set_sysctl("net/ipv6/conf/all/forwarding", if is_router { "1" } else { "0" });
        let IpAddr::V6(target) = bed.peer.guest_address(Family::V6) else { unreachable!("IPv6") };
        let answers = Sniffer::new(bed.ours(), TAP, Direction::Incoming, move |frame| {
            is_advertisement_of(frame, target.into()).is_some()
        });
        assert_eq!((bed.asks(Family::V6), bed.suppressed()), (1, 0));
        answers.expect(1);
        assert_eq!((bed.asks(Family::V6), bed.suppressed()), (1, 1));
        answers.expect(2);
        let flags: Vec<_> =
            answers.frames().iter().filter_map(|frame| is_advertisement_of(frame, target.into())).collect();
        let router = if is_router { 0x80 } else { 0 };
        // The guest's own word overrides, ours does not.
        assert_eq!(flags, [router | 0x40 | 0x20, router | 0x40]);
        assert_eq!(bed.known(Family::V6).contains("router"), is_router, "{}", bed.known(Family::V6));
    }
}

#[test]
fn a_guest_that_changes_its_mac_is_followed() {
    for family in Family::ALL {
        let bed = Bed::new("");
        assert_eq!([bed.asks(family), bed.asks(family)], [1, 1]);
        let guest = &bed.peer.guest;
        guest.set_sysctl(&format!("net/ipv4/conf/{}/arp_notify", KernelVtep::GUEST_DEVICE), "1");
        guest.set_sysctl(&format!("net/ipv6/conf/{}/ndisc_notify", KernelVtep::GUEST_DEVICE), "1");
        guest.ip(&format!("link set {} address {}", KernelVtep::GUEST_DEVICE, stranger(7)));
        let target = bed.peer.guest_address(family);
        wait_until("the guest has said so", || neighbor(&bed.vtep, target) == Some(row(stranger(7), "learned")));
        let suppressed = bed.suppressed();
        assert_eq!((bed.asks(family), bed.suppressed()), (1, suppressed + 1));
        assert!(bed.known(family).contains(&stranger(7).to_string()), "{}", bed.known(family));
    }
}

/// Senders that no host can be: each is dropped under its own name, is not learned from and gets no answer.
#[test]
fn malformed_senders_are_dropped_both_ways() {
    let bed = Bed::new("");
    for family in Family::ALL {
        assert_eq!(bed.asks(family), 1);
    }
    let (IpAddr::V4(v4), IpAddr::V6(v6)) = (bed.peer.guest_address(Family::V4), bed.peer.guest_address(Family::V6))
    else {
        unreachable!("one of each")
    };
    let own = (stranger(1), [10, 50, 0, 77].into());
    let own_v6 = (stranger(1), Ipv6Addr::new(0xfd00, 0x50, 0, 0, 0, 0, 0, 0x77));
    let from = |mac: MacAddr, ip: [u8; 4]| Arp::request((mac, ip.into()), v4).from(own.0).frame(MacAddr::BROADCAST);
    let frames = vec![
        from(MacAddr::BROADCAST, [10, 50, 0, 77]),
        from(MacAddr::ZERO, [10, 50, 0, 77]),
        from("01:00:5e:00:00:01".parse().unwrap(), [10, 50, 0, 77]),
        from(own.0, [255; 4]),
        from(own.0, [224, 0, 0, 1]),
        Arp::reply((own.0, [0; 4].into()), own).frame(MacAddr::BROADCAST),
        // A length of MAC addresses that Ethernet does not have.
        Arp::request(own, v4).with(4, 8).frame(MacAddr::BROADCAST),
        Nd::solicitation((MacAddr::BROADCAST, own_v6.1), v6).from(own.0).frame_to_group(),
        Nd::solicitation((own.0, "ff02::1".parse().unwrap()), v6).frame_to_group(),
        Nd::solicitation(own_v6, v6).with_hop_limit(254).frame_to_group(),
        Nd::solicitation(own_v6, v6).with_code(1).frame_to_group(),
        Nd::solicitation(own_v6, v6).with_option_length(0).frame_to_group(),
        Nd::solicitation(own_v6, v6).with_wrong_checksum().frame_to_group(),
        Nd::solicitation(own_v6, "ff02::1:ff00:2".parse().unwrap()).frame_to_group(),
    ];
    let count = frames.len() as u64;
    let rows = bed.vtep.show("neighbors");
    let arriving = bed.arriving(|frame| frame[6..12] == stranger(1).octets());
    let before = Counts::of(&bed.vtep);
    bed.sender().send_all(frames);
    // The kernel says something by itself meanwhile, which is sent.
    let expected = before.and_dropped("invalid_neighbor_message", count).drops;
    wait_until("they are dropped", || Counts::of(&bed.vtep).drops == expected);
    stays("nothing arrives", MOMENT, || arriving.count() == 0);
    assert_eq!(bed.vtep.show("neighbors"), rows);
    // Whole ones of the same station are answered.
    let suppressed = bed.suppressed();
    bed.sender().send(&question(own.0, 77, v4.into()));
    bed.sender().send(&question(own.0, 77, v6.into()));
    wait_until("they are answered", || bed.suppressed() == suppressed + 2);
}

/// Our endpoint, suppressing, and a peer made by hand.
fn with_hand_peer(lines: &str) -> (Underlay, HandPeer, TapVtep) {
    let underlay = Underlay::new(2);
    let peer = HandPeer::new(&underlay, 1, Family::V4);
    let lines = format!("{}\nsuppress = true\n{lines}", flood_to_all(&underlay, Family::V4));
    let vtep = start(&underlay, Family::V4, &lines);
    (underlay, peer, vtep)
}

/// What station `number` says of itself.
fn told(number: u32) -> Vec<u8> {
    let ip = [10, 50, 1, number as u8].into();
    Arp::request((stranger(number), ip), ip).frame(MacAddr::BROADCAST)
}

#[test]
fn malformed_senders_from_a_tunnel_are_dropped() {
    let (underlay, peer, vtep) = with_hand_peer("");
    let delivered =
        Sniffer::new(&underlay.host(0).namespace, TAP, Direction::Incoming, |frame| frame[12..14] == [0x08, 0x06]);
    let before = Counts::of(&vtep);
    let ip = [10, 50, 1, 1].into();
    let senders = [MacAddr::BROADCAST, MacAddr::ZERO, "01:00:5e:00:00:01".parse().unwrap()];
    for sender in senders {
        peer.send(&Arp::request((sender, ip), ip).from(stranger(1)).frame(MacAddr::BROADCAST));
    }
    before.clone().and_dropped("invalid_neighbor_message", 3).expect(&vtep);
    assert_eq!(vtep.show("neighbors").as_array().map(Vec::len), Some(0));
    peer.send(&told(1));
    before.and_dropped("invalid_neighbor_message", 3).and_delivered(1).expect(&vtep);
    delivered.expect(1);
    assert_eq!(neighbor(&vtep, [10, 50, 1, 1].into()), Some(row(stranger(1), "learned")));
}

#[test]
fn learned_neighbours_are_bounded() {
    let (_underlay, peer, vtep) = with_hand_peer("max_entries = 10");
    let before = Counts::of(&vtep);
    for number in 0..200 {
        peer.send(&told(number));
    }
    before.and_delivered(200).expect(&vtep);
    assert_eq!(vtep.show("neighbors").as_array().map(Vec::len), Some(40));
}

#[test]
fn learned_neighbours_age_and_static_ones_stay() {
    let (underlay, peer, vtep) = with_hand_peer("ageing = \"2s\"");
    vtep.expect(&["neighbor", "add", "10.50.1.9", &stranger(9).to_string()]);
    peer.send(&told(1));
    expect_at(&vtep, stranger(1), &peer.address());
    wait_until("it is learned", || neighbor(&vtep, [10, 50, 1, 1].into()).is_some());
    wait_until("it ages", || neighbor(&vtep, [10, 50, 1, 1].into()).is_none());
    assert_eq!(neighbor(&vtep, [10, 50, 1, 9].into()), Some(row(stranger(9), "static")));
    // What is said on the TAP is learned, too.
    FrameSender::new(&underlay.host(0).namespace, TAP).send(&told(2));
    wait_until("it is learned", || neighbor(&vtep, [10, 50, 1, 2].into()) == Some(row(stranger(2), "learned")));
}

/// Two endpoints of ours: each asks, and each is answered; nothing else depends on who answers.
#[test]
fn both_ends_may_suppress() {
    let underlay = Underlay::new(2);
    let both = crate::bed::start_two(&underlay, Family::V4, "suppress = true");
    for (index, vtep) in both.iter().enumerate() {
        let ours = &underlay.host(index).namespace;
        for family in Family::ALL {
            let suppressed = vtep.counter("suppressed");
            ours.ip(&format!("neigh flush dev {TAP}"));
            assert_eq!(ping(ours, guest_address(2 - index as u8, family), 1).received, 1);
            assert_eq!(vtep.counter("suppressed"), suppressed + 1, "{family:?}");
        }
        assert_eq!(vtep.drops(), 0);
    }
    shown_by_vxlan(Feature::Suppression, With::Ours, Family::V4);
}
