//! What each address of a pool is, kept naively: of small pools address by address, of large ones as intervals.

use std::collections::BTreeMap;

use ipam::Amount;

/// What an address is.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) struct Cell {
    pub(crate) excluded: bool,
    pub(crate) reserved: bool,
    pub(crate) owner: Option<u8>,
}

impl Cell {
    pub(crate) fn is_free(self) -> bool {
        self == Self::default()
    }
}

/// The addresses from the first to the last, both included.
pub(crate) type Span = (u128, u128);

/// All addresses of a pool.
#[derive(Clone, Debug)]
pub(crate) enum Space {
    /// One by one.
    Cells(BTreeMap<u128, Cell>),
    /// Intervals, in order.
    Spans(Vec<(Span, Cell)>),
}

impl Space {
    pub(crate) fn new(is_small: bool) -> Self {
        if is_small { Self::Cells(BTreeMap::new()) } else { Self::Spans(Vec::new()) }
    }

    pub(crate) fn add(&mut self, (first, last): Span) {
        match self {
            Self::Cells(cells) => cells.extend((first..=last).map(|address| (address, Cell::default()))),
            Self::Spans(spans) => {
                spans.push(((first, last), Cell::default()));
                spans.sort_unstable_by_key(|&(span, _)| span);
            }
        }
    }

    pub(crate) fn remove(&mut self, (first, last): Span) {
        match self {
            Self::Cells(cells) => cells.retain(|&address, _| address < first || address > last),
            Self::Spans(spans) => spans.retain(|&((start, end), _)| end < first || start > last),
        }
    }

    /// Changes what there is of these addresses.
    pub(crate) fn change(&mut self, (first, last): Span, change: impl Fn(&mut Cell)) {
        match self {
            Self::Cells(cells) => cells.range_mut(first..=last).for_each(|(_, cell)| change(cell)),
            Self::Spans(spans) => {
                let mut changed = Vec::new();
                for &((start, end), cell) in &*spans {
                    if end < first || start > last {
                        changed.push(((start, end), cell));
                        continue;
                    }
                    if start < first {
                        changed.push(((start, first - 1), cell));
                    }
                    let mut inside = cell;
                    change(&mut inside);
                    changed.push(((start.max(first), end.min(last)), inside));
                    if end > last {
                        changed.push(((last + 1, end), cell));
                    }
                }
                *spans = changed;
            }
        }
    }

    /// What there is of these addresses, in order, in pieces of any size.
    pub(crate) fn pieces(&self, (first, last): Span) -> Vec<(Span, Cell)> {
        match self {
            Self::Cells(cells) => {
                cells.range(first..=last).map(|(&address, &cell)| ((address, address), cell)).collect()
            }
            Self::Spans(spans) => {
                let inside = spans.iter().filter(|((start, end), _)| *end >= first && *start <= last);
                inside.map(|&((start, end), cell)| ((start.max(first), end.min(last)), cell)).collect()
            }
        }
    }

    /// How many addresses of a span are so.
    pub(crate) fn amount(&self, span: Span, is_so: impl Fn(Cell) -> bool) -> Amount {
        let so: Vec<Span> =
            self.pieces(span).into_iter().filter(|&(_, cell)| is_so(cell)).map(|(span, _)| span).collect();
        let sum = so.iter().fold(0_u128, |sum, &(first, last)| sum.wrapping_add((last - first).wrapping_add(1)));
        // All of 2^128 comes out as none.
        if sum == 0 && !so.is_empty() { Amount::of_prefix(128, 0) } else { sum.into() }
    }

    /// The runs of addresses that are so; what is side by side is one.
    pub(crate) fn runs(&self, span: Span, is_so: impl Fn(Cell) -> bool) -> Vec<Span> {
        let mut runs: Vec<Span> = Vec::new();
        for ((first, last), _) in self.pieces(span).into_iter().filter(|&(_, cell)| is_so(cell)) {
            match runs.last_mut() {
                Some(run) if run.1.checked_add(1) == Some(first) => run.1 = last,
                _ => runs.push((first, last)),
            }
        }
        runs
    }

    /// The lowest free block of a prefix that begins at `from` or behind it.
    pub(crate) fn lowest(&self, prefix: Span, order: u8, from: u128) -> Option<u128> {
        match self {
            Self::Cells(cells) => {
                let size = 1_usize << order.min(32);
                let mut bases = (prefix.0..=prefix.1).step_by(size).filter(|&base| base >= from);
                bases.find(|&base| {
                    base + mask(order) <= prefix.1
                        && cells.range(base..=base + mask(order)).all(|(_, cell)| cell.is_free())
                })
            }
            Self::Spans(_) => self.runs(prefix, Cell::is_free).into_iter().find_map(|(first, last)| {
                let start = first.max(from);
                let base = if start & mask(order) == 0 { start } else { (start | mask(order)).checked_add(1)? };
                (base <= last && last - base >= mask(order)).then_some(base)
            }),
        }
    }

    /// The free blocks of a prefix, each as large as can be: first address and order.
    pub(crate) fn free_blocks(&self, prefix: Span) -> Vec<(u128, u8)> {
        match self {
            Self::Cells(_) => {
                let is_free = |base: u128, order: u8| {
                    base >= prefix.0
                        && base.checked_add(mask(order)).is_some_and(|last| last <= prefix.1)
                        && self.pieces((base, base + mask(order))).iter().all(|(_, cell)| cell.is_free())
                };
                let mut blocks = Vec::new();
                for order in 0..=12 {
                    let bases = (prefix.0..=prefix.1).filter(|base| base & mask(order) == 0);
                    let alone =
                        bases.filter(|&base| is_free(base, order) && !is_free(base & !mask(order + 1), order + 1));
                    blocks.extend(alone.map(|base| (base, order)));
                }
                blocks
            }
            Self::Spans(_) => self.runs(prefix, Cell::is_free).into_iter().flat_map(blocks).collect(),
        }
    }
}

/// The lowest `order` bits.
pub(crate) fn mask(order: u8) -> u128 {
    u128::MAX.checked_shr(128 - u32::from(order)).unwrap_or(0)
}

/// The fewest blocks that make up a span: always the largest that begins where the one before ended.
pub(crate) fn blocks((first, last): Span) -> Vec<(u128, u8)> {
    let mut blocks = Vec::new();
    let mut next = Some(first);
    while let Some(base) = next.filter(|&base| base <= last) {
        let fits = |order: &u8| base & mask(*order) == 0 && last - base >= mask(*order);
        let order = (0..=128).rev().find(fits).unwrap_or(0);
        blocks.push((base, order));
        next = (base | mask(order)).checked_add(1);
    }
    blocks
}
