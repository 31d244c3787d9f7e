//! What a frame is to the runs.

use ether_wire::{
    EtherType, IpProtocol, Ipv4Header, Ipv6Header, TcpFlags, TcpHeader, UdpHeader, checksum::Sum, ethernet,
};

use super::Port;
use crate::packet::{Packet, TCP_CHECKSUM, UDP_CHECKSUM};

/// Between which two a frame goes.
///
/// Different flows may come out as the same, which costs a merge and nothing else, since all headers are compared before
/// one; the same flow never comes out as two.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Flow {
    /// Port of the endpoint, IP version and addresses.
    pair: u64,
    /// Protocol and ports; `None` where they are not known.
    transport: Option<u64>,
}

impl Flow {
    pub(super) const NONE: Self = Self { pair: 0, transport: None };

    /// `true` where a frame of this flow must not overtake those of the other.
    #[inline]
    pub(super) fn touches(&self, other: &Self) -> bool {
        self.pair == other.pair && (self.transport.is_none() || self.transport == other.transport)
    }

    /// The flow of a frame that is not [`Plain`], as far as it can be told; `None` for what is no IP packet.
    pub(super) fn of(port: Port, frame: &[u8]) -> Option<Self> {
        let payload = ethernet::payload(frame)?;
        let bytes = frame.get(payload.offset..)?;
        let pair = match payload.ether_type {
            EtherType::IPV4 => pair_ipv4(port, Ipv4Header::from_prefix(bytes).ok()?.0),
            EtherType::IPV6 => pair_ipv6(port, Ipv6Header::from_prefix(bytes).ok()?.0),
            _ => return None,
        };
        // What does not decode, and a fragment, may be of any flow between the two.
        let packet = Packet::parse(frame).ok().flatten().filter(|packet| !packet.is_fragment);
        let transport = packet.and_then(|packet| transport(packet.protocol, packet.transport_bytes(frame)));
        Some(Self { pair, transport })
    }
}

/// Spreads a number over 64 bits, each factor in another way.
#[inline]
const fn spread(value: u64, factor: u64) -> u64 {
    value.wrapping_mul(factor).rotate_left(29)
}

#[inline]
fn spread_port(port: Port) -> u64 {
    spread(u64::from(port.id) + 1, 0x9e37_79b9_7f4a_7c15)
}

#[inline]
fn pair_ipv4(port: Port, header: &Ipv4Header) -> u64 {
    let addresses = u64::from(header.source().to_bits()) << 32 | u64::from(header.destination().to_bits());
    addresses ^ spread_port(port)
}

#[inline]
fn pair_ipv6(port: Port, header: &Ipv6Header) -> u64 {
    let (source, destination) = (header.source().to_bits(), header.destination().to_bits());
    spread((source >> 64) as u64, 0xff51_afd7_ed55_8ccd)
        ^ spread(source as u64, 0xc4ce_b9fe_1a85_ec53)
        ^ spread((destination >> 64) as u64, 0x87c3_7b91_1142_53d5)
        ^ spread(destination as u64, 0x4cf5_ad43_2745_937f)
        ^ spread_port(port)
}

#[inline]
fn transport(protocol: IpProtocol, header: &[u8]) -> Option<u64> {
    let ports = header.first_chunk().map(|ports| u32::from_be_bytes(*ports))?;
    Some(u64::from(protocol.get()) << 32 | u64::from(ports))
}

/// What may become of a frame in a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Role {
    /// It is in none.
    Alone,
    /// It is the last one.
    Last,
    /// It is anywhere.
    Any,
}

/// A frame with TCP or UDP right behind an IP header, with lengths that fit. Almost all frames are such.
#[derive(Clone, Copy, Debug)]
pub(super) struct Plain {
    pub(super) flow: Flow,
    pub(super) role: Role,
    pub(super) is_ipv6: bool,
    pub(super) is_tcp: bool,
    /// Where the IP header is, in bytes from the start of the frame.
    pub(super) network: u8,
    /// Where the transport header is, in bytes from the start of the frame.
    pub(super) transport: u8,
    /// Bytes of all headers.
    pub(super) header_length: u8,
    /// Bytes of payload.
    pub(super) payload: u16,
    /// Where the payload is in the stream; zero for UDP.
    pub(super) sequence_number: u32,
}

impl Plain {
    pub(super) const NONE: Self = Self {
        flow: Flow::NONE,
        role: Role::Alone,
        is_ipv6: false,
        is_tcp: false,
        network: 0,
        transport: 0,
        header_length: 0,
        payload: 0,
        sequence_number: 0,
    };

    /// Takes a frame apart; `None` for one that is not plain.
    #[inline]
    pub(super) fn parse(port: Port, frame: &[u8]) -> Option<Self> {
        let ethernet = ethernet::payload(frame)?;
        let bytes = frame.get(ethernet.offset..)?;
        let (pair, is_ipv6, protocol, ip_length, length) = match ethernet.ether_type {
            EtherType::IPV4 => {
                let (header, _) = Ipv4Header::from_prefix(bytes).ok()?;
                let is_plain = header.version() == 4
                    && header.ihl() == 5
                    && !header.is_fragment()
                    && header.is_checksum_valid(&[]);
                if !is_plain {
                    return None;
                }
                let length = usize::from(header.total_length());
                (pair_ipv4(port, header), false, header.protocol(), Ipv4Header::LEN, length)
            }
            EtherType::IPV6 => {
                let (header, _) = Ipv6Header::from_prefix(bytes).ok()?;
                if header.version() != 6 {
                    return None;
                }
                let length = Ipv6Header::LEN + usize::from(header.payload_length());
                (pair_ipv6(port, header), true, header.next_header(), Ipv6Header::LEN, length)
            }
            _ => return None,
        };
        let segment = bytes.get(ip_length..length)?;
        let flow = Flow { pair, transport: transport(protocol, segment) };
        let is_tcp = protocol == IpProtocol::TCP;
        let (transport_length, sequence_number, role) = match protocol {
            IpProtocol::TCP => {
                let (header, _) = TcpHeader::from_prefix(segment).ok()?;
                let flags = header.flags();
                let role = if flags.intersects(!(TcpFlags::ACK | TcpFlags::PSH | TcpFlags::ECE)) {
                    Role::Alone
                } else if flags.intersects(TcpFlags::PSH) {
                    Role::Last
                } else {
                    Role::Any
                };
                (header.header_length(), header.sequence_number(), role)
            }
            IpProtocol::UDP => {
                let (header, _) = UdpHeader::from_prefix(segment).ok()?;
                if usize::from(header.length()) != segment.len() {
                    return None;
                }
                let is_merged = port.merge_udp && header.checksum() != 0;
                (UdpHeader::LEN, 0, if is_merged { Role::Any } else { Role::Alone })
            }
            _ => return None,
        };
        if is_tcp && transport_length < TcpHeader::LEN {
            return None;
        }
        let payload = segment.len().checked_sub(transport_length)?;
        // The reserved bit of IPv4's flags is in no run.
        let is_reserved = !is_ipv6 && bytes.get(6).is_some_and(|flags| flags & 0x80 != 0);
        Some(Self {
            flow,
            role: if payload == 0 || is_reserved { Role::Alone } else { role },
            is_ipv6,
            is_tcp,
            network: ethernet.offset as u8,
            transport: (ethernet.offset + ip_length) as u8,
            header_length: (ethernet.offset + ip_length + transport_length) as u8,
            payload: payload as u16,
            sequence_number,
        })
    }

    /// Where the packet ends in its frame; what is behind it is padding.
    #[inline]
    pub(super) const fn end(&self) -> usize {
        self.header_length as usize + self.payload as usize
    }

    /// Bytes of the IP packet.
    #[inline]
    const fn packet_length(&self) -> usize {
        self.end() - self.network as usize
    }

    /// The transport header and its payload.
    #[inline]
    fn segment<'a>(&self, frame: &'a [u8]) -> &'a [u8] {
        frame.get(usize::from(self.transport)..self.end()).unwrap_or_default()
    }

    /// The sum of the pseudo-header.
    #[inline]
    fn pseudo(&self, frame: &[u8]) -> Option<Sum> {
        let bytes = frame.get(usize::from(self.network)..)?;
        let length = (self.end() - usize::from(self.transport)) as u16;
        Some(if self.is_ipv6 {
            let protocol = if self.is_tcp { IpProtocol::TCP } else { IpProtocol::UDP };
            Ipv6Header::from_prefix(bytes).ok()?.0.pseudo_header(protocol, u32::from(length))
        } else {
            Ipv4Header::from_prefix(bytes).ok()?.0.pseudo_header(length)
        })
    }

    /// Where the checksum field is in the transport header.
    #[inline]
    const fn checksum_offset(&self) -> u16 {
        if self.is_tcp { TCP_CHECKSUM } else { UDP_CHECKSUM }
    }

    /// `true` where the checksum field holds this sum of the pseudo-header.
    #[inline]
    fn has_partial(&self, pseudo: Sum, segment: &[u8]) -> bool {
        let field = segment.get(usize::from(self.checksum_offset())..).and_then(<[u8]>::first_chunk);
        field == Some(&pseudo.fold().to_be_bytes())
    }

    /// `true` where the transport checksum is right, or was left to hardware.
    #[inline]
    pub(super) fn is_verified(&self, frame: &[u8]) -> bool {
        let segment = self.segment(frame);
        self.pseudo(frame)
            .is_some_and(|pseudo| self.has_partial(pseudo, segment) || pseudo.add_bytes(segment).is_valid())
    }

    /// `true` for a super-frame that was never cut.
    #[inline]
    pub(super) fn is_uncut(&self, port: Port, frame: &[u8]) -> bool {
        self.is_tcp && self.packet_length() > usize::from(port.mtu) && self.is_partial(frame)
    }

    /// `true` where the checksum was left to hardware, or happens to look like it.
    #[inline]
    pub(super) fn is_partial(&self, frame: &[u8]) -> bool {
        self.pseudo(frame).is_some_and(|pseudo| self.has_partial(pseudo, self.segment(frame)))
    }
}
