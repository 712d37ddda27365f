//! What anybody could know: the posterior of who holds the red tens with the agent's own network as the likelihood, beside what the
//! agent guesses and what the counts of cards say.
//!
//! All four seats are played by the agent, which draws its moves as softmax(Q / [`TEMPERATURE`]) with [`FLOOR`] spread over all legal
//! ones, and the posterior takes just this for the others' policy. So no guess from the same seat's view can cost less on average, but
//! for chance in the positions and for the sampler, whose particles make the posterior a little worse than it is.
use crate::agent::{Agent, Rows};
use anyhow::{Result, bail};
use rlx::{Mode, Policy, PolicyInfo, Rng, bootstrap};
use rlx_red10::{
    Game, Likelihood, Move, Rules, SEATS, Sampler, Seat,
    posterior::{Track, exact, softmax},
};
use serde::Serialize;

/// In units of the payoff: a move that is worth this much less is drawn 1/e times as often.
pub const TEMPERATURE: f64 = 0.05;
/// Share of moves that are drawn evenly, as in training.
pub const FLOOR: f64 = 0.01;
/// A share of 1/2 is off by .03 where the particles are independent.
const SAMPLER: Sampler = Sampler { particles: 256, steps: 4 };
/// Hands whose enumeration costs about as much as the particles do.
const ENUMERATED: usize = 1500;
/// Rows of a forward pass.
const BATCH: usize = 1024;
const RESAMPLES: usize = 2000;

/// What guesses cost beside the exact posterior, at the same positions.
#[derive(Clone, Debug, Serialize)]
pub struct Bound {
    /// Positions, three guesses each.
    pub positions: usize,
    /// Games that they are of.
    pub games: u64,
    /// [`TEMPERATURE`].
    pub temperature: f64,
    /// [`FLOOR`].
    pub floor: f64,
    /// Particles of the sampler.
    pub particles: usize,
    /// By cards played.
    pub phases: Vec<Phase>,
}

/// A phase of the game.
#[derive(Clone, Debug, Serialize)]
pub struct Phase {
    /// Cards played: from.
    pub from: u64,
    /// To, not included.
    pub to: u64,
    /// Positions of it.
    pub positions: usize,
    /// What the agent guesses, if it does.
    pub agent: Option<Cost>,
    /// What the counts of cards say.
    pub prior: Cost,
    /// The posterior.
    pub bound: Cost,
}

/// What guesses cost.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Cost {
    /// Mean log-loss in nats.
    pub log_loss: f64,
    /// Lower end of its 95 % interval, games resampled.
    pub low: f64,
    /// Upper end.
    pub high: f64,
    /// Mean squared error.
    pub brier: f64,
    /// Share on the right side of 1/2.
    pub accuracy: f64,
}

/// A position: guesses of the next three seats, and what they are.
struct Position {
    game: u64,
    played: u64,
    agent: Option<[f64; 3]>,
    prior: [f64; 3],
    bound: [f64; 3],
    truth: [f64; 3],
}

/// The policy as it is played here.
struct Drawn<'a> {
    policy: &'a mut dyn Policy,
    rows: Rows,
    chosen: Vec<usize>,
    answers: rlx::Result<Vec<f64>>,
    rngs: Vec<Rng>,
}

impl<'a> Drawn<'a> {
    fn new(policy: &'a mut dyn Policy) -> Self {
        let rngs = vec![Rng::stream(0, 0); BATCH];
        Self { policy, rows: Rows::default(), chosen: Vec::new(), answers: Ok(Vec::new()), rngs }
    }

    fn values(&self, k: usize) -> rlx::Result<PolicyInfo> {
        let info = self.policy.info(k).filter(|i| !i.get(PolicyInfo::Q_VALUES).is_empty());
        info.ok_or_else(|| rlx::Error::invalid("the policy does not say what it expects of each move"))
    }

    /// Puts what was taken down through the network.
    fn flush(&mut self) -> rlx::Result<Vec<f64>> {
        let n = self.chosen.len();
        if n == 0 {
            return Ok(Vec::new());
        }
        self.rows.act(self.policy, Mode::Greedy, &mut self.rngs[..n])?;
        self.rows.clear();
        let fit =
            |(k, &c): (usize, &usize)| Ok(softmax(self.values(k)?.get(PolicyInfo::Q_VALUES), c, TEMPERATURE, FLOOR));
        let out = self.chosen.iter().enumerate().map(fit).collect();
        self.chosen.clear();
        out
    }

    fn one(&mut self, seat: Seat<'_>, legal: &[Move]) -> rlx::Result<PolicyInfo> {
        self.rows.clear();
        self.rows.push(seat, legal);
        self.rows.act(self.policy, Mode::Greedy, &mut self.rngs[..1])?;
        self.rows.clear();
        self.values(0)
    }
}

impl Likelihood for Drawn<'_> {
    fn ask(&mut self, seat: Seat<'_>, legal: &[Move], chosen: usize) {
        self.rows.push(seat, legal);
        self.chosen.push(chosen);
        if self.chosen.len() == BATCH {
            let more = self.flush();
            match (&mut self.answers, more) {
                (Ok(answers), Ok(mut more)) => answers.append(&mut more),
                (answers, Err(e)) => *answers = Err(e),
                _ => {}
            }
        }
    }

    fn answer(&mut self, out: &mut Vec<f64>) -> rlx::Result<()> {
        let last = self.flush()?;
        out.extend(std::mem::replace(&mut self.answers, Ok(Vec::new()))?);
        out.extend(last);
        Ok(())
    }
}

/// Measures at `most` positions at which the agent has a choice and the teams are not public. `each` is told how many are done.
///
/// # Errors
/// When the agent is a bot, when its network fails, or when asked to stop.
pub fn bound(
    rules: &Rules,
    agent: &mut Agent<'_>,
    most: usize,
    seed: u64,
    stop: &dyn Fn() -> bool,
    each: &mut dyn FnMut(u64),
) -> Result<Bound> {
    let Some(policy) = agent.policy() else {
        bail!("--bound: the agent is a bot, and only a run's network says how likely it makes each move")
    };
    let mut drawn = Drawn::new(policy);
    let mut positions = Vec::new();
    let mut games = 0;
    let mut legal = Vec::new();
    while positions.len() < most {
        let mut game = Game::deal(rules, &mut Rng::named(seed, "bound-deal", games));
        let mut rng = Rng::named(seed, "bound", games);
        // One seat a game: neighbouring positions say much the same.
        let me = games as usize % SEATS;
        let mut track = Track::new(SAMPLER);
        while !game.is_over() && positions.len() < most {
            if stop() {
                bail!(rlx::Error::Interrupted);
            }
            game.legal(&mut legal);
            let mut choice = 0;
            if legal.len() > 1 {
                let seat = Seat::new(&game, game.turn());
                let info = drawn.one(seat, &legal)?;
                if game.turn() == me && !seat.is_public() {
                    let posterior = match exact(seat, &mut drawn, ENUMERATED)? {
                        Some(posterior) => posterior,
                        None => track.posterior(seat, &mut drawn, &mut rng)?,
                    };
                    let others = |p: [f64; SEATS]| [1, 2, 3].map(|k| p[(me + k) % SEATS]);
                    let agent = <[f32; 3]>::try_from(info.get(PolicyInfo::P_TEAMMATE)).ok().map(|p| p.map(f64::from));
                    positions.push(Position {
                        game: games,
                        played: (0..SEATS).map(|s| game.played(s).total()).sum(),
                        agent,
                        prior: others(seat.teammates(&seat.prior())),
                        bound: others(posterior.teammates(seat)),
                        truth: others(std::array::from_fn(|s| f64::from(u8::from(game.teammates(me, s))))),
                    });
                    each(positions.len() as u64);
                }
                let mut left = rng.unit();
                choice = (0..legal.len() - 1)
                    .find(|&i| {
                        left -= softmax(info.get(PolicyInfo::Q_VALUES), i, TEMPERATURE, FLOOR).exp();
                        left < 0.0
                    })
                    .unwrap_or(legal.len() - 1);
            }
            game.play(legal[choice]);
        }
        games += 1;
    }
    let phases = super::duplicate::PHASES.into_iter().filter_map(|(from, to)| {
        let of: Vec<&Position> = positions.iter().filter(|p| (from..to).contains(&p.played)).collect();
        let agent = of.iter().all(|p| p.agent.is_some());
        (!of.is_empty()).then(|| Phase {
            from,
            to,
            positions: of.len(),
            agent: agent.then(|| cost(&of, |p| p.agent.unwrap_or(p.prior))),
            prior: cost(&of, |p| p.prior),
            bound: cost(&of, |p| p.bound),
        })
    });
    let (phases, particles) = (phases.collect(), SAMPLER.particles);
    Ok(Bound { positions: positions.len(), games, temperature: TEMPERATURE, floor: FLOOR, particles, phases })
}

/// What these guesses cost at these positions.
fn cost(positions: &[&Position], guess: impl Fn(&Position) -> [f64; 3]) -> Cost {
    let mean = |f: &dyn Fn(f64, f64) -> f64| {
        let one = |p: &&Position| (0..3).map(|k| f(guess(p)[k], p.truth[k])).sum::<f64>();
        positions.iter().map(one).sum::<f64>() / (3 * positions.len()) as f64
    };
    let loss = |p: f64, truth: f64| {
        let p = p.clamp(1e-6, 1.0 - 1e-6);
        -(truth * p.ln() + (1.0 - truth) * (1.0 - p).ln())
    };
    // Sums by game: positions of one game are not independent.
    let mut games: Vec<(u64, f64, f64)> = Vec::new();
    for p in positions {
        if games.last().is_none_or(|g| g.0 != p.game) {
            games.push((p.game, 0.0, 0.0));
        }
        let last = games.last_mut().expect("pushed above");
        last.1 += (0..3).map(|k| loss(guess(p)[k], p.truth[k])).sum::<f64>();
        last.2 += 3.0;
    }
    let [(low, high)] = bootstrap(games.len(), RESAMPLES, "bound-bootstrap", |drawn| {
        let (sum, count) = drawn.iter().fold((0.0, 0.0), |(s, n), i| (s + games[*i].1, n + games[*i].2));
        [sum / count]
    });
    Cost {
        log_loss: mean(&loss),
        low,
        high,
        brier: mean(&|p, truth| (p - truth).powi(2)),
        accuracy: mean(&|p, truth| f64::from(u8::from((p > 0.5) == (truth > 0.5)))),
    }
}
