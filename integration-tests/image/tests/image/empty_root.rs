//! A root filesystem with nothing in it but the image's layer.

use std::{
    env, fs,
    os::unix::fs::PermissionsExt as _,
    path::Path,
    process::{Command, Output},
};

use nfs_guard_image::{ENTRYPOINT, USER};
use tar::Archive;
use tempfile::TempDir;

use crate::{layout, rights::Rights};

/// The unpacked layer, which nobody may write to while it is run.
pub(crate) struct EmptyRoot {
    folder: TempDir,
    rights: Rights,
}

impl EmptyRoot {
    /// The layer alone; nothing where nobody may change roots.
    pub(crate) fn new() -> Option<Self> {
        let rights = Rights::to_change_root()?;
        let folder = tempfile::tempdir().unwrap();
        Archive::new(&layout::root_filesystem()[..]).unpack(folder.path()).unwrap();
        Some(Self { folder, rights })
    }

    /// Adds a file, as the kubelet and the runtime do.
    pub(crate) fn mount(&mut self, path: &str, content: &str) {
        let file = self.folder.path().join(path);
        fs::create_dir_all(file.parent().unwrap()).unwrap();
        fs::write(&file, content).unwrap();
    }

    /// Runs the program as the image's user, with that environment alone, for a
    /// minute at most.
    pub(crate) fn run(&self, arguments: &[&str], environment: &[(&str, &str)]) -> Output {
        set_writable(self.folder.path(), false);
        let root = self.folder.path().to_str().unwrap();
        let (user, group) = USER.split_once(':').unwrap();
        let mut command = Command::new("timeout");
        command.arg("60");
        match self.rights {
            Rights::Root => command.args(["chroot", &format!("--userspec={USER}"), root]),
            // As that user in a namespace of its own it has no rights left once started.
            Rights::UserNamespace => command
                .args(["unshare", "--user", &format!("--map-user={user}")])
                .args([&format!("--map-group={group}"), &format!("--root={root}"), "--wd=/", "--"]),
        };
        command.arg(ENTRYPOINT).args(arguments);
        // A runtime sets a PATH, too.
        command.env_clear().env("PATH", env::var_os("PATH").unwrap_or_default());
        command.envs(environment.iter().copied());
        let output = command.output().unwrap();
        set_writable(self.folder.path(), true);
        output
    }
}

/// What the program printed.
pub(crate) fn text(output: &[u8]) -> &str {
    std::str::from_utf8(output).unwrap()
}

/// A read-only root, for its owner as well.
fn set_writable(folder: &Path, writable: bool) {
    let mode = if writable { 0o755 } else { 0o555 };
    fs::set_permissions(folder, fs::Permissions::from_mode(mode)).unwrap();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            set_writable(&path, writable);
        }
    }
}
