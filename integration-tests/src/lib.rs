//! A real Kubernetes control plane for the end-to-end tests of nfs-guard.
//!
//! etcd, kube-apiserver, kube-controller-manager, kube-scheduler, kubectl and
//! helm are the upstream programs; kwok plays the kubelets and
//! [`provisioner`] plays the storage drivers, because a test machine has
//! neither. The guard is the binary of this workspace, installed by its own
//! chart and running with nothing but the rights that chart grants: as the
//! test's own process ([`guard`]), or as the pods the chart makes, which a
//! [`kubelet`] of ours runs behind a [`relay`].
//!
//! A test that needs the guard starts with [`Harness::shared`] (or
//! [`Harness::exclusive`] if it stops the guard or changes the cluster for
//! everyone), makes itself a namespace and talks to it as a person would:
//!
//! ```ignore
//! let harness = Harness::shared();
//! let vault = harness.namespace("vault", &[("nfs-guard.io/critical", "true")]);
//! let ran = vault.kubectl().apply(VAULT_ON_NFS);
//! assert!(ran.stderr.contains("denied the request"), "{ran}");
//! ```
#![allow(
    clippy::missing_panics_doc,
    clippy::panic,
    reason = "a test's helper reports a broken test by panicking; its message is the documentation"
)]

pub mod binaries;
mod canary;
pub mod chart;
pub mod control_plane;
pub mod credentials;
pub mod fuzz;
pub mod guard;
pub mod harness;
pub mod http;
pub mod kubectl;
pub mod kubelet;
pub mod live;
pub mod model;
pub mod namespace;
pub mod network;
pub mod process;
pub mod provisioner;
pub mod ran;
pub mod relay;
pub mod scratch;
pub mod shell;
pub mod wait;
mod worker;

pub use control_plane::ControlPlane;
pub use credentials::User;
pub use guard::Guard;
pub use harness::Harness;
pub use kubectl::Kubectl;
pub use kubelet::Kubelet;
pub use live::LiveCluster;
pub use namespace::TestNamespace;
pub use ran::Ran;
pub use relay::Relay;
pub use shell::Shell;
