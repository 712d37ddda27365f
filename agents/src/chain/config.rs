//! Hyperparameters of [`super::Chain`].
use crate::sac;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What a skill's success is paid by, beside the success.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Bridge {
    /// Nothing: naive chaining.
    None,
    /// The transition distance from where it ended to where the next skill succeeded from.
    #[default]
    Tdrp,
    /// A discriminator between where it ended and where the next skill succeeded from.
    Terminal,
}

/// Which skills learn when.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Order {
    /// All of them all the time.
    #[default]
    Joint,
    /// One after another: a skill once those before it succeed.
    Sequence,
}

/// Hyperparameters: those of each skill's SAC, and how the chain is held together.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct Config {
    /// What a skill's success is paid by.
    pub bridge: Bridge,
    /// Weight of that.
    #[schemars(range(min = 0.0, max = 1e6))]
    pub bridge_scale: f64,
    /// Which skills learn when.
    pub order: Order,
    /// Success rate of a skill from which on the next one learns, in sequence.
    #[schemars(range(min = 0.0, max = 1.0))]
    pub competence: f64,
    #[serde(flatten)]
    #[allow(missing_docs)]
    pub sac: sac::Config,
}

impl Default for Config {
    fn default() -> Self {
        let (bridge, order) = (Bridge::default(), Order::default());
        Self { bridge, bridge_scale: 0.25, order, competence: 0.8, sac: sac::Config::default() }
    }
}
