//! Sequences in which what matters happens often: each draws all of its objects from few
//! names, so that they meet.

use fastrand::Rng;
use nfs_guard_policies::facts::WorkloadKind::{self, CronJob, Deployment, Job, Pod, StatefulSet};

use super::{
    Sequence, Setting,
    operation::{
        Claim, Class, ClassOf, Exemption, Label, Makes, Named, Operation, Owner, Source, Volume,
        Workload,
    },
};

const WORKLOADS: [(WorkloadKind, &str); 7] = [
    (StatefulSet, "db"),
    (StatefulSet, "db"),
    (StatefulSet, "kv"),
    (Deployment, "app"),
    (Job, "load"),
    (CronJob, "dump"),
    (Pod, "p"),
];
const CLAIMS: [&str; 6] = ["data-db-0", "data-db-1", "data-db-2", "data-kv-0", "p-data", "shared"];
const VOLUMES: [&str; 3] = ["pv-a", "pv-b", "pv-c"];
/// A class string that no class has.
const MADE_UP: &str = "manual";

/// The sequence of that seed.
pub(super) fn sequence(seed: u64) -> Sequence {
    let mut rng = Rng::with_seed(seed);
    let setting = setting(&mut rng);
    let palette = Palette::draw(&mut rng, &setting);
    let length = rng.usize(20..=40);
    let before = if setting.strict || rng.bool() { 0 } else { rng.usize(1..=8) };
    let mut operations = Vec::with_capacity(length + 2);
    while operations.len() < length {
        if operations.len() == before {
            operations.push(Operation::InstallGuard);
        }
        operations.push(palette.operation(&mut rng));
    }
    // Nobody is down for ever: what it missed has to be found, and what waits to go on.
    operations.push(Operation::GuardUp);
    Sequence { seed, setting, operations }
}

/// The sequence of that seed which others can be done beside in one cluster: a strict one
/// that leaves alone what all of them see.
pub(super) fn shareable(seed: u64) -> Sequence {
    let mut rng = Rng::with_seed(seed);
    let mut setting = Setting { strict: true, knows_operator: false, ..setting(&mut rng) };
    setting.reverse_denies = false;
    for class in &mut setting.classes {
        class.default = false;
    }
    let palette = Palette::draw(&mut rng, &setting);
    let length = rng.usize(12..=24);
    let drawn = std::iter::repeat_with(|| palette.operation(&mut rng));
    let operations = drawn.filter(|operation| !matches!(operation, Operation::CreateExemption(_)));
    Sequence { seed, setting, operations: operations.take(length).collect() }
}

fn setting(rng: &mut Rng) -> Setting {
    let class = |rng: &mut Rng, name: &str, makes, default, waits| Class {
        name: name.into(),
        makes,
        default,
        waits: waits && rng.bool(),
    };
    let default_on_nfs = rng.bool();
    let has_default = rng.u8(..5) > 0;
    let mut classes = vec![
        class(rng, "nfs", Makes::Nfs, has_default && default_on_nfs, true),
        class(rng, "disk", Makes::Disks, has_default && !default_on_nfs, true),
    ];
    if rng.bool() {
        classes.push(class(rng, "static", Makes::Nothing, false, true));
    }
    let strict = rng.u8(..5) < 3;
    Setting {
        strict,
        fails_closed: rng.bool(),
        reverse_denies: rng.bool(),
        scale_up_denies: rng.u8(..4) == 0,
        knows_operator: !strict && rng.bool(),
        classes,
    }
}

/// What one sequence is made of.
struct Palette {
    strict: bool,
    classes_change: bool,
    namespaces: Vec<&'static str>,
    workloads: Vec<(WorkloadKind, &'static str, Label)>,
    claims: Vec<&'static str>,
    volumes: Vec<&'static str>,
    class_names: Vec<&'static str>,
}

impl Palette {
    fn draw(rng: &mut Rng, setting: &Setting) -> Self {
        let namespaces = match rng.u8(..4) {
            0 => vec!["vault"],
            1 => vec!["web"],
            _ => vec!["vault", "web"],
        };
        let label = |rng: &mut Rng| match rng.u8(..4) {
            0 => Label::None,
            1 => Label::Template,
            _ => Label::Object,
        };
        let mut workloads: Vec<(WorkloadKind, &'static str, Label)> = Vec::new();
        for _ in 0..rng.usize(1..=3) {
            let (kind, name) = one_of(rng, &WORKLOADS);
            if !workloads.iter().any(|(_, known, _)| *known == name) {
                workloads.push((kind, name, label(rng)));
            }
        }
        let fits = |claim: &&str| {
            let own = |name: &str| workloads.iter().any(|(_, known, _)| *known == name);
            match *claim {
                "data-kv-0" => own("kv"),
                "p-data" => own("p"),
                claim if claim.starts_with("data-db") => own("db"),
                _ => true,
            }
        };
        let claims = CLAIMS.into_iter().filter(fits).collect();
        let mut class_names = vec!["nfs", "disk", ""];
        class_names
            .extend(setting.classes.iter().any(|class| class.name == "static").then_some("static"));
        class_names.extend(rng.bool().then_some(MADE_UP));
        Self {
            strict: setting.strict,
            classes_change: !setting.strict || setting.reverse_denies,
            namespaces,
            workloads,
            claims,
            volumes: VOLUMES[..rng.usize(1..=3)].to_vec(),
            class_names,
        }
    }

    fn operation(&self, rng: &mut Rng) -> Operation {
        loop {
            let operation = match rng.u8(..100) {
                0..24 => Operation::Apply(self.workload(rng)),
                24..33 => Operation::Scale { object: self.named(rng), replicas: rng.u8(0..=3) },
                33..38 => Operation::DeleteWorkload {
                    object: self.named(rng),
                    orphan: !self.strict && rng.bool(),
                },
                38..44 => Operation::DeletePodOf(self.named(rng)),
                44..58 => Operation::CreateClaim(self.claim(rng)),
                58..62 => Operation::DeleteClaim {
                    namespace: self.namespace(rng),
                    name: one_of(rng, &self.claims).into(),
                },
                62..66 => Operation::SetVolumeName {
                    namespace: self.namespace(rng),
                    claim: one_of(rng, &self.claims).into(),
                    volume: one_of(rng, &self.volumes).into(),
                },
                66..76 => Operation::CreateVolume(self.volume(rng)),
                76..78 => Operation::DeleteVolume(one_of(rng, &self.volumes).into()),
                78..82 => Operation::SetClaimRef {
                    volume: one_of(rng, &self.volumes).into(),
                    claim: (rng.u8(..3) > 0).then(|| self.claim_key(rng)),
                },
                82..89 if self.classes_change => Self::class_change(rng),
                89..92 => Operation::CreateExemption(self.exemption(rng)),
                92..94 => {
                    Operation::LabelNamespace { namespace: self.namespace(rng), critical: false }
                }
                94..100 if !self.strict => self.lets_it(rng),
                _ => continue,
            };
            return operation;
        }
    }

    /// What may let a critical pod onto NFS, or make one of it that is there.
    fn lets_it(&self, rng: &mut Rng) -> Operation {
        match rng.u8(..7) {
            0 => Operation::GuardDown,
            1 | 2 => Operation::GuardUp,
            3 => Operation::LabelNamespace { namespace: self.namespace(rng), critical: true },
            4 => Operation::LabelObject { object: self.named(rng), critical: rng.bool() },
            5 => {
                Operation::DeleteExemption { namespace: self.namespace(rng), name: "leave".into() }
            }
            _ => Operation::Wait { hours: one_of(rng, &[1, 30, 24 * 100]) },
        }
    }

    fn namespace(&self, rng: &mut Rng) -> String {
        one_of(rng, &self.namespaces).into()
    }

    fn named(&self, rng: &mut Rng) -> Named {
        let (kind, name, _) = one_of(rng, &self.workloads);
        Named { kind, namespace: self.namespace(rng), name: name.into() }
    }

    fn claim_key(&self, rng: &mut Rng) -> (String, String) {
        (self.namespace(rng), one_of(rng, &self.claims).into())
    }

    fn workload(&self, rng: &mut Rng) -> Workload {
        let (kind, name, label) = one_of(rng, &self.workloads);
        let object = Named { kind, namespace: self.namespace(rng), name: name.into() };
        let volumes = (0..rng.usize(1..=2)).map(|_| self.source(rng, kind)).collect();
        let label = if self.strict || rng.u8(..4) > 0 { label } else { Label::None };
        let owner = match (kind, rng.u8(..4)) {
            (Pod, 0) => Owner::Operator,
            (Pod, 1) => match one_of(rng, &self.workloads) {
                (Pod, ..) => Owner::None,
                (kind, name, _) => Owner::Forged(kind, name.into()),
            },
            _ => Owner::None,
        };
        let start = if kind == StatefulSet && rng.u8(..4) == 0 { rng.u8(1..=2) } else { 0 };
        Workload { object, replicas: rng.u8(0..=2), start, label, volumes, owner }
    }

    fn source(&self, rng: &mut Rng, kind: WorkloadKind) -> Source {
        match rng.u8(..8) {
            0 => Source::Nfs,
            1..4 => Source::Claim(one_of(rng, &self.claims).into()),
            4 => Source::Ephemeral(self.class_of(rng)),
            _ if kind == StatefulSet => Source::Template(self.class_of(rng)),
            _ => Source::Ephemeral(self.class_of(rng)),
        }
    }

    fn class_of(&self, rng: &mut Rng) -> ClassOf {
        match rng.u8(..8) {
            0..3 => ClassOf::Default,
            3 => ClassOf::Annotation(one_of(rng, &self.class_names).into()),
            4 | 5 => ClassOf::Field("disk".into()),
            _ => ClassOf::Field(one_of(rng, &self.class_names).into()),
        }
    }

    fn claim(&self, rng: &mut Rng) -> Claim {
        let (namespace, name) = self.claim_key(rng);
        Claim {
            namespace,
            name,
            class: self.class_of(rng),
            volume: (rng.u8(..6) == 0).then(|| one_of(rng, &self.volumes).into()),
            critical: rng.u8(..8) == 0,
            size: rng.u8(1..=2),
        }
    }

    fn volume(&self, rng: &mut Rng) -> Volume {
        let nfs = rng.u8(..3) > 0;
        let mut class = one_of(rng, &self.class_names);
        // Who of several claims takes a disk of a class that makes NFS is not decided when
        // they are admitted, and the others are made volumes on NFS.
        if self.strict && !nfs && ["nfs", "disk"].contains(&class) {
            class = "";
        }
        Volume {
            name: one_of(rng, &self.volumes).into(),
            nfs,
            class: class.into(),
            claim: (rng.u8(..3) == 0).then(|| self.claim_key(rng)),
            size: rng.u8(1..=3),
        }
    }

    fn class_change(rng: &mut Rng) -> Operation {
        let class: String = one_of(rng, &["nfs", "disk", "other"]).into();
        match rng.u8(..4) {
            0 => Operation::DeleteClass(class),
            1 => Operation::SetDefault { class, default: rng.bool() },
            _ => Operation::CreateClass(Class {
                name: class,
                makes: one_of(rng, &[Makes::Nfs, Makes::Nfs, Makes::Disks, Makes::Nothing]),
                default: rng.bool(),
                waits: rng.bool(),
            }),
        }
    }

    fn exemption(&self, rng: &mut Rng) -> Exemption {
        let (kind, name, _) = one_of(rng, &self.workloads);
        // Longer than any strict sequence takes.
        let hours = if self.strict { 24 * 60 } else { one_of(rng, &[1, 24 * 10, 24 * 200]) };
        Exemption {
            namespace: self.namespace(rng),
            name: "leave".into(),
            kind,
            target: if rng.u8(..4) == 0 { format!("{}*", &name[..1]) } else { name.into() },
            volume: rng.bool().then(|| one_of(rng, &["data", "log", "shared"]).into()),
            hours,
        }
    }
}

fn one_of<T: Clone>(rng: &mut Rng, choices: &[T]) -> T {
    choices[rng.usize(..choices.len())].clone()
}
