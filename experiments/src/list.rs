//! `rlx list`: what there is, each with one line of what it is; with a name, all its keys.
use crate::experiment::RunConfig;
use crate::fetch;
use crate::red10::pretrained;
use anyhow::{Result, bail};
use rlx::{
    Registry,
    config::{Keys, matching, nearest},
};
use rlx_lm::data::catalogue::Kind;
use serde_json::{Value, json};

/// What can be listed.
pub const KINDS: [&str; 8] = ["envs", "algos", "presets", "bots", "models", "data", "run", "heal"];

const ABOUT: [&str; 8] = [
    "worlds to train in",
    "learners and searchers",
    "tuned choices for a world and an algorithm",
    "players of red10",
    "language models that can be fetched",
    "data sets that can be fetched",
    "keys that every run has",
    "keys of a healing",
];

fn keys_json(keys: &Keys) -> Value {
    keys.iter()
        .map(|k| json!({"name": k.name, "about": k.about, "default": k.default, "allowed": k.allowed()}))
        .collect::<Vec<_>>()
        .into()
}

/// The list as JSON: `[{"name", "about"}]`, with a name `{"name", "about", "keys": [{"name", "about", "default", "allowed"}]}`.
///
/// # Errors
/// When there is no such kind or name.
pub fn json(registry: &Registry, kind: &str, name: Option<&str>) -> Result<Value> {
    let entry = |name: &str, about: &str| json!({"name": name, "about": about});
    let full = |name: &str, about: &str, keys: &Keys| json!({"name": name, "about": about, "keys": keys_json(keys)});
    let kind = matching(kind, KINDS.into_iter()).unwrap_or(kind);
    let listed = match (kind, name) {
        ("kinds", _) => KINDS.iter().zip(ABOUT).map(|(name, about)| entry(name, about)).collect::<Vec<_>>().into(),
        ("envs", None) => registry.worlds().iter().map(|w| entry(&w.name, &w.about)).collect::<Vec<_>>().into(),
        ("envs", Some(name)) => {
            let w = registry.find_world(name)?;
            full(&w.name, &w.about, &w.keys)
        }
        ("algos", None) => registry.algos().iter().map(|a| entry(&a.name, &a.about)).collect::<Vec<_>>().into(),
        ("algos", Some(name)) => {
            let a = registry.find_algo(name)?;
            full(&a.name, &a.about, &a.keys)
        }
        ("presets", None) => registry.presets().iter().map(|p| entry(&p.name, &p.about)).collect::<Vec<_>>().into(),
        ("presets", Some(name)) => {
            let p = registry.find_preset(name)?;
            json!({"name": p.name, "about": p.about, "env": p.env, "algo": p.algo, "config": p.config})
        }
        ("bots", _) => {
            let shipped = (pretrained::NAME, pretrained::ABOUT);
            rlx_red10::bots::BOTS
                .iter()
                .chain([&shipped])
                .map(|(name, about)| entry(name, about))
                .collect::<Vec<_>>()
                .into()
        }
        ("models", _) => fetch::list(Kind::Model),
        ("data", _) => fetch::list(Kind::Data),
        ("heal", _) => full("heal", "keys of a healing", crate::heal::Config::keys()),
        ("run", _) => full("run", "keys that every run has", &Keys::of::<RunConfig>()),
        (other, _) => bail!("there is no list of '{other}'{}", nearest(other, KINDS.into_iter())),
    };
    // Of the others a name chooses one.
    let (Some(name), Value::Array(entries)) = (name, &listed) else { return Ok(listed) };
    let names = || entries.iter().filter_map(|e| e["name"].as_str());
    let meant = matching(name, names());
    match entries.iter().find(|e| e["name"].as_str() == meant && meant.is_some()) {
        Some(one) => Ok(one.clone()),
        None => bail!("there is no '{name}' in {kind}{}", nearest(name, names())),
    }
}

/// The list as text.
///
/// # Errors
/// As [`json`].
pub fn text(registry: &Registry, kind: &str, name: Option<&str>) -> Result<String> {
    let value = json(registry, kind, name)?;
    let get = |v: &Value, k: &str| v[k].as_str().unwrap_or_default().to_owned();
    let mut out = String::new();
    match &value {
        Value::Array(entries) => {
            let width = entries.iter().map(|e| get(e, "name").len()).max().unwrap_or(0);
            for e in entries {
                out += &format!("{:width$}  {}\n", get(e, "name"), get(e, "about"));
            }
        }
        one => {
            out += &format!("{}: {}\n", get(one, "name"), get(one, "about"));
            for key in one["keys"].as_array().into_iter().flatten() {
                out += &format!("\n  {} = {}\n", get(key, "name"), key["default"]);
                out += &format!("      {} ({})\n", get(key, "about"), get(key, "allowed"));
            }
            if let Some(config) = one["config"].as_str() {
                out += &format!("for --env {} --algo {}\n\n{config}", get(one, "env"), get(one, "algo"));
            }
        }
    }
    Ok(out)
}
