//! Soft actor-critic (Haarnoja et al., arXiv 1801.01290 and 1812.05905) for continuous actions: a squashed normal policy, twin critics,
//! an automatic temperature, n-step returns, and hindsight relabelling (arXiv 1707.01495) in worlds with goals.
//!
//! With `norm = "batch"` it is CrossQ (Bhatt et al., arXiv 1902.05605): batch-normalised critics over the joint batch of now and next, and
//! no target networks. One iteration steps every world `num_steps` times, then makes `utd` updates for each transition.
//!
//! The losses and their derivatives are written out below. What can run side by side is cut the same way whatever the number of
//! threads (the two critics, the two halves of a batch), so results do not depend on it.
use crate::distance::Auxiliary;
use rlx::{
    ActionBuffer, ActionsMut, Algorithm, Checkpoint, Device, Error, Export, Frame, Learner, LoadDir, Mode, Policy,
    PolicyInfo, Result, Rng, SaveDir, Scalars, Setup, Slab, Spec, Vector,
    replay::{Batch, Replay},
    snapshot,
};
use serde::{Deserialize, Serialize};

mod config;
pub(crate) mod core;
pub use config::{Config, Relabel};
use core::Core;

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

    fn info(&self, k: usize) -> Option<PolicyInfo> {
        Some(PolicyInfo::of(PolicyInfo::DISTANCE, [*self.distances.get(k)?]))
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
