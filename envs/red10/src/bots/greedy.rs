//! A rule bot.
use crate::{Move, Player, Seat, Thought};
use rlx::Rng;

/// Plays the first legal move. TO BE WRITTEN
#[derive(Clone, Copy, Debug, Default)]
pub struct Greedy;

impl Player for Greedy {
    fn think(&mut self, _: Seat<'_>, _legal: &[Move], _rng: &mut Rng) -> Thought {
        Thought::default()
    }
}
