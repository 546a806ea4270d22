//! Waiting for what other processes do.

use std::{
    thread,
    time::{Duration, Instant},
};

use anyhow::{Result, bail};

/// How far something is that is waited for.
#[derive(Debug)]
pub enum Progress<T> {
    /// It has happened.
    Done(T),
    /// It has not; the text says what was seen instead.
    NotYet(String),
}

/// Asks `attempt` until it is done; an error from it ends the wait at once.
///
/// Prefer `kubectl wait` or a watch where the awaited thing is an API object.
pub fn wait_for<T>(
    what: &str,
    deadline: Duration,
    mut attempt: impl FnMut() -> Result<Progress<T>>,
) -> Result<T> {
    let started = Instant::now();
    loop {
        match attempt()? {
            Progress::Done(value) => return Ok(value),
            Progress::NotYet(seen) if started.elapsed() >= deadline => {
                bail!("waited {deadline:?} for {what}; last seen: {seen}")
            }
            Progress::NotYet(_) => thread::sleep(INTERVAL),
        }
    }
}

/// Short beside anything waited for here, long beside the cost of asking.
const INTERVAL: Duration = Duration::from_millis(20);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn returns_what_the_attempt_found() {
        let mut attempts = 0;
        let found = wait_for("the third attempt", Duration::from_secs(5), || {
            attempts += 1;
            Ok(if attempts == 3 {
                Progress::Done(attempts)
            } else {
                Progress::NotYet(String::new())
            })
        });
        assert_eq!(found.expect("it comes"), 3);
    }

    #[test]
    fn says_what_was_waited_for_and_what_was_seen() {
        let missed =
            wait_for::<()>("a bus", Duration::ZERO, || Ok(Progress::NotYet("a tram".into())));
        assert_eq!(
            missed.expect_err("it never comes").to_string(),
            "waited 0ns for a bus; last seen: a tram"
        );
    }
}
