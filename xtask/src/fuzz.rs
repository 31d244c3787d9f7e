//! `cargo xtask fuzz`: every fuzz target for some seconds.

use std::path::Path;

use crate::{
    cargo::nightly,
    packages,
    step::{Failure, Outcome, Steps, quietly},
};

/// The targets, as the fuzzer knows them.
pub(crate) fn targets() -> Result<Vec<String>, Failure> {
    let output = nightly("fuzz list").output()?;
    let listed: Vec<_> = String::from_utf8_lossy(&output.stdout).split_whitespace().map(str::to_owned).collect();
    if output.status.success() && !listed.is_empty() {
        return Ok(listed);
    }
    Err(Failure(format!("no fuzz targets: {}", String::from_utf8_lossy(&output.stderr))))
}

/// What fuzzing needs.
pub(crate) fn prepare() -> Outcome {
    packages::nightly()?;
    packages::subcommand("cargo-fuzz")
}

/// Builds all targets, once.
pub(crate) fn build() -> Outcome {
    quietly(&mut nightly("fuzz build"))
}

/// Runs one target, from its corpus and its seeds.
pub(crate) fn target(name: &str, seconds: u32) -> Outcome {
    let seeds = format!("fuzz/seeds/{name}");
    // What is found goes to the first directory; the seeds are only read.
    let corpus = format!("fuzz/corpus/{name}");
    std::fs::create_dir_all(&corpus)?;
    let mut command = nightly(&format!("fuzz run {name} {corpus}"));
    if Path::new(&seeds).is_dir() {
        command.arg(&seeds);
    }
    command.args(["--", &format!("-max_total_time={seconds}"), "-timeout=10"]);
    quietly(&mut command)
}

/// Those that are named, or all.
pub(crate) fn run(names: &[String], seconds: u32) -> bool {
    let mut steps = Steps::new(true);
    let mut chosen = names.to_vec();
    steps.run("cargo-fuzz", prepare);
    if chosen.is_empty() {
        steps.run("targets", || {
            chosen = targets()?;
            Ok(())
        });
    }
    steps.run("build", build);
    for name in &chosen {
        steps.run(&format!("fuzz {name}, {seconds} s"), || target(name, seconds));
    }
    steps.finish()
}
