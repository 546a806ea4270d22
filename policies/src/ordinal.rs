//! The numbers that a StatefulSet names its pods by, and their claims.

/// A number as Go prints it, so that `01` and `+1` are none.
pub(crate) fn read(text: &str) -> Option<u64> {
    text.parse().ok().filter(|n: &u64| n.to_string() == text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_go_prints() {
        for (text, expected) in [
            ("0", Some(0)),
            ("10", Some(10)),
            ("01", None),
            ("+1", None),
            ("-1", None),
            ("", None),
            ("18446744073709551616", None),
        ] {
            assert_eq!(read(text), expected, "{text}");
        }
    }
}
