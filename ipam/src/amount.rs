//! How many addresses: from none to 2¹²⁸.

use core::fmt::{self, Display, Formatter};

/// A number of addresses, from 0 to 2¹²⁸: one more than a `u128` holds, because `::/0` has as many.
///
/// ```
/// use ipam::Amount;
///
/// assert_eq!(Amount::from(256).to_string(), "256");
/// assert_eq!(Amount::of_prefix(128, 0).to_string(), "340282366920938463463374607431768211456");
/// assert_eq!(u128::try_from(Amount::of_prefix(128, 64)), Ok(1 << 64));
/// ```
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub struct Amount {
    // In this order, so that the derived comparison is that of the numbers.
    whole: bool,
    low: u128,
}

impl Amount {
    /// No address.
    pub const ZERO: Self = Self { whole: false, low: 0 };

    /// The addresses of a prefix of `length` bits where an address has `width` (32 or 128): 2^(`width` − `length`).
    ///
    /// # Panics
    ///
    /// Where `length` is larger than `width`, or `width` than 128.
    #[must_use]
    pub const fn of_prefix(width: u8, length: u8) -> Self {
        assert!(width <= 128 && length <= width);
        Self::of_order(width - length)
    }

    /// 2^`order`; `order` is at most 128.
    pub(crate) const fn of_order(order: u8) -> Self {
        if order >= 128 { Self { whole: true, low: 0 } } else { Self { whole: false, low: 1 << order } }
    }

    /// The sum; callers add parts of one address space, which never holds more than 2¹²⁸.
    #[must_use]
    pub(crate) const fn plus(self, other: Self) -> Self {
        let (low, carry) = self.low.overflowing_add(other.low);
        Self { whole: self.whole | other.whole | carry, low }
    }

    /// The difference; callers take away what is part of it.
    #[must_use]
    pub(crate) const fn minus(self, other: Self) -> Self {
        let (low, borrow) = self.low.overflowing_sub(other.low);
        Self { whole: self.whole && !other.whole && !borrow, low }
    }

    /// Whether it is none.
    #[must_use]
    pub const fn is_zero(self) -> bool {
        !self.whole && self.low == 0
    }

    /// As a floating-point number, for ratios.
    #[must_use]
    #[expect(clippy::cast_precision_loss, reason = "a ratio needs no more")]
    pub fn as_f64(self) -> f64 {
        if self.whole { 340_282_366_920_938_463_463_374_607_431_768_211_456.0 } else { self.low as f64 }
    }
}

impl From<u128> for Amount {
    fn from(low: u128) -> Self {
        Self { whole: false, low }
    }
}

/// 2¹²⁸ does not fit.
impl TryFrom<Amount> for u128 {
    type Error = core::num::TryFromIntError;

    fn try_from(amount: Amount) -> Result<Self, Self::Error> {
        if amount.whole { Err(u8::try_from(256_u16).unwrap_err()) } else { Ok(amount.low) }
    }
}

impl Display for Amount {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        if self.whole { f.pad_integral(true, "", "340282366920938463463374607431768211456") } else { self.low.fmt(f) }
    }
}

/// A number; 2¹²⁸, which no number of serde's holds, is the text of its digits.
#[cfg(feature = "serde")]
impl serde::Serialize for Amount {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if self.whole {
            serializer.collect_str(self)
        } else if let Ok(small) = u64::try_from(self.low) {
            serializer.serialize_u64(small)
        } else {
            serializer.serialize_u128(self.low)
        }
    }
}

#[cfg(test)]
mod tests {
    use std::string::ToString;

    use super::*;

    const WHOLE: Amount = Amount::of_order(128);

    #[test]
    fn halves_make_a_whole() {
        let half = Amount::of_order(127);
        assert_eq!(half.plus(half), WHOLE);
        assert_eq!(WHOLE.minus(half), half);
        assert_eq!(WHOLE.minus(WHOLE), Amount::ZERO);
        assert_eq!(Amount::from(u128::MAX).plus(1.into()), WHOLE);
        assert_eq!(WHOLE.minus(1.into()), u128::MAX.into());
        assert!(WHOLE > u128::MAX.into() && half > Amount::ZERO && !half.is_zero() && Amount::ZERO.is_zero());
    }

    #[test]
    fn as_text_and_as_numbers() {
        assert_eq!(WHOLE.to_string(), "340282366920938463463374607431768211456");
        assert_eq!(Amount::from(7).to_string(), "7");
        assert_eq!(std::format!("{:>4}", Amount::from(7)), "   7");
        assert!(u128::try_from(WHOLE).is_err());
        assert_eq!(WHOLE.as_f64().to_bits(), 2_f64.powi(128).to_bits());
    }
}
