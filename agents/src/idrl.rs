//! IDRL (arXiv 2210.12896): a relation network guesses teammates, a danger network the risk of acting on the guess, an intrinsic
//! reward trains both, and the policy follows from whom they accept. Everything learns from the policy's own games.
//!
//! What the paper leaves open is a key of the config here; the losses and the intrinsic reward are in `selfplay/losses.rs`.
use crate::selfplay::{Guess, Relation, SelfPlay, SelfPlayAlgorithm, SelfPlayConfig};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// How the identified pattern makes the policy.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Pattern {
    /// One value network that is told the guesses, the acceptances and the danger.
    #[default]
    Belief,
    /// A value network for each set of accepted players and each seat, as published.
    Separate,
}

/// Hyperparameters of IDRL.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct Config {
    #[serde(flatten)]
    #[allow(missing_docs)]
    pub common: SelfPlayConfig,
    /// Where P(teammate) comes from: network; prior (ablation: the counts alone); truth (upper bound: the true identities).
    pub relation: Relation,
    /// Whether a network says how dangerous it is to act on the guess; without it a player is accepted above 1/2 (ablation).
    pub danger: bool,
    /// Weight of the intrinsic reward; 0 for none (ablation).
    #[schemars(range(min = 0.0, max = 100.0))]
    pub intrinsic: f64,
    /// Weight of the identification loss within the intrinsic reward.
    #[schemars(range(min = 0.0, max = 100.0))]
    pub intrinsic_loss: f64,
    /// Share of the decisions in training whose acceptances are drawn, so that the intrinsic reward can tell them apart.
    #[schemars(range(min = 0.0, max = 1.0))]
    pub draw: f64,
    /// belief: one network told the guesses; separate: one for each pattern and seat, as published.
    pub policy: Pattern,
    /// Width of the relation network.
    #[schemars(range(min = 1, max = 8192))]
    pub guess_hidden: usize,
    /// Width of the danger network.
    #[schemars(range(min = 1, max = 8192))]
    pub danger_hidden: usize,
    /// Weight of the value network's auxiliary heads, which say who is a teammate and where the unseen cards are; 0 for none.
    #[schemars(range(min = 0.0, max = 100.0))]
    pub auxiliary: f64,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            common: SelfPlayConfig::default(),
            relation: Relation::Network,
            danger: true,
            intrinsic: 0.05,
            intrinsic_loss: 1.0,
            draw: 0.1,
            policy: Pattern::Belief,
            guess_hidden: 128,
            danger_hidden: 32,
            auxiliary: 0.2,
        }
    }
}

/// IDRL.
pub struct Identification;

/// Its learner.
pub type Idrl = SelfPlay<Identification>;

impl SelfPlayAlgorithm for Identification {
    type Config = Config;
    const NAME: &'static str = "idrl";
    const ABOUT: &'static str = "self-play with hidden teams: guesses teammates and the danger of acting on it (IDRL)";

    fn common(config: &Config) -> &SelfPlayConfig {
        &config.common
    }
    fn guess(config: &Config) -> Option<Guess> {
        Some(Guess {
            hidden: config.guess_hidden,
            relation: config.relation,
            danger: if config.danger { config.danger_hidden } else { 0 },
            auxiliary: config.auxiliary,
            pattern: config.policy == Pattern::Separate,
            draw: if config.intrinsic > 0.0 { config.draw } else { 0.0 },
            intrinsic: config.intrinsic,
            intrinsic_loss: config.intrinsic_loss,
        })
    }
}
