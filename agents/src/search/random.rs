//! Random search: levels drawn uniformly, cut or raised at random until the budget is used. The baseline that anything must beat.
use super::{Common, Proposer, SearchView, draw};
use rlx::{Result, Rng};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Keys of random search.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct Config {
    #[serde(flatten)]
    #[allow(missing_docs)]
    pub common: Common,
}

/// Random search.
#[derive(Serialize, Deserialize)]
pub struct Random;

impl Proposer for Random {
    type Config = Config;
    const NAME: &'static str = "random";
    const ABOUT: &'static str = "search: configurations at random that use the budget";
    fn common(config: &Config) -> &Common {
        &config.common
    }
    fn new(_: &Config) -> Self {
        Self
    }
    fn propose(&mut self, _: &Config, view: &SearchView<'_>, rng: &mut Rng) -> Result<Vec<u16>> {
        Ok(draw::feasible(view.objective, view.budget, rng))
    }
}
