//! Ethernet with VLAN tags, IPv4 with options, IPv6 with extension headers, UDP, TCP with options, ARP, Neighbor Discovery
//! and the messages that a packet is too big against tshark and scapy: 10,000 random packets of each that we encode are
//! read by tshark, 10,000 that scapy encodes are read by us, with the same fields.
//!
//! `cargo test -p ether-wire --features peers --test peers`; on Debian it needs the packages `tshark` and
//! `python3-scapy`, and fails without them.

mod link;
#[path = "../../../testdata/peers.rs"]
mod peers;
mod scapy;
mod tshark;
