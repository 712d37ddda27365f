//! A rule bot: it values a hand by the best way to take it apart, as the RHCP rule for DouDizhu does (each play costs a round, high
//! cards and bombs are worth something), and leaves tricks to players who are likely on its side.
use crate::{
    Cards, Kind, Move, Player, SEATS, Seat, Thought,
    moves::{CHAIN, TOPS, at_least, ranks, run},
};
use rlx::Rng;

/// What a round costs, in the units of [`value`].
pub(crate) const ROUND: f32 = 7.0;
const HOPELESS: f32 = -1e9;

/// Plays what leaves the best hand.
#[derive(Clone, Debug, Default)]
pub struct Greedy {
    values: Values,
}

impl Player for Greedy {
    fn think(&mut self, seat: Seat<'_>, legal: &[Move], _: &mut Rng) -> Thought {
        let teammates = seat.teammates(&seat.prior());
        Thought {
            choice: best(&scores(seat, seat.hand(), legal, &teammates, &mut self.values)),
            values: None,
            teammates: Some(teammates.map(|p| p as f32)),
        }
    }
}

/// The index of the highest score, the first of equals.
pub(crate) fn best(scores: &[f32]) -> usize {
    (0..scores.len()).fold(0, |b, i| if scores[i] > scores[b] { i } else { b })
}

/// A score of each of the legal moves of who is to play, given the hand and P(each seat is a teammate): what belief's likelihood is
/// made of too, which puts hands in that the seat may have.
pub fn scores(seat: Seat<'_>, hand: Cards, legal: &[Move], teammates: &[f64; SEATS], values: &mut Values) -> Vec<f32> {
    let me = seat.turn();
    let left = |s: usize| seat.left(s);
    let enemies = || (0..SEATS).filter(|&s| s != me && !seat.out().contains(&(s as u8)) && teammates[s] < 0.5);
    let nearest = enemies().map(left).min().unwrap_or(13);
    let now = values.of(hand);
    let mut score = |m: &Move| -> f32 {
        match m.kind {
            // To show doubles the stake: only a strong hand does.
            Kind::Show => return now + 4.0 * ROUND,
            Kind::Keep => return 0.0,
            Kind::Pass => {
                let friend = seat.top_seat().map_or(0.5, |s| teammates[s]) as f32;
                let close = seat.top_seat().map_or(13, left);
                // A friend's trick is worth leaving; an enemy's who is nearly out is not.
                let danger = if friend < 0.5 && close <= 3 { 3.0 * (4 - close) as f32 } else { 0.0 };
                return now - ROUND + 2.0 * ROUND * (friend - 0.3).max(0.0) - danger;
            }
            _ => {}
        }
        let after = Cards(hand.0 - m.cards.0);
        if after == Cards::NONE {
            return 1000.0;
        }
        let mut score = values.of(after);
        if seat.leads() {
            // Low cards first, many at a time; nothing that an enemy who is nearly out can follow.
            score += 0.3 * m.cards.total() as f32 - 0.1 * f32::from(m.rank.min(15));
            if nearest <= 2 && m.cards.total() == nearest && m.kind != Kind::Bomb {
                score -= ROUND - 0.3 * f32::from(m.rank.min(15));
            }
        } else if nearest <= 2 {
            // The higher, the harder to follow.
            score += 0.3 * f32::from(m.rank.min(15));
        }
        // A shown red ten tells everybody: the black one first.
        score - 0.5 * m.cards.red() as f32
    };
    legal.iter().map(&mut score).collect()
}

/// `value`, remembered: hands recur from move to move, and in the posterior's deals all the time. Each hand has one place, where the
/// newest that belongs there stands, so that memory is bounded and the values are those of `value` to the bit.
#[derive(Clone, Debug, Default)]
pub struct Values {
    places: Vec<(u64, f32)>,
}

impl Values {
    /// 2^14 places, 256 KiB: what a core's cache holds.
    const BITS: u32 = 14;

    /// What a hand is worth.
    pub fn of(&mut self, hand: Cards) -> f32 {
        if self.places.is_empty() {
            // No hand is all ones: 15 cards of a rank.
            self.places.resize(1 << Self::BITS, (u64::MAX, 0.0));
        }
        let counts = hand.0 & 0x0FFF_FFFF_FFFF_FFFF;
        // Fibonacci hashing (Knuth 6.4): the upper bits of a product with 2^64 / the golden ratio.
        let place = &mut self.places[(counts.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> (64 - Self::BITS)) as usize];
        if place.0 != counts {
            *place = (counts, value(hand));
        }
        place.1
    }
}

/// What a hand is worth: the best over ways to take it apart of the sum over its plays of the play's worth less [`ROUND`].
pub fn value(hand: Cards) -> f32 {
    let mut best = HOPELESS;
    take_chains(hand.0 & 0x0FFF_FFFF_FFFF_FFFF, 0.0, (0, 0), 0, &mut best);
    best
}

/// Tries chains from `from` on (shape, start), each either taken or left, then values the rest. `counts` are a hand's.
fn take_chains(counts: u64, sum: f32, from: (usize, usize), depth: usize, best: &mut f32) {
    *best = best.max(sum + rest(counts));
    if depth == 3 {
        return;
    }
    // Shapes: straights of 5 and more, chains of 3 pairs and more, of 2 trios and more.
    for (shape, (n, min)) in [(1, 5), (2, 3), (3, 2)].into_iter().enumerate().skip(from.0) {
        let mask = at_least(counts, n) & CHAIN;
        let mut starts = (1..min).fold(mask, |starts, _| mask & (starts >> 4));
        if shape == from.0 {
            starts &= u64::MAX << (4 * from.1);
        }
        ranks(starts, |start| {
            let len = (!(mask >> (4 * start)) & TOPS).trailing_zeros() as usize / 4;
            // The longest one, and for straights all that end where pairs begin to be torn.
            let lengths = if shape == 0 { min..=len } else { len..=len };
            for len in lengths {
                let worth = (start + len) as f32 / 2.0 - 4.0;
                let sum = sum + worth.max(0.0) - ROUND + if shape == 2 { 2.0 } else { 0.0 };
                take_chains(counts - run(start, len, n), sum, (shape, start), depth + 1, best);
            }
        });
    }
}

/// The rest as fours, trios with the lowest of what is left, pairs and single cards. Every part is a whole number.
fn rest(counts: u64) -> f32 {
    let (ones, threes, fours) = (at_least(counts, 1), at_least(counts, 3), at_least(counts, 4));
    let mut sum = 0;
    let mut trios = (threes & !fours).count_ones();
    ranks(fours, |r| sum += r as i32 - 3);
    ranks(threes & !fours, |r| sum += r as i32 - 14);
    ranks(ones & !threes, |r| {
        // What goes along with a trio costs no round of its own, and saves only what is low.
        let carried = trios > 0 && r < 8;
        trios = trios.saturating_sub(1);
        sum += if carried { 0 } else { r as i32 - 14 };
    });
    sum as f32
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Game, Rules};

    /// [`value`] rank by rank.
    fn plain(hand: Cards) -> f32 {
        let counts: [u8; 15] = std::array::from_fn(|r| hand.count(r) as u8);
        let mut best = HOPELESS;
        plain_chains(&mut counts.clone(), 0.0, 0, 0, &mut best);
        best
    }

    /// Tries chains from `from` on (shape, start), each either taken or left, then values the rest.
    fn plain_chains(counts: &mut [u8; 15], sum: f32, from: usize, depth: usize, best: &mut f32) {
        *best = best.max(sum + plain_rest(counts));
        if depth == 3 {
            return;
        }
        // Shapes: straights of 5 and more, chains of 3 pairs and more, of 2 trios and more.
        for slot in from..36 {
            let (shape, start) = (slot / 12, slot % 12);
            let (n, min) = [(1u8, 5), (2, 3), (3, 2)][shape];
            let mut len = 0;
            while start + len < 12 && counts[start + len] >= n {
                len += 1;
            }
            if len < min {
                continue;
            }
            // The longest one, and for straights all that end where pairs begin to be torn.
            let lengths = if shape == 0 { min..=len } else { len..=len };
            for len in lengths {
                (start..start + len).for_each(|r| counts[r] -= n);
                let worth = (start + len) as f32 / 2.0 - 4.0;
                plain_chains(
                    counts,
                    sum + worth.max(0.0) - ROUND + if shape == 2 { 2.0 } else { 0.0 },
                    slot,
                    depth + 1,
                    best,
                );
                (start..start + len).for_each(|r| counts[r] += n);
            }
        }
    }

    /// The rest as fours, trios with the lowest of what is left, pairs and single cards.
    fn plain_rest(counts: &[u8; 15]) -> f32 {
        let (mut sum, mut trios) = (0.0, 0);
        // Low pairs and single cards that trios may carry, from low to high.
        let (mut carried, mut free) = ([0.0f32; 15], 0);
        for (r, &count) in counts.iter().enumerate() {
            let rank = r as f32 - 7.0;
            match count {
                0 => {}
                1 | 2 => {
                    carried[free] = rank - ROUND;
                    free += 1;
                }
                3 => {
                    sum += rank - ROUND;
                    trios += 1;
                }
                _ => sum += r as f32 + 4.0 - ROUND,
            }
        }
        for (i, worth) in carried[..free].iter().enumerate() {
            // What goes along with a trio costs no round of its own, and saves only what is low.
            if i >= trios || *worth > -ROUND {
                sum += worth;
            }
        }
        sum
    }

    #[test]
    fn values_are_those_of_the_plain_way() {
        let mut rng = Rng::stream(1, 1);
        let mut values = Values::default();
        for i in 0..20_000 {
            let mut cards = Game::deal(&Rules { jokers: i % 3 == 0, ..Rules::paper() }, &mut rng).hand(0);
            while cards != Cards::NONE {
                assert_eq!((value(cards), values.of(cards)), (plain(cards), plain(cards)), "{cards}");
                let rank = rng.below(15);
                let black = cards.count(rank) - if rank == 7 { cards.red() } else { 0 };
                cards.0 -= if black > 0 {
                    Cards::of(rank, 1).0
                } else if rank == 7 && cards.red() > 0 {
                    Cards::RED_TEN.0
                } else {
                    0
                };
            }
        }
    }
}
