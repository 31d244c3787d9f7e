//! VXLAN, Group Policy, Generic Protocol Extension, Geneve and NVGRE against tshark and scapy: 10,000 random packets of
//! each that we encode are read by tshark, 10,000 that scapy encodes are read by us, with the same fields.
//!
//! `cargo test -p vxlan-wire --features peers --test peers`; on Debian it needs the packages `tshark` and
//! `python3-scapy`, and fails without them.

#[path = "../../../testdata/peers.rs"]
mod peers;
mod scapy;
mod tshark;
