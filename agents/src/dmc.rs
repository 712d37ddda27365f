//! Deep Monte-Carlo self-play (DouZero, arXiv 2106.06135): a network scores the legal moves, and learns from final returns.
use crate::selfplay::{SelfPlay, SelfPlayAlgorithm, SelfPlayConfig};

/// Hyperparameters of Deep Monte-Carlo.
pub type Config = SelfPlayConfig;

/// Deep Monte-Carlo.
pub struct DeepMonteCarlo;

/// Its learner.
pub type Dmc = SelfPlay<DeepMonteCarlo>;

impl SelfPlayAlgorithm for DeepMonteCarlo {
    type Config = Config;
    const NAME: &'static str = "dmc";
    const ABOUT: &'static str = "Deep Monte-Carlo self-play over legal moves (DouZero), without a guess of the others";

    fn common(config: &Config) -> &SelfPlayConfig {
        config
    }
}
