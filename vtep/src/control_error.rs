//! What the control lane refuses.

use thiserror::Error;

/// Why the control lane refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum ControlError {
    /// There is no such segment.
    #[error("there is no such segment")]
    NoSuchSegment,
    /// A segment has this VNI on this port and encapsulation.
    #[error("another segment has this VNI on this port")]
    DuplicateVni,
    /// More segments than 2²⁴.
    #[error("there are as many segments as there can be")]
    TooManySegments,
    /// A field of the configuration is out of its range.
    #[error("{field} is out of range")]
    InvalidConfig {
        /// Which.
        field: &'static str,
    },
    /// Not the address of one interface.
    #[error("not a unicast MAC address")]
    InvalidMac,
    /// An address that no remote can have: unspecified, or a multicast group where one host is meant.
    #[error("not the address of one host")]
    InvalidRemote,
    /// An IPv6 address on an IPv4 underlay, or the other way round.
    #[error("an address of the other family than the underlay's")]
    OtherFamily,
    /// No remote has this address.
    #[error("no remote has this address")]
    NoSuchRemote,
    /// No row has this key.
    #[error("there is no such row")]
    NoSuchRow,
    /// As many remotes as there can be.
    #[error("there are as many remotes as there can be")]
    TooManyRemotes,
    /// No place for one more row.
    #[error("the table is full")]
    TableFull,
}
