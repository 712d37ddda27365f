//! One move of a game.
use crate::Move;
use serde::{Deserialize, Serialize};

/// A move that was made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ply {
    /// Who made it.
    pub seat: u8,
    /// The move.
    pub play: Move,
    /// Whether it led a trick.
    pub lead: bool,
}

/// At most 54 plays, each with three passes, and four answers before.
pub(crate) const MOST_PLIES: usize = 224;
