//! Objects from files: what `kubectl apply -f` and `kubectl get -o yaml` know.

mod document;

use std::{
    fmt, fs,
    io::{self, Read as _},
    path::{Path, PathBuf},
};

use nfs_guard_policies::{
    Cluster as _, Lookup, Snapshot,
    facts::{Kind, Object, Scope},
    text::{Reduce, Strings, Text},
};
use serde_json::Value;
use serde_saphyr::Spanned;

use self::document::Document;
use crate::report::Source;

/// One object of a file that the engine understands.
#[derive(Clone, Debug)]
pub(crate) struct Manifest {
    pub(crate) source: Source,
    pub(crate) object: Object<'static>,
    /// The object as it was written.
    pub(crate) value: Value,
}

/// Input that cannot be read, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InputError {
    path: String,
    place: Option<(u64, u64)>,
    message: String,
}

impl InputError {
    /// The input as a whole cannot be read.
    pub(crate) fn whole(path: &str, message: String) -> Self {
        Self { path: path.to_owned(), place: None, message }
    }

    /// The parser stopped at a place, or what it read has the wrong form.
    pub(crate) fn yaml(path: &str, error: &serde_saphyr::Error) -> Self {
        let place = error.location().map(|at| (at.line(), at.column()));
        let plain = serde_saphyr::render_options! {
            formatter: &serde_saphyr::UserMessageFormatter,
            snippets: serde_saphyr::SnippetMode::Off,
        };
        let message = error.render_with_options(plain);
        // The place comes first here, as compilers write it; not again at the end.
        let suffix = place.map(|(line, column)| format!(" at line {line}, column {column}"));
        let message = suffix.and_then(|suffix| message.strip_suffix(&suffix)).unwrap_or(&message);
        Self { path: path.to_owned(), place, message: message.replace('\n', " ") }
    }
}

impl fmt::Display for InputError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { path, place, message } = self;
        match place {
            Some((line, column)) => write!(f, "{path}:{line}:{column}: {message}"),
            None => write!(f, "{path}: {message}"),
        }
    }
}

impl std::error::Error for InputError {}

/// The objects of all inputs, and every input that could not be read.
#[derive(Debug, Default)]
pub(crate) struct Manifests {
    pub(crate) objects: Vec<Manifest>,
    pub(crate) errors: Vec<InputError>,
}

impl Manifests {
    /// Reads files, directories (their `*.yaml`, `*.yml` and `*.json`, at any
    /// depth) and `-` for standard input.
    pub(crate) fn read(paths: &[PathBuf]) -> Self {
        let mut all = Self::default();
        for path in paths {
            all.read_path(path);
        }
        all
    }

    /// Reads a text: any number of documents, each an object or a list.
    pub(crate) fn read_text(&mut self, path: &str, text: &str) {
        let options = serde_saphyr::options! {
            // A snapshot of a large cluster is large; aliases stay limited.
            budget: None,
        };
        let mut bytes = text.as_bytes();
        for document in serde_saphyr::read_with_options::<_, Spanned<Document>>(&mut bytes, options)
        {
            match document {
                Ok(Spanned { value, referenced, .. }) => self.add(path, value, referenced.line()),
                Err(error) => self.errors.push(InputError::yaml(path, &error)),
            }
        }
    }

    fn read_path(&mut self, path: &Path) {
        let shown = path.display().to_string();
        let read = if path == Path::new("-") {
            let mut text = String::new();
            io::stdin().read_to_string(&mut text).map(|_| text)
        } else if path.is_dir() {
            return self.read_directory(path, &shown);
        } else {
            fs::read_to_string(path)
        };
        match read {
            Ok(text) => self.read_text(&shown, &text),
            Err(error) => self.errors.push(InputError::whole(&shown, error.to_string())),
        }
    }

    fn read_directory(&mut self, path: &Path, shown: &str) {
        let entries = fs::read_dir(path).and_then(|entries| {
            entries.map(|entry| entry.map(|entry| entry.path())).collect::<io::Result<Vec<_>>>()
        });
        let mut entries = match entries {
            Ok(entries) => entries,
            Err(error) => return self.errors.push(InputError::whole(shown, error.to_string())),
        };
        entries.sort();
        for entry in entries {
            // As `kubectl apply --recursive`: a link to a directory is not
            // followed, it may lead back here.
            if entry.is_symlink() && entry.is_dir() {
                continue;
            }
            // Reading a pipe or a device would wait for ever.
            if !entry.is_dir() && !entry.is_file() {
                continue;
            }
            let extension = entry.extension().and_then(|extension| extension.to_str());
            if entry.is_dir() || matches!(extension, Some("yaml" | "yml" | "json")) {
                self.read_path(&entry);
            }
        }
    }

    fn add(&mut self, path: &str, document: Document, line: u64) {
        let Document { fields, items } = document;
        let list = Value::Object(fields);
        if is_list(&list) {
            for Spanned { value, referenced, .. } in items {
                self.add_item(path, &list, value, referenced.line());
            }
        } else {
            self.add_object(path, list, line);
        }
    }

    /// Adds an item of a list: an object, or a list again. The items of a list of
    /// one kind may leave out what the list says.
    fn add_item(&mut self, path: &str, list: &Value, mut item: Value, line: u64) {
        let kind = list["kind"].as_str().and_then(|kind| kind.strip_suffix("List"));
        if let (Some(kind), Some(fields)) =
            (kind.filter(|kind| !kind.is_empty()), item.as_object_mut())
        {
            fields.entry("kind").or_insert_with(|| kind.into());
            fields.entry("apiVersion").or_insert_with(|| list["apiVersion"].clone());
        }
        match item.get_mut("items").map(Value::take) {
            Some(Value::Array(items)) if is_list(&item) => {
                for inner in items {
                    self.add_item(path, &item, inner, line);
                }
            }
            _ => self.add_object(path, item, line),
        }
    }

    fn add_object(&mut self, path: &str, value: Value, line: u64) {
        let text = |key: &str| value.get(key).and_then(Value::as_str);
        let (Some(api_version), Some(kind)) = (text("apiVersion"), text("kind")) else {
            let message = "no Kubernetes object: apiVersion and kind are missing".to_owned();
            let place = Some((line, 1));
            return self.errors.push(InputError { path: path.to_owned(), place, message });
        };
        let Some(kind) = Kind::of_manifest(api_version, kind) else { return };
        if let Ok(object) = read_object(kind, &value) {
            let source = Source { path: path.to_owned(), line };
            self.objects.push(Manifest { source, object, value });
        } else {
            let message = format!("not a {kind}: {}", problem(kind, &value.to_string()));
            let place = Some((line, 1));
            self.errors.push(InputError { path: path.to_owned(), place, message });
        }
    }

    /// Applies the objects to a snapshot: as with `kubectl apply`, a namespace
    /// keeps the labels that its manifest does not name.
    pub(crate) fn apply_to(&self, snapshot: &mut Snapshot) {
        for manifest in &self.objects {
            let mut object = manifest.object.clone();
            if let Object::Namespace(namespace) = &mut object
                && let Lookup::Found(before) = snapshot.namespace(&namespace.metadata.name)
            {
                namespace.metadata.labels.extend_missing(&before.metadata.labels);
            }
            snapshot.insert(object);
        }
    }

    /// Adds the objects to a snapshot.
    pub(crate) fn insert_into(&self, snapshot: &mut Snapshot) {
        for manifest in &self.objects {
            snapshot.insert(manifest.object.clone());
        }
    }
}

fn read_object(kind: Kind, value: &Value) -> Result<Object<'static>, serde_json::Error> {
    let mut object = Object::read(kind, value)?;
    let metadata = object.metadata_mut();
    if kind.scope() == Scope::Namespaced && metadata.namespace.as_deref().is_none_or(str::is_empty)
    {
        metadata.namespace = Some(Text::from("default"));
    }
    Ok(object.into_stored(&mut Strings::default()))
}

fn is_list(value: &Value) -> bool {
    value["kind"].as_str().is_some_and(|kind| kind.ends_with("List"))
}

/// Why a JSON text is no object of that kind: the field, and what is wrong with
/// it. It reads the text once more, which only ever costs the one who sent it.
pub(crate) fn problem(kind: Kind, text: &str) -> String {
    why_not(text, |json| Object::read(kind, json).map(drop))
}

/// Reads JSON and remembers where in it it is.
pub(crate) type Tracked<'t, 'j, 'x> = serde_path_to_error::Deserializer<
    't,
    't,
    &'j mut serde_json::Deserializer<serde_json::de::StrRead<'x>>,
>;

/// Why a JSON text is not what `read` reads: the field, and what is wrong with it.
pub(crate) fn why_not<'x>(
    text: &'x str,
    read: impl FnOnce(Tracked<'_, '_, 'x>) -> Result<(), serde_json::Error>,
) -> String {
    let mut json = serde_json::Deserializer::from_str(text);
    let mut track = serde_path_to_error::Track::new();
    match read(serde_path_to_error::Deserializer::new(&mut json, &mut track)) {
        Ok(()) => "it cannot be read".to_owned(),
        Err(error) => clip(&format!("{}: {}", track.path(), without_values(&error))),
    }
}

/// What serde says is wrong, less the value it found, which may be a secret, and
/// the place in a text that nobody has seen.
pub(crate) fn without_values(error: &serde_json::Error) -> String {
    let text = error.to_string();
    let problem = text.rsplit_once(" at line ").map_or(&*text, |(problem, _)| problem);
    for found in ["invalid type: ", "invalid value: "] {
        if let Some((before, after)) = problem.split_once(found)
            && let Some((value, expected)) = after.rsplit_once(", expected ")
        {
            let kind = value.split([' ', '`', '"']).next().unwrap_or_default();
            return clip(&format!("{before}{found}{kind}, expected {expected}"));
        }
    }
    clip(problem)
}

/// A text of the sender's, no longer than a log line or an answer can bear.
pub(crate) fn clip(text: &str) -> String {
    const MOST: usize = 200;
    match text.char_indices().nth(MOST) {
        Some((at, _)) => format!("{}…", &text[..at]),
        None => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Manifests {
        let mut manifests = Manifests::default();
        manifests.read_text("m.yaml", text);
        manifests
    }

    fn told(manifests: &Manifests) -> Vec<(String, u64)> {
        let objects = manifests.objects.iter();
        objects.map(|m| (m.object.metadata().name.to_string(), m.source.line)).collect()
    }

    #[test]
    fn every_object_knows_the_line_it_starts_at() {
        let documents = read(concat!(
            "# a comment\n",
            "apiVersion: v1\nkind: Namespace\nmetadata: {name: a}\n",
            "---\n",
            "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: not-judged}\n",
            "---\n",
            "apiVersion: v1\nitems:\n",
            "- apiVersion: v1\n  kind: PersistentVolumeClaim\n  metadata:\n    name: b\n",
            "- apiVersion: v1\n  kind: Namespace\n  metadata:\n    name: c\n",
            "kind: List\n",
        ));
        assert_eq!(documents.errors, []);
        assert_eq!(told(&documents), [("a".into(), 2), ("b".into(), 12), ("c".into(), 16)]);
        assert_eq!(documents.objects[1].object.metadata().namespace.as_deref(), Some("default"));
        assert_eq!(documents.objects[2].object.metadata().namespace, None);
    }

    #[test]
    fn lists_may_be_nested_and_of_one_kind() {
        let documents = read(concat!(
            "apiVersion: v1\nkind: List\nitems:\n",
            "- apiVersion: v1\n  kind: NamespaceList\n  items:\n  - metadata: {name: a}\n  - metadata: {name: b}\n",
            "- {apiVersion: v1, kind: Namespace, metadata: {name: c}}\n",
        ));
        assert_eq!(documents.errors, []);
        assert_eq!(told(&documents), [("a".into(), 4), ("b".into(), 4), ("c".into(), 9)]);
    }

    #[test]
    fn what_is_wrong_is_told_without_the_value() {
        for (json, expected) in [
            (
                r#"{"metadata": {"labels": "password=hunter2"}}"#,
                "metadata.labels: invalid type: string, expected a map of strings",
            ),
            (
                r#"{"spec": {"storageClassName": 7}}"#,
                "spec.storageClassName: invalid type: integer, expected a string",
            ),
        ] {
            assert_eq!(problem(Kind::Claim, json), expected);
        }
    }

    #[test]
    fn reads_json_as_well() {
        let text = "{\"apiVersion\": \"v1\",\n\t\"kind\": \"Namespace\", \"metadata\": {\"name\": \"a\", \"labels\": null}}";
        assert_eq!(told(&read(text)), [("a".into(), 1)]);
    }

    #[test]
    fn one_bad_document_does_not_hide_the_others() {
        let manifests = read(concat!(
            "apiVersion: v1\nkind: PersistentVolumeClaim\nmetadata: {name: a}\nspec: {storageClassName: 7}\n",
            "---\n",
            "just: text\n",
            "---\n",
            "apiVersion: v1\nkind: Namespace\nmetadata: {name: good}\n",
        ));
        assert_eq!(told(&manifests), [("good".into(), 8)]);
        let errors: Vec<_> = manifests.errors.iter().map(ToString::to_string).collect();
        assert!(errors[0].starts_with("m.yaml:1:1: not a PersistentVolumeClaim: "), "{errors:?}");
        assert!(errors[1].starts_with("m.yaml:6:1: no Kubernetes object"), "{errors:?}");
    }
}
