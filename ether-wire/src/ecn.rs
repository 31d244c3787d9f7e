//! Explicit congestion notification across a tunnel: RFC 6040 as two total functions.
//!
//! ```
//! use ether_wire::ecn::{Ecn, EcnMode, decapsulate, encapsulate};
//!
//! let outer = encapsulate(EcnMode::Normal, Ecn::Ect0);
//! assert_eq!(outer, Ecn::Ect0);
//! // A router on the way was congested.
//! assert_eq!(decapsulate(Ecn::Ect0, Ecn::Ce), Some(Ecn::Ce));
//! // Whoever does not know ECN must see the congestion as loss.
//! assert_eq!(decapsulate(Ecn::NotEct, Ecn::Ce), None);
//! ```

/// The ECN field: the two low bits of IPv4's type of service and IPv6's traffic class (RFC 3168 §5).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(feature = "arbitrary", derive(arbitrary::Arbitrary))]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize), serde(rename_all = "snake_case"))]
#[repr(u8)]
pub enum Ecn {
    /// `00`: the transport does not know ECN.
    #[default]
    NotEct = 0b00,
    /// `01`: ECN-capable transport, also the identifier of L4S (RFC 9331).
    Ect1 = 0b01,
    /// `10`: ECN-capable transport.
    Ect0 = 0b10,
    /// `11`: congestion experienced.
    Ce = 0b11,
}

impl Ecn {
    /// The field in the two low bits of `bits`; the others are not looked at.
    #[inline]
    #[must_use]
    pub const fn from_bits(bits: u8) -> Self {
        match bits & 0b11 {
            0b00 => Self::NotEct,
            0b01 => Self::Ect1,
            0b10 => Self::Ect0,
            _ => Self::Ce,
        }
    }

    /// The two bits, 0 to 3.
    #[inline]
    #[must_use]
    pub const fn bits(self) -> u8 {
        self as u8
    }
}

/// What a tunnel ingress puts into the outer header (RFC 6040 §4.1).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "arbitrary", derive(arbitrary::Arbitrary))]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize), serde(rename_all = "snake_case"))]
pub enum EcnMode {
    /// The outer header takes the inner field: the egress is known to follow RFC 6040 or RFC 4301, or RFC 3168 in full.
    #[default]
    Normal,
    /// The outer header says Not-ECT: the egress may not know ECN.
    Compatibility,
}

/// The outer field for a packet with this inner field (RFC 6040 §4.1, figure 3).
///
/// In normal mode CE stays CE; Linux and Open vSwitch make ECT(0) of it, as RFC 3168 §9.1.1 had it.
#[inline]
#[must_use]
pub const fn encapsulate(mode: EcnMode, inner: Ecn) -> Ecn {
    match mode {
        EcnMode::Normal => inner,
        EcnMode::Compatibility => Ecn::NotEct,
    }
}

/// The field that the inner header leaves the tunnel with, or `None` where the packet must be dropped (RFC 6040 §4.2,
/// figure 4): the outer header says congestion to a transport that would not understand the mark.
///
/// Three more pairs do not happen unless someone on the way broke the rules, and may be worth a log line (§4.2): inner
/// Not-ECT with outer ECT(0) or ECT(1), and inner CE with outer ECT(1).
#[inline]
#[must_use]
pub const fn decapsulate(inner: Ecn, outer: Ecn) -> Option<Ecn> {
    Some(match (inner, outer) {
        (Ecn::NotEct, Ecn::Ce) => return None,
        (Ecn::NotEct, _) => Ecn::NotEct,
        (Ecn::Ect0, Ecn::Ect1) => Ecn::Ect1,
        (Ecn::Ce, _) | (_, Ecn::Ce) => Ecn::Ce,
        (inner, _) => inner,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use Ecn::{Ce, Ect0, Ect1, NotEct};

    const ALL: [Ecn; 4] = [NotEct, Ect0, Ect1, Ce];

    #[test]
    fn every_byte_has_a_field() {
        for byte in 0..=u8::MAX {
            assert_eq!(Ecn::from_bits(byte).bits(), byte & 3);
        }
        assert_eq!(ALL.map(Ecn::bits), [0b00, 0b10, 0b01, 0b11]);
    }

    #[test]
    fn figure_3_whole() {
        for inner in ALL {
            assert_eq!(encapsulate(EcnMode::Normal, inner), inner);
            assert_eq!(encapsulate(EcnMode::Compatibility, inner), NotEct);
        }
    }

    #[test]
    fn figure_4_whole() {
        // Outer:             Not-ECT       ECT(0)        ECT(1)        CE
        let figure = [
            (NotEct, [Some(NotEct), Some(NotEct), Some(NotEct), None]),
            (Ect0, [Some(Ect0), Some(Ect0), Some(Ect1), Some(Ce)]),
            (Ect1, [Some(Ect1), Some(Ect1), Some(Ect1), Some(Ce)]),
            (Ce, [Some(Ce), Some(Ce), Some(Ce), Some(Ce)]),
        ];
        for (inner, row) in figure {
            for (outer, expected) in ALL.into_iter().zip(row) {
                assert_eq!(decapsulate(inner, outer), expected, "inner {inner:?}, outer {outer:?}");
            }
        }
    }

    #[test]
    fn there_and_back_changes_nothing() {
        for mode in [EcnMode::Normal, EcnMode::Compatibility] {
            for inner in ALL {
                assert_eq!(decapsulate(inner, encapsulate(mode, inner)), Some(inner));
            }
        }
    }
}
