//! Where the programs are that a test runs.

use std::{
    env,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::OnceLock,
};

use anyhow::{Context, Result, bail, ensure};

/// The control plane's programs and its two clients.
#[derive(Debug)]
pub struct Binaries {
    /// The store behind the API server.
    pub etcd: PathBuf,
    /// The API server.
    pub kube_apiserver: PathBuf,
    /// Binds claims, runs workloads, collects garbage.
    pub kube_controller_manager: PathBuf,
    /// Picks the node a claim waits for.
    pub kube_scheduler: PathBuf,
    /// The client people use.
    pub kubectl: PathBuf,
    /// Plays the kubelets.
    pub kwok: PathBuf,
    /// Installs the chart.
    pub helm: PathBuf,
    /// Answers with upstream's own functions, one JSON line for each it is sent.
    pub oracle: PathBuf,
}

impl Binaries {
    /// Finds every program: first in `KUBEBUILDER_ASSETS`, as controller-runtime's
    /// envtest does, else in the folder `control-plane/build.sh` builds.
    pub fn locate() -> Result<Self> {
        let provided = env::var_os("KUBEBUILDER_ASSETS").map(PathBuf::from);
        let mut built = None;
        let mut find = |name: &str| -> Result<PathBuf> {
            if let Some(path) = provided.as_ref().map(|folder| folder.join(name))
                && path.is_file()
            {
                return Ok(path);
            }
            let folder = match &built {
                Some(folder) => folder,
                None => built.insert(build_control_plane()?),
            };
            let path = folder.join(name);
            ensure!(path.is_file(), "{} does not exist", path.display());
            Ok(path)
        };
        Ok(Self {
            etcd: find("etcd")?,
            kube_apiserver: find("kube-apiserver")?,
            kube_controller_manager: find("kube-controller-manager")?,
            kube_scheduler: find("kube-scheduler")?,
            kubectl: find("kubectl")?,
            kwok: find("kwok")?,
            helm: find("helm")?,
            oracle: find("oracle")?,
        })
    }
}

/// The guard's own binary, built once per test run from the sources as they are
/// now, with the profile and into the target folder of the running test.
pub fn nfs_guard() -> Result<&'static Path> {
    static BUILT: OnceLock<Result<PathBuf, String>> = OnceLock::new();
    match BUILT.get_or_init(|| build_nfs_guard().map_err(|error| format!("{error:#}"))) {
        Ok(path) => Ok(path),
        Err(error) => bail!("{error}"),
    }
}

/// Prometheus' promtool, built once by `promtool/build.sh`. Where that fails, as
/// without Go, the error says what is missing.
pub fn promtool() -> Result<&'static Path> {
    static BUILT: OnceLock<Result<PathBuf, String>> = OnceLock::new();
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/promtool/build.sh");
    match BUILT.get_or_init(|| built_by(script).map_err(|error| format!("{error:#}"))) {
        Ok(path) => Ok(path),
        Err(error) => bail!("{error}"),
    }
}

/// The folder Cargo puts the running profile's binaries in, such as `target/debug`.
pub fn profile_folder() -> Result<PathBuf> {
    let executable = env::current_exe().context("finding the running test's path")?;
    // Tests lie in `deps`, ordinary binaries beside it.
    let folder = executable
        .ancestors()
        .skip(1)
        .find(|folder| !folder.ends_with("deps"))
        .context("the running test has no parent folder")?;
    Ok(folder.to_path_buf())
}

/// Cargo's target folder, such as `target`. What ships is built for a target
/// that is named, and so is what measures it: that puts a folder in between.
pub fn target_folder() -> Result<PathBuf> {
    let profile = profile_folder()?;
    let levels = if cfg!(target_feature = "crt-static") { 2 } else { 1 };
    let folder = profile.ancestors().nth(levels).context("the profile's folder has no parent")?;
    Ok(folder.to_path_buf())
}

/// How what ships is built.
const RELEASE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../.cargo/release.toml");

fn build_control_plane() -> Result<PathBuf> {
    built_by(concat!(env!("CARGO_MANIFEST_DIR"), "/control-plane/build.sh"))
}

/// The path that script prints when it has built what is not built yet.
fn built_by(script: &str) -> Result<PathBuf> {
    let output = Command::new(script)
        .stderr(Stdio::inherit())
        .output()
        .with_context(|| format!("starting {script}"))?;
    ensure!(output.status.success(), "{script} failed: {}", output.status);
    let path = String::from_utf8(output.stdout).context("build.sh printed no UTF-8")?;
    Ok(PathBuf::from(path.trim()))
}

fn build_nfs_guard() -> Result<PathBuf> {
    let folder = profile_folder()?;
    let target = target_folder()?;
    let profile = match folder.file_name().and_then(|name| name.to_str()) {
        Some("debug") => "dev",
        Some(name) => name,
        None => bail!("{} names no Cargo profile", folder.display()),
    };
    let cargo = env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(cargo);
    // What Cargo tells the program it runs is not for a build: ring's build script
    // would see other values than in one started by hand, and be run again.
    for (name, _) in env::vars_os() {
        let of_a_run = name.to_string_lossy();
        if of_a_run.starts_with("CARGO_PKG_") || of_a_run.starts_with("CARGO_MANIFEST_") {
            command.env_remove(name);
        }
    }
    if cfg!(target_feature = "crt-static") {
        command.args(["--config", RELEASE]);
    }
    let output = command
        .args(["build", "--locked", "--quiet", "-p", "nfs-guard", "--bin", "nfs-guard"])
        .args(["--profile", profile, "--target-dir"])
        .arg(target)
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .context("starting cargo to build nfs-guard")?;
    ensure!(
        output.status.success(),
        "building nfs-guard failed:\n{}",
        String::from_utf8_lossy(&output.stderr)
    );
    Ok(folder.join("nfs-guard"))
}
