//! Mean-field Q-learning (Yang et al., arXiv 1802.05438) in self-play, a baseline of IDRL's: values of a move given the state and the
//! mean of the others' last moves, learnt from the mean-field value of the same player's next decision (equations 8 and 9 there).
//!
//! This project's choices: no discount (a game is paid once, at its end); values of the iteration before stand in for a target network;
//! play is epsilon-greedy, while the mean-field value takes the Boltzmann policy, as published.
use crate::selfplay::{SelfPlay, SelfPlayAlgorithm, SelfPlayConfig};
use rlx::{Spec, config};
use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize};

/// Hyperparameters of mean-field Q-learning: those of self-play, with one-step targets by default.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
#[serde(transparent)]
pub struct Config(pub SelfPlayConfig);

impl Default for Config {
    fn default() -> Self {
        Self(SelfPlayConfig { soft: 0.1, ..SelfPlayConfig::default() })
    }
}

impl<'de> Deserialize<'de> for Config {
    /// What is missing has this default, not Deep Monte-Carlo's.
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let mut table = config::to_map(&Self::default());
        table.extend(rlx::Table::deserialize(from)?);
        serde_json::from_value(table.into()).map(Self).map_err(serde::de::Error::custom)
    }
}

/// Mean-field Q-learning.
pub struct MeanField;

/// Its learner.
pub type Mfrl = SelfPlay<MeanField>;

impl SelfPlayAlgorithm for MeanField {
    type Config = Config;
    const NAME: &'static str = "mfrl";
    const ABOUT: &'static str =
        "mean-field Q-learning in self-play: one step ahead, given the mean of the others' last moves";
    const MEAN_FIELD: bool = true;

    fn common(config: &Config) -> &SelfPlayConfig {
        &config.0
    }
    fn check(config: &Config, _: &Spec) -> Result<(), String> {
        if config.0.soft == 0.0 {
            return Err(
                "it looks one step ahead: soft, the temperature of the mean-field value, must be above 0".into()
            );
        }
        Ok(())
    }
}
