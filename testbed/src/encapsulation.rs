//! The tunnels that peers speak.

use std::fmt;

use crate::family::Family;

/// What frames go through the underlay in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Encapsulation {
    /// RFC 7348.
    Vxlan,
    /// RFC 8926.
    Geneve,
    /// RFC 7637.
    Nvgre,
}

impl Encapsulation {
    /// All.
    pub const ALL: [Self; 3] = [Self::Vxlan, Self::Geneve, Self::Nvgre];

    /// What it adds to an inner Ethernet frame without options, with the Ethernet header inside.
    #[must_use]
    pub const fn overhead(self, family: Family) -> u32 {
        match self {
            Self::Vxlan | Self::Geneve => family.vxlan_overhead(),
            // No UDP.
            Self::Nvgre => family.vxlan_overhead() - 8,
        }
    }
}

/// The program's word.
impl fmt::Display for Encapsulation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Vxlan => "vxlan",
            Self::Geneve => "geneve",
            Self::Nvgre => "nvgre",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 7637 §3.2: 14 bytes of Ethernet, 20 or 40 of IP, 8 of GRE.
    #[test]
    fn nvgre_adds_less() {
        assert_eq!(Encapsulation::Nvgre.overhead(Family::V4), 42);
        assert_eq!(Encapsulation::Nvgre.overhead(Family::V6), 62);
        assert_eq!(Encapsulation::Geneve.overhead(Family::V6), 70);
    }
}
