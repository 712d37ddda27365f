//! `rlx list`: what there is, each with one line of what it is; with a name, all its keys.
use super::fetch;
use anyhow::{Result, bail};
use rlx::{
    Registry,
    config::{Keys, matching, nearest},
};
use rlx_lab::workload::Lab;
use rlx_lm::data::catalogue::Kind;
use rlx_runs::{
    answer::{Answer, printed, usage},
    run_config::RunConfig,
};
use serde_json::{Value, json};

/// `rlx list`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// envs, algos, presets, bots, models, data, run, or a kind of experiment such as heal; these kinds where none is named.
    kind: Option<String>,
    /// One of them, with all its keys.
    name: Option<String>,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

/// Lists what there is.
pub fn run(registry: &Registry, args: &Args) -> Answer {
    let kind = args.kind.as_deref().unwrap_or("kinds");
    let name = args.name.as_deref();
    printed(&match args.json {
        true => format!("{:#}\n", json(registry, kind, name).map_err(usage)?),
        false => text(registry, kind, name).map_err(usage)?,
    })
}

/// What can be listed, each with a line of what it is.
const KINDS: [(&str, &str); 7] = [
    ("envs", "environments to train in"),
    ("algos", "learners and searchers"),
    ("presets", "tuned choices for an environment and an algorithm"),
    ("bots", "players without training"),
    ("models", "language models that can be fetched"),
    ("data", "data sets that can be fetched"),
    ("run", "keys that every run has"),
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
fn json(registry: &Registry, kind: &str, name: Option<&str>) -> Result<Value> {
    let entry = |name: &str, about: &str| json!({"name": name, "about": about});
    let full = |name: &str, about: &str, keys: &Keys| json!({"name": name, "about": about, "keys": keys_json(keys)});
    let own: Vec<(&str, &str, &Keys)> =
        Lab::of(registry).workloads().filter_map(|w| w.keys().map(|(about, keys)| (w.kind(), about, keys))).collect();
    let kinds = || KINDS.into_iter().chain(own.iter().map(|(kind, about, _)| (*kind, *about)));
    let kind = matching(kind, kinds().map(|k| k.0)).unwrap_or(kind);
    let listed = match (kind, name) {
        ("kinds", _) => kinds().map(|(name, about)| entry(name, about)).collect::<Vec<_>>().into(),
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
            let bots = registry.worlds().iter().flat_map(|w| &w.parts.bots);
            bots.map(|(name, about)| entry(name, about)).collect::<Vec<_>>().into()
        }
        ("models", _) => fetch::list(Kind::Model),
        ("data", _) => fetch::list(Kind::Data),
        ("run", _) => full("run", "keys that every run has", &Keys::of::<RunConfig>()),
        (other, _) => match own.iter().find(|o| o.0 == other) {
            Some((name, about, keys)) => full(name, about, keys),
            None => bail!("there is no list of '{other}'{}", nearest(other, kinds().map(|k| k.0))),
        },
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
