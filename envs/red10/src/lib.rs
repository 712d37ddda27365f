//! Red-10 (hong shi) with hidden teams: four players, 13 cards each; the holders of the red tens are one team, and nobody is
//! told who they are. Rules, legal moves, observations per seat, the world and bots. As in IDRL (arXiv 2210.12896).
pub mod bots;
pub mod cards;
pub mod game;
mod greedy;
pub mod hand;
pub mod moves;
mod ply;
pub mod posterior;
pub mod rules;
pub mod seat;
mod story;
pub mod world;

pub use cards::Cards;
pub use game::{Game, SEATS};
pub use moves::{Kind, Move, describe, generate};
pub use ply::Ply;
pub use posterior::{Likelihood, Posterior, Sampler};
pub use rules::Rules;
pub use seat::{Player, Seat, Thought};
pub use world::{Config, Red10};

/// Adds the world.
pub fn register(registry: &mut rlx::Registry) {
    registry.oracle_world(
        "red10",
        "four players, hidden teams: the holders of the red tens against the rest (IDRL, arXiv 2210.12896)",
        Red10::new,
    );
}
