//! Particles through the decisions, one by one.
use super::{
    Likelihood, Posterior,
    deals::{Deals, Hidden, Layout, OTHERS},
};
use crate::Seat;
use rlx::{Result, Rng};

/// How the posterior is sampled.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Sampler {
    /// Particles.
    pub particles: usize,
    /// Metropolis-Hastings steps of each particle after resampling.
    pub steps: usize,
}

impl Default for Sampler {
    fn default() -> Self {
        Self { particles: 256, steps: 8 }
    }
}

struct Particle {
    layout: Layout,
    hands: Hidden,
    /// ln likelihood of each other's decisions so far.
    fit: [f64; OTHERS],
}

/// A proposed swap of a particle's cards.
struct Proposal {
    particle: usize,
    layout: Layout,
    hands: Hidden,
    /// The two whose hands change.
    changed: [usize; 2],
    /// What its acceptance is multiplied by, in ln.
    bias: f64,
}

impl Sampler {
    /// The posterior at `seat`.
    ///
    /// # Errors
    /// When the likelihood fails.
    pub fn posterior(&self, seat: Seat<'_>, likelihood: &mut dyn Likelihood, rng: &mut Rng) -> Result<Posterior> {
        let mut deals = Deals::new(seat);
        if deals.prior.iter().filter(|w| **w > 0.0).count() == 1 {
            return Ok(Posterior { holders: deals.prior, effective: f64::INFINITY });
        }
        let n = self.particles;
        // One draw for all strata: the share of each set of holders is off by less than a particle.
        let offset = rng.unit();
        let mut particles: Vec<Particle> = (0..n)
            .map(|i| {
                let layout = deals.draw((i as f64 + offset) / n as f64, rng);
                Particle { hands: layout.hands(&deals), layout, fit: [0.0; OTHERS] }
            })
            .collect();
        let mut weights: Vec<f64> = particles.iter().map(|p| deals.leading(&p.hands)).collect();
        let mut answers = Vec::new();
        for number in 0..deals.decisions() {
            let other = deals.decided(number);
            let asked: Vec<(f64, bool)> = particles.iter().map(|p| deals.ask(number, &p.hands, likelihood)).collect();
            answers.clear();
            likelihood.answer(&mut answers)?;
            let mut next = answers.iter();
            for ((p, w), (cards, is_asked)) in particles.iter_mut().zip(&mut weights).zip(asked) {
                let fit = cards + if is_asked { next.next().expect("one answer a question") } else { &0.0 };
                p.fit[other] += fit;
                *w += fit;
            }
            // Half is the usual threshold (Del Moral, Doucet and Jasra 2006).
            if effective(&weights) < 0.5 * n as f64 {
                resample(&mut particles, &mut weights, rng);
                for _ in 0..self.steps {
                    step(&mut deals, &mut particles, number + 1, likelihood, rng)?;
                }
            }
        }
        let top = weights.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        let mut holders = [0.0; 16];
        for (p, w) in particles.iter().zip(&weights) {
            holders[deals.holders(&p.hands)] += (w - top).exp();
        }
        let (sum, worth) = (holders.iter().sum::<f64>(), effective(&weights));
        // A set that no particle has is not impossible: the prior counts as one more particle.
        let share = worth / (worth + 1.0);
        for (h, prior) in holders.iter_mut().zip(deals.prior) {
            *h = share * *h / sum + (1.0 - share) * prior;
        }
        Ok(Posterior { holders, effective: worth })
    }
}

/// Effective sample size of weights that are given by their ln.
fn effective(weights: &[f64]) -> f64 {
    let top = weights.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let (sum, squares) = weights.iter().map(|w| (w - top).exp()).fold((0.0, 0.0), |(s, q), w| (s + w, q + w * w));
    if squares > 0.0 { sum * sum / squares } else { 0.0 }
}

/// Systematic resampling: each particle as often as its weight says, off by less than one.
fn resample(particles: &mut Vec<Particle>, weights: &mut [f64], rng: &mut Rng) {
    let n = particles.len();
    let top = weights.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let sum: f64 = weights.iter().map(|w| (w - top).exp()).sum();
    let offset = rng.unit();
    let mut drawn = Vec::with_capacity(n);
    let (mut below, mut source) = (0.0, 0);
    for i in 0..n {
        let at = (i as f64 + offset) / n as f64 * sum;
        while source + 1 < n && below + (weights[source] - top).exp() <= at {
            below += (weights[source] - top).exp();
            source += 1;
        }
        let p = &particles[source];
        drawn.push(Particle { layout: p.layout.clone(), hands: p.hands, fit: p.fit });
    }
    *particles = drawn;
    weights.fill(0.0);
}

/// One Metropolis-Hastings step of every particle under the first `count` decisions.
fn step(
    deals: &mut Deals,
    particles: &mut [Particle],
    count: usize,
    likelihood: &mut dyn Likelihood,
    rng: &mut Rng,
) -> Result<()> {
    let mut proposals = Vec::with_capacity(particles.len());
    for (i, p) in particles.iter().enumerate() {
        if let Some((layout, changed, bias)) = propose(deals, &p.layout, rng) {
            let hands = layout.hands(deals);
            if hands != p.hands && deals.allowed(&hands) {
                proposals.push(Proposal { particle: i, layout, hands, changed, bias });
            }
        }
    }
    let mut asked = Vec::new();
    for (i, proposal) in proposals.iter().enumerate() {
        for number in 0..count {
            if proposal.changed.contains(&deals.decided(number)) {
                let (cards, is_asked) = deals.ask(number, &proposal.hands, likelihood);
                asked.push((i, deals.decided(number), cards, is_asked));
            }
        }
    }
    let mut answers = Vec::new();
    likelihood.answer(&mut answers)?;
    let mut next = answers.iter();
    let mut fits = vec![[0.0; OTHERS]; proposals.len()];
    for (i, other, cards, is_asked) in asked {
        fits[i][other] += cards + if is_asked { next.next().expect("one answer a question") } else { &0.0 };
    }
    for (proposal, mut fit) in proposals.into_iter().zip(fits) {
        let p = &mut particles[proposal.particle];
        (0..OTHERS).filter(|k| !proposal.changed.contains(k)).for_each(|k| fit[k] = p.fit[k]);
        let gain = fit.iter().sum::<f64>() - p.fit.iter().sum::<f64>() + proposal.bias + deals.leading(&proposal.hands)
            - deals.leading(&p.hands);
        if rng.unit().ln() < gain {
            *p = Particle { layout: proposal.layout, hands: proposal.hands, fit };
        }
    }
    Ok(())
}

/// A swap of cards between two hidden hands: half the time one to three cards drawn evenly from each, else a hidden red ten for a
/// card of one of the others. Returns also who changed, and ln of the ratio of the two directions' chances.
fn propose(deals: &Deals, layout: &Layout, rng: &mut Rng) -> Option<(Layout, [usize; 2], f64)> {
    let holders: Vec<usize> = (0..OTHERS).filter(|&k| deals.sizes[k] > 0).collect();
    if holders.len() < 2 {
        return None;
    }
    let starts = deals.starts();
    let of = |place: usize| (0..OTHERS).rfind(|&k| starts[k] <= place && deals.sizes[k] > 0).unwrap_or(0);
    let mut layout = layout.clone();
    let a = rng.below(holders.len());
    let reds: Vec<usize> =
        (0..layout.order.len()).filter(|&place| deals.pool[usize::from(layout.order[place])].red() > 0).collect();
    if !reds.is_empty() && rng.unit() < 0.5 {
        let place = reds[rng.below(reds.len())];
        let from = of(place);
        let rest: Vec<usize> = holders.into_iter().filter(|&k| k != from).collect();
        let to = rest[rng.below(rest.len())];
        layout.order.swap(place, starts[to] + rng.below(deals.sizes[to]));
        // There and back: one of so many cards each.
        let bias = (deals.sizes[to] as f64 / deals.sizes[from] as f64).ln();
        return Some((layout, [from, to], bias));
    }
    let b = (a + 1 + rng.below(holders.len() - 1)) % holders.len();
    let (a, b) = (holders[a], holders[b]);
    let most = deals.sizes[a].min(deals.sizes[b]);
    for i in 0..(1 + rng.below(3)).min(most) {
        // The i-th place of each after the first i is drawn: sets of different cards.
        for k in [a, b] {
            layout.order.swap(starts[k] + i, starts[k] + i + rng.below(deals.sizes[k] - i));
        }
        layout.order.swap(starts[a] + i, starts[b] + i);
    }
    Some((layout, [a, b], 0.0))
}
