//! Times as people and programs read them.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// The last second that RFC 3339 has words for: the end of the year 9999.
const LAST: u64 = 253_402_300_799;

/// The time since the Unix epoch, in whole milliseconds. A clock that is set to a time before counts as the epoch.
pub(super) fn now() -> Duration {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Duration::new(now.as_secs(), now.subsec_millis() * 1_000_000)
}

/// The date and time in UTC: `2026-11-21T09:23:27Z`.
pub(super) fn utc(at: Duration) -> String {
    humantime::format_rfc3339_seconds(UNIX_EPOCH + Duration::from_secs(at.as_secs().min(LAST))).to_string()
}

/// How long ago, by its two largest units: `3days 4h`.
pub(super) fn age(since: Duration, now: Duration) -> String {
    let seconds = now.as_secs().saturating_sub(since.as_secs());
    let all = humantime::format_duration(Duration::from_secs(seconds)).to_string();
    all.split(' ').take(2).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_of_all_ages() {
        assert_eq!(utc(Duration::ZERO), "1970-01-01T00:00:00Z");
        assert_eq!(utc(Duration::from_millis(1_700_000_000_999)), "2023-11-14T22:13:20Z");
        assert_eq!(utc(Duration::MAX), "9999-12-31T23:59:59Z");
        let age = |seconds: u64| age(Duration::from_secs(1000), Duration::from_secs(1000 + seconds));
        assert_eq!((age(0), age(61), age(273_906)), ("0s".into(), "1m 1s".into(), "3days 4h".into()));
        assert_eq!(super::age(Duration::from_secs(2), Duration::from_secs(1)), "0s", "a clock that was set back");
    }
}
