use std::{
    convert::Infallible,
    io::{self, BufRead, Write},
};

use anstyle::{AnsiColor, Style};
use clap::{Args, ValueEnum};
use jiff::{Span, Timestamp, civil::Date, tz::TimeZone};
use nfs_guard_policies::glob::Glob;

use super::LogArguments;
use crate::{
    audit::show::{Filter, Shown},
    cli::{Exit, Failure, output::Output, printed},
};

/// Read an audit log: one line for each finding, or the records as they are
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  nfs-guard audit show /var/log/nfs-guard/ --decision deny --since 24h\n  \
                        kubectl logs -n nfs-guard deploy/nfs-guard | nfs-guard audit show - --namespace 'vault*'\n\n\
                        Whether it is as it was written, `nfs-guard audit verify` says.\n\
                        Exit codes: 0 good, 2 something could not be read."
)]
pub(super) struct Show {
    #[command(flatten)]
    log: LogArguments,
    /// Only these decisions: deny, patch, warn, audit, allow; may be repeated
    #[arg(long, value_name = "DECISION")]
    decision: Vec<Decision>,
    /// Only in these namespaces; may hold * and be repeated
    #[arg(long, value_name = "NAME", value_parser = NAME)]
    namespace: Vec<Glob>,
    /// Only by these users; may hold * and be repeated
    #[arg(long, value_name = "NAME", value_parser = NAME)]
    user: Vec<Glob>,
    /// Only with a finding of these rules; may be repeated
    #[arg(long, value_name = "RULE")]
    rule: Vec<String>,
    /// Only since then: a time, a date, or how long ago, such as 90m or 2d
    #[arg(long, value_name = "TIME", value_parser = since)]
    since: Option<Timestamp>,
    /// Form of the answer; the JSON is the lines as they were written
    #[arg(short, long, default_value = "table")]
    output: Output,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Decision {
    Deny,
    Patch,
    Warn,
    Audit,
    Allow,
}

/// Any text is one.
const NAME: fn(&str) -> Result<Glob, Infallible> = |text| Ok(text.into());

fn since(text: &str) -> Result<Timestamp, String> {
    let now = Timestamp::now();
    if let Ok(time) = text.parse::<Timestamp>() {
        return Ok(time);
    }
    if let Ok(date) = text.parse::<Date>() {
        let midnight = date.to_zoned(TimeZone::UTC).map_err(|error| error.to_string())?;
        return Ok(midnight.timestamp());
    }
    let span: Span = text.parse().map_err(|_| "expected a time, a date, or 90m, 24h, 2d")?;
    let then = now.to_zoned(TimeZone::UTC).checked_sub(span.abs());
    then.map(|then| then.timestamp()).map_err(|error| error.to_string())
}

impl Show {
    pub(super) fn run(&self) -> Result<Exit, Failure> {
        let decisions = self.decision.iter().map(|decision| match decision {
            Decision::Deny => "deny",
            Decision::Patch => "patch",
            Decision::Warn => "warn",
            Decision::Audit => "audit",
            Decision::Allow => "allow",
        });
        let filter = Filter {
            decisions: decisions.collect(),
            namespaces: self.namespace.clone(),
            users: self.user.clone(),
            rules: self.rule.clone(),
            since: self.since,
        };
        let inputs = self.log.inputs()?;
        let mut output = anstream::stdout();
        if let Output::Table = self.output {
            let bold = Style::new().bold();
            printed(writeln!(output, "{bold}{HEAD}{bold:#}"))?;
        }
        for input in inputs {
            let mut closed = false;
            input.read(|text| {
                let shown = self.show(text, &filter, &mut output);
                closed =
                    shown.as_ref().is_err_and(|error| error.kind() == io::ErrorKind::BrokenPipe);
                if closed { Ok(()) } else { shown }
            })?;
            if closed {
                break;
            }
        }
        Ok(Exit::Good)
    }

    fn show(
        &self,
        text: &mut dyn BufRead,
        filter: &Filter,
        output: &mut impl Write,
    ) -> io::Result<()> {
        let mut line = Vec::new();
        loop {
            line.clear();
            if text.read_until(b'\n', &mut line)? == 0 {
                return Ok(());
            }
            let Some(record) = Shown::read(&line).filter(|record| filter.takes(record)) else {
                continue;
            };
            match self.output {
                Output::Table => print_rows(output, &record)?,
                Output::Json => {
                    output.write_all(line.strip_suffix(b"\n").unwrap_or(&line))?;
                    // A writer that was killed may not have ended its last one.
                    output.write_all(b"\n")?;
                }
            }
        }
    }
}

const HEAD: &str = "TIME                  DECISION  OPERATION  OBJECT                                    USER                            WHY";

/// A row for each finding; what they have in common stands in the first.
fn print_rows(output: &mut impl Write, record: &Shown) -> io::Result<()> {
    let [time, decision, operation, object, user] = record.cells();
    let style = style(&decision);
    let mut reasons = record.reasons().into_iter();
    let first = reasons.next().unwrap_or_default();
    writeln!(
        output,
        "{time:20}  {style}{decision:8}{style:#}  {operation:9}  {object:40}  {user:30}  {first}"
    )?;
    for reason in reasons {
        writeln!(output, "{:117}  {reason}", "")?;
    }
    Ok(())
}

fn style(decision: &str) -> Style {
    match decision {
        "deny" | "dropped" => AnsiColor::Red.on_default(),
        "warn" => AnsiColor::Yellow.on_default(),
        "patch" | "audit" | "allow" => AnsiColor::Green.on_default(),
        _ => Style::new().dimmed(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_one_or_how_long_ago() {
        let day = Timestamp::from_second(86_400).unwrap();
        assert_eq!(since("1970-01-02T00:00:00Z"), Ok(day));
        assert_eq!(since("1970-01-02"), Ok(day));
        for (text, seconds) in [("90m", 5400), ("24h", 86_400), ("2d", 172_800)] {
            let ago = Timestamp::now().as_second() - since(text).unwrap().as_second();
            assert!((seconds..seconds + 60).contains(&ago), "{text}: {ago}");
        }
        assert!(since("yesterday").is_err());
    }

    #[test]
    fn a_last_line_without_an_end_is_not_joined_with_the_next_file() {
        #[derive(clap::Parser)]
        struct Command {
            #[command(flatten)]
            show: Show,
        }
        let Command { show } = clap::Parser::parse_from(["show", "-", "-o", "json"]);
        let line = r#"{"event":"closed","chainId":"c"}"#;
        let mut shown = Vec::new();
        for text in [line.to_owned(), format!("{line}\n")] {
            show.show(&mut text.as_bytes(), &Filter::default(), &mut shown).unwrap();
        }
        assert_eq!(String::from_utf8(shown).unwrap(), format!("{line}\n{line}\n"));
    }
}
