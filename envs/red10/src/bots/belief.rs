//! Greedy's rules on what the others' moves say of their teams.
use super::greedy::{Values, best, scores};
use crate::{
    Move, Player, Seat, Thought,
    posterior::{Sampler, SoftGreedy},
};
use rlx::Rng;

/// Plays greedy's scores under P(teammate) of the posterior, which takes the others for greedy players with noise. It keeps nothing
/// from one decision to the next: what it does depends on what the seat sees and on the random stream alone.
#[derive(Clone, Debug)]
pub struct Belief {
    sampler: Sampler,
    others: SoftGreedy,
    values: Values,
}

impl Default for Belief {
    fn default() -> Self {
        Self {
            sampler: Sampler { particles: 64, steps: 2 },
            others: SoftGreedy::new(2.0, 0.05).expect("both in range"),
            values: Values::default(),
        }
    }
}

impl Player for Belief {
    fn think(&mut self, seat: Seat<'_>, legal: &[Move], rng: &mut Rng) -> Thought {
        let posterior = self.sampler.posterior(seat, &mut self.others, rng).expect("greedy's scores never fail");
        let teammates = posterior.teammates(seat);
        Thought {
            choice: best(&scores(seat, seat.hand(), legal, &teammates, &mut self.values)),
            values: None,
            teammates: Some(teammates.map(|p| p as f32)),
        }
    }
}
