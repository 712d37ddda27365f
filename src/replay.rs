//! Replay of past transitions for off-policy learners, with n-step returns and hindsight relabelling.
use crate::{
    ActionBuffer, Actions, Checkpoint, Column, ColumnRef, Error, Frame, Goal, LoadDir, Result, Rng, SaveDir, Slab,
    Spec, Status, snapshot,
};
use serde::{Deserialize, Serialize};
use std::ops::Range;

/// Which achieved goals stand in for the desired one (Andrychowicz et al., arXiv 1707.01495, section 4.5).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Strategy {
    /// One achieved later in the same episode, or now.
    Future,
    /// The last one of the episode.
    Final,
    /// Any of the episode.
    Episode,
}

/// Hindsight relabelling: `k` relabelled transitions for each one as it was.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Hindsight {
    /// Which goals.
    pub strategy: Strategy,
    /// How many for each as it was; the paper's best is 4.
    pub k: f64,
}

/// What a replay keeps and how it samples.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct ReplayConfig {
    /// Transitions kept, over all worlds; rounded up to whole chunks.
    pub capacity: usize,
    /// Steps summed into one return.
    pub n_step: usize,
    /// Discount of a step.
    pub gamma: f32,
    /// Relabelling, for worlds with goals.
    pub hindsight: Option<Hindsight>,
}

/// Chunks the ring is cut into for checkpoints: full ones are written once and shared by all checkpoints that have them.
const CHUNKS: usize = 16;

/// A ring of ticks, every tick a transition of each of `n` solo worlds.
pub struct Replay {
    config: ReplayConfig,
    spec: Spec,
    n: usize,
    ticks: usize, // of the ring
    pushed: u64,  // since the start
    obs: Column,  // [ticks, n, width]
    next: Column, // [ticks, n, width]: what the action led to, the final view where the episode ended
    act: ActionBuffer,
    reward: Vec<f32>,
    status: Vec<Status>,
    goal: Vec<f32>, // scratch
}

/// A minibatch, lent to be filled: the value of (obs, act) is to become `reward + discount * value(next)`.
#[derive(Clone, Debug, PartialEq)]
pub struct Batch {
    /// `[size, width]`.
    pub obs: Column,
    /// `[size, act width]`.
    pub act: ActionBuffer,
    /// Discounted sum of up to n rewards, `[size]`.
    pub reward: Vec<f32>,
    /// Where they led, `[size, width]`.
    pub next: Column,
    /// gamma^steps, 0 where the episode terminated: a time-out has a future, `[size]`.
    pub discount: Vec<f32>,
    /// Whether hindsight put another goal in the place of the episode's own, `[size]`.
    pub relabelled: Vec<bool>,
}

#[derive(Serialize, Deserialize)]
struct Manifest {
    world: String,
    n: u64,
    ticks: u64,
    width: u64,
    act: u64,
    pushed: u64,
}

/// A part of the ring as written: what each column has of it.
type Part = (u64, Column, Column, ActionBuffer, Vec<f32>, Vec<Status>);

fn copy(to: &mut Column, at: Range<usize>, from: ColumnRef<'_>) -> Result<()> {
    if to.slice_mut(at).copy_from(from) {
        Ok(())
    } else {
        Err(Error::mismatch("replayed observations", "the type and width of this replay", "another"))
    }
}

fn copy_actions(to: &mut ActionBuffer, at: Range<usize>, from: Actions<'_>) -> Result<()> {
    match (to, from) {
        (ActionBuffer::Discrete(to), Actions::Discrete(from)) if from.len() == at.len() => to[at].copy_from_slice(from),
        (ActionBuffer::Continuous(to), Actions::Continuous(from)) if from.len() == at.len() => {
            to[at].copy_from_slice(from)
        }
        _ => return Err(Error::mismatch("replayed actions", "one per world, of this space", "others")),
    }
    Ok(())
}

impl Replay {
    /// An empty one for `n` worlds, its memory taken now. `slab` is one of the worlds' vector: its columns' type is kept.
    ///
    /// # Errors
    /// When the world is not solo, the config has a zero in it, or hindsight is asked of a world without goals.
    pub fn new(config: ReplayConfig, spec: &Spec, n: usize, slab: &Slab) -> Result<Self> {
        if spec.rows != 1 || spec.players != 1 || spec.candidates.is_some() {
            return Err(Error::invalid(format!(
                "{}: a replay is for one player and a fixed set of actions",
                spec.name
            )));
        }
        if config.capacity == 0 || config.n_step == 0 || n == 0 {
            return Err(Error::invalid(format!(
                "replay: capacity {}, n-step {}, {n} worlds: each at least 1",
                config.capacity, config.n_step
            )));
        }
        if config.hindsight.is_some() {
            if spec.goal.is_none() && spec.skills.is_empty() {
                return Err(Error::invalid(format!("{} has no goals to relabel", spec.name)));
            }
            slab.all_obs().f32()?;
        }
        let ticks = config.capacity.div_ceil(n).div_ceil(CHUNKS).max(1) * CHUNKS;
        let width = spec.obs.width();
        let column = |len: usize| match slab.all_obs() {
            ColumnRef::F32(_) => Column::F32(vec![0.0; len]),
            ColumnRef::U8(_) => Column::U8(vec![0; len]),
            ColumnRef::I64(_) => Column::I64(vec![0; len]),
        };
        Ok(Self {
            config,
            n,
            ticks,
            pushed: 0,
            obs: column(ticks * n * width),
            next: column(ticks * n * width),
            act: ActionBuffer::new(&spec.act, ticks * n),
            reward: vec![0.0; ticks * n],
            status: vec![Status::Running; ticks * n],
            goal: Vec::new(),
            spec: spec.clone(),
        })
    }

    /// Transitions that are kept now.
    pub fn len(&self) -> usize {
        self.filled() as usize * self.n
    }
    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.pushed == 0
    }
    fn filled(&self) -> u64 {
        self.pushed.min(self.ticks as u64)
    }

    /// Adds a tick: what was seen, what was done, and the frame it led to.
    ///
    /// # Errors
    /// When the frames or actions are not of these worlds.
    pub fn push(&mut self, now: Frame<'_>, act: Actions<'_>, after: Frame<'_>) -> Result<()> {
        let (n, width, wide) = (self.n, self.spec.obs.width(), self.spec.act.width());
        let slot = (self.pushed % self.ticks as u64) as usize;
        let cells = slot * n * width..(slot + 1) * n * width;
        copy(&mut self.obs, cells.clone(), now.obs)?;
        copy(&mut self.next, cells, after.obs)?;
        copy_actions(&mut self.act, slot * n * wide..(slot + 1) * n * wide, act)?;
        self.reward[slot * n..(slot + 1) * n].copy_from_slice(after.reward);
        self.status[slot * n..(slot + 1) * n].copy_from_slice(after.status);
        for (world, status) in after.status.iter().enumerate() {
            if *status != Status::Running {
                let at = (slot * n + world) * width;
                copy(&mut self.next, at..at + width, after.last.slice(world * width..(world + 1) * width))?;
            }
        }
        self.pushed += 1;
        Ok(())
    }

    /// Room for a minibatch.
    pub fn batch(&self, size: usize) -> Batch {
        let width = self.spec.obs.width();
        let column = || match &self.obs {
            Column::F32(_) => Column::F32(vec![0.0; size * width]),
            Column::U8(_) => Column::U8(vec![0; size * width]),
            Column::I64(_) => Column::I64(vec![0; size * width]),
        };
        Batch {
            obs: column(),
            act: ActionBuffer::new(&self.spec.act, size),
            reward: vec![0.0; size],
            next: column(),
            discount: vec![0.0; size],
            relabelled: vec![false; size],
        }
    }

    fn cell(&self, tick: u64, world: usize) -> usize {
        (tick % self.ticks as u64) as usize * self.n + world
    }

    /// The last tick of the episode that `tick` is in, as far as it was recorded. A linear scan.
    fn episode_end(&self, tick: u64, world: usize) -> u64 {
        (tick..self.pushed - 1)
            .find(|t| self.status[self.cell(*t, world)] != Status::Running)
            .unwrap_or(self.pushed - 1)
    }

    /// The first tick of the episode that `tick` is in, as far as it is still kept. A linear scan.
    fn episode_start(&self, tick: u64, world: usize) -> u64 {
        let oldest = self.pushed - self.filled();
        (oldest..tick).rev().find(|t| self.status[self.cell(*t, world)] != Status::Running).map_or(oldest, |t| t + 1)
    }

    /// Fills a minibatch with transitions drawn uniformly from all that are kept.
    ///
    /// # Errors
    /// When there are none yet, or the batch is another replay's.
    pub fn sample(&mut self, rng: &mut Rng, out: &mut Batch) -> Result<()> {
        let goal = self.spec.goal.clone();
        self.sample_of(goal.as_ref(), |_| true, rng, out)
    }

    /// The same from those whose observations `keep` takes, with goals as `goal` has them: a skill's share of a chain's.
    ///
    /// # Errors
    /// As [`Replay::sample`]; and when none that is kept is of the kind.
    pub fn sample_of(
        &mut self,
        goal: Option<&Goal>,
        keep: impl Fn(ColumnRef<'_>) -> bool,
        rng: &mut Rng,
        out: &mut Batch,
    ) -> Result<()> {
        if self.is_empty() {
            return Err(Error::invalid("the replay is empty"));
        }
        let (width, wide) = (self.spec.obs.width(), self.spec.act.width());
        for k in 0..out.reward.len() {
            let wanted = |(tick, world)| {
                let at = self.cell(tick, world);
                keep(self.obs.slice(at * width..(at + 1) * width))
            };
            let oldest = self.pushed - self.filled();
            let mut draw = || (oldest + rng.below(self.filled() as usize) as u64, rng.below(self.n));
            let found = std::iter::repeat_with(&mut draw).take(1000).find(|at| wanted(*at));
            // The kind is rare: the first one after a cell that is drawn.
            let Some((tick, world)) = found.or_else(|| self.first_after(draw(), wanted)) else {
                return Err(Error::invalid("the replay has no transition of the kind that is asked for"));
            };
            let at = self.cell(tick, world);
            let relabelled = self.sample_hindsight_goal(goal, tick, world, rng);
            copy(&mut out.obs, k * width..(k + 1) * width, self.obs.slice(at * width..(at + 1) * width))?;
            copy_actions(&mut out.act, k * wide..(k + 1) * wide, self.act.slice(at * wide..(at + 1) * wide))?;
            let (reward, discount, last) = self.n_step_return(goal.filter(|_| relabelled), tick, world)?;
            copy(&mut out.next, k * width..(k + 1) * width, self.next.slice(last * width..(last + 1) * width))?;
            (out.reward[k], out.discount[k], out.relabelled[k]) = (reward, discount, relabelled);
            if let (true, Some(goal)) = (relabelled, goal) {
                for column in [&mut out.obs, &mut out.next] {
                    let desired = k * width + goal.desired.start..k * width + goal.desired.end;
                    copy(column, desired, ColumnRef::F32(&self.goal))?;
                }
            }
        }
        Ok(())
    }

    /// The first of the kept transitions, from `(tick, world)` on and round to it again, that is wanted.
    fn first_after(&self, (tick, world): (u64, usize), wanted: impl Fn((u64, usize)) -> bool) -> Option<(u64, usize)> {
        let (oldest, filled, n) = (self.pushed - self.filled(), self.filled(), self.n as u64);
        let begin = (tick - oldest) * n + world as u64;
        let at = |i: u64| (oldest + (begin + i) / n % filled, ((begin + i) % n) as usize);
        (0..filled * n).map(at).find(|at| wanted(*at))
    }

    /// Draws whether to relabel, and if so the goal, into the scratch.
    fn sample_hindsight_goal(&mut self, goal: Option<&Goal>, tick: u64, world: usize, rng: &mut Rng) -> bool {
        let (Some(hindsight), Some(goal)) = (self.config.hindsight, goal) else { return false };
        if rng.unit() >= hindsight.k / (hindsight.k + 1.0) {
            return false;
        }
        let end = self.episode_end(tick, world);
        let chosen = match hindsight.strategy {
            Strategy::Final => end,
            Strategy::Future => tick + rng.below((end - tick + 1) as usize) as u64,
            Strategy::Episode => {
                let start = self.episode_start(tick, world);
                start + rng.below((end - start + 1) as usize) as u64
            }
        };
        let at = self.cell(chosen, world) * self.spec.obs.width();
        self.goal.clear();
        self.next.slice(at + goal.achieved.start..at + goal.achieved.end).extend_f32(&mut self.goal);
        true
    }

    /// The discounted sum from `tick` on, by the drawn goal where `relabelled` says how it is judged; the discount of what follows, and
    /// the cell it leads to.
    fn n_step_return(&self, relabelled: Option<&Goal>, tick: u64, world: usize) -> Result<(f32, f32, usize)> {
        let (mut sum, mut discount, mut last) = (0.0, 1.0, 0);
        for t in tick..self.pushed.min(tick + self.config.n_step as u64) {
            last = self.cell(t, world);
            let (reward, status) = match relabelled {
                Some(goal) => {
                    let row = last * self.spec.obs.width();
                    let achieved = self.next.slice(row + goal.achieved.start..row + goal.achieved.end).f32()?;
                    let judged = (goal.judge)(achieved, &self.goal);
                    // A death that the old goal caused is none under the new one; the recording ends there all the same.
                    let status = match (judged.terminated, self.status[last]) {
                        (true, _) => Status::Terminated,
                        (false, Status::Running) => Status::Running,
                        (false, _) => Status::Truncated,
                    };
                    (judged.reward, status)
                }
                None => (self.reward[last], self.status[last]),
            };
            sum += discount * reward;
            discount *= self.config.gamma;
            match status {
                Status::Running => {}
                Status::Truncated => break,
                Status::Terminated => return Ok((sum, 0.0, last)),
            }
        }
        Ok((sum, discount, last))
    }

    /// The part of the ring from tick `from` up to, not including, tick `to`, both of one chunk.
    fn part(&self, from: u64, to: u64) -> Part {
        let (start, end) = (self.cell(from, 0), self.cell(to - 1, 0) + self.n);
        let (width, wide) = (self.spec.obs.width(), self.spec.act.width());
        (
            from,
            self.obs.slice(start * width..end * width).to_column(),
            self.next.slice(start * width..end * width).to_column(),
            self.act.slice(start * wide..end * wide).to_buffer(),
            self.reward[start..end].to_vec(),
            self.status[start..end].to_vec(),
        )
    }

    /// The chunks that have something: (name, from, to, whether it is full and so never changes again).
    fn chunks(&self) -> Vec<(String, u64, u64, bool)> {
        let chunk = (self.ticks / CHUNKS) as u64;
        let oldest = self.pushed - self.filled();
        let parts = (oldest / chunk..self.pushed.div_ceil(chunk)).map(|c| {
            let (from, to) = ((c * chunk).max(oldest), ((c + 1) * chunk).min(self.pushed));
            (format!("replay-{from:012}-{to:012}.bin"), from, to, to - from == chunk)
        });
        parts.collect()
    }
}

impl Checkpoint for Replay {
    fn save(&self, to: &mut SaveDir) -> Result<()> {
        for (name, from, end, full) in self.chunks() {
            if !(full && to.reuse(&name)?) {
                let mut bytes = Vec::new();
                snapshot::put(&mut bytes, &self.part(from, end));
                to.put(&name, &bytes)?;
            }
        }
        let (width, act) = (self.spec.obs.width() as u64, self.spec.act.width() as u64);
        let world = self.spec.name.clone();
        let manifest = Manifest { world, n: self.n as u64, ticks: self.ticks as u64, width, act, pushed: self.pushed };
        let mut bytes = Vec::new();
        snapshot::put(&mut bytes, &manifest);
        to.put("replay.bin", &bytes)
    }

    fn load(&mut self, from: &LoadDir) -> Result<()> {
        let manifest: Manifest = snapshot::get(&from.get("replay.bin")?)?;
        let (width, wide) = (self.spec.obs.width(), self.spec.act.width());
        let own = (self.n as u64, self.ticks as u64, width as u64, wide as u64);
        let found = (manifest.n, manifest.ticks, manifest.width, manifest.act);
        if found != own {
            return Err(Error::mismatch("replay (worlds, ticks, widths)", format!("{own:?}"), format!("{found:?}")));
        }
        if manifest.world != self.spec.name {
            return Err(Error::mismatch("replay's world", &self.spec.name, manifest.world));
        }
        self.pushed = manifest.pushed;
        for (name, start, end, _) in self.chunks() {
            let (tick, obs, next, act, reward, status): Part = snapshot::get(&from.get(&name)?)?;
            let (first, cells) = (self.cell(start, 0), (end - start) as usize * self.n);
            if tick != start || reward.len() != cells || status.len() != cells {
                return Err(Error::corrupt(from.path().join(&name), "it is of other ticks than its name says"));
            }
            copy(&mut self.obs, first * width..(first + cells) * width, obs.slice(0..obs.len()))?;
            copy(&mut self.next, first * width..(first + cells) * width, next.slice(0..next.len()))?;
            copy_actions(&mut self.act, first * wide..(first + cells) * wide, act.get())?;
            self.reward[first..first + cells].copy_from_slice(&reward);
            self.status[first..first + cells].copy_from_slice(&status);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
