//! Our own tunnel packets that come back by a TAP: where the host's route to a remote leads into the overlay, each frame
//! would go out in itself, again and again.

use alloc::boxed::Box;
use core::net::IpAddr;

use ether_wire::{EtherType, IpProtocol, UdpHeader, ethernet, ipv4::Ipv4Header, ipv6::Ipv6Header};

use fdb::RemoteTable;
use overlay_types::Vni;

use crate::{Encapsulation, SegmentConfig};

/// By what the packets of our tunnels are known.
#[derive(Debug)]
pub(crate) struct OwnTunnels {
    /// The addresses that they come from.
    local: Box<[IpAddr]>,
    /// The segments, by what is on the wire.
    segments: Box<[(Encapsulation, u16, Vni)]>,
}

impl OwnTunnels {
    pub(crate) fn new<'a>(local: Box<[IpAddr]>, segments: impl Iterator<Item = &'a SegmentConfig>) -> Self {
        Self { local, segments: segments.map(|config| (config.encapsulation, config.port, config.vni)).collect() }
    }

    /// Whether a frame from a TAP is a packet that we sent: from an address of ours to a remote, with the tunnel header of a
    /// segment. Tenants may use the same addresses among themselves.
    #[inline]
    pub(crate) fn sent(&self, frame: &[u8], remotes: &RemoteTable) -> bool {
        let Some(packet) = Packet::read(frame) else { return false };
        self.local.contains(&packet.source) && remotes.id_of(packet.destination).is_some() && self.carry(&packet)
    }

    #[cold]
    fn carry(&self, packet: &Packet<'_>) -> bool {
        self.segments.iter().any(|(encapsulation, port, vni)| {
            let tunnel = match packet.protocol {
                IpProtocol::UDP if encapsulation.is_udp() => match UdpHeader::from_prefix(packet.transport) {
                    Ok((header, tunnel)) if header.destination_port() == *port => tunnel,
                    _ => return false,
                },
                IpProtocol::GRE if !encapsulation.is_udp() => packet.transport,
                _ => return false,
            };
            encapsulation.decode(tunnel).is_ok_and(|decoded| decoded.vni == *vni)
        })
    }
}

/// An IP packet that may be one of a tunnel.
struct Packet<'a> {
    source: IpAddr,
    destination: IpAddr,
    protocol: IpProtocol,
    /// What stands behind the IP header.
    transport: &'a [u8],
}

impl<'a> Packet<'a> {
    #[inline]
    fn read(frame: &'a [u8]) -> Option<Self> {
        let payload = ethernet::payload(frame)?;
        let packet = frame.get(payload.offset..)?;
        match payload.ether_type {
            EtherType::IPV4 => {
                let (header, _) = Ipv4Header::from_prefix(packet).ok()?;
                Some(Self {
                    source: header.source().into(),
                    destination: header.destination().into(),
                    protocol: header.protocol(),
                    transport: packet.get(header.header_length()..)?,
                })
            }
            EtherType::IPV6 => {
                let (header, transport) = Ipv6Header::from_prefix(packet).ok()?;
                Some(Self {
                    source: header.source().into(),
                    destination: header.destination().into(),
                    protocol: header.next_header(),
                    transport,
                })
            }
            _ => None,
        }
    }
}
