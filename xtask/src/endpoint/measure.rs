//! What is measured between two guests.

use std::fmt;

use super::{bed::Bed, datagrams, echo, iperf, processors::Idle};
use crate::step::Failure;

/// A kind of traffic.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Measure {
    /// TCP with so many streams.
    Tcp(u8),
    /// Datagrams with so many bytes of payload, as fast as they go: how many arrive.
    Udp(usize),
    /// The same at [`PACE`]: what each of them costs.
    Paced(usize),
    /// Datagrams with 18 bytes of payload to many destinations at random.
    Destinations,
    /// Echo requests one after the other: the median round trip.
    Ping,
}

/// Datagrams in a second that every case delivers.
pub(super) const PACE: u32 = 50_000;

/// The payload of the smallest Ethernet frame: 14 bytes of Ethernet, 20 of IPv4, 8 of UDP and 4 of checksum around it.
const SMALLEST: usize = 18;

/// What came out.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Reading {
    /// In [`Measure::unit`].
    pub(super) value: f64,
    /// In [`Measure::cost_unit`], where there is one.
    pub(super) cost: Option<f64>,
    /// What was sent, in [`Measure::unit`], where it can be more than what arrives.
    pub(super) offered: Option<f64>,
    /// Core-seconds that the processors of the whole machine were busy.
    pub(super) busy: f64,
    /// How long they were looked at.
    pub(super) seconds: f64,
}

impl Measure {
    /// For people.
    pub(super) fn title(self) -> String {
        match self {
            Self::Tcp(1) => "TCP, 1 stream".to_owned(),
            Self::Tcp(streams) => format!("TCP, {streams} streams"),
            Self::Udp(payload) => format!("UDP, {payload} bytes, delivered"),
            Self::Paced(payload) => format!("UDP, {payload} bytes, {} kpps sent", PACE / 1000),
            Self::Destinations => format!(
                "UDP, {SMALLEST} bytes, {} destinations behind {} remotes, delivered",
                super::destinations::DESTINATIONS,
                super::destinations::REMOTES
            ),
            Self::Ping => "round trip, idle, median".to_owned(),
        }
    }

    /// Of the value.
    pub(super) const fn unit(self) -> &'static str {
        match self {
            Self::Tcp(_) => "Gbit/s",
            Self::Udp(_) | Self::Paced(_) | Self::Destinations => "kpps",
            Self::Ping => "µs",
        }
    }

    /// Of the cost.
    pub(super) const fn cost_unit(self) -> &'static str {
        match self {
            Self::Tcp(_) => "core-s/GB",
            Self::Udp(_) | Self::Paced(_) | Self::Destinations => "core-µs/packet",
            Self::Ping => "",
        }
    }

    pub(super) fn take(self, bed: &Bed, seconds: u32) -> Result<Reading, Failure> {
        match self {
            Self::Tcp(streams) => {
                let idle = Idle::now();
                let moved = iperf::run(bed, streams, seconds)?;
                let (seconds, busy) = idle.since();
                let cost = (moved.bytes > 0.0).then(|| busy / (moved.bytes / 1e9));
                Ok(Reading { value: moved.bits_per_second / 1e9, cost, offered: None, busy, seconds })
            }
            Self::Udp(payload) => datagrams::run(bed, &bed.far_sockets(), payload, None, seconds),
            Self::Paced(payload) => datagrams::run(bed, &bed.far_sockets(), payload, Some(PACE), seconds),
            Self::Destinations => datagrams::run(bed, &super::destinations::sockets(), SMALLEST, None, seconds),
            Self::Ping => {
                let idle = Idle::now();
                let value = echo::median_round_trip(bed)?;
                let (seconds, busy) = idle.since();
                Ok(Reading { value, cost: None, offered: None, busy, seconds })
            }
        }
    }
}

impl fmt::Display for Measure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(streams) => write!(f, "tcp{streams}"),
            Self::Udp(payload) => write!(f, "udp{payload}"),
            Self::Paced(payload) => write!(f, "paced{payload}"),
            Self::Destinations => f.write_str("destinations"),
            Self::Ping => f.write_str("ping"),
        }
    }
}
