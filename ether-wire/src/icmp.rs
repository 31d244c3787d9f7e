//! ICMP and `ICMPv6`: the header that all messages share, and the message that a packet is too big (RFC 792, RFC 1191,
//! RFC 4443 §3.2).

use core::net::{Ipv4Addr, Ipv6Addr};

use overlay_types::EtherType;
use zerocopy::{
    FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned,
    big_endian::{U16, U32},
};

use crate::{
    DecodeOptions, EncodeError, EthernetHeader, IpProtocol, Ipv4Header, Ipv6Header,
    checksum::Sum,
    ethernet::{self, MAX_VLAN_TAGS, VlanTag},
};

/// ICMP's destination unreachable (RFC 792).
pub const DESTINATION_UNREACHABLE: u8 = 3;
/// The code of [`DESTINATION_UNREACHABLE`] for a packet that is too big and has DF set (RFC 1191 §4).
pub const FRAGMENTATION_NEEDED: u8 = 4;
/// `ICMPv6`'s packet too big (RFC 4443 §3.2).
pub const PACKET_TOO_BIG: u8 = 2;

/// The longest datagram with an ICMP error over IPv4 (RFC 1812 §4.3.2.3), in bytes.
pub const MAX_IPV4_ERROR_LEN: usize = 576;
/// The longest packet with an `ICMPv6` error: the least MTU of IPv6 (RFC 4443 §2.4 (c)), in bytes.
pub const MAX_IPV6_ERROR_LEN: usize = 1280;
/// The longest frame that [`too_big`] writes, in bytes.
pub const MAX_TOO_BIG_LEN: usize = EthernetHeader::LEN + MAX_VLAN_TAGS as usize * VlanTag::LEN + MAX_IPV6_ERROR_LEN;

/// The first eight bytes of an ICMP message (RFC 792) or `ICMPv6` message (RFC 4443 §2.1).
///
/// ```text
///  0                   1                   2                   3
///  0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1
/// +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
/// |     Type      |     Code      |           Checksum            |
/// +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
/// |             by type; in a too-big message the MTU             |
/// +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
// Any value of the fields is a header, and the unsafe code is inside zerocopy's derives.
#[cfg_attr(feature = "serde", expect(clippy::unsafe_derive_deserialize))]
#[repr(C)]
pub struct IcmpHeader {
    message_type: u8,
    code: u8,
    #[cfg_attr(feature = "serde", serde(with = "crate::fields"))]
    checksum: U16,
    #[cfg_attr(feature = "serde", serde(with = "crate::fields"))]
    data: U32,
}

fixed_header!(IcmpHeader, 8);

impl IcmpHeader {
    /// A header with a checksum of zero. `data` is its second word.
    #[must_use]
    pub const fn new(message_type: u8, code: u8, data: u32) -> Self {
        Self { message_type, code, checksum: U16::ZERO, data: U32::new(data) }
    }

    /// What the message is.
    #[inline]
    #[must_use]
    pub const fn message_type(&self) -> u8 {
        self.message_type
    }

    /// Sets what the message is.
    #[inline]
    pub const fn set_message_type(&mut self, message_type: u8) {
        self.message_type = message_type;
    }

    /// What kind of this type it is.
    #[inline]
    #[must_use]
    pub const fn code(&self) -> u8 {
        self.code
    }

    /// Sets what kind of this type it is.
    #[inline]
    pub const fn set_code(&mut self, code: u8) {
        self.code = code;
    }

    /// The checksum.
    #[inline]
    #[must_use]
    pub fn checksum(&self) -> u16 {
        self.checksum.get()
    }

    /// Sets the checksum, for instance to what [`compute_checksum`](Self::compute_checksum) gives.
    #[inline]
    pub fn set_checksum(&mut self, checksum: u16) {
        self.checksum.set(checksum);
    }

    /// The second word. In a too-big message it is the next hop's MTU in bytes: of ICMP the low 16 bits (RFC 1191 §4), of
    /// `ICMPv6` all 32 (RFC 4443 §3.2).
    #[inline]
    #[must_use]
    pub fn data(&self) -> u32 {
        self.data.get()
    }

    /// Sets the second word.
    #[inline]
    pub fn set_data(&mut self, data: u32) {
        self.data.set(data);
    }

    /// The checksum of this header and of what stands behind it, whatever checksum the header has.
    ///
    /// `pseudo_header` is [`Sum::ZERO`] for ICMP, and [`Ipv6Header::pseudo_header`] for `ICMPv6` (RFC 4443 §2.3).
    #[must_use]
    pub fn compute_checksum(&self, pseudo_header: Sum, behind: &[u8]) -> u16 {
        let header = Self { checksum: U16::ZERO, ..*self };
        pseudo_header.add_bytes(header.as_bytes()).add_bytes(behind).checksum()
    }

    /// `true` where the checksum belongs to this header and to what stands behind it.
    #[must_use]
    pub fn is_checksum_valid(&self, pseudo_header: Sum, behind: &[u8]) -> bool {
        pseudo_header.add_bytes(self.as_bytes()).add_bytes(behind).is_valid()
    }

    /// `true` for an error message of ICMP (RFC 1122 §3.2.2): no other error answers it.
    #[must_use]
    pub const fn is_icmp_error(&self) -> bool {
        is_icmp_error(self.message_type)
    }

    /// `true` for an error message of `ICMPv6` (RFC 4443 §2.1) and for a redirect: no other error answers it (§2.4 (e)).
    #[must_use]
    pub const fn is_icmpv6_error(&self) -> bool {
        is_icmpv6_error(self.message_type)
    }
}

const fn is_icmp_error(message_type: u8) -> bool {
    // Unreachable, source quench, redirect, time exceeded, parameter problem.
    matches!(message_type, 3 | 4 | 5 | 11 | 12)
}

const fn is_icmpv6_error(message_type: u8) -> bool {
    message_type < 128 || message_type == 137
}

/// Writes the frame that tells the sender of `frame`, an Ethernet frame with an IP packet in it, that its packet is too
/// big and that `mtu` bytes of IP would pass. Returns the length of the written frame.
///
/// IPv4 is answered with fragmentation-needed (RFC 1191 §4), IPv6 with packet-too-big (RFC 4443 §3.2). The answer quotes
/// as much of the packet as an error may have. A tunnel endpoint has no address inside the tunnel, so the answer comes
/// from the address and the station that the packet was for, with the VLAN tags of the frame. A buffer of
/// [`MAX_TOO_BIG_LEN`] is always long enough.
///
/// RFC 4443 §2.4 (f) and RFC 1812 §4.3.2.8 want errors limited in their rate: that is the caller's.
///
/// ```
/// use ether_wire::{EtherType, EthernetHeader, IpProtocol, Ipv4Header, icmp};
///
/// let mut frame = [0; 1514];
/// EthernetHeader::new([2, 0, 0, 0, 0, 2].into(), [2, 0, 0, 0, 0, 1].into(), EtherType::IPV4).write_to(&mut frame)?;
/// let mut packet = Ipv4Header::new([10, 0, 0, 1].into(), [10, 0, 0, 2].into(), IpProtocol::UDP, 1500);
/// packet.set_dont_fragment(true);
/// packet.write_to(&mut frame[14..])?;
///
/// let mut answer = [0; icmp::MAX_TOO_BIG_LEN];
/// let length = icmp::too_big(&frame, 1450, &mut answer)?;
/// assert_eq!(length, 14 + icmp::MAX_IPV4_ERROR_LEN);
/// # Ok::<(), ether_wire::EncodeError>(())
/// ```
///
/// # Errors
///
/// - [`EncodeError::BufferTooSmall`].
/// - The packet must not be answered: [`EncodeError::NotIp`], [`EncodeError::NotUnicast`], [`EncodeError::IcmpError`],
///   [`EncodeError::LaterFragment`], [`EncodeError::MayFragment`].
pub fn too_big(frame: &[u8], mtu: u16, buffer: &mut [u8]) -> Result<usize, EncodeError> {
    TooBig::new(mtu).write(frame, buffer)
}

/// A too-big message to be, where [`too_big`] has too few words: from an address that the endpoint has, and to senders that
/// allow fragments.
///
/// ```
/// use ether_wire::{EtherType, EthernetHeader, IpProtocol, Ipv4Header, icmp::{MAX_TOO_BIG_LEN, TooBig}};
///
/// let mut frame = [0; 1514];
/// EthernetHeader::new([2, 0, 0, 0, 0, 2].into(), [2, 0, 0, 0, 0, 1].into(), EtherType::IPV4).write_to(&mut frame)?;
/// Ipv4Header::new([10, 0, 0, 1].into(), [10, 0, 0, 2].into(), IpProtocol::UDP, 1500).write_to(&mut frame[14..])?;
///
/// let mut answer = [0; MAX_TOO_BIG_LEN];
/// assert!(TooBig::new(1450).write(&frame, &mut answer).is_err(), "it may be fragmented");
/// TooBig::new(1450).without_df().from_ipv4([10, 0, 0, 254].into()).write(&frame, &mut answer)?;
/// assert_eq!(answer[26..30], [10, 0, 0, 254]);
/// # Ok::<(), ether_wire::EncodeError>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[must_use]
pub struct TooBig {
    mtu: u16,
    without_df: bool,
    ipv4: Option<Ipv4Addr>,
    ipv6: Option<Ipv6Addr>,
}

impl TooBig {
    /// The message of [`too_big`]: `mtu` bytes of IP would pass.
    pub const fn new(mtu: u16) -> Self {
        Self { mtu, without_df: false, ipv4: None, ipv6: None }
    }

    /// Answers IPv4 packets without DF, too: for an endpoint that does not fragment what others have sent. The sender's
    /// system learns the MTU and fragments by itself from then on.
    pub const fn without_df(mut self) -> Self {
        self.without_df = true;
        self
    }

    /// Answers IPv4 packets from this address, but for those that it has sent itself.
    pub const fn from_ipv4(mut self, address: Ipv4Addr) -> Self {
        self.ipv4 = Some(address);
        self
    }

    /// Answers IPv6 packets from this address, but for those that it has sent itself.
    pub const fn from_ipv6(mut self, address: Ipv6Addr) -> Self {
        self.ipv6 = Some(address);
        self
    }

    /// Writes the answer to `frame`. Returns the length of the written frame.
    ///
    /// # Errors
    ///
    /// As [`too_big`].
    pub fn write(&self, frame: &[u8], buffer: &mut [u8]) -> Result<usize, EncodeError> {
        let (stations, _) = EthernetHeader::from_prefix(frame).map_err(|_| EncodeError::NotIp)?;
        let payload = ethernet::payload(frame).ok_or(EncodeError::NotIp)?;
        let (link_header, packet) = frame.split_at_checked(payload.offset).ok_or(EncodeError::NotIp)?;
        if !stations.source().is_unicast() || !stations.destination().is_unicast() {
            return Err(EncodeError::NotUnicast);
        }
        let length = match payload.ether_type {
            EtherType::IPV4 => {
                let mut quoted = ipv4_quote(packet, self.without_df)?;
                quoted.destination = from(self.ipv4, &quoted);
                let answer =
                    behind_link_header(buffer, link_header, Ipv4Header::LEN + IcmpHeader::LEN + quoted.bytes.len())?;
                write_ipv4(answer, &quoted, self.mtu)
            }
            EtherType::IPV6 => {
                let mut quoted = ipv6_quote(packet)?;
                quoted.destination = from(self.ipv6, &quoted);
                let answer =
                    behind_link_header(buffer, link_header, Ipv6Header::LEN + IcmpHeader::LEN + quoted.bytes.len())?;
                write_ipv6(answer, &quoted, self.mtu)
            }
            _ => Err(EncodeError::NotIp),
        }?;
        let (answer, _) = EthernetHeader::from_prefix_mut(buffer).map_err(|_| EncodeError::NotIp)?;
        answer.set_destination(stations.source());
        answer.set_source(stations.destination());
        Ok(link_header.len() + length)
    }
}

/// Whose address the answer comes from.
fn from<Address: Copy + PartialEq>(own: Option<Address>, quoted: &Quote<'_, Address>) -> Address {
    own.filter(|own| *own != quoted.source).unwrap_or(quoted.destination)
}

/// What an error quotes, and who is told.
struct Quote<'a, Address> {
    source: Address,
    destination: Address,
    bytes: &'a [u8],
}

fn ipv4_quote(packet: &[u8], without_df: bool) -> Result<Quote<'_, Ipv4Addr>, EncodeError> {
    let parts = Ipv4Header::decode_with(packet, DecodeOptions::LENGTHS).map_err(|_| EncodeError::NotIp)?;
    let (source, destination) = (parts.header.source(), parts.header.destination());
    // 240.0.0.0/4, broadcast included, is no host's (RFC 1122 §3.2.1.3).
    let is_host = |address: Ipv4Addr| {
        !address.is_unspecified() && !address.is_loopback() && !address.is_multicast() && address.octets()[0] < 240
    };
    if !is_host(source) || !is_host(destination) {
        return Err(EncodeError::NotUnicast);
    }
    if parts.header.fragment_offset() != 0 {
        return Err(EncodeError::LaterFragment);
    }
    if parts.header.protocol() == IpProtocol::ICMP && parts.payload.first().is_none_or(|first| is_icmp_error(*first)) {
        return Err(EncodeError::IcmpError);
    }
    if !parts.header.dont_fragment() && !without_df {
        return Err(EncodeError::MayFragment);
    }
    let length = usize::from(parts.header.total_length()).min(MAX_IPV4_ERROR_LEN - Ipv4Header::LEN - IcmpHeader::LEN);
    Ok(Quote { source, destination, bytes: packet.get(..length).unwrap_or(packet) })
}

fn ipv6_quote(packet: &[u8]) -> Result<Quote<'_, Ipv6Addr>, EncodeError> {
    let parts = Ipv6Header::decode(packet).map_err(|_| EncodeError::NotIp)?;
    let (source, destination) = (parts.header.source(), parts.header.destination());
    let is_host = |address: Ipv6Addr| !address.is_unspecified() && !address.is_loopback() && !address.is_multicast();
    if !is_host(source) || !is_host(destination) {
        return Err(EncodeError::NotUnicast);
    }
    let whole = parts.fragment.is_none_or(|fragment| fragment.offset() == 0);
    if parts.protocol == IpProtocol::ICMPV6
        && whole
        && parts.payload.first().is_none_or(|first| is_icmpv6_error(*first))
    {
        return Err(EncodeError::IcmpError);
    }
    let length = Ipv6Header::LEN + usize::from(parts.header.payload_length());
    let length = length.min(MAX_IPV6_ERROR_LEN - Ipv6Header::LEN - IcmpHeader::LEN);
    Ok(Quote { source, destination, bytes: packet.get(..length).unwrap_or(packet) })
}

/// Copies the link header to `buffer` and gives the `length` bytes behind it.
fn behind_link_header<'a>(
    buffer: &'a mut [u8],
    link_header: &[u8],
    length: usize,
) -> Result<&'a mut [u8], EncodeError> {
    let error = EncodeError::BufferTooSmall { needed: link_header.len() + length, available: buffer.len() };
    let (link, rest) = buffer.split_at_mut_checked(link_header.len()).ok_or(error)?;
    let answer = rest.get_mut(..length).ok_or(error)?;
    link.copy_from_slice(link_header);
    Ok(answer)
}

fn write_ipv4(answer: &mut [u8], quoted: &Quote<'_, Ipv4Addr>, mtu: u16) -> Result<usize, EncodeError> {
    let length = answer.len();
    let mut ip = Ipv4Header::new(quoted.destination, quoted.source, IpProtocol::ICMP, length as u16);
    // Not to be fragmented, so that the identification need not differ from packet to packet (RFC 6864 §4.1).
    ip.set_dont_fragment(true);
    let mut icmp = IcmpHeader::new(DESTINATION_UNREACHABLE, FRAGMENTATION_NEEDED, mtu.into());
    icmp.set_checksum(icmp.compute_checksum(Sum::ZERO, quoted.bytes));
    write_all(answer, &[ip.as_bytes(), icmp.as_bytes(), quoted.bytes])?;
    Ok(length)
}

fn write_ipv6(answer: &mut [u8], quoted: &Quote<'_, Ipv6Addr>, mtu: u16) -> Result<usize, EncodeError> {
    let length = answer.len();
    let payload_length = (length - Ipv6Header::LEN) as u16;
    let ip = Ipv6Header::new(quoted.destination, quoted.source, IpProtocol::ICMPV6, payload_length);
    let mut icmp = IcmpHeader::new(PACKET_TOO_BIG, 0, mtu.into());
    icmp.set_checksum(icmp.compute_checksum(ip.pseudo_header(IpProtocol::ICMPV6, payload_length.into()), quoted.bytes));
    write_all(answer, &[ip.as_bytes(), icmp.as_bytes(), quoted.bytes])?;
    Ok(length)
}

/// Writes the parts one behind the other.
fn write_all(mut buffer: &mut [u8], parts: &[&[u8]]) -> Result<(), EncodeError> {
    for part in parts {
        let error = EncodeError::BufferTooSmall { needed: part.len(), available: buffer.len() };
        let (place, rest) = buffer.split_at_mut_checked(part.len()).ok_or(error)?;
        place.copy_from_slice(part);
        buffer = rest;
    }
    Ok(())
}

#[cfg(test)]
mod tests;
