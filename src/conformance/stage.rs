//! One world on a stage of its own, with everything it writes recorded.
use crate::{ActionBuffer, Column, Element, Env, Frame, Ragged, Result, Rng, Spec, Status, View, random_actions};

/// All that a world wrote in a tick.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Tick<O> {
    pub obs: Vec<O>,
    pub mask: Vec<bool>,
    pub seat: Vec<u8>,
    pub pay: Vec<u32>, // bits: a NaN equals itself
    pub status: Status,
    pub rows: Vec<O>,
    pub counts: Vec<u32>,
}

pub(super) struct Stage<E: Env> {
    pub env: E,
    pub spec: Spec,
    pub rng: Rng,
    /// Draws the actions; the world's own chance is `rng`.
    pub actor: Rng,
    pub poison: bool,
    pub ticks: u32,
    pub now: Tick<E::Obs>,
    pub act: ActionBuffer,
}

impl<E: Env> Stage<E> {
    pub fn new(make: &dyn Fn() -> E, seed: u64, actor: u64) -> Self {
        let env = make();
        let spec = env.spec();
        let now = Tick {
            obs: Vec::new(),
            mask: Vec::new(),
            seat: Vec::new(),
            pay: Vec::new(),
            status: Status::Running,
            rows: Vec::new(),
            counts: Vec::new(),
        };
        let act = ActionBuffer::new(&spec.act, spec.rows);
        let (rng, actor) = (Rng::named(seed, "world", 0), Rng::named(actor, "actor", 0));
        Self { env, spec, rng, actor, poison: false, ticks: 0, now, act }
    }

    fn clear(&mut self) {
        let (rows, spec) = (self.spec.rows, &self.spec);
        self.now.obs = vec![E::Obs::poison(self.poison); rows * spec.obs.width()];
        self.now.mask = vec![true; rows * spec.act.choices()];
        self.now.seat = vec![0; rows];
    }

    fn offer(&mut self) {
        self.now.rows.clear();
        self.now.counts.clear();
        if self.spec.candidates.is_some() {
            self.env.candidates(&mut self.now.rows, &mut self.now.counts);
        }
    }

    /// Starts an episode.
    pub fn reset(&mut self) -> Tick<E::Obs> {
        self.clear();
        let Tick { obs, mask, seat, .. } = &mut self.now;
        self.env.reset(&mut self.rng, View { obs, mask, seat });
        self.now.pay = vec![0; self.spec.players];
        self.now.status = Status::Running;
        self.ticks = 0;
        self.offer();
        self.now.clone()
    }

    /// Draws an action for what is on offer.
    pub fn draw(&mut self) {
        let mut offsets = vec![0];
        offsets.extend(self.now.counts.iter().scan(0, |sum, c| {
            *sum += c;
            Some(*sum)
        }));
        let width = self.spec.candidates.unwrap_or(0);
        let candidates =
            self.spec.candidates.map(|_| Ragged { rows: E::Obs::lend(&self.now.rows), width, offsets: &offsets });
        let none = Column::U8(Vec::new());
        let frame = Frame {
            obs: none.slice(0..0),
            last: none.slice(0..0),
            mask: &self.now.mask,
            seat: &self.now.seat,
            reward: &[],
            status: &[],
            candidates,
        };
        random_actions(&self.spec, frame, &mut self.actor, &mut self.act);
    }

    /// Takes the step that was drawn.
    pub fn step(&mut self) -> Result<Tick<E::Obs>> {
        self.clear();
        let mut pay = vec![0.0; self.spec.players];
        let actions = self.act.get();
        let act = E::Act::of_actions(&actions).ok_or_else(|| {
            crate::Error::invalid(format!(
                "its actions are of another type than its space {}",
                self.spec.act.describe()
            ))
        })?;
        let Tick { obs, mask, seat, .. } = &mut self.now;
        self.now.status = self.env.step(act, &mut self.rng, View { obs, mask, seat }, &mut pay)?;
        self.now.pay = pay.iter().map(|p| p.to_bits()).collect();
        self.ticks += 1;
        if self.now.status == Status::Running {
            self.offer();
        } else {
            self.now.rows.clear();
            self.now.counts.clear();
        }
        Ok(self.now.clone())
    }

    /// Whether the episode is over, as the vector sees it.
    pub fn over(&self) -> bool {
        self.now.status != Status::Running || self.spec.time_limit.is_some_and(|limit| self.ticks >= limit)
    }

    /// Plays `ticks` ticks with random actions, starting anew at every end; the first tick is a reset.
    pub fn play(&mut self, ticks: usize) -> Result<Vec<Tick<E::Obs>>> {
        let mut all = vec![self.reset()];
        self.go_on(ticks, &mut all)?;
        Ok(all)
    }

    /// Plays on without a reset at the start.
    pub fn go_on(&mut self, ticks: usize, all: &mut Vec<Tick<E::Obs>>) -> Result<()> {
        for _ in 0..ticks {
            if self.over() {
                all.push(self.reset());
            } else {
                self.draw();
                all.push(self.step()?);
            }
        }
        Ok(())
    }
}
