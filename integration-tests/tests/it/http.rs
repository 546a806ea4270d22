//! Plain HTTP, as a probe speaks it.

use std::{
    io::{Read as _, Write as _},
    net::TcpStream,
    time::Duration,
};

use nfs_guard_integration_tests::wait::{Progress, wait_for};

/// Status and body of `GET url`.
#[track_caller]
pub(crate) fn get(url: &str) -> (u16, String) {
    let (host, path) = url.strip_prefix("http://").unwrap().split_once('/').unwrap();
    let mut stream = TcpStream::connect(host).unwrap();
    write!(stream, "GET /{path} HTTP/1.0\r\nHost: {host}\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    (head.split(' ').nth(1).unwrap().parse().unwrap(), body.to_owned())
}

/// Waits until a server that is asked to stop says so, and returns what it says.
#[track_caller]
pub(crate) fn wait_until_not_ready(url: &str) -> String {
    let not_ready = wait_for("readiness to go", Duration::from_secs(10), || {
        let (status, body) = get(url);
        Ok(if status == 200 { Progress::NotYet(body) } else { Progress::Done(body) })
    });
    not_ready.unwrap()
}
