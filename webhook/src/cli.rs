//! The command line.

mod audit;
mod audit_log;
mod certificates;
mod check;
mod demo;
mod embedded;
mod explain_driver;
mod installation;
mod kubernetes;
mod log;
mod output;
mod policy;
mod running;
mod scan;
mod schema;
mod self_test;
mod serve;

use std::{
    fmt,
    io::{self, Write as _},
    path::PathBuf,
    process::ExitCode,
};

use clap::{CommandFactory as _, Parser, Subcommand, ValueHint};
use nfs_guard_policies::Snapshot;

use self::log::Log;
pub use self::serve::LONGEST_END;
use crate::manifest::{InputError, Manifests};

/// Keeps critical Kubernetes workloads off NFS.
#[derive(Debug, Parser)]
#[command(name = "nfs-guard", version, arg_required_else_help = true, max_term_width = 100)]
#[command(after_help = "Exit codes: 0 good, 1 a negative finding or a failure, 2 bad usage, \
                        configuration or input, 3 cluster unreachable.\nLogs go to standard error; RUST_LOG sets \
                        their level (default: info).")]
pub struct Command {
    #[command(subcommand)]
    task: Task,
}

#[derive(Debug, Subcommand)]
enum Task {
    Serve(Box<serve::Serve>),
    Demo(demo::Demo),
    Check(check::Check),
    Scan(scan::Scan),
    ExplainDriver(explain_driver::ExplainDriver),
    SelfTest(Box<self_test::SelfTest>),
    Audit(audit::Audit),
    Schema(schema::Schema),
    /// Print a completion script for a shell
    #[command(
        after_help = "Example:\n  nfs-guard completions bash > /etc/bash_completion.d/nfs-guard"
    )]
    Completions {
        /// The shell
        shell: clap_complete::Shell,
    },
    /// Print the manual page
    #[command(after_help = "Example:\n  nfs-guard man | man -l -")]
    Man,
}

/// What a command came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Exit {
    /// All is well.
    Good,
    /// It did its work and the answer is no.
    Negative,
}

/// Why a command could not do its work.
#[derive(Debug)]
enum Failure {
    /// What it was given cannot be used; each line says what and where.
    Input(Vec<InputError>),
    /// The cluster cannot be reached.
    Unreachable(anyhow::Error),
    /// Anything else.
    Other(anyhow::Error),
}

impl From<InputError> for Failure {
    fn from(error: InputError) -> Self {
        Self::Input(vec![error])
    }
}

impl From<anyhow::Error> for Failure {
    fn from(error: anyhow::Error) -> Self {
        Self::Other(error)
    }
}

impl From<std::io::Error> for Failure {
    fn from(error: std::io::Error) -> Self {
        Self::Other(error.into())
    }
}

/// Runs a command to its end.
#[must_use]
pub fn run(command: Command) -> ExitCode {
    let log = Log::to_standard_error();
    let ended = match command.task {
        Task::Serve(serve) => serve.run(),
        Task::Demo(demo) => demo.run(),
        Task::Check(check) => check.run(),
        Task::Scan(scan) => scan.run(),
        Task::ExplainDriver(explain) => explain.run(),
        Task::SelfTest(self_test) => self_test.run(),
        Task::Audit(audit) => audit.run(),
        Task::Schema(schema) => schema.run(),
        Task::Completions { shell } => {
            let mut command = Command::command();
            let mut script = Vec::new();
            clap_complete::generate(shell, &mut command, "nfs-guard", &mut script);
            printed(io::stdout().write_all(&script)).map(|()| Exit::Good).map_err(Into::into)
        }
        Task::Man => {
            let manual = clap_mangen::Man::new(Command::command());
            printed(manual.render(&mut io::stdout())).map(|()| Exit::Good).map_err(Into::into)
        }
    };
    log.flush();
    exit_code(ended)
}

fn exit_code(ended: Result<Exit, Failure>) -> ExitCode {
    match ended {
        Ok(Exit::Good) => ExitCode::SUCCESS,
        Ok(Exit::Negative) => ExitCode::from(1),
        Err(Failure::Input(errors)) => {
            for error in errors {
                tell(format_args!("error: {error}"));
            }
            ExitCode::from(2)
        }
        Err(Failure::Unreachable(error)) => {
            tell(format_args!("error: {error:#}"));
            ExitCode::from(3)
        }
        Err(Failure::Other(error)) => {
            tell(format_args!("error: {error:#}"));
            ExitCode::from(1)
        }
    }
}

/// Writes a line on standard error. If that is gone, there is nobody to tell.
fn tell(line: fmt::Arguments<'_>) {
    let _ = writeln!(anstream::stderr(), "{line}");
}

/// Output that nobody reads any more is no failure: whoever closed the pipe has
/// seen enough (`nfs-guard schema | head`), and the exit code still tells.
fn printed(result: io::Result<()>) -> io::Result<()> {
    match result {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        other => other,
    }
}

/// The configuration file, as several commands take it.
#[derive(Debug, clap::Args)]
struct ConfigArgument {
    /// Configuration file (YAML); without it, the defaults
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    config: Option<PathBuf>,
}

/// Snapshots of a cluster, as several commands take them.
#[derive(Debug, clap::Args)]
struct ClusterArgument {
    /// Snapshot of the cluster, as `kubectl get ns,sc,pv,pvc,csidrivers -A -o yaml` prints it; may be repeated
    #[arg(long, value_name = "SNAPSHOT", value_hint = ValueHint::FilePath)]
    cluster: Vec<PathBuf>,
}

impl ClusterArgument {
    /// The cluster, and the inputs that could not be read.
    fn read(&self) -> (Snapshot, Vec<InputError>) {
        let manifests = Manifests::read(&self.cluster);
        let mut snapshot = Snapshot::complete();
        manifests.insert_into(&mut snapshot);
        (snapshot, manifests.errors)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_sound_and_every_command_shows_an_example() {
        let command = Command::command();
        command.clone().debug_assert();
        let tasks = command.get_subcommands();
        for task in tasks.flat_map(|task| task.get_subcommands().chain([task])) {
            let help = task.get_after_help().map(ToString::to_string).unwrap_or_default();
            assert!(help.contains("Example"), "{} shows no example", task.get_name());
        }
    }
}
