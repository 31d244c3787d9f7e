//! What the kernel knows of the way to a remote: its path MTU.
//!
//! An ICMP message that a packet was too big reaches the kernel; it looks for the socket that has sent what the message
//! quotes, and only where there is one it keeps the MTU, beside the route, for ten minutes (`net.ipv4.route.mtu_expires`). So
//! nothing is left to check here, and a route with an MTU of its own counts, too.

use std::{io, net::IpAddr};

use rustix::net::sockopt::{ip_mtu, ipv6_mtu};
use socket2::Socket;

use super::{Share, Underlay, deafen};

/// Where nobody listens: nothing is sent there (RFC 863).
const DISCARD: u16 = 9;

/// A socket to ask with. It is connected to one remote after the other.
#[derive(Debug)]
pub(crate) struct PathSocket(Socket);

impl PathSocket {
    pub(crate) fn open(underlay: &Underlay) -> io::Result<Self> {
        let socket = underlay.socket(underlay.socket_address(underlay.local, 0), Share::Alone)?;
        deafen(&socket)?;
        Ok(Self(socket))
    }

    /// The largest packet of the underlay for this remote, in bytes.
    pub(crate) fn mtu(&self, underlay: &Underlay, remote: IpAddr) -> io::Result<u16> {
        self.0.connect(&underlay.socket_address(remote, DISCARD).into())?;
        let mtu = if remote.is_ipv6() { ipv6_mtu(&self.0) } else { ip_mtu(&self.0) }?;
        Ok(u16::try_from(mtu).unwrap_or(u16::MAX))
    }
}
