//! The configuration as it is written: one file, every field with a default,
//! so that an empty one is a working policy.

use jiff::{Timestamp, civil::Date, tz::TimeZone};
use schemars::{JsonSchema, Schema};
use serde::{Deserialize, Deserializer, Serialize, de};
use serde_json::json;

use crate::{
    backing::Kind,
    catalogue::{Driver, named_drivers},
    facts::WorkloadKind,
    glob::Glob,
    rules::CRITICAL_LABEL,
    selector::{self, ConfiguredSelector, LabelSelector},
};

/// Configuration of nfs-guard.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct GuardConfig {
    /// Version of this form.
    pub api_version: ApiVersion,
    /// Name of this form.
    pub kind: ConfigKind,
    /// What is critical: whatever any one of these lists names.
    pub critical: Critical,
    /// Namespaces in which nothing is judged. A guard that serves a cluster always
    /// adds its own; `check` and `serve --embedded` do not.
    #[schemars(extend("examples" = [["kube-system", "ci-*"]]))]
    pub excluded_namespaces: Vec<Glob>,
    /// Drivers that the catalogue does not know, or knows otherwise. An entry for a
    /// name that is compiled in replaces what is known of it, whole.
    #[serde(deserialize_with = "named_drivers")]
    pub drivers: Vec<Driver>,
    /// The rules, each by its name.
    pub rules: Rules,
    /// What is borne with that was there before the guard.
    pub ratchet: Ratchet,
    /// What `StorageExemption` objects may grant.
    pub exemptions: Exemptions,
}

impl Default for GuardConfig {
    fn default() -> Self {
        Self {
            api_version: ApiVersion::default(),
            kind: ConfigKind::default(),
            critical: Critical::default(),
            excluded_namespaces: vec!["kube-system".into(), "kube-node-lease".into()],
            drivers: Vec::new(),
            rules: Rules::default(),
            ratchet: Ratchet::default(),
            exemptions: Exemptions::default(),
        }
    }
}

/// Versions of the configuration's form.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize, JsonSchema)]
pub enum ApiVersion {
    /// The only one so far.
    #[default]
    #[serde(rename = "nfs-guard.io/v1alpha1")]
    V1Alpha1,
}

/// Name of the configuration's form.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize, JsonSchema)]
pub enum ConfigKind {
    /// The only one.
    #[default]
    GuardConfig,
}

/// What is critical. Labels on objects are opt-in, not a control: who may edit
/// an object may drop them. What binds is the namespace and this file.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Critical {
    /// Selectors on the labels of the object, of its pod template, or of a `CronJob`'s
    /// job template.
    #[serde(deserialize_with = "selector::configured")]
    #[schemars(with = "Vec<ConfiguredSelector>")]
    #[schemars(extend("examples" = [[{"matchLabels": {"tier": "db"}}]]))]
    pub object_selectors: Vec<LabelSelector>,
    /// Selectors on the labels of the object's namespace.
    #[serde(deserialize_with = "selector::configured")]
    #[schemars(with = "Vec<ConfiguredSelector>")]
    #[schemars(extend("examples" = [[{"matchExpressions": [{"key": "tier", "operator": "In", "values": ["db", "queue"]}]}]]))]
    pub namespace_selectors: Vec<LabelSelector>,
    /// Namespaces by name; `["*"]` makes everything critical.
    #[schemars(extend("examples" = [["vault", "db-*"]]))]
    pub namespaces: Vec<Glob>,
    /// Priority classes by name, as the pod or the pod template names them. Kubernetes
    /// writes a cluster-wide default class into pods, not into templates.
    #[schemars(extend("examples" = [["system-*"]]))]
    pub priority_classes: Vec<Glob>,
    /// What is not critical even so.
    pub except: Vec<Exception>,
}

impl Default for Critical {
    fn default() -> Self {
        let label = || vec![LabelSelector::label(CRITICAL_LABEL, "true")];
        Self {
            object_selectors: label(),
            namespace_selectors: label(),
            namespaces: Vec::new(),
            priority_classes: Vec::new(),
            except: Vec::new(),
        }
    }
}

/// What is not critical, whatever else says that it is. It excuses the workloads it
/// names, and what controllers make of them, for the claims it names; never another
/// consumer of such a claim.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Exception {
    /// Kinds of workload; none named means all.
    #[serde(default)]
    #[schemars(extend("examples" = [["CronJob", "Job"]]))]
    pub kinds: Vec<WorkloadKind>,
    /// Names of workloads; none named means all.
    #[serde(default)]
    #[schemars(extend("examples" = [["*-backup"]]))]
    pub names: Vec<Glob>,
    /// Names of the claims whose use is excused, and which may be made on NFS; none
    /// named means that the workload is not critical at all.
    #[serde(default)]
    #[schemars(extend("examples" = [["*-backup*"]]))]
    pub claims: Vec<Glob>,
    /// Why; told wherever it is made use of.
    #[schemars(extend("examples" = ["nightly dumps go to NFS"]))]
    pub reason: String,
}

/// The rules, each by its name.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct Rules {
    /// No critical workload on NFS.
    pub critical_on_nfs: CriticalOnNfs,
    /// No walk over every file of a volume at each mount.
    pub fs_group_change_policy: FsGroupChangePolicy,
}

/// Settings of the rule `critical-on-nfs`.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct CriticalOnNfs {
    /// What a finding leads to: `enforce` denies, `warn` allows with a warning,
    /// `audit` allows and records, `off` asks nothing.
    pub mode: Mode,
    /// What a volume leads to whose storage the API objects do not decide; never more
    /// than `mode` would.
    pub on_unknown: OnUnknown,
    /// What a `StorageClass` or `PersistentVolume` leads to that turns other, existing
    /// critical objects to NFS; never more than `mode` would. A namespace that becomes
    /// critical is only ever warned about.
    pub reverse: Reverse,
    /// The kinds of storage that are forbidden. An empty list forbids nothing.
    #[schemars(extend("examples" = [["nfs", "other-network-fs"]]))]
    pub forbid: Vec<Forbidden>,
}

impl Default for CriticalOnNfs {
    fn default() -> Self {
        Self {
            mode: Mode::Enforce,
            on_unknown: OnUnknown::Warn,
            reverse: Reverse::Warn,
            forbid: vec![Forbidden::Nfs],
        }
    }
}

/// Settings of the rule `fs-group-change-policy`.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct FsGroupChangePolicy {
    /// What a missing policy leads to: `enforce` adds it and warns that it did, `warn`
    /// only warns, `audit` only records, `off` asks nothing. Nothing is ever denied for it.
    pub mode: Mode,
    /// The volumes for whose sake the policy is added: `persistent`, all where it can
    /// matter, or `nfs`, of these only those on NFS.
    pub scope: FsGroupScope,
    /// What it is added to: `pods` as they are created, the pod `templates` of workloads.
    /// What is not named is not warned about either, except by `check`.
    #[schemars(extend("examples" = [["pods"]]))]
    pub inject: Vec<Inject>,
}

impl Default for FsGroupChangePolicy {
    fn default() -> Self {
        Self {
            mode: Mode::Enforce,
            scope: FsGroupScope::Persistent,
            inject: vec![Inject::Pods, Inject::Templates],
        }
    }
}

/// The volumes for whose sake `fsGroupChangePolicy` is added.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum FsGroupScope {
    /// Every persistent volume on which it can matter.
    Persistent,
    /// Only those on NFS.
    Nfs,
}

/// The objects `fsGroupChangePolicy` is added to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Inject {
    /// Pods, as they are created.
    Pods,
    /// The pod templates of workloads.
    Templates,
}

/// What a rule's finding leads to.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "lowercase")]
#[schemars(transform = off_is_false)]
pub enum Mode {
    /// The rule is not asked. YAML 1.1, which Helm writes, takes a bare `off`
    /// for `false`.
    #[serde(alias = "false")]
    Off,
    /// The write is allowed and recorded.
    Audit,
    /// The write is allowed with a warning.
    Warn,
    /// The write is denied.
    Enforce,
}

/// Adds to the schema of [`Mode`] what a bare `off` is where YAML 1.1 is read: a
/// validator sees the value after that.
fn off_is_false(schema: &mut Schema) {
    if let Some(modes) = schema.get_mut("oneOf").and_then(|modes| modes.as_array_mut()) {
        modes.push(json!({"description": "A bare `off`, as YAML 1.1 takes it.", "const": false}));
    }
}

/// What a volume of unknown backing leads to; never more than the rule's mode.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum OnUnknown {
    /// The write is allowed.
    Allow,
    /// The write is allowed with a warning.
    Warn,
    /// The write is denied.
    Deny,
}

/// What a write leads to that turns others to NFS.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Reverse {
    /// Nobody looks.
    Allow,
    /// The write is allowed with a warning that names them.
    Warn,
    /// The write is denied.
    Deny,
}

/// What is borne with that was on NFS before the guard came, or that is made after a
/// spec which was.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Ratchet {
    /// What it leads to that a workload which is on NFS gets more replicas.
    pub scale_up: ScaleUp,
    /// When it ends: a day (`2027-01-31`, from its first second in UTC) or a time. From
    /// then on what was borne with is judged as if it were new.
    #[serde(deserialize_with = "day_or_time")]
    #[schemars(with = "Option<String>", extend("examples" = ["2027-01-31"]))]
    pub until: Option<Timestamp>,
    /// What was there before this time is old; absent means the time the guard was
    /// installed, which a guard that serves a cluster reads from its webhook configuration.
    #[serde(deserialize_with = "day_or_time")]
    #[schemars(with = "Option<String>", extend("examples" = ["2026-04-22T09:00:00Z"]))]
    pub since: Option<Timestamp>,
    /// Users, beside Kubernetes' own controllers, that make objects after the spec of an
    /// owner of a kind the guard cannot read: operators.
    #[schemars(extend("examples" = [["system:serviceaccount:cnpg-system:cnpg-manager"]]))]
    pub controllers: Vec<Glob>,
}

/// What it leads to that a workload which is on NFS gets more replicas.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum ScaleUp {
    /// The write is allowed with a warning.
    #[default]
    Warn,
    /// The write is denied.
    Deny,
}

/// What `StorageExemption` objects may grant.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Exemptions {
    /// Days after its creation at which an exemption ends at the latest.
    pub max_days: u16,
    /// Whether one without a ticket counts for nothing.
    pub require_ticket: bool,
}

impl Default for Exemptions {
    fn default() -> Self {
        Self { max_days: 90, require_ticket: false }
    }
}

/// A time, or a day for its first second.
fn day_or_time<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Timestamp>, D::Error> {
    let Some(text) = Option::<String>::deserialize(deserializer)? else { return Ok(None) };
    let time = text.parse::<Timestamp>().or_else(|_| {
        let day = text.parse::<Date>()?;
        day.to_zoned(TimeZone::UTC).map(|start| start.timestamp())
    });
    let refused = |_| de::Error::custom(format!("`{text}` is no day and no time of RFC 3339"));
    time.map(Some).map_err(refused)
}

/// The kinds of storage that can be forbidden.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Forbidden {
    /// NFS.
    Nfs,
    /// Any other network filesystem: SMB, CephFS and the like.
    OtherNetworkFs,
}

impl Forbidden {
    /// Whether a volume on `kind` is meant.
    #[must_use]
    pub fn covers(self, kind: Kind) -> bool {
        match self {
            Self::Nfs => kind == Kind::Nfs,
            Self::OtherNetworkFs => kind == Kind::OtherNetworkFs,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_empty_configuration_is_a_working_policy() {
        let config: GuardConfig = serde_json::from_str("{}").unwrap();
        assert_eq!(config.rules.critical_on_nfs.mode, Mode::Enforce);
        assert_eq!(config.critical.object_selectors.len(), 1);
        assert!(config.excluded_namespaces.iter().any(|glob| glob.matches("kube-system")));
    }

    #[test]
    fn the_schema_takes_every_spelling_of_a_mode() {
        let schema = schemars::schema_for!(Mode);
        let modes = schema.get("oneOf").and_then(|modes| modes.as_array()).unwrap();
        let spelled: Vec<_> = modes.iter().map(|mode| mode["const"].clone()).collect();
        assert_eq!(json!(spelled), json!(["off", "audit", "warn", "enforce", false]));
    }

    #[test]
    fn refuses_what_it_does_not_know() {
        for json in [
            r#"{"rule": {}}"#,
            r#"{"rules": {"critical-on-nfs": {"mode": "deny"}}}"#,
            r#"{"rules": {"critical-on-nfs": {"forbid": ["block"]}}}"#,
            r#"{"apiVersion": "nfs-guard.io/v2"}"#,
            r#"{"drivers": [{"names": ["x"], "otherwise": "nfs", "case": []}]}"#,
            r#"{"drivers": [{"otherwise": "nfs"}]}"#,
            r#"{"drivers": [{"patterns": ["("], "otherwise": "nfs"}]}"#,
            r#"{"drivers": [{"names": ["x"], "otherwise": "nfs", "cases": [{"when": {"fsType": []}, "backing": "nfs"}]}]}"#,
            r#"{"drivers": [{"names": ["x"], "otherwise": "nfs", "takesFsGroup": "yes"}]}"#,
        ] {
            assert!(serde_json::from_str::<GuardConfig>(json).is_err(), "{json}");
        }
    }
}
