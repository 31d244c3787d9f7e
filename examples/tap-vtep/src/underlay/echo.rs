//! Echo requests to other endpoints of the underlay, of any size, never fragmented (DF).

use std::{
    io,
    mem::MaybeUninit,
    net::{IpAddr, SocketAddr},
};

use ether_wire::{Ipv4Header, Ipv6Header, checksum::Sum, icmp::IcmpHeader};
use rustix::{
    io::Errno,
    net::{RecvFlags, recvfrom},
};
use socket2::{Domain, Protocol, SockFilter, Socket, Type};

use super::{Underlay, deafen, set};

/// The types of ICMP's echo (RFC 792), and those of `ICMPv6` (RFC 4443 §4).
const REQUEST: u8 = 8;
const REPLY: u8 = 0;
const REQUEST_6: u8 = 128;
const REPLY_6: u8 = 129;
/// In each request, and back in its reply: who does not see requests cannot make one up.
const COOKIE_LEN: usize = 8;
/// An IPv4 header with all its options and an ICMP header; what is behind has no news.
const READ: usize = 60 + IcmpHeader::LEN;

/// A raw socket that sends echo requests and hears their replies.
#[derive(Debug)]
pub(crate) struct EchoSocket {
    socket: Socket,
    is_ipv6: bool,
    cookie: [u8; COOKIE_LEN],
    buffer: Vec<u8>,
}

impl EchoSocket {
    pub(crate) fn open(underlay: &Underlay) -> io::Result<Self> {
        let is_ipv6 = underlay.local.is_ipv6();
        let protocol = if is_ipv6 { Protocol::ICMPV6 } else { Protocol::ICMPV4 };
        let local: SocketAddr = underlay.socket_address(underlay.local, 0);
        let socket = Socket::new(Domain::for_address(local), Type::RAW.nonblocking().cloexec(), Some(protocol))?;
        deafen(&socket)?;
        // Until then it got all ICMP of this host.
        while socket.recv(&mut [MaybeUninit::uninit()]).is_ok() {}
        if is_ipv6 {
            set(&socket, libc::IPPROTO_IPV6, libc::IPV6_MTU_DISCOVER, libc::IPV6_PMTUDISC_PROBE)?;
            set(&socket, libc::IPPROTO_IPV6, libc::IPV6_DONTFRAG, 1)?;
        } else {
            set(&socket, libc::IPPROTO_IP, libc::IP_MTU_DISCOVER, libc::IP_PMTUDISC_PROBE)?;
        }
        underlay.bind(&socket, local)?;
        let mut cookie = [0; COOKIE_LEN];
        getrandom::fill(&mut cookie).map_err(io::Error::other)?;
        socket.attach_filter(&reply_filter(is_ipv6, cookie))?;
        Ok(Self { socket, is_ipv6, cookie, buffer: Vec::new() })
    }

    /// Sends a request whose IP packet has `size` bytes, at least as many as its headers and a cookie take.
    pub(crate) fn send(&mut self, underlay: &Underlay, remote: IpAddr, number: u32, size: u16) -> io::Result<()> {
        let ip = if self.is_ipv6 { Ipv6Header::LEN } else { Ipv4Header::LEN };
        let length = usize::from(size).saturating_sub(ip).max(IcmpHeader::LEN + COOKIE_LEN);
        self.buffer.clear();
        self.buffer.resize(length, 0);
        let (header, data) = self.buffer.split_at_mut(IcmpHeader::LEN);
        data[..COOKIE_LEN].copy_from_slice(&self.cookie);
        // Identifier and sequence number are one number here.
        let mut icmp = IcmpHeader::new(if self.is_ipv6 { REQUEST_6 } else { REQUEST }, 0, number);
        if !self.is_ipv6 {
            // That of ICMPv6 the kernel makes.
            icmp.set_checksum(icmp.compute_checksum(Sum::ZERO, data));
        }
        header.copy_from_slice(&icmp.to_bytes());
        let to = underlay.socket_address(remote, 0).into();
        let send = || self.socket.send_to(&self.buffer, &to).map(drop);
        // The first error may be that of an earlier request, by an ICMP message.
        send().or_else(|_| send())
    }

    /// The next reply: from whom, and the number of its request.
    pub(crate) fn receive(&self) -> Option<(IpAddr, u32)> {
        let mut buffer = [0; READ];
        let (length, _, from) = loop {
            match recvfrom(&self.socket, &mut buffer[..], RecvFlags::empty()) {
                Ok(received) => break received,
                Err(Errno::AGAIN) => return None,
                // An ICMP error; it is told once.
                Err(_) => {}
            }
        };
        let from = SocketAddr::try_from(from?).ok()?;
        let bytes = &buffer[..length];
        // Over IPv4, the IP header comes along.
        let message = if self.is_ipv6 {
            bytes
        } else {
            let (ip, _) = Ipv4Header::from_prefix(bytes).ok()?;
            bytes.get(ip.header_length()..)?
        };
        let (icmp, _) = IcmpHeader::from_prefix(message).ok()?;
        Some((from.ip(), icmp.data()))
    }
}

/// Lets replies with this cookie through, and nothing else.
fn reply_filter(is_ipv6: bool, cookie: [u8; COOKIE_LEN]) -> [SockFilter; 9] {
    let op = |code: u32, jump_true, jump_false, value| SockFilter::new(code as u16, jump_true, jump_false, value);
    let [one, two] = [0, 4].map(|at| u32::from_be_bytes([cookie[at], cookie[at + 1], cookie[at + 2], cookie[at + 3]]));
    let load = |size, at| op(libc::BPF_LD | size | libc::BPF_IND, 0, 0, at);
    let unless = |value, refuse| op(libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K, 0, refuse, value);
    let data = IcmpHeader::LEN as u32;
    [
        // A raw IPv4 socket sees the IP header, with options; a raw IPv6 socket sees none.
        if is_ipv6 {
            op(libc::BPF_LDX | libc::BPF_W | libc::BPF_IMM, 0, 0, 0)
        } else {
            op(libc::BPF_LDX | libc::BPF_B | libc::BPF_MSH, 0, 0, 0)
        },
        load(libc::BPF_B, 0),
        unless(if is_ipv6 { REPLY_6 } else { REPLY }.into(), 5),
        load(libc::BPF_W, data),
        unless(one, 3),
        load(libc::BPF_W, data + 4),
        unless(two, 1),
        op(libc::BPF_RET | libc::BPF_K, 0, 0, u32::MAX),
        op(libc::BPF_RET | libc::BPF_K, 0, 0, 0),
    ]
}
