//! What every question of a judgement is asked with.

use jiff::Timestamp;

use crate::{
    facts::{Object, Workload},
    policy::Policy,
    resolve::Resolver,
    subject::{Change, Gate, Subject},
};

/// By what is judged: a policy, a cluster, a time.
#[derive(Clone, Copy)]
pub(crate) struct Terms<'t> {
    pub(crate) policy: &'t Policy,
    pub(crate) resolver: &'t Resolver<'t>,
    pub(crate) now: Timestamp,
}

/// One state of an object that something is asked about.
#[derive(Clone, Copy)]
pub(crate) struct Asked<'a> {
    pub(crate) object: &'a Object<'a>,
    /// The namespace it is in; empty for cluster-scoped kinds.
    pub(crate) namespace: &'a str,
    /// Whether the owner it names may be taken for who made it. Anybody can write
    /// an ownerReference; only the user of a creation tells.
    pub(crate) owner_is_maker: bool,
}

impl<'a> Asked<'a> {
    /// That state of the subject's object.
    pub(crate) fn of(subject: &'a Subject<'_>, object: &'a Object<'a>) -> Self {
        let owner_is_maker = match subject.change {
            Change::Create(_) => {
                subject.gate == Gate::Inspection || users::is_controller(&subject.user)
            }
            // The owner may be written there by the one who changes what its pods get.
            Change::Update { ref new, ref old, .. } => {
                users::is_controller(&subject.user) || makes_the_same(old, new)
            }
            Change::Delete(_) | Change::Standing(_) => true,
        };
        Self { object, namespace: &subject.namespace, owner_is_maker }
    }

    /// An object of the cluster around the subject.
    pub(crate) fn standing(object: &'a Object<'a>) -> Self {
        let namespace = object.metadata().namespace.as_deref().unwrap_or_default();
        Self { object, namespace, owner_is_maker: true }
    }

    pub(crate) fn workload(&self) -> Option<&'a Workload<'a>> {
        match self.object {
            Object::Workload(workload) => Some(workload),
            _ => None,
        }
    }
}

/// Whether an update leaves alone what pods a workload makes, and who owns it.
fn makes_the_same(old: &Object<'_>, new: &Object<'_>) -> bool {
    let (Object::Workload(old), Object::Workload(new)) = (old, new) else { return true };
    old.template == new.template
        && old.claim_templates == new.claim_templates
        && old.metadata.owner_references == new.metadata.owner_references
}

/// The users that Kubernetes' own parts write as. A user name says who it is; an
/// ownerReference alone anybody can write.
pub(crate) mod users {
    /// Users that finish a binding. Which of them writes depends on the binding
    /// mode and on `--use-service-account-credentials`.
    pub(crate) const BINDERS: [&str; 3] = [
        "system:serviceaccount:kube-system:persistent-volume-binder",
        "system:kube-controller-manager",
        "system:kube-scheduler",
    ];

    /// Users that make pods, what makes pods, and claims, from the spec of an owner
    /// (`pkg/controller`; the last one for all of them where the controller manager
    /// runs without `--use-service-account-credentials`).
    const CONTROLLERS: [&str; 9] = [
        "system:serviceaccount:kube-system:statefulset-controller",
        "system:serviceaccount:kube-system:deployment-controller",
        "system:serviceaccount:kube-system:replicaset-controller",
        "system:serviceaccount:kube-system:replication-controller",
        "system:serviceaccount:kube-system:daemon-set-controller",
        "system:serviceaccount:kube-system:job-controller",
        "system:serviceaccount:kube-system:cronjob-controller",
        "system:serviceaccount:kube-system:ephemeral-volume-controller",
        "system:kube-controller-manager",
    ];

    pub(crate) fn is_binder(user: &str) -> bool {
        BINDERS.contains(&user)
    }

    pub(crate) fn is_controller(user: &str) -> bool {
        CONTROLLERS.contains(&user)
    }

    pub(crate) fn is_service_account(user: &str) -> bool {
        user.starts_with("system:serviceaccount:")
    }
}
