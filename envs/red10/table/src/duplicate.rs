//! Judging by duplicate deals: every deck is played in all four rotations, first by A with the red tens against B, then swapped,
//! and with mixed teams. Intervals are over decks, since games of one deck are not independent.
use crate::agent;
use crate::agent::Agent;
use crate::agent::Waiting;
use anyhow::Result;
use rlx::{Estimate, EvalPlan, Outcome, Policy, Rng, estimate};
use rlx_red10::{Cards, Game, Move, Rules, SEATS, Seat, bots};
use serde::Serialize;
use std::collections::BTreeMap;

/// Phases of the game by cards played: from, and to, which is not included.
pub const PHASES: [(u64, u64); 4] = [(0, 8), (8, 20), (20, 32), (32, 52)];

/// Decks played side by side: enough to fill a forward pass, few enough for the cache.
const DECKS: u64 = 256;

/// How the two sides are seated, of 4 rotations x 2 each.
#[derive(Clone, Copy, PartialEq)]
enum Seating {
    /// A holds the red tens, or B does.
    ByTeam,
    /// A at two opposite seats, whatever the teams.
    Mixed,
}

/// What came of it, from A's side.
#[derive(Clone, Debug, Serialize)]
pub struct Judgement {
    /// Decks.
    pub decks: u64,
    /// Share of games won by A, a draw counting half, with its interval by deck.
    pub win: Estimate,
    /// The share of each deck.
    #[serde(skip)]
    pub wins: Vec<f64>,
    /// Mean payoff of A.
    pub score: Estimate,
    /// Win share where both red tens are in different hands.
    pub win_2v2: Option<Estimate>,
    /// Win share where they are in one.
    pub win_1v3: Option<Estimate>,
    /// Win share of A as the red team, and as the black one.
    pub win_red: Estimate,
    /// See `win_red`.
    pub win_black: Estimate,
    /// Mean payoff of a seat of A in mixed teams.
    pub mixed_score: Estimate,
    /// Plies a game.
    pub length: Estimate,
    /// What A guessed of the others, by cards played: every decision with a choice while the teams were not public.
    pub identity: Vec<Identity>,
}

/// Guesses in a phase of the game, beside the exact prior's for the same positions.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Identity {
    /// Cards played: from.
    pub from: u64,
    /// To, not included.
    pub to: u64,
    /// Guesses, three a decision.
    pub guesses: u64,
    /// Mean log-loss in nats.
    pub log_loss: f64,
    /// The prior's.
    pub prior_log_loss: f64,
    /// Mean squared error.
    pub brier: f64,
    /// The prior's.
    pub prior_brier: f64,
    /// Share of guesses on the right side of 1/2.
    pub accuracy: f64,
    /// The prior's.
    pub prior_accuracy: f64,
    /// Calibration: ten bins of the guess, each (guesses, mean guess, share that were teammates).
    pub calibration: Vec<(u64, f64, f64)>,
}

struct Table {
    game: Game,
    deck: u64,
    seating: Seating,
    /// Seats of A as a bit set.
    a: u8,
    rng: Rng,
}

#[derive(Default)]
struct Deck {
    wins: Vec<f64>,
    scores: Vec<f64>,
    red: Vec<f64>,
    black: Vec<f64>,
    mixed: Vec<f64>,
    lengths: Vec<f64>,
    alone: bool,
}

/// What is played.
#[derive(Clone, Copy, Debug)]
pub struct Match<'a> {
    /// The rules.
    pub rules: &'a Rules,
    /// Decks.
    pub decks: u64,
    /// Seed of the decks.
    pub seed: u64,
}

/// Plays `decks` decks between two agents.
///
/// # Errors
/// When a network fails, or when asked to stop.
pub fn judge<'p>(
    rules: &Rules,
    a: &mut Agent<'p>,
    b: &mut Agent<'p>,
    decks: u64,
    seed: u64,
    stop: &dyn Fn() -> bool,
) -> Result<Judgement> {
    judge_telling(Match { rules, decks, seed }, a, b, stop, &mut |_| {})
}

/// As [`judge`]; `each` is told how many decks are done, as they are.
///
/// # Errors
/// As [`judge`].
pub fn judge_telling<'p>(
    of: Match<'_>,
    a: &mut Agent<'p>,
    b: &mut Agent<'p>,
    stop: &dyn Fn() -> bool,
    each: &mut dyn FnMut(u64),
) -> Result<Judgement> {
    let Match { rules, decks, seed } = of;
    let mut results: BTreeMap<u64, Deck> = BTreeMap::new();
    let mut identity: Vec<Identity> = PHASES
        .map(|(from, to)| Identity { from, to, calibration: vec![(0, 0.0, 0.0); 10], ..Identity::default() })
        .into();
    let mut first = 0;
    while first < decks {
        let count = DECKS.min(decks - first);
        let mut tables = Vec::new();
        for deck in first..first + count {
            seat(rules, seed, deck, &mut tables)?;
        }
        play(&mut tables, [a, b], &mut identity, stop, &mut |tables| each(first + tables as u64 / 16))?;
        for table in &tables {
            take(table, results.entry(table.deck).or_default());
        }
        first += count;
    }
    let mean = |v: &[f64]| v.iter().sum::<f64>() / v.len().max(1) as f64;
    let over = |f: &dyn Fn(&Deck) -> Option<f64>| estimate(&results.values().filter_map(f).collect::<Vec<_>>());
    let all = |f: &dyn Fn(&Deck) -> f64| over(&|d| Some(f(d))).expect("at least one deck");
    for phase in &mut identity {
        let n = phase.guesses.max(1) as f64;
        for sum in [
            &mut phase.log_loss,
            &mut phase.prior_log_loss,
            &mut phase.brier,
            &mut phase.prior_brier,
            &mut phase.accuracy,
            &mut phase.prior_accuracy,
        ] {
            *sum /= n;
        }
        for (n, guess, truth) in &mut phase.calibration {
            *guess /= (*n).max(1) as f64;
            *truth /= (*n).max(1) as f64;
        }
    }
    Ok(Judgement {
        decks,
        wins: results.values().map(|d| mean(&d.wins)).collect(),
        win: all(&|d| mean(&d.wins)),
        score: all(&|d| mean(&d.scores)),
        win_2v2: over(&|d| (!d.alone).then(|| mean(&d.wins))),
        win_1v3: over(&|d| d.alone.then(|| mean(&d.wins))),
        win_red: all(&|d| mean(&d.red)),
        win_black: all(&|d| mean(&d.black)),
        mixed_score: all(&|d| mean(&d.mixed)),
        length: all(&|d| mean(&d.lengths)),
        identity: identity.into_iter().filter(|p| p.guesses > 0).collect(),
    })
}

/// A policy in training against the bots, by each of the rules it is trained with: its mean payoff against the better one, its wins
/// against each, its guesses in the middle of the game. An eighth of `plan.episodes` decks each, rounded up, since a deck is many
/// games.
///
/// # Errors
/// As [`judge`].
pub fn against_bots(
    config: &rlx_red10::Config,
    policy: &mut dyn Policy,
    plan: EvalPlan,
    stop: &dyn Fn() -> bool,
) -> Result<Outcome> {
    let rules = config.rules.rules();
    let decks = (plan.episodes as u64).div_ceil(8 * rules.len() as u64);
    let mut me = Agent::Policy(policy, agent::prior(config));
    let mut metrics = BTreeMap::new();
    let constant = |x: f64| estimate(&[x]).expect("one value");
    let mut first = None;
    for (name, rules) in &rules {
        // One set of rules needs no name; of two, each metric says whose it is, but for the first.
        let suffix = if first.is_some() { format!("_{name}") } else { String::new() };
        let mut last = None;
        for bot in ["random", "greedy"] {
            let judged = judge(rules, &mut me, &mut Agent::Bot(bots::make(bot)?), decks, plan.seed, stop)?;
            metrics.insert(format!("win_{bot}{suffix}"), judged.win);
            last = Some(judged);
        }
        let best = last.expect("two bots");
        for p in &best.identity {
            let phase = format!("{}_{}{suffix}", p.from, p.to);
            metrics.insert(format!("identity_log_loss_{phase}"), constant(p.log_loss));
            metrics.insert(format!("identity_prior_log_loss_{phase}"), constant(p.prior_log_loss));
            metrics.insert(format!("identity_accuracy_{phase}"), constant(p.accuracy));
        }
        first.get_or_insert(best);
    }
    let first = first.expect("there are rules");
    Ok(Outcome { returns: first.score, length: first.length, metrics })
}

/// The sixteen tables of a deck.
fn seat(rules: &Rules, seed: u64, deck: u64, tables: &mut Vec<Table>) -> Result<()> {
    let dealt = Game::deal(rules, &mut Rng::named(seed, "deck", deck));
    for rotation in 0..SEATS {
        let hands: [Cards; SEATS] = std::array::from_fn(|s| dealt.dealt((s + rotation) % SEATS));
        let leader = match rules.leader {
            rlx_red10::rules::Leader::Seat0 => 0,
            _ => (dealt.leader() + SEATS - rotation) % SEATS,
        };
        let game = Game::from_hands(rules, hands, leader as u8)?;
        let red = game.red_team();
        for (k, (seating, a)) in
            [(Seating::ByTeam, red), (Seating::ByTeam, !red & 15), (Seating::Mixed, 5), (Seating::Mixed, 10)]
                .into_iter()
                .enumerate()
        {
            let rng = Rng::named(seed, "table", deck * 16 + rotation as u64 * 4 + k as u64);
            tables.push(Table { game: game.clone(), deck, seating, a, rng });
        }
    }
    Ok(())
}

/// Plays all tables to their ends. `each` is told how many are over.
fn play(
    tables: &mut [Table],
    mut sides: [&mut Agent<'_>; 2],
    identity: &mut [Identity],
    stop: &dyn Fn() -> bool,
    each: &mut dyn FnMut(usize),
) -> Result<()> {
    let mut legal: Vec<Vec<Move>> = vec![Vec::new(); tables.len()];
    let mut over = 0;
    loop {
        if stop() {
            return Err(rlx::Error::Interrupted.into());
        }
        let mut open = false;
        for (side, agent) in sides.iter_mut().enumerate() {
            let mine: Vec<usize> = (0..tables.len())
                .filter(|&i| {
                    let t = &tables[i];
                    !t.game.is_over() && (t.a >> t.game.turn() & 1 == 1) == (side == 0)
                })
                .collect();
            if mine.is_empty() {
                continue;
            }
            open = true;
            mine.iter().for_each(|&i| tables[i].game.legal(&mut legal[i]));
            let waiting: Vec<Waiting<'_>> =
                mine.iter().map(|&i| Waiting { game: &tables[i].game, legal: &legal[i] }).collect();
            let mut rngs: Vec<Rng> = mine.iter().map(|&i| tables[i].rng.clone()).collect();
            let chosen = agent.choose(&waiting, &mut rngs)?;
            for ((&i, (choice, insight)), rng) in mine.iter().zip(chosen).zip(rngs) {
                if let (0, Some(insight)) = (side, &insight)
                    && insight.teammates.len() == SEATS - 1
                    && legal[i].len() > 1
                {
                    note(&tables[i].game, &insight.teammates, identity);
                }
                tables[i].rng = rng;
                tables[i].game.play(legal[i][choice]);
            }
        }
        let now = tables.iter().filter(|t| t.game.is_over()).count();
        if now > over {
            over = now;
            each(over);
        }
        if !open {
            return Ok(());
        }
    }
}

/// Counts A's guesses of a position, and the prior's.
fn note(game: &Game, guess: &[f32], identity: &mut [Identity]) {
    let seat = Seat::new(game, game.turn());
    if seat.is_public() {
        return;
    }
    let played: u64 = (0..SEATS).map(|s| game.played(s).total()).sum();
    let Some(phase) = identity.iter_mut().find(|p| (p.from..p.to).contains(&played)) else { return };
    let prior = seat.teammates(&seat.prior());
    for k in 1..SEATS {
        let other = (game.turn() + k) % SEATS;
        let truth = f64::from(u8::from(game.teammates(game.turn(), other)));
        let loss = |p: f64| {
            let p = p.clamp(1e-6, 1.0 - 1e-6);
            -(truth * p.ln() + (1.0 - truth) * (1.0 - p).ln())
        };
        let (p, q) = (f64::from(guess[k - 1]), prior[other]);
        phase.guesses += 1;
        phase.log_loss += loss(p);
        phase.prior_log_loss += loss(q);
        phase.brier += (p - truth).powi(2);
        phase.prior_brier += (q - truth).powi(2);
        let right = |p: f64| f64::from(u8::from((p > 0.5) == (truth > 0.5)));
        phase.accuracy += right(p);
        phase.prior_accuracy += right(q);
        let bin = &mut phase.calibration[((p * 10.0) as usize).min(9)];
        *bin = (bin.0 + 1, bin.1 + p, bin.2 + truth);
    }
}

fn take(table: &Table, deck: &mut Deck) {
    let pay = table.game.payoff();
    let seats: Vec<usize> = (0..SEATS).filter(|s| table.a >> s & 1 == 1).collect();
    let score = seats.iter().map(|&s| f64::from(pay[s])).sum::<f64>() / seats.len() as f64;
    deck.lengths.push(table.game.history().len() as f64);
    deck.alone = table.game.red_team().count_ones() == 1;
    match table.seating {
        Seating::Mixed => deck.mixed.push(score),
        Seating::ByTeam => {
            let win = if score == 0.0 { 0.5 } else { f64::from(u8::from(score > 0.0)) };
            deck.wins.push(win);
            deck.scores.push(score);
            if table.a == table.game.red_team() { &mut deck.red } else { &mut deck.black }.push(win);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An agent against itself wins exactly half of every deck; and the better bot wins more, whichever side it is on.
    #[test]
    fn a_deck_is_fair_and_the_better_bot_wins() {
        let bot = |name: &str| Agent::Bot(bots::make(name).unwrap());
        for rules in [Rules::paper(), Rules::folk4()] {
            let same = judge(&rules, &mut bot("greedy"), &mut bot("greedy"), 40, 1, &|| false).unwrap();
            assert_eq!((same.win.mean, same.win.std, same.score.mean), (0.5, 0.0, 0.0));
            let better = judge(&rules, &mut bot("greedy"), &mut bot("random"), 40, 1, &|| false).unwrap();
            let worse = judge(&rules, &mut bot("random"), &mut bot("greedy"), 40, 1, &|| false).unwrap();
            assert!(better.win.low > 0.6, "{:?}", better.win);
            assert!(worse.win.high < 0.4, "{:?}", worse.win);
            assert!(better.mixed_score.mean > worse.mixed_score.mean);
            // Greedy's guesses are the prior.
            let phase = better.identity.iter().find(|p| p.from == 20).unwrap();
            assert!(phase.guesses > 100 && (phase.log_loss - phase.prior_log_loss).abs() < 1e-5, "{phase:?}");
        }
    }
}
