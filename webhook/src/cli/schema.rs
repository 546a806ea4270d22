mod page;

use std::io::{self, Write as _};

use anyhow::{Context as _, anyhow};
use clap::{Args, ValueEnum};
use nfs_guard_policies::GuardConfig;
use schemars::{Schema as JsonSchema, schema_for};
use serde::Serialize;

use super::{Exit, Failure, check::CheckReport, printed, scan::ScanReport};
use crate::{
    audit,
    exemption::{self, StorageExemptionSpec},
};

/// Print a JSON schema (of the configuration, of the audit log, of `check -o json`, of `scan -o json`, of `audit verify -o json`), or the definition of exemptions
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  nfs-guard schema config > nfs-guard.schema.json\n  \
                        nfs-guard schema audit -o markdown   # its fields, for people\n  \
                        nfs-guard schema crd | kubectl apply --server-side -f -")]
pub(super) struct Schema {
    /// What to describe
    #[arg(default_value = "config")]
    of: Form,
    /// The schema itself (json; the definition as yaml), or tables of what it says
    #[arg(short, long, value_enum, value_name = "FORMAT")]
    output: Option<Output>,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Output {
    Json,
    Yaml,
    Markdown,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Form {
    Config,
    Audit,
    Check,
    Scan,
    /// Of `audit verify -o json`.
    Verify,
    /// The definition of exemptions, a custom resource.
    Crd,
}

impl Schema {
    pub(super) fn run(&self) -> Result<Exit, Failure> {
        let text = match self.of {
            Form::Config => described(&schema_for!(GuardConfig), self.output),
            Form::Audit => described(&schema_for!(audit::Line), self.output),
            Form::Check => described(&schema_for!(CheckReport), self.output),
            Form::Scan => described(&schema_for!(ScanReport), self.output),
            Form::Verify => described(&schema_for!(audit::verify::Report), self.output),
            Form::Crd => defined(self.output),
        }?;
        printed(io::stdout().write_all(text.as_bytes()))?;
        Ok(Exit::Good)
    }
}

fn described(schema: &JsonSchema, output: Option<Output>) -> Result<String, Failure> {
    match output.unwrap_or(Output::Json) {
        Output::Json => Ok(format!("{:#}\n", schema.as_value())),
        Output::Yaml => yaml(schema),
        Output::Markdown => Ok(page::markdown(schema.as_value()).to_string()),
    }
}

fn defined(output: Option<Output>) -> Result<String, Failure> {
    match output.unwrap_or(Output::Yaml) {
        Output::Json => {
            let text = serde_json::to_string_pretty(&exemption::definition());
            Ok(text.context("the definition cannot be written")? + "\n")
        }
        Output::Yaml => yaml(&exemption::definition()),
        Output::Markdown => described(&schema_for!(StorageExemptionSpec), output),
    }
}

fn yaml(value: &impl Serialize) -> Result<String, Failure> {
    let text = serde_saphyr::to_string(value);
    Ok(text.map_err(|error| anyhow!("the schema cannot be written as YAML: {error}"))?)
}
