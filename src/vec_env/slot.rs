//! One world of a batch.
use crate::{Env, Episodes, Rng, Scalars, Status, View};

/// A world with all that the vector keeps for it.
pub struct Slot<E> {
    pub env: E,
    pub rng: Rng,
    pub length: u32,
    pub filmed: bool,
}

impl<E: Env> Slot<E> {
    /// Writes down the episode that ended and starts the next. Apart from the loop over worlds, whose registers it would take.
    #[cold]
    #[inline(never)]
    pub fn end(&mut self, world: usize, status: Status, view: View<'_, E::Obs>, episodes: &mut Episodes) {
        let mut metrics = Scalars::default();
        self.env.metrics(&mut metrics);
        episodes.lengths.push(self.length);
        episodes.worlds.push(world as u32);
        episodes.status.push(status);
        episodes.metrics.push(metrics);
        if self.filmed {
            episodes.drawings.push(self.env.draw());
        }
        self.length = 0;
        view.mask.fill(true);
        view.seat.fill(0);
        self.env.reset(&mut self.rng, view);
    }
}
