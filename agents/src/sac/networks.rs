//! Policy, critics and temperature, and how they learn from a batch ([`Networks::update`]): what [`super::Sac`] and chains of skills share.
//!
//! What can run side by side is cut the same way whatever the number of threads (the two critics, the two halves of a batch for the
//! policy), so results do not depend on it.
use super::Config;
use rlx::{ActionBuffer, Error, Result, Rng, Space, Spec, replay::Batch};
use rlx_nn::{
    Adam, AdamConfig, Layout, NativeMlp, Norm, Normalizer,
    adam::newest_share,
    native::{Workspace, lerp},
};
use serde::{Deserialize, Serialize};

mod policy;
mod report;
mod stored;
use policy::{ActorBatchHalf, log_prob_of, write_action};

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

/// One of the twin critics.
struct Critic {
    net: Net,
    target_params: Vec<f32>,
    work: Workspace,
    target_work: Workspace,
    next_values: Vec<f32>, // [batch], of the next actions
    value_grad: Vec<f32>,  // [batch or rows], derivative of a loss by the values
    rows: Vec<usize>,      // of a batch, where this one has the smaller value
    input_grad: Vec<f32>,  // [rows, obs + act]
    loss: f64,
}

/// Sums over the updates of an iteration.
#[derive(Clone, Copy, Debug, Default)]
struct LossSums {
    critic: f64,
    policy: f64,
    value: f64,
    log_prob: f64,
    updates: u64,
    policy_updates: u64,
}

/// The networks of soft actor-critic, their optimisers, and buffers for a batch.
pub(crate) struct Networks {
    config: Config,
    obs: usize,
    act: usize,
    scales: Vec<(f32, f32)>, // (middle, half width) of each action: critics see (action - middle) / half width
    actor: Net,
    average: Vec<f32>, // of the actor's parameters, where it is asked for
    critics: [Critic; 2],
    halves: [ActorBatchHalf; 2],
    log_alpha: Vec<f32>,
    alpha_adam: Adam,
    state: State,
    sums: LossSums,
    x: Vec<f32>,           // [batch, obs], normalised
    next_x: Vec<f32>,      // [batch, obs]
    input: Vec<f32>,       // [batch, obs + act]; of a joint batch those of `next_input` follow
    next_input: Vec<f32>,  // [batch, obs + act]
    noise: Vec<f32>,       // [batch, act]
    action_grad: Vec<f32>, // [batch, act], derivative of -min Q by the actions as critics see them
    target: Vec<f32>,      // [batch]
    acting: Workspace,
}

/// What is saved beside the networks.
#[derive(Serialize, Deserialize)]
struct State {
    normalizer: Normalizer,
    noise: Rng,
    updates: u64,
}

impl Networks {
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
                target_params: net.params.clone(),
                net,
                work: Workspace::default(),
                target_work: Workspace::default(),
                next_values: Vec::new(),
                value_grad: Vec::new(),
                rows: Vec::new(),
                input_grad: Vec::new(),
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
            state: State { normalizer: Normalizer::new(obs), noise: Rng::named(seed, "sac noise", 0), updates: 0 },
            sums: LossSums::default(),
            x: Vec::new(),
            next_x: Vec::new(),
            input: Vec::new(),
            next_input: Vec::new(),
            noise: Vec::new(),
            action_grad: Vec::new(),
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

    /// One update from transitions of the replay: algorithm 1 of arXiv 1812.05905.
    ///
    /// # Errors
    /// When the batch is another learner's, or the critics' loss is not finite.
    pub fn update(&mut self, batch: &Batch, learning_rate: f64) -> Result<()> {
        self.read_batch(batch)?;
        self.soft_target(batch);
        self.critic_step(learning_rate)?;
        self.update_targets();
        self.state.updates += 1;
        if self.state.updates.is_multiple_of(self.config.policy_delay) {
            let log_prob = self.actor_step(learning_rate);
            self.temperature_step(log_prob, learning_rate);
        }
        Ok(())
    }

    /// Normalises the batch's observations, and puts critics' inputs together from them and the actions that were taken.
    fn read_batch(&mut self, batch: &Batch) -> Result<()> {
        let (mut x, mut next_x) = (std::mem::take(&mut self.x), std::mem::take(&mut self.next_x));
        self.normalize(batch.obs.slice(0..batch.obs.len()).f32()?, &mut x);
        self.normalize(batch.next.slice(0..batch.next.len()).f32()?, &mut next_x);
        (self.x, self.next_x) = (x, next_x);
        let ActionBuffer::Continuous(actions) = &batch.act else {
            return Err(Error::mismatch("replayed actions", "continuous", "discrete"));
        };
        concat_taken(&mut self.input, &self.x, self.obs, actions, &self.scales);
        Ok(())
    }

    /// y = r + discount * (min Q'(s', a') - alpha ln pi(a' | s')), a' drawn from the policy (eq. 3 and 5).
    ///
    /// Q' are the target critics. CrossQ has none: its critics see now and next in one joint batch, and next values come from that pass.
    fn soft_target(&mut self, batch: &Batch) {
        let n = batch.reward.len();
        self.sample_actions(n, true);
        concat_obs_act(&mut self.next_input, &self.next_x, self.obs, self.act, |r, to| {
            write_action(&self.halves, r, to)
        });
        let joint = self.is_crossq();
        if joint {
            self.input.extend_from_slice(&self.next_input);
        }
        let (input, next_input) = (&self.input, &self.next_input);
        join_map(&mut self.critics, |c| {
            c.next_values.clear();
            if joint {
                let values = c.net.mlp.forward_train(&c.net.params, input, &mut c.work);
                c.next_values.extend_from_slice(&values[n..]);
            } else {
                let values = c.net.mlp.forward(&c.target_params, next_input, &mut c.target_work);
                c.next_values.extend_from_slice(values);
            }
        });
        let alpha = self.alpha();
        let [low, high] = self.config.target_range.map(|r| r as f32);
        self.target.clear();
        for k in 0..n {
            let min_next = self.critics[0].next_values[k].min(self.critics[1].next_values[k]);
            let soft_value = min_next - alpha * log_prob_of(&self.halves, k);
            let target = batch.reward[k] + batch.discount[k] * soft_value;
            self.target.push(if low < high { target.clamp(low, high) } else { target });
        }
    }

    /// One step of each critic along the gradient of mean((Q - y)^2) / 2, which by Q is (Q - y) / n (eq. 5 and 6).
    fn critic_step(&mut self, learning_rate: f64) -> Result<()> {
        let (joint, input, target, n) = (self.is_crossq(), &self.input, &self.target, self.target.len());
        join_map(&mut self.critics, |c| {
            if !joint {
                c.net.mlp.forward(&c.net.params, input, &mut c.work);
            }
            let values = c.net.mlp.output(&c.work);
            c.loss = 0.0;
            c.value_grad.clear();
            for (q, y) in values.iter().zip(target) {
                c.loss += f64::from(0.5 * (q - y) * (q - y));
                c.value_grad.push((q - y) / n as f32);
            }
            // Next values are no part of the loss.
            c.value_grad.resize(values.len(), 0.0);
            c.net.grads.fill(0.0);
            c.net.mlp.backward(&c.net.params, input, &c.value_grad, &mut c.work, &mut c.net.grads);
            c.net.step(learning_rate);
        });
        let loss = self.critics.iter().map(|c| c.loss).sum::<f64>() / n as f64;
        if !loss.is_finite() {
            return Err(Error::NonFinite { what: "loss of sac's critics".into(), step: self.state.updates });
        }
        self.sums.critic += loss;
        self.sums.value += target.iter().map(|y| f64::from(*y)).sum::<f64>() / n as f64;
        self.sums.updates += 1;
        Ok(())
    }

    /// Target critics move towards the critics by tau; CrossQ tracks its batch normalisation's running statistics instead.
    fn update_targets(&mut self) {
        let (joint, tau) = (self.is_crossq(), self.config.tau as f32);
        join_map(&mut self.critics, |c| {
            if joint {
                c.net.mlp.track(&mut c.net.params, &c.work, 0.01);
            } else {
                lerp(&mut c.target_params, &c.net.params, tau);
            }
        });
    }

    /// One step of the policy along the gradient of mean(alpha ln pi(a | s) - min Q(s, a)), a drawn by reparametrisation (eq. 7 to 9).
    /// The mean log-probability.
    fn actor_step(&mut self, learning_rate: f64) -> f64 {
        let (n, alpha) = (self.target.len(), self.alpha());
        self.sample_actions(n, false);
        let value = self.critics_action_grad(n);
        self.policy_grad(n, alpha);
        self.actor.step(learning_rate);
        if !self.average.is_empty() {
            let share = newest_share(self.config.policy_average, self.state.updates / self.config.policy_delay);
            lerp(&mut self.average, &self.actor.params, share as f32);
        }
        let log_probs = self.halves.iter().flat_map(|h| &h.log_probs);
        let log_prob = log_probs.map(|p| f64::from(*p)).sum::<f64>() / n as f64;
        self.sums.log_prob += log_prob;
        self.sums.policy += f64::from(alpha) * log_prob - value / n as f64;
        self.sums.policy_updates += 1;
        log_prob
    }

    /// The derivative of mean(-min Q) by the sampled actions; the sum of min Q.
    ///
    /// All of a row's is by the critic of smaller value, so a row goes back through that one only.
    fn critics_action_grad(&mut self, n: usize) -> f64 {
        let (obs, act, wide) = (self.obs, self.act, self.obs + self.act);
        concat_obs_act(&mut self.input, &self.x, obs, act, |r, to| write_action(&self.halves, r, to));
        let input = &self.input;
        join_map(&mut self.critics, |c| {
            c.net.mlp.forward(&c.net.params, input, &mut c.work);
        });
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
        join_map(&mut self.critics, |c| {
            c.value_grad.clear();
            c.value_grad.resize(c.rows.len(), -1.0 / n as f32);
            c.input_grad.resize(c.rows.len() * wide, 0.0);
            c.net.mlp.keep(&c.rows, &mut c.work);
            c.net.mlp.backward_inputs(&c.net.params, &c.value_grad, &mut c.work);
            c.net.mlp.input_grads(&c.net.params, &c.work, &mut c.input_grad);
        });
        self.action_grad.resize(n * act, 0.0);
        for c in &self.critics {
            for (r, grad) in c.rows.iter().zip(c.input_grad.chunks_exact(wide)) {
                self.action_grad[r * act..(r + 1) * act].copy_from_slice(&grad[obs..]);
            }
        }
        value
    }

    /// One step of ln alpha along the derivative of -ln alpha (ln pi + target entropy), where it is learnt: the variant of the authors'
    /// code, which descends in ln alpha (eq. 18).
    fn temperature_step(&mut self, log_prob: f64, learning_rate: f64) {
        if self.config.alpha_auto {
            let gap = log_prob + self.config.target_entropy * self.act as f64;
            self.alpha_adam.step(&mut self.log_alpha, &[-gap as f32], learning_rate);
        }
    }

    fn alpha(&self) -> f32 {
        self.log_alpha[0].exp()
    }

    fn is_crossq(&self) -> bool {
        self.config.norm == Norm::Batch
    }

    fn normalize(&self, from: &[f32], to: &mut Vec<f32>) {
        to.clear();
        to.extend_from_slice(from);
        if self.config.normalize_obs {
            self.state.normalizer.normalize(from, to);
        }
    }

    /// Takes observations into account for the normaliser, `[rows, obs]`.
    pub fn update_normalizer(&mut self, obs: &[f32]) {
        if self.config.normalize_obs {
            self.state.normalizer.update(obs);
        }
    }

    /// Parameters of the policy that is evaluated and exported.
    fn eval_params(&self) -> &[f32] {
        if self.average.is_empty() { &self.actor.params } else { &self.average }
    }

    /// Updates so far.
    pub fn updates(&self) -> u64 {
        self.state.updates
    }
}

/// Applies `f` to two parts, side by side where there are threads for it.
fn join_map<T: Send>(parts: &mut [T; 2], f: impl Fn(&mut T) + Sync) {
    let [a, b] = parts;
    rayon::join(|| f(a), || f(b));
}

/// Rows of critics' inputs: observations, `[rows, obs]`, and the actions that `action` writes.
fn concat_obs_act(to: &mut Vec<f32>, x: &[f32], obs: usize, act: usize, action: impl Fn(usize, &mut [f32])) {
    to.clear();
    to.resize(x.len() / obs * (obs + act), 0.0);
    for (r, (x, to)) in x.chunks_exact(obs).zip(to.chunks_exact_mut(obs + act)).enumerate() {
        to[..obs].copy_from_slice(x);
        action(r, &mut to[obs..]);
    }
}

/// The same with actions in the environment's units.
fn concat_taken(to: &mut Vec<f32>, x: &[f32], obs: usize, actions: &[f32], scales: &[(f32, f32)]) {
    let act = scales.len();
    concat_obs_act(to, x, obs, act, |r, to| {
        for ((to, a), (middle, half)) in to.iter_mut().zip(&actions[r * act..]).zip(scales) {
            *to = (a - middle) / half;
        }
    });
}

#[cfg(test)]
mod tests;
