//! The 64 slots of a node as bits of a word: runs of slots that are one block.

/// Slots where a run of 2^i slots may start.
const ALIGNED: [u64; 7] = [
    u64::MAX,
    0x5555_5555_5555_5555,
    0x1111_1111_1111_1111,
    0x0101_0101_0101_0101,
    0x0001_0001_0001_0001,
    0x0000_0001_0000_0001,
    1,
];

/// The lowest 2^i slots.
const ONES: [u64; 7] = [1, 3, 0xf, 0xff, 0xffff, 0xffff_ffff, u64::MAX];

/// A run of 2^`run` slots from `slot` on.
pub(super) const fn run_at(slot: u8, run: u8) -> u64 {
    ONES[run as usize] << slot
}

/// The first slots of all runs of 2^`run` slots that lie in the given ones.
pub(super) const fn runs(slots: u64, run: u8) -> u64 {
    let (mut starts, mut step) = (slots, 0);
    while step < run {
        starts &= starts >> (1 << step);
        step += 1;
    }
    starts & ALIGNED[run as usize]
}

/// The largest run that has this slot, one of the given ones, as the power of two.
pub(super) const fn run_around(slots: u64, slot: u8) -> u8 {
    let mut run = 0;
    while run < 6 {
        let larger = run_at(slot & !((2 << run) - 1), run + 1);
        if slots & larger != larger {
            break;
        }
        run += 1;
    }
    run
}

/// The first slots of the runs that are part of no larger one: at i those of the runs of 2^i slots.
pub(super) const fn all_largest_runs(slots: u64) -> [u64; 7] {
    let (mut largest, mut starts, mut run) = ([0; 7], slots, 0);
    while run < 6 {
        let pairs = starts & (starts >> (1_u32 << run)) & ALIGNED[run + 1];
        largest[run] = starts & !(pairs | pairs << (1_u32 << run));
        starts = pairs;
        run += 1;
    }
    largest[6] = starts;
    largest
}

/// The runs that are part of no larger one, as a set of powers of two: bit i for runs of 2^i slots.
pub(super) const fn largest_runs(slots: u64) -> u8 {
    let (largest, mut orders, mut run) = (all_largest_runs(slots), 0, 0);
    while run <= 6 {
        orders |= ((largest[run] != 0) as u8) << run;
        run += 1;
    }
    orders
}

/// The first slots of the runs of 2^`run` slots that are part of no larger one.
pub(super) const fn largest_runs_of(slots: u64, run: u8) -> u64 {
    all_largest_runs(slots)[run as usize]
}

/// The slots below this one.
pub(super) const fn below(slot: u8) -> u64 {
    (1 << slot) - 1
}

/// Some slots one by one, the lowest first.
pub(super) fn slots(mut slots: u64) -> impl Iterator<Item = u8> {
    core::iter::from_fn(move || {
        let slot = lowest(slots)?;
        slots &= slots - 1;
        Some(slot)
    })
}

/// The lowest of some slots.
pub(super) const fn lowest(slots: u64) -> Option<u8> {
    if slots == 0 { None } else { Some(slots.trailing_zeros() as u8) }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Whether all slots of a run are among these.
    fn is_run(slots: u64, slot: u8, run: u8) -> bool {
        slot.is_multiple_of(1 << run) && (slot..slot + (1 << run)).all(|slot| slots >> slot & 1 == 1)
    }

    #[test]
    fn as_counted_slot_by_slot() {
        let mut slots = 0x0123_4567_89ab_cdef_u64;
        for round in 0..2_000 {
            // Dense and sparse words, and the extremes.
            slots = slots.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ slots >> 29;
            let word = match round % 5 {
                0 => slots,
                1 => slots | slots << 1 | slots << 2,
                2 => slots & slots << 7,
                3 => !(1 << (slots % 64)),
                _ => u64::MAX << (slots % 64),
            };
            let mut orders = 0;
            for run in 0..=6 {
                let starts = (0..64).filter(|&slot| slot + (1 << run) <= 64 && is_run(word, slot, run));
                assert_eq!(runs(word, run), starts.clone().fold(0, |word, slot| word | 1 << slot));
                let in_larger = |slot: u8| run < 6 && is_run(word, slot & !((2 << run) - 1), run + 1);
                let largest = starts.filter(|&slot| !in_larger(slot)).fold(0_u64, |word, slot| word | 1 << slot);
                assert_eq!(largest_runs_of(word, run), largest);
                orders |= u8::from(largest != 0) << run;
            }
            assert_eq!(largest_runs(word), orders);
            for slot in (0..64).filter(|slot| word >> slot & 1 == 1) {
                let around = (0..=6).rev().find(|&run| is_run(word, slot & !((1 << run) - 1), run));
                assert_eq!(Some(run_around(word, slot)), around);
            }
        }
        assert_eq!(
            (runs(u64::MAX, 6), largest_runs(u64::MAX), largest_runs(0), run_at(0, 6)),
            (1, 1 << 6, 0, u64::MAX)
        );
        assert_eq!((below(0), below(63), lowest(0), lowest(8)), (0, u64::MAX >> 1, None, Some(3)));
    }
}
