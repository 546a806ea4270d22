//! What is never denied, whatever the object holds, whatever the cluster, whatever
//! the policy: what lets things go, and what changes nothing that anybody reads. Tried
//! on objects made at random, which a seed makes again.

use serde_json::{Value, json};

use crate::{
    Amendment, Gate, Snapshot,
    facts::WorkloadKind,
    testing::{Judge, class, cluster, incident, owned, stored, wrapped},
};

const SEQUENCES: u64 = 1_000;
const NOW: &str = "2026-06-01T00:00:00Z";

/// A write that must be allowed: what it is, what it does to an object, and whether it
/// leaves all alone that anybody reads.
type Harmless = (&'static str, fn(&mut Value), bool);

const HARMLESS: [Harmless; 11] = [
    ("a finalizer is removed", |new| new["metadata"]["finalizers"] = json!(null), true),
    (
        "a finalizer is added",
        |new| new["metadata"]["finalizers"] = json!(["example.com/a", "b"]),
        true,
    ),
    ("its status changes", |new| new["status"]["phase"] = json!("Failed"), true),
    ("its conditions change", |new| new["status"]["conditions"] = json!([{"type": "Ready"}]), true),
    (
        "it is written by another",
        |new| new["metadata"]["managedFields"] = json!([{"manager": "m"}]),
        true,
    ),
    ("it has a newer version", |new| new["metadata"]["resourceVersion"] = json!("17"), true),
    ("it has a newer generation", |new| new["metadata"]["generation"] = json!(17), true),
    (
        "kubectl applied it",
        |new| {
            new["metadata"]["annotations"]["kubectl.kubernetes.io/last-applied-configuration"] =
                json!("{}");
        },
        true,
    ),
    (
        "a note is made on it",
        |new| new["metadata"]["annotations"]["example.com/note"] = json!("n"),
        false,
    ),
    ("a label is put on it", |new| new["metadata"]["labels"]["team"] = json!("storage"), false),
    (
        "it is on its way out",
        |new| {
            new["metadata"]["deletionTimestamp"] = json!("2026-04-22T09:00:00Z");
            new["spec"]["volumeName"] = json!("vault-old");
            new["spec"]["claimRef"] = json!({"namespace": "vault", "name": "data"});
        },
        false,
    ),
];

/// A generator of numbers: splitmix64.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        usize::try_from((z ^ (z >> 31)) % sides as u64).unwrap()
    }

    fn pick<'m, T>(&mut self, of: &'m [T]) -> &'m T {
        &of[self.roll(of.len())]
    }

    fn class(&mut self) -> Value {
        self.pick(&[
            json!(null),
            json!(""),
            json!("nfs-proxmox"),
            json!("proxmox-lvm-encrypted"),
            json!("gone"),
        ])
        .clone()
    }

    fn claim_spec(&mut self) -> Value {
        let volume =
            self.pick(&[json!(null), json!("vault-old"), json!("disk"), json!("gone")]).clone();
        json!({"storageClassName": self.class(), "volumeName": volume,
            "accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}})
    }

    fn volume(&mut self, name: &str) -> Value {
        let source = match self.roll(7) {
            0 => json!({"nfs": {"server": "nas", "path": "/x"}}),
            1 => json!({"csi": {"driver": "nfs.csi.k8s.io"}}),
            2 => json!({"persistentVolumeClaim": {"claimName": "data"}}),
            3 => json!({"persistentVolumeClaim": {"claimName": "gone"}}),
            4 => json!({"ephemeral": {"volumeClaimTemplate": {"spec": self.claim_spec()}}}),
            5 => json!({"holographic": {}}),
            _ => json!({"emptyDir": {}}),
        };
        let mut volume = json!({"name": name});
        volume.as_object_mut().unwrap().extend(source.as_object().unwrap().clone());
        volume
    }

    fn persistent_volume(&mut self) -> Value {
        let claim = self
            .pick(&[
                json!(null),
                json!({"namespace": "vault", "name": "data"}),
                json!({"namespace": "vault", "name": "data", "uid": "uid-data"}),
                json!({"namespace": "web", "name": "data-vault-0-0"}),
            ])
            .clone();
        let mut spec = json!({"storageClassName": self.class(), "claimRef": claim,
            "capacity": {"storage": "10Gi"}, "accessModes": ["ReadWriteOnce"]});
        let source = self
            .pick(&[("nfs", json!({"server": "nas", "path": "/x"})), ("iscsi", json!({}))])
            .clone();
        spec[source.0] = source.1;
        json!({"apiVersion": "v1", "kind": "PersistentVolume", "metadata": {"name": "share"},
            "spec": spec, "status": {"phase": self.pick(&["Available", "Bound"])}})
    }

    /// An object of any kind that is judged, and the namespace it is in.
    fn object(&mut self) -> (Value, &'static str) {
        let namespace = *self.pick(&["vault", "web", "unheard-of"]);
        let (mut manifest, namespace) = match self.roll(12) {
            kind @ 0..8 => {
                let kind = WorkloadKind::ALL[kind];
                let volumes = [self.volume("a"), self.volume("b")];
                let security = self
                    .pick(&[
                        json!(null),
                        json!({"fsGroup": 1000}),
                        json!({"fsGroup": 1000, "fsGroupChangePolicy": "Always"}),
                    ])
                    .clone();
                let spec = json!({"volumes": volumes, "securityContext": security});
                let mut manifest = wrapped(kind, &spec);
                if kind == WorkloadKind::StatefulSet {
                    manifest["spec"]["volumeClaimTemplates"] =
                        json!([{"metadata": {"name": "data"}, "spec": self.claim_spec()}]);
                    manifest["spec"]["replicas"] = json!(self.roll(3));
                }
                if self.roll(2) == 0 {
                    manifest["metadata"]["labels"] = json!({"nfs-guard.io/critical": "true"});
                }
                if self.roll(3) == 0 {
                    let owner = wrapped(WorkloadKind::StatefulSet, &json!({}));
                    manifest = owned(manifest, &stored(owner, namespace, NOW));
                }
                (manifest, namespace)
            }
            8 | 9 => {
                let spec = self.claim_spec();
                let claim = json!({"apiVersion": "v1", "kind": "PersistentVolumeClaim",
                    "metadata": {"name": "data"}, "spec": spec});
                (claim, namespace)
            }
            10 => (self.persistent_volume(), ""),
            _ => {
                let provisioner = *self.pick(&["nfs.csi.k8s.io", "csi.proxmox.sinextra.dev"]);
                (class("gone", provisioner, self.roll(2) == 0), "")
            }
        };
        for member in ["annotations", "labels"] {
            if manifest["metadata"][member].is_null() {
                manifest["metadata"][member] = json!({});
            }
        }
        manifest["metadata"]["uid"] = json!("uid-of-it");
        manifest["metadata"]["finalizers"] = json!(["kubernetes.io/pvc-protection"]);
        (manifest, namespace)
    }

    fn judge(&mut self) -> Judge {
        let strictest = json!({
            "rules": {"critical-on-nfs": {"onUnknown": "deny", "reverse": "deny", "forbid": ["nfs", "other-network-fs"]}},
            "ratchet": {"since": "2026-01-01", "until": "2026-02-01", "scaleUp": "deny"},
            "critical": {"namespaces": ["*"]},
        });
        let config = self.pick(&[json!({}), strictest]).clone();
        let users = [
            "developer",
            "system:serviceaccount:kube-system:statefulset-controller",
            "system:serviceaccount:kube-system:persistent-volume-binder",
        ];
        let mut judge =
            Judge::incident().configured(config).at(NOW).by(users[self.roll(users.len())]);
        judge.cluster = match self.roll(4) {
            0 => Snapshot::default(),
            1 => Snapshot::complete(),
            _ => {
                let mut objects = incident();
                for _ in 0..self.roll(5) {
                    let (object, namespace) = self.object();
                    objects.push(stored(object, namespace, NOW));
                }
                cluster(&objects)
            }
        };
        judge
    }
}

#[test]
fn what_lets_go_and_what_nobody_reads_is_never_denied() {
    for seed in 0..SEQUENCES {
        let mut dice = Dice(seed);
        let judge = dice.judge();
        let (old, namespace) = dice.object();
        let &(name, change, unread) = dice.pick(&HARMLESS);
        let mut new = old.clone();
        change(&mut new);
        let outcome = judge.update(namespace, &old, &new);
        let told = format!("seed {seed}, {name}: {old:#} in {namespace}");
        assert!(outcome.verdict.denial().is_none(), "{told}\n{:#?}", outcome.verdict);
        if unread {
            assert!(outcome.settled, "{told}");
            assert_eq!(outcome.missed, crate::Missed::default(), "{told}");
        }
        let again = judge.update(namespace, &old, &new);
        assert_eq!(again.verdict, outcome.verdict, "{told}");
    }
}

#[test]
fn what_has_been_amended_is_left_alone() {
    let mut amended = 0;
    for seed in 0..SEQUENCES {
        let mut dice = Dice(seed);
        let judge = Judge { gate: Gate::Mutating, ..dice.judge() };
        let (mut manifest, namespace) = dice.object();
        let first = judge.create(namespace, &manifest);
        for Amendment { path, value } in first.verdict.amendments() {
            let member = path.iter().fold(&mut manifest, |value, member| &mut value[*member]);
            *member = json!(value);
            amended += 1;
        }
        let again = judge.create(namespace, &manifest);
        let told = format!("seed {seed}: {manifest:#} in {namespace}");
        assert!(first.verdict.denial().is_none() && again.verdict.denial().is_none(), "{told}");
        assert_eq!(again.verdict.amendments().next(), None, "{told}");
    }
    assert!(amended > SEQUENCES / 20, "{amended} amendments");
}

#[test]
fn a_volumes_promise_can_always_be_taken_back() {
    for seed in 0..SEQUENCES {
        let mut dice = Dice(seed);
        let judge = dice.judge();
        let old = dice.persistent_volume();
        let mut new = old.clone();
        new["spec"]["claimRef"] = json!(null);
        let outcome = judge.update("", &old, &new);
        let denied = outcome.verdict.denial().is_some() && !old["spec"]["claimRef"].is_null();
        assert!(!denied, "seed {seed}: {old:#}\n{:#?}", outcome.verdict);
    }
}

#[test]
fn a_claim_that_its_volume_names_may_always_name_it() {
    for seed in 0..SEQUENCES {
        let mut dice = Dice(seed);
        let mut volume = dice.persistent_volume();
        volume["spec"]["claimRef"] = json!({"namespace": "vault", "name": "data"});
        let judge = dice.judge();
        let judge = judge.with(std::slice::from_ref(&volume));
        let mut old = json!({"apiVersion": "v1", "kind": "PersistentVolumeClaim",
            "metadata": {"name": "data"}, "spec": dice.claim_spec()});
        old["spec"]["volumeName"] = json!(null);
        let mut new = old.clone();
        new["spec"]["volumeName"] = json!("share");
        let outcome = judge.update("vault", &old, &new);
        // Of what has not been read nobody answers.
        let is_decided = outcome.missed.not_synced.is_empty() || outcome.settled;
        let denied = is_decided && outcome.verdict.denial().is_some();
        assert!(!denied, "seed {seed}: {old:#}\n{:#?}", outcome.verdict);
    }
}
