//! A span of time as a number of seconds, for files that people write.

use core::{fmt, time::Duration};

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

pub(crate) fn serialize<S: Serializer>(span: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
    if !serializer.is_human_readable() {
        span.serialize(serializer)
    } else if span.subsec_nanos() == 0 {
        serializer.serialize_u64(span.as_secs())
    } else {
        serializer.serialize_f64(span.as_secs_f64())
    }
}

pub(crate) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
    if deserializer.is_human_readable() {
        deserializer.deserialize_any(Seconds)
    } else {
        Duration::deserialize(deserializer)
    }
}

struct Seconds;

impl de::Visitor<'_> for Seconds {
    type Value = Duration;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a number of seconds")
    }

    fn visit_u64<E: de::Error>(self, seconds: u64) -> Result<Duration, E> {
        Ok(Duration::from_secs(seconds))
    }

    fn visit_i64<E: de::Error>(self, seconds: i64) -> Result<Duration, E> {
        u64::try_from(seconds).map(Duration::from_secs).map_err(|_| E::custom("a number of seconds can't be negative"))
    }

    fn visit_f64<E: de::Error>(self, seconds: f64) -> Result<Duration, E> {
        Duration::try_from_secs_f64(seconds).map_err(E::custom)
    }
}
