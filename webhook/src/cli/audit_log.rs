//! Where `serve` writes its audit log.

use std::{io, path::PathBuf};

use clap::{Args, ValueHint, value_parser};
use rustix::system::uname;

use super::running::AuditLog;
use crate::{
    audit::{LogFile, Rotation},
    manifest::InputError,
};

#[derive(Debug, Args)]
#[command(next_help_heading = "Audit log")]
pub(super) struct AuditArguments {
    /// File the audit log goes to, or - for standard output
    #[arg(long, default_value = "-", value_name = "FILE", value_hint = ValueHint::FilePath)]
    audit_log: PathBuf,
    /// Size at which a new file is begun, in bytes or with Ki, Mi or Gi
    #[arg(long, default_value = "100Mi", value_name = "SIZE", value_parser = size)]
    audit_log_max_size: u64,
    /// Old files to keep: FILE.1 is the newest of them
    #[arg(long, default_value_t = 10, value_name = "NUMBER", value_parser = value_parser!(u32).range(1..=1000))]
    audit_log_keep: u32,
    /// Name of this replica in the audit log; without it, the host's
    #[arg(long, env = "POD_NAME", value_name = "NAME")]
    instance: Option<String>,
}

impl AuditArguments {
    /// Opens the log.
    ///
    /// # Errors
    /// Its file cannot be used.
    pub(super) fn open(&self) -> Result<AuditLog, InputError> {
        let Self { audit_log, audit_log_max_size, audit_log_keep, instance } = self;
        let file = if audit_log.as_os_str() == "-" {
            None
        } else {
            let rotation = Rotation { max_size: *audit_log_max_size, keep: *audit_log_keep };
            let unusable = |error: crate::audit::OpenError| {
                InputError::whole(&audit_log.display().to_string(), error.to_string())
            };
            Some(LogFile::open(audit_log, rotation).map_err(unusable)?)
        };
        let host = || uname().nodename().to_string_lossy().into_owned();
        let instance = instance.clone().unwrap_or_else(host);
        Ok(AuditLog { output: Box::new(io::stdout()), file, instance })
    }
}

/// Least size of a file: below it, rotating would be most of the work.
const LEAST: u64 = 16 << 10;

fn size(text: &str) -> Result<u64, String> {
    let number = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let shift = match &text[number.len()..] {
        "" => 0,
        "Ki" => 10,
        "Mi" => 20,
        "Gi" => 30,
        _ => return Err("expected a number of bytes, or one with Ki, Mi or Gi".to_owned()),
    };
    let number: u64 = number.parse().map_err(|error| format!("{error}"))?;
    let bytes = number.checked_mul(1 << shift).ok_or("more than any disk holds")?;
    if bytes < LEAST { Err("less than 16Ki".to_owned()) } else { Ok(bytes) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_written_as_kubernetes_writes_them() {
        for (text, expected) in [
            ("100Mi", Some(100 << 20)),
            ("16384", Some(16 << 10)),
            ("1Gi", Some(1 << 30)),
            ("16383", None),
            ("100M", None),
            ("Mi", None),
            ("", None),
            ("-1Mi", None),
            ("99999999999Gi", None),
        ] {
            assert_eq!(size(text).ok(), expected, "{text}");
        }
    }
}
