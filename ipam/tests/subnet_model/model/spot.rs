//! Where a step takes place.

use std::net::{Ipv4Addr, Ipv6Addr};

use ipam::AddressRange;
use ipnet::IpNet;

use super::{Pair, mask};

/// Where a step takes place: by what is there, so that the steps meet. Numbers are taken modulo what there is.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Spot {
    /// Around the first address of a grant, of as many bits more or less.
    Grant(usize, i8),
    /// Just behind a grant, of its size.
    Behind(usize),
    /// Just before a grant, of its size.
    Before(usize),
    /// In a free block, of as many bits more or less.
    Free(usize, i8),
    /// A prefix of the pool.
    Whole(usize),
    /// At the start or at the end of a prefix of the pool.
    End(usize, bool, u8),
    /// Anywhere in a prefix of the pool.
    Within(usize, u128, u8),
    /// Anywhere at all.
    Any(u128, u8),
}

/// How a prefix is written.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Written {
    Well,
    /// With bits behind its length.
    HostBits,
    /// As one of the other family.
    OtherFamily,
}

impl Pair {
    pub(super) fn block(&self, spot: Spot) -> (u128, u8) {
        let fit = |order: i16| u8::try_from(order.max(0)).unwrap_or(u8::MAX).min(self.width);
        let off = |order: u8, by: i8| fit(i16::from(order) + i16::from(by));
        let grant = |nth: usize| {
            let (&base, given) = self.grants.iter().nth(nth % self.grants.len().max(1))?;
            Some((base, self.width - given.prefix.prefix_len()))
        };
        let prefixes = self.prefixes();
        let end = |nth: usize| prefixes[nth % prefixes.len()];
        let (base, order) = match spot {
            Spot::Grant(nth, by) => grant(nth).map(|(base, order)| (base, off(order, by))),
            Spot::Behind(nth) => {
                grant(nth).map(|(base, order)| (base.wrapping_add(mask(order)).wrapping_add(1), order))
            }
            Spot::Before(nth) => grant(nth).map(|(base, order)| (base.wrapping_sub(1), order)),
            Spot::Free(nth, by) => {
                let free = self.space.free_blocks(end(nth));
                free.get(nth / 7 % free.len().max(1)).map(|&(base, order)| (base, off(order, by)))
            }
            Spot::Whole(nth) => {
                let (first, last) = end(nth);
                Some((first, (0..=self.width).find(|&order| mask(order) == last - first).unwrap_or(0)))
            }
            Spot::End(nth, false, order) => Some((end(nth).0, fit(order.into()))),
            Spot::End(nth, true, order) => Some((end(nth).1, fit(order.into()))),
            Spot::Within(nth, number, order) => {
                let (first, last) = end(nth);
                let order = fit(order.into());
                Some((first | number & (last - first), if mask(order) > last - first { 0 } else { order }))
            }
            Spot::Any(number, order) => Some((number, fit(order.into()))),
        }
        .unwrap_or((prefixes[0].0, 0));
        (base & !mask(order) & mask(self.width), order)
    }

    pub(super) fn written(&self, spot: Spot, written: Written) -> IpNet {
        let (base, order) = self.block(spot);
        match written {
            Written::Well => self.prefix(base, order),
            Written::HostBits => self.prefix(base | mask(order), order),
            Written::OtherFamily if self.width == 32 => {
                IpNet::new(Ipv6Addr::from_bits(base).into(), 128 - order).unwrap()
            }
            Written::OtherFamily => {
                IpNet::new(Ipv4Addr::from_bits(base as u32).into(), 32 - order.min(32)).unwrap().trunc()
            }
        }
    }

    pub(super) fn range(&self, from: Spot, to: Spot) -> AddressRange {
        let ((first, low), (last, high)) = (self.block(from), self.block(to));
        let ((first, last), (other, end)) = ((first, last | mask(high)), (last, first | mask(low)));
        let range = if first <= last { (first, last) } else { (other, end) };
        AddressRange::new(self.address(range.0), self.address(range.1)).unwrap()
    }
}
