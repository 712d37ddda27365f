//! Costly objectives: functions of a few discrete choices that take minutes to evaluate, and the ledger that remembers them.
//!
//! A searcher (evolution, Bayesian optimisation, a knapsack) works on an [`Objective`]; a policy sees the same one through a thin
//! world over it. [`Measured`] puts ledgers in front of one and lets many share it, so that nothing is measured twice, in this run or a later one.
mod cholesky;
mod front;
mod ledger;
mod ledger_dir;
mod measured;
mod moves;
mod space;
mod surrogate;
#[cfg(test)]
mod tests;

pub use cholesky::Cholesky;
pub use front::{front, hypervolume};
pub use ledger::{Key, Ledger, Record};
pub use ledger_dir::LedgerDir;
pub use measured::{Measured, SharedObjective};
pub use moves::{cheapest, costliest, edits, fill, guessed, repair};
pub use space::{Dimension, Levels, SearchSpace};
pub use surrogate::Surrogate;

use crate::{Result, Scalars};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

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

/// Who is told what happens, a line each; by default nobody.
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
    /// [`crate::Error::Interrupted`] once `stop` says so; when the configuration is not of the space; when the evaluation itself fails.
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
