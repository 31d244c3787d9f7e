//! Where a row leads to.

use core::fmt;

use crate::{equal_cost::EqualCostId, remote::RemoteId};

/// Where the frames for a MAC address go: to a remote, to one of several that are as good, or nowhere.
///
/// ```
/// use fdb::{Destination, EqualCostId, RemoteId};
///
/// let remote = RemoteId::new(3).unwrap();
/// assert_eq!(Destination::from(remote).remote(), Some(remote));
/// assert_eq!(Destination::BLACKHOLE.remote(), None);
///
/// let group = EqualCostId::new(7).unwrap();
/// assert_eq!(Destination::from(group).equal_cost(), Some(group));
/// ```
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Destination(u32); // `kind(2) number(24)`: one word, so that lookups answer in registers

impl Destination {
    /// The bits in use.
    pub(crate) const BITS: u32 = 26;
    const NUMBER: u32 = 0xff_ffff;
    const SEVERAL: u32 = 1 << 24;
    const NOWHERE: u32 = 2 << 24;

    /// Nowhere: the frames are dropped. Nothing that is received moves such a row.
    pub const BLACKHOLE: Self = Self(Self::NOWHERE);

    /// The remote, where it is one.
    #[must_use]
    #[inline]
    pub const fn remote(self) -> Option<RemoteId> {
        if self.0 <= Self::NUMBER { Some(RemoteId::from_stored(self.0)) } else { None }
    }

    /// The equal-cost group, where it is one: [`EqualCostTable::choose`](crate::EqualCostTable::choose) knows the remote.
    #[must_use]
    #[inline]
    pub const fn equal_cost(self) -> Option<EqualCostId> {
        if self.0 & !Self::NUMBER == Self::SEVERAL { EqualCostId::new(self.0 & Self::NUMBER) } else { None }
    }

    /// `true` for [`BLACKHOLE`](Self::BLACKHOLE).
    #[must_use]
    #[inline]
    pub const fn is_blackhole(self) -> bool {
        self.0 == Self::NOWHERE
    }

    pub(crate) const fn to_bits(self) -> u32 {
        self.0
    }

    #[inline]
    pub(crate) const fn from_bits(bits: u32) -> Self {
        Self(bits & ((1 << Self::BITS) - 1))
    }
}

impl From<RemoteId> for Destination {
    #[inline]
    fn from(remote: RemoteId) -> Self {
        Self(remote.get())
    }
}

impl From<EqualCostId> for Destination {
    #[inline]
    fn from(group: EqualCostId) -> Self {
        Self(Self::SEVERAL | group.get())
    }
}

impl fmt::Display for Destination {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.remote(), self.equal_cost()) {
            (Some(remote), _) => write!(f, "remote {}", remote.get()),
            (None, Some(group)) => write!(f, "equal-cost group {}", group.get()),
            (None, None) => f.write_str("blackhole"),
        }
    }
}

impl fmt::Debug for Destination {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Destination({self})")
    }
}

#[cfg(test)]
mod tests {
    use std::{format, string::ToString as _};

    use super::*;

    #[test]
    fn bits_are_there_and_back() {
        for number in [0, 1, 77, RemoteId::MAX.get()] {
            let to = Destination::from(RemoteId::new(number).unwrap());
            assert_eq!(Destination::from_bits(to.to_bits()), to);
            assert_eq!(to.remote().map(RemoteId::get), Some(number));
            assert!(to.to_bits() >> Destination::BITS == 0 && !to.is_blackhole());
        }
        for number in [0, 5, EqualCostId::MAX.get()] {
            let group = EqualCostId::new(number).unwrap();
            let to = Destination::from(group);
            assert_eq!(Destination::from_bits(to.to_bits()), to);
            assert_eq!((to.equal_cost(), to.remote(), to.is_blackhole()), (Some(group), None, false));
        }
        assert_eq!(Destination::from(RemoteId::MAX).equal_cost(), None);
        assert_eq!(Destination::from(EqualCostId::MAX).to_string(), "equal-cost group 65535");
        let nowhere = Destination::BLACKHOLE;
        assert_eq!(nowhere.equal_cost(), None);
        assert_eq!(Destination::from_bits(nowhere.to_bits() | 5 << Destination::BITS), nowhere);
        assert!(nowhere.remote().is_none() && nowhere.is_blackhole());
        assert_eq!(nowhere.to_string(), "blackhole");
        assert_eq!(format!("{:?}", Destination::from(RemoteId::MAX)), "Destination(remote 16777214)");
    }
}
