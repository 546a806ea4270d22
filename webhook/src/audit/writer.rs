//! Seals records and writes them out, on a thread of its own.

use std::{
    io::{self, ErrorKind, Write},
    thread,
    time::Duration,
};

use super::{
    chain::Chain,
    file::LogFile,
    queue::Records,
    record::{Closed, Opened, Rotated, json},
};
use crate::{config::Fingerprint, metrics::Metrics};

/// Most records that are taken at once.
const MOST_AT_ONCE: usize = 1024;

/// As many bytes are written at once, or a record more.
const MOST_TEXT: usize = 1 << 20;

/// How long the writer rests after each write. A record that comes alone is
/// written at once; what comes meanwhile goes out together. To wake the writer
/// and whoever reads costs as much as to judge, and under load would be paid
/// for every review.
const REST: Duration = Duration::from_millis(5);

/// Between two attempts to write what could not be written, doubled up to the
/// longest: a disk that somebody cleared is used again within seconds.
const FIRST_PAUSE: Duration = Duration::from_millis(50);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

/// Who writes a log.
#[derive(Clone, Debug, Default)]
pub struct Origin {
    /// The replica: the name of its pod.
    pub instance: String,
    /// Fingerprint of the configuration it starts with.
    pub config: Fingerprint,
}

/// Where the log goes, and the end of its chain.
pub struct Log {
    output: Output,
    chain: Chain,
    config: Fingerprint,
    /// Lines that are to be written, and how much of them has been: what did not
    /// fit is tried again from there, so that no line is ever broken in two.
    text: Vec<u8>,
    written: usize,
    failing: bool,
}

enum Output {
    Stream(Box<dyn Write + Send>),
    File(Box<LogFile>),
}

impl Log {
    /// A log that goes to a stream, with a chain of its own.
    #[must_use]
    pub fn to_stream(stream: Box<dyn Write + Send>, origin: &Origin) -> Self {
        Self::new(Output::Stream(stream), Chain::begin(&origin.instance), origin)
    }

    /// A log that goes to a file, whose chain goes on.
    #[must_use]
    pub fn to_file(file: LogFile, origin: &Origin) -> Self {
        let chain = match file.end().last() {
            Some(last) => Chain::resume(last, &origin.instance),
            None => Chain::begin(&origin.instance),
        };
        Self::new(Output::File(Box::new(file)), chain, origin)
    }

    fn new(output: Output, chain: Chain, origin: &Origin) -> Self {
        let config = origin.config;
        Self { output, chain, config, text: Vec::new(), written: 0, failing: false }
    }

    /// Says that somebody writes from now on.
    fn open(&mut self) {
        let (continued, torn) = match &self.output {
            Output::Stream(_) => (false, None),
            Output::File(file) => {
                let end = file.end();
                let torn = end.torn();
                if !end.is_whole() {
                    self.text.push(b'\n');
                } else if file.is_empty() && end.last().is_some() {
                    // Whoever began it could not say so any more.
                    self.chain.seal(&json(&Rotated::new(file.keep())), &mut self.text);
                }
                (end.last().is_some(), torn)
            }
        };
        self.chain.seal(&json(&Opened::new(self.config, continued, torn)), &mut self.text);
    }

    /// Adds a record, in a new file if the present one is full.
    fn append(&mut self, record: &[u8], metrics: &Metrics) {
        if let Output::File(file) = &self.output
            && file.is_full(self.text.len(), record.len() + self.chain.seal_length())
        {
            self.flush(metrics);
            self.rotate();
        }
        self.chain.seal(record, &mut self.text);
        if self.text.len() > MOST_TEXT {
            self.flush(metrics);
        }
    }

    fn rotate(&mut self) {
        let Output::File(file) = &mut self.output else { return };
        match file.rotate() {
            Ok(()) => self.chain.seal(&json(&Rotated::new(file.keep())), &mut self.text),
            // Better a file too large than no log.
            Err(error) => tracing::error!(%error, "audit log not rotated"),
        }
    }

    /// Writes everything, however long it takes: what comes meanwhile waits as far
    /// as there is room, and is lost and counted beyond that.
    fn flush(&mut self, metrics: &Metrics) {
        let mut pause = FIRST_PAUSE;
        while let Err(error) = self.try_flush() {
            metrics.audit_write_failed();
            if !self.failing {
                tracing::error!(%error, "audit log cannot be written, trying again until it can");
                self.failing = true;
            }
            thread::sleep(pause);
            pause = LONGEST_PAUSE.min(2 * pause);
        }
        if self.failing {
            tracing::info!("audit log is written again");
            self.failing = false;
        }
    }

    fn try_flush(&mut self) -> io::Result<()> {
        while let rest = &self.text[self.written..]
            && !rest.is_empty()
        {
            let wrote = match &mut self.output {
                Output::Stream(stream) => stream.write(rest),
                Output::File(file) => file.write(rest),
            };
            match wrote {
                Ok(0) => return Err(ErrorKind::WriteZero.into()),
                Ok(bytes) => self.written += bytes,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        self.text.clear();
        self.written = 0;
        match &mut self.output {
            Output::Stream(stream) => stream.flush(),
            Output::File(_) => Ok(()),
        }
    }

    /// Says that nobody writes any more.
    fn close(mut self, metrics: &Metrics) {
        self.append(&json(&Closed::new()), metrics);
        self.flush(metrics);
        if let Output::File(file) = &self.output
            && let Err(error) = file.sync()
        {
            tracing::error!(%error, "audit log not on disk for certain");
        }
    }
}

/// Writes the records; ends when every [`Audit`](super::Audit) is gone.
#[derive(Debug)]
pub struct AuditWriter {
    records: Records,
}

impl AuditWriter {
    pub(super) fn new(records: Records) -> Self {
        Self { records }
    }

    /// Writes records until there will be no more, on a thread of its own:
    /// a pipe that nobody reads must hold up nothing else.
    pub fn run(mut self, mut log: Log) {
        log.open();
        log.flush(self.records.metrics());
        loop {
            let records = self.records.take(MOST_AT_ONCE);
            if records.is_empty() {
                break;
            }
            for record in &records {
                log.append(record, self.records.metrics());
            }
            log.flush(self.records.metrics());
            if let Some(dropped) = self.records.written(&records) {
                log.append(&json(&dropped), self.records.metrics());
                log.flush(self.records.metrics());
            }
            thread::sleep(REST);
        }
        log.close(self.records.metrics());
    }
}
