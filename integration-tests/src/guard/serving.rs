//! One run of the guard's process.

mod lines;

use std::{
    path::PathBuf,
    process::{Command, ExitStatus},
    sync::Arc,
    time::Duration,
};

use anyhow::{Context, Result, anyhow, ensure};
use serde_json::Value;

use crate::process::Process;
pub(super) use lines::Lines;

/// What the guard is started with.
#[derive(Clone, Debug)]
pub(super) struct Options {
    pub(super) program: PathBuf,
    pub(super) namespace: String,
    pub(super) listen: String,
    pub(super) config: PathBuf,
    pub(super) kubeconfig: PathBuf,
    pub(super) ca: PathBuf,
    pub(super) logs: PathBuf,
    /// Of its log.
    pub(super) name: &'static str,
    pub(super) arguments: Vec<String>,
}

/// A guard that said it serves.
#[derive(Debug)]
pub(super) struct Serving {
    process: Process,
    lines: Arc<Lines>,
    ready: Ready,
}

/// What it said of itself.
#[derive(Clone, Debug)]
pub(super) struct Ready {
    pub(super) url: String,
    pub(super) admin: String,
}

impl Serving {
    /// Starts the guard and waits for its first line.
    pub(super) fn start(options: &Options) -> Result<Self> {
        let Options { program, namespace, listen, config, kubeconfig, ca, logs, name, arguments } =
            options;
        let mut command = Command::new(program);
        command
            .arg("serve")
            .arg("--config")
            .arg(config)
            .arg("--kubeconfig")
            .arg(kubeconfig)
            .args(["--listen", listen, "--admin-listen", "127.0.0.1:0"])
            .args(["--namespace", namespace])
            // Nobody has to notice: the apiserver knows one address only.
            .args(["--shutdown-delay", "0"])
            .arg("--ca-out")
            .arg(ca)
            .args(arguments);
        let (mut process, output) = Process::start_piped(name, &command, logs)?;
        let lines = Lines::read_from(output);
        let first = lines.wait_for(READY_DEADLINE, |_| true).map_err(|_| {
            // Its own end is the better story, if that is why nothing came.
            let ended = process.wait(GRACE).and_then(|_| process.check_running());
            ended.err().unwrap_or_else(|| anyhow!("nothing came"))
        });
        let ready = first
            .and_then(|line| Ready::parse(&line))
            .with_context(|| format!("the guard did not say it serves\n{}", process.log_tail()))?;
        Ok(Self { process, lines, ready })
    }

    /// Asks it to stop and waits for it.
    pub(super) fn stop(&mut self) -> Result<ExitStatus> {
        self.process.terminate()?;
        self.process.wait(STOP_DEADLINE).with_context(|| self.process.log_tail())
    }

    pub(super) fn check_running(&mut self) -> Result<()> {
        self.process.check_running()
    }

    pub(super) fn log_tail(&self) -> String {
        self.process.log_tail()
    }

    pub(super) fn ready(&self) -> &Ready {
        &self.ready
    }

    /// Everything it printed on standard output, the first line included.
    pub(super) fn lines(&self) -> Arc<Lines> {
        Arc::clone(&self.lines)
    }
}

impl Ready {
    fn parse(line: &Value) -> Result<Self> {
        ensure!(line["event"] == "serving", "the first line is {line}");
        let text = |key: &str| {
            let value = line[key].as_str().map(str::to_owned);
            value.with_context(|| format!("no {key} in {line}"))
        };
        Ok(Self { url: text("url")?, admin: text("admin")? })
    }
}

/// Far more than a sync of an empty cluster and a certificate take.
const READY_DEADLINE: Duration = Duration::from_secs(30);
/// Between the end of its output and the end of the process.
const GRACE: Duration = Duration::from_secs(1);
/// The default grace period of a pod: what does not stop by then is killed in a cluster.
const STOP_DEADLINE: Duration = Duration::from_secs(30);
