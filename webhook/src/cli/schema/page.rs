//! A JSON schema as tables for people: one for the form itself, one for each
//! form that it has lists of.

use std::{
    collections::VecDeque,
    fmt::{self, Display, Formatter},
};

use serde_json::Value;

/// The tables of a schema.
pub(super) fn markdown(schema: &Value) -> impl Display {
    struct Page<'a>(&'a Value);

    impl Display for Page<'_> {
        fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
            let mut forms = Forms { schema: self.0, named: Vec::new(), pending: VecDeque::new() };
            fields(f, &mut forms, self.0)?;
            while let Some(name) = forms.pending.pop_front() {
                let form = &self.0["$defs"][name];
                write!(f, "\n### {name}\n\n{}\n\n", text(form))?;
                fields(f, &mut forms, form)?;
            }
            Ok(())
        }
    }

    Page(schema)
}

/// The forms of a schema, and which of them have yet to be shown.
struct Forms<'s> {
    schema: &'s Value,
    named: Vec<&'s str>,
    pending: VecDeque<&'s str>,
}

impl<'s> Forms<'s> {
    /// The name of the form that is referred to, and the form.
    fn referred(&self, node: &'s Value) -> Option<(&'s str, &'s Value)> {
        let name = node["$ref"].as_str()?.strip_prefix("#/$defs/")?;
        Some((name, &self.schema["$defs"][name]))
    }

    /// A link to the table of that form, which will come.
    fn link(&mut self, name: &'s str) -> String {
        if !self.named.contains(&name) {
            self.named.push(name);
            self.pending.push_back(name);
        }
        format!("[{name}](#{})", name.to_lowercase())
    }

    /// What a value of that schema is, in words.
    fn kind(&mut self, node: &'s Value) -> String {
        if let Some((name, form)) = self.referred(node) {
            return match values(form) {
                Some(values) => one_of(&values),
                None if form["type"] == "string" => name.to_lowercase(),
                None => self.link(name),
            };
        }
        let mut alternatives = node["anyOf"].as_array().into_iter().flatten();
        if let Some(some) = alternatives.find(|some| some["type"] != "null") {
            return self.kind(some);
        }
        match scalar(&node["type"]) {
            "array" => format!("list of {}", self.kind(&node["items"])),
            "object" if node["additionalProperties"].is_object() => {
                format!("map to {}", self.kind(&node["additionalProperties"]))
            }
            other => other.to_owned(),
        }
    }
}

/// The table of a form: its fields, or the ways to fill it of which one is chosen.
fn fields<'s>(f: &mut Formatter<'_>, forms: &mut Forms<'s>, form: &'s Value) -> fmt::Result {
    if let Some(ways) = form["oneOf"].as_array() {
        f.write_str("| field | type | meaning |\n|---|---|---|\n")?;
        for way in ways {
            for (name, node) in way["properties"].as_object().into_iter().flatten() {
                writeln!(f, "| `{name}` | {} | {} |", forms.kind(node), text(way))?;
            }
        }
        return Ok(());
    }
    f.write_str("| field | type | default | meaning |\n|---|---|---|---|\n")?;
    rows(f, forms, form, "")
}

/// A row for each field; those of a form that stands alone come in its place.
fn rows<'s>(
    f: &mut Formatter<'_>,
    forms: &mut Forms<'s>,
    form: &'s Value,
    path: &str,
) -> fmt::Result {
    let required = form["required"].as_array();
    for (name, node) in form["properties"].as_object().into_iter().flatten() {
        match forms.referred(node) {
            Some((_, inner)) if inner["properties"].is_object() => {
                rows(f, forms, inner, &format!("{path}{name}."))?;
            }
            _ => {
                let required = required.is_some_and(|all| all.iter().any(|field| field == name));
                let default = match node.get("default") {
                    Some(default) => format!("`{}`", flow(default)),
                    None if required => "required".to_owned(),
                    None => String::new(),
                };
                let kind = forms.kind(node);
                writeln!(f, "| `{path}{name}` | {kind} | {default} | {} |", text(node))?;
            }
        }
    }
    Ok(())
}

/// What the schema says of it, in one line, and an example.
fn text(node: &Value) -> String {
    let text = node["description"].as_str().unwrap_or_default().replace('\n', " ");
    match &node["examples"][0] {
        Value::Null => text,
        example => format!("{text} For example `{}`", flow(example)),
    }
}

/// The texts a form may be, if it is one of a few values. What else stands for one of
/// them, as `false` does for `off`, is not shown.
fn values(form: &Value) -> Option<Vec<&str>> {
    if let Some(all) = form["enum"].as_array() {
        return all.iter().map(Value::as_str).collect();
    }
    let all: Option<Vec<_>> =
        form["oneOf"].as_array()?.iter().map(|one| one.get("const")).collect();
    Some(all?.into_iter().filter_map(Value::as_str).collect())
}

fn one_of(values: &[&str]) -> String {
    let code: Vec<_> = values.iter().map(|value| format!("`{value}`")).collect();
    match &code[..] {
        [all @ .., last] if !all.is_empty() => format!("{} or {last}", all.join(", ")),
        all => all.join(""),
    }
}

/// The type's name; of several, the first that is not null.
fn scalar(of: &Value) -> &str {
    let one = match of {
        Value::Array(several) => several.iter().find(|one| *one != "null").unwrap_or(of),
        one => one,
    };
    one.as_str().unwrap_or("any")
}

/// A value as YAML writes it in one line.
fn flow(value: &Value) -> String {
    match value {
        Value::String(text) => {
            let plain = |c: char| c.is_ascii_alphanumeric() || "-./".contains(c);
            let is_word = text.starts_with(|c: char| c.is_ascii_alphabetic());
            let reserved = ["true", "false", "null", "yes", "no", "on", "off"];
            if is_word && text.chars().all(plain) && !reserved.contains(&text.as_str()) {
                text.clone()
            } else {
                value.to_string()
            }
        }
        Value::Array(list) => format!("[{}]", list.iter().map(flow).collect::<Vec<_>>().join(", ")),
        Value::Object(map) => {
            let entries: Vec<_> =
                map.iter().map(|(key, value)| format!("{key}: {}", flow(value))).collect();
            format!("{{{}}}", entries.join(", "))
        }
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use nfs_guard_policies::GuardConfig;
    use schemars::schema_for;
    use serde_json::json;

    use super::*;

    #[test]
    fn the_page_on_configuration_has_every_field() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/configuration.md");
        let document = fs::read_to_string(path).unwrap();
        let (before, rest) = document.split_once("<!-- schema config -->\n").unwrap();
        let (written, after) = rest.split_once("<!-- /schema config -->").unwrap();
        let current = markdown(schema_for!(GuardConfig).as_value()).to_string();
        if std::env::var_os("NFS_GUARD_RENEW").is_some() {
            let renewed =
                format!("{before}<!-- schema config -->\n{current}<!-- /schema config -->{after}");
            fs::write(path, renewed).unwrap();
            return;
        }
        assert!(written == current, "stale; renew it by this test with NFS_GUARD_RENEW=1");
    }

    #[test]
    fn a_value_is_written_as_yaml_takes_it() {
        for (value, text) in [
            (json!("db-1"), "db-1"),
            (json!("db-*"), r#""db-*""#),
            (json!("true"), r#""true""#),
            (json!("4.1"), r#""4.1""#),
            (json!(["a", 1, null]), "[a, 1, null]"),
            (json!({"a.b/c": {"d": []}}), "{a.b/c: {d: []}}"),
        ] {
            assert_eq!(flow(&value), text);
        }
    }
}
