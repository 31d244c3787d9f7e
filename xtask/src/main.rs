//! The developer's commands: `cargo xtask test`, `interop`, `bench`, `fuzz`, `deb`.

mod bench;
mod cargo;
mod deb;
mod endpoint;
mod fuzz;
mod interop;
mod packages;
mod peer_table;
mod step;
mod test;

use std::{path::Path, process::ExitCode};

use bench::{MicroOptions, NaiveOptions};
use clap::{Args, Parser, Subcommand};
use deb::DebOptions;
use endpoint::EndpointOptions;

#[derive(Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask")]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Every test there is, and what it needs: as root on Debian it installs what is missing.
    Test {
        /// Go on after a step that failed.
        #[arg(long)]
        keep_going: bool,
    },
    /// The program against real peers: all such tests, or those whose names contain a filter.
    Interop {
        /// Part of a test's name, such as `kernel_ping`.
        filter: Vec<String>,
        /// Put the table of what they have shown into the README, instead of comparing it with the one there.
        #[arg(long, conflicts_with = "filter")]
        table: bool,
    },
    /// The program beside the kernel's VXLAN, Open vSwitch and others: TCP, UDP, round trips, processors, as a table and a
    /// plot.
    Bench(Bench),
    /// What `bench` runs in release mode.
    #[command(hide = true)]
    Measure(EndpointOptions),
    /// The naive forwarder of `bench`.
    #[command(hide = true)]
    Naive(NaiveOptions),
    /// A Debian package of the program, with units for systemd, manual pages and completions.
    Deb(DebOptions),
    /// Every fuzz target, or one, for some seconds each.
    Fuzz {
        /// The targets; all when none is named.
        target: Vec<String>,
        /// Seconds for each.
        #[arg(long, default_value_t = 60)]
        seconds: u32,
    },
}

#[derive(Args)]
#[command(args_conflicts_with_subcommands = true)]
struct Bench {
    #[command(subcommand)]
    of: Option<BenchOf>,
    #[command(flatten)]
    endpoint: EndpointOptions,
}

#[derive(Subcommand)]
enum BenchOf {
    /// The codecs beside the floor and other crates: one table of all benches of the wire crates and of `offload`. Needs no root.
    Codecs(MicroOptions),
    /// The tables of fdb beside other maps: time, memory, readers beside a writer. Needs no root.
    Tables(MicroOptions),
    /// The pools of ipam beside a bitmap, trees and ipnet: time and memory. Needs no root.
    Pools(MicroOptions),
}

fn main() -> ExitCode {
    let command = Cli::parse().command;
    // Every path below is one from the root of the workspace.
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap_or(Path::new("."));
    if let Err(error) = std::env::set_current_dir(root) {
        eprintln!("xtask: {}: {error}", root.display());
        return ExitCode::FAILURE;
    }
    let is_good = match command {
        Command::Test { keep_going } => test::run(keep_going),
        Command::Interop { filter, table } => interop::run(&filter, table),
        Command::Bench(Bench { of: Some(BenchOf::Codecs(options)), .. }) => bench::codecs(&options),
        Command::Bench(Bench { of: Some(BenchOf::Tables(options)), .. }) => bench::tables(&options),
        Command::Bench(Bench { of: Some(BenchOf::Pools(options)), .. }) => bench::pools(&options),
        Command::Bench(Bench { of: None, endpoint }) => endpoint::run(&endpoint),
        Command::Measure(options) => endpoint::measure(&options),
        Command::Naive(options) => {
            if let Err(error) = bench::naive(&options) {
                eprintln!("naive: {error}");
            }
            false
        }
        Command::Deb(options) => deb::run(&options),
        Command::Fuzz { target, seconds } => fuzz::run(&target, seconds),
    };
    if is_good { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
