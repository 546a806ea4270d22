//! The configuration file: read at start, read again when it changes.

use std::{
    fmt, fs,
    path::{Path, PathBuf},
    time::Duration,
};

use nfs_guard_policies::GuardConfig;
use ring::digest::{SHA256, digest};
use serde::{Serialize, Serializer};

use crate::audit::write_hex;
pub use crate::manifest::InputError;

/// How often the file is compared with what was read last. A ConfigMap takes
/// up to a minute to reach its mount anyway. The content is compared, not a
/// notification awaited: the kubelet swaps a symlink, and a watch on the old
/// file hears nothing of it.
const INTERVAL: Duration = Duration::from_secs(10);

/// A configuration, and the file it came from.
#[derive(Debug, Default)]
pub(crate) struct Loaded {
    pub(crate) config: GuardConfig,
    pub(crate) fingerprint: Fingerprint,
    /// The file and its text; none means the defaults.
    pub(crate) file: Option<ConfigFile>,
}

/// Names the text of a configuration: the first 16 digits of what `sha256sum`
/// says of the file. Without a file it is that of an empty one, which means the
/// same.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fingerprint([u8; 8]);

impl Fingerprint {
    /// The fingerprint of that text.
    #[must_use]
    pub fn of(text: &str) -> Self {
        let digest = digest(&SHA256, text.as_bytes());
        Self(*digest.as_ref().first_chunk().expect("a SHA-256 has 32 bytes"))
    }
}

impl Default for Fingerprint {
    fn default() -> Self {
        Self::of("")
    }
}

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_hex(f, &self.0)
    }
}

impl Serialize for Fingerprint {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// A configuration file, as it was read last.
#[derive(Debug)]
pub(crate) struct ConfigFile {
    path: PathBuf,
    text: Result<String, InputError>,
}

/// Reads the configuration; no file means the defaults.
///
/// # Errors
/// The file cannot be read, or is not a configuration; the error names the
/// place and what was expected there.
pub(crate) fn load(path: Option<&Path>) -> Result<Loaded, InputError> {
    let Some(path) = path else { return Ok(Loaded::default()) };
    let text = read(path)?;
    let config = parse(path, &text)?;
    let fingerprint = Fingerprint::of(&text);
    let file = ConfigFile { path: path.to_owned(), text: Ok(text) };
    Ok(Loaded { config, fingerprint, file: Some(file) })
}

impl ConfigFile {
    /// Follows the file, for as long as it is polled: every content that is a
    /// configuration is applied, every other reported, and the last good one
    /// stays.
    pub(crate) async fn follow(
        mut self,
        mut apply: impl FnMut(Result<(GuardConfig, Fingerprint), InputError>),
    ) {
        let mut ticks = tokio::time::interval(INTERVAL);
        loop {
            ticks.tick().await;
            let now = read(&self.path);
            if now != self.text {
                let parsed = |text: &String| Ok((parse(&self.path, text)?, Fingerprint::of(text)));
                apply(now.as_ref().map_err(Clone::clone).and_then(parsed));
                self.text = now;
            }
        }
    }
}

fn read(path: &Path) -> Result<String, InputError> {
    fs::read_to_string(path)
        .map_err(|error| InputError::whole(&path.display().to_string(), error.to_string()))
}

/// Reads the text of a configuration file; the path is for the error.
///
/// # Errors
/// It is no configuration; the error names the place and what was expected.
pub fn parse(path: &Path, text: &str) -> Result<GuardConfig, InputError> {
    // A file of comments only is an empty document, and that is a working policy.
    serde_saphyr::from_str::<Option<GuardConfig>>(text)
        .map(Option::unwrap_or_default)
        .map_err(|error| InputError::yaml(&path.display().to_string(), &error))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_empty_file_is_a_working_policy() {
        for text in ["", "# nothing yet\n", "{}\n"] {
            assert!(parse(Path::new("c.yaml"), text).is_ok(), "{text:?}");
        }
    }

    #[test]
    fn a_mode_may_be_off_as_helm_writes_it() {
        for off in ["off", "\"off\"", "false"] {
            let text = format!("rules: {{critical-on-nfs: {{mode: {off}}}}}");
            let config = parse(Path::new("c.yaml"), &text).expect(off);
            assert_eq!(
                config.rules.critical_on_nfs.mode,
                nfs_guard_policies::config::Mode::Off,
                "{off}"
            );
        }
    }

    #[test]
    fn an_error_names_line_column_and_what_was_expected() {
        for (text, place, expected) in [
            ("rules:\n  critical-on-nsf: {}\n", "c.yaml:2:3", "critical-on-nfs"),
            ("rules:\n  critical-on-nfs:\n    mode: deny\n", "c.yaml:3:11", "enforce"),
            ("critical:\n  namespaces: vault\n", "c.yaml:2:15", "sequence"),
            ("\"a\\r\\nb\": 1\n", "c.yaml:1:1", r"unknown field `a\r\nb`"),
            ("excludedNamespaces: [a\n", "c.yaml:1:21", "unclosed bracket"),
            (
                "critical:\n  namespaceSelectors:\n    - matchLabels: {}\n",
                "c.yaml:3:7",
                "empty label selector",
            ),
        ] {
            let error = parse(Path::new("c.yaml"), text).expect_err(text).to_string();
            assert!(error.starts_with(&format!("{place}: ")), "{error}");
            assert!(error.contains(expected), "{error}");
            assert!(!error.contains('\n'), "{error}");
        }
    }

    #[test]
    fn the_fingerprint_is_what_sha256sum_begins_with() {
        // sha256sum /dev/null
        assert_eq!(Fingerprint::default().to_string(), "e3b0c44298fc1c14");
        assert_ne!(Fingerprint::of("rules: {}"), Fingerprint::default());
    }

    #[tokio::test(start_paused = true)]
    async fn a_changed_file_is_applied_and_a_bad_one_reported() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("config.yaml");
        fs::write(&path, "{}").unwrap();
        let (sender, mut applied) = tokio::sync::mpsc::unbounded_channel();
        let file = load(Some(&path)).unwrap().file.unwrap();
        let follow = file.follow(move |config| sender.send(config.is_ok()).unwrap());
        let follow = tokio::spawn(follow);
        tokio::time::sleep(3 * INTERVAL).await;
        assert!(applied.try_recv().is_err(), "nothing changed");
        for (text, good) in [("rules: {}", true), ("rules: [", false), ("{}", true)] {
            fs::write(&path, text).unwrap();
            assert_eq!(applied.recv().await, Some(good), "{text}");
        }
        fs::remove_file(&path).unwrap();
        assert_eq!(applied.recv().await, Some(false), "a file that is gone");
        follow.abort();
    }
}
