//! No search: the configurations that an objective names as what one would choose without one ([`rlx::Objective::baselines`]), measured and kept
//! as a searcher's trials are, so that they stand in the same table.
use super::{Common, Proposer, SearchView};
use rlx::{
    Error, Result, Rng,
    config::{matching, nearest},
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Keys of the baselines.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct Config {
    #[serde(flatten)]
    #[allow(missing_docs)]
    pub common: Common,
    /// The baseline, as the objective names it; empty for all that fit the budget, in turn.
    pub baseline: String,
}

/// The baselines.
#[derive(Serialize, Deserialize)]
pub struct Baseline;

impl Proposer for Baseline {
    type Config = Config;
    const NAME: &'static str = "baseline";
    const ABOUT: &'static str = "search: none; what one would choose without one, as the objective names it";
    fn common(config: &Config) -> &Common {
        &config.common
    }
    fn new(_: &Config) -> Self {
        Self
    }
    fn propose(&mut self, config: &Config, view: &SearchView<'_>, _: &mut Rng) -> Result<Vec<u16>> {
        let (objective, all) = (view.objective, view.objective.baselines());
        let names = || all.iter().map(|(name, _)| name.as_str());
        if all.is_empty() {
            return Err(Error::invalid(format!("{} names no baselines", objective.name())));
        }
        if config.baseline.is_empty() {
            let mut fitting = all.iter().filter(|(_, c)| objective.cost(c) <= view.budget).peekable();
            let first = fitting.peek().map(|(_, c)| c.clone());
            let next = fitting.find(|(_, c)| !view.is_known(c)).map(|(_, c)| c.clone()).or(first);
            return next.ok_or_else(|| {
                Error::invalid(format!("no baseline of {} costs at most {:.0}", objective.name(), view.budget))
            });
        }
        let meant = matching(&config.baseline, names());
        let found = all.iter().find(|(name, _)| Some(name.as_str()) == meant);
        let (name, found) = found.ok_or_else(|| {
            let (near, list) = (nearest(&config.baseline, names()), names().collect::<Vec<_>>().join(", "));
            Error::usage(format!("baseline = \"{}\"{near}: {} has {list}", config.baseline, objective.name()))
        })?;
        let cost = objective.cost(found);
        if cost > view.budget {
            return Err(Error::invalid(format!(
                "baseline = \"{name}\" costs {cost:.0}, and the budget is {:.0}: raise it, or choose another",
                view.budget
            )));
        }
        Ok(found.clone())
    }
}
