//! Soft actor-critic (Haarnoja et al., arXiv 1801.01290 and 1812.05905) for continuous actions: a squashed normal policy, twin critics,
//! an automatic temperature, n-step returns, and hindsight relabelling (arXiv 1707.01495) in worlds with goals.
//!
//! With `norm = "batch"` it is CrossQ (Bhatt et al., arXiv 1902.05605): batch-normalised critics over the joint batch of now and next, and
//! no target networks. One iteration steps every world `num_steps` times, then makes `utd` updates for each transition.
//!
//! The losses and their derivatives are written out below. What can run side by side is cut the same way whatever the number of
//! threads (the two critics, the two halves of a batch), so results do not depend on it.
use crate::{
    Schedule,
    distance::{self, Auxiliary, Method},
};
use rlx::{
    ActionBuffer, ActionsMut, Algorithm, Checkpoint, Device, Error, Export, Frame, Insight, Learner, LoadDir, Mode,
    Policy, Result, Rng, SaveDir, Scalars, Setup, Slab, Space, Spec, Vector,
    replay::{Batch, Hindsight, Plan, Replay, Strategy},
    snapshot,
};
use rlx_nn::{Activation, Norm};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub(crate) mod core;
use core::Core;

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
    /// Worlds stepped side by side.
    #[schemars(range(min = 1, max = 65536))]
    pub num_envs: usize,
    /// Ticks per world and iteration.
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
    /// Share of the worlds, at least one where it is not 0, that their own scripted player plays in the place of the policy, random
    /// actions among its own. What comes of it is learnt from like all else, by critics with layer norm, as in RLPD (arXiv 2302.02948)
    /// but for its batches of equal halves; training's own success counts it.
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
    /// How the step size goes on.
    pub lr_schedule: Schedule,
    /// Updates of the critics for each one of the policy.
    #[schemars(range(min = 1, max = 1000))]
    pub policy_delay: u64,
    /// How much of itself the average of the policies' parameters keeps at each of their updates, but no more than n / (n + 10) at the
    /// n-th; the average is what is judged and exported, the latest one explores. 0 judges the latest.
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
    /// Which achieved goals stand in for the desired one, in worlds with goals.
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
    /// What stands between layers.
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
    /// The replay's plan in a world of that spec.
    pub(crate) fn plan(&self, has_goal: bool) -> Plan {
        let strategy = match self.relabel {
            Relabel::None => None,
            Relabel::Future => Some(Strategy::Future),
            Relabel::Final => Some(Strategy::Final),
            Relabel::Episode => Some(Strategy::Episode),
        };
        let hindsight = strategy.filter(|_| has_goal && self.relabel_k > 0.0);
        Plan {
            capacity: self.buffer_size,
            n_step: self.n_step,
            gamma: self.gamma as f32,
            hindsight: hindsight.map(|strategy| Hindsight { strategy, k: self.relabel_k }),
        }
    }

    /// What is done in the place of the policy's `actions`: everywhere at random while it is `early`, by the worlds' own player in the
    /// first of them, and now and then at random.
    pub(crate) fn explore(
        &self,
        core: &Core,
        early: bool,
        envs: &dyn Vector,
        rngs: &mut [Rng],
        actions: &mut [f32],
    ) -> Result<()> {
        let wide = actions.len() / rngs.len();
        if early {
            rngs.iter_mut().zip(actions.chunks_exact_mut(wide)).for_each(|(rng, to)| core.act_at_random(rng, to));
        }
        if self.demonstrations > 0.0 {
            let n = ((self.demonstrations * rngs.len() as f64).round() as usize).max(1);
            let worlds: Vec<u32> = (0..n as u32).collect();
            envs.bot(0, &worlds, &mut rngs[..n], ActionsMut::Continuous(&mut actions[..n * wide]))?;
        }
        if !early && self.random_actions > 0.0 {
            for (rng, to) in rngs.iter_mut().zip(actions.chunks_exact_mut(wide)) {
                if rng.unit() < self.random_actions {
                    core.act_at_random(rng, to);
                }
            }
        }
        Ok(())
    }

    pub(crate) fn check(&self, spec: &Spec) -> std::result::Result<(), String> {
        let Space::Box { low, high, .. } = &spec.act else {
            return Err(format!("it needs continuous actions, and the world's are {}", spec.act.describe()));
        };
        if low.iter().chain(high).any(|b| !b.is_finite()) {
            return Err("its policy is squashed into bounds, and an action of the world has none".into());
        }
        if spec.rows != 1 || spec.players != 1 {
            return Err(format!("it learns for one player, and the world has {}", spec.players));
        }
        let per_iteration = self.num_envs * self.num_steps;
        if self.buffer_size < per_iteration {
            return Err(format!(
                "buffer_size = {} is less than an iteration's {per_iteration} transitions",
                self.buffer_size
            ));
        }
        if self.demonstrations > 0.0 && spec.bots.is_empty() {
            return Err("demonstrations: the world has no player of its own to give them".into());
        }
        if self.target_range[0] > self.target_range[1] {
            return Err("target_range: the lowest comes first".into());
        }
        if self.target_range[0] < self.target_range[1] && self.distance.auxiliary != Method::None {
            return Err(
                "target_range is of the world's own returns, which an auxiliary reward changes: give one of the two"
                    .into(),
            );
        }
        self.distance.check(spec)
    }
}

/// What is saved beside networks and replay.
#[derive(Serialize, Deserialize)]
struct State {
    rngs: Vec<Rng>, // one a world, for its actions
    sampling: Rng,
    steps: u64,
    due: f64, // updates that are owed
}

/// The learner.
pub struct Sac {
    config: Config,
    setup: Setup,
    core: Core,
    auxiliary: Option<Auxiliary>,
    state: State,
    running: Option<Loop>,
    saved: Option<Saved>, // of a checkpoint, until the worlds are there
    actions: ActionBuffer,
    obs: Vec<f32>,
    distances: Vec<f32>, // of the rows it was last asked for
}

/// What needs the worlds to be made.
struct Loop {
    slab: Slab, // two ticks: now and after, in turn
    now: usize,
    replay: Replay,
    batch: Batch,
}

/// A checkpoint's frame, and where its replay is.
struct Saved {
    frame: Vec<u8>,
    replay: LoadDir,
}

impl Algorithm for Sac {
    type Config = Config;
    const NAME: &'static str = "sac";
    const ABOUT: &'static str =
        "soft actor-critic with hindsight relabelling: continuous actions, goals; norm=batch is CrossQ";

    fn fits(config: &Config, spec: &Spec) -> std::result::Result<(), String> {
        if !spec.skills.is_empty() {
            return Err("it is a chain of skills: --algo chain learns those".into());
        }
        config.check(spec)
    }

    fn worlds(config: &Config) -> usize {
        config.num_envs
    }

    fn new(config: Config, setup: Setup) -> Result<Self> {
        if setup.device != Device::Cpu {
            return Err(Error::invalid("sac runs on the CPU, where networks of its size are faster: --device cpu"));
        }
        let worlds = setup.worlds;
        Ok(Self {
            core: Core::new(config.clone(), &setup.spec, setup.seed),
            auxiliary: Auxiliary::new(&config.distance, &setup.spec, worlds, config.gamma, setup.seed)?,
            state: State {
                rngs: (0..worlds as u64).map(|i| Rng::named(setup.seed, "sac actions", i)).collect(),
                sampling: Rng::named(setup.seed, "sac batches", 0),
                steps: 0,
                due: 0.0,
            },
            running: None,
            saved: None,
            actions: ActionBuffer::new(&setup.spec.act, worlds),
            obs: Vec::new(),
            distances: Vec::new(),
            config,
            setup,
        })
    }
}

impl Learner for Sac {
    fn iterate(&mut self, envs: &mut dyn Vector, log: &mut Scalars) -> Result<u64> {
        let mut l = match self.running.take() {
            Some(l) => l,
            None => self.first(envs)?,
        };
        let done = self.iterate_on(&mut l, envs, log);
        self.running = Some(l);
        done
    }

    fn policy(&mut self) -> &mut dyn Policy {
        self
    }

    fn export(&self) -> Result<Export> {
        let arrays = self.core.arrays();
        let training = arrays.iter().map(|a| a.name.clone()).filter(|n| n.starts_with("critic")).collect();
        let about = vec![
            ("algo".into(), Self::NAME.into()),
            ("env".into(), self.setup.spec.name.clone()),
            ("obs".into(), self.setup.spec.obs.describe()),
            ("act".into(), self.setup.spec.act.describe()),
            ("activation".into(), format!("{:?}", self.config.activation).to_lowercase()),
            (
                "layers".into(),
                "y = x W^T + b for actor.0, actor.1, ...; the activation between layers, none after the last".into(),
            ),
            (
                "action".into(),
                "middle + half_width * tanh(first half of actor(x)); the second half is for sampling".into(),
            ),
        ];
        Ok(Export { about, arrays, training })
    }

    fn init_from(&mut self, policy: &Export) -> Result<()> {
        self.core.import(&policy.arrays)
    }
}

impl Sac {
    /// Makes room and starts the worlds, or goes on from a checkpoint.
    fn first(&mut self, envs: &mut dyn Vector) -> Result<Loop> {
        let spec = &self.setup.spec;
        let mut slab = envs.slab(2);
        slab.all_obs().f32()?;
        let mut replay = Replay::new(self.config.plan(spec.goal.is_some()), spec, self.setup.worlds, &slab)?;
        match self.saved.take() {
            Some(saved) => {
                slab.load_tick(0, &mut &saved.frame[..])?;
                replay.load(&saved.replay)?;
            }
            None => envs.reset(slab.frame_mut(0)),
        }
        let batch = replay.batch(self.config.batch_size);
        Ok(Loop { slab, now: 0, replay, batch })
    }

    fn iterate_on(&mut self, l: &mut Loop, envs: &mut dyn Vector, log: &mut Scalars) -> Result<u64> {
        let worlds = self.setup.worlds as u64;
        for _ in 0..self.config.num_steps {
            let frame = l.slab.frame(l.now);
            self.obs.clear();
            frame.obs.extend_f32(&mut self.obs);
            self.core.see(&self.obs);
            self.choose(envs)?;
            envs.step(self.actions.get(), l.slab.frame_mut(1 - l.now))?;
            let after = l.slab.frame(1 - l.now);
            if let Some(world) = after.reward.iter().position(|r| !r.is_finite()) {
                return Err(Error::NonFinite { what: format!("reward of world {world}"), step: self.state.steps });
            }
            if let Some(auxiliary) = &mut self.auxiliary {
                auxiliary.observe(after.obs.f32()?, after.last.f32()?, after.status);
            }
            l.replay.push(l.slab.frame(l.now), self.actions.get(), after)?;
            l.now = 1 - l.now;
            self.state.steps += worlds;
        }
        let before = self.core.updates();
        if self.state.steps >= self.config.learning_starts {
            self.state.due += self.config.utd * (worlds * self.config.num_steps as u64) as f64;
        }
        let progress = self.config.lr_schedule.factor(self.state.steps, self.setup.steps);
        while self.state.due >= 1.0 {
            self.state.due -= 1.0;
            l.replay.sample(&mut self.state.sampling, &mut l.batch)?;
            if let Some(auxiliary) = &mut self.auxiliary {
                if self.core.updates().is_multiple_of(auxiliary.every()) {
                    auxiliary.learn()?;
                }
                let Batch { obs, next, discount, reward, .. } = &mut l.batch;
                auxiliary.shape(obs.slice(0..obs.len()).f32()?, next.slice(0..next.len()).f32()?, discount, reward)?;
            }
            self.core.learn(&l.batch, self.config.learning_rate * progress)?;
        }
        if let Some(name) = self.core.not_finite() {
            return Err(Error::NonFinite { what: format!("parameter {name}"), step: self.state.steps });
        }
        self.core.report("", log);
        if let Some(auxiliary) = &mut self.auxiliary {
            auxiliary.report(log);
        }
        log.put("charts/learning_rate", self.config.learning_rate * progress);
        log.put("charts/updates", self.core.updates() as f64);
        let made = (self.core.updates() - before) as f64;
        log.put("perf/gflop", made * self.core.flop(self.config.batch_size) * 1e-9);
        Ok(worlds * self.config.num_steps as u64)
    }

    /// Actions for the observations in `self.obs`.
    fn choose(&mut self, envs: &dyn Vector) -> Result<()> {
        let ActionBuffer::Continuous(out) = &mut self.actions else {
            return Err(Error::mismatch("actions of sac", "continuous", "discrete"));
        };
        let early = self.state.steps < self.config.learning_starts;
        if !early {
            self.core.act(&self.obs, Mode::Explore, &mut self.state.rngs, out)?;
        }
        self.config.explore(&self.core, early, envs, &mut self.state.rngs, out)
    }
}

impl Policy for Sac {
    fn act(&mut self, frame: Frame<'_>, rows: &[u32], mode: Mode, rng: &mut [Rng], out: ActionsMut<'_>) -> Result<()> {
        let ActionsMut::Continuous(out) = out else {
            return Err(Error::mismatch("actions asked of sac", self.setup.spec.act.describe(), "discrete ones"));
        };
        let width = self.setup.spec.obs.width();
        self.obs.clear();
        for &row in rows {
            frame.obs.slice(row as usize * width..(row as usize + 1) * width).extend_f32(&mut self.obs);
        }
        if let Some(auxiliary) = &mut self.auxiliary {
            auxiliary.goal_distances(&self.obs, &mut self.distances)?;
        }
        self.core.act(&self.obs, mode, rng, out)
    }

    fn insight(&self, k: usize) -> Option<Insight> {
        let distance = *self.distances.get(k)?;
        Some(Insight { distance: Some(distance), ..Insight::default() })
    }
}

impl Checkpoint for Sac {
    fn save(&self, to: &mut SaveDir) -> Result<()> {
        self.core.save("", to)?;
        if let Some(auxiliary) = &self.auxiliary {
            auxiliary.save(to)?;
        }
        let mut bytes = Vec::new();
        snapshot::put(&mut bytes, &self.state);
        let mut frame = None;
        if let Some(l) = &self.running {
            l.replay.save(to)?;
            let mut tick = Vec::new();
            l.slab.save_tick(l.now, &mut tick);
            frame = Some(tick);
        }
        snapshot::put(&mut bytes, &frame);
        to.put("sac.bin", &bytes)
    }

    fn load(&mut self, from: &LoadDir) -> Result<()> {
        self.core.load("", from)?;
        if let Some(auxiliary) = &mut self.auxiliary {
            auxiliary.load(from)?;
        }
        let bytes = from.get("sac.bin")?;
        let mut rest = &bytes[..];
        let state: State = snapshot::take(&mut rest)?;
        if state.rngs.len() != self.setup.worlds {
            let (own, found) = (self.setup.worlds.to_string(), state.rngs.len().to_string());
            return Err(Error::mismatch("worlds of the saved sac", own, found));
        }
        let frame: Option<Vec<u8>> = snapshot::get(rest)?;
        self.saved = match frame {
            Some(frame) => Some(Saved { frame, replay: LoadDir::open(from.path())? }),
            None => None,
        };
        self.state = state;
        self.running = None;
        Ok(())
    }
}
