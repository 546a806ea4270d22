//! What a command-line client answered.

use std::{
    ffi::OsStr,
    fmt,
    fs::File,
    io::{Seek, Write},
    iter,
    path::Path,
    process::{Command, Stdio},
};

/// The outcome of one command.
#[derive(Clone, Debug)]
pub struct Ran {
    /// The exit code; -1 if a signal ended it.
    pub code: i32,
    /// Standard output.
    pub stdout: String,
    /// Standard error.
    pub stderr: String,
    command: String,
}

impl Ran {
    /// Runs a command to its end, with `stdin` as its standard input.
    #[must_use]
    pub fn new(command: &mut Command, stdin: &str) -> Self {
        let output = command
            .stdin(file_of(stdin))
            .output()
            .unwrap_or_else(|error| panic!("starting {command:?}: {error}"));
        let program = Path::new(command.get_program()).file_name().unwrap_or_default();
        let words: Vec<_> =
            iter::once(program).chain(command.get_args()).map(OsStr::to_string_lossy).collect();
        Self {
            code: output.status.code().unwrap_or(-1),
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
            command: words.join(" "),
        }
    }

    /// Whether the exit code is 0.
    #[must_use]
    pub fn succeeded(&self) -> bool {
        self.code == 0
    }

    /// Itself, if the command succeeded; else the test ends here, with everything it printed.
    #[track_caller]
    #[expect(
        clippy::must_use_candidate,
        clippy::return_self_not_must_use,
        reason = "often called for its check alone"
    )]
    pub fn expect_success(self) -> Self {
        assert!(self.succeeded(), "{self}");
        self
    }
}

/// The command, its exit code and all it printed.
impl fmt::Display for Ran {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { code, stdout, stderr, command } = self;
        write!(formatter, "{command}\nexit code {code}\n{stdout}{stderr}")
    }
}

/// A file, not a pipe: a client may print more than a pipe holds before it has
/// read all its input, and then both sides would wait for each other.
fn file_of(text: &str) -> Stdio {
    let write = || -> std::io::Result<File> {
        let mut file = tempfile::tempfile()?;
        file.write_all(text.as_bytes())?;
        file.rewind()?;
        Ok(file)
    };
    write().expect("a temporary file can be written").into()
}
