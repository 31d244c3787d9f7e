//! Round trips, by ping.

use testbed::run;

use super::bed::Bed;
use crate::{bench::median, step::Failure};

const COUNT: &str = "3000";
/// They end then, also where each of them takes long.
const SECONDS: &str = "8";

/// The median round trip in microseconds: each request goes when the reply to the one before has come.
pub(super) fn median_round_trip(bed: &Bed) -> Result<f64, Failure> {
    let far = bed.far().to_string();
    let words = ["ping", "-A", "-n", "-s", "56", "-c", COUNT, "-w", SECONDS, "-W", "1", &far];
    let times = times(&bed.near_guest().enter(|| run(&words)).stdout);
    if times.is_empty() { Err(Failure("ping: no reply".to_owned())) } else { Ok(median(&times) * 1e3) }
}

/// `64 bytes from 10.50.0.2: icmp_seq=1 ttl=64 time=0.241 ms`, in milliseconds.
fn times(output: &str) -> Vec<f64> {
    let time = |line: &str| line.split("time=").nth(1)?.split(' ').next()?.parse().ok();
    output.lines().filter_map(time).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_reply_has_its_time() {
        let output = "PING 10.50.0.2 (10.50.0.2) 56(84) bytes of data.\n\
            64 bytes from 10.50.0.2: icmp_seq=1 ttl=64 time=0.241 ms\n\
            64 bytes from 10.50.0.2: icmp_seq=2 ttl=64 time=12.0 ms\n\n\
            2 packets transmitted, 2 received, 0% packet loss, time 1ms\n";
        assert_eq!(times(output), [0.241, 12.0]);
    }
}
