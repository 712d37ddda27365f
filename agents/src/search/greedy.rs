//! Greedy upgrades: from the cheapest configuration, always the atomic edit that gains most of a feature per added unit of cost. With the
//! mutual information of each block it is the start of QPruner (arXiv 2412.11629).
use super::{Common, Proposer, SearchView, draw};
use rlx::{
    Error, Objective, Result, Rng,
    objective::{cheapest, fill},
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Keys of the greedy search.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct Config {
    #[serde(flatten)]
    #[allow(missing_docs)]
    pub common: Common,
    /// The feature of a configuration that upgrades are chosen by, as the objective names it.
    pub feature: String,
}

impl Default for Config {
    fn default() -> Self {
        Self { common: Common::default(), feature: FEATURE.into() }
    }
}

/// The feature that QPruner goes by.
pub const FEATURE: &str = "mutual information";

/// The greedy search. It has one answer for a budget; what is proposed after it are upgrades of random starts.
#[derive(Serialize, Deserialize)]
pub struct Greedy;

/// The configuration of greedy upgrades from `start`.
///
/// # Errors
/// When the objective has no such feature, naming those it has that are of the whole configuration.
pub fn upgrade(objective: &dyn Objective, mut start: Vec<u16>, feature: &str, budget: f64) -> Result<Vec<u16>> {
    let names = objective.feature_names();
    let meant = rlx::config::matching(feature, names.iter().map(String::as_str));
    let place = names.iter().position(|n| Some(n.as_str()) == meant).ok_or_else(|| {
        let near = rlx::config::nearest(feature, names.iter().map(String::as_str).filter(|n| !n.starts_with("block ")));
        Error::usage(format!("{} has no feature '{feature}'{near}", objective.name()))
    })?;
    let mut features = vec![0.0; names.len()];
    fill(objective, &mut start, budget, &mut |config| {
        objective.features(config, &mut features);
        -f64::from(features[place])
    });
    Ok(start)
}

impl Proposer for Greedy {
    type Config = Config;
    const NAME: &'static str = "greedy-mi";
    const ABOUT: &'static str = "search: upgrades by mutual information per added byte";
    fn common(config: &Config) -> &Common {
        &config.common
    }
    fn new(_: &Config) -> Self {
        Self
    }
    fn propose(&mut self, config: &Config, view: &SearchView<'_>, rng: &mut Rng) -> Result<Vec<u16>> {
        let mut found = upgrade(view.objective, cheapest(view.objective), &config.feature, view.budget)?;
        for _ in 0..8 {
            if !view.is_known(&found) {
                break;
            }
            // Its one answer is known: upgrades of a start that has half of the budget at random.
            let floor = view.objective.cost(&cheapest(view.objective));
            let half = floor + rng.unit() * 0.7 * (view.budget - floor).max(0.0);
            let start = draw::feasible(view.objective, half, rng);
            found = upgrade(view.objective, start, &config.feature, view.budget)?;
        }
        Ok(found)
    }
}
