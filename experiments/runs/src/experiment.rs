//! From what a person typed to an experiment that is usable as it stands: defaults, then preset, file, `--set`, flags; checked once.
use crate::run_config::RunConfig;
use anyhow::{Context, Result, anyhow, bail};
use rlx::{
    Algo, Device, Registry, Spec, Table, World,
    config::{Keys, from_map, nearest, to_map},
};
use serde_json::Value;
use std::fmt::Write as _;

/// Version of the layout of `config.toml`; another one is refused.
pub const FORMAT: u64 = 1;

/// What a person typed.
#[derive(Clone, Debug, Default)]
pub struct Request {
    /// `--env`.
    pub env: Option<String>,
    /// `--algo`.
    pub algo: Option<String>,
    /// `--preset`; `none` for plain defaults.
    pub preset: Option<String>,
    /// The text of `--config FILE`.
    pub config: Option<String>,
    /// `--set key=value`, in order.
    pub set: Vec<String>,
    /// Flags with a key of their own: (run key, value).
    pub flags: Vec<(&'static str, String)>,
}

/// A checked experiment.
#[derive(Clone)]
pub struct Experiment {
    /// The run's own keys.
    pub run: RunConfig,
    /// The world.
    pub world: World,
    /// The world's config, every default resolved.
    pub env: Table,
    /// The same for evaluations.
    pub eval_env: Table,
    /// The algorithm.
    pub algo: Algo,
    /// The algorithm's config, every default resolved.
    pub hyper: Table,
    /// What the world is under its config.
    pub spec: Spec,
}

/// The three tables of a config file.
#[derive(Clone, Debug, Default)]
struct Tables {
    run: Table,
    env: Table,
    algo: Table,
}

impl Tables {
    /// Reads a config file or preset.
    fn parse(text: &str, what: &str) -> Result<Self> {
        let file: toml::Table = toml::from_str(text).map_err(|e| anyhow!("{what}: {e}"))?;
        let mut tables = Self::default();
        for (name, value) in file {
            let json = serde_json::to_value(&value).with_context(|| format!("{what}: {name}"))?;
            match (name.as_str(), json) {
                ("format", Value::Number(n)) if n.as_u64() == Some(FORMAT) => {}
                ("format", other) => {
                    bail!("{what} has format {other}, and this rlx {} reads format {FORMAT}", env!("CARGO_PKG_VERSION"))
                }
                ("run", Value::Object(t)) => tables.run = t,
                ("env", Value::Object(t)) => tables.env = t,
                ("algo", Value::Object(t)) => tables.algo = t,
                (other, _) => bail!(
                    "{what} has '{other}' at its top{}",
                    nearest(other, ["format", "run", "env", "algo"].into_iter())
                ),
            }
        }
        Ok(tables)
    }
}

fn overlay(onto: &mut Table, from: Table) {
    for (key, value) in from {
        onto.insert(key, value);
    }
}

fn word<'a>(table: &'a Table, key: &str) -> Option<&'a str> {
    table.get(key).and_then(Value::as_str).filter(|s| !s.is_empty())
}

impl Experiment {
    /// Puts a request together and checks it.
    ///
    /// # Errors
    /// Naming the first thing that is wrong, and the nearest right one.
    pub fn new(registry: &Registry, request: &Request) -> Result<Self> {
        let file = match &request.config {
            Some(text) => Tables::parse(text, "the config file")?,
            None => Tables::default(),
        };
        let env = request.env.as_deref().or(word(&file.run, "env"));
        let algo = request.algo.as_deref().or(word(&file.run, "algo"));
        if let Some(env) = env {
            registry.find_world(env)?;
        }
        if let Some(algo) = algo {
            registry.find_algo(algo).map_err(|e| unfit(registry, env, algo, e))?;
        }
        // A file that was written by a run is complete: nothing is added to it.
        let complete =
            word(&file.run, "env").is_some() && word(&file.run, "algo").is_some() && file.run.contains_key("preset");
        // From here on names are this program's own, however they were written.
        let env = env.map(|e| registry.find_world(e).map(|w| w.name.as_str())).transpose()?;
        let algo = algo.map(|a| registry.find_algo(a).map(|a| a.name.as_str())).transpose()?;
        let fits = |p: &&rlx::Preset| env.is_some_and(|e| e == p.env) && algo.is_none_or(|a| a == p.algo);
        let preset = match request.preset.as_deref() {
            Some("none") => None,
            Some(name) => Some(registry.find_preset(name)?),
            None if complete => None,
            None => registry.presets().iter().find(fits),
        };
        if let Some(p) = preset {
            for (what, asked, has) in [("env", env, &p.env), ("algo", algo, &p.algo)] {
                if asked.is_some_and(|a| a != has) {
                    bail!("the preset '{}' is for {what} '{has}', not '{}'", p.name, asked.unwrap_or_default());
                }
            }
        }
        let names = |list: Vec<&str>| list.join(", ");
        let env = env.or(preset.map(|p| p.env.as_str())).ok_or_else(|| {
            let worlds = names(registry.worlds().iter().map(|w| w.name.as_str()).collect());
            anyhow!("--env is missing: there are {worlds}")
        })?;
        let algo = algo.or(preset.map(|p| p.algo.as_str())).ok_or_else(|| {
            let algos = names(fitting(registry, env));
            anyhow!("--algo is missing: what fits {env}: {algos}")
        })?;
        let (world, algo) = (registry.find_world(env)?.clone(), registry.find_algo(algo)?.clone());
        // A grid has thousands of configs: the schema is made once.
        static RUN_KEYS: std::sync::LazyLock<Keys> = std::sync::LazyLock::new(Keys::of::<RunConfig>);
        let run_keys = RUN_KEYS.clone();
        let mut tables = Tables { run: run_keys.defaults(), env: world.keys.defaults(), algo: algo.keys.defaults() };
        if let Some(p) = preset {
            let chosen = Tables::parse(&p.config, &format!("the preset '{}'", p.name))?;
            overlay(&mut tables.run, chosen.run);
            overlay(&mut tables.env, chosen.env);
            overlay(&mut tables.algo, chosen.algo);
        }
        overlay(&mut tables.run, file.run);
        overlay(&mut tables.env, file.env);
        overlay(&mut tables.algo, file.algo);
        if let Some(name) = preset.map(|p| p.name.clone()) {
            tables.run.insert("preset".into(), name.into());
        }
        for set in &request.set {
            let (key, text) = set.split_once('=').ok_or_else(|| anyhow!("--set {set}: it must be key=value"))?;
            let (table, keys, key) = place(&mut tables, &run_keys, &world, &algo, key.trim())?;
            let value = keys.get(key).ok_or_else(|| anyhow!("there is no key '{key}'"))?.parse(text)?;
            table.insert(key.into(), value);
        }
        for (key, text) in &request.flags {
            let key = run_keys.get(key).ok_or_else(|| anyhow!("there is no key '{key}'"))?;
            tables.run.insert(key.name.clone(), key.parse(text)?);
        }
        tables.run.insert("env".into(), world.name.clone().into());
        tables.run.insert("algo".into(), algo.name.clone().into());
        Self::check(registry, tables, run_keys, world, algo)
    }

    fn check(registry: &Registry, tables: Tables, run_keys: Keys, world: World, algo: Algo) -> Result<Self> {
        run_keys.check("a run", &tables.run)?;
        world.keys.check(&world.name, &tables.env)?;
        algo.keys.check(&algo.name, &tables.algo)?;
        let run: RunConfig = from_map(&tables.run)?;
        // Before the world is made: one over a language model may compute when it is opened.
        rlx_nn::threads::set(run.threads);
        let spec = world.spec(&tables.env)?;
        if let Err(why) = algo.fits(&tables.algo, &spec) {
            let others: Vec<_> = registry
                .algos()
                .iter()
                .filter(|a| a.name != algo.name && a.fits(&a.keys.defaults(), &spec).is_ok())
                .map(|a| a.name.as_str())
                .collect();
            let own = algo.fits(&algo.keys.defaults(), &spec).is_err();
            match (own, others.is_empty()) {
                (true, false) => bail!("{why}; what fits {}: {}", world.name, others.join(", ")),
                (true, true) => bail!("{why}; no registered algorithm fits {} yet", world.name),
                _ => bail!("{why}"),
            }
        }
        let eval_env = tables.env.clone();
        let mut made = Self { run, world, env: tables.env, eval_env, algo, hyper: tables.algo, spec };
        let set = made.run.eval_set.clone();
        made.judge_in(&set).context("eval_set")?;
        Ok(made)
    }

    /// Evaluates in another setting of the world from now on, each `key=value` over what it was.
    ///
    /// # Errors
    /// When there is no such key or value, or the policy would see or do something else there.
    pub fn judge_in(&mut self, set: &[String]) -> Result<()> {
        let eval_env = settings(&self.world, &self.eval_env, set)?;
        if eval_env != self.eval_env {
            let other = self.world.spec(&eval_env)?;
            if (&other.obs, &other.act) != (&self.spec.obs, &self.spec.act) {
                bail!("{set:?} changes what is seen or how it is acted on; only the same policy can be judged");
            }
            self.eval_env = eval_env;
        }
        Ok(())
    }

    /// From the text of a run's `config.toml`.
    ///
    /// # Errors
    /// As [`Experiment::new`].
    pub fn from_toml(registry: &Registry, text: &str) -> Result<Self> {
        Self::new(registry, &Request { config: Some(text.into()), ..Request::default() })
    }

    /// The complete config as TOML, a comment over each key.
    pub fn to_toml(&self) -> String {
        let mut out = format!(
            "# A run of rlx {}: every choice it was made with.\nformat = {FORMAT}\n",
            env!("CARGO_PKG_VERSION")
        );
        let run_keys = Keys::of::<RunConfig>();
        let sections = [
            ("run", &run_keys, &to_map(&self.run)),
            ("env", &self.world.keys, &self.env),
            ("algo", &self.algo.keys, &self.hyper),
        ];
        for (name, keys, table) in sections {
            let _ = write!(out, "\n[{name}]\n");
            for key in keys.iter() {
                if let Some(value) = table.get(&key.name).filter(|v| !v.is_null()) {
                    let _ = write!(out, "# {}\n{} = {}\n", key.about, key.name, to_toml(value));
                }
            }
        }
        out
    }

    /// What a run has of its own, and what is varied most, as flat names and values for TensorBoard's table of hyperparameters.
    pub fn hparams(&self) -> Vec<(String, Value)> {
        let changed = |table: &Table, defaults: &Table, prefix: &str| -> Vec<(String, Value)> {
            let own = table.iter().filter(|(k, v)| defaults.get(*k) != Some(*v));
            own.map(|(k, v)| (format!("{prefix}{k}"), v.clone())).collect()
        };
        let run = to_map(&self.run);
        let mut out: Vec<(String, Value)> = ["env", "algo", "seed", "preset", "steps"]
            .iter()
            .filter_map(|k| Some(((*k).to_owned(), run.get(*k)?.clone())))
            .collect();
        // TensorBoard (2.21.0) shows a column a key, alphabetically: what is as the algorithm has it by default would fill the table with
        // constants. What is varied most is there in any case.
        out.extend(changed(&self.hyper, &self.algo.keys.defaults(), ""));
        out.extend(changed(&self.env, &self.world.keys.defaults(), "env/"));
        for key in ["learning_rate", "gamma", "batch_size", "minibatch_size"] {
            if let Some(value) = self.hyper.get(key)
                && out.iter().all(|(k, _)| k != key)
            {
                out.push((key.into(), value.clone()));
            }
        }
        out
    }

    /// The device the run is to use.
    ///
    /// # Errors
    /// When CUDA is asked for and not there.
    pub fn device(&self) -> Result<Device> {
        self.run.device.device()
    }
}

/// The algorithms that fit a world by their defaults; all of them where the world cannot be made (its model is not here).
pub(crate) fn fitting<'a>(registry: &'a Registry, env: &str) -> Vec<&'a str> {
    let spec = registry.find_world(env).and_then(|w| w.spec(&w.keys.defaults()));
    let fits = |a: &&Algo| spec.as_ref().map_or(true, |s| a.fits(&a.keys.defaults(), s).is_ok());
    registry.algos().iter().filter(fits).map(|a| a.name.as_str()).collect()
}

/// What is said of an algorithm that is not there: of a known world only what fits it is suggested.
fn unfit(registry: &Registry, env: Option<&str>, algo: &str, error: rlx::Error) -> anyhow::Error {
    let Some(env) = env.and_then(|e| registry.find_world(e).ok()).map(|w| w.name.as_str()) else { return error.into() };
    let names = fitting(registry, env);
    if names.is_empty() {
        return anyhow!("there is no algorithm '{algo}', and none fits {env} yet");
    }
    let near = nearest(algo, names.iter().copied());
    let near = near.strip_prefix(": there are ").map_or(near.clone(), |all| format!(": what fits {env}: {all}"));
    anyhow!("there is no algorithm '{algo}'{near}")
}

/// The table and keys that a `--set` key belongs to: `run.`, `env.` and `algo.` (or their names) in front decide; without, the one
/// that has it.
fn place<'a, 'k>(
    tables: &'a mut Tables,
    run: &'a Keys,
    world: &'a World,
    algo: &'a Algo,
    key: &'k str,
) -> Result<(&'a mut Table, &'a Keys, &'k str)> {
    let all = [("run", run), ("env", &world.keys), ("algo", &algo.keys)];
    let (owner, name) = match key.split_once('.') {
        Some((owner, name)) => {
            let owner = match owner {
                o if o == world.name => "env",
                o if o == algo.name => "algo",
                o => o,
            };
            (Some(owner), name)
        }
        None => (None, key),
    };
    let having: Vec<&str> =
        all.iter().filter(|(o, k)| owner.is_none_or(|w| w == *o) && k.get(name).is_some()).map(|(o, _)| *o).collect();
    match having[..] {
        ["run"] => Ok((&mut tables.run, run, name)),
        ["env"] => Ok((&mut tables.env, &world.keys, name)),
        ["algo"] => Ok((&mut tables.algo, &algo.keys, name)),
        [] => {
            let known: Vec<&str> = all.iter().flat_map(|(_, keys)| keys.iter().map(|k| k.name.as_str())).collect();
            let meant = crate::flags::ours(name).into_iter().find(|n| known.contains(n));
            let near = meant.map_or_else(|| nearest(name, known.into_iter()), |n| format!(": did you mean '{n}'?"));
            bail!("--set {key}: neither the run, {} nor {} has it{near}", world.name, algo.name)
        }
        _ => bail!("--set {key}: it is a key of {}: write {}.{name}", having.join(" and of "), having[0]),
    }
}

/// The keys of a world, `table`, with each `key=value` of `set` over them.
///
/// # Errors
/// Naming the key that is not there, with the nearest right one, or the value that may not be.
pub fn settings(world: &World, table: &Table, set: &[String]) -> Result<Table> {
    let mut table = table.clone();
    for set in set {
        let (key, text) = set.split_once('=').ok_or_else(|| anyhow!("'{set}' must be key=value"))?;
        let near = || nearest(key, world.keys.iter().map(|k| k.name.as_str()));
        let known = world.keys.get(key).ok_or_else(|| anyhow!("{} has no key '{key}'{}", world.name, near()))?;
        table.insert(key.into(), known.parse(text)?);
    }
    world.keys.check(&world.name, &table)?;
    Ok(table)
}

/// A JSON value as TOML.
fn to_toml(value: &Value) -> String {
    match value {
        Value::Array(items) => format!("[{}]", items.iter().map(to_toml).collect::<Vec<_>>().join(", ")),
        Value::String(s) => toml::Value::String(s.clone()).to_string(),
        Value::Object(o) => {
            format!("{{ {} }}", o.iter().map(|(k, v)| format!("{k} = {}", to_toml(v))).collect::<Vec<_>>().join(", "))
        }
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests;
