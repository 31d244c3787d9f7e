//! The program against real peers, by the words of its users: the Linux kernel's VXLAN, other endpoints of its own, and
//! datagrams made by hand. Needs root and Debian packages; `cargo xtask interop` installs them and runs it.
//!
//! What a test needs and does not find fails it with one line that says how to get it. Nothing is skipped.

mod addresses;
mod anti_spoofing;
mod bed;
mod black_holes;
mod capture;
mod checksums;
mod commands;
mod configuration;
mod congestion;
mod damaged_packets;
mod datagrams;
mod demo;
mod devices;
mod devices_under_traffic;
mod drops;
mod ecn;
mod explain;
mod faults;
mod flannel;
mod flood_of_macs;
mod flooding;
mod flow_labels;
mod frame_sizes;
mod junk;
mod kernel_ping;
mod learning;
mod lifecycle;
mod log_lines;
mod matrix;
mod metrics;
mod neighbor_frame;
mod outer_header;
mod own_peer;
mod path_mtu;
mod privileges;
mod quick_start;
mod reloads;
mod routing_loops;
mod segments;
mod service_manager;
mod service_unit;
mod shown;
mod socket_options;
mod storm;
mod suppression;
mod thousand_errors;
mod transfers;
mod trunk;
mod tunnel;
mod uncut;
mod underlay_mtu;
mod workers;
mod zero_checksum;
