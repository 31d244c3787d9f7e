//! One super-frame in, many frames out.

use core::ops::Range;

use ether_wire::{IpProtocol, Ipv4Header, Ipv6Header, TcpFlags, TcpHeader, UdpHeader, checksum::Sum};

use crate::{
    GsoType, OffloadError, VirtioNetHeader,
    packet::{Packet, TCP_CHECKSUM, UDP_CHECKSUM},
};

/// Finishes the checksum of a frame that is not a super-frame, where `virtio` asks for it (virtio 1.2 §5.1.6.2): the sum
/// from `csum_start` to the end of the frame, complemented. Where it does not ask, nothing changes.
///
/// # Errors
///
/// - [`OffloadError::SuperFrame`], [`OffloadError::UnknownGsoType`]: the frame is to be cut.
/// - [`OffloadError::ChecksumBeyondFrame`].
///
/// The frame is as it was then.
#[inline]
pub fn finish_checksum(virtio: &VirtioNetHeader, frame: &mut [u8]) -> Result<(), OffloadError> {
    match virtio.gso_type()? {
        GsoType::None => {}
        gso_type => return Err(OffloadError::SuperFrame { gso_type }),
    }
    if !virtio.needs_checksum() {
        return Ok(());
    }
    let (start, offset) = (usize::from(virtio.csum_start()), usize::from(virtio.csum_offset()));
    let available = frame.len();
    let beyond = OffloadError::ChecksumBeyondFrame { end: start + offset + 2, available };
    let bytes = frame.get_mut(start..).ok_or(beyond)?;
    let checksum = Sum::ZERO.add_bytes(bytes).checksum();
    let field = bytes.get_mut(offset..).and_then(<[u8]>::first_chunk_mut::<2>).ok_or(beyond)?;
    let is_udp = virtio.csum_offset() == UDP_CHECKSUM;
    *field = if is_udp { not_none(checksum) } else { checksum }.to_be_bytes();
    Ok(())
}

/// A checksum of UDP as it is sent: zero would say that there is none.
#[inline]
pub(crate) const fn not_none(checksum: u16) -> u16 {
    if checksum == 0 { 0xffff } else { checksum }
}

/// How a super-frame is cut: lengths, offsets and sums, worked out once. It borrows nothing.
#[derive(Clone, Copy, Debug)]
pub struct SuperFrame {
    is_ipv6: bool,
    is_tcp: bool,
    flags: TcpFlags,
    /// The IP identification of the first segment.
    identification: u16,
    /// The sequence number of the first segment.
    sequence_number: u32,
    network: usize,
    transport: usize,
    header_length: usize,
    segment_size: usize,
    segments: usize,
    payload: usize,
    /// The sum of the IPv4 header but for total length, identification and checksum.
    network_sum: Sum,
    /// The sum of pseudo-header and transport header but for what differs from one segment to the next.
    transport_sum: Sum,
}

impl SuperFrame {
    /// Takes the headers of a super-frame apart; `frame` begins with its Ethernet header. Nothing that `virtio` says is
    /// trusted.
    ///
    /// # Errors
    ///
    /// - [`OffloadError::NotSuperFrame`], [`OffloadError::UdpFragmentation`], [`OffloadError::UnknownGsoType`],
    ///   [`OffloadError::ZeroSegmentSize`], [`OffloadError::NoChecksum`]: what `virtio` says is not done.
    /// - [`OffloadError::ChecksumStart`], [`OffloadError::ChecksumOffset`], [`OffloadError::Protocol`]: it is not this frame's.
    /// - [`OffloadError::VlanTags`], [`OffloadError::Fragment`], [`OffloadError::UdpLength`], [`OffloadError::Header`]: the
    ///   frame is none that can be cut.
    pub fn parse(virtio: &VirtioNetHeader, frame: &[u8]) -> Result<Self, OffloadError> {
        let gso_type = virtio.gso_type()?;
        let (wants_tcp, wants_ipv6) = match gso_type {
            GsoType::TcpV4 => (true, Some(false)),
            GsoType::TcpV6 => (true, Some(true)),
            GsoType::UdpL4 => (false, None),
            GsoType::Udp => return Err(OffloadError::UdpFragmentation),
            GsoType::None => return Err(OffloadError::NotSuperFrame),
        };
        if virtio.gso_size() == 0 {
            return Err(OffloadError::ZeroSegmentSize);
        }
        if !virtio.needs_checksum() {
            return Err(OffloadError::NoChecksum);
        }
        let protocol = if wants_tcp { IpProtocol::TCP } else { IpProtocol::UDP };
        let packet = Packet::parse(frame)?
            .filter(|packet| packet.protocol == protocol && wants_ipv6.is_none_or(|ipv6| ipv6 == packet.is_ipv6))
            .ok_or(OffloadError::Protocol { gso_type })?;
        if packet.is_fragment {
            return Err(OffloadError::Fragment);
        }
        let (found, expected) = (virtio.csum_start(), packet.transport);
        if usize::from(found) != expected {
            return Err(OffloadError::ChecksumStart { found, expected });
        }
        let (found, expected) = (virtio.csum_offset(), if wants_tcp { TCP_CHECKSUM } else { UDP_CHECKSUM });
        if found != expected {
            return Err(OffloadError::ChecksumOffset { found, expected });
        }
        Self::with_transport(&packet, frame, usize::from(virtio.gso_size()))
    }

    /// The rest of [`parse`](Self::parse), for the packet of TCP or UDP.
    fn with_transport(packet: &Packet, frame: &[u8], segment_size: usize) -> Result<Self, OffloadError> {
        let bytes = packet.transport_bytes(frame);
        let is_tcp = packet.protocol == IpProtocol::TCP;
        let mut flags = TcpFlags::default();
        let mut sequence_number = 0;
        let transport_length;
        let transport_sum;
        let pseudo = |field: u16| {
            // Behind a routing header the pseudo-header is about another destination, which the sender knows: its sum
            // stands in the field, for the length of the whole.
            if packet.has_extensions && packet.is_ipv6 {
                Sum::ZERO.add_word(field).add_word(!(bytes.len() as u16))
            } else {
                packet.pseudo
            }
        };
        if is_tcp {
            let segment = TcpHeader::decode(bytes)?;
            let mut header = *segment.header;
            let sum = pseudo(header.checksum());
            (flags, sequence_number) = (header.flags(), header.sequence_number());
            transport_length = header.header_length();
            header.set_flags(TcpFlags::default());
            header.set_sequence_number(0);
            header.set_checksum(0);
            transport_sum = sum.add_bytes(header.as_bytes()).add_bytes(segment.options_bytes);
        } else {
            let (header, _) = UdpHeader::from_prefix(bytes)?;
            if usize::from(header.length()) != bytes.len() {
                return Err(OffloadError::UdpLength { found: header.length(), expected: bytes.len() });
            }
            transport_length = UdpHeader::LEN;
            transport_sum =
                pseudo(header.checksum()).add_word(header.source_port()).add_word(header.destination_port());
        }
        let (mut identification, mut network_sum) = (0, Sum::ZERO);
        if !packet.is_ipv6 {
            let header_bytes = frame.get(packet.network..packet.transport).unwrap_or_default();
            let (header, options) = Ipv4Header::from_prefix(header_bytes)?;
            let mut header = *header;
            identification = header.identification();
            header.set_identification(0);
            header.set_total_length(0);
            header.set_checksum(0);
            network_sum = Sum::ZERO.add_bytes(header.as_bytes()).add_bytes(options);
        }
        let header_length = packet.transport + transport_length;
        let payload = packet.end - header_length;
        Ok(Self {
            is_ipv6: packet.is_ipv6,
            is_tcp,
            flags,
            identification,
            sequence_number,
            network: packet.network,
            transport: packet.transport,
            header_length,
            segment_size,
            segments: payload.div_ceil(segment_size).max(1),
            payload,
            network_sum: Sum::ZERO.add_word(network_sum.fold()),
            transport_sum: Sum::ZERO.add_word(transport_sum.fold()),
        })
    }

    /// Bytes of headers of each segment, from Ethernet to transport.
    #[inline]
    #[must_use]
    pub const fn header_len(&self) -> usize {
        self.header_length
    }

    /// Bytes of payload of each segment but the last, which may have fewer.
    #[inline]
    #[must_use]
    pub const fn segment_size(&self) -> usize {
        self.segment_size
    }

    /// How many segments there are, at least one.
    #[inline]
    #[must_use]
    pub const fn segments(&self) -> usize {
        self.segments
    }

    /// Bytes of payload of all segments.
    #[inline]
    #[must_use]
    pub const fn payload_len(&self) -> usize {
        self.payload
    }

    /// Bytes of the longest segment, headers included.
    #[inline]
    #[must_use]
    pub const fn largest_frame(&self) -> usize {
        self.header_length + if self.payload < self.segment_size { self.payload } else { self.segment_size }
    }

    /// Where the payload of segment `index` lies in the frame; an empty range behind the last segment.
    #[inline]
    #[must_use]
    pub const fn payload_range(&self, index: usize) -> Range<usize> {
        let start = index.saturating_mul(self.segment_size);
        let start = if start < self.payload { start } else { self.payload };
        let rest = self.payload - start;
        let length = if rest < self.segment_size { rest } else { self.segment_size };
        self.header_length + start..self.header_length + start + length
    }

    /// Writes the headers of segment `index` to the first [`header_len`](Self::header_len) bytes of `header` and gives
    /// where its payload lies in `frame`, which is the frame that was [parsed](Self::parse).
    ///
    /// An `index` that is no segment's, a `header` that is too short or a `frame` that is shorter than the one parsed give
    /// an empty range, and `header` is as it was.
    #[inline]
    pub fn write_segment(&self, frame: &[u8], index: usize, header: &mut [u8]) -> Range<usize> {
        let range = self.payload_range(index);
        let written = self.try_write(frame, index, range.clone(), header);
        if written.is_some() { range } else { 0..0 }
    }

    #[inline]
    fn try_write(&self, frame: &[u8], index: usize, range: Range<usize>, header: &mut [u8]) -> Option<()> {
        if index >= self.segments {
            return None;
        }
        let payload = frame.get(range.clone())?;
        let header = header.get_mut(..self.header_length)?;
        header.copy_from_slice(frame.get(..self.header_length)?);
        let packet_length = range.len() + self.header_length - self.network;
        let transport_length = (range.len() + self.header_length - self.transport) as u16;
        let network = header.get_mut(self.network..)?;
        if self.is_ipv6 {
            let (ip, _) = Ipv6Header::from_prefix_mut(network).ok()?;
            ip.set_payload_length((packet_length - Ipv6Header::LEN) as u16);
        } else {
            let (ip, _) = Ipv4Header::from_prefix_mut(network).ok()?;
            let identification = self.identification.wrapping_add(index as u16);
            ip.set_total_length(packet_length as u16);
            ip.set_identification(identification);
            ip.set_checksum(self.network_sum.add_word(packet_length as u16).add_word(identification).checksum());
        }
        let sum = self.transport_sum.add_word(transport_length).add_bytes(payload);
        let transport = header.get_mut(self.transport..)?;
        if self.is_tcp {
            let (tcp, _) = TcpHeader::from_prefix_mut(transport).ok()?;
            let sequence_number = self.sequence_number.wrapping_add((range.start - self.header_length) as u32);
            let mut flags = self.flags;
            if index + 1 != self.segments {
                flags = flags & !(TcpFlags::FIN | TcpFlags::PSH);
            }
            if index != 0 {
                flags = flags & !TcpFlags::CWR;
            }
            tcp.set_sequence_number(sequence_number);
            tcp.set_flags(flags);
            let sum = sum
                .add_word((sequence_number >> 16) as u16)
                .add_word(sequence_number as u16)
                .add_word(u16::from(flags.bits()));
            tcp.set_checksum(sum.checksum());
        } else {
            let (udp, _) = UdpHeader::from_prefix_mut(transport).ok()?;
            udp.set_length(transport_length);
            udp.set_checksum(not_none(sum.add_word(transport_length).checksum()));
        }
        Some(())
    }
}
