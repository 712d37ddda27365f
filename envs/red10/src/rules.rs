//! The rules as flags, with the two presets that are played.
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Who leads the first trick.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Leader {
    /// Seat 0.
    #[default]
    Seat0,
    /// The holder of the three of hearts.
    Heart3,
    /// The holder of the four of hearts.
    Heart4,
}

/// What ends a game and what it pays.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Scoring {
    /// The first player out wins for the whole team: +1 / -1 each.
    #[default]
    FirstOut,
    /// Play goes on for finishing places: the first out's team wins, a draw if that team also has the last place.
    Places,
}

/// The rules of a table. The default is [`Rules::paper`] (IDRL, arXiv 2210.12896).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Rules {
    /// Play with the two jokers, 54 cards: they rank above the 2.
    pub jokers: bool,
    /// Who leads the first trick: seat0, heart3 or heart4.
    pub leader: Leader,
    /// Fewest ranks in a straight.
    #[schemars(range(min = 3, max = 12))]
    pub straight_min: u8,
    /// Fewest ranks in a chain of pairs.
    #[schemars(range(min = 2, max = 6))]
    pub pair_chain_min: u8,
    /// Trios and fours may carry others, and trios may chain, as in DouDizhu.
    pub kickers: bool,
    /// Three of a kind is a bomb, below every four of a kind.
    pub bomb_of_three: bool,
    /// A single red ten outranks the 2, and the pair of red tens is the top bomb; otherwise they are plain tens.
    pub red_ten_power: bool,
    /// Before the first lead each player may show the red tens in hand, which doubles the stake.
    pub reveal_phase: bool,
    /// What ends a game and what it pays: first_out or places.
    pub scoring: Scoring,
}

impl Default for Rules {
    fn default() -> Self {
        Self::paper()
    }
}

impl Rules {
    /// The rules of IDRL (arXiv 2210.12896): for training and reproduction.
    pub fn paper() -> Self {
        Self {
            jokers: false,
            leader: Leader::Seat0,
            straight_min: 5,
            pair_chain_min: 3,
            kickers: true,
            bomb_of_three: false,
            red_ten_power: false,
            reveal_phase: false,
            scoring: Scoring::FirstOut,
        }
    }

    /// The common core of the folk rules: for people.
    pub fn folk4() -> Self {
        Self {
            jokers: false,
            leader: Leader::Heart3,
            straight_min: 3,
            pair_chain_min: 2,
            kickers: false,
            bomb_of_three: true,
            red_ten_power: true,
            reveal_phase: true,
            scoring: Scoring::Places,
        }
    }
}
