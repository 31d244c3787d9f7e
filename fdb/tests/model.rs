//! The forwarding table against a map, under random operations with time.
//!
//! `PROPTEST_CASES` says how many sequences of up to 200 operations; a million operations are
//!
//! ```text
//! PROPTEST_CASES=10000 cargo test --release -p fdb --test model
//! ```

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use fdb::{
    Claim, Cursor, Destination, EqualCostId, Flush, Forward, ForwardingTable, InsertError, Learn, NotLearned,
    NotRestored, Origin, Refused, RemoteId, RestoreLimits, Row, RowState, SegmentCounters, SegmentId, SegmentOptions,
    TableOptions, Tables,
};
use overlay_types::MacAddr;
use proptest::prelude::*;
use proptest_state_machine::{ReferenceStateMachine, StateMachineTest, prop_state_machine};

const SEGMENTS: u32 = 3;
const REMOTES: u32 = 4;
const MAX_LEARNED_IN_ALL: usize = 20;

#[derive(Clone, Debug)]
enum Step {
    AddSegment {
        segment: u32,
        max_learned: u32,
        ageing: Option<u64>,
    },
    RemoveSegment {
        segment: u32,
    },
    Learn {
        segment: u32,
        mac: u8,
        remote: u32,
    },
    ForgetLearned {
        segment: u32,
        mac: u8,
    },
    Insert {
        segment: u32,
        mac: u8,
        remote: u32,
        registry: bool,
    },
    Remove {
        segment: u32,
        mac: u8,
    },
    Withdraw {
        segment: u32,
        mac: u8,
        registry: bool,
    },
    Flush {
        segment: Option<u32>,
        remote: Option<u32>,
        learned_only: bool,
    },
    Pass {
        seconds: u64,
    },
    Age {
        budget: usize,
    },
    AgeAll,
    /// The table goes, and another one is made of its snapshot.
    Restart {
        secret: [u8; 16],
    },
}

/// What the next step is chosen by. The table and what it should be are in [`Pair`]: which of several rows gives way is the
/// table's choice, and the model follows it.
#[derive(Clone, Debug)]
struct World {
    secret: [u8; 16],
    segments: BTreeSet<u32>,
}

impl ReferenceStateMachine for World {
    type State = Self;
    type Transition = Step;

    fn init_state() -> BoxedStrategy<Self> {
        any::<[u8; 16]>().prop_map(|secret| Self { secret, segments: BTreeSet::from([0, 1]) }).boxed()
    }

    fn transitions(world: &Self) -> BoxedStrategy<Step> {
        let any_segment = 0..SEGMENTS;
        let known: Vec<u32> = world.segments.iter().copied().collect();
        // Mostly one that is there.
        let segment = if known.is_empty() {
            any_segment.clone().boxed()
        } else {
            prop_oneof![15 => proptest::sample::select(known), 1 => any_segment.clone()].boxed()
        };
        let (mac, remote) = (0..24u8, 0..REMOTES);
        prop_oneof![
            2 => (any_segment, prop_oneof![Just(0u32), Just(3), Just(8), Just(100)], proptest::option::of(1..40u64))
                .prop_map(|(segment, max_learned, ageing)| Step::AddSegment { segment, max_learned, ageing }),
            1 => segment.clone().prop_map(|segment| Step::RemoveSegment { segment }),
            30 => (segment.clone(), mac.clone(), remote.clone())
                .prop_map(|(segment, mac, remote)| Step::Learn { segment, mac, remote }),
            3 => (segment.clone(), mac.clone()).prop_map(|(segment, mac)| Step::ForgetLearned { segment, mac }),
            6 => (segment.clone(), mac.clone(), 0..REMOTES + 2, any::<bool>())
                .prop_map(|(segment, mac, remote, registry)| Step::Insert { segment, mac, remote, registry }),
            3 => (segment.clone(), mac.clone()).prop_map(|(segment, mac)| Step::Remove { segment, mac }),
            2 => (segment.clone(), mac, any::<bool>())
                .prop_map(|(segment, mac, registry)| Step::Withdraw { segment, mac, registry }),
            3 => (proptest::option::of(segment), proptest::option::of(remote), any::<bool>())
                .prop_map(|(segment, remote, learned_only)| Step::Flush { segment, remote, learned_only }),
            8 => (0..15u64).prop_map(|seconds| Step::Pass { seconds }),
            4 => (0..64usize).prop_map(|budget| Step::Age { budget }),
            2 => Just(Step::AgeAll),
            1 => any::<[u8; 16]>().prop_map(|secret| Step::Restart { secret }),
        ]
        .boxed()
    }

    fn apply(mut world: Self, step: &Step) -> Self {
        match step {
            Step::AddSegment { segment, .. } => world.segments.insert(*segment),
            Step::RemoveSegment { segment } => world.segments.remove(segment),
            _ => false,
        };
        world
    }
}

#[derive(Clone, Copy, Debug, PartialEq)]
struct Entry {
    remote: u32,
    state: RowState,
    heard: u64,
}

#[derive(Debug, Default)]
struct Segment {
    max_learned: u32,
    ageing: Option<u64>,
    rows: BTreeMap<u8, Entry>,
    counters: SegmentCounters,
}

impl Segment {
    fn learned(&self) -> usize {
        self.rows.values().filter(|row| row.state == RowState::Learned).count()
    }

    fn learned_from(&self, remote: u32) -> usize {
        self.rows.values().filter(|row| row.state == RowState::Learned && row.remote == remote).count()
    }

    fn aged(&self, row: &Entry, now: u64) -> bool {
        row.state == RowState::Learned && self.ageing.is_some_and(|ageing| now - row.heard >= ageing)
    }

    /// The rows of which one has to go for a newcomer from a remote; small segments are looked at as a whole.
    fn victims(&self, newcomer: u32) -> BTreeSet<u8> {
        let own = self.learned_from(newcomer);
        let may = |row: &Entry| {
            row.state == RowState::Learned && (row.remote == newcomer || self.learned_from(row.remote) > own + 1)
        };
        let rank = |row: &Entry| (self.learned_from(row.remote), u64::MAX - row.heard);
        let best = self.rows.values().filter(|row| may(row)).map(rank).max();
        self.rows.iter().filter(|(_, row)| may(row) && Some(rank(row)) == best).map(|(&mac, _)| mac).collect()
    }
}

/// The table, and what it should be.
struct Pair {
    table: ForwardingTable,
    model: BTreeMap<u32, Segment>,
    now: u64,
}

fn segment_id(segment: u32) -> SegmentId {
    // Far apart, so that the places are.
    SegmentId::new(segment * 5000).unwrap()
}

/// Numbers beyond those of the remotes stand for what configuration and registry may say besides.
fn destination(remote: u32) -> Destination {
    match remote.checked_sub(REMOTES) {
        None => remote_id(remote).into(),
        Some(0) => Destination::BLACKHOLE,
        Some(group) => EqualCostId::new(group).unwrap().into(),
    }
}

fn remote_id(remote: u32) -> RemoteId {
    RemoteId::new(remote * 100).unwrap()
}

/// 0 is the zero address, 1 a group address, the others are stations.
fn mac_addr(mac: u8) -> MacAddr {
    match mac {
        0 => MacAddr::ZERO,
        1 => MacAddr::new([1, 0, 0x5e, 0, 0, 1]),
        _ => MacAddr::new([2, 0, 0, 0, 0, mac]),
    }
}

fn forward(row: &Entry) -> Forward {
    Forward::new(destination(row.remote), row.state)
}

impl Pair {
    fn now(&self) -> Duration {
        Duration::from_millis(self.now * 1000 + 999)
    }

    fn learned_in_all(&self) -> usize {
        self.model.values().map(Segment::learned).sum()
    }

    fn row(&self, segment: u32, mac: u8) -> Option<Entry> {
        self.model.get(&segment)?.rows.get(&mac).copied()
    }

    fn learn(&mut self, segment: u32, mac: u8, remote: u32) {
        let before = self.row(segment, mac);
        let in_all = self.learned_in_all();
        let claim = self.table.claim(segment_id(segment), mac_addr(mac), remote_id(remote), self.now());
        assert_eq!(
            claim,
            match before {
                Some(row) if row.remote == remote && (row.state == RowState::Static || row.heard == self.now) =>
                    Claim::Settled,
                Some(row) if row.remote != remote && row.state != RowState::Learned =>
                    Claim::Owned { to: destination(row.remote) },
                _ => Claim::Open,
            }
        );
        let answer = self.table.learn(segment_id(segment), mac_addr(mac), remote_id(remote), self.now());
        let now = self.now;
        let entry = Entry { remote, state: RowState::Learned, heard: now };
        let Some(model) = self.model.get_mut(&segment) else {
            assert_eq!(answer, Learn::NotLearned(NotLearned::UnknownSegment));
            return;
        };
        if mac < 2 {
            assert_eq!(answer, Learn::NotLearned(NotLearned::InvalidMac));
            model.counters.not_learned.invalid_mac += 1;
            return;
        }
        match before {
            Some(row) if row.remote == remote => {
                assert_eq!(answer, Learn::Refreshed);
                model.rows.insert(mac, Entry { heard: now, ..row });
            }
            Some(row) if row.state != RowState::Learned => {
                assert_eq!(answer, Learn::Owned { to: destination(row.remote) });
                model.counters.not_learned.owned += 1;
            }
            Some(row) => {
                assert_eq!(answer, Learn::Moved { from: remote_id(row.remote) });
                model.counters.moved += 1;
                model.rows.insert(mac, entry);
            }
            None => {
                // One goes for the cap, one more if the cap was lowered, and one for the cap of all.
                let mut evicted = 0;
                let mut refused = false;
                for _ in 0..2 {
                    if model.learned() >= model.max_learned as usize && !refused {
                        refused = !evict(&self.table, segment, model, remote);
                        evicted += usize::from(!refused);
                    }
                }
                refused |= model.learned() >= model.max_learned as usize;
                if !refused && in_all - evicted >= MAX_LEARNED_IN_ALL {
                    refused = !evict(&self.table, segment, model, remote);
                }
                if refused {
                    assert_eq!(answer, Learn::NotLearned(NotLearned::TableFull));
                    model.counters.not_learned.table_full += 1;
                } else {
                    assert_eq!(answer, Learn::New);
                    model.counters.learned += 1;
                    model.rows.insert(mac, entry);
                }
            }
        }
    }

    fn insert(&mut self, segment: u32, mac: u8, remote: u32, registry: bool) {
        let origin = if registry { Origin::Registry } else { Origin::Static };
        let answer = self.table.insert(segment_id(segment), mac_addr(mac), destination(remote), origin, self.now());
        let now = self.now;
        let before = self.row(segment, mac);
        if mac < 2 {
            assert_eq!(answer, Err(InsertError::InvalidMac));
            return;
        }
        let Some(model) = self.model.get_mut(&segment) else {
            assert_eq!(answer, Err(InsertError::UnknownSegment));
            return;
        };
        if let Some(row) = before.filter(|row| row.state > RowState::from(origin)) {
            assert_eq!(answer, Err(InsertError::OwnedByHigher { to: destination(row.remote) }));
        } else {
            assert_eq!(answer, Ok(before.as_ref().map(forward)));
            model.rows.insert(mac, Entry { remote, state: origin.into(), heard: now });
        }
    }

    fn remove(&mut self, segment: u32, mac: u8, answer: Option<Forward>, wanted: impl Fn(&Entry) -> bool) {
        let row = self.row(segment, mac).filter(wanted);
        assert_eq!(answer, row.as_ref().map(forward));
        if row.is_some() {
            self.model.get_mut(&segment).unwrap().rows.remove(&mac);
        }
    }

    fn apply(&mut self, step: &Step) {
        match *step {
            Step::AddSegment { segment, max_learned, ageing } => {
                let options = SegmentOptions { max_learned, ageing: ageing.map(Duration::from_secs), dampening: None };
                self.table.add_segment(segment_id(segment), options);
                let segment = self.model.entry(segment).or_default();
                (segment.max_learned, segment.ageing) = (max_learned, ageing);
            }
            Step::RemoveSegment { segment } => {
                self.table.remove_segment(segment_id(segment));
                self.model.remove(&segment);
            }
            Step::Learn { segment, mac, remote } => self.learn(segment, mac, remote),
            Step::ForgetLearned { segment, mac } => {
                let row = self.row(segment, mac).filter(|row| row.state == RowState::Learned);
                assert_eq!(self.table.forget_learned(segment_id(segment), mac_addr(mac)), row.is_some());
                if row.is_some() {
                    let model = self.model.get_mut(&segment).unwrap();
                    model.rows.remove(&mac);
                    model.counters.forgotten += 1;
                }
            }
            Step::Insert { segment, mac, remote, registry } => self.insert(segment, mac, remote, registry),
            Step::Remove { segment, mac } => {
                let answer = self.table.remove(segment_id(segment), mac_addr(mac));
                self.remove(segment, mac, answer, |_| true);
            }
            Step::Withdraw { segment, mac, registry } => {
                let origin = if registry { Origin::Registry } else { Origin::Static };
                let answer = self.table.withdraw(segment_id(segment), mac_addr(mac), origin);
                self.remove(segment, mac, answer, |row| row.state == RowState::from(origin));
            }
            Step::Flush { segment, remote, learned_only } => {
                let ids = (segment.map(segment_id), remote.map(remote_id));
                self.table.flush(Flush { segment: ids.0, remote: ids.1, learned_only });
                for (&id, model) in &mut self.model {
                    model.rows.retain(|_, row| {
                        segment.is_some_and(|segment| segment != id)
                            || remote.is_some_and(|remote| remote != row.remote)
                            || learned_only && row.state != RowState::Learned
                    });
                }
            }
            Step::Pass { seconds } => self.now += seconds,
            Step::Age { budget } => {
                let aged = self.table.age(self.now(), budget);
                assert!(aged <= budget.next_multiple_of(4));
                // Which of them it met is its own affair: each one that is gone had to go.
                let (table, now) = (&self.table, self.now);
                let mut gone = 0;
                for (&id, model) in &mut self.model {
                    let old: Vec<u8> =
                        model.rows.iter().filter(|(_, row)| model.aged(row, now)).map(|(&mac, _)| mac).collect();
                    for mac in old {
                        if table.lookup(segment_id(id), mac_addr(mac)).is_none() {
                            model.rows.remove(&mac);
                            model.counters.aged += 1;
                            gone += 1;
                        }
                    }
                }
                assert_eq!(aged, gone);
            }
            Step::AgeAll => {
                // The rest of this round, and a whole one.
                let aged = self.table.age(self.now(), usize::MAX) + self.table.age(self.now(), usize::MAX);
                let before: usize = self.model.values().map(|model| model.rows.len()).sum();
                let now = self.now;
                for model in self.model.values_mut() {
                    let old: Vec<u8> =
                        model.rows.iter().filter(|(_, row)| model.aged(row, now)).map(|(&mac, _)| mac).collect();
                    for mac in old {
                        model.rows.remove(&mac);
                        model.counters.aged += 1;
                    }
                }
                let after: usize = self.model.values().map(|model| model.rows.len()).sum();
                assert_eq!(aged, before - after);
            }
            Step::Restart { secret } => self.restart(secret),
        }
    }

    fn restart(&mut self, secret: [u8; 16]) {
        let snapshot = Tables::new(&self.table).snapshot(self.now());
        self.table = ForwardingTable::new(options(secret));
        let restored = Tables::new(&self.table).restore(&snapshot, RestoreLimits::default(), self.now()).unwrap();
        let (mut aged, now) = (0, self.now);
        for (&id, model) in &mut self.model {
            let old: Vec<u8> = model.rows.iter().filter(|(_, row)| model.aged(row, now)).map(|(&mac, _)| mac).collect();
            aged += old.len();
            for mac in old {
                model.rows.remove(&mac);
            }
            // Those for which there is no place any more: none that stays is older.
            let refused = restored.refused.iter().filter_map(|refused| match refused {
                Refused::Row { row, reason: NotRestored::TableFull } if row.segment == segment_id(id) => Some(row),
                _ => None,
            });
            let mut youngest = None;
            for row in refused {
                let [.., mac] = row.mac.octets();
                assert_eq!(model.rows.remove(&mac).map(|row| row.state), Some(RowState::Learned));
                youngest = youngest.min(row.age).or(row.age);
            }
            let learned = model.rows.values().filter(|row| row.state == RowState::Learned);
            assert!(
                learned.map(|row| row.heard).min().is_none_or(|heard| {
                    youngest.is_none_or(|youngest| Duration::from_secs(now - heard) <= youngest)
                })
            );
            model.counters = SegmentCounters::default();
            model.counters.learned = model.learned() as u64;
        }
        let rows: usize = self.model.values().map(|model| model.rows.len()).sum();
        assert_eq!((restored.rows, restored.aged, restored.kept), (rows, aged, 0));
        assert_eq!(restored.rows + restored.aged + restored.refused.len(), snapshot.rows.len());
    }

    fn compare(&self) {
        for segment in 0..SEGMENTS {
            for mac in 0..24 {
                let expected = self.row(segment, mac).as_ref().map(forward);
                assert_eq!(self.table.lookup(segment_id(segment), mac_addr(mac)), expected, "{segment} {mac}");
            }
            let model = self.model.get(&segment);
            assert_eq!(self.table.len(segment_id(segment)), model.map_or(0, |model| model.rows.len()));
            assert_eq!(self.table.learned_len(segment_id(segment)), model.map_or(0, Segment::learned));
            let counters = model.map_or_else(SegmentCounters::default, |model| model.counters);
            assert_eq!(self.table.counters(segment_id(segment)), counters);
        }
        let expected: Vec<Row> = self
            .model
            .iter()
            .flat_map(|(&segment, model)| {
                model.rows.iter().map(move |(&mac, row)| Row {
                    segment: segment_id(segment),
                    mac: mac_addr(mac),
                    to: destination(row.remote),
                    state: row.state,
                    age: (row.state != RowState::Static).then(|| Duration::from_secs(self.now - row.heard)),
                })
            })
            .collect();
        for limit in [1, 3, 1000] {
            let mut rows = Vec::new();
            let mut cursor = Some(Cursor::default());
            while let Some(from) = cursor {
                let (page, next) = self.table.page(from, limit, self.now());
                assert!(page.len() <= limit);
                rows.extend(page);
                cursor = next;
            }
            assert_eq!(rows, expected);
        }
        for segment in (0..SEGMENTS).map(segment_id) {
            for mac in (0..24).map(mac_addr) {
                let row = expected.iter().find(|row| (row.segment, row.mac) == (segment, mac)).copied();
                assert_eq!(self.table.row_of(segment, mac, self.now()), row);
            }
        }
        // Every length was asked for, so that every flush is settled.
        for remote in 0..REMOTES {
            let used = self.model.values().any(|model| model.rows.values().any(|row| row.remote == remote));
            assert_eq!(self.table.remote_in_use(remote_id(remote)), used);
        }
    }
}

/// Follows the table in an eviction: one of the rows that had to go is gone.
fn evict(table: &ForwardingTable, segment: u32, model: &mut Segment, newcomer: u32) -> bool {
    let victims = model.victims(newcomer);
    let gone = victims.iter().find(|&&mac| table.lookup(segment_id(segment), mac_addr(mac)).is_none());
    assert_eq!(gone.is_some(), !victims.is_empty(), "of {victims:?} none is gone");
    model.counters.evicted += u64::from(gone.is_some());
    gone.is_some_and(|mac| model.rows.remove(mac).is_some())
}

fn options(secret: [u8; 16]) -> TableOptions {
    TableOptions { secret, max_learned: MAX_LEARNED_IN_ALL }
}

impl StateMachineTest for Pair {
    type SystemUnderTest = Self;
    type Reference = World;

    fn init_test(world: &World) -> Self {
        let mut pair = Self { table: ForwardingTable::new(options(world.secret)), model: BTreeMap::new(), now: 0 };
        for &segment in &world.segments {
            pair.apply(&Step::AddSegment { segment, max_learned: 12, ageing: Some(20) });
        }
        pair
    }

    fn apply(mut pair: Self, _: &World, step: Step) -> Self {
        Self::apply(&mut pair, &step);
        pair
    }

    fn check_invariants(pair: &Self, world: &World) {
        assert!(pair.table.segments().into_iter().eq(world.segments.iter().map(|&segment| segment_id(segment))));
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
