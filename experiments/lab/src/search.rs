//! What a sweep searches and how: typed ranges, and the samplers. Trial n depends on the spec, its number and the trials before it alone.
use crate::{
    spec::{Metric, Table},
    spread::Spread,
};
use anyhow::{Context, Result, anyhow, bail};
use rlx::{Rng, config::nearest};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::convert::Infallible;

/// How values are chosen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Method {
    /// Independent draws.
    Random,
    /// Owen-scrambled Sobol sequences (Burley 2020): each key evenly spread, no two keys tied.
    Sobol,
    /// The tree-structured Parzen estimator (Bergstra et al. 2011), each key by itself.
    #[default]
    Tpe,
    /// A sampler of Optuna, asked and told in a process of Python.
    Optuna,
}

/// The sampler of [`Method::Optuna`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Sampler {
    /// Its tree-structured Parzen estimator over all keys jointly.
    #[default]
    Tpe,
    /// A Gaussian process with the logarithm of expected improvement; needs torch and scipy.
    Gp,
    /// CMA-ES; needs the package cmaes.
    CmaEs,
    /// A quasi-Monte Carlo sequence; needs scipy.
    Qmc,
    /// Independent draws.
    Random,
}

impl Sampler {
    /// As it is written.
    pub fn word(self) -> &'static str {
        match self {
            Self::Tpe => "tpe",
            Self::Gp => "gp",
            Self::CmaEs => "cmaes",
            Self::Qmc => "qmc",
            Self::Random => "random",
        }
    }

    /// Packages of Python that it needs.
    pub fn packages(self) -> &'static [&'static str] {
        match self {
            Self::Tpe | Self::Random => &["optuna"],
            Self::Gp => &["optuna", "scipy", "torch"],
            Self::CmaEs => &["optuna", "cmaes"],
            Self::Qmc => &["optuna", "scipy"],
        }
    }
}

/// The range of a key.
#[derive(Clone, Debug, PartialEq)]
pub enum Range {
    /// Numbers; whole ones when `low` and `high` are written as such.
    Numbers {
        /// The least.
        low: f64,
        /// The largest.
        high: f64,
        /// Whether each factor is as likely as another.
        log: bool,
        /// Whether only whole numbers.
        whole: bool,
    },
    /// One of these.
    Choices(Vec<Value>),
}

/// When a trial is given up: when it is worse than the median of the others at the same step (the rule of Vizier, Golovin et al. 2017).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Prune {
    /// Whether at all.
    pub median: bool,
    /// No trial is given up before this step.
    pub warmup_steps: u64,
    /// Nor before so many trials have finished.
    pub startup_trials: usize,
}

impl Default for Prune {
    fn default() -> Self {
        Self { median: true, warmup_steps: 0, startup_trials: 5 }
    }
}

/// A checked sweep.
#[derive(Clone, Debug)]
pub struct Space {
    /// One line of what it is for.
    pub about: String,
    /// Keys that all trials have.
    pub base: Table,
    /// Keys that are searched.
    pub ranges: Vec<(String, Range)>,
    /// How.
    pub method: Method,
    /// By which of Optuna's samplers, where it is Optuna that is asked.
    pub sampler: Sampler,
    /// Trials.
    pub trials: u64,
    /// Seed of the search, and of every trial's run.
    pub seed: u64,
    /// TPE's first trials, which are random.
    pub startup: u64,
    /// What is made best.
    pub metric: Metric,
    /// When trials are given up; None for never.
    pub prune: Option<Prune>,
}

const TOP: [&str; 7] = ["format", "about", "base", "space", "search", "metric", "prune"];

fn known(table: &Table, keys: &[&str], place: &str) -> Result<()> {
    match table.keys().find(|k| !keys.contains(&k.as_str())) {
        Some(key) => bail!("{place} has no key '{key}'{}", nearest(key, keys.iter().copied())),
        None => Ok(()),
    }
}

fn range(key: &str, value: &Value) -> Result<Range> {
    let wrong = || {
        anyhow!(
            "space.{key} = {value}: it must be {{ low = .., high = .. }}, with log = true for factors, or {{ choices = [..] }}"
        )
    };
    let table = value.as_object().ok_or_else(wrong)?;
    known(table, &["low", "high", "log", "choices"], &format!("space.{key}"))?;
    if let Some(choices) = table.get("choices") {
        let choices = choices.as_array().filter(|c| !c.is_empty() && table.len() == 1).ok_or_else(wrong)?;
        return Ok(Range::Choices(choices.clone()));
    }
    let get = |name: &str| table.get(name).and_then(Value::as_f64).ok_or_else(wrong);
    let (low, high) = (get("low")?, get("high")?);
    let log = match table.get("log") {
        None => false,
        Some(v) => v.as_bool().ok_or_else(wrong)?,
    };
    let whole = ["low", "high"].iter().all(|n| table.get(*n).is_some_and(|v| v.is_i64() || v.is_u64()));
    if low >= high {
        bail!("space.{key}: low = {low} must be below high = {high}");
    }
    if log && low <= 0.0 {
        bail!("space.{key}: with log = true low must be above 0");
    }
    Ok(Range::Numbers { low, high, log, whole })
}

impl Space {
    /// Reads the text of a sweep and checks its form.
    ///
    /// # Errors
    /// Naming the key that is wrong, and the nearest right one.
    pub fn parse(text: &str) -> Result<Self> {
        #[derive(Deserialize)]
        #[serde(default, deny_unknown_fields)]
        struct Search {
            method: Method,
            sampler: Option<Sampler>,
            trials: u64,
            seed: u64,
            startup: u64,
        }
        impl Default for Search {
            fn default() -> Self {
                Self { method: Method::Tpe, sampler: None, trials: 50, seed: 0, startup: 10 }
            }
        }
        let file: toml::Table = toml::from_str(text).map_err(|e| anyhow!("{e}"))?;
        let Value::Object(mut top) = serde_json::to_value(file)? else { bail!("it is no table") };
        known(&top, &TOP, "a sweep")?;
        if top.get("format").and_then(Value::as_u64) != Some(1) {
            bail!("its first line must be format = 1");
        }
        let table = |v: Option<Value>, place: &str| match v {
            None => Ok(Table::new()),
            Some(Value::Object(t)) => Ok(t),
            Some(_) => Err(anyhow!("{place} must be a table")),
        };
        let base = table(top.remove("base"), "base")?;
        let ranges: Vec<(String, Range)> = table(top.remove("space"), "space")?
            .iter()
            .map(|(k, v)| Ok((k.clone(), range(k, v)?)))
            .collect::<Result<_>>()?;
        if ranges.is_empty() {
            bail!("space is empty: there would be nothing to search");
        }
        if let Some((key, _)) = ranges.iter().find(|(k, _)| base.contains_key(k) || k == "seed") {
            bail!("'{key}' cannot be searched: it is in base, or the seed of the search");
        }
        let search: Search = match top.remove("search") {
            Some(v) => serde_json::from_value(v).context("search: method, sampler, trials, seed, startup")?,
            None => Search::default(),
        };
        if search.sampler.is_some() && search.method != Method::Optuna {
            bail!("search.sampler is one of Optuna's: it needs method = \"optuna\"");
        }
        if search.trials == 0 || search.trials > 65_536 {
            bail!("search.trials = {}: it must be from 1 to 65536", search.trials);
        }
        let metric = top.remove("metric").unwrap_or_else(|| serde_json::json!({"name": "eval/return"}));
        let metric = super::spec::metric(metric, "metric")?;
        let prune = match top.remove("prune") {
            Some(v) => serde_json::from_value(v).context("prune: median, warmup_steps, startup_trials")?,
            None => Prune::default(),
        };
        Ok(Self {
            about: top.remove("about").and_then(|v| v.as_str().map(str::to_owned)).unwrap_or_default(),
            base,
            ranges,
            method: search.method,
            sampler: search.sampler.unwrap_or_default(),
            trials: search.trials,
            seed: search.seed,
            startup: search.startup,
            metric,
            prune: Some(prune).filter(|p: &Prune| p.median),
        })
    }

    /// How values are chosen, in words.
    pub fn how(&self) -> String {
        match self.method {
            Method::Random => "random".into(),
            Method::Sobol => "Sobol".into(),
            Method::Tpe => "TPE".into(),
            Method::Optuna => format!("Optuna's {}", self.sampler.word()),
        }
    }

    /// How many configurations there are, where that is a number: no key of real numbers, and fewer than 2^64.
    pub fn size(&self) -> Option<u64> {
        let count = |range: &Range| match range {
            Range::Choices(all) => {
                let mut seen: Vec<&Value> = Vec::new();
                all.iter().for_each(|c| {
                    if !seen.contains(&c) {
                        seen.push(c)
                    }
                });
                Some(seen.len() as u64)
            }
            Range::Numbers { low, high, whole: true, .. } => Some((high - low) as u64 + 1),
            Range::Numbers { .. } => None,
        };
        self.ranges.iter().try_fold(1u64, |n, (_, range)| n.checked_mul(count(range)?))
    }

    /// The values of trial `number`, given the keys and values (smaller is better) of those before it; a trial that is under way has no
    /// value yet. No configuration comes twice: None when there is none left.
    ///
    /// # Errors
    /// When the estimator refuses, which it does for no range that was checked; or when it is Optuna that is to be asked.
    pub fn ask(&self, number: u64, before: &[(Table, Option<f64>)]) -> Result<Option<Table>> {
        let new = |keys: &Table| before.iter().all(|(old, _)| old != keys);
        let mut used: Vec<&Table> = before.iter().map(|(keys, _)| keys).collect();
        used.sort_by_cached_key(|keys| Value::Object((*keys).clone()).to_string());
        used.dedup();
        if self.size().is_some_and(|all| used.len() as u64 >= all) {
            return Ok(None);
        }
        let mut rng = Rng::named(self.seed, "trial", number);
        let first = self.proposed(number, before, &mut rng)?;
        if new(&first) {
            return Ok(Some(first));
        }
        // A small space: where the method goes to what is known already, any other configuration is worth more than a repetition.
        for _ in 0..10_000 {
            let other = self.ranges.iter().map(|(key, range)| (key.clone(), range.at(rng.unit()))).collect();
            if new(&other) {
                return Ok(Some(other));
            }
        }
        Ok(self.every().find(|keys| new(keys)))
    }

    /// What is to be known of the method before it begins: keys that so few trials cannot tell apart.
    pub fn caveat(&self) -> Option<String> {
        if self.method != Method::Sobol || self.trials < 2 {
            return None;
        }
        let tied = Spread::new(self.seed, self.ranges.len()).tied(self.ranges.len(), self.trials);
        let (a, b) = *tied.first()?;
        Some(format!(
            "{} of {} pairs of keys are tied in {} trials, as '{}' and '{}': always in equal, or always in opposite halves of their ranges; 16 \
             trials or more do not tie them",
            tied.len(),
            self.ranges.len() * (self.ranges.len() - 1) / 2,
            self.trials,
            self.ranges[a].0,
            self.ranges[b].0
        ))
    }

    fn proposed(&self, number: u64, before: &[(Table, Option<f64>)], rng: &mut Rng) -> Result<Table> {
        let spread = (self.method == Method::Sobol).then(|| Spread::new(self.seed, self.ranges.len()));
        let known = liars(before);
        let mut out = Table::new();
        for (i, (key, range)) in self.ranges.iter().enumerate() {
            let value = match (self.method, &spread) {
                (Method::Sobol, Some(spread)) => range.at(spread.at(number, i)),
                (Method::Tpe, _) if number >= self.startup && known.len() > 1 => range.guess(key, &known, rng)?,
                (Method::Optuna, _) => bail!("Optuna is asked in a process of its own"),
                _ => range.at(rng.unit()),
            };
            out.insert(key.clone(), value);
        }
        Ok(out)
    }

    /// All configurations of a space without real numbers, in order; nothing of another one.
    fn every(&self) -> impl Iterator<Item = Table> + '_ {
        let values = |range: &Range| -> Vec<Value> {
            match range {
                Range::Choices(all) => all.clone(),
                Range::Numbers { low, high, .. } => (*low as i64..=*high as i64).map(Value::from).collect(),
            }
        };
        let all: Vec<Vec<Value>> = match self.size() {
            Some(_) => self.ranges.iter().map(|(_, r)| values(r)).collect(),
            None => vec![Vec::new()],
        };
        let count: usize = all.iter().map(Vec::len).product();
        (0..count).map(move |mut n| {
            let mut keys = Table::new();
            for ((key, _), values) in self.ranges.iter().zip(&all) {
                keys.insert(key.clone(), values[n % values.len()].clone());
                n /= values.len();
            }
            keys
        })
    }
}

/// Trials under way count as the worst that has ended (the constant liar of Ginsbourger et al. 2010), so that those which are begun together
/// do not all go to one place.
fn liars(before: &[(Table, Option<f64>)]) -> Vec<(Table, f64)> {
    let worst = before.iter().filter_map(|b| b.1).max_by(f64::total_cmp);
    before.iter().filter_map(|(keys, value)| Some((keys.clone(), value.or(worst)?))).collect()
}

/// The project's random streams by the traits that tpe knows.
struct Bridge<'a>(&'a mut Rng);

impl rand_core::TryRng for Bridge<'_> {
    type Error = Infallible;
    fn try_next_u32(&mut self) -> std::result::Result<u32, Infallible> {
        Ok((self.0.bits() >> 32) as u32)
    }
    fn try_next_u64(&mut self) -> std::result::Result<u64, Infallible> {
        Ok(self.0.bits())
    }
    fn try_fill_bytes(&mut self, out: &mut [u8]) -> std::result::Result<(), Infallible> {
        for part in out.chunks_mut(8) {
            part.copy_from_slice(&self.0.bits().to_le_bytes()[..part.len()]);
        }
        Ok(())
    }
}

impl Range {
    /// The value at a share of the range.
    pub fn at(&self, share: f64) -> Value {
        match self {
            Self::Choices(all) => all[((share * all.len() as f64) as usize).min(all.len() - 1)].clone(),
            Self::Numbers { low, high, log, whole } => {
                // A whole number owns the half on either side of it, so that the ends are as likely as the others.
                let (low, high) = if *whole { (low - 0.5, high + 0.5) } else { (*low, *high) };
                let x = if *log {
                    let low = low.max(f64::MIN_POSITIVE);
                    (low.ln() + share * (high.ln() - low.ln())).exp()
                } else {
                    low + share * (high - low)
                };
                // An exponential of a logarithm misses the ends in the last bit, and a key may refuse what is beyond them.
                if *whole { Value::from(x.round().clamp(low + 0.5, high - 0.5) as i64) } else { self.clamped(x) }
            }
        }
    }

    /// A real number, within the range.
    pub fn clamped(&self, x: f64) -> Value {
        match self {
            Self::Numbers { low, high, .. } => Value::from(x.clamp(*low, *high)),
            Self::Choices(_) => Value::from(x),
        }
    }

    /// The share of the range that a value is at.
    pub fn share(&self, value: &Value) -> Option<f64> {
        match self {
            Self::Choices(all) => Some(all.iter().position(|c| c == value)? as f64),
            Self::Numbers { low, high, log, whole } => {
                let x = value.as_f64()?;
                let (low, high) = if *whole { (low - 0.5, high + 0.5) } else { (*low, *high) };
                let share = if *log {
                    let low = low.max(f64::MIN_POSITIVE);
                    (x.ln() - low.ln()) / (high.ln() - low.ln())
                } else {
                    (x - low) / (high - low)
                };
                Some(share.clamp(0.0, 1.0 - 1e-12))
            }
        }
    }

    fn guess(&self, key: &str, before: &[(Table, f64)], rng: &mut Rng) -> Result<Value> {
        let (estimator, range) = match self {
            Self::Choices(all) => (tpe::histogram_estimator(), tpe::categorical_range(all.len())),
            Self::Numbers { .. } => (tpe::parzen_estimator(), tpe::range(0.0, 1.0)),
        };
        let mut optimizer = tpe::TpeOptimizer::new(estimator, range.map_err(|e| anyhow!("space.{key}: {e}"))?);
        for (keys, value) in before {
            if let Some(share) = keys.get(key).and_then(|v| self.share(v)) {
                optimizer.tell(share, *value).map_err(|e| anyhow!("space.{key}: {e}"))?;
            }
        }
        let share = optimizer.ask(&mut Bridge(rng)).map_err(|e| anyhow!("space.{key}: {e}"))?;
        Ok(match self {
            Self::Choices(all) => all[(share as usize).min(all.len() - 1)].clone(),
            Self::Numbers { .. } => self.at(share),
        })
    }
}

#[cfg(test)]
mod tests;
