//! Real peers for tests: hosts in network namespaces, an underlay between them, raw frames, kernel VXLAN, Open vSwitch, and
//! `tap-vtep` in the midst of them.
//!
//! ```no_run
//! use testbed::{Family, KernelVtep, KernelVtepOptions, Underlay, ping};
//!
//! let underlay = Underlay::new(2);
//! let [one, two] = [0, 1].map(|host| {
//!     let other = underlay.host(1 - host).address(Family::V4);
//!     KernelVtep::new(underlay.host(host), &KernelVtepOptions::to(&[other]))
//! });
//! assert_eq!(ping(&one.guest, two.guest_address(Family::V4), 3).received, 3);
//! ```
//!
//! # What it needs
//!
//! Root, Linux with `veth`, `bridge`, `vxlan` and `tun`, and the tools that it calls. What is missing is never
//! skipped: it panics with one line that says how to get it.
//!
//! # Panics
//!
//! This crate serves tests. Whatever cannot be set up, and every wait that comes to its deadline, panics at the
//! caller's line with one sentence; no function says so again. What was made is removed when its value is dropped, also
//! while a panic unwinds. What a killed process left behind is removed by the next one.
#![forbid(unsafe_code)]
// Most calls are made for what they do in the system; what they give back is often of no interest.
#![allow(clippy::must_use_candidate)]

mod command;
mod datagram;
mod deadline;
mod encapsulation;
mod family;
mod fault;
mod faulty_calls;
mod frame;
mod frame_sender;
mod guest;
mod kernel_vxlan;
mod namespace;
mod open_vswitch;
mod open_vswitch_vtep;
mod outer_packet;
mod ping;
mod program;
mod scratch;
mod sniffer;
mod tool;
mod transfer;
mod transport_frame;
mod underlay;

pub use command::{Background, Finished, run};
pub use datagram::mark;
pub use deadline::{PATIENCE, stays, wait_until};
pub use encapsulation::Encapsulation;
pub use family::Family;
pub use fault::Fault;
pub use faulty_calls::{Call, FaultyCalls};
pub use frame::{
    EXPERIMENTAL, Numbered, UdpFrame, frame, guest_mac, in_vlan, internet_checksum, sequence_numbers, vxlan,
};
pub use frame_sender::FrameSender;
pub use guest::guest_address;
pub use kernel_vxlan::{Flood, KernelVtep, KernelVtepOptions};
pub use namespace::Namespace;
pub use open_vswitch::OpenVswitch;
pub use open_vswitch_vtep::{OpenVswitchOptions, OpenVswitchVtep};
pub use outer_packet::OuterPacket;
pub use ping::{Ping, ping, ping_with};
pub use program::{Exit, TapVtep};
pub use scratch::Scratch;
pub use sniffer::{Direction, Sniffer};
pub use tool::{require, require_root};
pub use transfer::{Transfer, transfer};
pub use transport_frame::{Transport, TransportFrame};
pub use underlay::{Host, Underlay};

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
