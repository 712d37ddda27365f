//! What one seat may know of a game, and what a player is asked.
use crate::{Cards, Game, Kind, Move, Ply, Rules, SEATS, cards::TEN};
use rlx::Rng;

/// A game as one seat sees it: its own hand and what is public. Nothing else can be asked of it.
#[derive(Clone, Copy, Debug)]
pub struct Seat<'a> {
    game: &'a Game,
    seat: usize,
}

impl<'a> Seat<'a> {
    /// The view of `seat`.
    pub fn new(game: &'a Game, seat: usize) -> Self {
        Self { game, seat }
    }
    /// Which seat it is.
    pub fn seat(&self) -> usize {
        self.seat
    }
    /// The rules of the table.
    pub fn rules(&self) -> &'a Rules {
        self.game.rules()
    }
    /// Who is to play.
    pub fn turn(&self) -> usize {
        self.game.turn()
    }
    /// Who led the first trick.
    pub fn leader(&self) -> usize {
        self.game.leader()
    }
    /// The own hand.
    pub fn hand(&self) -> Cards {
        self.game.hand(self.seat)
    }
    /// What was dealt to the own hand.
    pub fn dealt(&self) -> Cards {
        self.game.dealt(self.seat)
    }
    /// Cards that the three others still hold, together.
    pub fn unseen(&self) -> Cards {
        self.game.unseen(self.seat)
    }
    /// What a seat has played.
    pub fn played(&self, seat: usize) -> Cards {
        self.game.played(seat)
    }
    /// How many cards a seat still holds.
    pub fn left(&self, seat: usize) -> u64 {
        self.game.hand(seat).total()
    }
    /// Red tens of a seat that everybody has seen.
    pub fn shown(&self, seat: usize) -> u8 {
        self.game.shown(seat)
    }
    /// Red tens of a seat that were shown before the first lead and are still in its hand.
    pub fn shown_held(&self, seat: usize) -> u8 {
        self.shown(seat) - self.played(seat).red() as u8
    }
    /// What must be beaten; a pass when the next move leads.
    pub fn top(&self) -> Move {
        self.game.top()
    }
    /// Who played the top.
    pub fn top_seat(&self) -> Option<usize> {
        self.game.top_seat()
    }
    /// Passes since.
    pub fn passes(&self) -> u8 {
        self.game.passes()
    }
    /// Whether the next move leads a trick.
    pub fn leads(&self) -> bool {
        self.game.leads()
    }
    /// Whether this seat is asked to show its red tens.
    pub fn asked(&self) -> bool {
        self.game.asking() && self.turn() == self.seat
    }
    /// The moves made.
    pub fn history(&self) -> &'a [Ply] {
        self.game.history()
    }
    /// Bombs played.
    pub fn bombs(&self) -> u8 {
        self.game.bombs()
    }
    /// What the game is worth.
    pub fn stake(&self) -> u8 {
        self.game.stake()
    }
    /// Seats in the order in which they went out.
    pub fn out(&self) -> &'a [u8] {
        self.game.out()
    }

    /// How many deals of the unseen red tens agree with what this seat knows, by the holders' bit set: exact counts from the number
    /// of cards each other seat holds, before anybody's moves say more. The 16 weights sum to 1.
    ///
    /// In [`crate::rules::Leader`]'s folk variants the first leader's known card leaves one card less for tens; it is neglected here.
    pub fn prior(&self) -> [f64; 16] {
        let own = self.dealt().red();
        let mut known = u16::from(own > 0) << self.seat;
        let mut hidden = 2 - own;
        for other in (0..SEATS).filter(|&s| s != self.seat) {
            known |= u16::from(self.shown(other) > 0) << other;
            hidden -= u64::from(self.shown(other));
        }
        let mut weights = [0.0; 16];
        // Who showed before the lead showed all; who was silent may still hold.
        let showed =
            |s: usize| self.history().iter().take(SEATS).any(|p| p.play.kind == Kind::Show && usize::from(p.seat) == s);
        let room = |s: usize| if showed(s) { 0.0 } else { self.left(s) as f64 };
        let others: Vec<usize> = (0..SEATS).filter(|&s| s != self.seat && room(s) > 0.0).collect();
        match hidden {
            0 => weights[usize::from(known)] = 1.0,
            1 => others.iter().for_each(|&s| weights[usize::from(known | 1 << s)] += room(s)),
            _ => {
                for (i, &a) in others.iter().enumerate() {
                    weights[usize::from(known | 1 << a)] += room(a) * (room(a) - 1.0) / 2.0;
                    others[i + 1..]
                        .iter()
                        .for_each(|&b| weights[usize::from(known | 1 << a | 1 << b)] += room(a) * room(b));
                }
            }
        }
        let sum: f64 = weights.iter().sum();
        if sum > 0.0 {
            weights.iter_mut().for_each(|w| *w /= sum);
        }
        weights
    }

    /// P(each seat is of this seat's team) under weights over the holders' bit sets; 1 for itself.
    pub fn teammates(&self, weights: &[f64; 16]) -> [f64; SEATS] {
        std::array::from_fn(|s| {
            let same = |set: usize| (set >> s & 1) == (set >> self.seat & 1);
            weights.iter().enumerate().filter(|(set, _)| same(*set)).map(|(_, w)| w).sum()
        })
    }

    /// Whether everybody knows all teams: both red tens were seen.
    pub fn is_public(&self) -> bool {
        (0..SEATS).map(|s| self.shown(s)).sum::<u8>() == 2
    }

    /// The red tens of the own hand.
    pub fn own_red(&self) -> u64 {
        self.hand().red()
    }

    /// Tens of the own hand, black ones.
    pub fn own_black_tens(&self) -> u64 {
        self.hand().count(TEN) - self.hand().red()
    }
}

/// What a player makes of a position.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Thought {
    /// The index of the chosen move among the legal ones.
    pub choice: usize,
    /// What the player expects each legal move to be paid, if it estimates that.
    pub values: Option<Vec<f32>>,
    /// P(each seat is of the player's team), 1 for itself, if it has an opinion.
    pub teammates: Option<[f32; SEATS]>,
}

/// Who can sit at a table: a bot, a trained policy. It sees its seat's view only.
pub trait Player: Send {
    /// Chooses among `legal`, which is not empty. `seat.turn()` is the seat that is asked.
    fn think(&mut self, seat: Seat<'_>, legal: &[Move], rng: &mut Rng) -> Thought;
}
