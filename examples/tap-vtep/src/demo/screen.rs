//! What the reader sees: headings, lines, and a line of progress that is rewritten on a terminal.

use std::{
    env, fmt,
    io::{self, IsTerminal as _, Write},
    time::{Duration, Instant},
};

use super::{DemoError, Doing as _};

/// How often progress is told where no terminal is, in a line of its own each time.
const EVERY: Duration = Duration::from_secs(2);

/// Standard output.
pub(super) struct Screen {
    out: io::Stdout,
    terminal: bool,
    colour: bool,
    step: u32,
    told: Instant,
}

impl Screen {
    pub(super) fn new() -> Self {
        let out = io::stdout();
        let terminal = out.is_terminal();
        let colour = terminal && env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
        Self { out, terminal, colour, step: 0, told: Instant::now() }
    }

    /// A line above all steps or below them.
    pub(super) fn title(&mut self, text: &str) -> Result<(), DemoError> {
        if self.colour {
            self.write(format_args!("\x1b[1m{text}\x1b[0m\n"))
        } else {
            self.write(format_args!("{text}\n"))
        }
    }

    /// The heading of the next step, shown before its work begins.
    pub(super) fn step(&mut self, text: &str) -> Result<(), DemoError> {
        self.step += 1;
        self.told = Instant::now();
        self.write(format_args!("\n"))?;
        self.title(&format!("{}. {text}", self.step))
    }

    /// A line of a step.
    pub(super) fn line(&mut self, text: impl fmt::Display) -> Result<(), DemoError> {
        self.write(format_args!("   {text}\n"))
    }

    /// How far the work is: rewrites its line on a terminal, and is told now and then elsewhere.
    pub(super) fn progress(&mut self, text: impl fmt::Display) -> Result<(), DemoError> {
        if self.terminal {
            self.write(format_args!("\r   {text}\x1b[K"))
        } else if self.told.elapsed() >= EVERY {
            self.told = Instant::now();
            self.line(text)
        } else {
            Ok(())
        }
    }

    /// Takes the line of progress away.
    pub(super) fn end_progress(&mut self) -> Result<(), DemoError> {
        if self.terminal { self.write(format_args!("\r\x1b[K")) } else { Ok(()) }
    }

    /// Text of several lines as it is.
    pub(super) fn block(&mut self, text: &str) -> Result<(), DemoError> {
        self.write(format_args!("{text}"))
    }

    fn write(&mut self, text: fmt::Arguments<'_>) -> Result<(), DemoError> {
        let mut out = self.out.lock();
        out.write_fmt(text).and_then(|()| out.flush()).doing("write to standard output")
    }
}
