//! The posterior against enumeration, against the prior where moves say nothing, against the truth where they do.
use rlx::{Result, Rng};
use rlx_red10::{
    Cards, Game, Kind, Likelihood, Move, Posterior, Rules, SEATS, Sampler, Seat, bots,
    cards::TEN,
    posterior::{SoftGreedy, Track, exact, softmax},
    rules::{Leader, Scoring},
};
use std::collections::BTreeSet;

/// A made-up player: what it does depends on its whole hand and on nothing that makes sense.
#[derive(Default)]
struct Odd(Vec<f64>);

impl Likelihood for Odd {
    fn ask(&mut self, seat: Seat<'_>, legal: &[Move], chosen: usize) {
        let odd = |m: &Move| {
            let mixed = (seat.hand().0 ^ m.cards.0.rotate_left(7)).wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 60;
            mixed as f32 + 9.0 * seat.hand().red() as f32 * m.cards.red() as f32
        };
        self.0.push(softmax(&legal.iter().map(odd).collect::<Vec<_>>(), chosen, 8.0, 0.01));
    }
    fn answer(&mut self, out: &mut Vec<f64>) -> Result<()> {
        out.append(&mut self.0);
        Ok(())
    }
}

/// A player who draws single cards whatever they are: a move is as likely as there are ways to take its cards from the hand.
#[derive(Default)]
struct Blind(Vec<f64>);

impl Likelihood for Blind {
    fn ask(&mut self, seat: Seat<'_>, legal: &[Move], chosen: usize) {
        let keep = matches!(legal[chosen].kind, Kind::Show | Kind::Keep);
        self.0.push(if keep { 0.0 } else { ways(seat.hand(), legal[chosen].cards).ln() });
    }
    fn answer(&mut self, out: &mut Vec<f64>) -> Result<()> {
        out.append(&mut self.0);
        Ok(())
    }
}

fn kinds(cards: Cards) -> [u64; 16] {
    std::array::from_fn(|r| match r {
        15 => cards.red(),
        TEN => cards.count(TEN) - cards.red(),
        _ => cards.count(r),
    })
}

fn ways(hand: Cards, part: Cards) -> f64 {
    let choose = |n: u64, k: u64| (0..k).map(|i| (n - i) as f64 / (i + 1) as f64).product::<f64>();
    kinds(hand).into_iter().zip(kinds(part)).map(|(n, k)| choose(n, k)).product()
}

/// Every way to split the cards that `seat` has not seen, as whole deals.
fn deals(game: &Game, seat: usize) -> BTreeSet<[Cards; SEATS]> {
    let unseen = game.unseen(seat);
    let mut pool = Vec::new();
    for (r, n) in kinds(unseen).into_iter().enumerate() {
        let card = if r == 15 { Cards::RED_TEN } else { Cards::of(r, 1) };
        pool.extend((0..n).map(|_| card));
    }
    let room: [usize; SEATS] = std::array::from_fn(|s| if s == seat { 0 } else { game.hand(s).total() as usize });
    let mut out = BTreeSet::new();
    fn go(pool: &[Cards], room: [usize; SEATS], hands: [Cards; SEATS], out: &mut BTreeSet<[Cards; SEATS]>) {
        let Some((card, rest)) = pool.split_first() else {
            out.insert(hands);
            return;
        };
        for s in (0..SEATS).filter(|&s| room[s] > 0) {
            let (mut room, mut hands) = (room, hands);
            room[s] -= 1;
            hands[s].0 += card.0;
            go(rest, room, hands, out);
        }
    }
    let mut start = [Cards::NONE; SEATS];
    start[seat] = game.hand(seat);
    go(&pool, room, start, &mut out);
    out
}

/// The posterior by the definition: each deal as often as suits can be dealt that way, times pi of each of the others' decisions, in
/// a game of that deal played from the start through the public doors of the engine.
fn by_definition(game: &Game, me: usize, pi: &mut dyn Likelihood) -> [f64; 16] {
    let rules = game.rules();
    let mut holders = [0.0; 16];
    let mut legal = Vec::new();
    'deals: for hands in deals(game, me) {
        let dealt: [Cards; SEATS] = std::array::from_fn(|s| Cards(hands[s].0 + game.played(s).0));
        let Ok(mut other) = Game::from_hands(rules, dealt, game.leader() as u8) else { continue };
        let mut weight = 1.0;
        let mut left = Cards::deck(rules.jokers);
        for hand in dealt {
            weight *= ways(left, hand);
            left.0 -= hand.0;
        }
        let leading = match rules.leader {
            Leader::Seat0 => None,
            Leader::Heart3 => Some(0),
            Leader::Heart4 => Some(1),
        };
        weight *= leading.map_or(1.0, |rank| dealt[game.leader()].count(rank) as f64 / 4.0);
        let mut history = game.history().iter().peekable();
        let mut likely = |other: &Game, play: Move| {
            other.legal(&mut legal);
            let Some(chosen) = legal.iter().position(|m| *m == play) else { return false };
            if other.turn() != me && legal.len() > 1 {
                pi.ask(Seat::new(other, other.turn()), &legal, chosen);
            }
            true
        };
        while other.asking() {
            let turn = other.turn();
            if Seat::new(game, me).asked() && turn == me {
                break;
            }
            let shows = history.peek().filter(|p| p.play.kind == Kind::Show && usize::from(p.seat) == turn);
            let play = shows.map_or(Move { kind: Kind::Keep, ..Move::PASS }, |p| p.play);
            if shows.is_some() {
                history.next();
            }
            if !likely(&other, play) {
                pi.answer(&mut Vec::new()).unwrap();
                continue 'deals;
            }
            other.play(play);
        }
        for p in history {
            if p.play.kind == Kind::Show || other.is_over() || !likely(&other, p.play) {
                pi.answer(&mut Vec::new()).unwrap();
                continue 'deals;
            }
            other.play(p.play);
        }
        let mut answers = Vec::new();
        pi.answer(&mut answers).unwrap();
        if !other.is_over() {
            holders[usize::from(other.red_team())] += weight * answers.iter().sum::<f64>().exp();
        }
    }
    let sum: f64 = holders.iter().sum();
    holders.map(|h| h / sum)
}

fn all_rules() -> Vec<Rules> {
    let folk = Rules::folk4();
    vec![Rules::paper(), folk.clone(), Rules { scoring: Scoring::FirstOut, leader: Leader::Heart4, ..folk }]
}

/// Who plays in these tests.
fn player() -> SoftGreedy {
    SoftGreedy::new(1.5, 0.05).unwrap()
}

/// Positions of games between greedy players with noise in which somebody has a choice and the teams are not public.
fn positions(rules: &Rules, seed: u64, games: u64, mut each: impl FnMut(&Game, &mut Rng)) {
    let mut legal = Vec::new();
    let mut pi = player();
    for g in 0..games {
        let mut rng = Rng::stream(seed, g);
        let mut game = Game::deal(rules, &mut rng);
        while !game.is_over() {
            game.legal(&mut legal);
            if legal.len() > 1 && !Seat::new(&game, game.turn()).is_public() {
                each(&game, &mut rng);
            }
            game.play(legal[draw(&mut pi, &game, &legal, &mut rng)]);
        }
    }
}

/// A move as the likelihood says it is drawn.
fn draw(pi: &mut SoftGreedy, game: &Game, legal: &[Move], rng: &mut Rng) -> usize {
    let scores = pi.scores(Seat::new(game, game.turn()), legal);
    let mut left = rng.unit();
    for i in 0..legal.len() {
        left -= softmax(&scores, i, pi.temperature, pi.floor).exp();
        if left < 0.0 {
            return i;
        }
    }
    legal.len() - 1
}

fn close(a: &[f64; 16], b: &[f64; 16], by: f64) -> bool {
    a.iter().zip(b).all(|(a, b)| (a - b).abs() <= by)
}

#[test]
fn enumeration_is_the_definition() {
    for (k, rules) in all_rules().iter().enumerate() {
        let mut seen = 0;
        positions(rules, 10 + k as u64, 400, |game, _| {
            let me = game.turn();
            if game.unseen(me).total() > 8 {
                return;
            }
            seen += 1;
            let seat = Seat::new(game, me);
            for pi in [&mut Odd::default() as &mut dyn Likelihood, &mut player()] {
                let (a, b) = (exact(seat, pi, 100_000).unwrap().unwrap().holders, by_definition(game, me, pi));
                assert!(close(&a, &b, 1e-9), "{a:?}\n{b:?}");
            }
        });
        assert!(seen > 20, "{seen} positions");
    }
}

/// Before the first lead too, where who was passed over and who was not asked yet differ.
#[test]
fn the_sampler_agrees_with_enumeration() {
    for (k, rules) in all_rules().iter().enumerate() {
        let mut seen = 0;
        positions(rules, 20 + k as u64, 300, |game, rng| {
            let seat = Seat::new(game, game.turn());
            let unseen = seat.unseen().total();
            if !(6..=12).contains(&unseen) || seen >= 12 || rng.below(3) > 0 {
                return;
            }
            seen += 1;
            for pi in [&mut Odd::default() as &mut dyn Likelihood, &mut player()] {
                let expected = exact(seat, pi, 1_000_000).unwrap().unwrap().holders;
                let sampler = Sampler { particles: 128, steps: 12 };
                let n = 24;
                let runs: Vec<_> = (0..n).map(|_| sampler.posterior(seat, pi, rng).unwrap().holders).collect();
                for set in 0..16 {
                    let mean = runs.iter().map(|r| r[set]).sum::<f64>() / f64::from(n);
                    let variance = runs.iter().map(|r| (r[set] - mean).powi(2)).sum::<f64>() / f64::from(n - 1);
                    let error = (variance / f64::from(n)).sqrt();
                    // Five standard errors, and the particle that the prior counts for.
                    let bound = 5.0 * error + 1.5 / 64.0;
                    assert!((mean - expected[set]).abs() < bound, "{set}: {mean} for {}, {error}", expected[set]);
                }
            }
        });
        assert!(seen >= 10, "{seen} positions");
    }
}

/// Particles that are kept from one decision of a seat to the next, from before the first lead on, end where enumeration does.
#[test]
fn particles_that_are_kept_agree_with_enumeration() {
    for (k, rules) in all_rules().iter().enumerate() {
        let mut pi = player();
        let sampler = Sampler { particles: 64, steps: 8 };
        let mut tracks: [Track; SEATS] = std::array::from_fn(|_| Track::new(sampler));
        let (mut plies, mut apart, mut off) = (usize::MAX, Vec::new(), 0.0);
        positions(rules, 81 + k as u64, 140, |game, rng| {
            if game.history().len() < plies {
                tracks = std::array::from_fn(|_| Track::new(sampler));
            }
            plies = game.history().len();
            let seat = Seat::new(game, game.turn());
            let kept = tracks[seat.seat()].posterior(seat, &mut pi, rng).unwrap().teammates(seat);
            if seat.unseen().total() <= 12 {
                let counted = exact(seat, &mut pi, 10_000).unwrap().unwrap().teammates(seat);
                for s in (0..SEATS).filter(|&s| s != seat.seat()) {
                    apart.push((kept[s] - counted[s]).abs());
                    off += kept[s] - counted[s];
                }
            }
        });
        // 64 draws of a share p are off by .05 at p = 1/2; most shares here are near 0 or 1.
        let n = apart.len() as f64;
        let mean = apart.iter().sum::<f64>() / n;
        assert!(n > 30.0 && mean < 0.07 && (off / n).abs() < 0.02, "{mean} apart, {} off, {n} guesses", off / n);
    }
}

#[test]
fn moves_that_say_nothing_leave_the_prior() {
    let sampler = Sampler { particles: 400, steps: 2 };
    positions(&Rules::paper(), 31, 60, |game, rng| {
        let seat = Seat::new(game, game.turn());
        let (prior, blind) = (seat.prior(), &mut Blind::default());
        let sampled = sampler.posterior(seat, blind, rng).unwrap();
        // Strata start off by one particle at most, steps are chance: five standard errors of 400 draws.
        let near = |(a, b): (&f64, &f64)| (a - b).abs() <= 5.0 * (b * (1.0 - b) / 400.0).sqrt() + 1.0 / 400.0;
        assert!(sampled.holders.iter().zip(&prior).all(near), "{sampled:?}\n{prior:?}");
        if seat.unseen().total() <= 12 {
            let counted: Posterior = exact(seat, blind, 1_000_000).unwrap().unwrap();
            assert!(close(&counted.holders, &prior, 1e-9), "{counted:?}\n{prior:?}");
        }
    });
}

/// Guesses in bins of a fifth, with what they gained on the prior.
#[derive(Default)]
struct Guesses {
    bins: [(f64, f64, f64); 5],
    gains: Vec<f64>,
}

impl Guesses {
    fn take(&mut self, game: &Game, seat: Seat<'_>, p: &Posterior) {
        let (guess, prior) = (p.teammates(seat), seat.teammates(&seat.prior()));
        for s in (0..SEATS).filter(|&s| s != seat.seat()) {
            let truth = f64::from(u8::from(game.teammates(s, seat.seat())));
            let cost = |p: f64| -(truth * p.max(1e-6).ln() + (1.0 - truth) * (1.0 - p).max(1e-6).ln());
            self.gains.push(cost(prior[s]) - cost(guess[s]));
            let bin = &mut self.bins[((guess[s] * 5.0) as usize).min(4)];
            *bin = (bin.0 + 1.0, bin.1 + guess[s], bin.2 + truth);
        }
    }

    /// Demands that guesses of p came true in a share p of cases. The three guesses of a position and the positions of a game hang
    /// together: as if a sixth of them were independent.
    fn hold(&self) {
        for (n, guess, truth) in self.bins {
            let share = guess / n.max(1.0);
            let error = (share * (1.0 - share) / (n / 6.0)).sqrt();
            assert!(
                n == 0.0 || (guess - truth).abs() / n < 3.5 * error + 0.01,
                "{n} guesses of {share}: {}",
                truth / n
            );
        }
    }

    /// The mean gain a guess and its standard error.
    fn gain(&self) -> (f64, f64) {
        let n = self.gains.len() as f64;
        let mean = self.gains.iter().sum::<f64>() / n;
        let variance = self.gains.iter().map(|g| (g - mean).powi(2)).sum::<f64>() / n;
        (mean, (variance / (n / 6.0)).sqrt())
    }
}

/// In games of the very players that the likelihood describes, a posterior of p comes true in a share p of cases, and costs less
/// than the prior: enumerated late in the game, sampled all through it.
#[test]
fn guesses_come_true_as_often_as_they_say() {
    for (k, rules) in [Rules::paper(), Rules::folk4()].iter().enumerate() {
        let (mut pi, mut counted) = (player(), Guesses::default());
        positions(rules, 41 + k as u64, 400, |game, _| {
            let seat = Seat::new(game, game.turn());
            if seat.unseen().total() <= 11 {
                counted.take(game, seat, &exact(seat, &mut pi, 10_000).unwrap().unwrap());
            }
        });
        counted.hold();
        let (gain, error) = counted.gain();
        assert!(gain > 0.05 && gain > 3.0 * error, "{gain} nats a guess better than the prior, standard error {error}");
    }
    let sampler = Sampler { particles: 128, steps: 8 };
    let (mut pi, mut sampled, mut track) = (player(), Guesses::default(), Track::new(sampler));
    // One seat a game.
    let (mut plies, mut me) = (usize::MAX, 0);
    positions(&Rules::paper(), 51, 60, |game, rng| {
        let seat = Seat::new(game, game.turn());
        if game.history().len() < plies {
            (me, track) = (rng.below(SEATS), Track::new(sampler));
        }
        plies = game.history().len();
        if game.turn() == me {
            sampled.take(game, seat, &track.posterior(seat, &mut pi, rng).unwrap());
        }
    });
    sampled.hold();
}

/// What the bot believes depends neither on hidden cards, nor on where else or how often it was asked.
#[test]
fn belief_knows_what_its_seat_saw_and_nothing_else() {
    for (k, rules) in [Rules::paper(), Rules::folk4()].iter().enumerate() {
        // Asked at every table all along; asked at single positions only.
        let (mut steady, mut hardly) = (bots::Belief::default(), bots::Belief::default());
        let mut compared = 0;
        positions(rules, 61 + k as u64, 40, |game, _| {
            let seat = Seat::new(game, game.turn());
            if seat.unseen().total() > 13 {
                steady.posterior(seat);
                return;
            }
            compared += 1;
            let believed = steady.posterior(seat);
            assert_eq!(hardly.posterior(seat), believed);
            // Every tenth of the deals that the seat cannot rule out, played to the same position.
            for hands in deals(game, game.turn()).into_iter().step_by(10) {
                let dealt: [Cards; SEATS] = std::array::from_fn(|s| Cards(hands[s].0 + game.played(s).0));
                let Ok(mut other) = Game::from_hands(rules, dealt, game.leader() as u8) else { continue };
                let mut history = game.history().iter().peekable();
                while other.asking() {
                    let turn = other.turn();
                    let shows = history.next_if(|p| p.play.kind == Kind::Show && usize::from(p.seat) == turn);
                    other.play(shows.map_or(Move { kind: Kind::Keep, ..Move::PASS }, |p| p.play));
                }
                if history.all(|p| {
                    let goes_on = !other.is_over() && other.try_play(p.play).is_ok();
                    goes_on && !other.is_over()
                }) {
                    assert_eq!(bots::Belief::default().posterior(Seat::new(&other, game.turn())), believed);
                    return;
                }
            }
        });
        assert!(compared > 5, "{compared}");
    }
}
