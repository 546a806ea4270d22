//! Names with wildcards.

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A name in which `*` stands for any run of characters and `?` for one. The
/// whole name must fit; case counts.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(transparent)]
pub struct Glob(String);

impl Glob {
    /// Whether the whole of `name` fits.
    #[must_use]
    pub fn matches(&self, name: &str) -> bool {
        let (pattern, name) = (self.0.as_bytes(), name.as_bytes());
        let (mut p, mut n) = (0, 0);
        // Where to resume when the run of the last `*` has to grow.
        let mut star: Option<(usize, usize)> = None;
        while n < name.len() {
            match pattern.get(p) {
                Some(b'*') => {
                    star = Some((p + 1, n));
                    p += 1;
                }
                Some(&c) if c == b'?' || c == name[n] => (p, n) = (p + 1, n + 1),
                _ => match &mut star {
                    Some((after, start)) => {
                        *start += 1;
                        (p, n) = (*after, *start);
                    }
                    None => return false,
                },
            }
        }
        pattern[p..].iter().all(|c| *c == b'*')
    }
}

impl From<&str> for Glob {
    fn from(pattern: &str) -> Self {
        Self(pattern.to_owned())
    }
}

impl fmt::Display for Glob {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn matches_whole_names_only() {
        for (pattern, name, expected) in [
            ("vault", "vault", true),
            ("vault", "vault-2", false),
            ("db-*", "db-orders", true),
            ("db-*", "db-", true),
            ("*-backup*", "nightly-backup-1", true),
            ("*-backup", "nightly-backup-1", false),
            ("a*b*c", "aXXbYYbZc", true),
            ("a*b*c", "aXXbYYbZ", false),
            ("?b", "ab", true),
            ("?b", "b", false),
            ("*", "", true),
            ("", "x", false),
        ] {
            assert_eq!(Glob::from(pattern).matches(name), expected, "{pattern} on {name}");
        }
    }
}
