//! Long-lived child processes that never outlive the test process.

use std::{
    fs::{self, File},
    io,
    os::fd::AsFd as _,
    path::{Path, PathBuf},
    process::{Child, ChildStdout, Command, ExitStatus, Stdio},
    sync::{OnceLock, mpsc},
    thread,
    time::Duration,
};

use anyhow::{Context, Result, anyhow, bail};
use rustix::{
    io::Errno,
    process::{Pid, PidfdFlags, Signal, WaitId, WaitIdOptions, kill_process, pidfd_open, waitid},
};

use crate::wait::{Progress, wait_for};

/// A running program and the file its output goes to; dropping it kills it.
#[derive(Debug)]
pub struct Process {
    name: String,
    child: Child,
    log: PathBuf,
}

impl Process {
    /// Starts `command`; standard output and error go to `<logs>/<name>.log`.
    pub fn start(name: &str, command: &Command, logs: &Path) -> Result<Self> {
        let (log, file) = open_log(name, logs)?;
        let output = file.try_clone().context("sharing a log file")?;
        let child = spawn(command, output.into(), file.into())
            .with_context(|| format!("starting {name}"))?;
        Ok(Self { name: name.to_owned(), child, log })
    }

    /// As [`Process::start`], but standard output goes to the caller.
    pub fn start_piped(name: &str, command: &Command, logs: &Path) -> Result<(Self, ChildStdout)> {
        let (log, file) = open_log(name, logs)?;
        let mut child = spawn(command, Stdio::piped(), file.into())
            .with_context(|| format!("starting {name}"))?;
        let output = child.stdout.take().expect("standard output was asked to be a pipe");
        Ok((Self { name: name.to_owned(), child, log }, output))
    }

    /// Its process id.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// The file with what it printed.
    #[must_use]
    pub fn log(&self) -> &Path {
        &self.log
    }

    /// Fails with the end of the log if the program is no longer running.
    pub fn check_running(&mut self) -> Result<()> {
        match self.child.try_wait().context("asking after a child")? {
            None => Ok(()),
            Some(status) => bail!("{} ended with {status}\n{}", self.name, self.log_tail()),
        }
    }

    /// Asks the program to end (SIGTERM).
    pub fn terminate(&self) -> Result<()> {
        // The child is not reaped yet, so its id still is its own.
        kill_process(self.pid()?, Signal::TERM)
            .with_context(|| format!("terminating {}", self.name))
    }

    /// Ends the program (SIGKILL).
    pub fn kill(&mut self) -> Result<()> {
        self.child.kill().with_context(|| format!("killing {}", self.name))
    }

    /// Is ready when the program has ended; until then it keeps a thread of the
    /// runtime's waiting.
    pub fn end(&self) -> Result<impl Future<Output = ()> + Send + use<>> {
        let descriptor = pidfd_open(self.pid()?, PidfdFlags::empty())
            .with_context(|| format!("watching {}", self.name))?;
        let waiting = tokio::task::spawn_blocking(move || {
            // Whoever owns the child reaps it.
            let how = WaitIdOptions::EXITED | WaitIdOptions::NOWAIT;
            while let Err(Errno::INTR) = waitid(WaitId::PidFd(descriptor.as_fd()), how) {}
        });
        Ok(async {
            // It does not panic, and a runtime that ends polls nobody.
            let _ = waiting.await;
        })
    }

    /// Waits for the program to end by itself.
    pub fn wait(&mut self, deadline: Duration) -> Result<ExitStatus> {
        wait_for(&format!("{} to end", self.name), deadline, || {
            let ended = self.child.try_wait().context("asking after a child")?;
            Ok(ended.map_or_else(|| Progress::NotYet("it runs".into()), Progress::Done))
        })
    }

    fn pid(&self) -> Result<Pid> {
        let pid = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw);
        pid.context("a process id is a positive number")
    }

    /// The last lines of the log, under its path.
    #[must_use]
    pub fn log_tail(&self) -> String {
        let log = fs::read(&self.log).unwrap_or_default();
        let log = String::from_utf8_lossy(&log);
        let lines: Vec<&str> = log.lines().collect();
        let tail = &lines[lines.len().saturating_sub(LOG_TAIL)..];
        format!("--- the end of {} ---\n{}", self.log.display(), tail.join("\n"))
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // Nothing can be done about a failure here, and the death signal of
        // `spawn` still stands behind it.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Enough for a Go stack trace's first frames.
const LOG_TAIL: usize = 30;

fn open_log(name: &str, logs: &Path) -> Result<(PathBuf, File)> {
    let log = logs.join(format!("{name}.log"));
    let file = File::options()
        .create(true)
        .append(true)
        .open(&log)
        .with_context(|| format!("opening {}", log.display()))?;
    Ok((log, file))
}

/// Starts `command` such that the kernel kills it when this process ends, in
/// whatever way this process ends.
///
/// The parent-death signal is sent when the *thread* that forked ends, and a
/// test's thread ends with its test while the control plane lives on. So one
/// thread that lives as long as the process starts every child.
fn spawn(command: &Command, output: Stdio, errors: Stdio) -> Result<Child> {
    let (answer, answered) = mpsc::channel();
    let order = Order { command: dying_with_parent(command, output, errors), answer };
    spawner().send(order).map_err(|_| anyhow!("the spawning thread has ended"))?;
    let spawned = answered.recv().context("the spawning thread has ended")?;
    spawned.map_err(|error| match error.kind() {
        io::ErrorKind::NotFound => {
            anyhow!("setpriv is not on PATH; on Debian it is in the package util-linux")
        }
        _ => error.into(),
    })
}

struct Order {
    command: Command,
    answer: mpsc::Sender<io::Result<Child>>,
}

fn spawner() -> &'static mpsc::Sender<Order> {
    static SPAWNER: OnceLock<mpsc::Sender<Order>> = OnceLock::new();
    SPAWNER.get_or_init(|| {
        let (orders, received) = mpsc::channel::<Order>();
        thread::spawn(move || {
            for Order { mut command, answer } in received {
                // Whoever ordered waits for the answer.
                let _ = answer.send(command.spawn());
            }
        });
        orders
    })
}

/// The same command under setpriv, which sets the death signal and becomes the
/// program: the child's id is the program's own.
fn dying_with_parent(command: &Command, output: Stdio, errors: Stdio) -> Command {
    let mut wrapped = Command::new("setpriv");
    wrapped
        .args(["--pdeathsig", "KILL", "--"])
        .arg(command.get_program())
        .args(command.get_args())
        .stdin(Stdio::null())
        .stdout(output)
        .stderr(errors);
    for (name, value) in command.get_envs() {
        match value {
            Some(value) => wrapped.env(name, value),
            None => wrapped.env_remove(name),
        };
    }
    if let Some(folder) = command.get_current_dir() {
        wrapped.current_dir(folder);
    }
    wrapped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn outlives_the_thread_that_started_it_and_ends_when_told() {
        let logs = tempfile::tempdir().expect("a folder can be made");
        let folder = logs.path().to_path_buf();
        let starter = thread::spawn(move || Process::start("sleep", &sleep(), &folder));
        let mut process = starter.join().expect("no panic").expect("it starts");
        process.check_running().expect("it outlives its starter");
        process.terminate().expect("it can be told");
        let status = process.wait(Duration::from_secs(5)).expect("it ends");
        assert_eq!(status.to_string(), "signal: 15 (SIGTERM)");
    }

    #[tokio::test]
    async fn its_end_can_be_awaited_and_is_then_reported() {
        let logs = tempfile::tempdir().expect("a folder can be made");
        let mut process = Process::start("sleep", &sleep(), logs.path()).expect("it starts");
        let end = process.end().expect("it can be watched");
        process.kill().expect("it can be killed");
        end.await;
        let status = process.wait(Duration::ZERO).expect("it has ended");
        assert_eq!(status.to_string(), "signal: 9 (SIGKILL)");
    }

    #[test]
    fn names_the_program_and_shows_its_log_when_it_has_ended() {
        let logs = tempfile::tempdir().expect("a folder can be made");
        let mut command = Command::new("sh");
        command.args(["-c", "echo no such volume; exit 3"]);
        let mut process = Process::start("mount", &command, logs.path()).expect("it starts");
        process.wait(Duration::from_secs(5)).expect("it ends");
        let error = process.check_running().expect_err("it has ended").to_string();
        assert!(error.contains("mount ended with exit status: 3"), "{error}");
        assert!(error.ends_with("no such volume"), "{error}");
    }

    fn sleep() -> Command {
        let mut command = Command::new("sleep");
        command.arg("60");
        command
    }
}
