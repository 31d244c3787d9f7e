//! The virtio-net header: virtio 1.2 §5.1.6.

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned, little_endian::U16};

use crate::OffloadError;

/// What becomes of a super-frame (virtio 1.2 §5.1.6, `gso_type` without its bits).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum GsoType {
    /// Not a super-frame.
    #[default]
    None = 0,
    /// TCP over IPv4.
    TcpV4 = 1,
    /// One UDP datagram for IP fragments (UFO).
    Udp = 3,
    /// TCP over IPv6.
    TcpV6 = 4,
    /// UDP datagrams over IPv4 or IPv6 (USO).
    UdpL4 = 5,
}

/// A virtio-net header without the count of buffers, little-endian, as a TAP with `TUNSETVNETLE` reads and writes it: 10
/// bytes.
///
/// ```text
///  0                   1                   2                   3
///  0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1
/// +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
/// |     flags     |   gso_type    |            hdr_len            |
/// +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
/// |           gso_size            |          csum_start           |
/// +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
/// |          csum_offset          |
/// +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub struct VirtioNetHeader {
    flags: u8,
    gso_type: u8,
    hdr_len: U16,
    gso_size: U16,
    csum_start: U16,
    csum_offset: U16,
}

const _: () = assert!(size_of::<VirtioNetHeader>() == VirtioNetHeader::LEN);

impl VirtioNetHeader {
    /// Bytes that the header takes.
    pub const LEN: usize = 10;
    /// The flag for a checksum that is to be finished: `csum_start` and `csum_offset` mean something.
    pub const NEEDS_CSUM: u8 = 1;
    /// The flag for a checksum that has been verified.
    pub const DATA_VALID: u8 = 2;
    /// The bit of `gso_type` for a super-frame of TCP with CWR in its first segment.
    pub const GSO_ECN: u8 = 0x80;

    /// A header that asks for nothing: all zero.
    #[inline]
    #[must_use]
    pub const fn new() -> Self {
        Self {
            flags: 0,
            gso_type: 0,
            hdr_len: U16::ZERO,
            gso_size: U16::ZERO,
            csum_start: U16::ZERO,
            csum_offset: U16::ZERO,
        }
    }

    /// The header with a checksum to finish, whose sum begins `start` bytes into the frame, and whose field is `offset`
    /// bytes behind that.
    #[inline]
    #[must_use]
    pub const fn with_checksum(self, start: u16, offset: u16) -> Self {
        Self {
            flags: self.flags | Self::NEEDS_CSUM,
            csum_start: U16::new(start),
            csum_offset: U16::new(offset),
            ..self
        }
    }

    /// The header of a super-frame with segments of `size` bytes of payload behind `header_length` bytes of headers.
    #[inline]
    #[must_use]
    pub const fn with_gso(self, gso_type: GsoType, size: u16, header_length: u16) -> Self {
        Self {
            gso_type: gso_type as u8 | self.gso_type & Self::GSO_ECN,
            gso_size: U16::new(size),
            hdr_len: U16::new(header_length),
            ..self
        }
    }

    /// The header with the bit for CWR in the first segment.
    #[inline]
    #[must_use]
    pub const fn with_ecn(self) -> Self {
        Self { gso_type: self.gso_type | Self::GSO_ECN, ..self }
    }

    /// The same for a frame whose headers begin with so many bytes more or, below zero, fewer: a VLAN tag was put in or taken
    /// out.
    #[inline]
    #[must_use]
    pub fn moved(self, by: i16) -> Self {
        let csum_start =
            if self.needs_checksum() { self.csum_start().saturating_add_signed(by) } else { self.csum_start() };
        let hdr_len = if self.hdr_len() == 0 { 0 } else { self.hdr_len().saturating_add_signed(by) };
        Self { csum_start: U16::new(csum_start), hdr_len: U16::new(hdr_len), ..self }
    }

    /// The first [`LEN`](Self::LEN) bytes as a header, whatever they hold, and the bytes behind it.
    ///
    /// # Errors
    ///
    /// [`OffloadError::Truncated`] for fewer bytes.
    #[inline]
    pub fn from_prefix(bytes: &[u8]) -> Result<(&Self, &[u8]), OffloadError> {
        Self::ref_from_prefix(bytes).map_err(|_| OffloadError::Truncated { needed: Self::LEN, available: bytes.len() })
    }

    /// The bytes of the header as a value.
    #[inline]
    #[must_use]
    pub const fn to_bytes(self) -> [u8; Self::LEN] {
        zerocopy::transmute!(self)
    }

    /// The bytes of the header in place.
    #[inline]
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; Self::LEN] {
        zerocopy::transmute_ref!(self)
    }

    /// The flags: [`NEEDS_CSUM`](Self::NEEDS_CSUM), [`DATA_VALID`](Self::DATA_VALID) and what may come.
    #[inline]
    #[must_use]
    pub const fn flags(&self) -> u8 {
        self.flags
    }

    /// What becomes of a super-frame, the ECN bit aside.
    ///
    /// # Errors
    ///
    /// [`OffloadError::UnknownGsoType`].
    #[inline]
    pub const fn gso_type(&self) -> Result<GsoType, OffloadError> {
        match self.gso_type & !Self::GSO_ECN {
            0 => Ok(GsoType::None),
            1 => Ok(GsoType::TcpV4),
            3 => Ok(GsoType::Udp),
            4 => Ok(GsoType::TcpV6),
            5 => Ok(GsoType::UdpL4),
            found => Err(OffloadError::UnknownGsoType { found }),
        }
    }

    /// `true` where the first segment of the super-frame has CWR.
    #[inline]
    #[must_use]
    pub const fn has_ecn(&self) -> bool {
        self.gso_type & Self::GSO_ECN != 0
    }

    /// Bytes of headers in front of the payload. Linux gives what it has in one piece, so this is a hint alone
    /// (virtio 1.2 §5.1.6.2).
    #[inline]
    #[must_use]
    pub fn hdr_len(&self) -> u16 {
        self.hdr_len.get()
    }

    /// Bytes of payload of each segment but the last.
    #[inline]
    #[must_use]
    pub fn gso_size(&self) -> u16 {
        self.gso_size.get()
    }

    /// Where the sum of the checksum begins, in bytes from the start of the frame.
    #[inline]
    #[must_use]
    pub fn csum_start(&self) -> u16 {
        self.csum_start.get()
    }

    /// Where the field of the checksum is, in bytes from [`csum_start`](Self::csum_start).
    #[inline]
    #[must_use]
    pub fn csum_offset(&self) -> u16 {
        self.csum_offset.get()
    }

    /// `true` where the frame is to be cut, also where how is not known.
    #[inline]
    #[must_use]
    pub const fn is_super_frame(&self) -> bool {
        self.gso_type & !Self::GSO_ECN != 0
    }

    /// `true` where the checksum is to be finished.
    #[inline]
    #[must_use]
    pub const fn needs_checksum(&self) -> bool {
        self.flags & Self::NEEDS_CSUM != 0
    }

    /// `true` where somebody has verified the checksum.
    #[inline]
    #[must_use]
    pub const fn is_data_valid(&self) -> bool {
        self.flags & Self::DATA_VALID != 0
    }

    /// The header within a tunnel: `gso_type` with these bits more, and offsets that count from `shift` bytes before.
    pub(crate) const fn shifted_out(self, bits: u8, shift: u16) -> Self {
        let (mut hdr_len, mut csum_start) = (self.hdr_len, self.csum_start);
        if self.is_super_frame() {
            hdr_len = U16::new(hdr_len.get().wrapping_add(shift));
        }
        if self.needs_checksum() {
            csum_start = U16::new(csum_start.get().wrapping_add(shift));
        }
        Self { gso_type: self.gso_type | bits, hdr_len, csum_start, ..self }
    }

    /// The reverse of [`shifted_out`](Self::shifted_out), without these flags; `None` where an offset lies before the
    /// inner frame.
    pub(crate) fn shifted_in(self, bits: u8, flags: u8, shift: u16) -> Option<Self> {
        let mut header = Self { gso_type: self.gso_type & !bits, flags: self.flags & !flags, ..self };
        if header.is_super_frame() {
            header.hdr_len = U16::new(header.hdr_len().checked_sub(shift)?);
        }
        if header.needs_checksum() {
            header.csum_start = U16::new(header.csum_start().checked_sub(shift)?);
        }
        Some(header)
    }

    /// The bits of `gso_type` that are not a type.
    pub(crate) const fn gso_bits(&self) -> u8 {
        self.gso_type
    }

    /// The header with these flags more.
    pub(crate) const fn with_flags(self, flags: u8) -> Self {
        Self { flags: self.flags | flags, ..self }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_little_endian() {
        let header = VirtioNetHeader::new().with_checksum(34, 16).with_gso(GsoType::TcpV4, 1448, 66).with_ecn();
        let bytes = [1, 0x81, 66, 0, 0xa8, 0x05, 34, 0, 16, 0];
        assert_eq!(header.to_bytes(), bytes);
        assert_eq!(header.as_bytes(), &bytes);
        let longer = [&bytes[..], &[7]].concat();
        assert_eq!(VirtioNetHeader::from_prefix(&longer), Ok((&header, &[7][..])));
        assert_eq!((header.hdr_len(), header.gso_size()), (66, 1448));
        assert_eq!((header.csum_start(), header.csum_offset()), (34, 16));
        assert!(header.is_super_frame() && header.needs_checksum() && header.has_ecn() && !header.is_data_valid());
        assert_eq!(header.gso_type(), Ok(GsoType::TcpV4));
        for available in 0..10 {
            let error = OffloadError::Truncated { needed: 10, available };
            assert_eq!(VirtioNetHeader::from_prefix(&bytes[..available]), Err(error));
        }
    }

    #[test]
    fn nothing_to_do_is_all_zero() {
        let header = VirtioNetHeader::new();
        assert_eq!(header.to_bytes(), [0; 10]);
        assert_eq!(header, VirtioNetHeader::default());
        assert!(!header.is_super_frame() && !header.needs_checksum() && !header.has_ecn());
    }

    #[test]
    fn every_gso_type_is_one_or_an_error() {
        let known = [GsoType::None, GsoType::TcpV4, GsoType::Udp, GsoType::TcpV6, GsoType::UdpL4];
        for byte in 0..=u8::MAX {
            let bytes = [2, byte, 0, 0, 0, 0, 0, 0, 0, 0];
            let (header, _) = VirtioNetHeader::from_prefix(&bytes).unwrap();
            let found = byte & 0x7f;
            let expected = known.into_iter().find(|gso_type| *gso_type as u8 == found);
            assert_eq!(header.gso_type(), expected.ok_or(OffloadError::UnknownGsoType { found }));
            assert_eq!((header.has_ecn(), header.is_super_frame()), (byte >> 7 == 1, found != 0));
            assert!(header.is_data_valid() && !header.needs_checksum());
            for gso_type in known {
                let header = header.with_gso(gso_type, 1, 2);
                assert_eq!((header.gso_type(), header.has_ecn()), (Ok(gso_type), byte >> 7 == 1));
            }
        }
    }
}
