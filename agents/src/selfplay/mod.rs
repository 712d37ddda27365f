//! Deep Monte-Carlo self-play (DouZero, arXiv 2106.06135) over candidates, with or without a guess of who is on whose side (IDRL,
//! arXiv 2210.12896): the learner that `dmc` and `idrl` share.
//!
//! An iteration plays `num_steps` ticks on all tables with the parameters of the iteration before, while the decisions that were
//! completed by then are learnt from: a fixed lag of one iteration, so that acting and learning overlap and results do not depend
//! on timing.
pub mod brain;
mod collect;
pub mod features;
pub mod hidden;
pub mod league;
mod learn;
pub mod net;

use brain::{Ask, Brain, CONTEXT, Decisions, OTHERS, Relation, Settings, Thoughts};
use collect::{Memory, Player, u8s};
use league::{League, Pool, Seating};
use learn::{Desk, Task};
use rlx::{
    ActionsMut, ColumnRef, Error, Export, Frame, LoadDir, Mode, Result, Rng, SaveDir, Scalars, Setup, Slab, Vector,
    snapshot,
};
use rlx_nn::{Adam, AdamConfig};
use serde::{Deserialize, Serialize};

/// How learning goes.
#[derive(Clone, Debug, PartialEq)]
pub struct Plan {
    /// Ticks an iteration.
    pub num_steps: usize,
    /// Decisions per step of the optimiser.
    pub batch_size: usize,
    /// Adam's step size.
    pub learning_rate: f64,
    /// How it goes on.
    pub lr_schedule: crate::Schedule,
    /// Chance of a random move.
    pub epsilon: f64,
    /// Largest norm of the gradient.
    pub max_grad_norm: f64,
    /// Weight of the intrinsic reward.
    pub intrinsic: f64,
    /// Weight of the identification loss within it.
    pub intrinsic_loss: f64,
    /// Lambda of the returns that are learnt from; at 1 they are the payoffs, and no critic is needed.
    pub td_lambda: f64,
    /// Weight of the auxiliary heads' losses.
    pub auxiliary: f64,
    /// Who sits opposite.
    pub league: League,
}

#[derive(Clone, Debug, Default, Serialize, Deserialize)]
struct State {
    steps: u64,
    rngs: Vec<Rng>,
    order: Option<Rng>,
    /// Decisions of games that go on, by table.
    pending: Vec<Decisions>,
    /// Decisions to be learnt from in the next iteration.
    ready: Decisions,
    /// Who sits at each table.
    seating: Vec<Seating>,
}

/// What a pass over decisions measured, summed.
#[derive(Clone, Copy, Debug, Default)]
struct Sums {
    count: f64,
    value_loss: f64,
    relation_loss: f64,
    correct: f64,
    entropy: f64,
    accepted: f64,
    danger: f64,
    danger_loss: f64,
    intrinsic: f64,
    critic_loss: f64,
    location_loss: f64,
    flop: f64,
    grad_norm: f64,
    updates: f64,
}

impl Sums {
    /// Adds the sums over decisions of another.
    fn add(&mut self, o: &Self) {
        for (sum, more) in [
            (&mut self.value_loss, o.value_loss),
            (&mut self.relation_loss, o.relation_loss),
            (&mut self.correct, o.correct),
            (&mut self.entropy, o.entropy),
            (&mut self.accepted, o.accepted),
            (&mut self.danger, o.danger),
            (&mut self.danger_loss, o.danger_loss),
            (&mut self.intrinsic, o.intrinsic),
            (&mut self.critic_loss, o.critic_loss),
            (&mut self.location_loss, o.location_loss),
            (&mut self.flop, o.flop),
        ] {
            *sum += more;
        }
    }
}

/// The learner.
pub struct SelfPlay {
    name: &'static str,
    plan: Plan,
    setup: Setup,
    brain: Brain,
    params: Vec<f32>,
    adam: Adam,
    state: State,
    slab: Option<Slab>,
    frame: Option<Vec<u8>>,
    pool: Pool,
    memory: Memory,
    desk: Desk,
    /// The parameters that play, and an empty batch: memory that is used again.
    acting: Vec<f32>,
    spare: Decisions,
    /// Of the last [`SelfPlay::act`].
    thoughts: Thoughts,
    decided: Vec<u32>,
    /// Hidden state of the rows that will be asked for next, for [`Relation::Truth`].
    shown: Vec<u8>,
}

impl SelfPlay {
    /// A learner called `name`.
    pub fn new(name: &'static str, plan: Plan, settings: Settings, setup: Setup) -> Result<Self> {
        if setup.device != rlx::Device::Cpu {
            return Err(Error::invalid(format!("{name} runs on the CPU only: leave --device out")));
        }
        let brain = Brain::new(&setup.spec, settings);
        let params = brain.layout.init(setup.seed);
        let adam = Adam::new(AdamConfig::default(), params.len());
        let state = State {
            rngs: (0..setup.worlds as u64).map(|i| Rng::named(setup.seed, "policy", i)).collect(),
            order: Some(Rng::named(setup.seed, "order", 0)),
            pending: vec![Decisions::default(); setup.worlds],
            seating: vec![Seating::ALL; setup.worlds],
            ..State::default()
        };
        Ok(Self {
            name,
            plan,
            setup,
            brain,
            params,
            adam,
            state,
            slab: None,
            frame: None,
            pool: Pool::default(),
            memory: Memory::default(),
            desk: Desk::default(),
            acting: Vec::new(),
            spare: Decisions::default(),
            thoughts: Thoughts::default(),
            decided: Vec::new(),
            shown: Vec::new(),
        })
    }

    /// Collects and learns, once.
    pub fn iterate(&mut self, envs: &mut dyn Vector, log: &mut Scalars) -> Result<u64> {
        self.pool.offer(&self.plan.league, self.state.steps, &self.params);
        self.sit_down(envs)?;
        // What was ready is learnt from while the other is filled.
        let mut batch = std::mem::replace(&mut self.state.ready, std::mem::take(&mut self.spare));
        let rate = self.plan.learning_rate * self.plan.lr_schedule.factor(self.state.steps, self.setup.steps);
        self.acting.clone_from(&self.params);
        let mut order = self.state.order.take().expect("there between iterations");
        let task = Task { brain: &self.brain, plan: &self.plan, steps: self.state.steps };
        let (params, adam, desk) = (&mut self.params, &mut self.adam, &mut self.desk);
        let mut player = Player {
            brain: &self.brain,
            league: &self.plan.league,
            pool: &self.pool,
            params: &self.acting,
            epsilon: self.plan.epsilon,
            state: &mut self.state,
            slab: self.slab.as_mut().expect("seated above"),
            memory: &mut self.memory,
        };
        let ticks = self.plan.num_steps;
        // Whoever is done first helps the other: the halves of a batch, the stripes of the tables and the chunks of the critic are
        // the same whatever the number of threads.
        let (steps, sums) =
            rayon::join(|| player.play(envs, ticks), || task.learn(&mut batch, params, adam, &mut order, rate, desk));
        self.state.order = Some(order);
        self.spare = batch;
        let (steps, sums) = (steps?, sums?);
        self.state.steps += steps;
        let played = std::mem::take(&mut self.memory.thoughts.flop);
        log.put("perf/gflop", (played + sums.flop) / 1e9);
        if sums.count > 0.0 {
            report(&sums, &self.brain, rate, log);
        }
        Ok(steps)
    }

    /// Chooses for some rows of a frame, as [`rlx::Policy::act`].
    pub fn act(
        &mut self,
        frame: Frame<'_>,
        rows: &[u32],
        mode: Mode,
        rng: &mut [Rng],
        out: ActionsMut<'_>,
    ) -> Result<()> {
        let ActionsMut::Discrete(out) = out else {
            return Err(Error::mismatch("actions", "indices of candidates", "vectors"));
        };
        let ask = Ask { frame, rows, hidden: &self.shown, mode, epsilon: self.plan.epsilon };
        self.brain.decide(&self.params, ask, rng, out, &mut self.decided, &mut self.thoughts)
    }

    /// Whether the truth must be shown before [`SelfPlay::act`].
    pub fn needs_hidden(&self) -> bool {
        self.brain.settings.guess.as_ref().is_some_and(|g| g.relation == Relation::Truth)
    }

    /// Shows the hidden state of the rows that will be asked for next.
    pub fn show_hidden(&mut self, hidden: ColumnRef<'_>) {
        self.shown.clear();
        self.shown.extend_from_slice(u8s(hidden).unwrap_or(&[]));
    }

    /// What was made of the k-th row of the last [`SelfPlay::act`].
    pub fn insight(&self, k: usize) -> Option<rlx::Insight> {
        let i = self.decided.iter().position(|&d| d as usize == k)?;
        let t = &self.thoughts;
        let teammates = match &self.brain.settings.guess {
            Some(_) => t.context[i * CONTEXT..][..OTHERS].to_vec(),
            None => Vec::new(),
        };
        Some(rlx::Insight {
            values: t.values[t.starts[i] as usize..t.starts[i + 1] as usize].to_vec(),
            teammates,
            distance: None,
        })
    }

    /// Writes everything.
    pub fn save(&self, to: &mut SaveDir) -> Result<()> {
        let mut bytes = Vec::new();
        snapshot::put(&mut bytes, &self.params);
        to.put("params.bin", &bytes)?;
        to.put("adam.bin", &self.adam.to_bytes())?;
        let mut bytes = Vec::new();
        snapshot::put(&mut bytes, &self.state);
        let frame = self.slab.as_ref().map(|slab| {
            let mut out = Vec::new();
            slab.save_tick(0, &mut out);
            out
        });
        snapshot::put(&mut bytes, &frame.as_ref().or(self.frame.as_ref()));
        to.put("selfplay.bin", &bytes)?;
        let mut bytes = Vec::new();
        snapshot::put(&mut bytes, &self.pool);
        to.put("pool.bin", &bytes)
    }

    /// Reads it back.
    pub fn load(&mut self, from: &LoadDir) -> Result<()> {
        let params: Vec<f32> = snapshot::get(&from.get("params.bin")?)?;
        if params.len() != self.params.len() {
            let (expected, found) = (self.params.len().to_string(), params.len().to_string());
            return Err(Error::mismatch("saved parameters", expected, found));
        }
        self.adam.restore(&from.get("adam.bin")?)?;
        let bytes = from.get("selfplay.bin")?;
        let mut rest = &bytes[..];
        let state: State = snapshot::take(&mut rest)?;
        if state.pending.len() != self.setup.worlds || state.rngs.len() != self.setup.worlds || state.order.is_none() {
            let found = format!("{} tables", state.pending.len());
            return Err(Error::mismatch("saved self-play", format!("{} tables", self.setup.worlds), found));
        }
        let hidden_width = self.brain.hidden.as_ref().map_or(0, |h| h.width);
        let whole = |d: &Decisions, ended: bool| {
            let n = d.len();
            d.obs.len() == n * self.brain.features.width()
                && d.chosen.len() == n * self.brain.candidate_features.width()
                && d.context.len() == n * CONTEXT
                && d.value.len() == n
                && d.drawn.len() == n
                && d.hidden.len() == n * hidden_width
                && d.soft.len() == if self.brain.settings.soft.is_some() { n } else { 0 }
                && d.seat.iter().all(|s| usize::from(*s) < self.setup.spec.players)
                && d.target.len() == if ended { n } else { 0 }
                && d.games.iter().map(|&g| u64::from(g)).sum::<u64>() == if ended { n as u64 } else { 0 }
        };
        if !whole(&state.ready, true) || !state.pending.iter().all(|d| whole(d, false)) {
            return Err(Error::invalid("saved self-play: decisions of another size"));
        }
        let pool: Pool = snapshot::get(&from.get("pool.bin")?)?;
        let bots = self.setup.spec.bots.len();
        let sits = |s: &Seating| match s.opponent {
            None => true,
            Some(league::Opponent::Bot(i)) => (i as usize) < bots,
            Some(league::Opponent::Past(i)) => (i as usize) < pool.past.len(),
        };
        if state.seating.len() != self.setup.worlds || !state.seating.iter().all(sits) {
            return Err(Error::invalid("saved self-play: opponents that are not there"));
        }
        if pool.past.iter().any(|p| p.len() != params.len()) {
            return Err(Error::invalid("saved self-play: earlier policies of another size"));
        }
        self.frame = snapshot::get(rest)?;
        (self.params, self.state, self.slab, self.pool) = (params, state, None, pool);
        Ok(())
    }

    /// The networks as named arrays.
    pub fn export(&self) -> Export {
        let about = vec![
            ("algo".into(), self.name.into()),
            ("env".into(), self.setup.spec.name.clone()),
            (
                "layers".into(),
                "relu(bias + sum of the table's rows of active features + context), then y = x W^T + b, ReLU between; the candidates' table joins before the head".into(),
            ),
        ];
        let arrays = self.brain.layout.export(&self.params);
        let training = |a: &&rlx::Array| a.name.starts_with("critic.") || a.name.starts_with("auxiliary.");
        let training = arrays.iter().filter(training).map(|a| a.name.clone()).collect();
        Export { about, arrays, training }
    }

    /// Takes networks over.
    pub fn init_from(&mut self, policy: &Export) -> Result<()> {
        self.brain.layout.import(&policy.arrays, &mut self.params)
    }
}

fn report(s: &Sums, brain: &Brain, rate: f64, log: &mut Scalars) {
    log.put("losses/value_loss", s.value_loss / s.count);
    log.put("losses/grad_norm", s.grad_norm / s.updates);
    log.put("charts/learning_rate", rate);
    log.put("perf/decisions", s.count);
    if brain.critic.is_some() {
        log.put("losses/critic_loss", s.critic_loss / s.count);
    }
    if brain.auxiliary.is_some() {
        log.put("losses/location_loss", s.location_loss / s.count);
    }
    if brain.settings.guess.is_some() {
        log.put("losses/relation_loss", s.relation_loss / s.count);
        log.put("losses/danger_loss", s.danger_loss / s.count);
        log.put("identity/accuracy", s.correct / s.count);
        log.put("identity/entropy", s.entropy / s.count);
        log.put("identity/accepted", s.accepted / s.count);
        log.put("identity/danger", s.danger / s.count);
        log.put("identity/intrinsic_reward", s.intrinsic / s.count);
    }
}
