//! The objects of a walk, as they are and as they were.

use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::Secret;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;

use crate::ServerNames;
use crate::ca_bundle::{Configuration, Entries};
use crate::rotator::view::Moment;

/// The Secret and the configurations.
pub(super) struct Cluster {
    /// Seconds since the walk began.
    pub(super) now: u64,
    pub(super) versions: u64,
    pub(super) secrets: Vec<Version<Secret>>,
    pub(super) configurations: Vec<(Configuration, Vec<Version<Vec<Entry>>>)>,
}

/// An object as it was from then on.
pub(super) struct Version<T> {
    pub(super) since: u64,
    pub(super) number: u64,
    pub(super) object: T,
}

/// A webhook entry: its name, and the bundle it carries, if any.
pub(super) type Entry = (String, String);

impl Cluster {
    /// An empty Secret, and entries that carry nothing.
    pub(super) fn installed() -> Self {
        let entries = |names: &[&str]| -> Vec<Entry> {
            names.iter().map(|name| ((*name).to_owned(), String::new())).collect()
        };
        let [mutating, validating] = configurations();
        let secret = Secret {
            metadata: ObjectMeta { resource_version: Some("1".to_owned()), ..Default::default() },
            ..Default::default()
        };
        Self {
            now: 0,
            versions: 3,
            secrets: vec![Version { since: 0, number: 1, object: secret }],
            configurations: vec![
                (mutating, vec![Version { since: 0, number: 2, object: entries(&["m"]) }]),
                (validating, vec![Version { since: 0, number: 3, object: entries(&["a", "b"]) }]),
            ],
        }
    }

    pub(super) fn change_entries(&mut self, configuration: usize, object: Vec<Entry>) {
        self.versions += 1;
        let version = Version { since: self.now, number: self.versions, object };
        self.configurations[configuration].1.push(version);
    }

    pub(super) fn change_secret(&mut self, change: impl FnOnce(&mut Secret)) {
        self.versions += 1;
        let mut object = self.secret().clone();
        change(&mut object);
        object.metadata.resource_version = Some(self.versions.to_string());
        self.secrets.push(Version { since: self.now, number: self.versions, object });
    }

    pub(super) fn secret(&self) -> &Secret {
        &self.secrets.last().expect("has a version").object
    }

    /// Since when there are news of an object for one who has heard so many: of the Secret,
    /// or of a configuration.
    pub(super) fn next(&self, object: usize, heard: usize) -> Option<u64> {
        if object == 0 {
            return self.secrets.get(heard).map(|version| version.since);
        }
        self.configurations[object - 1].1.get(heard).map(|version| version.since)
    }

    pub(super) fn moment(&self) -> Moment {
        Moment { steady: Duration::from_secs(self.now), wall: wall(self.now) }
    }
}

pub(super) fn names() -> ServerNames {
    ServerNames::for_service("nfs-guard", "storage").expect("valid")
}

pub(super) fn configurations() -> [Configuration; 2] {
    let name = "nfs-guard".to_owned();
    [Configuration::Mutating(name.clone()), Configuration::Validating(name)]
}

pub(super) fn wall(now: u64) -> Timestamp {
    let start: Timestamp = "2026-03-01T12:00:00Z".parse().expect("valid");
    start + Duration::from_secs(now)
}

pub(super) fn entries(version: &Version<Vec<Entry>>) -> Entries {
    Entries::given(version.number.to_string(), &version.object)
}
