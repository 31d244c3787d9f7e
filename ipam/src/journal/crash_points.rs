//! A crash at each operation of the disk, with all that it may leave; each operation failing.

use core::time::Duration;
use std::{collections::HashSet, format, io, string::String, vec::Vec};

use super::{
    JournalOptions, Retention,
    commit::Core,
    error::{ChangeError, JournalError},
    simulated_disk::{Disk, Failure},
};
use crate::Journaled;

#[path = "../../tests/journal_support/mod.rs"]
mod journal_support;
use journal_support::{Leases, Unfit, seconds, single};

const OPTIONS: JournalOptions =
    JournalOptions { retention: Retention { time: Duration::from_secs(1000), entries: 5 }, growth: 4, at_least: 1500 };

/// The changes of a scenario: the state before them, and behind each.
#[derive(Default)]
struct Model {
    acknowledged: Leases,
    /// What may be there in place of it, with one that was not acknowledged.
    possible: Vec<Leases>,
    /// Errors that were reported.
    refused: usize,
}

/// One call: a grant, a release, a pair, or many grants together.
fn step(leases: &mut Leases, number: u32) -> Result<Vec<journal_support::Change>, Unfit> {
    let at = seconds(number.into());
    let owner = format!("owner-{number}");
    match number % 5 {
        // Longer than a sector.
        3 if number % 2 == 1 => {
            (0..20).map(|low| leases.grant(single(number << 8 | low), &owner, at)).collect::<Result<Vec<_>, _>>()
        }
        4 => {
            let taken: Vec<_> = leases.leases.values().take(3).map(|lease| lease.prefix).collect();
            taken.into_iter().map(|prefix| leases.release(prefix, at)).collect()
        }
        _ => Ok([leases.grant(single(number << 8), &owner, at)?].into()),
    }
}

/// Runs the scenario up to its end, over all errors.
fn run(core: &Core<Leases, Disk>, model: &mut Model, steps: core::ops::Range<u32>) {
    for number in steps {
        let mut after = model.acknowledged.clone();
        let expected = step(&mut after, number).unwrap();
        let done = core.change(|leases| {
            let changes = step(leases, number)?;
            assert_eq!(format!("{changes:?}"), format!("{expected:?}"), "it began with what was acknowledged");
            Ok::<_, Unfit>(((), changes))
        });
        match done {
            Ok(()) => {
                model.acknowledged = after;
                model.possible.clear();
            }
            Err(ChangeError::Journal(JournalError::Disk(_))) => {
                model.refused += 1;
                model.possible.push(after);
            }
            Err(other) => panic!("{other}"),
        }
        if number % 11 == 10 {
            model.refused += usize::from(core.compact().is_err());
        }
    }
}

const STEPS: u32 = 24;

/// What is there after a crash: all that was acknowledged, and it goes on from there.
fn survives(disk: &Disk, model: &Model, what: &dyn Fn() -> String) {
    if !disk.has_journal() {
        assert_eq!(model.acknowledged, Leases::default(), "{}", what());
        return;
    }
    let (core, _) =
        Core::<Leases, Disk>::open(disk.clone(), OPTIONS).unwrap_or_else(|error| panic!("{error}: {}", what()));
    let found = core.read(Clone::clone).unwrap();
    let is_right = found == model.acknowledged || model.possible.contains(&found);
    assert!(is_right, "{}\n{found:?}\n{:?}\n{:?}", what(), model.acknowledged, model.possible);
    // What was found stays, and what comes is added.
    let mut expected = found;
    step(&mut expected, 1000).unwrap();
    core.change(|leases| Ok::<_, Unfit>(((), step(leases, 1000)?))).unwrap();
    drop(core);
    let worst = disk.after_crash().swap_remove(0);
    let (core, _) = Core::<Leases, Disk>::open(worst, OPTIONS).unwrap();
    assert_eq!(core.read(Clone::clone).unwrap(), expected, "{}", what());
}

fn create(disk: Disk) -> Result<Core<Leases, Disk>, JournalError> {
    Core::create(disk, Leases::empty(), OPTIONS)
}

/// How many operations the scenario has.
fn operations() -> usize {
    let disk = Disk::default();
    let core = create(disk.clone()).unwrap();
    let mut model = Model::default();
    run(&core, &mut model, 0..STEPS);
    assert_eq!((model.refused, core.read(Clone::clone).unwrap()), (0, model.acknowledged));
    disk.operations()
}

#[test]
fn a_loss_of_power_at_each_operation() {
    let (operations, mut states) = (operations(), 0);
    assert!(operations > 60, "{operations}");
    for off in 0..=operations {
        let disk = Disk::default().power_off_at(off);
        let mut model = Model::default();
        let core = create(disk.clone());
        if let Ok(core) = &core {
            run(core, &mut model, 0..STEPS);
        }
        for (number, after) in disk.after_crash().into_iter().enumerate() {
            survives(&after, &model, &|| format!("off at {off}, state {number}"));
            states += 1;
        }
    }
    assert!(states > 2000, "{states}");
}

#[test]
fn each_operation_fails_and_it_goes_on() {
    let operations = operations();
    for kind in [io::ErrorKind::StorageFull, io::ErrorKind::Other] {
        for count in [1, 2, 5] {
            for at in 0..operations {
                let is_over_early = at + count + 30 < operations;
                let failure = Failure { at, count, kind, spoils: is_over_early };
                let disk = Disk::default().failing(failure);
                let mut model = Model::default();
                let Ok(core) = create(disk.clone()) else { continue };
                let what = || format!("{count} from {at} on: {kind}");
                let mut is_over = false;
                for number in 0..STEPS {
                    run(&core, &mut model, number..number + 1);
                    // The first change that is acknowledged behind a failure does not stand on sand.
                    if model.refused > 0 && model.possible.is_empty() && !is_over {
                        is_over = true;
                        disk.after_crash().into_iter().for_each(|after| survives(&after, &model, &what));
                    }
                }
                assert_eq!(core.read(Clone::clone).unwrap(), model.acknowledged, "{}", what());
                // The last steps were without failures, so nothing is in doubt.
                if is_over_early {
                    assert_eq!(model.possible, [], "{}", what());
                }
                for after in disk.after_crash() {
                    survives(&after, &model, &what);
                }
            }
        }
    }
}

#[test]
fn a_loss_of_power_after_a_failure() {
    let operations = operations();
    for at in 0..operations {
        // Most that one crash leaves another one leaves, too.
        let mut seen = HashSet::new();
        for later in [1, 2, 3, 5, 8] {
            let failure = Failure { at, count: 2, kind: io::ErrorKind::Other, spoils: false };
            let disk = Disk::default().failing(failure).power_off_at(at + later);
            let mut model = Model::default();
            let Ok(core) = create(disk.clone()) else { continue };
            run(&core, &mut model, 0..STEPS);
            let known = model.acknowledged.leases.len();
            for after in disk.after_crash() {
                if seen.insert((known, after.journal())) {
                    survives(&after, &model, &|| format!("2 from {at} on, off {later} later"));
                }
            }
        }
    }
}
