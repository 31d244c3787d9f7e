//! What goes to standard output: text in columns, or one JSON document.

use std::io::{self, BufWriter, Write};

use serde::Serialize;

use super::IpamError;

/// Prints text. Nobody who reads on is no failure.
pub(super) fn print(text: &str) -> Result<(), IpamError> {
    written(io::stdout().lock().write_all(text.as_bytes()).and_then(|()| io::stdout().flush()))
}

/// Prints one JSON document.
pub(super) fn print_json(value: &impl Serialize) -> Result<(), IpamError> {
    let mut output = BufWriter::new(io::stdout().lock());
    let done = serde_json::to_writer(&mut output, value).map_err(io::Error::from);
    written(done.and_then(|()| output.write_all(b"\n")).and_then(|()| output.flush()))
}

fn written(done: io::Result<()>) -> Result<(), IpamError> {
    match done {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(IpamError::Output(error)),
        _ => Ok(()),
    }
}

/// Where the text of a column begins.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Align {
    Left,
    Right,
}

/// A table whose columns are as wide as they must be. One of which all is empty is left out.
#[derive(Debug)]
pub(super) struct Table<const N: usize> {
    columns: [(&'static str, Align); N],
    rows: Vec<[String; N]>,
}

impl<const N: usize> Table<N> {
    pub(super) fn new(columns: [(&'static str, Align); N]) -> Self {
        Self { columns, rows: Vec::new() }
    }

    pub(super) fn row(&mut self, row: [String; N]) {
        self.rows.push(row);
    }

    pub(super) fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// Adds the table to a text, each line behind `indent`.
    pub(super) fn write(&self, text: &mut String, indent: &str) {
        let mut widths = self.columns.map(|(title, _)| title.len());
        for row in &self.rows {
            for (width, cell) in widths.iter_mut().zip(row) {
                *width = (*width).max(visible(cell));
            }
        }
        let titles = self.columns.map(|(title, _)| title.to_owned());
        let has_titles = titles.iter().any(|title| !title.is_empty());
        for row in has_titles.then_some(&titles).into_iter().chain(&self.rows) {
            let mut line = indent.to_owned();
            for ((cell, (_, align)), width) in row.iter().zip(self.columns).zip(widths).filter(|&(_, width)| width > 0)
            {
                let gap = " ".repeat(width - visible(cell));
                let (first, second) = if align == Align::Left { (cell, &gap) } else { (&gap, cell) };
                line.extend([first, second, "  "]);
            }
            text.push_str(line.trim_end());
            text.push('\n');
        }
    }
}

/// How many characters are seen of a text: colours are not.
fn visible(text: &str) -> usize {
    let (mut count, mut in_colour) = (0, false);
    for character in text.chars() {
        match character {
            '\x1b' => in_colour = true,
            'm' if in_colour => in_colour = false,
            _ if !in_colour => count += 1,
            _ => {}
        }
    }
    count
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_as_wide_as_what_is_seen() {
        let mut table = Table::new([("NAME", Align::Left), ("", Align::Left), ("COUNT", Align::Right)]);
        table.row(["\x1b[32mä\x1b[0m".into(), String::new(), "7".into()]);
        table.row(["a-long-name".into(), String::new(), "1234567".into()]);
        let mut text = String::new();
        table.write(&mut text, " ");
        assert_eq!(text, " NAME           COUNT\n \x1b[32mä\x1b[0m                  7\n a-long-name  1234567\n");
    }
}
