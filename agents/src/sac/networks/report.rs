//! What is said of the networks: losses, floating-point operations, and whether a parameter has left the finite.
use super::{Net, Networks};
use rlx::Scalars;

impl Networks {
    /// The averages since the last report.
    pub fn report(&mut self, prefix: &str, log: &mut Scalars) {
        let s = std::mem::take(&mut self.sums);
        let (n, m) = (s.updates.max(1) as f64, s.policy_updates.max(1) as f64);
        if s.updates > 0 {
            log.put(format!("losses/{prefix}critic_loss"), s.critic / n);
            log.put(format!("losses/{prefix}target_value"), s.value / n);
        }
        if s.policy_updates > 0 {
            log.put(format!("losses/{prefix}policy_loss"), s.policy / m);
            log.put(format!("losses/{prefix}entropy"), -s.log_prob / m);
        }
        log.put(format!("losses/{prefix}alpha"), f64::from(self.alpha()));
    }

    /// Floating-point operations of an update with the policy's part, two for each multiply-add of a network.
    pub fn flop(&self, batch: usize) -> f64 {
        let (actor, critic) = (self.actor.mlp.multiply_adds(), self.critics[0].net.mlp.multiply_adds());
        let first = self.config.hidden.first().copied().unwrap_or(1);
        let (by_obs, by_input) = (self.obs * first, (self.obs + self.act) * first);
        // Backward: once by the weights and once by the inputs of all layers but the first.
        let critic_step = 3 * critic - by_input;
        // A row goes back through one of the critics.
        let actor_step = 3 * actor - by_obs + 2 * critic + critic;
        let delay = self.config.policy_delay as f64;
        2.0 * batch as f64 * ((actor + 2 * critic + 2 * critic_step) as f64 + actor_step as f64 / delay)
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
