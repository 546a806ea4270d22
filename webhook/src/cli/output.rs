use std::io::{self, Write as _};

use clap::ValueEnum;
use serde::Serialize;

use super::printed;

/// The form in which a command answers.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub(super) enum Output {
    /// For a person.
    Table,
    /// For a machine.
    Json,
}

impl Output {
    /// Prints a report on standard output: as `table` writes it, or as JSON.
    pub(super) fn print<R: Serialize>(
        self,
        report: &R,
        table: impl FnOnce(&mut anstream::Stdout, &R) -> io::Result<()>,
    ) -> io::Result<()> {
        match self {
            Self::Table => printed(table(&mut anstream::stdout(), report)),
            Self::Json => print_json(report),
        }
    }
}

/// Prints a report as JSON on standard output, indented.
pub(super) fn print_json(report: &impl Serialize) -> io::Result<()> {
    let json = serde_json::to_string_pretty(report)?;
    printed(writeln!(io::stdout(), "{json}"))
}
