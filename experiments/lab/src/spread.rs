//! Evenly spread points for a search: an Owen-scrambled Sobol sequence, cut into groups of keys that are not tied to one another.
//!
//! The first 2^k points of a long Sobol sequence tie some of its dimensions whatever the scrambling: of eight points the fourth dimension is
//! in its upper half exactly where the third is, or is not. So keys come in groups of [`GROUP`] dimensions that are free of such ties, and
//! each group has a scrambling and an order of its own (padding, Burley 2020, section 4), whose seeds are chosen so that as few keys of it as can
//! be are tied to a key before it: none from 16 points on.
use rlx::Rng;

/// Dimensions of a group: those whose halves differ from 8 points on.
const GROUP: usize = 3;
/// Points of which ties are looked for, the more the worse. Of eight points a sequence whose every two neighbours are in different halves has
/// eight patterns, so that six keys can do without ties and not more; of 16 points it has 128.
const LOOKED_AT: [u32; 4] = [8, 16, 32, 64];
/// Seeds that are tried for a group.
const TRIES: u64 = 400;
/// Points of the sequence have 16 bits.
const BITS: u32 = 16;

/// The points of some keys; point n and key k are a number in [0, 1).
#[derive(Clone, Debug)]
pub struct Spread {
    /// Seeds of the scrambling and of the order, a pair a group.
    groups: Vec<(u32, u64)>,
}

impl Spread {
    /// For so many keys.
    pub fn new(seed: u64, keys: usize) -> Self {
        let mut out = Self { groups: Vec::new() };
        let mut halves: Vec<Vec<u64>> = Vec::new();
        while out.groups.len() * GROUP < keys {
            let number = out.groups.len() as u64;
            let mut rng = Rng::named(seed, "spread", number);
            let of = |group| (0..GROUP).map(move |d| upper_halves(group, d));
            let mut best = (usize::MAX, (0, 0));
            for _ in 0..TRIES {
                let group = (rng.bits() as u32, rng.bits());
                let ties = of(group).map(|a| halves.iter().map(|b| ties(&a, b)).sum::<usize>()).sum();
                if ties < best.0 {
                    best = (ties, group);
                }
                if ties == 0 {
                    break;
                }
            }
            out.groups.push(best.1);
            halves.extend(of(best.1));
        }
        out
    }

    /// Pairs of the first `keys` keys that are in equal or in opposite halves in all of the first `points` points.
    pub fn tied(&self, keys: usize, points: u64) -> Vec<(usize, usize)> {
        let halves = |k: usize| (0..points).map(|p| self.at(p, k) >= 0.5).collect::<Vec<bool>>();
        let all: Vec<Vec<bool>> = (0..keys).map(halves).collect();
        let tied = |a: &[bool], b: &[bool]| a.iter().zip(b).all(|(x, y)| (x == y) == (a[0] == b[0]));
        (0..keys).flat_map(|b| (0..b).map(move |a| (a, b))).filter(|(a, b)| tied(&all[*a], &all[*b])).collect()
    }

    /// Key `key` of point `point`.
    pub fn at(&self, point: u64, key: usize) -> f64 {
        sample(self.groups[key / GROUP], point as u32, key % GROUP)
    }
}

fn sample((scrambling, order): (u32, u64), point: u32, dimension: usize) -> f64 {
    f64::from(sobol_burley::sample(shuffled(point, order), dimension as u32, scrambling))
}

/// Another order of the points in which every aligned block of 2^k points is still one: a bit is turned over or not by what is above it.
fn shuffled(point: u32, seed: u64) -> u32 {
    let mut out = point & !((1 << BITS) - 1);
    for bit in (0..BITS).rev() {
        let above = u64::from(point & ((1 << BITS) - 1)) >> (bit + 1);
        let turn = mixed(seed ^ mixed(above << 8 | u64::from(bit))) as u32 & 1;
        out |= (point ^ (turn << bit)) & (1 << bit);
    }
    out
}

/// The finaliser of splitmix64 (Steele et al. 2014).
fn mixed(x: u64) -> u64 {
    let x = x.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    x ^ (x >> 31)
}

/// A bit for each of the first points: whether it is in the upper half. One number for each count of [`LOOKED_AT`].
fn upper_halves(group: (u32, u64), dimension: usize) -> Vec<u64> {
    let all = (0..64).fold(0u64, |bits, p| bits | u64::from(sample(group, p, dimension) >= 0.5) << p);
    LOOKED_AT.iter().map(|n| all & mask(*n)).collect()
}

fn mask(points: u32) -> u64 {
    u64::MAX >> (64 - points)
}

/// How bad it is that two keys have equal or opposite halves: each count of points at which they have, by its number.
fn ties(a: &[u64], b: &[u64]) -> usize {
    let tied = |((n, a), b): ((&u32, &u64), &u64)| a == b || *a == !b & mask(*n);
    LOOKED_AT.iter().zip(a).zip(b).filter(|x| tied(*x)).map(|((n, _), _)| *n as usize).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn d1_no_two_keys_of_a_sobol_search_are_in_lockstep() {
        // sobol_burley 0.5.0: of 8 points dimensions 3 and 4 are tied for every seed, of 16 points 1 and 6, of 32 points 9 and 11.
        for seed in [0, 5, 6, 123] {
            for keys in [2, 4, 7, 12, 20] {
                let spread = Spread::new(seed, keys);
                for count in [16, 24, 32, 64] {
                    assert_eq!(spread.tied(keys, count), [], "seed {seed}, {keys} keys, {count} points");
                }
                assert_eq!(spread.tied(keys.min(6), 8), [], "seed {seed}, {keys} keys, 8 points");
            }
        }
    }

    #[test]
    fn d1_each_key_is_still_evenly_spread_and_pairs_fill_their_squares() {
        let spread = Spread::new(3, 7);
        for key in 0..7 {
            for count in [8u64, 64, 256, 65_536] {
                let mut seen = vec![false; count as usize];
                (0..count).for_each(|p| seen[(spread.at(p, key) * count as f64) as usize] = true);
                assert!(seen.iter().all(|s| *s), "key {key}: each of {count} equal parts has a point");
            }
        }
        // Two dimensions of a group are a (0, 2)-sequence: 64 points, one in each of 8 x 8 squares.
        let mut squares = [false; 64];
        (0..64).for_each(|p| squares[(spread.at(p, 0) * 8.0) as usize * 8 + (spread.at(p, 1) * 8.0) as usize] = true);
        assert!(squares.iter().all(|s| *s));
    }
}
