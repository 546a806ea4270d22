//! Whether a container has started, is ready, and lives.

use std::{future, net::Ipv4Addr, pin::pin, time::Duration};

use anyhow::{Context, Result, ensure};
use bytes::Bytes;
use http_body_util::Empty;
use hyper::Uri;
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::TokioExecutor,
};
use k8s_openapi::{
    api::core::v1::{Container, Probe},
    apimachinery::pkg::util::intstr::IntOrString,
};
use tokio::time::{self, Interval};

/// The probes of one container.
#[derive(Debug)]
pub(super) struct Probes {
    startup: Option<Asked>,
    readiness: Option<Asked>,
    liveness: Option<Asked>,
}

impl Probes {
    /// Those a container names, sent to that address.
    pub(super) fn of(container: &Container, address: Ipv4Addr) -> Result<Self> {
        let asked = |probe: &Option<Probe>| {
            probe.as_ref().map(|probe| Asked::new(probe, container, address)).transpose()
        };
        Ok(Self {
            startup: asked(&container.startup_probe)?,
            readiness: asked(&container.readiness_probe)?,
            liveness: asked(&container.liveness_probe)?,
        })
    }

    /// Probes until the container is to be restarted, and says why; `report` is
    /// told whether it is ready, from the moment it has started.
    pub(super) async fn watch(&self, report: impl Fn(bool)) -> String {
        if let Some(startup) = &self.startup
            && let Err(error) = startup.begin().await.turned(false).await
        {
            return format!("startup probe failed: {error:#}");
        }
        report(self.readiness.is_none());
        let readiness = async {
            let Some(readiness) = &self.readiness else { return future::pending().await };
            let mut answers = readiness.begin().await;
            let mut ready = false;
            loop {
                // An error is what the threshold of failures was reached with.
                ready = answers.turned(ready).await.is_ok();
                report(ready);
            }
        };
        let liveness = async {
            let Some(liveness) = &self.liveness else { return future::pending().await };
            let mut answers = liveness.begin().await;
            loop {
                if let Err(error) = answers.turned(true).await {
                    return error;
                }
            }
        };
        let (readiness, liveness) = (pin!(readiness), pin!(liveness));
        tokio::select! {
            () = readiness => unreachable!("readiness is asked for ever"),
            error = liveness => format!("liveness probe failed: {error:#}"),
        }
    }
}

/// One probe, and what is asked.
#[derive(Debug)]
struct Asked {
    url: Uri,
    delay: Duration,
    period: Duration,
    timeout: Duration,
    failures: u32,
    successes: u32,
}

impl Asked {
    fn new(probe: &Probe, container: &Container, address: Ipv4Addr) -> Result<Self> {
        let http = probe.http_get.as_ref().context("only HTTP probes are known here")?;
        ensure!(
            http.scheme.as_deref().is_none_or(|scheme| scheme == "HTTP"),
            "HTTPS is not known here"
        );
        let port = port(&http.port, container)?;
        let path = http.path.as_deref().unwrap_or("/");
        // The API server has filled in its defaults.
        let number = |number: Option<i32>, least| number.unwrap_or(0).max(least).unsigned_abs();
        let seconds = |number: u32| Duration::from_secs(number.into());
        Ok(Self {
            url: format!("http://{address}:{port}{path}").parse().context("a probe's URL")?,
            delay: seconds(number(probe.initial_delay_seconds, 0)),
            period: seconds(number(probe.period_seconds, 1)),
            timeout: seconds(number(probe.timeout_seconds, 1)),
            failures: number(probe.failure_threshold, 1),
            successes: number(probe.success_threshold, 1),
        })
    }

    async fn begin(&self) -> Answers<'_> {
        time::sleep(self.delay).await;
        Answers { asked: self, interval: time::interval(self.period) }
    }

    /// As the kubelet asks: each time on a new connection; 200 to 399 is good.
    async fn ask(&self) -> Result<()> {
        let client: Client<HttpConnector, Empty<Bytes>> =
            Client::builder(TokioExecutor::new()).pool_max_idle_per_host(0).build_http();
        let answer = time::timeout(self.timeout, client.get(self.url.clone())).await;
        let status = answer.context("no answer in time")?.context("no answer")?.status();
        ensure!(status.is_success() || status.is_redirection(), "{} answered {status}", self.url);
        Ok(())
    }
}

/// What a container answers to a probe, one after another.
struct Answers<'a> {
    asked: &'a Asked,
    interval: Interval,
}

impl Answers<'_> {
    /// Asks until a threshold is reached: of failures, or of successes unless it
    /// is `good` already.
    async fn turned(&mut self, good: bool) -> Result<()> {
        let (mut successes, mut failures) = (0, 0);
        loop {
            self.interval.tick().await;
            match self.asked.ask().await {
                Ok(()) => {
                    (successes, failures) = (successes + 1, 0);
                    if !good && successes >= self.asked.successes {
                        return Ok(());
                    }
                }
                Err(error) => {
                    (successes, failures) = (0, failures + 1);
                    if failures >= self.asked.failures {
                        return Err(error);
                    }
                }
            }
        }
    }
}

/// The number of a port that may be named.
pub(crate) fn port(port: &IntOrString, container: &Container) -> Result<u16> {
    let number = match port {
        IntOrString::Int(number) => Some(*number),
        IntOrString::String(name) => {
            let ports = container.ports.iter().flatten();
            ports
                .filter(|port| port.name.as_ref() == Some(name))
                .map(|port| port.container_port)
                .next()
        }
    };
    let number = number.with_context(|| format!("no port is called {port:?}"))?;
    u16::try_from(number).with_context(|| format!("{number} is no port"))
}
