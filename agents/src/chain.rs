//! Chains of skills: one soft actor-critic a skill, and what makes a skill end where the next can start.
//!
//! The environment ([`rlx::Spec::skills`]) runs through the chain; every skill's policy acts where it is at work, learns from its own share of
//! one replay with its own goal, and a success ends its episode. With `bridge = "tdrp"` that success is paid by how few transitions lie
//! between where it ended and where the next skill succeeded from (TDRP's reward for chains, arXiv 2402.07412); with `bridge = "terminal"`
//! by a discriminator of the two (terminal-state regularisation, T-STAR, arXiv 2111.07999); with `none` by nothing: naive chaining.
use crate::{
    distance::{Auxiliary, Method},
    export,
    sac::networks::Networks,
};
use rlx::{
    ActionBuffer, ActionsMut, Algorithm, Checkpoint, Device, Error, Export, Frame, Learner, LoadDir, Mode, Policy,
    Result, Rng, SaveDir, Scalars, Setup, Slab, Spec, Status, Vector,
    replay::{Batch, Replay},
    snapshot,
};
use serde::{Deserialize, Serialize};

mod bridge;
mod config;
mod update;
use bridge::{Discriminator, RecentStates};
pub use config::{Bridge, Config, Order};

/// What is saved beside networks and replay.
#[derive(Serialize, Deserialize)]
struct State {
    rngs: Vec<Rng>, // [envs], for actions
    sampling: Rng,
    steps: u64,
    updates_owed: f64,
    credit: Vec<f64>,              // [skills], updates that a skill is owed by the others
    success: Vec<f64>,             // [skills], running rate
    transitions: Vec<u64>,         // [skills], seen of each
    start_obs: Vec<f32>,           // [envs, width], where the skill at work began
    beginnings: Vec<RecentStates>, // [skills], that led to a success
    endings: Vec<RecentStates>,    // [skills], of successes
}

/// The learner.
pub struct Chain {
    config: Config,
    setup: Setup,
    skill_at: usize,
    skills: Vec<Networks>,
    distance: Option<Auxiliary>,
    discriminators: Vec<Discriminator>, // [skills - 1], of the next one's beginnings
    state: State,
    running: Option<Running>,
    saved: Option<(Vec<u8>, LoadDir)>, // a checkpoint's frame and where its replay is, until the environments are there
    actions: ActionBuffer,
    obs: Vec<f32>,
    rows: Vec<f32>,
    act: Vec<f32>,
}

/// What needs the environments to be made.
struct Running {
    slab: Slab, // two time steps: now and after, in turn
    now: usize,
    replay: Replay,
    batch: Batch,
    final_obs: Vec<f32>, // [envs, width], as the skill at work sees endings
    status: Vec<Status>, // [envs], likewise
}

fn skill_at(spec: &Spec) -> Option<usize> {
    spec.fields.iter().find(|f| f.name == "skill" && f.range.len() == 1).map(|f| f.range.start)
}

impl Algorithm for Chain {
    type Config = Config;
    const NAME: &'static str = "chain";
    const ABOUT: &'static str =
        "a soft actor-critic for each skill of a chain, paid for ending where the next can start (TDRP, T-STAR)";

    fn fits(config: &Config, spec: &Spec) -> std::result::Result<(), String> {
        if spec.skills.is_empty() || skill_at(spec).is_none() {
            return Err("it is no chain of skills: --algo sac or tdrp learn single tasks".into());
        }
        config.sac.check(spec)
    }

    fn worlds(config: &Config) -> usize {
        config.sac.num_envs
    }

    fn new(config: Config, setup: Setup) -> Result<Self> {
        if setup.device != Device::Cpu {
            return Err(Error::invalid("chain runs on the CPU, where networks of its size are faster: --device cpu"));
        }
        let (spec, worlds, seed) = (&setup.spec, setup.worlds, setup.seed);
        let (skills, width) = (spec.skills.len(), spec.obs.width());
        let skill_at = skill_at(spec).ok_or_else(|| Error::invalid("the environment has no field 'skill'"))?;
        let mut distance = config.sac.distance.clone();
        if config.bridge == Bridge::Tdrp && distance.auxiliary == Method::None {
            distance.auxiliary = Method::Tdrp;
        }
        let distance = match config.bridge {
            Bridge::Tdrp => Auxiliary::new(&distance, spec, worlds, config.sac.gamma, seed)?,
            _ => None,
        };
        let seed_of = |k: usize| Rng::named(seed, "skill", k as u64).bits();
        let discriminators = match config.bridge {
            Bridge::Terminal => (1..skills).map(|k| Discriminator::new(width, seed_of(k))).collect(),
            _ => Vec::new(),
        };
        Ok(Self {
            skills: (0..skills).map(|k| Networks::new(config.sac.clone(), spec, seed_of(k))).collect(),
            distance,
            discriminators,
            state: State {
                rngs: (0..worlds as u64).map(|i| Rng::named(seed, "chain actions", i)).collect(),
                sampling: Rng::named(seed, "chain batches", 0),
                steps: 0,
                updates_owed: 0.0,
                credit: vec![0.0; skills],
                success: vec![0.0; skills],
                transitions: vec![0; skills],
                start_obs: vec![0.0; worlds * width],
                beginnings: vec![RecentStates::new(width); skills],
                endings: vec![RecentStates::new(width); skills],
            },
            running: None,
            saved: None,
            actions: ActionBuffer::new(&spec.act, worlds),
            obs: Vec::new(),
            rows: Vec::new(),
            act: Vec::new(),
            skill_at,
            config,
            setup,
        })
    }
}

impl Learner for Chain {
    fn iterate(&mut self, envs: &mut dyn Vector, log: &mut Scalars) -> Result<u64> {
        let mut r = match self.running.take() {
            Some(r) => r,
            None => self.start(envs)?,
        };
        let done = self.iterate_on(&mut r, envs, log);
        self.running = Some(r);
        done
    }

    fn policy(&mut self) -> &mut dyn Policy {
        self
    }

    fn export(&self) -> Result<Export> {
        let mut arrays = Vec::new();
        for (k, networks) in self.skills.iter().enumerate() {
            arrays.extend(networks.arrays().into_iter().map(|mut a| {
                a.name = format!("skill{k}.{}", a.name);
                a
            }));
        }
        let training = arrays.iter().map(|a| a.name.clone()).filter(|n| n.contains(".critic")).collect();
        let names: Vec<&str> = self.setup.spec.skills.iter().map(|s| s.name.as_str()).collect();
        let mut about = export::metadata(Self::NAME, &self.setup.spec);
        about.push(("skills".into(), names.join(" ")));
        about.push(("action".into(), "of the skill that the field 'skill' names, as sac's".into()));
        Ok(Export { about, arrays, training })
    }

    fn init_from(&mut self, policy: &Export) -> Result<()> {
        for (k, networks) in self.skills.iter_mut().enumerate() {
            let own = policy.arrays.iter().filter_map(|a| {
                let name = a.name.strip_prefix(&format!("skill{k}."))?.to_owned();
                Some(rlx::Array { name, ..a.clone() })
            });
            networks.import(&own.collect::<Vec<_>>())?;
        }
        Ok(())
    }
}

impl Chain {
    /// Makes room and starts the environments, or goes on from a checkpoint.
    fn start(&mut self, envs: &mut dyn Vector) -> Result<Running> {
        let spec = &self.setup.spec;
        let mut slab = envs.slab(2);
        slab.all_obs().f32()?;
        let mut replay = Replay::new(self.config.sac.replay(true), spec, self.setup.worlds, &slab)?;
        match self.saved.take() {
            Some((frame, from)) => {
                slab.load_tick(0, &mut &frame[..])?;
                replay.load(&from)?;
            }
            None => {
                envs.reset(slab.frame_mut(0));
                self.state.start_obs.copy_from_slice(slab.frame(0).obs.f32()?);
            }
        }
        let batch = replay.batch(self.config.sac.batch_size);
        let n = self.setup.worlds;
        Ok(Running {
            slab,
            now: 0,
            replay,
            batch,
            final_obs: vec![0.0; n * spec.obs.width()],
            status: vec![Status::Running; n],
        })
    }

    fn skill_of(&self, row: &[f32]) -> usize {
        (row[self.skill_at].max(0.0) as usize).min(self.skills.len() - 1)
    }

    fn iterate_on(&mut self, r: &mut Running, envs: &mut dyn Vector, log: &mut Scalars) -> Result<u64> {
        let (worlds, ticks) = (self.setup.worlds, self.config.sac.num_steps);
        for _ in 0..ticks {
            self.obs.clear();
            self.obs.extend_from_slice(r.slab.frame(r.now).obs.f32()?);
            self.choose_actions(envs)?;
            envs.step(self.actions.get(), r.slab.frame_mut(1 - r.now))?;
            self.record_step(r)?;
            r.now = 1 - r.now;
            self.state.steps += worlds as u64;
        }
        if self.state.steps >= self.config.sac.learning_starts {
            self.state.updates_owed += self.config.sac.utd * (worlds * ticks) as f64;
        }
        let progress = self.config.sac.lr_schedule.factor(self.state.steps, self.setup.steps);
        let mut made = 0;
        while self.state.updates_owed >= 1.0 {
            let Some(k) = self.next_skill() else {
                // Nobody may learn yet: what was owed is not made up for later.
                self.state.updates_owed = 0.0;
                break;
            };
            self.state.updates_owed -= 1.0;
            self.update_skill(r, k, self.config.sac.learning_rate * progress)?;
            made += 1;
        }
        for (k, networks) in self.skills.iter_mut().enumerate() {
            if let Some(name) = networks.not_finite() {
                let what = format!("parameter {name} of skill {k}");
                return Err(Error::NonFinite { what, step: self.state.steps });
            }
            networks.report(&format!("skill{k}_"), log);
            log.put(format!("charts/skill{k}_success"), self.state.success[k]);
        }
        if let Some(distance) = &mut self.distance {
            distance.report(log);
        }
        log.put("charts/updates", self.skills.iter().map(|c| c.updates()).sum::<u64>() as f64);
        log.put("perf/gflop", f64::from(made) * self.skills[0].flop(self.config.sac.batch_size) * 1e-9);
        Ok((worlds * ticks) as u64)
    }

    /// Actions for the observations in `self.obs`, each by its own skill's policy.
    fn choose_actions(&mut self, envs: &dyn Vector) -> Result<()> {
        let ActionBuffer::Continuous(out) = &mut self.actions else {
            return Err(Error::mismatch("actions of chain", "continuous", "discrete"));
        };
        let warming_up = self.state.steps < self.config.sac.learning_starts;
        let (mut out, mut rngs) = (std::mem::take(out), std::mem::take(&mut self.state.rngs));
        let obs = std::mem::take(&mut self.obs);
        let acted = if warming_up { Ok(()) } else { self.act_by_skill(&obs, Mode::Explore, &mut rngs, &mut out) };
        let acted = acted.and_then(|()| self.skills[0].explore(warming_up, envs, &mut rngs, &mut out));
        (self.obs, self.state.rngs) = (obs, rngs);
        self.actions = ActionBuffer::Continuous(out);
        acted
    }

    fn act_by_skill(&mut self, obs: &[f32], mode: Mode, rngs: &mut [Rng], out: &mut [f32]) -> Result<()> {
        let (width, act) = (self.setup.spec.obs.width(), self.setup.spec.act.width());
        let (mut rows, mut actions) = (std::mem::take(&mut self.rows), std::mem::take(&mut self.act));
        for k in 0..self.skills.len() {
            let own: Vec<usize> =
                obs.chunks_exact(width).enumerate().filter(|(_, o)| self.skill_of(o) == k).map(|(i, _)| i).collect();
            if own.is_empty() {
                continue;
            }
            rows.clear();
            own.iter().for_each(|i| rows.extend_from_slice(&obs[i * width..(i + 1) * width]));
            actions.resize(own.len() * act, 0.0);
            let mut streams: Vec<Rng> = own.iter().filter_map(|i| rngs.get(*i).cloned()).collect();
            self.skills[k].act(&rows, mode, &mut streams, &mut actions)?;
            for (n, i) in own.iter().enumerate() {
                out[i * act..(i + 1) * act].copy_from_slice(&actions[n * act..(n + 1) * act]);
                if let (Some(to), Some(from)) = (rngs.get_mut(*i), streams.get(n)) {
                    *to = from.clone();
                }
            }
        }
        (self.rows, self.act) = (rows, actions);
        Ok(())
    }

    /// Puts a time step into the replay as the skills see it: a success ends a skill's episode, also where the chain goes on.
    fn record_step(&mut self, r: &mut Running) -> Result<()> {
        let (now, after) = (r.slab.frame(r.now), r.slab.frame(1 - r.now));
        if let Some(env) = after.reward.iter().position(|x| !x.is_finite()) {
            return Err(Error::NonFinite { what: format!("reward of environment {env}"), step: self.state.steps });
        }
        let width = self.setup.spec.obs.width();
        let (obs, next, last) = (now.obs.f32()?, after.obs.f32()?, after.last.f32()?);
        for env in 0..self.setup.worlds {
            let row = env * width..(env + 1) * width;
            let k = self.skill_of(&obs[row.clone()]);
            self.skills[k].update_normalizer(&obs[row.clone()]);
            self.state.transitions[k] += 1;
            let status = after.status[env];
            let end = if status == Status::Running { &next[row.clone()] } else { &last[row.clone()] };
            // In time also where time is then up for the skill that is next.
            let switched = status != Status::Terminated && self.skill_of(end) != k;
            r.status[env] = if switched { Status::Terminated } else { status };
            if r.status[env] == Status::Running {
                continue;
            }
            r.final_obs[row.clone()].copy_from_slice(end);
            let success = r.status[env] == Status::Terminated;
            self.state.success[k] += 0.02 * (f64::from(u8::from(success)) - self.state.success[k]);
            if success {
                self.state.beginnings[k].push(&self.state.start_obs[row.clone()]);
                self.state.endings[k].push(end);
            }
            self.state.start_obs[row.clone()].copy_from_slice(&next[row]);
        }
        if let Some(distance) = &mut self.distance {
            // Its trails run through the whole chain: only the environment's own endings cut them.
            distance.observe(next, last, after.status);
        }
        let seen = Frame { last: rlx::ColumnRef::F32(&r.final_obs), status: &r.status, ..after };
        r.replay.push(now, self.actions.get(), seen)
    }
}

impl Policy for Chain {
    fn act(&mut self, frame: Frame<'_>, rows: &[u32], mode: Mode, rng: &mut [Rng], out: ActionsMut<'_>) -> Result<()> {
        let ActionsMut::Continuous(out) = out else {
            return Err(Error::mismatch("actions asked of chain", self.setup.spec.act.describe(), "discrete ones"));
        };
        let width = self.setup.spec.obs.width();
        let mut obs = std::mem::take(&mut self.obs);
        obs.clear();
        for &row in rows {
            frame.obs.slice(row as usize * width..(row as usize + 1) * width).extend_f32(&mut obs);
        }
        let acted = self.act_by_skill(&obs, mode, rng, out);
        self.obs = obs;
        acted
    }
}

impl Checkpoint for Chain {
    fn save(&self, to: &mut SaveDir) -> Result<()> {
        for (k, networks) in self.skills.iter().enumerate() {
            networks.save(&format!("skill{k}."), to)?;
        }
        if let Some(distance) = &self.distance {
            distance.save(to)?;
        }
        let mut bytes = Vec::new();
        snapshot::put(&mut bytes, &self.state);
        snapshot::put(&mut bytes, &self.discriminators.iter().map(Discriminator::to_bytes).collect::<Vec<_>>());
        let mut frame = None;
        if let Some(r) = &self.running {
            r.replay.save(to)?;
            let mut tick = Vec::new();
            r.slab.save_tick(r.now, &mut tick);
            frame = Some(tick);
        }
        snapshot::put(&mut bytes, &frame);
        to.put("chain.bin", &bytes)
    }

    fn load(&mut self, from: &LoadDir) -> Result<()> {
        for (k, networks) in self.skills.iter_mut().enumerate() {
            networks.load(&format!("skill{k}."), from)?;
        }
        if let Some(distance) = &mut self.distance {
            distance.load(from)?;
        }
        let bytes = from.get("chain.bin")?;
        let mut rest = &bytes[..];
        let state: State = snapshot::take(&mut rest)?;
        let sizes = |s: &State| (s.rngs.len(), s.success.len(), s.start_obs.len());
        if sizes(&state) != sizes(&self.state) {
            let show = |s: &State| format!("{:?}", sizes(s));
            return Err(Error::mismatch(
                "saved chain (environments, skills, scalars)",
                show(&self.state),
                show(&state),
            ));
        }
        let discriminators: Vec<Vec<u8>> = snapshot::take(&mut rest)?;
        for (discriminator, bytes) in self.discriminators.iter_mut().zip(&discriminators) {
            discriminator.restore(bytes)?;
        }
        let frame: Option<Vec<u8>> = snapshot::get(rest)?;
        self.saved = match frame {
            Some(frame) => Some((frame, LoadDir::open(from.path())?)),
            None => None,
        };
        self.state = state;
        self.running = None;
        Ok(())
    }
}

#[cfg(test)]
mod tests;
