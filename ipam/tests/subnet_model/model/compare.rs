//! All that can be asked of a pool, beside what it should be.

use ipam::{Amount, Grant, Usage};
use ipnet::IpNet;

use super::{Cell, Given, OWNERS, Pair, Span, mask, number, span};

impl Pair {
    fn compare_usage(&self, usage: &Usage, prefixes: &[Span]) {
        let amount = |is_so: &dyn Fn(Cell) -> bool| {
            let parts: Vec<Amount> = prefixes.iter().map(|&prefix| self.space.amount(prefix, is_so)).collect();
            let sum = parts.iter().fold(0, |sum, &part| number_of(part).wrapping_add(sum));
            // All of 2^128 comes out as none.
            if sum == 0 && parts.iter().any(|part| !part.is_zero()) { Amount::of_prefix(128, 0) } else { sum.into() }
        };
        let free = amount(&Cell::is_free);
        let allocated = amount(&|cell| cell.owner.is_some());
        let reserved = amount(&|cell| cell.owner.is_none() && !cell.excluded && cell.reserved);
        assert_eq!(
            (usage.total, usage.allocated, usage.free, usage.reserved, usage.cooling),
            (amount(&|cell| !cell.excluded), allocated, free, reserved, Amount::ZERO)
        );
        let parts = [usage.allocated, usage.free, usage.reserved, usage.cooling];
        assert_eq!(parts.into_iter().fold(0, |sum, part| number_of(part).wrapping_add(sum)), number_of(usage.total));
        let is_here =
            |given: &&Given| prefixes.iter().any(|prefix| (prefix.0..=prefix.1).contains(&span(given.prefix).0));
        assert_eq!(usage.grants, self.grants.values().filter(is_here).count());
        let blocks = prefixes.iter().flat_map(|&prefix| self.space.free_blocks(prefix));
        let largest = blocks.map(|(_, order)| order).max();
        assert_eq!(usage.largest_free, largest.map(|order| self.width - order));
        let fragmentation = largest.map_or(0.0, |order| 1.0 - 2_f64.powi(order.into()) / free.as_f64());
        assert_eq!(usage.fragmentation.to_bits(), fragmentation.to_bits());
    }

    pub(crate) fn compare(&self) {
        let prefixes = self.prefixes();
        self.compare_usage(&self.pool.usage(), &prefixes);
        let by_prefix: Vec<(IpNet, Usage)> = self.pool.usage_by_prefix().collect();
        assert_eq!(by_prefix.iter().map(|(prefix, _)| span(*prefix)).collect::<Vec<_>>(), prefixes);
        for (prefix, usage) in &by_prefix {
            self.compare_usage(usage, &[span(*prefix)]);
        }

        let of = |given: &Given| (given.prefix, OWNERS[given.owner], given.since);
        let ours =
            |grant: Grant<'_, String>| (grant.prefix, OWNERS.iter().position(|name| name == grant.owner).unwrap());
        let grants: Vec<(IpNet, usize)> = self.pool.grants().map(ours).collect();
        assert!(grants.windows(2).all(|pair| span(pair[0].0).1 < span(pair[1].0).0), "{grants:?} overlap");
        assert!(grants.iter().all(|&(prefix, _)| self.within(span(prefix))), "{grants:?} are not within the pool");
        let grants: Vec<_> = self.pool.grants().collect();
        let answers = grants.iter().map(|grant| (grant.prefix, grant.owner.as_str(), grant.since));
        assert!(answers.eq(self.grants.values().map(of)), "{grants:?}");
        for (owner, name) in OWNERS.into_iter().enumerate() {
            let mut theirs: Vec<_> =
                self.pool.grants_of(name).map(|grant| (grant.prefix, grant.owner.as_str(), grant.since)).collect();
            theirs.sort_unstable_by_key(|&(prefix, ..)| span(prefix));
            assert!(theirs.into_iter().eq(self.grants.values().filter(|given| given.owner == owner).map(of)));
        }
        let ends = self.grants.values().map(|given| span(given.prefix)).chain(prefixes.iter().copied());
        for address in ends.flat_map(|(first, last)| [first.wrapping_sub(1), first, last, last.wrapping_add(1)]) {
            let address = address & mask(self.width);
            let grant = self.pool.get(self.address(address));
            let grant = grant.map(|grant| (grant.prefix, grant.owner.as_str(), grant.since));
            assert_eq!(grant, self.given(address).as_ref().map(of));
        }
        for &prefix in &self.options.prefixes {
            let (first, last) = span(prefix);
            let orphans = self.grants.range(first..=last).map(|(_, given)| given.prefix);
            assert!(self.pool.orphans(prefix).map(|grant| grant.prefix).eq(orphans));
        }
        assert_eq!(self.pool.options().prefixes, self.options.prefixes);
        self.compare_reserved();
    }

    /// The reserved ranges may be cut in any way, but never overlap.
    fn compare_reserved(&self) {
        let join = |runs: &mut Vec<Span>, (first, last): Span| match runs.last_mut() {
            Some(run) if run.1.checked_add(1) == Some(first) => run.1 = last,
            Some(run) => {
                assert!(run.1 < first, "in order, without overlaps");
                runs.push((first, last));
            }
            None => runs.push((first, last)),
        };
        let (mut ours, mut expected) = (Vec::new(), Vec::new());
        for range in &self.pool.options().reserved {
            join(&mut ours, (number(range.start()), number(range.end())));
        }
        for prefix in self.prefixes() {
            for run in self.space.runs(prefix, |cell| cell.reserved) {
                join(&mut expected, run);
            }
        }
        assert_eq!(ours, expected);
    }
}

/// The number of an amount; 2^128 is 0.
fn number_of(amount: Amount) -> u128 {
    u128::try_from(amount).unwrap_or(0)
}
