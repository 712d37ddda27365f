//! Costly objectives: functions of a few discrete choices that take minutes to evaluate, and the ledger that remembers them.
//!
//! A searcher (evolution, Bayesian optimisation, a knapsack) works on an [`Objective`]; a policy sees the same one through a thin
//! world over it. [`Measured`] puts a [`Ledger`] in front of one, so that nothing is measured twice, in this run or a later one.
mod cholesky;
mod front;
mod ledger;
mod moves;
mod surrogate;
#[cfg(test)]
mod tests;

pub use cholesky::Cholesky;
pub use front::{front, hypervolume};
pub use ledger::{Key, Ledger, Record};
pub use moves::{cheapest, costliest, edits, fill, guessed, repair};
pub use surrogate::Surrogate;

use crate::{Error, Result, Rng, Scalars};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// The levels of a dimension.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Levels {
    /// Numbers with an order and distances (a pruning ratio, bits), ascending.
    Ordinal(Vec<f64>),
    /// Names without an order (a method).
    Categorical(Vec<String>),
}

/// One choice of a configuration.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Dimension {
    /// What is chosen: `block 3 bits`.
    pub name: String,
    /// What it is chosen from.
    pub levels: Levels,
}

impl Dimension {
    /// A choice among ascending numbers.
    pub fn ordinal(name: impl Into<String>, levels: &[f64]) -> Self {
        Self { name: name.into(), levels: Levels::Ordinal(levels.to_vec()) }
    }
    /// A choice among names.
    pub fn categorical(name: impl Into<String>, levels: &[&str]) -> Self {
        Self { name: name.into(), levels: Levels::Categorical(levels.iter().map(|l| (*l).to_owned()).collect()) }
    }
    /// Number of levels.
    pub fn len(&self) -> usize {
        match &self.levels {
            Levels::Ordinal(x) => x.len(),
            Levels::Categorical(x) => x.len(),
        }
    }
    /// Whether there is nothing to choose from; [`SearchSpace::new`] refuses that.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
    /// The name of level `i`: its number, or its name.
    ///
    /// # Panics
    /// When there is no such level.
    pub fn level(&self, i: u16) -> String {
        match &self.levels {
            Levels::Ordinal(x) => x[usize::from(i)].to_string(),
            Levels::Categorical(x) => x[usize::from(i)].clone(),
        }
    }
}

/// The set of configurations: one level of each dimension, written as their indices (`&[u16]`).
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct SearchSpace {
    dimensions: Vec<Dimension>,
}

impl SearchSpace {
    /// The space of these dimensions.
    ///
    /// # Errors
    /// When there is none, two share a name, or one has no level, more than 65,536, a repeated one, or numbers that do not ascend.
    pub fn new(dimensions: Vec<Dimension>) -> Result<Self> {
        let bad = |d: &Dimension, why: &str| Err(Error::invalid(format!("dimension '{}': {why}", d.name)));
        if dimensions.is_empty() {
            return Err(Error::invalid("a search space needs at least one dimension"));
        }
        for (i, d) in dimensions.iter().enumerate() {
            if d.is_empty() || d.len() > usize::from(u16::MAX) + 1 {
                return bad(d, &format!("{} levels; it must have 1 to 65536", d.len()));
            }
            if dimensions[..i].iter().any(|other| other.name == d.name) {
                return bad(d, "the name is taken");
            }
            match &d.levels {
                // Written so that a NaN does not ascend either.
                Levels::Ordinal(x) if !x.is_sorted_by(|a, b| a < b) || x.iter().any(|v| !v.is_finite()) => {
                    return bad(d, &format!("{x:?} are not finite and ascending"));
                }
                Levels::Categorical(x) if (1..x.len()).any(|k| x[..k].contains(&x[k])) => {
                    return bad(d, &format!("{x:?} has a name twice"));
                }
                _ => {}
            }
        }
        Ok(Self { dimensions })
    }
    /// The dimensions, in the order of a configuration's levels.
    pub fn dimensions(&self) -> &[Dimension] {
        &self.dimensions
    }
    /// Number of configurations, as a float: it easily passes 2^64.
    pub fn size(&self) -> f64 {
        self.dimensions.iter().map(|d| d.len() as f64).product()
    }
    /// Whether `config` is one of the space.
    ///
    /// # Errors
    /// Naming the dimension, its value and what is allowed.
    pub fn check(&self, config: &[u16]) -> Result<()> {
        if config.len() != self.dimensions.len() {
            return Err(Error::mismatch(
                "levels of a configuration",
                self.dimensions.len().to_string(),
                config.len().to_string(),
            ));
        }
        match self.dimensions.iter().zip(config).find(|(d, level)| usize::from(**level) >= d.len()) {
            Some((d, level)) => {
                Err(Error::invalid(format!("{}: level {level}; it must be 0 to {}", d.name, d.len() - 1)))
            }
            None => Ok(()),
        }
    }
    /// Draws a configuration uniformly into `out`, one level per dimension.
    ///
    /// # Panics
    /// When `out` is not as long as there are dimensions.
    pub fn sample(&self, rng: &mut Rng, out: &mut [u16]) {
        assert_eq!(out.len(), self.dimensions.len(), "one level per dimension");
        for (level, d) in out.iter_mut().zip(&self.dimensions) {
            *level = rng.below(d.len()) as u16; // at most 65,536 levels: checked when the space was made
        }
    }
    /// Width of [`SearchSpace::encode`].
    pub fn encoded_width(&self) -> usize {
        self.dimensions.iter().map(|d| if matches!(d.levels, Levels::Ordinal(_)) { 1 } else { d.len() }).sum()
    }
    /// Writes a configuration as a surrogate reads it: a number in [0, 1] for each ordinal dimension, by its place between the
    /// lowest and the highest level, and an indicator per level of each categorical one.
    ///
    /// # Errors
    /// As [`SearchSpace::check`], and when `out` is not [`SearchSpace::encoded_width`] wide.
    pub fn encode(&self, config: &[u16], out: &mut [f32]) -> Result<()> {
        self.check(config)?;
        if out.len() != self.encoded_width() {
            let (right, found) = (self.encoded_width().to_string(), out.len().to_string());
            return Err(Error::mismatch("width of an encoded configuration", right, found));
        }
        let mut rest = out;
        for (d, level) in self.dimensions.iter().zip(config) {
            let width = if matches!(d.levels, Levels::Ordinal(_)) { 1 } else { d.len() };
            let (part, left) = rest.split_at_mut(width);
            match &d.levels {
                Levels::Ordinal(x) => {
                    let (low, span) = (x[0], x[x.len() - 1] - x[0]);
                    part[0] = if span > 0.0 { ((x[usize::from(*level)] - low) / span) as f32 } else { 0.0 };
                }
                Levels::Categorical(_) => {
                    part.fill(0.0);
                    part[usize::from(*level)] = 1.0;
                }
            }
            rest = left;
        }
        Ok(())
    }
}

/// What came of an evaluation.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Measure {
    /// What is to be minimised. A configuration that breaks the model altogether may have an infinite or undefined one.
    #[serde(with = "ledger::float")]
    pub loss: f64,
    /// Whatever else was measured, by name.
    #[serde(with = "ledger::floats")]
    pub metrics: BTreeMap<String, f64>,
}

/// The field of an observation that holds the cost a configuration is wanted for, in a world over an [`Objective`].
pub const BUDGET: &str = "budget";
/// The field of such an observation that holds, for each set of choices of the action, the number of the dimension whose level it
/// decides at this tick; -1 for none.
pub const DIMENSIONS: &str = "dimensions";

/// A configuration, its cost, and what it was measured at.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Trial {
    /// The level of each dimension.
    pub config: Vec<u16>,
    /// Its cost.
    pub cost: f64,
    /// What is to be minimised; infinite or undefined where the configuration breaks the model.
    pub loss: f64,
    /// The fidelity, by its number.
    pub fidelity: u32,
}

type Ear = dyn Fn(&str) + Send + Sync;

/// Who is told what happens, a line each; by itself nobody.
#[derive(Clone, Default)]
pub struct Tell(Option<std::sync::Arc<Ear>>);

impl Tell {
    /// Calls `to` with every line.
    pub fn new(to: impl Fn(&str) + Send + Sync + 'static) -> Self {
        Self(Some(std::sync::Arc::new(to)))
    }
    /// Tells a line.
    pub fn say(&self, line: &str) {
        if let Some(to) = &self.0 {
            to(line);
        }
    }
}

impl std::fmt::Debug for Tell {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(if self.0.is_some() { "Tell(somebody)" } else { "Tell(nobody)" })
    }
}

/// A function of a configuration that is costly to evaluate.
///
/// A world over one ([`crate::Env::objective`]) names the fields [`BUDGET`] and [`DIMENSIONS`] of its observation, and decides each
/// dimension once.
pub trait Objective: Send {
    /// Its name.
    fn name(&self) -> &str;
    /// Stands for everything that a measure depends on beside its arguments (a hash of model, data and settings): equal names
    /// and versions measure alike.
    fn version(&self) -> &str;
    /// What may be chosen.
    fn space(&self) -> &SearchSpace;
    /// Names of the fidelities, the cheapest first (`untuned`, `100 steps`, `full`).
    fn fidelities(&self) -> &[String];
    /// The configuration's exact size in bytes, cheap to compute.
    fn cost(&self, config: &[u16]) -> f64;
    /// Names of the scalars that [`Objective::features`] writes: `mutual information`, `block 3 importance`.
    fn feature_names(&self) -> &[String];
    /// Scalars that [`Objective::features`] writes.
    fn feature_width(&self) -> usize {
        self.feature_names().len()
    }
    /// What is cheaply known of a configuration, for surrogates and policies.
    fn features(&self, config: &[u16], out: &mut [f32]);
    /// Evaluates at the fidelity of that index: a pure function of its arguments, so all chance comes from `seed`. It asks `stop`
    /// at least every few seconds.
    ///
    /// # Errors
    /// [`Error::Interrupted`] once `stop` says so; when the configuration is not of the space; when the evaluation itself fails.
    fn evaluate(&mut self, config: &[u16], fidelity: u32, seed: u64, stop: &dyn Fn() -> bool) -> Result<Measure>;

    /// The lowest and the highest cost that configurations are wanted for. A searcher seeks the least loss at every cost between.
    fn budgets(&self) -> (f64, f64) {
        (0.0, f64::INFINITY)
    }
    /// The fidelity, by its number, at which configurations are measured before any is promoted.
    fn fidelity(&self) -> u32 {
        0
    }
    /// Whether a measure at that fidelity depends on its seed. By itself all but the lowest do.
    fn is_random(&self, fidelity: u32) -> bool {
        fidelity > 0
    }
    /// Configurations that the literature or a practitioner would choose without a search, by name: what a search must beat.
    fn baselines(&self) -> Vec<(String, Vec<u16>)> {
        Vec::new()
    }
    /// Ticks that the world over it takes to decide a configuration: what a searcher's measurement counts as.
    fn ticks(&self) -> u64 {
        self.space().dimensions().len() as u64
    }
    /// A cheap guess of what a configuration loses, in no particular unit: what repairs and first configurations go by. By itself
    /// the squared distance to the costliest configuration, each dimension counting alike, so that cuts are spread.
    fn guess(&self, config: &[u16]) -> f64 {
        moves::distance_to_costliest(self.space(), &|c| self.cost(c), config)
    }
    /// What was measured through it in this run, in order.
    fn history(&self) -> Vec<Trial> {
        Vec::new()
    }
    /// Says how the search stands, for the log of a run.
    fn report(&self, _log: &mut Scalars) {}
    /// Tells from now on what a person should know, as it happens: a long preparation, a first configuration that fits, a better one.
    fn listen(&mut self, _tell: Tell) {}
}

impl<T: Objective + ?Sized> Objective for Box<T> {
    fn name(&self) -> &str {
        (**self).name()
    }
    fn version(&self) -> &str {
        (**self).version()
    }
    fn space(&self) -> &SearchSpace {
        (**self).space()
    }
    fn fidelities(&self) -> &[String] {
        (**self).fidelities()
    }
    fn cost(&self, config: &[u16]) -> f64 {
        (**self).cost(config)
    }
    fn feature_names(&self) -> &[String] {
        (**self).feature_names()
    }
    fn features(&self, config: &[u16], out: &mut [f32]) {
        (**self).features(config, out);
    }
    fn evaluate(&mut self, config: &[u16], fidelity: u32, seed: u64, stop: &dyn Fn() -> bool) -> Result<Measure> {
        (**self).evaluate(config, fidelity, seed, stop)
    }
    fn budgets(&self) -> (f64, f64) {
        (**self).budgets()
    }
    fn fidelity(&self) -> u32 {
        (**self).fidelity()
    }
    fn is_random(&self, fidelity: u32) -> bool {
        (**self).is_random(fidelity)
    }
    fn baselines(&self) -> Vec<(String, Vec<u16>)> {
        (**self).baselines()
    }
    fn ticks(&self) -> u64 {
        (**self).ticks()
    }
    fn guess(&self, config: &[u16]) -> f64 {
        (**self).guess(config)
    }
    fn history(&self) -> Vec<Trial> {
        (**self).history()
    }
    fn report(&self, log: &mut Scalars) {
        (**self).report(log);
    }
    fn listen(&mut self, tell: Tell) {
        (**self).listen(tell);
    }
}

/// An objective behind its ledger: an evaluation that was ever made is read, not made again. It is an objective itself, so that a
/// searcher need not know; interrupted and started again, a search that asks for the same keys goes on where it was.
pub struct Measured<O> {
    objective: O,
    ledger: Ledger,
    evaluations: u64,
}

impl<O: Objective> Measured<O> {
    /// Puts `ledger` in front of `objective`.
    pub fn new(objective: O, ledger: Ledger) -> Self {
        Self { objective, ledger, evaluations: 0 }
    }
    /// Evaluations made, not read, by this value.
    pub fn evaluations(&self) -> u64 {
        self.evaluations
    }
    /// The objective.
    pub fn objective(&self) -> &O {
        &self.objective
    }
    /// The ledger, with the measurements of other objectives and versions too.
    pub fn ledger(&self) -> &Ledger {
        &self.ledger
    }
    /// The measurements of this objective and version, in the order they were made: what a surrogate is fitted to.
    pub fn records(&self) -> impl Iterator<Item = &Record> {
        let (name, version) = (self.objective.name(), self.objective.version());
        self.ledger.records().iter().filter(move |r| r.key.objective == name && r.key.version == version)
    }
}

impl<O: Objective> Objective for Measured<O> {
    fn name(&self) -> &str {
        self.objective.name()
    }
    fn version(&self) -> &str {
        self.objective.version()
    }
    fn space(&self) -> &SearchSpace {
        self.objective.space()
    }
    fn fidelities(&self) -> &[String] {
        self.objective.fidelities()
    }
    fn cost(&self, config: &[u16]) -> f64 {
        self.objective.cost(config)
    }
    fn feature_names(&self) -> &[String] {
        self.objective.feature_names()
    }
    fn features(&self, config: &[u16], out: &mut [f32]) {
        self.objective.features(config, out);
    }
    fn budgets(&self) -> (f64, f64) {
        self.objective.budgets()
    }
    fn fidelity(&self) -> u32 {
        self.objective.fidelity()
    }
    fn is_random(&self, fidelity: u32) -> bool {
        self.objective.is_random(fidelity)
    }
    fn baselines(&self) -> Vec<(String, Vec<u16>)> {
        self.objective.baselines()
    }
    fn ticks(&self) -> u64 {
        self.objective.ticks()
    }
    fn guess(&self, config: &[u16]) -> f64 {
        self.objective.guess(config)
    }
    fn history(&self) -> Vec<Trial> {
        self.objective.history()
    }
    fn report(&self, log: &mut Scalars) {
        self.objective.report(log);
    }
    fn listen(&mut self, tell: Tell) {
        self.objective.listen(tell);
    }

    /// Reads the measure from the ledger, or makes it and writes it there before it is returned.
    ///
    /// # Errors
    /// As the objective's, and when the ledger can not be written: the measure is then kept in memory, and asking for it again
    /// writes it instead of making it again.
    fn evaluate(&mut self, config: &[u16], fidelity: u32, seed: u64, stop: &dyn Fn() -> bool) -> Result<Measure> {
        self.objective.space().check(config)?;
        let fidelities = self.objective.fidelities();
        if fidelity as usize >= fidelities.len() {
            return Err(Error::invalid(format!("fidelity {fidelity}: it must be one of {fidelities:?} by index")));
        }
        let (objective, version) = (self.objective.name().into(), self.objective.version().into());
        let key = Key { objective, version, config: config.to_vec(), fidelity, seed };
        if let Some(known) = self.ledger.get(&key)? {
            return Ok(known.clone());
        }
        if stop() {
            return Err(Error::Interrupted);
        }
        let measure = self.objective.evaluate(config, fidelity, seed, stop)?;
        self.evaluations += 1;
        self.ledger.put(Record { key, measure: measure.clone() })?;
        Ok(measure)
    }
}
