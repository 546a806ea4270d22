use std::{
    io::{self, Write},
    sync::{Arc, Mutex},
    time::Duration,
};

use nfs_guard::{
    audit::{Log, Origin, audit, show::Shown, verify::Verifier},
    cluster::View,
    metrics::Metrics,
    reviewer::Reviewer,
};
use nfs_guard_policies::{Gate, Policy};
use tokio::runtime::Runtime;

use super::{Said, Target};
use crate::fuzz::corpus;

/// Audit logs, as somebody may have bent them.
pub(super) struct Logs<'a>(pub(super) &'a [Vec<u8>]);

impl Target for Logs<'_> {
    fn name(&self) -> &'static str {
        "audit logs"
    }

    fn corpus(&self) -> &[Vec<u8>] {
        self.0
    }

    fn words(&self) -> &[&str] {
        &[
            "\n",
            "opened",
            "rotated",
            "closed",
            "\"sequence\":0,",
            "\"torn\":{\"bytes\":0,\"sha256\":\"",
            "\"chainId\":\"",
            "\"previous\":\"",
            "0000000000000000000000000000000000000000000000000000000000000000",
            ",\"hash\":\"",
            "18446744073709551615",
        ]
    }

    /// Of each log that is said to be whole there must be the beginning, line by
    /// line: only the end can go unseen.
    fn attempt(&self, input: &[u8]) -> Result<Said, String> {
        let mut verifier = Verifier::default();
        verifier.read("-", input).map_err(|error| error.to_string())?;
        let lines: Vec<_> = input.split(|byte| *byte == b'\n').collect();
        for shown in lines.iter().filter_map(|line| Shown::read(line)) {
            let (cells, reasons) = (shown.cells(), shown.reasons());
            if cells.iter().chain(&reasons).any(|text| text.contains(char::is_control)) {
                return Err(format!("a terminal would obey {cells:?} {reasons:?}"));
            }
        }
        if !verifier.finish().whole {
            return Ok(Said::Refused);
        }
        for log in self.0 {
            let written: Vec<_> = log.split(|byte| *byte == b'\n').collect();
            let written = &written[..written.len() - 1];
            let kept = lines.iter().filter(|line| written.contains(line));
            if !kept.zip(written).all(|(kept, written)| kept == written) {
                return Err("said to be whole, and is not".to_owned());
            }
        }
        Ok(Said::Taken)
    }
}

/// Two logs of two replicas.
pub(super) fn logs(runtime: &Runtime) -> Vec<Vec<u8>> {
    ["guard-0", "guard-1"].map(|instance| log(runtime, instance)).to_vec()
}

fn log(runtime: &Runtime, instance: &str) -> Vec<u8> {
    let metrics = Arc::new(Metrics::default());
    let (audit, writer) = audit(Arc::clone(&metrics));
    let view = View::fixed(corpus::cluster());
    let reviewer = Reviewer::new(Policy::default(), view, audit, metrics);
    for review in corpus::reviews().into_iter().take(REVIEWS) {
        for gate in [Gate::Mutating, Gate::Validating] {
            let review = reviewer.review(gate, &review, Duration::from_secs(1));
            runtime.block_on(review).expect("the corpus is reviews");
        }
    }
    // The log is closed when nobody records any more.
    drop(reviewer);
    let text = Text::default();
    let origin = Origin { instance: instance.to_owned(), ..Origin::default() };
    writer.run(Log::to_stream(Box::new(text.clone()), &origin));
    let written = text.0.lock().expect("nobody panics while writing").clone();
    let lines = written.split(|byte| *byte == b'\n').count();
    assert!(lines > 3, "records between opened and closed");
    written
}

/// Of so many reviews, so that a log is short and much of it can be bent in a
/// second.
const REVIEWS: usize = 3;

/// An output that can still be read when it was given away.
#[derive(Clone, Default)]
struct Text(Arc<Mutex<Vec<u8>>>);

impl Write for Text {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().expect("nobody panics while writing").write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
