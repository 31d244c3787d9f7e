//! What goes over an overlay while it is measured.

use std::{
    net::{SocketAddr, UdpSocket},
    process::{Command, Stdio},
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::{Duration, Instant},
};

use rustix::net::sockopt::set_socket_recv_buffer_size_force;
use serde_json::Value;
use testbed::{require, run};

use super::overlay::Overlay;

/// A kind of traffic.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Test {
    /// One stream, by iperf3.
    Tcp,
    /// Datagrams with 18 bytes of payload, as fast as they go: how many arrive.
    Udp,
    /// Echo requests one after the other: the median round trip.
    Ping,
}

/// The smallest Ethernet frame: 14 bytes of Ethernet, 20 of IPv4, 8 of UDP, 4 of checksum, and these.
const PAYLOAD: [u8; 18] = [0x5a; 18];
const UDP_PORT: u16 = 6000;
const PINGS: &str = "3000";
const SINK_BUFFER: usize = 4 << 20;

impl Test {
    pub(super) const ALL: [Self; 3] = [Self::Tcp, Self::Udp, Self::Ping];

    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Tcp => "TCP, one stream",
            Self::Udp => "UDP, 18 bytes",
            Self::Ping => "ping, median (less is better)",
        }
    }

    pub(super) const fn unit(self) -> &'static str {
        match self {
            Self::Tcp => "Gbit/s",
            Self::Udp => "kpps",
            Self::Ping => "µs",
        }
    }

    /// The figure in [`Self::unit`].
    pub(super) fn measure(self, overlay: &Overlay, seconds: u32) -> f64 {
        match self {
            Self::Tcp => tcp(overlay, seconds),
            Self::Udp => udp(overlay, seconds),
            Self::Ping => ping(overlay),
        }
    }
}

fn tcp(overlay: &Overlay, seconds: u32) -> f64 {
    let mut command = Command::new(require("iperf3"));
    command.args(["-s", "-1"]).stdout(Stdio::null()).stderr(Stdio::null());
    let _server = overlay.far_guest().start(command);
    // It says nowhere that it listens.
    thread::sleep(Duration::from_millis(300));
    let (far, seconds_text) = (overlay.far().to_string(), seconds.to_string());
    // The namespace's own default cannot be set.
    let client = ["iperf3", "-c", &far, "-t", &seconds_text, "-C", "cubic", "-J"];
    let limit = Duration::from_secs(u64::from(seconds) + 20);
    let finished = overlay.near_guest().run_within(limit, &client);
    let report: Value = serde_json::from_str(&finished.stdout).unwrap_or_default();
    let rate = report["end"]["sum_received"]["bits_per_second"].as_f64();
    rate.unwrap_or_else(|| panic!("iperf3: {finished}")) / 1e9
}

/// Sends as fast as it can from one guest, counts in the other.
fn udp(overlay: &Overlay, seconds: u32) -> f64 {
    let far = SocketAddr::new(overlay.far(), UDP_PORT);
    let sink = overlay.far_guest().udp_socket(far);
    set_socket_recv_buffer_size_force(&sink, SINK_BUFFER).unwrap_or_else(|error| panic!("{error}"));
    let source = overlay.near_guest().udp_socket(([0, 0, 0, 0], 0));
    source.connect(far).unwrap_or_else(|error| panic!("{far}: {error}"));
    let is_over = AtomicBool::new(false);
    let time = Duration::from_secs(seconds.into());
    let received = thread::scope(|scope| {
        let counter = scope.spawn(|| count(&sink, &is_over));
        let begin = Instant::now();
        while begin.elapsed() < time {
            for _ in 0..64 {
                // A full queue loses it: that is what is measured.
                let _ = source.send(&PAYLOAD);
            }
        }
        is_over.store(true, Ordering::Release);
        counter.join().unwrap_or_default()
    });
    f64::from(received) / f64::from(seconds) / 1e3
}

/// How many come until it is over.
fn count(sink: &UdpSocket, is_over: &AtomicBool) -> u32 {
    let mut buffer = [0; 64];
    let mut received = 0;
    if sink.set_read_timeout(Some(Duration::from_millis(50))).is_err() {
        return 0;
    }
    while !is_over.load(Ordering::Acquire) {
        received += u32::from(sink.recv(&mut buffer).is_ok());
    }
    received
}

fn ping(overlay: &Overlay) -> f64 {
    let far = overlay.far().to_string();
    let words = ["ping", "-A", "-n", "-s", "56", "-c", PINGS, "-W", "1", &far];
    let finished = overlay.near_guest().enter(|| run(&words));
    // `64 bytes from 10.50.0.2: icmp_seq=1 ttl=64 time=0.241 ms`
    let time = |line: &str| line.split("time=").nth(1)?.split(' ').next()?.parse::<f64>().ok();
    let mut times: Vec<_> = finished.stdout.lines().filter_map(time).collect();
    times.sort_unstable_by(f64::total_cmp);
    *times.get(times.len() / 2).unwrap_or_else(|| panic!("ping: {finished}")) * 1e3
}
