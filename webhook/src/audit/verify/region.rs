use ring::digest::{Context, SHA256};

use super::Place;
use crate::audit::chain::{Digest, Entry, Torn};

/// Lines between two records that are none.
pub(super) struct Region {
    lines: u64,
    bytes: u64,
    digest: Context,
    suspects: Vec<(Place, Option<Entry>)>,
    begins: Option<Place>,
}

impl Default for Region {
    fn default() -> Self {
        let digest = Context::new(&SHA256);
        Self { lines: 0, bytes: 0, digest, suspects: Vec::new(), begins: None }
    }
}

impl Region {
    /// Adds a line, without its newline.
    pub(super) fn add(&mut self, line: &[u8], place: &Place) {
        if self.lines > 0 {
            self.digest.update(b"\n");
            self.bytes += 1;
        }
        self.digest.update(line);
        self.bytes += line.len() as u64;
        self.lines += 1;
        self.begins.get_or_insert_with(|| place.clone());
    }

    /// The line added last was a record; which one, if it still says so.
    pub(super) fn suspect(&mut self, place: Place, entry: Option<Entry>) {
        self.suspects.push((place, entry));
    }

    /// Whether it is what that record was written after.
    pub(super) fn is(&self, torn: &Torn) -> bool {
        self.bytes == torn.bytes && Digest::from(self.digest.clone().finish()) == torn.sha256
    }

    /// Its first line.
    pub(super) fn begins(&self) -> Option<Place> {
        self.begins.clone()
    }

    /// The lines that were records.
    pub(super) fn suspects(self) -> Vec<(Place, Option<Entry>)> {
        self.suspects
    }
}
