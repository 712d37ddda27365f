//! What an experiment is: a base config, what varies, seeds, budgets and metrics, as a TOML file; checked before anything runs.
use crate::workload::{Lab, TRAINING};
use anyhow::{Context, Result, anyhow, bail};
use rlx::{
    Registry,
    config::{matching, nearest},
};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use std::{collections::BTreeMap, path::Path};

/// Version of the layout of a spec; another one is refused.
pub const FORMAT: u64 = 1;

/// A table of keys and values, in the order of the file.
pub type Table = Map<String, Value>;

/// How a run's curve becomes one number.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Reduce {
    /// The last value.
    #[default]
    Last,
    /// The best value so far; optimistic, since it is chosen by what it is judged by.
    Best,
    /// The mean over all values: the area under the curve.
    Mean,
}

/// What a metric's values mean in one task.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Scale {
    /// The value that is score 0.
    pub low: Option<f64>,
    /// The value that is score 1.
    pub high: Option<f64>,
    /// The value that counts as having learnt it, for time-to-threshold.
    pub threshold: Option<f64>,
}

/// A metric that the report is about.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Metric {
    /// Its name in `metrics.jsonl`.
    pub name: String,
    /// Its unit, for axes.
    #[serde(default)]
    pub unit: String,
    /// How a curve becomes a number.
    #[serde(default)]
    pub reduce: Reduce,
    /// Whether smaller is better.
    #[serde(default)]
    pub lower_is_better: bool,
    /// Scores and thresholds by task.
    #[serde(default)]
    pub tasks: BTreeMap<String, Scale>,
}

/// A checked spec, with the quick variant applied where it was asked for.
#[derive(Clone, Debug)]
pub struct Spec {
    /// Its name.
    pub name: String,
    /// The text it was read from.
    pub text: String,
    /// Whether this is the quick variant.
    pub quick: bool,
    /// What its cells are: the kind of a [`crate::workload::Workload`].
    pub kind: String,
    /// One line of what it shows.
    pub about: String,
    /// Keys that all cells have.
    pub base: Table,
    /// Keys that all cells of a task have, in the place of the base's.
    pub tasks: BTreeMap<String, Table>,
    /// Keys that vary, each with its values.
    pub grid: Vec<(String, Vec<Value>)>,
    /// Named sets of keys: one more axis.
    pub variants: Vec<(String, Table)>,
    /// Seeds.
    pub seeds: Vec<u64>,
    /// What is a task: by default `env`, or what the kind of work has for it; otherwise a key of the grid.
    pub task: String,
    /// What the report is about.
    pub metrics: Vec<Metric>,
    /// The method that others are compared with; the first when none is named.
    pub baseline: Option<String>,
}

const TOP: [&str; 13] = [
    "format", "kind", "about", "seeds", "task", "baseline", "base", "tasks", "grid", "variants", "budget", "metrics",
    "quick",
];
const QUICK: [&str; 5] = ["seeds", "base", "grid", "variants", "budget"];
const METRIC: [&str; 5] = ["name", "unit", "reduce", "lower_is_better", "tasks"];
const SCALE: [&str; 3] = ["low", "high", "threshold"];

fn known(table: &Table, keys: &[&str], place: &str) -> Result<()> {
    match table.keys().find(|k| !keys.contains(&k.as_str())) {
        Some(key) => bail!("{place} has no key '{key}'{}", nearest(key, keys.iter().copied())),
        None => Ok(()),
    }
}

fn table(value: Option<Value>, place: &str) -> Result<Table> {
    match value {
        None => Ok(Table::new()),
        Some(Value::Object(t)) => Ok(t),
        Some(other) => bail!("{place} = {other}: it must be a table of keys and values"),
    }
}

fn word(value: Option<Value>, place: &str) -> Result<Option<String>> {
    match value {
        None => Ok(None),
        Some(Value::String(s)) => Ok(Some(s)),
        Some(other) => bail!("{place} = {other}: it must be a text"),
    }
}

fn seeds(value: &Value) -> Result<Vec<u64>> {
    let wrong = || anyhow!("seeds = {value}: it must be how many (seeds = 10 is 0 to 9) or a list of them");
    let list: Vec<u64> = match value {
        Value::Number(n) => {
            let n = n.as_u64().filter(|n| *n <= 1_000_000).ok_or_else(wrong)?;
            (0..n).collect()
        }
        Value::Array(items) => items.iter().map(|v| v.as_u64().ok_or_else(wrong)).collect::<Result<_>>()?,
        _ => return Err(wrong()),
    };
    if list.is_empty() {
        bail!("seeds is empty: there would be no run");
    }
    let mut seen = std::collections::HashSet::new();
    match list.iter().find(|s| !seen.insert(**s)) {
        Some(twice) => bail!("seeds has {twice} twice: a run repeated is no second observation"),
        None => Ok(list),
    }
}

/// `steps` and `time` of `[budget]` are the keys `steps` and `time_s` of a run.
fn budget(value: Option<Value>, base: &mut Table) -> Result<()> {
    for (key, value) in table(value, "budget")? {
        match (key.as_str(), &value) {
            ("steps", Value::Number(_)) => base.insert("steps".into(), value),
            ("time", Value::String(text)) => {
                let time = humantime::parse_duration(text)
                    .with_context(|| format!("budget.time = \"{text}\": it must be like 90s, 30m or 2h"))?;
                base.insert("time_s".into(), time.as_secs_f64().into())
            }
            ("steps" | "time", _) => bail!("budget.{key} = {value}: steps is a number, time a text like 30m"),
            _ => bail!("budget has no key '{key}'{}", nearest(&key, ["steps", "time"].into_iter())),
        };
    }
    Ok(())
}

/// A metric as it is written at `place`.
pub(super) fn metric(value: Value, place: &str) -> Result<Metric> {
    let t = table(Some(value), place)?;
    known(&t, &METRIC, place)?;
    if let Some(tasks) = t.get("tasks") {
        for (task, scale) in table(Some(tasks.clone()), &format!("{place}: tasks"))? {
            known(&table(Some(scale), &format!("{place}: {task}"))?, &SCALE, &format!("{place}: {task}"))?;
        }
    }
    let metric: Metric = serde_json::from_value(Value::Object(t)).map_err(|e| anyhow!("{place}: {e}"))?;
    for (task, scale) in &metric.tasks {
        if scale.low.is_some() != scale.high.is_some() || (scale.low.is_some() && scale.low == scale.high) {
            bail!("{}: {task} needs both low and high, and they must differ", metric.name);
        }
    }
    Ok(metric)
}

impl Spec {
    /// Finds a spec by the name of one of this repository's, or the path of a file, and checks its form.
    ///
    /// # Errors
    /// Naming the key that is wrong, and the nearest right one.
    pub fn open(registry: &Registry, which: &str, quick: bool) -> Result<Self> {
        let path = Path::new(which);
        let specs = Lab::of(registry).specs();
        let names = || specs.iter().map(|(name, _)| *name);
        let meant = matching(which, names()).filter(|name| *name == which || !path.exists());
        if let Some((name, text)) = specs.iter().find(|(name, _)| Some(*name) == meant) {
            return Self::parse(registry, name, text, quick);
        }
        if path.extension().is_none() && !path.exists() {
            let near = nearest(which, names());
            bail!("there is no experiment '{which}'{near}; one's own is the path of a .toml file");
        }
        let text = std::fs::read_to_string(path).with_context(|| format!("reading {which}"))?;
        let name = path.file_name().and_then(|n| n.to_str()).unwrap_or_default();
        let name = name.strip_suffix(".toml").unwrap_or(name);
        let name = name.strip_suffix(".experiment").unwrap_or(name);
        Self::parse(registry, name, &text, quick)
    }

    /// Reads a spec's text and checks its form; whether its configs are sound is for [`crate::cells::Cells`].
    ///
    /// # Errors
    /// As [`Spec::open`].
    pub fn parse(registry: &Registry, name: &str, text: &str, quick: bool) -> Result<Self> {
        Self::read(registry, name, text, quick).with_context(|| format!("the experiment '{name}'"))
    }

    fn read(registry: &Registry, name: &str, text: &str, quick: bool) -> Result<Self> {
        let file: toml::Table = toml::from_str(text).map_err(|e| anyhow!("{e}"))?;
        let mut top = table(Some(serde_json::to_value(file)?), "the file")?;
        known(&top, &TOP, "a spec")?;
        match top.remove("format") {
            Some(v) if v == FORMAT => {}
            Some(v) => bail!("it has format {v}, and this rlx {} reads format {FORMAT}", env!("CARGO_PKG_VERSION")),
            None => bail!("its first line must be format = {FORMAT}"),
        }
        let kind = word(top.remove("kind"), "kind")?.unwrap_or_else(|| TRAINING.into());
        let workload = Lab::of(registry).find(&kind)?;
        let mut base = table(top.remove("base"), "base")?;
        budget(top.remove("budget"), &mut base)?;
        let mut grid = table(top.remove("grid"), "grid")?;
        let mut variants = table(top.remove("variants"), "variants")?;
        let own = |(name, keys): (String, Value)| Ok((name.clone(), table(Some(keys), &format!("tasks.{name}"))?));
        let mut tasks: BTreeMap<String, Table> =
            table(top.remove("tasks"), "tasks")?.into_iter().map(own).collect::<Result<_>>()?;
        tasks.values_mut().try_for_each(|keys| budget(keys.remove("budget"), keys))?;
        let mut of_seeds = top.remove("seeds").ok_or_else(|| anyhow!("seeds is missing: seeds = 10, or a list"))?;
        let fast = table(top.remove("quick"), "quick")?;
        known(&fast, &QUICK, "quick")?;
        if quick {
            if fast.is_empty() {
                bail!(
                    "it has no quick variant: a [quick] table with seeds, base, grid, variants or budget would make one"
                );
            }
            let mut fast = fast;
            let mut faster = table(fast.remove("base"), "quick.base")?;
            budget(fast.remove("budget"), &mut faster)?;
            tasks.values_mut().for_each(|keys| keys.retain(|key, _| !faster.contains_key(key)));
            base.extend(faster);
            grid.extend(table(fast.remove("grid"), "quick.grid")?);
            if let Some(only) = fast.remove("variants") {
                let only: Vec<String> = serde_json::from_value(only).context("quick.variants: a list of names")?;
                if let Some(name) = only.iter().find(|n| !variants.contains_key(*n)) {
                    bail!(
                        "quick.variants: there is no variant '{name}'{}",
                        nearest(name, variants.keys().map(String::as_str))
                    );
                }
                variants = only.into_iter().filter_map(|n| variants.get(&n).cloned().map(|v| (n, v))).collect();
            }
            of_seeds = fast.remove("seeds").unwrap_or(of_seeds);
        }
        let metrics = match top.remove("metrics") {
            Some(Value::Array(list)) => list
                .into_iter()
                .enumerate()
                .map(|(i, m)| metric(m, &format!("metric {}", i + 1)))
                .collect::<Result<_>>()?,
            None => vec![metric(serde_json::json!({"name": "eval/return", "unit": "return"}), "metric 1")?],
            Some(other) => bail!("metrics = {other}: write [[metrics]] tables"),
        };
        let spec = Self {
            name: name.into(),
            text: text.into(),
            quick,
            kind: kind.clone(),
            about: word(top.remove("about"), "about")?.unwrap_or_default(),
            base,
            tasks,
            grid: axes(grid)?,
            variants: named(variants)?,
            seeds: seeds(&of_seeds)?,
            task: word(top.remove("task"), "task")?.unwrap_or_else(|| workload.task().into()),
            metrics,
            baseline: word(top.remove("baseline"), "baseline")?,
        };
        spec.agree()?;
        Ok(spec)
    }

    /// What the parts say must not contradict.
    fn agree(&self) -> Result<()> {
        let plain = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
        if self.name.is_empty() || !self.name.chars().all(plain) || self.name.starts_with('.') {
            bail!("its name must be of letters, digits, '.', '_' and '-'");
        }
        let axis = |key: &str| self.grid.iter().any(|(k, _)| k == key);
        let of_base = self.kind != TRAINING && self.base.contains_key(&self.task);
        if self.task != "env" && !axis(&self.task) && !of_base {
            let keys = std::iter::once("env").chain(self.grid.iter().map(|(k, _)| k.as_str()));
            bail!("task = \"{}\": it must be env or a key of the grid{}", self.task, nearest(&self.task, keys));
        }
        if let Some((name, key)) = self.tasks.iter().find_map(|(n, t)| t.keys().find(|k| axis(k)).map(|k| (n, k))) {
            bail!("'{key}' is in the grid and in tasks.{name}: it cannot be both");
        }
        let of_tasks = self.tasks.iter().map(|(n, t)| (n.as_str(), t)).filter(|(_, t)| t.contains_key("seed"));
        let of_variants = self.variants.iter().map(|(n, t)| (n.as_str(), t));
        for (name, keys) in of_variants.chain([("base", &self.base)]).chain(of_tasks) {
            if keys.contains_key("seed") {
                bail!("{name} has seed: seeds is the place for it");
            }
            if let Some(key) = keys.keys().find(|k| name != "base" && axis(k)) {
                bail!("'{key}' is in the grid and in the variant '{name}': it cannot be both");
            }
        }
        if axis("seed") {
            bail!("grid has seed: seeds is the place for it");
        }
        if self.metrics.is_empty() {
            bail!("metrics is empty: there would be nothing to report");
        }
        Ok(())
    }

    /// Where results are kept by default: `<runs>/experiments/<name>`, with `-quick` for the quick variant.
    pub fn folder(&self, runs: &Path) -> std::path::PathBuf {
        runs.join("experiments").join(if self.quick { format!("{}-quick", self.name) } else { self.name.clone() })
    }

    /// What decides the cells and their configs, flat: `base.steps` = value. What a report looks like is not in it.
    pub fn decides(&self) -> BTreeMap<String, String> {
        let mut out = BTreeMap::new();
        for (key, value) in &self.base {
            out.insert(format!("base.{key}"), value.to_string());
        }
        for (name, keys) in &self.tasks {
            out.insert(format!("tasks.{name}"), Value::Object(keys.clone()).to_string());
        }
        for (key, values) in &self.grid {
            out.insert(format!("grid.{key}"), Value::from(values.clone()).to_string());
        }
        for (name, keys) in &self.variants {
            out.insert(format!("variants.{name}"), Value::Object(keys.clone()).to_string());
        }
        out.insert("seeds".into(), Value::from(self.seeds.clone()).to_string());
        if self.kind != TRAINING {
            out.insert("kind".into(), self.kind.clone());
        }
        out
    }

    /// How `new` differs from this one in what decides the cells, as lines with `-` and `+`; empty when it does not.
    pub fn difference(&self, new: &Self) -> Vec<String> {
        let (a, b) = (self.decides(), new.decides());
        let keys: std::collections::BTreeSet<&String> = a.keys().chain(b.keys()).collect();
        let mut out = Vec::new();
        for key in keys.into_iter().filter(|k| a.get(*k) != b.get(*k)) {
            out.extend(a.get(key).map(|v| format!("- {key} = {v}")));
            out.extend(b.get(key).map(|v| format!("+ {key} = {v}")));
        }
        out
    }
}

fn axes(grid: Table) -> Result<Vec<(String, Vec<Value>)>> {
    let axis = |(key, value): (String, Value)| {
        let Value::Array(values) = value else {
            bail!("grid.{key} = {value}: it must be a list of values; what does not vary belongs to [base]")
        };
        if values.is_empty() {
            bail!("grid.{key} is empty: there would be no run");
        }
        match values.iter().enumerate().find(|(i, v)| values[..*i].contains(v)) {
            Some((_, twice)) => bail!("grid.{key} has {twice} twice"),
            None => Ok((key, values)),
        }
    };
    grid.into_iter().map(axis).collect()
}

fn named(variants: Table) -> Result<Vec<(String, Table)>> {
    let mut out: Vec<(String, Table)> = Vec::new();
    for (name, value) in variants {
        let keys = table(Some(value), &format!("variants.{name}"))?;
        if let Some((other, _)) = out.iter().find(|(_, k)| *k == keys) {
            bail!("the variants '{other}' and '{name}' are the same");
        }
        out.push((name, keys));
    }
    Ok(out)
}

#[cfg(test)]
mod tests;
