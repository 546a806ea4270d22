//! A namespace of one test's own.

use std::{
    fmt,
    sync::atomic::{AtomicU32, Ordering},
};

use serde_json::{Map, Value, json};

use crate::{ControlPlane, Kubectl, User};

/// A namespace that goes, with all in it, when the test ends.
#[derive(Debug)]
pub struct TestNamespace<'a> {
    control_plane: &'a ControlPlane,
    name: String,
}

impl<'a> TestNamespace<'a> {
    /// Makes a namespace called `<prefix>-<number>`, in which pods can be made.
    #[track_caller]
    pub(crate) fn create(
        control_plane: &'a ControlPlane,
        prefix: &str,
        labels: &[(&str, &str)],
    ) -> Self {
        static CREATED: AtomicU32 = AtomicU32::new(1);
        let name = format!("{prefix}-{}", CREATED.fetch_add(1, Ordering::Relaxed));
        let labels: Map<String, Value> =
            labels.iter().map(|&(key, value)| (key.to_owned(), value.into())).collect();
        let manifest = json!({
            "apiVersion": "v1",
            "kind": "Namespace",
            "metadata": {"name": name, "labels": labels},
        });
        let namespace = Self { control_plane, name };
        let admin = namespace.kubectl_as(User::Admin);
        admin.create(&manifest.to_string()).expect_success();
        // Pods are refused until a controller has made it.
        admin.wait(&["--for=create", "serviceaccount/default"]);
        namespace
    }

    /// Its name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// kubectl as the developer who works here.
    #[must_use]
    pub fn kubectl(&self) -> Kubectl {
        self.kubectl_as(User::Developer)
    }

    /// kubectl as `user`, in this namespace.
    #[must_use]
    pub fn kubectl_as(&self, user: User) -> Kubectl {
        self.control_plane.kubectl(user).in_namespace(&self.name)
    }
}

/// Its name.
impl fmt::Display for TestNamespace<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.name)
    }
}

impl Drop for TestNamespace<'_> {
    fn drop(&mut self) {
        // What is left behind harms no other test, so a failure is no matter.
        let admin = self.control_plane.kubectl(User::Admin);
        let _ = admin.run(&["delete", "namespace", &self.name, "--wait=false"]);
    }
}
