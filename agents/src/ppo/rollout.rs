//! What an iteration collects: the policy steps the worlds, and what came of it is valued.
use super::*;

impl Ppo {
    pub(super) fn streams(&self) -> usize {
        self.setup.worlds * self.setup.spec.rows
    }

    /// Makes room for an iteration and starts the worlds, or goes on from a checkpoint's frame. The current frame is the last tick.
    pub(super) fn first_slab(&mut self, envs: &mut dyn Vector) -> Result<Slab> {
        let (ticks, streams, width) = (self.config.num_steps, self.streams(), self.setup.spec.obs.width());
        let act = self.setup.spec.act.width();
        let mut slab = envs.slab(ticks + 1);
        match self.frame.take() {
            Some(bytes) => slab.load_tick(ticks, &mut &bytes[..])?,
            None => envs.reset(slab.frame_mut(ticks)),
        }
        let n = ticks * streams;
        let r = &mut self.rollout;
        r.x = vec![0.0; (ticks + 1) * streams * width];
        match self.head {
            Head::Choices(_) => r.ids = vec![0; n * act],
            Head::Normal(_) => r.vectors = vec![0.0; n * act],
        }
        r.log_probs = vec![0.0; n];
        r.rewards = vec![0.0; n];
        r.status = vec![Status::Running; n];
        r.values = vec![0.0; n + streams];
        r.last_values = vec![0.0; n];
        r.advantages = vec![0.0; n];
        self.order = (0..n as u32).collect();
        Ok(slab)
    }

    /// Steps the worlds `num_steps` times. Environment steps taken.
    pub(super) fn collect(&mut self, envs: &mut dyn Vector, slab: &mut Slab) -> Result<u64> {
        let (ticks, streams, width) = (self.config.num_steps, self.streams(), self.setup.spec.obs.width());
        let (act, rows) = (self.setup.spec.act.width(), self.setup.spec.rows);
        slab.carry();
        for t in 0..=ticks {
            let frame = slab.frame(t);
            self.raw.clear();
            frame.obs.extend_f32(&mut self.raw);
            let x = &mut self.rollout.x[t * streams * width..(t + 1) * streams * width];
            normalize(&self.config, &self.state.obs_normal, &self.raw, x);
            if t == ticks {
                break;
            }
            self.choose(frame.mask, t)?;
            if let (Head::Normal(scales), ActionBuffer::Continuous(out)) = (&self.head, &mut self.actions) {
                let from = &self.rollout.vectors[t * streams * act..(t + 1) * streams * act];
                scale_actions(scales, &self.setup.spec.act, from, out);
            } else if let ActionBuffer::Discrete(out) = &mut self.actions {
                out.copy_from_slice(&self.rollout.ids[t * streams * act..(t + 1) * streams * act]);
            }
            envs.step(self.actions.get(), slab.frame_mut(t + 1))?;
            let after = slab.frame(t + 1);
            for s in 0..streams {
                let i = t * streams + s;
                self.rollout.rewards[i] = after.reward[s];
                self.rollout.status[i] = after.status[s / rows];
            }
            self.value_last_views(after, t)?;
        }
        if let Some(i) = self.rollout.rewards.iter().position(|r| !r.is_finite()) {
            let what = format!("reward of world {}", i % streams / rows);
            return Err(Error::NonFinite { what, step: self.state.steps });
        }
        self.reward_distance(slab)?;
        if self.config.normalize_reward {
            self.scale_rewards();
        }
        if self.config.normalize_obs {
            self.raw.clear();
            slab.all_obs().extend_f32(&mut self.raw);
            self.state.obs_normal.update(&self.raw[streams * width..]);
        }
        Ok((ticks * self.setup.worlds) as u64)
    }

    /// Adds the auxiliary reward of every transition, and lets its distance learn once for each minibatch of a pass.
    pub(super) fn reward_distance(&mut self, slab: &Slab) -> Result<()> {
        let Some(auxiliary) = &mut self.auxiliary else { return Ok(()) };
        let (ticks, worlds, width) = (self.config.num_steps, self.setup.worlds, self.setup.spec.obs.width());
        for t in 0..ticks {
            let after = slab.frame(t + 1);
            auxiliary.observe(after.obs.f32()?, after.last.f32()?, after.status);
        }
        for _ in 0..(ticks * worlds / self.config.minibatch_size) {
            auxiliary.learn()?;
        }
        for t in 0..ticks {
            let (now, after) = (slab.frame(t), slab.frame(t + 1));
            self.raw.clear();
            self.raw.extend_from_slice(after.obs.f32()?);
            let mut discount = vec![self.config.gamma as f32; worlds];
            for (world, status) in after.status.iter().enumerate().filter(|(_, s)| **s != Status::Running) {
                let row = world * width..(world + 1) * width;
                self.raw[row.clone()].copy_from_slice(after.last.slice(row).f32()?);
                if *status == Status::Terminated {
                    discount[world] = 0.0;
                }
            }
            let reward = &mut self.rollout.rewards[t * worlds..(t + 1) * worlds];
            auxiliary.shape(now.obs.f32()?, &self.raw, &discount, reward)?;
        }
        Ok(())
    }

    /// Draws an action for each stream from the policy at tick `t`.
    pub(super) fn choose(&mut self, mask: &[bool], t: usize) -> Result<()> {
        let streams = self.streams();
        let x =
            &self.rollout.x[t * streams * self.setup.spec.obs.width()..(t + 1) * streams * self.setup.spec.obs.width()];
        let log_std = self.net.log_std().to_vec();
        let out = self.net.actor(x, false)?;
        let outputs = out.len() / streams;
        for s in 0..streams {
            let i = t * streams + s;
            let row = &out[s * outputs..(s + 1) * outputs];
            let rng = &mut self.state.rngs[s];
            self.rollout.log_probs[i] = match &self.head {
                Head::Choices(sets) => {
                    let ids = &mut self.rollout.ids[i * sets.len()..(i + 1) * sets.len()];
                    sample_sets(sets, row, &mask[s * outputs..(s + 1) * outputs], rng, ids, &mut self.scratch)?
                }
                Head::Normal(_) => {
                    finite(row, self.state.steps)?;
                    let action = &mut self.rollout.vectors[i * outputs..(i + 1) * outputs];
                    for ((a, m), s) in action.iter_mut().zip(row).zip(&log_std) {
                        *a = m + s.exp() * rng.normal() as f32;
                    }
                    gaussian_log_prob(action, row, &log_std)
                }
            };
        }
        Ok(())
    }

    /// V of the final views of the episodes that timed out in this tick.
    pub(super) fn value_last_views(&mut self, after: Frame<'_>, t: usize) -> Result<()> {
        let (streams, width, rows) = (self.streams(), self.setup.spec.obs.width(), self.setup.spec.rows);
        for s in 0..streams {
            if after.status[s / rows] == Status::Truncated {
                self.raw.clear();
                after.last.slice(s * width..(s + 1) * width).extend_f32(&mut self.raw);
                self.input.resize(width, 0.0);
                normalize(&self.config, &self.state.obs_normal, &self.raw, &mut self.input);
                self.rollout.last_values[t * streams + s] = self.net.critic(&self.input, false)?[0];
            }
        }
        Ok(())
    }

    /// Divides rewards by the standard deviation of the discounted return so far. Nearest to Stable-Baselines3's VecNormalize: a return is summed
    /// through its last reward and starts anew at every end of an episode, terminations and time-outs alike; the deviation is that of the
    /// end of the rollout; results are clipped to [-10, 10]. Gymnasium 1.4.0's NormalizeReward lets the sum run on over time-outs.
    pub(super) fn scale_rewards(&mut self) {
        let streams = self.streams();
        for (reward, status) in
            self.rollout.rewards.chunks_exact_mut(streams).zip(self.rollout.status.chunks_exact(streams))
        {
            for ((sum, r), status) in self.state.returns.iter_mut().zip(&*reward).zip(status) {
                *sum = *sum * self.config.gamma as f32 + r;
                self.state.return_normal.update(std::slice::from_ref(sum));
                if *status != Status::Running {
                    *sum = 0.0;
                }
            }
        }
        let std = self.state.return_normal.std()[0];
        self.rollout.rewards.iter_mut().for_each(|r| *r = (*r / std).clamp(-10.0, 10.0));
    }

    /// Values of all ticks in one forward pass, and from them the advantages.
    pub(super) fn evaluate(&mut self, ticks: usize) -> Result<()> {
        let streams = self.streams();
        let r = &mut self.rollout;
        r.values.copy_from_slice(self.net.critic(&r.x, false)?);
        let from = Rewards { rewards: &r.rewards, status: &r.status, values: &r.values, last_values: &r.last_values };
        debug_assert_eq!(r.advantages.len(), ticks * streams);
        let (gamma, lambda) = (self.config.gamma as f32, self.config.gae_lambda as f32);
        advantage::estimate(from, streams, gamma, lambda, &mut r.advantages);
        Ok(())
    }
}

pub(super) fn normalize(config: &Config, normal: &Normalizer, from: &[f32], to: &mut [f32]) {
    if config.normalize_obs {
        normal.normalize(from, to);
    } else {
        to.copy_from_slice(from);
    }
}

pub(super) fn finite(row: &[f32], step: u64) -> Result<()> {
    match row.iter().find(|x| !x.is_finite()) {
        Some(x) => Err(Error::NonFinite { what: format!("mean of the policy ({x})"), step }),
        None => Ok(()),
    }
}

/// Brings actions from the policy's units to the world's, within its bounds.
pub(super) fn scale_actions(scales: &[(f32, f32)], space: &Space, from: &[f32], to: &mut [f32]) {
    let Space::Box { low, high, .. } = space else { return };
    for (from, to) in from.chunks_exact(scales.len()).zip(to.chunks_exact_mut(scales.len())) {
        for j in 0..scales.len() {
            to[j] = (scales[j].0 + scales[j].1 * from[j]).clamp(low[j], high[j]);
        }
    }
}

/// Draws one choice per set; the sum of their log-probabilities.
pub(super) fn sample_sets(
    sets: &[usize],
    logits: &[f32],
    mask: &[bool],
    rng: &mut Rng,
    ids: &mut [i64],
    scratch: &mut Vec<f32>,
) -> Result<f32> {
    let (mut start, mut sum) = (0, 0.0);
    scratch.resize(logits.len(), 0.0);
    for (&n, id) in sets.iter().zip(ids) {
        let choices = Choices { logits: &logits[start..start + n], mask: &mask[start..start + n] };
        let (choice, log_prob) = choices.sample(rng, &mut scratch[start..start + n])?;
        *id = choice as i64;
        sum += log_prob;
        start += n;
    }
    Ok(sum)
}
