//! `StorageExemption`, the custom resource, as the apiserver stores and checks it.
//! What the engine reads of it is [`facts::Exemption`].
//!
//! [`facts::Exemption`]: nfs_guard_policies::facts::Exemption

use std::borrow::Cow;

use jiff::Timestamp;
use k8s_openapi::{
    NamespaceResourceScope,
    apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition,
};
use kube::{CustomResource, CustomResourceExt as _};
use nfs_guard_policies::rules::RULES;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};

/// Leave for one workload, or one claim, to use storage that a rule forbids, until a
/// day.
// What has a rule has a length: without one the apiserver would take the rule to cost
// too much, and refuse the definition.
#[expect(clippy::duplicated_attributes, reason = "several columns are of the same type")]
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, CustomResource, JsonSchema)]
#[kube(
    group = "nfs-guard.io",
    version = "v1alpha1",
    kind = "StorageExemption",
    plural = "storageexemptions",
    shortname = "stex",
    namespaced,
    derive = "PartialEq",
    doc = "Leave for workloads or claims of its namespace to use storage that a rule of nfs-guard forbids, until a day.",
    printcolumn(name = "Kind", type_ = "string", json_path = ".spec.target.kind"),
    printcolumn(name = "Target", type_ = "string", json_path = ".spec.target.name"),
    printcolumn(name = "Rules", type_ = "string", json_path = ".spec.rules"),
    // As a `date` it would be told as an age, and of a day to come that is `<invalid>`.
    printcolumn(name = "Expires", type_ = "string", json_path = ".spec.expiresAt"),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp"),
    printcolumn(name = "Reason", type_ = "string", json_path = ".spec.reason", priority = 1)
)]
#[serde(rename_all = "camelCase")]
pub struct StorageExemptionSpec {
    /// What is exempt.
    pub target: ExemptionTarget,
    /// The rules it is exempt from.
    #[schemars(length(min = 1, max = 16), extend("x-kubernetes-list-type" = "set"))]
    pub rules: Vec<RuleName>,
    /// Why it has to be this storage, for whoever reads it in a year.
    #[schemars(
        length(max = 1024),
        extend("x-kubernetes-validations" = [{
            "rule": "self.trim() != ''",
            "message": "is blank: say why it has to be this storage",
        }])
    )]
    pub reason: String,
    /// Where that was agreed on, such as the number of a ticket.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(
        length(max = 256),
        extend("x-kubernetes-validations" = [{
            "rule": "self.trim() != ''",
            "message": "is blank: name the ticket, or leave it out",
        }])
    )]
    pub ticket: Option<String>,
    /// When it ends; at the latest `exemptions.maxDays` of the guard's configuration
    /// after its creation. It stays as it was written: whoever needs more time writes another
    /// exemption.
    #[schemars(
        with = "String",
        extend("format" = "date-time", "examples" = ["2027-01-31T00:00:00Z"], "x-kubernetes-validations" = [{
            "rule": "self == oldSelf",
            "message": "cannot be changed: write another exemption",
        }])
    )]
    pub expires_at: Timestamp,
}

/// What an exemption is for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ExemptionTarget {
    /// Kind of the workload, or `PersistentVolumeClaim`.
    pub kind: TargetKind,
    /// Its name.
    pub name: NameGlob,
    /// The volumes that are exempt, as the pod calls them or by the claim it mounts. If
    /// it is left out, all are.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(
        length(min = 1, max = 32),
        extend("x-kubernetes-list-type" = "set", "examples" = [["dump", "vault-dumps"]])
    )]
    pub volumes: Vec<NameGlob>,
}

/// A kind that can be exempt: one that runs pods, or a claim.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum TargetKind {
    /// `apps/v1 StatefulSet`.
    StatefulSet,
    /// `apps/v1 Deployment`.
    Deployment,
    /// `apps/v1 DaemonSet`.
    DaemonSet,
    /// `apps/v1 ReplicaSet`.
    ReplicaSet,
    /// `v1 ReplicationController`.
    ReplicationController,
    /// `batch/v1 Job`.
    Job,
    /// `batch/v1 CronJob`.
    CronJob,
    /// `v1 Pod`.
    Pod,
    /// `v1 PersistentVolumeClaim`.
    PersistentVolumeClaim,
}

/// Name of a rule that knows exemptions.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct RuleName(pub String);

impl JsonSchema for RuleName {
    fn schema_name() -> Cow<'static, str> {
        "RuleName".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        let exempting = RULES.iter().filter(|rule| rule.can_be_exempted());
        let names: Vec<_> = exempting.map(|rule| rule.name()).collect();
        json_schema!({"type": "string", "enum": names})
    }
}

/// A name, or a glob of names.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct NameGlob(pub String);

impl JsonSchema for NameGlob {
    fn schema_name() -> Cow<'static, str> {
        "Glob".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        // The names of all these kinds are DNS subdomains, and so at most that long.
        json_schema!({
            "description": "A name in which `*` stands for any run of characters and `?` for one.",
            "type": "string",
            "maxLength": 253,
            "x-kubernetes-validations": [{
                "rule": "self.matches('^[a-z0-9.*?-]+$')",
                "message": "is no name: small letters, digits, '-' and '.', with * and ? as wildcards",
            }],
        })
    }
}

impl k8s_openapi::Resource for StorageExemption {
    const API_VERSION: &'static str = "nfs-guard.io/v1alpha1";
    const GROUP: &'static str = "nfs-guard.io";
    const KIND: &'static str = "StorageExemption";
    const VERSION: &'static str = "v1alpha1";
    const URL_PATH_SEGMENT: &'static str = "storageexemptions";
    type Scope = NamespaceResourceScope;
}

/// The definition that makes the apiserver take exemptions.
#[must_use]
pub fn definition() -> CustomResourceDefinition {
    StorageExemption::crd()
}

#[cfg(test)]
mod tests {
    use nfs_guard_policies::facts::{Exemption, Kind, Object, WorkloadKind};
    use serde_json::{Value, json};

    use super::*;

    fn schema() -> Value {
        let definition = serde_json::to_value(definition()).unwrap();
        definition["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"].clone()
    }

    #[test]
    fn the_engine_reads_what_is_stored() {
        let spec = StorageExemptionSpec {
            target: ExemptionTarget {
                kind: TargetKind::CronJob,
                name: NameGlob("vault-backup".into()),
                volumes: vec![NameGlob("dump".into()), NameGlob("vault-*".into())],
            },
            rules: vec![RuleName("critical-on-nfs".into())],
            reason: "nightly dumps go to the NAS".into(),
            ticket: Some("OPS-1742".into()),
            expires_at: "2027-01-31T00:00:00Z".parse().unwrap(),
        };
        let mut stored = serde_json::to_value(StorageExemption::new("dumps", spec)).unwrap();
        stored["metadata"]["namespace"] = json!("vault");
        stored["metadata"]["creationTimestamp"] = json!("2026-11-23T09:00:00Z");
        let Object::Exemption(read) = Object::read(Kind::Exemption, &stored).unwrap() else {
            panic!("no exemption: {stored}")
        };
        let Exemption { metadata, spec } = read;
        assert_eq!(metadata.namespace.as_deref(), Some("vault"));
        assert_eq!(metadata.creation_timestamp, Some("2026-11-23T09:00:00Z".parse().unwrap()));
        assert_eq!(
            (&*spec.target.kind, spec.target.name.to_string()),
            ("CronJob", "vault-backup".into())
        );
        let volumes: Vec<_> = spec.target.volumes.iter().map(ToString::to_string).collect();
        assert_eq!(volumes, ["dump", "vault-*"]);
        assert_eq!(spec.rules.iter().map(|rule| &**rule).collect::<Vec<_>>(), ["critical-on-nfs"]);
        assert_eq!(spec.ticket.as_deref(), Some("OPS-1742"));
        assert_eq!(spec.expires_at, Some("2027-01-31T00:00:00Z".parse().unwrap()));
    }

    #[test]
    fn the_chart_has_the_definition_as_it_is() {
        let path =
            concat!(env!("CARGO_MANIFEST_DIR"), "/../helm/nfs-guard/crds/storageexemptions.yaml");
        let text = serde_saphyr::to_string(&definition()).unwrap();
        if std::env::var_os("NFS_GUARD_RENEW").is_some() {
            std::fs::write(path, &text).unwrap();
        }
        let committed = std::fs::read_to_string(path).unwrap_or_default();
        assert!(committed == text, "stale; renew it by this test with NFS_GUARD_RENEW=1");
    }

    #[test]
    fn what_runs_pods_can_be_exempt_and_a_claim_too() {
        let mut kinds: Vec<&str> =
            WorkloadKind::ALL.into_iter().map(|kind| Kind::Workload(kind).as_str()).collect();
        kinds.push(Kind::Claim.as_str());
        assert_eq!(schema()["properties"]["target"]["properties"]["kind"]["enum"], json!(kinds));
    }

    #[test]
    fn only_what_is_denied_for_where_data_lies_can_be_exempt() {
        let rules = &schema()["properties"]["rules"]["items"]["enum"];
        assert_eq!(*rules, json!(["critical-on-nfs"]));
    }

    #[test]
    fn the_type_that_is_watched_is_the_one_that_is_defined() {
        use k8s_openapi::Resource as Watched;
        use kube::Resource as Defined;

        type Type = StorageExemption;
        assert_eq!(<Type as Watched>::API_VERSION, <Type as Defined>::api_version(&()));
        assert_eq!(<Type as Watched>::GROUP, <Type as Defined>::group(&()));
        assert_eq!(<Type as Watched>::VERSION, <Type as Defined>::version(&()));
        assert_eq!(<Type as Watched>::KIND, <Type as Defined>::kind(&()));
        assert_eq!(<Type as Watched>::URL_PATH_SEGMENT, <Type as Defined>::plural(&()));
        assert_eq!(Kind::Exemption.group(), <Type as Watched>::GROUP);
        assert_eq!(Kind::Exemption.as_str(), <Type as Watched>::KIND);
        assert_eq!(Kind::Exemption.resource(), <Type as Watched>::URL_PATH_SEGMENT);
    }
}
