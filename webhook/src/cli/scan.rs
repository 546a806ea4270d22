//! Judges what is in a cluster, once.

mod installation;
mod report;
mod table;

use std::{
    cell::Cell,
    io::{self, IsTerminal as _, Write as _},
    path::PathBuf,
};

use anyhow::{Context as _, anyhow};
use clap::{Args, ValueHint};
use jiff::Timestamp;
use kube::Client;
use nfs_guard_policies::{
    Policy, Snapshot,
    config::Mode,
    facts::{Kind, Object},
};
use tokio::runtime::Runtime;

pub(super) use self::report::ScanReport;
use self::{
    installation::Installation,
    report::{JudgedBy, judge},
};
use super::{ConfigArgument, Exit, Failure, kubernetes, output::Output, tell};
use crate::{
    cluster::{ListError, Listing},
    config::{self, Loaded},
    manifest::InputError,
};

/// Judge what is in a cluster, by the same rules as the admission server
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  nfs-guard scan\n  nfs-guard scan --context production --namespace vault\n  \
                  nfs-guard scan -o json | jq '.findings[] | select(.category == \"violation\")'\n\n\
                  Every object is told apart: a violation came in while the guard was down, or where \
                  admission could not see it in time; grandfathered is what was there before the guard; \
                  exempt is what an exemption or the configuration excuses; unknown is storage that nobody \
                  can name; a warning is anything else a rule has to say.\nWithout --config the guard's own \
                  configuration is read from the cluster, if there is one. Nothing is written.\nExit codes: \
                  0 no violation, 1 at least one, 2 bad usage or configuration, or objects that may not be \
                  listed, 3 cluster unreachable."
)]
pub(super) struct Scan {
    #[command(flatten)]
    config: ConfigArgument,
    /// Kubeconfig; without it, the usual one ($KUBECONFIG, ~/.kube/config), else the pod's service account
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    kubeconfig: Option<PathBuf>,
    /// Context of the kubeconfig; without it, its current one
    #[arg(long, value_name = "NAME")]
    context: Option<String>,
    /// Judge only what is in this namespace
    #[arg(short, long, value_name = "NAMESPACE", value_parser = namespace)]
    namespace: Option<String>,
    /// Form of the answer; `nfs-guard schema scan` describes the JSON
    #[arg(short, long, default_value = "table")]
    output: Output,
}

impl Scan {
    pub(super) fn run(&self) -> Result<Exit, Failure> {
        let given = self.config.config.as_deref();
        let config = given.map(|path| config::load(Some(path))).transpose()?;
        let report = Runtime::new().context("cannot start the runtime")?.block_on(async {
            let client = self.client().await?;
            let (policy, judged_by) = self.policy(&client, config).await?;
            let objects = self.objects(&client).await?;
            let mut cluster = Snapshot::complete();
            for object in &objects {
                cluster.insert(object.clone());
            }
            Ok::<_, Failure>(judge(objects, &cluster, &policy, judged_by, Timestamp::now()))
        })?;
        self.output.print(&report, table::print)?;
        Ok(if report.summary.violations > 0 { Exit::Negative } else { Exit::Good })
    }

    /// A client of the cluster, which has answered.
    async fn client(&self) -> Result<Client, Failure> {
        let client = kubernetes::client(self.kubeconfig.as_deref(), self.context.as_deref());
        let client = client.await?;
        let answered = client.apiserver_version().await;
        answered.context("cannot reach the cluster").map_err(Failure::Unreachable)?;
        Ok(client)
    }

    /// What is judged by: the configuration that was given, else the one the guard of
    /// this cluster runs by, else the defaults; and what is told of it.
    async fn policy(
        &self,
        client: &Client,
        given: Option<Loaded>,
    ) -> Result<(Policy, JudgedBy), Failure> {
        let installation = Installation::find(client).await?;
        let (source, Loaded { mut config, fingerprint, file: _ }) =
            match (given, &self.config.config) {
                (Some(loaded), Some(path)) => (path.display().to_string(), loaded),
                _ => installation.config(client).await?,
            };
        config.excluded_namespaces.extend(installation.namespaces());
        // What stands is told apart by what is so, not by what a mode makes of a write:
        // while the rule only watches, this is how to know what it would deny.
        let mode = &mut config.rules.critical_on_nfs.mode;
        *mode = match mode {
            Mode::Off => Mode::Off,
            Mode::Audit | Mode::Warn | Mode::Enforce => Mode::Enforce,
        };
        let mut policy = Policy::new(config);
        policy.ratchet.since = policy.ratchet.since.or(installation.installed());
        if policy.ratchet.since.is_none() {
            tell(format_args!(
                "warning: nothing counts as older than the guard: {}; set ratchet.since in a \
                 configuration given by --config",
                installation.no_time()
            ));
        }
        tell(format_args!("judged by: {source} (fingerprint {fingerprint})"));
        let since = policy.ratchet.since;
        Ok((policy, JudgedBy { config: source, fingerprint, since }))
    }

    async fn objects(&self, client: &Client) -> Result<Vec<Object<'static>>, Failure> {
        let progress = Progress::to_standard_error();
        let told = |objects| progress.read(objects);
        let namespace = self.namespace.as_deref();
        let listed = Listing { client, namespace, progress: &told }.read().await;
        progress.end();
        listed.map_err(|errors| failure(errors, namespace))
    }
}

/// A name that can be part of a URL.
fn namespace(name: &str) -> Result<String, &'static str> {
    let allowed = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    if !name.is_empty() && name.chars().all(allowed) {
        Ok(name.to_owned())
    } else {
        Err("a namespace is called by lower-case letters, digits and -")
    }
}

/// A judgement of half a cluster would be no judgement, so whatever could not be read
/// ends the scan. What may not be listed, a person can allow; that is no outage.
fn failure(errors: Vec<ListError>, namespace: Option<&str>) -> Failure {
    let mut inputs = Vec::new();
    for error in errors {
        inputs.push(match error {
            ListError::Forbidden { kind, .. } => {
                let one = kind == Kind::Namespace && namespace.is_some();
                let verb = if one { "get" } else { "list" };
                let advice = format!("{error}: a scan needs the verb {verb} on them");
                InputError::whole(kind.resource(), advice)
            }
            ListError::NoSuchNamespace(_) => InputError::whole("--namespace", error.to_string()),
            ListError::Unreadable { .. } => return Failure::Other(anyhow!(error)),
            ListError::Failed { .. } => return Failure::Unreachable(anyhow!(error)),
        });
    }
    Failure::Input(inputs)
}

/// How far the reading is, where a person watches.
struct Progress {
    shown: bool,
    objects: Cell<usize>,
}

impl Progress {
    fn to_standard_error() -> Self {
        Self { shown: io::stderr().is_terminal(), objects: Cell::new(0) }
    }

    fn read(&self, objects: usize) {
        self.objects.set(self.objects.get() + objects);
        if self.shown {
            let _ = write!(io::stderr(), "\r{} objects read", self.objects.get());
        }
    }

    /// Leaves the line as it was.
    fn end(&self) {
        if self.shown {
            let _ = write!(io::stderr(), "\r\x1b[K");
        }
    }
}
