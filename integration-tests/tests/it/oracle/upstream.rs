//! Upstream's functions, in a process of their own.

use std::{
    io::{self, BufRead as _, BufReader, BufWriter, Write as _},
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
    thread,
};

use nfs_guard_integration_tests::binaries::Binaries;
use serde_json::Value;

use super::{Answer, Outcome, Question};

/// The process; it ends with its standard input.
pub(super) struct Upstream {
    process: Child,
    input: Option<ChildStdin>,
    output: BufReader<ChildStdout>,
}

impl Upstream {
    pub(super) fn start() -> Self {
        let oracle = Binaries::locate().unwrap().oracle;
        let mut process =
            Command::new(oracle).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let input = process.stdin.take();
        let output = BufReader::new(process.stdout.take().unwrap());
        Self { process, input, output }
    }

    /// The answers to all questions, in their order. Panics if upstream refuses
    /// one: then it is of no cluster that can be, and the process has said why.
    pub(super) fn answers(&mut self, questions: &[Question]) -> Vec<Answer> {
        let Self { process: _, input, output } = self;
        let mut input = BufWriter::new(input.as_ref().unwrap());
        // Both pipes are full before all is written, unless somebody reads. What
        // cannot be written shows as an answer that does not come.
        let lines: Vec<_> = thread::scope(|scope| {
            scope.spawn(move || -> io::Result<()> {
                for question in questions {
                    writeln!(input, "{}", question.to_json())?;
                }
                input.flush()
            });
            output.lines().take(questions.len()).collect::<io::Result<_>>().unwrap()
        });
        if let Some(unanswered) = questions.get(lines.len()) {
            panic!("no answer to {}", unanswered.to_json());
        }
        lines.iter().map(|line| answer(&serde_json::from_str(line).unwrap())).collect()
    }
}

impl Drop for Upstream {
    fn drop(&mut self) {
        self.input = None;
        self.process.wait().ok();
    }
}

fn answer(answer: &Value) -> Answer {
    let controller = outcome(&answer["controller"]);
    Answer {
        default_class: answer["defaultClass"].as_str().map(str::to_owned),
        class_as_written: answer["classAsWritten"].as_str().unwrap().to_owned(),
        class: answer["class"].as_str().unwrap().to_owned(),
        delay_binding: answer["delayBinding"].as_bool().unwrap(),
        // The controller looks at every claim as soon as it is there: what it
        // binds is not left to the scheduler.
        outcome: match &answer["scheduler"] {
            scheduler if scheduler.is_object() && controller.volumes.is_empty() => {
                outcome(scheduler)
            }
            _ => controller,
        },
    }
}

fn outcome(outcome: &Value) -> Outcome {
    let volumes = outcome["volumes"].as_array().unwrap().iter();
    Outcome {
        volumes: volumes.map(|name| name.as_str().unwrap().to_owned()).collect(),
        certain: outcome["certain"].as_bool().unwrap(),
    }
}
