//! The table of a run: figures, and what they are beside each other's.

use std::{collections::BTreeMap, fmt};

use super::{overlay::Kind, traffic::Test};

/// All figures so far.
#[derive(Default)]
pub(super) struct Report(BTreeMap<(Test, Kind), Vec<f64>>);

impl Report {
    /// Takes a figure, and says it.
    pub(super) fn add(&mut self, test: Test, kind: Kind, figure: f64) -> String {
        self.0.entry((test, kind)).or_default().push(figure);
        format!("{}, {}: {} {}", kind.name(), test.name(), Figure(figure), test.unit())
    }

    fn median(&self, test: Test, kind: Kind) -> Option<f64> {
        self.0.get(&(test, kind)).map(|figures| median(figures))
    }
}

/// The middle one; the mean of the two middle ones.
pub(crate) fn median(figures: &[f64]) -> f64 {
    let mut sorted = figures.to_vec();
    sorted.sort_unstable_by(f64::total_cmp);
    let (low, high) = (sorted[(sorted.len() - 1) / 2], sorted[sorted.len() / 2]);
    f64::midpoint(low, high)
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "| | | median | minimum | maximum | tap-vtep is |")?;
        writeln!(f, "|---|---|---:|---:|---:|---:|")?;
        for ((test, kind), figures) in &self.0 {
            let middle = median(figures);
            let low = figures.iter().copied().fold(f64::INFINITY, f64::min);
            let high = figures.iter().copied().fold(f64::NEG_INFINITY, f64::max);
            let ratio = match self.median(*test, Kind::TapVtep) {
                Some(ours) if *kind != Kind::TapVtep => format!("{:.2} ×", ours / middle),
                _ => String::new(),
            };
            let title =
                if *kind == Kind::TapVtep { format!("{}, {}", test.name(), test.unit()) } else { String::new() };
            let name = kind.name();
            writeln!(f, "| {title} | {name} | {} | {} | {} | {ratio} |", Figure(middle), Figure(low), Figure(high))?;
        }
        Ok(())
    }
}

/// Three digits that count.
pub(crate) struct Figure(pub(crate) f64);

impl fmt::Display for Figure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let digits = if self.0 < 10.0 { 2 } else { usize::from(self.0 < 100.0) };
        write!(f, "{:.digits$}", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_has_medians_and_ratios() {
        let mut report = Report::default();
        for (kind, figures) in [(Kind::TapVtep, [3.0, 1.0, 2.0]), (Kind::Naive, [4.0, 4.0, 9.0])] {
            for figure in figures {
                report.add(Test::Tcp, kind, figure);
            }
        }
        let expected = "\
| | | median | minimum | maximum | tap-vtep is |
|---|---|---:|---:|---:|---:|
| TCP, one stream, Gbit/s | tap-vtep | 2.00 | 1.00 | 3.00 |  |
|  | naive | 4.00 | 4.00 | 9.00 | 0.50 × |
";
        assert_eq!(report.to_string(), expected);
    }

    #[test]
    fn the_median_of_an_even_number_is_between() {
        assert!((median(&[4.0, 1.0, 2.0, 3.0]) - 2.5).abs() < 1e-9);
    }

    #[test]
    fn figures_have_three_digits() {
        let figures = [0.456, 9.87, 56.78, 234.6].map(|figure| Figure(figure).to_string());
        assert_eq!(figures, ["0.46", "9.87", "56.8", "235"]);
    }
}
