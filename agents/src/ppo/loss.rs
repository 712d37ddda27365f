//! The terms of PPO's loss (arXiv 1707.06347, eq. 9), each with its derivative beside it.
use rlx::Scalars;

/// The clipped surrogate objective of one transition (eq. 7).
#[derive(Clone, Copy, Debug)]
pub(super) struct ClippedSurrogate {
    pub(super) advantage: f32,
    pub(super) old_log_prob: f32,
    pub(super) clip: f32,
}

impl ClippedSurrogate {
    /// r = pi(a) / pi_old(a).
    fn ratio(self, log_prob: f32) -> f32 {
        (log_prob - self.old_log_prob).exp()
    }
    /// -min(r A, clip(r, 1 - eps, 1 + eps) A)
    pub(super) fn loss(self, log_prob: f32) -> f32 {
        let ratio = self.ratio(log_prob);
        -(ratio * self.advantage).min(ratio.clamp(1.0 - self.clip, 1.0 + self.clip) * self.advantage)
    }
    /// d loss / d ln pi(a): -A r, and 0 where the clipped branch is the smaller one.
    pub(super) fn derivative(self, log_prob: f32) -> f32 {
        let ratio = self.ratio(log_prob);
        let clipped =
            (self.advantage > 0.0 && ratio > 1.0 + self.clip) || (self.advantage < 0.0 && ratio < 1.0 - self.clip);
        if clipped { 0.0 } else { -self.advantage * ratio }
    }
}

/// Half the squared error of a value and its derivative by the new value. With a limit it is the larger of the plain error and that of
/// the value held within the limit of the old one, as in the original implementation.
pub(super) fn value_loss(new: f32, old: f32, target: f32, limit: f32) -> (f32, f32) {
    let plain = (0.5 * (new - target).powi(2), new - target);
    if limit == 0.0 {
        return plain;
    }
    let held = old + (new - old).clamp(-limit, limit);
    let clipped = 0.5 * (held - target).powi(2);
    if clipped > plain.0 {
        // Beyond the limit the held value does not move.
        (clipped, if (new - old).abs() < limit { held - target } else { 0.0 })
    } else {
        plain
    }
}

/// Brings advantages to mean 0 and standard deviation 1.
pub(super) fn standardize(values: &mut [f32]) {
    let n = values.len() as f32;
    let mean = values.iter().sum::<f32>() / n;
    let std = (values.iter().map(|v| (v - mean).powi(2)).sum::<f32>() / (n - 1.0)).sqrt();
    values.iter_mut().for_each(|v| *v = (*v - mean) / (std + 1e-8));
}

/// Sums over the minibatches of an iteration.
#[derive(Default)]
pub(super) struct LossSums {
    pub(super) policy: f64,
    pub(super) value: f64,
    pub(super) entropy: f64,
    pub(super) kl: f64,
    pub(super) clipped: f64,
    pub(super) grad_norm: f64,
    pub(super) samples: f64,
    pub(super) updates: u64,
}

impl LossSums {
    /// Counts the policy's part of one transition.
    pub(super) fn count(&mut self, surrogate: ClippedSurrogate, log_prob: f32, entropy: f32) {
        let ratio = surrogate.ratio(log_prob);
        self.policy += f64::from(surrogate.loss(log_prob));
        self.entropy += f64::from(entropy);
        // Schulman's estimator of KL(old, new) with low variance and no bias: (r - 1) - ln r.
        self.kl += f64::from((ratio - 1.0) - (log_prob - surrogate.old_log_prob));
        self.clipped += f64::from(u8::from((ratio - 1.0).abs() > surrogate.clip));
    }
    /// The means.
    pub(super) fn report(&self, log: &mut Scalars) {
        let n = self.samples.max(1.0);
        log.put("losses/policy_loss", self.policy / n);
        log.put("losses/value_loss", self.value / n);
        log.put("losses/entropy", self.entropy / n);
        log.put("losses/approx_kl", self.kl / n);
        log.put("losses/clip_fraction", self.clipped / n);
        log.put("losses/grad_norm", self.grad_norm / self.updates.max(1) as f64);
    }
    pub(super) fn is_finite(&self) -> bool {
        (self.policy + self.value + self.entropy).is_finite()
    }
}

/// 1 - Var(return - value) / Var(return), where a return is advantage + value.
pub(super) fn explained_variance(advantages: &[f32], values: &[f32]) -> f64 {
    let returns = variance(advantages.iter().zip(values).map(|(a, v)| f64::from(a + v)));
    if returns == 0.0 { 0.0 } else { 1.0 - variance(advantages.iter().map(|a| f64::from(*a))) / returns }
}

/// By Welford's recurrence.
fn variance(values: impl Iterator<Item = f64>) -> f64 {
    let (mut n, mut mean, mut square) = (0.0, 0.0, 0.0);
    for x in values {
        n += 1.0;
        let d = x - mean;
        mean += d / n;
        square += d * (x - mean);
    }
    square / n
}
