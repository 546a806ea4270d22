//! Guards that are broken on purpose, each in its own way: what the model is worth shows in
//! whether it finds them out.

use nfs_guard_integration_tests::model::{
    self, Asked, Engine, Guard, Sequence, Setting,
    operation::{Claim, Class, ClassOf, Label, Makes, Named, Operation, Owner, Source, Workload},
};
use nfs_guard_policies::{
    Change, Snapshot, Verdict,
    facts::{Kind, Object, WorkloadKind},
};

/// Within so many sequences each of them has to be found out.
const SEQUENCES: u64 = 600;
/// Of so many that show it, the shortest is taken.
const ENOUGH: u64 = 3;
/// Operations that the shortest sequence may take to show it.
const SHORT: usize = 6;

/// One way to be broken.
#[derive(Clone, Copy, Debug)]
enum Broken {
    /// Says yes to everything.
    AllowsEverything,
    /// Does not look at the claims there are when it judges what mounts them.
    BlindToClaims,
    /// Does not judge the write that promises a volume to a claim.
    BlindToPromises,
    /// Takes whoever writes an ownerReference for a controller.
    BelievesReferences,
    /// Lets pass whatever a controller makes.
    TrustsControllers,
    /// Does that, and judges no scaling either: of a set with claims that wait under the names
    /// of its pods to come, whatever the controller makes is judged too.
    BlindToScale,
    /// Does not know who mounts a claim, nor who made a pod.
    BlindToWorkloads,
    /// Does not judge claims.
    BlindToNewClaims,
}

impl Guard for Broken {
    fn judge(&self, asked: &Asked<'_>) -> Verdict {
        let Asked { subject, scale, cluster, policy: _, now: _ } = asked;
        let object = subject.object();
        let by_controller = subject.user.starts_with("system:serviceaccount:kube-system:");
        let passes = match self {
            Self::AllowsEverything => true,
            Self::BlindToPromises => {
                matches!(&subject.change, Change::Update { new: Object::Volume(_), .. })
            }
            Self::TrustsControllers => by_controller,
            Self::BlindToScale => by_controller || *scale,
            Self::BlindToNewClaims => matches!(object, Object::Claim(_)),
            Self::BlindToClaims | Self::BelievesReferences | Self::BlindToWorkloads => false,
        };
        let mut without = Snapshot::clone(cluster);
        let mut believed = (*subject).clone();
        match self {
            Self::BlindToClaims if matches!(object, Object::Workload(_)) => {
                without.replace(Kind::Claim, []);
            }
            Self::BlindToWorkloads => {
                for kind in WorkloadKind::ALL {
                    without.replace(Kind::Workload(kind), []);
                }
            }
            Self::BelievesReferences if object.metadata().is_controlled() => {
                believed.user = "system:kube-controller-manager".into();
            }
            _ => {}
        }
        let asked = Asked { subject: &believed, cluster: &without, ..*asked };
        let mut verdict = Engine.judge(&asked);
        if passes {
            verdict.findings.clear();
        }
        verdict
    }
}

#[test]
fn every_broken_guard_is_found_out_by_a_short_sequence() {
    for broken in [
        Broken::AllowsEverything,
        Broken::BlindToClaims,
        Broken::BlindToPromises,
        Broken::BelievesReferences,
        Broken::TrustsControllers,
        Broken::BlindToWorkloads,
        Broken::BlindToNewClaims,
    ] {
        let report = model::search_until(ENOUGH, 1, SEQUENCES, &broken);
        let shortest = report.found.first();
        println!(
            "{broken:?}: {} of {} sequences\n{}\n",
            report.violations,
            report.ran.sequences,
            shortest.map(ToString::to_string).unwrap_or_default()
        );
        let short = shortest.is_some_and(|found| found.sequence.operations.len() <= SHORT);
        assert!(short, "{broken:?} is not found out by {SHORT} operations\n{report}");
    }
}

/// The pod that a scaling makes is judged too, so that no random sequence tells whether the
/// scaling was.
#[test]
fn a_scaling_is_judged_and_not_only_the_pod_that_comes_of_it() {
    let set = Named { kind: WorkloadKind::StatefulSet, namespace: "web".into(), name: "db".into() };
    let claim = Claim {
        namespace: "web".into(),
        name: "data-db-1".into(),
        class: ClassOf::Field("nfs".into()),
        volume: None,
        critical: false,
        size: 1,
    };
    let workload = Workload {
        object: set.clone(),
        replicas: 1,
        start: 0,
        label: Label::Object,
        volumes: vec![Source::Template(ClassOf::Field("disk".into()))],
        owner: Owner::None,
    };
    let class =
        |name: &str, makes| Class { name: name.into(), makes, default: false, waits: false };
    let sequence = Sequence {
        seed: 0,
        setting: Setting {
            strict: true,
            fails_closed: true,
            reverse_denies: true,
            scale_up_denies: false,
            knows_operator: false,
            classes: vec![class("nfs", Makes::Nfs), class("disk", Makes::Disks)],
        },
        operations: vec![
            Operation::InstallGuard,
            Operation::CreateClaim(claim),
            Operation::Apply(workload),
            Operation::Scale { object: set, replicas: 2 },
        ],
    };
    let run = |guard: &dyn Guard| model::run(&sequence, guard, &mut model::policy());
    assert_eq!(run(&Engine).map(|ran| ran.denied), Ok(1));
    assert!(run(&Broken::TrustsControllers).is_ok(), "the scaling is denied");
    assert_eq!(run(&Broken::BlindToScale).map_err(|violation| violation.after), Err(4));
}
