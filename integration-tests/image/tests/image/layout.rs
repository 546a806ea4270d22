//! The files of the image, read as a registry reads them.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs::{self, File},
    io::Read as _,
    path::Path,
};

use flate2::read::GzDecoder;
use nfs_guard_image::{BUDGET, Digest, ENTRYPOINT, USER};
use serde_json::{Value, json};
use tar::Archive;

use crate::folder;

/// The uncompressed layer.
pub(crate) fn root_filesystem() -> Vec<u8> {
    let layout = Layout::read();
    let mut root = Vec::new();
    GzDecoder::new(layout.blob(&layout.manifest["layers"][0])).read_to_end(&mut root).unwrap();
    root
}

#[test]
#[ignore = "needs the image: make image"]
fn whatever_points_at_content_names_its_digest_and_its_size() {
    let layout = Layout::read();
    let config = layout.json(&layout.manifest["config"]);
    let mut referred = BTreeSet::new();
    for descriptor in
        [&layout.index["manifests"][0], &layout.manifest["config"], &layout.manifest["layers"][0]]
    {
        // `blob` compares both.
        layout.blob(descriptor);
        referred.insert(Layout::path(descriptor));
    }
    assert_eq!(
        config["rootfs"],
        json!({"type": "layers", "diff_ids": [Digest::of(&root_filesystem())]})
    );
    let others = ["index.json", "manifest.json", "oci-layout"].map(str::to_owned);
    let present: BTreeSet<_> = layout.files.keys().cloned().collect();
    assert_eq!(present, referred.into_iter().chain(others).collect(), "and nothing else is there");
}

#[test]
#[ignore = "needs the image: make image"]
fn the_layer_holds_the_program_alone_and_root_owns_it() {
    let root = root_filesystem();
    let mut archive = Archive::new(&root[..]);
    let entries: Vec<_> = archive
        .entries()
        .unwrap()
        .map(|entry| {
            let entry = entry.unwrap();
            let (header, path) = (entry.header(), entry.path().unwrap());
            assert!(entry.size() < BUDGET as u64, "{} bytes", entry.size());
            (
                format!("/{}", path.display()),
                header.entry_type().is_file(),
                header.mode().unwrap(),
                header.uid().unwrap(),
                header.gid().unwrap(),
            )
        })
        .collect();
    assert_eq!(entries, [(ENTRYPOINT.to_owned(), true, 0o555, 0, 0)]);
}

#[test]
#[ignore = "needs the image: make image"]
fn it_says_how_it_is_run_and_what_it_is() {
    let layout = Layout::read();
    let config = layout.json(&layout.manifest["config"]);
    assert_eq!(config["os"], "linux");
    assert_eq!(config["architecture"], layout.index["manifests"][0]["platform"]["architecture"]);
    let execution = config["config"].as_object().unwrap();
    assert_eq!(execution["User"], USER);
    assert_eq!(execution["Entrypoint"], json!([ENTRYPOINT]));
    let keys: Vec<_> = execution.keys().map(String::as_str).collect();
    assert_eq!(keys, ["Entrypoint", "Labels", "User"], "no environment among them");
    let label = |name: &str| &execution["Labels"][format!("org.opencontainers.image.{name}")];
    assert_eq!(label("title"), "nfs-guard");
    assert_eq!(label("version"), env!("CARGO_PKG_VERSION"));
    assert_eq!(label("licenses"), env!("CARGO_PKG_LICENSE"));
    assert!(label("description").as_str().is_some_and(|text| text.contains("NFS")));
}

#[test]
#[ignore = "needs the image: make image"]
fn the_archive_is_the_layout_in_both_of_its_forms() {
    let layout = Layout::read();
    let mut archive = Archive::new(File::open(folder().join("nfs-guard.tar")).unwrap());
    let packed: BTreeMap<_, _> = archive
        .entries()
        .unwrap()
        .map(|entry| {
            let mut entry = entry.unwrap();
            let mut content = Vec::new();
            entry.read_to_end(&mut content).unwrap();
            (entry.path().unwrap().to_str().unwrap().to_owned(), content)
        })
        .collect();
    assert_eq!(packed, layout.files);

    let for_docker: Value = serde_json::from_slice(&packed["manifest.json"]).unwrap();
    assert_eq!(for_docker[0]["Config"], Layout::path(&layout.manifest["config"]));
    assert_eq!(for_docker[0]["Layers"], json!([Layout::path(&layout.manifest["layers"][0])]));
    let annotations = &layout.index["manifests"][0]["annotations"];
    let name = annotations["io.containerd.image.name"].as_str().unwrap();
    assert!(name.ends_with(for_docker[0]["RepoTags"][0].as_str().unwrap()), "{name}");
    let tag = annotations["org.opencontainers.image.ref.name"].as_str().unwrap();
    assert!(name.ends_with(&format!(":{tag}")), "{name}");
}

/// The layout's files by their paths, and the two everything hangs from.
struct Layout {
    files: BTreeMap<String, Vec<u8>>,
    index: Value,
    manifest: Value,
}

impl Layout {
    fn read() -> Self {
        let mut files = BTreeMap::new();
        collect(&folder().join("oci"), "", &mut files);
        let version: Value = serde_json::from_slice(&files["oci-layout"]).unwrap();
        assert_eq!(version, json!({"imageLayoutVersion": "1.0.0"}));
        let index: Value = serde_json::from_slice(&files["index.json"]).unwrap();
        assert_eq!(index["manifests"].as_array().unwrap().len(), 1);
        let mut layout = Self { files, index, manifest: Value::Null };
        layout.manifest = layout.json(&layout.index["manifests"][0]);
        layout
    }

    fn path(descriptor: &Value) -> String {
        format!("blobs/{}", descriptor["digest"].as_str().unwrap().replace(':', "/"))
    }

    /// The content a descriptor points at, held against the descriptor.
    fn blob(&self, descriptor: &Value) -> &[u8] {
        let content = &self.files[&Self::path(descriptor)];
        assert_eq!(json!(Digest::of(content)), descriptor["digest"]);
        assert_eq!(json!(content.len()), descriptor["size"]);
        content
    }

    fn json(&self, descriptor: &Value) -> Value {
        serde_json::from_slice(self.blob(descriptor)).unwrap()
    }
}

fn collect(folder: &Path, prefix: &str, files: &mut BTreeMap<String, Vec<u8>>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = format!("{prefix}{}", path.file_name().unwrap().to_str().unwrap());
        if path.is_dir() {
            collect(&path, &format!("{name}/"), files);
        } else {
            files.insert(name, fs::read(&path).unwrap());
        }
    }
}
