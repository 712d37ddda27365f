//! Sets of cards as packed counts.
use rlx::{Error, Result};
use serde::{Deserialize, Serialize};
use std::{fmt, str::FromStr};

/// Number of ranks of the 52 cards: 3, 4, ..., 9, T, J, Q, K, A, 2, from low to high.
pub const RANKS: usize = 13;
/// Index of the ten among the ranks.
pub const TEN: usize = 7;
/// Index of the little joker, after the ranks.
pub const LITTLE: usize = 13;
/// Index of the big joker.
pub const BIG: usize = 14;
const RED: usize = 15;
const LETTERS: &[u8; 15] = b"3456789TJQKA2wW";

/// A set of cards, suits forgotten but for the tens: nibble r counts rank r (13 and 14 are the jokers), nibble 15 counts how
/// many of the tens are red (hearts or diamonds). Sets add and subtract as integers.
///
/// As text: ranks from low to high, `3456789TJQKA2`, `w` and `W` for the jokers, `R` for a red ten, `T` for a black one, `-`
/// for no card at all. Input may be in any order.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Cards(pub u64);

impl Cards {
    /// No card.
    pub const NONE: Self = Self(0);
    /// The 52 cards.
    pub const DECK: Self = Self(0x2004_4444_4444_4444);
    /// A red ten.
    pub const RED_TEN: Self = Self(1 << (4 * TEN) | 1 << (4 * RED));

    /// The 52 cards, or the 54 with the jokers.
    pub const fn deck(jokers: bool) -> Self {
        if jokers { Self(Self::DECK.0 | Self::of(LITTLE, 1).0 | Self::of(BIG, 1).0) } else { Self::DECK }
    }
    /// `n` cards of rank `rank`, tens black.
    pub const fn of(rank: usize, n: u64) -> Self {
        Self(n << (4 * rank))
    }
    /// How many of rank `rank`, tens of either colour.
    pub const fn count(self, rank: usize) -> u64 {
        self.0 >> (4 * rank) & 15
    }
    /// How many red tens.
    pub const fn red(self) -> u64 {
        self.0 >> (4 * RED)
    }
    /// How many cards.
    pub fn total(self) -> u64 {
        (0..RED).map(|r| self.count(r)).sum()
    }
    /// Whether every card of `part` is here, by colour for the tens.
    pub fn contains(self, part: Self) -> bool {
        let black = |c: Self| c.count(TEN) - c.red();
        (0..=RED).all(|r| part.count(r) <= self.count(r)) && black(part) <= black(self)
    }
}

impl fmt::Display for Cards {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if *self == Self::NONE {
            return f.write_str("-");
        }
        for (rank, &letter) in LETTERS.iter().enumerate() {
            let red = if rank == TEN { self.red() } else { 0 };
            (red..self.count(rank)).try_for_each(|_| write!(f, "{}", char::from(letter)))?;
            (0..red).try_for_each(|_| f.write_str("R"))?;
        }
        Ok(())
    }
}

impl FromStr for Cards {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        if text == "-" {
            return Ok(Self::NONE);
        }
        let deck = Self::deck(true);
        let mut cards = Self::NONE;
        for c in text.chars() {
            let card = match LETTERS.iter().position(|&l| char::from(l) == c) {
                Some(rank) => Self::of(rank, 1),
                None if c == 'R' => Self::RED_TEN,
                None => return Err(Error::invalid(format!("cards '{text}': '{c}' is none of 3456789TRJQKA2wW"))),
            };
            cards.0 += card.0;
            if !deck.contains(cards) {
                return Err(Error::invalid(format!("cards '{text}': more '{c}' than a deck has")));
            }
        }
        if cards == Self::NONE { Err(Error::invalid("cards '': no card is written '-'")) } else { Ok(cards) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_goes_both_ways_and_bad_text_is_refused() {
        for text in ["-", "3", "TTRR", "34TRW", "33334444555566667777888899 99TTRRJJJJQQQQKKKKAAAA2222wW"] {
            let text = text.replace(' ', "");
            assert_eq!(text.parse::<Cards>().unwrap().to_string(), text);
        }
        assert_eq!("R3T".parse::<Cards>().unwrap().to_string(), "3TR");
        for bad in ["", "TTT", "RRR", "33333", "ww", "1", "3-", "é"] {
            assert!(bad.parse::<Cards>().is_err(), "{bad}");
        }
    }

    #[test]
    fn the_deck_has_52_cards_and_red_tens_are_no_black_ones() {
        assert_eq!((Cards::DECK.total(), Cards::DECK.red()), (52, 2));
        assert!(!Cards::RED_TEN.contains(Cards::of(TEN, 1)));
        assert!(!Cards::of(TEN, 1).contains(Cards::RED_TEN));
    }
}
