//! What PPO does to rewards before advantages are estimated from them.
use crate::distance::Auxiliary;
use rlx::{Result, Slab, Status};
use rlx_nn::Normalizer;

/// Adds the auxiliary reward to `rewards`, `[num_steps, envs]`, of a rollout, after `updates` updates of its distance.
pub(super) fn add_auxiliary(
    auxiliary: &mut Auxiliary,
    updates: usize,
    slab: &Slab,
    gamma: f32,
    rewards: &mut [f32],
) -> Result<()> {
    for t in 1..slab.ticks() {
        let after = slab.frame(t);
        auxiliary.observe(after.obs.f32()?, after.last.f32()?, after.status);
    }
    for _ in 0..updates {
        auxiliary.learn()?;
    }
    let num_envs = slab.frame(0).status.len();
    let mut next_obs = Vec::new();
    for (t, reward) in rewards.chunks_exact_mut(num_envs).enumerate() {
        let (now, after) = (slab.frame(t), slab.frame(t + 1));
        next_obs.clear();
        next_obs.extend_from_slice(after.obs.f32()?);
        let width = next_obs.len() / num_envs;
        let mut discount = vec![gamma; num_envs];
        for (env, status) in after.status.iter().enumerate().filter(|(_, s)| **s != Status::Running) {
            let row = env * width..(env + 1) * width;
            next_obs[row.clone()].copy_from_slice(after.last.slice(row).f32()?);
            if *status == Status::Terminated {
                discount[env] = 0.0;
            }
        }
        auxiliary.shape(now.obs.f32()?, &next_obs, &discount, reward)?;
    }
    Ok(())
}

/// Divides `rewards`, `[num_steps, slots]`, by the standard deviation of the discounted return so far; `returns`, `[slots]`, are those
/// still running.
///
/// It is nearest to Stable-Baselines3's VecNormalize: a return is summed through its last reward and starts anew at every end of an
/// episode, terminations and time-outs alike; the deviation is that at the end of the rollout; results are clipped to [-10, 10].
/// Gymnasium 1.4.0's NormalizeReward lets the sum run on over time-outs.
pub(super) fn normalize(
    normalizer: &mut Normalizer,
    returns: &mut [f32],
    rewards: &mut [f32],
    status: &[Status],
    gamma: f32,
) {
    let agents = rewards.len() / status.len();
    for (rewards, status) in rewards.chunks_exact(returns.len()).zip(status.chunks_exact(returns.len() / agents)) {
        for (s, (sum, reward)) in returns.iter_mut().zip(rewards).enumerate() {
            *sum = *sum * gamma + reward;
            normalizer.update(std::slice::from_ref(sum));
            if status[s / agents] != Status::Running {
                *sum = 0.0;
            }
        }
    }
    let std = normalizer.std()[0];
    rewards.iter_mut().for_each(|r| *r = (*r / std).clamp(-10.0, 10.0));
}
