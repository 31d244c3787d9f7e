//! `cargo xtask fuzz`: every fuzz target for some seconds.

use std::{fs, path::Path, process::Command};

use crate::{
    cargo::nightly,
    packages,
    step::{Failure, Outcome, Steps, quietly},
};

/// The fuzz targets' own workspace.
const DIRECTORY: &str = "fuzz";

/// `cargo +nightly <words>` in the fuzz targets' workspace.
fn in_fuzz(words: &str) -> Command {
    let mut command = nightly(words);
    command.current_dir(DIRECTORY);
    command
}

/// What fuzzing needs.
pub(crate) fn prepare() -> Outcome {
    packages::nightly()?;
    packages::subcommand("cargo-fuzz")
}

/// Style of the targets themselves; they are built with another compiler than the rest.
pub(crate) fn check() -> Outcome {
    quietly(&mut in_fuzz("fmt -- --check"))
}

/// Makes the seeds and builds all targets, once.
pub(crate) fn build() -> Outcome {
    quietly(&mut in_fuzz("run --quiet --example seeds"))?;
    quietly(&mut in_fuzz("fuzz build"))
}

/// The targets, as the fuzzer knows them.
pub(crate) fn targets() -> Result<Vec<String>, Failure> {
    let output = in_fuzz("fuzz list").output()?;
    let listed: Vec<_> = String::from_utf8_lossy(&output.stdout).split_whitespace().map(str::to_owned).collect();
    if output.status.success() && !listed.is_empty() {
        return Ok(listed);
    }
    Err(Failure(format!("no fuzz targets: {}", String::from_utf8_lossy(&output.stderr))))
}

/// Runs one target from its corpus, and from every input that it once failed on.
pub(crate) fn target(name: &str, seconds: u32) -> Outcome {
    let corpus = format!("corpus/{name}");
    // Not every target has seeds.
    fs::create_dir_all(Path::new(DIRECTORY).join(&corpus))?;
    let mut command = in_fuzz(&format!("fuzz run {name} {corpus}"));
    let regressions = format!("regressions/{name}");
    if Path::new(DIRECTORY).join(&regressions).is_dir() {
        command.arg(&regressions);
    }
    command.args(["--", &format!("-max_total_time={seconds}"), "-timeout=10"]);
    quietly(&mut command)
}

/// Those that are named, or all.
pub(crate) fn run(names: &[String], seconds: u32) -> bool {
    let mut steps = Steps::new(false);
    steps.run("Debian packages", || packages::debian(packages::FOR_TESTS));
    steps.run("cargo-fuzz", prepare);
    steps.run("build", build);
    let mut chosen = names.to_vec();
    if chosen.is_empty() {
        steps.run("targets", || {
            chosen = targets()?;
            Ok(())
        });
    }
    for name in &chosen {
        steps.run(&format!("{name}, {seconds} s"), || target(name, seconds));
    }
    steps.finish()
}
