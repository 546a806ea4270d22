//! What is released: the program as Cargo builds it, and what is written of it
//! in its package and in the history.

use std::{
    env, fs,
    path::PathBuf,
    process::{Command, Stdio},
};

use anyhow::{Context, Result, ensure};
use jiff::Timestamp;
use serde::Deserialize;
use serde_json::Value;

use crate::{Labels, Program};

/// The guard, ready to be put into an image.
#[derive(Debug)]
pub struct Release {
    /// The program, built from the sources as they are now.
    pub program: Program,
    /// The package's version.
    pub version: String,
    /// What the image says of itself.
    pub labels: Labels,
    /// `SOURCE_DATE_EPOCH`, else the time of the last commit, else 1970.
    pub created: Timestamp,
    /// Cargo's target folder.
    pub target: PathBuf,
}

impl Release {
    /// Builds the program and reads the rest.
    pub fn build() -> Result<Self> {
        let path = build()?;
        let file = fs::read(&path).with_context(|| format!("reading {}", path.display()))?;
        let program = Program::new(file).with_context(|| format!("packing {}", path.display()))?;
        let (package, target) = Package::read()?;
        let mut labels = package.labels();
        labels.extend(revision().map(|commit| ("org.opencontainers.image.revision", commit)));
        Ok(Self { program, version: package.version, labels, created: created()?, target })
    }
}

/// The guard's package, as far as its image tells of it.
#[derive(Debug, Deserialize)]
pub struct Package {
    name: String,
    version: String,
    description: String,
    license: String,
}

impl Package {
    /// The package as it is now, and Cargo's target folder.
    pub fn read() -> Result<(Self, PathBuf)> {
        #[derive(Deserialize)]
        struct Metadata {
            packages: Vec<Value>,
            target_directory: PathBuf,
        }
        let mut command = cargo();
        command.args(["metadata", "--locked", "--no-deps", "--format-version", "1"]);
        let Metadata { packages, target_directory } =
            serde_json::from_str(&output(&mut command)?).context("reading what cargo tells")?;
        let package = packages.into_iter().find(|package| package["name"] == PACKAGE);
        let package = serde_json::from_value(package.context("the workspace has no such package")?);
        Ok((package.context("reading the guard's package")?, target_directory))
    }

    /// What every image of it says of itself.
    #[must_use]
    pub fn labels(&self) -> Labels {
        let Self { name, version, description, license } = self;
        Labels::from([
            ("org.opencontainers.image.title", name.clone()),
            ("org.opencontainers.image.description", description.clone()),
            ("org.opencontainers.image.version", version.clone()),
            ("org.opencontainers.image.licenses", license.clone()),
        ])
    }
}

/// How Cargo is asked for the program, wherever that is.
pub const BUILD: [&str; 7] =
    ["build", "--config", ".cargo/release.toml", "--locked", "--release", "--package", PACKAGE];

const PACKAGE: &str = "nfs-guard";

/// Builds the guard, and returns where it is.
fn build() -> Result<PathBuf> {
    let mut command = cargo();
    command.args(BUILD).args(["--message-format", "json-render-diagnostics"]);
    let messages = output(&mut command)?;
    messages
        .lines()
        .filter_map(|message| serde_json::from_str::<Value>(message).ok())
        .find_map(|mut message| serde_json::from_value(message["executable"].take()).ok())
        .context("cargo named no executable it has built")
}

/// The commit that was built. Of changed files there is none, and in sources
/// without a history neither.
fn revision() -> Option<String> {
    let changes = output(git().args(["status", "--porcelain"])).ok()?;
    let commit = output(git().args(["rev-parse", "HEAD"])).ok()?;
    changes.is_empty().then(|| commit.trim().to_owned())
}

fn created() -> Result<Timestamp> {
    let seconds = match env::var("SOURCE_DATE_EPOCH") {
        Ok(seconds) => seconds,
        Err(_) => output(git().args(["log", "-1", "--format=%ct"])).unwrap_or_else(|_| "0".into()),
    };
    let read = || Timestamp::from_second(seconds.trim().parse()?).context("out of range");
    read().with_context(|| format!("{:?} is no time in seconds since 1970", seconds.trim()))
}

/// The workspace's folder.
const WORKSPACE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../..");

fn cargo() -> Command {
    let mut command = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    // What Cargo tells the program it runs is not for a build: ring's build script
    // would see other values than in one started by hand, and be run again.
    for (name, _) in env::vars_os() {
        let of_a_run = name.to_string_lossy();
        if of_a_run.starts_with("CARGO_PKG_") || of_a_run.starts_with("CARGO_MANIFEST_") {
            command.env_remove(name);
        }
    }
    command.stderr(Stdio::inherit());
    command
}

/// Its complaints are nobody's business: sources come without a history, too.
fn git() -> Command {
    let mut command = Command::new("git");
    command.stderr(Stdio::null());
    command
}

/// What a command printed.
fn output(command: &mut Command) -> Result<String> {
    let output =
        command.current_dir(WORKSPACE).output().with_context(|| format!("starting {command:?}"))?;
    ensure!(output.status.success(), "{command:?}: {}", output.status);
    String::from_utf8(output.stdout).with_context(|| format!("{command:?} printed no UTF-8"))
}
