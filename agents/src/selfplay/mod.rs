//! Deep Monte-Carlo self-play (DouZero, arXiv 2106.06135) over candidates, with or without a guess of who is on whose side (IDRL,
//! arXiv 2210.12896): the learner that `dmc` and `idrl` share.
//!
//! An iteration plays `num_steps` ticks on all tables with the parameters of the iteration before, while the decisions that were
//! completed by then are learnt from: a fixed lag of one iteration, so that acting and learning overlap and results do not depend
//! on timing.
pub mod brain;
pub mod features;
pub mod net;

use brain::{Brain, CONTEXT, Decisions, OTHERS, Settings, Thoughts, net_of, sigmoid};
use net::{Scratch, ValueScratch};
use rlx::{
    Actions, ActionsMut, ColumnRef, Error, Export, Frame, LoadDir, Mode, Result, Rng, SaveDir, Scalars, Setup, Slab,
    Status, Vector, snapshot,
};
use rlx_nn::{Adam, AdamConfig, adam::clip_grad_norm, sparse::Active};
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
    grad_norm: f64,
    updates: f64,
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
    thoughts: Thoughts,
    choices: Vec<i64>,
    decided: Vec<u32>,
    team: Option<std::ops::Range<usize>>,
    hidden_width: usize,
}

fn u8s(column: ColumnRef<'_>) -> Result<&[u8]> {
    match column {
        ColumnRef::U8(x) => Ok(x),
        _ => Err(Error::mismatch("column", "bytes", "another type")),
    }
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
            ..State::default()
        };
        let team = setup.spec.hidden_fields.iter().find(|f| f.name == "team").map(|f| f.range.clone());
        let hidden_width = setup.spec.hidden_fields.iter().map(|f| f.range.end).max().unwrap_or(0);
        Ok(Self {
            name,
            plan,
            choices: vec![0; setup.worlds],
            setup,
            brain,
            params,
            adam,
            state,
            slab: None,
            frame: None,
            thoughts: Thoughts::default(),
            decided: Vec::new(),
            team,
            hidden_width,
        })
    }

    /// Collects and learns, once.
    pub fn iterate(&mut self, envs: &mut dyn Vector, log: &mut Scalars) -> Result<u64> {
        if self.slab.is_none() {
            let mut slab = envs.slab(2);
            match self.frame.take() {
                Some(bytes) => slab.load_tick(0, &mut &bytes[..])?,
                None => envs.reset(slab.frame_mut(0)),
            }
            self.slab = Some(slab);
        }
        let mut batch = std::mem::take(&mut self.state.ready);
        let rate = self.plan.learning_rate * self.plan.lr_schedule.factor(self.state.steps, self.setup.steps);
        let acting = self.params.clone();
        let mut order = self.state.order.take().expect("there between iterations");
        let mut adam = std::mem::replace(&mut self.adam, Adam::new(AdamConfig::default(), 0));
        let mut params = std::mem::take(&mut self.params);
        let (brain, plan, team, hidden_width) =
            (self.brain.clone(), self.plan.clone(), self.team.clone(), self.hidden_width);
        let steps_before = self.state.steps;
        let mut learn = || {
            let task = Task { brain: &brain, plan: &plan, team: team.clone(), hidden_width, steps: steps_before };
            task.learn(&mut batch, &mut params, &mut adam, &mut order, rate)
        };
        let (collected, sums) = if rayon::current_num_threads() > 1 {
            std::thread::scope(|scope| {
                let learner = scope.spawn(&mut learn);
                let collected = self.collect(envs, &acting);
                (collected, learner.join().expect("learning does not panic"))
            })
        } else {
            (self.collect(envs, &acting), learn())
        };
        self.params = params;
        self.adam = adam;
        self.state.order = Some(order);
        let (steps, sums) = (collected?, sums?);
        self.state.steps += steps;
        if sums.count > 0.0 {
            report(&sums, self.brain.settings.guess.is_some(), rate, log);
        }
        Ok(steps)
    }

    fn collect(&mut self, envs: &mut dyn Vector, params: &[f32]) -> Result<u64> {
        let n = self.setup.worlds;
        let all: Vec<u32> = (0..n as u32).collect();
        let (width, c_width) = (self.brain.features.width(), self.brain.candidate_features.width());
        let players = self.setup.spec.players;
        let slab = self.slab.as_mut().expect("made before");
        for _ in 0..self.plan.num_steps {
            let frame = slab.frame(0).with_candidates(envs.candidates());
            let (rngs, epsilon) = (&mut self.state.rngs, self.plan.epsilon);
            let t = &mut self.thoughts;
            self.brain.decide(
                params,
                frame,
                &all,
                Mode::Explore,
                epsilon,
                rngs,
                &mut self.choices,
                &mut self.decided,
                t,
            )?;
            let (obs, moves) = (u8s(frame.obs)?, frame.candidates.expect("given above"));
            let rows = u8s(moves.rows)?;
            let hidden = envs.privileged().map(u8s).transpose()?.unwrap_or(&[]);
            for (i, &k) in self.decided.iter().enumerate() {
                let (w, a) = (k as usize, self.choices[k as usize] as usize);
                let d = &mut self.state.pending[w];
                d.obs.extend_from_slice(&obs[w * width..][..width]);
                d.chosen.extend_from_slice(&rows[(moves.range(w).start + a) * c_width..][..c_width]);
                if !hidden.is_empty() {
                    d.hidden.extend_from_slice(&hidden[w * self.hidden_width..][..self.hidden_width]);
                }
                d.seat.push(frame.seat[w]);
                d.context.extend_from_slice(&t.context[i * CONTEXT..][..CONTEXT]);
                d.value.push(t.values[t.starts[i] as usize + a]);
            }
            envs.step(Actions::Discrete(&self.choices), slab.frame_mut(1))?;
            let after = slab.frame(1);
            for (w, status) in after.status.iter().enumerate() {
                if *status != Status::Running {
                    let d = &mut self.state.pending[w];
                    let pay = &after.reward[w * players..][..players];
                    d.target.extend(d.seat.iter().map(|&s| pay[usize::from(s)]));
                    self.state.ready.append(d);
                }
            }
            slab.carry();
        }
        Ok((self.plan.num_steps * n) as u64)
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
        let (epsilon, mut decided) = (self.plan.epsilon, std::mem::take(&mut self.decided));
        let done =
            self.brain.decide(&self.params, frame, rows, mode, epsilon, rng, out, &mut decided, &mut self.thoughts);
        self.decided = decided;
        done
    }

    /// What was made of the k-th row of the last [`SelfPlay::act`].
    pub fn insight(&self, k: usize) -> Option<rlx::Insight> {
        let i = self.decided.iter().position(|&d| d as usize == k)?;
        let t = &self.thoughts;
        let teammates = match self.brain.settings.guess {
            Some(_) => t.context[i * CONTEXT..][..OTHERS].to_vec(),
            None => Vec::new(),
        };
        Some(rlx::Insight { values: t.values[t.starts[i] as usize..t.starts[i + 1] as usize].to_vec(), teammates })
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
        to.put("selfplay.bin", &bytes)
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
        let whole = |d: &Decisions, ended: bool| {
            let n = d.len();
            let hidden = d.hidden.len().checked_div(self.hidden_width).unwrap_or(0);
            d.obs.len() == n * self.brain.features.width()
                && d.chosen.len() == n * self.brain.candidate_features.width()
                && d.context.len() == n * CONTEXT
                && d.value.len() == n
                && (hidden == 0 || hidden == n)
                && d.target.len() == if ended { n } else { 0 }
        };
        if !whole(&state.ready, true) || !state.pending.iter().all(|d| whole(d, false)) {
            return Err(Error::invalid("saved self-play: decisions of another size"));
        }
        self.frame = snapshot::get(rest)?;
        (self.params, self.state, self.slab) = (params, state, None);
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
        Export { about, arrays: self.brain.layout.export(&self.params) }
    }

    /// Takes networks over.
    pub fn init_from(&mut self, policy: &Export) -> Result<()> {
        self.brain.layout.import(&policy.arrays, &mut self.params)
    }
}

/// Learning from a batch of decisions.
struct Task<'a> {
    brain: &'a Brain,
    plan: &'a Plan,
    team: Option<std::ops::Range<usize>>,
    hidden_width: usize,
    steps: u64,
}

impl Task<'_> {
    fn learn(&self, d: &mut Decisions, params: &mut [f32], adam: &mut Adam, rng: &mut Rng, rate: f64) -> Result<Sums> {
        let mut order: Vec<u32> = (0..d.len() as u32).collect();
        rng.shuffle(&mut order);
        let mut sums = Sums::default();
        let mut grads = vec![0.0; params.len()];
        let (mut value, mut guess) = (ValueScratch::default(), [Scratch::default(), Scratch::default()]);
        for part in order.chunks(self.plan.batch_size) {
            // A rest that is too small would be a noisy step.
            if part.len() * 2 < self.plan.batch_size && order.len() > self.plan.batch_size {
                break;
            }
            grads.fill(0.0);
            self.values(d, part, params, &mut grads, &mut value, &mut sums);
            if self.brain.settings.guess.is_some() {
                self.guesses(d, part, params, &mut grads, &mut guess, &mut sums);
            }
            let norm = clip_grad_norm(&mut grads, self.plan.max_grad_norm);
            if !norm.is_finite() {
                return Err(Error::NonFinite { what: "gradient".into(), step: self.steps });
            }
            adam.step(params, &grads, rate);
            sums.grad_norm += norm;
            sums.updates += 1.0;
            sums.count += part.len() as f64;
        }
        d.clear();
        Ok(sums)
    }

    fn states(&self, d: &Decisions, part: &[u32]) -> Active {
        let width = self.brain.features.width();
        let mut states = Active::default();
        part.iter().for_each(|&i| self.brain.features.encode(&d.obs[i as usize * width..][..width], &mut states));
        states
    }

    /// Mean squared error to the returns.
    fn values(
        &self,
        d: &Decisions,
        part: &[u32],
        params: &[f32],
        grads: &mut [f32],
        s: &mut ValueScratch,
        sums: &mut Sums,
    ) {
        let pattern = self.brain.settings.guess.as_ref().is_some_and(|g| g.pattern);
        let with_context = self.brain.settings.guess.is_some() && !pattern;
        let c_width = self.brain.candidate_features.width();
        let of = |&i: &u32| net_of(pattern, &d.context[i as usize * CONTEXT..][..CONTEXT], d.seat[i as usize]);
        for (number, net) in self.brain.values.iter().enumerate() {
            let mine: Vec<u32> = part.iter().filter(|i| of(i) == number).copied().collect();
            if mine.is_empty() {
                continue;
            }
            let states = self.states(d, &mine);
            let (mut moves, mut context) = (Active::default(), Vec::new());
            for &i in &mine {
                self.brain.candidate_features.encode(&d.chosen[i as usize * c_width..][..c_width], &mut moves);
                if with_context {
                    context.extend_from_slice(&d.context[i as usize * CONTEXT..][..CONTEXT]);
                }
            }
            let owner: Vec<u32> = (0..mine.len() as u32).collect();
            let out = net.forward(params, &states, &context, &moves, &owner, s);
            let scale = 2.0 / part.len() as f32;
            let mut dy = Vec::with_capacity(mine.len());
            for (q, &i) in out.iter().zip(&mine) {
                let error = q - d.target[i as usize];
                sums.value_loss += f64::from(error * error);
                dy.push(scale * error);
            }
            net.backward(params, &states, &context, &moves, &dy, s, grads);
        }
    }

    /// Cross-entropy of the relation to the truth; the danger towards the share of wrong guesses; and the intrinsic reward.
    ///
    /// With z = logit(relation) - logit(danger), a player is accepted with probability sigmoid(z) while exploring. The intrinsic
    /// reward of a decision is r = Q(s, a; accepted) - `intrinsic_loss` x (mean cross-entropy of the three guesses); it reaches both
    /// networks as a policy gradient: minus `intrinsic` x (r - mean of r) x log P(accepted).
    fn guesses(
        &self,
        d: &Decisions,
        part: &[u32],
        params: &[f32],
        grads: &mut [f32],
        s: &mut [Scratch; 2],
        sums: &mut Sums,
    ) {
        let Some(team) = &self.team else { return };
        let states = self.states(d, part);
        let n = part.len();
        let [relation_scratch, danger_scratch] = s;
        let relation =
            self.brain.relation.as_ref().map(|net| net.forward(params, &states, &[], relation_scratch).to_vec());
        let danger = self.brain.danger.as_ref().map(|net| net.forward(params, &states, &[], danger_scratch).to_vec());
        let mut d_relation = vec![0.0f32; n * OTHERS];
        let mut d_danger = vec![0.0f32; n];
        let mut rewards = vec![0.0f32; n];
        let scale = 1.0 / n as f32;
        let mut probability = vec![0.0f32; n * OTHERS];
        for (k, &i) in part.iter().enumerate() {
            let i = i as usize;
            let teams = &d.hidden[i * self.hidden_width..][team.clone()];
            let me = usize::from(d.seat[i]);
            let (mut loss, mut wrong) = (0.0, 0.0);
            for o in 0..OTHERS {
                let same = f32::from(u8::from(teams[(me + o + 1) & 3] == teams[me]));
                let p = relation.as_ref().map_or(d.context[i * CONTEXT + o], |r| sigmoid(r[k * OTHERS + o]));
                probability[k * OTHERS + o] = p;
                let bounded = p.clamp(1e-6, 1.0 - 1e-6);
                let entropy = |y: f32| -(y * bounded.ln() + (1.0 - y) * (1.0 - bounded).ln());
                loss += entropy(same) / OTHERS as f32;
                sums.entropy += f64::from(entropy(bounded)) / OTHERS as f64;
                let right = (p > 0.5) == (same > 0.5);
                wrong += f32::from(u8::from(!right)) / OTHERS as f32;
                d_relation[k * OTHERS + o] = (p - same) * scale;
                sums.accepted += f64::from(d.context[i * CONTEXT + OTHERS + o]) / OTHERS as f64;
            }
            sums.relation_loss += f64::from(loss);
            sums.correct += f64::from(1.0 - wrong);
            if let Some(danger) = &danger {
                let p = sigmoid(danger[k]);
                d_danger[k] = (p - wrong) * scale;
                sums.danger += f64::from(p);
                let bounded = p.clamp(1e-6, 1.0 - 1e-6);
                sums.danger_loss -= f64::from(wrong * bounded.ln() + (1.0 - wrong) * (1.0 - bounded).ln());
            }
            rewards[k] = d.value[i] - self.plan.intrinsic_loss as f32 * loss;
            sums.intrinsic += f64::from(rewards[k]);
        }
        let mean = rewards.iter().sum::<f32>() * scale;
        if self.plan.intrinsic > 0.0 {
            for (k, &i) in part.iter().enumerate() {
                let advantage = (rewards[k] - mean) * self.plan.intrinsic as f32 * scale;
                let below = danger.as_ref().map_or(0.0, |x| x[k]);
                for o in 0..OTHERS {
                    let p = probability[k * OTHERS + o].clamp(1e-4, 1.0 - 1e-4);
                    let accepted = d.context[i as usize * CONTEXT + OTHERS + o];
                    let push = -advantage * (accepted - sigmoid((p / (1.0 - p)).ln() - below));
                    d_relation[k * OTHERS + o] += push;
                    d_danger[k] -= push;
                }
            }
        }
        if let Some(net) = &self.brain.relation {
            net.backward(params, &states, &[], &d_relation, relation_scratch, grads);
        }
        if let Some(net) = &self.brain.danger {
            net.backward(params, &states, &[], &d_danger, danger_scratch, grads);
        }
    }
}

fn report(s: &Sums, guess: bool, rate: f64, log: &mut Scalars) {
    log.put("losses/value_loss", s.value_loss / s.count);
    log.put("losses/grad_norm", s.grad_norm / s.updates);
    log.put("charts/learning_rate", rate);
    log.put("perf/decisions", s.count);
    if guess {
        log.put("losses/relation_loss", s.relation_loss / s.count);
        log.put("losses/danger_loss", s.danger_loss / s.count);
        log.put("identity/accuracy", s.correct / s.count);
        log.put("identity/entropy", s.entropy / s.count);
        log.put("identity/accepted", s.accepted / s.count);
        log.put("identity/danger", s.danger / s.count);
        log.put("identity/intrinsic_reward", s.intrinsic / s.count);
    }
}
