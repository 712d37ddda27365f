//! The cells of a spec, each one run: worked out from their number, never kept in a list, so that a grid may be of any size.
use crate::spec::Spec;
use crate::spec::Table;
use crate::workload::{Job, Lab, TRAINING, Workload};
use anyhow::{Context, Result, bail};
use rayon::prelude::*;
use rlx::Registry;
use rlx_runs::experiment::Request;
use serde_json::Value;
use sha2::{Digest, Sha256};
use std::fmt::Write as _;

/// The cells of a spec. Cell = seed number x configs + config: the first seed of every config comes first, and seeds that are added at
/// the end change no number.
pub struct Cells<'a> {
    registry: &'a Registry,
    /// The spec.
    pub spec: &'a Spec,
    configs: u64,
    /// Whether the presets of the grid are told apart by their algorithm alone.
    presets_by_algo: bool,
}

/// One cell.
#[derive(Clone, Debug, PartialEq)]
pub struct Cell {
    /// Its number.
    pub index: u64,
    /// The config's number.
    pub config: u64,
    /// The seed.
    pub seed: u64,
    /// The task: what scores are averaged over.
    pub task: String,
    /// The method: what is compared.
    pub method: String,
    /// Keys and values beside the seed, as `--set` takes them.
    pub keys: Table,
}

/// A value as `--set` takes it and a person reads it.
fn text(value: &Value) -> String {
    match value {
        Value::String(s) => s.clone(),
        other => other.to_string(),
    }
}

impl Cell {
    /// What it is called wherever it is kept: a hash of its keys, and its seed. Equal for equal content, whatever its number.
    pub fn id(&self) -> String {
        let mut sorted: Vec<(&String, &Value)> = self.keys.iter().collect();
        sorted.sort_by_key(|(k, _)| *k);
        let mut hash = Sha256::new();
        for (key, value) in sorted {
            hash.update(format!("{key}={value}\n"));
        }
        let mut id = String::new();
        for byte in &hash.finalize()[..6] {
            let _ = write!(id, "{byte:02x}");
        }
        let _ = write!(id, "-s{}", self.seed);
        id
    }

    /// The name of its run: the method, for people, and its hash.
    pub fn run_name(&self) -> String {
        let plain = |c: char| if c.is_ascii_alphanumeric() || "._-".contains(c) { c } else { '-' };
        let words: String = self.method.chars().map(plain).take(48).collect();
        let id = self.id();
        format!("{}-{}", words.trim_start_matches('.'), &id[..12])
    }

    /// As a request for an experiment.
    pub fn request(&self) -> Request {
        let mut request = Request { flags: vec![("seed", self.seed.to_string())], ..Request::default() };
        for (key, value) in &self.keys {
            match key.as_str() {
                "env" => request.env = Some(text(value)),
                "algo" => request.algo = Some(text(value)),
                "preset" => request.preset = Some(text(value)),
                _ => request.set.push(format!("{key}={}", text(value))),
            }
        }
        request
    }
}

impl<'a> Cells<'a> {
    /// The cells of `spec`. Their configs are not checked yet: see [`Cells::validate`].
    ///
    /// # Errors
    /// When there are more than fit a number, or a preset is not there.
    pub fn new(registry: &'a Registry, spec: &'a Spec) -> Result<Self> {
        let mut configs = spec.variants.len().max(1) as u64;
        for (_, values) in &spec.grid {
            configs =
                configs.checked_mul(values.len() as u64).context("the grid has more cells than can be counted")?;
        }
        configs.checked_mul(spec.seeds.len() as u64).context("the grid has more cells than can be counted")?;
        let mut cells = Self { registry, spec, configs, presets_by_algo: true };
        if let Some((_, presets)) = spec.grid.iter().find(|(k, _)| k == "preset") {
            let mut pairs = Vec::new();
            for name in presets {
                let preset = registry.find_preset(&text(name))?;
                pairs.push((&preset.env, &preset.algo));
            }
            let several = pairs.iter().enumerate().any(|(i, p)| pairs[..i].contains(p));
            cells.presets_by_algo = spec.task == "env" && !several;
        }
        Ok(cells)
    }

    /// How many there are.
    pub fn len(&self) -> u64 {
        self.configs * self.spec.seeds.len() as u64
    }
    /// Whether there is none; there never is.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
    /// How many configs there are, each run with every seed.
    pub fn configs(&self) -> u64 {
        self.configs
    }
    /// All of them, one at a time.
    pub fn iter(&self) -> impl Iterator<Item = Result<Cell>> + '_ {
        (0..self.len()).map(|i| self.get(i))
    }

    /// A cell by its number.
    ///
    /// # Errors
    /// When there is none of that number.
    pub fn get(&self, index: u64) -> Result<Cell> {
        if index >= self.len() {
            bail!("there is no cell {index}: the experiment '{}' has cells 0 to {}", self.spec.name, self.len() - 1);
        }
        let (config, seed) = (index % self.configs, self.spec.seeds[(index / self.configs) as usize]);
        let mut rest = config;
        let mut digit = |n: usize| {
            let d = rest % n as u64;
            rest /= n as u64;
            d as usize
        };
        // The last axis turns fastest.
        let chosen: Vec<usize> = self.spec.grid.iter().rev().map(|(_, values)| digit(values.len())).collect();
        let variant = self.spec.variants.get(digit(self.spec.variants.len().max(1)));
        let mut keys = self.spec.base.clone();
        let mut label: Vec<String> = variant.map(|(name, _)| name.clone()).into_iter().collect();
        for ((key, values), i) in self.spec.grid.iter().zip(chosen.into_iter().rev()) {
            keys.insert(key.clone(), values[i].clone());
        }
        let of_variant: Table = variant.map(|(_, keys)| keys.clone()).unwrap_or_default();
        keys.extend(of_variant.clone());
        let env = |keys: &Table| {
            let preset = keys.get("preset").map(text).and_then(|name| self.registry.find_preset(&name).ok());
            keys.get("env").map(text).or(preset.map(|p| p.env.clone()))
        };
        let task = if self.spec.task == "env" { env(&keys) } else { keys.get(&self.spec.task).map(text) };
        let task = task.unwrap_or_default();
        if let Some(own) = self.spec.tasks.get(&task) {
            keys.extend(own.clone());
            keys.extend(of_variant);
        }
        let get = |key: &str| keys.get(key).map(text);
        let preset = get("preset").and_then(|name| self.registry.find_preset(&name).ok());
        let algo = get("algo").or(preset.map(|p| p.algo.clone()));
        let algo = algo.unwrap_or_default();
        for (key, _) in &self.spec.grid {
            match key.as_str() {
                key if key == self.spec.task => {}
                "preset" if self.presets_by_algo => label.push(algo.clone()),
                "preset" | "algo" => label.push(get(key).unwrap_or_default()),
                _ => label.push(format!("{key}={}", get(key).unwrap_or_default())),
            }
        }
        if label.is_empty() {
            label.push(if self.spec.kind == TRAINING { algo } else { self.spec.kind.clone() });
        }
        Ok(Cell { index, config, seed, task, method: label.join(" "), keys })
    }

    /// Tasks and methods, in the order in which they first come.
    ///
    /// # Errors
    /// Never for a spec that was checked.
    pub fn tasks_and_methods(&self) -> Result<(Vec<String>, Vec<String>)> {
        let (mut tasks, mut methods) = (Vec::new(), Vec::new());
        let (mut seen, mut known) = (std::collections::HashSet::new(), std::collections::HashSet::new());
        for config in 0..self.configs {
            let cell = self.get(config)?;
            if seen.insert(cell.task.clone()) {
                tasks.push(cell.task);
            }
            if known.insert(cell.method.clone()) {
                methods.push(cell.method);
            }
        }
        Ok((tasks, methods))
    }

    /// The kind of work that the cells are.
    ///
    /// # Errors
    /// When the registry has no such kind.
    pub fn workload(&self) -> Result<&'a dyn Workload> {
        Lab::of(self.registry).find(&self.spec.kind)
    }

    /// The checked job of a cell.
    ///
    /// # Errors
    /// Naming the cell and what is wrong with its config.
    pub fn job(&self, cell: &Cell) -> Result<Box<dyn Job>> {
        self.workload()?
            .resolve(self.registry, &cell.request())
            .with_context(|| format!("cell {} ({}, {}, seed {})", cell.index, cell.task, cell.method, cell.seed))
    }

    /// Checks every config before the first run starts, with the first seed; also that metrics and baseline name tasks and methods that
    /// there are. At most `most` configs, evenly spread, beside every value of every axis: so that a plan of any grid takes no time.
    ///
    /// # Errors
    /// Naming the first cell whose config is not sound.
    pub fn validate(&self, most: Option<u64>) -> Result<Checked> {
        let step = most.map_or(1, |most| self.configs.div_ceil(most.max(1)));
        let mut chosen: Vec<u64> = if step > 1 { self.one_by_one() } else { Vec::new() };
        chosen.extend((0..self.configs).step_by(step as usize));
        let wrong = chosen.par_iter().find_map_first(|&config| {
            let made = self.get(config).and_then(|cell| self.sound(&cell));
            made.err()
        });
        if let Some(error) = wrong {
            return Err(error).with_context(|| format!("the experiment '{}'", self.spec.name));
        }
        let (tasks, methods) = self.tasks_and_methods()?;
        let all = |names: &[String]| names.join(", ");
        for metric in &self.spec.metrics {
            // The quick variant may have fewer tasks than the metrics are scaled for.
            if let Some(task) = metric.tasks.keys().find(|t| !tasks.contains(t) && !self.spec.quick) {
                bail!(
                    "the metric '{}' has a scale for '{task}', which is no task: there are {}",
                    metric.name,
                    all(&tasks)
                );
            }
        }
        if let Some(task) = self.spec.tasks.keys().find(|t| !tasks.contains(t) && !self.spec.quick) {
            let near = rlx::config::nearest(task, tasks.iter().map(String::as_str));
            bail!("tasks.{task} is no task{near}: there are {}", all(&tasks));
        }
        if let Some(b) = self.spec.baseline.as_ref().filter(|b| !methods.contains(b)) {
            bail!("baseline = \"{b}\" is no method: there are {}", all(&methods));
        }
        Ok(Checked { tasks, methods, configs: chosen.len().min(self.configs as usize) as u64 })
    }

    /// The config is sound, and what the report is about will be there.
    fn sound(&self, cell: &Cell) -> Result<()> {
        let job = self.job(cell)?;
        match self.spec.metrics.iter().find(|m| m.name.starts_with("eval/") && !job.evaluates()) {
            Some(m) => bail!("cell {}: the metric '{}' needs evaluations, and eval_every is 0", cell.index, m.name),
            None => Ok(()),
        }
    }

    /// Configs in which one axis has each of its values and the others their first.
    fn one_by_one(&self) -> Vec<u64> {
        let (mut out, mut weight) = (Vec::new(), 1);
        for n in self.spec.grid.iter().rev().map(|(_, v)| v.len()).chain([self.spec.variants.len().max(1)]) {
            out.extend((0..n as u64).map(|i| i * weight));
            weight *= n as u64;
        }
        out
    }
}

/// What [`Cells::validate`] found sound.
#[derive(Clone, Debug)]
pub struct Checked {
    /// The tasks.
    pub tasks: Vec<String>,
    /// The methods.
    pub methods: Vec<String>,
    /// Configs that were checked.
    pub configs: u64,
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn every_combination_comes_once_with_a_name_of_its_own() {
        let registry = rlx_experiments::registry();
        let text = "format = 1\nseeds = [4, 7]\n[base]\nalgo = \"ppo\"\n[grid]\nenv = [\"cartpole\", \"acrobot\"]\ngamma = [0.9, 0.99, 0.999]\n\
                    [variants]\nplain = {}\nwide = { hidden = [8, 8] }";
        let spec = Spec::parse(&registry, "x", text, false).unwrap();
        let cells = Cells::new(&registry, &spec).unwrap();
        assert_eq!((cells.len(), cells.configs()), (24, 12));
        let all: Vec<Cell> = cells.iter().map(Result::unwrap).collect();
        assert_eq!(all.iter().map(Cell::id).collect::<HashSet<_>>().len(), 24);
        let first = &all[0];
        assert_eq!((first.task.as_str(), first.method.as_str(), first.seed), ("cartpole", "plain gamma=0.9", 4));
        let last = &all[23];
        assert_eq!((last.task.as_str(), last.method.as_str(), last.seed), ("acrobot", "wide gamma=0.999", 7));
        assert_eq!(cells.job(last).unwrap().choices()[2].1["hidden"], serde_json::json!([8, 8]));
        assert!(cells.get(24).unwrap_err().to_string().contains("cells 0 to 23"));
        cells.validate(None).unwrap();
        assert_eq!(cells.one_by_one(), [0, 1, 2, 0, 3, 0, 6]);
    }

    #[test]
    fn a_task_has_keys_of_its_own_between_the_base_and_the_variant() {
        let registry = rlx_experiments::registry();
        let text = "format = 1\nseeds = 1\n[base]\nalgo = \"ppo\"\nsteps = 5000\ngamma = 0.9\n[tasks.acrobot]\nsteps = 7000\ngamma = 0.8\n\
                    [grid]\nenv = [\"cartpole\", \"acrobot\"]\n[variants]\nplain = {}\nfar = { gamma = 0.999 }\n[quick]\nbudget = { steps = 3000 }";
        let cells = |quick: bool| -> Vec<(String, String, Value, Value)> {
            let spec = Spec::parse(&registry, "x", text, quick).unwrap();
            let cells = Cells::new(&registry, &spec).unwrap();
            cells.validate(None).unwrap();
            let row = |c: Cell| (c.task, c.method, c.keys["steps"].clone(), c.keys["gamma"].clone());
            cells.iter().map(|c| row(c.unwrap())).collect()
        };
        let row = |task: &str, method: &str, steps: u64, gamma: f64| {
            (task.to_owned(), method.to_owned(), Value::from(steps), Value::from(gamma))
        };
        let (slow, fast) = (cells(false), cells(true));
        assert!(
            slow.contains(&row("cartpole", "plain", 5000, 0.9)) && slow.contains(&row("cartpole", "far", 5000, 0.999))
        );
        assert!(
            slow.contains(&row("acrobot", "plain", 7000, 0.8)) && slow.contains(&row("acrobot", "far", 7000, 0.999))
        );
        // What the quick variant says, it says of every task.
        assert!(fast.contains(&row("acrobot", "plain", 3000, 0.8)));
        let wrong = |text: &str| {
            let spec = Spec::parse(&registry, "x", text, false)?;
            Cells::new(&registry, &spec)?.validate(None).map(|_| ())
        };
        let none = wrong(&text.replace("tasks.acrobot", "tasks.acrobat")).unwrap_err();
        assert!(format!("{none:#}").contains("did you mean 'acrobot'"), "{none:#}");
        let both = wrong(&text.replace("steps = 7000", "env = \"cartpole\"")).unwrap_err();
        assert!(format!("{both:#}").contains("it cannot be both"), "{both:#}");
    }

    #[test]
    fn a_seed_more_changes_no_cell_that_was_there() {
        let registry = rlx_experiments::registry();
        let make = |seeds: u64| {
            Spec::parse(
                &registry,
                "x",
                &format!("format = 1\nseeds = {seeds}\n[grid]\npreset = [\"cartpole-ppo\", \"pendulum-ppo\"]"),
                false,
            )
            .unwrap()
        };
        let (small, large) = (make(2), make(3));
        let (a, b) = (Cells::new(&registry, &small).unwrap(), Cells::new(&registry, &large).unwrap());
        for i in 0..a.len() {
            assert_eq!(a.get(i).unwrap(), b.get(i).unwrap());
        }
        assert_eq!((a.get(1).unwrap().task, a.get(1).unwrap().method), ("pendulum".into(), "ppo".into()));
    }

    #[test]
    fn a_wrong_config_names_its_cell() {
        let registry = rlx_experiments::registry();
        let wrong = |text: &str| {
            let spec = Spec::parse(&registry, "x", text, false).unwrap();
            let cells = Cells::new(&registry, &spec).unwrap();
            format!("{:#}", cells.validate(None).unwrap_err())
        };
        let base = "format = 1\nseeds = 2\n[base]\nenv = \"cartpole\"\nalgo = \"ppo\"\n";
        let error = wrong(&format!("{base}[grid]\ngama = [0.9]"));
        assert!(error.contains("cell 0") && error.contains("did you mean 'gamma'?"), "{error}");
        let error = wrong(&format!("{base}[grid]\ngamma = [0.9, 2.0]"));
        assert!(error.contains("cell 1") && error.contains("from 0 to 1"), "{error}");
        assert!(
            wrong(&format!("{base}[[metrics]]\nname = \"x\"\ntasks.pendulum = {{ threshold = 1.0 }}"))
                .contains("no task")
        );
        assert!(wrong(&format!("baseline = \"sac\"\n{base}")).contains("there are ppo"));
    }
}
