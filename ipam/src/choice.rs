//! Which of the free ones is given.

use fastrand::Rng;

use crate::{block::Block, prefix_set::PrefixSet};

/// Which of the free blocks or addresses is given.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "snake_case"))]
#[non_exhaustive]
pub enum Choice {
    /// The lowest.
    #[default]
    Lowest,
    /// The lowest behind the one that was given last, and from the start again at the end: what was released comes late.
    Next,
    /// One at random among the lowest `among`: hosts that choose at the same time rarely choose the same. Flannel's has 100.
    Random {
        /// Among how many; 0 counts as 1.
        among: u32,
        /// The same seed gives the same sequence.
        seed: u64,
    },
    /// The lowest in the smallest free block with room for it: large ones stay whole.
    BestFit,
}

/// Chooses, and remembers what the next choice depends on.
#[derive(Clone, Debug)]
pub(crate) struct Chooser {
    choice: Choice,
    /// Where [`Choice::Next`] goes on.
    pub(crate) next: u128,
    /// What [`Choice::Random`] draws from.
    random: Rng,
}

impl Chooser {
    pub(crate) fn new(choice: Choice) -> Self {
        let seed = if let Choice::Random { seed, .. } = choice { seed } else { 0 };
        Self { choice, next: 0, random: Rng::with_seed(seed) }
    }

    /// A free block of this order.
    pub(crate) fn choose(&mut self, set: &mut PrefixSet, order: u8) -> Option<Block> {
        match self.choice {
            Choice::Lowest => set.find(order, 0, u128::MAX),
            Choice::BestFit => set.find_tightest(order),
            Choice::Next => {
                let found = set.find(order, self.next, u128::MAX).or_else(|| set.find(order, 0, u128::MAX))?;
                self.go_on_behind(found);
                Some(found)
            }
            Choice::Random { among, .. } => {
                let mut chosen = set.find(order, 0, u128::MAX)?;
                let mut last = chosen;
                // Each candidate takes the place of those before it with the chance that leaves all of them equal.
                for count in 2..=among {
                    let Some(found) = last.last().checked_add(1).and_then(|from| set.find(order, from, u128::MAX))
                    else {
                        break;
                    };
                    last = found;
                    if self.random.u32(0..count) == 0 {
                        chosen = found;
                    }
                }
                Some(chosen)
            }
        }
    }

    /// Goes on from what was chosen in another process, or in this one before: a new start does not choose the same again.
    pub(crate) fn follow(&mut self, block: Block) {
        match self.choice {
            Choice::Next => self.go_on_behind(block),
            Choice::Random { .. } => drop(self.random.u64(..)),
            _ => {}
        }
    }

    /// Has [`Choice::Next`] go on behind this one.
    fn go_on_behind(&mut self, block: Block) {
        self.next = block.last().checked_add(1).unwrap_or(0);
    }
}
