//! Many worlds behind one virtual call per batch.
use crate::{
    Actions, ActionsMut, Drawing, Error, FrameMut, Objective, Ragged, Result, Rng, Scalars, Slab, Spec, Status,
};

/// Episodes that have ended, in the order of (tick, world). Who drains them clears them.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Episodes {
    /// Rewards summed over the episode, `players` per episode.
    pub returns: Vec<f64>,
    /// Ticks of each episode.
    pub lengths: Vec<u32>,
    /// Which world played it.
    pub worlds: Vec<u32>,
    /// How it ended.
    pub status: Vec<Status>,
    /// What the world said of it ([`crate::Env::metrics`]).
    pub metrics: Vec<Scalars>,
    /// How its world looked at its end, while worlds are filmed ([`Vector::film`]); empty otherwise.
    pub drawings: Vec<Option<Drawing>>,
}

impl Episodes {
    /// Number of episodes.
    pub fn len(&self) -> usize {
        self.lengths.len()
    }
    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.lengths.is_empty()
    }
    /// Forgets them, keeping the memory.
    pub fn clear(&mut self) {
        self.returns.clear();
        self.lengths.clear();
        self.worlds.clear();
        self.status.clear();
        self.metrics.clear();
        self.drawings.clear();
    }
    pub(crate) fn append(&mut self, other: &mut Self) {
        self.returns.append(&mut other.returns);
        self.lengths.append(&mut other.lengths);
        self.worlds.append(&mut other.worlds);
        self.status.append(&mut other.status);
        self.metrics.append(&mut other.metrics);
        self.drawings.append(&mut other.drawings);
    }
}

/// A batch of worlds, object-safe: what a learner sees of them.
pub trait Vector: Send {
    /// What the worlds are.
    fn spec(&self) -> &Spec;
    /// How many.
    fn len(&self) -> usize;
    /// Whether there are none; there never are none.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }
    /// Memory for `ticks` ticks, its columns typed as these worlds write them.
    fn slab(&self, ticks: usize) -> Slab;
    /// Starts a fresh episode in every world.
    fn reset(&mut self, out: FrameMut<'_>);
    /// Advances every world one tick. An episode that ends, by death or time-out, leaves its final view in `last`, its
    /// record in [`Vector::episodes`], and starts anew: `obs` is then the first view of the next one.
    ///
    /// # Errors
    /// When `act` is not one action per acting row, or a world cannot go on.
    fn step(&mut self, act: Actions<'_>, out: FrameMut<'_>) -> Result<()>;
    /// Starts an episode in the worlds that `which` flags alone: in world i on stream 0 of `seeds[i]`, as a vector of one has it, or on its
    /// own stream where that is None. What others have in `out` stays.
    ///
    /// # Errors
    /// When these worlds are no single worlds that can be told apart, or flags and seeds are not one a world.
    fn reset_some(&mut self, _which: &[bool], _seeds: &[Option<u64>], _out: FrameMut<'_>) -> Result<()> {
        Err(Error::invalid(format!("{}: its worlds are reset all at once", self.spec().name)))
    }
    /// As [`Vector::step`], but the worlds that `wait` flags sit the tick out: unpaid, running, and what they have in `out` stays.
    ///
    /// # Errors
    /// As [`Vector::step`] and [`Vector::reset_some`].
    fn step_some(&mut self, _wait: &[bool], _act: Actions<'_>, _out: FrameMut<'_>) -> Result<()> {
        Err(Error::invalid(format!("{}: its worlds advance all at once", self.spec().name)))
    }
    /// Legal moves of the current tick, for worlds that have candidates.
    fn candidates(&self) -> Option<Ragged<'_>>;
    /// Hidden state of the current tick, `n x hidden_width`; None unless the worlds were opened ([`crate::VecEnv::with_oracle`]).
    fn privileged(&self) -> Option<crate::ColumnRef<'_>>;
    /// What the worlds' own player of that number ([`Spec::bots`]) would do in some worlds: `rng[k]` and the k-th action rows of `out`
    /// belong to `worlds[k]`.
    ///
    /// # Errors
    /// When there is no such player, or `out` is of another kind or size.
    fn bot(&self, number: usize, worlds: &[u32], rng: &mut [Rng], out: ActionsMut<'_>) -> Result<()>;
    /// What a world looks like now; None where nothing is to be seen.
    fn draw(&self, _world: usize) -> Option<Drawing> {
        None
    }
    /// Keeps from now on how a world looked when an episode ended, which [`Vector::draw`] comes too late for: the next has begun.
    fn film(&mut self) {}
    /// Episodes ended since they were last cleared.
    fn episodes(&mut self) -> &mut Episodes;
    /// The costly function that the worlds are over ([`crate::Env::objective`]), if they are over one.
    fn objective(&mut self) -> Option<&mut dyn Objective> {
        None
    }
    /// Appends worlds, RNG streams and accumulators, so that `load` of it continues bit for bit.
    fn save(&self, out: &mut Vec<u8>);
    /// Restores what `save` wrote. The current views are not part of it: the learner's slab has them.
    ///
    /// # Errors
    /// When the bytes are not such a state, or of another number of worlds.
    fn load(&mut self, state: &[u8]) -> Result<()>;
}
