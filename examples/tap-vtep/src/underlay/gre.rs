//! The sockets of NVGRE on the underlay: raw ones, for GRE has no ports.
//!
//! - One socket sends; the `FlowId` in the tunnel header is what tells flows apart. Each frame is a message of its own: raw
//!   sockets have nothing like `UDP_SEGMENT`.
//! - Each socket that receives gets a copy of everything that is for its address: more than one for an address are no help.
//!   The kernel has put fragments together before, as for UDP.
//! - An interface with GRO merges TCP inside NVGRE, and a raw socket hears nothing of the size of its segments: what is
//!   longer than the inner MTU is a super-frame, as one that a peer behind a veth never cut.

#[cfg(all(test, feature = "interop"))]
mod kernel_tests;

use std::{
    ffi::c_int,
    io,
    mem::MaybeUninit,
    net::{IpAddr, SocketAddr},
    sync::atomic::AtomicBool,
};

use nvgre_wire::{GreHeader, NvgreHeader};
use overlay_types::EtherType;
use socket2::{Domain, Protocol, SockFilter, Socket, Type};

use super::{SendOptions, SenderPool, Underlay, deafen, send_options, set};

impl Underlay {
    /// A pool of one raw socket. What it sends goes to port 0; of `options`, those of UDP mean nothing.
    pub(crate) fn gre_sender(&self, options: SendOptions) -> io::Result<SenderPool> {
        let socket = self.deaf_gre_socket(self.local)?;
        send_options(self, &socket, &options)?;
        Ok(SenderPool {
            underlay: self.clone(),
            options,
            sockets: vec![socket],
            ports: vec![0],
            labels: None,
            segments: AtomicBool::new(false),
            path_errors: self.local.is_ipv6().then(|| self.path_errors()).transpose()?,
        })
    }

    /// A raw IPv6 socket that sends nothing, for the kernel to hand what `ICMPv6` says of GRE to.
    ///
    /// The kernel keeps a path MTU for a raw IPv6 socket only where errors are asked for, and those fail what that socket sends
    /// next. Nobody reads them here, and few have room.
    fn path_errors(&self) -> io::Result<Socket> {
        let socket = self.deaf_gre_socket(self.local)?;
        socket.set_recv_buffer_size(0)?;
        set(&socket, libc::IPPROTO_IPV6, libc::IPV6_RECVERR, 1)?;
        Ok(socket)
    }

    /// A raw socket that receives the NVGRE that is sent to our address.
    pub(crate) fn gre_receiver(&self) -> io::Result<Socket> {
        self.gre_listener(self.local)
    }

    /// A raw socket that receives the NVGRE that is sent to a multicast group, and nothing else.
    pub(crate) fn gre_group_receiver(&self, group: IpAddr) -> io::Result<Socket> {
        let socket = self.gre_listener(group)?;
        self.join(&socket, group)?;
        Ok(socket)
    }

    fn gre_listener(&self, address: IpAddr) -> io::Result<Socket> {
        let socket = self.deaf_gre_socket(address)?;
        self.receive_options(&socket)?;
        // A raw IPv6 socket hears groups whatever address it is bound to.
        self.only_joined_groups(&socket)?;
        socket.attach_filter(&nvgre_filter(address.is_ipv4()))?;
        Ok(socket)
    }

    /// A raw socket for GRE, bound to an address, to which nothing has come and nothing comes.
    fn deaf_gre_socket(&self, address: IpAddr) -> io::Result<Socket> {
        let address: SocketAddr = self.socket_address(address, 0);
        let protocol = Protocol::from(c_int::from(NvgreHeader::IP_PROTOCOL));
        let socket = Socket::new(Domain::for_address(address), Type::RAW.nonblocking().cloexec(), Some(protocol))?;
        deafen(&socket)?;
        // Until then it got all GRE of this host.
        while socket.recv(&mut [MaybeUninit::uninit()]).is_ok() {}
        self.bind(&socket, address)?;
        Ok(socket)
    }
}

/// Lets through what may be meant as NVGRE (RFC 7637 §3.2): Ethernet inside, or a key and version 0. Other GRE is another
/// program's. What can be wrong with the rest is for the decoder, so that it is counted.
fn nvgre_filter(behind_ipv4: bool) -> [SockFilter; 9] {
    let op = |code: u32, jump_true, jump_false, value| SockFilter::new(code as u16, jump_true, jump_false, value);
    let flags = |flags: u16| u32::from(flags) << 16;
    let first_word = || op(libc::BPF_LD | libc::BPF_W | libc::BPF_IND, 0, 0, 0);
    let and = |mask| op(libc::BPF_ALU | libc::BPF_AND | libc::BPF_K, 0, 0, mask);
    let ethernet = EtherType::TRANSPARENT_ETHERNET_BRIDGING.get().into();
    [
        // A raw IPv4 socket sees the IP header, with options; a raw IPv6 socket sees none.
        if behind_ipv4 {
            op(libc::BPF_LDX | libc::BPF_B | libc::BPF_MSH, 0, 0, 0)
        } else {
            op(libc::BPF_LDX | libc::BPF_W | libc::BPF_IMM, 0, 0, 0)
        },
        first_word(),
        and(u16::MAX.into()),
        op(libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K, 3, 0, ethernet),
        first_word(),
        and(flags(GreHeader::FLAG_K | GreHeader::FLAGS_VERSION)),
        op(libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K, 0, 1, flags(GreHeader::FLAG_K)),
        op(libc::BPF_RET | libc::BPF_K, 0, 0, u32::MAX),
        op(libc::BPF_RET | libc::BPF_K, 0, 0, 0),
    ]
}
