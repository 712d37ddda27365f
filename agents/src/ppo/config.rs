//! Hyperparameters of [`super::Ppo`].
use crate::{Schedule, distance};
use rlx::Spec;
use rlx_nn::Activation;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Hyperparameters of PPO.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct Config {
    /// Environments stepped side by side.
    #[schemars(range(min = 1, max = 65536))]
    pub num_envs: usize,
    /// Time steps per environment and iteration.
    #[schemars(range(min = 1, max = 1_000_000))]
    pub num_steps: usize,
    /// Passes over the transitions of an iteration.
    #[schemars(range(min = 1, max = 1000))]
    pub epochs: usize,
    /// Transitions per step of the optimiser.
    #[schemars(range(min = 1))]
    pub minibatch_size: usize,
    /// Step size of Adam at the start.
    #[schemars(range(min = 1e-8, max = 1.0))]
    pub learning_rate: f64,
    /// How the step size changes over training.
    pub lr_schedule: Schedule,
    /// Discount of a step.
    #[schemars(range(min = 0.0, max = 1.0))]
    pub gamma: f64,
    /// Lambda of generalised advantage estimation.
    #[schemars(range(min = 0.0, max = 1.0))]
    pub gae_lambda: f64,
    /// How far the probability ratio may move from 1 before the gradient is cut, at the start.
    #[schemars(range(min = 1e-4, max = 10.0))]
    pub clip_range: f64,
    /// How the clip range changes over training.
    pub clip_schedule: Schedule,
    /// How far a value may move from its old one before its gradient is cut; 0 for no limit.
    #[schemars(range(min = 0.0))]
    pub clip_range_value: f64,
    /// Weight of the entropy bonus.
    #[schemars(range(min = 0.0))]
    pub entropy_coef: f64,
    /// Weight of the value loss, which is half the mean squared error.
    #[schemars(range(min = 0.0))]
    pub value_coef: f64,
    /// Largest global norm of the gradient; a longer one is scaled down to it.
    #[schemars(range(min = 1e-6))]
    pub max_grad_norm: f64,
    /// Stop an iteration's passes when the policy has moved 1.5 times this far (approximate KL divergence); 0 for never.
    #[schemars(range(min = 0.0))]
    pub target_kl: f64,
    /// Whether advantages are brought to mean 0 and standard deviation 1 in each minibatch.
    pub normalize_advantage: bool,
    /// Whether observations are brought to mean 0 and standard deviation 1 over all that were seen.
    pub normalize_obs: bool,
    /// Whether rewards are divided by the standard deviation of the running discounted return.
    pub normalize_reward: bool,
    /// Widths of the hidden layers of both networks.
    #[schemars(inner(range(min = 1, max = 65536)))]
    pub hidden: Vec<usize>,
    /// Activation between layers.
    pub activation: Activation,
    /// Log standard deviation of continuous actions at the start, in units of half the action range.
    #[schemars(range(min = -10.0, max = 3.0))]
    pub log_std_init: f64,
    #[serde(flatten)]
    #[allow(missing_docs)]
    pub distance: distance::Config,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            num_envs: 8,
            num_steps: 128,
            epochs: 10,
            minibatch_size: 64,
            learning_rate: 3e-4,
            lr_schedule: Schedule::Linear,
            gamma: 0.99,
            gae_lambda: 0.95,
            clip_range: 0.2,
            clip_schedule: Schedule::Constant,
            clip_range_value: 0.0,
            entropy_coef: 0.0,
            value_coef: 0.5,
            max_grad_norm: 0.5,
            target_kl: 0.0,
            normalize_advantage: true,
            normalize_obs: false,
            normalize_reward: false,
            hidden: vec![64, 64],
            activation: Activation::Tanh,
            log_std_init: 0.0,
            distance: distance::Config::default(),
        }
    }
}

impl Config {
    /// Whether ppo can learn in such an environment.
    pub(super) fn check(&self, spec: &Spec) -> Result<(), String> {
        if spec.candidates.is_some() {
            return Err("its legal moves are lists of candidates, and ppo chooses from fixed sets".into());
        }
        if spec.rows != spec.players {
            return Err(format!("{} players take turns, and ppo learns for all or one acting at once", spec.players));
        }
        let transitions = self.num_envs * self.num_steps * spec.rows;
        if self.minibatch_size > transitions {
            return Err(format!(
                "minibatch_size = {} is more than the {transitions} transitions of an iteration (num_envs x num_steps)",
                self.minibatch_size
            ));
        }
        if spec.rows != 1 && self.distance.auxiliary != distance::Method::None {
            return Err("the auxiliary reward is for one player: --set auxiliary=none".into());
        }
        if spec.goal.is_none() && !spec.skills.is_empty() && self.distance.auxiliary != distance::Method::None {
            return Err(
                "of a chain of skills ppo knows no one goal that a distance could be to: --set auxiliary=none".into()
            );
        }
        self.distance.check(spec)
    }
}
