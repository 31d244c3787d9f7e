//! The sockets on the underlay: those that receive, and the pool that sends.
#![allow(unsafe_code)]

pub(crate) mod echo;
mod flow_label;
mod gre;
pub(crate) mod path;

use std::{
    ffi::c_int,
    io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV6},
    ops::RangeInclusive,
    os::fd::{AsFd, AsRawFd, BorrowedFd},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU32, Ordering},
    },
};

use rustix::io::Errno;
use tracing::warn;
use vtep::Encapsulation;

use crate::tunnel_gso::TunnelGso;

use ether_wire::flow::FlowHash;
use socket2::{Domain, Protocol, SockFilter, Socket, Type};

pub(crate) use self::flow_label::stop_flow_labels;

/// Room for what is sent before the underlay takes it; more only delays.
const SEND_BUFFER: c_int = 4 << 20;
/// Room for the TCP windows of some fast streams, in super-frames: while guests have the cores, all of them come at once.
const RECEIVE_BUFFER: c_int = 16 << 20;
/// Source ports in use at a time: entropy for the underlay's equal-cost paths and the receivers' queues.
const SENDING_SOCKETS: u16 = 16;
/// The TTL of datagrams that don't bring their own.
pub(crate) const DEFAULT_TTL: u8 = 64;

/// One of our addresses: where datagrams come from and go to.
#[derive(Clone, Debug)]
pub(crate) struct Underlay {
    /// Its place in the list of them.
    pub(crate) number: u8,
    /// The source address of the tunnels.
    pub(crate) local: IpAddr,
    /// The index of the interface that has it: groups are joined there. It changes when the interface is made anew.
    pub(crate) interface: Arc<AtomicU32>,
    /// The interface that sockets are bound to, if they are.
    pub(crate) device: Option<String>,
    /// Whether the kernel cuts what is sent into datagrams (`UDP_SEGMENT`), and does it right.
    pub(crate) segments: bool,
    /// Whether the kernel merges what is received (`UDP_GRO`), and does it right.
    pub(crate) merges: bool,
    /// The interface's MTU. It may change.
    pub(crate) mtu: Arc<AtomicU32>,
    /// Sends super-frames whole, where that is the way.
    pub(crate) tunnel: Option<Arc<TunnelGso>>,
}

/// With whom a socket shares its address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Share {
    Alone,
    /// Other listeners to a group, each of which gets everything.
    Group,
    /// Sockets of other workers: each gets some flows (`SO_REUSEPORT`).
    Port,
}

impl Underlay {
    fn interface(&self) -> u32 {
        self.interface.load(Ordering::Relaxed)
    }

    fn socket(&self, address: SocketAddr, share: Share) -> io::Result<Socket> {
        let socket =
            Socket::new(Domain::for_address(address), Type::DGRAM.nonblocking().cloexec(), Some(Protocol::UDP))?;
        if address.is_ipv6() {
            socket.set_only_v6(true)?;
        }
        match share {
            Share::Alone => {}
            Share::Group => socket.set_reuse_address(true)?,
            Share::Port => socket.set_reuse_port(true)?,
        }
        self.bind(&socket, address)?;
        Ok(socket)
    }

    /// Binds a socket to an address, and to the interface where sockets are bound to it.
    fn bind(&self, socket: &Socket, address: SocketAddr) -> io::Result<()> {
        if let Some(device) = &self.device {
            socket.bind_device(Some(device.as_bytes()))?;
        }
        socket.bind(&address.into())
    }

    /// A socket that receives what is sent to our address; with `shared`, its part of that.
    pub(crate) fn receiver(&self, port: u16, shared: bool) -> io::Result<Socket> {
        let share = if shared { Share::Port } else { Share::Alone };
        let socket = self.socket(self.socket_address(self.local, port), share)?;
        self.receive_options(&socket)?;
        self.merge(&socket)?;
        Ok(socket)
    }

    /// A socket that receives what is sent to a multicast group, and nothing else.
    pub(crate) fn group_receiver(&self, group: IpAddr, port: u16) -> io::Result<Socket> {
        // Another endpoint of this host may listen to the group, too.
        let socket = self.socket(self.socket_address(group, port), Share::Group)?;
        self.receive_options(&socket)?;
        self.merge(&socket)?;
        self.only_joined_groups(&socket)?;
        self.join(&socket, group)?;
        Ok(socket)
    }

    /// Keeps from a socket what is for groups that others of this host have joined.
    fn only_joined_groups(&self, socket: &Socket) -> io::Result<()> {
        match self.local {
            IpAddr::V4(_) => set(socket, libc::IPPROTO_IP, libc::IP_MULTICAST_ALL, 0),
            IpAddr::V6(_) => set(socket, libc::IPPROTO_IPV6, libc::IPV6_MULTICAST_ALL, 0),
        }
    }

    /// Makes `socket` a member of `group` on the underlay's interface; no error when it is one.
    pub(crate) fn join(&self, socket: &Socket, group: IpAddr) -> io::Result<()> {
        let joined = match group {
            IpAddr::V4(group) => {
                socket.join_multicast_v4_n(&group, &socket2::InterfaceIndexOrAddress::Index(self.interface()))
            }
            IpAddr::V6(group) => socket.join_multicast_v6(&group, self.interface()),
        };
        match joined {
            Err(error) if error.raw_os_error() == Some(libc::EADDRINUSE) => Ok(()),
            joined => joined,
        }
    }

    /// Sets the interface for groups again after it has been made anew.
    pub(crate) fn rebind(&self, socket: &Socket) -> io::Result<()> {
        if let Some(device) = &self.device {
            socket.bind_device(Some(device.as_bytes()))?;
        }
        self.send_groups_here(socket)
    }

    fn send_groups_here(&self, socket: &Socket) -> io::Result<()> {
        match self.local {
            IpAddr::V4(_) => {
                let request = libc::ip_mreqn {
                    imr_multiaddr: libc::in_addr { s_addr: 0 },
                    imr_address: libc::in_addr { s_addr: 0 },
                    imr_ifindex: self.interface().cast_signed(),
                };
                set(socket, libc::IPPROTO_IP, libc::IP_MULTICAST_IF, request)
            }
            IpAddr::V6(_) => socket.set_multicast_if_v6(self.interface()),
        }
    }

    fn receive_options(&self, socket: &Socket) -> io::Result<()> {
        force_buffer(socket, libc::SO_RCVBUFFORCE, libc::SO_RCVBUF, RECEIVE_BUFFER)?;
        if self.local.is_ipv6() {
            set(socket, libc::IPPROTO_IPV6, libc::IPV6_RECVTCLASS, 1)
        } else {
            set(socket, libc::IPPROTO_IP, libc::IP_RECVTOS, 1)
        }
    }

    /// Whether a UDP socket takes datagrams over IPv6 whose checksum is zero (RFC 6936).
    pub(crate) fn take_zero_checksums(&self, socket: &Socket, takes: bool) -> io::Result<()> {
        if self.local.is_ipv6() {
            set(socket, libc::SOL_UDP, libc::UDP_NO_CHECK6_RX, c_int::from(takes))
        } else {
            Ok(())
        }
    }

    /// Has the kernel merge what a UDP socket receives, where it does it right.
    fn merge(&self, socket: &Socket) -> io::Result<()> {
        if self.merges { set(socket, libc::SOL_UDP, libc::UDP_GRO, 1_i32) } else { Ok(()) }
    }

    /// The same address as a socket takes it; a link-local one is on the underlay's interface.
    pub(crate) fn socket_address(&self, address: IpAddr, port: u16) -> SocketAddr {
        match address {
            // The scope of ff02::/16 is the link, too (RFC 4291 §2.7).
            IpAddr::V6(address) if address.is_unicast_link_local() || address.segments()[0] & 0xff0f == 0xff02 => {
                SocketAddrV6::new(address, port, 0, self.interface()).into()
            }
            address => SocketAddr::new(address, port),
        }
    }
}

/// What the sending sockets of a segment have in common.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct SendOptions {
    /// Else it is GRE, without ports.
    pub(crate) is_udp: bool,
    pub(crate) df: bool,
    pub(crate) udp_checksum: bool,
    pub(crate) source_ports: RangeInclusive<u16>,
}

/// Sockets bound to ports across a range: a UDP socket cannot change its source port from datagram to datagram.
#[derive(Debug)]
pub(crate) struct SenderPool {
    /// Where they send from.
    pub(crate) underlay: Underlay,
    pub(crate) options: SendOptions,
    pub(crate) sockets: Vec<Socket>,
    /// The port of each.
    ports: Vec<u16>,
    /// The IPv6 flow label of each; `None`: each flow has one of its own.
    labels: Option<Vec<u32>>,
    /// Whether the kernel cuts messages into datagrams. It wants to make the checksums, too.
    segments: AtomicBool,
    /// Has the kernel keep path MTUs, where `sockets` cannot.
    path_errors: Option<Socket>,
}

impl SenderPool {
    /// Opens the sockets: one port at random in each of equal parts of the range, as far as ports are free. For GRE one socket.
    pub(crate) fn open(underlay: &Underlay, options: SendOptions) -> io::Result<Self> {
        if !options.is_udp {
            return underlay.gre_sender(options);
        }
        let first = u32::from(*options.source_ports.start());
        let count = u32::from(*options.source_ports.end()) - first + 1;
        let parts = count.min(u32::from(SENDING_SOCKETS));
        let mut sockets = Vec::with_capacity(parts as usize);
        let mut ports_taken = Vec::with_capacity(parts as usize);
        let mut error = None;
        for part in 0..parts {
            let (from, to) = (first + count * part / parts, first + count * (part + 1) / parts);
            let ports = to - from;
            let start = getrandom::u32().map_err(io::Error::other)? % ports;
            // Random first, then the next: a part may be small, or nearly taken.
            let opened = (0..ports.min(64)).find_map(|step| {
                let port = from + (start + step) % ports;
                match sender(underlay, &options, port as u16) {
                    Ok(socket) => Some((socket, port as u16)),
                    Err(reason) => {
                        error = Some(reason);
                        None
                    }
                }
            });
            if let Some((socket, port)) = opened {
                sockets.push(socket);
                ports_taken.push(port);
            }
        }
        match error {
            Some(error) if sockets.is_empty() => Err(error),
            _ => {
                let segments = AtomicBool::new(options.udp_checksum && underlay.segments);
                let labels = Some(flow_label::of_sockets(sockets.len())?);
                let underlay = underlay.clone();
                Ok(Self { underlay, options, sockets, ports: ports_taken, labels, segments, path_errors: None })
            }
        }
    }

    /// Those that send, and one that may be there besides.
    pub(crate) fn all_sockets(&self) -> impl Iterator<Item = &Socket> {
        self.sockets.iter().chain(&self.path_errors)
    }

    /// The source port of a socket.
    pub(crate) fn port(&self, socket: usize) -> u16 {
        self.ports[socket]
    }

    /// The flow label of what a socket sends of a flow over IPv6 (RFC 6438), 1 to 0xfffff.
    ///
    /// Flows that share a source port share a label, too: so their datagrams may share a message, and an IPv6 network spreads
    /// them as well by the one as by the other. Raw sockets have no ports, and no messages of several.
    pub(crate) fn flow_label(&self, socket: usize, flow: FlowHash) -> u32 {
        self.labels.as_ref().map_or_else(|| flow.ipv6_flow_label(), |labels| labels[socket])
    }

    /// Whether a socket sends that label; else the kernel makes one.
    pub(crate) fn sends_flow_labels(&self, socket: usize) -> bool {
        flow_label::sends_flow_labels(self.sockets[socket].as_fd())
    }

    /// Whether a message may carry several datagrams.
    pub(crate) fn segments(&self) -> bool {
        self.segments.load(Ordering::Relaxed)
    }

    /// Hears that a message of several datagrams was refused: where the interface cannot do it at all, there will be no more.
    pub(crate) fn refused(&self, error: Errno) {
        if matches!(error, Errno::IO | Errno::NOPROTOOPT | Errno::OPNOTSUPP)
            && self.segments.swap(false, Ordering::Relaxed)
        {
            warn!(%error, "the underlay does not take several datagrams at once; they go one by one from now on");
        }
    }

    /// Which socket stands for this source port of the range.
    pub(crate) fn choose(&self, source_port: u16) -> usize {
        let (first, last) = (*self.options.source_ports.start(), *self.options.source_ports.end());
        let count = u32::from(last - first) + 1;
        let place = u32::from(source_port.clamp(first, last) - first);
        (place * self.sockets.len() as u32 / count) as usize
    }
}

fn sender(underlay: &Underlay, options: &SendOptions, port: u16) -> io::Result<Socket> {
    let socket = underlay.socket(underlay.socket_address(underlay.local, port), Share::Alone)?;
    // Nobody answers to this port.
    deafen(&socket)?;
    send_options(underlay, &socket, options)?;
    if underlay.local.is_ipv6() {
        set(&socket, libc::SOL_UDP, libc::UDP_NO_CHECK6_TX, c_int::from(!options.udp_checksum))?;
    }
    Ok(socket)
}

/// Drops at once whatever comes to a socket (`ret #0`).
fn deafen(socket: &Socket) -> io::Result<()> {
    socket.attach_filter(&[SockFilter::new((libc::BPF_RET | libc::BPF_K) as u16, 0, 0, 0)])
}

fn send_options(underlay: &Underlay, socket: &Socket, options: &SendOptions) -> io::Result<()> {
    force_buffer(socket, libc::SO_SNDBUFFORCE, libc::SO_SNDBUF, SEND_BUFFER)?;
    let ttl = c_int::from(DEFAULT_TTL);
    match underlay.local {
        IpAddr::V4(_) => {
            let discover = if options.df { libc::IP_PMTUDISC_DO } else { libc::IP_PMTUDISC_DONT };
            set(socket, libc::IPPROTO_IP, libc::IP_MTU_DISCOVER, discover)?;
            set(socket, libc::IPPROTO_IP, libc::IP_TTL, ttl)?;
            set(socket, libc::IPPROTO_IP, libc::IP_MULTICAST_TTL, ttl)?;
            set(socket, libc::IPPROTO_IP, libc::IP_MULTICAST_LOOP, 0)?;
            set(socket, libc::SOL_SOCKET, libc::SO_NO_CHECK, c_int::from(!options.udp_checksum))?;
        }
        IpAddr::V6(_) => {
            let discover = if options.df { libc::IPV6_PMTUDISC_DO } else { libc::IPV6_PMTUDISC_DONT };
            set(socket, libc::IPPROTO_IPV6, libc::IPV6_MTU_DISCOVER, discover)?;
            set(socket, libc::IPPROTO_IPV6, libc::IPV6_UNICAST_HOPS, ttl)?;
            set(socket, libc::IPPROTO_IPV6, libc::IPV6_MULTICAST_HOPS, ttl)?;
            set(socket, libc::IPPROTO_IPV6, libc::IPV6_MULTICAST_LOOP, 0)?;
            set(socket, libc::IPPROTO_IPV6, libc::IPV6_FLOWINFO_SEND, 1)?;
        }
    }
    underlay.send_groups_here(socket)
}

/// Sets a buffer size past the system's limit where we may, up to it where we may not.
fn force_buffer(socket: &Socket, force: c_int, usual: c_int, bytes: c_int) -> io::Result<()> {
    set(socket, libc::SOL_SOCKET, force, bytes).or_else(|_| set(socket, libc::SOL_SOCKET, usual, bytes))
}

pub(crate) fn set<T: Copy>(socket: &Socket, level: c_int, name: c_int, value: T) -> io::Result<()> {
    // SAFETY: the pointer and the length describe `value`, which outlives the call; the kernel only reads it.
    let status = unsafe {
        libc::setsockopt(socket.as_raw_fd(), level, name, (&raw const value).cast(), size_of::<T>() as libc::socklen_t)
    };
    if status < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

/// A socket that receives, and what came with the datagrams' port.
#[derive(Debug)]
pub(crate) struct Receiver {
    pub(crate) socket: Socket,
    /// The number of the underlay that it is on.
    pub(crate) underlay: u8,
    pub(crate) encapsulation: Encapsulation,
    /// 0 for NVGRE.
    pub(crate) port: u16,
    /// The group that it belongs to, if it is one for a group.
    pub(crate) group: Option<IpAddr>,
    /// Which worker it is for.
    pub(crate) worker: usize,
}

impl AsFd for Receiver {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

/// The address and port in what the kernel wrote.
pub(crate) fn source_address(name: &libc::sockaddr_storage) -> Option<SocketAddr> {
    match c_int::from(name.ss_family) {
        libc::AF_INET => {
            // SAFETY: the kernel wrote a `sockaddr_in` for this family, and a `sockaddr_storage` is as large and aligned.
            let name = unsafe { &*(&raw const *name).cast::<libc::sockaddr_in>() };
            Some((Ipv4Addr::from_bits(u32::from_be(name.sin_addr.s_addr)), u16::from_be(name.sin_port)).into())
        }
        libc::AF_INET6 => {
            // SAFETY: as above, for `sockaddr_in6`.
            let name = unsafe { &*(&raw const *name).cast::<libc::sockaddr_in6>() };
            Some((Ipv6Addr::from(name.sin6_addr.s6_addr), u16::from_be(name.sin6_port)).into())
        }
        _ => None,
    }
}
