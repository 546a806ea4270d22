//! Whether a log is as it was written.
//!
//! Every line is checked against its own hash, and against the one before it in
//! its chain. Lines of several chains may be mixed, as those of replicas are.

mod region;
mod report;

use std::{
    collections::HashMap,
    io::{self, BufRead},
};

use self::region::Region;
pub use self::report::{Begins, ChainReport, Place, Problem, ProblemKind, Report};
use super::chain::{ChainId, Digest, Entry, Line, is_cut_short};

/// Most problems that are listed; further ones are counted.
const MOST_LISTED: usize = 100;

/// Checks a log, input by input.
#[derive(Debug, Default)]
pub struct Verifier {
    /// Chains may begin in the middle.
    partial: bool,
    /// A record that must be there.
    expected: Option<Digest>,
    chains: Vec<Chain>,
    numbers: HashMap<ChainId, usize>,
    problems: Vec<Problem>,
    omitted: u64,
    torn: Vec<Place>,
    /// Damaged lines of which it cannot be said which record they were.
    nameless: u64,
}

#[derive(Debug)]
struct Chain {
    report: ChainReport,
    /// Number of the record that comes next.
    next: u64,
    /// What that record must name as the hash before it, if that is known.
    previous: Option<Digest>,
    gaps: Vec<Gap>,
}

/// Records that did not come where they belong.
#[derive(Debug)]
struct Gap {
    first: u64,
    last: u64,
    seen_at: Place,
}

impl Verifier {
    /// A verifier; `partial` if chains may begin in the middle, `expected` the
    /// hash of a record that must be there.
    #[must_use]
    pub fn new(partial: bool, expected: Option<Digest>) -> Self {
        Self { partial, expected, ..Self::default() }
    }

    /// Checks one input.
    ///
    /// # Errors
    /// It cannot be read.
    pub fn read(&mut self, path: &str, mut input: impl BufRead) -> io::Result<()> {
        let mut line = Vec::new();
        let mut region = Region::default();
        for number in 1.. {
            line.clear();
            if input.read_until(b'\n', &mut line)? == 0 {
                break;
            }
            let place = Place { path: path.to_owned(), line: number };
            let text = line.strip_suffix(b"\n");
            let ends = text.is_none();
            let text = text.unwrap_or(&line);
            match Line::read(text) {
                Line::Sealed(entry) => {
                    self.settle(&mut region, Some(&entry));
                    self.follow(&entry, place);
                }
                Line::Damaged | Line::Foreign if ends && is_cut_short(text) => {
                    self.torn.push(place);
                }
                Line::Damaged => {
                    region.add(text, &place);
                    region.suspect(place, serde_json::from_slice(text).ok());
                }
                Line::Foreign => region.add(text, &place),
            }
        }
        self.settle(&mut region, None);
        Ok(())
    }

    /// What was found.
    #[must_use]
    pub fn finish(mut self) -> Report {
        let gaps: Vec<_> = self.chains.iter_mut().flat_map(|chain| chain.gaps.drain(..)).collect();
        for Gap { first, last, seen_at } in gaps {
            let missing = last - first + 1;
            if missing <= self.nameless {
                // These are the damaged lines, and were told of.
                self.nameless -= missing;
                continue;
            }
            let message = match missing {
                1 => format!("record {first} is missing before this line"),
                _ => format!("records {first} to {last} are missing before this line"),
            };
            self.problem(ProblemKind::Removed, Some(seen_at), message);
        }
        if let Some(hash) = self.expected {
            let message = format!(
                "no record has the hash {hash}: the end was cut off, or all of it written anew"
            );
            self.problem(ProblemKind::Missing, None, message);
        }
        let Self { chains, problems, omitted, torn, .. } = self;
        let chains: Vec<_> = chains.into_iter().map(|chain| chain.report).collect();
        Report {
            version: 1,
            whole: problems.is_empty(),
            records: chains.iter().map(|chain| chain.records).sum(),
            dropped: chains.iter().map(|chain| chain.dropped).sum(),
            chains,
            problems,
            problems_omitted: omitted,
            torn,
        }
    }

    /// Decides what the lines were that are no records, now that it is known what
    /// follows them.
    fn settle(&mut self, region: &mut Region, next: Option<&Entry>) {
        let region = std::mem::take(region);
        let torn = next.and_then(|entry| entry.torn.as_ref());
        let explained = torn.is_some_and(|torn| region.is(torn));
        if explained {
            self.torn.extend(region.begins());
            return;
        }
        if torn.is_some() {
            let message = "the torn line that the next record tells of is not there as it was";
            let place = region.begins();
            self.problem(ProblemKind::Changed, place, message.to_owned());
        }
        for (place, entry) in region.suspects() {
            self.damaged(place, entry);
        }
    }

    fn damaged(&mut self, place: Place, entry: Option<Entry>) {
        let of_chain = entry.and_then(|entry| {
            let chain = &mut self.chains[*self.numbers.get(&entry.chain_id)?];
            (chain.next == entry.sequence).then_some(chain)
        });
        let message = if let Some(chain) = of_chain {
            let message = format!("record {} is not as it was written", chain.next);
            chain.next = chain.next.saturating_add(1);
            chain.previous = None;
            message
        } else {
            self.nameless += 1;
            "this was a record, and is not as it was written".to_owned()
        };
        self.problem(ProblemKind::Changed, Some(place), message);
    }

    /// Takes the next record of its chain.
    fn follow(&mut self, entry: &Entry, place: Place) {
        if self.expected == Some(entry.hash) {
            self.expected = None;
        }
        let Some(number) = self.numbers.get(&entry.chain_id) else {
            return self.begin(entry, place);
        };
        let chain = &mut self.chains[*number];
        let sequence = entry.sequence;
        chain.report.count(entry);
        if sequence < chain.next {
            let (kind, message) = if chain.fill_gap(sequence) {
                (
                    ProblemKind::Reordered,
                    format!("record {sequence} comes after {}", chain.next - 1),
                )
            } else {
                (ProblemKind::Inserted, format!("there was a record {sequence} already"))
            };
            return self.problem(kind, Some(place), message);
        }
        let follows = chain.previous.is_none_or(|previous| previous == entry.previous);
        let gap = sequence > chain.next;
        if gap {
            let (first, last) = (chain.next, sequence - 1);
            chain.gaps.push(Gap { first, last, seen_at: place.clone() });
        }
        chain.next = sequence.saturating_add(1);
        chain.previous = Some(entry.hash);
        if !follows && !gap {
            let message = format!(
                "record {sequence} was written after another record than the one before it here"
            );
            self.problem(ProblemKind::Changed, Some(place), message);
        }
    }

    /// Takes the first record of a chain.
    fn begin(&mut self, entry: &Entry, place: Place) {
        let is_first = entry.sequence == 0 && entry.previous == Digest::NONE;
        let begins = match &*entry.event {
            "opened" if is_first => Begins::Whole,
            "rotated" => Begins::Rotated,
            // Its writer was interrupted in the very first line of the file.
            "opened" if entry.torn.is_some() => Begins::Rotated,
            _ => Begins::Middle,
        };
        let mut report = ChainReport {
            chain_id: entry.chain_id,
            instance: String::new(),
            records: 0,
            dropped: 0,
            begins,
            first: entry.sequence,
            last: 0,
            last_hash: entry.hash,
            closed: false,
        };
        report.count(entry);
        let (next, previous) = (entry.sequence.saturating_add(1), Some(entry.hash));
        self.numbers.insert(entry.chain_id, self.chains.len());
        self.chains.push(Chain { report, next, previous, gaps: Vec::new() });
        if begins == Begins::Middle && !self.partial {
            let message = format!("the chain begins with record {}", entry.sequence);
            self.problem(ProblemKind::TruncatedFront, Some(place), message);
        }
    }

    fn problem(&mut self, kind: ProblemKind, place: Option<Place>, message: String) {
        if self.problems.len() < MOST_LISTED {
            self.problems.push(Problem { kind, place, message });
        } else {
            self.omitted += 1;
        }
    }
}

/// Number of the first record of an input, if there is one: files are read in the
/// order of these, whatever they are called.
///
/// # Errors
/// It cannot be read.
pub fn first_record(mut input: impl BufRead) -> io::Result<Option<u64>> {
    let mut line = Vec::new();
    while input.read_until(b'\n', &mut line)? > 0 {
        if let Line::Sealed(entry) = Line::read(line.strip_suffix(b"\n").unwrap_or(&line)) {
            return Ok(Some(entry.sequence));
        }
        line.clear();
    }
    Ok(None)
}

impl Chain {
    /// Takes a record out of what is missing; `false` if it is not.
    fn fill_gap(&mut self, sequence: u64) -> bool {
        let Some(at) = self.gaps.iter().position(|gap| (gap.first..=gap.last).contains(&sequence))
        else {
            return false;
        };
        let Gap { first, last, seen_at } = self.gaps.swap_remove(at);
        if first < sequence {
            self.gaps.push(Gap { first, last: sequence - 1, seen_at: seen_at.clone() });
        }
        if sequence < last {
            self.gaps.push(Gap { first: sequence + 1, last, seen_at });
        }
        true
    }
}

#[cfg(test)]
mod tests;
