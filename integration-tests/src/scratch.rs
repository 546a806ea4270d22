//! The folder a control plane keeps its data, keys and logs in.

use std::{
    fs::{self, File},
    path::{Path, PathBuf},
};

use anyhow::{Context, Result};

use crate::binaries;

/// A folder in the target directory that outlives its process.
///
/// It stays so that the logs of a failed run can be read; the next run removes
/// it. A lock on a file inside tells a folder in use from one left behind.
#[derive(Debug)]
pub struct Scratch {
    path: PathBuf,
    _in_use: File,
}

impl Scratch {
    /// Makes a folder and removes those whose process is gone.
    pub fn create() -> Result<Self> {
        let parent = binaries::profile_folder()?.join("control-planes");
        fs::create_dir_all(&parent).with_context(|| format!("making {}", parent.display()))?;
        // One process at a time makes and sweeps, so that none takes a folder
        // for abandoned that its neighbour has made but not locked yet.
        let door = lock_file(&parent)?;
        door.lock().context("locking the control planes' folder")?;
        sweep(&parent)?;
        let path = tempfile::Builder::new()
            .prefix("control-plane-")
            .tempdir_in(&parent)
            .context("making a control plane's folder")?
            .keep();
        let in_use = lock_file(&path)?;
        in_use.lock().with_context(|| format!("locking {}", path.display()))?;
        Ok(Self { path, _in_use: in_use })
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }
}

fn sweep(parent: &Path) -> Result<()> {
    for entry in fs::read_dir(parent).context("listing old control planes")? {
        let path = entry.context("listing old control planes")?.path();
        if path.is_dir() && lock_file(&path)?.try_lock().is_ok() {
            fs::remove_dir_all(&path).with_context(|| format!("removing {}", path.display()))?;
        }
    }
    Ok(())
}

fn lock_file(folder: &Path) -> Result<File> {
    let path = folder.join(".lock");
    File::options()
        .create(true)
        .append(true)
        .open(&path)
        .with_context(|| format!("opening {}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sweeps_abandoned_folders_and_leaves_those_in_use() {
        let kept = Scratch::create().expect("a folder can be made");
        let abandoned = Scratch::create().expect("a second folder can be made").path;
        let _next = Scratch::create().expect("a third folder can be made");
        assert!(kept.path().is_dir());
        assert!(!abandoned.exists());
    }
}
