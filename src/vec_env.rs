//! Worlds of one type, stepped side by side.
use crate::{
    Actions, ActionsMut, Column, Drawing, Element, Env, Episodes, Error, Frame, FrameMut, Objective, Oracle, Ragged,
    Result, Rng, Slab, Spec, Status, Vector, View, snapshot,
};
use rayon::prelude::*;

mod slot;
use slot::Slot;

/// Appends one world's legal moves: feature rows, and how many each acting row has.
type Candidates<O> = (Vec<O>, Vec<u32>);

/// Worlds of one type, stepped on the current rayon pool when there are enough of them.
pub struct VecEnv<E: Env> {
    spec: Spec,
    slots: Vec<Slot<E>>,
    returns: Vec<f64>, // [n, players], of the running episodes
    episodes: Episodes,
    grain: usize,
    rows: Vec<E::Obs>, // candidates' feature rows
    counts: Vec<u32>,
    offsets: Vec<u32>,
    hidden: Column, // [n, hidden_width]
    reveal: Option<Reveal<E>>,
}

/// How hidden state is read, kept as a function so that only who names [`Oracle`] can install it.
struct Reveal<E: Env> {
    width: usize,
    read: fn(&E, &mut [E::Obs]),
}

/// What the worlds of one stripe of a batch write.
struct Stripe<'a, E: Env> {
    first: usize,
    slots: &'a mut [Slot<E>],
    returns: &'a mut [f64],
    obs: &'a mut [E::Obs],
    last: &'a mut [E::Obs],
    mask: &'a mut [bool],
    seat: &'a mut [u8],
    reward: &'a mut [f32],
    status: &'a mut [Status],
}

impl<E: Env> VecEnv<E> {
    /// `n` worlds that `make` makes, world i drawing from stream i of `seed`.
    ///
    /// # Panics
    /// If `n` is 0.
    pub fn new(n: usize, seed: u64, make: impl Fn() -> E) -> Self {
        assert!(n > 0, "a batch needs at least one world");
        let slot = |i| Slot { env: make(), rng: Rng::named(seed, "world", i as u64), length: 0, filmed: false };
        let slots: Vec<_> = (0..n).map(slot).collect();
        let spec = slots[0].env.spec();
        Self {
            returns: vec![0.0; n * spec.players],
            grain: spec.grain.max(1),
            slots,
            spec,
            episodes: Episodes::default(),
            rows: Vec::new(),
            counts: Vec::new(),
            offsets: Vec::new(),
            hidden: E::Obs::column(0),
            reveal: None,
        }
    }

    /// Worlds per task, at least: batches of more are spread over the rayon pool. Small for worlds with costly steps. Default: [`Spec::grain`].
    pub fn grain(mut self, worlds: usize) -> Self {
        self.grain = worlds.max(1);
        self
    }

    /// Opens the door to hidden state: [`Vector::privileged`] then has it on every tick.
    pub fn with_oracle(mut self) -> Self
    where
        E: Oracle,
    {
        let width = self.slots[0].env.hidden_width();
        self.hidden = E::Obs::column(width * self.slots.len());
        self.reveal = Some(Reveal { width, read: E::reveal });
        self
    }

    /// Does `work` on every world: in place when there is one stripe, on the rayon pool otherwise. Episodes and errors are
    /// gathered in the order of the worlds, so that nothing depends on the thread count.
    fn each(
        &mut self,
        out: FrameMut<'_>,
        work: impl Fn(Stripe<'_, E>, &Spec, &mut Episodes) -> Result<()> + Sync,
    ) -> Result<()> {
        let Self { spec, slots, returns, episodes, .. } = self;
        let (rows, players, width, choices) = (spec.rows, spec.players, spec.obs.width(), spec.act.choices());
        let wrong = || Error::mismatch("frame of another observation type", std::any::type_name::<E::Obs>(), "another");
        let obs = E::Obs::of_mut(out.obs).ok_or_else(wrong)?;
        let last = E::Obs::of_mut(out.last).ok_or_else(wrong)?;
        let all = Stripe {
            first: 0,
            slots,
            returns,
            obs,
            last,
            mask: out.mask,
            seat: out.seat,
            reward: out.reward,
            status: out.status,
        };
        // Four stripes a thread balance the load; more of them only cost.
        let grain = self.grain.max(all.slots.len().div_ceil(4 * rayon::current_num_threads()));
        if all.slots.len() <= grain || rayon::current_num_threads() == 1 {
            return work(all, spec, episodes);
        }
        let mut stripes = Vec::with_capacity(all.slots.len().div_ceil(grain));
        let mut rest = all;
        while !rest.slots.is_empty() {
            let k = grain.min(rest.slots.len());
            let (slots, s) = rest.slots.split_at_mut(k);
            let (returns, r) = rest.returns.split_at_mut(k * players);
            let (obs, o) = rest.obs.split_at_mut(k * rows * width);
            let (last, l) = rest.last.split_at_mut(k * rows * width);
            let (mask, m) = rest.mask.split_at_mut(k * rows * choices);
            let (seat, e) = rest.seat.split_at_mut(k * rows);
            let (reward, p) = rest.reward.split_at_mut(k * players);
            let (status, u) = rest.status.split_at_mut(k);
            stripes.push(Stripe { first: rest.first, slots, returns, obs, last, mask, seat, reward, status });
            rest = Stripe {
                first: rest.first + k,
                slots: s,
                returns: r,
                obs: o,
                last: l,
                mask: m,
                seat: e,
                reward: p,
                status: u,
            };
        }
        let done: Vec<_> = stripes
            .into_par_iter()
            .map(|stripe| {
                let mut ended = Episodes::default();
                work(stripe, spec, &mut ended).map(|()| ended)
            })
            .collect();
        for ended in done {
            episodes.append(&mut ended?);
        }
        Ok(())
    }

    /// Asks the worlds for what a tick offers beside its rows: candidates and hidden state.
    fn gather(&mut self) {
        if self.spec.candidates.is_some() {
            self.rows.clear();
            self.counts.clear();
            if self.slots.len() <= self.grain || rayon::current_num_threads() == 1 {
                for slot in &self.slots {
                    slot.env.candidates(&mut self.rows, &mut self.counts);
                }
            } else {
                let parts: Vec<Candidates<E::Obs>> = self
                    .slots
                    .par_chunks_mut(self.grain)
                    .map(|slots| {
                        let mut part = (Vec::new(), Vec::new());
                        slots.iter().for_each(|s| s.env.candidates(&mut part.0, &mut part.1));
                        part
                    })
                    .collect();
                for (rows, counts) in parts {
                    self.rows.extend_from_slice(&rows);
                    self.counts.extend_from_slice(&counts);
                }
            }
            self.offsets.clear();
            self.offsets.push(0);
            let mut total = 0;
            self.offsets.extend(self.counts.iter().map(|c| {
                total += c;
                total
            }));
        }
        if let Some(Reveal { width, read }) = self.reveal {
            let n = self.hidden.len();
            let hidden = E::Obs::of_mut(self.hidden.slice_mut(0..n)).expect("made of this type");
            for (slot, out) in self.slots.iter().zip(hidden.chunks_mut(width.max(1))) {
                read(&slot.env, out);
            }
        }
    }
}

impl<E: Env> Clone for Reveal<E> {
    fn clone(&self) -> Self {
        *self
    }
}
impl<E: Env> Copy for Reveal<E> {}

/// A slice that was checked against the batch's sizes on entry, cut for world `i`.
#[inline(always)]
fn cut<T>(all: &mut [T], i: usize, k: usize) -> &mut [T] {
    &mut all[i * k..(i + 1) * k]
}

/// The next world's `k` elements, cut off the front.
#[inline(always)]
fn next<'a, T>(rest: &mut &'a mut [T], k: usize) -> &'a mut [T] {
    rest.split_off_mut(..k).expect("checked against the batch's sizes on entry")
}

impl<E: Env> Vector for VecEnv<E> {
    fn spec(&self) -> &Spec {
        &self.spec
    }

    fn len(&self) -> usize {
        self.slots.len()
    }

    fn slab(&self, ticks: usize) -> Slab {
        Slab::new(&self.spec, self.slots.len(), ticks, E::Obs::column)
    }

    fn reset(&mut self, out: FrameMut<'_>) {
        let done = self.each(out, |s, spec, _| {
            let (rows, players, width, choices) = (spec.rows, spec.players, spec.obs.width(), spec.act.choices());
            s.mask.fill(true);
            s.seat.fill(0);
            s.reward.fill(0.0);
            s.status.fill(Status::Running);
            s.returns[..s.slots.len() * players].fill(0.0);
            for (i, slot) in s.slots.iter_mut().enumerate() {
                slot.length = 0;
                let view = View {
                    obs: cut(s.obs, i, rows * width),
                    mask: cut(s.mask, i, rows * choices),
                    seat: cut(s.seat, i, rows),
                };
                slot.env.reset(&mut slot.rng, view);
            }
            Ok(())
        });
        // A frame of another type is the only error, and it comes from another vector's slab: a bug of the caller.
        done.expect("the frame comes from this vector's slab");
        self.gather();
    }

    fn step(&mut self, act: Actions<'_>, out: FrameMut<'_>) -> Result<()> {
        self.advance::<false>(&[], act, out)
    }

    fn step_some(&mut self, wait: &[bool], act: Actions<'_>, out: FrameMut<'_>) -> Result<()> {
        self.one_each("flags", wait.len())?;
        self.advance::<true>(wait, act, out)
    }

    fn reset_some(&mut self, which: &[bool], seeds: &[Option<u64>], out: FrameMut<'_>) -> Result<()> {
        self.one_each("flags", which.len())?;
        self.one_each("seeds", seeds.len())?;
        self.each(out, |s, spec, _| {
            let (rows, players, width, choices) = (spec.rows, spec.players, spec.obs.width(), spec.act.choices());
            for (i, slot) in s.slots.iter_mut().enumerate().filter(|(i, _)| which[s.first + i]) {
                if let Some(seed) = seeds[s.first + i] {
                    slot.rng = Rng::named(seed, "world", 0);
                }
                slot.length = 0;
                s.returns[i * players..][..players].fill(0.0);
                s.reward[i * players..][..players].fill(0.0);
                s.status[i] = Status::Running;
                let (mask, seat) = (cut(s.mask, i, rows * choices), cut(s.seat, i, rows));
                mask.fill(true);
                seat.fill(0);
                slot.env.reset(&mut slot.rng, View { obs: cut(s.obs, i, rows * width), mask, seat });
            }
            Ok(())
        })?;
        self.gather();
        Ok(())
    }

    fn candidates(&self) -> Option<Ragged<'_>> {
        let width = self.spec.candidates?;
        Some(Ragged { rows: E::Obs::lend(&self.rows), width, offsets: &self.offsets })
    }

    fn privileged(&self) -> Option<crate::ColumnRef<'_>> {
        self.reveal.as_ref().map(|_| self.hidden.slice(0..self.hidden.len()))
    }

    fn bot(&self, number: usize, worlds: &[u32], rng: &mut [Rng], out: ActionsMut<'_>) -> Result<()> {
        let wide = self.spec.rows * self.spec.act.width();
        let out =
            E::Act::of_actions_mut(out).filter(|out| out.len() == wide * worlds.len() && rng.len() == worlds.len());
        let out = out.ok_or_else(|| Error::mismatch("bot's actions", std::any::type_name::<E::Act>(), "others"))?;
        for ((&w, rng), act) in worlds.iter().zip(rng).zip(out.chunks_exact_mut(wide.max(1))) {
            self.slots[w as usize].env.bot(number, rng, act)?;
        }
        Ok(())
    }

    fn draw(&self, world: usize) -> Option<Drawing> {
        self.slots.get(world)?.env.draw()
    }

    fn film(&mut self) {
        self.slots.iter_mut().for_each(|s| s.filmed = true);
    }

    fn episodes(&mut self) -> &mut Episodes {
        &mut self.episodes
    }

    fn objective(&mut self) -> Option<&mut dyn Objective> {
        self.slots[0].env.objective()
    }

    fn save(&self, out: &mut Vec<u8>) {
        snapshot::put(out, &(self.spec.name.as_str(), self.slots.len() as u64));
        snapshot::put(out, &self.returns);
        let mut state = Vec::new();
        for slot in &self.slots {
            state.clear();
            slot.env.save(&mut state);
            snapshot::put(out, &(&slot.rng, slot.length, &state));
        }
    }

    fn load(&mut self, mut state: &[u8]) -> Result<()> {
        let (name, n): (String, u64) = snapshot::take(&mut state)?;
        if name != self.spec.name || n != self.slots.len() as u64 {
            let this = format!("{} x {}", self.slots.len(), self.spec.name);
            return Err(Error::mismatch("saved worlds", this, format!("{n} x {name}")));
        }
        let returns: Vec<f64> = snapshot::take(&mut state)?;
        if returns.len() != self.returns.len() {
            return Err(Error::mismatch("saved returns", self.returns.len().to_string(), returns.len().to_string()));
        }
        for slot in &mut self.slots {
            let (rng, length, world): (Rng, u32, Vec<u8>) = snapshot::take(&mut state)?;
            slot.env.load(&world)?;
            slot.rng = rng;
            slot.length = length;
        }
        if !state.is_empty() {
            return Err(Error::invalid(format!("saved worlds: {} bytes left over", state.len())));
        }
        self.returns = returns;
        self.episodes.clear();
        self.gather();
        Ok(())
    }
}

impl<E: Env> VecEnv<E> {
    /// A tick; with `WAIT` without the worlds that `wait` flags.
    fn advance<const WAIT: bool>(&mut self, wait: &[bool], act: Actions<'_>, out: FrameMut<'_>) -> Result<()> {
        let wide = self.spec.rows * self.spec.act.width();
        let kind = || Error::mismatch("actions", std::any::type_name::<E::Act>(), format!("{act:?}"));
        let typed = E::Act::of_actions(&act).ok_or_else(kind)?;
        if typed.len() != wide * self.slots.len() {
            return Err(Error::mismatch(
                "number of action scalars",
                (wide * self.slots.len()).to_string(),
                typed.len().to_string(),
            ));
        }
        let limit = self.spec.time_limit.unwrap_or(u32::MAX);
        self.each(out, |s, spec, episodes| {
            let (rows, players, width, choices) = (spec.rows, spec.players, spec.obs.width(), spec.act.choices());
            if choices > 0 && !WAIT {
                s.mask.fill(true);
            }
            if !WAIT {
                s.seat.fill(0);
            }
            s.reward.fill(0.0);
            // What is lent is cut off the front world by world, so that the loop needs no products of sizes; what only an
            // ending needs stays out of it.
            let (mut acts, mut obs, mut mask, mut seat) = (&typed[s.first * wide..], s.obs, s.mask, s.seat);
            let (mut reward, mut returns) = (s.reward, s.returns);
            for (i, (slot, status)) in s.slots.iter_mut().zip(s.status).enumerate() {
                let act = acts.split_off(..wide).expect("checked on entry");
                let obs = next(&mut obs, rows * width);
                let mask = next(&mut mask, rows * choices);
                let seat = next(&mut seat, rows);
                let pay = next(&mut reward, players);
                let sums = next(&mut returns, players);
                if WAIT {
                    if wait[s.first + i] {
                        *status = Status::Running;
                        continue;
                    }
                    mask.fill(true);
                    seat.fill(0);
                }
                let view = View { obs: &mut *obs, mask: &mut *mask, seat: &mut *seat };
                let mut after = slot.env.step(act, &mut slot.rng, view, pay)?;
                slot.length += 1;
                if after == Status::Running && slot.length >= limit {
                    after = Status::Truncated;
                }
                match (&mut *sums, &*pay) {
                    ([sum], [p]) => *sum += f64::from(*p), // the usual case, without the set-up of a vectorised loop
                    (sums, pay) => sums.iter_mut().zip(pay).for_each(|(sum, p)| *sum += f64::from(*p)),
                }
                *status = after;
                if after != Status::Running {
                    cut(s.last, i, rows * width).copy_from_slice(obs);
                    episodes.returns.extend_from_slice(sums);
                    sums.fill(0.0);
                    slot.end(s.first + i, after, View { obs, mask, seat }, episodes);
                }
            }
            Ok(())
        })?;
        self.gather();
        Ok(())
    }

    fn one_each(&self, what: &str, found: usize) -> Result<()> {
        let n = self.slots.len();
        if found == n {
            Ok(())
        } else {
            Err(Error::mismatch(format!("number of {what}"), n.to_string(), found.to_string()))
        }
    }

    /// The frame's rows of tick `t` of `slab`, with the legal moves of the current tick.
    pub fn frame<'a>(&'a self, slab: &'a Slab, t: usize) -> Frame<'a> {
        slab.frame(t).with_candidates(self.candidates())
    }
}

#[cfg(test)]
mod tests;
