//! What an iteration makes of it: the loss, its derivative by the networks' outputs, and the passes over the minibatches.
use super::*;

impl Ppo {
    /// `epochs` passes in shuffled minibatches; the last one of a pass may be smaller.
    pub(super) fn update(&mut self, learning_rate: f64, clip: f32) -> Result<Totals> {
        let mut totals = Totals::default();
        let mut order = std::mem::take(&mut self.order);
        'passes: for _ in 0..self.config.epochs {
            self.state.shuffle.shuffle(&mut order);
            for part in order.chunks(self.config.minibatch_size) {
                let before = (totals.kl, totals.samples);
                self.minibatch(part, learning_rate, clip, &mut totals)?;
                let kl = (totals.kl - before.0) / (totals.samples - before.1);
                if self.config.target_kl > 0.0 && kl > 1.5 * self.config.target_kl {
                    break 'passes;
                }
            }
        }
        // In order again, so that the next shuffle depends on the generator's state alone, which a checkpoint has.
        order.sort_unstable();
        self.order = order;
        self.state.updates += totals.updates;
        if let Some(name) = self.net.not_finite()? {
            return Err(Error::NonFinite { what: format!("parameter {name}"), step: self.state.steps });
        }
        Ok(totals)
    }

    pub(super) fn minibatch(&mut self, part: &[u32], learning_rate: f64, clip: f32, totals: &mut Totals) -> Result<()> {
        let (r, b) = (&self.rollout, &mut self.batch);
        let (n, width) = (part.len(), self.setup.spec.obs.width());
        b.x.clear();
        b.advantages.clear();
        for &i in part {
            let i = i as usize;
            b.x.extend_from_slice(&r.x[i * width..(i + 1) * width]);
            b.advantages.push(r.advantages[i]);
        }
        if self.config.normalize_advantage && n > 1 {
            standardize(&mut b.advantages);
        }
        let log_std = self.net.log_std().to_vec();
        let out = self.net.actor(&b.x, true)?;
        let outputs = out.len() / n;
        b.d_actor.clear();
        b.d_actor.resize(out.len(), 0.0);
        b.d_log_std.clear();
        b.d_log_std.resize(log_std.len(), 0.0);
        let masks = self.slab.as_ref().map_or(&[][..], Slab::all_masks);
        let scale = 1.0 / n as f32;
        let entropy_coef = self.config.entropy_coef as f32 * scale;
        for (k, &i) in part.iter().enumerate() {
            let i = i as usize;
            let row = &out[k * outputs..(k + 1) * outputs];
            let d_row = &mut b.d_actor[k * outputs..(k + 1) * outputs];
            let term = Surrogate { advantage: b.advantages[k], old_log_prob: r.log_probs[i], clip };
            let (log_prob, entropy) = match &self.head {
                Head::Choices(sets) => {
                    let mask = &masks[i * outputs..(i + 1) * outputs];
                    let ids = &r.ids[i * sets.len()..(i + 1) * sets.len()];
                    self.scratch.resize(outputs, 0.0);
                    let (log_prob, entropy) = log_prob_of_sets(sets, row, mask, ids, &mut self.scratch)?;
                    let by_log_prob = term.derivative(log_prob) * scale;
                    d_sets(sets, ids, &self.scratch, by_log_prob, entropy_coef, d_row);
                    (log_prob, entropy)
                }
                Head::Normal(_) => {
                    finite(row, self.state.steps)?;
                    let action = &r.vectors[i * outputs..(i + 1) * outputs];
                    let log_prob = gaussian_log_prob(action, row, &log_std);
                    let by_log_prob = term.derivative(log_prob) * scale;
                    for j in 0..outputs {
                        let std = log_std[j].exp();
                        let z = (action[j] - row[j]) / std;
                        d_row[j] = by_log_prob * z / std;
                        b.d_log_std[j] += by_log_prob * (z * z - 1.0) - entropy_coef;
                    }
                    (log_prob, gaussian_entropy(&log_std))
                }
            };
            term.count(log_prob, entropy, totals);
        }
        let values = self.net.critic(&b.x, true)?;
        b.d_critic.clear();
        for (k, &i) in part.iter().enumerate() {
            let (old, new) = (r.values[i as usize], values[k]);
            let target = old + r.advantages[i as usize];
            let limit = self.config.clip_range_value as f32;
            let (loss, slope) = value_loss(new, old, target, limit);
            totals.value += f64::from(loss);
            b.d_critic.push(slope * self.config.value_coef as f32 * scale);
        }
        let loss = totals.policy + totals.value + totals.entropy;
        if !loss.is_finite() {
            return Err(Error::NonFinite { what: "loss of ppo".into(), step: self.state.steps });
        }
        let by = OutputGrads { actor: &b.d_actor, critic: &b.d_critic, log_std: &b.d_log_std };
        totals.norm += self.net.step(&b.x, &by, learning_rate, self.config.max_grad_norm)?;
        totals.updates += 1;
        totals.samples += n as f64;
        Ok(())
    }

    pub(super) fn report(&mut self, totals: &Totals, learning_rate: f64, log: &mut Scalars) {
        let n = totals.samples.max(1.0);
        log.put("losses/policy_loss", totals.policy / n);
        log.put("losses/value_loss", totals.value / n);
        log.put("losses/entropy", totals.entropy / n);
        log.put("losses/approx_kl", totals.kl / n);
        log.put("losses/clip_fraction", totals.clipped / n);
        log.put("losses/grad_norm", totals.norm / totals.updates.max(1) as f64);
        log.put("losses/explained_variance", explained_variance(&self.rollout));
        log.put("charts/learning_rate", learning_rate);
        log.put("charts/updates", self.state.updates as f64);
        if let Head::Normal(_) = self.head {
            let stds = self.net.log_std();
            log.put("charts/action_std", stds.iter().map(|s| f64::from(s.exp())).sum::<f64>() / stds.len() as f64);
        }
        if let Some(auxiliary) = &mut self.auxiliary {
            auxiliary.report(log);
        }
        log.histogram("rollout/advantages", self.rollout.advantages.clone());
        log.histogram("rollout/values", self.rollout.values.clone());
    }
}

/// The clipped surrogate of one transition (arXiv 1707.06347, eq. 7).
#[derive(Clone, Copy, Debug)]
pub(super) struct Surrogate {
    pub(super) advantage: f32,
    pub(super) old_log_prob: f32,
    pub(super) clip: f32,
}

impl Surrogate {
    /// - min(ratio A, clip(ratio, 1 - eps, 1 + eps) A)
    pub(super) fn loss(self, log_prob: f32) -> f32 {
        let ratio = (log_prob - self.old_log_prob).exp();
        -(ratio * self.advantage).min(ratio.clamp(1.0 - self.clip, 1.0 + self.clip) * self.advantage)
    }
    /// Whether the clipped branch is the smaller one: then the gradient is cut.
    pub(super) fn is_cut(self, log_prob: f32) -> bool {
        let ratio = (log_prob - self.old_log_prob).exp();
        (self.advantage > 0.0 && ratio > 1.0 + self.clip) || (self.advantage < 0.0 && ratio < 1.0 - self.clip)
    }
    /// The loss's derivative by the log-probability.
    pub(super) fn derivative(self, log_prob: f32) -> f32 {
        if self.is_cut(log_prob) { 0.0 } else { -self.advantage * (log_prob - self.old_log_prob).exp() }
    }
    pub(super) fn count(self, log_prob: f32, entropy: f32, totals: &mut Totals) {
        let log_ratio = log_prob - self.old_log_prob;
        let ratio = log_ratio.exp();
        totals.policy += f64::from(self.loss(log_prob));
        totals.entropy += f64::from(entropy);
        // Schulman's estimator with low variance and no bias: (r - 1) - ln r.
        totals.kl += f64::from((ratio - 1.0) - log_ratio);
        totals.clipped += f64::from(u8::from((ratio - 1.0).abs() > self.clip));
    }
}

/// Half the squared error and its derivative by the new value; with a limit the larger of the plain and the clipped loss.
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

pub(super) fn standardize(values: &mut [f32]) {
    let n = values.len() as f32;
    let mean = values.iter().sum::<f32>() / n;
    let std = (values.iter().map(|v| (v - mean).powi(2)).sum::<f32>() / (n - 1.0)).sqrt();
    values.iter_mut().for_each(|v| *v = (*v - mean) / (std + 1e-8));
}

/// Log-probability of `ids` and entropy, summed over the sets; leaves the probabilities in `probs`.
pub(super) fn log_prob_of_sets(
    sets: &[usize],
    logits: &[f32],
    mask: &[bool],
    ids: &[i64],
    probs: &mut [f32],
) -> Result<(f32, f32)> {
    let (mut start, mut log_prob, mut entropy) = (0, 0.0, 0.0);
    for (&n, &id) in sets.iter().zip(ids) {
        let choices = Choices { logits: &logits[start..start + n], mask: &mask[start..start + n] };
        let p = &mut probs[start..start + n];
        let (largest, log_sum) = choices.probabilities(p)?;
        log_prob += logits[start + id as usize] - largest - log_sum;
        entropy -= p.iter().filter(|p| **p > 0.0).map(|p| p * p.ln()).sum::<f32>();
        start += n;
    }
    Ok((log_prob, entropy))
}

/// Writes the loss's derivative by the logits: d log p(a) / d logit j = [j = a] - p(j), d H / d logit j = -p(j) (ln p(j) + H).
pub(super) fn d_sets(sets: &[usize], ids: &[i64], probs: &[f32], by_log_prob: f32, entropy_coef: f32, out: &mut [f32]) {
    let mut start = 0;
    for (&n, &id) in sets.iter().zip(ids) {
        let p = &probs[start..start + n];
        let entropy = -p.iter().filter(|p| **p > 0.0).map(|p| p * p.ln()).sum::<f32>();
        for j in 0..n {
            let chosen = f32::from(u8::from(j as i64 == id));
            let by_entropy = if p[j] > 0.0 { -p[j] * (p[j].ln() + entropy) } else { 0.0 };
            out[start + j] = by_log_prob * (chosen - p[j]) - entropy_coef * by_entropy;
        }
        start += n;
    }
}

/// 1 - Var(return - value) / Var(return).
pub(super) fn explained_variance(r: &Rollout) -> f64 {
    let variance = |values: &mut dyn Iterator<Item = f64>| {
        let (mut n, mut mean, mut square) = (0.0, 0.0, 0.0);
        for x in values {
            n += 1.0;
            let d = x - mean;
            mean += d / n;
            square += d * (x - mean);
        }
        square / n
    };
    let returns = variance(&mut r.advantages.iter().zip(&r.values).map(|(a, v)| f64::from(a + v)));
    if returns == 0.0 { 0.0 } else { 1.0 - variance(&mut r.advantages.iter().map(|a| f64::from(*a))) / returns }
}
