use std::io::{self, Write as _};

use clap::{Args, ValueEnum};
use nfs_guard_policies::GuardConfig;
use schemars::schema_for;

use super::{Exit, Failure, check::CheckReport, printed};
use crate::audit;

/// Print a JSON schema: of the configuration, of the audit log, of `check -o json`, of `audit verify -o json`
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  nfs-guard schema config > nfs-guard.schema.json")]
pub(super) struct Schema {
    /// What to describe
    #[arg(default_value = "config")]
    of: Form,
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
        let text = serde_json::to_string_pretty(&schema).map_err(anyhow::Error::from)?;
        printed(writeln!(io::stdout(), "{text}"))?;
        Ok(Exit::Good)
    }
}
