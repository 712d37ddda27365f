//! Mean-field Q-learning (Yang et al., arXiv 1802.05438) in self-play, a baseline of IDRL's: values of a move given the state and the
//! mean of the others' last moves, learnt from the mean-field value of the same player's next decision (equations 8 and 9 there).
//!
//! This project's choices: no discount (a game is paid once, at its end); values of the iteration before stand in for a target network;
//! play is epsilon-greedy, while the mean-field value takes the Boltzmann policy, as published.
use crate::{
    Schedule,
    dmc::{config, pass_on},
    selfplay::{
        Plan, SelfPlay,
        brain::{Brain, Guess, Settings},
        league::League,
    },
};
use rlx::{
    ActionsMut, Algorithm, Checkpoint, Export, Frame, Learner, LoadDir, Mode, Policy, Result, Rng, SaveDir, Scalars,
    Setup, Spec, Vector,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

config!("Hyperparameters of mean-field Q-learning.", 1.0, 0.1, {});

/// Mean-field Q-learning.
pub struct Mfrl(SelfPlay);
pass_on!(Mfrl);

impl Algorithm for Mfrl {
    type Config = Config;
    const NAME: &'static str = "mfrl";
    const ABOUT: &'static str =
        "mean-field Q-learning in self-play: one step ahead, given the mean of the others' last moves";

    fn fits(config: &Config, spec: &Spec) -> std::result::Result<(), String> {
        if config.soft == 0.0 {
            return Err(
                "it looks one step ahead: soft, the temperature of the mean-field value, must be above 0".into()
            );
        }
        config.fits(spec, false)?;
        Brain::fits(spec, false, false, true)
    }
    fn worlds(config: &Config) -> usize {
        config.num_envs
    }
    fn new(config: Config, setup: Setup) -> Result<Self> {
        let plan = config.plan(&setup.spec, 0.0, 0.0, 0.0);
        let settings = Settings { mean_field: true, ..config.settings(None) };
        Ok(Self(SelfPlay::new(Self::NAME, plan, settings, setup)?))
    }
}
