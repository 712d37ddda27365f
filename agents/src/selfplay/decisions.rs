//! Decisions as they are kept until they are learnt from.
use serde::{Deserialize, Serialize};

/// Decisions, one after another: what learning needs of them. The order of the fields is that of the checkpoint.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Decisions {
    pub obs: Vec<u8>,    // [decisions, obs]
    pub chosen: Vec<u8>, // [decisions, candidate]
    pub hidden: Vec<u8>, // [decisions, hidden state]
    pub seat: Vec<u8>,
    /// The guess that was acted on: [`super::team_guess`].
    pub context: Vec<f32>, // [decisions, context]
    /// Whether the acceptances in the context were drawn.
    pub drawn: Vec<bool>,
    pub value: Vec<f32>,
    /// Soft value of the position, where targets are made of it.
    pub soft: Vec<f32>,
    /// What the acting seat was paid at the end of the game.
    pub target: Vec<f32>,
    /// Decisions of each game that ended, one game after another.
    pub games: Vec<u32>,
}

/// Scalars of a decision.
#[derive(Clone, Copy, Debug)]
pub(super) struct Widths {
    pub obs: usize,
    pub candidate: usize,
    pub hidden: usize,
    pub context: usize,
    /// Whether soft values are kept.
    pub soft: bool,
    pub players: usize,
}

impl Decisions {
    pub fn len(&self) -> usize {
        self.seat.len()
    }

    /// Whether these are whole decisions of such widths; those of games that `ended` have their targets.
    pub fn are_whole(&self, w: Widths, ended: bool) -> bool {
        let n = self.len();
        self.obs.len() == n * w.obs
            && self.chosen.len() == n * w.candidate
            && self.context.len() == n * w.context
            && self.value.len() == n
            && self.drawn.len() == n
            && self.hidden.len() == n * w.hidden
            && self.soft.len() == if w.soft { n } else { 0 }
            && self.seat.iter().all(|s| usize::from(*s) < w.players)
            && self.target.len() == if ended { n } else { 0 }
            && self.games.iter().map(|&g| u64::from(g)).sum::<u64>() == if ended { n as u64 } else { 0 }
    }

    /// Takes over the decisions of a game that ended, and what each seat was paid.
    pub fn append_game(&mut self, game: &mut Self, pay: &[f32]) {
        if game.len() == 0 {
            return;
        }
        self.games.push(game.len() as u32);
        self.target.extend(game.seat.iter().map(|&s| pay[usize::from(s)]));
        self.obs.append(&mut game.obs);
        self.chosen.append(&mut game.chosen);
        self.hidden.append(&mut game.hidden);
        self.seat.append(&mut game.seat);
        self.context.append(&mut game.context);
        self.drawn.append(&mut game.drawn);
        self.value.append(&mut game.value);
        self.soft.append(&mut game.soft);
    }

    /// Forgets them, keeping the memory.
    pub fn clear(&mut self) {
        for bytes in [&mut self.obs, &mut self.chosen, &mut self.hidden, &mut self.seat] {
            bytes.clear();
        }
        for floats in [&mut self.context, &mut self.value, &mut self.soft, &mut self.target] {
            floats.clear();
        }
        self.drawn.clear();
        self.games.clear();
    }
}
