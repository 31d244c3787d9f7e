//! Options of UDP sockets that no library offers.
#![allow(unsafe_code)]

use std::{net::UdpSocket, os::fd::AsRawFd};

fn set(socket: &UdpSocket, level: libc::c_int, name: libc::c_int, value: libc::c_int) {
    // SAFETY: the pointer and the length describe `value`, which outlives the call; the kernel only reads it.
    let status = unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            level,
            name,
            (&raw const value).cast(),
            size_of::<libc::c_int>() as libc::socklen_t,
        )
    };
    assert_eq!(status, 0, "{}", std::io::Error::last_os_error());
}

/// Has the kernel cut what is sent into datagrams of so many bytes (`UDP_SEGMENT`); 0: no more.
pub(crate) fn cut_sends(socket: &UdpSocket, segment: u16) {
    set(socket, libc::SOL_UDP, libc::UDP_SEGMENT, segment.into());
}

/// Sends without a checksum (IPv4).
pub(crate) fn send_without_checksum(socket: &UdpSocket) {
    set(socket, libc::SOL_SOCKET, libc::SO_NO_CHECK, 1);
}

/// Room for bursts while a busy machine gives the receiver no time.
pub(crate) fn enlarge_receive_buffer(socket: &UdpSocket) {
    set(socket, libc::SOL_SOCKET, libc::SO_RCVBUFFORCE, 1 << 27);
}

/// DSCP and ECN of what is sent, IPv4 or IPv6.
pub(crate) fn mark(socket: &UdpSocket, traffic_class: u8) {
    if socket.local_addr().unwrap().is_ipv6() {
        set(socket, libc::IPPROTO_IPV6, libc::IPV6_TCLASS, traffic_class.into());
    } else {
        set(socket, libc::IPPROTO_IP, libc::IP_TOS, traffic_class.into());
    }
}

/// TTL or hop limit of what is sent, IPv4 or IPv6.
pub(crate) fn set_hops(socket: &UdpSocket, hops: u8) {
    if socket.local_addr().unwrap().is_ipv6() {
        set(socket, libc::IPPROTO_IPV6, libc::IPV6_UNICAST_HOPS, hops.into());
    } else {
        set(socket, libc::IPPROTO_IP, libc::IP_TTL, hops.into());
    }
}
