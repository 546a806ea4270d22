mod page;

use std::io::{self, Write as _};

use clap::{Args, ValueEnum};
use nfs_guard_policies::GuardConfig;
use schemars::schema_for;

use super::{Exit, Failure, check::CheckReport, printed};
use crate::audit;

/// Print a JSON schema: of the configuration, of the audit log, of `check -o json`, of `audit verify -o json`
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  nfs-guard schema config > nfs-guard.schema.json\n  \
                        nfs-guard schema audit -o markdown   # its fields, for people")]
pub(super) struct Schema {
    /// What to describe
    #[arg(default_value = "config")]
    of: Form,
    /// The schema itself, or tables of what it says
    #[arg(short, long, value_enum, default_value = "json", value_name = "FORMAT")]
    output: Output,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Output {
    Json,
    Markdown,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Form {
    Config,
    Audit,
    Check,
    /// Of `audit verify -o json`.
    Verify,
}

impl Schema {
    pub(super) fn run(&self) -> Result<Exit, Failure> {
        let schema = match self.of {
            Form::Config => schema_for!(GuardConfig),
            Form::Audit => schema_for!(audit::Line),
            Form::Check => schema_for!(CheckReport),
            Form::Verify => schema_for!(audit::verify::Report),
        };
        printed(match self.output {
            Output::Json => writeln!(io::stdout(), "{:#}", schema.as_value()),
            Output::Markdown => write!(io::stdout(), "{}", page::markdown(schema.as_value())),
        })?;
        Ok(Exit::Good)
    }
}
