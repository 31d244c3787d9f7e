//! What was given.

use core::time::Duration;

use ipnet::IpNet;

/// A subnet or an address that somebody has.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
pub struct Grant<'a, O> {
    /// What was given; a single address as a prefix of all its bits.
    pub prefix: IpNet,
    /// Whose it is.
    pub owner: &'a O,
    /// When it was given: whole seconds since the Unix epoch, to the year 2106.
    pub since: Duration,
}

/// The whole seconds of a time since the Unix epoch, as they are kept: later than 2106 is 2106.
pub(crate) fn seconds(now: Duration) -> u32 {
    u32::try_from(now.as_secs()).unwrap_or(u32::MAX)
}
