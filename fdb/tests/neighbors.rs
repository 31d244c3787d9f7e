//! The neighbour table: against a map, and as a proxy for ARP and Neighbor Discovery.

use std::{
    collections::BTreeMap,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    time::Duration,
};

use ether_wire::{
    EthernetHeader, Ipv6Header,
    arp::ArpPacket,
    nd::{self, NeighborAdvertisement, NeighborSolicitation},
};
use fdb::{
    Answer, LearnNeighbor, Neighbor, NeighborError, NeighborState, NeighborTable, NotLearnedNeighbor, Origin,
    PassReason, ProxyError, SegmentId,
};
use overlay_types::MacAddr;
use proptest::prelude::*;

const HOLD: Duration = Duration::from_millis(500);

fn mac(number: u8) -> MacAddr {
    MacAddr::new([2, 0, 0, 0, 0, number])
}

fn v4(number: u8) -> Ipv4Addr {
    Ipv4Addr::new(10, 0, 0, number)
}

fn v6(number: u8) -> Ipv6Addr {
    Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, u16::from(number))
}

fn ip(number: u8) -> IpAddr {
    if number.is_multiple_of(2) { v4(number).into() } else { v6(number).into() }
}

fn segment(number: u32) -> SegmentId {
    SegmentId::new(number).unwrap()
}

#[derive(Clone, Debug)]
enum Step {
    Learn { segment: u32, ip: u8, mac: u8, router: Option<bool> },
    Insert { segment: u32, ip: u8, mac: u8, registry: bool },
    Remove { segment: u32, ip: u8 },
    RemoveSegment { segment: u32 },
    Pass { seconds: u64 },
    Age,
}

fn step() -> impl Strategy<Value = Step> {
    let (segment, ip, mac) = (0..3u32, 1..12u8, 1..5u8);
    prop_oneof![
        8 => (segment.clone(), ip.clone(), mac.clone(), any::<Option<bool>>())
            .prop_map(|(segment, ip, mac, router)| Step::Learn { segment, ip, mac, router }),
        3 => (segment.clone(), ip.clone(), mac, any::<bool>())
            .prop_map(|(segment, ip, mac, registry)| Step::Insert { segment, ip, mac, registry }),
        2 => (segment.clone(), ip).prop_map(|(segment, ip)| Step::Remove { segment, ip }),
        1 => segment.prop_map(|segment| Step::RemoveSegment { segment }),
        3 => (0..300u64).prop_map(|seconds| Step::Pass { seconds }),
        1 => Just(Step::Age),
    ]
}

const MAX: u32 = 16;

proptest! {
    #[test]
    fn equals_a_map(secret: [u8; 16], steps in proptest::collection::vec(step(), 0..200)) {
        let table = NeighborTable::new(secret, MAX);
        let mut model: BTreeMap<(u32, u8), (Neighbor, u64)> = BTreeMap::new();
        let mut now = 0u64;
        for step in steps {
            let time = Duration::from_secs(now);
            let learned = model.values().filter(|(row, _)| row.state == NeighborState::Learned).count();
            match step {
                Step::Learn { segment: s, ip: i, mac: m, router } => {
                    let answer = table.learn(segment(s), ip(i), mac(m), router, time);
                    let before = model.get(&(s, i)).map(|&(row, _)| row);
                    let new = Neighbor {
                        mac: mac(m),
                        state: NeighborState::Learned,
                        router: router.unwrap_or_else(|| before.is_some_and(|row| row.router)),
                    };
                    let full = learned >= 12 || model.len() >= MAX as usize;
                    match before {
                        None if full => {
                            prop_assert_eq!(answer, LearnNeighbor::NotLearned(NotLearnedNeighbor::TableFull));
                        }
                        None => {
                            prop_assert_eq!(answer, LearnNeighbor::New);
                            model.insert((s, i), (new, now));
                        }
                        Some(row) if row.mac == mac(m) => {
                            prop_assert_eq!(answer, LearnNeighbor::Refreshed);
                            let kept = if row.state == NeighborState::Learned { new } else { row };
                            model.insert((s, i), (kept, now));
                        }
                        Some(row) if row.state != NeighborState::Learned => {
                            prop_assert_eq!(answer, LearnNeighbor::Owned { mac: row.mac });
                        }
                        // How long it is held is the affair of its own test.
                        Some(row) => match answer {
                            LearnNeighbor::NotLearned(NotLearnedNeighbor::Duplicate { .. }) => {}
                            answer => {
                                prop_assert_eq!(answer, LearnNeighbor::Moved { from: row.mac });
                                model.insert((s, i), (new, now));
                            }
                        },
                    }
                }
                Step::Insert { segment: s, ip: i, mac: m, registry } => {
                    let origin = if registry { Origin::Registry } else { Origin::Static };
                    let new = Neighbor::new(mac(m), origin);
                    let answer = table.insert(segment(s), ip(i), new);
                    match model.get(&(s, i)).map(|&(row, _)| row) {
                        Some(row) if row.state > new.state => {
                            prop_assert_eq!(answer, Err(NeighborError::OwnedByHigher { mac: row.mac }));
                        }
                        None if model.len() >= MAX as usize => {
                            prop_assert_eq!(answer, Err(NeighborError::TableFull { max: MAX }));
                        }
                        before => {
                            prop_assert_eq!(answer, Ok(before));
                            model.insert((s, i), (new, now));
                        }
                    }
                }
                Step::Remove { segment: s, ip: i } => {
                    let expected = model.remove(&(s, i)).map(|(row, _)| row);
                    prop_assert_eq!(table.remove(segment(s), ip(i)), expected);
                }
                Step::RemoveSegment { segment: s } => {
                    table.remove_segment(segment(s));
                    model.retain(|&(other, _), _| other != s);
                }
                Step::Pass { seconds } => now += seconds,
                Step::Age => {
                    let before = model.len();
                    model.retain(|_, (row, heard)| row.state != NeighborState::Learned || now - *heard < 300);
                    let aged = table.age(time, Duration::from_secs(300), usize::MAX);
                    prop_assert_eq!(aged, before - model.len());
                }
            }
            for s in 0..3 {
                for i in 1..12 {
                    let expected = model.get(&(s, i)).map(|&(row, _)| row);
                    prop_assert_eq!(table.lookup(segment(s), ip(i)), expected);
                }
                prop_assert_eq!(table.len(segment(s)), model.keys().filter(|&&(other, _)| other == s).count());
            }
            let mut rows = Vec::new();
            loop {
                let page = table.page(rows.last().map(|row: &fdb::NeighborRow| (row.segment, row.address)), 3);
                if page.is_empty() {
                    break;
                }
                rows.extend(page);
            }
            let mut expected: Vec<_> =
                model.iter().map(|(&(s, i), &(row, _))| (segment(s), ip(i), row)).collect();
            expected.sort_by_key(|&(segment, address, _)| (segment, address));
            let rows: Vec<_> = rows.into_iter().map(|row| (row.segment, row.address, row.neighbor)).collect();
            prop_assert_eq!(rows, expected);
        }
    }

    #[test]
    fn any_frame_is_answered(bytes: Vec<u8>, kind in 0..3u8) {
        let table = NeighborTable::new([7; 16], MAX);
        table.insert(segment(1), v4(2).into(), Neighbor::new(mac(2), Origin::Static)).unwrap();
        let head: &[u8] = match kind {
            0 => &[],
            1 => &[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 2, 0, 0, 0, 0, 1, 0x08, 0x06, 0, 1, 8, 0, 6, 4],
            _ => &[0x33, 0x33, 0, 0, 0, 1, 2, 0, 0, 0, 0, 1, 0x86, 0xdd, 0x60, 0, 0, 0, 0, 32, 58, 255],
        };
        let frame = [head, &bytes].concat();
        let mut reply = [0; NeighborTable::REPLY_LEN];
        let _ = table.answer(segment(1), &frame, &mut reply, Duration::ZERO, HOLD);
        let _ = table.learn_from_frame(segment(1), &frame, Duration::ZERO);
    }
}

#[test]
fn an_address_of_two_hosts_is_held_and_reported_once() {
    let table = NeighborTable::new([7; 16], MAX);
    let learn =
        |number: u8, second| table.learn(segment(1), ip(2), mac(number % 2 + 1), None, Duration::from_secs(second));
    assert_eq!(learn(0, 0), LearnNeighbor::New);
    for number in 1..6 {
        assert!(matches!(learn(number, u64::from(number)), LearnNeighbor::Moved { .. }));
    }
    let duplicate = |began| LearnNeighbor::NotLearned(NotLearnedNeighbor::Duplicate { began });
    assert_eq!(learn(6, 6), duplicate(true));
    assert_eq!(learn(6, 7), duplicate(false));
    assert_eq!(learn(7, 8), LearnNeighbor::Refreshed);
    assert_eq!(learn(6, 66), LearnNeighbor::Moved { from: mac(2) });
}

#[test]
fn arp_is_answered_from_the_table() {
    let table = NeighborTable::new([7; 16], MAX);
    let blue = segment(1);
    table.insert(blue, v4(2).into(), Neighbor::new(mac(2), Origin::Static)).unwrap();
    let mut reply = [0; NeighborTable::REPLY_LEN];
    let mut answer = |frame: &[u8]| (table.answer(blue, frame, &mut reply, Duration::ZERO, HOLD), reply);

    let question = ArpPacket::request(mac(1), v4(1), v4(2));
    let (answered, reply) = answer(&question.to_frame(MacAddr::BROADCAST));
    assert_eq!(answered, Ok(Answer::Reply { len: ArpPacket::FRAME_LEN }));
    let (ethernet, payload) = EthernetHeader::from_prefix(&reply).unwrap();
    assert_eq!((ethernet.destination(), ethernet.source()), (mac(1), mac(2)));
    let (arp, _) = ArpPacket::decode(payload).unwrap();
    assert_eq!(arp.sender_binding(), Some((v4(2), mac(2))));
    assert_eq!((arp.target_ip(), arp.target_mac()), (v4(1), mac(1)));

    let pass = |reason| Ok(Answer::PassOn(reason));
    assert_eq!(answer(&question.to_frame(mac(2))).0, pass(PassReason::Unicast));
    let probe = ArpPacket::request(mac(1), Ipv4Addr::UNSPECIFIED, v4(2));
    assert_eq!(answer(&probe.to_frame(MacAddr::BROADCAST)).0, pass(PassReason::Probe));
    let announcement = ArpPacket::request(mac(1), v4(2), v4(2));
    assert_eq!(answer(&announcement.to_frame(MacAddr::BROADCAST)).0, pass(PassReason::Announcement));
    let response = question.answer(mac(2));
    assert_eq!(answer(&response.to_frame(MacAddr::BROADCAST)).0, pass(PassReason::NoQuestion));
    assert_eq!(answer(&[0; 60]).0, pass(PassReason::NoQuestion));

    let mut malformed = question.to_frame(MacAddr::BROADCAST);
    malformed[18] = 8;
    assert!(matches!(answer(&malformed).0, Err(ProxyError::Malformed(_))));
    let short = table.answer(blue, &question.to_frame(MacAddr::BROADCAST), &mut [0; 10], Duration::ZERO, HOLD);
    assert_eq!(short, Err(ProxyError::BufferTooSmall { needed: ArpPacket::FRAME_LEN, available: 10 }));
}

#[test]
fn an_unknown_target_is_flooded_once() {
    let table = NeighborTable::new([7; 16], MAX);
    let mut reply = [0; NeighborTable::REPLY_LEN];
    let mut ask = |asker: u8, target: u8, millis| {
        let frame = ArpPacket::request(mac(asker), v4(asker), v4(target)).to_frame(MacAddr::BROADCAST);
        table.answer(segment(1), &frame, &mut reply, Duration::from_millis(millis), HOLD).unwrap()
    };
    assert_eq!(ask(1, 9, 0), Answer::Flood);
    assert_eq!(ask(1, 9, 1), Answer::Held);
    assert_eq!(ask(2, 9, 499), Answer::Held);
    assert_eq!(ask(2, 8, 499), Answer::Flood);
    assert_eq!(ask(3, 9, 501), Answer::Flood);
    assert_eq!(ask(4, 9, 600), Answer::Held);
}

#[test]
fn neighbor_solicitation_is_answered_from_the_table() {
    let table = NeighborTable::new([7; 16], MAX);
    let blue = segment(1);
    let known = Neighbor { router: true, ..Neighbor::new(mac(2), Origin::Registry) };
    table.insert(blue, v6(2).into(), known).unwrap();
    let mut reply = [0; NeighborTable::REPLY_LEN];
    let group = nd::solicited_node(v6(2));
    let question =
        NeighborSolicitation::new(v6(2)).to_frame((mac(1), v6(1)), (nd::multicast_mac(group), group)).unwrap();
    let answered = table.answer(blue, &question, &mut reply, Duration::ZERO, HOLD);
    assert_eq!(answered, Ok(Answer::Reply { len: nd::FRAME_LEN }));
    let packet = Ipv6Header::decode(&reply[EthernetHeader::LEN..]).unwrap();
    let advertisement = NeighborAdvertisement::decode(&packet).unwrap();
    assert_eq!(advertisement.target_binding(), Some((v6(2), mac(2))));
    let message = advertisement.message;
    assert!(message.is_solicited() && message.is_router() && !message.is_override());
    assert_eq!((packet.header.source(), packet.header.destination()), (v6(2), v6(1)));

    let unicast = NeighborSolicitation::new(v6(2)).to_frame((mac(1), v6(1)), (mac(2), v6(2))).unwrap();
    let passed = table.answer(blue, &unicast, &mut reply, Duration::ZERO, HOLD);
    assert_eq!(passed, Ok(Answer::PassOn(PassReason::Unicast)));
    // A hop limit that is not 255 came from afar.
    let mut malformed = question;
    malformed[EthernetHeader::LEN + 7] = 64;
    let refused = table.answer(blue, &malformed, &mut reply, Duration::ZERO, HOLD);
    assert!(matches!(refused, Err(ProxyError::Malformed(_))));
}

#[test]
fn learned_from_what_may_be_believed() {
    let table = NeighborTable::new([7; 16], MAX);
    let blue = segment(1);
    let learn = |frame: &[u8]| table.learn_from_frame(blue, frame, Duration::ZERO).unwrap();

    let question = ArpPacket::request(mac(1), v4(1), v4(2));
    assert_eq!(learn(&question.to_frame(MacAddr::BROADCAST)), Some(LearnNeighbor::New));
    assert_eq!(learn(&question.answer(mac(2)).to_frame(mac(1))), Some(LearnNeighbor::New));
    assert_eq!(table.lookup(blue, v4(2).into()).map(|row| row.mac), Some(mac(2)));
    let probe = ArpPacket::request(mac(1), Ipv4Addr::UNSPECIFIED, v4(2));
    assert_eq!(learn(&probe.to_frame(MacAddr::BROADCAST)), None);
    let mut foreign = question.to_frame(MacAddr::BROADCAST);
    foreign[11] = 7;
    assert_eq!(learn(&foreign), None);

    let to = (mac(1), v6(1));
    let solicitation = NeighborSolicitation::new(v6(1)).to_frame((mac(3), v6(3)), to).unwrap();
    assert_eq!(learn(&solicitation), Some(LearnNeighbor::New));
    let mut message = NeighborAdvertisement::new(v6(3));
    message.set_router(true);
    // Without O it changes no address, with O it does.
    assert_eq!(learn(&message.to_frame((mac(4), v6(3)), to).unwrap()), None);
    assert_eq!(learn(&message.to_frame((mac(3), v6(3)), to).unwrap()), Some(LearnNeighbor::Refreshed));
    assert!(table.lookup(blue, v6(3).into()).unwrap().router);
    message.set_override(true);
    let moved = learn(&message.to_frame((mac(4), v6(3)), to).unwrap());
    assert_eq!(moved, Some(LearnNeighbor::Moved { from: mac(3) }));
}
