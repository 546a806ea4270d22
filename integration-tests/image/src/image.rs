//! The image itself: a layer with one file, a configuration and a manifest, as
//! the OCI image specification 1.1 describes them. The same program, labels and
//! time make the same bytes, on whatever machine.

use std::{collections::BTreeMap, io};

use flate2::{Compression, write::GzEncoder};
use jiff::Timestamp;
use serde::Serialize;
use tar::{Builder, EntryType, Header};

use crate::{Digest, Program};

/// Who the program runs as: "nonroot" of distroless, which cluster policies
/// know. Numbers, as the image has no `/etc/passwd` to look a name up in, and as
/// `runAsNonRoot` can tell nothing from a name.
pub const USER: &str = "65532:65532";

/// Where the program lies.
pub const ENTRYPOINT: &str = "/nfs-guard";

/// The labels of the image, by their full names.
pub type Labels = BTreeMap<&'static str, String>;

/// Everything of an image that a registry keeps.
#[derive(Clone, Debug)]
pub struct Image {
    /// The root filesystem, packed.
    pub layer: Blob,
    /// How it is run.
    pub config: Blob,
    /// Which configuration and layers it has; its digest is the image's.
    pub manifest: Blob,
    /// What it runs on.
    pub platform: Platform,
    /// Bytes of the program, which is all the image holds.
    pub size: usize,
}

/// Content by its digest.
#[derive(Clone, Debug)]
pub struct Blob {
    /// What others point at it with.
    pub descriptor: Descriptor,
    /// The content.
    pub bytes: Vec<u8>,
}

/// How one piece of content points at another.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Descriptor {
    /// What kind of content.
    pub media_type: &'static str,
    /// Its name.
    pub digest: Digest,
    /// Its length in bytes.
    pub size: usize,
}

/// What an image runs on.
#[derive(Clone, Debug, Serialize)]
pub struct Platform {
    architecture: &'static str,
    os: &'static str,
}

impl Image {
    /// The image of that program. `created` is also the time of its file.
    pub fn new(program: &Program, labels: &Labels, created: Timestamp) -> io::Result<Self> {
        let root = root_filesystem(&program.bytes, created)?;
        let layer = Blob::new("application/vnd.oci.image.layer.v1.tar+gzip", packed(&root)?);
        let platform = Platform { architecture: program.architecture, os: "linux" };
        let config = ImageConfig {
            created,
            platform: &platform,
            config: Execution { user: USER, entrypoint: [ENTRYPOINT], labels },
            rootfs: RootFilesystem { kind: "layers", diff_ids: [Digest::of(&root)] },
            history: [Step { created, created_by: "make image" }],
        };
        let config = Blob::json("application/vnd.oci.image.config.v1+json", &config)?;
        let manifest = Manifest {
            schema_version: 2,
            media_type: MANIFEST,
            config: &config.descriptor,
            layers: [&layer.descriptor],
        };
        let manifest = Blob::json(MANIFEST, &manifest)?;
        Ok(Self { layer, config, manifest, platform, size: program.bytes.len() })
    }
}

impl Blob {
    fn new(media_type: &'static str, bytes: Vec<u8>) -> Self {
        let digest = Digest::of(&bytes);
        Self { descriptor: Descriptor { media_type, digest, size: bytes.len() }, bytes }
    }

    fn json(media_type: &'static str, value: &impl Serialize) -> io::Result<Self> {
        Ok(Self::new(media_type, serde_json::to_vec(value)?))
    }
}

const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";

/// The program and nothing else, as a tar.
fn root_filesystem(program: &[u8], created: Timestamp) -> io::Result<Vec<u8>> {
    let mut archive = Builder::new(Vec::new());
    append(&mut archive, ENTRYPOINT.trim_start_matches('/'), 0o555, created, program)?;
    archive.into_inner()
}

/// Adds a file of root's, with nothing in it of the machine that writes it.
pub(crate) fn append(
    archive: &mut Builder<impl io::Write>,
    path: &str,
    mode: u32,
    modified: Timestamp,
    content: &[u8],
) -> io::Result<()> {
    let mut header = Header::new_ustar();
    header.set_entry_type(EntryType::Regular);
    header.set_mode(mode);
    header.set_uid(0);
    header.set_gid(0);
    header.set_mtime(u64::try_from(modified.as_second()).unwrap_or_default());
    header.set_size(content.len() as u64);
    archive.append_data(&mut header, path, content)
}

/// Gzip without the time and the name it has room for.
fn packed(content: &[u8]) -> io::Result<Vec<u8>> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    io::Write::write_all(&mut encoder, content)?;
    encoder.finish()
}

#[derive(Serialize)]
struct ImageConfig<'a> {
    created: Timestamp,
    #[serde(flatten)]
    platform: &'a Platform,
    config: Execution<'a>,
    rootfs: RootFilesystem,
    history: [Step; 1],
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Execution<'a> {
    user: &'static str,
    entrypoint: [&'static str; 1],
    labels: &'a Labels,
}

#[derive(Serialize)]
struct RootFilesystem {
    #[serde(rename = "type")]
    kind: &'static str,
    diff_ids: [Digest; 1],
}

#[derive(Serialize)]
struct Step {
    created: Timestamp,
    created_by: &'static str,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Manifest<'a> {
    schema_version: u8,
    media_type: &'static str,
    config: &'a Descriptor,
    layers: [&'a Descriptor; 1],
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_program_labels_and_time_make_the_same_image() {
        let image = image(b"program", "0.1.0", 1_000_000_000);
        let again = self::image(b"program", "0.1.0", 1_000_000_000);
        assert_eq!(image.manifest.descriptor.digest, again.manifest.descriptor.digest);
        assert_eq!(image.layer.bytes, again.layer.bytes);
    }

    #[test]
    fn each_of_them_shows_in_its_digest() {
        let first = image(b"program", "0.1.0", 1_000_000_000).manifest.descriptor.digest;
        for (case, other) in [
            ("program", image(b"another", "0.1.0", 1_000_000_000)),
            ("label", image(b"program", "0.2.0", 1_000_000_000)),
            ("time", image(b"program", "0.1.0", 1_000_000_001)),
        ] {
            assert_ne!(other.manifest.descriptor.digest, first, "{case}");
        }
    }

    fn image(program: &[u8], version: &str, created: i64) -> Image {
        let program = Program { bytes: program.to_vec(), architecture: "amd64" };
        let labels = Labels::from([("org.opencontainers.image.version", version.to_owned())]);
        let created = Timestamp::from_second(created).expect("a time in range");
        Image::new(&program, &labels, created).expect("writing to memory")
    }
}
