//! Learning from decisions whose games have ended: targets, batches, steps of the optimiser.
use super::{
    config::SelfPlayConfig,
    decisions::Decisions,
    hidden,
    losses::{HalfBatch, LossSums, TrainingBatch},
    net::Scratch,
    nets::SelfPlayNets,
};
use rayon::prelude::*;
use rlx::{Error, Result, Rng};
use rlx_nn::{Adam, adam::clip_grad_norm, sparse::Active};

/// Decisions per forward pass of the critic.
const CHUNK: usize = 1024;

/// Decisions as lists of features: what the acting seats see, and what only the critic is shown beside it. Acting has made these lists
/// before, and they are made again by choice: until a game ends its decisions wait as bytes, which is what a checkpoint holds.
#[derive(Debug, Default)]
pub(super) struct Encoded {
    seen: Active,
    secret: Active,
}

impl Encoded {
    /// What the acting seats of `part` see.
    pub fn seen(&self, part: &[u32]) -> Active {
        let mut out = Active::default();
        part.iter().for_each(|&i| out.push_from(&self.seen, i as usize));
        out
    }
    /// The same with what they do not see.
    pub fn all(&self, part: &[u32]) -> Active {
        let mut out = Active::default();
        for &i in part {
            out.extend_from(&self.seen, i as usize);
            out.push_from(&self.secret, i as usize);
        }
        out
    }

    /// All decisions as features, once for every pass over them.
    fn fill(&mut self, nets: &SelfPlayNets, d: &Decisions) {
        let width = nets.features.width();
        let order: Vec<u32> = (0..d.len() as u32).collect();
        let chunks: Vec<Self> = order
            .par_chunks(CHUNK)
            .map(|part| {
                let (mut out, mut bytes) = (Self::default(), Vec::new());
                for &i in part {
                    let i = i as usize;
                    nets.encode(&d.obs[i * width..][..width], &mut out.seen);
                    if let Some((critic, hidden)) = nets.critic.as_ref().zip(nets.hidden.as_ref()) {
                        let row = &d.hidden[i * hidden.width..][..hidden.width];
                        critic.encode(hidden, row, d.seat[i], &mut bytes, &mut out.secret);
                    }
                }
                out
            })
            .collect();
        self.seen.clear();
        self.secret.clear();
        for chunk in &chunks {
            self.seen.append(&chunk.seen);
            self.secret.append(&chunk.secret);
        }
    }
}

/// What learning keeps between iterations beside parameters: memory, and nothing else.
#[derive(Debug, Default)]
pub(super) struct LearnScratch {
    halves: [HalfBatch; 2],
    encoded: Encoded,
}

/// The parameters, and what moves them.
pub(super) struct Updater {
    pub params: Vec<f32>,
    pub adam: Adam,
    /// The order of decisions is drawn from it.
    pub order: Rng,
    pub scratch: LearnScratch,
}

impl Updater {
    /// Steps of the optimiser over all of `d`, which is empty after; `steps` were made before, for errors.
    pub fn learn(
        &mut self,
        nets: &SelfPlayNets,
        config: &SelfPlayConfig,
        d: &mut Decisions,
        rate: f64,
        steps: u64,
    ) -> Result<LossSums> {
        let Self { params, adam, order: rng, scratch } = self;
        let mut order: Vec<u32> = (0..d.len() as u32).collect();
        rng.shuffle(&mut order);
        let mut sums = LossSums::default();
        let LearnScratch { halves, encoded } = scratch;
        encoded.fill(nets, d);
        let targets = targets(nets, config, d, encoded, params);
        let batch = TrainingBatch { nets, decisions: d, encoded, targets };
        halves.iter_mut().for_each(|half| half.reset(params.len()));
        for part in order.chunks(config.batch_size) {
            // A rest that is too small would be a noisy step.
            if part.len() * 2 < config.batch_size && order.len() > config.batch_size {
                break;
            }
            let (first, second) = part.split_at(part.len() / 2);
            let [a, b] = &mut *halves;
            let (shared, scale) = (&**params, 1.0 / part.len() as f32);
            rayon::join(|| batch.gradients(first, shared, scale, a), || batch.gradients(second, shared, scale, b));
            a.grads.iter_mut().zip(&b.grads).for_each(|(a, b)| *a += b);
            let norm = clip_grad_norm(&mut a.grads, config.max_grad_norm);
            if !norm.is_finite() {
                return Err(Error::NonFinite { what: "gradient".into(), step: steps });
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
}

/// What each decision's value is to be: the payoff; the soft value of the same seat's next decision; or with a critic the TD(lambda)
/// return over it (Sutton 1988; a critic of complete information as in PerfectDou, arXiv 2203.16406). Its noise is less than the
/// payoff's, which hangs on everything that comes later.
fn targets(nets: &SelfPlayNets, config: &SelfPlayConfig, d: &Decisions, encoded: &Encoded, params: &[f32]) -> Vec<f32> {
    let mut targets = d.target.clone();
    if nets.soft.is_some() {
        hidden::next_of_the_same_seat(&mut targets, &d.soft, &d.seat, &d.games, nets.others + 1);
        return targets;
    }
    let Some((critic, hidden)) = nets.critic.as_ref().zip(nets.hidden.as_ref()) else { return targets };
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
        hidden::bootstrap(&mut targets[game.clone()], &values[game.clone()], same, config.td_lambda as f32);
        start = game.end;
    }
    targets
}
