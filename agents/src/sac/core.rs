//! Policy, critics and temperature, and how they learn from a batch: what [`super::Sac`] and chains of skills share.
use super::Config;
use rlx::{ActionBuffer, Error, Mode, Result, Rng, Scalars, Space, Spec, replay::Batch};
use rlx_nn::{
    Adam, AdamConfig, Layout, NativeMlp, Norm, Normalizer,
    adam::newest_share,
    native::{Workspace, tanh},
};
use serde::{Deserialize, Serialize};

mod draw;
mod stored;
use draw::{Half, LOG_STD, drawn, log_prob, log_std};

/// A network's parameters with their optimiser.
struct Net {
    mlp: NativeMlp,
    layout: Layout,
    params: Vec<f32>,
    grads: Vec<f32>,
    adam: Adam,
}

impl Net {
    fn new(make: impl FnOnce(&mut Layout) -> NativeMlp, seed: u64, adam: AdamConfig) -> Self {
        let mut layout = Layout::new();
        let mlp = make(&mut layout);
        let params = layout.init(seed);
        Self { grads: vec![0.0; params.len()], adam: Adam::new(adam, params.len()), mlp, layout, params }
    }
    fn step(&mut self, learning_rate: f64) {
        self.adam.step(&mut self.params, &self.grads, learning_rate);
    }
}

/// One of the twins.
struct Critic {
    net: Net,
    target: Vec<f32>,
    work: Workspace,
    target_work: Workspace,
    next: Vec<f32>,     // [batch], values of the next actions
    d: Vec<f32>,        // [batch or rows], derivative of a loss by the values
    rows: Vec<usize>,   // of a batch, where this one has the smaller value
    by_input: Vec<f32>, // [rows, obs + act]
    loss: f64,
}

/// Sums over the updates of an iteration.
#[derive(Clone, Copy, Debug, Default)]
struct Totals {
    critic: f64,
    policy: f64,
    value: f64,
    log_prob: f64,
    updates: u64,
    policy_updates: u64,
}

/// See the module.
pub(crate) struct Core {
    config: Config,
    obs: usize,
    act: usize,
    scales: Vec<(f32, f32)>, // (middle, half width) of each action
    actor: Net,
    average: Vec<f32>, // of the actor's parameters, where it is asked for: what is judged
    critics: [Critic; 2],
    halves: [Half; 2],
    log_alpha: Vec<f32>,
    alpha_adam: Adam,
    state: CoreState,
    totals: Totals,
    x: Vec<f32>,      // [batch, obs], normalised
    next_x: Vec<f32>, // [batch, obs]
    input: Vec<f32>,  // [batch or 2 batch, obs + act]
    next_input: Vec<f32>,
    noise: Vec<f32>,     // [batch, act]
    by_action: Vec<f32>, // [batch, act], derivative of the policy's loss by what the critics see
    target: Vec<f32>,    // [batch]
    acting: Workspace,
}

/// What is saved beside the networks.
#[derive(Serialize, Deserialize)]
struct CoreState {
    normal: Normalizer,
    noise: Rng,
    updates: u64,
}

impl Core {
    pub fn new(config: Config, spec: &Spec, seed: u64) -> Self {
        let (obs, act) = (spec.obs.width(), spec.act.width());
        let scales = match &spec.act {
            Space::Box { low, high, .. } => low.iter().zip(high).map(|(l, h)| ((l + h) / 2.0, (h - l) / 2.0)).collect(),
            _ => Vec::new(),
        };
        // CrossQ lowers the memory of gradients (arXiv 1902.05605, section 3).
        let beta1 = if config.norm == Norm::Batch { 0.5 } else { 0.9 };
        let adam = AdamConfig { beta1, ..AdamConfig::default() };
        let sizes = |first: usize, last: usize| [&[first], &config.hidden[..], &[last]].concat();
        let actor = |l: &mut Layout| NativeMlp::new(l, "actor", &sizes(obs, 2 * act), config.activation, 0.01);
        let critic = |i: usize| {
            let name = format!("critic{i}");
            let kind = (config.activation, config.norm);
            let net = Net::new(|l| NativeMlp::normed(l, &name, &sizes(obs + act, 1), kind, 1.0), seed, adam);
            Critic {
                target: net.params.clone(),
                net,
                work: Workspace::default(),
                target_work: Workspace::default(),
                next: Vec::new(),
                d: Vec::new(),
                rows: Vec::new(),
                by_input: Vec::new(),
                loss: 0.0,
            }
        };
        let actor = Net::new(actor, seed, adam);
        let average = if config.policy_average > 0.0 { actor.params.clone() } else { Vec::new() };
        Self {
            critics: [critic(0), critic(1)],
            halves: Default::default(),
            log_alpha: vec![config.alpha_init.ln() as f32],
            alpha_adam: Adam::new(adam, 1),
            state: CoreState { normal: Normalizer::new(obs), noise: Rng::named(seed, "sac noise", 0), updates: 0 },
            totals: Totals::default(),
            x: Vec::new(),
            next_x: Vec::new(),
            input: Vec::new(),
            next_input: Vec::new(),
            noise: Vec::new(),
            by_action: Vec::new(),
            target: Vec::new(),
            acting: Workspace::default(),
            config,
            obs,
            act,
            scales,
            actor,
            average,
        }
    }

    fn normalize(&self, from: &[f32], to: &mut Vec<f32>) {
        to.clear();
        to.extend_from_slice(from);
        if self.config.normalize_obs {
            self.state.normal.normalize(from, to);
        }
    }

    /// Takes observations into account for the normaliser, `[rows, obs]`.
    pub fn see(&mut self, obs: &[f32]) {
        if self.config.normalize_obs {
            self.state.normal.update(obs);
        }
    }

    /// One update from transitions of the replay.
    pub fn learn(&mut self, batch: &Batch, learning_rate: f64) -> Result<()> {
        let n = batch.reward.len();
        let (mut x, mut next_x) = (std::mem::take(&mut self.x), std::mem::take(&mut self.next_x));
        self.normalize(batch.obs.slice(0..batch.obs.len()).f32()?, &mut x);
        self.normalize(batch.next.slice(0..batch.next.len()).f32()?, &mut next_x);
        (self.x, self.next_x) = (x, next_x);
        let ActionBuffer::Continuous(actions) = &batch.act else {
            return Err(Error::mismatch("replayed actions", "continuous", "discrete"));
        };
        let joint = self.config.norm == Norm::Batch;

        // The soft value of what the actions led to (arXiv 1812.05905, eq. 3 and 5).
        self.draw(n, true);
        fill(&mut self.next_input, &self.next_x, self.obs, self.act, |r, to| drawn(&self.halves, r, to));
        let scales = &self.scales;
        fill(&mut self.input, &self.x, self.obs, self.act, |r, to| {
            for ((to, a), (middle, half)) in to.iter_mut().zip(&actions[r * self.act..]).zip(scales) {
                *to = (a - middle) / half;
            }
        });
        if joint {
            self.input.extend_from_slice(&self.next_input);
        }
        let (input, next_input) = (&self.input, &self.next_input);
        both(&mut self.critics, |c| {
            let Critic { net, target, work, target_work, next, .. } = c;
            next.clear();
            if joint {
                next.extend_from_slice(&net.mlp.forward_train(&net.params, input, work)[n..]);
            } else {
                next.extend_from_slice(net.mlp.forward(target, next_input, target_work));
                net.mlp.forward(&net.params, input, work);
            }
        });
        let alpha = self.log_alpha[0].exp();
        let [low, high] = self.config.target_range.map(|r| r as f32);
        self.target.clear();
        for k in 0..n {
            let next = self.critics[0].next[k].min(self.critics[1].next[k]) - alpha * log_prob(&self.halves, k);
            let target = batch.reward[k] + batch.discount[k] * next;
            self.target.push(if low < high { target.clamp(low, high) } else { target });
        }

        // Half the mean squared error of each critic.
        let (target, tau, input) = (&self.target, self.config.tau as f32, &self.input);
        both(&mut self.critics, |c| {
            let value = c.net.mlp.output(&c.work);
            c.loss = 0.0;
            c.d.clear();
            for (q, y) in value.iter().zip(target) {
                c.loss += f64::from(0.5 * (q - y) * (q - y));
                c.d.push((q - y) / n as f32);
            }
            c.d.resize(value.len(), 0.0);
            c.net.grads.fill(0.0);
            c.net.mlp.backward(&c.net.params, input, &c.d, &mut c.work, &mut c.net.grads);
            c.net.step(learning_rate);
            if joint {
                c.net.mlp.track(&mut c.net.params, &c.work, 0.01);
            } else {
                rlx_nn::native::lerp(&mut c.target, &c.net.params, tau);
            }
        });
        let loss = self.critics.iter().map(|c| c.loss).sum::<f64>() / n as f64;
        if !loss.is_finite() {
            return Err(Error::NonFinite { what: "loss of sac's critics".into(), step: self.state.updates });
        }
        self.totals.critic += loss;
        self.totals.value += self.target.iter().map(|y| f64::from(*y)).sum::<f64>() / n as f64;
        self.totals.updates += 1;
        self.state.updates += 1;
        if self.state.updates.is_multiple_of(self.config.policy_delay) {
            self.improve(n, learning_rate);
        }
        Ok(())
    }

    /// One step of policy and temperature (arXiv 1812.05905, eq. 7 and 18).
    fn improve(&mut self, n: usize, learning_rate: f64) {
        self.draw(n, false);
        fill(&mut self.input, &self.x, self.obs, self.act, |r, to| drawn(&self.halves, r, to));
        let input = &self.input;
        both(&mut self.critics, |c| {
            c.net.mlp.forward(&c.net.params, input, &mut c.work);
        });
        // d(-min Q) by each critic's value: all of a row's by the smaller one, and the other one's pass leaves the row out.
        let [a, b] = &mut self.critics;
        let (qa, qb) = (a.net.mlp.output(&a.work), b.net.mlp.output(&b.work));
        a.rows.clear();
        b.rows.clear();
        let mut value = 0.0;
        for (k, (qa, qb)) in qa.iter().zip(qb).enumerate() {
            if qa <= qb {
                a.rows.push(k)
            } else {
                b.rows.push(k)
            }
            value += f64::from(qa.min(*qb));
        }
        let (obs, act, wide) = (self.obs, self.act, self.obs + self.act);
        both(&mut self.critics, |c| {
            c.d.clear();
            c.d.resize(c.rows.len(), -1.0 / n as f32);
            c.by_input.resize(c.rows.len() * wide, 0.0);
            c.net.mlp.keep(&c.rows, &mut c.work);
            c.net.mlp.backward_inputs(&c.net.params, &c.d, &mut c.work);
            c.net.mlp.input_grads(&c.net.params, &c.work, &mut c.by_input);
        });
        self.by_action.resize(n * act, 0.0);
        for c in &self.critics {
            for (r, by) in c.rows.iter().zip(c.by_input.chunks_exact(wide)) {
                self.by_action[r * act..(r + 1) * act].copy_from_slice(&by[obs..]);
            }
        }
        let alpha = self.log_alpha[0].exp();
        let by_action = &self.by_action;
        let (actor, x) = (&self.actor, &self.x);
        both(&mut self.halves, |half| {
            let rows = half.rows.clone();
            let out = actor.mlp.output(&half.work);
            half.d.clear();
            half.d.resize(out.len(), 0.0);
            for (k, r) in rows.clone().enumerate() {
                for j in 0..act {
                    let squashed = half.actions[k * act + j];
                    // d log pi / d u = 2 tanh(u); d tanh(u) / d u = 1 - tanh(u)^2.
                    let by_pre =
                        alpha * 2.0 * squashed / n as f32 + by_action[r * act + j] * (1.0 - squashed * squashed);
                    let by_log_std = by_pre * half.spread[k * act + j] - alpha / n as f32;
                    let squash = tanh(out[k * 2 * act + act + j]);
                    half.d[k * 2 * act + j] = by_pre;
                    half.d[k * 2 * act + act + j] =
                        by_log_std * 0.5 * (LOG_STD.1 - LOG_STD.0) * (1.0 - squash * squash);
                }
            }
            half.grads.clear();
            half.grads.resize(actor.params.len(), 0.0);
            let Half { d, work, grads, .. } = half;
            actor.mlp.backward(&actor.params, &x[rows.start * obs..rows.end * obs], d, work, grads);
        });
        let [first, second] = &self.halves;
        for ((g, a), b) in self.actor.grads.iter_mut().zip(&first.grads).zip(&second.grads) {
            *g = a + b;
        }
        self.actor.step(learning_rate);
        if !self.average.is_empty() {
            let share = newest_share(self.config.policy_average, self.state.updates / self.config.policy_delay);
            rlx_nn::native::lerp(&mut self.average, &self.actor.params, share as f32);
        }
        let log_prob = self.halves.iter().flat_map(|h| &h.log_probs).map(|p| f64::from(*p)).sum::<f64>() / n as f64;
        if self.config.alpha_auto {
            let gap = log_prob + self.config.target_entropy * act as f64;
            self.alpha_adam.step(&mut self.log_alpha, &[-gap as f32], learning_rate);
        }
        self.totals.log_prob += log_prob;
        self.totals.policy += f64::from(alpha) * log_prob - value / n as f64;
        self.totals.policy_updates += 1;
    }

    /// Parameters of the policy that is judged and exported.
    fn judged(&self) -> &[f32] {
        if self.average.is_empty() { &self.actor.params } else { &self.average }
    }

    /// Chooses an action for each row of observations, `[rows, obs]`, in the world's units: drawn with one stream a row, or the mean of
    /// the policy that is judged.
    ///
    /// # Errors
    /// When the network's output is not finite.
    pub fn act(&mut self, obs: &[f32], mode: Mode, rng: &mut [Rng], out: &mut [f32]) -> Result<()> {
        let mut x = std::mem::take(&mut self.x);
        self.normalize(obs, &mut x);
        let act = self.act;
        let mut acting = std::mem::take(&mut self.acting);
        let params = if mode == Mode::Greedy { self.judged() } else { &self.actor.params };
        let net = self.actor.mlp.forward(params, &x, &mut acting);
        for (k, (net, out)) in net.chunks_exact(2 * act).zip(out.chunks_exact_mut(act)).enumerate() {
            for j in 0..act {
                let spread = match mode {
                    Mode::Explore => log_std(net[act + j]).exp() * rng[k].normal() as f32,
                    Mode::Greedy => 0.0,
                };
                let (middle, half) = self.scales[j];
                out[j] = middle + half * tanh(net[j] + spread);
                if !out[j].is_finite() {
                    return Err(Error::NonFinite { what: "policy of sac".into(), step: self.state.updates });
                }
            }
        }
        (self.x, self.acting) = (x, acting);
        Ok(())
    }

    /// Draws uniformly over the action space instead.
    pub fn act_at_random(&self, rng: &mut Rng, out: &mut [f32]) {
        for (a, (middle, half)) in out.iter_mut().zip(&self.scales) {
            *a = middle + half * rng.uniform(-1.0, 1.0) as f32;
        }
    }

    /// The smaller of the critics' values of (obs, action) rows in the world's units: for tests and pictures.
    #[cfg(test)]
    pub fn value(&mut self, obs: &[f32], actions: &[f32]) -> Vec<f32> {
        let mut x = Vec::new();
        self.normalize(obs, &mut x);
        let scales = &self.scales;
        fill(&mut self.input, &x, self.obs, self.act, |r, to| {
            for ((to, a), (middle, half)) in to.iter_mut().zip(&actions[r * scales.len()..]).zip(scales) {
                *to = (a - middle) / half;
            }
        });
        let [a, b] = &mut self.critics;
        let qa = a.net.mlp.forward(&a.net.params, &self.input, &mut a.work);
        let qb = b.net.mlp.forward(&b.net.params, &self.input, &mut b.work);
        qa.iter().zip(qb).map(|(a, b)| a.min(*b)).collect()
    }

    /// Updates so far.
    pub fn updates(&self) -> u64 {
        self.state.updates
    }

    /// Floating-point operations of an update with the policy's part, two for each multiply-add of a network.
    pub fn flop(&self, batch: usize) -> f64 {
        let (actor, critic) = (self.actor.mlp.multiply_adds(), self.critics[0].net.mlp.multiply_adds());
        let first = self.config.hidden.first().copied().unwrap_or(1);
        let (by_obs, by_input) = (self.obs * first, (self.obs + self.act) * first);
        // Backward: once by the weights and once by the inputs of all layers but the first.
        let critic_step = 3 * critic - by_input;
        // A row goes back through one of the critics.
        let improve = 3 * actor - by_obs + 2 * critic + critic;
        let delay = self.config.policy_delay as f64;
        2.0 * batch as f64 * ((actor + 2 * critic + 2 * critic_step) as f64 + improve as f64 / delay)
    }

    /// The averages since the last report.
    pub fn report(&mut self, prefix: &str, log: &mut Scalars) {
        let t = std::mem::take(&mut self.totals);
        let (n, m) = (t.updates.max(1) as f64, t.policy_updates.max(1) as f64);
        if t.updates > 0 {
            log.put(format!("losses/{prefix}critic_loss"), t.critic / n);
            log.put(format!("losses/{prefix}target_value"), t.value / n);
        }
        if t.policy_updates > 0 {
            log.put(format!("losses/{prefix}policy_loss"), t.policy / m);
            log.put(format!("losses/{prefix}entropy"), -t.log_prob / m);
        }
        log.put(format!("losses/{prefix}alpha"), f64::from(self.log_alpha[0].exp()));
    }

    /// The name of the first parameter that is not finite.
    pub fn not_finite(&self) -> Option<String> {
        let nets = [&self.actor, &self.critics[0].net, &self.critics[1].net];
        let bad = |net: &&Net| {
            let piece = |p: &&rlx_nn::layout::Piece| net.params[p.range.clone()].iter().any(|x| !x.is_finite());
            net.layout.pieces().iter().find(piece).map(|p| p.name.clone())
        };
        nets.iter().find_map(bad)
    }
}

/// Does the same to two parts, side by side where there are threads for it.
fn both<T: Send>(parts: &mut [T; 2], f: impl Fn(&mut T) + Sync) {
    let [a, b] = parts;
    rayon::join(|| f(a), || f(b));
}

/// Rows of critics' inputs: observations, `[rows, obs]`, and the actions that `action` writes.
fn fill(to: &mut Vec<f32>, x: &[f32], obs: usize, act: usize, action: impl Fn(usize, &mut [f32])) {
    to.clear();
    to.resize(x.len() / obs * (obs + act), 0.0);
    for (r, (x, to)) in x.chunks_exact(obs).zip(to.chunks_exact_mut(obs + act)).enumerate() {
        to[..obs].copy_from_slice(x);
        action(r, &mut to[obs..]);
    }
}

#[cfg(test)]
mod tests;
