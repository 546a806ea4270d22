//! Content named by its SHA-256.

use std::fmt;

use ring::digest::{SHA256, digest};
use serde::Serialize;

/// What OCI calls a blob: `sha256:` and 64 hexadecimal digits.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Digest(String);

impl Digest {
    /// The name of that content.
    #[must_use]
    pub fn of(content: &[u8]) -> Self {
        let sum = digest(&SHA256, content);
        let digits = sum.as_ref().iter().flat_map(|byte| [byte >> 4, byte & 0xf]);
        let digits = digits.filter_map(|digit| char::from_digit(digit.into(), 16));
        Self(ALGORITHM.chars().chain(digits).collect())
    }

    /// The digits alone: the name of the blob's file.
    #[must_use]
    pub fn digits(&self) -> &str {
        &self.0[ALGORITHM.len()..]
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

const ALGORITHM: &str = "sha256:";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn is_the_sha256_as_oci_writes_it() {
        // FIPS 180-2, appendix B.1.
        let digest = Digest::of(b"abc");
        let digits = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        assert_eq!(digest.digits(), digits);
        assert_eq!(digest.to_string(), format!("sha256:{digits}"));
    }
}
