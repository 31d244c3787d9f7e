//! Steps with a name and a time, and a summary of them.

use std::{
    ffi::OsStr,
    fmt,
    fs::{self, File},
    io,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::{Duration, Instant},
};

/// Lines of a failed command's output that are shown.
const SHOWN: usize = 400;

/// Why a step failed, in lines for people.
#[derive(Debug)]
pub(crate) struct Failure(pub(crate) String);

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        Self(error.to_string())
    }
}

/// What a step comes to.
pub(crate) type Outcome = Result<(), Failure>;

/// Runs steps one after the other, and says how each went.
pub(crate) struct Steps {
    keep_going: bool,
    passed: usize,
    failed: Vec<String>,
    skipped: usize,
    begin: Instant,
}

impl Steps {
    pub(crate) fn new(keep_going: bool) -> Self {
        Self { keep_going, passed: 0, failed: Vec::new(), skipped: 0, begin: Instant::now() }
    }

    /// Runs a step, unless one has failed and that is the end.
    pub(crate) fn run(&mut self, name: &str, step: impl FnOnce() -> Outcome) {
        if !self.keep_going && !self.failed.is_empty() {
            self.skipped += 1;
            return;
        }
        println!("==> {name}");
        let begin = Instant::now();
        match step() {
            Ok(()) => {
                self.passed += 1;
                println!("    ok, {}", Span(begin.elapsed()));
            }
            Err(failure) => {
                self.failed.push(name.to_owned());
                println!("{failure}\n    FAILED: {name}, {}", Span(begin.elapsed()));
            }
        }
    }

    /// The last line; `true` when all went well.
    pub(crate) fn finish(self) -> bool {
        let time = Span(self.begin.elapsed());
        if self.failed.is_empty() {
            println!("==> {} steps passed, {time}", self.passed);
            return true;
        }
        println!(
            "==> FAILED: {}; {} steps passed, {} not run, {time}",
            self.failed.join(", "),
            self.passed,
            self.skipped
        );
        false
    }
}

/// A time for people.
struct Span(Duration);

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.as_secs() {
            0..60 => write!(f, "{:.1} s", self.0.as_secs_f64()),
            seconds => write!(f, "{} min {} s", seconds / 60, seconds % 60),
        }
    }
}

/// Runs a command without input and keeps its output back, unless it fails: then the end of it is in the failure, and all of
/// it in a file.
pub(crate) fn quietly(command: &mut Command) -> Outcome {
    let program = Path::new(command.get_program()).file_name().unwrap_or(command.get_program());
    let words: Vec<_> = [program].into_iter().chain(command.get_args()).map(OsStr::to_string_lossy).collect();
    let line = words.join(" ");
    println!("    {line}");
    let file = log_file()?;
    let log = File::create(&file)?;
    let status = command
        .stdin(Stdio::null())
        .stdout(log.try_clone()?)
        .stderr(log)
        .status()
        .map_err(|error| Failure(format!("{line}: {error}")))?;
    if status.success() {
        return Ok(());
    }
    let text = String::from_utf8_lossy(&fs::read(&file)?).into_owned();
    let lines: Vec<_> = text.lines().collect();
    let shown = lines[lines.len().saturating_sub(SHOWN)..].join("\n");
    let rest = match lines.len().saturating_sub(SHOWN) {
        0 => String::new(),
        left_out => format!("({left_out} lines before these are in {})\n", file.display()),
    };
    Err(Failure(format!("{rest}{shown}\n    {line}: {status}")))
}

/// Where the output of the last command is.
fn log_file() -> io::Result<PathBuf> {
    let directory = PathBuf::from(std::env::var_os("CARGO_TARGET_DIR").unwrap_or_else(|| "target".into()));
    fs::create_dir_all(&directory)?;
    Ok(directory.join("xtask.log"))
}
