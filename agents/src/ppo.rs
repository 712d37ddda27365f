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

impl Ppo {
    fn streams(&self) -> usize {
        self.setup.worlds * self.setup.spec.rows
    }

    /// Makes room for an iteration and starts the worlds, or goes on from a checkpoint's frame. The current frame is the last tick.
    fn first_slab(&mut self, envs: &mut dyn Vector) -> Result<Slab> {
        let (ticks, streams, width) = (self.config.num_steps, self.streams(), self.setup.spec.obs.width());
        let act = self.setup.spec.act.width();
        let mut slab = envs.slab(ticks + 1);
        match self.frame.take() {
            Some(bytes) => slab.load_tick(ticks, &mut &bytes[..])?,
            None => envs.reset(slab.frame_mut(ticks)),
        }
        let n = ticks * streams;
        let r = &mut self.rollout;
        r.x = vec![0.0; (ticks + 1) * streams * width];
        match self.head {
            Head::Choices(_) => r.ids = vec![0; n * act],
            Head::Normal(_) => r.vectors = vec![0.0; n * act],
        }
        r.log_probs = vec![0.0; n];
        r.rewards = vec![0.0; n];
        r.status = vec![Status::Running; n];
        r.values = vec![0.0; n + streams];
        r.last_values = vec![0.0; n];
        r.advantages = vec![0.0; n];
        self.order = (0..n as u32).collect();
        Ok(slab)
    }

    /// Steps the worlds `num_steps` times. Environment steps taken.
    fn collect(&mut self, envs: &mut dyn Vector, slab: &mut Slab) -> Result<u64> {
        let (ticks, streams, width) = (self.config.num_steps, self.streams(), self.setup.spec.obs.width());
        let (act, rows) = (self.setup.spec.act.width(), self.setup.spec.rows);
        slab.carry();
        for t in 0..=ticks {
            let frame = slab.frame(t);
            self.raw.clear();
            frame.obs.extend_f32(&mut self.raw);
            let x = &mut self.rollout.x[t * streams * width..(t + 1) * streams * width];
            normalize(&self.config, &self.state.obs_normal, &self.raw, x);
            if t == ticks {
                break;
            }
            self.choose(frame.mask, t)?;
            if let (Head::Normal(scales), ActionBuffer::Continuous(out)) = (&self.head, &mut self.actions) {
                let from = &self.rollout.vectors[t * streams * act..(t + 1) * streams * act];
                scale_actions(scales, &self.setup.spec.act, from, out);
            } else if let ActionBuffer::Discrete(out) = &mut self.actions {
                out.copy_from_slice(&self.rollout.ids[t * streams * act..(t + 1) * streams * act]);
            }
            envs.step(self.actions.get(), slab.frame_mut(t + 1))?;
            let after = slab.frame(t + 1);
            for s in 0..streams {
                let i = t * streams + s;
                self.rollout.rewards[i] = after.reward[s];
                self.rollout.status[i] = after.status[s / rows];
            }
            self.value_last_views(after, t)?;
        }
        if let Some(i) = self.rollout.rewards.iter().position(|r| !r.is_finite()) {
            let what = format!("reward of world {}", i % streams / rows);
            return Err(Error::NonFinite { what, step: self.state.steps });
        }
        self.reward_distance(slab)?;
        if self.config.normalize_reward {
            self.scale_rewards();
        }
        if self.config.normalize_obs {
            self.raw.clear();
            slab.all_obs().extend_f32(&mut self.raw);
            self.state.obs_normal.update(&self.raw[streams * width..]);
        }
        Ok((ticks * self.setup.worlds) as u64)
    }

    /// Adds the auxiliary reward of every transition, and lets its distance learn once for each minibatch of a pass.
    fn reward_distance(&mut self, slab: &Slab) -> Result<()> {
        let Some(auxiliary) = &mut self.auxiliary else { return Ok(()) };
        let (ticks, worlds, width) = (self.config.num_steps, self.setup.worlds, self.setup.spec.obs.width());
        for t in 0..ticks {
            let after = slab.frame(t + 1);
            auxiliary.observe(after.obs.f32()?, after.last.f32()?, after.status);
        }
        for _ in 0..(ticks * worlds / self.config.minibatch_size) {
            auxiliary.learn()?;
        }
        for t in 0..ticks {
            let (now, after) = (slab.frame(t), slab.frame(t + 1));
            self.raw.clear();
            self.raw.extend_from_slice(after.obs.f32()?);
            let mut discount = vec![self.config.gamma as f32; worlds];
            for (world, status) in after.status.iter().enumerate().filter(|(_, s)| **s != Status::Running) {
                let row = world * width..(world + 1) * width;
                self.raw[row.clone()].copy_from_slice(after.last.slice(row).f32()?);
                if *status == Status::Terminated {
                    discount[world] = 0.0;
                }
            }
            let reward = &mut self.rollout.rewards[t * worlds..(t + 1) * worlds];
            auxiliary.shape(now.obs.f32()?, &self.raw, &discount, reward)?;
        }
        Ok(())
    }

    /// Draws an action for each stream from the policy at tick `t`.
    fn choose(&mut self, mask: &[bool], t: usize) -> Result<()> {
        let streams = self.streams();
        let x =
            &self.rollout.x[t * streams * self.setup.spec.obs.width()..(t + 1) * streams * self.setup.spec.obs.width()];
        let log_std = self.net.log_std().to_vec();
        let out = self.net.actor(x, false)?;
        let outputs = out.len() / streams;
        for s in 0..streams {
            let i = t * streams + s;
            let row = &out[s * outputs..(s + 1) * outputs];
            let rng = &mut self.state.rngs[s];
            self.rollout.log_probs[i] = match &self.head {
                Head::Choices(sets) => {
                    let ids = &mut self.rollout.ids[i * sets.len()..(i + 1) * sets.len()];
                    sample_sets(sets, row, &mask[s * outputs..(s + 1) * outputs], rng, ids, &mut self.scratch)?
                }
                Head::Normal(_) => {
                    finite(row, self.state.steps)?;
                    let action = &mut self.rollout.vectors[i * outputs..(i + 1) * outputs];
                    for ((a, m), s) in action.iter_mut().zip(row).zip(&log_std) {
                        *a = m + s.exp() * rng.normal() as f32;
                    }
                    gaussian_log_prob(action, row, &log_std)
                }
            };
        }
        Ok(())
    }

    /// V of the final views of the episodes that timed out in this tick.
    fn value_last_views(&mut self, after: Frame<'_>, t: usize) -> Result<()> {
        let (streams, width, rows) = (self.streams(), self.setup.spec.obs.width(), self.setup.spec.rows);
        for s in 0..streams {
            if after.status[s / rows] == Status::Truncated {
                self.raw.clear();
                after.last.slice(s * width..(s + 1) * width).extend_f32(&mut self.raw);
                self.input.resize(width, 0.0);
                normalize(&self.config, &self.state.obs_normal, &self.raw, &mut self.input);
                self.rollout.last_values[t * streams + s] = self.net.critic(&self.input, false)?[0];
            }
        }
        Ok(())
    }

    /// Divides rewards by the standard deviation of the discounted return so far, as gymnasium's NormalizeReward does.
    fn scale_rewards(&mut self) {
        let streams = self.streams();
        for (reward, status) in
            self.rollout.rewards.chunks_exact_mut(streams).zip(self.rollout.status.chunks_exact(streams))
        {
            for ((sum, r), status) in self.state.returns.iter_mut().zip(&*reward).zip(status) {
                *sum = *sum * self.config.gamma as f32 + r;
                self.state.return_normal.update(std::slice::from_ref(sum));
                if *status != Status::Running {
                    *sum = 0.0;
                }
            }
        }
        let std = self.state.return_normal.std()[0];
        self.rollout.rewards.iter_mut().for_each(|r| *r = (*r / std).clamp(-10.0, 10.0));
    }

    /// Values of all ticks in one forward pass, and from them the advantages.
    fn evaluate(&mut self, ticks: usize) -> Result<()> {
        let streams = self.streams();
        let r = &mut self.rollout;
        r.values.copy_from_slice(self.net.critic(&r.x, false)?);
        let from = Rewards { rewards: &r.rewards, status: &r.status, values: &r.values, last_values: &r.last_values };
        debug_assert_eq!(r.advantages.len(), ticks * streams);
        let (gamma, lambda) = (self.config.gamma as f32, self.config.gae_lambda as f32);
        advantage::estimate(from, streams, gamma, lambda, &mut r.advantages);
        Ok(())
    }

    /// `epochs` passes in shuffled minibatches; the last one of a pass may be smaller.
    fn update(&mut self, learning_rate: f64, clip: f32) -> Result<Totals> {
        let mut totals = Totals::default();
        let mut order = std::mem::take(&mut self.order);
        'passes: for _ in 0..self.config.epochs {
            self.state.shuffle.shuffle(&mut order);
            for part in order.chunks(self.config.minibatch_size) {
                let before = (totals.kl, totals.samples);
                self.minibatch(part, learning_rate, clip, &mut totals)?;
                let kl = (totals.kl - before.0) / (totals.samples - before.1);
                if self.config.target_kl > 0.0 && kl > 1.5 * self.config.target_kl {
                    break 'passes;
                }
            }
        }
        // In order again, so that the next shuffle depends on the generator's state alone, which a checkpoint has.
        order.sort_unstable();
        self.order = order;
        self.state.updates += totals.updates;
        if let Some(name) = self.net.not_finite()? {
            return Err(Error::NonFinite { what: format!("parameter {name}"), step: self.state.steps });
        }
        Ok(totals)
    }

    fn minibatch(&mut self, part: &[u32], learning_rate: f64, clip: f32, totals: &mut Totals) -> Result<()> {
        let (r, b) = (&self.rollout, &mut self.batch);
        let (n, width) = (part.len(), self.setup.spec.obs.width());
        b.x.clear();
        b.advantages.clear();
        for &i in part {
            let i = i as usize;
            b.x.extend_from_slice(&r.x[i * width..(i + 1) * width]);
            b.advantages.push(r.advantages[i]);
        }
        if self.config.normalize_advantage && n > 1 {
            standardize(&mut b.advantages);
        }
        let log_std = self.net.log_std().to_vec();
        let out = self.net.actor(&b.x, true)?;
        let outputs = out.len() / n;
        b.d_actor.clear();
        b.d_actor.resize(out.len(), 0.0);
        b.d_log_std.clear();
        b.d_log_std.resize(log_std.len(), 0.0);
        let masks = self.slab.as_ref().map_or(&[][..], Slab::all_masks);
        let scale = 1.0 / n as f32;
        let entropy_coef = self.config.entropy_coef as f32 * scale;
        for (k, &i) in part.iter().enumerate() {
            let i = i as usize;
            let row = &out[k * outputs..(k + 1) * outputs];
            let d_row = &mut b.d_actor[k * outputs..(k + 1) * outputs];
            let term = Surrogate { advantage: b.advantages[k], old_log_prob: r.log_probs[i], clip };
            let (log_prob, entropy) = match &self.head {
                Head::Choices(sets) => {
                    let mask = &masks[i * outputs..(i + 1) * outputs];
                    let ids = &r.ids[i * sets.len()..(i + 1) * sets.len()];
                    self.scratch.resize(outputs, 0.0);
                    let (log_prob, entropy) = log_prob_of_sets(sets, row, mask, ids, &mut self.scratch)?;
                    let by_log_prob = term.derivative(log_prob) * scale;
                    d_sets(sets, ids, &self.scratch, by_log_prob, entropy_coef, d_row);
                    (log_prob, entropy)
                }
                Head::Normal(_) => {
                    finite(row, self.state.steps)?;
                    let action = &r.vectors[i * outputs..(i + 1) * outputs];
                    let log_prob = gaussian_log_prob(action, row, &log_std);
                    let by_log_prob = term.derivative(log_prob) * scale;
                    for j in 0..outputs {
                        let std = log_std[j].exp();
                        let z = (action[j] - row[j]) / std;
                        d_row[j] = by_log_prob * z / std;
                        b.d_log_std[j] += by_log_prob * (z * z - 1.0) - entropy_coef;
                    }
                    (log_prob, gaussian_entropy(&log_std))
                }
            };
            term.count(log_prob, entropy, totals);
        }
        let values = self.net.critic(&b.x, true)?;
        b.d_critic.clear();
        for (k, &i) in part.iter().enumerate() {
            let (old, new) = (r.values[i as usize], values[k]);
            let target = old + r.advantages[i as usize];
            let limit = self.config.clip_range_value as f32;
            let (loss, slope) = value_loss(new, old, target, limit);
            totals.value += f64::from(loss);
            b.d_critic.push(slope * self.config.value_coef as f32 * scale);
        }
        let loss = totals.policy + totals.value + totals.entropy;
        if !loss.is_finite() {
            return Err(Error::NonFinite { what: "loss of ppo".into(), step: self.state.steps });
        }
        let by = OutputGrads { actor: &b.d_actor, critic: &b.d_critic, log_std: &b.d_log_std };
        totals.norm += self.net.step(&b.x, &by, learning_rate, self.config.max_grad_norm)?;
        totals.updates += 1;
        totals.samples += n as f64;
        Ok(())
    }

    fn report(&mut self, totals: &Totals, learning_rate: f64, log: &mut Scalars) {
        let n = totals.samples.max(1.0);
        log.put("losses/policy_loss", totals.policy / n);
        log.put("losses/value_loss", totals.value / n);
        log.put("losses/entropy", totals.entropy / n);
        log.put("losses/approx_kl", totals.kl / n);
        log.put("losses/clip_fraction", totals.clipped / n);
        log.put("losses/grad_norm", totals.norm / totals.updates.max(1) as f64);
        log.put("losses/explained_variance", explained_variance(&self.rollout));
        log.put("charts/learning_rate", learning_rate);
        log.put("charts/updates", self.state.updates as f64);
        if let Head::Normal(_) = self.head {
            let stds = self.net.log_std();
            log.put("charts/action_std", stds.iter().map(|s| f64::from(s.exp())).sum::<f64>() / stds.len() as f64);
        }
        if let Some(auxiliary) = &mut self.auxiliary {
            auxiliary.report(log);
        }
        log.histogram("rollout/advantages", self.rollout.advantages.clone());
        log.histogram("rollout/values", self.rollout.values.clone());
    }
}

/// The clipped surrogate of one transition (arXiv 1707.06347, eq. 7).
#[derive(Clone, Copy, Debug)]
struct Surrogate {
    advantage: f32,
    old_log_prob: f32,
    clip: f32,
}

impl Surrogate {
    /// - min(ratio A, clip(ratio, 1 - eps, 1 + eps) A)
    fn loss(self, log_prob: f32) -> f32 {
        let ratio = (log_prob - self.old_log_prob).exp();
        -(ratio * self.advantage).min(ratio.clamp(1.0 - self.clip, 1.0 + self.clip) * self.advantage)
    }
    /// Whether the clipped branch is the smaller one: then the gradient is cut.
    fn is_cut(self, log_prob: f32) -> bool {
        let ratio = (log_prob - self.old_log_prob).exp();
        (self.advantage > 0.0 && ratio > 1.0 + self.clip) || (self.advantage < 0.0 && ratio < 1.0 - self.clip)
    }
    /// The loss's derivative by the log-probability.
    fn derivative(self, log_prob: f32) -> f32 {
        if self.is_cut(log_prob) { 0.0 } else { -self.advantage * (log_prob - self.old_log_prob).exp() }
    }
    fn count(self, log_prob: f32, entropy: f32, totals: &mut Totals) {
        let log_ratio = log_prob - self.old_log_prob;
        let ratio = log_ratio.exp();
        totals.policy += f64::from(self.loss(log_prob));
        totals.entropy += f64::from(entropy);
        // Schulman's estimator with low variance and no bias: (r - 1) - ln r.
        totals.kl += f64::from((ratio - 1.0) - log_ratio);
        totals.clipped += f64::from(u8::from((ratio - 1.0).abs() > self.clip));
    }
}

/// Half the squared error and its derivative by the new value; with a limit the larger of the plain and the clipped loss.
fn value_loss(new: f32, old: f32, target: f32, limit: f32) -> (f32, f32) {
    let plain = (0.5 * (new - target).powi(2), new - target);
    if limit == 0.0 {
        return plain;
    }
    let held = old + (new - old).clamp(-limit, limit);
    let clipped = 0.5 * (held - target).powi(2);
    if clipped > plain.0 {
        // Beyond the limit the held value does not move.
        (clipped, if (new - old).abs() < limit { held - target } else { 0.0 })
    } else {
        plain
    }
}

fn normalize(config: &Config, normal: &Normalizer, from: &[f32], to: &mut [f32]) {
    if config.normalize_obs {
        normal.normalize(from, to);
    } else {
        to.copy_from_slice(from);
    }
}

fn standardize(values: &mut [f32]) {
    let n = values.len() as f32;
    let mean = values.iter().sum::<f32>() / n;
    let std = (values.iter().map(|v| (v - mean).powi(2)).sum::<f32>() / (n - 1.0)).sqrt();
    values.iter_mut().for_each(|v| *v = (*v - mean) / (std + 1e-8));
}

fn finite(row: &[f32], step: u64) -> Result<()> {
    match row.iter().find(|x| !x.is_finite()) {
        Some(x) => Err(Error::NonFinite { what: format!("mean of the policy ({x})"), step }),
        None => Ok(()),
    }
}

/// Brings actions from the policy's units to the world's, within its bounds.
fn scale_actions(scales: &[(f32, f32)], space: &Space, from: &[f32], to: &mut [f32]) {
    let Space::Box { low, high, .. } = space else { return };
    for (from, to) in from.chunks_exact(scales.len()).zip(to.chunks_exact_mut(scales.len())) {
        for j in 0..scales.len() {
            to[j] = (scales[j].0 + scales[j].1 * from[j]).clamp(low[j], high[j]);
        }
    }
}

/// Draws one choice per set; the sum of their log-probabilities.
fn sample_sets(
    sets: &[usize],
    logits: &[f32],
    mask: &[bool],
    rng: &mut Rng,
    ids: &mut [i64],
    scratch: &mut Vec<f32>,
) -> Result<f32> {
    let (mut start, mut sum) = (0, 0.0);
    scratch.resize(logits.len(), 0.0);
    for (&n, id) in sets.iter().zip(ids) {
        let choices = Choices { logits: &logits[start..start + n], mask: &mask[start..start + n] };
        let (choice, log_prob) = choices.sample(rng, &mut scratch[start..start + n])?;
        *id = choice as i64;
        sum += log_prob;
        start += n;
    }
    Ok(sum)
}

/// Log-probability of `ids` and entropy, summed over the sets; leaves the probabilities in `probs`.
fn log_prob_of_sets(
    sets: &[usize],
    logits: &[f32],
    mask: &[bool],
    ids: &[i64],
    probs: &mut [f32],
) -> Result<(f32, f32)> {
    let (mut start, mut log_prob, mut entropy) = (0, 0.0, 0.0);
    for (&n, &id) in sets.iter().zip(ids) {
        let choices = Choices { logits: &logits[start..start + n], mask: &mask[start..start + n] };
        let p = &mut probs[start..start + n];
        let (largest, log_sum) = choices.probabilities(p)?;
        log_prob += logits[start + id as usize] - largest - log_sum;
        entropy -= p.iter().filter(|p| **p > 0.0).map(|p| p * p.ln()).sum::<f32>();
        start += n;
    }
    Ok((log_prob, entropy))
}

/// Writes the loss's derivative by the logits: d log p(a) / d logit j = [j = a] - p(j), d H / d logit j = -p(j) (ln p(j) + H).
fn d_sets(sets: &[usize], ids: &[i64], probs: &[f32], by_log_prob: f32, entropy_coef: f32, out: &mut [f32]) {
    let mut start = 0;
    for (&n, &id) in sets.iter().zip(ids) {
        let p = &probs[start..start + n];
        let entropy = -p.iter().filter(|p| **p > 0.0).map(|p| p * p.ln()).sum::<f32>();
        for j in 0..n {
            let chosen = f32::from(u8::from(j as i64 == id));
            let by_entropy = if p[j] > 0.0 { -p[j] * (p[j].ln() + entropy) } else { 0.0 };
            out[start + j] = by_log_prob * (chosen - p[j]) - entropy_coef * by_entropy;
        }
        start += n;
    }
}

/// 1 - Var(return - value) / Var(return).
fn explained_variance(r: &Rollout) -> f64 {
    let variance = |values: &mut dyn Iterator<Item = f64>| {
        let (mut n, mut mean, mut square) = (0.0, 0.0, 0.0);
        for x in values {
            n += 1.0;
            let d = x - mean;
            mean += d / n;
            square += d * (x - mean);
        }
        square / n
    };
    let returns = variance(&mut r.advantages.iter().zip(&r.values).map(|(a, v)| f64::from(a + v)));
    if returns == 0.0 { 0.0 } else { 1.0 - variance(&mut r.advantages.iter().map(|a| f64::from(*a))) / returns }
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
