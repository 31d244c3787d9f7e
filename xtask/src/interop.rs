//! `cargo xtask interop`: the program against real peers.

use std::process::Stdio;

use crate::{
    cargo::cargo,
    packages, peer_table,
    step::{Outcome, Steps, quietly},
};

/// What is shipped is what is tested: the release build.
const COMMAND: &str = "test --release --package tap-vtep --features interop --bin tap-vtep --test interop";

/// The tests share the processors and the memory for packets of one machine, and count exactly: one after the other.
const ONE_BY_ONE: &str = "-- --test-threads=1";

/// The step behind all of them.
pub(crate) const TABLE_STEP: &str = "the README's table of peers";

/// All of them, as a step of the test command.
pub(crate) fn all() -> Outcome {
    let mut command = cargo(&format!("{COMMAND} {ONE_BY_ONE}"));
    peer_table::record(&mut command)?;
    quietly(&mut command)
}

/// Those whose names contain one of the filters, with what they say. All of them make the table of peers, too, which the
/// README has, or is to have.
pub(crate) fn run(filters: &[String], writes_table: bool) -> bool {
    let mut steps = Steps::new(false);
    steps.run("root", packages::root);
    steps.run("Debian packages", || packages::debian(packages::FOR_TESTS));
    steps.run("build", || quietly(&mut cargo(&format!("{COMMAND} --no-run"))));
    steps.run("interop", || {
        let mut command = cargo(&format!("--quiet {COMMAND} {ONE_BY_ONE}"));
        peer_table::record(&mut command)?;
        let status = command.args(filters).stdin(Stdio::null()).status()?;
        if status.success() { Ok(()) } else { Err(crate::step::Failure(String::new())) }
    });
    if filters.is_empty() {
        steps.run(TABLE_STEP, if writes_table { peer_table::write } else { peer_table::check });
    }
    steps.finish()
}
