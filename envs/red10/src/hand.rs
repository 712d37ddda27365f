//! What a hand and a move are worth at a glance: numbers that rule players count out and that a network would have to learn first.
//! PerfectDou (arXiv 2203.16406) feeds its networks the fewest plays that empty a hand; so do the rows here, with two numbers more.
use crate::{
    cards::{Cards, TEN},
    greedy,
    moves::{CHAIN, Kind, Move, TOPS, above, at_least, ranks, run},
    rules::Rules,
};

/// Values of [`Glance::worth`]: from 0 to below this.
pub const WORTHS: u16 = 64;
/// Values of [`Glance::plays`].
pub const PLAYS: u16 = 15;
/// Values of [`beaters`].
pub const BEATERS: u16 = 16;

/// A hand at a glance.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Glance {
    /// About the fewest plays that empty it, of at most three chains, bombs not counted as such.
    pub plays: u8,
    /// What the greedy bot thinks of it, in steps of two of its units: the higher the better.
    pub worth: u8,
}

/// Added to the worth of a hand before it is halved: that of hands seen is above.
const LEAST: f32 = 110.0;
/// What a play costs.
const ROUND: f32 = greedy::ROUND;

impl Glance {
    /// Of a hand under these rules.
    #[inline]
    pub fn of(hand: Cards, rules: &Rules) -> Self {
        if hand == Cards::NONE {
            return Self { plays: 0, worth: (WORTHS - 1) as u8 };
        }
        let found = Search::of(hand, rules);
        let worth = ((found.worth + LEAST) / 2.0).clamp(0.0, f32::from(WORTHS - 2));
        Self { plays: found.plays.min(PLAYS as u8 - 1), worth: worth as u8 }
    }
}

/// The best of the ways to take a hand apart that were tried: each number for itself.
struct Search<'a> {
    rules: &'a Rules,
    plays: u8,
    worth: f32,
}

impl<'a> Search<'a> {
    #[inline]
    fn of(hand: Cards, rules: &'a Rules) -> Self {
        // A powerful red ten is a rank of its own, above the 2: it is taken out, and a pair of them is one play.
        let red = if rules.red_ten_power { hand.red() } else { 0 };
        let counts = (hand.0 & 0x0FFF_FFFF_FFFF_FFFF) - (red << (4 * TEN));
        let mut search = Self { rules, plays: u8::MAX, worth: f32::MIN };
        let worth = if red > 0 { 15.0 - 7.0 - ROUND } else { 0.0 };
        let chains = if rules.straight_min < 5 { 2 } else { 3 };
        search.chains(counts, u8::from(red > 0), worth, (0, 0), chains);
        search
    }

    /// Counts what is left, then takes one of up to `left` chains out of `counts`, from (shape, start) on.
    fn chains(&mut self, counts: u64, taken: u8, worth: f32, from: (usize, usize), left: u8) {
        let (groups, rest) = rest(counts, self.rules);
        self.plays = self.plays.min(taken + groups);
        self.worth = self.worth.max(worth + rest);
        if left == 0 || groups < 2 {
            return;
        }
        let shapes = [(1, usize::from(self.rules.straight_min)), (2, self.rules.pair_chain_min.into()), (3, 2)];
        let known = if self.rules.kickers { 3 } else { 2 };
        for (shape, &(n, min)) in shapes.iter().enumerate().take(known).skip(from.0) {
            let mask = at_least(counts, n) & CHAIN;
            let mut starts = (1..min).fold(mask, |starts, _| mask & (starts >> 4));
            if shape == from.0 {
                starts &= u64::MAX << (4 * from.1);
            }
            ranks(starts, |start| {
                let longest = (!(mask >> (4 * start)) & TOPS).trailing_zeros() as usize / 4;
                // Of short straights, which are many, the longest and the shortest; of wider chains the longest.
                let least = if n == 1 { min } else { longest };
                let step = if min < 5 { (longest - least).max(1) } else { 1 };
                for len in (least..=longest).step_by(step) {
                    let own = ((start + len) as f32 / 2.0 - 4.0).max(0.0) - ROUND + if n == 3 { 2.0 } else { 0.0 };
                    self.chains(counts - run(start, len, n), taken + 1, worth + own, (shape, start), left - 1);
                }
            });
        }
    }
}

/// Plays of a hand without chains, one a rank, and their worth: the rank's distance from the ten less [`ROUND`], more for bombs; a trio
/// carries one of the others along where the rules let it.
#[inline]
fn rest(counts: u64, rules: &Rules) -> (u8, f32) {
    let (ones, threes, fours) = (at_least(counts, 1), at_least(counts, 3), at_least(counts, 4));
    let mut worth = 0;
    let mut carriers = if rules.kickers { threes.count_ones() } else { 0 };
    let groups = ones.count_ones() - carriers.min((ones & !threes).count_ones());
    carriers -= if rules.kickers { fours.count_ones() } else { 0 };
    let three = if rules.bomb_of_three { -9 } else { -14 };
    ranks(fours, |r| worth += r as i32 - 3);
    ranks(threes & !fours, |r| worth += r as i32 + three);
    ranks(ones & !threes, |r| {
        // What goes along with a trio costs no round of its own, and saves only what is low.
        let carried = carriers > 0 && r < 8;
        carriers = carriers.saturating_sub(1);
        worth += if carried { 0 } else { r as i32 - 14 };
    });
    (groups as u8, worth as f32)
}

/// How many plays of the same kind among `unseen` cards, by their ranks, would beat `m`: none of them is certain to be in one hand.
/// Bombs are not counted against other kinds.
#[inline]
pub fn beaters(m: Move, unseen: Cards, rules: &Rules) -> u8 {
    let power = u32::from(rules.red_ten_power && unseen.red() > 0);
    let n = match m.kind {
        Kind::Pass | Kind::Show | Kind::Keep => return 0,
        Kind::Solo | Kind::Straight => 1,
        Kind::Pair | Kind::PairChain => 2,
        Kind::FourSolos | Kind::FourPairs => 4,
        // Bombs of four stand above those of three.
        Kind::Bomb if m.rank >= 16 => {
            return (at_least(unseen.0, 4) & above(i32::from(m.rank) - 16)).count_ones() as u8;
        }
        Kind::Bomb => {
            let (threes, fours) = (at_least(unseen.0, 3), at_least(unseen.0, 4));
            return ((threes & above(m.rank.into())) | fours).count_ones() as u8;
        }
        _ => 3,
    };
    let mask = at_least(unseen.0, n);
    let mask = if m.len > 1 { mask & CHAIN } else { mask };
    let starts = (1..m.len).fold(mask, |starts, _| mask & (starts >> 4));
    let red = if m.kind == Kind::Solo && m.rank < crate::moves::RED_TEN_RANK { power } else { 0 };
    ((starts & above(m.rank.into())).count_ones() + red).min(u32::from(BEATERS - 1)) as u8
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Game, generate};
    use rlx::Rng;

    fn cards(text: &str) -> Cards {
        text.parse().unwrap()
    }
    fn plays(hand: Cards, rules: &Rules) -> u8 {
        Search::of(hand, rules).plays
    }

    /// Under the rules that the greedy bot's numbers were made for, the worth is its.
    #[test]
    fn the_worth_is_the_greedy_bots() {
        let (paper, mut rng) = (Rules::paper(), Rng::stream(8, 2));
        let mut range = (u8::MAX, 0);
        for _ in 0..5000 {
            let hand = Game::deal(&paper, &mut rng).hand(0);
            assert_eq!(Search::of(hand, &paper).worth, greedy::value(hand), "{hand}");
            let glance = Glance::of(hand, &paper);
            range = (range.0.min(glance.worth), range.1.max(glance.worth));
        }
        assert!(range.0 > 0 && u16::from(range.1) < WORTHS - 2, "{range:?}");
    }

    #[test]
    fn plays_of_hands_that_are_counted_by_eye() {
        let paper = Rules::paper();
        for (hand, n) in
            [("3", 1), ("34567", 1), ("3456", 4), ("334455", 1), ("33344", 1), ("3334", 1), ("345678833", 2)]
        {
            assert_eq!(plays(cards(hand), &paper), n, "{hand}");
        }
        let folk = Rules::folk4();
        for (hand, n) in [("345", 1), ("33344", 2), ("3344", 1), ("RR", 1), ("TR", 2), ("9TJR", 2)] {
            assert_eq!(plays(cards(hand), &folk), n, "{hand}");
        }
    }

    /// No way to play a hand alone is shorter: held to an exhaustive search over legal leads, for hands without bombs and fours, where
    /// it is exact up to the number of chains; on others it may be off by little, never below the truth by more than a kicker.
    #[test]
    fn plays_are_the_fewest_of_small_hands() {
        fn search(hand: Cards, rules: &Rules, limit: u8) -> u8 {
            if hand == Cards::NONE {
                return 0;
            }
            if limit == 0 {
                return 1;
            }
            let mut moves = Vec::new();
            generate(hand, Move::PASS, rules, &mut moves);
            moves.iter().fold(limit + 1, |best, m| {
                best.min(1 + search(Cards(hand.0 - m.cards.0), rules, best.saturating_sub(2)))
            })
        }
        let mut rng = Rng::stream(8, 1);
        let (mut exact, mut all) = (0, 0);
        for rules in [Rules::paper(), Rules::folk4()] {
            for _ in 0..150 {
                let full = Game::deal(&rules, &mut rng).hand(0);
                // Seven of its cards.
                let mut hand = Cards::NONE;
                for rank in 0..13 {
                    let n = full.count(rank).min(7 - hand.total());
                    if rank != TEN {
                        hand.0 += Cards::of(rank, n).0;
                    }
                }
                let (found, truth) = (plays(hand, &rules), search(hand, &rules, 7));
                all += 1;
                exact += u32::from(found == truth);
                assert!(found + 1 >= truth && found <= truth + 2, "{hand}: {found}, in truth {truth}");
            }
        }
        assert!(exact * 10 >= all * 9, "{exact} of {all}");
    }

    /// Counted by generating the moves of the unseen cards.
    #[test]
    fn beaters_are_the_higher_plays_of_the_kind() {
        let mut rng = Rng::stream(9, 1);
        for rules in [Rules::paper(), Rules::folk4()] {
            for _ in 0..200 {
                let game = Game::deal(&rules, &mut rng);
                let (hand, unseen) = (game.hand(0), game.hand(1));
                let (mut own, mut others) = (Vec::new(), Vec::new());
                generate(hand, Move::PASS, &rules, &mut own);
                for m in
                    own.iter().filter(|m| matches!(m.kind, Kind::Solo | Kind::Pair | Kind::Straight | Kind::PairChain))
                {
                    generate(unseen, *m, &rules, &mut others);
                    let same: std::collections::BTreeSet<u8> =
                        others.iter().filter(|o| o.kind == m.kind && o.len == m.len).map(|o| o.rank).collect();
                    // Two powerful red tens are no pair, and a black ten is no red one: off by one there.
                    let off = u8::from(rules.red_ten_power && unseen.count(TEN) > 0);
                    let (found, truth) = (beaters(*m, unseen, &rules), same.len() as u8);
                    assert!(found.abs_diff(truth) <= off, "{m:?} {unseen}: {found}, in truth {truth}");
                }
            }
        }
    }
}
