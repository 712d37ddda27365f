//! Hyperparameters of [`super::Sac`], which chains of skills share; and what they must fit.
use crate::{
    Schedule,
    distance::{self, Form, Method},
};
use rlx::{
    Space, Spec,
    replay::{Hindsight, ReplayConfig, Strategy},
};
use rlx_nn::{Activation, Norm};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Which achieved goals stand in for the desired one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Relabel {
    /// None.
    None,
    /// One achieved later in the same episode.
    #[default]
    Future,
    /// The last one of the episode.
    Final,
    /// Any of the episode.
    Episode,
}

/// Hyperparameters of SAC.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct Config {
    /// Environments stepped side by side.
    #[schemars(range(min = 1, max = 65536))]
    pub num_envs: usize,
    /// Time steps per environment and iteration.
    #[schemars(range(min = 1, max = 100_000))]
    pub num_steps: usize,
    /// Updates for each transition.
    #[schemars(range(min = 0.0, max = 1000.0))]
    pub utd: f64,
    /// Transitions per update.
    #[schemars(range(min = 2, max = 1_000_000))]
    pub batch_size: usize,
    /// Transitions that are kept.
    #[schemars(range(min = 1))]
    pub buffer_size: usize,
    /// Transitions before the first update; actions are uniform until then.
    pub learning_starts: u64,
    /// Share of later actions that are uniform, whatever the policy says.
    #[schemars(range(min = 0.0, max = 1.0))]
    pub random_actions: f64,
    /// Share of the environments, at least one where it is not 0, that their own scripted player controls in place of the policy, with
    /// random actions among its own. Its transitions are learnt from like all others, by critics with layer norm, as in RLPD (arXiv
    /// 2302.02948) but without its batches of equal halves. Training's own success rate counts them.
    #[schemars(range(min = 0.0, max = 1.0))]
    pub demonstrations: f64,
    /// Discount of a step.
    #[schemars(range(min = 0.0, max = 1.0))]
    pub gamma: f64,
    /// Rewards summed into one return.
    #[schemars(range(min = 1, max = 1000))]
    pub n_step: usize,
    /// How far the target critics move towards the critics at each update.
    #[schemars(range(min = 0.0, max = 1.0))]
    pub tau: f64,
    /// Step size of Adam at the start, of policy, critics and temperature.
    #[schemars(range(min = 1e-8, max = 1.0))]
    pub learning_rate: f64,
    /// How the step size changes over training.
    pub lr_schedule: Schedule,
    /// Updates of the critics for each one of the policy.
    #[schemars(range(min = 1, max = 1000))]
    pub policy_delay: u64,
    /// How much of itself the average of the policies' parameters keeps at each of their updates, but no more than n / (n + 10) at the
    /// n-th. The average is evaluated and exported; the latest policy explores. 0 evaluates the latest.
    #[schemars(range(min = 0.0, max = 0.9999))]
    pub policy_average: f64,
    /// The temperature at the start.
    #[schemars(range(min = 1e-8, max = 1e3))]
    pub alpha_init: f64,
    /// Whether the temperature is learnt, to hold the policy's entropy.
    pub alpha_auto: bool,
    /// The entropy that is held, in nats for each action dimension.
    #[schemars(range(min = -20.0, max = 2.0))]
    pub target_entropy: f64,
    /// Which achieved goals stand in for the desired one, in environments with goals.
    pub relabel: Relabel,
    /// Relabelled transitions for each one as it was.
    #[schemars(range(min = 0.0, max = 1000.0))]
    pub relabel_k: f64,
    /// Whether observations are brought to mean 0 and standard deviation 1 over all that were seen.
    pub normalize_obs: bool,
    /// Lowest and highest return that targets may have, where it is known: -1 / (1 - gamma) and 0 for sparse goals; equal for no limits.
    pub target_range: [f64; 2],
    /// Widths of the hidden layers of all networks.
    #[schemars(inner(range(min = 1, max = 65536)))]
    pub hidden: Vec<usize>,
    /// Activation between layers.
    pub activation: Activation,
    /// Normalisation within the critics: none, layer, or batch, which is CrossQ.
    pub norm: Norm,
    #[serde(flatten)]
    #[allow(missing_docs)]
    pub distance: distance::Config,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            num_envs: 16,
            num_steps: 4,
            utd: 0.25,
            batch_size: 256,
            buffer_size: 1_000_000,
            learning_starts: 2000,
            random_actions: 0.2,
            demonstrations: 0.0,
            gamma: 0.95,
            n_step: 1,
            tau: 0.01,
            learning_rate: 1e-3,
            lr_schedule: Schedule::Constant,
            policy_delay: 1,
            policy_average: 0.0,
            alpha_init: 0.1,
            alpha_auto: true,
            target_entropy: -1.0,
            relabel: Relabel::Future,
            relabel_k: 4.0,
            normalize_obs: true,
            target_range: [0.0, 0.0],
            hidden: vec![256, 256],
            activation: Activation::Relu,
            norm: Norm::Layer,
            distance: distance::Config::default(),
        }
    }
}

impl Config {
    /// What the replay keeps and how it samples, in an environment with or without a goal.
    pub(crate) fn replay(&self, has_goal: bool) -> ReplayConfig {
        let strategy = match self.relabel {
            Relabel::None => None,
            Relabel::Future => Some(Strategy::Future),
            Relabel::Final => Some(Strategy::Final),
            Relabel::Episode => Some(Strategy::Episode),
        };
        let hindsight = strategy.filter(|_| has_goal && self.relabel_k > 0.0);
        ReplayConfig {
            capacity: self.buffer_size,
            n_step: self.n_step,
            gamma: self.gamma as f32,
            hindsight: hindsight.map(|strategy| Hindsight { strategy, k: self.relabel_k }),
        }
    }

    /// Whether sac can learn in such an environment.
    pub(crate) fn check(&self, spec: &Spec) -> std::result::Result<(), String> {
        let Space::Box { low, high, .. } = &spec.act else {
            return Err(format!("it needs continuous actions, and the environment's are {}", spec.act.describe()));
        };
        if low.iter().chain(high).any(|b| !b.is_finite()) {
            return Err("its policy is squashed into bounds, and an action of the environment has none".into());
        }
        if spec.rows != 1 || spec.players != 1 {
            return Err(format!("it learns for one player, and the environment has {}", spec.players));
        }
        let per_iteration = self.num_envs * self.num_steps;
        if self.buffer_size < per_iteration {
            return Err(format!(
                "buffer_size = {} is less than an iteration's {per_iteration} transitions",
                self.buffer_size
            ));
        }
        if self.demonstrations > 0.0 && spec.bots.is_empty() {
            return Err("demonstrations: the environment has no player of its own to give them".into());
        }
        if self.target_range[0] > self.target_range[1] {
            return Err("target_range: the lowest comes first".into());
        }
        if self.n_step > 1 && self.distance.auxiliary != Method::None && self.distance.auxiliary_form == Form::Raw {
            return Err("auxiliary_form=raw is paid for every step: --set n_step=1, or the potential".into());
        }
        if self.target_range[0] < self.target_range[1] && self.distance.auxiliary != Method::None {
            return Err(
                "target_range is of the environment's own returns, which an auxiliary reward changes: give one of the two"
                    .into(),
            );
        }
        self.distance.check(spec)
    }
}
