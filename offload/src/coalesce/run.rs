//! Frames of one flow that become one super-frame.

use ether_wire::{
    EthernetHeader, IpProtocol, Ipv4Header, Ipv6Header, TcpFlags, TcpHeader, UdpHeader, VlanTag, ethernet,
};

use super::{
    Piece, Port,
    frame::{Plain, Role},
};
use crate::{
    GsoType, VirtioNetHeader,
    packet::{TCP_CHECKSUM, UDP_CHECKSUM},
};

/// Frames of a run. TCP of an Ethernet MTU fills a packet with 45.
pub(super) const MAX_FRAMES: usize = 128;
/// Datagrams of a run, as Linux has it (`UDP_GRO_CNT_MAX`).
const MAX_DATAGRAMS: usize = 64;
/// Ethernet and VLAN tags in front of a packet, at most.
const MAX_ETHERNET: usize = EthernetHeader::LEN + ethernet::MAX_VLAN_TAGS as usize * VlanTag::LEN;
/// Bytes of the merged packet, so that the frame has no more than 65,535.
const MAX_PACKET: usize = 65_535 - MAX_ETHERNET;
/// Bytes of the longest headers that are merged: IPv6, and TCP with all options.
pub(super) const MAX_HEADER: usize = MAX_ETHERNET + Ipv6Header::LEN + 60;

/// How the IPv4 identification goes on in a run (RFC 6864).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Identification {
    /// One more for each frame.
    Counts,
    /// The same in all, which DF allows.
    Constant,
}

/// A run, open or not.
#[derive(Clone, Copy, Debug)]
pub(super) struct Run {
    pub(super) port: Port,
    /// The first frame, whole.
    pub(super) first: Piece,
    /// Its headers. The others have the same.
    pub(super) plain: Plain,
    /// Its checksum has been verified.
    is_verified: bool,
    /// The last frame has PSH.
    pushes: bool,
    identification: Identification,
    next_sequence_number: u32,
    /// Bytes of payload of all frames.
    payload: u32,
    frames: usize,
    pieces: [Piece; MAX_FRAMES],
}

impl Run {
    pub(super) const NEW: Self = Self {
        port: Port { id: 0, mtu: 0, merge_udp: false },
        first: Piece { start: 0, len: 0 },
        plain: Plain::NONE,
        is_verified: false,
        pushes: false,
        identification: Identification::Counts,
        next_sequence_number: 0,
        payload: 0,
        frames: 0,
        pieces: [Piece { start: 0, len: 0 }; MAX_FRAMES],
    };

    /// Begins with this frame.
    #[inline]
    pub(super) fn begin(&mut self, port: Port, frame: Piece, plain: &Plain) {
        self.port = port;
        self.first = frame;
        self.plain = *plain;
        self.is_verified = false;
        self.pushes = false;
        self.identification = Identification::Counts;
        self.next_sequence_number = plain.sequence_number;
        self.payload = 0;
        self.frames = 0;
        self.append(frame, plain);
    }

    /// Takes the payload of this frame.
    #[inline]
    pub(super) fn append(&mut self, frame: Piece, plain: &Plain) {
        let payload = u32::from(plain.payload);
        if let Some(piece) = self.pieces.get_mut(self.frames) {
            *piece = Piece { start: frame.start.saturating_add(u32::from(plain.header_length)), len: payload };
            self.frames += 1;
        }
        self.payload += payload;
        if plain.is_tcp {
            self.next_sequence_number = self.next_sequence_number.wrapping_add(payload);
        }
        self.pushes = plain.role == Role::Last;
    }

    /// `true` where nothing comes behind the frame that was taken last.
    #[inline]
    pub(super) const fn is_complete(&self, last: &Plain) -> bool {
        last.payload < self.plain.payload
            || self.pushes
            || self.frames >= if self.plain.is_tcp { MAX_FRAMES } else { MAX_DATAGRAMS }
    }

    /// The payloads.
    #[inline]
    pub(super) fn pieces(&self) -> &[Piece] {
        self.pieces.get(..self.frames).unwrap_or_default()
    }

    /// `true` where the frame goes on where the run ends, and everything else of its headers is the same.
    #[inline]
    pub(super) fn goes_on_with(&mut self, memory: &[u8], frame: &[u8], plain: &Plain) -> bool {
        let own = &self.plain;
        let headers = usize::from(own.header_length - own.network);
        if (own.network, own.transport, own.header_length) != (plain.network, plain.transport, plain.header_length)
            || plain.payload > own.payload
            || plain.sequence_number != self.next_sequence_number
            || headers + self.payload as usize + usize::from(plain.payload) > MAX_PACKET
        {
            return false;
        }
        let header_length = usize::from(own.header_length);
        let first = memory.get(self.first.range()).and_then(|first| first.get(..header_length));
        let (Some(first), Some(frame)) = (first, frame.get(..header_length)) else { return false };
        let same_ethernet = match (first.split_at_checked(14), frame.split_at_checked(14)) {
            (Some((first, first_behind)), Some((frame, behind))) => {
                let tags = ..usize::from(own.network) - 14;
                first.first_chunk::<14>() == frame.first_chunk::<14>()
                    && (own.network == 14 || first_behind.get(tags) == behind.get(tags))
            }
            _ => false,
        };
        same_ethernet && self.same_network(first, frame) && self.same_transport(first, frame)
    }

    /// Compares the IP headers.
    #[inline]
    fn same_network(&mut self, first: &[u8], frame: &[u8]) -> bool {
        let network = usize::from(self.plain.network);
        let (Some(first), Some(frame)) = (first.get(network..), frame.get(network..)) else { return false };
        if self.plain.is_ipv6 {
            // All but the length.
            let (Some(first), Some(frame)) = (first.first_chunk::<40>(), frame.first_chunk::<40>()) else {
                return false;
            };
            return first[..4] == frame[..4] && first[6..] == frame[6..];
        }
        // All but length, identification and checksum.
        let (Some(first), Some(frame)) = (first.first_chunk::<20>(), frame.first_chunk::<20>()) else { return false };
        if first[..2] != frame[..2] || first[6..10] != frame[6..10] || first[12..] != frame[12..] {
            return false;
        }
        let identification = |header: &[u8; 20]| u16::from_be_bytes([header[4], header[5]]);
        let distance = usize::from(identification(frame).wrapping_sub(identification(first)));
        let dont_fragment = first[6] & 0x40 != 0;
        if self.frames == 1 && dont_fragment && distance == 0 {
            self.identification = Identification::Constant;
        }
        distance
            == match self.identification {
                Identification::Counts => self.frames,
                Identification::Constant => 0,
            }
    }

    /// Compares the transport headers.
    #[inline]
    fn same_transport(&self, first: &[u8], frame: &[u8]) -> bool {
        let transport = usize::from(self.plain.transport);
        let (Some(first), Some(frame)) = (first.get(transport..), frame.get(transport..)) else { return false };
        if !self.plain.is_tcp {
            return first.first_chunk::<4>() == frame.first_chunk::<4>();
        }
        let Some((first, first_options)) = first.split_first_chunk::<20>() else { return false };
        let Some((frame, options)) = frame.split_first_chunk::<20>() else { return false };
        // All but sequence number, PSH and checksum.
        first[..4] == frame[..4]
            && first[8..13] == frame[8..13]
            && (first[13] ^ frame[13]) & !TcpFlags::PSH.bits() == 0
            && first[14..16] == frame[14..16]
            && first[18..] == frame[18..]
            && first_options == options
    }

    /// Verifies the checksum of the first frame, once, when the second one comes.
    #[inline]
    pub(super) fn is_first_verified(&mut self, memory: &[u8]) -> bool {
        if !self.is_verified {
            self.is_verified = memory.get(self.first.range()).is_some_and(|first| self.plain.is_verified(first));
        }
        self.is_verified
    }

    /// The headers of the super-frame; `None` for a run of one frame.
    #[inline]
    pub(super) fn header<'a>(
        &self,
        memory: &[u8],
        buffer: &'a mut [u8; MAX_HEADER],
    ) -> Option<(VirtioNetHeader, &'a [u8])> {
        if self.frames < 2 {
            return None;
        }
        let own = &self.plain;
        let (network, transport) = (usize::from(own.network), usize::from(own.transport));
        let header_length = usize::from(own.header_length);
        let header = buffer.get_mut(..header_length)?;
        header.copy_from_slice(memory.get(self.first.range())?.get(..header_length)?);
        let transport_length = header_length - transport + self.payload as usize;
        let protocol = if own.is_tcp { IpProtocol::TCP } else { IpProtocol::UDP };
        let pseudo = if own.is_ipv6 {
            let (ip, _) = Ipv6Header::from_prefix_mut(header.get_mut(network..)?).ok()?;
            ip.set_payload_length(transport_length as u16);
            ip.pseudo_header(protocol, transport_length as u32)
        } else {
            let (ip, _) = Ipv4Header::from_prefix_mut(header.get_mut(network..)?).ok()?;
            ip.set_total_length((transport - network + transport_length) as u16);
            ip.pseudo_header(transport_length as u16)
        };
        let transport_header = header.get_mut(transport..)?;
        let (gso_type, checksum_offset) = if own.is_tcp {
            let (tcp, _) = TcpHeader::from_prefix_mut(transport_header).ok()?;
            tcp.set_checksum(pseudo.fold());
            if self.pushes {
                tcp.set_flags(tcp.flags() | TcpFlags::PSH);
            }
            (if own.is_ipv6 { GsoType::TcpV6 } else { GsoType::TcpV4 }, TCP_CHECKSUM)
        } else {
            let (udp, _) = UdpHeader::from_prefix_mut(transport_header).ok()?;
            udp.set_length(transport_length as u16);
            udp.set_checksum(pseudo.fold());
            (GsoType::UdpL4, UDP_CHECKSUM)
        };
        let virtio = VirtioNetHeader::new().with_checksum(u16::from(own.transport), checksum_offset).with_gso(
            gso_type,
            own.payload,
            u16::from(own.header_length),
        );
        Some((virtio, header))
    }
}
