//! Proximal policy optimisation (Schulman et al., arXiv 1707.06347), for discrete, multi-discrete and continuous actions.
//!
//! One iteration: step the worlds `num_steps` times with the current policy, estimate advantages (arXiv 1506.02438), then make
//! `epochs` passes over the transitions in shuffled minibatches. The loss and its derivative by the networks' outputs are written
//! out below, so that one loop serves whatever runs the networks.
use crate::{
    Schedule,
    actor_critic::{ActorCritic, OutputGrads, Shape},
    advantage::{self, Rewards},
    distance::{self, Auxiliary},
};
use rlx::{
    ActionBuffer, ActionsMut, Algorithm, Array, Checkpoint, Error, Export, Frame, Learner, LoadDir, Mode, Policy,
    Result, Rng, SaveDir, Scalars, Setup, Slab, Space, Spec, Status, Vector, snapshot,
};
use rlx_nn::{
    Activation, AdamConfig, Normalizer,
    sample::{Choices, gaussian_entropy, gaussian_log_prob},
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

mod rollout;
mod update;
use rollout::{finite, normalize, sample_sets, scale_actions};

/// Hyperparameters of PPO.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct Config {
    /// Worlds stepped side by side.
    #[schemars(range(min = 1, max = 65536))]
    pub num_envs: usize,
    /// Ticks per world and iteration.
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
    /// How the step size goes on.
    pub lr_schedule: Schedule,
    /// Discount of a step.
    #[schemars(range(min = 0.0, max = 1.0))]
    pub gamma: f64,
    /// Lambda of the advantage estimate.
    #[schemars(range(min = 0.0, max = 1.0))]
    pub gae_lambda: f64,
    /// How far the probability ratio may move from 1 before the gradient is cut, at the start.
    #[schemars(range(min = 1e-4, max = 10.0))]
    pub clip_range: f64,
    /// How the clip range goes on.
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
    /// Largest global norm of the gradient.
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
    /// What stands between layers.
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

/// What the policy's outputs mean.
#[derive(Clone, Debug)]
enum Head {
    /// Logits of one or several sets of choices.
    Choices(Vec<usize>),
    /// Means of a normal, in units where each bounded action is in [-1, 1]; (middle, half width) of each.
    Normal(Vec<(f32, f32)>),
}

/// The transitions of an iteration, `[ticks, streams]` unless said otherwise; a stream is one acting row over time.
#[derive(Default)]
struct Rollout {
    x: Vec<f32>,       // [ticks + 1, streams, width], normalised observations
    ids: Vec<i64>,     // [ticks, streams, sets]
    vectors: Vec<f32>, // [ticks, streams, act], before they are clipped to the action range
    log_probs: Vec<f32>,
    rewards: Vec<f32>,
    status: Vec<Status>,
    values: Vec<f32>, // [ticks + 1, streams]
    last_values: Vec<f32>,
    advantages: Vec<f32>,
}

/// A minibatch, gathered.
#[derive(Default)]
struct Batch {
    x: Vec<f32>,
    d_actor: Vec<f32>,
    d_critic: Vec<f32>,
    d_log_std: Vec<f32>,
    advantages: Vec<f32>,
}

/// Sums over the minibatches of an iteration.
#[derive(Default)]
struct Totals {
    policy: f64,
    value: f64,
    entropy: f64,
    kl: f64,
    clipped: f64,
    norm: f64,
    samples: f64,
    updates: u64,
}

/// What is saved beside the networks.
#[derive(Serialize, Deserialize)]
struct State {
    obs_normal: Normalizer,
    return_normal: Normalizer,
    returns: Vec<f32>,
    rngs: Vec<Rng>,
    shuffle: Rng,
    steps: u64,
    updates: u64,
}

/// The learner.
pub struct Ppo {
    config: Config,
    setup: Setup,
    head: Head,
    net: ActorCritic,
    auxiliary: Option<Auxiliary>,
    state: State,
    slab: Option<Slab>,
    frame: Option<Vec<u8>>, // the current frame of a checkpoint, until the slab is there
    actions: ActionBuffer,
    rollout: Rollout,
    batch: Batch,
    order: Vec<u32>,
    scratch: Vec<f32>,
    input: Vec<f32>,
    raw: Vec<f32>,
}

impl Algorithm for Ppo {
    type Config = Config;
    const NAME: &'static str = "ppo";
    const ABOUT: &'static str = "proximal policy optimisation: discrete, multi-discrete and continuous actions";

    fn fits(config: &Config, spec: &Spec) -> std::result::Result<(), String> {
        if spec.candidates.is_some() {
            return Err("its legal moves are lists of candidates, and ppo chooses from fixed sets".into());
        }
        if spec.rows != spec.players {
            return Err(format!("{} players take turns, and ppo learns for all or one acting at once", spec.players));
        }
        let transitions = config.num_envs * config.num_steps * spec.rows;
        if config.minibatch_size > transitions {
            return Err(format!(
                "minibatch_size = {} is more than the {transitions} transitions of an iteration (num_envs x num_steps)",
                config.minibatch_size
            ));
        }
        if spec.rows != 1 && config.distance.auxiliary != distance::Method::None {
            return Err("the auxiliary reward is for one player: --set auxiliary=none".into());
        }
        if spec.goal.is_none() && !spec.skills.is_empty() && config.distance.auxiliary != distance::Method::None {
            return Err(
                "of a chain of skills ppo knows no one goal that a distance could be to: --set auxiliary=none".into()
            );
        }
        config.distance.check(spec)
    }

    fn worlds(config: &Config) -> usize {
        config.num_envs
    }

    fn new(config: Config, setup: Setup) -> Result<Self> {
        let spec = &setup.spec;
        let (head, outputs, log_stds) = match &spec.act {
            Space::Box { low, high, .. } => {
                let scale = |(&l, &h): (&f32, &f32)| match l.is_finite() && h.is_finite() {
                    true => ((l + h) / 2.0, (h - l) / 2.0),
                    false => (0.0, 1.0),
                };
                (Head::Normal(low.iter().zip(high).map(scale).collect()), low.len(), low.len())
            }
            sets => (Head::Choices(sets.sets().to_vec()), sets.choices(), 0),
        };
        let shape = Shape {
            inputs: spec.obs.width(),
            hidden: &config.hidden,
            outputs,
            activation: config.activation,
            log_stds: (log_stds, config.log_std_init as f32),
        };
        // The eps of the original implementation, larger than Adam's own (arXiv 2005.12729).
        let adam = AdamConfig { eps: 1e-5, ..AdamConfig::default() };
        let net = ActorCritic::new(&shape, setup.seed, setup.device, adam)?;
        let streams = setup.worlds * spec.rows;
        let state = State {
            obs_normal: Normalizer::new(spec.obs.width()),
            return_normal: Normalizer::new(1),
            returns: vec![0.0; streams],
            rngs: (0..streams as u64).map(|i| Rng::named(setup.seed, "ppo actions", i)).collect(),
            shuffle: Rng::named(setup.seed, "ppo minibatches", 0),
            steps: 0,
            updates: 0,
        };
        Ok(Self {
            auxiliary: Auxiliary::new(&config.distance, spec, setup.worlds, config.gamma, setup.seed)?,
            actions: ActionBuffer::new(&spec.act, streams),
            scratch: vec![0.0; outputs],
            head,
            net,
            state,
            slab: None,
            frame: None,
            rollout: Rollout::default(),
            batch: Batch::default(),
            order: Vec::new(),
            input: Vec::new(),
            raw: Vec::new(),
            config,
            setup,
        })
    }
}

impl Learner for Ppo {
    fn iterate(&mut self, envs: &mut dyn Vector, log: &mut Scalars) -> Result<u64> {
        let ticks = self.config.num_steps;
        let mut slab = match self.slab.take() {
            Some(slab) => slab,
            None => self.first_slab(envs)?,
        };
        let steps = self.collect(envs, &mut slab);
        self.slab = Some(slab);
        let steps = steps?;
        self.evaluate(ticks)?;
        let progress = (self.state.steps, self.setup.steps);
        let learning_rate = self.config.learning_rate * self.config.lr_schedule.factor(progress.0, progress.1);
        let clip = (self.config.clip_range * self.config.clip_schedule.factor(progress.0, progress.1)) as f32;
        let totals = self.update(learning_rate, clip)?;
        self.state.steps += steps;
        self.report(&totals, learning_rate, log);
        Ok(steps)
    }

    fn policy(&mut self) -> &mut dyn Policy {
        self
    }

    fn export(&self) -> Result<Export> {
        let mut arrays = self.net.export()?;
        if self.config.normalize_obs {
            let width = self.setup.spec.obs.width();
            let array = |name: &str, data| Array { name: format!("obs_normalizer.{name}"), shape: vec![width], data };
            arrays.push(array("mean", self.state.obs_normal.mean()));
            arrays.push(array("std", self.state.obs_normal.std()));
        }
        let mut about = vec![
            ("algo".into(), Self::NAME.into()),
            ("env".into(), self.setup.spec.name.clone()),
            ("obs".into(), self.setup.spec.obs.describe()),
            ("act".into(), self.setup.spec.act.describe()),
            ("activation".into(), format!("{:?}", self.config.activation).to_lowercase()),
            (
                "layers".into(),
                "y = x W^T + b for actor.0, actor.1, ...; the activation between layers, none after the last".into(),
            ),
        ];
        if let Head::Normal(scales) = &self.head {
            about.push(("action".into(), "clip(middle + half_width * actor(x), low, high); greedy is the mean".into()));
            let column = |name: &str, data: Vec<f32>| Array { name: name.into(), shape: vec![scales.len()], data };
            arrays.push(column("action.middle", scales.iter().map(|s| s.0).collect()));
            arrays.push(column("action.half_width", scales.iter().map(|s| s.1).collect()));
        }
        Ok(Export { about, arrays, ..Export::default() })
    }

    fn init_from(&mut self, policy: &Export) -> Result<()> {
        self.net.import(&policy.arrays)?;
        if self.config.normalize_obs {
            let find = |name: &str| {
                policy.arrays.iter().find(|a| a.name == name && a.data.len() == self.setup.spec.obs.width())
            };
            if let (Some(mean), Some(std)) = (find("obs_normalizer.mean"), find("obs_normalizer.std")) {
                // As if from one iteration, so that the new world's own statistics soon count for more.
                let count = (self.config.num_envs * self.config.num_steps) as f64;
                self.state.obs_normal.set(&mean.data, &std.data, count);
            }
        }
        Ok(())
    }
}
impl Policy for Ppo {
    fn act(&mut self, frame: Frame<'_>, rows: &[u32], mode: Mode, rng: &mut [Rng], out: ActionsMut<'_>) -> Result<()> {
        let (width, act) = (self.setup.spec.obs.width(), self.setup.spec.act.width());
        self.raw.clear();
        for &row in rows {
            frame.obs.slice(row as usize * width..(row as usize + 1) * width).extend_f32(&mut self.raw);
        }
        self.input.resize(self.raw.len(), 0.0);
        normalize(&self.config, &self.state.obs_normal, &self.raw, &mut self.input);
        let log_std = self.net.log_std().to_vec();
        let net = self.net.actor(&self.input, false)?;
        let outputs = net.len() / rows.len().max(1);
        match (&self.head, out) {
            (Head::Choices(sets), ActionsMut::Discrete(ids)) => {
                for (k, &row) in rows.iter().enumerate() {
                    let logits = &net[k * outputs..(k + 1) * outputs];
                    let mask = &frame.mask[row as usize * outputs..(row as usize + 1) * outputs];
                    let ids = &mut ids[k * act..(k + 1) * act];
                    match mode {
                        Mode::Explore => {
                            sample_sets(sets, logits, mask, &mut rng[k], ids, &mut self.scratch)?;
                        }
                        Mode::Greedy => {
                            let mut start = 0;
                            for (&n, id) in sets.iter().zip(ids) {
                                let set = start..start + n;
                                *id = Choices { logits: &logits[set.clone()], mask: &mask[set] }.best()? as i64;
                                start += n;
                            }
                        }
                    }
                }
                Ok(())
            }
            (Head::Normal(scales), ActionsMut::Continuous(to)) => {
                finite(net, self.state.steps)?;
                self.scratch.clear();
                for (k, row) in net.chunks_exact(outputs).enumerate() {
                    for (m, s) in row.iter().zip(&log_std) {
                        let noise = if mode == Mode::Explore { s.exp() * rng[k].normal() as f32 } else { 0.0 };
                        self.scratch.push(m + noise);
                    }
                }
                scale_actions(scales, &self.setup.spec.act, &self.scratch, to);
                Ok(())
            }
            _ => Err(Error::mismatch("actions asked of ppo", self.setup.spec.act.describe(), "another kind")),
        }
    }
}

impl Checkpoint for Ppo {
    fn save(&self, to: &mut SaveDir) -> Result<()> {
        self.net.save(to)?;
        if let Some(auxiliary) = &self.auxiliary {
            auxiliary.save(to)?;
        }
        let mut bytes = Vec::new();
        snapshot::put(&mut bytes, &self.state);
        let frame = self.slab.as_ref().map(|slab| {
            let mut out = Vec::new();
            slab.save_tick(self.config.num_steps, &mut out);
            out
        });
        snapshot::put(&mut bytes, &frame.as_ref().or(self.frame.as_ref()));
        to.put("ppo.bin", &bytes)
    }

    fn load(&mut self, from: &LoadDir) -> Result<()> {
        self.net.load(from)?;
        if let Some(auxiliary) = &mut self.auxiliary {
            auxiliary.load(from)?;
        }
        let bytes = from.get("ppo.bin")?;
        let mut rest = &bytes[..];
        let state: State = snapshot::take(&mut rest)?;
        if state.rngs.len() != self.streams() || state.obs_normal.mean().len() != self.setup.spec.obs.width() {
            let found = format!("{} streams", state.rngs.len());
            return Err(Error::mismatch("saved ppo state", format!("{} streams", self.streams()), found));
        }
        self.frame = snapshot::get(rest)?;
        self.state = state;
        self.slab = None;
        Ok(())
    }
}

#[cfg(test)]
mod tests;
