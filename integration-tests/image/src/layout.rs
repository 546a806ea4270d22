//! An image as files: an OCI image layout, and the same in one archive.

use std::{fs, io, path::Path};

use jiff::Timestamp;
use serde_json::json;
use tar::Builder;

use crate::{
    Image, Reference,
    image::{Blob, append},
};

/// The files of an image layout, by their paths in it and sorted by them.
#[derive(Clone, Debug)]
pub struct Layout {
    files: Vec<(String, Vec<u8>)>,
}

impl Layout {
    /// The layout that holds this image under this name.
    pub fn new(image: &Image, reference: &Reference) -> io::Result<Self> {
        let Image { layer, config, manifest, platform, size: _ } = image;
        let mut index = json!(manifest.descriptor);
        index["platform"] = json!(platform);
        // The first is the specification's, the second what containerd and podman
        // take the name from.
        index["annotations"] = json!({
            "org.opencontainers.image.ref.name": reference.tag(),
            "io.containerd.image.name": reference.in_full(),
        });
        let index = json!({
            "schemaVersion": 2,
            "mediaType": "application/vnd.oci.image.index.v1+json",
            "manifests": [index],
        });
        // What `docker load` read before it knew OCI, and still takes the tag from.
        let for_docker = json!([{
            "Config": path(config),
            "RepoTags": [reference.to_string()],
            "Layers": [path(layer)],
        }]);
        let mut files = vec![
            ("oci-layout".to_owned(), json!({"imageLayoutVersion": "1.0.0"}).to_string().into()),
            ("index.json".to_owned(), serde_json::to_vec(&index)?),
            ("manifest.json".to_owned(), serde_json::to_vec(&for_docker)?),
        ];
        files.extend([layer, config, manifest].map(|blob| (path(blob), blob.bytes.clone())));
        files.sort();
        Ok(Self { files })
    }

    /// Writes the layout as a folder, in place of what was there.
    pub fn write_to(&self, folder: &Path) -> io::Result<()> {
        match fs::remove_dir_all(folder) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        fs::create_dir_all(folder.join(BLOBS))?;
        self.files.iter().try_for_each(|(path, content)| fs::write(folder.join(path), content))
    }

    /// The layout as one tar.
    pub fn archive(&self, modified: Timestamp) -> io::Result<Vec<u8>> {
        let mut archive = Builder::new(Vec::new());
        for (path, content) in &self.files {
            append(&mut archive, path, 0o444, modified, content)?;
        }
        archive.into_inner()
    }
}

const BLOBS: &str = "blobs/sha256";

fn path(blob: &Blob) -> String {
    format!("{BLOBS}/{}", blob.descriptor.digest.digits())
}
