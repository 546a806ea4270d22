//! Writes that turn others, critical and there already, to storage that is
//! forbidden: of a class, a volume, or a namespace's labels.

use super::{Case, Found};
use crate::{
    backing,
    config::Reverse,
    critical, excuse,
    excuse::Used,
    facts::{Object, PersistentVolume},
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
    let within = is_namespace.then(|| &*case.object.metadata().name);
    let mut found = Vec::new();
    for object in others(&after, within) {
        let asked = Asked::standing(&object);
        let excluded = &case.policy.excluded_namespaces;
        if excluded.iter().any(|glob| glob.matches(asked.namespace)) {
            continue;
        }
        let on = |resolver| Terms { policy: case.policy, resolver, now: case.now };
        let turned = forbidden(on(&after), asked, is_forbidden);
        if turned.is_empty() {
            continue;
        }
        let were = forbidden(on(&before), asked, is_forbidden);
        let is_new = |volume: &Volume<'_>| !were.iter().any(|before| before.name == volume.name);
        found.extend(turned.into_iter().filter(is_new).map(|volume| Found {
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

/// What could be turned: claims that are not bound, and workloads but for those whose
/// owner stands for them.
fn others(resolver: &Resolver<'_>, namespace: Option<&str>) -> Vec<Object<'static>> {
    let claims = resolver.claims_of(namespace).into_iter();
    let claims = claims.filter(|claim| namespace.is_some() || claim.volume_name().is_none());
    let workloads = resolver.workloads_of(namespace).into_iter();
    let workloads = workloads.filter(|workload| {
        workload.has_persistent_volumes()
            && resolver
                .owners(
                    workload.metadata.namespace.as_deref().unwrap_or_default(),
                    &workload.metadata,
                )
                .chain
                .is_empty()
    });
    workloads
        .map(|workload| Object::Workload((*workload).clone()))
        .chain(claims.map(|claim| Object::Claim((*claim).clone())))
        .collect()
}

/// The volumes of a critical object that are forbidden and not excused.
fn forbidden<'v>(
    terms: Terms<'_>,
    asked: Asked<'v>,
    is_forbidden: impl Fn(backing::Kind) -> bool,
) -> Vec<Volume<'v>> {
    if critical::why(terms, asked).is_none() {
        return Vec::new();
    }
    let mut volumes = terms.resolver.volumes(asked.namespace, asked.object);
    volumes.retain(|volume| {
        let used = Used { volume: volume.name, claim: volume.resolved.claim() };
        let rule = super::CriticalOnNfs.name();
        is_forbidden(volume.resolved.backing.kind())
            && excuse::excuse(terms, asked, rule, used).is_none()
    });
    volumes
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
