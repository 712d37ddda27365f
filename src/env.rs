//! A world, as its author writes it.
use crate::{Drawing, Element, Error, Objective, Result, Rng, Scalars, Spec};
use serde::{Deserialize, Serialize};

/// How a tick left the episode. A death and a time-out never merge: one has no future, the other's value is bootstrapped.
#[repr(u8)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Status {
    /// It goes on.
    #[default]
    Running,
    /// It ended by the world's own rules.
    Terminated,
    /// It was cut off from outside: the time limit, or a world that cannot go on for a reason that is no part of the task.
    Truncated,
}

/// The rows of a batch that one world may write in one tick. It owns none of them.
pub struct View<'a, O> {
    /// `rows x obs.width()` scalars, to be written in full.
    pub obs: &'a mut [O],
    /// `rows x act.choices()` flags, all true on entry; false marks an action as not allowed.
    pub mask: &'a mut [bool],
    /// `rows`: whose eyes each row is seen through; 0 on entry.
    pub seat: &'a mut [u8],
}

impl<O> View<'_, O> {
    /// Lends it again, for a shorter time.
    pub fn lend(&mut self) -> View<'_, O> {
        View { obs: self.obs, mask: self.mask, seat: self.seat }
    }
}

/// A world that advances one tick per call and writes what its players see in place.
///
/// All chance comes from `rng`; equal seeds and actions give equal bits. `step` allocates nothing. The time limit of the
/// [`Spec`] is kept by the vector: a world returns [`Status::Terminated`] for its own endings only.
pub trait Env: Send + 'static {
    /// Observation scalar: `f32` or `u8`.
    type Obs: Element;
    /// Action scalar: `i64` ids or `f32` vectors.
    type Act: Element;

    /// What the world is; the same at every call.
    fn spec(&self) -> Spec;

    /// Starts an episode and writes its first view.
    fn reset(&mut self, rng: &mut Rng, view: View<'_, Self::Obs>);

    /// Advances one tick: `act` is `rows x act.width()`, `pay` is `players` rewards, zero on entry.
    ///
    /// # Errors
    /// When the world cannot go on (a simulator that fails); the run then stops with this error.
    fn step(&mut self, act: &[Self::Act], rng: &mut Rng, view: View<'_, Self::Obs>, pay: &mut [f32]) -> Result<Status>;

    /// Appends the whole state, so that `load` of it continues bit for bit. [`crate::snapshot`] helps.
    fn save(&self, out: &mut Vec<u8>);

    /// Restores what `save` wrote.
    ///
    /// # Errors
    /// When the bytes are not such a state; the world is then unchanged or as good as new.
    fn load(&mut self, state: &[u8]) -> Result<()>;

    /// What the episode was, beside its reward (success, win, bytes): called once, at its end, before the reset.
    fn metrics(&self, _out: &mut Scalars) {}

    /// What the world's own player of that number among [`Spec::bots`] would do: one action row for each acting row.
    ///
    /// # Errors
    /// When the world has no such player.
    fn bot(&self, number: usize, _rng: &mut Rng, _act: &mut [Self::Act]) -> Result<()> {
        Err(Error::invalid(format!("bot {number}: this world has {}", self.spec().bots.len())))
    }

    /// Appends one feature row per legal move of each acting row and the number of moves of each, for worlds whose
    /// [`Spec::candidates`] is set. The order is that of the action ids.
    fn candidates(&self, _rows: &mut Vec<Self::Obs>, _counts: &mut Vec<u32>) {}

    /// What the world looks like now; None where nothing is to be seen.
    fn draw(&self) -> Option<Drawing> {
        None
    }

    /// The costly function that the world is a thin adapter over, for learners that search it themselves; see [`Objective`] for what
    /// such a world promises.
    fn objective(&mut self) -> Option<&mut dyn Objective> {
        None
    }
}

/// The only door to hidden state. A bound `E: Oracle` shows in a signature, so that a leak cannot hide.
pub trait Oracle: Env {
    /// Scalars that [`Oracle::reveal`] writes.
    fn hidden_width(&self) -> usize;
    /// Writes the hidden state, `hidden_width` scalars.
    fn reveal(&self, out: &mut [Self::Obs]);
}
