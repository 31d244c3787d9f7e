//! The number of a segment.

use core::fmt;

use overlay_types::Vni;

/// The 24-bit number of a segment: one virtual layer-2 network, whatever its encapsulation.
///
/// A VNI (RFC 7348 §5, RFC 8926 §3.4) and a VSID (RFC 7637 §3.2) both fit; which of them it is, the table does not ask.
/// A caller with several encapsulations gives each segment a number of its own.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SegmentId(u32);

impl SegmentId {
    /// The largest number, 2²⁴ − 1.
    pub const MAX: Self = Self(0xff_ffff);

    /// The segment `value`, or `None` where it takes more than 24 bits.
    #[must_use]
    pub const fn new(value: u32) -> Option<Self> {
        if value <= Self::MAX.0 { Some(Self(value)) } else { None }
    }

    /// The number, 0 to 16777215.
    #[must_use]
    pub const fn get(self) -> u32 {
        self.0
    }

    /// The number that is in a table, where none but those of segments are.
    pub(crate) const fn from_stored(value: u32) -> Self {
        Self(value & Self::MAX.0)
    }
}

impl From<Vni> for SegmentId {
    fn from(vni: Vni) -> Self {
        Self(vni.get())
    }
}

impl fmt::Display for SegmentId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Debug for SegmentId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SegmentId({})", self.0)
    }
}

#[cfg(test)]
mod tests {
    use std::string::ToString as _;

    use super::*;

    #[test]
    fn of_24_bits() {
        assert_eq!(SegmentId::new(0).map(SegmentId::get), Some(0));
        assert_eq!(SegmentId::new(0xff_ffff), Some(SegmentId::MAX));
        assert_eq!(SegmentId::new(1 << 24), None);
        assert_eq!(SegmentId::from(Vni::MAX), SegmentId::MAX);
        assert_eq!(SegmentId::MAX.to_string(), "16777215");
    }
}
