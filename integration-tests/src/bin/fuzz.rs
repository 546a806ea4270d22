//! Bends what the guard reads for `FUZZ_SECONDS` (60), from the seed `FUZZ_SEED`
//! (another each time): `make fuzz`.
#![expect(clippy::print_stdout, reason = "it is what the program is for")]

use std::{env, process::ExitCode, time::Duration};

use anyhow::{Context as _, Result};
use nfs_guard_integration_tests::fuzz;

fn main() -> Result<ExitCode> {
    let seconds = number("FUZZ_SECONDS")?.unwrap_or(60);
    let seed = number("FUZZ_SEED")?.unwrap_or_else(|| fastrand::u64(..));
    Ok(match fuzz::run(seed, Duration::from_secs(seconds)) {
        Ok(ran) => {
            println!("{ran}");
            ExitCode::SUCCESS
        }
        Err(found) => {
            println!("{found}");
            ExitCode::FAILURE
        }
    })
}

fn number(variable: &str) -> Result<Option<u64>> {
    let text = env::var(variable).ok();
    text.map(|text| text.parse().with_context(|| format!("{variable} is {text:?}"))).transpose()
}
