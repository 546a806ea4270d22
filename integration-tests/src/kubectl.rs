//! kubectl, as one user in one namespace.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use serde_json::Value;

use crate::Ran;

/// Runs the real kubectl.
///
/// No method fails: a command that was refused is as good an answer as one that
/// succeeded, and the test says which it wants.
#[derive(Clone, Debug)]
pub struct Kubectl {
    pub(crate) program: PathBuf,
    pub(crate) kubeconfig: PathBuf,
    /// Holds the discovery cache, which is keyed by the server's address: the
    /// user's own cache may know another server by that address.
    pub(crate) home: PathBuf,
    pub(crate) namespace: Option<String>,
}

impl Kubectl {
    /// The same user in another namespace.
    #[must_use]
    pub fn in_namespace(&self, namespace: &str) -> Self {
        Self { namespace: Some(namespace.to_owned()), ..self.clone() }
    }

    /// `kubectl <arguments>`
    #[must_use]
    pub fn run(&self, arguments: &[&str]) -> Ran {
        self.feed(arguments, "")
    }

    /// `kubectl <arguments>` with `input` on standard input.
    #[must_use]
    pub fn feed(&self, arguments: &[&str], input: &str) -> Ran {
        Ran::new(self.command().args(arguments), input)
    }

    /// `kubectl apply -f -`
    #[must_use]
    pub fn apply(&self, manifest: &str) -> Ran {
        self.feed(&["apply", "-f", "-"], manifest)
    }

    /// `kubectl create -f -`
    #[must_use]
    pub fn create(&self, manifest: &str) -> Ran {
        self.feed(&["create", "-f", "-"], manifest)
    }

    /// `kubectl apply --server-side -f -`
    #[must_use]
    pub fn apply_server_side(&self, manifest: &str) -> Ran {
        self.feed(&["apply", "--server-side", "-f", "-"], manifest)
    }

    /// `kubectl <arguments> -f <name>`, with the manifest in a file of that name,
    /// so that messages read as they would for a person: `error when creating "vault.yaml"`.
    #[must_use]
    pub fn run_on_file(&self, arguments: &[&str], name: &str, manifest: &str) -> Ran {
        let folder = tempfile::tempdir().expect("a temporary folder can be made");
        fs::write(folder.path().join(name), manifest).expect("a manifest can be written");
        let mut command = self.command();
        command.args(arguments).args(["-f", name]).current_dir(folder.path());
        Ran::new(&mut command, "")
    }

    /// The objects `kubectl get <arguments> -o json` prints; the test ends if it fails.
    #[track_caller]
    #[must_use]
    pub fn get(&self, arguments: &[&str]) -> Value {
        let ran = self.run(&[&["get"], arguments, &["-o", "json"]].concat()).expect_success();
        serde_json::from_str(&ran.stdout).expect("kubectl prints the JSON it was asked for")
    }

    /// `kubectl wait <arguments>`, which watches; the test ends if the condition
    /// does not come true within a minute.
    #[track_caller]
    pub fn wait(&self, arguments: &[&str]) {
        self.run(&[&["wait", "--timeout=60s"], arguments].concat()).expect_success();
    }

    fn command(&self) -> Command {
        let mut command = Command::new(&self.program);
        isolate(&mut command, &self.kubeconfig, &self.home);
        if let Some(namespace) = &self.namespace {
            command.args(["--namespace", namespace]);
        }
        command
    }
}

/// Keeps a client from reading or writing the settings of the person who runs the tests.
pub(crate) fn isolate(command: &mut Command, kubeconfig: &Path, home: &Path) {
    command
        .env("KUBECONFIG", kubeconfig)
        .env("KUBECACHEDIR", home.join("cache"))
        .env("KUBERC", "off")
        .env("HOME", home);
}
