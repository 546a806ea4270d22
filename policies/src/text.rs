//! Strings that borrow from the request they came in, or share with the cache.

use std::{
    borrow::Borrow,
    cmp::Ordering,
    collections::HashSet,
    fmt,
    hash::{Hash, Hasher},
    ops::Deref,
    sync::Arc,
};

use serde::{Deserialize, Deserializer, de};

/// A string that is borrowed while a request is judged, and shared once it is
/// stored: reading a review copies nothing, and a thousand claims of one class
/// hold its name once.
#[derive(Clone)]
pub enum Text<'a> {
    /// A slice of the body being read.
    Borrowed(&'a str),
    /// A string of its own, usually held in many places (see [`Strings`]).
    Shared(Arc<str>),
}

impl Text<'_> {
    /// The string itself.
    #[must_use]
    pub fn as_str(&self) -> &str {
        match self {
            Self::Borrowed(text) => text,
            Self::Shared(text) => text,
        }
    }

    /// The same string, no longer tied to what it was read from.
    #[must_use]
    pub fn to_shared(&self) -> Text<'static> {
        match self {
            Self::Borrowed(text) => Text::Shared(Arc::from(*text)),
            Self::Shared(text) => Text::Shared(Arc::clone(text)),
        }
    }
}

impl Default for Text<'_> {
    fn default() -> Self {
        Self::Borrowed("")
    }
}

impl Deref for Text<'_> {
    type Target = str;

    fn deref(&self) -> &str {
        self.as_str()
    }
}

impl Borrow<str> for Text<'_> {
    fn borrow(&self) -> &str {
        self.as_str()
    }
}

impl<'a> From<&'a str> for Text<'a> {
    fn from(text: &'a str) -> Self {
        Self::Borrowed(text)
    }
}

impl From<String> for Text<'_> {
    fn from(text: String) -> Self {
        Self::Shared(text.into())
    }
}

impl fmt::Display for Text<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self)
    }
}

impl fmt::Debug for Text<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self.as_str(), f)
    }
}

impl PartialEq for Text<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.as_str() == other.as_str()
    }
}

impl Eq for Text<'_> {}

impl PartialEq<str> for Text<'_> {
    fn eq(&self, other: &str) -> bool {
        self.as_str() == other
    }
}

impl PartialOrd for Text<'_> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Text<'_> {
    fn cmp(&self, other: &Self) -> Ordering {
        self.as_str().cmp(other.as_str())
    }
}

impl Hash for Text<'_> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.as_str().hash(state);
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Text<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;

        impl<'de> de::Visitor<'de> for Visitor {
            type Value = Text<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a string")
            }

            fn visit_borrowed_str<E: de::Error>(self, text: &'de str) -> Result<Self::Value, E> {
                Ok(Text::Borrowed(text))
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Self::Value, E> {
                Ok(Text::Shared(text.into()))
            }

            fn visit_string<E: de::Error>(self, text: String) -> Result<Self::Value, E> {
                Ok(Text::Shared(text.into()))
            }
        }

        deserializer.deserialize_str(Visitor)
    }
}

/// The strings a cache holds, each once.
///
/// Strings nobody else holds any more are let go whenever the set has doubled,
/// so it never holds more than twice what its users do.
#[derive(Debug, Default)]
pub struct Strings {
    held: HashSet<Arc<str>>,
    sweep_at: usize,
}

impl Strings {
    /// Below this many strings a sweep is not worth its walk.
    const SMALLEST_SWEEP: usize = 1024;

    /// The one shared copy of `text`.
    pub fn share(&mut self, text: &str) -> Arc<str> {
        if let Some(held) = self.held.get(text) {
            return Arc::clone(held);
        }
        if self.held.len() >= self.sweep_at.max(Self::SMALLEST_SWEEP) {
            self.held.retain(|held| Arc::strong_count(held) > 1);
            self.sweep_at = self.held.len() * 2;
        }
        let shared: Arc<str> = text.into();
        self.held.insert(Arc::clone(&shared));
        shared
    }
}

/// Reduction of what was read to what is stored: the same facts, holding only
/// shared strings.
pub trait Reduce {
    /// The stored form.
    type Stored;

    /// Gives up everything borrowed from the input.
    fn into_stored(self, strings: &mut Strings) -> Self::Stored;
}

impl Reduce for Text<'_> {
    type Stored = Text<'static>;

    fn into_stored(self, strings: &mut Strings) -> Text<'static> {
        Text::Shared(strings.share(&self))
    }
}

impl<T: Reduce> Reduce for Option<T> {
    type Stored = Option<T::Stored>;

    fn into_stored(self, strings: &mut Strings) -> Self::Stored {
        self.map(|value| value.into_stored(strings))
    }
}

impl<T: Reduce> Reduce for Vec<T> {
    type Stored = Vec<T::Stored>;

    fn into_stored(self, strings: &mut Strings) -> Self::Stored {
        let mut stored: Vec<_> = self.into_iter().map(|value| value.into_stored(strings)).collect();
        // What was read keeps the room of its reading otherwise: it is collected in place.
        stored.shrink_to_fit();
        stored
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn borrows_a_plain_string_and_owns_an_escaped_one() {
        let plain: Text<'_> = serde_json::from_str(r#""nfs-proxmox""#).unwrap();
        assert!(matches!(plain, Text::Borrowed("nfs-proxmox")));
        let escaped: Text<'_> = serde_json::from_str(r#""a\u0062c""#).unwrap();
        assert!(matches!(&escaped, Text::Shared(text) if &**text == "abc"));
    }

    #[test]
    fn one_copy_serves_every_holder() {
        let mut strings = Strings::default();
        let (first, second) = (strings.share("vault"), strings.share("vault"));
        assert!(Arc::ptr_eq(&first, &second));
    }

    #[test]
    fn strings_nobody_holds_are_let_go() {
        let mut strings = Strings::default();
        let kept = strings.share("kept");
        for n in 0..10 * Strings::SMALLEST_SWEEP {
            strings.share(&n.to_string());
        }
        assert!(strings.held.len() <= Strings::SMALLEST_SWEEP + 1);
        assert!(Arc::ptr_eq(&kept, &strings.share("kept")));
    }
}
