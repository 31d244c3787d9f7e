//! One super-frame in, many frames out; many frames in, one super-frame out; byte-exact.
//!
//! A TAP with a virtio-net header hands over up to 64 KiB of TCP or UDP at once, and takes as much. This crate is what is
//! between that and frames of the size of the wire: pure functions over the caller's memory. No payload is copied, in either
//! direction.
//!
//! ```text
//!  SuperFrame::write_segment                           Coalescer::push, flush
//!
//!  +--------+---------------------------------+        +---+-----+  +---+-----+  +---+--+
//!  | header | payload                         |        | h |  A  |  | h |  B  |  | h | C|   frames in memory
//!  +--------+---------------------------------+        +---+-----+  +---+-----+  +---+--+
//!           |<-- 0 -->|<-- 1 -->|<-- 2 -->|3 >|            |           |           |
//!                                                          v           v           v
//!  +--------+ +--------+ +--------+ +--------+        +--------+  +--------+-----+-----+--+
//!  | h 0    | | h 1    | | h 2    | | h 3    |        | virtio |  | header |  A  |  B  | C|   one writev
//!  +--------+ +--------+ +--------+ +--------+        +--------+  +--------+-----+-----+--+
//!  each with its slice of the payload in one sendmsg
//! ```
//!
//! Cutting what a TAP gave:
//!
//! ```
//! use offload::{GsoType, OffloadError, SuperFrame, VirtioNetHeader, finish_checksum};
//!
//! # let mut bytes = [0; 10 + 14 + 20 + 8 + 2500];
//! # let virtio = VirtioNetHeader::new().with_checksum(34, 6).with_gso(GsoType::UdpL4, 1000, 42);
//! # bytes[..10].copy_from_slice(&virtio.to_bytes());
//! # let (length, sum) = ((20 + 8 + 2500_u16).to_be_bytes(), !(0x4500 + 20 + 8 + 2500_u16 + 0x4011));
//! # bytes[22..34].copy_from_slice(&[8, 0, 0x45, 0, length[0], length[1], 0, 0, 0, 0, 0x40, 17]);
//! # bytes[34..36].copy_from_slice(&sum.to_be_bytes());
//! # bytes[48..50].copy_from_slice(&2508_u16.to_be_bytes());
//! let (virtio, _) = VirtioNetHeader::from_prefix(&bytes)?;
//! let virtio = *virtio;
//! let frame = &mut bytes[VirtioNetHeader::LEN..];
//! if virtio.is_super_frame() {
//!     let super_frame = SuperFrame::parse(&virtio, frame)?;
//!     let mut headers = [[0; 128]; 64];
//!     assert!(super_frame.header_len() <= 128 && super_frame.segments() <= 64);
//!     for (index, header) in headers.iter_mut().take(super_frame.segments()).enumerate() {
//!         let payload = super_frame.write_segment(frame, index, header);
//!         // Sent: header[..super_frame.header_len()], frame[payload].
//! #       assert_eq!(payload, [42..1042, 1042..2042, 2042..2542][index]);
//!     }
//! } else {
//!     finish_checksum(&virtio, frame)?;
//! }
//! # Ok::<(), OffloadError>(())
//! ```
//!
//! Merging what came from the wire, here two datagrams:
//!
//! ```
//! use offload::{Coalescer, Port};
//!
//! # let mut memory = [0; 2 * 50];
//! # for (index, frame) in memory.chunks_mut(50).enumerate() {
//! #     let sum = !(0x4500 + 36 + index as u16 + 0x4011);
//! #     frame[12..24].copy_from_slice(&[8, 0, 0x45, 0, 0, 36, 0, index as u8, 0, 0, 0x40, 17]);
//! #     frame[24..26].copy_from_slice(&sum.to_be_bytes());
//! #     frame[38..40].copy_from_slice(&[0, 16]);
//! #     frame[40..42].copy_from_slice(&(!(17 + 16 + 16_u16)).to_be_bytes());
//! # }
//! let mut coalescer = Coalescer::new();
//! let port = Port { id: 0, mtu: 1500, merge_udp: true };
//! let mut writes = 0;
//! let mut write = |delivery: offload::Delivery<'_>| {
//!     // Written at once: delivery.virtio.as_bytes(), delivery.header, and memory[piece.range()] of each of
//!     // delivery.pieces.
//!     assert_eq!((delivery.frames(), delivery.virtio.gso_size()), (2, 8));
//!     writes += 1;
//! };
//! for frame in [0..50, 50..100] {
//!     coalescer.push(port, &memory, frame, &mut write);
//! }
//! coalescer.flush(&memory, &mut write);
//! assert_eq!(writes, 1);
//! ```
//!
//! # What is merged
//!
//! What Linux merges (GRO), with nothing that segmentation would not bring back: TCP over IPv4 and IPv6, and UDP where the
//! [`Port`] wants it. All frames of a run have the same Ethernet header, VLAN tags, addresses, ports, TTL, type of service
//! or traffic class with its ECN field, flow label, DF, and TCP options, flags, window and acknowledgment; each begins in
//! the stream where the one before ends, and has as much payload, but for the last one. IPv4's identification counts, or is
//! constant under DF: that one comes back counting, since a virtio-net header has no word for it. So a mark of congestion is
//! never merged away: it ends one run, and is in the next.
//!
//! Fragments, IPv4 options, IPv6 extension headers, TCP without payload, with SYN, FIN, RST, URG or CWR, and UDP without a
//! checksum go alone. PSH and a shorter payload end a run. What goes alone ends the run of its flow first: within a flow nothing
//! changes places, and within this crate nothing waits longer than to the next [`flush`](Coalescer::flush).
//!
//! No checksum is lost: each frame's is verified before it is merged, the first one's as soon as there is a second. A frame
//! that is wrong is delivered as it came, for the receiver to count. A frame that stays alone is not verified, for its
//! receiver does that.
//!
//! # Checksums that a sender left to hardware
//!
//! A sender whose network card finishes checksums writes only the sum of the pseudo-header into the field (a partial
//! checksum). On the way through virtual devices on one machine there is no card, and where such a frame is in a tunnel
//! nobody on the way knows of the inner field: kernel VXLAN over a veth sends frames whose outer checksum is right and whose
//! inner one is partial; even super-frames of up to 64 KiB that nobody has cut. They look as if they were damaged.
//!
//! Such a frame is not dropped but delivered with a virtio-net header that says so ([`VirtioNetHeader::NEEDS_CSUM`]), and TCP that is
//! longer than the MTU also as the super-frame that it is. [`is_partial`] tells. For UDP that is longer than the MTU the size
//! that its sender meant is not in the frame, so it stays one datagram, but for a caller whose socket knows that size
//! ([`uncut_datagrams`]).
//!
//! To trust such a field is safe:
//!
//! - An attacker gains nothing. The checksum has no key; whoever can send a frame with a partial checksum can send it with
//!   the right one.
//! - Damage by accident has to hit the one value of 65,536 that the pseudo-header of the damaged packet has: the same chance
//!   that it has to slip past the checksum itself. And before the tunnel the outer checksum or the CRC of the link stood against it.
//! - A whole checksum that is by chance equal to the sum of the pseudo-header stays what it is: to finish it gives the same
//!   value again.
//!
//! # What it does not do
//!
//! It makes no system call, keeps no time, and decides neither when to flush nor where frames go. It cuts no super-frame of
//! UDP fragmentation offload (UFO), and none within a tunnel of its own.
#![no_std]
#![forbid(unsafe_code)]

#[cfg(test)]
extern crate std;

mod coalesce;
mod error;
mod packet;
mod partial;
mod segment;
mod tunnel;
mod virtio;

pub use coalesce::{Coalescer, Delivery, Piece, Port};
pub use error::OffloadError;
pub use partial::{is_partial, uncut_datagrams};
pub use segment::{SuperFrame, finish_checksum};
pub use tunnel::{OuterNetwork, TunnelOffsets, VirtioNetTunnelHeader};
pub use virtio::{GsoType, VirtioNetHeader};

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
