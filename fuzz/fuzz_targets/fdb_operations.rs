//! Any sequence of operations on the forwarding table, against a map: with ageing, flushes, full segments, counters, and
//! restarts from a snapshot.

#![no_main]

use std::{collections::BTreeMap, time::Duration};

use arbitrary::Arbitrary;
use fdb::{
    Cursor, Flush, Forward, ForwardingTable, InsertError, Learn, NotLearned, Origin, RemoteId, RestoreLimits, RowState,
    SegmentCounters, SegmentId, SegmentOptions, TableOptions, Tables,
};
use libfuzzer_sys::fuzz_target;
use overlay_types::MacAddr;

/// What none of the segments reaches by itself, and all together don't.
const STATIONS: u8 = 96;

#[derive(Arbitrary, Debug)]
enum Step {
    AddSegment { segment: u8, max_learned: u8, ageing: Option<u8> },
    RemoveSegment(u8),
    Learn { segment: u8, mac: u8, remote: u8 },
    LearnAny { segment: u8, mac: MacAddr, remote: u8 },
    Forget { segment: u8, mac: u8 },
    Insert { segment: u8, mac: u8, remote: u8, registry: bool },
    Remove { segment: u8, mac: u8 },
    Withdraw { segment: u8, mac: u8, registry: bool },
    Flush { segment: Option<u8>, remote: Option<u8>, learned_only: bool },
    Pass(u8),
    Sweep(u8),
    Age,
    Restart([u8; 16]),
}

#[derive(Clone, Copy)]
struct Row {
    remote: RemoteId,
    state: RowState,
    heard: u64,
}

#[derive(Default)]
struct Segment {
    max_learned: u32,
    ageing: Option<u64>,
    rows: BTreeMap<MacAddr, Row>,
    counters: SegmentCounters,
}

impl Segment {
    fn learned(&self) -> usize {
        self.rows.values().filter(|row| row.state == RowState::Learned).count()
    }

    fn is_old(&self, row: &Row, now: u64) -> bool {
        row.state == RowState::Learned && self.ageing.is_some_and(|ageing| now - row.heard >= ageing)
    }
}

type Model = BTreeMap<SegmentId, Segment>;

fn segment(number: u8) -> SegmentId {
    SegmentId::new(u32::from(number % 3) * 70_000).expect("a small number")
}

fn remote(number: u8) -> RemoteId {
    RemoteId::new(u32::from(number % 5) * 1000).expect("a small number")
}

fn station(number: u8) -> MacAddr {
    MacAddr::new([2, 0, 0, 0, 0, number % STATIONS])
}

fn origin(registry: bool) -> Origin {
    if registry { Origin::Registry } else { Origin::Static }
}

fn forward(row: &Row) -> Forward {
    Forward::new(row.remote.into(), row.state)
}

fn options() -> TableOptions {
    TableOptions { max_learned: usize::from(STATIONS) * 3, ..TableOptions::new([7; 16]) }
}

fuzz_target!(|steps: Vec<Step>| {
    let mut table = ForwardingTable::new(options());
    let mut model = Model::new();
    let mut seconds = 0;
    for step in steps.into_iter().take(2000) {
        let now = Duration::from_secs(seconds);
        match step {
            Step::AddSegment { segment, max_learned, ageing } => {
                let ageing = ageing.map(|seconds| u64::from(seconds) * 4);
                let max_learned = u32::from(max_learned);
                let options = SegmentOptions { max_learned, ageing: ageing.map(Duration::from_secs), dampening: None };
                table.add_segment(self::segment(segment), options);
                let known = model.entry(self::segment(segment)).or_default();
                (known.max_learned, known.ageing) = (max_learned, ageing);
            }
            Step::RemoveSegment(segment) => {
                table.remove_segment(self::segment(segment));
                model.remove(&self::segment(segment));
            }
            Step::Learn { segment, mac, remote } => {
                learn(&table, &mut model, self::segment(segment), station(mac), self::remote(remote), seconds);
            }
            Step::LearnAny { segment, mac, remote } if !mac.is_unicast() => {
                learn(&table, &mut model, self::segment(segment), mac, self::remote(remote), seconds);
            }
            Step::LearnAny { .. } => {}
            Step::Forget { segment, mac } => {
                let (segment, mac) = (self::segment(segment), station(mac));
                let known = model
                    .get_mut(&segment)
                    .filter(|known| known.rows.get(&mac).is_some_and(|row| row.state == RowState::Learned));
                assert_eq!(table.forget_learned(segment, mac), known.is_some());
                if let Some(known) = known {
                    known.rows.remove(&mac);
                    known.counters.forgotten += 1;
                }
            }
            Step::Insert { segment, mac, remote, registry } => {
                let (segment, mac, remote) = (self::segment(segment), station(mac), self::remote(remote));
                let answer = table.insert(segment, mac, remote, origin(registry), now);
                let state = RowState::from(origin(registry));
                let Some(known) = model.get_mut(&segment) else {
                    assert_eq!(answer, Err(InsertError::UnknownSegment));
                    continue;
                };
                match known.rows.get(&mac) {
                    Some(row) if row.state > state => {
                        assert_eq!(answer, Err(InsertError::OwnedByHigher { to: row.remote.into() }));
                    }
                    before => {
                        assert_eq!(answer, Ok(before.map(forward)));
                        known.rows.insert(mac, Row { remote, state, heard: seconds });
                    }
                }
            }
            Step::Remove { segment, mac } => {
                let (segment, mac) = (self::segment(segment), station(mac));
                let row = model.get_mut(&segment).and_then(|known| known.rows.remove(&mac));
                assert_eq!(table.remove(segment, mac), row.as_ref().map(forward));
            }
            Step::Withdraw { segment, mac, registry } => {
                let (segment, mac, state) = (self::segment(segment), station(mac), RowState::from(origin(registry)));
                let answer = table.withdraw(segment, mac, origin(registry));
                let known =
                    model.get_mut(&segment).filter(|known| known.rows.get(&mac).is_some_and(|row| row.state == state));
                let row = known.and_then(|known| known.rows.remove(&mac));
                assert_eq!(answer, row.as_ref().map(forward));
            }
            Step::Flush { segment, remote, learned_only } => {
                let (segment, remote) = (segment.map(self::segment), remote.map(self::remote));
                table.flush(Flush { segment, remote, learned_only });
                for (&id, known) in &mut model {
                    known.rows.retain(|_, row| {
                        segment.is_some_and(|segment| segment != id)
                            || remote.is_some_and(|remote| remote != row.remote)
                            || learned_only && row.state != RowState::Learned
                    });
                }
            }
            Step::Pass(more) => seconds += u64::from(more),
            Step::Sweep(budget) => {
                // Which rows it met is its own affair: each one that is gone had to go.
                let aged = table.age(now, budget.into());
                let mut gone = 0;
                for (&id, known) in &mut model {
                    let old: Vec<MacAddr> =
                        known.rows.iter().filter(|(_, row)| known.is_old(row, seconds)).map(|(&mac, _)| mac).collect();
                    for mac in old.into_iter().filter(|&mac| table.lookup(id, mac).is_none()) {
                        known.rows.remove(&mac);
                        known.counters.aged += 1;
                        gone += 1;
                    }
                }
                assert_eq!(aged, gone);
            }
            Step::Age => age(&table, &mut model, seconds),
            Step::Restart(secret) => {
                let snapshot = Tables::new(&table).snapshot(now);
                table = ForwardingTable::new(TableOptions { secret, ..options() });
                let restored =
                    Tables::new(&table).restore(&snapshot, RestoreLimits::default(), now).expect("this version");
                let mut aged = 0;
                for known in model.values_mut() {
                    let before = known.rows.len();
                    let ageing = known.ageing;
                    known.rows.retain(|_, row| {
                        row.state != RowState::Learned || ageing.is_none_or(|ageing| seconds - row.heard < ageing)
                    });
                    aged += before - known.rows.len();
                    known.counters = SegmentCounters::default();
                }
                assert_eq!(restored.aged, aged);
                // Those beyond a cap that was lowered stay behind.
                let mut lost = 0;
                for (&id, known) in &mut model {
                    let before = known.rows.len();
                    known.rows.retain(|&mac, _| table.lookup(id, mac).is_some());
                    lost += before - known.rows.len();
                    assert!(before == known.rows.len() || known.learned() == known.max_learned as usize);
                    known.counters.learned = known.learned() as u64;
                }
                assert_eq!(restored.refused.len(), lost);
            }
        }
        compare(&table, &model, seconds);
    }
    age(&table, &mut model, seconds);
    compare(&table, &model, seconds);
});

fn learn(table: &ForwardingTable, model: &mut Model, segment: SegmentId, mac: MacAddr, remote: RemoteId, now: u64) {
    let answer = table.learn(segment, mac, remote, Duration::from_secs(now));
    let Some(known) = model.get_mut(&segment) else {
        assert_eq!(answer, Learn::NotLearned(NotLearned::UnknownSegment));
        return;
    };
    if !mac.is_unicast() {
        assert_eq!(answer, Learn::NotLearned(NotLearned::InvalidMac));
        known.counters.not_learned.invalid_mac += 1;
        return;
    }
    let row = Row { remote, state: RowState::Learned, heard: now };
    match known.rows.get(&mac).copied() {
        Some(before) if before.remote == remote => {
            assert_eq!(answer, Learn::Refreshed);
            known.rows.insert(mac, Row { heard: now, ..before });
        }
        Some(before) if before.state != RowState::Learned => {
            assert_eq!(answer, Learn::Owned { to: before.remote.into() });
            known.counters.not_learned.owned += 1;
        }
        Some(before) => {
            assert_eq!(answer, Learn::Moved { from: before.remote });
            known.counters.moved += 1;
            known.rows.insert(mac, row);
        }
        None => {
            // Which rows give way is looked up: learned ones, of this remote or of one with more rows than it has then.
            let counts = |known: &Segment, of: RemoteId| {
                known.rows.values().filter(|row| row.state == RowState::Learned && row.remote == of).count()
            };
            let was_full = known.learned() >= known.max_learned as usize;
            let mut gone: Vec<MacAddr> =
                known.rows.keys().copied().filter(|&mac| table.lookup(segment, mac).is_none()).collect();
            assert!(gone.is_empty() || was_full && gone.len() <= 2);
            while !gone.is_empty() {
                let own = counts(known, remote);
                let may_go = |mac: &MacAddr| {
                    let row = known.rows[mac];
                    row.state == RowState::Learned && (row.remote == remote || counts(known, row.remote) > own + 1)
                };
                let next = gone.iter().position(may_go).expect("each that is gone was one that may go");
                known.rows.remove(&gone.remove(next));
                known.counters.evicted += 1;
            }
            let is_full = known.learned() >= known.max_learned as usize;
            if is_full {
                assert_eq!(answer, Learn::NotLearned(NotLearned::TableFull));
                known.counters.not_learned.table_full += 1;
            } else {
                assert_eq!(answer, Learn::New);
                known.counters.learned += 1;
                known.rows.insert(mac, row);
            }
        }
    }
}

/// Two rounds: the rest of one, and a whole one.
fn age(table: &ForwardingTable, model: &mut Model, now: u64) {
    let aged = [(); 2].map(|()| table.age(Duration::from_secs(now), usize::MAX)).iter().sum::<usize>();
    let mut old = 0;
    for known in model.values_mut() {
        let (before, ageing) = (known.rows.len(), known.ageing);
        known
            .rows
            .retain(|_, row| row.state != RowState::Learned || ageing.is_none_or(|ageing| now - row.heard < ageing));
        let gone = before - known.rows.len();
        known.counters.aged += gone as u64;
        old += gone;
    }
    assert_eq!(aged, old);
}

fn compare(table: &ForwardingTable, model: &Model, now: u64) {
    let (rows, next) = table.page(Cursor::default(), usize::MAX, Duration::from_secs(now));
    assert_eq!(next, None);
    let expected = model.iter().flat_map(|(&segment, known)| {
        known.rows.iter().map(move |(&mac, row)| {
            let age = (row.state != RowState::Static).then(|| Duration::from_secs(now - row.heard));
            fdb::Row { segment, mac, to: row.remote.into(), state: row.state, age }
        })
    });
    assert!(rows.iter().copied().eq(expected));
    assert!(table.segments().into_iter().eq(model.keys().copied()));
    for (&segment, known) in model {
        assert_eq!(table.counters(segment), known.counters);
        assert_eq!((table.len(segment), table.learned_len(segment)), (known.rows.len(), known.learned()));
    }
    for row in rows {
        assert_eq!(table.lookup(row.segment, row.mac), Some(Forward::new(row.to, row.state)));
    }
}
