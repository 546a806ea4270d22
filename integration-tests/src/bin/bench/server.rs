//! A server under load: a process of its own, and what the kernel says of it.

use std::{
    env, fs,
    io::{self, BufRead as _, BufReader},
    net::SocketAddr,
    path::Path,
    process::Command,
    sync::Arc,
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, ensure};
use nfs_guard_integration_tests::{binaries, http, process::Process};
use rustls::{
    ClientConfig, RootCertStore,
    client::Resumption,
    crypto::ring,
    pki_types::{CertificateDer, pem::PemObject as _},
};
use serde_json::Value;

/// A server that serves reviews; dropping it kills it.
pub(crate) struct Server {
    process: Process,
    address: SocketAddr,
    admin: Option<SocketAddr>,
    roots: RootCertStore,
    ready_after: Duration,
}

impl Server {
    /// The guard, as anyone would start it without a cluster.
    pub(crate) fn guard(folder: &Path) -> Result<Self> {
        let ca = folder.join("nfs-guard.crt");
        let mut command = Command::new(binaries::nfs_guard()?);
        command
            .args(["serve", "--embedded", "--listen", "127.0.0.1:0"])
            .args(["--admin-listen", "127.0.0.1:0", "--ca-out"])
            .arg(&ca);
        Self::start("nfs-guard", &command, folder, &ca)
    }

    /// The floor: this program once more.
    pub(crate) fn floor(folder: &Path) -> Result<Self> {
        let ca = folder.join("floor.crt");
        let mut command = Command::new(env::current_exe().context("finding this program")?);
        command.arg(crate::FLOOR).arg(&ca);
        Self::start("floor", &command, folder, &ca)
    }

    fn start(name: &str, command: &Command, folder: &Path, ca: &Path) -> Result<Self> {
        let started = Instant::now();
        let (process, output) = Process::start_piped(name, command, folder)?;
        // Records are read on as a container runtime would, in large pieces.
        let mut output = BufReader::with_capacity(64 << 10, output);
        let mut line = String::new();
        output.read_line(&mut line).with_context(|| format!("reading what {name} says"))?;
        let ready_after = started.elapsed();
        let line: Value = serde_json::from_str(&line)
            .with_context(|| format!("{name} does not serve\n{}", process.log_tail()))?;
        thread::spawn(move || io::copy(&mut output, &mut io::sink()));

        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_file(ca).context("reading the server's CA")?)?;
        let address = address_in(&line["url"]).context("no URL in the first line")?;
        let admin = address_in(&line["admin"]);
        Ok(Self { process, address, admin, roots, ready_after })
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// From the start of the process to its first line.
    pub(crate) fn ready_after(&self) -> Duration {
        self.ready_after
    }

    /// A client that trusts this server and speaks that protocol. It resumes no
    /// session: each handshake is a full one.
    pub(crate) fn client(&self, alpn: &[u8]) -> Result<ClientConfig> {
        let mut config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()?
            .with_root_certificates(self.roots.clone())
            .with_no_client_auth();
        config.alpn_protocols = vec![alpn.to_vec()];
        config.resumption = Resumption::disabled();
        Ok(config)
    }

    /// The processor time it has used, in user space and in the kernel.
    pub(crate) fn cpu(&self) -> Result<Duration> {
        let stat = proc(&self.process, "stat")?;
        // The second field, the name in parentheses, may itself hold anything.
        let (_, fields) = stat.rsplit_once(')').context("no name in /proc/PID/stat")?;
        // proc_pid_stat(5): utime and stime are fields 14 and 15; the first here is 3.
        let ticks = fields.split_whitespace().skip(11).take(2).map(str::parse::<u64>);
        let ticks: u64 = ticks.sum::<Result<_, _>>().context("no times in /proc/PID/stat")?;
        let per_second = rustix::param::clock_ticks_per_second();
        Ok(Duration::from_nanos(ticks * (1_000_000_000 / per_second)))
    }

    /// Memory it has resident, in MiB.
    pub(crate) fn resident(&self) -> Result<f64> {
        resident(&self.process)
    }

    /// The audit records it lost, since its start.
    pub(crate) fn audit_lost(&self) -> Result<f64> {
        let admin = self.admin.context("it has no admin port")?;
        let (_, metrics) = http::try_get(&format!("http://{admin}/metrics"))?;
        let count =
            metrics.lines().find_map(|line| line.strip_prefix("nfs_guard_audit_dropped_total "));
        Ok(count.context("no such metric")?.parse()?)
    }
}

/// Memory a process has resident, in MiB.
pub(crate) fn resident(process: &Process) -> Result<f64> {
    let status = proc(process, "status")?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kib = line.and_then(|line| line.trim().strip_suffix(" kB"));
    Ok(kib.context("no VmRSS in /proc/PID/status")?.parse::<f64>()? / 1024.0)
}

fn proc(process: &Process, file: &str) -> Result<String> {
    let path = format!("/proc/{}/{file}", process.id());
    let text = fs::read_to_string(&path).with_context(|| format!("reading {path}"))?;
    ensure!(!text.is_empty(), "{path} is empty");
    Ok(text)
}

/// The address in a URL such as `https://127.0.0.1:8443/validate`.
fn address_in(url: &Value) -> Option<SocketAddr> {
    let (_, rest) = url.as_str()?.split_once("://")?;
    rest.split('/').next()?.parse().ok()
}
