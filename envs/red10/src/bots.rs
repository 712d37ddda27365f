//! Bots: players without a network.
mod greedy;
mod random;

pub use greedy::Greedy;
pub use random::Random;

use crate::Player;
use rlx::{Error, Result};

/// Every bot: its name and one line of what it is.
pub const BOTS: [(&str, &str); 2] = [
    ("random", "any legal move with equal chance"),
    ("greedy", "decomposes its hand, plays what leaves the fewest moves, helps likely teammates"),
];

/// Bots that take about a microsecond a move and keep nothing between moves: the world's own players for leagues.
pub const QUICK: [&str; 2] = ["random", "greedy"];

/// The bot of that name.
///
/// # Errors
/// When there is none, naming them all.
pub fn make(name: &str) -> Result<Box<dyn Player>> {
    Ok(match name {
        "random" => Box::new(Random),
        "greedy" => Box::<Greedy>::default(),
        _ => {
            let names: Vec<&str> = BOTS.iter().map(|b| b.0).collect();
            return Err(Error::invalid(format!("there is no bot '{name}': the bots are {}", names.join(", "))));
        }
    })
}
