//! Frames of one flow that become one super-frame.

use ether_wire::{IpProtocol, Ipv4Header, Ipv6Header, TcpFlags, TcpHeader, UdpHeader};

use super::{
    Piece, Port,
    flow::{Candidate, Flow},
};
use crate::{
    GsoType, VirtioNetHeader,
    packet::{TCP_CHECKSUM, UDP_CHECKSUM},
};

/// Frames of a run. TCP of an Ethernet MTU fills a packet with 45.
const MAX_FRAMES: usize = 128;
/// Datagrams of a run, as Linux has it (`UDP_GRO_CNT_MAX`).
const MAX_DATAGRAMS: usize = 64;
/// Bytes of the merged packet, so that with Ethernet header and VLAN tags it has no more than 65,535.
const MAX_PACKET: usize = 65_535 - 14 - 4 * 4;

/// How the IPv4 identification goes on in a run (RFC 6864).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Identification {
    /// One frame says nothing of it.
    Unknown,
    /// One more for each frame.
    Counts,
    /// The same in all, which DF allows.
    Constant,
}

/// A run, open or not.
#[derive(Clone, Copy, Debug)]
pub(super) struct Run {
    pub(super) flow: Flow,
    pub(super) port: Port,
    /// The first frame, whole.
    pub(super) first: Piece,
    is_ipv6: bool,
    is_tcp: bool,
    network: u8,
    transport: u8,
    header_length: u8,
    /// The checksum of the first frame has been verified.
    is_verified: bool,
    /// The last frame has PSH.
    pushes: bool,
    identification: Identification,
    /// Bytes of payload of each frame.
    segment_size: u16,
    /// Bytes of payload of all frames.
    payload: u32,
    next_sequence_number: u32,
    frames: usize,
    pieces: [Piece; MAX_FRAMES],
}

impl Run {
    pub(super) const NEW: Self = Self {
        flow: Flow::NONE,
        port: Port { id: 0, mtu: 0, merge_udp: false },
        first: Piece { start: 0, len: 0 },
        is_ipv6: false,
        is_tcp: false,
        network: 0,
        transport: 0,
        header_length: 0,
        is_verified: false,
        pushes: false,
        identification: Identification::Unknown,
        segment_size: 0,
        payload: 0,
        next_sequence_number: 0,
        frames: 0,
        pieces: [Piece { start: 0, len: 0 }; MAX_FRAMES],
    };

    /// Begins with this frame.
    #[inline]
    pub(super) fn begin(&mut self, port: Port, frame: Piece, candidate: &Candidate) {
        self.flow = candidate.flow;
        self.port = port;
        self.first = frame;
        self.is_ipv6 = candidate.is_ipv6;
        self.is_tcp = candidate.is_tcp;
        self.network = candidate.network;
        self.transport = candidate.transport;
        self.header_length = candidate.header_length;
        self.is_verified = false;
        self.pushes = false;
        self.identification = Identification::Unknown;
        self.segment_size = candidate.payload;
        self.payload = 0;
        self.next_sequence_number = candidate.sequence_number;
        self.frames = 0;
        self.append(frame, candidate);
    }

    /// Takes the payload of this frame.
    #[inline]
    pub(super) fn append(&mut self, frame: Piece, candidate: &Candidate) {
        let start = frame.start + u32::from(candidate.header_length);
        if let Some(piece) = self.pieces.get_mut(self.frames) {
            *piece = Piece { start, len: u32::from(candidate.payload) };
            self.frames += 1;
        }
        self.payload += u32::from(candidate.payload);
        self.next_sequence_number = self.next_sequence_number.wrapping_add(u32::from(candidate.payload));
        self.pushes |= candidate.ends_run;
    }

    /// `true` where nothing comes behind the frame that was just taken.
    #[inline]
    pub(super) const fn is_full(&self, last: &Candidate) -> bool {
        last.payload < self.segment_size
            || last.ends_run
            || self.frames >= if self.is_tcp { MAX_FRAMES } else { MAX_DATAGRAMS }
    }

    /// The payloads.
    #[inline]
    pub(super) fn pieces(&self) -> &[Piece] {
        self.pieces.get(..self.frames).unwrap_or_default()
    }

    /// `true` where the frame goes on where the run ends, and everything else of its headers is the same.
    #[inline]
    pub(super) fn takes(&mut self, memory: &[u8], frame: &[u8], candidate: &Candidate) -> bool {
        let header = usize::from(self.header_length);
        let network = usize::from(self.network);
        if self.header_length != candidate.header_length
            || self.network != candidate.network
            || self.transport != candidate.transport
            || candidate.payload > self.segment_size
            || candidate.sequence_number != self.next_sequence_number
            || header - network + self.payload as usize + usize::from(candidate.payload) > MAX_PACKET
        {
            return false;
        }
        let Some(first) = memory.get(self.first.range()).and_then(|first| first.get(..header)) else { return false };
        let Some(frame) = frame.get(..header) else { return false };
        if first.get(..network) != frame.get(..network) {
            return false;
        }
        self.same_network(first, frame, network) && self.same_transport(first, frame)
    }

    /// Compares the IP headers.
    #[inline]
    fn same_network(&mut self, first: &[u8], frame: &[u8], network: usize) -> bool {
        let (Some(first), Some(frame)) = (first.get(network..), frame.get(network..)) else { return false };
        if self.is_ipv6 {
            let (Some(first), Some(frame)) = (first.first_chunk::<40>(), frame.first_chunk::<40>()) else {
                return false;
            };
            return first[..4] == frame[..4] && first[6..] == frame[6..];
        }
        let (Some(first), Some(frame)) = (first.first_chunk::<20>(), frame.first_chunk::<20>()) else { return false };
        let same = first[..2] == frame[..2] && first[6..10] == frame[6..10] && first[12..] == frame[12..];
        if !same {
            return false;
        }
        let identification = |header: &[u8; 20]| u16::from_be_bytes([header[4], header[5]]);
        let distance = identification(frame).wrapping_sub(identification(first));
        let dont_fragment = first[6] & 0x40 != 0;
        if self.identification == Identification::Unknown {
            self.identification =
                if dont_fragment && distance == 0 { Identification::Constant } else { Identification::Counts };
        }
        usize::from(distance) == if self.identification == Identification::Constant { 0 } else { self.frames }
    }

    /// Compares the transport headers.
    #[inline]
    fn same_transport(&self, first: &[u8], frame: &[u8]) -> bool {
        let transport = usize::from(self.transport);
        let (Some(first), Some(frame)) = (first.get(transport..), frame.get(transport..)) else { return false };
        if !self.is_tcp {
            return first.first_chunk::<4>() == frame.first_chunk::<4>();
        }
        let Some((first, first_options)) = first.split_first_chunk::<20>() else { return false };
        let Some((frame, frame_options)) = frame.split_first_chunk::<20>() else { return false };
        first[..4] == frame[..4]
            && first[8..13] == frame[8..13]
            && (first[13] ^ frame[13]) & !TcpFlags::PSH.bits() == 0
            && first[14..16] == frame[14..16]
            && first[18..] == frame[18..]
            && first_options == frame_options
    }

    /// Verifies the checksum of the first frame when the second one comes.
    #[inline]
    pub(super) fn verify_first(&mut self, memory: &[u8]) -> bool {
        if !self.is_verified {
            let candidate = Candidate {
                flow: self.flow,
                is_ipv6: self.is_ipv6,
                is_tcp: self.is_tcp,
                network: self.network,
                transport: self.transport,
                header_length: self.header_length,
                ends_run: false,
                payload: self.segment_size,
                sequence_number: 0,
            };
            self.is_verified = memory.get(self.first.range()).is_some_and(|first| candidate.is_verified(first));
        }
        self.is_verified
    }

    /// The headers of the super-frame; `None` for a run of one frame.
    #[inline]
    pub(super) fn header<'a>(&self, memory: &[u8], buffer: &'a mut [u8]) -> Option<(VirtioNetHeader, &'a [u8])> {
        if self.frames < 2 {
            return None;
        }
        let header_length = usize::from(self.header_length);
        let header = buffer.get_mut(..header_length)?;
        header.copy_from_slice(memory.get(self.first.range())?.get(..header_length)?);
        let (network, transport) = (usize::from(self.network), usize::from(self.transport));
        let transport_length = header_length - transport + self.payload as usize;
        let protocol = if self.is_tcp { IpProtocol::TCP } else { IpProtocol::UDP };
        let pseudo = if self.is_ipv6 {
            let (ip, _) = Ipv6Header::from_prefix_mut(header.get_mut(network..)?).ok()?;
            ip.set_payload_length(transport_length as u16);
            ip.pseudo_header(protocol, transport_length as u32)
        } else {
            let (ip, _) = Ipv4Header::from_prefix_mut(header.get_mut(network..)?).ok()?;
            ip.set_total_length((transport - network + transport_length) as u16);
            ip.pseudo_header(transport_length as u16)
        };
        let transport_header = header.get_mut(transport..)?;
        let (gso_type, offset) = if self.is_tcp {
            let (tcp, _) = TcpHeader::from_prefix_mut(transport_header).ok()?;
            tcp.set_checksum(pseudo.fold());
            if self.pushes {
                tcp.set_flags(tcp.flags() | TcpFlags::PSH);
            }
            (if self.is_ipv6 { GsoType::TcpV6 } else { GsoType::TcpV4 }, TCP_CHECKSUM)
        } else {
            let (udp, _) = UdpHeader::from_prefix_mut(transport_header).ok()?;
            udp.set_length(transport_length as u16);
            udp.set_checksum(pseudo.fold());
            (GsoType::UdpL4, UDP_CHECKSUM)
        };
        let virtio = VirtioNetHeader::new().with_checksum(u16::from(self.transport), offset).with_gso(
            gso_type,
            self.segment_size,
            u16::from(self.header_length),
        );
        Some((virtio, header))
    }
}
