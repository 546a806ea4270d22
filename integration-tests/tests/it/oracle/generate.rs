//! Clusters in which what matters happens often: each draws all of its objects
//! from few values, so that they meet.

use fastrand::Rng;
use serde_json::{Map, Value, json};

use super::Question;

const LEGACY_CLASS: &str = "volume.beta.kubernetes.io/storage-class";
const CLASSES: [&str; 4] = ["archive", "fast", "nfs", "standard"];
const MODES: [&str; 4] = ["ReadWriteOnce", "ReadOnlyMany", "ReadWriteMany", "ReadWriteOncePod"];
/// All of them valid, many of them equal.
const SIZES: [&str; 24] = [
    "0",
    "100m",
    "1e9",
    "1E9",
    "1.0e9",
    "1G",
    "1000M",
    "1000000k",
    "1500M",
    "0.5Gi",
    ".5Gi",
    "512Mi",
    "1Gi",
    "1.Gi",
    "+1Gi",
    "1024Mi",
    "1073741824",
    "1073741824000m",
    "1.5Gi",
    "1610612736",
    "2Gi",
    "3Ti",
    "7Ei",
    "9Ei",
];

/// The question of that seed.
pub(super) fn question(seed: u64) -> Question {
    let mut rng = Rng::with_seed(seed);
    let palette = Palette::draw(&mut rng);
    let volumes = rng.usize(..=8);
    let volumes = (0..volumes).map(|n| palette.volume(&mut rng, n)).collect();
    let mut names = CLASSES;
    rng.shuffle(&mut names);
    let classes = rng.usize(..=6).min(names.len());
    let classes = names[..classes].iter().map(|name| class(&mut rng, name)).collect();
    let (claim, claims) = palette.claim(&mut rng);
    let mut nodes = vec![json!({})];
    match palette.affinity {
        Affinity::None => {}
        Affinity::OwnNode => nodes.extend((0..8).map(|n| json!({"host": volume_name(n)}))),
        Affinity::Zone => nodes.extend(["a", "b"].map(|zone| json!({"zone": zone}))),
    }
    let own_nodes = palette.affinity != Affinity::Zone;
    Question { claim, claims, volumes, classes, nodes, own_nodes, all_seen: false }
}

/// What one cluster is made of.
struct Palette {
    class_names: Vec<&'static str>,
    sizes: Vec<Value>,
    access_modes: Vec<Value>,
    volume_modes: Vec<Value>,
    attributes_classes: Vec<Value>,
    affinity: Affinity,
}

/// Which nodes the cluster's volumes may require.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Affinity {
    None,
    OwnNode,
    Zone,
}

impl Palette {
    fn draw(rng: &mut Rng) -> Self {
        Self {
            class_names: several(rng, 2, |rng| match rng.u8(..6) {
                0 => "",
                1 => "of-no-object",
                _ => one_of(rng, &CLASSES),
            }),
            sizes: several(rng, 3, size),
            access_modes: several(rng, 3, access_modes),
            volume_modes: one_of(
                rng,
                &[
                    vec![json!(null), json!("Filesystem")],
                    vec![json!("Block")],
                    vec![json!(null), json!("Filesystem"), json!("Block")],
                ],
            ),
            attributes_classes: one_of(
                rng,
                &[
                    vec![json!(null), json!("")],
                    vec![json!("gold")],
                    vec![json!(null), json!("gold"), json!("silver")],
                ],
            ),
            affinity: one_of(
                rng,
                &[Affinity::None, Affinity::OwnNode, Affinity::OwnNode, Affinity::Zone],
            ),
        }
    }

    /// A claim, or a template that so many are made of.
    fn claim(&self, rng: &mut Rng) -> (Value, u64) {
        let template = one_in(rng, 4);
        let name =
            if template { json!({"generateName": "data-"}) } else { json!({"name": "data"}) };
        let mut claim = json!({"metadata": name, "spec": {}});
        let metadata = &mut claim["metadata"];
        metadata["namespace"] = "here".into();
        if !one_in(rng, 8) {
            metadata["uid"] = "of-data".into();
        }
        let mut annotations = Map::new();
        if one_in(rng, 6) {
            annotations.insert(LEGACY_CLASS.into(), self.class_name(rng).into());
        }
        if one_in(rng, 16) {
            annotations.insert("volume.kubernetes.io/selected-node".into(), "worker".into());
        }
        if !annotations.is_empty() || one_in(rng, 8) {
            metadata["annotations"] = annotations.into();
        }
        let spec = &mut claim["spec"];
        spec["accessModes"] = one_of(rng, &self.access_modes);
        if let Some(modes) = spec["accessModes"].as_array_mut().filter(|_| one_in(rng, 2)) {
            modes.truncate(1);
        }
        if !one_in(rng, 16) {
            spec["resources"] = json!({"requests": {"storage": one_of(rng, &self.sizes)}});
        }
        if !one_in(rng, 3) {
            spec["storageClassName"] = self.class_name(rng).into();
        } else if one_in(rng, 4) {
            spec["storageClassName"] = Value::Null;
        }
        if one_in(rng, 4) {
            spec["selector"] = selector(rng);
        }
        self.add_modes(rng, spec);
        (claim, if template { rng.u64(1..=3) } else { 1 })
    }

    fn volume(&self, rng: &mut Rng, n: usize) -> Value {
        let mut volume = json!({"metadata": {"name": volume_name(n)}, "spec": {}});
        let metadata = &mut volume["metadata"];
        if one_in(rng, 8) {
            metadata["annotations"] = json!({LEGACY_CLASS: self.class_name(rng)});
        }
        if one_in(rng, 14) {
            metadata["deletionTimestamp"] = "2026-03-01T00:00:00Z".into();
        }
        let mut labels = Map::new();
        for key in ["app", "tier"] {
            if !one_in(rng, 3) {
                labels.insert(key.into(), one_of(rng, &["x", "y", ""]).into());
            }
        }
        if !labels.is_empty() {
            metadata["labels"] = labels.into();
        }
        let spec = &mut volume["spec"];
        spec["accessModes"] = one_of(rng, &self.access_modes);
        if !one_in(rng, 32) {
            spec["capacity"] = json!({"storage": one_of(rng, &self.sizes)});
        }
        if !one_in(rng, 8) {
            spec["storageClassName"] = self.class_name(rng).into();
        }
        if one_in(rng, 5) {
            spec["claimRef"] = claim_ref(rng);
        }
        self.add_modes(rng, spec);
        if one_in(rng, 2)
            && let Some(affinity) = self.affinity(rng, n)
        {
            spec["nodeAffinity"] = affinity;
        }
        if !one_in(rng, 16) {
            let phase = match rng.u8(..4) {
                0 => one_of(rng, &["Pending", "Bound", "Released", "Failed", ""]),
                _ => "Available",
            };
            volume["status"] = json!({"phase": phase});
        }
        volume
    }

    fn affinity(&self, rng: &mut Rng, n: usize) -> Option<Value> {
        if one_in(rng, 6) {
            return Some(one_of(rng, &[json!({}), json!(null), json!({"required": null})]));
        }
        let own = json!({"matchExpressions": [{"key": "host", "operator": "In", "values": [volume_name(n)]}]});
        let terms = match self.affinity {
            Affinity::None => return None,
            Affinity::OwnNode => one_of(rng, &[vec![own.clone()], vec![json!({}), own]]),
            Affinity::Zone => several(rng, 2, |rng| match rng.u8(..8) {
                0 => json!({}),
                _ => {
                    json!({"matchExpressions": several(rng, 2, |rng| requirement(rng, "zone", &["a", "b"]))})
                }
            }),
        };
        Some(json!({"required": {"nodeSelectorTerms": terms}}))
    }

    fn add_modes(&self, rng: &mut Rng, spec: &mut Value) {
        for (key, values) in [
            ("volumeMode", &self.volume_modes),
            ("volumeAttributesClassName", &self.attributes_classes),
        ] {
            let value = one_of(rng, values);
            if !value.is_null() || one_in(rng, 4) {
                spec[key] = value;
            }
        }
    }

    fn class_name(&self, rng: &mut Rng) -> &'static str {
        one_of(rng, &self.class_names)
    }
}

fn class(rng: &mut Rng, name: &str) -> Value {
    let mut class = json!({"metadata": {"name": name}, "provisioner": "nfs.csi.k8s.io"});
    let mut annotations = Map::new();
    for key in [
        "storageclass.kubernetes.io/is-default-class",
        "storageclass.beta.kubernetes.io/is-default-class",
    ] {
        if one_in(rng, 2) {
            annotations
                .insert(key.into(), one_of(rng, &["true", "true", "True", "false", ""]).into());
        }
    }
    if !annotations.is_empty() {
        class["metadata"]["annotations"] = annotations.into();
    }
    // The first two are the same moment.
    class["metadata"]["creationTimestamp"] = one_of(
        rng,
        &[
            json!("2026-01-01T00:00:00Z"),
            json!("2026-01-01T01:00:00+01:00"),
            json!("2026-01-01T00:00:01Z"),
            json!("1965-01-01T00:00:00Z"),
            json!(null),
        ],
    );
    if !one_in(rng, 3) {
        class["volumeBindingMode"] = one_of(
            rng,
            &[
                json!("WaitForFirstConsumer"),
                json!("WaitForFirstConsumer"),
                json!("Immediate"),
                json!(null),
            ],
        );
    }
    class
}

fn claim_ref(rng: &mut Rng) -> Value {
    let mut claim_ref = json!({
        "namespace": one_of(rng, &["here", "here", "here", "there"]),
        "name": one_of(rng, &["data", "data", "data", "logs"]),
    });
    match rng.u8(..6) {
        0 => claim_ref["uid"] = "of-another".into(),
        1 => claim_ref["uid"] = "".into(),
        2 | 3 => claim_ref["uid"] = "of-data".into(),
        _ => {}
    }
    claim_ref
}

fn selector(rng: &mut Rng) -> Value {
    let mut selector = json!({});
    if one_in(rng, 2) {
        selector["matchLabels"] =
            json!({one_of(rng, &["app", "tier"]): one_of(rng, &["x", "y", ""])});
    }
    if one_in(rng, 2) {
        let requirements = several(rng, 2, |rng| {
            let key = one_of(rng, &["app", "tier", "zone"]);
            requirement(rng, key, &["x", "y", ""])
        });
        selector["matchExpressions"] = requirements.into();
    }
    selector
}

fn requirement(rng: &mut Rng, key: &str, values: &[&str]) -> Value {
    let operator = one_of(rng, &["In", "NotIn", "Exists", "DoesNotExist"]);
    let mut requirement = json!({"key": key, "operator": operator});
    if operator.ends_with("In") {
        requirement["values"] = several(rng, 2, |rng| one_of(rng, values)).into();
    }
    requirement
}

/// One that is listed, a number, or any other.
fn size(rng: &mut Rng) -> Value {
    match rng.u8(..8) {
        0 => json!(1_u64 << 30),
        1 => {
            let unit = one_of(
                rng,
                &["n", "u", "m", "", "k", "M", "G", "Ki", "Mi", "Gi", "e3", "E+2", "e-4"],
            );
            let (whole, digits) = (rng.u32(..), rng.usize(..12));
            format!("{whole}.{:0digits$}{unit}", rng.u32(..)).into()
        }
        _ => one_of(rng, &SIZES).into(),
    }
}

/// A list of them that may name one twice, as a claim's and a volume's can.
fn access_modes(rng: &mut Rng) -> Value {
    several(rng, 3, |rng| one_of(rng, &MODES)).into()
}

fn volume_name(n: usize) -> String {
    format!("pv-{n}")
}

fn one_in(rng: &mut Rng, n: u32) -> bool {
    rng.u32(..n) == 0
}

fn one_of<T: Clone>(rng: &mut Rng, values: &[T]) -> T {
    values[rng.usize(..values.len())].clone()
}

/// Between one and `most`.
fn several<T>(rng: &mut Rng, most: usize, mut draw: impl FnMut(&mut Rng) -> T) -> Vec<T> {
    let n = rng.usize(1..=most);
    (0..n).map(|_| draw(rng)).collect()
}
