//! Games over hands that are a supposition: what the posterior replays.
use super::{Game, SEATS};
use crate::{Cards, Rules};

impl Game {
    /// A game whose hands are a supposition, and so are not held to be dealt as the leading card says: what the posterior replays.
    pub(crate) fn supposed(rules: &Rules, dealt: [Cards; SEATS], leader: usize) -> Self {
        let mut game = Self::blank(rules);
        game.start(dealt, leader as u8);
        game
    }

    /// The same public position over other hands: `hands` is what each seat would hold now.
    #[inline]
    pub(crate) fn suppose(&mut self, hands: [Cards; SEATS]) {
        for (s, hand) in hands.into_iter().enumerate() {
            self.dealt[s] = Cards(hand.0 + self.played(s).0);
            self.hands[s] = hand;
        }
    }

    /// Whether the red tens are shown is asked of `seat` alone, or, with none, of nobody any more: the first trick is led.
    pub(crate) fn suppose_asked(&mut self, seat: Option<usize>) {
        if seat.is_some() || self.asking() {
            self.ask(seat.map_or(0, |s| 1 << s));
        }
    }
}
