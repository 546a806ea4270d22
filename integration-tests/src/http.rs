//! Plain HTTP, as a probe speaks it.

use std::{
    io::{Read as _, Write as _},
    net::TcpStream,
    time::Duration,
};

use anyhow::{Context, Result};

use crate::wait::{Progress, wait_for};

/// Status and body of `GET url`.
#[track_caller]
#[must_use]
pub fn get(url: &str) -> (u16, String) {
    try_get(url).unwrap_or_else(|error| panic!("GET {url}: {error:#}"))
}

/// As [`get`], of a server that may be gone.
pub fn try_get(url: &str) -> Result<(u16, String)> {
    let rest = url.strip_prefix("http://").context("not plain HTTP")?;
    let (host, path) = rest.split_once('/').context("no path")?;
    let mut stream = TcpStream::connect(host)?;
    write!(stream, "GET /{path} HTTP/1.0\r\nHost: {host}\r\n\r\n")?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    let (head, body) = answer.split_once("\r\n\r\n").context("an answer without a head")?;
    let status = head.split(' ').nth(1).context("no status")?.parse()?;
    Ok((status, body.to_owned()))
}

/// Waits until a server that is asked to stop says so, and returns what it says.
#[track_caller]
#[expect(clippy::must_use_candidate, reason = "often called to wait alone")]
pub fn wait_until_not_ready(url: &str) -> String {
    let not_ready = wait_for("readiness to go", Duration::from_secs(10), || {
        let (status, body) = get(url);
        Ok(if status == 200 { Progress::NotYet(body) } else { Progress::Done(body) })
    });
    not_ready.unwrap_or_else(|error| panic!("{error:#}"))
}
