//! Dealing.
use super::{Game, SEATS};
use crate::{
    cards::{Cards, LITTLE, RANKS, TEN},
    rules::{Leader, Rules},
};
use rlx::{Error, Result, Rng};

impl Game {
    /// Deals again at the same table.
    pub fn redeal(&mut self, rng: &mut Rng) {
        // Card i is of rank i / 4 and suit i % 4 (spade, heart, club, diamond), so that a leading card and red tens are what they are.
        let mut deck: [u8; 54] = std::array::from_fn(|i| i as u8);
        let n = if self.rules.jokers { 54 } else { 52 };
        for i in (1..n).rev() {
            deck.swap(i, rng.below(i + 1));
        }
        let mut hands = [Cards::NONE; SEATS];
        let mut leader = 0;
        let wanted = match self.rules.leader {
            Leader::Seat0 => 255,
            Leader::Heart3 => 1,
            Leader::Heart4 => 5,
        };
        for (i, &card) in deck[..n].iter().enumerate() {
            hands[i & 3].0 += card_of(card);
            if card == wanted {
                leader = (i & 3) as u8;
            }
        }
        self.start(hands, leader);
    }

    /// A game from given hands. `leader` leads the first trick.
    ///
    /// # Errors
    /// When the hands are no deal of the deck of these rules.
    pub fn from_hands(rules: &Rules, hands: [Cards; SEATS], leader: u8) -> Result<Self> {
        let sum = hands.iter().try_fold(Cards::NONE, |sum, &hand| {
            let deck = Cards::deck(rules.jokers);
            let left = if deck.contains(sum) { Cards(deck.0 - sum.0) } else { Cards::NONE };
            if !left.contains(hand) {
                return Err(Error::invalid(format!("hand {hand}: more cards of a rank than a deck has")));
            }
            Ok(Cards(sum.0 + hand.0))
        })?;
        if sum != Cards::deck(rules.jokers) || usize::from(leader) >= SEATS {
            return Err(Error::invalid(format!(
                "four hands of {} cards: they are no deal of the whole deck",
                sum.total()
            )));
        }
        let (most, least) = (hands.map(Cards::total).into_iter().max(), hands.map(Cards::total).into_iter().min());
        if most.unwrap_or(0) > least.unwrap_or(0) + 1 {
            return Err(Error::invalid("four hands: they must be dealt evenly"));
        }
        let card = match rules.leader {
            Leader::Seat0 if leader != 0 => return Err(Error::invalid("the first leader must be seat 0")),
            Leader::Seat0 => None,
            Leader::Heart3 => Some(0),
            Leader::Heart4 => Some(1),
        };
        if card.is_some_and(|rank| hands[usize::from(leader)].count(rank) == 0) {
            return Err(Error::invalid(format!("seat {leader} leads without holding the leading card")));
        }
        let mut game = Self::blank(rules);
        game.start(hands, leader);
        Ok(game)
    }
}

/// Card number `card` as a packed count.
#[inline(always)]
fn card_of(card: u8) -> u64 {
    let rank = if card < 52 { usize::from(card) / 4 } else { LITTLE + usize::from(card) - 52 };
    debug_assert!(rank < RANKS || card >= 52);
    // Hearts and diamonds of the tens are red.
    (1 << (4 * rank)) + (u64::from(rank == TEN && card % 2 == 1) << 60)
}
