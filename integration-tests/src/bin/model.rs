//! Holds the rule against `SEQUENCES` (2000) random sequences from the seed `SEED` (another
//! each time), or against the one that is `SEQUENCE`, as JSON: `make model`.
#![expect(clippy::print_stdout, reason = "it is what the program is for")]

use std::{env, process::ExitCode};

use anyhow::{Context as _, Result};
use nfs_guard_integration_tests::model::{self, Engine, Sequence};

fn main() -> Result<ExitCode> {
    if let Ok(json) = env::var("SEQUENCE") {
        let sequence: Sequence = serde_json::from_str(&json).context("reading SEQUENCE")?;
        println!("{}", model::replay(&sequence, &Engine, &mut model::policy()));
        return Ok(ExitCode::SUCCESS);
    }
    let sequences = number("SEQUENCES")?.unwrap_or(2_000);
    let seed = number("SEED")?.unwrap_or_else(|| fastrand::u64(..));
    println!("seed {seed}");
    let report = model::search(seed, sequences, &Engine);
    println!("{report}");
    Ok(if report.violations == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn number(variable: &str) -> Result<Option<u64>> {
    let text = env::var(variable).ok();
    text.map(|text| text.parse().with_context(|| format!("{variable} is {text:?}"))).transpose()
}
