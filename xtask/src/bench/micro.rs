//! `cargo xtask bench codecs`, `cargo xtask bench tables` and `cargo xtask bench pools`: the benches of the crates, each in
//! one run and one table.

use std::{
    collections::BTreeMap,
    fmt, fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use clap::Args;
use serde_json::Value;

use super::figure::{Figure, median};
use crate::{
    cargo::cargo,
    step::{Failure, Outcome, Steps, quietly},
};

/// The wire crates with `offload`, and what their benches are called.
const CODECS: &str = "bench -p vxlan-wire -p geneve-wire -p nvgre-wire -p ether-wire -p offload --bench codec --bench frames \
                      --bench offload";
/// The bench of the tables, and the one that needs threads and memory and prints tables of its own.
const TABLES: &str = "bench -p fdb --bench tables";
const READERS: &str = "bench -p fdb --bench readers";
/// The bench of the pools, and the one that needs memory and prints a table of its own.
const POOLS: &str = "bench -p ipam --bench pools";
const MEMORY: &str = "bench -p ipam --bench memory";

/// The other crates of the project.
const OURS: [&str; 3] = ["fdb", "ipam", "offload"];

/// How long is measured.
#[derive(Args)]
pub(crate) struct MicroOptions {
    /// Seconds for each line of the table.
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..))]
    seconds: u32,
}

/// Runs the benches of the wire crates and of `offload`, and prints the table.
pub(crate) fn codecs(options: &MicroOptions) -> bool {
    let mut steps = Steps::new(false);
    let mut table = Table::default();
    steps.run("bench", || criterion(CODECS, options, &mut table));
    let is_good = steps.finish();
    if is_good {
        print!("\n{table}\n");
    }
    is_good
}

/// Runs the benches of `fdb` and prints their tables.
pub(crate) fn tables(options: &MicroOptions) -> bool {
    with_own_table(options, TABLES, "readers", READERS)
}

/// Runs the benches of `ipam` and prints their tables.
pub(crate) fn pools(options: &MicroOptions) -> bool {
    with_own_table(options, POOLS, "memory", MEMORY)
}

/// Runs benches, and one that prints tables of its own.
fn with_own_table(options: &MicroOptions, benches: &str, name: &str, other: &str) -> bool {
    let mut steps = Steps::new(false);
    let mut table = Table::default();
    let mut own = String::new();
    steps.run("bench", || criterion(benches, options, &mut table));
    steps.run(name, || {
        own = output(&mut cargo(other))?;
        Ok(())
    });
    let is_good = steps.finish();
    if is_good {
        print!("\n{table}\n{own}");
    }
    is_good
}

fn criterion(benches: &str, options: &MicroOptions, table: &mut Table) -> Outcome {
    let figures = figures()?;
    let words = format!("{benches} -- --noplot --warm-up-time 0.5 --measurement-time {}", options.seconds);
    quietly(cargo(&words).env("CRITERION_HOME", &figures))?;
    table.read(&figures)
}

/// What a command prints.
fn output(command: &mut Command) -> Result<String, Failure> {
    let output = command.stdin(Stdio::null()).output()?;
    if output.status.success() {
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    } else {
        Err(Failure(String::from_utf8_lossy(&output.stderr).into_owned()))
    }
}

/// An empty folder for the figures of this run alone.
fn figures() -> Result<PathBuf, Failure> {
    let target = std::env::var_os("CARGO_TARGET_DIR").unwrap_or_else(|| "target".into());
    let folder = std::path::absolute(target)?.join("figures");
    if folder.exists() {
        fs::remove_dir_all(&folder)?;
    }
    fs::create_dir_all(&folder)?;
    Ok(folder)
}

/// Who it is that a line is about, in the order of the lines.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Who {
    /// What no codec can go below.
    Floor,
    Ours(String),
    Other(String),
}

impl Who {
    fn new(function: &str) -> Self {
        match function {
            "floor" => Self::Floor,
            ours if ours.contains("-wire") || OURS.iter().any(|name| ours.starts_with(name)) => {
                Self::Ours(ours.to_owned())
            }
            other => Self::Other(other.to_owned()),
        }
    }

    fn name(&self) -> &str {
        match self {
            Self::Floor => "floor",
            Self::Ours(name) | Self::Other(name) => name,
        }
    }
}

/// The samples of one line: nanoseconds for each packet, or bytes for each nanosecond.
#[derive(Debug)]
struct Samples {
    figures: Vec<f64>,
    /// More is better.
    is_rate: bool,
}

impl Samples {
    /// How many times as long the other takes.
    fn beside(&self, other: &Self) -> f64 {
        let ratio = median(&other.figures) / median(&self.figures);
        if self.is_rate { ratio.recip() } else { ratio }
    }
}

/// All groups of the run.
#[derive(Default, Debug)]
struct Table(BTreeMap<String, BTreeMap<Who, Samples>>);

impl Table {
    /// Takes all that Criterion wrote to this folder and to those in it.
    fn read(&mut self, folder: &Path) -> Outcome {
        for entry in fs::read_dir(folder)? {
            let path = entry?.path();
            if path.is_dir() {
                self.read(&path)?;
            } else if path.ends_with("new/benchmark.json") {
                let read = |path| -> Result<Value, Failure> {
                    serde_json::from_slice(&fs::read(path)?).map_err(|error| Failure(error.to_string()))
                };
                let (benchmark, sample) = (read(path.clone())?, read(path.with_file_name("sample.json"))?);
                self.add(&benchmark, &sample)
                    .ok_or_else(|| Failure(format!("{}: not what Criterion writes", path.display())))?;
            }
        }
        Ok(())
    }

    /// Takes one line: what it is, and how many nanoseconds how many turns took.
    fn add(&mut self, benchmark: &Value, sample: &Value) -> Option<()> {
        let group = benchmark["group_id"].as_str()?;
        let group = benchmark["value_str"].as_str().map_or(group.to_owned(), |value| format!("{group}, {value}"));
        let function = benchmark["function_id"].as_str()?;
        let (elements, bytes) =
            (benchmark["throughput"]["Elements"].as_f64(), benchmark["throughput"]["Bytes"].as_f64());
        let (turns, times) = (sample["iters"].as_array()?, sample["times"].as_array()?);
        let figures = turns.iter().zip(times).map(|(turns, time)| {
            let turn = time.as_f64()? / turns.as_f64()?;
            Some(bytes.map_or(turn / elements.unwrap_or(1.0), |bytes| bytes / turn))
        });
        let samples = Samples { figures: figures.collect::<Option<_>>()?, is_rate: bytes.is_some() };
        self.0.entry(group).or_default().insert(Who::new(function), samples);
        Some(())
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "| | | median | minimum | maximum | beside the floor | others take |")?;
        writeln!(f, "|---|---|---:|---:|---:|---:|---|")?;
        for (group, lines) in &self.0 {
            for (place, (who, samples)) in lines.iter().enumerate() {
                let figures = &samples.figures;
                let low = figures.iter().copied().fold(f64::INFINITY, f64::min);
                let high = figures.iter().copied().fold(f64::NEG_INFINITY, f64::max);
                let unit = if samples.is_rate { "GB/s" } else { "ns" };
                let title = if place == 0 { format!("{group}, {unit}") } else { String::new() };
                let name = who.name();
                write!(f, "| {title} | {name} | {} | {} | {} |", Figure(median(figures)), Figure(low), Figure(high))?;
                if let (Who::Ours(_), Some(floor)) = (who, lines.get(&Who::Floor)) {
                    write!(f, " {:.2} × |", floor.beside(samples))?;
                } else {
                    write!(f, " |")?;
                }
                let others = lines.iter().filter(|(other, _)| matches!((who, other), (Who::Ours(_), Who::Other(_))));
                for (place, (other, theirs)) in others.enumerate() {
                    let comma = if place == 0 { "" } else { "," };
                    write!(f, "{comma} {} {:.2} ×", other.name(), samples.beside(theirs))?;
                }
                writeln!(f, " |")?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn table(lines: &[(&str, Value, f64)]) -> Table {
        let mut table = Table::default();
        for (function, throughput, time) in lines {
            let benchmark = json!({"group_id": "decode", "function_id": function, "throughput": throughput});
            // The same time for a turn in all samples, but for the slow last one.
            let sample = json!({"iters": [1.0, 2.0, 1.0], "times": [time, 2.0 * time, 3.0 * time]});
            table.add(&benchmark, &sample).expect("as Criterion writes it");
        }
        table
    }

    #[test]
    fn times_are_for_each_packet() {
        let packets = json!({"Elements": 10});
        let table = table(&[
            ("pnet_packet", packets.clone(), 30.0),
            ("vxlan-wire", packets.clone(), 12.0),
            ("floor", packets, 10.0),
        ]);
        let expected = "\
| | | median | minimum | maximum | beside the floor | others take |
|---|---|---:|---:|---:|---:|---|
| decode, ns | floor | 1.00 | 1.00 | 3.00 | | |
|  | vxlan-wire | 1.20 | 1.20 | 3.60 | 1.20 × | pnet_packet 2.50 × |
|  | pnet_packet | 3.00 | 3.00 | 9.00 | | |
";
        assert_eq!(table.to_string(), expected);
    }

    #[test]
    fn bytes_are_a_rate() {
        let bytes = json!({"Bytes": 1000});
        let table = table(&[("ether-wire", bytes.clone(), 50.0), ("smoltcp", bytes, 100.0)]);
        let expected = "\
| | | median | minimum | maximum | beside the floor | others take |
|---|---|---:|---:|---:|---:|---|
| decode, GB/s | ether-wire | 20.0 | 6.67 | 20.0 | | smoltcp 2.00 × |
|  | smoltcp | 10.0 | 3.33 | 10.0 | | |
";
        assert_eq!(table.to_string(), expected);
    }

    #[test]
    fn what_criterion_does_not_write_is_refused() {
        assert!(Table::default().add(&json!({}), &json!({"iters": [], "times": []})).is_none());
    }
}
