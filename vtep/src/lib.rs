//! A tunnel endpoint (VTEP) for VXLAN (RFC 7348), Geneve (RFC 8926) and NVGRE (RFC 7637) without I/O: it decides what happens to one frame or one datagram, and the
//! program around it reads, writes and sends.
//!
//! An [`Endpoint`] has two lanes. Its own methods are the **control lane**: they add and remove segments, remotes and rows,
//! report statistics, and let time pass. A [`DataLane`], one for each worker thread, is called for each frame or
//! datagram; it borrows the caller's buffer, takes no lock, allocates nothing, and answers with a verdict:
//!
//! - [`DataLane::from_tap`]: a frame from the segment's TAP → [`TapVerdict`]: send to these remotes behind this header,
//!   answer with this frame, or drop for this reason;
//! - [`DataLane::from_underlay`]: a datagram from the tunnel port → [`UnderlayVerdict`]: deliver to this segment's TAP,
//!   or drop for this reason.
//!
//! Every drop has a [`DropReason`] and a counter of its own. Time is an argument: `now` is the monotonic time since an
//! origin of the caller's choice, the same for all calls.
//!
//! ```
//! use core::{net::IpAddr, time::Duration};
//! use vtep::{Endpoint, EndpointOptions, Received, SegmentConfig, TapVerdict, UnderlayVerdict};
//!
//! let (here, there): (IpAddr, IpAddr) = ("192.0.2.1".parse()?, "192.0.2.2".parse()?);
//! let now = Duration::ZERO;
//!
//! // Two endpoints, each with segment 42 and the other as its only remote.
//! let endpoint = |remote| -> Result<_, Box<dyn std::error::Error>> {
//!     let endpoint = Endpoint::new(EndpointOptions::new([7; 16])); // 16 random bytes
//!     let segment = endpoint.add_segment(SegmentConfig::new("42".parse()?))?;
//!     endpoint.add_flood(segment, remote)?;
//!     Ok((endpoint, segment))
//! };
//! let (left, left_segment) = endpoint(there)?;
//! let (right, right_segment) = endpoint(here)?;
//!
//! // A broadcast frame comes out of the left TAP …
//! let mut frame = [0; 60];
//! frame[..6].fill(0xff); // destination
//! frame[6..12].copy_from_slice(&[2, 0, 0, 0, 0, 1]); // source
//! let lane = left.lane().expect("the first lane");
//! let mut reply = [0; vtep::REPLY_LEN];
//! let TapVerdict::Send(encapsulated) = lane.from_tap(left_segment, &frame, &mut reply, now) else { panic!("dropped") };
//! assert_eq!(encapsulated.destinations()[0].address, there);
//!
//! // … the program sends header and frame, and the right endpoint delivers them.
//! let mut datagram = [encapsulated.header(), &frame[..]].concat();
//! let lane = right.lane().expect("the first lane");
//! let UnderlayVerdict::Deliver { segment, frame: delivered } =
//!     lane.from_underlay(&mut datagram, Received::vxlan(here, 4789), now)
//! else {
//!     panic!("dropped")
//! };
//! assert_eq!(segment, right_segment);
//! assert_eq!(delivered, frame);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # Features
//!
//! - `std` (default): writers of the forwarding table wait with the system's mutex. Without it, and with `alloc`, they spin.
//! - `serde`: the enums of a configuration, by the words of the program's configuration file.
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;
#[cfg(test)]
extern crate std;

mod anti_spoofing;
mod clamp;
mod control_error;
mod counters;
mod drop_reason;
mod encapsulation;
mod endpoint;
mod explain;
mod from_tap;
mod from_underlay;
mod inner;
mod lane;
mod path_mtu;
mod report;
mod routing_loop;
mod segment;
mod storm;
mod suppress;
mod too_big;

pub use anti_spoofing::AllowedSources;
pub use control_error::ControlError;
pub use counters::{DropCounts, NotLearned, SegmentStatistics};
pub use drop_reason::DropReason;
pub use encapsulation::{Encapsulation, TunnelOption, UnknownEncapsulation};
pub use endpoint::{Endpoint, EndpointOptions};
pub use ether_wire::ecn::{Ecn, EcnMode};
pub use explain::{DatagramExplanation, ExplainedFrame, ExplainedSend, FloodReason, FrameExplanation};
pub use fdb::{
    Cursor, Forward, Neighbor, NeighborCounters, NeighborRow, NeighborState, RemoteId, Row, RowState, SegmentId,
};
pub use from_tap::{Cut, Encapsulated, REPLY_LEN, TapVerdict};
pub use from_underlay::{Received, UnderlayVerdict};
pub use geneve_wire::{OptionClass, OptionType};
pub use lane::DataLane;
pub use path_mtu::Path;
pub use report::RemoteStatus;
pub use segment::{Destination, Dscp, Fragments, Mss, ReservedBits, SegmentConfig, Sources, Ttl, Vlan};
pub use storm::Storm;

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;

// The project's front page shows this crate and `vxlan-wire`.
#[cfg(doctest)]
#[doc = include_str!("../../README.md")]
struct ProjectReadme;
