use std::io::{self, Write};

use anstyle::{AnsiColor, Style};
use clap::Args;

use super::LogArguments;
use crate::{
    audit::{
        Digest,
        verify::{Begins, ChainReport, Report, Verifier},
    },
    cli::{Exit, Failure, output::Output},
    manifest::InputError,
};

/// Check that an audit log is as it was written
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  nfs-guard audit verify /var/log/nfs-guard/\n  \
                        kubectl logs -n nfs-guard deploy/nfs-guard | nfs-guard audit verify - --partial\n\n\
                        What is found: records that were changed, removed, inserted or reordered. What cannot \
                        be: records missing at the end, unless the last hash of an earlier run is given \
                        (--expect).\nExit codes: 0 whole, 1 not, 2 something could not be read, or holds no record.")]
pub(super) struct Verify {
    #[command(flatten)]
    log: LogArguments,
    /// Take it as it comes that a chain begins in the middle: a container runtime keeps the newest lines only
    #[arg(long)]
    partial: bool,
    /// Hash of a record that must be there: the last one that an earlier run told
    #[arg(long, value_name = "HASH")]
    expect: Option<Digest>,
    /// Form of the answer; `nfs-guard schema verify` describes the JSON
    #[arg(short, long, default_value = "table")]
    output: Output,
}

impl Verify {
    pub(super) fn run(&self) -> Result<Exit, Failure> {
        let mut verifier = Verifier::new(self.partial, self.expect);
        for input in self.log.inputs()? {
            input.read(|text| verifier.read(&input.name, text))?;
        }
        let report = verifier.finish();
        if report.is_empty() {
            let paths: Vec<_> = self.log.paths.iter().map(|path| path.to_string_lossy()).collect();
            return Err(InputError::whole(&paths.join(", "), "no audit record in it".into()).into());
        }
        self.output.print(&report, print_table)?;
        Ok(if report.whole { Exit::Good } else { Exit::Negative })
    }
}

fn print_table(output: &mut impl Write, report: &Report) -> io::Result<()> {
    let Report { whole, records, dropped, chains, problems, problems_omitted, torn, .. } = report;
    let bold = Style::new().bold();
    writeln!(
        output,
        "{bold}{:16}  {:30}  {:21}  {:7}  {:7}  {:6}  LAST HASH{bold:#}",
        "CHAIN", "INSTANCE", "RECORDS", "DROPPED", "BEGINS", "ENDS"
    )?;
    for chain in chains {
        print_chain(output, chain)?;
    }
    for place in torn {
        writeln!(output, "{}:{}: torn: its writer was interrupted here", place.path, place.line)?;
    }
    let bad = AnsiColor::Red.on_default();
    for problem in problems {
        let place = problem.place.as_ref();
        let place = place.map(|place| format!("{}:{}: ", place.path, place.line));
        let (place, kind) = (place.unwrap_or_default(), problem.kind);
        writeln!(output, "{place}{bad}{kind}{bad:#}: {}", problem.message)?;
    }
    if *problems_omitted > 0 {
        writeln!(output, "and {problems_omitted} more")?;
    }
    let (style, verdict) = match whole {
        true => (AnsiColor::Green.on_default(), "whole"),
        false => (bad, "not as it was written"),
    };
    writeln!(
        output,
        "records: {records}, chains: {}, dropped: {dropped}: {style}{verdict}{style:#}",
        chains.len()
    )
}

fn print_chain(output: &mut impl Write, chain: &ChainReport) -> io::Result<()> {
    let ChainReport {
        chain_id,
        instance,
        records: _,
        dropped,
        begins,
        first,
        last,
        last_hash,
        closed,
    } = chain;
    let begins = match begins {
        Begins::Whole => "whole",
        Begins::Rotated => "rotated",
        Begins::Middle => "middle",
    };
    let ends = if *closed { "closed" } else { "open" };
    let records = format!("{first} to {last}");
    writeln!(
        output,
        "{chain_id}  {instance:30}  {records:21}  {dropped:7}  {begins:7}  {ends:6}  {last_hash}"
    )
}
