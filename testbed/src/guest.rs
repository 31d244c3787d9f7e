//! Guests of hosts: who is inside the tunnels.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::family::Family;

/// A guest's device.
pub(crate) const GUEST_DEVICE: &str = "eth0";

/// What the guest of the host with this number has: `10.50.0.N` or `fd00:50::N`.
#[must_use]
pub fn guest_address(number: u8, family: Family) -> IpAddr {
    match family {
        Family::V4 => Ipv4Addr::new(10, 50, 0, number).into(),
        Family::V6 => Ipv6Addr::new(0xfd00, 0x50, 0, 0, 0, 0, 0, number.into()).into(),
    }
}
