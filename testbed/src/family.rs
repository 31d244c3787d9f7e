//! The two families of addresses.

/// IPv4 or IPv6: most things are tested over both.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Family {
    /// IPv4.
    V4,
    /// IPv6.
    V6,
}

impl Family {
    /// Both.
    pub const ALL: [Self; 2] = [Self::V4, Self::V6];

    /// What VXLAN adds to an inner Ethernet frame, with the Ethernet header inside: RFC 7348 §5.
    #[must_use]
    pub const fn vxlan_overhead(self) -> u32 {
        match self {
            Self::V4 => 50,
            Self::V6 => 70,
        }
    }
}
