//! Whether the endpoint can carry frames.

use std::{
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

use serde_json::{Value, json};

/// How often a worker is asked whether it turns.
const INTERVAL: Duration = Duration::from_secs(1);
/// How long a worker may take to answer; a batch takes milliseconds.
const LIMIT: Duration = Duration::from_secs(5);

/// What keeps the endpoint from carrying frames.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Health {
    /// The workers that don't turn.
    pub(crate) stuck: Vec<usize>,
    /// Interfaces that are away, each with what it is to us.
    pub(crate) missing: Vec<String>,
}

impl Health {
    pub(crate) fn is_well(&self) -> bool {
        self.stuck.is_empty() && self.missing.is_empty()
    }

    /// One sentence for each thing that is wrong.
    pub(crate) fn problems(&self) -> Vec<String> {
        let stuck = self.stuck.iter().map(|worker| format!("worker {worker} does not turn"));
        stuck.chain(self.missing.iter().map(|missing| format!("{missing} is gone"))).collect()
    }

    pub(crate) fn json(&self) -> Value {
        let status = if self.is_well() { "ok" } else { "failing" };
        json!({ "status": status, "problems": self.problems() })
    }
}

/// Asks a worker whether it turns. The control thread asks, the worker answers when it comes by.
#[derive(Debug, Default)]
pub(crate) struct Pulse {
    /// When it was asked last, in milliseconds, from 1.
    asked: AtomicU64,
    /// The question that it answered last.
    answered: AtomicU64,
}

impl Pulse {
    /// Asks, unless the last question is open or was just answered. `true`: the worker is to be woken.
    pub(crate) fn ask(&self, now: Duration) -> bool {
        let asked = self.asked.load(Ordering::Relaxed);
        let now = milliseconds(now);
        let is_due = asked == 0 || now.saturating_sub(asked) >= milliseconds(INTERVAL);
        if !is_due || asked != self.answered.load(Ordering::Relaxed) {
            return false;
        }
        self.asked.store(now.max(1), Ordering::Relaxed);
        true
    }

    /// The worker's answer.
    pub(crate) fn answer(&self) {
        self.answered.store(self.asked.load(Ordering::Relaxed), Ordering::Relaxed);
    }

    /// Whether the worker has owed an answer for too long.
    pub(crate) fn is_stuck(&self, now: Duration) -> bool {
        let asked = self.asked.load(Ordering::Relaxed);
        asked != self.answered.load(Ordering::Relaxed) && milliseconds(now).saturating_sub(asked) > milliseconds(LIMIT)
    }
}

fn milliseconds(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whoever_does_not_answer_is_stuck() {
        let pulse = Pulse::default();
        let at = Duration::from_millis;
        assert!(pulse.ask(at(0)));
        assert!(!pulse.is_stuck(at(5_000)));
        assert!(!pulse.ask(at(3_000)), "one question at a time");
        assert!(pulse.is_stuck(at(5_002)));
        pulse.answer();
        assert!(!pulse.is_stuck(at(60_000)), "nobody has asked since");
        assert!(pulse.ask(at(60_000)));
        pulse.answer();
        assert!(!pulse.ask(at(60_999)), "just answered");
        assert!(pulse.ask(at(61_000)));
    }

    #[test]
    fn problems_are_sentences() {
        assert_eq!(Health::default().json().to_string(), r#"{"problems":[],"status":"ok"}"#);
        let health = Health { stuck: vec![1], missing: vec!["segment blue: TAP blue0".to_owned()] };
        assert!(!health.is_well());
        assert_eq!(health.problems(), ["worker 1 does not turn", "segment blue: TAP blue0 is gone"]);
    }
}
