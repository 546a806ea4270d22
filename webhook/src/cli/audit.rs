//! What can be done with an audit log that was written.

mod show;
mod verify;

use std::{
    fs::{self, File},
    io::{self, BufRead, BufReader},
    path::{Path, PathBuf},
};

use clap::{Args, Subcommand, ValueHint};

use super::{Exit, Failure};
use crate::{audit::verify::first_record, manifest::InputError};

/// Check an audit log, or read it
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  nfs-guard audit verify /var/log/nfs-guard/\n  \
                        nfs-guard audit show audit.jsonl --decision deny --since 1h")]
pub(super) struct Audit {
    #[command(subcommand)]
    task: Task,
}

#[derive(Debug, Subcommand)]
enum Task {
    Verify(verify::Verify),
    Show(show::Show),
}

impl Audit {
    pub(super) fn run(&self) -> Result<Exit, Failure> {
        match &self.task {
            Task::Verify(verify) => verify.run(),
            Task::Show(show) => show.run(),
        }
    }
}

/// The inputs, as both commands take them.
#[derive(Debug, Args)]
struct LogArguments {
    /// Files, folders of rotated files, or - for standard input
    #[arg(required = true, value_name = "PATH", value_hint = ValueHint::AnyPath)]
    paths: Vec<PathBuf>,
}

/// One input.
struct Input {
    /// `-` is standard input.
    name: String,
    path: PathBuf,
    /// Number of the first record in it.
    first: Option<u64>,
}

impl LogArguments {
    /// The inputs, in the order their records were written, whatever their names; standard
    /// input, which can be read only once, where the command line has it.
    fn inputs(&self) -> Result<Vec<Input>, Failure> {
        let (mut inputs, mut errors) = (Vec::new(), Vec::new());
        for path in &self.paths {
            if path.is_dir() {
                match files(path) {
                    Ok(files) => inputs.extend(files),
                    Err(error) => errors.push(unreadable(path, &error)),
                }
            } else {
                inputs.push(path.clone());
            }
        }
        let mut opened = Vec::new();
        for path in inputs {
            match first(&path) {
                Ok(first) => {
                    opened.push(Input { name: path.display().to_string(), path, first });
                }
                Err(error) => errors.push(unreadable(&path, &error)),
            }
        }
        if !errors.is_empty() {
            return Err(Failure::Input(errors));
        }
        for files in opened.split_mut(|input| is_stdin(&input.path)) {
            files.sort_by_key(|input| input.first);
        }
        Ok(opened)
    }
}

impl Input {
    /// Hands the text to that reader.
    fn read(&self, read: impl FnOnce(&mut dyn BufRead) -> io::Result<()>) -> Result<(), Failure> {
        let read = if is_stdin(&self.path) {
            read(&mut io::stdin().lock())
        } else {
            File::open(&self.path).and_then(|file| read(&mut BufReader::new(file)))
        };
        Ok(read.map_err(|error| unreadable(&self.path, &error))?)
    }
}

fn is_stdin(path: &Path) -> bool {
    path.as_os_str() == "-"
}

fn unreadable(path: &Path, error: &io::Error) -> InputError {
    InputError::whole(&path.display().to_string(), error.to_string())
}

/// The files of a folder that are not hidden.
fn files(folder: &Path) -> io::Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        let hidden = path.file_name().is_some_and(|name| name.as_encoded_bytes()[0] == b'.');
        if path.is_file() && !hidden {
            files.push(path);
        }
    }
    files.sort();
    Ok(files)
}

/// Number of the first record of a file; none of standard input, which is not read yet.
fn first(path: &Path) -> io::Result<Option<u64>> {
    if is_stdin(path) { Ok(None) } else { first_record(BufReader::new(File::open(path)?)) }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::audit::{Log, LogFile, Origin, Rotation, audit};

    /// Adds two records to the log in that file: that it was opened, and closed.
    fn write(path: &Path) {
        let (audit, writer) = audit(Arc::default());
        drop(audit);
        let file = LogFile::open(path, Rotation { max_size: 1 << 20, keep: 1 }).unwrap();
        writer.run(Log::to_file(file, &Origin::default()));
    }

    #[test]
    fn files_are_put_in_order_and_standard_input_stays_where_it_is() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name| folder.path().join(name).display().to_string();
        let [earlier, later] = [path("b"), path("a")];
        write(earlier.as_ref());
        let first = fs::read(&earlier).unwrap();
        write(earlier.as_ref());
        let both = fs::read(&earlier).unwrap();
        fs::write(&earlier, &first).unwrap();
        fs::write(&later, &both[first.len()..]).unwrap();

        let [earlier, later] = [&*earlier, &*later];
        for (given, expected) in [
            ([later, earlier, "-"], [earlier, later, "-"]),
            (["-", later, earlier], ["-", earlier, later]),
            ([later, "-", earlier], [later, "-", earlier]),
        ] {
            let paths = given.map(PathBuf::from).to_vec();
            let inputs = LogArguments { paths }.inputs().ok().unwrap();
            let names: Vec<_> = inputs.iter().map(|input| &*input.name).collect();
            assert_eq!(names, expected);
        }
    }
}
