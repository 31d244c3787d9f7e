//! Stations that move too often.

use alloc::collections::BTreeMap;
use core::time::Duration;

/// When a learned address that moves from remote to remote is held where it is.
///
/// RFC 7432 §15.1: 5 moves within 180 seconds are a sign of two stations with one address, or of a loop. After that
/// many moves the row stays at the remote of the last one, whatever is received, for the time of `hold`; then it moves
/// again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Dampening {
    /// So many moves are made …
    pub moves: u32,
    /// … within this time, and no more.
    pub within: Duration,
    /// How long the row then stays.
    pub hold: Duration,
}

impl Default for Dampening {
    /// 5 moves within 180 seconds (RFC 7432 §15.1), held for 60 seconds.
    fn default() -> Self {
        Self { moves: 5, within: Duration::from_secs(180), hold: Duration::from_secs(60) }
    }
}

/// What a station did of late.
#[derive(Clone, Copy)]
struct History {
    first: Duration,
    moves: u32,
    held: Option<Duration>,
}

/// How many stations one generation remembers.
const REMEMBERED: usize = 512;

/// The moves of the stations that moved last: two generations of a bounded number each.
#[derive(Default)]
pub(crate) struct Moves {
    recent: BTreeMap<u64, History>,
    earlier: BTreeMap<u64, History>,
}

/// What is to happen to a station that moves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    Move,
    /// It stays, from now on.
    Hold,
    /// It stays, as before.
    Held,
}

impl Moves {
    /// Judges a move of a station, and remembers it.
    pub(crate) fn judge(&mut self, key: u64, rule: Dampening, now: Duration) -> Verdict {
        let mut history = match self.recent.get(&key).or_else(|| self.earlier.get(&key)) {
            Some(&history) if history.held.is_some_and(|held| now.saturating_sub(held) < rule.hold) => {
                return Verdict::Held;
            }
            Some(&history) if history.held.is_none() && now.saturating_sub(history.first) < rule.within => history,
            _ => History { first: now, moves: 0, held: None },
        };
        let verdict = if history.moves >= rule.moves {
            history.held = Some(now);
            Verdict::Hold
        } else {
            history.moves += 1;
            Verdict::Move
        };
        self.remember(key, history);
        verdict
    }

    fn remember(&mut self, key: u64, history: History) {
        if self.recent.len() >= REMEMBERED && !self.recent.contains_key(&key) {
            self.earlier = core::mem::take(&mut self.recent);
        }
        self.recent.insert(key, history);
    }

    /// Forgets a station.
    pub(crate) fn forget(&mut self, key: u64) {
        self.recent.remove(&key);
        self.earlier.remove(&key);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn five_moves_then_held_then_released() {
        let rule = Dampening::default();
        let mut moves = Moves::default();
        for second in 0..5 {
            assert_eq!(moves.judge(1, rule, second * SECOND), Verdict::Move);
        }
        assert_eq!(moves.judge(1, rule, 10 * SECOND), Verdict::Hold);
        assert_eq!(moves.judge(1, rule, 11 * SECOND), Verdict::Held);
        assert_eq!(moves.judge(1, rule, 69 * SECOND), Verdict::Held);
        assert_eq!(moves.judge(2, rule, 69 * SECOND), Verdict::Move);
        for second in 70..75 {
            assert_eq!(moves.judge(1, rule, second * SECOND), Verdict::Move);
        }
        assert_eq!(moves.judge(1, rule, 75 * SECOND), Verdict::Hold);
        moves.forget(1);
        assert_eq!(moves.judge(1, rule, 76 * SECOND), Verdict::Move);
    }

    #[test]
    fn slow_moves_are_free() {
        let mut moves = Moves::default();
        for step in 0..1000 {
            assert_eq!(moves.judge(1, Dampening::default(), step * 37 * SECOND), Verdict::Move);
        }
    }

    #[test]
    fn memory_is_bounded() {
        let mut moves = Moves::default();
        for key in 0..100_000 {
            moves.judge(key, Dampening::default(), SECOND);
            assert!(moves.recent.len() <= REMEMBERED && moves.earlier.len() <= REMEMBERED);
        }
    }
}
