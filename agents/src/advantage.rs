//! Generalised advantage estimation (Schulman et al., arXiv 1506.02438, eq. 16), deaths and time-outs apart.
use rlx::Status;

/// What [`estimate`] reads: `[steps, slots]` each, a slot being one acting row of one environment over time.
#[derive(Clone, Copy, Debug)]
pub struct Rewards<'a> {
    /// r(t), paid by the step from t to t + 1.
    pub rewards: &'a [f32],
    /// How that step left the episode, `[steps, environments]`; an environment's slots lie side by side.
    pub status: &'a [Status],
    /// V of the observation at t, `[steps + 1, slots]`.
    pub values: &'a [f32],
    /// V of the final observation where the step ended the episode by a time-out; anything elsewhere.
    pub final_values: &'a [f32],
}

/// Writes the advantages, `[steps, slots]`.
///
/// delta(t) = r(t) + gamma V(t + 1) - V(t), A(t) = delta(t) + gamma lambda A(t + 1). A death has no future: V(t + 1) = 0. A
/// time-out has one that was not seen: V(t + 1) is that of the final observation. Neither lets A(t + 1), which belongs to the next
/// episode, flow back.
pub fn estimate(from: Rewards<'_>, slots: usize, gamma: f32, lambda: f32, advantages: &mut [f32]) {
    let (steps, agents) = (advantages.len() / slots, advantages.len() / from.status.len());
    for s in 0..slots {
        let mut next = 0.0;
        for t in (0..steps).rev() {
            let i = t * slots + s;
            let (future, carried) = match from.status[i / agents] {
                Status::Running => (from.values[i + slots], next),
                Status::Terminated => (0.0, 0.0),
                Status::Truncated => (from.final_values[i], 0.0),
            };
            let delta = from.rewards[i] + gamma * future - from.values[i];
            next = delta + gamma * lambda * carried;
            advantages[i] = next;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// By hand, gamma 1/2, lambda 1/2 (their product 1/4), one slot, V = 1, 2, 3, 4, 5; r = 1 each; the second step a
    /// time-out whose final observation is worth 8, the third a death.
    /// t3: running: delta = 1 + 5/2 - 4 = -1/2; A = -1/2.
    /// t2: death: delta = 1 - 3 = -2; A = -2, whatever comes after.
    /// t1: time-out: delta = 1 + 8/2 - 2 = 3; A = 3.
    /// t0: running: delta = 1 + 2/2 - 1 = 1; A = 1 + 3/4.
    #[test]
    fn deaths_and_time_outs_by_hand() {
        use Status::{Running, Terminated, Truncated};
        let from = Rewards {
            rewards: &[1.0; 4],
            status: &[Running, Truncated, Terminated, Running],
            values: &[1.0, 2.0, 3.0, 4.0, 5.0],
            final_values: &[9.0, 8.0, 9.0, 9.0],
        };
        let mut a = [0.0; 4];
        estimate(from, 1, 0.5, 0.5, &mut a);
        assert_eq!(a, [1.75, 3.0, -2.0, -0.5]);
    }

    /// With lambda 1 and no ending the advantage is the discounted sum of rewards and the last value, less the first value.
    #[test]
    fn lambda_one_is_the_return_less_the_baseline() {
        let mut rng = rlx::Rng::stream(0, 3);
        let (steps, slots, gamma) = (50, 3, 0.97f32);
        let mut random = |n: usize| (0..n).map(|_| rng.normal() as f32).collect::<Vec<_>>();
        let (rewards, values, last) = (random(steps * slots), random((steps + 1) * slots), random(steps * slots));
        let status = vec![Status::Running; steps * slots];
        let from = Rewards { rewards: &rewards, status: &status, values: &values, final_values: &last };
        let mut a = vec![0.0; steps * slots];
        estimate(from, slots, gamma, 1.0, &mut a);
        for s in 0..slots {
            for t in 0..steps {
                let mut sum = 0.0f64;
                for k in t..steps {
                    sum += f64::from(gamma).powi((k - t) as i32) * f64::from(rewards[k * slots + s]);
                }
                sum += f64::from(gamma).powi((steps - t) as i32) * f64::from(values[steps * slots + s]);
                assert!((f64::from(a[t * slots + s]) - (sum - f64::from(values[t * slots + s]))).abs() < 1e-4);
            }
        }
    }
}
