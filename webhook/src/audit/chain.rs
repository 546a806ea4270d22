//! The chain of a log: each line is sealed with the hash of the one before it,
//! so that none can be changed, taken out or put in without all that follow.

use std::{fmt, io::Write as _};

use ring::{
    digest::{SHA256, digest},
    rand::{SecureRandom as _, SystemRandom},
};
use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};

/// What every record begins with.
const START: &[u8] = br#"{"event":""#;

/// What comes before the hash in a line. The hash is of all bytes before this.
const HASH: &[u8] = br#","hash":""#;

/// What comes after the hash, and ends the line.
const END: &[u8] = br#""}"#;

/// Keys that every sealed line has, and nothing else that may be in the same
/// output. Three, so that one damaged byte leaves most of them.
const MARKS: [&[u8]; 3] = [br#""chainId":""#, br#""previous":""#, br#""hash":""#];

/// A SHA-256, written as hexadecimal digits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Digest([u8; 32]);

impl Digest {
    /// What the first line of a chain has for the hash of the line before.
    pub const NONE: Self = Self([0; 32]);

    /// The digest of those bytes.
    #[must_use]
    pub fn of(bytes: &[u8]) -> Self {
        digest(&SHA256, bytes).into()
    }
}

impl From<ring::digest::Digest> for Digest {
    fn from(digest: ring::digest::Digest) -> Self {
        Self(digest.as_ref().try_into().expect("a SHA-256 has 32 bytes"))
    }
}

/// Names a chain among others: 64 random bits, as hexadecimal digits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ChainId([u8; 8]);

impl ChainId {
    fn random() -> Self {
        let mut bytes = [0; 8];
        SystemRandom::new().fill(&mut bytes).expect("Linux always has random bytes");
        Self(bytes)
    }
}

/// The end of a chain that is being written.
#[derive(Debug)]
pub(super) struct Chain {
    id: ChainId,
    next: u64,
    previous: Digest,
    /// Of whoever writes it, as JSON.
    instance: String,
}

impl Chain {
    /// A chain without a line.
    pub(super) fn begin(instance: &str) -> Self {
        Self { id: ChainId::random(), next: 0, previous: Digest::NONE, instance: json(instance) }
    }

    /// The chain whose last line has that seal.
    pub(super) fn resume(last: &Entry, instance: &str) -> Self {
        let Entry { chain_id, sequence, hash, .. } = last;
        Self {
            id: *chain_id,
            next: sequence.saturating_add(1),
            previous: *hash,
            instance: json(instance),
        }
    }

    /// Most bytes that a seal adds to a record: its keys, two hashes, the chain's
    /// name, the largest number there is, and who writes.
    pub(super) fn seal_length(&self) -> usize {
        let keys = r#","instance":,"chainId":"","sequence":,"previous":"","hash":""}"#.len();
        let newline = 1;
        keys + 2 * 64 + 16 + u64::MAX.ilog10() as usize + 1 + self.instance.len() + newline
    }

    /// Adds a record, which is a JSON object, to that text: as a line with a seal.
    pub(super) fn seal(&mut self, record: &[u8], text: &mut Vec<u8>) {
        let Self { id, next, previous, instance } = self;
        let fields = record.strip_suffix(b"}").expect("a record is a JSON object");
        let start = text.len();
        text.extend_from_slice(fields);
        write!(
            text,
            r#","instance":{instance},"chainId":"{id}","sequence":{next},"previous":"{previous}""#
        )
        .expect("writing to memory does not fail");
        *previous = Digest::of(&text[start..]);
        *next = next.saturating_add(1);
        write!(text, r#","hash":"{previous}"}}"#).expect("writing to memory does not fail");
        text.push(b'\n');
    }
}

fn json(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

/// What a line is, as far as the line alone can tell.
#[derive(Debug)]
pub(super) enum Line {
    /// A record, as it was sealed.
    Sealed(Box<Entry>),
    /// What was a record once, or is a part of one.
    Damaged,
    /// Something else that came the same way: the line that says where the server
    /// is, or the log.
    Foreign,
}

/// What a chain is checked by.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Entry {
    pub(super) event: String,
    pub(super) instance: String,
    pub(super) chain_id: ChainId,
    pub(super) sequence: u64,
    pub(super) previous: Digest,
    pub(super) hash: Digest,
    /// How many records were lost, if that is what it says.
    #[serde(default)]
    pub(super) count: u64,
    /// What it was written after, if that was no whole line.
    #[serde(default)]
    pub(super) torn: Option<Torn>,
}

/// The rest of a file after its last whole line: somebody was interrupted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub(super) struct Torn {
    /// How many bytes.
    pub bytes: u64,
    /// Their SHA-256.
    #[schemars(with = "String", regex(pattern = "^[0-9a-f]{64}$"))]
    pub sha256: Digest,
}

impl Torn {
    pub(super) fn of(rest: &[u8]) -> Self {
        Self { bytes: rest.len() as u64, sha256: Digest::of(rest) }
    }
}

impl Line {
    /// Reads a line, without the newline at its end.
    pub(super) fn read(line: &[u8]) -> Self {
        let sealed = sealed(line);
        if let Some(entry) = sealed {
            return Self::Sealed(Box::new(entry));
        }
        let marked = MARKS.iter().any(|mark| line.windows(mark.len()).any(|found| found == *mark));
        if marked { Self::Damaged } else { Self::Foreign }
    }
}

/// Whether a text is the beginning of a line whose rest was not written: it does
/// not go on after its hash, or has not got as far.
pub(super) fn is_cut_short(line: &[u8]) -> bool {
    if line.is_empty() || !(line.starts_with(START) || START.starts_with(line)) {
        return false;
    }
    let after = line.windows(HASH.len()).rposition(|found| found == HASH);
    after.is_none_or(|at| line.len() < at + HASH.len() + 64 + END.len())
}

fn sealed(line: &[u8]) -> Option<Entry> {
    let (rest, hash) = line.strip_suffix(END)?.split_last_chunk::<64>()?;
    let sealed = rest.strip_suffix(HASH)?;
    let hash: Digest = Digest(from_hex(hash)?);
    (Digest::of(sealed) == hash).then_some(())?;
    serde_json::from_slice(line).ok()
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_hex(f, &self.0)
    }
}

impl fmt::Display for ChainId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_hex(f, &self.0)
    }
}

impl std::str::FromStr for Digest {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        from_hex(text.as_bytes()).map(Self).ok_or("expected 64 hexadecimal digits")
    }
}

impl Serialize for Digest {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl Serialize for ChainId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Digest {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(D::Error::custom)
    }
}

impl<'de> Deserialize<'de> for ChainId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let expected = || D::Error::custom("expected 16 hexadecimal digits");
        from_hex(text.as_bytes()).map(Self).ok_or_else(expected)
    }
}

const DIGITS: &[u8; 16] = b"0123456789abcdef";

/// Writes bytes as lower-case hexadecimal digits.
pub(crate) fn write_hex(f: &mut fmt::Formatter<'_>, bytes: &[u8]) -> fmt::Result {
    let digits =
        |byte: &u8| [byte >> 4, byte & 15].map(|digit| char::from(DIGITS[usize::from(digit)]));
    // In one piece: two hashes are written for every record.
    f.write_str(&bytes.iter().flat_map(digits).collect::<String>())
}

/// Lower-case digits only: another way to write the same line would be a change
/// that nobody sees.
fn from_hex<const N: usize>(text: &[u8]) -> Option<[u8; N]> {
    let digit = |digit: u8| DIGITS.iter().position(|known| *known == digit);
    let mut bytes = [0; N];
    let (pairs, rest) = text.as_chunks::<2>();
    if pairs.len() != N || !rest.is_empty() {
        return None;
    }
    for (byte, [high, low]) in bytes.iter_mut().zip(pairs) {
        *byte = u8::try_from(digit(*high)? << 4 | digit(*low)?).ok()?;
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(records: &[&str]) -> Vec<String> {
        let mut chain = Chain::begin("guard-0");
        let mut text = Vec::new();
        for record in records {
            chain.seal(record.as_bytes(), &mut text);
        }
        let text = String::from_utf8(text).unwrap();
        text.lines().map(str::to_owned).collect()
    }

    fn entry(line: &str) -> Entry {
        match Line::read(line.as_bytes()) {
            Line::Sealed(entry) => *entry,
            other => panic!("{line} is {other:?}"),
        }
    }

    #[test]
    fn each_line_names_the_one_before() {
        let lines = lines(&[r#"{"event":"opened"}"#, r#"{"event":"closed"}"#]);
        let [first, second] = [entry(&lines[0]), entry(&lines[1])];
        assert_eq!((first.sequence, first.previous), (0, Digest::NONE));
        assert_eq!((second.sequence, second.previous), (1, first.hash));
        assert_eq!(first.chain_id, second.chain_id);
        assert_eq!((&*second.event, &*second.instance), ("closed", "guard-0"));
    }

    #[test]
    fn a_seal_is_as_long_as_it_says() {
        let mut chain = Chain { next: u64::MAX - 1, ..Chain::begin("guard-\"0\"") };
        let mut text = Vec::new();
        chain.seal(b"{}", &mut text);
        assert_eq!(text.len(), chain.seal_length() + "{".len());
    }

    #[test]
    fn the_hash_is_of_the_bytes_before_it() {
        let lines = lines(&[r#"{"event":"opened"}"#]);
        let (before, hash) = lines[0].split_once(r#","hash":""#).unwrap();
        assert_eq!(hash, format!("{}\"}}", Digest::of(before.as_bytes())));
    }

    #[test]
    fn a_line_is_a_record_a_damaged_one_or_none_of_ours() {
        let line = &lines(&[r#"{"event":"opened"}"#])[0];
        let (before_last, last) = line[..line.len() - 2].split_at(line.len() - 3);
        let other = if last == "0" { "1" } else { "0" };
        for (name, text, expected) in [
            ("as it was written", line.clone(), "Sealed"),
            ("other words", line.replace("opened", "closed"), "Damaged"),
            ("another hash", format!("{before_last}{other}\"}}"), "Damaged"),
            ("the beginning", line[..80].to_owned(), "Damaged"),
            ("more at its end", format!("{line} "), "Damaged"),
            ("nothing", String::new(), "Foreign"),
            ("where the server is", r#"{"event":"serving","url":"u"}"#.to_owned(), "Foreign"),
        ] {
            let read = format!("{:?}", Line::read(text.as_bytes()));
            assert!(read.starts_with(expected), "{name}: {read}");
        }
    }

    #[test]
    fn a_beginning_is_told_from_a_change() {
        let line = &lines(&[r#"{"event":"opened"}"#])[0];
        for end in 1..line.len() {
            assert!(is_cut_short(&line.as_bytes()[..end]), "{end}");
        }
        assert!(!is_cut_short(line.as_bytes()));
        assert!(!is_cut_short(format!("{line}x").as_bytes()));
        assert!(!is_cut_short(b"") && !is_cut_short(b"thread main panicked"));
    }
}
