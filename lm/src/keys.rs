//! What a model's files say of it, key by key and tensor by tensor: each is used, known to be harmless, or refused by name. A reader
//! that goes on without what it does not understand computes another model and does not say so.
pub mod harmless;

use harmless::Harmless;

use crate::json::short;
use rlx::{Error, Result};
use serde_json::{Map, Value};
use std::{cell::RefCell, collections::BTreeSet};

/// The keys of one object, and which of them were asked for.
pub struct Keys<'a> {
    place: String,
    prefix: String,
    all: &'a Map<String, Value>,
    asked: RefCell<BTreeSet<String>>,
}

impl<'a> Keys<'a> {
    /// Of an object; `place` stands in messages: `config.json`.
    pub fn new(place: impl Into<String>, all: &'a Map<String, Value>) -> Self {
        Self { place: place.into(), prefix: String::new(), all, asked: RefCell::default() }
    }

    /// Keys that all begin alike are asked for without their beginning.
    #[must_use]
    pub fn with_prefix(self, prefix: impl Into<String>) -> Self {
        Self { prefix: prefix.into(), ..self }
    }

    /// The value of a key, which counts as used from now on. A null is as if the key were not there.
    pub fn get(&self, key: &str) -> Option<&'a Value> {
        let key = format!("{}{key}", self.prefix);
        let value = self.all.get(&key).filter(|v| !v.is_null());
        self.asked.borrow_mut().insert(key);
        value
    }

    /// Whether a key stands there, if only as a null.
    pub fn has(&self, key: &str) -> bool {
        self.all.contains_key(&format!("{}{key}", self.prefix))
    }

    /// An error about a key: what it is, and what would be right.
    pub fn wrong(&self, key: &str, right: &str) -> Error {
        let key = format!("{}{key}", self.prefix);
        Error::invalid(match self.all.get(&key) {
            Some(value) => format!("{}: {key} is {}; {right}", self.place, short(value)),
            None => format!("{}: {key} is missing; {right}", self.place),
        })
    }

    /// A whole number. `64.0` is one: that is how some programs write them.
    ///
    /// # Errors
    /// When the value is something else.
    pub fn uint(&self, key: &str) -> Result<Option<usize>> {
        self.get(key)
            .map(|v| whole(v).ok_or_else(|| self.wrong(key, "it must be a whole number that is not negative")))
            .transpose()
    }

    /// A whole number that must be there.
    ///
    /// # Errors
    /// When there is none.
    pub fn need(&self, key: &str) -> Result<usize> {
        self.uint(key)?.ok_or_else(|| self.wrong(key, "it must be a whole number"))
    }

    /// A number.
    ///
    /// # Errors
    /// When the value is something else.
    pub fn float(&self, key: &str) -> Result<Option<f64>> {
        let finite = |v: &Value| v.as_f64().filter(|x| x.is_finite());
        self.get(key).map(|v| finite(v).ok_or_else(|| self.wrong(key, "it must be a number"))).transpose()
    }

    /// A number that must be there and positive.
    ///
    /// # Errors
    /// When there is none.
    pub fn positive(&self, key: &str) -> Result<f64> {
        self.float(key)?.filter(|x| *x > 0.0).ok_or_else(|| self.wrong(key, "it must be a positive number"))
    }

    /// True or false; false where nothing is said.
    ///
    /// # Errors
    /// When the value is something else.
    pub fn flag(&self, key: &str) -> Result<bool> {
        let bad = || self.wrong(key, "it must be true or false");
        self.get(key).map_or(Ok(false), |v| v.as_bool().ok_or_else(bad))
    }

    /// Text.
    ///
    /// # Errors
    /// When the value is something else.
    pub fn text(&self, key: &str) -> Result<Option<&'a str>> {
        self.get(key).map(|v| v.as_str().ok_or_else(|| self.wrong(key, "it must be a text"))).transpose()
    }

    /// An object; none when it is empty, which says nothing.
    ///
    /// # Errors
    /// When the value is something else.
    pub fn object(&self, key: &str) -> Result<Option<&'a Map<String, Value>>> {
        let bad = || self.wrong(key, "it must be an object");
        Ok(self.get(key).map(|v| v.as_object().ok_or_else(bad)).transpose()?.filter(|m| !m.is_empty()))
    }

    /// One whole number or a list of them; none where nothing is said.
    ///
    /// # Errors
    /// When the value is something else.
    pub fn uints(&self, key: &str) -> Result<Vec<usize>> {
        let bad = || self.wrong(key, "it must be a whole number that is not negative, or a list of such");
        match self.get(key) {
            None => Ok(Vec::new()),
            Some(Value::Array(all)) => all.iter().map(|v| whole(v).ok_or_else(bad)).collect(),
            Some(one) => Ok(vec![whole(one).ok_or_else(bad)?]),
        }
    }

    /// That keys which have a default are not null: a reader that took the default would guess.
    ///
    /// # Errors
    /// Naming the one that is.
    pub fn never_null(&self, keys: &[&str]) -> Result<()> {
        match keys.iter().find(|k| self.all.get(&format!("{}{k}", self.prefix)).is_some_and(Value::is_null)) {
            Some(key) => Err(self.wrong(key, "give it a value, or leave the key out")),
            None => Ok(()),
        }
    }

    /// That every key was asked for, or is harmless with the value that it has. A null under a name that nothing here knows says nothing.
    ///
    /// # Errors
    /// Naming the first that is neither.
    pub fn finish(&self, harmless: &[&[Harmless]]) -> Result<()> {
        let asked = self.asked.borrow();
        for (key, value) in self.all.iter().filter(|(k, v)| !asked.contains(*k) && !v.is_null()) {
            let bare = key.strip_prefix(&self.prefix).unwrap_or(key);
            match harmless.iter().copied().flatten().find(|h| h.names(bare)) {
                Some(known) if known.allows(value) => {}
                Some(known) => return Err(self.wrong(bare, &format!("not supported: {}", known.why))),
                None => {
                    return Err(self.wrong(
                        bare,
                        "not supported: nothing here knows this key, and without it the model may be another",
                    ));
                }
            }
        }
        Ok(())
    }
}

/// A whole number that is not negative, if it was written as `64.0` or as `64`.
fn whole(v: &Value) -> Option<usize> {
    let float = || v.as_f64().filter(|x| *x >= 0.0 && x.fract() == 0.0 && *x < 9e15).map(|x| x as u64);
    v.as_u64().or_else(float).and_then(|x| usize::try_from(x).ok())
}

/// That every tensor of a file is one that is read, or is known to be harmless.
///
/// # Errors
/// Naming the first that is neither, and how many there are.
pub fn account<'a>(
    place: &str,
    names: impl Iterator<Item = &'a str>,
    read: impl Fn(&str) -> bool,
    harmless: impl Fn(&str) -> bool,
) -> Result<()> {
    let left: Vec<&str> = names.filter(|n| !read(n) && !harmless(n)).collect();
    let Some(first) = left.first() else { return Ok(()) };
    let more = if left.len() == 1 { String::new() } else { format!(" (and {} more)", left.len() - 1) };
    Err(Error::invalid(format!(
        "{place}: the tensor '{first}'{more} is not supported: nothing here reads it, and without it the model would be another"
    )))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a3_values_of_another_type_are_refused_and_whole_floats_are_whole() {
        let all = json!({"a": 64.0, "b": "64", "c": null, "d": 1.5, "e": -1, "f": 1, "g": [2.0, 3], "h": true});
        let keys = Keys::new("config.json", all.as_object().unwrap());
        assert_eq!(keys.uint("a").unwrap(), Some(64));
        assert_eq!((keys.uint("c").unwrap(), keys.uint("none").unwrap()), (None, None));
        for key in ["b", "d", "e", "h"] {
            let error = keys.uint(key).unwrap_err().to_string();
            assert!(error.starts_with(&format!("config.json: {key} is ")), "{error}");
        }
        assert_eq!(
            keys.uint("b").unwrap_err().to_string(),
            "config.json: b is \"64\"; it must be a whole number that is not negative"
        );
        assert!(keys.flag("f").is_err() && keys.float("h").is_err() && keys.text("a").is_err());
        assert_eq!(keys.uints("g").unwrap(), [2, 3]);
        assert!(keys.need("none").unwrap_err().to_string().contains("none is missing"));
        assert!(keys.never_null(&["a", "c"]).unwrap_err().to_string().contains("c is null"));
    }

    #[test]
    fn a1_what_nobody_asked_for_is_refused_by_name() {
        let all = json!({"x.a": 1, "x.b": 2, "x.c": null});
        let keys = Keys::new("metadata", all.as_object().unwrap()).with_prefix("x.");
        assert_eq!(keys.uint("a").unwrap(), Some(1));
        let error = keys.finish(&[]).unwrap_err().to_string();
        assert!(error.contains("metadata: x.b is 2; not supported"), "{error}");
        let names = ["a", "b", "c"];
        let error = account("f", names.into_iter(), |n| n == "a", |_| false).unwrap_err().to_string();
        assert!(error.contains("tensor 'b' (and 1 more) is not supported"), "{error}");
        account("f", names.into_iter(), |n| n == "a", |n| n != "a").unwrap();
    }
}
