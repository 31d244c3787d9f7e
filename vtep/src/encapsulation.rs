//! The kinds of tunnel header that a segment can have.

use core::fmt;

use overlay_types::Vni;
use vxlan_wire::{DecodeError, VxlanHeader};

use crate::DropReason;

/// The tunnel header of a segment, and what follows from it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Encapsulation {
    /// VXLAN (RFC 7348): eight bytes behind a UDP header.
    Vxlan,
}

/// What stands before the inner frame of a datagram.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Decoded {
    pub(crate) vni: Vni,
    /// Where the inner frame begins, in bytes from the tunnel header's first.
    pub(crate) header_len: usize,
    pub(crate) reserved_bits: bool,
}

impl Encapsulation {
    /// The name in configurations, `vxlan`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Vxlan => "vxlan",
        }
    }

    /// The UDP port that IANA assigned: 4789.
    #[must_use]
    pub const fn default_port(self) -> u16 {
        match self {
            Self::Vxlan => VxlanHeader::UDP_PORT,
        }
    }

    /// The bytes between the outer IP header's first and the inner frame's first: IP, UDP and tunnel header.
    #[must_use]
    pub const fn header_overhead(self, underlay_is_ipv6: bool) -> u16 {
        let ip = if underlay_is_ipv6 { 40 } else { 20 };
        match self {
            Self::Vxlan => ip + 8 + 8,
        }
    }

    /// What an underlay's MTU must have over the inner MTU: the outer headers and the inner Ethernet header. 50 bytes for
    /// VXLAN over IPv4, 70 over IPv6.
    #[must_use]
    pub const fn mtu_overhead(self, underlay_is_ipv6: bool) -> u16 {
        self.header_overhead(underlay_is_ipv6) + 14
    }

    /// The tunnel header that each datagram of this segment begins with.
    pub(crate) fn header(self, vni: Vni) -> [u8; VxlanHeader::LEN] {
        match self {
            Self::Vxlan => VxlanHeader::new(vni).to_bytes(),
        }
    }

    /// Reads the tunnel header at the start of `datagram`.
    pub(crate) fn decode(self, datagram: &[u8]) -> Result<Decoded, DropReason> {
        match self {
            Self::Vxlan => match VxlanHeader::decode(datagram) {
                Ok((header, _)) => Ok(Decoded {
                    vni: header.vni(),
                    header_len: VxlanHeader::LEN,
                    reserved_bits: header.has_reserved_bits(),
                }),
                Err(DecodeError::Truncated { .. }) => Err(DropReason::Truncated),
                Err(_) => Err(DropReason::InvalidHeader),
            },
        }
    }
}

impl fmt::Display for Encapsulation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}
