//! Worlds that are reset one by one, as Gymnasium asks: a vector whose worlds sit ticks out and start apart.
use crate::{
    columns::{check, copy, copy_row, lent},
    pool,
};
use rlx::{
    ActionBuffer, Actions, Column, ColumnMut, ColumnRef, Drawing, Element, Error, FrameMut, Result, Rng, Scalars, Spec,
    Status, Table, Vector, World, snapshot,
};

/// When a world whose episode has ended starts the next (Gymnasium's `AutoresetMode`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Autoreset {
    /// In the step after, whose action is ignored and which pays nothing.
    Next,
    /// At once: the step's observation is the next episode's.
    Same,
    /// When it is told to.
    Disabled,
}

/// Where a world stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
enum Phase {
    /// No episode has begun.
    New,
    /// One runs.
    Running,
    /// One has ended, and the next, which the vector has begun, waits to be asked for.
    Ended,
}

/// Memory that a step writes. All of it has one entry a world, `obs` one row.
pub struct Out<'a> {
    /// What each world shows now.
    pub obs: ColumnMut<'a>,
    /// What it paid.
    pub reward: &'a mut [f64],
    /// Whether its episode ended by its own rules.
    pub terminated: &'a mut [bool],
    /// Whether its episode was cut off.
    pub truncated: &'a mut [bool],
    /// Whether the goal is reached in what `obs` shows, for worlds with a goal; empty for others.
    pub success: &'a mut [bool],
}

/// The worlds.
pub struct Batch {
    name: String,
    config: Table,
    vector: Box<dyn Vector>,
    spec: Spec,
    /// Ends episodes earlier than the worlds' own limit.
    limit: Option<u32>,
    filmed: bool,
    phase: Vec<Phase>,
    /// Ticks of the running episodes, where there is a limit of one's own.
    length: Vec<u32>,
    /// Which worlds sit the next step out: those whose phase is `Ended`.
    wait: Vec<bool>,
    waiting: usize,
    /// How the last step left the episodes.
    status: Vec<Status>,
    /// What worlds said of those that it ended.
    metrics: Vec<(usize, Scalars)>,
    /// How worlds looked at the end, until the next episode is asked for.
    drawings: Vec<Option<Drawing>>,
    /// First views of episodes that wait to be asked for, `[n, width]`.
    next: Column,
    /// Final views of the episodes that ended in the last step, `[n, width]`.
    last: Column,
    mask: Vec<bool>,
    seat: Vec<u8>,
    pay: Vec<f32>,
    copied: u64,
    broken: bool,
}

impl Batch {
    /// `n` worlds. `limit` ends an episode earlier than the world's own limit.
    ///
    /// # Errors
    /// When the config is not one of this world's, or the world is not for one player who sees rows.
    pub fn new(world: &World, config: Table, n: usize, limit: Option<u32>) -> Result<Self> {
        if n == 0 {
            return Err(Error::invalid("num_envs = 0: it must be at least 1"));
        }
        let vector = world.vector(&config, n, 0)?;
        let spec = vector.spec().clone();
        if spec.players != 1 || spec.rows != 1 || spec.candidates.is_some() {
            return Err(Error::invalid(format!(
                "{} is a game of {} players and no single agent's environment",
                spec.name, spec.players
            )));
        }
        let (rows, choices) = (n * spec.obs.width(), n * spec.act.choices());
        let column = || match vector.slab(1).all_obs() {
            ColumnRef::F32(_) => f32::column(rows),
            ColumnRef::U8(_) => u8::column(rows),
            ColumnRef::I64(_) => i64::column(rows),
        };
        Ok(Self {
            next: column(),
            last: column(),
            mask: vec![true; choices],
            seat: vec![0; n],
            pay: vec![0.0; n],
            status: vec![Status::Running; n],
            phase: vec![Phase::New; n],
            wait: vec![false; n],
            waiting: 0,
            length: vec![0; n],
            metrics: Vec::new(),
            drawings: vec![None; n],
            copied: 0,
            broken: false,
            filmed: false,
            name: world.name.clone(),
            config,
            vector,
            spec,
            limit,
        })
    }

    /// What the worlds are.
    pub fn spec(&self) -> &Spec {
        &self.spec
    }
    /// Whether an observation's scalars are bytes.
    pub fn bytes(&self) -> bool {
        matches!(self.next, Column::U8(_))
    }
    /// Bytes of observations that were copied from one place to another since the start, by this package.
    pub fn copied(&self) -> u64 {
        self.copied
    }
    /// Final views of the episodes that ended in the last step.
    pub fn last(&self) -> &Column {
        &self.last
    }
    /// Which choices are allowed, `[n, choices]`.
    pub fn mask(&self) -> &[bool] {
        &self.mask
    }
    /// What each world whose episode ended in the last step says of it.
    pub fn metrics(&self) -> &[(usize, Scalars)] {
        &self.metrics
    }
    /// The worlds whose episodes ended in the last step.
    pub fn ended(&self) -> impl Iterator<Item = usize> {
        self.status.iter().enumerate().filter(|(_, s)| **s != Status::Running).map(|(i, _)| i)
    }

    /// Marks the worlds as being worked on. What panics in between leaves the mark, for nobody knows what state it left.
    ///
    /// # Errors
    /// When they are marked.
    pub fn enter(&mut self) -> std::result::Result<(), &'static str> {
        if self.broken {
            return Err("this environment's world panicked before, and its state is not to be trusted: make a new one");
        }
        self.broken = true;
        Ok(())
    }
    /// Takes the mark away.
    pub fn leave(&mut self) {
        self.broken = false;
    }

    /// Starts episodes in the worlds that `only` names, or in all: afresh from `seeds[i]` where there is one, or else with the next
    /// of the world's own. Rows of other worlds are left as they are.
    ///
    /// # Errors
    /// When `obs` is of another type.
    pub fn reset(&mut self, only: Option<&[bool]>, seeds: &[Option<u64>], mut obs: ColumnMut<'_>) -> Result<()> {
        let (n, all) = (self.phase.len(), self.next.len());
        self.metrics.clear();
        self.status.fill(Status::Running);
        let begins = |i: usize| only.is_none_or(|o| o[i]);
        let which: Vec<bool> = (0..n).map(|i| begins(i) && !(self.wait[i] && seeds[i].is_none())).collect();
        let frame = FrameMut {
            obs: obs.lend(),
            last: self.last.slice_mut(0..all),
            mask: &mut self.mask,
            seat: &mut self.seat,
            reward: &mut self.pay,
            status: &mut self.status,
        };
        let vector = &mut self.vector;
        on_pool(self.spec.grain, n, || vector.reset_some(&which, seeds, frame))?;
        for i in (0..n).filter(|i| begins(*i)) {
            if !which[i] {
                self.copied += copy_row(&mut obs, &self.next, i, self.spec.obs.width());
            }
            self.begin(i);
        }
        Ok(())
    }

    /// World `i`'s episode is what is shown from now on.
    fn begin(&mut self, i: usize) {
        self.waiting -= usize::from(self.wait[i]);
        (self.phase[i], self.length[i], self.wait[i], self.drawings[i]) = (Phase::Running, 0, false, None);
    }

    /// Advances every world by its action, on the pool where there are enough of them. Returns how many episodes ended.
    ///
    /// # Errors
    /// When an action is not one of the space, naming it; a world is told to go on that has ended; or a world cannot go on.
    pub fn step(&mut self, act: Actions<'_>, mode: Autoreset, out: Out<'_>) -> Result<usize> {
        // Before any of them moves: an error leaves all worlds as they are.
        check(&act, &self.spec.act, self.phase.len())?;
        let stands = |p: &Phase| *p == Phase::New || (*p == Phase::Ended && mode != Autoreset::Next);
        if let Some(i) = self.phase.iter().position(stands) {
            let why = if self.phase[i] == Phase::New { "no episode has begun" } else { "its episode has ended" };
            let whose = if self.phase.len() == 1 { String::new() } else { format!("environment {i}: ") };
            return Err(Error::invalid(format!("{whose}{why}: call reset first")));
        }
        let Out { mut obs, reward, terminated, truncated, success } = out;
        let (n, all) = (self.phase.len(), self.next.len());
        let frame = FrameMut {
            obs: obs.lend(),
            last: self.last.slice_mut(0..all),
            mask: &mut self.mask,
            seat: &mut self.seat,
            reward: &mut self.pay,
            status: &mut self.status,
        };
        let (vector, wait, waiting) = (&mut self.vector, &self.wait, self.waiting);
        on_pool(self.spec.grain, n, || {
            if waiting == 0 { vector.step(act, frame) } else { vector.step_some(wait, act, frame) }
        })?;
        reward.iter_mut().zip(&self.pay).for_each(|(r, p)| *r = f64::from(*p));
        self.listen();
        if let Some(limit) = self.limit {
            self.cut_off(limit, obs.lend())?;
        }
        if waiting > 0 {
            for i in 0..n {
                if self.wait[i] {
                    self.copied += copy_row(&mut obs, &self.next, i, self.spec.obs.width());
                    self.begin(i);
                }
            }
        }
        let flags = terminated.iter_mut().zip(truncated).zip(&self.status);
        flags.for_each(|((t, c), s)| (*t, *c) = (*s == Status::Terminated, *s == Status::Truncated));
        let ended = self.status.iter().filter(|s| **s != Status::Running).count();
        if ended > 0 && mode != Autoreset::Same {
            self.keep_ends(obs.lend());
        }
        self.judge(&obs, success)?;
        Ok(ended)
    }

    /// Steps the worlds alone, as Rust's own loops do, by the rows of `act` in turn: what everything else here is measured against.
    ///
    /// # Errors
    /// As [`Batch::step`].
    pub fn alone(&mut self, act: Actions<'_>, ticks: usize) -> Result<()> {
        let mut slab = self.vector.slab(1);
        self.vector.reset(slab.frame_mut(0));
        let width = self.phase.len() * self.spec.act.width();
        let (rows, vector) = ((act.len() / width).max(1), &mut self.vector);
        on_pool(self.spec.grain, self.phase.len(), || {
            for t in 0..ticks {
                let row = t % rows * width..(t % rows + 1) * width;
                let act = match act {
                    Actions::Discrete(x) => Actions::Discrete(&x[row]),
                    Actions::Continuous(x) => Actions::Continuous(&x[row]),
                };
                vector.step(act, slab.frame_mut(0))?;
                vector.episodes().clear();
            }
            Ok(())
        })?;
        self.phase.fill(Phase::New);
        self.wait.fill(false);
        self.waiting = 0;
        Ok(())
    }

    /// Takes over what the worlds say of the episodes that a step ended.
    fn listen(&mut self) {
        self.metrics.clear();
        let episodes = self.vector.episodes();
        if episodes.is_empty() {
            return;
        }
        for (world, metrics) in episodes.worlds.iter().zip(episodes.metrics.drain(..)) {
            if !metrics.is_empty() {
                self.metrics.push((*world as usize, metrics));
            }
        }
        for (world, drawing) in episodes.worlds.iter().zip(episodes.drawings.drain(..)) {
            self.drawings[*world as usize] = drawing;
        }
        episodes.clear();
    }

    /// Ends the episodes that are as long as is allowed, and has their worlds begin the next.
    fn cut_off(&mut self, limit: u32, mut obs: ColumnMut<'_>) -> Result<()> {
        let (n, all, width) = (self.phase.len(), self.next.len(), self.spec.obs.width());
        for i in 0..n {
            let runs = self.status[i] == Status::Running && !self.wait[i];
            self.length[i] = if runs { self.length[i] + 1 } else { 0 };
        }
        let late: Vec<bool> = self.length.iter().map(|l| *l >= limit).collect();
        if !late.contains(&true) {
            return Ok(());
        }
        let mut status = self.status.clone();
        for i in (0..n).filter(|i| late[*i]) {
            self.copied += copy(&mut self.last.slice_mut(0..all), lent(&obs), i, width);
            (status[i], self.length[i]) = (Status::Truncated, 0);
            if self.filmed {
                self.drawings[i] = self.vector.draw(i);
            }
        }
        let frame = FrameMut {
            obs: obs.lend(),
            last: self.next.slice_mut(0..all),
            mask: &mut self.mask,
            seat: &mut self.seat,
            reward: &mut self.pay,
            status: &mut self.status,
        };
        self.vector.reset_some(&late, &vec![None; n], frame)?;
        self.status = status;
        Ok(())
    }

    /// Shows the ends of the episodes that ended, the beginnings of the next laid aside until they are asked for.
    fn keep_ends(&mut self, mut obs: ColumnMut<'_>) {
        let (width, all) = (self.spec.obs.width(), self.next.len());
        for i in 0..self.status.len() {
            if self.status[i] != Status::Running {
                self.copied += copy(&mut self.next.slice_mut(0..all), lent(&obs), i, width);
                self.copied += copy_row(&mut obs, &self.last, i, width);
                (self.phase[i], self.wait[i]) = (Phase::Ended, true);
                self.waiting += 1;
            }
        }
    }

    /// Whether each world's goal is reached in what it shows.
    fn judge(&self, obs: &ColumnMut<'_>, success: &mut [bool]) -> Result<()> {
        let Some(goal) = &self.spec.goal else { return Ok(()) };
        let rows = lent(obs).f32()?.chunks_exact(self.spec.obs.width());
        for (success, row) in success.iter_mut().zip(rows) {
            *success = (goal.judge)(&row[goal.achieved.clone()], &row[goal.desired.clone()]).success;
        }
        Ok(())
    }

    /// What world `i` looks like now; the end of its episode until the next is asked for.
    pub fn draw(&self, i: usize) -> Option<Drawing> {
        if self.wait[i] { self.drawings[i].clone() } else { self.vector.draw(i) }
    }

    /// What the world's own player of that number would do, an action for each world, drawing from `seed`.
    ///
    /// # Errors
    /// When there is no such player, naming those that there are.
    pub fn bot(&self, number: usize, seed: u64) -> Result<ActionBuffer> {
        if number >= self.spec.bots.len() {
            let there = self.spec.bots.join(", ");
            return Err(Error::invalid(format!("bot {number}: {} has [{there}]", self.spec.name)));
        }
        let n = self.phase.len() as u32;
        let mut all = ActionBuffer::new(&self.spec.act, n as usize);
        let mut rngs: Vec<Rng> = (0..n).map(|i| Rng::named(seed, "bot", u64::from(i))).collect();
        self.vector.bot(number, &(0..n).collect::<Vec<_>>(), &mut rngs, all.get_mut())?;
        Ok(all)
    }

    /// Keeps how a world looked at the end of an episode from now on.
    pub fn film(&mut self) {
        self.filmed = true;
        self.vector.film();
    }

    /// Everything, so that [`Batch::load`] of it goes on bit for bit.
    pub fn save(&self) -> Vec<u8> {
        let mut out = Vec::new();
        snapshot::put(&mut out, &(self.identity(), &self.next, &self.phase, &self.length, &self.mask));
        self.vector.save(&mut out);
        out
    }

    /// Takes over what [`Batch::save`] wrote.
    ///
    /// # Errors
    /// When the bytes are no such snapshot, or one of another world or other settings.
    pub fn load(&mut self, mut bytes: &[u8]) -> Result<()> {
        type Saved = (String, Column, Vec<Phase>, Vec<u32>, Vec<bool>);
        let (identity, next, phase, length, mask): Saved = snapshot::take(&mut bytes)?;
        if identity != self.identity() {
            return Err(Error::mismatch("snapshot", self.identity(), identity));
        }
        let kind = std::mem::discriminant::<Column>;
        let (n, sizes) = (self.phase.len(), (self.next.len(), self.mask.len(), self.phase.len()));
        if kind(&next) != kind(&self.next) || (next.len(), mask.len(), phase.len()) != sizes || length.len() != n {
            return Err(Error::invalid("snapshot: its views are of another size"));
        }
        self.vector.load(bytes)?;
        (self.next, self.phase, self.length, self.mask) = (next, phase, length, mask);
        self.wait = self.phase.iter().map(|p| *p == Phase::Ended).collect();
        self.waiting = self.wait.iter().filter(|w| **w).count();
        self.status.fill(Status::Running);
        self.drawings.fill(None);
        self.metrics.clear();
        Ok(())
    }

    /// What a snapshot is of.
    fn identity(&self) -> String {
        let config = serde_json::Value::Object(self.config.clone());
        format!("{} x {} {config}, limit {:?}", self.phase.len(), self.name, self.limit)
    }
}

/// Does it on this process' pool, where there are more worlds than one thread does in one go.
fn on_pool<R: Send>(grain: usize, n: usize, work: impl FnOnce() -> Result<R> + Send) -> Result<R> {
    match if n > grain { pool::pool()? } else { None } {
        Some(pool) => pool.install(work),
        None => work(),
    }
}
