//! A volume's folder, whose files change all at once.

use std::{
    collections::BTreeMap,
    fs, io,
    os::unix::fs::symlink,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result};

/// What a volume holds: contents by path inside the volume.
pub(super) type Files = BTreeMap<String, Vec<u8>>;

/// Makes the volume at `folder` hold those files, as the kubelet's atomic writer
/// does: they lie in a folder beside it, and a link to that folder is swapped.
/// Whoever follows a file sees another link target, never half a file.
pub(super) fn write(folder: &Path, files: &Files) -> Result<()> {
    write_files(folder, files).with_context(|| format!("filling {}", folder.display()))
}

fn write_files(folder: &Path, files: &Files) -> io::Result<()> {
    fs::create_dir_all(folder)?;
    let link = folder.join("..data");
    let before = fs::read_link(&link).ok();
    let number =
        before.as_ref().and_then(|target| target.to_str()?.strip_prefix("..")?.parse().ok());
    let target = PathBuf::from(format!("..{}", number.map_or(0, |number: u64| number + 1)));
    for (name, content) in files {
        let file = folder.join(&target).join(name);
        fs::create_dir_all(file.parent().unwrap_or(folder))?;
        fs::write(file, content)?;
    }
    fs::create_dir_all(folder.join(&target))?;
    let next = folder.join("..data_tmp");
    symlink(&target, &next)?;
    fs::rename(next, link)?;

    // Files in folders of the volume are reached by a link to the topmost one.
    for name in files.keys().filter_map(|name| name.split('/').next()) {
        let visible = folder.join(name);
        if visible.symlink_metadata().is_err() {
            symlink(Path::new("..data").join(name), visible)?;
        }
    }
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let name = entry.file_name();
        let is_visible = !name.to_string_lossy().starts_with("..");
        // A link to nothing: the file is gone.
        if is_visible && entry.path().metadata().is_err() {
            fs::remove_file(entry.path())?;
        }
    }
    before.map_or(Ok(()), |before| fs::remove_dir_all(folder.join(before)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_change_all_at_once_and_go_when_they_are_named_no_more() {
        let folder = tempfile::tempdir().expect("a folder can be made");
        let volume = folder.path().join("config");
        let files = |files: &[(&str, &str)]| -> Files {
            files.iter().map(|&(name, text)| (name.into(), text.into())).collect()
        };
        let read = |name: &str| fs::read_to_string(volume.join(name)).ok();

        write(&volume, &files(&[("a", "1"), ("sub/b", "1")])).expect("it can be filled");
        assert_eq!(read("a").as_deref(), Some("1"));
        assert_eq!(read("sub/b").as_deref(), Some("1"));
        assert!(volume.join("a").is_symlink());

        write(&volume, &files(&[("a", "2"), ("c", "2")])).expect("it can be filled again");
        assert_eq!(["a", "sub/b", "c"].map(read), [Some("2".into()), None, Some("2".into())]);
        assert!(!volume.join("..0").exists(), "what was there before is gone");

        write(&volume, &Files::new()).expect("it can be emptied");
        assert_eq!(read("a"), None);
    }
}
