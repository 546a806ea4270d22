//! The log: JSON for machines, text for a person at a terminal, on standard
//! error.
//!
//! Lines are handed to a thread that writes them. Who logs never waits, since it
//! may be a request: what reads standard error in a container writes it to the
//! same disk as everything else, and stands still with it.

use std::{
    io::{self, IsTerminal as _, Write},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
        mpsc::{Receiver, SyncSender, sync_channel},
    },
    thread,
    time::Duration,
};

use tracing_subscriber::EnvFilter;

/// Most lines that wait to be written; further ones are lost and counted.
const MOST_WAITING: usize = 1024;

/// Longest time the last lines get to be written.
const LAST_LINES: Duration = Duration::from_secs(1);

/// The log of this process.
pub(super) struct Log(SyncSender<Message>);

enum Message {
    Line(Vec<u8>),
    /// Everything before this has been written.
    Written(SyncSender<()>),
}

impl Log {
    /// Sends all that is logged from now on to standard error.
    pub(super) fn to_standard_error() -> Self {
        let level = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("info"));
        let (sender, receiver) = sync_channel(MOST_WAITING);
        let lost = Arc::new(AtomicU64::new(0));
        let lines = Lines { sender: sender.clone(), lost: Arc::clone(&lost) };
        thread::spawn(move || write(&receiver, &lost));
        let log = tracing_subscriber::fmt()
            .with_env_filter(level)
            .with_writer(move || lines.clone())
            .with_ansi(io::stderr().is_terminal())
            // It would tell of a standard error that is gone, on standard error.
            .log_internal_errors(false);
        if io::stderr().is_terminal() {
            log.init();
        } else {
            log.json().flatten_event(true).init();
        }
        Self(sender)
    }

    /// Waits until what was logged is written, or nobody seems to read it.
    pub(super) fn flush(&self) {
        let (written, all_written) = sync_channel(1);
        if self.0.try_send(Message::Written(written)).is_ok() {
            let _ = all_written.recv_timeout(LAST_LINES);
        }
    }
}

/// Takes lines, and never waits.
#[derive(Clone)]
struct Lines {
    sender: SyncSender<Message>,
    lost: Arc<AtomicU64>,
}

impl Write for Lines {
    /// A line comes in one piece.
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        if self.sender.try_send(Message::Line(line.to_vec())).is_err() {
            self.lost.fetch_add(1, Ordering::Relaxed);
        }
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn write(messages: &Receiver<Message>, lost: &AtomicU64) {
    while let Ok(message) = messages.recv() {
        match message {
            // If standard error is gone, there is nobody to tell.
            Message::Line(line) => drop(io::stderr().write_all(&line)),
            Message::Written(all) => drop(all.send(())),
        }
        let lines = lost.swap(0, Ordering::Relaxed);
        if lines > 0 {
            tracing::warn!(lines, "log lines lost");
        }
    }
}
