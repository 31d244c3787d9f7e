//! Calling cargo.

use std::process::Command;

use serde_json::Value;

use crate::step::{Failure, Outcome, quietly};

/// `cargo <words>`, the words split at spaces.
pub(crate) fn cargo(words: &str) -> Command {
    // Cargo says which one it is; its own variables would confuse another toolchain's.
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.args(words.split_whitespace());
    // A failed test says one line; who wants more runs it again.
    command.env("RUST_BACKTRACE", "0").env("CARGO_TERM_COLOR", "never");
    command
}

/// `cargo +nightly <words>`.
pub(crate) fn nightly(words: &str) -> Command {
    let mut command = Command::new("cargo");
    command.arg("+nightly").args(words.split_whitespace());
    command.env_remove("CARGO").env_remove("RUSTC").env_remove("RUSTUP_TOOLCHAIN");
    command.env("RUST_BACKTRACE", "0").env("CARGO_TERM_COLOR", "never");
    command
}

/// Runs `cargo <words>` to its end.
pub(crate) fn run(words: &str) -> Outcome {
    quietly(&mut cargo(words))
}

/// A package of the workspace: its name and its features.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Package {
    pub(crate) name: String,
    pub(crate) features: Vec<String>,
}

/// The library packages of the workspace that are meant for others: `publish = false` is not among them.
pub(crate) fn libraries() -> Result<Vec<Package>, Failure> {
    let output = cargo("metadata --format-version 1 --no-deps").output()?;
    if !output.status.success() {
        return Err(Failure(String::from_utf8_lossy(&output.stderr).into_owned()));
    }
    let metadata: Value = serde_json::from_slice(&output.stdout).map_err(|error| Failure(error.to_string()))?;
    Ok(packages(&metadata))
}

fn packages(metadata: &Value) -> Vec<Package> {
    let packages = metadata["packages"].as_array().map(Vec::as_slice).unwrap_or_default();
    // `"publish": []` is what `publish = false` reads as.
    let is_public = |package: &&Value| package["publish"].is_null();
    packages
        .iter()
        .filter(is_public)
        .filter_map(|package| {
            let name = package["name"].as_str()?.to_owned();
            let features = package["features"].as_object()?;
            Some(Package { name, features: features.keys().filter(|feature| *feature != "default").cloned().collect() })
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn packages_for_others_are_found_with_their_features() {
        let metadata = json!({"packages": [
            {"name": "wire", "publish": null, "features": {"default": ["std"], "std": [], "serde": ["dep:serde"]}},
            {"name": "program", "publish": [], "features": {"interop": []}},
        ]});
        let expected = Package { name: "wire".into(), features: vec!["serde".into(), "std".into()] };
        assert_eq!(packages(&metadata), [expected]);
    }
}
