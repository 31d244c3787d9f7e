//! `tap-vtep ipam`, run as its users run it. It needs no root.

mod files;
mod kinds;
mod processes;
mod refusals;
mod session;

use std::{
    ffi::OsStr,
    fs,
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
    sync::atomic::{AtomicU32, Ordering},
};

use serde_json::Value;

/// A directory of a test's own, with its pool files.
struct Directory(PathBuf);

impl Directory {
    fn new() -> Self {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let name = format!("ipam-{}-{}", std::process::id(), NUMBER.fetch_add(1, Ordering::Relaxed));
        let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
        fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    /// The program in this directory, with these words.
    fn command(&self, words: impl IntoIterator<Item = impl AsRef<OsStr>>) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_tap-vtep"));
        command.current_dir(&self.0).stdin(Stdio::null()).arg("ipam").args(words);
        command
    }

    /// Runs it; `words` are separated by spaces.
    fn run(&self, words: &str) -> Ran {
        self.command(words.split(' ')).output().unwrap().into()
    }

    /// Runs it, which goes well, and says what it prints.
    fn ok(&self, words: &str) -> String {
        let ran = self.run(words);
        assert_eq!((ran.status, ran.errors.as_str()), (0, ""), "{words}: {}", ran.text);
        ran.text
    }

    /// Runs it with `--json`, which goes well, and says what it prints.
    fn json(&self, words: &str) -> Value {
        let (status, value) = self.json_with_status(words);
        assert_eq!(status, 0, "{words}: {value}");
        value
    }

    /// Runs it with `--json`, and says how it ended and what it prints.
    fn json_with_status(&self, words: &str) -> (i32, Value) {
        let output = self.command(words.split(' ').chain(["--json"])).output().unwrap();
        assert_eq!(output.stderr, b"", "{words}");
        (output.status.code().unwrap_or(-1), serde_json::from_slice(&output.stdout).unwrap())
    }

    /// Runs it, which fails with one line, and says which and with what status.
    fn refused(&self, words: &str) -> (i32, String) {
        let ran = self.run(words);
        assert_eq!(ran.text, "", "{words}");
        let line = ran.errors.strip_prefix("tap-vtep: ").and_then(|line| line.strip_suffix('\n'));
        (ran.status, line.filter(|line| !line.contains('\n')).unwrap_or_else(|| panic!("{words}: {ran:?}")).to_owned())
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// How a command ended, and what it said.
#[derive(Debug)]
struct Ran {
    status: i32,
    text: String,
    errors: String,
}

impl From<Output> for Ran {
    fn from(output: Output) -> Self {
        Self {
            status: output.status.code().unwrap_or(-1),
            text: timeless(&String::from_utf8(output.stdout).unwrap()),
            errors: String::from_utf8(output.stderr).unwrap(),
        }
    }
}

/// A text with `TIME` for each time, as long as one is, `AGE` for what follows it, and without the sizes that depend on times.
fn timeless(text: &str) -> String {
    let mut lines: Vec<String> = text.split('\n').map(ToOwned::to_owned).collect();
    for line in &mut lines {
        for at in 0..line.len() {
            if line.get(at..at + 20).is_some_and(is_time) {
                line.replace_range(at..at + 20, "________TIME________");
            }
        }
        if let Some((before, age)) = line.rsplit_once("TIME________  ")
            && age.ends_with('s')
            && !age.contains("TIME")
        {
            *line = format!("{before}TIME________  AGE");
        }
        if let Some((before, behind)) = line.split_once("  bytes: ") {
            *line = format!("{before}  bytes: N{}", behind.trim_start_matches(|digit: char| digit.is_ascii_digit()));
        }
    }
    lines.join("\n")
}

fn is_time(text: &str) -> bool {
    let shape = |c: char| if c.is_ascii_digit() { '0' } else { c };
    text.chars().map(shape).eq("0000-00-00T00:00:00Z".chars())
}
