//! Why a virtio-net header does not fit the frame behind it.

use ether_wire::DecodeError;
use thiserror::Error;

use crate::GsoType;

/// Why a frame cannot be cut, or its checksum not be finished.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Error)]
#[non_exhaustive]
pub enum OffloadError {
    /// The bytes end before the header does.
    #[error("truncated: {needed} bytes needed, {available} available")]
    Truncated {
        /// How many bytes it takes.
        needed: usize,
        /// How many there are.
        available: usize,
    },
    /// A GSO type that virtio 1.2 §5.1.6 does not know.
    #[error("unknown GSO type {found:#04x}")]
    UnknownGsoType {
        /// The type in the header, without its ECN bit.
        found: u8,
    },
    /// A frame that is to be cut, where one frame is asked for.
    #[error("a super-frame of GSO type {gso_type:?} in place of one frame")]
    SuperFrame {
        /// The type in the header.
        gso_type: GsoType,
    },
    /// A frame that is not to be cut.
    #[error("not a super-frame")]
    NotSuperFrame,
    /// UDP fragmentation offload, which is not segmentation: one datagram that becomes IP fragments.
    #[error("UDP fragmentation offload is not done")]
    UdpFragmentation,
    /// A super-frame whose segments would have no payload.
    #[error("a super-frame with segments of no payload")]
    ZeroSegmentSize,
    /// A super-frame that says nothing of its checksum (virtio 1.2 §5.1.6.2: it must).
    #[error("a super-frame without a checksum to finish")]
    NoChecksum,
    /// The checksum does not begin where the transport header does.
    #[error("the checksum begins at byte {found}, the transport header at {expected}")]
    ChecksumStart {
        /// What the header says, in bytes from the start of the frame.
        found: u16,
        /// Where the transport header is, in bytes from the start of the frame.
        expected: usize,
    },
    /// The checksum is not where the transport header has it.
    #[error("the checksum is {found} bytes into the transport header in place of {expected}")]
    ChecksumOffset {
        /// What the header says, in bytes.
        found: u16,
        /// Where it is, in bytes.
        expected: u16,
    },
    /// The checksum field lies beyond the frame.
    #[error("the checksum field ends at byte {end} of a frame of {available}")]
    ChecksumBeyondFrame {
        /// Where it ends, in bytes from the start of the frame.
        end: usize,
        /// Bytes of the frame.
        available: usize,
    },
    /// The frame does not carry what the GSO type says.
    #[error("the frame does not carry what GSO type {gso_type:?} says")]
    Protocol {
        /// The type in the header.
        gso_type: GsoType,
    },
    /// The frame ends within its Ethernet header or its VLAN tags, or has more tags than are walked.
    #[error("no payload behind the VLAN tags")]
    VlanTags,
    /// The packet is a fragment.
    #[error("a super-frame in a fragment")]
    Fragment,
    /// The length in the UDP header is not that of the packet.
    #[error("a UDP length of {found} bytes in place of {expected}")]
    UdpLength {
        /// What the UDP header says, in bytes.
        found: u16,
        /// What the IP header leaves, in bytes.
        expected: usize,
    },
    /// A header of IP or transport does not decode.
    #[error(transparent)]
    Header(#[from] DecodeError),
}
