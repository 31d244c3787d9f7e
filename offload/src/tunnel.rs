//! The virtio-net header for a super-frame within a UDP tunnel (`TUN_F_UDP_TUNNEL_GSO`, Linux 6.17).

use zerocopy::{
    FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned,
    little_endian::{U16, U32},
};

use crate::{OffloadError, VirtioNetHeader};

/// The IP version around a tunnelled super-frame, and its bit of `gso_type`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum OuterNetwork {
    /// IPv4 (`VIRTIO_NET_HDR_GSO_UDP_TUNNEL_IPV4`).
    Ipv4 = 0x20,
    /// IPv6 (`VIRTIO_NET_HDR_GSO_UDP_TUNNEL_IPV6`).
    Ipv6 = 0x40,
}

/// Both bits, of which a header has at most one.
const OUTER_NETWORKS: u8 = OuterNetwork::Ipv4 as u8 | OuterNetwork::Ipv6 as u8;

/// Where the headers of a tunnelled super-frame are, in bytes from the start of the outer frame.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct TunnelOffsets {
    /// The outer UDP header.
    pub outer_transport: u16,
    /// The Ethernet header of the inner frame.
    pub inner_frame: u16,
    /// The IP header of the inner frame.
    pub inner_network: u16,
}

/// A virtio-net header for a super-frame within a UDP tunnel, little-endian: 24 bytes. All offsets count from the start of
/// the outer frame.
///
/// ```text
///  0                   1                   2                   3
///  0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1
/// +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
/// |     flags     |   gso_type    |            hdr_len            |
/// +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
/// |           gso_size            |          csum_start           |
/// +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
/// |          csum_offset          |          num_buffers          |
/// +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
/// |                          hash_value                           |
/// +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
/// |          hash_report          |            padding            |
/// +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
/// |        outer_th_offset        |        inner_nh_offset        |
/// +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub struct VirtioNetTunnelHeader {
    header: VirtioNetHeader,
    num_buffers: U16,
    hash_value: U32,
    hash_report: U16,
    padding: U16,
    outer_th_offset: U16,
    inner_nh_offset: U16,
}

const _: () = assert!(size_of::<VirtioNetTunnelHeader>() == VirtioNetTunnelHeader::LEN);

impl VirtioNetTunnelHeader {
    /// Bytes that the header takes.
    pub const LEN: usize = 24;
    /// The flag for an outer UDP checksum that is to be made for each segment
    /// (`VIRTIO_NET_HDR_F_UDP_TUNNEL_CSUM`).
    pub const UDP_TUNNEL_CSUM: u8 = 8;

    /// The header for the frame with this header of its own, within a tunnel over `outer`. A frame that is not a
    /// super-frame is one to finish the checksum of, and no tunnel to anybody.
    #[must_use]
    pub const fn new(inner: VirtioNetHeader, outer: OuterNetwork, offsets: TunnelOffsets) -> Self {
        let is_super_frame = inner.is_super_frame();
        let bits = if is_super_frame { outer as u8 } else { 0 };
        let (outer_th, inner_nh) =
            if is_super_frame { (offsets.outer_transport, offsets.inner_network) } else { (0, 0) };
        Self {
            header: inner.shifted_out(bits, offsets.inner_frame),
            num_buffers: U16::ZERO,
            hash_value: U32::ZERO,
            hash_report: U16::ZERO,
            padding: U16::ZERO,
            outer_th_offset: U16::new(outer_th),
            inner_nh_offset: U16::new(inner_nh),
        }
    }

    /// The header with the flag for outer UDP checksums.
    #[must_use]
    pub const fn with_outer_checksum(self) -> Self {
        Self { header: self.header.with_flags(Self::UDP_TUNNEL_CSUM), ..self }
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

    /// The IP version of the tunnel; `None` without a tunnel, and for a header that says both.
    #[must_use]
    pub const fn outer_network(&self) -> Option<OuterNetwork> {
        match self.header.gso_bits() & OUTER_NETWORKS {
            0x20 => Some(OuterNetwork::Ipv4),
            0x40 => Some(OuterNetwork::Ipv6),
            _ => None,
        }
    }

    /// `true` where the outer UDP checksum is to be made for each segment.
    #[must_use]
    pub const fn has_outer_checksum(&self) -> bool {
        self.header.flags() & Self::UDP_TUNNEL_CSUM != 0
    }

    /// The first ten bytes as they stand: offsets from the start of the outer frame, the bits of the tunnel in `gso_type`.
    #[must_use]
    pub const fn header(&self) -> &VirtioNetHeader {
        &self.header
    }

    /// Where the outer UDP header is, in bytes from the start of the outer frame.
    #[must_use]
    pub fn outer_th_offset(&self) -> u16 {
        self.outer_th_offset.get()
    }

    /// Where the inner IP header is, in bytes from the start of the outer frame.
    #[must_use]
    pub fn inner_nh_offset(&self) -> u16 {
        self.inner_nh_offset.get()
    }

    /// The header of the inner frame alone, which begins `inner_frame` bytes into the outer frame; `None` where an offset
    /// lies before it.
    #[must_use]
    pub fn inner(&self, inner_frame: u16) -> Option<VirtioNetHeader> {
        self.header.shifted_in(OUTER_NETWORKS, Self::UDP_TUNNEL_CSUM, inner_frame)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::GsoType;

    const OFFSETS: TunnelOffsets = TunnelOffsets { outer_transport: 34, inner_frame: 50, inner_network: 64 };

    fn super_frame() -> VirtioNetHeader {
        VirtioNetHeader::new().with_checksum(34, 16).with_gso(GsoType::TcpV4, 1398, 66)
    }

    #[test]
    fn offsets_count_from_the_outer_frame() {
        let header = VirtioNetTunnelHeader::new(super_frame(), OuterNetwork::Ipv4, OFFSETS);
        let mut bytes = [0; 24];
        bytes[..10].copy_from_slice(&[1, 0x21, 116, 0, 0x76, 0x05, 84, 0, 16, 0]);
        bytes[20..].copy_from_slice(&[34, 0, 64, 0]);
        assert_eq!(header.to_bytes(), bytes);
        assert_eq!(header.as_bytes(), &bytes);
        assert_eq!(VirtioNetTunnelHeader::from_prefix(&bytes), Ok((&header, &[][..])));
        assert_eq!((header.outer_th_offset(), header.inner_nh_offset()), (34, 64));
        assert_eq!(header.header().csum_start(), 84);
        assert!(!header.has_outer_checksum());
        for available in 0..24 {
            let error = OffloadError::Truncated { needed: 24, available };
            assert_eq!(VirtioNetTunnelHeader::from_prefix(&bytes[..available]), Err(error));
        }
    }

    #[test]
    fn put_together_and_taken_apart() {
        let plain = VirtioNetHeader::new();
        for inner in [plain, plain.with_checksum(34, 6), super_frame(), super_frame().with_ecn()] {
            for outer in [OuterNetwork::Ipv4, OuterNetwork::Ipv6] {
                let header = VirtioNetTunnelHeader::new(inner, outer, OFFSETS);
                assert_eq!(header.inner(50), Some(inner));
                assert_eq!(header.outer_network(), inner.is_super_frame().then_some(outer));
                let header = header.with_outer_checksum();
                assert!(header.has_outer_checksum());
                assert_eq!(header.inner(50), Some(inner));
            }
        }
    }

    #[test]
    fn offsets_before_the_inner_frame_are_none() {
        let header = VirtioNetTunnelHeader::new(super_frame(), OuterNetwork::Ipv6, OFFSETS);
        assert_eq!(header.inner(84).map(|inner| inner.csum_start()), Some(0));
        assert_eq!(header.inner(85), None);
        assert_eq!(header.inner(117), None);
        // Nothing is shifted that means nothing.
        assert_eq!(VirtioNetTunnelHeader::default().inner(u16::MAX), Some(VirtioNetHeader::new()));
    }

    #[test]
    fn both_versions_are_none() {
        let mut bytes = VirtioNetTunnelHeader::new(super_frame(), OuterNetwork::Ipv4, OFFSETS).to_bytes();
        bytes[1] |= 0x40;
        let (header, _) = VirtioNetTunnelHeader::from_prefix(&bytes).unwrap();
        assert_eq!(header.outer_network(), None);
    }
}
