//! The squashed normal policy, a = tanh(u) with u ~ N(mean, std): acting, actions for a batch with their log-probabilities, and the way
//! back from the loss to the network. A batch is cut in two halves that can go side by side.
use super::{Networks, join_map};
use rlx::{ActionsMut, Error, Mode, Result, Rng, Vector};
use rlx_nn::native::{Workspace, tanh};
use std::ops::Range;

/// The log standard deviation is squashed into this range, as CleanRL does.
const LOG_STD: (f32, f32) = (-5.0, 2.0);

/// ln(2 pi) / 2.
const HALF_LOG_TAU: f32 = 0.918_938_5;

/// Half of a batch, as the policy sees it.
#[derive(Default)]
pub(super) struct ActorBatchHalf {
    rows: Range<usize>,
    work: Workspace,
    actions: Vec<f32>,              // [rows, act], squashed
    pub(super) log_probs: Vec<f32>, // [rows]
    spread: Vec<f32>,               // [rows, act]: standard deviation times noise
    output_grad: Vec<f32>,          // [rows, 2 act]
    grads: Vec<f32>,
}

impl Networks {
    /// Chooses an action for each row of observations, `[rows, obs]`, in the environment's units: drawn with one generator a row, or the
    /// mean of the policy that is evaluated.
    ///
    /// # Errors
    /// When the network's output is not finite.
    pub fn act(&mut self, obs: &[f32], mode: Mode, rng: &mut [Rng], out: &mut [f32]) -> Result<()> {
        let mut x = std::mem::take(&mut self.x);
        self.normalize(obs, &mut x);
        let act = self.act;
        let mut acting = std::mem::take(&mut self.acting);
        let params = if mode == Mode::Greedy { self.eval_params() } else { &self.actor.params };
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

    /// Changes the policy's `actions`, `[rngs, act]`, to explore: all are random while `warming_up`; the environments' own player takes
    /// the first of them for demonstrations; later a share is random.
    ///
    /// # Errors
    /// When the environments' own player fails.
    pub fn explore(&self, warming_up: bool, envs: &dyn Vector, rngs: &mut [Rng], actions: &mut [f32]) -> Result<()> {
        if warming_up {
            rngs.iter_mut().zip(actions.chunks_exact_mut(self.act)).for_each(|(rng, to)| self.act_at_random(rng, to));
        }
        if self.config.demonstrations > 0.0 {
            let n = ((self.config.demonstrations * rngs.len() as f64).round() as usize).max(1);
            let rows: Vec<u32> = (0..n as u32).collect();
            envs.bot(0, &rows, &mut rngs[..n], ActionsMut::Continuous(&mut actions[..n * self.act]))?;
        }
        if !warming_up && self.config.random_actions > 0.0 {
            for (rng, to) in rngs.iter_mut().zip(actions.chunks_exact_mut(self.act)) {
                if rng.unit() < self.config.random_actions {
                    self.act_at_random(rng, to);
                }
            }
        }
        Ok(())
    }

    /// Draws uniformly over the action space.
    fn act_at_random(&self, rng: &mut Rng, out: &mut [f32]) {
        for (a, (middle, half)) in out.iter_mut().zip(&self.scales) {
            *a = middle + half * rng.uniform(-1.0, 1.0) as f32;
        }
    }

    /// Draws an action for each row of the batch's observations, or of its next ones, from the policy as it is:
    /// ln pi(a) = sum of ln N(u) - ln(1 - tanh(u)^2) (arXiv 1812.05905, appendix C).
    pub(super) fn sample_actions(&mut self, n: usize, next: bool) {
        self.noise.clear();
        self.noise.extend((0..n * self.act).map(|_| self.state.noise.normal() as f32));
        let (obs, act, actor, noise) = (self.obs, self.act, &self.actor, &self.noise);
        let x = if next { &self.next_x } else { &self.x };
        self.halves[0].rows = 0..n / 2;
        self.halves[1].rows = n / 2..n;
        join_map(&mut self.halves, |half| {
            let rows = half.rows.clone();
            let out = actor.mlp.forward(&actor.params, &x[rows.start * obs..rows.end * obs], &mut half.work);
            half.actions.clear();
            half.log_probs.clear();
            half.spread.clear();
            for (out, noise) in out.chunks_exact(2 * act).zip(noise[rows.start * act..].chunks_exact(act)) {
                let mut log_prob = 0.0;
                for j in 0..act {
                    let log_std = log_std(out[act + j]);
                    let spread = log_std.exp() * noise[j];
                    let u = out[j] + spread;
                    half.actions.push(tanh(u));
                    half.spread.push(spread);
                    log_prob -= 0.5 * noise[j] * noise[j] + log_std + HALF_LOG_TAU + log_slope(u);
                }
                half.log_probs.push(log_prob);
            }
        });
    }

    /// The gradient of mean(alpha ln pi) - mean(min Q) by the policy's parameters, from the derivative of the second term by the actions.
    ///
    /// With u = mean + std * noise: d ln pi / d u = 2 tanh(u), d tanh(u) / d u = 1 - tanh(u)^2, d u / d ln std = std * noise, and
    /// d ln pi / d ln std has -1 besides.
    pub(super) fn policy_grad(&mut self, n: usize, alpha: f32) {
        let (obs, act, actor, x, action_grad) = (self.obs, self.act, &self.actor, &self.x, &self.action_grad);
        join_map(&mut self.halves, |half| {
            let rows = half.rows.clone();
            let out = actor.mlp.output(&half.work);
            half.output_grad.clear();
            half.output_grad.resize(out.len(), 0.0);
            for (k, r) in rows.clone().enumerate() {
                for j in 0..act {
                    let a = half.actions[k * act + j];
                    let d_u = alpha * 2.0 * a / n as f32 + action_grad[r * act + j] * (1.0 - a * a);
                    let d_log_std = d_u * half.spread[k * act + j] - alpha / n as f32;
                    half.output_grad[k * 2 * act + j] = d_u;
                    half.output_grad[k * 2 * act + act + j] = log_std_grad(d_log_std, out[k * 2 * act + act + j]);
                }
            }
            half.grads.clear();
            half.grads.resize(actor.params.len(), 0.0);
            let ActorBatchHalf { output_grad, work, grads, .. } = half;
            actor.mlp.backward(&actor.params, &x[rows.start * obs..rows.end * obs], output_grad, work, grads);
        });
        let [first, second] = &self.halves;
        for ((g, a), b) in self.actor.grads.iter_mut().zip(&first.grads).zip(&second.grads) {
            *g = a + b;
        }
    }
}

/// The network's second output as a log standard deviation.
fn log_std(raw: f32) -> f32 {
    LOG_STD.0 + 0.5 * (LOG_STD.1 - LOG_STD.0) * (tanh(raw) + 1.0)
}

/// The derivative by the raw output, from that by the log standard deviation.
fn log_std_grad(d_log_std: f32, raw: f32) -> f32 {
    let squash = tanh(raw);
    d_log_std * 0.5 * (LOG_STD.1 - LOG_STD.0) * (1.0 - squash * squash)
}

/// ln(1 - tanh(u)^2), exact also far out: 2 (ln 2 - u - softplus(-2 u)).
fn log_slope(u: f32) -> f32 {
    let softplus = |x: f32| x.max(0.0) + (-x.abs()).exp().ln_1p();
    2.0 * (std::f32::consts::LN_2 - u - softplus(-2.0 * u))
}

/// Which half a row of the batch is in, and where.
fn place(halves: &[ActorBatchHalf; 2], row: usize) -> (&ActorBatchHalf, usize) {
    let half = &halves[usize::from(row >= halves[1].rows.start)];
    (half, row - half.rows.start)
}

/// Writes the sampled action of a row of the batch.
pub(super) fn write_action(halves: &[ActorBatchHalf; 2], row: usize, to: &mut [f32]) {
    let (half, k) = place(halves, row);
    to.copy_from_slice(&half.actions[k * to.len()..(k + 1) * to.len()]);
}

/// ln pi of a row's sampled action.
pub(super) fn log_prob_of(halves: &[ActorBatchHalf; 2], row: usize) -> f32 {
    let (half, k) = place(halves, row);
    half.log_probs[k]
}
