//! The word that says what a row says.

/// What stands in the value word of a slot: `tag(16) away(1) tick(23) group(24)`. No row is of group 0.
///
/// Tag and away bit belong to the place: they are put in by the slot.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Value(u64);

impl Value {
    /// The number of ticks after which they start again.
    pub(crate) const TICKS: u32 = 1 << 23;
    const TAG: u32 = 48;
    const AWAY: u64 = 1 << 47;
    const TICK: u32 = 24;
    const TICK_MASK: u64 = (Self::TICKS as u64 - 1) << Self::TICK;
    const GROUP_MASK: u64 = (1 << Self::TICK) - 1;
    const PLACE_MASK: u64 = 0xffff << Self::TAG | Self::AWAY;

    /// A value that is at no place yet.
    pub(crate) fn new(tick: u32, group: u32) -> Self {
        let tick = u64::from(tick % Self::TICKS) << Self::TICK;
        Self(tick | u64::from(group) & Self::GROUP_MASK)
    }

    /// What is left where a row was: its tag, so that the next row has another one.
    pub(crate) const fn gone(tag: u16) -> Self {
        Self((tag as u64) << Self::TAG)
    }

    /// `true` for what is left where a row was.
    pub(crate) const fn is_gone(self) -> bool {
        self.group() == 0
    }

    #[inline]
    pub(crate) const fn to_bits(self) -> u64 {
        self.0
    }

    #[inline]
    pub(crate) const fn from_bits(bits: u64) -> Self {
        Self(bits)
    }

    /// The tick of the last frame received, modulo [`TICKS`](Self::TICKS).
    #[inline]
    pub(crate) const fn tick(self) -> u32 {
        ((self.0 & Self::TICK_MASK) >> Self::TICK) as u32
    }

    #[inline]
    pub(crate) const fn group(self) -> u32 {
        (self.0 & Self::GROUP_MASK) as u32
    }

    #[inline]
    pub(crate) const fn tag(self) -> u16 {
        (self.0 >> Self::TAG) as u16
    }

    /// `true` where the row stands in its second bucket.
    #[inline]
    pub(crate) const fn is_away(self) -> bool {
        self.0 & Self::AWAY != 0
    }

    #[inline]
    pub(crate) fn with_tick(self, tick: u32) -> Self {
        Self(self.0 & !Self::TICK_MASK | u64::from(tick % Self::TICKS) << Self::TICK)
    }

    /// At a place.
    pub(crate) fn at(self, tag: u16, away: bool) -> Self {
        let place = u64::from(tag) << Self::TAG | if away { Self::AWAY } else { 0 };
        Self(self.0 & !Self::PLACE_MASK | place)
    }

    /// At the place of another one.
    pub(crate) const fn at_place_of(self, other: Self) -> Self {
        Self(self.0 & !Self::PLACE_MASK | other.0 & Self::PLACE_MASK)
    }

    /// `true` where nothing but the tick differs.
    #[inline]
    pub(crate) const fn same_row(self, other: Self) -> bool {
        (self.0 ^ other.0) & !Self::TICK_MASK == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn holds_its_fields() {
        for (tick, group) in [(0, 0), (Value::TICKS - 1, 0xff_ffff), (5, 0), (0, 0xff_ffff), (9, 1)] {
            for away in [false, true] {
                let value = Value::new(tick, group).at(0xffff, away);
                assert_eq!((value.tick(), value.group(), value.tag(), value.is_away()), (tick, group, 0xffff, away));
                let other = value.with_tick(77).at(1, !away);
                assert_eq!((other.tick(), other.group(), other.tag(), other.is_away()), (77, group, 1, !away));
                assert!(value.same_row(value.with_tick(3)));
                assert!(!value.same_row(other));
                assert_eq!(other.at_place_of(value), value.with_tick(77));
            }
        }
        assert_eq!(Value::new(Value::TICKS + 1, 1 << 24), Value::new(1, 0));
        assert_eq!(Value::gone(7).tag(), 7);
        assert!(Value::gone(7).is_gone() && Value::new(1, 0).is_gone() && !Value::new(0, 1).is_gone());
    }
}
