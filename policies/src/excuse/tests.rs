//! What is excused beforehand: the nightly backup that writes to NFS on purpose.

use serde_json::{Value, json};

use crate::{
    Effect,
    facts::WorkloadKind,
    testing::{Judge, claim, owned, pod, stored, wrapped},
};

const CREATED: &str = "2026-05-01T00:00:00Z";
const NOW: &str = "2026-05-02T00:00:00Z";
const JOB_CONTROLLER: &str = "system:serviceaccount:kube-system:job-controller";
const CRON_JOB_CONTROLLER: &str = "system:serviceaccount:kube-system:cronjob-controller";

/// The backup, what its controllers make of it, and the claim it writes to.
struct Backup {
    cron_job: Value,
    job: Value,
    pod: Value,
    claim: Value,
}

impl Backup {
    fn new() -> Self {
        let volumes =
            json!([{"name": "dump", "persistentVolumeClaim": {"claimName": "vault-dumps"}}]);
        let spec = json!({"volumes": volumes});
        let named = |kind, name: &str| {
            let mut manifest = wrapped(kind, &spec);
            manifest["metadata"]["name"] = json!(name);
            stored(manifest, "vault", CREATED)
        };
        let cron_job = named(WorkloadKind::CronJob, "vault-backup");
        let job = owned(named(WorkloadKind::Job, "vault-backup-29"), &cron_job);
        let pod = owned(named(WorkloadKind::Pod, "vault-backup-29-x"), &job);
        let mut claim = claim(&json!({"storageClassName": "nfs-proxmox"}));
        claim["metadata"]["name"] = json!("vault-dumps");
        Self { cron_job, job, pod, claim: stored(claim, "vault", CREATED) }
    }

    /// What becomes of each of them, in the order they are made.
    fn told(&self, judge: Judge) -> [Effect; 4] {
        let judge = judge.at(NOW);
        let claim = judge.create("vault", &self.claim).told().0;
        let judge = judge.with(std::slice::from_ref(&self.claim));
        let cron_job = judge.create("vault", &self.cron_job).told().0;
        let judge = judge.with(std::slice::from_ref(&self.cron_job)).by(CRON_JOB_CONTROLLER);
        let job = judge.create("vault", &self.job).told().0;
        let judge = judge.with(std::slice::from_ref(&self.job)).by(JOB_CONTROLLER);
        [claim, cron_job, job, judge.create("vault", &self.pod).told().0]
    }
}

fn exemption(spec: &Value) -> Value {
    let spec = {
        let mut all = json!({
            "target": {"kind": "CronJob", "name": "vault-backup", "volumes": ["dump", "vault-dumps"]},
            "rules": ["critical-on-nfs"], "reason": "dumps", "expiresAt": "2026-06-01T00:00:00Z",
        });
        all.as_object_mut().unwrap().extend(spec.as_object().unwrap().clone());
        all
    };
    let manifest = json!({"apiVersion": "nfs-guard.io/v1alpha1", "kind": "StorageExemption",
        "metadata": {"name": "dumps"}, "spec": spec});
    stored(manifest, "vault", CREATED)
}

/// A pod of a person's that mounts the claim of the backup.
fn intruder() -> Value {
    let volumes = json!([{"name": "dump", "persistentVolumeClaim": {"claimName": "vault-dumps"}}]);
    pod(&volumes)
}

#[test]
fn one_exemption_lets_the_backup_through_and_nothing_else() {
    let backup = Backup::new();
    let exempt = || Judge::incident().with(&[exemption(&json!({}))]);
    assert_eq!(backup.told(Judge::incident())[0], Effect::Deny, "without it");
    assert_eq!(backup.told(exempt()), [Effect::Allow; 4]);
    let outcome = exempt().at(NOW).create("vault", &backup.claim);
    assert_eq!(
        outcome.verdict.warnings(),
        ["critical-on-nfs: volume vault-dumps ends up on NFS (exempt by dumps until 2026-06-01)"]
    );

    let judge = exempt().at(NOW).with(&[backup.claim.clone(), backup.cron_job.clone()]);
    assert_eq!(judge.create("vault", &intruder()).told().0, Effect::Deny, "another consumer");
    let forged = owned(intruder(), &backup.cron_job);
    assert_eq!(judge.create("vault", &forged).told().0, Effect::Deny, "a forged owner");
    let mut other = backup.cron_job.clone();
    other["metadata"]["name"] = json!("vault-restore");
    assert_eq!(judge.create("vault", &other).told().0, Effect::Deny, "another name");
    assert_eq!(judge.create("web", &backup.claim).told().0, Effect::Allow, "not critical");
    let intruded = exempt().at(NOW).with(&[stored(intruder(), "vault", CREATED)]);
    assert_eq!(
        intruded.create("vault", &backup.claim).told().0,
        Effect::Deny,
        "another critical consumer waits for the claim"
    );
}

#[test]
fn an_exemption_says_what_and_until_when() {
    let backup = Backup::new();
    let target = |target: &Value| json!({"target": target});
    for (name, spec, config, expected) in [
        ("as it is", json!({}), json!({}), Effect::Allow),
        ("of another rule", json!({"rules": ["nfs-mount-options"]}), json!({}), Effect::Deny),
        ("ended", json!({"expiresAt": "2026-05-01T12:00:00Z"}), json!({}), Effect::Deny),
        ("to the second", json!({"expiresAt": NOW}), json!({}), Effect::Deny),
        ("older than one may be", json!({}), json!({"exemptions": {"maxDays": 1}}), Effect::Deny),
        ("never to end", json!({"expiresAt": null}), json!({}), Effect::Deny),
        (
            "without a ticket",
            json!({}),
            json!({"exemptions": {"requireTicket": true}}),
            Effect::Deny,
        ),
        (
            "with one",
            json!({"ticket": "OPS-1"}),
            json!({"exemptions": {"requireTicket": true}}),
            Effect::Allow,
        ),
        (
            "every volume",
            target(&json!({"kind": "CronJob", "name": "vault-backup"})),
            json!({}),
            Effect::Allow,
        ),
        (
            "a glob",
            target(&json!({"kind": "CronJob", "name": "*-backup"})),
            json!({}),
            Effect::Allow,
        ),
        (
            "another volume",
            target(&json!({"kind": "CronJob", "name": "vault-backup", "volumes": ["tmp"]})),
            json!({}),
            Effect::Deny,
        ),
        (
            "another kind",
            target(&json!({"kind": "Job", "name": "vault-backup"})),
            json!({}),
            Effect::Deny,
        ),
    ] {
        let judge = Judge::incident().configured(config).at(NOW);
        let judge = judge.with(&[exemption(&spec), backup.claim.clone()]);
        assert_eq!(judge.create("vault", &backup.cron_job).told().0, expected, "{name}");
    }
    let mut elsewhere = exemption(&json!({}));
    elsewhere["metadata"]["namespace"] = json!("web");
    let judge = Judge::incident().at(NOW).with(&[elsewhere, backup.claim.clone()]);
    assert_eq!(judge.create("vault", &backup.cron_job).told().0, Effect::Deny, "elsewhere");
}

#[test]
fn what_was_exempt_forgives_nothing_after() {
    let backup = Backup::new();
    let mut moved = backup.cron_job.clone();
    moved["spec"]["jobTemplate"]["spec"]["template"]["spec"]["volumes"] =
        json!([{"name": "dump", "nfs": {"server": "nas", "path": "/x"}}]);
    let by_claim = json!({"target": {"kind": "CronJob", "name": "*", "volumes": ["vault-dumps"]}});
    let judge = Judge::incident().at(NOW).with(&[exemption(&by_claim), backup.claim]);
    let told = judge.update("vault", &backup.cron_job, &moved).told();
    assert_eq!(told.0, Effect::Deny);
}

#[test]
fn an_owner_that_makes_no_such_object_excuses_none() {
    let backup = Backup::new();
    let forged = stored(owned(intruder(), &backup.cron_job), "vault", CREATED);
    let judge = Judge::incident().at(NOW).with(&[exemption(&json!({})), backup.cron_job.clone()]);
    let judge = judge.with(&[backup.job, backup.pod]);
    assert_eq!(judge.create("vault", &backup.claim).told().0, Effect::Allow, "its own pod waits");
    let judge = judge.with(std::slice::from_ref(&forged));
    assert_eq!(judge.create("vault", &backup.claim).told().0, Effect::Deny, "a stranger waits");
    let judge = judge.with(&[backup.claim]);
    let stands = judge.scan("vault", &forged).told();
    assert_eq!(stands.0, Effect::Deny, "no cron job makes pods");
}

#[test]
fn who_writes_an_owner_into_an_object_is_not_excused_by_it() {
    let backup = Backup::new();
    let deployment = |volumes: Value| {
        let spec = json!({"volumes": volumes});
        stored(wrapped(WorkloadKind::Deployment, &spec), "vault", CREATED)
    };
    let free = deployment(json!([{"name": "dump", "emptyDir": {}}]));
    let nfs = deployment(json!([{"name": "dump", "nfs": {"server": "nas", "path": "/x"}}]));
    let forged = |manifest: &Value| owned(manifest.clone(), &backup.cron_job);
    let whole = json!({"critical": {"except": [{"kinds": ["CronJob"], "names": ["*-backup"],
        "reason": "dumps"}]}});
    let exempt = || vec![exemption(&json!({})), backup.cron_job.clone()];
    for (name, config, objects) in
        [("exempt", json!({}), exempt()), ("excepted", whole, vec![backup.cron_job.clone()])]
    {
        let judge = Judge::incident().configured(config).at(NOW).with(&objects);
        for (since, old) in [("before", forged(&free)), ("now", free.clone())] {
            let told = judge.update("vault", &old, &forged(&nfs)).told();
            assert_eq!(told.0, Effect::Deny, "{name}, written there {since}");
        }
    }
    let judge = Judge::incident().at(NOW).with(&exempt()).with(&[backup.claim, backup.job.clone()]);
    let mut labelled = backup.pod.clone();
    labelled["metadata"]["labels"] = json!({"team": "storage"});
    let told = judge.by("developer").update("vault", &backup.pod, &labelled).told();
    assert_eq!(told.0, Effect::Allow, "what a controller made may be labelled");
}

#[test]
fn a_claim_may_be_exempt_by_itself() {
    let backup = Backup::new();
    let itself = json!({"target": {"kind": "PersistentVolumeClaim", "name": "vault-*"}});
    let judge = Judge::incident().at(NOW).with(&[exemption(&itself)]);
    assert_eq!(judge.create("vault", &backup.claim).told().0, Effect::Allow);
    let judge = judge.with(std::slice::from_ref(&backup.claim));
    assert_eq!(judge.create("vault", &backup.cron_job).told().0, Effect::Deny, "its user is not");
}

#[test]
fn a_volume_may_be_promised_to_a_claim_that_is_exempt() {
    let backup = Backup::new();
    let volume = |claim: Value| {
        json!({"apiVersion": "v1", "kind": "PersistentVolume", "metadata": {"name": "share"},
            "spec": {"nfs": {"server": "nas", "path": "/x"}, "claimRef": claim}})
    };
    let promised = volume(json!({"namespace": "vault", "name": "vault-dumps"}));
    let judge = Judge::incident().at(NOW).with(&[backup.claim]);
    assert_eq!(judge.update("", &volume(json!(null)), &promised).told().0, Effect::Deny);
    let judge = judge.with(&[exemption(&json!({}))]);
    assert_eq!(judge.update("", &volume(json!(null)), &promised).told().0, Effect::Allow);
}

#[test]
fn the_configuration_excepts_a_use_and_no_other() {
    let backup = Backup::new();
    let excepted = |except: Value| {
        Judge::incident().configured(json!({"critical": {"except": [except]}})).at(NOW)
    };
    let claims = json!({"kinds": ["CronJob", "Job"], "names": ["*-backup"],
        "claims": ["vault-dumps"], "reason": "nightly dumps"});
    assert_eq!(backup.told(excepted(claims.clone())), [Effect::Allow; 4]);
    let judge = excepted(claims.clone()).with(&[backup.claim.clone(), backup.cron_job.clone()]);
    assert_eq!(judge.create("vault", &intruder()).told().0, Effect::Deny, "another consumer");
    let intruded = excepted(claims).with(&[stored(intruder(), "vault", CREATED)]);
    assert_eq!(intruded.create("vault", &backup.claim).told().0, Effect::Deny, "for its sake");
    let outcome = judge.create("vault", &backup.cron_job);
    let told = outcome.verdict.findings[0].message();
    assert_eq!(told, "volume dump ends up on NFS (excepted: nightly dumps)");

    let whole = json!({"kinds": ["CronJob"], "names": ["vault-backup"], "reason": "dumps"});
    let judge = excepted(whole).with(std::slice::from_ref(&backup.claim));
    let outcome = judge.create("vault", &backup.cron_job);
    assert_eq!((outcome.told().0, outcome.verdict.critical), (Effect::Allow, None));
    assert_eq!(judge.create("vault", &backup.claim).told().0, Effect::Deny, "names no claim");
}
