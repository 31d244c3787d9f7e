//! Why a frame or a datagram went no further.

use core::fmt;

macro_rules! drop_reasons {
    ($($(#[$doc:meta])* $variant:ident = $name:literal,)+) => {
        /// Why a frame or a datagram was neither sent nor delivered. Each is counted under exactly one reason.
        ///
        /// The names ([`as_str`](Self::as_str)) are those of the program's counters.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[repr(u8)]
        #[non_exhaustive]
        pub enum DropReason { $($(#[$doc])* $variant,)+ }

        impl DropReason {
            /// Every reason, in the order of their numbers.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)+];

            /// How many reasons there are.
            pub const COUNT: usize = Self::ALL.len();

            /// The reason's name in snake case, as counters and log lines have it.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $name,)+ }
            }
        }
    };
}

drop_reasons! {
    /// Shorter than its tunnel header, than the options that this announces, or than a whole inner Ethernet header behind it.
    Truncated = "truncated",
    /// VXLAN without the I flag (RFC 7348 §5): there is no VNI to go by. GRE whose flags are not those of NVGRE (RFC 7637 §3.2).
    InvalidHeader = "invalid_header",
    /// A reserved bit is set and the segment's policy is [`ReservedBits::Reject`](crate::ReservedBits::Reject).
    ReservedBits = "reserved_bits",
    /// Geneve (RFC 8926 §3.4) or GRE (RFC 2784 §2.3.1) of a version that is not 0.
    UnknownVersion = "unknown_version",
    /// No segment of the underlay that it came by has this VNI on this port and encapsulation.
    UnknownVni = "unknown_vni",
    /// The datagram's source is no remote of the segment.
    UnknownSource = "unknown_source",
    /// Geneve options that overrun their length or don't add up to it (RFC 8926 §3.5), or a C flag without any option (§3.4).
    InvalidOptions = "invalid_options",
    /// A critical Geneve option that the segment does not know (RFC 8926 §3.5).
    UnknownCriticalOption = "unknown_critical_option",
    /// A Geneve control packet (the O flag, RFC 8926 §3.4): nothing for a tenant.
    ControlPacket = "control_packet",
    /// The payload is not Ethernet.
    WrongProtocolType = "wrong_protocol_type",
    /// A VLAN tag inside, where tags are not carried (RFC 7348 §6.1).
    VlanTag = "vlan_tag",
    /// Outer CE on an inner packet that is not ECN-capable (RFC 6040 §4.2).
    Ecn = "ecn",
    /// From a tunnel, with the MAC of our own TAP as its source: a loop, or a forgery.
    OwnMac = "own_mac",
    /// From a TAP, with a source MAC that is not a valid unicast one, or that anti-spoofing forbids.
    SourceMac = "source_mac",
    /// From a TAP, with a source IP address that anti-spoofing forbids, or one that can't be read.
    SourceIp = "source_ip",
    /// From a tunnel, and its source MAC has a static or registry row at another remote. The row stays.
    StaticMoved = "static_moved",
    /// From a tunnel, for a MAC that is behind another remote: what came from a tunnel never goes back into one.
    SplitHorizon = "split_horizon",
    /// ARP or Neighbor Discovery that is malformed (RFC 826, RFC 4861 §7.1) or whose sender no host can be, where the segment
    /// looks at it ([`SegmentConfig::suppress`](crate::SegmentConfig::suppress)).
    InvalidNeighborMessage = "invalid_neighbor_message",
    /// From a TAP, and a packet of our own tunnels: the host's route to a remote leads into the overlay.
    RoutingLoop = "routing_loop",
    /// From a TAP, and there is nobody to send it to.
    NoRemote = "no_remote",
    /// Over the rate for broadcast, unknown unicast or multicast.
    Storm = "storm",
    /// Does not fit and must not be fragmented (RFC 7348 §4.3).
    TooBig = "too_big",
    /// The system refused to send it, or to take it on the TAP.
    Socket = "socket",
}

impl fmt::Display for DropReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn numbers_are_places_in_all() {
        for (place, reason) in DropReason::ALL.iter().enumerate() {
            assert_eq!(*reason as usize, place);
        }
    }

    #[test]
    fn names_are_distinct_and_in_snake_case() {
        let names: BTreeSet<_> = DropReason::ALL.iter().map(|reason| reason.as_str()).collect();
        assert_eq!(names.len(), DropReason::COUNT);
        assert!(names.iter().all(|name| name.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_')));
    }
}
