//! The image that nfs-guard is installed from: one static program in an empty
//! root, written as files that registries, runtimes and kind take. No daemon, no
//! base image and nothing of the machine it is made on has a part in it.

mod digest;
mod image;
mod layout;
mod program;
mod reference;
mod release;

pub use digest::Digest;
pub use image::{Blob, Descriptor, ENTRYPOINT, Image, Labels, Platform, USER};
pub use layout::Layout;
pub use program::{Program, ProgramError};
pub use reference::{NoReference, Reference};
pub use release::{BUILD, Package, Release};

/// The most an image may hold, in bytes before compression: what a node keeps of
/// it, and reads when it starts the guard in the middle of an outage.
pub const BUDGET: usize = 15_000_000;
