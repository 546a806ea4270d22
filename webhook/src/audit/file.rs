//! A log in a file, which is rotated when it is large.

use std::{
    ffi::OsString,
    fs::{self, File, TryLockError},
    io::{self, Write as _},
    os::unix::fs::{FileExt as _, OpenOptionsExt as _},
    path::{Path, PathBuf},
};

use super::chain::{Entry, Line, Torn};

/// What is read first to find the last line of a file: a hundred usual ones.
const FIRST_LOOK: u64 = 64 << 10;

/// When a new file is begun, and what becomes of the old ones.
#[derive(Clone, Copy, Debug)]
pub struct Rotation {
    /// Most bytes of a file; a record that is larger gets one of its own.
    pub max_size: u64,
    /// How many old files are kept, at least one.
    pub keep: u32,
}

/// Why a log cannot be written to a file.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// It cannot be opened.
    #[error(
        "cannot be opened for reading and writing: {0}; let the guard write there, or name another file"
    )]
    Unusable(#[source] io::Error),
    /// It is a device, a pipe or the like, which cannot be rotated.
    #[error("is no regular file; name one, or - for standard output")]
    NotAFile,
    /// Two writers would break each other's chain.
    #[error("another process is writing to it; give each replica a file of its own")]
    InUse,
}

/// A file that a log is written to, and nobody else writes to.
#[derive(Debug)]
pub struct LogFile {
    path: PathBuf,
    file: File,
    rotation: Rotation,
    length: u64,
    /// The length at which a new file is begun.
    limit: u64,
    end: End,
}

impl LogFile {
    /// Opens or makes the file; what it holds stays.
    ///
    /// # Errors
    /// It cannot be used.
    pub fn open(path: &Path, rotation: Rotation) -> Result<Self, OpenError> {
        let mut options = File::options();
        let options = options.create(true).append(true).read(true).mode(0o600);
        let file = options.open(path).map_err(OpenError::Unusable)?;
        let metadata = file.metadata().map_err(OpenError::Unusable)?;
        if !metadata.is_file() {
            return Err(OpenError::NotAFile);
        }
        lock(&file)?;
        let length = metadata.len();
        let mut end = End::read(&file, length).map_err(OpenError::Unusable)?;
        let path = path.to_owned();
        if end.last.is_none() {
            // Whoever wrote it was interrupted just after it began this file.
            end.last = last_of(&numbered(&path, 1)).map_err(OpenError::Unusable)?;
        }
        Ok(Self { path, file, rotation, length, limit: rotation.max_size, end })
    }

    /// What was at its end when it was opened.
    pub(super) fn end(&self) -> &End {
        &self.end
    }

    pub(super) fn keep(&self) -> u32 {
        self.rotation.keep
    }

    pub(super) fn is_empty(&self) -> bool {
        self.length == 0
    }

    /// Whether that many bytes more are too many for it, when those that wait have
    /// been written.
    pub(super) fn is_full(&self, waiting: usize, more: usize) -> bool {
        let length = self.length + waiting as u64;
        length > 0 && length + more as u64 > self.limit
    }

    pub(super) fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.file.write(bytes)?;
        self.length += written as u64;
        Ok(written)
    }

    /// Waits until all of it is on the disk.
    pub(super) fn sync(&self) -> io::Result<()> {
        self.file.sync_data()
    }

    /// Begins a new file. The present one becomes number 1, and each older one the
    /// next; the oldest goes.
    ///
    /// # Errors
    /// The present file is used further. It is not tried again before as much
    /// has been written once more.
    pub(super) fn rotate(&mut self) -> io::Result<()> {
        self.limit = self.length.saturating_add(self.rotation.max_size);
        let fresh = suffixed(&self.path, "new");
        match fs::remove_file(&fresh) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let file = File::options().create_new(true).append(true).mode(0o600).open(&fresh)?;
        // Whoever was allowed to read the old one may read the new one.
        file.set_permissions(self.file.metadata()?.permissions())?;
        // Nobody else knows of it yet.
        let _ = file.try_lock();
        self.sync()?;

        let keep = self.rotation.keep;
        for number in (1..keep).rev() {
            rename(&numbered(&self.path, number), &numbered(&self.path, number + 1))?;
        }
        rename(&self.path, &numbered(&self.path, 1))?;
        fs::rename(&fresh, &self.path)?;
        // More were kept once.
        for number in keep + 1.. {
            if fs::remove_file(numbered(&self.path, number)).is_err() {
                break;
            }
        }
        self.file = file;
        self.length = 0;
        self.limit = self.rotation.max_size;
        Ok(())
    }
}

/// Renames a file, if there is one.
fn rename(from: &Path, to: &Path) -> io::Result<()> {
    match fs::rename(from, to) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        renamed => renamed,
    }
}

fn lock(file: &File) -> Result<(), OpenError> {
    match file.try_lock() {
        Ok(()) => Ok(()),
        Err(TryLockError::WouldBlock) => Err(OpenError::InUse),
        Err(TryLockError::Error(error)) => {
            tracing::warn!(%error, "audit log not locked; nobody else may write to it");
            Ok(())
        }
    }
}

fn numbered(path: &Path, number: u32) -> PathBuf {
    suffixed(path, &number.to_string())
}

fn suffixed(path: &Path, suffix: &str) -> PathBuf {
    let mut name = OsString::from(path);
    name.push(".");
    name.push(suffix);
    name.into()
}

/// The last record of a file that may not be there.
fn last_of(path: &Path) -> io::Result<Option<Entry>> {
    match File::open(path) {
        Ok(file) => Ok(End::read(&file, file.metadata()?.len())?.last),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// The end of a file that was written before.
#[derive(Debug)]
pub(super) struct End {
    last: Option<Entry>,
    /// What follows the last record.
    rest: Vec<u8>,
    /// Whether a new line can begin at its end.
    is_whole: bool,
}

impl End {
    fn read(file: &File, length: u64) -> io::Result<Self> {
        let mut look = FIRST_LOOK;
        loop {
            let start = length.saturating_sub(look);
            let bytes = usize::try_from(length - start).map_err(io::Error::other)?;
            let mut bytes = vec![0; bytes];
            file.read_exact_at(&mut bytes, start)?;
            let end = Self::of(&bytes);
            if end.last.is_some() || start == 0 {
                return Ok(end);
            }
            look *= 4;
        }
    }

    fn of(text: &[u8]) -> Self {
        let (mut last, mut from) = (None, text.len());
        for line in text.rsplit(|byte| *byte == b'\n') {
            let start = from - line.len();
            if let Line::Sealed(entry) = Line::read(line) {
                last = Some(*entry);
                break;
            }
            // Past the newline before it, unless there is none.
            from = start.saturating_sub(1);
        }
        let end_of_last = if last.is_some() { from } else { 0 };
        let rest = &text[end_of_last..];
        let rest = if last.is_some() { rest.strip_prefix(b"\n").unwrap_or(rest) } else { rest };
        let is_whole = rest.is_empty() && text.last().is_none_or(|byte| *byte == b'\n');
        Self { last, rest: rest.to_vec(), is_whole }
    }

    /// The record that the chain goes on from.
    pub(super) fn last(&self) -> Option<&Entry> {
        self.last.as_ref()
    }

    /// Whether a line can be written right after it.
    pub(super) fn is_whole(&self) -> bool {
        self.is_whole
    }

    /// What follows the last record, if anything does.
    pub(super) fn torn(&self) -> Option<Torn> {
        (!self.rest.is_empty()).then(|| Torn::of(&self.rest))
    }
}
