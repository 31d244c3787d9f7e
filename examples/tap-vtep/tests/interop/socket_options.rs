//! Options of UDP sockets that no library offers.
#![allow(unsafe_code)]

use std::{
    net::{Ipv6Addr, UdpSocket},
    os::fd::AsRawFd,
};

fn set<T: Copy>(socket: &UdpSocket, level: libc::c_int, name: libc::c_int, value: T) {
    // SAFETY: the pointer and the length describe `value`, which outlives the call; the kernel only reads it.
    let status = unsafe {
        libc::setsockopt(socket.as_raw_fd(), level, name, (&raw const value).cast(), size_of::<T>() as libc::socklen_t)
    };
    assert_eq!(status, 0, "{}", std::io::Error::last_os_error());
}

/// Has the kernel cut what is sent into datagrams of so many bytes (`UDP_SEGMENT`); 0: no more.
pub(crate) fn cut_sends(socket: &UdpSocket, segment: u16) {
    set(socket, libc::SOL_UDP, libc::UDP_SEGMENT, libc::c_int::from(segment));
}

/// Sends without a checksum (IPv4).
pub(crate) fn send_without_checksum(socket: &UdpSocket) {
    set(socket, libc::SOL_SOCKET, libc::SO_NO_CHECK, 1_i32);
}

/// Room for bursts while a busy machine gives the receiver no time.
pub(crate) fn enlarge_receive_buffer(socket: &UdpSocket) {
    set(socket, libc::SOL_SOCKET, libc::SO_RCVBUFFORCE, 1_i32 << 27);
}

/// DSCP and ECN of what is sent, IPv4 or IPv6.
pub(crate) fn mark(socket: &UdpSocket, traffic_class: u8) {
    if socket.local_addr().unwrap().is_ipv6() {
        set(socket, libc::IPPROTO_IPV6, libc::IPV6_TCLASS, libc::c_int::from(traffic_class));
    } else {
        set(socket, libc::IPPROTO_IP, libc::IP_TOS, libc::c_int::from(traffic_class));
    }
}

/// TTL or hop limit of what is sent, IPv4 or IPv6.
pub(crate) fn set_hops(socket: &UdpSocket, hops: u8) {
    if socket.local_addr().unwrap().is_ipv6() {
        set(socket, libc::IPPROTO_IPV6, libc::IPV6_UNICAST_HOPS, libc::c_int::from(hops));
    } else {
        set(socket, libc::IPPROTO_IP, libc::IP_TTL, libc::c_int::from(hops));
    }
}

/// `struct in6_flowlabel_req` of Linux.
#[repr(C)]
#[derive(Clone, Copy)]
struct FlowLabelRequest {
    destination: [u8; 16],
    label: u32,
    action: u8,
    share: u8,
    flags: u16,
    expires: u16,
    linger: u16,
    padding: u32,
}

/// Leases an IPv6 flow label for this socket alone, as long as it lives. Meanwhile the kernel refuses all labels of its
/// namespace that are not leased.
pub(crate) fn lease_flow_label(socket: &UdpSocket, destination: Ipv6Addr, label: u32) {
    const FLOW_LABEL_MANAGER: libc::c_int = 32;
    const GET: u8 = 0;
    const EXCLUSIVE: u8 = 1;
    const CREATE: u16 = 1;
    let request = FlowLabelRequest {
        destination: destination.octets(),
        label: label.to_be(),
        action: GET,
        share: EXCLUSIVE,
        flags: CREATE,
        expires: 0,
        linger: 0,
        padding: 0,
    };
    set(socket, libc::IPPROTO_IPV6, FLOW_LABEL_MANAGER, request);
}
