//! The IPv6 header and the way through its extension headers: RFC 8200.

use core::net::Ipv6Addr;

use zerocopy::{
    FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned,
    big_endian::{U16, U32},
};

use crate::{DecodeError, Ecn, IpProtocol, checksum::Sum};

/// Extension headers that are walked: RFC 8200 §4.1 recommends an order with at most six of them; more than this many
/// are an attack.
pub const MAX_EXTENSION_HEADERS: usize = 8;

/// The hop limit of a header by [`Ipv6Header::new`] (RFC 1700).
pub const DEFAULT_HOP_LIMIT: u8 = 64;

const VERSION: u32 = 0xf000_0000;
const TRAFFIC_CLASS: u32 = 0x0ff0_0000;
const FLOW_LABEL: u32 = 0x000f_ffff;

/// An IPv6 header (RFC 8200 §3): 40 bytes.
///
/// ```text
///  0                   1                   2                   3
///  0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1
/// +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
/// |Version|   DSCP    |ECN|              Flow Label               |
/// +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
/// |        Payload Length         |  Next Header  |   Hop Limit   |
/// +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
/// |                                                               |
/// +                                                               +
/// |                                                               |
/// +                        Source Address                         +
/// |                                                               |
/// +                                                               +
/// |                                                               |
/// +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
/// |                                                               |
/// +                                                               +
/// |                                                               |
/// +                      Destination Address                      +
/// |                                                               |
/// +                                                               +
/// |                                                               |
/// +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
/// ```
///
/// IPv6 has no header checksum. The checksums of the upper layers cover the addresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
// Any value of the fields is a header, and the unsafe code is inside zerocopy\'s derives.
#[cfg_attr(feature = "serde", expect(clippy::unsafe_derive_deserialize))]
#[repr(C)]
pub struct Ipv6Header {
    #[cfg_attr(feature = "serde", serde(with = "crate::fields"))]
    version_class_label: U32,
    #[cfg_attr(feature = "serde", serde(with = "crate::fields"))]
    payload_length: U16,
    next_header: IpProtocol,
    hop_limit: u8,
    #[cfg_attr(feature = "serde", serde(with = "crate::fields"))]
    source: [u8; 16],
    #[cfg_attr(feature = "serde", serde(with = "crate::fields"))]
    destination: [u8; 16],
}

fixed_header!(Ipv6Header, 40);

/// An IPv6 packet in its parts, as [`Ipv6Header::decode`] found it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ipv6Packet<'a> {
    /// The header.
    pub header: &'a Ipv6Header,
    /// The extension headers, whole.
    pub extension_headers: &'a [u8],
    /// What the packet carries behind them.
    pub protocol: IpProtocol,
    /// The fragment header, where there is one.
    pub fragment: Option<FragmentHeader>,
    /// What stands behind the extension headers, as far as the payload length says; padding of the frame is not in it.
    pub payload: &'a [u8],
}

impl Ipv6Header {
    /// A header with traffic class and flow label zero and a hop limit of [`DEFAULT_HOP_LIMIT`]. `payload_length` is
    /// that of everything behind the header, in bytes.
    #[must_use]
    pub const fn new(source: Ipv6Addr, destination: Ipv6Addr, next_header: IpProtocol, payload_length: u16) -> Self {
        Self {
            version_class_label: U32::new(6 << 28),
            payload_length: U16::new(payload_length),
            next_header,
            hop_limit: DEFAULT_HOP_LIMIT,
            source: source.octets(),
            destination: destination.octets(),
        }
    }

    /// Checks the packet at the front of `bytes` and takes it apart, extension headers included.
    ///
    /// A jumbogram (RFC 2675), whose payload length is zero, comes out as one that ends behind its header.
    ///
    /// # Errors
    ///
    /// - [`DecodeError::Truncated`]: `bytes` ends before the header or before the payload length does, or an extension
    ///   header does not end within the payload.
    /// - [`DecodeError::Version`].
    /// - [`DecodeError::TooManyExtensionHeaders`]: more than [`MAX_EXTENSION_HEADERS`].
    #[inline]
    pub fn decode(bytes: &[u8]) -> Result<Ipv6Packet<'_>, DecodeError> {
        let (header, behind) = Self::from_prefix(bytes)?;
        if header.version() != 6 {
            return Err(DecodeError::Version { expected: 6, found: header.version() });
        }
        let payload_length = usize::from(header.payload_length());
        let behind = behind
            .get(..payload_length)
            .ok_or(DecodeError::Truncated { needed: Self::LEN + payload_length, available: bytes.len() })?;
        let upper = upper_layer(header.next_header, behind)?;
        let (extension_headers, payload) = behind.split_at_checked(upper.offset).unwrap_or((behind, &[]));
        Ok(Ipv6Packet { header, extension_headers, protocol: upper.protocol, fragment: upper.fragment, payload })
    }

    /// The version, 6 in a header that decodes.
    #[inline]
    #[must_use]
    pub fn version(&self) -> u8 {
        (self.version_class_label.get() >> 28) as u8
    }

    /// Sets the version to the low four bits of `version`.
    #[inline]
    pub fn set_version(&mut self, version: u8) {
        self.replace(VERSION, u32::from(version) << 28);
    }

    /// The traffic class: DSCP and ECN in one byte.
    #[inline]
    #[must_use]
    pub fn traffic_class(&self) -> u8 {
        (self.version_class_label.get() >> 20) as u8
    }

    /// Sets the traffic class.
    #[inline]
    pub fn set_traffic_class(&mut self, traffic_class: u8) {
        self.replace(TRAFFIC_CLASS, u32::from(traffic_class) << 20);
    }

    /// The differentiated services code point (RFC 2474 §3), 0 to 63.
    #[inline]
    #[must_use]
    pub fn dscp(&self) -> u8 {
        self.traffic_class() >> 2
    }

    /// Sets the differentiated services code point to the low six bits of `dscp`.
    #[inline]
    pub fn set_dscp(&mut self, dscp: u8) {
        self.set_traffic_class(dscp << 2 | self.traffic_class() & 0b11);
    }

    /// The ECN field (RFC 3168 §5).
    #[inline]
    #[must_use]
    pub fn ecn(&self) -> Ecn {
        Ecn::from_bits(self.traffic_class())
    }

    /// Sets the ECN field.
    #[inline]
    pub fn set_ecn(&mut self, ecn: Ecn) {
        self.set_traffic_class(self.traffic_class() & 0xfc | ecn.bits());
    }

    /// The flow label (RFC 6437), 20 bits; zero where the sender gave none.
    #[inline]
    #[must_use]
    pub fn flow_label(&self) -> u32 {
        self.version_class_label.get() & FLOW_LABEL
    }

    /// Sets the flow label to the low 20 bits of `flow_label`.
    #[inline]
    pub fn set_flow_label(&mut self, flow_label: u32) {
        self.replace(FLOW_LABEL, flow_label);
    }

    /// The length of everything behind the header, extension headers included, in bytes.
    #[inline]
    #[must_use]
    pub fn payload_length(&self) -> u16 {
        self.payload_length.get()
    }

    /// Sets the length of everything behind the header, in bytes.
    #[inline]
    pub fn set_payload_length(&mut self, payload_length: u16) {
        self.payload_length.set(payload_length);
    }

    /// What stands behind the header: an extension header or the upper layer.
    #[inline]
    #[must_use]
    pub const fn next_header(&self) -> IpProtocol {
        self.next_header
    }

    /// Sets what stands behind the header.
    #[inline]
    pub fn set_next_header(&mut self, next_header: IpProtocol) {
        self.next_header = next_header;
    }

    /// The routers that the packet may still pass, plus one.
    #[inline]
    #[must_use]
    pub const fn hop_limit(&self) -> u8 {
        self.hop_limit
    }

    /// Sets the hop limit.
    #[inline]
    pub fn set_hop_limit(&mut self, hop_limit: u8) {
        self.hop_limit = hop_limit;
    }

    /// The sender.
    #[inline]
    #[must_use]
    pub const fn source(&self) -> Ipv6Addr {
        Ipv6Addr::from_bits(u128::from_be_bytes(self.source))
    }

    /// Sets the sender. The checksum of the upper layer covers it: [`checksum::update_u128`](crate::checksum::update_u128)
    /// updates it.
    #[inline]
    pub fn set_source(&mut self, source: Ipv6Addr) {
        self.source = source.octets();
    }

    /// The receiver.
    #[inline]
    #[must_use]
    pub const fn destination(&self) -> Ipv6Addr {
        Ipv6Addr::from_bits(u128::from_be_bytes(self.destination))
    }

    /// Sets the receiver. The checksum of the upper layer covers it, as it does the sender.
    #[inline]
    pub fn set_destination(&mut self, destination: Ipv6Addr) {
        self.destination = destination.octets();
    }

    /// The sum of the pseudo-header for the checksum of the upper layer (RFC 8200 §8.1), which is `protocol` and has
    /// `length` bytes. Behind a routing header with segments left the destination of the pseudo-header is another one.
    #[inline]
    pub const fn pseudo_header(&self, protocol: IpProtocol, length: u32) -> Sum {
        Sum::pseudo_ipv6(self.source(), self.destination(), protocol, length)
    }

    #[inline]
    fn replace(&mut self, mask: u32, bits: u32) {
        self.version_class_label.set(self.version_class_label.get() & !mask | bits & mask);
    }
}

/// An IPv6 fragment header (RFC 8200 §4.5): 8 bytes.
///
/// ```text
///  0                   1                   2                   3
///  0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1
/// +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
/// |  Next Header  |   Reserved    |     Fragment Offset     |Res|M|
/// +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
/// |                        Identification                         |
/// +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
// Any value of the fields is a header, and the unsafe code is inside zerocopy\'s derives.
#[cfg_attr(feature = "serde", expect(clippy::unsafe_derive_deserialize))]
#[repr(C)]
pub struct FragmentHeader {
    next_header: IpProtocol,
    reserved: u8,
    #[cfg_attr(feature = "serde", serde(with = "crate::fields"))]
    offset_more: U16,
    #[cfg_attr(feature = "serde", serde(with = "crate::fields"))]
    identification: U32,
}

fixed_header!(FragmentHeader, 8);

impl FragmentHeader {
    /// A header from its fields; reserved ones are zero, `offset` is taken as in [`set_offset`](Self::set_offset).
    #[must_use]
    pub const fn new(next_header: IpProtocol, offset: u16, more_fragments: bool, identification: u32) -> Self {
        let offset_more = U16::new(offset << 3 | more_fragments as u16);
        Self { next_header, reserved: 0, offset_more, identification: U32::new(identification) }
    }

    /// What the fragmented part of the packet begins with.
    #[inline]
    #[must_use]
    pub const fn next_header(&self) -> IpProtocol {
        self.next_header
    }

    /// Sets what the fragmented part of the packet begins with.
    #[inline]
    pub fn set_next_header(&mut self, next_header: IpProtocol) {
        self.next_header = next_header;
    }

    /// The reserved byte, which means nothing on receipt (RFC 8200 §4.5).
    #[inline]
    #[must_use]
    pub const fn reserved(&self) -> u8 {
        self.reserved
    }

    /// Sets the reserved byte; RFC 8200 §4.5 wants it zero.
    #[inline]
    pub fn set_reserved(&mut self, reserved: u8) {
        self.reserved = reserved;
    }

    /// The two reserved bits before M, 0 to 3, which mean nothing on receipt (RFC 8200 §4.5).
    #[inline]
    #[must_use]
    pub fn reserved2(&self) -> u8 {
        (self.offset_more.get() >> 1) as u8 & 0b11
    }

    /// Sets the two reserved bits before M to the low two bits of `reserved2`; RFC 8200 §4.5 wants them zero.
    #[inline]
    pub fn set_reserved2(&mut self, reserved2: u8) {
        self.offset_more.set(self.offset_more.get() & !0b110 | u16::from(reserved2 & 0b11) << 1);
    }

    /// Where in the fragmented part the fragment belongs, in units of 8 bytes, 0 to 8191.
    #[inline]
    #[must_use]
    pub fn offset(&self) -> u16 {
        self.offset_more.get() >> 3
    }

    /// Sets where the fragment belongs to the low 13 bits of `offset`, in units of 8 bytes.
    #[inline]
    pub fn set_offset(&mut self, offset: u16) {
        self.offset_more.set(offset << 3 | self.offset_more.get() & 0b111);
    }

    /// M: the fragment is not the last one.
    #[inline]
    #[must_use]
    pub fn more_fragments(&self) -> bool {
        self.offset_more.get() & 1 != 0
    }

    /// Sets M.
    #[inline]
    pub fn set_more_fragments(&mut self, more_fragments: bool) {
        self.offset_more.set(self.offset_more.get() & !1 | u16::from(more_fragments));
    }

    /// The number that the fragments of one packet share.
    #[inline]
    #[must_use]
    pub fn identification(&self) -> u32 {
        self.identification.get()
    }

    /// Sets the number that the fragments of one packet share.
    #[inline]
    pub fn set_identification(&mut self, identification: u32) {
        self.identification.set(identification);
    }
}

/// Where the upper layer of an IPv6 packet is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct UpperLayer {
    /// What it is. An extension header that is not walked (authentication, mobility …) counts as upper layer, and so
    /// does a hop-by-hop header that is not the first (RFC 8200 §4).
    pub protocol: IpProtocol,
    /// Bytes of extension headers before it.
    pub offset: usize,
    /// The fragment header, where there is one. Behind one with an offset stands the middle of something, so the walk
    /// ends there.
    pub fragment: Option<FragmentHeader>,
}

/// Walks over the extension headers at the front of `bytes`, which is what stands behind an IPv6 header with this next
/// header: hop-by-hop options, routing, fragment and destination options (RFC 8200 §4).
///
/// # Errors
///
/// - [`DecodeError::Truncated`]: a header does not end within `bytes`.
/// - [`DecodeError::TooManyExtensionHeaders`]: more than [`MAX_EXTENSION_HEADERS`].
#[inline]
pub fn upper_layer(next_header: IpProtocol, bytes: &[u8]) -> Result<UpperLayer, DecodeError> {
    let upper = UpperLayer { protocol: next_header, offset: 0, fragment: None };
    if next_header.is_extension_header() { walk(upper, bytes) } else { Ok(upper) }
}

/// The walk itself, kept out of the way of packets that have no extension header.
fn walk(mut upper: UpperLayer, bytes: &[u8]) -> Result<UpperLayer, DecodeError> {
    for _ in 0..MAX_EXTENSION_HEADERS {
        let rest = bytes.get(upper.offset..).unwrap_or_default();
        let truncated = |length| DecodeError::Truncated { needed: upper.offset + length, available: bytes.len() };
        let (header, _) = rest.split_first_chunk::<8>().ok_or(truncated(8))?;
        let length = if upper.protocol == IpProtocol::FRAGMENT {
            let (fragment, _) = FragmentHeader::from_prefix(header)?;
            upper.fragment = Some(*fragment);
            if fragment.offset() != 0 {
                return Ok(UpperLayer { protocol: fragment.next_header, offset: upper.offset + 8, ..upper });
            }
            8
        } else {
            (usize::from(header[1]) + 1) * 8
        };
        if rest.len() < length {
            return Err(truncated(length));
        }
        upper.offset += length;
        upper.protocol = IpProtocol::new(header[0]);
        if !upper.protocol.is_extension_header() || upper.protocol == IpProtocol::HOP_BY_HOP {
            return Ok(upper);
        }
    }
    Err(DecodeError::TooManyExtensionHeaders { limit: MAX_EXTENSION_HEADERS })
}

#[cfg(test)]
mod tests;
