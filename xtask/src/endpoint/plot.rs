//! The medians of a run as bars, in SVG that is readable on a light ground and on a dark one.

use std::fmt;

use super::{
    case::Case,
    record::Record,
    rows::Row,
    summary::{Spread, spread_of},
};
use crate::bench::Figure;

/// One bar chart for each thing that is measured under a setting.
pub(super) struct Plot(Vec<Chart>);

struct Chart {
    title: String,
    bars: Vec<Bar>,
}

struct Bar {
    label: &'static str,
    is_ours: bool,
    spread: Spread,
}

// In units of the picture, which is scaled to where it is shown.
const WIDTH: f64 = 820.0;
const MARGIN: f64 = 16.0;
/// Where bars begin, behind their labels.
const BARS: f64 = 260.0;
/// How long the longest one is; its figure is behind it.
const LONGEST: f64 = 440.0;
const TITLE: f64 = 30.0;
const PITCH: f64 = 20.0;
const THICKNESS: f64 = 13.0;
const GAP: f64 = 12.0;
const CAP: f64 = 3.5;
/// From the middle of a bar down to the foot of its text.
const BASELINE: f64 = 4.0;

const STYLE: &str = "\
.ground { fill: #ffffff }
text { font: 12px system-ui, sans-serif; fill: #1f2328 }
.title { font-weight: 600; font-size: 13px }
.label { text-anchor: end }
.ours { fill: #0a69c7 }
.peer { fill: #a9b1ba }
.spread { stroke: #1f2328; stroke-width: 1.2; fill: none }
@media (prefers-color-scheme: dark) {
  .ground { fill: #0d1117 }
  text { fill: #e6edf3 }
  .ours { fill: #58a6ff }
  .peer { fill: #5d6670 }
  .spread { stroke: #e6edf3 }
}";

impl Plot {
    /// Of these rows: each case once in each chart.
    pub(super) fn new(rows: &[Row], records: &[Record]) -> Self {
        let mut charts: Vec<(String, Vec<(&Row, &'static Case)>)> = Vec::new();
        for row in rows {
            let title = format!("{}, {}", row.title(), row.unit());
            let place = charts.iter().position(|(known, _)| *known == title).unwrap_or_else(|| {
                charts.push((title, Vec::new()));
                charts.len() - 1
            });
            let cases = &mut charts[place].1;
            for case in row.cases() {
                if !cases.iter().any(|(_, known)| *known == case) {
                    cases.push((row, case));
                }
            }
        }
        let bar = |(row, case): (&Row, &'static Case)| {
            let spread = spread_of(row, case, records)?;
            Some(Bar { label: case.title, is_ours: case.is_ours(), spread })
        };
        let charts =
            charts.into_iter().map(|(title, cases)| Chart { title, bars: cases.into_iter().filter_map(bar).collect() });
        Self(charts.filter(|chart| !chart.bars.is_empty()).collect())
    }
}

impl Chart {
    fn height(&self) -> f64 {
        TITLE + self.bars.iter().map(|_| PITCH).sum::<f64>() + GAP
    }

    /// Draws it from `top` down.
    fn draw(&self, f: &mut fmt::Formatter<'_>, top: f64) -> fmt::Result {
        writeln!(f, r#"<text class="title" x="{MARGIN}" y="{:.1}">{}</text>"#, top + 18.0, Escaped(&self.title))?;
        let longest = self.bars.iter().map(|bar| bar.spread.high).fold(f64::MIN_POSITIVE, f64::max);
        let length = |figure: f64| figure.max(0.0) / longest * LONGEST;
        for (place, Bar { label, is_ours, spread: Spread { median, low, high } }) in (0_u32..).zip(&self.bars) {
            let middle = top + TITLE + PITCH * (f64::from(place) + 0.5);
            let (upper, class) = (middle - THICKNESS / 2.0, if *is_ours { "ours" } else { "peer" });
            let foot = middle + BASELINE;
            writeln!(f, r#"<text class="label" x="{:.1}" y="{foot:.1}">{}</text>"#, BARS - 8.0, Escaped(label))?;
            writeln!(
                f,
                r#"<rect class="{class}" x="{BARS}" y="{upper:.1}" width="{:.1}" height="{THICKNESS}" rx="2"/>"#,
                length(*median)
            )?;
            let [from, to] = [low, high].map(|figure| BARS + length(*figure));
            let [up, down] = [middle - CAP, middle + CAP];
            writeln!(
                f,
                r#"<path class="spread" d="M{from:.1} {up:.1}V{down:.1}M{from:.1} {middle:.1}H{to:.1}M{to:.1} {up:.1}V{down:.1}"/>"#
            )?;
            writeln!(f, r#"<text x="{:.1}" y="{foot:.1}">{}</text>"#, to + 8.0, Figure(*median))?;
        }
        Ok(())
    }
}

impl fmt::Display for Plot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let height = self.0.iter().map(Chart::height).sum::<f64>() + GAP;
        writeln!(
            f,
            r#"<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height:.0}" width="{WIDTH}" height="{height:.0}">"#
        )?;
        writeln!(f, "<title>Medians, with minimum and maximum</title>\n<style>\n{STYLE}\n</style>")?;
        // The reader's page may be of another shade than the reader's system.
        writeln!(f, r#"<rect class="ground" width="{WIDTH}" height="{height:.0}"/>"#)?;
        let mut top = 0.0;
        for chart in &self.0 {
            chart.draw(f, top)?;
            top += chart.height();
        }
        f.write_str("</svg>\n")
    }
}

/// A text that is no markup.
struct Escaped<'a>(&'a str);

impl fmt::Display for Escaped<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.chars().try_for_each(|character| match character {
            '&' => f.write_str("&amp;"),
            '<' => f.write_str("&lt;"),
            '>' => f.write_str("&gt;"),
            other => write!(f, "{other}"),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::{
        super::summary::tests::{row, tcp},
        *,
    };

    #[test]
    fn each_case_has_one_bar_in_a_chart() {
        let rows = ["tcp1/ours/kernel", "tcp1/ours/ovs", "tcp1/bare", "ping/ours/kernel"];
        let rows = rows.map(|name| row(&format!("veth/{name}")));
        let records = [
            tcp(1, "ours", 10.0, 1.0),
            tcp(2, "ours", 20.0, 1.0),
            tcp(1, "kernel", 20.0, 1.0),
            tcp(1, "bare", 40.0, 1.0),
        ];
        let drawn = Plot::new(&rows, &records).to_string();
        // Ours, the kernel, and the bare veth: the switch and the round trips have no records.
        assert_eq!(drawn.matches(r#"height="13" rx="2"/>"#).count(), 3);
        assert_eq!(drawn.matches(r#"class="title""#).count(), 1);
        // The bare veth is the longest; ours is three eighths of it, with a whisker from a quarter to a half.
        assert!(drawn.contains(r#"<rect class="ours" x="260" y="33.5" width="165.0""#), "{drawn}");
        assert!(drawn.contains("M370.0 36.5V43.5M370.0 40.0H480.0M480.0"), "{drawn}");
        assert!(drawn.contains(r#"<rect class="peer" x="260" y="73.5" width="440.0""#), "{drawn}");
        assert!(drawn.contains(r#"viewBox="0 0 820 114""#), "{drawn}");
    }

    #[test]
    fn text_is_no_markup() {
        assert_eq!(Escaped("a < b & c > d").to_string(), "a &lt; b &amp; c &gt; d");
    }
}
