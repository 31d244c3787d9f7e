//! `cargo xtask bench`: the program beside the kernel's VXLAN and a naive forwarder, alternating in one run; codecs,
//! tables and pools beside others.

mod micro;
mod naive;
mod overlay;
mod report;
mod traffic;

use std::{
    path::PathBuf,
    process::{Command, Stdio},
};

use clap::Args;

pub(crate) use self::{
    micro::{MicroOptions, codecs, pools, tables},
    naive::{NaiveOptions, run as naive},
    report::{Figure, median},
};
use self::{
    overlay::{Kind, Overlay},
    report::Report,
    traffic::Test,
};
use crate::{
    cargo, packages,
    step::{Failure, Steps},
};

/// What is measured, and how often.
#[derive(Args)]
pub(crate) struct BenchOptions {
    /// How often each of them is measured.
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..))]
    runs: u32,
    /// Seconds for each measurement by TCP and by UDP.
    #[arg(long, default_value_t = 4, value_parser = clap::value_parser!(u32).range(1..))]
    seconds: u32,
    /// Have the underlay behave like a wire: frames of at most its MTU, with whole checksums.
    #[arg(long)]
    wire: bool,
}

/// Builds the program and this one in release mode, and has the latter measure.
pub(crate) fn run(options: &BenchOptions) -> bool {
    let mut steps = Steps::new(false);
    steps.run("root", packages::root);
    steps.run("Debian packages", || packages::debian(packages::FOR_BENCHES));
    steps.run("build", || cargo::run("build --release --package tap-vtep --package xtask"));
    steps.run("bench", || {
        let mut command = Command::new(release("xtask"));
        command.args(["measure", "--runs", &options.runs.to_string(), "--seconds", &options.seconds.to_string()]);
        if options.wire {
            command.arg("--wire");
        }
        let status = command.stdin(Stdio::null()).status()?;
        if status.success() { Ok(()) } else { Err(Failure(format!("measure: {status}"))) }
    });
    steps.finish()
}

/// A program of the release build.
pub(crate) fn release(name: &str) -> PathBuf {
    let target = std::env::var_os("CARGO_TARGET_DIR").unwrap_or_else(|| "target".into());
    let directory = std::path::absolute(target).unwrap_or_default();
    directory.join("release").join(name)
}

/// Measures everything in turn, and prints the table.
pub(crate) fn measure(options: &BenchOptions) {
    let mut report = Report::default();
    for run in 1..=options.runs {
        // One after the other within a run: what disturbs the machine for a while disturbs all of them.
        for kind in Kind::ALL {
            let overlay = Overlay::new(kind, options.wire);
            for test in Test::ALL {
                let figure = test.measure(&overlay, options.seconds);
                println!("    run {run} of {}: {}", options.runs, report.add(test, kind, figure));
            }
        }
    }
    print!("\n{report}\n");
}
