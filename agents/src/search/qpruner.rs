//! QPruner's bit allocation (arXiv 2412.11629): the first configurations by greedy upgrades along the mutual information of each block per
//! added byte, then Bayesian optimisation. The paper's text leaves the process's kernel and the number of trials open: they are `bo`'s here.
//! Its own space is the bits of a pruned model: leave the other decisions out of the objective for it as published.
use super::{
    Common, Proposer, SearchView,
    bo::{self, Bo},
    draw, greedy,
};
use rlx::{Result, Rng, Scalars, objective::cheapest};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Keys of QPruner.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct Config {
    #[serde(flatten)]
    #[allow(missing_docs)]
    pub bo: bo::Config,
    /// The feature of a configuration that the first upgrades are chosen by.
    pub feature: String,
}

impl Default for Config {
    fn default() -> Self {
        Self { bo: bo::Config::default(), feature: greedy::FEATURE.into() }
    }
}

/// QPruner.
#[derive(Serialize, Deserialize)]
pub struct QPruner {
    bo: Bo,
}

impl Proposer for QPruner {
    type Config = Config;
    const NAME: &'static str = "qpruner";
    const ABOUT: &'static str = "search: upgrades by mutual information, then Bayesian optimisation (arXiv 2412.11629)";
    fn common(config: &Config) -> &Common {
        &config.bo.common
    }
    fn new(config: &Config) -> Self {
        Self { bo: Bo::start(config.bo.radius) }
    }
    fn propose(&mut self, config: &Config, view: &SearchView<'_>, rng: &mut Rng) -> Result<Vec<u16>> {
        if view.trials.len() >= config.bo.initial {
            return self.bo.improve(&config.bo, view, rng);
        }
        let mut first = greedy::upgrade(view.objective, cheapest(view.objective), &config.feature, view.budget)?;
        // The process needs differences to see anything: around the one answer, ever farther.
        for edits in 1..16 {
            if !view.is_known(&first) {
                break;
            }
            first = draw::near(view.objective, &first, edits, view.budget, rng);
        }
        Ok(first)
    }
    fn report(&self, log: &mut Scalars) {
        self.bo.tell(log);
    }
}
