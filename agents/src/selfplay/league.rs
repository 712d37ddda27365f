//! Who sits opposite: at a share of the tables the policy in training plays one team, and the world's own bots or the policy as it was
//! earlier in the run play the other.
use super::{config::SelfPlayConfig, hidden::Hidden};
use rlx::{Rng, Spec};
use serde::{Deserialize, Serialize};

/// Which opponents there are.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct League {
    /// Share of the games that are played against them.
    share: f64,
    /// The world's bots among them, by number.
    bots: Vec<usize>,
    /// Most earlier policies that are kept.
    past: usize,
    /// Steps between two of them.
    period: u64,
}

/// Who plays a seat that is not the policy's in training.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(super) enum Opponent {
    /// The world's bot of that number.
    Bot(u32),
    /// The earlier policy in that place of the pool.
    Past(u32),
}

/// A table's opponent, and the seats of the policy in training as a bit set: of at most eight, by the byte of a checkpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Seating {
    pub(super) opponent: Option<Opponent>,
    pub(super) mine: u8,
}

impl Seating {
    /// The policy in training plays all seats.
    pub(super) const ALL: Self = Self { opponent: None, mine: u8::MAX };
}

/// The earlier policies.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Pool {
    pub(super) past: Vec<Vec<f32>>,
    taken: u64,
    next: u64,
}

impl Pool {
    /// Keeps `params` when it is time to: the oldest leaves. Games that are played against it go on against its successor.
    pub(super) fn offer(&mut self, league: &League, steps: u64, params: &[f32]) {
        if league.share == 0.0 || league.past == 0 || steps < self.next {
            return;
        }
        self.next = steps + league.period;
        match self.past.len() {
            n if n < league.past => self.past.push(params.to_vec()),
            n => self.past[self.taken as usize % n].copy_from_slice(params),
        }
        self.taken += 1;
    }
}

impl League {
    /// That of a config, in a world whose bots are known to be there.
    pub(super) fn new(config: &SelfPlayConfig, spec: &Spec) -> Self {
        let number = |name: &String| spec.bots.iter().position(|b| b == name);
        Self {
            share: config.league,
            bots: config.league_bots.iter().filter_map(number).collect(),
            past: config.league_past,
            period: config.league_period,
        }
    }

    /// Who sits at a table whose game begins. Teams are known to the league, so that a whole team is the policy's; in worlds without
    /// teams, every other seat.
    pub(super) fn seat(&self, pool: &Pool, hidden: Option<(&Hidden, &[u8])>, rng: &mut Rng) -> Seating {
        let others = self.bots.len() + pool.past.len();
        if self.share == 0.0 || others == 0 || rng.unit() >= self.share {
            return Seating::ALL;
        }
        let k = rng.below(others);
        let opponent = match self.bots.get(k) {
            Some(bot) => Opponent::Bot(*bot as u32),
            None => Opponent::Past((k - self.bots.len()) as u32),
        };
        let first = rng.below(2) == 0;
        let mine = match hidden {
            Some((hidden, row)) => hidden.side(row, first),
            None if first => 0b0101_0101,
            None => 0b1010_1010,
        };
        Seating { opponent: Some(opponent), mine }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_share_of_the_games_is_against_others_and_both_sides_are_played() {
        let league = League { share: 0.3, bots: vec![1], past: 2, period: 10 };
        let (mut pool, mut rng) = (Pool::default(), Rng::stream(3, 0));
        for steps in 0..35 {
            pool.offer(&league, steps, &[steps as f32]);
        }
        // Taken at 0, 10, 20 and 30: the two newest are left, the oldest was replaced first.
        assert_eq!(pool.past, [vec![20.0], vec![30.0]]);
        let (mut others, mut sides) = (std::collections::BTreeMap::new(), std::collections::BTreeSet::new());
        for _ in 0..10_000 {
            let seating = league.seat(&pool, None, &mut rng);
            match seating.opponent {
                Some(o) => {
                    *others.entry(o).or_insert(0) += 1;
                    sides.insert(seating.mine & 15);
                }
                None => assert_eq!(seating, Seating::ALL),
            }
        }
        assert_eq!(others.len(), 3, "the bot and two earlier policies: {others:?}");
        assert!(others.values().all(|n| (800..1200).contains(n)), "{others:?}");
        assert_eq!(sides.into_iter().collect::<Vec<_>>(), [0b0101, 0b1010]);
    }

    #[test]
    fn without_a_share_nothing_is_kept_and_nobody_else_plays() {
        let league = League { share: 0.0, bots: vec![0], past: 2, period: 1 };
        let mut pool = Pool::default();
        pool.offer(&league, 5, &[1.0]);
        assert!(pool.past.is_empty());
        assert_eq!(league.seat(&pool, None, &mut Rng::stream(1, 1)), Seating::ALL);
    }
}
