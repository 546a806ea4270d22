//! The audit log for a person to read.

use jiff::Timestamp;
use nfs_guard_policies::glob::Glob;
use serde::Deserialize;

/// A record, as far as it is shown.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Shown {
    event: String,
    time: String,
    instance: String,
    chain_id: Option<String>,
    user: String,
    operation: String,
    dry_run: bool,
    kind: String,
    namespace: String,
    name: String,
    webhook: String,
    decision: String,
    critical: Option<String>,
    findings: Vec<ShownFinding>,
    findings_omitted: u64,
    count: u64,
    since: String,
    until: String,
    guard: String,
    config: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct ShownFinding {
    rule: String,
    decision: String,
    chain: Vec<String>,
    message: String,
}

/// Which records are shown; an empty list takes all.
#[derive(Debug, Default)]
pub struct Filter {
    /// What was decided.
    pub decisions: Vec<&'static str>,
    /// Where.
    pub namespaces: Vec<Glob>,
    /// Who made the write.
    pub users: Vec<Glob>,
    /// By which rule.
    pub rules: Vec<String>,
    /// From when on.
    pub since: Option<Timestamp>,
}

impl Filter {
    /// Whether that record is shown. What happened to the log itself is shown
    /// unless decisions of some kind are asked for.
    #[must_use]
    pub fn takes(&self, record: &Shown) -> bool {
        let Self { decisions, namespaces, users, rules, since } = self;
        let time = record.time.parse::<Timestamp>();
        if since.is_some_and(|since| time.is_ok_and(|time| time < since)) {
            return false;
        }
        let any = |globs: &[Glob], name: &str| {
            globs.is_empty() || globs.iter().any(|glob| glob.matches(name))
        };
        let ruled = |rule: &String| record.findings.iter().any(|finding| finding.rule == *rule);
        (decisions.is_empty() || decisions.contains(&&*record.decision))
            && any(namespaces, &record.namespace)
            && any(users, &record.user)
            && (rules.is_empty() || rules.iter().any(ruled))
    }
}

impl Shown {
    /// Reads a line; `None` if it is no record.
    #[must_use]
    pub fn read(line: &[u8]) -> Option<Self> {
        let record: Self = serde_json::from_slice(line).ok()?;
        record.chain_id.is_some().then_some(record)
    }

    /// Time, decision (or what else happened), operation, object and user.
    #[must_use]
    pub fn cells(&self) -> [String; 5] {
        let Self { event, time, user, operation, kind, namespace, name, decision, .. } = self;
        let seconds = time.parse::<Timestamp>().map(|time| time.strftime("%FT%TZ").to_string());
        let (what, object, who) = if event == "decision" {
            let place = if namespace.is_empty() { String::new() } else { format!("{namespace}/") };
            (decision, format!("{kind} {place}{name}"), user)
        } else {
            (event, String::new(), &self.instance)
        };
        [
            seconds.unwrap_or_else(|_| time.clone()),
            what.clone(),
            operation.clone(),
            object,
            who.clone(),
        ]
        .map(|cell| plain(&cell))
    }

    /// Why it was decided so: one line for each finding. Where nothing was found,
    /// why the object was looked at; of another event, what it says.
    #[must_use]
    pub fn reasons(&self) -> Vec<String> {
        let Self { event, critical, findings, findings_omitted, count, since, until, .. } = self;
        let mut reasons: Vec<String> = match &**event {
            "decision" => findings.iter().map(ShownFinding::reason).collect(),
            "dropped" => vec![format!("{count} records lost from {since} to {until}")],
            "opened" => vec![format!("nfs-guard {}, configuration {}", self.guard, self.config)],
            _ => Vec::new(),
        };
        if reasons.is_empty() {
            reasons.extend(critical.as_ref().map(|critical| format!("critical: {critical}")));
        }
        if *findings_omitted > 0 {
            reasons.push(format!("and {findings_omitted} more findings"));
        }
        if self.dry_run {
            reasons.push("(dry run)".to_owned());
        }
        reasons.iter().map(|reason| plain(reason)).collect()
    }
}

impl ShownFinding {
    fn reason(&self) -> String {
        let Self { rule, decision, chain, message } = self;
        let why = if chain.is_empty() { message.clone() } else { chain.join(" → ") };
        format!("{rule} ({decision}): {why}")
    }
}

/// A name may hold what a terminal would obey.
fn plain(text: &str) -> String {
    let escaped = |c: char| if c.is_control() { c.escape_debug().to_string() } else { c.into() };
    text.chars().map(escaped).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn shown(mut record: Value) -> Option<Shown> {
        record["time"] = json!("2026-11-23T06:44:27.222620677Z");
        Shown::read(record.to_string().as_bytes())
    }

    #[test]
    fn each_event_has_its_words() {
        let finding = |chain: Value| json!({"rule": "critical-on-nfs", "decision": "deny", "chain": chain, "message": "no"});
        let [told, bare] = [finding(json!(["claim data", "NFS"])), finding(json!([]))];
        let decision = |findings: Value, dry_run: bool| {
            json!({
                "event": "decision", "chainId": "c", "decision": "deny", "user": "developer",
                "operation": "CREATE", "kind": "StatefulSet", "namespace": "vault", "name": "db",
                "critical": "it is", "dryRun": dry_run, "findings": findings,
            })
        };
        for (record, cells, reasons) in [
            (
                decision(json!([told, bare]), false),
                ["deny", "CREATE", "StatefulSet vault/db", "developer"],
                &["critical-on-nfs (deny): claim data → NFS", "critical-on-nfs (deny): no"][..],
            ),
            (
                decision(json!([]), true),
                ["deny", "CREATE", "StatefulSet vault/db", "developer"],
                &["critical: it is", "(dry run)"],
            ),
            (
                json!({"event": "dropped", "chainId": "c", "instance": "guard-0", "count": 7,
                       "since": "a", "until": "b"}),
                ["dropped", "", "", "guard-0"],
                &["7 records lost from a to b"],
            ),
            (
                json!({"event": "closed", "chainId": "c", "instance": "guard-0"}),
                ["closed", "", "", "guard-0"],
                &[],
            ),
        ] {
            let record = shown(record).expect("a record");
            let [time, rest @ ..] = record.cells();
            assert_eq!(time, "2026-11-23T06:44:27Z");
            assert_eq!(rest, cells);
            assert_eq!(record.reasons(), reasons);
        }
    }

    #[test]
    fn what_is_no_record_is_not_shown() {
        assert!(shown(json!({"event": "serving", "url": "u"})).is_none());
        assert!(Shown::read(b"thread main panicked").is_none());
    }

    #[test]
    fn a_name_cannot_command_the_terminal() {
        let user = "\u{1b}[2Jnobody\n";
        let record = shown(json!({"event": "decision", "chainId": "c", "user": user})).unwrap();
        assert_eq!(record.cells()[4], "\\u{1b}[2Jnobody\\n");
    }
}
