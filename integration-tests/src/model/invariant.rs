//! What must be so of every cluster at rest.

use jiff::Timestamp;
use nfs_guard_policies::{
    Change, Effect, Finding, Gate, Leniency, Subject, Texts,
    backing::Kind as Backing,
    cluster::Key,
    decide,
    facts::{Kind, Object},
};
use serde_json::{Value, json};

use super::{
    Setting, State,
    json::{is_going, key, name, namespace, text, uid},
    truth::{OnNfs, Truth, is_running},
};

/// What is wrong with a cluster at rest; nothing, if all is well.
#[must_use]
pub fn broken(state: &State<'_>, setting: &Setting) -> Option<String> {
    if !state.installed {
        return None;
    }
    let truth = Truth::of(state.objects);
    let mut broken = truth.pods().filter_map(|pod| pod_on_nfs(state, setting, truth, pod));
    broken.next().or_else(|| half_bound(state, truth))
}

/// What is wrong about a pod that is on NFS.
fn pod_on_nfs<'s>(
    state: &'s State<'_>,
    setting: &Setting,
    truth: Truth<'s>,
    pod: &'s Value,
) -> Option<String> {
    let on_nfs = truth.on_nfs(pod);
    if on_nfs.is_empty() || !truth.is_critical(pod) {
        return None;
    }
    let findings = scan(state, pod);
    on_nfs.into_iter().find_map(|on_nfs| {
        if truth.is_exempt(pod, &on_nfs, state.now) {
            return None;
        }
        let said = |what: &str| {
            let (namespace, pod) = (namespace(pod), name(pod));
            Some(format!("critical Pod {namespace}/{pod} has {} on NFS, {what}", on_nfs.volume))
        };
        let led = |key: &Key| led_to(truth, pod, &on_nfs, key);
        if setting.strict {
            let warned = state.history.was_warned_of(led);
            return (!warned).then(|| said("and nothing that was done lets it")).flatten();
        }
        let finding = findings.iter().find(|finding| {
            let volume = finding.wrong.volume();
            volume.is_some_and(|(volume, resolved)| {
                volume == on_nfs.volume && resolved.backing.kind() == Backing::Nfs
            })
        });
        match finding {
            None => said("and no scan says so"),
            Some(Finding { effect: Effect::Deny, .. }) => {
                let explained = state.history.explains(led);
                (!explained).then(|| said("and nothing in the history explains it")).flatten()
            }
            Some(Finding { leniency: Some(leniency), .. }) => {
                let doubt = doubtful(state, pod, &on_nfs, leniency)?;
                said(&format!("and a scan bears with it, {doubt}: {leniency}"))
            }
            Some(Finding { effect, leniency: None, .. }) => {
                said(&format!("and a scan says no more than {} to it", effect.as_str()))
            }
        }
    })
}

/// What a scan says of an object.
fn scan(state: &State<'_>, object: &Value) -> Vec<Finding> {
    let subject = Subject {
        gate: Gate::Inspection,
        change: Change::Standing(read(object)),
        namespace: namespace(object).into(),
        user: "".into(),
    };
    decide(&subject, state.facts, state.policy, state.now).verdict.findings
}

fn read(object: &Value) -> Object<'_> {
    Object::read(key(object).kind, object).expect("was read when it was stored")
}

/// Whether a write to that object may have led to a pod's being where it is.
fn led_to<'s>(truth: Truth<'s>, pod: &'s Value, on_nfs: &OnNfs<'_>, written: &Key) -> bool {
    let is = |object: &Value| key(object) == *written;
    match written.kind {
        // Which class a claim without one was to get, any of them may have changed.
        Kind::Class => on_nfs.claim.is_some(),
        Kind::Namespace => written.name == namespace(pod),
        Kind::Exemption => written.namespace == namespace(pod),
        Kind::Claim | Kind::Volume => {
            on_nfs.claim.is_some_and(|(claim, volume)| is(claim) || is(volume))
        }
        Kind::Workload(_) => is(pod) || truth.owners(pod).into_iter().any(is),
        Kind::CsiDriver => false,
    }
}

/// Why a scan should not bear with it for that reason, if so.
fn doubtful(
    state: &State<'_>,
    pod: &Value,
    on_nfs: &OnNfs<'_>,
    leniency: &Leniency,
) -> Option<&'static str> {
    let is_old = |object: &Value| {
        let made = text(object, "/metadata/creationTimestamp").parse::<Timestamp>().ok();
        made.zip(state.policy.ratchet.since).is_some_and(|(made, since)| made < since)
    };
    match leniency {
        Leniency::BeforeTheGuard => (!is_old(pod)).then_some("though it is newer than the guard"),
        Leniency::OldClaim => {
            let old = on_nfs.claim.is_some_and(|(claim, _)| is_old(claim));
            (!old).then_some("though its claim is newer than the guard")
        }
        Leniency::Exempt { .. } | Leniency::Excepted { .. } => Some("though nothing exempts it"),
        Leniency::NotNew
        | Leniency::Binding
        | Leniency::Provisioned
        | Leniency::OwnersSpec
        | Leniency::UnreadableOwner => None,
    }
}

/// A volume that names a claim which does not name it, though nothing is in the way.
fn half_bound(state: &State<'_>, truth: Truth<'_>) -> Option<String> {
    let mut volumes = truth.list(Kind::Volume).filter(|_| state.guarded);
    volumes.find_map(|volume| {
        let reference = &volume["spec"]["claimRef"];
        let (namespace, claim) = (text(reference, "/namespace"), text(reference, "/name"));
        let claim = truth.get(Kind::Claim, namespace, claim)?;
        let half = text(reference, "/uid") == uid(claim)
            && text(claim, "/spec/volumeName").is_empty()
            && !is_going(volume);
        half.then(|| {
            format!("volume {} is half-bound to claim {namespace}/{}", name(volume), name(claim))
        })
    })
}

/// The write that must be allowed and is not, if any: of every object there is, with its
/// finalizers gone, on its way out, of another status, and with an annotation nobody reads.
#[must_use]
pub fn stuck(state: &State<'_>) -> Option<String> {
    state.objects.values().find_map(|object| {
        let mut held = Value::clone(object);
        held["metadata"]["finalizers"] = json!(["example.com/held"]);
        let mut going = held.clone();
        going["metadata"]["deletionTimestamp"] = json!(state.now.to_string());
        let mut reported = Value::clone(object);
        reported["status"]["reported"] = json!(true);
        let mut annotated = Value::clone(object);
        annotated["metadata"]["annotations"]["example.com/unread"] = json!("x");
        let writes = [
            ("removing its finalizers", &held, &**object),
            ("its deletion", &held, &going),
            ("a change while it goes", &going, &annotated_going(&going)),
            ("a status", object, &reported),
            ("an annotation that nobody reads", object, &annotated),
        ];
        writes.into_iter().find_map(|(what, old, new)| {
            let change = Change::Update { new: read(new), old: read(old), texts: Texts::default() };
            let subject = Subject {
                gate: Gate::Validating,
                change,
                namespace: namespace(object).into(),
                user: "developer".into(),
            };
            let verdict = decide(&subject, state.facts, state.policy, state.now).verdict;
            (verdict.effect() == Effect::Deny)
                .then(|| format!("{what} is denied to {}", verdict.subject))
        })
    })
}

fn annotated_going(going: &Value) -> Value {
    let mut free = going.clone();
    free["metadata"]["finalizers"] = json!([]);
    free
}

/// Whether nobody else was promised the volume: what names it then waits for good.
fn is_free_for(volume: &Value, claim: &Value) -> bool {
    let to = &volume["spec"]["claimRef"];
    let metadata = &claim["metadata"];
    to.is_null() || to["name"] == metadata["name"] && to["namespace"] == metadata["namespace"]
}

/// What does not get what it could have, though no guard is there any more: what was denied
/// must leave nothing behind that keeps anything from being bound once the cause is gone.
#[must_use]
pub fn unbound(state: &State<'_>) -> Option<String> {
    let truth = Truth::of(state.objects);
    let mut claims = truth.list(Kind::Claim).filter(|claim| !is_going(claim));
    let claim = claims.find(|claim| {
        let waits = text(claim, "/spec/volumeName").is_empty() && truth.could_be_bound(claim);
        let has = truth.volume_of(claim).is_some_and(|volume| is_free_for(volume, claim));
        waits || has && text(claim, "/status/phase") != "Bound"
    });
    let waiting = truth.pods().find(|pod| !is_running(pod) && truth.has_all_claims(pod));
    let left = claim.or(waiting)?;
    Some(format!("{} waits for nothing once the guard is gone", key(left)))
}

/// How many pods are on NFS, critical or not.
#[must_use]
pub fn pods_on_nfs(state: &State<'_>) -> u64 {
    let truth = Truth::of(state.objects);
    truth.pods().filter(|pod| !truth.on_nfs(pod).is_empty()).count() as u64
}
