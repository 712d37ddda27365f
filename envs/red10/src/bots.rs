//! Bots: players without a network.
mod belief;
mod random;

pub use crate::greedy::{Greedy, Values};
pub use belief::Belief;
pub use random::Random;

use crate::Player;
use rlx::{Result, config::choose};

/// Every bot: its name and one line of what it is.
pub const BOTS: [(&str, &str); 3] = [
    ("random", "any legal move with equal chance"),
    ("greedy", "decomposes its hand, plays what leaves the fewest moves, helps likely teammates"),
    ("belief", "greedy on the posterior of who holds the red tens, given every move so far"),
];

/// Bots that take about a microsecond a move and keep nothing between moves: the world's own players for leagues.
pub const QUICK: [&str; 2] = ["random", "greedy"];

/// The bot of that name.
///
/// # Errors
/// When there is none, naming the nearest or all of them.
pub fn make(name: &str) -> Result<Box<dyn Player>> {
    Ok(match choose("bot", name, BOTS.iter().map(|b| b.0))? {
        "random" => Box::new(Random),
        "greedy" => Box::<Greedy>::default(),
        _ => Box::<Belief>::default(),
    })
}
