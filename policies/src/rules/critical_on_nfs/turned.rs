//! Writes that turn others, critical and there already, to storage that is
//! forbidden: of a class, a volume, or a namespace's labels.

use std::cell::OnceCell;

use super::{Case, Found};
use crate::{
    backing,
    config::Reverse,
    critical, excuse,
    excuse::Used,
    facts::{Object, PersistentVolume, WorkloadKind},
    finding::Wrong,
    overlay::Overlay,
    resolve::{Resolver, Volume},
    rules::Rule as _,
    subject::Change,
    terms::{Asked, Terms},
    verdict::SubjectName,
};

pub(super) fn judge(case: &Case<'_>, passes: impl Fn(backing::Kind) -> bool) -> Vec<Found> {
    let rule = &case.policy.settings.critical_on_nfs;
    let is_namespace = matches!(case.object, Object::Namespace(_));
    if rule.reverse == Reverse::Allow && !is_namespace || case.subject.change.is_unread() {
        return Vec::new();
    }
    let cluster = case.resolver.cluster;
    let (before, after) = match &case.subject.change {
        Change::Create(new) if !is_namespace => {
            (Overlay::without(cluster, new), Overlay::with(cluster, new))
        }
        Change::Update { old, new, .. } => {
            (Overlay::with(cluster, old), Overlay::with(cluster, new))
        }
        Change::Delete(old) => (Overlay::with(cluster, old), Overlay::without(cluster, old)),
        // A namespace that is new holds nothing.
        Change::Create(_) | Change::Standing(_) => return Vec::new(),
    };
    if let Object::Volume(volume) = case.object
        && (volume.spec.claim_ref.is_some() || passes(kind_of(case.resolver, volume)))
    {
        return Vec::new();
    }

    let before = Resolver::new(&before, case.resolver.catalogue);
    let after = Resolver::new(&after, case.resolver.catalogue);
    let is_forbidden = |kind: backing::Kind| kind != backing::Kind::Unknown && !passes(kind);
    let mut found = Vec::new();
    for object in others(&after, case.object) {
        let asked = Asked::standing(&object);
        let excluded = &case.policy.excluded_namespaces;
        if excluded.iter().any(|glob| glob.matches(asked.namespace)) {
            continue;
        }
        let turned = turned(case, [&before, &after], asked, is_forbidden);
        found.extend(turned.into_iter().map(|volume| Found {
            field: field(case.object).to_owned(),
            wrong: Wrong::Turned {
                other: SubjectName::of(&object, asked.namespace),
                volume: volume.name.to_owned(),
                resolved: volume.resolved,
            },
            leniency: None,
        }));
    }
    // What one of them lacks is not waited for: nobody is denied a pod here.
    case.resolver.also_not_synced(before);
    case.resolver.also_not_synced(after);
    found
}

/// The pods on forbidden storage that are critical from now on, as what made them is:
/// their own volumes need not be those that it has by now.
pub(super) fn pods_of_who_becomes_critical(
    case: &Case<'_>,
    passes: impl Fn(backing::Kind) -> bool,
) -> Vec<Found> {
    let Change::Update { new: Object::Workload(new), old, .. } = &case.subject.change else {
        return Vec::new();
    };
    let is_new = std::ptr::eq(case.object, case.subject.object());
    let was = || critical::why(case.terms(), Asked::of(case.subject, old)).is_some();
    if !is_new || case.critical.is_none() || new.kind == WorkloadKind::Pod || was() {
        return Vec::new();
    }
    let namespace = &*case.subject.namespace;
    let pods = case.resolver.workloads_of(Some(namespace)).into_iter();
    let pods = pods.filter(|pod| pod.kind == WorkloadKind::Pod && pod.has_persistent_volumes());
    let made = pods.filter(|pod| {
        let owners = case.resolver.owners(namespace, &pod.metadata);
        owners.chain.iter().any(|owner| owner.metadata.uid == new.metadata.uid)
    });
    let found = made.flat_map(|pod| {
        let pod = Object::Workload((*pod).clone());
        let other = SubjectName::of(&pod, namespace);
        let mut volumes = case.resolver.volumes(namespace, &pod);
        volumes.retain(|volume| {
            let kind = volume.resolved.backing.kind();
            kind != backing::Kind::Unknown && !passes(kind)
        });
        let found = volumes.into_iter().map(|volume| Found {
            field: "metadata.labels".to_owned(),
            wrong: Wrong::Turned {
                other: other.clone(),
                volume: volume.name.to_owned(),
                resolved: volume.resolved,
            },
            leniency: None,
        });
        found.collect::<Vec<_>>()
    });
    found.collect()
}

/// What could be turned by an object: claims that are not bound, or that name it, and
/// workloads but for those whose owner stands for them: one that was changed since may
/// have others of its own age.
fn others(resolver: &Resolver<'_>, by: &Object<'_>) -> Vec<Object<'static>> {
    let name = &*by.metadata().name;
    let namespace = matches!(by, Object::Namespace(_)).then_some(name);
    let claims = resolver.claims_of(namespace).into_iter();
    let claims = claims.filter(|claim| {
        namespace.is_some() || claim.volume_name().is_none_or(|volume| volume == name)
    });
    let workloads = resolver.workloads_of(namespace).into_iter();
    let workloads = workloads.filter(|workload| {
        let namespace = workload.metadata.namespace.as_deref().unwrap_or_default();
        let owner = || resolver.owners(namespace, &workload.metadata).chain.into_iter().next();
        workload.has_persistent_volumes()
            && !owner().is_some_and(|owner| owner.stands_for(workload))
    });
    workloads
        .map(|workload| Object::Workload((*workload).clone()))
        .chain(claims.map(|claim| Object::Claim((*claim).clone())))
        .collect()
}

/// The volumes of a critical object that are forbidden in the second cluster and were
/// not in the first: as they are, or as they would be if they were made anew.
fn turned<'v>(
    case: &Case<'_>,
    clusters: [&Resolver<'_>; 2],
    asked: Asked<'v>,
    is_forbidden: impl Fn(backing::Kind) -> bool,
) -> Vec<Volume<'v>> {
    let [before, after] =
        clusters.map(|resolver| Terms { policy: case.policy, resolver, now: case.now });
    if critical::why(after, asked).is_none() {
        return Vec::new();
    }
    let was_critical = OnceCell::new();
    let mut turned: Vec<Volume<'v>> = Vec::new();
    for anew in [false, true] {
        let forbidden = |terms: Terms<'_>| {
            let Asked { object, namespace, .. } = asked;
            let mut volumes = if anew {
                terms.resolver.volumes_anew(namespace, object)
            } else {
                terms.resolver.volumes(namespace, object)
            };
            volumes.retain(|volume| {
                let used = Used { volume: volume.name, claim: volume.resolved.claim() };
                let rule = super::CriticalOnNfs.name();
                is_forbidden(volume.resolved.backing.kind())
                    && excuse::excuse(terms, asked, rule, used).is_none()
            });
            volumes
        };
        let are = forbidden(after);
        if are.is_empty() {
            continue;
        }
        let was_critical = *was_critical.get_or_init(|| critical::why(before, asked).is_some());
        let were = if was_critical { forbidden(before) } else { Vec::new() };
        for volume in are {
            if !were.iter().chain(&turned).any(|other| other.name == volume.name) {
                turned.push(volume);
            }
        }
    }
    turned
}

fn kind_of(resolver: &Resolver<'_>, volume: &PersistentVolume<'_>) -> backing::Kind {
    resolver.persistent_volume("", volume).backing.kind()
}

/// What of the written object decides over others.
fn field(object: &Object<'_>) -> &'static str {
    match object {
        Object::Class(_) => "provisioner",
        Object::Namespace(_) => "metadata.labels",
        _ => "spec",
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use crate::{
        Effect,
        testing::{Judge, claim, class, owned, pod, set, stored},
    };

    const BLOCK: &str = "csi.proxmox.sinextra.dev";
    const NFS: &str = "nfs.csi.k8s.io";

    /// A critical set whose claims ask for that class, and a pod of its.
    fn sets(class: Option<&str>) -> Vec<Value> {
        let mut manifest = set(&[("data", "")], &json!([]));
        manifest["spec"]["volumeClaimTemplates"][0]["spec"]["storageClassName"] = json!(class);
        let set = stored(manifest, "vault", "2026-01-01T00:00:00Z");
        let volumes =
            json!([{"name": "data", "persistentVolumeClaim": {"claimName": "data-vault-0"}}]);
        let pod = stored(owned(pod(&volumes), &set), "vault", "2026-01-01T00:00:00Z");
        vec![set, pod]
    }

    #[test]
    fn a_class_turns_those_who_ask_for_it() {
        let deny = json!({"rules": {"critical-on-nfs": {"reverse": "deny"}}});
        let allow = json!({"rules": {"critical-on-nfs": {"reverse": "allow"}}});
        let fast = |provisioner| class("fast", provisioner, false);
        let fast_set = [sets(Some("fast")), vec![fast(BLOCK)]].concat();
        for (name, config, objects, new, expected) in [
            ("made anew on NFS", json!({}), sets(Some("fast")), fast(NFS), Effect::Warn),
            ("denied if configured", deny.clone(), sets(Some("fast")), fast(NFS), Effect::Deny),
            ("nobody looks", allow, sets(Some("fast")), fast(NFS), Effect::Allow),
            ("made anew on block", deny.clone(), sets(Some("fast")), fast(BLOCK), Effect::Allow),
            ("nobody asks for it", deny.clone(), sets(Some("other")), fast(NFS), Effect::Allow),
        ] {
            let outcome = Judge::incident().configured(config).with(&objects).create("", &new);
            assert_eq!(outcome.told().0, expected, "{name}: {outcome:?}");
        }
        // The default moves.
        let block = |default| class("block", BLOCK, default);
        let nfs = |default| class("nfs-proxmox", NFS, default);
        let objects = [sets(None), vec![nfs(false), block(true)]].concat();
        let judge = Judge::incident().configured(deny).with(&objects);
        let mut newest = nfs(true);
        newest["metadata"]["creationTimestamp"] = json!("2026-02-01T00:00:00Z");
        let told = judge.update("", &nfs(false), &newest).told();
        assert_eq!(told.0, Effect::Deny, "the default is annotated");
        let judge = judge.with(&[newest]);
        assert_eq!(judge.delete(&block(true)).told().0, Effect::Allow, "it was not the default");
        let older = nfs(true);
        let mut newest = block(true);
        newest["metadata"]["creationTimestamp"] = json!("2026-02-01T00:00:00Z");
        let judge = judge.with(&[older, newest.clone()]);
        let denied = judge.delete(&newest);
        assert_eq!(denied.told().0, Effect::Deny, "the next default is on NFS");
        let message = denied.verdict.denial().unwrap().message;
        for part in [
            "critical-on-nfs: StorageClass block would turn to NFS what is critical:",
            "  StatefulSet vault/vault: volumeClaimTemplate data → StorageClass nfs-proxmox \
             (cluster default) → provisioner nfs.csi.k8s.io → NFS",
        ] {
            assert!(message.contains(part), "{message}");
        }
        let told = Judge::incident().with(&fast_set).update("", &fast(BLOCK), &fast(BLOCK));
        assert_eq!(told.told().0, Effect::Allow);
    }

    #[test]
    fn a_class_turns_what_would_be_made_anew() {
        let mut old = claim(&json!({"storageClassName": "fast", "volumeName": "vault-old"}));
        old["metadata"]["name"] = json!("data-vault-0");
        let old = stored(old, "vault", "2026-01-01T00:00:00Z");
        let set = sets(Some("fast")).swap_remove(0);
        let judge = Judge::incident().with(&[set, old, class("fast", BLOCK, false)]);
        let turned = judge.update("", &class("fast", BLOCK, false), &class("fast", NFS, false));
        let expected = "critical-on-nfs: turns StatefulSet vault/vault: volume data ends up on NFS";
        assert_eq!(turned.verdict.warnings(), [expected], "its claim was on NFS before");
    }

    #[test]
    fn an_owner_stands_for_what_it_made_while_it_makes_the_same() {
        let fast = |provisioner| class("fast", provisioner, false);
        let scratch = |class| {
            let template = json!({"metadata": {}, "spec": {"storageClassName": class}});
            json!([{"name": "scratch", "ephemeral": {"volumeClaimTemplate": template}}])
        };
        let token = json!({"name": "token", "projected": {"sources": []}});
        for (name, makes, expected) in [
            ("the same", scratch("fast"), vec!["StatefulSet vault/vault"]),
            ("others by now", scratch("slow"), vec!["Pod vault/vault-0"]),
            ("none by now", json!([]), vec!["Pod vault/vault-0"]),
        ] {
            let set = stored(set(&[], &makes), "vault", "2026-01-01T00:00:00Z");
            let mut volumes = scratch("fast");
            volumes.as_array_mut().unwrap().push(token.clone());
            let pod = stored(owned(pod(&volumes), &set), "vault", "2026-01-01T00:00:00Z");
            let outcome = Judge::incident().with(&[set, pod]).create("", &fast(NFS));
            let warnings = outcome.verdict.warnings();
            let others: Vec<_> = warnings
                .iter()
                .map(|warning| warning.split(": ").nth(1).unwrap().trim_start_matches("turns "))
                .collect();
            assert_eq!(others, expected, "{name}: {warnings:?}");
        }
    }

    #[test]
    fn a_volume_turns_the_claims_it_may_be_bound_to() {
        let waiting =
            stored(claim(&json!({"storageClassName": "manual"})), "vault", "2026-01-01T00:00:00Z");
        let share = |class: &str| {
            json!({"apiVersion": "v1", "kind": "PersistentVolume", "metadata": {"name": "share"},
                "spec": {"storageClassName": class, "nfs": {"server": "nas", "path": "/x"}},
                "status": {"phase": "Available"}})
        };
        let judge = Judge::incident().with(&[waiting]);
        let lost = claim(&json!({"storageClassName": "manual", "volumeName": "share"}));
        let lost = Judge::incident().with(&[stored(lost, "vault", "2026-01-01T00:00:00Z")]);
        for (name, outcome, expected) in [
            (
                "made anew under a name that is in use",
                lost.create("", &share("other")),
                Effect::Warn,
            ),
            ("made to match", judge.create("", &share("manual")), Effect::Warn),
            ("made for others", judge.create("", &share("other")), Effect::Allow),
            ("changed to match", judge.update("", &share("other"), &share("manual")), Effect::Warn),
            ("changed away", judge.update("", &share("manual"), &share("other")), Effect::Allow),
        ] {
            assert_eq!(outcome.told().0, expected, "{name}: {outcome:?}");
        }
        let warning = &judge.create("", &share("manual")).verdict.warnings()[0];
        let expected = "critical-on-nfs: turns PersistentVolumeClaim vault/data: volume data ends \
                        up on NFS nas:/x";
        assert_eq!(warning, expected);
    }

    #[test]
    fn a_workload_that_becomes_critical_is_told_which_of_its_pods_are_on_nfs() {
        let volumes = json!([{"name": "v", "nfs": {"server": "nas", "path": "/x"}}]);
        let old = stored(set(&[], &volumes), "web", "2026-01-01T00:00:00Z");
        let mut new = stored(set(&[], &json!([])), "web", "2026-01-01T00:00:00Z");
        new["metadata"]["labels"] = json!({"nfs-guard.io/critical": "true"});
        let made = stored(owned(pod(&volumes), &old), "web", "2026-01-01T00:00:00Z");
        let judge = Judge::incident().with(&[old.clone(), made]);
        let outcome = judge.update("web", &old, &new);
        assert_eq!(outcome.told().0, Effect::Warn, "{outcome:?}");
        let expected = "critical-on-nfs: turns Pod web/vault-0: volume v ends up on NFS nas:/x";
        assert_eq!(outcome.verdict.warnings(), [expected]);
        let unlabelled = judge.update("web", &new, &new).told();
        assert_eq!(unlabelled.0, Effect::Allow, "it was critical before");
    }

    #[test]
    fn a_namespace_that_becomes_critical_is_told_what_it_has_on_nfs() {
        let namespace = |critical: bool| {
            let labels =
                if critical { json!({"nfs-guard.io/critical": "true"}) } else { json!({}) };
            json!({"apiVersion": "v1", "kind": "Namespace",
                "metadata": {"name": "web", "labels": labels}})
        };
        let many: Vec<_> = (0..30)
            .map(|n| {
                let volumes = json!([{"name": "v", "nfs": {"server": "nas", "path": "/x"}}]);
                let mut set = set(&[], &volumes);
                set["metadata"]["name"] = json!(format!("set-{n:02}"));
                stored(set, "web", "2026-01-01T00:00:00Z")
            })
            .collect();
        let deny = json!({"rules": {"critical-on-nfs": {"reverse": "deny"}}});
        let judge = Judge::incident().configured(deny).with(&many);
        let outcome = judge.update("", &namespace(false), &namespace(true));
        assert_eq!(outcome.told().0, Effect::Warn, "never a denial");
        let warnings = outcome.verdict.warnings();
        assert_eq!(warnings.len(), 21);
        assert_eq!(warnings[20], "nfs-guard: and 10 more like these");
        assert_eq!(judge.update("", &namespace(true), &namespace(true)).told().0, Effect::Allow);
        let shed = judge.update("", &namespace(true), &namespace(false));
        assert!(shed.verdict.sheds_criticality, "{shed:?}");
    }
}
