//! The manual pages and the completions of shells, made from the definition of the command line.

use std::{
    fs,
    io::{self, Write as _},
    path::Path,
};

use clap::CommandFactory as _;
use clap_complete::Shell;
use clap_mangen::Man;

use crate::cli::Cli;

/// The page that is written by hand: the configuration file's.
const CONFIGURATION: &str = include_str!("../../../packaging/tap-vtep.toml.5");

/// Writes the completions of a shell to standard output.
pub(crate) fn completions(shell: Shell) -> io::Result<()> {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "tap-vtep", &mut script);
    io::stdout().write_all(&script)
}

/// Writes tap-vtep(1), a page for each subcommand, and tap-vtep.toml(5).
pub(crate) fn pages(directory: &Path) -> io::Result<()> {
    fs::create_dir_all(directory)?;
    let mut command = Cli::command().disable_help_subcommand(true);
    command.build();
    page(command, directory)?;
    fs::write(directory.join("tap-vtep.toml.5"), CONFIGURATION)
}

/// The page of a command, and those of its subcommands.
fn page(command: clap::Command, directory: &Path) -> io::Result<()> {
    for subcommand in command.get_subcommands().filter(|subcommand| !subcommand.is_hide_set()) {
        page(subcommand.clone(), directory)?;
    }
    let page = Man::new(command).date(date()).source(concat!("tap-vtep ", env!("CARGO_PKG_VERSION")));
    page.manual("User Commands").generate_to(directory).map(drop)
}

/// That of the page that is written by hand.
fn date() -> &'static str {
    let title = CONFIGURATION.lines().next().unwrap_or_default();
    title.split(' ').nth(3).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_sound() {
        Cli::command().debug_assert();
    }

    #[test]
    fn pages_have_a_date() {
        assert!(date().len() == 10 && date().starts_with("20"), "{}", date());
    }
}
