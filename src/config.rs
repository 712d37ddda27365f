//! Configs: typed structs with defaults, whose doc comments and ranges become the command line's help and its checks.
use crate::{Error, Result};
use schemars::{JsonSchema, generate::SchemaSettings};
use serde::{Serialize, de::DeserializeOwned};
use serde_json::{Map, Value};

/// A table of config values.
pub type Table = Map<String, Value>;

/// A config: a serde struct with `Default`, `#[serde(default, deny_unknown_fields)]`, a doc line per field and
/// `#[schemars(range(min = .., max = ..))]` where a range applies.
pub trait Config: Serialize + DeserializeOwned + Default + JsonSchema + Clone + Send + Sync + 'static {}
impl<T: Serialize + DeserializeOwned + Default + JsonSchema + Clone + Send + Sync + 'static> Config for T {}

/// What is known of one key of a config.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Key {
    /// Its name.
    pub name: String,
    /// Its doc line.
    pub about: String,
    /// `integer`, `number`, `boolean`, `string`, `array` or `object`.
    pub kind: String,
    /// Its default.
    pub default: Value,
    /// Lowest allowed value, of the items for an array.
    pub min: Option<f64>,
    /// Highest allowed value, of the items for an array.
    pub max: Option<f64>,
    /// The allowed words, where it is a choice.
    pub choices: Vec<String>,
    /// The kind of the items, for an array.
    pub items: Option<String>,
}

/// The keys of a config type, in the order of their declaration.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Keys(Vec<Key>);

impl Keys {
    /// The keys of `C`, with its defaults.
    pub fn of<C: Config>() -> Self {
        let schema =
            SchemaSettings::default().with(|s| s.inline_subschemas = true).into_generator().into_root_schema_for::<C>();
        let defaults = to_map(&C::default());
        let none = Map::new();
        let properties = schema.get("properties").and_then(Value::as_object).unwrap_or(&none);
        // The defaults are in the order of the struct, the schema's properties in that of the alphabet.
        let keys = defaults.iter().map(|(name, default)| Key::new(name, properties.get(name), default)).collect();
        Self(keys)
    }

    /// All keys.
    pub fn iter(&self) -> impl Iterator<Item = &Key> {
        self.0.iter()
    }
    /// The key of that name.
    pub fn get(&self, name: &str) -> Option<&Key> {
        self.0.iter().find(|k| k.name == name)
    }
    /// The default of every key.
    pub fn defaults(&self) -> Map<String, Value> {
        self.0.iter().map(|k| (k.name.clone(), k.default.clone())).collect()
    }

    /// Checks the values of `table`, which `whose` (`ppo`) names in messages.
    ///
    /// # Errors
    /// Naming the first key that is unknown (with the nearest right one), of a wrong type or out of range.
    pub fn check(&self, whose: &str, table: &Map<String, Value>) -> Result<()> {
        for (name, value) in table {
            match self.get(name) {
                Some(key) => key.check(value)?,
                None => {
                    let near = nearest(name, self.0.iter().map(|k| k.name.as_str()));
                    return Err(Error::invalid(format!("{whose} has no key '{name}'{near}")));
                }
            }
        }
        Ok(())
    }
}

/// A struct as a JSON object. Struct types of the project serialise; a type that does not is a bug found by its first test.
pub fn to_map<C: Serialize>(config: &C) -> Map<String, Value> {
    match serde_json::to_value(config) {
        Ok(Value::Object(map)) => map,
        other => panic!("a config is a struct with serialisable fields, not {other:?}"),
    }
}

/// A config from a table that was checked; what is missing has its default.
///
/// # Errors
/// When a value does not fit its field.
pub fn from_map<C: Config>(table: &Map<String, Value>) -> Result<C> {
    // Not left to serde: keys that are flattened in from another struct would have that struct's defaults.
    let mut all = to_map(&C::default());
    all.extend(table.clone());
    serde_json::from_value(Value::Object(all)).map_err(|e| Error::invalid(e.to_string()))
}

/// A name as it is compared: case, `-`, `_` and spaces make no difference.
fn plain(name: &str) -> String {
    name.chars().filter(|c| !matches!(c, '-' | '_' | ' ')).flat_map(char::to_lowercase).collect()
}

/// Which of `names` is meant: the one that is written just so, or else the only one that differs in case, `-` and `_` alone.
pub fn matching<'a>(wanted: &str, names: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let names: Vec<&str> = names.collect();
    if let Some(name) = names.iter().find(|n| **n == wanted) {
        return Some(name);
    }
    let mut alike = names.iter().filter(|n| plain(n) == plain(wanted));
    alike.next().filter(|_| alike.next().is_none()).copied()
}

/// The one of `names` that is meant by `wanted`, as [`matching`] finds it; `what` says what they are names of.
///
/// # Errors
/// Naming the nearest, or all of them when none is near.
pub fn choose<'a>(what: &str, wanted: &str, names: impl Iterator<Item = &'a str>) -> Result<&'a str> {
    let names: Vec<&str> = names.collect();
    matching(wanted, names.iter().copied())
        .ok_or_else(|| Error::usage(format!("there is no {what} '{wanted}'{}", nearest(wanted, names.into_iter()))))
}

/// `, did you mean 'x'?` with the nearest of `names`, or the list of all of them when none is near.
pub fn nearest<'a>(wrong: &str, names: impl Iterator<Item = &'a str>) -> String {
    let names: Vec<&str> = names.collect();
    let meant = plain(wrong);
    let distance = |n: &str| strsim::damerau_levenshtein(wrong, n).min(strsim::damerau_levenshtein(&meant, &plain(n)));
    let best = names.iter().map(|n| (distance(n), *n)).min();
    let within = |n: &&&str| meant.len() >= 3 && (plain(n).contains(&meant) || meant.contains(&plain(n)));
    let contained = names.iter().filter(|n| !n.is_empty()).find(within);
    // A third of its letters may be wrong: with more of them two short names have nothing in common.
    let within_reach = wrong.chars().count().div_ceil(3).max(1);
    match (best, contained) {
        (Some((distance, name)), _) if distance <= within_reach => format!(": did you mean '{name}'?"),
        (_, Some(name)) => format!(": did you mean '{name}'?"),
        _ if names.is_empty() => String::new(),
        _ => format!(": there are {}", names.join(", ")),
    }
}

impl Key {
    fn new(name: &str, schema: Option<&Value>, default: &Value) -> Self {
        let empty = Value::Null;
        let schema = schema.unwrap_or(&empty);
        let items = schema.get("items");
        let number = |key: &str| items.unwrap_or(schema).get(key).and_then(Value::as_f64);
        let word = |v: &Value| v.as_str().map(str::to_owned);
        let mut choices: Vec<String> =
            schema.get("enum").and_then(Value::as_array).into_iter().flatten().filter_map(word).collect();
        // Enums with a doc line per variant come as `oneOf` of constants.
        choices.extend(
            schema.get("oneOf").and_then(Value::as_array).into_iter().flatten().filter_map(|v| word(v.get("const")?)),
        );
        for part in schema.get("oneOf").and_then(Value::as_array).into_iter().flatten() {
            choices.extend(part.get("enum").and_then(Value::as_array).into_iter().flatten().filter_map(word));
        }
        let kind_of = |s: &Value| match s.get("type") {
            Some(Value::String(kind)) => Some(kind.clone()),
            Some(Value::Array(kinds)) => kinds.iter().filter_map(word).find(|k| k != "null"),
            _ => None,
        };
        let kind = kind_of(schema).unwrap_or_else(|| {
            match default {
                Value::Bool(_) => "boolean",
                Value::Number(_) => "number",
                Value::Array(_) => "array",
                Value::Object(_) => "object",
                _ => "string",
            }
            .into()
        });
        Self {
            name: name.into(),
            about: schema.get("description").and_then(Value::as_str).unwrap_or_default().replace('\n', " "),
            kind,
            default: default.clone(),
            min: number("minimum"),
            max: number("maximum"),
            choices,
            // A list of choices has no type but its words.
            items: items.map(|i| kind_of(i).unwrap_or_else(|| "string".into())),
        }
    }

    /// What is allowed, for messages: `an integer in 1..=8`.
    pub fn allowed(&self) -> String {
        if !self.choices.is_empty() {
            return format!("one of {}", self.choices.join(", "));
        }
        let scalar = self.items.as_deref().unwrap_or(&self.kind);
        let what = match scalar {
            "integer" => "integer",
            "number" => "number",
            "boolean" => "true or false",
            other => other,
        };
        let range = match (self.min, self.max) {
            (Some(a), Some(b)) => format!(" from {a} to {b}"),
            (Some(a), None) => format!(" of at least {a}"),
            (None, Some(b)) => format!(" of at most {b}"),
            (None, None) => String::new(),
        };
        match (self.items.is_some(), scalar) {
            (true, _) => format!("a list of {what}s{range}, as in [64, 64]"),
            (false, "boolean") => what.into(),
            (false, "integer") => format!("an {what}{range}"),
            (false, _) => format!("a {what}{range}"),
        }
    }

    /// Checks a value.
    ///
    /// # Errors
    /// Naming the key, the value and what is allowed.
    pub fn check(&self, value: &Value) -> Result<()> {
        if self.fits(value) {
            return Ok(());
        }
        Err(Error::invalid(format!("{} = {value}: it must be {}", self.name, self.allowed())))
    }

    fn fits(&self, value: &Value) -> bool {
        if value.is_null() {
            return self.default.is_null();
        }
        if !self.choices.is_empty() {
            return value.as_str().is_some_and(|v| self.choices.iter().any(|c| c == v));
        }
        match (&self.items, value) {
            (Some(kind), Value::Array(items)) => items.iter().all(|v| self.scalar_fits(kind, v)),
            (Some(_), _) => false,
            (None, _) => self.scalar_fits(&self.kind, value),
        }
    }

    fn scalar_fits(&self, kind: &str, value: &Value) -> bool {
        let in_range = |x: f64| x.is_finite() && self.min.is_none_or(|m| x >= m) && self.max.is_none_or(|m| x <= m);
        match kind {
            "integer" => (value.is_i64() || value.is_u64()) && value.as_f64().is_some_and(in_range),
            "number" => value.as_f64().is_some_and(in_range),
            "boolean" => value.is_boolean(),
            "string" => value.is_string(),
            "object" => value.is_object(),
            _ => true,
        }
    }

    /// Reads the text of a `--set key=text`: numbers may be written `1e6` or `1_000_000`, lists `64,64` or `[64, 64]`.
    ///
    /// # Errors
    /// As [`Key::check`].
    pub fn parse(&self, text: &str) -> Result<Value> {
        let text = text.trim();
        let value = match &self.items {
            Some(kind) => {
                let inner = text.strip_prefix('[').and_then(|t| t.strip_suffix(']')).unwrap_or(text);
                let items = inner.split(',').map(|t| t.trim().trim_matches('"')).filter(|t| !t.is_empty());
                Value::Array(items.map(|t| scalar(kind, t)).collect())
            }
            None => scalar(&self.kind, text),
        };
        let whole = self.items.as_deref().unwrap_or(&self.kind) == "integer";
        let parts = text.trim_start_matches('[').trim_end_matches(']').split(',');
        let huge =
            |t: &str| t.trim().replace('_', "").parse::<f64>().is_ok_and(|x| x.is_finite() && x.abs() >= LARGEST);
        if let Some(part) = parts.filter(|_| whole).map(str::trim).find(|t| scalar("integer", t).is_string() && huge(t))
        {
            let size = if part.starts_with('-') { "too small" } else { "too large" };
            return Err(Error::invalid(format!("{} = {part}: it is {size}: it must be {}", self.name, self.allowed())));
        }
        self.check(&value)?;
        Ok(value)
    }
}

/// From here on a float does not hold every whole number.
const LARGEST: f64 = 9_007_199_254_740_992.0;

/// The value a text stands for, as far as its kind allows; what does not fit stays text, and the check then says so.
fn scalar(kind: &str, text: &str) -> Value {
    let plain = text.replace('_', "");
    let parsed = match kind {
        "integer" => plain.parse::<i64>().map(Value::from).ok().or_else(|| {
            let x = plain.parse::<f64>().ok()?;
            (x.fract() == 0.0 && x.abs() < LARGEST).then(|| Value::from(x as i64))
        }),
        "number" => plain.parse::<f64>().ok().and_then(serde_json::Number::from_f64).map(Value::Number),
        "boolean" => plain.parse::<bool>().map(Value::from).ok(),
        _ => None,
    };
    parsed.unwrap_or_else(|| Value::from(text))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde::Deserialize;

    /// What a size is.
    #[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
    #[serde(rename_all = "kebab-case")]
    enum Size {
        /// A small one.
        Small,
        /// A large one.
        VeryLarge,
    }

    #[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
    #[serde(default, deny_unknown_fields)]
    struct Sample {
        /// Step size of the optimiser.
        #[schemars(range(min = 1e-8, max = 1.0))]
        learning_rate: f64,
        /// Hidden layers.
        #[schemars(inner(range(min = 1, max = 4096)))]
        hidden: Vec<usize>,
        /// How big.
        size: Size,
        /// Whether.
        flag: bool,
        /// How many.
        #[schemars(range(min = 1))]
        count: u64,
    }
    impl Default for Sample {
        fn default() -> Self {
            Self { learning_rate: 1e-3, hidden: vec![64, 64], size: Size::Small, flag: true, count: 4 }
        }
    }

    fn message(r: Result<impl std::fmt::Debug>) -> String {
        r.unwrap_err().to_string()
    }

    #[test]
    fn keys_come_from_the_type() {
        let keys = Keys::of::<Sample>();
        let names: Vec<_> = keys.iter().map(|k| k.name.as_str()).collect();
        assert_eq!(names, ["learning_rate", "hidden", "size", "flag", "count"]);
        let rate = keys.get("learning_rate").unwrap();
        assert_eq!((rate.about.as_str(), rate.min, rate.max), ("Step size of the optimiser.", Some(1e-8), Some(1.0)));
        assert_eq!(keys.get("size").unwrap().choices, ["small", "very-large"]);
        assert_eq!(keys.get("hidden").unwrap().max, Some(4096.0));
    }

    #[test]
    fn texts_become_values_of_the_key() {
        let keys = Keys::of::<Sample>();
        let parse = |k: &str, t: &str| keys.get(k).unwrap().parse(t);
        assert_eq!(parse("count", "1e6").unwrap(), 1_000_000);
        assert_eq!(parse("count", "1_000").unwrap(), 1000);
        assert_eq!(parse("hidden", "[32, 16]").unwrap(), serde_json::json!([32, 16]));
        assert_eq!(parse("hidden", "32").unwrap(), serde_json::json!([32]));
        assert_eq!(parse("size", "very-large").unwrap(), "very-large");
        assert_eq!(parse("flag", "false").unwrap(), false);
        assert_eq!(
            message(parse("learning_rate", "-1")),
            "learning_rate = -1.0: it must be a number from 0.00000001 to 1"
        );
        assert_eq!(message(parse("count", "0")), "count = 0: it must be an integer of at least 1");
        assert_eq!(message(parse("count", "1.5")), "count = \"1.5\": it must be an integer of at least 1");
        assert_eq!(message(parse("size", "tiny")), "size = \"tiny\": it must be one of small, very-large");
        assert!(message(parse("hidden", "64,0")).contains("a list of integers from 1 to 4096"));
        assert!(parse("learning_rate", "nan").is_err() && parse("learning_rate", "inf").is_err());
    }

    #[test]
    fn e8_a_count_that_is_too_large_is_called_so() {
        let keys = Keys::of::<Sample>();
        let parse = |k: &str, t: &str| keys.get(k).unwrap().parse(t);
        for text in ["1e30", "99999999999999999999", "1e16"] {
            let said = message(parse("count", text));
            assert_eq!(said, format!("count = {text}: it is too large: it must be an integer of at least 1"));
        }
        assert!(message(parse("hidden", "64,1e30")).contains("hidden = 1e30: it is too large"));
        assert!(message(parse("count", "-5")).contains("count = -5: it must be an integer of at least 1"));
    }

    #[test]
    fn e8_names_match_whatever_their_case() {
        let names = || ["ppo", "pick-place", "cart_pole"].into_iter();
        assert_eq!(matching("PPO", names()), Some("ppo"));
        assert_eq!(matching("Pick_Place", names()), Some("pick-place"));
        assert_eq!(matching("CartPole", names()), Some("cart_pole"));
        assert_eq!(matching("a2c", names()), None);
        assert_eq!(matching("A", ["a", "A"].into_iter()), Some("A"), "the one that is written just so");
        assert_eq!(matching("Ab", ["aB", "AB"].into_iter()), None, "never one of two");
        assert_eq!(nearest("PPo2", names()), ": did you mean 'ppo'?");
    }

    #[test]
    fn a_wrong_key_names_the_nearest() {
        let keys = Keys::of::<Sample>();
        let table = serde_json::json!({"learning_rat": 1});
        assert_eq!(
            message(keys.check("ppo", table.as_object().unwrap())),
            "ppo has no key 'learning_rat': did you mean 'learning_rate'?"
        );
        let table = serde_json::json!({"zzz": 1});
        assert!(message(keys.check("ppo", table.as_object().unwrap())).contains("there are learning_rate, hidden"));
    }
}
