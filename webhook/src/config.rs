//! The configuration file.

use std::{fs, path::Path};

use nfs_guard_policies::GuardConfig;

use crate::manifest::InputError;

/// Reads the configuration; no file means the defaults.
///
/// # Errors
/// The file cannot be read, or is not a configuration; the error names the
/// place and what was expected there.
pub(crate) fn load(path: Option<&Path>) -> Result<GuardConfig, InputError> {
    let Some(path) = path else { return Ok(GuardConfig::default()) };
    let shown = path.display().to_string();
    let text =
        fs::read_to_string(path).map_err(|error| InputError::whole(&shown, error.to_string()))?;
    parse(&shown, &text)
}

fn parse(path: &str, text: &str) -> Result<GuardConfig, InputError> {
    // A file of comments only is an empty document, and that is a working policy.
    serde_saphyr::from_str::<Option<GuardConfig>>(text)
        .map(Option::unwrap_or_default)
        .map_err(|error| InputError::yaml(path, &error))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_empty_file_is_a_working_policy() {
        for text in ["", "# nothing yet\n", "{}\n"] {
            assert!(parse("c.yaml", text).is_ok(), "{text:?}");
        }
    }

    #[test]
    fn an_error_names_line_column_and_what_was_expected() {
        for (text, place, expected) in [
            ("rules:\n  critical-on-nsf: {}\n", "c.yaml:2:3", "critical-on-nfs"),
            ("rules:\n  critical-on-nfs:\n    mode: deny\n", "c.yaml:3:11", "enforce"),
            ("critical:\n  namespaces: vault\n", "c.yaml:2:15", "sequence"),
            ("excludedNamespaces: [a\n", "c.yaml:1:21", "unclosed bracket"),
            (
                "critical:\n  namespaceSelectors:\n    - matchLabels: {}\n",
                "c.yaml:3:7",
                "empty label selector",
            ),
        ] {
            let error = parse("c.yaml", text).expect_err(text).to_string();
            assert!(error.starts_with(&format!("{place}: ")), "{error}");
            assert!(error.contains(expected), "{error}");
            assert!(!error.contains('\n'), "{error}");
        }
    }
}
