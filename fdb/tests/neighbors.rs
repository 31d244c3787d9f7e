//! The neighbour table: against a map, and as a proxy for ARP and Neighbor Discovery.
//!
//! `PROPTEST_CASES` says how many sequences of up to 200 operations; a million operations are
//!
//! ```text
//! PROPTEST_CASES=10000 cargo test --release -p fdb --test neighbors
//! ```

use std::{
    collections::{BTreeMap, BTreeSet},
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    time::Duration,
};

use ether_wire::{
    EthernetHeader, Ipv6Header,
    arp::ArpPacket,
    nd::{self, NeighborAdvertisement, NeighborSolicitation},
};
use fdb::{
    Answer, LearnNeighbor, Neighbor, NeighborCounters, NeighborError, NeighborOptions, NeighborRow, NeighborState,
    NeighborTable, NotLearnedNeighbor, Origin, PassReason, ProxyError, SegmentId,
};
use overlay_types::MacAddr;
use proptest::prelude::*;
use proptest_state_machine::{ReferenceStateMachine, StateMachineTest, prop_state_machine};

const SEGMENTS: u32 = 3;
/// One more than the largest number of an address.
const IPS: u8 = 12;
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

const MAX: u32 = 16;

/// The rules of a segment: one may have few learned rows, and in one nothing ages.
fn options(number: u32) -> NeighborOptions {
    NeighborOptions {
        max_learned: if number == 1 { 5 } else { u32::MAX },
        ageing: (number != 2).then_some(Duration::from_secs(300)),
    }
}

#[derive(Clone, Debug)]
enum Step {
    Learn { segment: u32, ip: u8, mac: u8, router: Option<bool> },
    LearnInvalid { segment: u32, ip: u8 },
    Insert { segment: u32, ip: u8, mac: u8, registry: bool },
    Remove { segment: u32, ip: u8 },
    RemoveSegment { segment: u32 },
    Ask { segment: u32, asker: u8, target: u8 },
    Pass { millis: u64 },
    Age,
}

/// What the next step is chosen by: the secret, and the rows that may be there.
#[derive(Clone, Debug)]
struct World {
    secret: [u8; 16],
    rows: BTreeSet<(u32, u8)>,
}

impl ReferenceStateMachine for World {
    type State = Self;
    type Transition = Step;

    fn init_state() -> BoxedStrategy<Self> {
        any::<[u8; 16]>().prop_map(|secret| Self { secret, rows: BTreeSet::new() }).boxed()
    }

    fn transitions(world: &Self) -> BoxedStrategy<Step> {
        let (segment, mac) = (0..SEGMENTS, 1..5u8);
        let new = (segment.clone(), 1..IPS);
        let known: Vec<(u32, u8)> = world.rows.iter().copied().collect();
        // As often one that is there.
        let row =
            if known.is_empty() { new.boxed() } else { prop_oneof![proptest::sample::select(known), new].boxed() };
        prop_oneof![
            8 => (row.clone(), mac.clone(), any::<Option<bool>>())
                .prop_map(|((segment, ip), mac, router)| Step::Learn { segment, ip, mac, router }),
            1 => row.clone().prop_map(|(segment, ip)| Step::LearnInvalid { segment, ip }),
            3 => (row.clone(), mac.clone(), any::<bool>())
                .prop_map(|((segment, ip), mac, registry)| Step::Insert { segment, ip, mac, registry }),
            2 => row.clone().prop_map(|(segment, ip)| Step::Remove { segment, ip }),
            1 => segment.prop_map(|segment| Step::RemoveSegment { segment }),
            4 => (row, mac).prop_map(|((segment, target), asker)| Step::Ask { segment, asker, target }),
            3 => prop_oneof![0..1000u64, 0..300_000u64].prop_map(|millis| Step::Pass { millis }),
            1 => Just(Step::Age),
        ]
        .boxed()
    }

    fn apply(mut world: Self, step: &Step) -> Self {
        match *step {
            Step::Learn { segment, ip, .. } | Step::Insert { segment, ip, .. } => {
                world.rows.insert((segment, ip));
            }
            Step::Remove { segment, ip } => {
                world.rows.remove(&(segment, ip));
            }
            Step::RemoveSegment { segment } => world.rows.retain(|&(other, _)| other != segment),
            _ => {}
        }
        world
    }
}

/// The table, and what it should be.
struct Pair {
    table: NeighborTable,
    rows: BTreeMap<(u32, u8), (Neighbor, u64)>,
    counters: [NeighborCounters; SEGMENTS as usize],
    millis: u64,
}

impl Pair {
    fn now(&self) -> Duration {
        Duration::from_millis(self.millis)
    }

    fn learn(&mut self, s: u32, i: u8, m: u8, router: Option<bool>) {
        let answer = self.table.learn(segment(s), ip(i), mac(m), router, self.now());
        let learned = |of: Option<u32>| {
            let rows = self.rows.iter().filter(|((other, _), _)| of.is_none_or(|of| of == *other));
            rows.filter(|(_, (row, _))| row.state == NeighborState::Learned).count()
        };
        let is_full = learned(None) >= 12 || learned(Some(s)) >= options(s).max_learned as usize;
        let before = self.rows.get(&(s, i)).map(|&(row, _)| row);
        let new = Neighbor {
            mac: mac(m),
            state: NeighborState::Learned,
            router: router.unwrap_or_else(|| before.is_some_and(|row| row.router)),
        };
        let (second, counters) = (self.millis / 1000, &mut self.counters[s as usize]);
        match before {
            None if is_full || self.rows.len() >= MAX as usize => {
                assert_eq!(answer, LearnNeighbor::NotLearned(NotLearnedNeighbor::TableFull));
                counters.table_full += 1;
            }
            None => {
                assert_eq!(answer, LearnNeighbor::New);
                counters.learned += 1;
                self.rows.insert((s, i), (new, second));
            }
            Some(row) if row.mac == mac(m) => {
                assert_eq!(answer, LearnNeighbor::Refreshed);
                let kept = if row.state == NeighborState::Learned { new } else { row };
                self.rows.insert((s, i), (kept, second));
            }
            Some(row) if row.state != NeighborState::Learned => {
                assert_eq!(answer, LearnNeighbor::Owned { mac: row.mac });
                counters.owned += 1;
            }
            // How long it is held is the affair of its own test.
            Some(row) => match answer {
                LearnNeighbor::NotLearned(NotLearnedNeighbor::Duplicate { began }) => {
                    counters.duplicate += 1;
                    counters.duplicates_began += u64::from(began);
                }
                answer => {
                    assert_eq!(answer, LearnNeighbor::Moved { from: row.mac });
                    counters.moved += 1;
                    self.rows.insert((s, i), (new, second));
                }
            },
        }
    }

    fn insert(&mut self, s: u32, i: u8, m: u8, registry: bool) {
        let new = Neighbor::new(mac(m), if registry { Origin::Registry } else { Origin::Static });
        let answer = self.table.insert(segment(s), ip(i), new);
        match self.rows.get(&(s, i)).map(|&(row, _)| row) {
            Some(row) if row.state > new.state => {
                assert_eq!(answer, Err(NeighborError::OwnedByHigher { mac: row.mac }));
            }
            None if self.rows.len() >= MAX as usize => {
                assert_eq!(answer, Err(NeighborError::TableFull { max: MAX }));
            }
            before => {
                assert_eq!(answer, Ok(before));
                self.rows.insert((s, i), (new, self.millis / 1000));
            }
        }
    }

    /// A question for an address, by ARP or by Neighbor Solicitation.
    fn ask(&mut self, s: u32, asker: u8, target: u8) {
        let frame: Vec<u8> = match ip(target) {
            IpAddr::V4(address) => ArpPacket::request(mac(asker), v4(100), address).to_frame(MacAddr::BROADCAST).into(),
            IpAddr::V6(address) => {
                let group = nd::solicited_node(address);
                let to = (nd::multicast_mac(group), group);
                NeighborSolicitation::new(address).to_frame((mac(asker), v6(100)), to).unwrap().into()
            }
        };
        let mut reply = [0; NeighborTable::REPLY_LEN];
        let answer = self.table.answer(segment(s), &frame, &mut reply, self.now(), HOLD, |_| true).unwrap();
        let counters = &mut self.counters[s as usize];
        match self.rows.get(&(s, target)).filter(|(row, _)| row.mac != mac(asker)) {
            Some((row, _)) => {
                assert!(matches!(answer, Answer::Reply { .. }));
                assert_eq!((&reply[..6], &reply[6..12]), (&mac(asker).octets()[..], &row.mac.octets()[..]));
                counters.answered += 1;
            }
            // When it is held is the affair of its own test.
            None if answer == Answer::Held => counters.held += 1,
            None => {
                assert_eq!(answer, Answer::Flood);
                counters.flooded += 1;
            }
        }
    }

    fn age(&mut self) {
        let second = self.millis / 1000;
        let is_old = |s: u32, row: &Neighbor, heard: u64| {
            let old = |ageing: Duration| second - heard >= ageing.as_secs();
            row.state == NeighborState::Learned && options(s).ageing.is_some_and(old)
        };
        for (&(s, _), &(row, heard)) in &self.rows {
            self.counters[s as usize].aged += u64::from(is_old(s, &row, heard));
        }
        let before = self.rows.len();
        self.rows.retain(|&(s, _), (row, heard)| !is_old(s, row, *heard));
        let aged = self.table.age(self.now(), usize::MAX);
        assert_eq!(aged, before - self.rows.len());
    }

    fn compare(&self) {
        for s in 0..SEGMENTS {
            for i in 1..IPS {
                let expected = self.rows.get(&(s, i)).map(|&(row, _)| row);
                assert_eq!(self.table.lookup(segment(s), ip(i)), expected);
            }
            assert_eq!(self.table.len(segment(s)), self.rows.keys().filter(|&&(other, _)| other == s).count());
            assert_eq!(self.table.counters(segment(s)), self.counters[s as usize]);
        }
        let mut rows: Vec<NeighborRow> = Vec::new();
        loop {
            let page = self.table.page(rows.last().map(|row| (row.segment, row.address)), 3, self.now());
            if page.is_empty() {
                break;
            }
            rows.extend(page);
        }
        let row = |(&(s, i), &(neighbor, heard)): (&(u32, u8), &(Neighbor, u64))| NeighborRow {
            segment: segment(s),
            address: ip(i),
            neighbor,
            age: (neighbor.state == NeighborState::Learned).then(|| Duration::from_secs(self.millis / 1000 - heard)),
        };
        let mut expected: Vec<NeighborRow> = self.rows.iter().map(row).collect();
        expected.sort_by_key(|row| (row.segment, row.address));
        assert_eq!(rows, expected);
    }
}

impl StateMachineTest for Pair {
    type SystemUnderTest = Self;
    type Reference = World;

    fn init_test(world: &World) -> Self {
        let table = NeighborTable::new(world.secret, MAX);
        for s in 0..SEGMENTS {
            table.add_segment(segment(s), options(s));
        }
        Self { table, rows: BTreeMap::new(), counters: Default::default(), millis: 0 }
    }

    fn apply(mut pair: Self, _: &World, step: Step) -> Self {
        match step {
            Step::Learn { segment, ip, mac, router } => pair.learn(segment, ip, mac, router),
            Step::LearnInvalid { segment: s, ip: i } => {
                let answer = pair.table.learn(segment(s), ip(i), MacAddr::BROADCAST, None, pair.now());
                assert_eq!(answer, LearnNeighbor::NotLearned(NotLearnedNeighbor::InvalidAddress));
                pair.counters[s as usize].invalid_address += 1;
            }
            Step::Insert { segment, ip, mac, registry } => pair.insert(segment, ip, mac, registry),
            Step::Remove { segment: s, ip: i } => {
                let expected = pair.rows.remove(&(s, i)).map(|(row, _)| row);
                assert_eq!(pair.table.remove(segment(s), ip(i)), expected);
            }
            Step::RemoveSegment { segment: s } => {
                pair.table.remove_segment(segment(s));
                pair.table.add_segment(segment(s), options(s));
                pair.rows.retain(|&(other, _), _| other != s);
                pair.counters[s as usize] = NeighborCounters::default();
            }
            Step::Ask { segment, asker, target } => pair.ask(segment, asker, target),
            Step::Pass { millis } => pair.millis += millis,
            Step::Age => pair.age(),
        }
        pair
    }

    fn check_invariants(pair: &Self, _: &World) {
        pair.compare();
    }
}

/// Some seconds' worth of cases, unless `PROPTEST_CASES` says how many.
fn config() -> ProptestConfig {
    let config = ProptestConfig::default();
    let cases = if std::env::var_os("PROPTEST_CASES").is_some() { config.cases } else { 64 };
    ProptestConfig { cases, ..config }
}

prop_state_machine! {
    #![proptest_config(config())]

    #[test]
    fn equals_a_map(sequential 1..200 => Pair);
}

proptest! {
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
        let _ = table.answer(segment(1), &frame, &mut reply, Duration::ZERO, HOLD, |_| true);
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
    let mut answer = |frame: &[u8]| (table.answer(blue, frame, &mut reply, Duration::ZERO, HOLD, |_| true), reply);

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

    let mut from_a_group = question.to_frame(MacAddr::BROADCAST);
    from_a_group[6] |= 1;
    assert_eq!(answer(&from_a_group).0, pass(PassReason::InvalidSource));

    let mut malformed = question.to_frame(MacAddr::BROADCAST);
    malformed[18] = 8;
    assert!(matches!(answer(&malformed).0, Err(ProxyError::Malformed(_))));
    malformed = question.to_frame(MacAddr::BROADCAST);
    // The sender's address is everyone's.
    malformed[28..32].fill(0xff);
    assert_eq!(answer(&malformed).0, Err(ProxyError::InvalidSender));
    let short =
        table.answer(blue, &question.to_frame(MacAddr::BROADCAST), &mut [0; 10], Duration::ZERO, HOLD, |_| true);
    assert_eq!(short, Err(ProxyError::BufferTooSmall { needed: ArpPacket::FRAME_LEN, available: 10 }));
}

#[test]
fn an_unknown_target_is_flooded_once() {
    let table = NeighborTable::new([7; 16], MAX);
    let mut reply = [0; NeighborTable::REPLY_LEN];
    let mut ask = |asker: u8, target: u8, millis| {
        let frame = ArpPacket::request(mac(asker), v4(asker), v4(target)).to_frame(MacAddr::BROADCAST);
        table.answer(segment(1), &frame, &mut reply, Duration::from_millis(millis), HOLD, |_| true).unwrap()
    };
    assert_eq!(ask(1, 9, 0), Answer::Flood);
    assert_eq!(ask(1, 9, 1), Answer::Held);
    assert_eq!(ask(2, 9, 499), Answer::Held);
    assert_eq!(ask(2, 8, 499), Answer::Flood);
    assert_eq!(ask(3, 9, 501), Answer::Flood);
    assert_eq!(ask(4, 9, 600), Answer::Held);
    // A thread whose time is a little behind.
    assert_eq!(ask(5, 9, 499), Answer::Held);
}

#[test]
fn a_target_that_no_frame_reaches_is_unknown() {
    let table = NeighborTable::new([7; 16], MAX);
    table.insert(segment(1), v4(2).into(), Neighbor::new(mac(2), Origin::Static)).unwrap();
    let question = ArpPacket::request(mac(1), v4(1), v4(2)).to_frame(MacAddr::BROADCAST);
    let mut reply = [0; NeighborTable::REPLY_LEN];
    let mut ask = |reachable: bool| {
        let is_reachable = |known: MacAddr| {
            assert_eq!(known, mac(2));
            reachable
        };
        table.answer(segment(1), &question, &mut reply, Duration::ZERO, HOLD, is_reachable).unwrap()
    };
    assert_eq!([ask(false), ask(false)], [Answer::Flood, Answer::Held]);
    assert_eq!(ask(true), Answer::Reply { len: ArpPacket::FRAME_LEN });
}

/// Senders that no host can be: nothing is learned from them, and nobody answers them.
#[test]
fn a_sender_that_no_host_can_be_is_refused() {
    let table = NeighborTable::new([7; 16], MAX);
    table.insert(segment(1), v4(2).into(), Neighbor::new(mac(2), Origin::Static)).unwrap();
    table.insert(segment(1), v6(2).into(), Neighbor::new(mac(2), Origin::Static)).unwrap();
    let arp = |sender_mac: MacAddr, sender_ip: Ipv4Addr| {
        let mut frame = ArpPacket::request(sender_mac, sender_ip, v4(2)).to_frame(MacAddr::BROADCAST).to_vec();
        frame[6..12].copy_from_slice(&mac(1).octets());
        frame
    };
    let mut reply_from_nobody = ArpPacket::request(mac(1), v4(2), v4(1)).answer(mac(2)).to_frame(mac(1)).to_vec();
    reply_from_nobody[28..32].fill(0);
    let group = nd::solicited_node(v6(2));
    let to = (nd::multicast_mac(group), group);
    let solicitation = |source: MacAddr, ip: Ipv6Addr| {
        let mut frame = NeighborSolicitation::new(v6(2)).to_frame((source, ip), to).unwrap().to_vec();
        frame[6..12].copy_from_slice(&mac(1).octets());
        frame
    };
    let advertisement = NeighborAdvertisement::new(v6(2)).to_frame((MacAddr::BROADCAST, v6(2)), (mac(1), v6(1)));
    let refused = [
        arp(MacAddr::BROADCAST, v4(1)),
        arp(MacAddr::ZERO, v4(1)),
        arp(MacAddr::ZERO, Ipv4Addr::UNSPECIFIED),
        arp(mac(1), Ipv4Addr::BROADCAST),
        arp(mac(1), Ipv4Addr::new(224, 0, 0, 1)),
        reply_from_nobody,
        solicitation(mac(1), nd::ALL_NODES),
        solicitation(MacAddr::BROADCAST, v6(1)),
        solicitation(MacAddr::ZERO, v6(1)),
        advertisement.unwrap().to_vec(),
    ];
    let mut reply = [0; NeighborTable::REPLY_LEN];
    for frame in &refused {
        let answer = table.answer(segment(1), frame, &mut reply, Duration::ZERO, HOLD, |_| true);
        assert_eq!(answer, Err(ProxyError::InvalidSender), "{frame:02x?}");
        assert_eq!(table.learn_from_frame(segment(1), frame, Duration::ZERO), Err(ProxyError::InvalidSender));
    }
    assert_eq!((table.len(segment(1)), reply), (2, [0; NeighborTable::REPLY_LEN]));
    assert_eq!(table.counters(segment(1)).malformed, 2 * refused.len() as u64);
}

#[test]
fn a_neighbour_heard_of_later_than_now_is_young() {
    let table = NeighborTable::new([7; 16], MAX);
    assert_eq!(table.learn(segment(1), ip(2), mac(1), None, Duration::from_secs(101)), LearnNeighbor::New);
    let now = Duration::from_secs(100);
    assert_eq!(table.age(now, usize::MAX), 0);
    assert_eq!(table.page(None, 1, now)[0].age, Some(Duration::ZERO));
    assert_eq!(table.age(Duration::from_secs(401), usize::MAX), 1);
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
    let answered = table.answer(blue, &question, &mut reply, Duration::ZERO, HOLD, |_| true);
    assert_eq!(answered, Ok(Answer::Reply { len: nd::FRAME_LEN }));
    let packet = Ipv6Header::decode(&reply[EthernetHeader::LEN..]).unwrap();
    let advertisement = NeighborAdvertisement::decode(&packet).unwrap();
    assert_eq!(advertisement.target_binding(), Some((v6(2), mac(2))));
    let message = advertisement.message;
    assert!(message.is_solicited() && message.is_router() && !message.is_override());
    assert_eq!((packet.header.source(), packet.header.destination()), (v6(2), v6(1)));

    let unicast = NeighborSolicitation::new(v6(2)).to_frame((mac(1), v6(1)), (mac(2), v6(2))).unwrap();
    let passed = table.answer(blue, &unicast, &mut reply, Duration::ZERO, HOLD, |_| true);
    assert_eq!(passed, Ok(Answer::PassOn(PassReason::Unicast)));
    // A hop limit that is not 255 came from afar.
    let mut malformed = question;
    malformed[EthernetHeader::LEN + 7] = 64;
    let refused = table.answer(blue, &malformed, &mut reply, Duration::ZERO, HOLD, |_| true);
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
