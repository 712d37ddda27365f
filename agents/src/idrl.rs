//! IDRL (arXiv 2210.12896): a relation network guesses teammates, a danger network the risk of acting on the guess, an intrinsic
//! reward trains both, and the policy follows from whom they accept. Everything learns from the policy's own games.
//!
//! What the paper leaves open is a key of the config here; the intrinsic reward is defined in `selfplay` (`Task::guesses`).
use crate::{
    Schedule,
    dmc::{config, pass_on},
    selfplay::{
        Plan, SelfPlay,
        brain::{Brain, Guess, Relation, Settings},
        league::League,
    },
};
use rlx::{
    ActionsMut, Algorithm, Checkpoint, Export, Frame, Learner, LoadDir, Mode, Policy, Result, Rng, SaveDir, Scalars,
    Setup, Spec, Vector,
};
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

config!("Hyperparameters of IDRL.", 1.0, 0.0, {
    /// Where P(teammate) comes from: network; prior (ablation: the counts alone); truth (upper bound: the true identities).
    relation: Relation = Relation::Network,
    /// Whether a network says how dangerous it is to act on the guess; without it a player is accepted above 1/2 (ablation).
    danger: bool = true,
    /// Weight of the intrinsic reward; 0 for none (ablation).
    #[schemars(range(min = 0.0, max = 100.0))]
    intrinsic: f64 = 0.05,
    /// Weight of the identification loss within the intrinsic reward.
    #[schemars(range(min = 0.0, max = 100.0))]
    intrinsic_loss: f64 = 1.0,
    /// Share of the decisions in training whose acceptances are drawn, so that the intrinsic reward can tell them apart.
    #[schemars(range(min = 0.0, max = 1.0))]
    draw: f64 = 0.1,
    /// belief: one network told the guesses; separate: one for each pattern and seat, as published.
    policy: Pattern = Pattern::Belief,
    /// Width of the relation network.
    #[schemars(range(min = 1, max = 8192))]
    guess_hidden: usize = 128,
    /// Width of the danger network.
    #[schemars(range(min = 1, max = 8192))]
    danger_hidden: usize = 32,
    /// Weight of the value network's auxiliary heads, which say who is a teammate and where the unseen cards are; 0 for none.
    #[schemars(range(min = 0.0, max = 100.0))]
    auxiliary: f64 = 0.2,
});

/// IDRL.
pub struct Idrl(SelfPlay);
pass_on!(Idrl);

impl Algorithm for Idrl {
    type Config = Config;
    const NAME: &'static str = "idrl";
    const ABOUT: &'static str = "self-play with hidden teams: guesses teammates and the danger of acting on it (IDRL)";

    fn fits(config: &Config, spec: &Spec) -> std::result::Result<(), String> {
        config.fits(spec, true)
    }
    fn worlds(config: &Config) -> usize {
        config.num_envs
    }
    fn new(config: Config, setup: Setup) -> Result<Self> {
        let guess = Guess {
            hidden: config.guess_hidden,
            relation: config.relation,
            danger: if config.danger { config.danger_hidden } else { 0 },
            auxiliary: config.auxiliary > 0.0,
            pattern: config.policy == Pattern::Separate,
            draw: if config.intrinsic > 0.0 { config.draw } else { 0.0 },
        };
        let plan = config.plan(&setup.spec, config.intrinsic, config.intrinsic_loss, config.auxiliary);
        Ok(Self(SelfPlay::new(Self::NAME, plan, config.settings(Some(guess)), setup)?))
    }
}
