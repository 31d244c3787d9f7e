//! The underlay by tunnel GSO: a super-frame goes into its tunnel whole, and is cut by the network card, or by nobody where
//! the underlay is a veth.
//!
//! A UDP socket cannot send such a thing. A TAP with `TUN_F_UDP_TUNNEL_GSO` (Linux 6.17 and newer) can: [`TunnelGso`] makes
//! one in the host's network namespace and writes to it IPv4 packets from our own address. They enter the host's stack as
//! if received, and are forwarded: routes, neighbours, path MTUs and the firewall's forward chain hold for them. Only
//! super-frames for one receiver over IPv4 go this way; everything else, and everything that is received, is for sockets.
//! Over IPv6 it cannot be done without turning the whole host into a router.
//!
//! A raw socket cannot even send a super-frame of NVGRE cut by the kernel. So for NVGRE with TCP inside this is the way also
//! where the kernel cuts it after all; [`gre`] has the kernel know what it is.
//!
//! For that the host forwards what comes in by this one device, also from addresses of its own: [`TunnelGso::open`] has it
//! do so, [`TunnelGso::renew`] again. A firewall that forwards nothing drops all of it without a word:
//! [`TunnelGso::trial`] finds out before anybody's frames do, [`Forwarded`] while they do: rules may be for one interface, or
//! come later.

mod device;
mod features;
mod forwarded;
mod gre;
#[cfg(all(test, feature = "interop"))]
mod kernel_tests;
#[cfg(test)]
mod tests;
mod trial;

use std::{
    io::{self, IoSlice},
    net::{IpAddr, Ipv4Addr},
    sync::atomic::{AtomicBool, AtomicU16, AtomicU64, Ordering},
};

use ether_wire::{Ecn, EthernetHeader, IpProtocol, Ipv4Header, UdpHeader, checksum::Sum, ethernet};
use ipnet::{IpNet, Ipv4Net};
use offload::{GsoType, OuterNetwork, SuperFrame, TunnelOffsets, VirtioNetHeader, VirtioNetTunnelHeader};
use overlay_types::{EtherType, MacAddr};
use rustix::io::Errno;

pub(crate) use self::forwarded::Forwarded;
use self::{device::HelperTap, gre::GreMarker, trial::TrialError};
use crate::netlink::Netlink;

/// Ethernet and IPv4 without options.
const OUTER_NETWORK: usize = EthernetHeader::LEN + Ipv4Header::LEN;
/// The same with UDP.
const OUTER: usize = OUTER_NETWORK + UdpHeader::LEN;
/// Whom the frames that we write come from; nobody answers to it.
const SOURCE_MAC: MacAddr = MacAddr::new([0x02, 0, 0, 0, 0, 0x01]);
/// The address of the helper TAP: the dummy address of RFC 7600 §4.8, which is nobody's. Also a loose reverse path filter
/// lets nothing in by a device without an address.
const HELPER_ADDRESS: Ipv4Addr = Ipv4Addr::new(192, 0, 0, 8);

/// The outer headers of a super-frame, as they are on the wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Outer {
    pub(crate) destination: Ipv4Addr,
    pub(crate) transport: Transport,
    /// DSCP and ECN.
    pub(crate) traffic_class: u8,
    pub(crate) ttl: u8,
    pub(crate) df: bool,
}

/// What carries the tunnel header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Transport {
    Udp {
        source_port: u16,
        destination_port: u16,
        checksum: bool,
    },
    /// Nothing: the tunnel header is that of GRE itself.
    Gre,
}

/// Why there is no tunnel GSO on this host.
#[derive(Debug, thiserror::Error)]
pub(crate) enum OpenError {
    /// Only IPv4 can be forwarded for one device alone.
    #[error("the underlay is IPv6, where forwarding is a setting of the whole host")]
    Ipv6,
    /// No TAP, or none with tunnel GSO.
    #[error("no TAP with UDP tunnel GSO, which needs Linux 6.17: {0}")]
    Tap(io::Error),
    /// A setting of the helper TAP cannot be made.
    #[error("cannot set {what} of the helper TAP: {error}")]
    Set { what: &'static str, error: io::Error },
}

/// The helper TAP. Its device lives as long as this value.
#[derive(Debug)]
pub(crate) struct TunnelGso {
    tap: HelperTap,
    /// The number of its device.
    index: u32,
    /// The address of its device.
    mac: MacAddr,
    /// The source address of the tunnels.
    local: Ipv4Addr,
    /// Of the next outer IPv4 header without DF.
    identification: AtomicU16,
    /// How many super-frames the host's stack was given.
    given: AtomicU64,
    /// Whether super-frames go this way.
    is_open: AtomicBool,
    takes_udp: bool,
    /// Where it takes GRE.
    gre: Option<GreMarker>,
}

impl TunnelGso {
    /// Makes the helper TAP for tunnels from `local`, in the network namespace of the calling thread, which is that of
    /// `netlink`. It is called `tv-gso0`, or with the next number that is free. Nothing is sent.
    ///
    /// # Errors
    ///
    /// [`OpenError`]: sockets do without.
    pub(crate) fn open(netlink: &Netlink, local: IpAddr) -> Result<Self, OpenError> {
        let IpAddr::V4(local) = local else { return Err(OpenError::Ipv6) };
        let tap = HelperTap::open().map_err(OpenError::Tap)?;
        let set = |what| move |error| OpenError::Set { what, error };
        let link = netlink.link(tap.name()).map_err(set("state"))?;
        let mac = link.as_ref().and_then(|link| link.mac);
        let (Some(link), Some(mac)) = (link, mac) else { return Err(set("state")(Errno::NODEV.into())) };
        let tunnel = Self {
            tap,
            index: link.index,
            mac,
            local,
            identification: AtomicU16::new(0),
            given: AtomicU64::new(0),
            is_open: AtomicBool::new(true),
            takes_udp: false,
            gre: None,
        };
        netlink.make_no_ipv6_address(tunnel.index).map_err(set("no IPv6 address"))?;
        let address = IpNet::V4(Ipv4Net::from(HELPER_ADDRESS));
        netlink.add_host_address(tunnel.index, address).map_err(set("the address"))?;
        tunnel.renew(netlink)?;
        netlink.set_up(tunnel.index).map_err(set("state"))?;
        // Whatever the host would say to a new device is for nobody.
        tunnel.tap.set_no_carrier().map_err(set("no carrier"))?;
        Ok(tunnel)
    }

    /// Makes the settings of the helper TAP again: who turns `net.ipv4.ip_forward` off, or has a pattern in `sysctl.d` that
    /// fits all devices, changes this one's, too.
    ///
    /// # Errors
    ///
    /// [`OpenError::Set`]: it is gone, or we may not.
    pub(crate) fn renew(&self, netlink: &Netlink) -> Result<(), OpenError> {
        netlink.forward_from(self.index).map_err(|error| OpenError::Set { what: "forwarding", error })
    }

    /// Takes super-frames in UDP tunnels from now on, when a [`trial`](Self::trial) has gone well.
    ///
    /// # Errors
    ///
    /// [`TrialError`]: sockets do without.
    pub(crate) fn take_udp(&mut self, netlink: &Netlink) -> Result<(), TrialError> {
        self.takes_udp = true;
        self.trial(netlink).inspect_err(|_| self.takes_udp = false)
    }

    /// Takes super-frames in GRE from now on, when a [`trial_of_gre`](Self::trial_of_gre) has gone well. That needs `CAP_BPF`,
    /// and nothing later does.
    ///
    /// # Errors
    ///
    /// [`TrialError`]: sockets do without.
    pub(crate) fn take_gre(&mut self, netlink: &Netlink) -> Result<(), TrialError> {
        self.gre = Some(GreMarker::attach(self.index).map_err(TrialError::Mark)?);
        self.trial_of_gre(netlink).inspect_err(|_| self.gre = None)
    }

    /// Whether it takes super-frames in UDP tunnels, and such in GRE.
    pub(crate) fn takes(&self) -> (bool, bool) {
        (self.takes_udp, self.gre.is_some())
    }

    /// Whether the settings are still as [`renew`](Self::renew) made them, as far as this process can see.
    pub(crate) fn is_forwarding(&self) -> bool {
        let setting = format!("/proc/sys/net/ipv4/conf/{}/forwarding", self.device());
        std::fs::read_to_string(setting).map_or(true, |value| value.trim() == "1")
    }

    /// Whether a device of the underlay takes super-frames in UDP tunnels whole, as a card does that cuts them itself, or a
    /// veth. Otherwise they arrive all the same, but the kernel cuts each, which costs more than sockets do.
    ///
    /// # Errors
    ///
    /// `ENODEV`: no such device in the network namespace of the calling thread. `EOPNOTSUPP`: it does not say.
    pub(crate) fn suits(device: &str) -> io::Result<bool> {
        features::suits(device)
    }

    /// The source address of the tunnels.
    pub(crate) fn local(&self) -> Ipv4Addr {
        self.local
    }

    /// The name of the helper TAP.
    pub(crate) fn device(&self) -> &str {
        self.tap.name()
    }

    /// Sends a super-frame into a tunnel, whole, by one system call: `frame` as a TAP gave it, with `tunnel_header` before
    /// it. `virtio` and `super_frame` are its own.
    ///
    /// `Ok` says that the host's stack has it. Like any router the stack drops what does not fit its queues, and with DF a
    /// super-frame of which a segment does not fit the MTU of the path.
    ///
    /// # Errors
    ///
    /// `EOPNOTSUPP`: this one is for sockets, or all of its kind are, or all since [`close`](Self::close): it has one segment
    /// alone, or more than 65,535 bytes with all headers, goes to a group, a broadcast or this host itself, or has a TTL of 0
    /// or 255; and in GRE if it is UDP or has a VLAN tag. `EBADFD`, `EIO`: the helper TAP was deleted or set down. `EINVAL`:
    /// the kernel refuses its headers.
    pub(crate) fn send(
        &self,
        outer: &Outer,
        virtio: VirtioNetHeader,
        super_frame: &SuperFrame,
        tunnel_header: &[u8],
        frame: &[u8],
    ) -> Result<(), Errno> {
        let is_taken = match outer.transport {
            Transport::Udp { .. } => self.takes_udp,
            Transport::Gre => self.gre.is_some(),
        };
        if !is_taken || !self.is_open.load(Ordering::Relaxed) {
            return Err(Errno::OPNOTSUPP);
        }
        // Atomic datagrams need no identification (RFC 6864 §4.1); others need one for each segment.
        let identification =
            if outer.df { 0 } else { self.identification.fetch_add(super_frame.segments() as u16, Ordering::Relaxed) };
        let head = Head { mac: self.mac, local: self.local, outer, identification };
        let head = head.of(virtio, super_frame, tunnel_header.len(), frame)?;
        let pieces = [IoSlice::new(head.bytes()), IoSlice::new(tunnel_header), IoSlice::new(frame)];
        loop {
            match self.tap.write(&pieces) {
                Err(Errno::INTR) => {}
                Ok(()) => {
                    self.given.fetch_add(1, Ordering::Relaxed);
                    return Ok(());
                }
                Err(error) => return Err(error),
            }
        }
    }

    /// Whether super-frames go this way.
    pub(crate) fn is_open(&self) -> bool {
        self.is_open.load(Ordering::Relaxed)
    }

    /// Leaves super-frames to sockets from now on.
    pub(crate) fn close(&self) {
        self.is_open.store(false, Ordering::Relaxed);
    }
}

/// The most bytes before a tunnel header.
const HEAD: usize = VirtioNetTunnelHeader::LEN + OUTER;

/// What stands before a tunnel header.
#[derive(Debug, PartialEq, Eq)]
struct HeadBytes {
    bytes: [u8; HEAD],
    length: usize,
}

impl HeadBytes {
    fn bytes(&self) -> &[u8] {
        &self.bytes[..self.length]
    }
}

/// What it says, but for what the frame brings.
struct Head<'a> {
    mac: MacAddr,
    local: Ipv4Addr,
    outer: &'a Outer,
    identification: u16,
}

impl Head<'_> {
    fn of(
        &self,
        virtio: VirtioNetHeader,
        super_frame: &SuperFrame,
        tunnel_header: usize,
        frame: &[u8],
    ) -> Result<HeadBytes, Errno> {
        let Outer { destination, transport, traffic_class, ttl, df } = *self.outer;
        let (protocol, transport_header) = match transport {
            Transport::Udp { .. } => (IpProtocol::UDP, UdpHeader::LEN),
            Transport::Gre => (IpProtocol::GRE, 0),
        };
        let outer = OUTER_NETWORK + transport_header;
        // A single segment is no super-frame to the kernel, which would leave its outer checksum unfinished.
        let is_whole =
            super_frame.segments() > 1 && super_frame.header_len() + super_frame.payload_len() == frame.len();
        let is_for_another = !(destination.is_multicast()
            || destination.is_broadcast()
            || destination.is_loopback()
            || destination.is_unspecified()
            || destination == self.local);
        if !is_whole || !is_for_another || matches!(ttl, 0 | u8::MAX) {
            return Err(Errno::OPNOTSUPP);
        }
        // With this no offset within the frame is larger either.
        let length = u16::try_from(outer + tunnel_header + frame.len()).map_err(|_| Errno::OPNOTSUPP)?;
        let ip_length = length - EthernetHeader::LEN as u16;

        let mut ip = Ipv4Header::new(self.local, destination, protocol, ip_length);
        ip.set_dscp(traffic_class >> 2);
        ip.set_ecn(Ecn::from_bits(traffic_class));
        // Forwarding takes one.
        ip.set_ttl(ttl + 1);
        ip.set_dont_fragment(df);
        ip.set_identification(self.identification);
        ip.set_checksum(ip.compute_checksum(&[]));
        let gso_type = virtio.gso_type().map_err(|_| Errno::OPNOTSUPP)?;
        let network = ethernet::payload(frame).ok_or(Errno::OPNOTSUPP)?.offset;
        let inner = VirtioNetHeader::new()
            .with_gso(gso_type, virtio.gso_size(), super_frame.header_len() as u16)
            .with_checksum(virtio.csum_start(), virtio.csum_offset());
        let inner = if virtio.has_ecn() { inner.with_ecn() } else { inner };
        let inner_frame = (outer + tunnel_header) as u16;

        let mut head = [0; HEAD];
        let (virtio_bytes, packet) = head.split_at_mut(VirtioNetTunnelHeader::LEN);
        let (ethernet_bytes, packet) = packet.split_at_mut(EthernetHeader::LEN);
        let (ip_bytes, udp_bytes) = packet.split_at_mut(Ipv4Header::LEN);
        ethernet_bytes.copy_from_slice(EthernetHeader::new(self.mac, SOURCE_MAC, EtherType::IPV4).as_bytes());
        ip_bytes.copy_from_slice(ip.as_bytes());
        match transport {
            Transport::Udp { source_port, destination_port, checksum } => {
                let udp_length = length - OUTER_NETWORK as u16;
                let mut udp = UdpHeader::new(source_port, destination_port, udp_length);
                if checksum {
                    // The sum of the pseudo-header: whoever cuts the super-frame makes a checksum of it for each segment.
                    udp.set_checksum(Sum::pseudo_ipv4(self.local, destination, IpProtocol::UDP, udp_length).fold());
                }
                udp_bytes.copy_from_slice(udp.as_bytes());
                let offsets = TunnelOffsets {
                    outer_transport: OUTER_NETWORK as u16,
                    inner_frame,
                    inner_network: inner_frame + network as u16,
                };
                let virtio = VirtioNetTunnelHeader::new(inner, OuterNetwork::Ipv4, offsets);
                let virtio = if checksum { virtio.with_outer_checksum() } else { virtio };
                virtio_bytes.copy_from_slice(virtio.as_bytes());
            }
            Transport::Gre => {
                // A raw socket hears nothing of the size of datagrams, and `gre` knows one place for the inner header.
                if gso_type == GsoType::UdpL4 || network != EthernetHeader::LEN {
                    return Err(Errno::OPNOTSUPP);
                }
                // As if all headers were the frame's own.
                virtio_bytes[..VirtioNetHeader::LEN].copy_from_slice(inner.moved(inner_frame.cast_signed()).as_bytes());
            }
        }
        Ok(HeadBytes { bytes: head, length: VirtioNetTunnelHeader::LEN + outer })
    }
}
