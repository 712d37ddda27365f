//! Soft actor-critic (Haarnoja et al., arXiv 1801.01290 and 1812.05905) for continuous actions: a squashed normal policy, twin critics,
//! an automatic temperature, n-step returns, and hindsight relabelling (arXiv 1707.01495) in environments with goals.
//!
//! With `norm = "batch"` it is CrossQ (Bhatt et al., arXiv 1902.05605): batch-normalised critics over the joint batch of now and next, and
//! no target networks. One iteration steps every environment `num_steps` times, then makes `utd` updates for each transition. An update
//! is `networks::Networks::update`; the losses and their derivatives are written out there.
use crate::{distance::Auxiliary, export};
use networks::Networks;
use rlx::{
    ActionBuffer, ActionsMut, Algorithm, Checkpoint, Device, Error, Export, Frame, Learner, LoadDir, Mode, Policy,
    PolicyInfo, Result, Rng, SaveDir, Scalars, Setup, Slab, Spec, Vector,
    replay::{Batch, Replay},
    snapshot,
};
use serde::{Deserialize, Serialize};

mod config;
pub(crate) mod networks;
pub use config::{Config, Relabel};

/// What is saved beside networks and replay.
#[derive(Serialize, Deserialize)]
struct State {
    rngs: Vec<Rng>, // [envs], for actions
    sampling: Rng,
    steps: u64,
    updates_owed: f64,
}

/// The learner.
pub struct Sac {
    config: Config,
    setup: Setup,
    networks: Networks,
    auxiliary: Option<Auxiliary>,
    state: State,
    running: Option<Running>,
    saved: Option<Saved>, // of a checkpoint, until the environments are there
    actions: ActionBuffer,
    obs: Vec<f32>,
    distances: Vec<f32>, // of the rows it acted for last
}

/// What needs the environments to be made.
struct Running {
    slab: Slab, // two time steps: now and after, in turn
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
            networks: Networks::new(config.clone(), &setup.spec, setup.seed),
            auxiliary: Auxiliary::new(&config.distance, &setup.spec, worlds, config.gamma, setup.seed)?,
            state: State {
                rngs: (0..worlds as u64).map(|i| Rng::named(setup.seed, "sac actions", i)).collect(),
                sampling: Rng::named(setup.seed, "sac batches", 0),
                steps: 0,
                updates_owed: 0.0,
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
        let mut running = match self.running.take() {
            Some(running) => running,
            None => self.start(envs)?,
        };
        let steps = self.iterate_on(&mut running, envs, log);
        self.running = Some(running);
        steps
    }

    fn policy(&mut self) -> &mut dyn Policy {
        self
    }

    fn export(&self) -> Result<Export> {
        let arrays = self.networks.arrays();
        let training = arrays.iter().map(|a| a.name.clone()).filter(|n| n.starts_with("critic")).collect();
        let mut about = export::mlp_metadata(Self::NAME, &self.setup.spec, self.config.activation);
        let action = "middle + half_width * tanh(first half of actor(x)); the second half is for sampling";
        about.push(("action".into(), action.into()));
        Ok(Export { about, arrays, training })
    }

    fn init_from(&mut self, policy: &Export) -> Result<()> {
        self.networks.import(&policy.arrays)
    }
}

impl Sac {
    /// Makes room and starts the environments, or goes on from a checkpoint.
    fn start(&mut self, envs: &mut dyn Vector) -> Result<Running> {
        let spec = &self.setup.spec;
        let mut slab = envs.slab(2);
        slab.all_obs().f32()?;
        let mut replay = Replay::new(self.config.replay(spec.goal.is_some()), spec, self.setup.worlds, &slab)?;
        match self.saved.take() {
            Some(saved) => {
                slab.load_tick(0, &mut &saved.frame[..])?;
                replay.load(&saved.replay)?;
            }
            None => envs.reset(slab.frame_mut(0)),
        }
        let batch = replay.batch(self.config.batch_size);
        Ok(Running { slab, now: 0, replay, batch })
    }

    fn iterate_on(&mut self, r: &mut Running, envs: &mut dyn Vector, log: &mut Scalars) -> Result<u64> {
        let steps = (self.setup.worlds * self.config.num_steps) as u64;
        for _ in 0..self.config.num_steps {
            self.step_envs(r, envs)?;
        }
        if self.state.steps >= self.config.learning_starts {
            self.state.updates_owed += self.config.utd * steps as f64;
        }
        let progress = self.config.lr_schedule.factor(self.state.steps, self.setup.steps);
        let (learning_rate, before) = (self.config.learning_rate * progress, self.networks.updates());
        while self.state.updates_owed >= 1.0 {
            self.state.updates_owed -= 1.0;
            r.replay.sample(&mut self.state.sampling, &mut r.batch)?;
            self.add_auxiliary_reward(&mut r.batch)?;
            self.networks.update(&r.batch, learning_rate)?;
        }
        if let Some(name) = self.networks.not_finite() {
            return Err(Error::NonFinite { what: format!("parameter {name}"), step: self.state.steps });
        }
        self.networks.report("", log);
        if let Some(auxiliary) = &mut self.auxiliary {
            auxiliary.report(log);
        }
        log.put("charts/learning_rate", learning_rate);
        log.put("charts/updates", self.networks.updates() as f64);
        let made = (self.networks.updates() - before) as f64;
        log.put("perf/gflop", made * self.networks.flop(self.config.batch_size) * 1e-9);
        Ok(steps)
    }

    /// One step of every environment, into the replay.
    fn step_envs(&mut self, r: &mut Running, envs: &mut dyn Vector) -> Result<()> {
        self.obs.clear();
        r.slab.frame(r.now).obs.extend_f32(&mut self.obs);
        self.networks.update_normalizer(&self.obs);
        self.choose_actions(envs)?;
        envs.step(self.actions.get(), r.slab.frame_mut(1 - r.now))?;
        let after = r.slab.frame(1 - r.now);
        if let Some(env) = after.reward.iter().position(|r| !r.is_finite()) {
            return Err(Error::NonFinite { what: format!("reward of environment {env}"), step: self.state.steps });
        }
        if let Some(auxiliary) = &mut self.auxiliary {
            auxiliary.observe(after.obs.f32()?, after.last.f32()?, after.status);
        }
        r.replay.push(r.slab.frame(r.now), self.actions.get(), after)?;
        r.now = 1 - r.now;
        self.state.steps += self.setup.worlds as u64;
        Ok(())
    }

    /// Actions for the observations in `self.obs`.
    fn choose_actions(&mut self, envs: &dyn Vector) -> Result<()> {
        let ActionBuffer::Continuous(out) = &mut self.actions else {
            return Err(Error::mismatch("actions of sac", "continuous", "discrete"));
        };
        let warming_up = self.state.steps < self.config.learning_starts;
        if !warming_up {
            self.networks.act(&self.obs, Mode::Explore, &mut self.state.rngs, out)?;
        }
        self.networks.explore(warming_up, envs, &mut self.state.rngs, out)
    }

    /// Adds the auxiliary reward to a batch; its distance learns now and then.
    fn add_auxiliary_reward(&mut self, batch: &mut Batch) -> Result<()> {
        let Some(auxiliary) = &mut self.auxiliary else { return Ok(()) };
        if self.networks.updates().is_multiple_of(auxiliary.every()) {
            auxiliary.learn()?;
        }
        let Batch { obs, next, discount, reward, .. } = batch;
        auxiliary.shape(obs.slice(0..obs.len()).f32()?, next.slice(0..next.len()).f32()?, discount, reward)
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
        self.networks.act(&self.obs, mode, rng, out)
    }

    fn info(&self, k: usize) -> Option<PolicyInfo> {
        Some(PolicyInfo::of(PolicyInfo::DISTANCE, [*self.distances.get(k)?]))
    }
}

impl Checkpoint for Sac {
    fn save(&self, to: &mut SaveDir) -> Result<()> {
        self.networks.save("", to)?;
        if let Some(auxiliary) = &self.auxiliary {
            auxiliary.save(to)?;
        }
        let mut bytes = Vec::new();
        snapshot::put(&mut bytes, &self.state);
        let mut frame = None;
        if let Some(r) = &self.running {
            r.replay.save(to)?;
            let mut tick = Vec::new();
            r.slab.save_tick(r.now, &mut tick);
            frame = Some(tick);
        }
        snapshot::put(&mut bytes, &frame);
        to.put("sac.bin", &bytes)
    }

    fn load(&mut self, from: &LoadDir) -> Result<()> {
        self.networks.load("", from)?;
        if let Some(auxiliary) = &mut self.auxiliary {
            auxiliary.load(from)?;
        }
        let bytes = from.get("sac.bin")?;
        let mut rest = &bytes[..];
        let state: State = snapshot::take(&mut rest)?;
        if state.rngs.len() != self.setup.worlds {
            let (own, found) = (self.setup.worlds.to_string(), state.rngs.len().to_string());
            return Err(Error::mismatch("environments of the saved sac", own, found));
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
