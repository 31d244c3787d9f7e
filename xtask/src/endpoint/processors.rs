//! How busy the processors were.

use std::{
    fs,
    time::{Duration, Instant},
};

/// What the processors had been idle at some time. These counters are exact; the busy ones are sampled by the tick.
pub(super) struct Idle {
    at: Instant,
    ticks: u64,
    processors: u32,
}

/// The unit of `/proc/stat`, `USER_HZ`.
const TICK: Duration = Duration::from_millis(10);

impl Idle {
    pub(super) fn now() -> Self {
        let (processors, ticks) = parse(&fs::read_to_string("/proc/stat").unwrap_or_default());
        Self { at: Instant::now(), ticks, processors }
    }

    /// How many there are.
    pub(super) fn processors(&self) -> u32 {
        self.processors
    }

    /// Seconds since then, and core-seconds that were not idle.
    pub(super) fn since(&self) -> (f64, f64) {
        let now = Self::now();
        let seconds = (now.at - self.at).as_secs_f64();
        (seconds, busy(seconds, self.processors, now.ticks.saturating_sub(self.ticks) as u32))
    }
}

fn busy(seconds: f64, processors: u32, idle_ticks: u32) -> f64 {
    let idle = TICK.as_secs_f64() * f64::from(idle_ticks);
    (seconds * f64::from(processors) - idle).max(0.0)
}

/// Number of processors, and ticks that they all were idle or waited for a disk.
fn parse(stat: &str) -> (u32, u64) {
    // `cpu0 user nice system idle iowait irq …`; the line `cpu` is the sum.
    let is_one =
        |line: &&str| line.strip_prefix("cpu").is_some_and(|rest| rest.starts_with(|it: char| it.is_ascii_digit()));
    let idle =
        |line: &str| line.split_whitespace().skip(4).take(2).filter_map(|word| word.parse::<u64>().ok()).sum::<u64>();
    stat.lines().filter(is_one).fold((0, 0), |(processors, ticks), line| (processors + 1, ticks + idle(line)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn idle_time_is_that_of_all_processors() {
        let stat =
            "cpu  10 0 20 1500 40 1 2 0 0 0\ncpu0 5 0 10 700 30 1 1 0 0 0\ncpu1 5 0 10 800 10 0 1 0 0 0\nintr 5 1\n";
        assert_eq!(parse(stat), (2, 1540));
        assert_eq!(parse(""), (0, 0));
    }

    #[test]
    fn busy_is_what_is_not_idle() {
        assert!((busy(3.0, 2, 450) - 1.5).abs() < 1e-9);
        // The clock and the ticks are not read at once.
        assert!(busy(1.0, 2, 201).abs() < 1e-9);
    }
}
