//! The keys that all algorithms of self-play share, and what each of them adds.
use super::{nets::SelfPlayNets, team_guess::Guess};
use crate::Schedule;
use rlx::{Spec, config};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Hyperparameters that all algorithms of self-play share; as they are by default, they are those of Deep Monte-Carlo.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct SelfPlayConfig {
    /// Tables played side by side.
    #[schemars(range(min = 1, max = 65536))]
    pub num_envs: usize,
    /// Ticks per table and iteration.
    #[schemars(range(min = 1, max = 100_000))]
    pub num_steps: usize,
    /// Decisions per step of the optimiser.
    #[schemars(range(min = 1))]
    pub batch_size: usize,
    /// Step size of Adam at the start.
    #[schemars(range(min = 1e-8, max = 1.0))]
    pub learning_rate: f64,
    /// How the step size goes on.
    pub lr_schedule: Schedule,
    /// Chance of a random move in training.
    #[schemars(range(min = 0.0, max = 1.0))]
    pub epsilon: f64,
    /// Largest global norm of the gradient.
    #[schemars(range(min = 1e-6))]
    pub max_grad_norm: f64,
    /// Width of the value network's layers over the state.
    #[schemars(range(min = 1, max = 8192))]
    pub hidden: usize,
    /// Layers over the state, computed once for all its moves.
    #[schemars(range(min = 1, max = 16))]
    pub layers: usize,
    /// Width after a move has joined the state.
    #[schemars(range(min = 1, max = 8192))]
    pub head: usize,
    /// Layers after it, the output not counted.
    #[schemars(range(min = 1, max = 16))]
    pub head_layers: usize,
    /// Lambda of the returns that are learnt from: 1 for the final payoffs (Monte-Carlo), less to lean on a critic that
    /// is trained with all hands and teams in sight, and that no seat acts on.
    #[schemars(range(min = 0.0, max = 1.0))]
    pub td_lambda: f64,
    /// Temperature of one-step targets: the values of the same seat's next decision, weighted by exp(value / soft), as in
    /// mean-field Q-learning; 0 for returns over whole games.
    #[schemars(range(min = 0.0, max = 100.0))]
    pub soft: f64,
    /// Width of that critic's two layers; there is none when td_lambda is 1.
    #[schemars(range(min = 1, max = 8192))]
    pub critic_hidden: usize,
    /// Share of the games in which another team than the own one is played by bots and earlier policies.
    #[schemars(range(min = 0.0, max = 1.0))]
    pub league: f64,
    /// The world's bots in the league.
    pub league_bots: Vec<String>,
    /// Earlier policies in the league, at most.
    #[schemars(range(min = 0, max = 64))]
    pub league_past: usize,
    /// Steps after which the policy as it is joins the league.
    #[schemars(range(min = 1))]
    pub league_period: u64,
}

impl Default for SelfPlayConfig {
    fn default() -> Self {
        Self {
            num_envs: 1024,
            num_steps: 32,
            batch_size: 512,
            learning_rate: 7e-4,
            lr_schedule: Schedule::Linear,
            epsilon: 0.02,
            max_grad_norm: 5.0,
            hidden: 256,
            layers: 2,
            head: 128,
            head_layers: 2,
            td_lambda: 1.0,
            soft: 0.0,
            critic_hidden: 128,
            league: 0.0,
            league_bots: vec!["greedy".into()],
            league_past: 3,
            league_period: 5_000_000,
        }
    }
}

impl SelfPlayConfig {
    /// Whether a critic of complete information is trained, for TD(lambda) returns.
    pub fn has_critic(&self) -> bool {
        self.td_lambda < 1.0
    }
    /// Whether targets are the soft values of the same seat's next decision.
    pub fn one_step(&self) -> bool {
        self.soft > 0.0
    }

    /// Whether the keys fit each other and the world.
    pub(super) fn fits(&self, spec: &Spec, guess: bool, mean_field: bool) -> Result<(), String> {
        if let Some(name) = self.league_bots.iter().find(|b| self.league > 0.0 && !spec.bots.contains(b)) {
            return Err(format!("league_bots: there is no bot '{name}' among {}", spec.bots.join(", ")));
        }
        if self.league > 0.0 && spec.players > 8 {
            return Err(format!("league: it seats at most 8 players, and this world has {}", spec.players));
        }
        if self.one_step() && self.has_critic() {
            return Err("soft > 0 looks one step ahead, td_lambda < 1 further: one of the two must go".into());
        }
        SelfPlayNets::fits(spec, guess, self.has_critic(), mean_field)
    }
}

/// An algorithm of self-play: its name, its keys, and what it adds to Deep Monte-Carlo.
pub trait SelfPlayAlgorithm: Send + 'static {
    /// Its hyperparameters.
    type Config: config::Config;
    /// The name on the command line.
    const NAME: &'static str;
    /// One line of what it is.
    const ABOUT: &'static str;
    /// Whether the mean of the others' last moves is seen.
    const MEAN_FIELD: bool = false;

    /// The keys that all have.
    fn common(config: &Self::Config) -> &SelfPlayConfig;
    /// How the teams of the others are guessed; None: they are not.
    fn guess(_config: &Self::Config) -> Option<Guess> {
        None
    }
    /// Whether its own keys fit each other and the world.
    ///
    /// # Errors
    /// With a sentence that says why not.
    fn check(_config: &Self::Config, _spec: &Spec) -> Result<(), String> {
        Ok(())
    }
}
