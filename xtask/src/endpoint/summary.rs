//! Medians, and ratios within rounds.

use super::{
    case::Case,
    record::Record,
    rows::{Bound, Figure, Row},
};
use crate::bench::median;

/// The middle of some figures, and how far they go.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Spread {
    pub(super) median: f64,
    pub(super) low: f64,
    pub(super) high: f64,
}

impl Spread {
    /// Of any figures at all.
    pub(super) fn of(figures: &[f64]) -> Option<Self> {
        if figures.is_empty() {
            return None;
        }
        Some(Self {
            median: median(figures),
            low: figures.iter().copied().fold(f64::INFINITY, f64::min),
            high: figures.iter().copied().fold(f64::NEG_INFINITY, f64::max),
        })
    }
}

/// What a row came to.
#[derive(Clone, Debug)]
pub(super) struct Line {
    pub(super) row: Row,
    pub(super) ours: Option<Spread>,
    pub(super) peer: Option<Spread>,
    /// Ours divided by the peer's, both of the same round.
    pub(super) ratio: Option<Spread>,
}

impl Line {
    /// Reads the records of one row.
    pub(super) fn new(row: Row, records: &[Record]) -> Self {
        let ours = figures(&row, row.case, records);
        let peers = row.peer.map(|peer| figures(&row, peer, records)).unwrap_or_default();
        let ratio = |&(round, figure): &(u32, f64)| {
            let (_, peer) = peers.iter().find(|(other, _)| *other == round)?;
            (*peer > 0.0).then(|| figure / peer)
        };
        let ratios: Vec<_> = ours.iter().filter_map(ratio).collect();
        let ratio = Spread::of(&ratios);
        Self { row, ours: spread(&ours), peer: spread(&peers), ratio }
    }

    /// Whether the median keeps the bound; `None` without a bound or without figures.
    pub(super) fn is_kept(&self) -> Option<bool> {
        match self.row.bound? {
            Bound::AtLeast(times) => Some(self.ratio?.median >= times),
            Bound::AtMost(figure) => Some(self.ours?.median <= figure),
        }
    }
}

/// Of the figures of a case that a row looks at.
pub(super) fn spread_of(row: &Row, case: &Case, records: &[Record]) -> Option<Spread> {
    spread(&figures(row, case, records))
}

fn spread(figures: &[(u32, f64)]) -> Option<Spread> {
    Spread::of(&figures.iter().map(|(_, figure)| *figure).collect::<Vec<_>>())
}

/// Round and figure of each run of a case that a row looks at.
fn figures(row: &Row, case: &Case, records: &[Record]) -> Vec<(u32, f64)> {
    let (setting, measure) = (row.setting.to_string(), row.measure.to_string());
    let is_it = |record: &&Record| (&record.setting, &record.measure, &*record.case) == (&setting, &measure, case.name);
    let figure = |record: &Record| match row.figure {
        Figure::Value => Some(record.reading.value),
        Figure::Cost => record.reading.cost,
    };
    records.iter().filter(is_it).filter_map(|record| Some((record.round, figure(record)?))).collect()
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::endpoint::{measure::Reading, rows};

    /// A record of `veth/tcp1`.
    pub(in crate::endpoint) fn tcp(round: u32, case: &str, value: f64, cost: f64) -> Record {
        Record {
            round,
            setting: "veth".into(),
            case: case.into(),
            measure: "tcp1".into(),
            reading: Reading { value, cost: Some(cost), offered: None, busy: 1.0, seconds: 1.0 },
        }
    }

    pub(in crate::endpoint) fn row(name: &str) -> Row {
        rows::all().into_iter().find(|row| row.to_string() == name).unwrap()
    }

    #[test]
    fn ratios_are_those_of_the_rounds() {
        let records = [
            tcp(1, "ours", 8.0, 1.0),
            tcp(1, "kernel", 10.0, 1.0),
            tcp(2, "ours", 10.0, 1.0),
            tcp(2, "kernel", 20.0, 1.0),
            tcp(3, "ours", 9.0, 1.0),
            // Its kernel's run of this round failed.
            tcp(4, "kernel", 15.0, 1.0),
            tcp(3, "naive", 1.0, 1.0),
        ];
        let line = Line::new(row("veth/tcp1/ours/kernel"), &records);
        assert_eq!(line.ours, Some(Spread { median: 9.0, low: 8.0, high: 10.0 }));
        assert_eq!(line.peer, Some(Spread { median: 15.0, low: 10.0, high: 20.0 }));
        assert_eq!(line.ratio, Some(Spread { median: 0.65, low: 0.5, high: 0.8 }));
        assert_eq!(line.is_kept(), Some(true));
    }

    #[test]
    fn costs_are_bounded_by_themselves() {
        let line = |cost| Line::new(row("veth/tcp1-cpu/ours/kernel"), &[tcp(1, "ours", 6.0, cost)]);
        assert_eq!(line(1.3).is_kept(), Some(true));
        assert_eq!(line(1.4).is_kept(), Some(false));
        assert_eq!(line(1.4).ratio, None);
    }

    #[test]
    fn a_row_without_records_is_empty() {
        let line = Line::new(row("veth/tcp1/ours/kernel"), &[]);
        assert_eq!((line.ours, line.peer, line.ratio, line.is_kept()), (None, None, None, None));
    }

    #[test]
    fn a_peer_that_moves_nothing_has_no_ratio() {
        let line = Line::new(row("veth/tcp1/ours/kernel"), &[tcp(1, "ours", 6.0, 1.0), tcp(1, "kernel", 0.0, 1.0)]);
        assert_eq!(line.ratio, None);
    }
}
