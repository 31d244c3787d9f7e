//! Whether super-frames get through this host: some are sent around at start, to a second TAP that lives for the trial
//! alone, and are looked at byte by byte.
//!
//! Their way is that of real ones: source address, reverse path filter, the firewall's forward chain, TTL. A firewall that
//! treats the underlay's device otherwise than any other is what remains unknown.

use std::{
    io,
    net::{Ipv4Addr, Ipv6Addr},
    time::{Duration, Instant},
};

use ether_wire::{EthernetHeader, IpProtocol, Ipv4Header, Ipv6Header, TcpFlags, TcpHeader, UdpHeader, checksum::Sum};
use offload::{GsoType, SuperFrame, VirtioNetHeader, VirtioNetTunnelHeader};
use overlay_types::{EtherType, MacAddr};
use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    io::Errno,
};

use super::{HEAD, HelperTap, OUTER, OUTER_NETWORK, Outer, Transport, TunnelGso};
use crate::netlink::Netlink;

/// How long the whole trial may take. It takes a millisecond where nothing is wrong.
const PATIENCE: Duration = Duration::from_millis(50);
/// Stands before each frame, as long as VXLAN's header.
const TUNNEL_HEADER: [u8; 8] = [8, 0, 0, 0, 0, 0, 42, 0];
/// The same for GRE: RFC 7637 §3.2, with the VSID 42.
const GRE_HEADER: [u8; 8] = [0x20, 0, 0x65, 0x58, 0, 0, 42, 0];
/// Room for one packet.
const BUFFER: usize = VirtioNetTunnelHeader::LEN + EthernetHeader::LEN + (1 << 16);
/// Where the trial's addresses begin: 192.0.0.128, in a block that is nobody's (RFC 6890 §2.1).
const DESTINATIONS: u32 = 0xc000_0080;
/// The port for nothing (RFC 863).
const DISCARD: u16 = 9;
/// As much as fits an IPv4 packet with all headers, nearly.
const PAYLOAD: usize = 64_000;
/// With all headers less than the MTU that a new TAP has.
const SEGMENT: u16 = 1300;

/// Why super-frames don't get through.
#[derive(Debug, thiserror::Error)]
pub(crate) enum TrialError {
    /// The second TAP, or the route to it, cannot be made.
    #[error("cannot set {what} for the trial of tunnel GSO: {error}")]
    Set { what: &'static str, error: io::Error },
    /// The helper TAP does not take one.
    #[error("a super-frame of {name} is refused: {error}")]
    Refused { name: &'static str, error: Errno },
    /// One did not come around.
    #[error("a super-frame of {name} is not forwarded; perhaps a firewall forwards nothing")]
    Lost { name: &'static str },
    /// The kernel can't be told of GRE.
    #[error("the kernel cannot be told of super-frames in GRE, which takes CAP_BPF and Linux 6.6: {0}")]
    Mark(io::Error),
    /// One came around otherwise than it was sent.
    #[error("a super-frame of {name} is forwarded otherwise than it was sent, from byte {at} on")]
    Changed { name: &'static str, at: usize },
}

impl TunnelGso {
    /// Sends super-frames around in this host, and looks at what comes. Called where [`TunnelGso::open`] was.
    ///
    /// For some milliseconds there is a second device, and a route to one address of 192.0.0.128/27 by it. Nothing leaves
    /// the host.
    ///
    /// # Errors
    ///
    /// [`TrialError`]: sockets do without.
    pub(crate) fn trial(&self, netlink: &Netlink) -> Result<(), TrialError> {
        let (sink, destination) = Self::sink(netlink)?;
        self.send_around(&sink, destination)
    }

    /// The same for GRE, which the second TAP takes cut alone.
    ///
    /// # Errors
    ///
    /// [`TrialError`]: sockets do without.
    pub(super) fn trial_of_gre(&self, netlink: &Netlink) -> Result<(), TrialError> {
        let (sink, destination) = Self::sink(netlink)?;
        self.send_gre_around(&sink, destination)
    }

    /// The second TAP, and an address behind it.
    fn sink(netlink: &Netlink) -> Result<(HelperTap, Ipv4Addr), TrialError> {
        let set = |what| move |error| TrialError::Set { what, error };
        let sink = HelperTap::open().map_err(set("a TAP"))?;
        let link = netlink.link(sink.name()).map_err(set("a TAP"))?;
        let index = link.ok_or_else(|| set("a TAP")(Errno::NODEV.into()))?.index;
        netlink.set_no_arp(index).map_err(set("no ARP"))?;
        netlink.make_no_ipv6_address(index).map_err(set("no IPv6 address"))?;
        netlink.set_up(index).map_err(set("state"))?;
        // Of several trials at a time each has its own address.
        let destination = Ipv4Addr::from_bits(DESTINATIONS + index % 32);
        netlink.add_host_route(index, destination).map_err(set("a route"))?;
        Ok((sink, destination))
    }

    fn send_around(&self, sink: &HelperTap, destination: Ipv4Addr) -> Result<(), TrialError> {
        let end = Instant::now() + PATIENCE;
        let mut buffer = vec![0; BUFFER];
        for (name, kind, udp_checksum) in [
            ("TCP over IPv4", Kind::Tcp4, false),
            ("TCP over IPv4 with an outer checksum", Kind::Tcp4, true),
            ("TCP over IPv6", Kind::Tcp6, false),
            ("UDP over IPv4", Kind::Udp4, true),
            ("UDP over IPv6", Kind::Udp6, false),
        ] {
            let Example { virtio, frame } = Example::new(kind, PAYLOAD, SEGMENT);
            let outer = Outer {
                destination,
                transport: Transport::Udp { source_port: DISCARD, destination_port: DISCARD, checksum: udp_checksum },
                traffic_class: 0,
                ttl: 1,
                df: true,
            };
            SuperFrame::parse(&virtio, &frame)
                .map_err(|_| Errno::INVAL)
                .and_then(|super_frame| self.send(&outer, virtio, &super_frame, &TUNNEL_HEADER, &frame))
                .map_err(|error| TrialError::Refused { name, error })?;
            let length = receive(sink, destination, &mut buffer, end).ok_or(TrialError::Lost { name })?;
            if let Some(at) =
                difference(&buffer[..length], &outer, udp_checksum, virtio, &[&TUNNEL_HEADER[..], &frame].concat())
            {
                return Err(TrialError::Changed { name, at });
            }
        }
        Ok(())
    }

    fn send_gre_around(&self, sink: &HelperTap, destination: Ipv4Addr) -> Result<(), TrialError> {
        let end = Instant::now() + PATIENCE;
        let mut buffer = vec![0; BUFFER];
        for (name, kind) in [("TCP over IPv4 in GRE", Kind::Tcp4), ("TCP over IPv6 in GRE", Kind::Tcp6)] {
            let Example { virtio, frame } = Example::new(kind, PAYLOAD, SEGMENT);
            let outer = Outer { destination, transport: Transport::Gre, traffic_class: 0, ttl: 1, df: true };
            let refused = |error| TrialError::Refused { name, error };
            let super_frame = SuperFrame::parse(&virtio, &frame).map_err(|_| refused(Errno::INVAL))?;
            self.send(&outer, virtio, &super_frame, &GRE_HEADER, &frame).map_err(refused)?;
            for index in 0..super_frame.segments() {
                let length = receive(sink, destination, &mut buffer, end).ok_or(TrialError::Lost { name })?;
                let mut expected = [&GRE_HEADER[..], &vec![0; super_frame.header_len()]].concat();
                let payload = super_frame.write_segment(&frame, index, &mut expected[GRE_HEADER.len()..]);
                expected.extend(&frame[payload]);
                if let Some(at) = difference_of_segment(&mut buffer[..length], &outer, &expected) {
                    return Err(TrialError::Changed { name, at });
                }
            }
        }
        Ok(())
    }
}

/// Where what arrived is not the packet of a segment with `outer` and this payload.
fn difference_of_segment(arrived: &mut [u8], outer: &Outer, payload: &[u8]) -> Option<usize> {
    let Some((header, packet)) = arrived.split_at_mut_checked(VirtioNetTunnelHeader::LEN) else { return Some(0) };
    let Ok((virtio, _)) = VirtioNetHeader::from_prefix(header) else { return Some(0) };
    if offload::finish_checksum(virtio, packet).is_err() {
        return Some(0);
    }
    let decoded = packet.get(EthernetHeader::LEN..).and_then(|packet| Ipv4Header::decode(packet).ok());
    let is_outer = decoded.is_some_and(|ip| {
        let is_valid = ip.header.is_checksum_valid(&[]);
        is_valid
            && (ip.header.protocol(), ip.header.ttl(), ip.header.dont_fragment()) == (IpProtocol::GRE, outer.ttl, true)
    });
    let Some(ip) = decoded.filter(|_| is_outer) else { return Some(VirtioNetTunnelHeader::LEN) };
    let same = ip.payload.iter().zip(payload).take_while(|(one, other)| one == other).count();
    (same != ip.payload.len().max(payload.len())).then_some(VirtioNetTunnelHeader::LEN + OUTER_NETWORK + same)
}

/// The length of the next packet to this address, virtio-net header included; `None` when none comes before `end`.
fn receive(sink: &HelperTap, destination: Ipv4Addr, buffer: &mut [u8], end: Instant) -> Option<usize> {
    /// The last field of the outer IPv4 header.
    const DESTINATION: std::ops::Range<usize> = HEAD - UdpHeader::LEN - 4..HEAD - UdpHeader::LEN;
    loop {
        match sink.read(buffer) {
            Ok(length) if buffer[..length].get(DESTINATION) == Some(&destination.octets()) => return Some(length),
            // Whatever the host has to say to a new device.
            Ok(_) | Err(Errno::INTR) => {}
            Err(Errno::AGAIN) => {
                let patience = Timespec::try_from(end.saturating_duration_since(Instant::now())).ok()?;
                if poll(&mut [PollFd::new(sink, PollFlags::IN)], Some(&patience)).ok()? == 0 {
                    return None;
                }
            }
            Err(_) => return None,
        }
    }
}

/// Where what arrived is not what was sent, virtio-net header included.
fn difference(
    arrived: &[u8],
    outer: &Outer,
    udp_checksum: bool,
    virtio: VirtioNetHeader,
    payload: &[u8],
) -> Option<usize> {
    const TTL: usize = VirtioNetTunnelHeader::LEN + EthernetHeader::LEN + 8;
    let Ok((header, packet)) = VirtioNetTunnelHeader::from_prefix(arrived) else { return Some(arrived.len()) };
    // How many bytes of headers there are is a hint.
    let inner = header.inner((OUTER + TUNNEL_HEADER.len()) as u16);
    let is_same = inner.is_some_and(|inner| {
        (inner.gso_type(), inner.gso_size(), inner.csum_start(), inner.csum_offset(), inner.needs_checksum())
            == (virtio.gso_type(), virtio.gso_size(), virtio.csum_start(), virtio.csum_offset(), true)
    });
    if !is_same || header.has_outer_checksum() != udp_checksum {
        return Some(0);
    }
    if arrived.get(TTL) != Some(&outer.ttl) {
        return Some(TTL);
    }
    let arrived = packet.get(OUTER..).unwrap_or_default();
    let same = arrived.iter().zip(payload).take_while(|(one, other)| one == other).count();
    (same != arrived.len().max(payload.len())).then_some(HEAD + same)
}

/// What a super-frame carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Tcp4,
    Tcp6,
    Udp4,
    Udp6,
}

/// A super-frame as a TAP would give it, between two stations that do not exist.
pub(super) struct Example {
    pub(super) virtio: VirtioNetHeader,
    pub(super) frame: Vec<u8>,
}

impl Example {
    /// So much payload, within one IP packet, in segments of that size.
    pub(super) fn new(kind: Kind, payload: usize, segment: u16) -> Self {
        let (gso_type, ether_type, protocol, transport_length, csum_offset) = match kind {
            Kind::Tcp4 => (GsoType::TcpV4, EtherType::IPV4, IpProtocol::TCP, TcpHeader::LEN, 16),
            Kind::Tcp6 => (GsoType::TcpV6, EtherType::IPV6, IpProtocol::TCP, TcpHeader::LEN, 16),
            Kind::Udp4 => (GsoType::UdpL4, EtherType::IPV4, IpProtocol::UDP, UdpHeader::LEN, 6),
            Kind::Udp6 => (GsoType::UdpL4, EtherType::IPV6, IpProtocol::UDP, UdpHeader::LEN, 6),
        };
        let length = (transport_length + payload) as u16;
        let [one, two] = [1, 2].map(|station| MacAddr::new([2, 0, 0, 0, 1, station]));
        let mut frame = EthernetHeader::new(two, one, ether_type).as_bytes().to_vec();
        let sum = if ether_type == EtherType::IPV4 {
            let [one, two] = [1, 2].map(|host| Ipv4Addr::new(192, 0, 2, host));
            frame.extend(Ipv4Header::new(one, two, protocol, Ipv4Header::LEN as u16 + length).as_bytes());
            Sum::pseudo_ipv4(one, two, protocol, length)
        } else {
            let [one, two] = [1, 2].map(|host| Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, host));
            frame.extend(Ipv6Header::new(one, two, protocol, length).as_bytes());
            Sum::pseudo_ipv6(one, two, protocol, length.into())
        };
        let transport = frame.len() as u16;
        if protocol == IpProtocol::TCP {
            let mut tcp = TcpHeader::new(40_000, DISCARD);
            tcp.set_flags(TcpFlags::ACK);
            tcp.set_checksum(sum.fold());
            frame.extend(tcp.as_bytes());
        } else {
            let mut udp = UdpHeader::new(40_000, DISCARD, length);
            udp.set_checksum(sum.fold());
            frame.extend(udp.as_bytes());
        }
        let virtio = VirtioNetHeader::new()
            .with_gso(gso_type, segment, frame.len() as u16)
            .with_checksum(transport, csum_offset);
        // A prime: no segment begins like another one.
        frame.extend((0..payload).map(|place| (place % 251) as u8));
        Self { virtio, frame }
    }
}

#[cfg(test)]
mod tests {
    use super::{super::Head, *};

    const OUTER_HEADERS: Outer = Outer {
        destination: Ipv4Addr::new(192, 0, 0, 128),
        transport: Transport::Udp { source_port: DISCARD, destination_port: DISCARD, checksum: true },
        traffic_class: 0,
        ttl: 1,
        df: true,
    };

    /// What comes around when nothing is wrong, what was sent, and its virtio-net header.
    fn around() -> (Vec<u8>, Vec<u8>, VirtioNetHeader) {
        let Example { virtio, frame } = Example::new(Kind::Tcp4, 5000, SEGMENT);
        let super_frame = SuperFrame::parse(&virtio, &frame).unwrap();
        let local = Ipv4Addr::new(10, 0, 0, 1);
        let head = Head { mac: MacAddr::ZERO, local, outer: &OUTER_HEADERS, identification: 0 };
        let mut head = head.of(virtio, &super_frame, TUNNEL_HEADER.len(), &frame).unwrap().bytes().to_vec();
        // Forwarding takes one.
        head[VirtioNetTunnelHeader::LEN + EthernetHeader::LEN + 8] -= 1;
        let payload = [&TUNNEL_HEADER[..], &frame].concat();
        ([&head[..], &payload].concat(), payload, virtio)
    }

    #[test]
    fn what_was_sent_is_no_difference() {
        let (arrived, payload, virtio) = around();
        assert_eq!(difference(&arrived, &OUTER_HEADERS, true, virtio, &payload), None);
    }

    #[test]
    fn every_changed_byte_is_seen() {
        let (arrived, payload, virtio) = around();
        for at in HEAD..arrived.len() {
            let mut changed = arrived.clone();
            changed[at] ^= 1;
            assert_eq!(difference(&changed, &OUTER_HEADERS, true, virtio, &payload), Some(at));
        }
    }

    #[test]
    fn a_lost_or_an_added_tail_is_seen() {
        let (mut arrived, payload, virtio) = around();
        let length = arrived.len();
        assert_eq!(difference(&arrived[..length - 1], &OUTER_HEADERS, true, virtio, &payload), Some(length - 1));
        arrived.push(0);
        assert_eq!(difference(&arrived, &OUTER_HEADERS, true, virtio, &payload), Some(length));
        assert_eq!(difference(&arrived[..10], &OUTER_HEADERS, true, virtio, &payload), Some(10));
    }

    #[test]
    fn other_offloads_are_seen() {
        let (arrived, payload, virtio) = around();
        // The flags, the type, the size of the segments, the place of the checksum.
        for at in [0, 1, 4, 6, 8] {
            let mut changed = arrived.clone();
            changed[at] ^= 1;
            assert_eq!(difference(&changed, &OUTER_HEADERS, true, virtio, &payload), Some(0), "{at}");
        }
        assert_eq!(difference(&arrived, &OUTER_HEADERS, false, virtio, &payload), Some(0));
    }

    #[test]
    fn every_changed_byte_of_a_segment_in_gre_is_seen() {
        const HEADERS: usize = VirtioNetTunnelHeader::LEN + EthernetHeader::LEN;
        let payload: Vec<u8> = GRE_HEADER.into_iter().chain(0..100).collect();
        let outer = Outer { transport: Transport::Gre, ..OUTER_HEADERS };
        let length = (Ipv4Header::LEN + payload.len()) as u16;
        let mut ip = Ipv4Header::new(Ipv4Addr::new(10, 0, 0, 1), outer.destination, IpProtocol::GRE, length);
        ip.set_ttl(outer.ttl);
        ip.set_dont_fragment(true);
        ip.set_checksum(ip.compute_checksum(&[]));
        let arrived = [&[0; HEADERS][..], ip.as_bytes(), &payload].concat();
        assert_eq!(difference_of_segment(&mut arrived.clone(), &outer, &payload), None);
        for at in HEADERS..arrived.len() {
            let mut changed = arrived.clone();
            changed[at] ^= 1;
            assert!(difference_of_segment(&mut changed, &outer, &payload).is_some(), "{at}");
        }
        assert!(difference_of_segment(&mut arrived.clone(), &outer, &payload[..payload.len() - 1]).is_some());
        assert!(difference_of_segment(&mut arrived[..10].to_vec(), &outer, &payload).is_some());
    }

    #[test]
    fn a_ttl_that_nobody_took_from_is_seen() {
        let (arrived, payload, virtio) = around();
        let outer = Outer { ttl: 2, ..OUTER_HEADERS };
        assert!(difference(&arrived, &outer, true, virtio, &payload).is_some());
    }
}
