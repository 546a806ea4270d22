//! The cluster as a guarded cluster's users find it.

use std::sync::{OnceLock, RwLockReadGuard, RwLockWriteGuard};

use crate::{ControlPlane, Guard, Kubectl, TestNamespace, User};

/// The shared control plane with the guard installed and serving.
///
/// One per test, held to its end: it is the test's place in the queue. Two in
/// one thread can wait for each other for ever.
#[derive(Debug)]
pub struct Harness {
    control_plane: &'static ControlPlane,
    guard: &'static Guard,
    turn: Turn,
}

impl Harness {
    /// For a test that others do not notice.
    #[must_use]
    pub fn shared() -> Self {
        let control_plane = ControlPlane::shared();
        let turn = Turn::Shared { _held: control_plane.share() };
        Self { control_plane, guard: installed(control_plane), turn }
    }

    /// For a test that stops the guard, or changes what every test sees; it runs
    /// alone, and the guard serves again when it ends.
    #[must_use]
    pub fn exclusive() -> Self {
        let control_plane = ControlPlane::shared();
        let turn = Turn::Exclusive { _held: control_plane.reserve() };
        Self { control_plane, guard: installed(control_plane), turn }
    }

    /// The guard.
    #[must_use]
    pub fn guard(&self) -> &'static Guard {
        self.guard
    }

    /// The control plane.
    #[must_use]
    pub fn control_plane(&self) -> &'static ControlPlane {
        self.control_plane
    }

    /// kubectl as `user`, in the namespace `default`.
    #[must_use]
    pub fn kubectl(&self, user: User) -> Kubectl {
        self.control_plane.kubectl(user)
    }

    /// A new namespace whose name starts with `prefix`.
    #[must_use]
    pub fn namespace(&self, prefix: &str, labels: &[(&str, &str)]) -> TestNamespace<'static> {
        self.control_plane.namespace(prefix, labels)
    }
}

impl Drop for Harness {
    fn drop(&mut self) {
        if let Turn::Exclusive { .. } = self.turn
            && let Err(error) = self.guard.ensure_serving()
            // A second panic would end the process and hide the first one's message.
            && !std::thread::panicking()
        {
            panic!("the guard does not serve again: {error:?}");
        }
    }
}

#[derive(Debug)]
enum Turn {
    Shared { _held: RwLockReadGuard<'static, ()> },
    Exclusive { _held: RwLockWriteGuard<'static, ()> },
}

fn installed(control_plane: &'static ControlPlane) -> &'static Guard {
    static INSTALLED: OnceLock<Result<Guard, String>> = OnceLock::new();
    let installed = INSTALLED
        .get_or_init(|| Guard::install(control_plane).map_err(|error| format!("{error:?}")));
    match installed {
        Ok(guard) => guard,
        Err(error) => panic!("the guard could not be installed: {error}"),
    }
}
