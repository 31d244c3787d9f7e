//! The IPv4 header: RFC 791, with the fields of RFC 2474 and RFC 3168 in the place of its type of service.

use core::net::Ipv4Addr;

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned, big_endian::U16};

use crate::{
    DecodeError, DecodeOptions, Ecn, IpProtocol, ReservedBits,
    checksum::{self, Sum},
    options::Options,
};

const RESERVED: u16 = 0x8000;
const DONT_FRAGMENT: u16 = 0x4000;
const MORE_FRAGMENTS: u16 = 0x2000;
const FRAGMENT_OFFSET: u16 = 0x1fff;

/// The time to live of a header by [`Ipv4Header::new`] (RFC 1700).
pub const DEFAULT_TTL: u8 = 64;

/// The fixed part of an IPv4 header (RFC 791 §3.1): 20 bytes. Options, where there are any, stand behind it.
///
/// ```text
///  0                   1                   2                   3
///  0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1
/// +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
/// |Version|  IHL  |   DSCP    |ECN|         Total Length          |
/// +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
/// |        Identification         |R|D|M|     Fragment Offset     |
/// +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
/// | Time to Live  |   Protocol    |        Header Checksum        |
/// +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
/// |                        Source Address                         |
/// +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
/// |                      Destination Address                      |
/// +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
/// ```
///
/// # The checksum
///
/// [`new`](Self::new) fills the checksum in, and **every setter but [`set_checksum`](Self::set_checksum) keeps it right**
/// by the update of RFC 1624. A checksum that was wrong stays wrong by as much: an edit never hides damage.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
// Any value of the fields is a header, and the unsafe code is inside zerocopy\'s derives.
#[cfg_attr(feature = "serde", expect(clippy::unsafe_derive_deserialize))]
#[repr(C)]
pub struct Ipv4Header {
    version_ihl: u8,
    dscp_ecn: u8,
    #[cfg_attr(feature = "serde", serde(with = "crate::fields"))]
    total_length: U16,
    #[cfg_attr(feature = "serde", serde(with = "crate::fields"))]
    identification: U16,
    #[cfg_attr(feature = "serde", serde(with = "crate::fields"))]
    flags_fragment_offset: U16,
    ttl: u8,
    protocol: IpProtocol,
    #[cfg_attr(feature = "serde", serde(with = "crate::fields"))]
    checksum: U16,
    #[cfg_attr(feature = "serde", serde(with = "crate::fields"))]
    source: [u8; 4],
    #[cfg_attr(feature = "serde", serde(with = "crate::fields"))]
    destination: [u8; 4],
}

fixed_header!(Ipv4Header, 20);

/// An IPv4 packet in its parts, as [`Ipv4Header::decode`] found it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ipv4Packet<'a> {
    /// The fixed part of the header.
    pub header: &'a Ipv4Header,
    /// The options with their padding, 0 to 40 bytes: see [`Ipv4Packet::options`].
    pub options_bytes: &'a [u8],
    /// What the packet carries, as far as its total length says; padding of the frame is not in it.
    pub payload: &'a [u8],
}

impl<'a> Ipv4Packet<'a> {
    /// A walk over the options.
    #[inline]
    #[must_use]
    pub const fn options(&self) -> Options<'a> {
        Options::new(self.options_bytes)
    }
}

impl Ipv4Header {
    /// A header without options: DSCP, ECN, identification and fragment fields zero, a TTL of [`DEFAULT_TTL`], and the
    /// checksum right. `total_length` is that of header and payload, in bytes.
    #[must_use]
    pub fn new(source: Ipv4Addr, destination: Ipv4Addr, protocol: IpProtocol, total_length: u16) -> Self {
        let mut header = Self {
            version_ihl: 0x45,
            dscp_ecn: 0,
            total_length: U16::new(total_length),
            identification: U16::ZERO,
            flags_fragment_offset: U16::ZERO,
            ttl: DEFAULT_TTL,
            protocol,
            checksum: U16::ZERO,
            source: source.octets(),
            destination: destination.octets(),
        };
        header.checksum.set(header.compute_checksum(&[]));
        header
    }

    /// Checks the packet at the front of `bytes` by [`DecodeOptions::RFC`] and takes it apart.
    ///
    /// # Errors
    ///
    /// Those of [`decode_with`](Self::decode_with).
    #[inline]
    pub fn decode(bytes: &[u8]) -> Result<Ipv4Packet<'_>, DecodeError> {
        Self::decode_with(bytes, DecodeOptions::RFC)
    }

    /// Checks the packet at the front of `bytes` and takes it apart (RFC 1122 §3.2.1, RFC 1812 §5.2.2).
    ///
    /// # Errors
    ///
    /// - [`DecodeError::Truncated`]: `bytes` ends before the header or before the total length does.
    /// - [`DecodeError::Version`], [`DecodeError::HeaderLength`], [`DecodeError::PacketLength`].
    /// - [`DecodeError::Checksum`], [`DecodeError::ReservedBits`] where `options` ask for it.
    #[inline]
    pub fn decode_with(bytes: &[u8], options: DecodeOptions) -> Result<Ipv4Packet<'_>, DecodeError> {
        let (header, _) = Self::from_prefix(bytes)?;
        // Version and header length in one comparison, after which the compiler knows that the header has at least 20
        // bytes.
        let words = usize::from(header.version_ihl).wrapping_sub(0x40);
        if !(5..=15).contains(&words) {
            return Err(header.first_byte_error());
        }
        let header_length = words * 4;
        // A total length of less than the header wraps around to one that no slice has.
        let payload_length = usize::from(header.total_length()).wrapping_sub(header_length);
        let parts = bytes.split_at_checked(header_length);
        let Some((head, Some(payload))) = parts.map(|(head, behind)| (head, behind.get(..payload_length))) else {
            return Err(header.length_error(bytes.len()));
        };
        let options_bytes = head.get(Self::LEN..).unwrap_or_default();
        if options.header_checksum && !header.is_checksum_valid(options_bytes) {
            return Err(DecodeError::Checksum { found: header.checksum() });
        }
        if options.reserved_bits == ReservedBits::Reject && header.reserved() {
            return Err(DecodeError::ReservedBits { bits: RESERVED });
        }
        Ok(Ipv4Packet { header, options_bytes, payload })
    }

    /// What is wrong with a version that is not 4, or a header length that is less than the fixed part.
    #[cold]
    const fn first_byte_error(&self) -> DecodeError {
        match self.version() {
            4 => DecodeError::HeaderLength { length: self.header_length(), minimum: Self::LEN },
            found => DecodeError::Version { expected: 4, found },
        }
    }

    /// What is wrong with a total length that is less than the header, or more than is there.
    #[cold]
    fn length_error(&self, available: usize) -> DecodeError {
        match (usize::from(self.total_length()), self.header_length()) {
            (length, header) if length < header => DecodeError::PacketLength { length, header },
            (needed, _) => DecodeError::Truncated { needed, available },
        }
    }

    /// The version, 4 in a header that decodes.
    #[inline]
    #[must_use]
    pub const fn version(&self) -> u8 {
        self.version_ihl >> 4
    }

    /// Sets the version to the low four bits of `version`.
    #[inline]
    pub fn set_version(&mut self, version: u8) {
        self.set_first_word([version << 4 | self.version_ihl & 0x0f, self.dscp_ecn]);
    }

    /// The Internet header length: words of 32 bits, options included, 0 to 15; at least 5 in a header that decodes.
    #[inline]
    #[must_use]
    pub const fn ihl(&self) -> u8 {
        self.version_ihl & 0x0f
    }

    /// Sets the Internet header length to the low four bits of `words`.
    ///
    /// The checksum is kept as if the options in question were zero: [`compute_checksum`](Self::compute_checksum) takes
    /// them in.
    #[inline]
    pub fn set_ihl(&mut self, words: u8) {
        self.set_first_word([self.version_ihl & 0xf0 | words & 0x0f, self.dscp_ecn]);
    }

    /// The length of the header with its options, in bytes: four times [`ihl`](Self::ihl).
    #[inline]
    #[must_use]
    pub const fn header_length(&self) -> usize {
        self.ihl() as usize * 4
    }

    /// The differentiated services code point (RFC 2474 §3), 0 to 63.
    #[inline]
    #[must_use]
    pub const fn dscp(&self) -> u8 {
        self.dscp_ecn >> 2
    }

    /// Sets the differentiated services code point to the low six bits of `dscp`.
    #[inline]
    pub fn set_dscp(&mut self, dscp: u8) {
        self.set_first_word([self.version_ihl, dscp << 2 | self.dscp_ecn & 0b11]);
    }

    /// The ECN field (RFC 3168 §5).
    #[inline]
    #[must_use]
    pub const fn ecn(&self) -> Ecn {
        Ecn::from_bits(self.dscp_ecn)
    }

    /// Sets the ECN field.
    #[inline]
    pub fn set_ecn(&mut self, ecn: Ecn) {
        self.set_first_word([self.version_ihl, self.dscp_ecn & 0xfc | ecn.bits()]);
    }

    /// The length of header and payload, in bytes.
    #[inline]
    #[must_use]
    pub fn total_length(&self) -> u16 {
        self.total_length.get()
    }

    /// Sets the length of header and payload, in bytes.
    #[inline]
    pub fn set_total_length(&mut self, total_length: u16) {
        self.update_checksum(self.total_length(), total_length);
        self.total_length.set(total_length);
    }

    /// The number that the fragments of one packet share (RFC 6864).
    #[inline]
    #[must_use]
    pub fn identification(&self) -> u16 {
        self.identification.get()
    }

    /// Sets the number that the fragments of one packet share.
    #[inline]
    pub fn set_identification(&mut self, identification: u16) {
        self.update_checksum(self.identification(), identification);
        self.identification.set(identification);
    }

    /// The reserved bit of the flags, which must be zero (RFC 791 §3.1).
    #[inline]
    #[must_use]
    pub fn reserved(&self) -> bool {
        self.flags_fragment_offset.get() & RESERVED != 0
    }

    /// Sets the reserved bit of the flags.
    #[inline]
    pub fn set_reserved(&mut self, reserved: bool) {
        self.set_flag(RESERVED, reserved);
    }

    /// DF: no router may fragment the packet.
    #[inline]
    #[must_use]
    pub fn dont_fragment(&self) -> bool {
        self.flags_fragment_offset.get() & DONT_FRAGMENT != 0
    }

    /// Sets DF.
    #[inline]
    pub fn set_dont_fragment(&mut self, dont_fragment: bool) {
        self.set_flag(DONT_FRAGMENT, dont_fragment);
    }

    /// MF: the packet is a fragment and not the last one.
    #[inline]
    #[must_use]
    pub fn more_fragments(&self) -> bool {
        self.flags_fragment_offset.get() & MORE_FRAGMENTS != 0
    }

    /// Sets MF.
    #[inline]
    pub fn set_more_fragments(&mut self, more_fragments: bool) {
        self.set_flag(MORE_FRAGMENTS, more_fragments);
    }

    /// Where in the packet the fragment belongs, in units of 8 bytes, 0 to 8191.
    #[inline]
    #[must_use]
    pub fn fragment_offset(&self) -> u16 {
        self.flags_fragment_offset.get() & FRAGMENT_OFFSET
    }

    /// Sets where in the packet the fragment belongs to the low 13 bits of `fragment_offset`, in units of 8 bytes.
    #[inline]
    pub fn set_fragment_offset(&mut self, fragment_offset: u16) {
        let flags = self.flags_fragment_offset.get() & !FRAGMENT_OFFSET;
        self.set_flags_fragment_offset(flags | fragment_offset & FRAGMENT_OFFSET);
    }

    /// `true` for every fragment of a packet, the first and the last included.
    #[inline]
    #[must_use]
    pub fn is_fragment(&self) -> bool {
        self.flags_fragment_offset.get() & (MORE_FRAGMENTS | FRAGMENT_OFFSET) != 0
    }

    /// The routers that the packet may still pass, plus one.
    #[inline]
    #[must_use]
    pub const fn ttl(&self) -> u8 {
        self.ttl
    }

    /// Sets the time to live.
    #[inline]
    pub fn set_ttl(&mut self, ttl: u8) {
        self.set_ttl_protocol(ttl, self.protocol);
    }

    /// What the packet carries.
    #[inline]
    #[must_use]
    pub const fn protocol(&self) -> IpProtocol {
        self.protocol
    }

    /// Sets what the packet carries.
    #[inline]
    pub fn set_protocol(&mut self, protocol: IpProtocol) {
        self.set_ttl_protocol(self.ttl, protocol);
    }

    /// The header checksum.
    #[inline]
    #[must_use]
    pub fn checksum(&self) -> u16 {
        self.checksum.get()
    }

    /// Sets the header checksum, for instance to what [`compute_checksum`](Self::compute_checksum) gives.
    #[inline]
    pub fn set_checksum(&mut self, checksum: u16) {
        self.checksum.set(checksum);
    }

    /// The sender.
    #[inline]
    #[must_use]
    pub const fn source(&self) -> Ipv4Addr {
        let [a, b, c, d] = self.source;
        Ipv4Addr::new(a, b, c, d)
    }

    /// Sets the sender. The checksums of TCP and UDP cover it too: [`checksum::update_u32`] updates them.
    #[inline]
    pub fn set_source(&mut self, source: Ipv4Addr) {
        self.checksum.set(checksum::update_u32(self.checksum(), self.source().to_bits(), source.to_bits()));
        self.source = source.octets();
    }

    /// The receiver.
    #[inline]
    #[must_use]
    pub const fn destination(&self) -> Ipv4Addr {
        let [a, b, c, d] = self.destination;
        Ipv4Addr::new(a, b, c, d)
    }

    /// Sets the receiver. The checksums of TCP and UDP cover it too: [`checksum::update_u32`] updates them.
    #[inline]
    pub fn set_destination(&mut self, destination: Ipv4Addr) {
        self.checksum.set(checksum::update_u32(self.checksum(), self.destination().to_bits(), destination.to_bits()));
        self.destination = destination.octets();
    }

    /// The checksum that belongs to this header with these options behind it, whatever checksum it has. Options are whole words
    /// of 32 bits, as the header length counts them.
    #[inline]
    #[must_use]
    pub fn compute_checksum(&self, options: &[u8]) -> u16 {
        let header = Self { checksum: U16::ZERO, ..*self };
        Sum::of_ipv4_header(header.as_bytes(), options).checksum()
    }

    /// `true` where the checksum belongs to this header with these options behind it.
    #[inline]
    #[must_use]
    pub fn is_checksum_valid(&self, options: &[u8]) -> bool {
        Sum::of_ipv4_header(self.as_bytes(), options).is_valid()
    }

    /// The sum of the pseudo-header for the transport checksum of this packet (RFC 9293 §3.1), for a payload of `length`
    /// bytes.
    #[inline]
    pub const fn pseudo_header(&self, length: u16) -> Sum {
        Sum::pseudo_ipv4(self.source(), self.destination(), self.protocol, length)
    }

    /// The header with what an outer header changes for each packet, the ECN field of `self` being zero.
    #[inline]
    pub(crate) const fn patched(self, total_length: u16, ecn: Ecn, checksum: u16) -> Self {
        Self {
            total_length: U16::new(total_length),
            dscp_ecn: self.dscp_ecn | ecn.bits(),
            checksum: U16::new(checksum),
            ..self
        }
    }

    #[inline]
    fn update_checksum(&mut self, old: u16, new: u16) {
        self.checksum.set(checksum::update(self.checksum(), old, new));
    }

    #[inline]
    fn set_first_word(&mut self, [version_ihl, dscp_ecn]: [u8; 2]) {
        let old = u16::from_be_bytes([self.version_ihl, self.dscp_ecn]);
        self.update_checksum(old, u16::from_be_bytes([version_ihl, dscp_ecn]));
        (self.version_ihl, self.dscp_ecn) = (version_ihl, dscp_ecn);
    }

    #[inline]
    fn set_flag(&mut self, flag: u16, set: bool) {
        let value = self.flags_fragment_offset.get();
        self.set_flags_fragment_offset(if set { value | flag } else { value & !flag });
    }

    #[inline]
    fn set_flags_fragment_offset(&mut self, value: u16) {
        self.update_checksum(self.flags_fragment_offset.get(), value);
        self.flags_fragment_offset.set(value);
    }

    #[inline]
    fn set_ttl_protocol(&mut self, ttl: u8, protocol: IpProtocol) {
        let old = u16::from_be_bytes([self.ttl, self.protocol.get()]);
        self.update_checksum(old, u16::from_be_bytes([ttl, protocol.get()]));
        (self.ttl, self.protocol) = (ttl, protocol);
    }
}

#[cfg(test)]
mod tests;
