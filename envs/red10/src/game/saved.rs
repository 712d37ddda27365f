//! A game as it is kept in a checkpoint.
use super::{Game, Phase, SEATS};
use crate::{
    Cards, Move, Rules,
    ply::{MOST_PLIES, Ply},
    story::Story,
};
use rlx::{Error, Result};
use serde::{Deserialize, Serialize};

/// The fields of a game, in the order of the format.
#[derive(Serialize, Deserialize)]
pub(crate) struct Saved {
    rules: Rules,
    dealt: [Cards; SEATS],
    hands: [Cards; SEATS],
    history: Vec<Ply>,
    /// What follows from the history. It is of the format and is not read.
    story: (Vec<u8>, Vec<u8>),
    turn: u8,
    leader: u8,
    top: Move,
    top_seat: u8,
    passes: u8,
    asked: u8,
    shown: [u8; SEATS],
    out: [u8; SEATS],
    out_count: u8,
    bombs: u8,
    stake: u8,
    over: bool,
}

impl From<&Game> for Saved {
    fn from(game: &Game) -> Self {
        let mut story = Story::with_room();
        story.follow(&game.history);
        Self {
            rules: game.rules.clone(),
            dealt: game.dealt,
            hands: game.hands,
            history: game.history.clone(),
            story: story.into_tokens(),
            turn: game.turn,
            leader: game.leader,
            top: game.top,
            top_seat: game.top_seat,
            passes: game.passes,
            asked: if let Phase::Reveal { asked } = game.phase { asked } else { 0 },
            shown: game.shown,
            out: game.out,
            out_count: game.out_count,
            bombs: game.bombs,
            stake: game.stake,
            over: game.is_over(),
        }
    }
}

impl Saved {
    /// The rules of the table.
    pub fn rules(&self) -> &Rules {
        &self.rules
    }

    /// The game, with room for all its plies, so that no step allocates.
    ///
    /// # Errors
    /// When it cannot be one of a game.
    pub fn game(self) -> Result<Game> {
        if !self.is_sound() {
            return Err(Error::invalid("saved game: its cards are no deal"));
        }
        let mut history = self.history;
        history.reserve(MOST_PLIES - history.len());
        Ok(Game {
            rules: self.rules,
            dealt: self.dealt,
            hands: self.hands,
            history,
            phase: match (self.over, self.asked) {
                (true, _) => Phase::Over,
                (false, 0) => Phase::Play,
                (false, asked) => Phase::Reveal { asked },
            },
            turn: self.turn,
            leader: self.leader,
            top: self.top,
            top_seat: self.top_seat,
            passes: self.passes,
            shown: self.shown,
            out: self.out,
            out_count: self.out_count,
            bombs: self.bombs,
            stake: self.stake,
        })
    }

    fn is_sound(&self) -> bool {
        let deck = Cards::deck(self.rules.jokers);
        let contained = |(h, d): (&Cards, &Cards)| deck.contains(*d) && d.contains(*h);
        let seats = [self.turn, self.leader, self.top_seat].iter().all(|s| usize::from(*s) < SEATS);
        let is_out = |seat| self.out[..usize::from(self.out_count)].contains(&seat);
        seats
            && self.out_count <= 4
            && self.asked < 16
            && self.out.iter().all(|s| *s < 4)
            && self.history.len() <= MOST_PLIES
            && self.history.iter().all(|p| p.seat < 4 && deck.contains(p.play.cards))
            && self.hands.iter().zip(&self.dealt).all(contained)
            && self.dealt.iter().map(|c| u128::from(c.0)).sum::<u128>() == u128::from(deck.0)
            && deck.contains(self.top.cards)
            && (self.over || (self.hands[usize::from(self.turn)] != Cards::NONE && !is_out(self.turn)))
    }
}
