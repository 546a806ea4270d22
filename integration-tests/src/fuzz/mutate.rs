use fastrand::Rng;
use serde_json::{Map, Value, json};

/// One of the corpus, bent once or several times: as JSON if it is any, or as
/// bytes, or both.
pub(super) fn mutated(corpus: &[Vec<u8>], words: &[&str], rng: &mut Rng) -> Vec<u8> {
    let mut bytes = rng.choice(corpus).cloned().unwrap_or_default();
    if rng.u8(..4) > 0
        && let Ok(mut value) = serde_json::from_slice(&bytes)
    {
        for _ in 0..rng.usize(1..4) {
            bend(&mut value, words, rng);
        }
        bytes = value.to_string().into_bytes();
        if rng.bool() {
            return bytes;
        }
    }
    for _ in 0..rng.usize(1..4) {
        bend_bytes(&mut bytes, words, rng);
    }
    bytes
}

/// Bends a node of the tree, each with the same chance.
fn bend(root: &mut Value, words: &[&str], rng: &mut Rng) {
    let donor = node(root, rng.usize(..size(root))).clone();
    let at = rng.usize(..size(root));
    let target = node(root, at);
    *target = match rng.u8(..6) {
        0 => Value::Null,
        1 => scalar(words, rng),
        // Somewhere else's: types that are right in the wrong place.
        2 => donor,
        3 => nested(target.take(), rng),
        4 => repeated(target.take(), rng),
        _ => without_one(target.take(), rng),
    };
}

fn scalar(words: &[&str], rng: &mut Rng) -> Value {
    match rng.u8(..8) {
        0 => json!(rng.bool()),
        1 => json!(rng.i64(..)),
        2 => json!(-1),
        3 => json!(1e300),
        4 => json!(""),
        5 => json!("\u{0}\u{7f}\u{2028}\u{feff}\u{10ffff}"),
        6 => json!("x".repeat(rng.usize(..100_000))),
        _ => json!(rng.choice(words).copied().unwrap_or_default()),
    }
}

fn nested(mut value: Value, rng: &mut Rng) -> Value {
    // Parsers give up at 128; on both sides of it.
    for _ in 0..rng.usize(1..200) {
        value = if rng.bool() { json!([value]) } else { json!({ "a": value }) };
    }
    value
}

fn repeated(value: Value, rng: &mut Rng) -> Value {
    match value {
        Value::Array(mut all) => {
            let Some(one) = rng.choice(&all).cloned() else { return json!([[]]) };
            all.extend(vec![one; rng.usize(1..300)]);
            Value::Array(all)
        }
        Value::Object(mut all) => {
            let Some(one) = rng.choice(all.values()).cloned() else { return json!([{}]) };
            all.extend((0..rng.usize(1..300)).map(|at| (format!("key-{at}"), one.clone())));
            Value::Object(all)
        }
        other => json!([other.clone(), other]),
    }
}

fn without_one(value: Value, rng: &mut Rng) -> Value {
    match value {
        Value::Array(mut all) if !all.is_empty() => {
            all.remove(rng.usize(..all.len()));
            Value::Array(all)
        }
        Value::Object(all) if !all.is_empty() => {
            let gone = rng.usize(..all.len());
            let rest = all.into_iter().enumerate().filter(|(at, _)| *at != gone);
            Value::Object(rest.map(|(_, entry)| entry).collect::<Map<_, _>>())
        }
        _ => Value::Null,
    }
}

/// The number of nodes of a tree.
fn size(value: &Value) -> usize {
    1 + match value {
        Value::Array(all) => all.iter().map(size).sum(),
        Value::Object(all) => all.values().map(size).sum::<usize>(),
        _ => 0,
    }
}

/// The node of that number, which the tree has.
fn node(value: &mut Value, mut number: usize) -> &mut Value {
    if number == 0 {
        return value;
    }
    number -= 1;
    let children: Vec<&mut Value> = match value {
        Value::Array(all) => all.iter_mut().collect(),
        Value::Object(all) => all.values_mut().collect(),
        _ => Vec::new(),
    };
    for child in children {
        let size = size(child);
        if number < size {
            return node(child, number);
        }
        number -= size;
    }
    unreachable!("the number is less than the size")
}

/// Bends a text: bytes changed, ranges left out and repeated, which makes keys
/// double and brackets unequal, and words put in.
fn bend_bytes(bytes: &mut Vec<u8>, words: &[&str], rng: &mut Rng) {
    const ODD: [&[u8]; 17] = [
        b"\xff",
        b"\xed\xa0\x80",
        b"\0",
        b"\\u0000",
        b"\\ud800",
        b"\\u003c",
        b"\"",
        b"{",
        b"[",
        b"]",
        b",",
        b"1e999",
        b"-0",
        b"99999999999999999999999",
        b"null",
        b"\n",
        b"\t",
    ];
    let from = rng.usize(..=bytes.len());
    let to = (from + rng.usize(..64)).min(bytes.len());
    match rng.u8(..5) {
        0 if from < bytes.len() => bytes[from] ^= 1 << rng.u8(..8),
        1 => drop(bytes.drain(from..to)),
        2 => {
            let range = bytes[from..to].to_vec();
            bytes.splice(from..from, range.repeat(rng.usize(1..4)));
        }
        3 => {
            let word = rng.choice(words).copied().unwrap_or_default();
            bytes.splice(from..to, word.bytes());
        }
        _ => {
            let odd = rng.choice(ODD).unwrap_or_default();
            bytes.splice(from..from, odd.repeat(*rng.choice(&[1, 1, 1, 200]).unwrap_or(&1)));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_node_has_its_number() {
        let mut value = json!({"a": [1, 2], "b": {"c": 3}});
        assert_eq!(size(&value), 6);
        let nodes: Vec<_> = (0..6).map(|at| node(&mut value, at).to_string()).collect();
        assert_eq!(nodes[1..], ["[1,2]", "1", "2", r#"{"c":3}"#, "3"]);
    }
}
