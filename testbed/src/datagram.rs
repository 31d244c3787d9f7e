//! Datagrams made by hand.

use std::net::UdpSocket;

use socket2::SockRef;

use crate::deadline::fail;

/// Has a socket send its IPv4 datagrams with this DSCP and ECN.
#[track_caller]
pub fn mark(socket: &UdpSocket, traffic_class: u8) {
    if let Err(error) = SockRef::from(socket).set_tos_v4(traffic_class.into()) {
        fail(format_args!("type of service {traffic_class:#04x}: {error}"));
    }
}
