//! Who sits at a table of Red-10: a bot or a run's policy, asked for many tables at once.
use crate::pretrained;
use anyhow::Result;
use rlx::refuse;
use rlx::{ActionsMut, ColumnRef, Frame, Host, Insight, Learner, Mode, Policy, Ragged, Rng, Trained, config::choose};
use rlx_red10::{Game, Move, Player, Rules, SEATS, Seat, Thought, bots, world};

/// The world that is played.
pub const WORLD: &str = "red10";

/// A bot, or a policy that was trained.
pub enum Agent<'p> {
    /// A player without a network.
    Bot(Box<dyn Player>),
    /// A run's learner.
    Run(Box<dyn Learner>, Prior),
    /// A policy that is being trained.
    Policy(&'p mut dyn Policy, Prior),
}

/// Where the rows that a policy is asked with have their prior from: as it was trained, [`world::Prior`].
pub type Prior = Option<Box<bots::Belief>>;

/// The prior of a world with that config.
pub fn prior(config: &world::Config) -> Prior {
    (config.prior == world::Prior::Belief).then(Box::default)
}

/// A table that waits for a move.
pub struct Waiting<'a> {
    /// The game.
    pub game: &'a Game,
    /// Its legal moves.
    pub legal: &'a [Move],
}

impl Agent<'static> {
    /// The bot of that name, or the policy of that run or exported file.
    ///
    /// # Errors
    /// When there is neither, or the run is of another world or other rules.
    pub fn open(host: &dyn Host, name: &str, checkpoint: &str, rules: &Rules) -> Result<Self> {
        let bots: Vec<&str> = bots::BOTS.iter().map(|b| b.0).chain([pretrained::NAME]).collect();
        if bots.contains(&name) || !host.exists(name) {
            // Only what can sit down is suggested: bots, and runs of this world.
            let players = host.runs_in(WORLD);
            let all = bots.iter().copied().chain(players.iter().map(String::as_str));
            match choose("run and no bot", name, all)? {
                pretrained::NAME => return Self::of(pretrained::shipped(host)?, rules),
                bot if bots.contains(&bot) => return Ok(Self::Bot(bots::make(bot)?)),
                _ => {}
            }
        }
        Self::of(host.trained(name, checkpoint)?, rules)
    }

    /// A trained policy, if it is of this world and knows these rules.
    fn of(trained: Trained, rules: &Rules) -> Result<Self> {
        if trained.world != WORLD {
            refuse!("{} is a run of {}, not of {WORLD}", trained.name, trained.world);
        }
        let config: world::Config = rlx::config::from_map(&trained.env)?;
        check_rules(&trained.name, &config.rules.rules(), rules)?;
        Ok(Self::Run(trained.learner, prior(&config)))
    }
}

impl Agent<'_> {
    /// The network's policy; None of a bot.
    pub fn policy(&mut self) -> Option<&mut dyn Policy> {
        match self {
            Self::Bot(_) => None,
            Self::Run(learner, _) => Some(learner.policy()),
            Self::Policy(policy, _) => Some(&mut **policy),
        }
    }

    /// Chooses a legal move at each table, and says what it made of it. `rngs` has one stream per table.
    ///
    /// # Errors
    /// When the network fails.
    pub fn choose(&mut self, tables: &[Waiting<'_>], rngs: &mut [Rng]) -> Result<Vec<(usize, Option<Insight>)>> {
        let (policy, prior): (&mut dyn Policy, &mut Prior) = match self {
            Self::Bot(bot) => {
                let one = |(t, rng): (&Waiting<'_>, &mut Rng)| {
                    let me = t.game.turn();
                    let Thought { choice, values, teammates } = bot.think(Seat::new(t.game, me), t.legal, rng);
                    let teammates = teammates.map(|p| (1..SEATS).map(|k| p[(me + k) % SEATS]).collect());
                    (
                        choice,
                        teammates.map(|teammates| Insight {
                            values: values.unwrap_or_default(),
                            teammates,
                            distance: None,
                        }),
                    )
                };
                return Ok(tables.iter().zip(rngs).map(one).collect());
            }
            Self::Run(learner, prior) => (learner.policy(), prior),
            Self::Policy(policy, prior) => (*policy, prior),
        };
        ask(policy, prior, tables, rngs)
    }
}

/// That a policy knows the rules of the table.
///
/// # Errors
/// When it does not.
pub fn check_rules(who: &str, trained: &[(&str, Rules)], rules: &Rules) -> Result<()> {
    if trained.iter().any(|(_, r)| r == rules) {
        return Ok(());
    }
    let names: Vec<&str> = trained.iter().map(|t| t.0).collect();
    let names = names.join(", ");
    refuse!("{who} was trained with the rules {names}, and the table has others: see --rules")
}

/// Positions as a policy takes them, one row each.
#[derive(Debug)]
pub struct Rows {
    obs: Vec<u8>,
    candidates: Vec<u8>,
    offsets: Vec<u32>,
    seats: Vec<u8>,
}

impl Default for Rows {
    fn default() -> Self {
        Self { obs: Vec::new(), candidates: Vec::new(), offsets: vec![0], seats: Vec::new() }
    }
}

impl Rows {
    /// Adds a position of the seat whose turn it is.
    pub fn push(&mut self, seat: Seat<'_>, legal: &[Move]) {
        self.push_with(seat, legal, &seat.teammates(&seat.prior()));
    }

    /// The same with another P(teammate) of each seat than the counts'.
    pub fn push_with(&mut self, seat: Seat<'_>, legal: &[Move], teammates: &[f64; SEATS]) {
        let start = self.obs.len();
        self.obs.resize(start + world::width(), 0);
        world::observe_with(seat, teammates, &mut self.obs[start..]);
        world::describe_candidates(seat, legal, &mut self.candidates);
        self.offsets.push((self.candidates.len() / world::CANDIDATE) as u32);
        self.seats.push(seat.seat() as u8);
    }

    /// Forgets them.
    pub fn clear(&mut self) {
        self.obs.clear();
        self.candidates.clear();
        self.offsets.truncate(1);
        self.seats.clear();
    }

    /// Asks the policy at all of them; `rngs` has one stream per row.
    ///
    /// # Errors
    /// When the policy fails.
    pub fn act(&self, policy: &mut dyn Policy, mode: Mode, rngs: &mut [Rng]) -> rlx::Result<Vec<i64>> {
        let frame = Frame {
            obs: ColumnRef::U8(&self.obs),
            last: ColumnRef::U8(&[]),
            mask: &[],
            seat: &self.seats,
            reward: &[],
            status: &[],
            candidates: Some(Ragged {
                rows: ColumnRef::U8(&self.candidates),
                width: world::CANDIDATE,
                offsets: &self.offsets,
            }),
        };
        let all: Vec<u32> = (0..self.seats.len() as u32).collect();
        let mut choices = vec![0; all.len()];
        policy.act(frame, &all, mode, rngs, ActionsMut::Discrete(&mut choices))?;
        Ok(choices)
    }
}

/// Asks a policy at all tables at once.
fn ask(
    policy: &mut dyn Policy,
    prior: &mut Prior,
    tables: &[Waiting<'_>],
    rngs: &mut [Rng],
) -> Result<Vec<(usize, Option<Insight>)>> {
    if policy.needs_hidden() {
        let mut hidden = vec![0; tables.len() * world::HIDDEN];
        let rows = hidden.chunks_exact_mut(world::HIDDEN);
        tables.iter().zip(rows).for_each(|(t, row)| world::reveal(t.game, row));
        policy.show_hidden(ColumnRef::U8(&hidden));
    }
    let mut rows = Rows::default();
    for t in tables {
        let seat = Seat::new(t.game, t.game.turn());
        let teammates = match prior {
            Some(belief) if t.legal.len() > 1 => belief.posterior(seat).teammates(seat),
            _ => seat.teammates(&seat.prior()),
        };
        rows.push_with(seat, t.legal, &teammates);
    }
    let choices = rows.act(policy, Mode::Greedy, rngs)?;
    Ok(choices.iter().enumerate().map(|(k, &c)| (c as usize, policy.insight(k))).collect())
}
