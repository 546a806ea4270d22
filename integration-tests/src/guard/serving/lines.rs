//! What a process prints, line by line, as it comes.

use std::{
    io::{BufRead as _, BufReader, Read},
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    thread,
    time::{Duration, Instant},
};

use serde_json::Value;

/// The lines read so far.
#[derive(Debug, Default)]
pub(in crate::guard) struct Lines {
    printed: Mutex<Printed>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct Printed {
    lines: Vec<Value>,
    ended: bool,
}

impl Lines {
    /// Reads until the output ends, on a thread that ends with it.
    pub(super) fn read_from(output: impl Read + Send + 'static) -> Arc<Self> {
        let lines = Arc::new(Self::default());
        let written = Arc::clone(&lines);
        thread::spawn(move || {
            for line in BufReader::new(output).lines().map_while(Result::ok) {
                // What is no JSON is kept as it is, for the message that shows it.
                let value = serde_json::from_str(&line).unwrap_or(Value::String(line));
                written.printed().lines.push(value);
                written.changed.notify_all();
            }
            written.printed().ended = true;
            written.changed.notify_all();
        });
        lines
    }

    /// Every line so far.
    pub(in crate::guard) fn all(&self) -> Vec<Value> {
        self.printed().lines.clone()
    }

    /// The first line that `matches`, read already or still to come; all lines,
    /// if the output ends or the time is up before.
    pub(in crate::guard) fn wait_for(
        &self,
        deadline: Duration,
        matches: impl Fn(&Value) -> bool,
    ) -> Result<Value, Vec<Value>> {
        let until = Instant::now() + deadline;
        let mut printed = self.printed();
        loop {
            if let Some(line) = printed.lines.iter().find(|line| matches(line)) {
                return Ok(line.clone());
            }
            let left = until.saturating_duration_since(Instant::now());
            if printed.ended || left.is_zero() {
                return Err(printed.lines.clone());
            }
            let waited = self.changed.wait_timeout(printed, left);
            printed = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    fn printed(&self) -> MutexGuard<'_, Printed> {
        // Only whole lines are ever put in.
        self.printed.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::io;

    use super::*;

    #[test]
    fn finds_a_line_that_comes_later() {
        let (reader, mut writer) = io::pipe().expect("a pipe");
        let lines = Lines::read_from(reader);
        let waiting = thread::spawn(move || {
            lines.wait_for(Duration::from_secs(5), |line| line["decision"] == "deny")
        });
        io::Write::write_all(&mut writer, b"{\"decision\":\"warn\"}\n{\"decision\":\"deny\"}\n")
            .expect("the pipe is open");
        assert_eq!(waiting.join().expect("no panic").expect("it came")["decision"], "deny");
    }

    #[test]
    fn gives_up_when_the_output_ends() {
        let lines = Lines::read_from(&b"no such volume\n"[..]);
        let missed = lines.wait_for(Duration::from_secs(5), Value::is_object);
        assert_eq!(missed, Err(vec![Value::String("no such volume".into())]));
    }
}
