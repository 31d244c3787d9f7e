//! How full a pool is.

use crate::{amount::Amount, prefix_set::Counts};

/// How much of a pool, or of one prefix of it, is what: numbers of addresses that add up to `total`.
///
/// They are kept, not counted: asking costs nothing, however large the pool is.
#[derive(Clone, Copy, PartialEq, Debug)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct Usage {
    /// All that the pool has: what is excluded from it is not part of it.
    pub total: Amount,
    /// Held by owners.
    pub allocated: Amount,
    /// To be had.
    pub free: Amount,
    /// Set aside: given only to who asks for it by name.
    pub reserved: Amount,
    /// Released, and not to be had for a while.
    pub cooling: Amount,
    /// How many grants there are.
    pub grants: usize,
    /// The length of the largest free prefix; `None` where nothing is free.
    pub largest_free: Option<u8>,
    /// The part of what is free that is not in the largest free prefix, from 0 (all in one) to 1.
    pub fragmentation: f64,
}

impl Usage {
    pub(crate) fn new(counts: impl Iterator<Item = Counts>, width: u8) -> Self {
        let mut sum = Counts::default();
        for counts in counts {
            sum.free = sum.free.plus(counts.free);
            sum.owned = sum.owned.plus(counts.owned);
            sum.reserved = sum.reserved.plus(counts.reserved);
            sum.cooling = sum.cooling.plus(counts.cooling);
            sum.len += counts.len;
            sum.largest_free = sum.largest_free.max(counts.largest_free);
        }
        let fragmentation = match sum.largest_free {
            Some(order) => 1.0 - Amount::of_order(order).as_f64() / sum.free.as_f64(),
            None => 0.0,
        };
        Self {
            total: sum.owned.plus(sum.free).plus(sum.reserved).plus(sum.cooling),
            allocated: sum.owned,
            free: sum.free,
            reserved: sum.reserved,
            cooling: sum.cooling,
            grants: sum.len,
            largest_free: sum.largest_free.map(|order| width - order),
            fragmentation,
        }
    }
}
