//! JSON in which no key stands twice: serde_json would keep the last and say nothing.
use rlx::{Error, Result};
use serde::{
    Deserialize, Deserializer,
    de::{Error as _, MapAccess, SeqAccess, Visitor},
};
use serde_json::{Map, Number, Value};
use std::{fmt, path::Path};

struct Strict(Value);

struct Any;

impl<'de> Deserialize<'de> for Strict {
    fn deserialize<D: Deserializer<'de>>(from: D) -> std::result::Result<Self, D::Error> {
        from.deserialize_any(Any).map(Self)
    }
}

impl<'de> Visitor<'de> for Any {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }
    fn visit_bool<E>(self, x: bool) -> std::result::Result<Value, E> {
        Ok(x.into())
    }
    fn visit_i64<E>(self, x: i64) -> std::result::Result<Value, E> {
        Ok(x.into())
    }
    fn visit_u64<E>(self, x: u64) -> std::result::Result<Value, E> {
        Ok(x.into())
    }
    fn visit_f64<E: serde::de::Error>(self, x: f64) -> std::result::Result<Value, E> {
        Number::from_f64(x).map(Value::Number).ok_or_else(|| E::custom("a number is not finite"))
    }
    fn visit_str<E>(self, x: &str) -> std::result::Result<Value, E> {
        Ok(x.into())
    }
    fn visit_string<E>(self, x: String) -> std::result::Result<Value, E> {
        Ok(x.into())
    }
    fn visit_unit<E>(self) -> std::result::Result<Value, E> {
        Ok(Value::Null)
    }
    fn visit_seq<A: SeqAccess<'de>>(self, mut from: A) -> std::result::Result<Value, A::Error> {
        let mut out = Vec::new();
        while let Some(Strict(x)) = from.next_element()? {
            out.push(x);
        }
        Ok(out.into())
    }
    fn visit_map<A: MapAccess<'de>>(self, mut from: A) -> std::result::Result<Value, A::Error> {
        let mut out = Map::new();
        while let Some((key, Strict(x))) = from.next_entry::<String, _>()? {
            if out.contains_key(&key) {
                return Err(A::Error::custom(format!("the key '{key}' is there twice")));
            }
            out.insert(key, x);
        }
        Ok(out.into())
    }
}

/// Parses an object.
///
/// # Errors
/// When it is no JSON, no object, or has a key twice.
pub fn object(text: &[u8]) -> std::result::Result<Map<String, Value>, String> {
    match serde_json::from_slice(text) {
        Ok(Strict(Value::Object(map))) => Ok(map),
        Ok(Strict(other)) => Err(format!("it must be a JSON object and is {}", short(&other))),
        Err(e) => Err(e.to_string()),
    }
}

/// Reads an object from a file.
///
/// # Errors
/// As [`object`], or when the file cannot be read.
pub fn open(path: &Path) -> Result<Map<String, Value>> {
    let text = std::fs::read(path).map_err(|e| Error::io("reading", path, e))?;
    object(&text).map_err(|e| Error::corrupt(path, e))
}

/// A value for messages: never more than a line.
pub fn short(value: &Value) -> String {
    let text = value.to_string();
    if text.chars().count() <= 60 { text } else { format!("{}...", text.chars().take(57).collect::<String>()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a3_a_key_that_stands_twice_is_refused_at_any_depth() {
        for text in [r#"{"a": 1, "b": 2, "a": 1}"#, r#"{"b": [{"a": null, "a": 2}]}"#] {
            assert!(object(text.as_bytes()).unwrap_err().contains("'a' is there twice"), "{text}");
        }
        let text = r#"{"a":[1,-2,2.5,"x",null,true,{"b":18446744073709551615}],"c":1e3}"#;
        assert_eq!(Value::from(object(text.as_bytes()).unwrap()), serde_json::from_str::<Value>(text).unwrap());
        assert!(object(b"[1]").unwrap_err().contains("must be a JSON object"));
    }
}
