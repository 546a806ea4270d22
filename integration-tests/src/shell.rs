//! A shell as an operator has it, in the folder of the repository.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, Result};

use crate::{Ran, binaries, kubectl::isolate};

/// Runs bash with `kubectl`, `helm` and `nfs-guard` at hand, as the cluster's admin.
#[derive(Debug)]
pub struct Shell {
    folder: PathBuf,
    kubeconfig: PathBuf,
    path: String,
}

impl Shell {
    /// A shell whose files, caches and programs lie in `folder`, and which installs with
    /// the settings of `helm_settings`, as `--set` takes them.
    pub(crate) fn new(
        folder: PathBuf,
        kubeconfig: PathBuf,
        kubectl: &Path,
        helm: &Path,
        helm_settings: &str,
    ) -> Result<Self> {
        let programs = folder.join("bin");
        fs::create_dir_all(&programs)?;
        let program = |name: &str, script: String| -> Result<()> {
            let file = programs.join(name);
            fs::write(&file, format!("#!/bin/sh\n{script}\n"))?;
            let executable = std::os::unix::fs::PermissionsExt::from_mode(0o755);
            fs::set_permissions(&file, executable)?;
            Ok(())
        };
        let exec = |program: &Path| format!("exec '{}' \"$@\"", program.display());
        program("kubectl", exec(kubectl))?;
        program("nfs-guard", exec(binaries::nfs_guard()?))?;
        let helm = exec(helm);
        program(
            "helm",
            format!("case $1 in install|upgrade) {helm} --set '{helm_settings}';; esac\n{helm}"),
        )?;
        let path = std::env::var("PATH").context("there is no PATH")?;
        let path = format!("{}:{path}", programs.display());
        // What the commands write next to what they read must not lie in the repository.
        let repository = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/.."));
        for name in ["helm", "docs"] {
            let link = folder.join(name);
            if !link.exists() {
                std::os::unix::fs::symlink(repository.join(name), link)?;
            }
        }
        Ok(Self { folder, kubeconfig, path })
    }

    /// Runs a script; the first command that fails ends it.
    #[must_use]
    pub fn run(&self, script: &str) -> Ran {
        let mut command = Command::new("bash");
        isolate(&mut command, &self.kubeconfig, &self.folder);
        command.env("PATH", &self.path).current_dir(&self.folder);
        for variable in ["HELM_CACHE_HOME", "HELM_CONFIG_HOME", "HELM_DATA_HOME"] {
            command.env(variable, self.folder.join(variable.to_lowercase()));
        }
        Ran::new(command.args(["-euo", "pipefail", "-c", script]), "")
    }
}
