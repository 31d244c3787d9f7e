//! Which of the free ones is given.

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
