//! `cargo xtask bench`: the endpoint beside what one would take otherwise, on the same two cores, taking turns.

mod attempt;
mod bed;
mod case;
mod datagrams;
mod destinations;
mod echo;
mod full_table;
mod interrupt;
mod iperf;
mod measure;
mod open_vswitch;
mod plot;
mod processors;
mod record;
mod rows;
mod setting;
mod summary;
mod table;

use std::{
    fs,
    os::unix::process::CommandExt as _,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    thread,
    time::Duration,
};

use clap::Args;

use self::{
    attempt::attempt,
    bed::Bed,
    case::{Case, Layout},
    plot::Plot,
    processors::Idle,
    record::{Record, Recorder},
    rows::{Row, Turn},
    summary::Line,
    table::Table,
};
use crate::{
    bench::release,
    cargo, packages,
    step::{Failure, Outcome, Steps},
};

/// What is measured, how often, and where it goes.
#[derive(Args)]
pub(crate) struct EndpointOptions {
    /// How often each of them is measured.
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..))]
    runs: u32,
    /// Seconds for each measurement by TCP and by UDP.
    #[arg(long, default_value_t = 4, value_parser = clap::value_parser!(u32).range(1..))]
    seconds: u32,
    /// Only rows whose names have all these words, with slashes between them: `wire/tcp1`. Several with commas.
    #[arg(long, value_delimiter = ',', value_name = "WORDS")]
    rows: Vec<String>,
    /// Name the rows, and measure nothing.
    #[arg(long)]
    list: bool,
    /// Write all single runs to a file; its path is one from the root of the workspace.
    #[arg(long, value_name = "FILE")]
    csv: Option<PathBuf>,
    /// Draw the medians to a file.
    #[arg(long, value_name = "FILE")]
    svg: Option<PathBuf>,
    /// Print and draw the runs of such a file, and measure nothing.
    #[arg(long, value_name = "CSV", conflicts_with_all = ["csv", "list"])]
    from: Option<PathBuf>,
}

impl EndpointOptions {
    /// The same options for another call.
    fn words(&self) -> Vec<String> {
        let mut words = vec![format!("--runs={}", self.runs), format!("--seconds={}", self.seconds)];
        words.extend(self.rows.iter().map(|row| format!("--rows={row}")));
        for (name, file) in [("csv", &self.csv), ("svg", &self.svg)] {
            words.extend(file.iter().map(|file| format!("--{name}={}", file.display())));
        }
        words
    }

    fn chosen_rows(&self) -> Result<Vec<Row>, Failure> {
        rows::chosen(&self.rows).map_err(|filter| Failure(format!("no row has the words {filter}; --list names them")))
    }
}

/// Builds the program and this one in release mode, and becomes the latter, which measures.
pub(crate) fn run(options: &EndpointOptions) -> bool {
    let rows = match options.chosen_rows() {
        Ok(rows) => rows,
        Err(failure) => return failed(&failure),
    };
    if options.list {
        for row in rows {
            println!("{row}");
        }
        return true;
    }
    if let Some(file) = &options.from {
        let shown = record::read(file).and_then(|records| show(&rows, &records, options.svg.as_deref()));
        return shown.map_err(|failure| failed(&failure)).is_ok();
    }
    let mut steps = Steps::new(false);
    steps.run("root", packages::root);
    steps.run("Debian packages", || needed_packages(&rows));
    steps.run("build", || cargo::run("build --release --package tap-vtep --package xtask"));
    if !steps.finish() {
        return false;
    }
    // In its place, so that a signal is the other one's alone.
    let mut command = Command::new(release("xtask"));
    let error = command.arg("measure").args(options.words()).stdin(Stdio::null()).exec();
    failed(&error.into())
}

/// Says why; `false`.
fn failed(failure: &Failure) -> bool {
    eprintln!("bench: {failure}");
    false
}

fn needed_packages(rows: &[Row]) -> Outcome {
    packages::debian(packages::FOR_BENCHES)?;
    let is_there = |wanted: fn(&Layout) -> bool| rows.iter().flat_map(Row::cases).any(|case| wanted(&case.layout));
    if is_there(|layout| matches!(layout, Layout::OpenVswitch { .. })) {
        packages::debian(packages::FOR_OPEN_VSWITCH)?;
    }
    if is_there(|layout| matches!(layout, Layout::Destinations(_))) {
        packages::debian(packages::FOR_DESTINATIONS)?;
    }
    Ok(())
}

/// Measures everything in turn, and prints the table.
pub(crate) fn measure(options: &EndpointOptions) -> bool {
    attempt::silence_panics();
    let result = interrupt::install().map_err(Failure::from).and_then(|()| {
        let rows = options.chosen_rows()?;
        let machine = machine(options);
        println!("{machine}");
        let mut run = Run::new(Recorder::new(options.csv.as_deref())?);
        let measured = run.all(&rows::turns(&rows), options);
        // What was measured before an interruption is shown, too.
        if !run.records.is_empty() {
            println!("\n{machine}");
            show(&rows, &run.records, options.svg.as_deref())?;
        }
        measured?;
        match run.problems[..] {
            [] => Ok(()),
            _ => Err(Failure(format!("not all was measured:\n    {}", run.problems.join("\n    ")))),
        }
    });
    result.map_err(|failure| failed(&failure)).is_ok()
}

/// Where it is measured, how, and what else goes on there.
fn machine(options: &EndpointOptions) -> String {
    let linux = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let idle = Idle::now();
    thread::sleep(LOOK);
    let (seconds, busy) = idle.since();
    let processors = idle.processors();
    let share = 100.0 * busy / seconds / f64::from(processors.max(1));
    format!(
        "{processors} processors, busy with other things to {share:.0} %; Linux {}; runs: {}, seconds: {}",
        linux.trim(),
        options.runs,
        options.seconds
    )
}

/// How long is looked at what else goes on.
const LOOK: Duration = Duration::from_secs(1);

/// What has come of the turns so far.
struct Run {
    recorder: Recorder,
    records: Vec<Record>,
    /// Each once.
    problems: Vec<String>,
    /// Cases that cannot be set up; they are not tried again.
    broken: Vec<(&'static Case, setting::Setting)>,
}

impl Run {
    fn new(recorder: Recorder) -> Self {
        Self { recorder, records: Vec::new(), problems: Vec::new(), broken: Vec::new() }
    }

    /// One after the other within a round: what disturbs the machine for a while disturbs all of them.
    fn all(&mut self, turns: &[Turn], options: &EndpointOptions) -> Outcome {
        for round in 1..=options.runs {
            for turn in turns {
                println!("==> run {round} of {}: {}, {}", options.runs, turn.setting.title(), turn.case.title);
                self.turn(turn, round, options.seconds)?;
            }
        }
        Ok(())
    }

    fn turn(&mut self, turn: &Turn, round: u32, seconds: u32) -> Outcome {
        let Turn { setting, case, measures } = turn;
        if self.broken.contains(&(case, *setting)) {
            println!("    left out");
            return Ok(());
        }
        let bed = attempt(|| Bed::new(case, *setting));
        // It may be an interruption that has broken it off.
        interrupt::check()?;
        let bed = match bed {
            Ok(bed) => bed,
            Err(failure) => {
                self.broken.push((case, *setting));
                self.problem(&format!("{}, {setting}: {failure}", case.name));
                return Ok(());
            }
        };
        for measure in measures {
            let reading = attempt(|| measure.take(&bed, seconds));
            interrupt::check()?;
            match reading {
                Ok(reading) => {
                    let figure = crate::bench::Figure(reading.value);
                    println!("    {}: {figure} {}", measure.title(), measure.unit());
                    let (setting, case, measure) = (setting.to_string(), case.name.to_owned(), measure.to_string());
                    let record = Record { round, setting, case, measure, reading };
                    self.recorder.add(&record)?;
                    self.records.push(record);
                }
                Err(failure) => self.problem(&format!("{}, {setting}, {measure}: {failure}", case.name)),
            }
        }
        Ok(())
    }

    fn problem(&mut self, text: &str) {
        let text = &text.lines().collect::<Vec<_>>().join(": ");
        println!("    FAILED: {text}");
        if !self.problems.iter().any(|known| known == text) {
            self.problems.push(text.to_owned());
        }
    }
}

/// Prints the table, and draws the plot.
fn show(rows: &[Row], records: &[Record], svg: Option<&Path>) -> Outcome {
    let lines: Vec<_> = rows.iter().map(|row| Line::new(*row, records)).collect();
    print!("\n{}\n", Table(&lines));
    if let Some(file) = svg {
        let plot = Plot::new(rows, records).to_string();
        fs::write(file, plot).map_err(|error| Failure(format!("{}: {error}", file.display())))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Words {
        #[command(flatten)]
        options: EndpointOptions,
    }

    #[test]
    fn options_are_handed_on() {
        let words = ["bench", "--runs", "3", "--rows", "wire/tcp1,udp18", "--csv", "runs.csv", "--svg", "plot.svg"];
        let first = Words::try_parse_from(words).unwrap().options.words();
        let again = Words::try_parse_from(["bench".to_owned()].into_iter().chain(first.clone())).unwrap().options;
        assert_eq!(again.words(), first);
        assert_eq!((again.runs, again.seconds, again.rows.len()), (3, 4, 2));
    }
}
