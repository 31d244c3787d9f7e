//! The README's table of peers: what the tests against them have shown, and nothing else.

use std::{
    collections::{BTreeMap, BTreeSet},
    env, fmt, fs, io,
    path::{Path, PathBuf},
    process::Command,
};

use crate::step::{Failure, Outcome};

/// Where a test finds the file to write down what it has shown.
const VARIABLE: &str = "TAP_VTEP_SHOWN";
const README: &str = "README.md";
/// The table stands between these lines.
const BEGIN: &str = "<!-- peers: begin (the table of `cargo xtask interop --table`) -->\n";
const END: &str = "<!-- peers: end -->\n";
/// A test has not shown it, or there is none.
const NOTHING: &str = "–";

/// Has the tests of this command write down what they show. What earlier ones wrote is gone.
pub(crate) fn record(command: &mut Command) -> Outcome {
    let file = file()?;
    match fs::remove_file(&file) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error.into()),
        _ => {}
    }
    command.env(VARIABLE, file);
    Ok(())
}

fn file() -> io::Result<PathBuf> {
    let target = env::var_os("CARGO_TARGET_DIR").unwrap_or_else(|| "target".into());
    std::path::absolute(Path::new(&target).join("interop-shown.tsv"))
}

/// Puts what the last run has shown into the README.
pub(crate) fn write() -> Outcome {
    let readme = fs::read_to_string(README)?;
    fs::write(README, with_table(&readme, &read()?.to_string())?)?;
    Ok(())
}

/// Fails when the README says anything else than what the last run has shown.
pub(crate) fn check() -> Outcome {
    let readme = fs::read_to_string(README)?;
    let table = read()?.to_string();
    if with_table(&readme, &table)? == readme {
        return Ok(());
    }
    Err(Failure(format!("{table}\n{README} has another table; `cargo xtask interop --table` puts this one there")))
}

fn read() -> Result<Table, Failure> {
    let file = file()?;
    let text = fs::read_to_string(&file).map_err(|error| Failure(format!("{}: {error}", file.display())))?;
    Table::parse(&text).ok_or_else(|| Failure(format!("{} is not as the tests write it", file.display())))
}

fn with_table(readme: &str, table: &str) -> Result<String, Failure> {
    let parts = readme.split_once(BEGIN).and_then(|(before, rest)| Some((before, rest.split_once(END)?.1)));
    let (before, after) = parts.ok_or_else(|| Failure(format!("{README} has no place for the table of peers")))?;
    Ok([before, BEGIN, table, END, after].concat())
}

/// A place in an order, and the text that is shown.
type Title = (usize, String);

/// For each row and column the values that were shown.
#[derive(Default)]
struct Table {
    columns: BTreeSet<Title>,
    rows: BTreeMap<Title, BTreeMap<Title, BTreeSet<String>>>,
}

impl Table {
    /// Reads lines of five fields with tabs between them: the row's place and text, the column's, the value.
    fn parse(text: &str) -> Option<Self> {
        let mut table = Self::default();
        for line in text.lines() {
            let fields: Vec<_> = line.split('\t').collect();
            let [row_place, row, column_place, column, value] = fields[..] else { return None };
            let column = (column_place.parse().ok()?, column.to_owned());
            let row = table.rows.entry((row_place.parse().ok()?, row.to_owned())).or_default();
            row.entry(column.clone()).or_default().insert(value.to_owned());
            table.columns.insert(column);
        }
        Some(table)
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let titles = self.columns.iter().map(|(_, text)| format!(" {text} |"));
        writeln!(f, "| |{}", titles.collect::<String>())?;
        writeln!(f, "|---|{}", "---|".repeat(self.columns.len()))?;
        for ((_, text), cells) in &self.rows {
            write!(f, "| {text} |")?;
            for column in &self.columns {
                let values = cells.get(column).into_iter().flatten().map(String::as_str).collect::<Vec<_>>();
                let shown = if values.is_empty() { NOTHING.to_owned() } else { values.join(", ") };
                write!(f, " {shown} |")?;
            }
            writeln!(f)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SHOWN: &str = "1\tUDP\t4\tGeneve: Open vSwitch\tIPv6\n\
                         0\tping\t4\tGeneve: Open vSwitch\tIPv6\n\
                         0\tping\t0\tVXLAN: Linux kernel\tIPv6\n\
                         0\tping\t0\tVXLAN: Linux kernel\tIPv4\n\
                         0\tping\t0\tVXLAN: Linux kernel\tIPv4\n";
    const TABLE: &str = "| | VXLAN: Linux kernel | Geneve: Open vSwitch |\n\
                         |---|---|---|\n\
                         | ping | IPv4, IPv6 | IPv6 |\n\
                         | UDP | – | IPv6 |\n";

    #[test]
    fn what_was_not_shown_is_not_in_the_table() {
        assert_eq!(Table::parse(SHOWN).map(|table| table.to_string()).as_deref(), Some(TABLE));
        assert!(Table::parse("0\tping\n").is_none());
        assert!(Table::parse("first\tping\t0\tGeneve\tIPv4\n").is_none());
    }

    #[test]
    fn the_table_has_its_place_in_the_readme() {
        let readme = format!("before\n{BEGIN}old\n{END}after\n");
        let expected = format!("before\n{BEGIN}{TABLE}{END}after\n");
        assert_eq!(with_table(&readme, TABLE).ok(), Some(expected));
        assert!(with_table("nothing", TABLE).is_err());
    }
}
