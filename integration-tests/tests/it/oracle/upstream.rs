//! Upstream's functions, in a process of their own.

use std::{
    io::{BufRead as _, BufReader, Write as _},
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
};

use nfs_guard_integration_tests::binaries::Binaries;
use serde_json::Value;

use super::{Answer, Outcome, Question};

/// The process; it ends with its standard input.
pub(super) struct Upstream {
    process: Child,
    questions: Option<ChildStdin>,
    answers: BufReader<ChildStdout>,
}

impl Upstream {
    pub(super) fn start() -> Self {
        let oracle = Binaries::locate().unwrap().oracle;
        let mut process =
            Command::new(oracle).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let questions = process.stdin.take();
        let answers = BufReader::new(process.stdout.take().unwrap());
        Self { process, questions, answers }
    }

    /// Panics if upstream refuses the question: then it is not a cluster that
    /// can be, and the process has said why.
    pub(super) fn answer(&mut self, question: &Question) -> Answer {
        let mut question = question.clone();
        question.volumes.iter_mut().for_each(make_available);
        let question = question.to_json();
        writeln!(self.questions.as_ref().unwrap(), "{question}").unwrap();
        let mut line = String::new();
        self.answers.read_line(&mut line).unwrap();
        let answer: Value = serde_json::from_str(&line)
            .unwrap_or_else(|error| panic!("{line:?} is no answer ({error}) to {question}"));
        let text = |key: &str| answer[key].as_str().map(str::to_owned);
        let controller = outcome(&answer["controller"]);
        Answer {
            default_class: text("defaultClass"),
            class_as_written: text("classAsWritten").unwrap(),
            class: text("class").unwrap(),
            delay_binding: answer["delayBinding"].as_bool().unwrap(),
            // The controller looks at every claim at once, so that what it
            // binds never comes to the scheduler.
            outcome: match &answer["scheduler"] {
                Value::Null => controller,
                scheduler if controller.volumes.is_empty() => outcome(scheduler),
                _ => controller,
            },
        }
    }
}

impl Drop for Upstream {
    fn drop(&mut self) {
        self.questions = None;
        self.process.wait().ok();
    }
}

/// A Pending volume is about to be Available, and the guard judges by that.
fn make_available(volume: &mut Value) {
    let phase = volume.pointer("/status/phase").and_then(Value::as_str);
    if matches!(phase, None | Some("" | "Pending")) {
        volume["status"]["phase"] = "Available".into();
    }
}

fn outcome(value: &Value) -> Outcome {
    let volumes = value["volumes"].as_array().unwrap().iter();
    Outcome {
        volumes: volumes.map(|name| name.as_str().unwrap().to_owned()).collect(),
        certain: value["certain"].as_bool().unwrap(),
    }
}
