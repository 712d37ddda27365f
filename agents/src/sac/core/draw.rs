//! Actions of the policy for a batch, in two halves that can be drawn side by side, with their log probabilities.
use super::{Core, both};
use rlx_nn::native::{Workspace, tanh};
use std::ops::Range;

/// The log standard deviation is squashed into this range, as CleanRL does.
pub(super) const LOG_STD: (f32, f32) = (-5.0, 2.0);

/// Half of a batch, as the policy sees it.
#[derive(Default)]
pub(super) struct Half {
    pub rows: Range<usize>,
    pub work: Workspace,
    pub actions: Vec<f32>,   // [rows, act], squashed
    pub log_probs: Vec<f32>, // [rows]
    pub spread: Vec<f32>,    // [rows, act]: standard deviation times noise
    pub d: Vec<f32>,         // [rows, 2 act]
    pub grads: Vec<f32>,
}

impl Core {
    /// Draws an action for each row of the batch's now or next from the policy as it is.
    pub(super) fn draw(&mut self, n: usize, next: bool) {
        self.noise.clear();
        self.noise.extend((0..n * self.act).map(|_| self.state.noise.normal() as f32));
        let (obs, act, actor, noise) = (self.obs, self.act, &self.actor, &self.noise);
        let x = if next { &self.next_x } else { &self.x };
        self.halves[0].rows = 0..n / 2;
        self.halves[1].rows = n / 2..n;
        both(&mut self.halves, |half| {
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
                    let pre = out[j] + spread;
                    half.actions.push(tanh(pre));
                    half.spread.push(spread);
                    log_prob -= 0.5 * noise[j] * noise[j] + log_std + HALF_LOG_TAU + log_slope(pre);
                }
                half.log_probs.push(log_prob);
            }
        });
    }
}

/// ln(2 pi) / 2.
const HALF_LOG_TAU: f32 = 0.918_938_5;

/// The network's second output as a log standard deviation.
pub(super) fn log_std(raw: f32) -> f32 {
    LOG_STD.0 + 0.5 * (LOG_STD.1 - LOG_STD.0) * (tanh(raw) + 1.0)
}

/// ln(1 - tanh(u)^2), exact also far out: 2 (ln 2 - u - softplus(-2 u)).
fn log_slope(u: f32) -> f32 {
    let softplus = |x: f32| x.max(0.0) + (-x.abs()).exp().ln_1p();
    2.0 * (std::f32::consts::LN_2 - u - softplus(-2.0 * u))
}

/// Which half a row of the batch is in, and where.
fn place(halves: &[Half; 2], row: usize) -> (&Half, usize) {
    let half = &halves[usize::from(row >= halves[1].rows.start)];
    (half, row - half.rows.start)
}

/// Writes the action of a row of the batch.
pub(super) fn drawn(halves: &[Half; 2], row: usize, to: &mut [f32]) {
    let (half, k) = place(halves, row);
    to.copy_from_slice(&half.actions[k * to.len()..(k + 1) * to.len()]);
}

/// Of a row's action.
pub(super) fn log_prob(halves: &[Half; 2], row: usize) -> f32 {
    let (half, k) = place(halves, row);
    half.log_probs[k]
}
