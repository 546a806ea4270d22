//! Asks a guard that serves, the way its apiserver does.

mod entry;
mod question;

use std::{
    io::{self, Write},
    path::PathBuf,
    time::{Duration, Instant},
};

use anstyle::AnsiColor;
use anyhow::Context as _;
use bytes::Bytes;
use clap::{Args, ValueHint};
use hyper::{StatusCode, Uri};
use nfs_guard_policies::Policy;
use serde::Serialize;
use serde_json::Value;
use tokio::{
    runtime::Runtime,
    time::{sleep, timeout},
};

use self::{
    entry::Entry,
    question::{Question, decision, differences},
};
use super::{ConfigArgument, Exit, Failure, kubernetes, output::Output};
use crate::{client::ReviewClient, config, manifest::InputError};

/// Ask a guard that serves, the way its apiserver does, and compare the answers
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  helm test nfs-guard   # runs it in the cluster, as the guard itself\n  \
                        kubectl -n nfs-guard port-forward service/nfs-guard 8443:443 &\n  \
                        nfs-guard self-test --config config.yaml --url https://127.0.0.1:8443\n\n\
                        Every entry of the webhook configurations is taken at its word: the Service it \
                        names is called, and must be verified by the CA bundle it carries. The reviews are \
                        dry runs. What each should come to, the rules are asked here, by the same configuration.\n\
                        Exit codes: 0 all answers as expected, 1 at least one is not, 2 bad input, 3 the \
                        apiserver or the guard is unreachable."
)]
pub(super) struct SelfTest {
    #[command(flatten)]
    config: ConfigArgument,
    /// Kubeconfig; without it, the usual one ($KUBECONFIG, ~/.kube/config), else the pod's service account
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    kubeconfig: Option<PathBuf>,
    /// Name of the ValidatingWebhookConfiguration and of the MutatingWebhookConfiguration, if there is one
    #[arg(long, default_value = "nfs-guard", value_name = "NAME")]
    webhook_configuration: String,
    /// Connect here instead of to the Service's name, which the certificate must be for all the same
    #[arg(long, value_name = "URL", value_hint = ValueHint::Url)]
    url: Option<Uri>,
    /// Longest time to ask again until all is as expected: after an installation the Service's endpoints lag behind, after an upgrade the configuration
    #[arg(long, default_value = "0", value_name = "SECONDS")]
    wait: u64,
    /// Form of the answer
    #[arg(short, long, default_value = "table")]
    output: Output,
}

/// Before all is asked again. Nobody tells when the nodes' proxies have learned of an
/// endpoint, or the kubelets of a configuration.
const PAUSE: Duration = Duration::from_secs(1);

/// The answer of `self-test`, version 1.
#[derive(Debug, Serialize)]
struct SelfTestReport {
    version: u32,
    answers: Vec<Compared>,
}

/// One review, sent as one entry of the webhook configurations says.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Compared {
    /// Name of the entry.
    entry: String,
    /// What was asked.
    review: &'static str,
    /// Where.
    url: String,
    /// The decision by the rules in this process.
    expected: String,
    /// The decision that came back; or what came back instead of one.
    answered: String,
    /// Where the two differ; none is as it should be.
    differences: Vec<String>,
    /// How long it took.
    milliseconds: f64,
}

impl SelfTest {
    pub(super) fn run(self) -> Result<Exit, Failure> {
        let config = config::load(self.config.config.as_deref())?.config;
        let base = self.url.as_ref().map(base).transpose()?;
        let policy = Policy::new(config);
        Runtime::new().context("cannot start the runtime")?.block_on(async {
            let client = kubernetes::client(self.kubeconfig.as_deref(), None).await?;
            let entries = entry::read(client, &self.webhook_configuration).await?;
            let settled_by = Instant::now() + Duration::from_secs(self.wait);
            let report = loop {
                let report = ask_all(&entries, base.as_deref(), &policy).await;
                let settles = match &report {
                    Ok(report) => report.exit() == Exit::Negative,
                    Err(failure) => matches!(failure, Failure::Unreachable(_)),
                };
                if !settles || Instant::now() >= settled_by {
                    break report?;
                }
                sleep(PAUSE).await;
            };
            self.output.print(&report, |out, report| report.print_lines(out))?;
            Ok(report.exit())
        })
    }
}

/// Where to connect, without a path: that is the entry's to say.
fn base(url: &Uri) -> Result<String, InputError> {
    let refused = |why: &str| InputError::whole("--url", format!("{url}: {why}"));
    match (url.scheme_str(), url.authority(), url.path()) {
        (Some("https"), Some(authority), "/") => Ok(format!("https://{authority}")),
        (Some("https"), Some(_), _) => {
            Err(refused("has a path; each entry of the webhook configurations has its own"))
        }
        _ => Err(refused("does not begin with https:// and a host")),
    }
}

/// Puts every question to the guard behind every entry.
async fn ask_all(
    entries: &[Entry],
    base: Option<&str>,
    policy: &Policy,
) -> Result<SelfTestReport, Failure> {
    let mut answers = Vec::new();
    for entry in entries {
        let mut questions = question::all(entry.gate);
        questions.retain(|question| {
            entry.is_called_for(question.kind.group(), question.kind.resource())
        });
        if questions.is_empty() {
            let advice = format!("the rules of {} send nothing that is asked here", entry.name);
            return Err(InputError::whole("--webhook-configuration", advice).into());
        }
        for question in questions {
            answers.push(ask(entry, &question, base, policy).await?);
        }
    }
    Ok(SelfTestReport { version: 1, answers })
}

/// Puts one question to the guard behind an entry, and to the rules here.
async fn ask(
    entry: &Entry,
    question: &Question,
    base: Option<&str>,
    policy: &Policy,
) -> Result<Compared, Failure> {
    let review = question.review.to_string();
    let expected = question::expected(question.gate, review.as_bytes(), policy)?;
    let url = entry.url(base);
    let started = Instant::now();
    let (answered, differences) = if let Some(ca_bundle) = &entry.ca_bundle {
        let client = ReviewClient::presenting(&url, ca_bundle, &entry.server_name())
            .with_context(|| format!("entry {}", entry.name))?;
        let (status, body) = post(&client, entry, review).await?;
        compare(&expected, status, &body)
    } else {
        let why = "the entry has no caBundle, so the apiserver trusts nobody there";
        ("nothing".to_owned(), vec![why.to_owned()])
    };
    Ok(Compared {
        entry: entry.name.clone(),
        review: question.title,
        url,
        expected: decision(&expected),
        answered,
        differences,
        milliseconds: started.elapsed().as_secs_f64() * 1000.0,
    })
}

/// Posts a review, and waits for the answer as long as the apiserver would.
async fn post(
    client: &ReviewClient,
    entry: &Entry,
    review: String,
) -> Result<(StatusCode, Bytes), Failure> {
    let posted = timeout(entry.timeout, client.post("application/json", review)).await;
    posted
        .with_context(|| format!("no answer within {} s", entry.timeout.as_secs()))
        .flatten()
        .with_context(|| format!("entry {}", entry.name))
        .map_err(Failure::Unreachable)
}

/// What was answered, in a word, and where it is not what was expected.
fn compare(expected: &Value, status: StatusCode, body: &[u8]) -> (String, Vec<String>) {
    let response = serde_json::from_slice::<Value>(body)
        .map_or(Value::Null, |mut answer| answer["response"].take());
    if status == StatusCode::OK && response.is_object() {
        return (decision(&response), differences(expected, &response));
    }
    let text = String::from_utf8_lossy(body);
    ("no decision".to_owned(), vec![format!("HTTP {status}: {}", text.trim())])
}

impl SelfTestReport {
    fn wrong(&self) -> usize {
        self.answers.iter().filter(|compared| !compared.differences.is_empty()).count()
    }

    fn exit(&self) -> Exit {
        if self.wrong() == 0 { Exit::Good } else { Exit::Negative }
    }

    fn print_lines(&self, out: &mut impl Write) -> io::Result<()> {
        for compared in &self.answers {
            let Compared { entry, review, url, expected, answered, differences, milliseconds } =
                compared;
            let (color, sign) = if differences.is_empty() {
                (AnsiColor::Green.on_default(), "ok")
            } else {
                (AnsiColor::Red.on_default(), "WRONG")
            };
            writeln!(
                out,
                "{color}{sign}{color:#}  {entry}: {review}: {answered}, expected {expected} \
                 ({url}, {milliseconds:.1} ms)"
            )?;
            for difference in differences {
                writeln!(out, "    {difference}")?;
            }
        }
        let (asked, wrong) = (self.answers.len(), self.wrong());
        writeln!(out, "self-test: {asked} reviews over TLS, {wrong} with an unexpected answer")?;
        if wrong > 0 {
            writeln!(
                out,
                "A configuration that was changed just now takes up to a minute and a half to reach \
                 every replica."
            )?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn where_to_connect_is_https_and_has_no_path() {
        for (url, expected) in [
            ("https://127.0.0.1:8443", Some("https://127.0.0.1:8443")),
            ("https://[::1]:8443/", Some("https://[::1]:8443")),
            ("http://127.0.0.1:8443", None),
            ("https://127.0.0.1:8443/validate", None),
            ("127.0.0.1:8443", None),
        ] {
            let parsed: Uri = url.parse().unwrap();
            assert_eq!(base(&parsed).ok().as_deref(), expected, "{url}");
        }
    }

    #[test]
    fn an_answer_without_a_decision_is_none() {
        let expected = serde_json::json!({"allowed": true});
        let answer = br#"{"response": {"allowed": true}}"#;
        let good = compare(&expected, StatusCode::OK, answer);
        assert_eq!(good, ("allowed: true".to_owned(), vec![]));
        for (status, body, told) in [
            (StatusCode::SERVICE_UNAVAILABLE, &answer[..], "HTTP 503 Service Unavailable: {"),
            (StatusCode::OK, b"<html>\n", "HTTP 200 OK: <html>"),
            (StatusCode::OK, b"{}", "HTTP 200 OK: {}"),
        ] {
            let (answered, differences) = compare(&expected, status, body);
            assert_eq!(answered, "no decision");
            assert!(differences[0].starts_with(told), "{differences:?}");
        }
    }

    #[test]
    fn one_answer_that_differs_is_told_and_makes_the_result_negative() {
        let compared = |differences: &[&str]| Compared {
            entry: "validate.nfs-guard.io".into(),
            review: "a pod",
            url: "https://nfs-guard.storage.svc:443/validate".into(),
            expected: "deny".into(),
            answered: "allow".into(),
            differences: differences.iter().map(ToString::to_string).collect(),
            milliseconds: 1.0,
        };
        let good = SelfTestReport { version: 1, answers: vec![compared(&[])] };
        assert_eq!(good.exit(), Exit::Good);
        let bad = SelfTestReport { version: 1, answers: vec![compared(&[]), compared(&["why"])] };
        assert_eq!(bad.exit(), Exit::Negative);
        let mut text = Vec::new();
        bad.print_lines(&mut text).unwrap();
        let text = String::from_utf8(text).unwrap();
        assert!(text.contains("2 reviews over TLS, 1 with an unexpected answer"), "{text}");
        assert!(text.contains("    why\n"), "{text}");
    }
}
