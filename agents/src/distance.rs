//! Distances between states, learnt from how many transitions lie between them, and the auxiliary rewards made of them: TDRP (arXiv
//! 2402.07412) and what it is compared with, behind one interface that off-policy learners and PPO share.
//!
//! A learner hands every time step over (`observe`), lets the distance learn now and then (`learn`), and has its
//! rewards shaped (`shape`). TDRP's text leaves open: networks, losses and scales. This project's choices are in
//! docs/tdrp.md and beside the code.
use rlx::{Error, Goal, LoadDir, Result, Rng, SaveDir, Scalars, Spec, Status, snapshot};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::ops::Range;

pub(crate) mod embedding;
mod trails;
use embedding::{Embedding, Part, Shape};
use trails::Trails;

/// How the distance is learnt.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Method {
    /// Not at all.
    #[default]
    None,
    /// Contrastively: the distance in an embedding ranks as the number of transitions does (TDRP, arXiv 2402.07412).
    Tdrp,
    /// By regression on the number of transitions (DDL, arXiv 1907.08225).
    Ddl,
    /// As a quasimetric, as large as it can be where a step is at most 1 (QRL, arXiv 2304.01203).
    Qrl,
    /// In the eigenfunctions of the graph Laplacian (arXiv 1810.04586).
    Laplacian,
}

/// What becomes of the distance.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Form {
    /// A potential's difference, which changes no best policy (Ng et al. 1999).
    #[default]
    Potential,
    /// The distance itself is subtracted, as a share of the horizon.
    Raw,
}

/// Keys of the auxiliary reward, which stand among those of a learner.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct Config {
    /// The auxiliary reward: how the distance to the goal is learnt.
    pub auxiliary: Method,
    /// What becomes of the distance.
    pub auxiliary_form: Form,
    /// Weight of the auxiliary reward.
    #[schemars(range(min = 0.0, max = 1e6))]
    pub auxiliary_scale: f64,
    /// Widths of the embedding's hidden layers.
    #[schemars(inner(range(min = 1, max = 8192)))]
    pub auxiliary_hidden: Vec<usize>,
    /// Width of the embedding.
    #[schemars(range(min = 2, max = 4096))]
    pub auxiliary_width: usize,
    /// Step size of Adam for the embedding.
    #[schemars(range(min = 1e-8, max = 1.0))]
    pub auxiliary_rate: f64,
    /// How much of itself the average of the embedding's parameters keeps at each of its updates, but no more than n / (n + 10) at the
    /// n-th. Distances are taken from the average, for rewards that change from update to update are hard to follow; 0 takes the latest.
    #[schemars(range(min = 0.0, max = 0.9999))]
    pub auxiliary_average: f64,
    /// Updates of the learner for each one of the embedding.
    #[schemars(range(min = 1, max = 100_000))]
    pub auxiliary_every: u64,
    /// Most transitions between two states that are compared.
    #[schemars(range(min = 1, max = 100_000))]
    pub auxiliary_horizon: usize,
    /// States that are kept for it.
    #[schemars(range(min = 100))]
    pub auxiliary_buffer: usize,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            auxiliary: Method::None,
            auxiliary_form: Form::Potential,
            auxiliary_scale: 1.0,
            auxiliary_hidden: vec![128, 128],
            auxiliary_width: 32,
            auxiliary_rate: 1e-3,
            auxiliary_average: 0.995,
            auxiliary_every: 4,
            auxiliary_horizon: 50,
            auxiliary_buffer: 100_000,
        }
    }
}

impl Config {
    /// Whether it can be had in such an environment.
    pub(crate) fn check(&self, spec: &Spec) -> std::result::Result<(), String> {
        if self.auxiliary != Method::None && spec.goal.is_none() && spec.skills.is_empty() {
            return Err(
                "the auxiliary reward is a distance to the goal, and the environment has none: --set auxiliary=none"
                    .into(),
            );
        }
        Ok(())
    }
}

/// Which scalars of a row describe the state, and which what is to be reached.
#[derive(Clone, Debug)]
struct Parts {
    state: Vec<usize>,
    achieved: Vec<usize>,
    desired: Vec<usize>,
}

impl Parts {
    /// Of an environment with a goal: what is to be reached are achieved goals.
    fn of_goal(width: usize, goal: &Goal) -> Self {
        let state = (0..width).filter(|i| !goal.desired.contains(i)).collect();
        Self { state, achieved: goal.achieved.clone().collect(), desired: goal.desired.clone().collect() }
    }
    /// Of a chain of skills: what is to be reached are whole states.
    fn of_chain(spec: &Spec) -> Self {
        let skill: Vec<Range<usize>> =
            spec.fields.iter().filter(|f| f.name == "skill").map(|f| f.range.clone()).collect();
        let is_goal = |i: &usize| spec.skills.iter().any(|s| s.goal.desired.contains(i));
        let is_skill = |i: &usize| skill.iter().any(|r| r.contains(i));
        let state: Vec<usize> = (0..spec.obs.width()).filter(|i| !is_goal(i) && !is_skill(i)).collect();
        Self { achieved: state.clone(), desired: state.clone(), state }
    }
}

impl Parts {
    fn of(&self, part: Part) -> &[usize] {
        match part {
            Part::State => &self.state,
            Part::Target => &self.achieved,
        }
    }
}

fn gather(rows: &[f32], width: usize, part: &[usize], to: &mut Vec<f32>) {
    to.clear();
    rows.chunks_exact(width).for_each(|row| to.extend(part.iter().map(|&i| row[i])));
}

/// A learnt distance and the reward made of it.
pub(crate) struct Auxiliary {
    config: Config,
    gamma: f32,
    width: usize,
    goal: Option<Goal>,
    parts: Parts,
    trails: Trails,
    embedding: Embedding,
    rng: Rng,
    row: Vec<f32>,
    scratch: [Vec<f32>; 2],
    distances: [Vec<f32>; 2],
    loss: (f64, u64),
}

impl Auxiliary {
    /// None where none is asked for.
    ///
    /// # Errors
    /// When its networks cannot be made.
    pub fn new(config: &Config, spec: &Spec, worlds: usize, gamma: f64, seed: u64) -> Result<Option<Self>> {
        if config.auxiliary == Method::None {
            return Ok(None);
        }
        let width = spec.obs.width();
        let parts = match &spec.goal {
            Some(goal) => Parts::of_goal(width, goal),
            None => Parts::of_chain(spec),
        };
        let (state, target) = (parts.state.len(), parts.achieved.len());
        let shape = Shape { state, target, whole: spec.goal.is_none() };
        Ok(Some(Self {
            embedding: Embedding::new(config, shape, seed)?,
            trails: Trails::new(config.auxiliary_buffer, worlds, width),
            rng: Rng::named(seed, "auxiliary", 0),
            gamma: gamma as f32,
            config: config.clone(),
            width,
            goal: spec.goal.clone(),
            parts,
            row: Vec::new(),
            scratch: Default::default(),
            distances: Default::default(),
            loss: (0.0, 0),
        }))
    }

    /// Learner's updates between two of its own.
    pub fn every(&self) -> u64 {
        self.config.auxiliary_every
    }

    /// A time step of all environments: the observations it led to, `[envs, width]`, how it left the episodes, and the final observations
    /// where they ended.
    pub fn observe(&mut self, next_obs: &[f32], final_obs: &[f32], status: &[Status]) {
        self.row.clear();
        self.row.extend_from_slice(next_obs);
        let rows = self.row.chunks_exact_mut(self.width).zip(final_obs.chunks_exact(self.width));
        for ((row, final_obs), status) in rows.zip(status) {
            if *status != Status::Running {
                row.copy_from_slice(final_obs);
            }
        }
        self.trails.push(&self.row, status);
        gather(&self.row, self.width, &self.parts.state, &mut self.scratch[0]);
        gather(&self.row, self.width, &self.parts.achieved, &mut self.scratch[1]);
        self.embedding.update_normalizers(&self.scratch[0], &self.scratch[1]);
    }

    /// One update, if there is anything to learn from.
    ///
    /// # Errors
    /// When its loss is not finite.
    pub fn learn(&mut self) -> Result<()> {
        let Self { trails, embedding, rng, parts, config, .. } = self;
        let sizes = (embedding.anchors(), embedding.targets());
        let there: &dyn Fn(&[f32], &[f32]) -> bool = match &self.goal {
            Some(goal) => &|a, b| (goal.judge)(&a[goal.achieved.clone()], &b[goal.achieved.clone()]).success,
            None => &|_, _| false,
        };
        let Some(pairs) = trails.sample(rng, sizes, config.auxiliary_horizon, there) else { return Ok(()) };
        let width = self.width;
        let loss = embedding.learn(&pairs, |rows, part, to| gather(rows, width, parts.of(part), to))?;
        if !loss.is_finite() {
            let step = self.embedding.updates();
            return Err(Error::NonFinite { what: "loss of the auxiliary distance".into(), step });
        }
        self.loss = (self.loss.0 + loss, self.loss.1 + 1);
        Ok(())
    }

    /// Estimated transitions from each row of observations, `[rows, width]`, to its own desired goal.
    ///
    /// # Errors
    /// When the networks cannot be read.
    pub fn goal_distances(&mut self, obs: &[f32], to: &mut Vec<f32>) -> Result<()> {
        let [state, target] = &mut self.scratch;
        gather(obs, self.width, self.parts.of(self.embedding.of()), state);
        gather(obs, self.width, &self.parts.desired, target);
        self.embedding.distances(state, target, to)?;
        if let (Method::Tdrp, Some(goal)) = (self.config.auxiliary, &self.goal) {
            // What is achieved already is no pair that the embedding learns from.
            for (row, to) in obs.chunks_exact(self.width).zip(to) {
                if (goal.judge)(&row[goal.achieved.clone()], &row[goal.desired.clone()]).success {
                    *to = 0.0;
                }
            }
        }
        Ok(())
    }

    /// Estimated transitions from each row of observations to the nearest of `set`, `[at least 1, width]`.
    ///
    /// # Errors
    /// When the networks cannot be read.
    pub fn set_distances(&mut self, obs: &[f32], set: &[f32], to: &mut Vec<f32>) -> Result<()> {
        to.clear();
        if obs.is_empty() {
            // Most batches have no row that asks: the set need not be embedded for them.
            return Ok(());
        }
        let [state, target] = &mut self.scratch;
        gather(obs, self.width, self.parts.of(self.embedding.of()), state);
        gather(set, self.width, &self.parts.achieved, target);
        self.embedding.nearest(state, target, to)
    }

    /// Phi: minus what the way costs where a step costs 1, discounted: bounded whatever the network says.
    pub fn potential(&self, distance: f32) -> f32 {
        let steps = distance.max(0.0);
        let cost = if self.gamma < 1.0 { (1.0 - self.gamma.powf(steps)) / (1.0 - self.gamma) } else { steps };
        -self.config.auxiliary_scale as f32 * cost
    }

    /// Adds the auxiliary reward to that of transitions from `obs` to `next`, `[rows, width]`, whose futures count `discount` (0 where
    /// the episode terminated, so that the last potential is 0).
    ///
    /// # Errors
    /// When the networks cannot be read.
    pub fn shape(&mut self, obs: &[f32], next: &[f32], discount: &[f32], reward: &mut [f32]) -> Result<()> {
        let [mut now, mut then] = std::mem::take(&mut self.distances);
        self.goal_distances(next, &mut then)?;
        match self.config.auxiliary_form {
            Form::Potential => {
                self.goal_distances(obs, &mut now)?;
                for (((r, discount), now), then) in reward.iter_mut().zip(discount).zip(&now).zip(&then) {
                    *r += discount * self.potential(*then) - self.potential(*now);
                }
            }
            Form::Raw => {
                let weight = self.config.auxiliary_scale as f32 / self.config.auxiliary_horizon as f32;
                reward.iter_mut().zip(&then).for_each(|(r, d)| *r -= weight * d);
            }
        }
        self.distances = [now, then];
        Ok(())
    }

    /// The averages since the last report.
    pub fn report(&mut self, log: &mut Scalars) {
        let (sum, n) = std::mem::take(&mut self.loss);
        if n > 0 {
            log.put("losses/auxiliary_loss", sum / n as f64);
            log.put("losses/auxiliary_scale", self.embedding.scale());
        }
    }

    pub fn save(&self, to: &mut SaveDir) -> Result<()> {
        let mut bytes = Vec::new();
        snapshot::put(&mut bytes, &self.rng);
        snapshot::put(&mut bytes, &self.trails);
        self.embedding.save(&mut bytes)?;
        to.put("auxiliary.bin", &bytes)
    }

    pub fn load(&mut self, from: &LoadDir) -> Result<()> {
        let bytes = from.get("auxiliary.bin")?;
        let mut rest = &bytes[..];
        self.rng = snapshot::take(&mut rest)?;
        let trails: Trails = snapshot::take(&mut rest)?;
        if !trails.fits(&self.trails) {
            return Err(Error::corrupt(from.path().join("auxiliary.bin"), "its states are of another environment"));
        }
        self.trails = trails;
        self.embedding.load(rest)
    }
}

#[cfg(test)]
mod tests;
