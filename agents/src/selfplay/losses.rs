//! What is learnt: each loss beside its derivative.
use super::{
    decisions::Decisions,
    hidden::Hidden,
    learn::Encoded,
    net::{Scratch, ValueNet, ValueScratch},
    nets::SelfPlayNets,
    team_guess::{Guess, sigmoid},
};
use rlx_nn::{native::Workspace, sparse::Active};

/// What a pass over decisions measured, summed.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct LossSums {
    pub count: f64,
    pub value_loss: f64,
    pub relation_loss: f64,
    pub correct: f64,
    pub entropy: f64,
    pub accepted: f64,
    pub danger: f64,
    pub danger_loss: f64,
    pub intrinsic: f64,
    pub critic_loss: f64,
    pub location_loss: f64,
    pub flop: f64,
    pub grad_norm: f64,
    pub updates: f64,
}

impl LossSums {
    /// Adds the sums over decisions of another.
    pub fn add(&mut self, o: &Self) {
        for (sum, more) in [
            (&mut self.value_loss, o.value_loss),
            (&mut self.relation_loss, o.relation_loss),
            (&mut self.correct, o.correct),
            (&mut self.entropy, o.entropy),
            (&mut self.accepted, o.accepted),
            (&mut self.danger, o.danger),
            (&mut self.danger_loss, o.danger_loss),
            (&mut self.intrinsic, o.intrinsic),
            (&mut self.critic_loss, o.critic_loss),
            (&mut self.location_loss, o.location_loss),
            (&mut self.flop, o.flop),
        ] {
            *sum += more;
        }
    }
}

/// Half of a batch's work: gradients and what they need. Two halves are worked on side by side when a thread is free, and are summed
/// in their order, so that results do not depend on threads.
#[derive(Debug, Default)]
pub(super) struct HalfBatch {
    pub grads: Vec<f32>,
    pub sums: LossSums,
    value: ValueScratch,
    relation: Scratch,
    danger: Scratch,
    critic: Scratch,
    auxiliary: Workspace,
}

impl HalfBatch {
    /// Sums of nothing yet, for so many parameters.
    pub fn reset(&mut self, params: usize) {
        self.grads.resize(params, 0.0);
        self.sums = LossSums::default();
    }
}

/// Decisions to learn from, encoded, with their targets.
pub(super) struct TrainingBatch<'a> {
    pub nets: &'a SelfPlayNets,
    pub decisions: &'a Decisions,
    pub encoded: &'a Encoded,
    pub targets: Vec<f32>,
}

/// The guesses of a part of the batch, and the derivatives of what is made of them.
struct Guesses {
    probability: Vec<f32>, // [part, others]
    danger: Option<Vec<f32>>,
    d_relation: Vec<f32>, // [part, others]
    d_danger: Vec<f32>,
    /// The intrinsic reward of each.
    rewards: Vec<f32>,
}

/// Cross-entropy of `p` to a truth of probability `y`.
fn cross_entropy(p: f32, y: f32) -> f32 {
    -(y * p.ln() + (1.0 - y) * (1.0 - p).ln())
}

impl TrainingBatch<'_> {
    /// The gradients of all losses over `part`, into `half`; `scale` is one over the size of the whole batch.
    pub fn gradients(&self, part: &[u32], params: &[f32], scale: f32, half: &mut HalfBatch) {
        half.grads.fill(0.0);
        for (number, net) in self.nets.values.iter().enumerate() {
            let mine: Vec<u32> = part.iter().filter(|&&i| self.net_of(i) == number).copied().collect();
            if !mine.is_empty() {
                self.value_loss(net, &mine, params, scale, half);
            }
        }
        if let (Some(guess), Some(hidden)) = (&self.nets.guess, &self.nets.hidden) {
            self.guess_losses(guess, hidden, part, params, scale, half);
        }
        self.critic_loss(part, params, scale, half);
    }

    fn obs(&self, i: u32) -> &[u8] {
        let width = self.nets.features.width();
        &self.decisions.obs[i as usize * width..][..width]
    }
    fn context(&self, i: u32) -> &[f32] {
        let width = self.nets.context_width();
        &self.decisions.context[i as usize * width..][..width]
    }
    /// The hidden state of a decision, and its seat.
    fn secret(&self, hidden: &Hidden, i: u32) -> (&[u8], u8) {
        (&self.decisions.hidden[i as usize * hidden.width..][..hidden.width], self.decisions.seat[i as usize])
    }
    fn net_of(&self, i: u32) -> usize {
        self.nets.net_of(self.context(i), self.decisions.seat[i as usize])
    }

    /// Mean squared error of the values to the targets, and the auxiliary heads over the state's half.
    fn value_loss(&self, net: &ValueNet, part: &[u32], params: &[f32], scale: f32, half: &mut HalfBatch) {
        let c_width = self.nets.candidate_features.width();
        let states = self.encoded.seen(part);
        let (mut moves, mut view) = (Active::default(), Vec::new());
        for &i in part {
            let chosen = &self.decisions.chosen[i as usize * c_width..][..c_width];
            self.nets.candidate_features.encode(chosen, &mut moves);
            if self.nets.tells_guess() {
                self.nets.view.extend(self.obs(i), self.context(i), &mut view);
            }
        }
        let owner: Vec<u32> = (0..part.len() as u32).collect();
        half.sums.flop += net.flop(&states, &moves, true);
        let out = net.forward(params, &states, &view, &moves, &owner, &mut half.value);
        let mut dy = Vec::with_capacity(part.len());
        for (q, &i) in out.iter().zip(part) {
            let error = q - self.targets[i as usize];
            half.sums.value_loss += f64::from(error * error);
            dy.push(2.0 * scale * error);
        }
        let d_state = self.auxiliary_loss(net, part, params, scale, half);
        net.backward(params, &states, &view, &moves, &dy, &d_state, &mut half.value, &mut half.grads);
    }

    /// The auxiliary heads: cross-entropy of who is a teammate, squared error of where the unseen counts are. Returns the derivatives
    /// for the state's half of the last forward pass of `net`; none where there are no such heads.
    fn auxiliary_loss(
        &self,
        net: &ValueNet,
        part: &[u32],
        params: &[f32],
        scale: f32,
        half: &mut HalfBatch,
    ) -> Vec<f32> {
        let (Some(head), Some(hidden), Some(guess)) = (&self.nets.auxiliary, &self.nets.hidden, &self.nets.guess)
        else {
            return Vec::new();
        };
        let others = self.nets.others;
        let x = net.halves(&half.value).to_vec();
        half.sums.flop += 6.0 * (part.len() * head.multiply_adds()) as f64;
        let out = head.forward(params, &x, &mut half.auxiliary);
        let weight = guess.auxiliary as f32 * scale;
        let (mut dy, mut truth) = (Vec::with_capacity(out.len()), Vec::new());
        for (out, &i) in out.chunks_exact(others + hidden.counted()).zip(part) {
            let (row, seat) = self.secret(hidden, i);
            for (o, same) in out.iter().zip(hidden.teammates(row, seat)) {
                dy.push(weight / others as f32 * (sigmoid(*o) - f32::from(u8::from(same))));
            }
            truth.clear();
            hidden.counts(row, seat, &mut truth);
            for (o, y) in out[others..].iter().zip(&truth) {
                half.sums.location_loss += f64::from((o - y).powi(2)) / truth.len() as f64;
                dy.push(weight / truth.len() as f32 * 2.0 * (o - y));
            }
        }
        head.backward(params, &x, &dy, &mut half.auxiliary, &mut half.grads);
        let mut d_state = vec![0.0; x.len()];
        head.input_grads(params, &half.auxiliary, &mut d_state);
        d_state
    }

    /// Mean squared error of the critic of complete information.
    fn critic_loss(&self, part: &[u32], params: &[f32], scale: f32, half: &mut HalfBatch) {
        let Some(critic) = &self.nets.critic else { return };
        let states = self.encoded.all(part);
        let out = critic.net.forward(params, &states, &[], &mut half.critic);
        let errors: Vec<f32> = out.iter().zip(part).map(|(v, &i)| v - self.targets[i as usize]).collect();
        half.sums.critic_loss += errors.iter().map(|e| f64::from(e * e)).sum::<f64>();
        let dy: Vec<f32> = errors.iter().map(|e| 2.0 * scale * e).collect();
        critic.net.backward(params, &states, &[], &dy, &mut half.critic, &mut half.grads);
        // Once more forward: for the targets.
        half.sums.flop += critic.net.flop(states.len(), states.features.len(), true);
        half.sums.flop += critic.net.flop(states.len(), states.features.len(), false);
    }

    /// Cross-entropy of the relation to the truth; the danger towards the share of wrong guesses; and the intrinsic reward.
    fn guess_losses(
        &self,
        guess: &Guess,
        hidden: &Hidden,
        part: &[u32],
        params: &[f32],
        scale: f32,
        half: &mut HalfBatch,
    ) {
        let (relation, danger) = (&self.nets.relation, &self.nets.danger);
        let states = self.encoded.seen(part);
        let nets = [relation, danger].into_iter().flatten();
        half.sums.flop += nets.map(|net| net.flop(part.len(), states.features.len(), true)).sum::<f64>();
        let related = relation.as_ref().map(|net| net.forward(params, &states, &[], &mut half.relation).to_vec());
        let danger_out = danger.as_ref().map(|net| net.forward(params, &states, &[], &mut half.danger).to_vec());
        let mut g = self.identify(guess, hidden, part, related.as_deref(), danger_out, scale, &mut half.sums);
        if guess.intrinsic > 0.0 {
            self.intrinsic_reward(guess, part, scale, &mut g);
        }
        if let Some(net) = relation {
            net.backward(params, &states, &[], &g.d_relation, &mut half.relation, &mut half.grads);
        }
        if let Some(net) = danger {
            net.backward(params, &states, &[], &g.d_danger, &mut half.danger, &mut half.grads);
        }
    }

    #[allow(clippy::too_many_arguments)] // the outputs of two networks, and where their losses go
    /// The losses of the guesses themselves, from what the networks said of `part`.
    fn identify(
        &self,
        guess: &Guess,
        hidden: &Hidden,
        part: &[u32],
        related: Option<&[f32]>,
        danger: Option<Vec<f32>>,
        scale: f32,
        sums: &mut LossSums,
    ) -> Guesses {
        let (n, others) = (part.len(), self.nets.others);
        let mut g = Guesses {
            probability: vec![0.0; n * others],
            danger,
            d_relation: vec![0.0; n * others],
            d_danger: vec![0.0; n],
            rewards: vec![0.0; n],
        };
        for (k, &i) in part.iter().enumerate() {
            let (row, seat) = self.secret(hidden, i);
            let (probability, accepted) = (&mut g.probability[k * others..][..others], &self.context(i)[others..]);
            match related {
                Some(out) => self.nets.related(&out[k * others..][..others], self.obs(i), probability),
                None => probability.copy_from_slice(&self.context(i)[..others]),
            }
            let (mut loss, mut wrong) = (0.0, 0.0);
            for (o, is_teammate) in hidden.teammates(row, seat).enumerate() {
                let (p, same) = (probability[o], f32::from(u8::from(is_teammate)));
                let bounded = p.clamp(1e-6, 1.0 - 1e-6);
                loss += cross_entropy(bounded, same) / others as f32;
                sums.entropy += f64::from(cross_entropy(bounded, bounded)) / others as f64;
                let right = (p > 0.5) == is_teammate;
                wrong += f32::from(u8::from(!right)) / others as f32;
                g.d_relation[k * others + o] = (p - same) * scale;
                sums.accepted += f64::from(accepted[o]) / others as f64;
            }
            sums.relation_loss += f64::from(loss);
            sums.correct += f64::from(1.0 - wrong);
            if let Some(danger) = &g.danger {
                let p = sigmoid(danger[k]);
                g.d_danger[k] = (p - wrong) * scale;
                sums.danger += f64::from(p);
                sums.danger_loss += f64::from(cross_entropy(p.clamp(1e-6, 1.0 - 1e-6), wrong));
            }
            g.rewards[k] = self.decisions.value[i as usize] - guess.intrinsic_loss as f32 * loss;
            sums.intrinsic += f64::from(g.rewards[k]);
        }
        g
    }

    /// The intrinsic reward as a policy gradient of both networks.
    ///
    /// With z = logit(relation) - logit(danger), a player is accepted when z > 0; at a share of the decisions of training, acceptances
    /// are drawn with probability sigmoid(z) instead. The intrinsic reward of such a decision is r = Q(s, a; accepted) -
    /// `intrinsic_loss` x (mean cross-entropy of the guesses); it reaches both networks as minus `intrinsic` x (r - mean of r) x
    /// log P(accepted).
    fn intrinsic_reward(&self, guess: &Guess, part: &[u32], scale: f32, g: &mut Guesses) {
        let others = self.nets.others;
        let mean = g.rewards.iter().sum::<f32>() / part.len().max(1) as f32;
        for (k, &i) in part.iter().enumerate().filter(|(_, i)| self.decisions.drawn[**i as usize]) {
            let advantage = (g.rewards[k] - mean) * guess.intrinsic as f32 * scale;
            let below = g.danger.as_ref().map_or(0.0, |x| x[k]);
            for o in 0..others {
                let p = g.probability[k * others + o].clamp(1e-4, 1.0 - 1e-4);
                let accepted = self.context(i)[others + o];
                let push = -advantage * (accepted - sigmoid((p / (1.0 - p)).ln() - below));
                g.d_relation[k * others + o] += push;
                g.d_danger[k] -= push;
            }
        }
    }
}
