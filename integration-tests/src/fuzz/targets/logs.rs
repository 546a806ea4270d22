use nfs_guard::audit::{show::Shown, verify::Verifier};

use super::{Said, Target};

/// Audit logs, as somebody may have bent them.
pub(super) struct Logs<'a>(pub(super) &'a [Vec<u8>]);

impl Target for Logs<'_> {
    fn name(&self) -> &'static str {
        "audit logs"
    }

    fn corpus(&self) -> &[Vec<u8>] {
        self.0
    }

    fn words(&self) -> &[&str] {
        &[
            "\n",
            "opened",
            "rotated",
            "closed",
            "\"sequence\":0,",
            "\"torn\":{\"bytes\":0,\"sha256\":\"",
            "\"chainId\":\"",
            "\"previous\":\"",
            "0000000000000000000000000000000000000000000000000000000000000000",
            ",\"hash\":\"",
            "18446744073709551615",
        ]
    }

    /// Of each log that is said to be whole there must be the beginning, line by
    /// line: only the end can go unseen.
    fn attempt(&self, input: &[u8]) -> Result<Said, String> {
        let mut verifier = Verifier::default();
        verifier.read("-", input).map_err(|error| error.to_string())?;
        let lines: Vec<_> = input.split(|byte| *byte == b'\n').collect();
        for shown in lines.iter().filter_map(|line| Shown::read(line)) {
            let (cells, reasons) = (shown.cells(), shown.reasons());
            if cells.iter().chain(&reasons).any(|text| text.contains(char::is_control)) {
                return Err(format!("a terminal would obey {cells:?} {reasons:?}"));
            }
        }
        if !verifier.finish().whole {
            return Ok(Said::Refused);
        }
        for log in self.0 {
            let written: Vec<_> = log.split(|byte| *byte == b'\n').collect();
            let written = &written[..written.len() - 1];
            let kept = lines.iter().filter(|line| written.contains(line));
            if !kept.zip(written).all(|(kept, written)| kept == written) {
                return Err("said to be whole, and is not".to_owned());
            }
        }
        Ok(Said::Taken)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fuzz::corpus::LOGS;

    #[test]
    fn what_was_written_once_is_still_whole() {
        for log in LOGS {
            let mut verifier = Verifier::default();
            verifier.read("-", log.as_bytes()).expect("it is in memory");
            let report = verifier.finish();
            assert!(report.whole && report.records == 5, "{report:?}");
        }
    }
}
