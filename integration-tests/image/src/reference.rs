//! What an image is called.

use std::{fmt, str::FromStr};

use thiserror::Error;

/// A name and a tag, such as `registry.example.com/storage/nfs-guard:0.1.0`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reference {
    name: String,
    tag: String,
}

/// It is no name and tag.
#[derive(Debug, Error, PartialEq, Eq)]
#[error("{0:?} is no NAME:TAG, such as registry.example.com/nfs-guard:0.1.0")]
pub struct NoReference(String);

impl Reference {
    /// What comes after the colon.
    #[must_use]
    pub fn tag(&self) -> &str {
        &self.tag
    }

    /// With the registry and the folder that Docker, and containerd after it,
    /// take for granted where none is written.
    #[must_use]
    pub fn in_full(&self) -> String {
        let registry = self.name.split_once('/').map(|(first, _)| first);
        match registry {
            Some(first) if first.contains(['.', ':']) || first == "localhost" => self.to_string(),
            Some(_) => format!("docker.io/{self}"),
            None => format!("docker.io/library/{self}"),
        }
    }
}

impl FromStr for Reference {
    type Err = NoReference;

    fn from_str(text: &str) -> Result<Self, NoReference> {
        let path = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || "._-/:".contains(c);
        let word = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
        match text.rsplit_once(':') {
            Some((name, tag))
                if name.split('/').all(|part| !part.is_empty())
                    && name.chars().all(path)
                    && !tag.is_empty()
                    && tag.chars().all(word) =>
            {
                Ok(Self { name: name.to_owned(), tag: tag.to_owned() })
            }
            _ => Err(NoReference(text.to_owned())),
        }
    }
}

impl fmt::Display for Reference {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { name, tag } = self;
        write!(formatter, "{name}:{tag}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn is_completed_as_docker_does() {
        for (written, in_full) in [
            ("nfs-guard:0.1.0", "docker.io/library/nfs-guard:0.1.0"),
            ("acme/nfs-guard:0.1.0", "docker.io/acme/nfs-guard:0.1.0"),
            ("ghcr.io/acme/nfs-guard:0.1.0", "ghcr.io/acme/nfs-guard:0.1.0"),
            ("localhost/nfs-guard:dev", "localhost/nfs-guard:dev"),
            ("localhost:5000/nfs-guard:Dev_1", "localhost:5000/nfs-guard:Dev_1"),
        ] {
            let reference: Reference = written.parse().expect(written);
            assert_eq!(reference.to_string(), written);
            assert_eq!(reference.in_full(), in_full);
        }
    }

    #[test]
    fn needs_a_name_and_a_tag() {
        for text in
            ["", "nfs-guard", "nfs-guard:", ":0.1.0", "a//b:1", "NFS:1", "localhost:5000/nfs-guard"]
        {
            assert_eq!(text.parse::<Reference>(), Err(NoReference(text.to_owned())));
        }
    }
}
