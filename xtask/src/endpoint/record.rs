//! Single runs, as lines of a file.

use std::{
    fs::{self, File},
    io::Write,
    path::Path,
};

use super::measure::Reading;
use crate::step::{Failure, Outcome};

/// One run of one measure of one case.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Record {
    /// From 1.
    pub(super) round: u32,
    pub(super) setting: String,
    pub(super) case: String,
    pub(super) measure: String,
    pub(super) reading: Reading,
}

const HEADING: &str = "round,setting,case,measure,value,cost,offered,busy_core_seconds,seconds";

impl Record {
    fn line(&self) -> String {
        let Self { round, setting, case, measure, reading } = self;
        let or_nothing = |figure: Option<f64>| figure.map_or(String::new(), |figure| format!("{figure:.4}"));
        let Reading { value, cost, offered, busy, seconds } = reading;
        let (cost, offered) = (or_nothing(*cost), or_nothing(*offered));
        format!("{round},{setting},{case},{measure},{value:.4},{cost},{offered},{busy:.3},{seconds:.3}")
    }

    fn parse(line: &str) -> Option<Self> {
        let words: Vec<_> = line.split(',').collect();
        let [round, setting, case, measure, value, cost, offered, busy, seconds] = words[..] else { return None };
        let perhaps = |word: &str| if word.is_empty() { Some(None) } else { word.parse().ok().map(Some) };
        Some(Self {
            round: round.parse().ok()?,
            setting: setting.to_owned(),
            case: case.to_owned(),
            measure: measure.to_owned(),
            reading: Reading {
                value: value.parse().ok()?,
                cost: perhaps(cost)?,
                offered: perhaps(offered)?,
                busy: busy.parse().ok()?,
                seconds: seconds.parse().ok()?,
            },
        })
    }
}

/// A file that gets each record when it is there: what was measured is not lost when the rest is broken off.
pub(super) struct Recorder(Option<File>);

impl Recorder {
    /// Begins the file anew; keeps nothing without one.
    pub(super) fn new(file: Option<&Path>) -> Result<Self, Failure> {
        let Some(path) = file else { return Ok(Self(None)) };
        let wrong = |error| Failure(format!("{}: {error}", path.display()));
        let mut file = File::create(path).map_err(wrong)?;
        writeln!(file, "{HEADING}").map_err(wrong)?;
        Ok(Self(Some(file)))
    }

    pub(super) fn add(&mut self, record: &Record) -> Outcome {
        if let Some(file) = &mut self.0 {
            writeln!(file, "{}", record.line())?;
        }
        Ok(())
    }
}

/// What such a file holds.
pub(super) fn read(file: &Path) -> Result<Vec<Record>, Failure> {
    let text = fs::read_to_string(file).map_err(|error| Failure(format!("{}: {error}", file.display())))?;
    parse(&text).map_err(|line| Failure(format!("{}:{line}: not a line of this program", file.display())))
}

/// All records, or the number of the line that is none.
fn parse(text: &str) -> Result<Vec<Record>, usize> {
    let lines = text.lines().enumerate().filter(|(_, line)| *line != HEADING);
    lines.map(|(number, line)| Record::parse(line).ok_or(number + 1)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_is_read_as_it_was_written() {
        let reading = Reading { value: 9.4125, cost: Some(1.25), offered: None, busy: 3.875, seconds: 2.5 };
        let record =
            |round| Record { round, setting: "wire-gro".into(), case: "ours".into(), measure: "tcp1".into(), reading };
        let text = format!("{HEADING}\n{}\n{}\n", record(1).line(), record(2).line());
        assert_eq!(parse(&text), Ok(vec![record(1), record(2)]));
        assert_eq!(record(1).line(), "1,wire-gro,ours,tcp1,9.4125,1.2500,,3.875,2.500");
    }

    #[test]
    fn a_line_that_is_no_record_is_named() {
        let text = format!("{HEADING}\n1,veth,ours,ping,30,,,0.1,0.2\n1,veth,ours,ping,fast,,,0.1,0.2\n");
        assert_eq!(parse(&text), Err(3));
        assert_eq!(parse("1,veth"), Err(1));
    }
}
