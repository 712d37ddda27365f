//! Learning from decisions whose games have ended.
use super::{
    Plan, Sums,
    brain::{Brain, CONTEXT, Decisions, OTHERS, net_of, sigmoid},
    hidden,
    net::{Scratch, ValueScratch},
};
use rayon::prelude::*;
use rlx::{Error, Result, Rng};
use rlx_nn::{Adam, adam::clip_grad_norm, native::Workspace, sparse::Active};

/// Decisions per forward pass of the critic.
const CHUNK: usize = 1024;

/// Learning from a batch of decisions.
pub(super) struct Task<'a> {
    pub brain: &'a Brain,
    pub plan: &'a Plan,
    /// Steps before, for errors.
    pub steps: u64,
}

/// Decisions as lists of features: what the acting seats see, and what only the critic is shown beside it.
#[derive(Debug, Default)]
struct Encoded {
    seen: Active,
    secret: Active,
}

impl Encoded {
    fn seen(&self, part: &[u32]) -> Active {
        let mut out = Active::default();
        part.iter().for_each(|&i| out.push_from(&self.seen, i as usize));
        out
    }
    fn all(&self, part: &[u32]) -> Active {
        let mut out = Active::default();
        for &i in part {
            out.extend_from(&self.seen, i as usize);
            out.push_from(&self.secret, i as usize);
        }
        out
    }
}

/// What a batch is learnt from.
struct Lesson<'a> {
    d: &'a Decisions,
    encoded: &'a Encoded,
    targets: Vec<f32>,
}

/// Half of a batch's work: gradients and what they need. Two halves are worked on side by side when a thread is free, and are summed
/// in their order, so that results do not depend on threads.
#[derive(Debug, Default)]
struct Half {
    grads: Vec<f32>,
    sums: Sums,
    value: ValueScratch,
    relation: Scratch,
    danger: Scratch,
    critic: Scratch,
    auxiliary: Workspace,
}

/// What learning keeps between iterations: memory, and nothing else.
#[derive(Debug, Default)]
pub(super) struct Desk {
    halves: [Half; 2],
    encoded: Encoded,
}

impl Task<'_> {
    /// Steps of the optimiser over all of `d`, which is empty after.
    pub fn learn(
        &self,
        d: &mut Decisions,
        params: &mut [f32],
        adam: &mut Adam,
        rng: &mut Rng,
        rate: f64,
        desk: &mut Desk,
    ) -> Result<Sums> {
        let mut order: Vec<u32> = (0..d.len() as u32).collect();
        rng.shuffle(&mut order);
        let mut sums = Sums::default();
        let Desk { halves, encoded } = desk;
        self.encode(d, encoded);
        let targets = self.targets(d, encoded, params);
        let lesson = Lesson { d, encoded, targets };
        for half in &mut *halves {
            half.grads.resize(params.len(), 0.0);
            half.sums = Sums::default();
        }
        for part in order.chunks(self.plan.batch_size) {
            // A rest that is too small would be a noisy step.
            if part.len() * 2 < self.plan.batch_size && order.len() > self.plan.batch_size {
                break;
            }
            let (first, second) = part.split_at(part.len() / 2);
            let [a, b] = &mut *halves;
            let (shared, scale) = (&*params, 1.0 / part.len() as f32);
            rayon::join(
                || self.gradients(&lesson, first, shared, scale, a),
                || self.gradients(&lesson, second, shared, scale, b),
            );
            a.grads.iter_mut().zip(&b.grads).for_each(|(a, b)| *a += b);
            let norm = clip_grad_norm(&mut a.grads, self.plan.max_grad_norm);
            if !norm.is_finite() {
                return Err(Error::NonFinite { what: "gradient".into(), step: self.steps });
            }
            adam.step(params, &a.grads, rate);
            sums.grad_norm += norm;
            sums.updates += 1.0;
            sums.count += part.len() as f64;
        }
        halves.iter().for_each(|h| sums.add(&h.sums));
        d.clear();
        Ok(sums)
    }

    /// What each decision's value is to be: the payoff; the soft value of the same seat's next decision; or with a critic the TD(lambda) return over it (Sutton 1988; a critic of
    /// complete information as in PerfectDou, arXiv 2203.16406). Its noise is less than the payoff's, which hangs on everything that
    /// comes later.
    fn targets(&self, d: &Decisions, encoded: &Encoded, params: &[f32]) -> Vec<f32> {
        let mut targets = d.target.clone();
        if self.brain.settings.soft.is_some() {
            hidden::next_of_the_same_seat(&mut targets, &d.soft, &d.seat, &d.games);
            return targets;
        }
        let Some((critic, hidden)) = self.brain.critic.as_ref().zip(self.brain.hidden.as_ref()) else { return targets };
        let all: Vec<u32> = (0..d.len() as u32).collect();
        let values: Vec<f32> = all
            .par_chunks(CHUNK)
            .flat_map_iter(|part| {
                let states = encoded.all(part);
                critic.net.forward(params, &states, &[], &mut Scratch::default()).to_vec()
            })
            .collect();
        let mut start = 0;
        for &n in &d.games {
            let game = start..start + n as usize;
            let row = |t: usize| (&d.hidden[(start + t) * hidden.width..][..hidden.width], d.seat[start + t]);
            let same = |t: usize| hidden.same(row(t).0, row(t).1, row(t + 1).1);
            hidden::bootstrap(&mut targets[game.clone()], &values[game.clone()], same, self.plan.td_lambda as f32);
            start = game.end;
        }
        targets
    }

    /// All decisions as features, once for every pass over them.
    fn encode(&self, d: &Decisions, all: &mut Encoded) {
        let width = self.brain.features.width();
        let order: Vec<u32> = (0..d.len() as u32).collect();
        let chunks: Vec<Encoded> = order
            .par_chunks(CHUNK)
            .map(|part| {
                let (mut out, mut bytes) = (Encoded::default(), Vec::new());
                for &i in part {
                    let i = i as usize;
                    self.brain.encode(&d.obs[i * width..][..width], &mut out.seen);
                    if let Some((critic, hidden)) = self.brain.critic.as_ref().zip(self.brain.hidden.as_ref()) {
                        let row = &d.hidden[i * hidden.width..][..hidden.width];
                        critic.encode(hidden, row, d.seat[i], &mut bytes, &mut out.secret);
                    }
                }
                out
            })
            .collect();
        all.seen.clear();
        all.secret.clear();
        for chunk in &chunks {
            all.seen.append(&chunk.seen);
            all.secret.append(&chunk.secret);
        }
    }

    /// The gradients of all losses over `part`, into `half`; `scale` is one over the size of the whole batch.
    fn gradients(&self, lesson: &Lesson<'_>, part: &[u32], params: &[f32], scale: f32, half: &mut Half) {
        half.grads.fill(0.0);
        self.values(lesson, part, params, scale, half);
        if self.brain.settings.guess.is_some() {
            self.guesses(lesson, part, params, scale, half);
        }
        if let Some(critic) = &self.brain.critic {
            let states = lesson.encoded.all(part);
            let out = critic.net.forward(params, &states, &[], &mut half.critic);
            let error = |(v, &i): (&f32, &u32)| v - lesson.targets[i as usize];
            let errors: Vec<f32> = out.iter().zip(part).map(error).collect();
            half.sums.critic_loss += errors.iter().map(|e| f64::from(e * e)).sum::<f64>();
            let dy: Vec<f32> = errors.iter().map(|e| 2.0 * scale * e).collect();
            critic.net.backward(params, &states, &[], &dy, &mut half.critic, &mut half.grads);
            // Once more forward: for the targets.
            half.sums.flop += critic.net.flop(states.len(), states.features.len(), true);
            half.sums.flop += critic.net.flop(states.len(), states.features.len(), false);
        }
    }

    /// Mean squared error of the values to the targets, and the auxiliary heads over the state's half.
    fn values(&self, lesson: &Lesson<'_>, part: &[u32], params: &[f32], scale: f32, half: &mut Half) {
        let d = lesson.d;
        let pattern = self.brain.settings.guess.as_ref().is_some_and(|g| g.pattern);
        let with_context = self.brain.settings.guess.is_some() && !pattern;
        let (width, c_width) = (self.brain.features.width(), self.brain.candidate_features.width());
        let of = |&i: &u32| net_of(pattern, &d.context[i as usize * CONTEXT..][..CONTEXT], d.seat[i as usize]);
        for (number, net) in self.brain.values.iter().enumerate() {
            let mine: Vec<u32> = part.iter().filter(|i| of(i) == number).copied().collect();
            if mine.is_empty() {
                continue;
            }
            let states = lesson.encoded.seen(&mine);
            let (mut moves, mut context) = (Active::default(), Vec::new());
            for &i in &mine {
                self.brain.candidate_features.encode(&d.chosen[i as usize * c_width..][..c_width], &mut moves);
                if with_context {
                    let (row, guess) = (&d.obs[i as usize * width..], &d.context[i as usize * CONTEXT..][..CONTEXT]);
                    self.brain.sides.extend(row, guess, &mut context);
                }
            }
            let owner: Vec<u32> = (0..mine.len() as u32).collect();
            half.sums.flop += net.flop(&states, &moves, true);
            let s = &mut half.value;
            let out = net.forward(params, &states, &context, &moves, &owner, s);
            let mut dy = Vec::with_capacity(mine.len());
            for (q, &i) in out.iter().zip(&mine) {
                let error = q - lesson.targets[i as usize];
                half.sums.value_loss += f64::from(error * error);
                dy.push(2.0 * scale * error);
            }
            let mut d_halves = Vec::new();
            if let Some((head, hidden)) = self.brain.auxiliary.as_ref().zip(self.brain.hidden.as_ref()) {
                let x = net.halves(s).to_vec();
                half.sums.flop += 6.0 * (mine.len() * head.multiply_adds()) as f64;
                let out = head.forward(params, &x, &mut half.auxiliary);
                let (width, weight) = (OTHERS + hidden.counted(), self.plan.auxiliary as f32 * scale);
                let (mut dy, mut truth) = (Vec::with_capacity(out.len()), Vec::new());
                for (out, &i) in out.chunks_exact(width).zip(&mine) {
                    let row = &d.hidden[i as usize * hidden.width..][..hidden.width];
                    let seat = d.seat[i as usize];
                    for (o, same) in out.iter().zip(hidden.teammates(row, seat)) {
                        dy.push(weight / OTHERS as f32 * (sigmoid(*o) - f32::from(u8::from(same))));
                    }
                    truth.clear();
                    hidden.counts(row, seat, &mut truth);
                    for (o, y) in out[OTHERS..].iter().zip(&truth) {
                        half.sums.location_loss += f64::from((o - y).powi(2)) / truth.len() as f64;
                        dy.push(weight / truth.len() as f32 * 2.0 * (o - y));
                    }
                }
                head.backward(params, &x, &dy, &mut half.auxiliary, &mut half.grads);
                d_halves.resize(x.len(), 0.0);
                head.input_grads(params, &half.auxiliary, &mut d_halves);
            }
            net.backward(params, &states, &context, &moves, &dy, &d_halves, s, &mut half.grads);
        }
    }

    /// Cross-entropy of the relation to the truth; the danger towards the share of wrong guesses; and the intrinsic reward.
    ///
    /// With z = logit(relation) - logit(danger), a player is accepted when z > 0; at a share of the decisions of training, acceptances
    /// are drawn with probability sigmoid(z) instead. The intrinsic reward of such a decision is r = Q(s, a; accepted) - `intrinsic_loss` x (mean cross-entropy of the three guesses); it reaches both
    /// networks as a policy gradient: minus `intrinsic` x (r - mean of r) x log P(accepted).
    fn guesses(&self, lesson: &Lesson<'_>, part: &[u32], params: &[f32], scale: f32, half: &mut Half) {
        let d = lesson.d;
        let Some(hidden) = &self.brain.hidden else { return };
        let states = lesson.encoded.seen(part);
        let n = part.len();
        let nets = [&self.brain.relation, &self.brain.danger].into_iter().flatten();
        half.sums.flop += nets.map(|net| net.flop(n, states.features.len(), true)).sum::<f64>();
        let relation =
            self.brain.relation.as_ref().map(|net| net.forward(params, &states, &[], &mut half.relation).to_vec());
        let danger = self.brain.danger.as_ref().map(|net| net.forward(params, &states, &[], &mut half.danger).to_vec());
        let mut d_relation = vec![0.0f32; n * OTHERS];
        let mut d_danger = vec![0.0f32; n];
        let mut rewards = vec![0.0f32; n];
        let mut probability = vec![0.0f32; n * OTHERS];
        let width = self.brain.features.width();
        let sums = &mut half.sums;
        for (k, &i) in part.iter().enumerate() {
            let i = i as usize;
            let teammates = hidden.teammates(&d.hidden[i * hidden.width..][..hidden.width], d.seat[i]);
            let guessed: [f32; OTHERS] = match &relation {
                Some(out) => self.brain.related(&out[k * OTHERS..][..OTHERS], &d.obs[i * width..][..width]),
                None => std::array::from_fn(|o| d.context[i * CONTEXT + o]),
            };
            let (mut loss, mut wrong) = (0.0, 0.0);
            for o in 0..OTHERS {
                let (p, same) = (guessed[o], f32::from(u8::from(teammates[o])));
                probability[k * OTHERS + o] = p;
                let bounded = p.clamp(1e-6, 1.0 - 1e-6);
                let entropy = |y: f32| -(y * bounded.ln() + (1.0 - y) * (1.0 - bounded).ln());
                loss += entropy(same) / OTHERS as f32;
                sums.entropy += f64::from(entropy(bounded)) / OTHERS as f64;
                let right = (p > 0.5) == teammates[o];
                wrong += f32::from(u8::from(!right)) / OTHERS as f32;
                d_relation[k * OTHERS + o] = (p - same) * scale;
                sums.accepted += f64::from(d.context[i * CONTEXT + OTHERS + o]) / OTHERS as f64;
            }
            sums.relation_loss += f64::from(loss);
            sums.correct += f64::from(1.0 - wrong);
            if let Some(danger) = &danger {
                let p = sigmoid(danger[k]);
                d_danger[k] = (p - wrong) * scale;
                sums.danger += f64::from(p);
                let bounded = p.clamp(1e-6, 1.0 - 1e-6);
                sums.danger_loss -= f64::from(wrong * bounded.ln() + (1.0 - wrong) * (1.0 - bounded).ln());
            }
            rewards[k] = d.value[i] - self.plan.intrinsic_loss as f32 * loss;
            sums.intrinsic += f64::from(rewards[k]);
        }
        let mean = rewards.iter().sum::<f32>() / n.max(1) as f32;
        if self.plan.intrinsic > 0.0 {
            for (k, &i) in part.iter().enumerate().filter(|(_, i)| d.drawn[**i as usize]) {
                let advantage = (rewards[k] - mean) * self.plan.intrinsic as f32 * scale;
                let below = danger.as_ref().map_or(0.0, |x| x[k]);
                for o in 0..OTHERS {
                    let p = probability[k * OTHERS + o].clamp(1e-4, 1.0 - 1e-4);
                    let accepted = d.context[i as usize * CONTEXT + OTHERS + o];
                    let push = -advantage * (accepted - sigmoid((p / (1.0 - p)).ln() - below));
                    d_relation[k * OTHERS + o] += push;
                    d_danger[k] -= push;
                }
            }
        }
        if let Some(net) = &self.brain.relation {
            net.backward(params, &states, &[], &d_relation, &mut half.relation, &mut half.grads);
        }
        if let Some(net) = &self.brain.danger {
            net.backward(params, &states, &[], &d_danger, &mut half.danger, &mut half.grads);
        }
    }
}
