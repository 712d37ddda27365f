//! Worlds that are reset one by one, as Gymnasium asks: each is a vector of one, so that what `reset` does is the vector's own.
use crate::pool;
use rayon::prelude::*;
use rlx::{
    ActionBuffer, Actions, ActionsMut, Column, ColumnMut, Drawing, Element, Error, FrameMut, Judge, Result, Rng, Scalars, Space, Spec, Status, Table, Vector,
    World, snapshot,
};
use std::ops::Range;

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

/// A world and what is kept beside it.
struct Slot {
    vector: Box<dyn Vector>,
    /// Ticks of the running episode, where the limit is kept here.
    length: u32,
    phase: Phase,
    /// How the last step left the episode.
    status: Status,
    metrics: Option<Scalars>,
    drawing: Option<Drawing>,
}

/// Memory that a step writes. All of it has one entry a world, `obs` and `last` one row.
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
    world: World,
    config: Table,
    spec: Spec,
    limit: Option<u32>,
    filmed: bool,
    slots: Vec<Slot>,
    /// First views of episodes that wait to be asked for, `[n, width]`.
    next: Column,
    /// Final views of the episodes that ended in the last step, `[n, width]`.
    last: Column,
    mask: Vec<bool>,
    seat: Vec<u8>,
    pay: Vec<f32>,
    status: Vec<Status>,
    copied: u64,
    broken: bool,
}

/// What one stripe of the worlds works on.
struct Stripe<'a, T> {
    first: usize,
    slots: &'a mut [Slot],
    obs: &'a mut [T],
    next: &'a mut [T],
    last: &'a mut [T],
    mask: &'a mut [bool],
    seat: &'a mut [u8],
    pay: &'a mut [f32],
    status: &'a mut [Status],
    reward: &'a mut [f64],
    terminated: &'a mut [bool],
    truncated: &'a mut [bool],
    success: &'a mut [bool],
}

/// Where a world keeps its goal, and how it judges.
struct Goal {
    achieved: Range<usize>,
    desired: Range<usize>,
    judge: Judge,
}

/// What is the same for all worlds of a step.
struct Plan<'a, A> {
    actions: &'a [A],
    act: usize,
    width: usize,
    choices: usize,
    mode: Autoreset,
    limit: u32,
    filmed: bool,
    goal: Option<&'a Goal>,
    wrap: fn(&[A]) -> Actions<'_>,
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
        let make = || world.vector(&config, 1, 0);
        let slot = |vector| Slot {
            vector,
            length: 0,
            phase: Phase::New,
            status: Status::Running,
            metrics: None,
            drawing: None,
        };
        let first = make()?;
        let spec = first.spec().clone();
        if spec.players != 1 || spec.rows != 1 || spec.candidates.is_some() {
            return Err(Error::invalid(format!(
                "{} is a game of {} players and no single agent's environment",
                spec.name, spec.players
            )));
        }
        let mut slots = vec![slot(first)];
        for _ in 1..n {
            slots.push(slot(make()?));
        }
        let column = |n: usize| match slots[0].vector.slab(1).all_obs().to_column() {
            Column::F32(_) => f32::column(n),
            Column::U8(_) => u8::column(n),
            Column::I64(_) => i64::column(n),
        };
        let (rows, choices) = (n * spec.obs.width(), n * spec.act.choices());
        Ok(Self {
            next: column(rows),
            last: column(rows),
            mask: vec![true; choices],
            seat: vec![0; n],
            pay: vec![0.0; n],
            status: vec![Status::Running; n],
            copied: 0,
            broken: false,
            filmed: false,
            world: world.clone(),
            config,
            spec,
            limit,
            slots,
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
    pub fn metrics(&self) -> impl Iterator<Item = (usize, &Scalars)> {
        self.slots.iter().enumerate().filter_map(|(i, s)| Some((i, s.metrics.as_ref()?)))
    }
    /// The worlds whose episodes ended in the last step.
    pub fn ended(&self) -> impl Iterator<Item = usize> {
        self.slots.iter().enumerate().filter(|(_, s)| s.status != Status::Running).map(|(i, _)| i)
    }
    /// How many of them there are.
    pub fn finished(&self) -> usize {
        self.ended().count()
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
    /// When a world cannot be made again.
    pub fn reset(&mut self, only: Option<&[bool]>, seeds: Option<&[Option<u64>]>, obs: ColumnMut<'_>) -> Result<()> {
        let Self { slots, next, last, mask, seat, pay, status, world, config, spec, filmed, copied, .. } = self;
        let (width, choices) = (spec.obs.width(), spec.act.choices());
        let (mut obs, n) = (obs, next.len());
        let (mut next, mut last) = (next.slice_mut(0..n), last.slice_mut(0..n));
        for (i, slot) in slots.iter_mut().enumerate() {
            (slot.metrics, slot.status) = (None, Status::Running);
            if only.is_some_and(|o| !o[i]) {
                continue;
            }
            let row = i * width..(i + 1) * width;
            let seed = seeds.and_then(|s| s[i]);
            if let Some(seed) = seed {
                slot.vector = world.vector(config, 1, seed)?;
                if *filmed {
                    slot.vector.film();
                }
            }
            let waits = seed.is_none() && slot.phase == Phase::Ended;
            (slot.phase, slot.length, slot.drawing) = (Phase::Running, 0, None);
            if waits {
                *copied += copy(&mut obs, next.lend(), row);
                continue;
            }
            slot.vector.reset(FrameMut {
                obs: part(obs.lend(), row.clone()),
                last: part(last.lend(), row),
                mask: &mut mask[i * choices..(i + 1) * choices],
                seat: &mut seat[i..=i],
                reward: &mut pay[i..=i],
                status: &mut status[i..=i],
            });
        }
        Ok(())
    }

    /// Advances every world by its action: all in turn, or spread over the pool where there are enough of them.
    ///
    /// # Errors
    /// When an action is not one of the space, naming it; a world is told to go on that has ended; or a world cannot go on.
    pub fn step(&mut self, act: Actions<'_>, mode: Autoreset, out: Out<'_>) -> Result<()> {
        // Before any of them moves: an error leaves all worlds as they are.
        self.check(&act)?;
        let stands = |s: &Slot| s.phase == Phase::New || (s.phase == Phase::Ended && mode != Autoreset::Next);
        if let Some(i) = self.slots.iter().position(stands) {
            let why = if self.slots[i].phase == Phase::New { "no episode has begun" } else { "its episode has ended" };
            let whose = if self.slots.len() == 1 { String::new() } else { format!("environment {i}: ") };
            return Err(Error::invalid(format!("{whose}{why}: call reset first")));
        }
        match act {
            Actions::Discrete(ids) => self.step_with(ids, |a| Actions::Discrete(a), mode, out),
            Actions::Continuous(x) => self.step_with(x, |a| Actions::Continuous(a), mode, out),
        }
    }

    fn step_with<A: Element>(
        &mut self,
        actions: &[A],
        wrap: fn(&[A]) -> Actions<'_>,
        mode: Autoreset,
        out: Out<'_>,
    ) -> Result<()> {
        let goal = self.spec.goal.as_ref();
        let goal = goal.map(|g| Goal { achieved: g.achieved.clone(), desired: g.desired.clone(), judge: g.judge.clone() });
        let plan = Plan {
            actions,
            act: self.spec.act.width(),
            width: self.spec.obs.width(),
            choices: self.spec.act.choices(),
            mode,
            limit: self.limit.unwrap_or(u32::MAX),
            filmed: self.filmed,
            goal: goal.as_ref(),
            wrap,
        };
        let grain = self.spec.grain.max(1);
        let (slots, mask, seat) = (&mut self.slots[..], &mut self.mask[..], &mut self.seat[..]);
        let (pay, status) = (&mut self.pay[..], &mut self.status[..]);
        let Out { obs, reward, terminated, truncated, success } = out;
        macro_rules! with {
            ($obs:ident, $next:ident, $last:ident, $wrap:expr) => {{
                let all = Stripe {
                    first: 0,
                    slots,
                    obs: $obs,
                    next: $next,
                    last: $last,
                    mask,
                    seat,
                    pay,
                    status,
                    reward,
                    terminated,
                    truncated,
                    success,
                };
                spread(all, &plan, grain, $wrap)
            }};
        }
        let copied = match (obs, &mut self.next, &mut self.last) {
            (ColumnMut::F32(obs), Column::F32(next), Column::F32(last)) => with!(obs, next, last, |x| ColumnMut::F32(x)),
            (ColumnMut::U8(obs), Column::U8(next), Column::U8(last)) => with!(obs, next, last, |x| ColumnMut::U8(x)),
            _ => Err(Error::mismatch("memory for observations", "the world's type of scalars", "another")),
        }?;
        self.copied += copied;
        Ok(())
    }

    /// Checks that every action is of the space: a choice among its own, or finite and within the bounds.
    ///
    /// # Errors
    /// Naming the first that is not.
    fn check(&self, act: &Actions<'_>) -> Result<()> {
        let (width, n) = (self.spec.act.width(), self.slots.len());
        if act.len() != width * n {
            return Err(Error::mismatch("number of action scalars", (width * n).to_string(), act.len().to_string()));
        }
        let whose = |k: usize| if n == 1 { String::new() } else { format!(" of environment {}", k / width) };
        match (act, &self.spec.act) {
            (Actions::Discrete(ids), space) => {
                let sets = space.sets();
                let of = |k: usize| sets.get(k % width).copied().unwrap_or(0);
                match ids.iter().enumerate().find(|(k, id)| **id < 0 || **id >= of(*k) as i64) {
                    Some((k, id)) => {
                        let last = of(k).saturating_sub(1);
                        Err(Error::invalid(format!("action {id}{}: it must be from 0 to {last}", whose(k))))
                    }
                    None => Ok(()),
                }
            }
            (Actions::Continuous(x), Space::Box { low, high, .. }) => {
                let within = |k: usize, a: f32| {
                    let (low, high) = (low[k % width], high[k % width]);
                    // What a sum in floats may be off by.
                    let slack = 1e-6 * low.abs().max(high.abs()).min(1e6);
                    a.is_finite() && a >= low - slack && a <= high + slack
                };
                match x.iter().enumerate().find(|(k, a)| !within(*k, **a)) {
                    Some((k, a)) => {
                        let (low, high) = (low[k % width], high[k % width]);
                        let what = format!("action {a} (scalar {}{}): it must be a number", k % width, whose(k));
                        Err(Error::invalid(format!("{what} from {low} to {high}")))
                    }
                    None => Ok(()),
                }
            }
            _ => Err(Error::mismatch("actions", self.spec.act.describe(), "another kind")),
        }
    }

    /// What world `i` looks like now; the end of its episode until the next is asked for.
    pub fn draw(&self, i: usize) -> Option<Drawing> {
        let slot = &self.slots[i];
        if slot.phase == Phase::Ended { slot.drawing.clone() } else { slot.vector.draw(0) }
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
        let mut all = ActionBuffer::new(&self.spec.act, self.slots.len());
        let width = self.spec.act.width();
        for (i, slot) in self.slots.iter().enumerate() {
            let at = i * width..(i + 1) * width;
            let out = match &mut all {
                ActionBuffer::Discrete(a) => ActionsMut::Discrete(&mut a[at]),
                ActionBuffer::Continuous(a) => ActionsMut::Continuous(&mut a[at]),
            };
            slot.vector.bot(number, &[0], &mut [Rng::named(seed, "bot", i as u64)], out)?;
        }
        Ok(all)
    }

    /// Keeps how a world looked at the end of an episode from now on.
    pub fn film(&mut self) {
        self.filmed = true;
        self.slots.iter_mut().for_each(|s| s.vector.film());
    }

    /// Everything, so that [`Batch::load`] of it goes on bit for bit.
    pub fn save(&self) -> Vec<u8> {
        let mut out = Vec::new();
        snapshot::put(&mut out, &self.identity());
        snapshot::put(&mut out, &self.next);
        let mut state = Vec::new();
        for slot in &self.slots {
            state.clear();
            slot.vector.save(&mut state);
            snapshot::put(&mut out, &(slot.length, slot.phase, &state));
        }
        out
    }

    /// Takes over what [`Batch::save`] wrote.
    ///
    /// # Errors
    /// When the bytes are no such snapshot, or one of another world or other settings. All worlds are as they were then, unless one
    /// of their states is damaged.
    pub fn load(&mut self, mut bytes: &[u8]) -> Result<()> {
        let identity: String = snapshot::take(&mut bytes)?;
        if identity != self.identity() {
            return Err(Error::mismatch("snapshot", self.identity(), identity));
        }
        let next: Column = snapshot::take(&mut bytes)?;
        let same = std::mem::discriminant(&next) == std::mem::discriminant(&self.next) && next.len() == self.next.len();
        if !same {
            return Err(Error::invalid("snapshot: its views are of another size"));
        }
        let mut states = Vec::with_capacity(self.slots.len());
        for _ in 0..self.slots.len() {
            let state: (u32, Phase, Vec<u8>) = snapshot::take(&mut bytes)?;
            states.push(state);
        }
        if !bytes.is_empty() {
            return Err(Error::invalid(format!("snapshot: {} bytes left over", bytes.len())));
        }
        for (slot, (length, phase, state)) in self.slots.iter_mut().zip(states) {
            slot.vector.load(&state)?;
            (slot.length, slot.phase, slot.status) = (length, phase, Status::Running);
            (slot.metrics, slot.drawing) = (None, None);
        }
        self.next = next;
        Ok(())
    }

    /// What a snapshot is of.
    fn identity(&self) -> String {
        let config = serde_json::Value::Object(self.config.clone());
        format!("{} x {} {config}, limit {:?}", self.slots.len(), self.world.name, self.limit)
    }
}

fn part(column: ColumnMut<'_>, part: Range<usize>) -> ColumnMut<'_> {
    match column {
        ColumnMut::F32(x) => ColumnMut::F32(&mut x[part]),
        ColumnMut::U8(x) => ColumnMut::U8(&mut x[part]),
        ColumnMut::I64(x) => ColumnMut::I64(&mut x[part]),
    }
}

/// Copies a part of a column to the same part of another, and says how many bytes that were.
fn copy(to: &mut ColumnMut<'_>, from: ColumnMut<'_>, part: Range<usize>) -> u64 {
    match (to, from) {
        (ColumnMut::F32(to), ColumnMut::F32(from)) => copy_row(&mut to[part.clone()], &from[part]),
        (ColumnMut::U8(to), ColumnMut::U8(from)) => copy_row(&mut to[part.clone()], &from[part]),
        _ => 0,
    }
}

fn copy_row<T: Copy>(to: &mut [T], from: &[T]) -> u64 {
    to.copy_from_slice(from);
    size_of_val(to) as u64
}

/// Steps all worlds of a stripe: cut into smaller ones on the pool where that pays. The result does not depend on the cut.
fn spread<T: Element, A: Element>(
    all: Stripe<'_, T>,
    plan: &Plan<'_, A>,
    grain: usize,
    wrap: fn(&mut [T]) -> ColumnMut<'_>,
) -> Result<u64> {
    let n = all.slots.len();
    let pool = if n > grain { pool::pool()? } else { None };
    let Some(pool) = pool else { return step_stripe(all, plan, wrap) };
    // Four stripes a thread balance the load; more of them only cost.
    let k = grain.max(n.div_ceil(4 * pool.current_num_threads()));
    let (w, c) = (plan.width, plan.choices);
    let mut stripes = Vec::with_capacity(n.div_ceil(k));
    let mut rest = all;
    while !rest.slots.is_empty() {
        let k = k.min(rest.slots.len());
        macro_rules! cut {
            ($($field:ident: $size:expr),*) => {{
                $(let $field = rest.$field.split_at_mut($size);)*
                stripes.push(Stripe { first: rest.first, $($field: $field.0),* });
                rest = Stripe { first: rest.first + k, $($field: $field.1),* };
            }};
        }
        let goals = if rest.success.is_empty() { 0 } else { k };
        cut!(slots: k, obs: k * w, next: k * w, last: k * w, mask: k * c, seat: k, pay: k, status: k, reward: k,
             terminated: k, truncated: k, success: goals);
    }
    let done: Vec<Result<u64>> =
        pool.install(|| stripes.into_par_iter().map(|s| step_stripe(s, plan, wrap)).collect());
    done.into_iter().sum()
}

fn step_stripe<T: Element, A: Element>(
    s: Stripe<'_, T>,
    plan: &Plan<'_, A>,
    wrap: fn(&mut [T]) -> ColumnMut<'_>,
) -> Result<u64> {
    let (w, c, mut copied) = (plan.width, plan.choices, 0);
    for (i, slot) in s.slots.iter_mut().enumerate() {
        let number = s.first + i;
        let obs = &mut s.obs[i * w..(i + 1) * w];
        let next = &mut s.next[i * w..(i + 1) * w];
        let last = &mut s.last[i * w..(i + 1) * w];
        slot.metrics = None;
        let mut status = Status::Running;
        if slot.phase == Phase::Ended && plan.mode == Autoreset::Next {
            copied += copy_row(obs, next);
            (slot.phase, slot.drawing, s.reward[i]) = (Phase::Running, None, 0.0);
        } else {
            let frame = FrameMut {
                obs: wrap(&mut *obs),
                last: wrap(&mut *last),
                mask: &mut s.mask[i * c..(i + 1) * c],
                seat: &mut s.seat[i..=i],
                reward: &mut s.pay[i..=i],
                status: &mut s.status[i..=i],
            };
            let act = &plan.actions[number * plan.act..(number + 1) * plan.act];
            slot.vector.step((plan.wrap)(act), frame)?;
            s.reward[i] = f64::from(s.pay[i]);
            status = s.status[i];
            slot.length += 1;
            if status != Status::Running {
                let episodes = slot.vector.episodes();
                slot.metrics = episodes.metrics.pop();
                slot.drawing = episodes.drawings.pop().flatten();
                episodes.clear();
            } else if slot.length >= plan.limit {
                status = Status::Truncated;
                copied += copy_row(last, obs);
                slot.drawing = if plan.filmed { slot.vector.draw(0) } else { None };
                slot.vector.reset(FrameMut {
                    obs: wrap(&mut *obs),
                    last: wrap(&mut *next),
                    mask: &mut s.mask[i * c..(i + 1) * c],
                    seat: &mut s.seat[i..=i],
                    reward: &mut s.pay[i..=i],
                    status: &mut s.status[i..=i],
                });
            }
            if status != Status::Running {
                slot.length = 0;
                if plan.mode == Autoreset::Same {
                    slot.drawing = None;
                } else {
                    copied += copy_row(next, obs) + copy_row(obs, last);
                    slot.phase = Phase::Ended;
                }
            }
        }
        slot.status = status;
        (s.terminated[i], s.truncated[i]) = (status == Status::Terminated, status == Status::Truncated);
        if let (Some(goal), Some(success)) = (plan.goal, s.success.get_mut(i)) {
            let of = |part: &Range<usize>| T::lend(&obs[part.clone()]).f32();
            *success = (goal.judge)(of(&goal.achieved)?, of(&goal.desired)?).success;
        }
    }
    Ok(copied)
}
