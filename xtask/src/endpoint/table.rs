//! The table of a run, in Markdown.

use std::fmt;

use super::{
    rows::{Bound, Row},
    summary::{Line, Spread},
};
use crate::bench::Figure;

/// All rows with what they came to.
pub(super) struct Table<'a>(pub(super) &'a [Line]);

impl fmt::Display for Table<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "| | | median (min–max) | beside | median (min–max) | ratio (min–max) | bound |")?;
        writeln!(f, "|---|---|---:|---|---:|---:|---:|")?;
        let mut title_before = String::new();
        for line in self.0 {
            let row = &line.row;
            let title = format!("{}, {}", row.title(), row.unit());
            // Said once for the rows that share it.
            let shown = if title == title_before { "" } else { &title };
            let peer = row.peer.map_or("", |peer| peer.title);
            let [ours, theirs] = [line.ours, line.peer].map(Cell);
            let theirs = if row.peer.is_some() { theirs } else { Cell(None) };
            let (ratio, bound) = (Ratio(line.ratio), BoundOf(line));
            writeln!(f, "| {shown} | {} | {ours} | {peer} | {theirs} | {ratio} | {bound} |", row.case.title)?;
            title_before = title;
        }
        Ok(())
    }
}

struct Cell(Option<Spread>);

impl fmt::Display for Cell {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(Spread { median, low, high }) => write!(f, "{} ({}–{})", Figure(median), Figure(low), Figure(high)),
            None => f.write_str("–"),
        }
    }
}

struct Ratio(Option<Spread>);

impl fmt::Display for Ratio {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(Spread { median, low, high }) => write!(f, "{median:.2} × ({low:.2}–{high:.2})"),
            None => f.write_str("–"),
        }
    }
}

struct BoundOf<'a>(&'a Line);

impl fmt::Display for BoundOf<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Line { row: Row { bound, .. }, .. } = self.0;
        match bound {
            Some(Bound::AtLeast(times)) => write!(f, "≥ {times} ×")?,
            Some(Bound::AtMost(figure)) => write!(f, "≤ {figure}")?,
            None => return Ok(()),
        }
        match self.0.is_kept() {
            Some(false) => f.write_str(", missed"),
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{
        super::summary::tests::{row, tcp},
        *,
    };

    #[test]
    fn a_row_has_both_sides_the_ratio_and_the_bound() {
        let records = [
            tcp(1, "ours", 12.0, 1.25),
            tcp(1, "kernel", 20.0, 0.5),
            tcp(2, "ours", 8.0, 1.75),
            tcp(2, "kernel", 20.0, 0.75),
            tcp(1, "bare", 38.0, 0.4),
        ];
        let rows = ["tcp1/ours/kernel", "tcp1/ours/ovs", "tcp1-cpu/ours/kernel", "tcp1/bare"];
        let lines = rows.map(|name| Line::new(row(&format!("veth/{name}")), &records));
        let expected = "\
| | | median (min–max) | beside | median (min–max) | ratio (min–max) | bound |
|---|---|---:|---|---:|---:|---:|
| veth: TCP, 1 stream, Gbit/s | tap-vtep | 10.0 (8.00–12.0) | kernel VXLAN | 20.0 (20.0–20.0) | 0.50 × (0.40–0.60) | ≥ 0.65 ×, missed |
|  | tap-vtep | 10.0 (8.00–12.0) | Open vSwitch, AF_PACKET | – | – | ≥ 8 × |
| veth: TCP, 1 stream, processors, core-s/GB | tap-vtep | 1.50 (1.25–1.75) | kernel VXLAN | 0.62 (0.50–0.75) | 2.42 × (2.33–2.50) | ≤ 1.3, missed |
| veth: TCP, 1 stream, Gbit/s | bare veth | 38.0 (38.0–38.0) |  | – | – |  |
";
        assert_eq!(Table(&lines).to_string(), expected);
    }
}
