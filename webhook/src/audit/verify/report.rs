use std::fmt;

use schemars::JsonSchema;
use serde::Serialize;

use crate::audit::chain::{ChainId, Digest, Entry};

/// What a log was found to be, version 1.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Report {
    /// Version of this form.
    pub version: u32,
    /// Whether nothing is wrong.
    pub whole: bool,
    /// How many records there are.
    pub records: u64,
    /// How many records the chains say were lost before they could be written.
    pub dropped: u64,
    /// The chains, in the order they came.
    pub chains: Vec<ChainReport>,
    /// What is wrong: the first hundred.
    pub problems: Vec<Problem>,
    /// How many more there are.
    pub problems_omitted: u64,
    /// Where a writer was interrupted in the middle of a line, which is nobody's fault.
    pub torn: Vec<Place>,
}

/// One chain.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ChainReport {
    /// Its name.
    #[schemars(with = "String")]
    pub chain_id: ChainId,
    /// Who wrote it last.
    pub instance: String,
    /// How many of its records are there.
    pub records: u64,
    /// How many it says were lost.
    pub dropped: u64,
    /// How it begins.
    pub begins: Begins,
    /// Number of the first record.
    pub first: u64,
    /// Number of the last record.
    pub last: u64,
    /// Hash of the last record, by which a later copy can be checked.
    #[schemars(with = "String")]
    pub last_hash: Digest,
    /// Whether its writer ended in good order; else it still writes, or was
    /// killed, or the end is missing.
    pub closed: bool,
}

/// How a chain begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum Begins {
    /// With its first record.
    Whole,
    /// With the first record of a file; older files are gone.
    Rotated,
    /// In the middle.
    Middle,
}

/// A line of an input.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Place {
    /// The file; `-` is standard input.
    pub path: String,
    /// Its number, from 1.
    pub line: u64,
}

/// Something that is not as it was written.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Problem {
    /// What was done.
    pub kind: ProblemKind,
    /// Where it shows; nowhere, if what shows it is that nothing is there.
    #[serde(flatten)]
    pub place: Option<Place>,
    /// The same for a person.
    pub message: String,
}

/// What can have been done to a log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum ProblemKind {
    /// A record is not as it was written.
    Changed,
    /// Records are missing.
    Removed,
    /// A record is there that does not belong there.
    Inserted,
    /// A record comes after one that was written later.
    Reordered,
    /// The chain begins in the middle.
    TruncatedFront,
    /// A record that was known to be there is not.
    Missing,
}

impl Report {
    /// Whether there was no record at all, nor anything that once was one.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.records == 0 && self.whole
    }
}

impl fmt::Display for ProblemKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Changed => "changed",
            Self::Removed => "removed",
            Self::Inserted => "inserted",
            Self::Reordered => "reordered",
            Self::TruncatedFront => "truncated at the front",
            Self::Missing => "missing",
        })
    }
}

impl ChainReport {
    /// Takes a record of it into account.
    pub(super) fn count(&mut self, entry: &Entry) {
        self.records += 1;
        self.dropped = self.dropped.saturating_add(entry.count);
        if entry.sequence >= self.last {
            self.last = entry.sequence;
            self.last_hash = entry.hash;
            self.closed = entry.event == "closed";
            self.instance.clone_from(&entry.instance);
        }
    }
}
