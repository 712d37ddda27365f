//! Greedy's rules on what the others' moves say of their teams.
use crate::{
    Move, Player, Rules, Seat, Thought,
    greedy::{Values, best, scores},
    posterior::{Posterior, Sampler, SoftGreedy, Track, exact, past},
};
use rlx::Rng;
use std::collections::HashMap;

/// Plays greedy's scores under P(teammate) of the posterior, which takes the others for greedy players with noise. About 2 ms a
/// decision. Against greedy it knows better who is with whom (between 20 and 32 cards played .41 nats a guess, where the prior costs
/// .49) and wins as often: greedy's rules make little of what is known.
///
/// The particles of a seat go on from its last decision to the next. They are kept by what the seat saw, and where they were
/// forgotten they are made again from the first decision on, each time with a random stream that what was seen names. So what the
/// bot does depends on what its seat sees and on nothing else, however many tables it is asked at in between.
#[derive(Clone, Debug)]
pub struct Belief {
    sampler: Sampler,
    others: SoftGreedy,
    values: Values,
    /// Of the tables' rules: others' particles are forgotten.
    rules: Option<Rules>,
    /// Particles of the newer positions, and of those before: when the newer are many, they become the older.
    kept: [HashMap<u64, Track>; 2],
}

/// Positions in one half of what is kept, of about 4 KiB each.
const KEPT: usize = 8192;

/// Hands that are rather counted than sampled: about as much work.
const COUNTED: usize = 400;
const NEVER: &str = "greedy's scores never fail";

impl Default for Belief {
    fn default() -> Self {
        Self::new(Sampler { particles: 64, steps: 4 }, SoftGreedy::new(3.0, 0.05).expect("both in range"))
    }
}

impl Belief {
    /// With that sampler, and others that play like that.
    pub fn new(sampler: Sampler, others: SoftGreedy) -> Self {
        Self { sampler, others, values: Values::default(), rules: None, kept: Default::default() }
    }

    /// Forgets what it has kept, which changes nothing but how long the next answer takes.
    pub fn forget(&mut self) {
        self.kept.iter_mut().for_each(HashMap::clear);
    }

    /// What it believes at a position where its seat has a choice.
    pub fn posterior(&mut self, seat: Seat<'_>) -> Posterior {
        if self.rules.as_ref() != Some(seat.rules()) {
            self.rules = Some(seat.rules().clone());
            self.kept = Default::default();
        }
        let counted = exact(seat, &mut self.others, COUNTED).expect(NEVER);
        if let Some(posterior) = counted {
            return posterior;
        }
        let past = past(seat);
        let mut seats: Vec<Seat<'_>> = past.iter().map(|game| Seat::new(game, seat.seat())).collect();
        seats.push(seat);
        let keys: Vec<u64> = seats.iter().map(|s| key(*s)).collect();
        // Not the position itself, which may be asked about twice: its particles come from its past.
        let find = |key: &u64| self.kept.iter().find_map(|kept| kept.get(key));
        let known = keys[..past.len()].iter().enumerate().rev().find_map(|(i, k)| Some((i + 1, find(k)?.clone())));
        let (from, mut track) = known.unwrap_or_else(|| (0, Track::new(self.sampler)));
        let mut last = None;
        for (seat, key) in seats[from..].iter().zip(&keys[from..]) {
            let posterior = track.posterior(*seat, &mut self.others, &mut Rng::stream(*key, 0));
            last = Some(posterior.expect(NEVER));
            if self.kept[0].len() >= KEPT {
                self.kept.swap(0, 1);
                self.kept[0].clear();
            }
            self.kept[0].insert(*key, track.clone());
        }
        last.expect("the position itself is the last")
    }
}

/// All that a seat has seen, as a number.
fn key(seat: Seat<'_>) -> u64 {
    // The finaliser of SplitMix64 on one word after the other.
    let mix = |h: u64, word: u64| {
        let x = (h ^ word).wrapping_add(0x9E37_79B9_7F4A_7C15);
        let x = (x ^ (x >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let x = (x ^ (x >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        x ^ (x >> 31)
    };
    let start = mix(mix(0, seat.dealt().0), (seat.seat() * 4 + seat.leader()) as u64 * 2 + u64::from(seat.asked()));
    seat.history().iter().fold(start, |h, p| mix(mix(h, p.play.cards.0), u64::from(p.seat) << 8 | p.play.kind as u64))
}

impl Player for Belief {
    fn think(&mut self, seat: Seat<'_>, legal: &[Move], _: &mut Rng) -> Thought {
        if legal.len() == 1 {
            return Thought::default();
        }
        let teammates = self.posterior(seat).teammates(seat);
        Thought {
            choice: best(&scores(seat, seat.hand(), legal, &teammates, &mut self.values)),
            values: None,
            teammates: Some(teammates.map(|p| p as f32)),
        }
    }
}
