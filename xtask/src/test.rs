//! `cargo xtask test`: every test there is.

use crate::{
    cargo::{self, cargo, libraries},
    deb, fuzz, interop, packages, peer_table,
    step::{Outcome, Steps, quietly},
};

/// Seconds for each fuzz target: a look at whether it still runs, not a search.
const FUZZ_SECONDS: u32 = 5;

/// Runs all steps; `true` when all passed.
pub(crate) fn run(keep_going: bool) -> bool {
    let mut steps = Steps::new(keep_going);
    steps.run("root", packages::root);
    steps.run("Debian packages", || packages::debian(packages::FOR_TESTS));
    steps.run("format", || cargo::run("fmt --all -- --check"));
    steps.run("clippy", || cargo::run("clippy --workspace --all-targets --all-features -- -D warnings"));
    steps.run("features", features);
    steps.run("documentation", documentation);
    steps.run("licences", licences);
    // Without the tests that have a step of their own below.
    steps.run("unit tests, properties, peers of the crates", || {
        cargo::run("test --workspace --all-features --exclude tap-vtep")
    });
    steps.run("tests of the program", || cargo::run("test --package tap-vtep"));
    steps.run("interop", interop::all);
    steps.run(interop::TABLE_STEP, peer_table::check);
    steps.run("Debian package", || {
        packages::debian(packages::FOR_DEB)?;
        packages::debian(packages::FOR_DEB_CHECKS)?;
        deb::check()
    });
    steps.run("benches build", || {
        cargo::run("bench --workspace --exclude tap-vtep --exclude testbed --exclude xtask --no-run")
    });
    steps.run("cargo-fuzz", fuzz::prepare);
    steps.run("fuzz targets", fuzz_briefly);
    steps.finish()
}

/// Each crate for others, without features and with each feature alone.
fn features() -> Outcome {
    for package in libraries()? {
        let check = |features: &str| {
            cargo::run(&format!(
                "clippy --quiet --package {} --no-default-features {features} -- -D warnings",
                package.name
            ))
        };
        check("")?;
        for feature in &package.features {
            check(&format!("--features {feature}"))?;
        }
    }
    Ok(())
}

fn documentation() -> Outcome {
    quietly(cargo("doc --workspace --no-deps --all-features").env("RUSTDOCFLAGS", "-D warnings"))
}

/// Licences and sources of all that is linked; advisories need the network and are left out.
fn licences() -> Outcome {
    packages::subcommand("cargo-deny")?;
    cargo::run("deny check licenses bans sources")?;
    cargo::run("deny --manifest-path fuzz/Cargo.toml check licenses bans sources")
}

fn fuzz_briefly() -> Outcome {
    fuzz::check()?;
    fuzz::build()?;
    for target in fuzz::targets()? {
        fuzz::target(&target, FUZZ_SECONDS)?;
    }
    Ok(())
}
