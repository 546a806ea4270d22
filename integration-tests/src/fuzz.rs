//! What the guard reads from others, bent at random: it answers or says what is
//! wrong, and never panics.
//!
//! A run is a seed: the same seed makes the same inputs in the same order.

mod corpus;
mod mutate;
mod targets;

use std::{
    fmt,
    panic::{self, AssertUnwindSafe},
    time::{Duration, Instant},
};

use fastrand::Rng;

use self::targets::{Target, Targets};

/// What a target said to an input.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Said {
    /// It took it.
    Taken,
    /// It said what is wrong with it.
    Refused,
}

/// How a run went that found nothing.
#[derive(Debug)]
pub struct Ran {
    /// The seed.
    pub seed: u64,
    /// What was tried, and how many inputs were taken and refused.
    pub tried: Vec<(&'static str, u64, u64)>,
}

impl fmt::Display for Ran {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "seed {}", self.seed)?;
        for (target, taken, refused) in &self.tried {
            write!(f, "\n{target}: {} inputs, {taken} taken, {refused} refused", taken + refused)?;
        }
        Ok(())
    }
}

/// An input that showed a bug.
#[derive(Debug)]
pub struct Found {
    seed: u64,
    target: &'static str,
    input: Vec<u8>,
    problem: String,
}

impl fmt::Display for Found {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { seed, target, input, problem } = self;
        let input = input.escape_ascii();
        write!(f, "seed {seed}, {target}: {problem}; the input, as far as it matters:\n{input}")
    }
}

/// Bends inputs for so long.
///
/// # Errors
/// An input that showed a bug, as short as it could be made.
pub fn run(seed: u64, time: Duration) -> Result<Ran, Box<Found>> {
    let started = Instant::now();
    let mut rng = Rng::with_seed(seed);
    let targets = Targets::new();
    let mut tried: Vec<_> = targets.all().map(|target| (target.name(), 0, 0)).collect();
    while started.elapsed() < time {
        for (target, (_, taken, refused)) in targets.all().zip(&mut tried) {
            let input = mutate::mutated(target.corpus(), target.words(), &mut rng);
            match attempt(&*target, &input) {
                Ok(Said::Taken) => *taken += 1,
                Ok(Said::Refused) => *refused += 1,
                Err(_) => {
                    let input = shortened(&*target, input);
                    let problem = attempt(&*target, &input).expect_err("it still shows the bug");
                    return Err(Box::new(Found { seed, target: target.name(), input, problem }));
                }
            }
        }
    }
    Ok(Ran { seed, tried })
}

/// Gives the input to the target; a panic is a problem, and so is what the target
/// says it must not do.
fn attempt(target: &dyn Target, input: &[u8]) -> Result<Said, String> {
    panic::catch_unwind(AssertUnwindSafe(|| target.attempt(input))).unwrap_or_else(|panic| {
        let words = panic.downcast_ref::<String>().map(String::as_str);
        let words = words.or_else(|| panic.downcast_ref::<&str>().copied());
        Err(format!("a panic: {}", words.unwrap_or("without words")))
    })
}

/// The input without whatever can be left out and still shows a bug: halves,
/// then quarters, down to single bytes.
fn shortened(target: &dyn Target, mut input: Vec<u8>) -> Vec<u8> {
    let mut part = input.len() / 2;
    while part > 0 {
        let mut at = 0;
        while at < input.len() {
            let mut without = input.clone();
            without.drain(at..(at + part).min(input.len()));
            if attempt(target, &without).is_err() {
                input = without;
            } else {
                at += part;
            }
        }
        part /= 2;
    }
    input
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Breaks at any input with an `x` after an `a`.
    struct Breaks;

    impl Target for Breaks {
        fn name(&self) -> &'static str {
            "breaks"
        }

        fn corpus(&self) -> &[Vec<u8>] {
            &[]
        }

        fn words(&self) -> &[&str] {
            &[]
        }

        fn attempt(&self, input: &[u8]) -> Result<Said, String> {
            let after = input.iter().position(|byte| *byte == b'a').map(|at| &input[at..]);
            assert!(!after.is_some_and(|after| after.contains(&b'x')), "an x after an a");
            Ok(Said::Taken)
        }
    }

    #[test]
    fn a_panic_is_found_and_its_input_shortened() {
        assert_eq!(attempt(&Breaks, b"xa"), Ok(Said::Taken));
        let found = attempt(&Breaks, b"ax").unwrap_err();
        assert_eq!(found, "a panic: an x after an a");
        let long = [b"xx".repeat(100), b"a".to_vec(), b"-".repeat(333), b"x123".to_vec()].concat();
        assert_eq!(shortened(&Breaks, long), b"ax");
    }

    #[test]
    fn a_seed_makes_the_same_inputs() {
        let inputs = |seed| {
            let (targets, mut rng) = (Targets::new(), Rng::with_seed(seed));
            let of = |target: Box<dyn Target + '_>, rng: &mut Rng| {
                mutate::mutated(target.corpus(), target.words(), rng)
            };
            let inputs: Vec<_> = targets.all().map(|target| of(target, &mut rng)).collect();
            inputs
        };
        assert_eq!(inputs(1), inputs(1));
        assert_ne!(inputs(1), inputs(2));
    }
}
