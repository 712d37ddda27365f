//! Searchers of costly objectives, one file each: a [`Proposer`] says what to measure next, and [`Searcher`] makes a learner of it.
//!
//! A searcher proposes a configuration for a cost that is asked for, and sees what it was measured at. Everything it knows is the list of
//! its trials and its own small state, so that it is resumed to the bit; what was measured is in the objective's ledger besides.
pub mod baseline;
pub mod bo;
mod draw;
pub mod evolution;
pub mod gp;
pub mod greedy;
pub mod knapsack;
mod learner;
pub mod qpruner;
pub mod random;
pub mod rankadaptor;
#[cfg(test)]
mod tests;
pub mod uniform;

pub use learner::Searcher;
pub use rlx::objective::Trial;

use rlx::{Objective, Result, Rng, Scalars, config};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize, de::DeserializeOwned};

/// What all searchers have.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct Common {
    /// For so many measurements at a fidelity the best of them is measured at the next one as well, up to the highest (as in successive
    /// halving, arXiv 1810.05934); 0 for never.
    #[schemars(range(min = 0))]
    pub promote_every: u64,
    /// Configurations that the objective guesses, for budgets spread evenly, which are measured before all others.
    #[schemars(range(min = 0, max = 10_000))]
    pub initial_guesses: u64,
}

/// What a searcher sees when it proposes.
pub struct SearchView<'a> {
    /// The objective, not to be evaluated: [`Searcher`] does that, and counts.
    pub objective: &'a dyn Objective,
    /// Its trials at the fidelity it searches at, in order.
    pub trials: &'a [Trial],
    /// The cost that this proposal must not exceed.
    pub budget: f64,
    /// Measurements that there will be in all.
    pub planned: u64,
}

impl SearchView<'_> {
    /// Whether the configuration was proposed before.
    pub fn is_known(&self, config: &[u16]) -> bool {
        self.trials.iter().any(|t| t.config == config)
    }
    /// The trials that fit the budget and have a finite loss, the best first; of equal ones the older.
    pub fn feasible(&self) -> Vec<&Trial> {
        let fits = |t: &&Trial| t.cost <= self.budget && t.loss.is_finite();
        let mut all: Vec<&Trial> = self.trials.iter().filter(fits).collect();
        all.sort_by(|a, b| a.loss.total_cmp(&b.loss));
        all
    }
    /// Configurations and losses of all trials, for a surrogate.
    pub fn measured(&self) -> Vec<(Vec<u16>, f64)> {
        self.trials.iter().map(|t| (t.config.clone(), t.loss)).collect()
    }
}

/// One searcher. What it keeps between proposals is its serialised self.
pub trait Proposer: Serialize + DeserializeOwned + Send + 'static {
    /// Its keys.
    type Config: config::Config;
    /// The name on the command line.
    const NAME: &'static str;
    /// One line of what it is.
    const ABOUT: &'static str;
    /// The keys that all have.
    fn common(config: &Self::Config) -> &Common;
    /// One at its start.
    fn new(config: &Self::Config) -> Self;
    /// The next configuration to measure; [`Searcher`] refuses one that costs more than the budget.
    ///
    /// # Errors
    /// When the objective lacks what the searcher goes by.
    fn propose(&mut self, config: &Self::Config, view: &SearchView<'_>, rng: &mut Rng) -> Result<Vec<u16>>;
    /// Logs its state.
    fn report(&self, _log: &mut Scalars) {}
}

/// Adds every searcher.
pub fn register(registry: &mut rlx::Registry) {
    registry
        .algorithm::<Searcher<random::Random>>()
        .algorithm::<Searcher<uniform::Uniform>>()
        .algorithm::<Searcher<baseline::Baseline>>()
        .algorithm::<Searcher<greedy::Greedy>>()
        .algorithm::<Searcher<knapsack::Knapsack>>()
        .algorithm::<Searcher<evolution::Evolution>>()
        .algorithm::<Searcher<bo::Bo>>()
        .algorithm::<Searcher<qpruner::QPruner>>()
        .algorithm::<Searcher<rankadaptor::RankAdaptor>>();
}
