//! What a frame is to the runs: one that may be merged, or one that goes alone.

use ether_wire::{EtherType, IpProtocol, TcpFlags, checksum::Sum, ethernet};

use super::Port;
use crate::packet::Packet;

/// Between which two a frame goes. Different flows may come out as the same, which costs a merge and nothing else; the
/// same flow never as different ones.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Flow {
    /// Port of the endpoint and addresses; zero for what is no IP packet.
    pub(super) pair: u64,
    /// Protocol and ports; `None` where they are not known.
    pub(super) transport: Option<u64>,
}

impl Flow {
    pub(super) const NONE: Self = Self { pair: 0, transport: Some(0) };

    /// `true` where a frame of this flow must not overtake those of the other.
    #[inline]
    pub(super) fn covers(&self, other: &Self) -> bool {
        self.pair == other.pair && (self.transport.is_none() || self.transport == other.transport)
    }
}

/// A frame that may be merged: TCP or UDP with payload, nothing between the headers, lengths that fit.
#[derive(Clone, Copy, Debug)]
pub(super) struct Candidate {
    pub(super) flow: Flow,
    pub(super) is_ipv6: bool,
    pub(super) is_tcp: bool,
    pub(super) network: u8,
    pub(super) transport: u8,
    pub(super) header_length: u8,
    /// Nothing comes behind it in a run.
    pub(super) ends_run: bool,
    pub(super) payload: u16,
    pub(super) sequence_number: u32,
}

/// What a frame is.
#[derive(Clone, Copy, Debug)]
pub(super) enum Frame {
    Candidate(Candidate),
    Alone(Flow),
}

#[inline]
fn word(bytes: &[u8], at: usize) -> Option<u16> {
    bytes.get(at..)?.first_chunk().map(|bytes| u16::from_be_bytes(*bytes))
}

#[inline]
fn u64_at(bytes: &[u8], at: usize) -> Option<u64> {
    bytes.get(at..)?.first_chunk().map(|bytes| u64::from_be_bytes(*bytes))
}

/// Spreads a number over 64 bits.
#[inline]
const fn spread(value: u64, factor: u64) -> u64 {
    value.wrapping_mul(factor).rotate_left(29)
}

/// The port and the addresses of a packet whose IP header begins here.
#[inline]
fn pair(port: Port, is_ipv6: bool, packet: &[u8]) -> Option<u64> {
    let port = spread(u64::from(port.id) << 1 | u64::from(is_ipv6), 0x9e37_79b9_7f4a_7c15);
    if is_ipv6 {
        let addresses = spread(u64_at(packet, 8)?, 0xff51_afd7_ed55_8ccd)
            ^ spread(u64_at(packet, 16)?, 0xc4ce_b9fe_1a85_ec53)
            ^ spread(u64_at(packet, 24)?, 0x87c3_7b91_1142_53d5)
            ^ spread(u64_at(packet, 32)?, 0x4cf5_ad43_2745_937f);
        return Some(addresses ^ port);
    }
    Some(u64_at(packet, 12)? ^ port)
}

/// The protocol and ports of a transport header that begins here.
#[inline]
fn transport(protocol: IpProtocol, header: &[u8]) -> Option<u64> {
    let ports = header.first_chunk().map(|ports| u32::from_be_bytes(*ports))?;
    Some(u64::from(protocol.get()) << 32 | u64::from(ports))
}

/// Says what a frame is.
#[inline]
pub(super) fn classify(port: Port, frame: &[u8]) -> Frame {
    match candidate(port, frame) {
        Some(candidate) => Frame::Candidate(candidate),
        None => Frame::Alone(alone(port, frame)),
    }
}

/// The frame as one that may be merged.
#[inline]
fn candidate(port: Port, frame: &[u8]) -> Option<Candidate> {
    let payload = ethernet::payload(frame)?;
    let network = payload.offset;
    let packet = frame.get(network..)?;
    let (is_ipv6, protocol, header_length, length) = match payload.ether_type {
        EtherType::IPV4 => {
            let header = packet.first_chunk::<20>()?;
            let is_fragment = u16::from_be_bytes([header[6], header[7]]) & 0xbfff != 0;
            if header[0] != 0x45 || is_fragment || !Sum::ZERO.add_bytes(header).is_valid() {
                return None;
            }
            (false, header[9], 20, usize::from(u16::from_be_bytes([header[2], header[3]])))
        }
        EtherType::IPV6 => {
            let header = packet.first_chunk::<40>()?;
            if header[0] >> 4 != 6 {
                return None;
            }
            (true, header[6], 40, 40 + usize::from(u16::from_be_bytes([header[4], header[5]])))
        }
        _ => return None,
    };
    let protocol = IpProtocol::new(protocol);
    let segment = packet.get(header_length..length)?;
    let (is_tcp, transport_length, sequence_number, ends_run) = match protocol {
        IpProtocol::TCP => {
            let header = segment.first_chunk::<20>()?;
            let flags = TcpFlags::from_bits(header[13]);
            if flags.intersects(!(TcpFlags::ACK | TcpFlags::PSH | TcpFlags::ECE)) {
                return None;
            }
            let sequence_number = u32::from_be_bytes([header[4], header[5], header[6], header[7]]);
            let length = usize::from(header[12] >> 4) * 4;
            if length < 20 {
                return None;
            }
            (true, length, sequence_number, flags.contains(TcpFlags::PSH))
        }
        IpProtocol::UDP if port.merge_udp => {
            let header = segment.first_chunk::<8>()?;
            let length = usize::from(u16::from_be_bytes([header[4], header[5]]));
            if length != segment.len() || header[6..] == [0, 0] {
                return None;
            }
            (false, 8, 0, false)
        }
        _ => return None,
    };
    let payload = segment.len().checked_sub(transport_length).filter(|payload| *payload != 0)?;
    Some(Candidate {
        flow: Flow { pair: pair(port, is_ipv6, packet)?, transport: transport(protocol, segment) },
        is_ipv6,
        is_tcp,
        network: network as u8,
        transport: (network + header_length) as u8,
        header_length: (network + header_length + transport_length) as u8,
        ends_run,
        payload: payload as u16,
        sequence_number,
    })
}

/// The flow of a frame that is not merged, as far as it can be told.
fn alone(port: Port, frame: &[u8]) -> Flow {
    let Some(payload) = ethernet::payload(frame) else { return Flow::NONE };
    let is_ipv6 = match payload.ether_type {
        EtherType::IPV4 => false,
        EtherType::IPV6 => true,
        _ => return Flow::NONE,
    };
    let packet = frame.get(payload.offset..).unwrap_or_default();
    let Some(pair) = pair(port, is_ipv6, packet) else { return Flow::NONE };
    let transport = Packet::parse(frame)
        .ok()
        .flatten()
        .filter(|packet| !packet.is_fragment)
        .and_then(|packet| transport(packet.protocol, packet.transport_bytes(frame)));
    Flow { pair, transport }
}

impl Candidate {
    /// Where the packet ends in its frame.
    #[inline]
    pub(super) const fn end(&self) -> usize {
        self.header_length as usize + self.payload as usize
    }

    /// `true` where the transport checksum is right, or was left to hardware.
    #[inline]
    pub(super) fn is_verified(&self, frame: &[u8]) -> bool {
        let Some(segment) = frame.get(usize::from(self.transport)..self.end()) else { return false };
        let Some(packet) = frame.get(usize::from(self.network)..) else { return false };
        let addresses = if self.is_ipv6 { packet.get(8..40) } else { packet.get(12..20) };
        let protocol = if self.is_tcp { IpProtocol::TCP } else { IpProtocol::UDP };
        let pseudo = Sum::ZERO
            .add_bytes(addresses.unwrap_or_default())
            .add_word(u16::from(protocol.get()))
            .add_word(segment.len() as u16);
        word(segment, if self.is_tcp { 16 } else { 6 }) == Some(pseudo.fold()) || pseudo.add_bytes(segment).is_valid()
    }

    /// `true` for a super-frame that was never cut, and is delivered as such.
    #[inline]
    pub(super) fn is_uncut(&self, port: Port, frame: &[u8]) -> bool {
        self.is_tcp
            && self.end() - usize::from(self.network) > usize::from(port.mtu)
            && super::partial_header(port, frame).is_some_and(|virtio| virtio.is_super_frame())
    }
}
