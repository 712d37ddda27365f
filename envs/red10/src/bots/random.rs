//! Any legal move.
use crate::{Move, Player, Seat, Thought};
use rlx::Rng;

/// Plays any legal move with equal chance.
#[derive(Clone, Copy, Debug, Default)]
pub struct Random;

impl Player for Random {
    fn think(&mut self, _: Seat<'_>, legal: &[Move], rng: &mut Rng) -> Thought {
        Thought { choice: rng.below(legal.len()), ..Thought::default() }
    }
}
