//! What there is to run.

use super::HostNode;

/// Whether that reference is the guard's image, under a tag the nodes have.
pub(super) fn is_here(reference: &str) -> bool {
    // A digest names bytes that are not there.
    let Some((repository, tag)) = reference.rsplit_once(':') else { return false };
    repository == REPOSITORY && HostNode::TAGS.contains(&tag)
}

/// As in the chart's values.
const REPOSITORY: &str = "nfs-guard";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_guards_image_is_here_under_two_tags() {
        let version = env!("CARGO_PKG_VERSION");
        for (reference, expected) in [
            (format!("nfs-guard:{version}"), true),
            ("nfs-guard:next".into(), true),
            ("nfs-guard:missing".into(), false),
            ("nfs-guard".into(), false),
            (format!("nfs-guard:{version}@sha256:00"), false),
            (format!("registry.example/nfs-guard:{version}"), false),
            ("db".into(), false),
        ] {
            assert_eq!(is_here(&reference), expected, "{reference}");
        }
    }
}
