//! One super-frame in, many frames out; many frames in, one super-frame out; byte-exact.
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
pub use partial::{is_partial, length_by_packet, uncut_datagrams};
pub use segment::{SuperFrame, finish_checksum};
pub use tunnel::{OuterNetwork, TunnelOffsets, VirtioNetTunnelHeader};
pub use virtio::{GsoType, VirtioNetHeader};

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
