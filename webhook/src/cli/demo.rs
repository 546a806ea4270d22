use std::{
    io::{self, Write},
    net::{Ipv4Addr, SocketAddr},
    time::{Duration, Instant},
};

use anstyle::{AnsiColor, Style};
use anyhow::{Context as _, ensure};
use clap::Args;
use json_patch::Patch;
use k8s_openapi::ByteString;
use serde_json::{Value, json};
use tokio::runtime::Runtime;

use super::{
    Exit, Failure,
    embedded::{Embedded, Handout},
    running::{AuditLog, Signals},
};
use crate::{
    client::ReviewClient,
    config::Loaded,
    incident::{self, SCENES, Scene},
};

/// Replay the incident against a server of its own, over TLS
#[derive(Debug, Args)]
#[command(
    after_help = "Example:\n  nfs-guard demo --keep   # and go on serving, to try it with curl"
)]
pub(super) struct Demo {
    /// Go on serving when the replay is over
    #[arg(long)]
    keep: bool,
}

impl Demo {
    pub(super) fn run(&self) -> Result<Exit, Failure> {
        Runtime::new()
            .context("cannot start the runtime")?
            .block_on(self.replay(&mut anstream::stdout()))
    }

    async fn replay(&self, out: &mut impl Write) -> Result<Exit, Failure> {
        let free = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        let audit = AuditLog::nowhere();
        let (embedded, announcer) = Embedded::start((free, free), Loaded::default(), None, audit)?;
        announcer.announce(None);
        let client = ReviewClient::new(embedded.url(), embedded.ca_bundle())?;
        let bold = Style::new().bold();
        writeln!(out, "nfs-guard serves the incident's cluster at {}\n", embedded.url())?;

        let mut answers = Vec::new();
        for (at, scene) in SCENES.iter().enumerate() {
            writeln!(out, "{bold}{}. {}{bold:#}", at + 1, scene.title)?;
            let answer = ask(&client, scene).await?;
            answer.show(out, scene)?;
            answers.push((scene, answer));
        }

        let count =
            |decision| answers.iter().filter(|(_, answer)| answer.decision == decision).count();
        writeln!(
            out,
            "demo: {} requests over TLS: {} denied, {} allowed, {} allowed with a warning",
            answers.len(),
            count("deny"),
            count("allow"),
            count("warn"),
        )?;
        let surprise = answers.iter().find(|(scene, answer)| {
            scene.decision != answer.decision || scene.patched != answer.patch.is_some()
        });
        if let Some((scene, answer)) = surprise {
            let patched = |patched| if patched { ", patched" } else { "" };
            let (expected, got) = (patched(scene.patched), patched(answer.patch.is_some()));
            writeln!(
                out,
                "demo: {}: expected {}{expected}, got {}{got}",
                scene.file, scene.decision, answer.decision,
            )?;
            return Ok(Exit::Negative);
        }
        if self.keep {
            let (url, handout) = (embedded.url(), Handout::write(None, embedded.ca_bundle())?);
            writeln!(out, "still serving at {url}\nTry it:\n  {}", handout.curl(url))?;
            return embedded.until_stopped(&mut Signals::new()?, Duration::ZERO).await;
        }
        Ok(Exit::Good)
    }
}

/// The answers to one scene: what is changed, and what is decided of the result.
struct Answer {
    patch: Option<Patch>,
    decision: &'static str,
    mutating: Value,
    validating: Value,
    object: Value,
    size: usize,
    milliseconds: f64,
}

/// Asks both webhooks, as the apiserver would: the second about what the first
/// made of the object.
async fn ask(client: &ReviewClient, scene: &Scene) -> anyhow::Result<Answer> {
    let mut object = scene.object();
    let size = incident::review(scene, &object).to_string().len();
    let asked = Instant::now();
    let mutating = post(&client.at("/mutate")?, scene, &object).await?;
    let patch = patch(&mutating)?;
    if let Some(patch) = &patch {
        json_patch::patch(&mut object, patch).context("the patch does not fit the object")?;
    }
    let validating = post(client, scene, &object).await?;
    let milliseconds = asked.elapsed().as_secs_f64() * 1000.0;
    let decision = match (&validating["allowed"], &validating["warnings"]) {
        (Value::Bool(false), _) => "deny",
        (_, Value::Array(_)) => "warn",
        _ => "allow",
    };
    Ok(Answer { patch, decision, mutating, validating, object, size, milliseconds })
}

async fn post(client: &ReviewClient, scene: &Scene, object: &Value) -> anyhow::Result<Value> {
    let review = incident::review(scene, object).to_string();
    let (status, body) = client.post("application/json", review).await?;
    let mut answer: Value = serde_json::from_slice(&body).context("the answer is not JSON")?;
    ensure!(status.is_success(), "no decision: HTTP {status}: {answer}");
    Ok(answer["response"].take())
}

fn patch(response: &Value) -> anyhow::Result<Option<Patch>> {
    let patch: Option<ByteString> = serde_json::from_value(response["patch"].clone())?;
    let patch = patch.map(|ByteString(json)| serde_json::from_slice(&json));
    patch.transpose().context("the patch is no JSON Patch")
}

impl Answer {
    fn show(&self, out: &mut impl Write, scene: &Scene) -> io::Result<()> {
        let Self { patch, decision, mutating, validating, object, size, milliseconds } = self;
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let (kind, metadata) = (text(&object["kind"]), &object["metadata"]);
        let (namespace, name) = (text(&metadata["namespace"]), text(&metadata["name"]));
        let style = match *decision {
            "deny" => AnsiColor::Red.on_default(),
            "warn" => AnsiColor::Yellow.on_default(),
            _ => AnsiColor::Green.on_default(),
        };
        writeln!(out, "   request   CREATE {kind} {namespace}/{name}, review of {size} bytes")?;
        if let Some(patch) = patch {
            writeln!(out, "   patch     {}", json!(patch))?;
        }
        writeln!(out, "   decision  {style}{decision}{style:#} in {milliseconds:.1} ms")?;
        if !scene.is_applied() {
            return writeln!(out, "   written by {}\n", scene.user);
        }
        writeln!(out, "$ kubectl apply -f {}", scene.file)?;
        let warnings = [mutating, validating].map(|response| response["warnings"].as_array());
        for warning in warnings.into_iter().flatten().flatten() {
            writeln!(out, "Warning: {}", text(warning))?;
        }
        if *decision == "deny" {
            let message = text(&validating["status"]["message"]);
            writeln!(
                out,
                "Error from server (Forbidden): error when creating \"{}\": admission webhook \
                 \"critical.validate.nfs-guard.io\" denied the request: {message}\n",
                scene.file
            )?;
        } else {
            let group = object["apiVersion"].as_str().and_then(|version| version.split_once('/'));
            let group = group.map_or(String::new(), |(group, _)| format!(".{group}"));
            writeln!(out, "{}{group}/{name} created\n", kind.to_ascii_lowercase())?;
        }
        Ok(())
    }
}
