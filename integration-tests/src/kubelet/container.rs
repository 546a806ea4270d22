//! One container, and the processes it is one after another.

use std::{
    os::unix::process::ExitStatusExt as _,
    path::PathBuf,
    pin::pin,
    process::{Command, ExitStatus},
    sync::Arc,
    time::Duration,
};

use anyhow::{Context, Result};
use jiff::Timestamp;
use k8s_openapi::{
    api::core::v1::{
        Container as Spec, ContainerState, ContainerStateRunning, ContainerStateTerminated,
        ContainerStateWaiting, ContainerStatus,
    },
    apimachinery::pkg::apis::meta::v1::Time,
};
use tokio::{sync::watch, time};

use super::{host::Host, image, probe::Probes, status::Observed};
use crate::process::Process;

/// What a container is run as.
pub(super) struct Container {
    pub(super) host: Arc<Host>,
    /// `<namespace>/<pod>`
    pub(super) pod: String,
    pub(super) spec: Spec,
    /// Its place among the statuses.
    pub(super) index: usize,
    /// `Always`, `OnFailure` or `Never`.
    pub(super) restart_policy: String,
    /// How long it gets when its liveness probe has failed.
    pub(super) grace: Duration,
    pub(super) command: Command,
    pub(super) probes: Probes,
    /// Where its output goes.
    pub(super) folder: PathBuf,
}

/// The status of a container that has not started yet.
pub(super) fn waiting(spec: &Spec, before: Option<&ContainerStatus>) -> ContainerStatus {
    let reason = if image::is_here(spec.image.as_deref().unwrap_or_default()) {
        "ContainerCreating"
    } else {
        "ErrImagePull"
    };
    // Whatever ran before the node's restart has ended with it.
    let last_state = before.and_then(|before| before.state.clone()).map(|state| ContainerState {
        terminated: Some(ContainerStateTerminated {
            exit_code: 137,
            reason: Some("NodeRestarted".into()),
            started_at: state.running.and_then(|running| running.started_at),
            finished_at: Some(Time(Timestamp::now())),
            ..ContainerStateTerminated::default()
        }),
        ..ContainerState::default()
    });
    ContainerStatus {
        name: spec.name.clone(),
        image: spec.image.clone().unwrap_or_default(),
        restart_count: before.map_or(0, |before| before.restart_count + 1),
        state: Some(wait_for(reason)),
        last_state,
        started: Some(false),
        ..ContainerStatus::default()
    }
}

impl Container {
    /// Runs until it has ended for good: by its restart policy, or because
    /// `stop` names the grace period after which it is killed.
    pub(super) async fn run(
        self,
        observed: &watch::Sender<Observed>,
        mut stop: watch::Receiver<Option<Duration>>,
    ) {
        let report = Report { observed, index: self.index };
        let mut pause = FIRST_PAUSE;
        loop {
            let started = Time(Timestamp::now());
            let (exit_code, stopping) = match self.run_once(&report, &mut stop).await {
                Ok(ended) => ended,
                Err(error) => {
                    self.host.log(format_args!("{} {}: {error:#}", self.pod, self.spec.name));
                    (CANNOT_START, stop.borrow().is_some())
                }
            };
            let terminated = ContainerState {
                terminated: Some(ContainerStateTerminated {
                    exit_code,
                    reason: Some(if exit_code == 0 { "Completed" } else { "Error" }.into()),
                    started_at: Some(started),
                    finished_at: Some(Time(Timestamp::now())),
                    ..ContainerStateTerminated::default()
                }),
                ..ContainerState::default()
            };
            report.change(|status| {
                status.ready = false;
                status.started = Some(false);
                status.state = Some(terminated);
            });
            let again = match self.restart_policy.as_str() {
                "Never" => false,
                "OnFailure" => exit_code != 0,
                _ => true,
            };
            if stopping || !again {
                return;
            }
            report.change(|status| {
                status.last_state = status.state.replace(wait_for("CrashLoopBackOff"));
                status.restart_count += 1;
            });
            tokio::select! {
                () = time::sleep(pause) => pause = LONGEST_PAUSE.min(2 * pause),
                _ = asked(&mut stop) => return,
            }
        }
    }

    /// One process: its exit code, and whether it was asked to stop.
    async fn run_once(
        &self,
        report: &Report<'_>,
        stop: &mut watch::Receiver<Option<Duration>>,
    ) -> Result<(i32, bool)> {
        let name = &self.spec.name;
        let mut process = Process::start(name, &self.command, &self.folder)?;
        self.host.set_container_log(format!("{}/{name}", self.pod), process.log());
        let id = format!("process://{}", process.id());
        let running = ContainerStateRunning { started_at: Some(Time(Timestamp::now())) };
        report.change(|status| {
            status.container_id = Some(id);
            status.state =
                Some(ContainerState { running: Some(running), ..ContainerState::default() });
        });
        let mut probing = pin!(self.probes.watch(|ready| {
            report.change(|status| {
                status.started = Some(true);
                status.ready = ready;
            });
        }));
        let mut ended = pin!(process.end()?);
        let (mut unhealthy, mut stopping) = (false, false);
        let mut killed_at = None;
        loop {
            let kill = async move {
                match killed_at {
                    Some(at) => time::sleep_until(at).await,
                    None => std::future::pending().await,
                }
            };
            let grace = tokio::select! {
                () = &mut ended => {
                    return Ok((exit_code(process.wait(Duration::ZERO)?), stopping));
                }
                why = &mut probing, if !unhealthy => {
                    unhealthy = true;
                    self.host.log(format_args!("{} {name}: {why}", self.pod));
                    self.grace
                }
                grace = asked(stop), if !stopping => {
                    stopping = true;
                    grace
                }
                () = kill => {
                    process.kill()?;
                    killed_at = None;
                    continue;
                }
            };
            process.terminate()?;
            killed_at = Some(time::Instant::now() + grace);
        }
    }
}

/// A container's status among those of its pod.
struct Report<'a> {
    observed: &'a watch::Sender<Observed>,
    index: usize,
}

impl Report<'_> {
    fn change(&self, change: impl FnOnce(&mut ContainerStatus)) {
        self.observed.send_if_modified(|observed| {
            let status = &mut observed.containers[self.index];
            let before = status.clone();
            change(status);
            *status != before
        });
    }
}

const FIRST_PAUSE: Duration = Duration::from_millis(500);
const LONGEST_PAUSE: Duration = Duration::from_secs(10);
/// As a container runtime reports a command it cannot start.
const CANNOT_START: i32 = 128;

/// Waits until the pod is to go; whoever says so is gone himself with the pod.
pub(super) async fn asked(stop: &mut watch::Receiver<Option<Duration>>) -> Duration {
    let asked = stop.wait_for(Option::is_some).await;
    asked.ok().and_then(|grace| *grace).unwrap_or_default()
}

/// As a shell and a container runtime count: 128 and the signal.
fn exit_code(status: ExitStatus) -> i32 {
    status.code().or_else(|| status.signal().map(|signal| 128 + signal)).unwrap_or(CANNOT_START)
}

fn wait_for(reason: &str) -> ContainerState {
    let waiting = ContainerStateWaiting { reason: Some(reason.into()), message: None };
    ContainerState { waiting: Some(waiting), ..ContainerState::default() }
}

/// The command of a container that is not in an image but on this machine.
pub(super) fn command(
    program: &std::path::Path,
    spec: &Spec,
    arguments: Vec<String>,
    variables: Vec<(String, String)>,
) -> Result<Command> {
    let replaced = spec.command.as_ref().is_some_and(|command| !command.is_empty());
    (!replaced).then_some(()).context("the image's entry point is all there is to run")?;
    let mut command = Command::new(program);
    command.args(arguments).envs(variables);
    Ok(command)
}
