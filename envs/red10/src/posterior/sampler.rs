//! Particles through the decisions, one by one.
use super::{
    Likelihood, Posterior,
    deals::{Deals, Hidden, OTHERS, Open, singles},
};
use crate::{Cards, Seat};
use rlx::{Result, Rng};

/// How the posterior is sampled.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Sampler {
    /// Particles.
    pub particles: usize,
    /// Metropolis-Hastings steps of each particle after resampling, and at least as many at each position.
    pub steps: usize,
}

#[derive(Clone, Copy, Debug)]
struct Particle {
    hands: Hidden,
    /// ln likelihood of each other's decisions so far.
    fit: [f64; OTHERS],
}

/// The particles of a seat, which go on from one of its decisions to the next.
#[derive(Clone, Debug)]
pub struct Track {
    sampler: Sampler,
    particles: Vec<Particle>,
    weights: Vec<f64>,
    /// What was open, and how many decisions there were, when it was last brought up to date.
    last: Option<(Open, usize)>,
}

impl Sampler {
    /// The posterior at `seat`, from nothing.
    ///
    /// # Errors
    /// When the likelihood fails.
    pub fn posterior(&self, seat: Seat<'_>, likelihood: &mut dyn Likelihood, rng: &mut Rng) -> Result<Posterior> {
        Track::new(*self).posterior(seat, likelihood, rng)
    }
}

impl Track {
    /// Before the first position.
    pub fn new(sampler: Sampler) -> Self {
        Self { sampler, particles: Vec::new(), weights: Vec::new(), last: None }
    }

    /// The posterior at a later position of the same seat in the same game.
    ///
    /// Particles that could not have played what was played since die, if a quarter can; where fewer could, as after a long chain,
    /// the others are mended by exchanging cards, and take their steps before anything is weighed.
    ///
    /// # Errors
    /// When the likelihood fails.
    pub fn posterior(&mut self, seat: Seat<'_>, likelihood: &mut dyn Likelihood, rng: &mut Rng) -> Result<Posterior> {
        let mut deals = Deals::new(seat);
        if deals.prior.iter().filter(|w| **w > 0.0).count() == 1 {
            return Ok(Posterior { holders: deals.prior, effective: f64::INFINITY });
        }
        let n = self.sampler.particles;
        let done = match self.last.take() {
            None => {
                // One draw for all strata: the share of each set of holders is off by less than a particle.
                let offset = rng.unit();
                let stratum = |i: usize| (i as f64 + offset) / n as f64;
                self.particles =
                    (0..n).map(|i| Particle { hands: deals.draw(stratum(i), rng), fit: [0.0; OTHERS] }).collect();
                self.weights = self.particles.iter().map(|p| deals.leading(&p.hands)).collect();
                0
            }
            Some((open, done)) => {
                self.carry(&mut deals, &open, done, likelihood, rng)?;
                done
            }
        };
        for number in done..deals.decisions() {
            let everyone = vec![[true; OTHERS]; n];
            let hands: Vec<Hidden> = self.particles.iter().map(|p| p.hands).collect();
            for (i, other, fit) in fits(&mut deals, &hands, number..number + 1, &everyone, likelihood)? {
                self.particles[i].fit[other] += fit;
                self.weights[i] += fit;
            }
            // Half is the usual threshold (Del Moral, Doucet and Jasra 2006).
            if effective(&self.weights) < 0.5 * n as f64 {
                self.resample(rng);
                self.walk(&mut deals, number + 1, likelihood, rng)?;
            }
        }
        // Every stop of the last walk counts: a particle is more than where it happens to end.
        let mut sums = self.read(&deals);
        for _ in 0..self.sampler.steps {
            let count = deals.decisions();
            self.step(&mut deals, count, likelihood, rng)?;
            sums.iter_mut().zip(self.read(&deals)).for_each(|(sum, share)| *sum += share);
        }
        self.last = Some((deals.open(), deals.decisions()));
        // A set that no particle has is not impossible: the prior counts as one more particle.
        let effective = effective(&self.weights);
        let (worth, stops) = (effective / (effective + 1.0), (self.sampler.steps + 1) as f64);
        let mix = |(sum, prior): (f64, f64)| worth * sum / stops + (1.0 - worth) * prior;
        let mut holders = [0.0; 16];
        holders.iter_mut().zip(sums.into_iter().zip(deals.prior)).for_each(|(h, both)| *h = mix(both));
        Ok(Posterior { holders, effective })
    }

    /// Takes the particles over to a later position.
    fn carry(
        &mut self,
        deals: &mut Deals,
        then: &Open,
        done: usize,
        likelihood: &mut dyn Likelihood,
        rng: &mut Rng,
    ) -> Result<()> {
        let fitting: Vec<Option<Hidden>> = self.particles.iter().map(|p| deals.since(then, &p.hands)).collect();
        let alive: Vec<f64> = fitting
            .iter()
            .zip(&self.weights)
            .map(|(hands, w)| if hands.is_some() { *w } else { f64::NEG_INFINITY })
            .collect();
        let mend = effective(&alive) < 0.25 * self.particles.len() as f64;
        let mut mended = Vec::new();
        for (i, hands) in fitting.into_iter().enumerate() {
            let p = &mut self.particles[i];
            match hands {
                Some(hands) => p.hands = hands,
                None if mend => {
                    *p = Particle { hands: deals.repair(then, &p.hands, rng), fit: [0.0; OTHERS] };
                    mended.push(i);
                }
                None => self.weights[i] = f64::NEG_INFINITY,
            }
        }
        if mend {
            let everyone = vec![[true; OTHERS]; mended.len()];
            let hands: Vec<Hidden> = mended.iter().map(|&i| self.particles[i].hands).collect();
            for (i, other, fit) in fits(deals, &hands, 0..done, &everyone, likelihood)? {
                self.particles[mended[i]].fit[other] += fit;
            }
        } else {
            self.resample(rng);
        }
        self.walk(deals, done, likelihood, rng)
    }

    /// Systematic resampling: each particle as often as its weight says, off by less than one.
    fn resample(&mut self, rng: &mut Rng) {
        let n = self.particles.len();
        let top = self.weights.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        let shares: Vec<f64> = self.weights.iter().map(|w| (w - top).exp()).collect();
        let sum: f64 = shares.iter().sum();
        let offset = rng.unit();
        let (mut below, mut source) = (0.0, 0);
        let drawn = (0..n).map(|i| {
            let at = (i as f64 + offset) / n as f64 * sum;
            while source + 1 < n && below + shares[source] <= at {
                below += shares[source];
                source += 1;
            }
            self.particles[source]
        });
        self.particles = drawn.collect();
        self.weights.fill(0.0);
    }

    /// Metropolis-Hastings steps of every particle under the first `count` decisions.
    fn walk(&mut self, deals: &mut Deals, count: usize, likelihood: &mut dyn Likelihood, rng: &mut Rng) -> Result<()> {
        (0..self.sampler.steps).try_for_each(|_| self.step(deals, count, likelihood, rng))
    }

    fn step(&mut self, deals: &mut Deals, count: usize, likelihood: &mut dyn Likelihood, rng: &mut Rng) -> Result<()> {
        let mut open = Vec::with_capacity(self.particles.len());
        for (particle, p) in self.particles.iter().enumerate() {
            let Some(swap) = propose(deals, &p.hands, rng) else { continue };
            if swap.hands == p.hands || !deals.allowed(&swap.hands) {
                continue;
            }
            let old: f64 = swap.changed.iter().map(|&k| p.fit[k]).sum();
            // What the new fit must reach, drawn beforehand: fits only fall, so a proposal is dropped as soon as it is below.
            let least = rng.unit().ln() + old - swap.bias - deals.leading(&swap.hands) + deals.leading(&p.hands);
            open.push(Proposal { particle, swap, least, fit: [0.0; OTHERS] });
        }
        // Newest decisions first, in groups that double.
        let (mut end, mut size) = (count, 2);
        while end > 0 && !open.is_empty() {
            let start = end.saturating_sub(size);
            let hands: Vec<Hidden> = open.iter().map(|p| p.swap.hands).collect();
            let mut changed = vec![[false; OTHERS]; open.len()];
            open.iter().zip(&mut changed).for_each(|(p, c)| p.swap.changed.iter().for_each(|&k| c[k] = true));
            for (i, other, fit) in fits(deals, &hands, start..end, &changed, likelihood)? {
                open[i].fit[other] += fit;
            }
            open.retain(|p| p.fit.iter().sum::<f64>() > p.least);
            (end, size) = (start, 2 * size);
        }
        for p in open {
            let particle = &mut self.particles[p.particle];
            particle.hands = p.swap.hands;
            p.swap.changed.iter().for_each(|&k| particle.fit[k] = p.fit[k]);
        }
        Ok(())
    }

    /// The share of each set of holders.
    fn read(&self, deals: &Deals) -> [f64; 16] {
        let top = self.weights.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        let mut holders = [0.0; 16];
        for (p, w) in self.particles.iter().zip(&self.weights) {
            holders[deals.holders(&p.hands)] += (w - top).exp();
        }
        let sum: f64 = holders.iter().sum();
        holders.map(|h| h / sum)
    }
}

/// ln likelihood of decisions `numbers` in each of `hands`, of those others that `changed`: (index, other, ln), one a decision.
fn fits(
    deals: &mut Deals,
    hands: &[Hidden],
    numbers: std::ops::Range<usize>,
    changed: &[[bool; OTHERS]],
    likelihood: &mut dyn Likelihood,
) -> Result<Vec<(usize, usize, f64)>> {
    let mut asked = Vec::new();
    for (i, (hands, changed)) in hands.iter().zip(changed).enumerate() {
        for number in numbers.clone() {
            let other = deals.decided(number);
            if changed[other] {
                let (cards, is_asked) = deals.ask(number, hands, likelihood);
                asked.push((i, other, cards, is_asked));
            }
        }
    }
    let mut answers = Vec::new();
    likelihood.answer(&mut answers)?;
    let mut next = answers.into_iter();
    let mut answer = |is_asked: bool| if is_asked { next.next().expect("one answer a question") } else { 0.0 };
    Ok(asked.into_iter().map(|(i, other, cards, is_asked)| (i, other, cards + answer(is_asked))).collect())
}

/// Effective sample size of weights that are given by their ln.
fn effective(weights: &[f64]) -> f64 {
    let top = weights.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    if top == f64::NEG_INFINITY {
        return 0.0;
    }
    let (sum, squares) = weights.iter().map(|w| (w - top).exp()).fold((0.0, 0.0), |(s, q), w| (s + w, q + w * w));
    sum * sum / squares
}

/// Cards exchanged between two hidden hands.
struct Swap {
    hands: Hidden,
    changed: [usize; 2],
    /// ln of the ratio of the chances to propose it and its reverse.
    bias: f64,
}

struct Proposal {
    particle: usize,
    swap: Swap,
    least: f64,
    fit: [f64; OTHERS],
}

/// How readily a card is exchanged for another: cards of near ranks do much the same in a hand, and a red ten for a black one changes
/// nothing but the teams. The same card is none.
fn nearness(a: Cards, b: Cards) -> f64 {
    let rank = |c: Cards| c.0.trailing_zeros() as i32 / 4;
    if a == b { 0.0 } else { f64::from(1 + (rank(a) - rank(b)).abs()).powi(-2) }
}

/// One of `cards`, drawn by nearness to `card`, and the sum of nearnesses. None when there is no other card.
fn draw_near(card: Cards, cards: &[Cards], rng: &mut Rng) -> Option<(Cards, f64)> {
    let sum: f64 = cards.iter().map(|c| nearness(card, *c)).sum();
    let mut left = rng.unit() * sum;
    let drawn = cards.iter().find(|c| {
        left -= nearness(card, **c);
        left < 0.0
    });
    drawn.map(|c| (*c, sum))
}

/// A card of one hand for one of another: half the time a hidden red ten, else any, for a near one; and a quarter of the time one to
/// three cards drawn evenly from each.
fn propose(deals: &Deals, hands: &Hidden, rng: &mut Rng) -> Option<Swap> {
    let holders: Vec<usize> = (0..OTHERS).filter(|&k| deals.sizes[k] > 0).collect();
    if holders.len() < 2 {
        return None;
    }
    let reds: u64 = hands.iter().map(|h| h.red()).sum();
    let kind = rng.unit();
    let mut from = holders[rng.below(holders.len())];
    if kind < 0.5 && reds > 0 {
        let mut which = rng.below(reds as usize) as u64;
        while which >= hands[from].red() {
            which -= hands[from].red();
            from = (from + 1) % OTHERS;
        }
    }
    let rest: Vec<usize> = holders.into_iter().filter(|&k| k != from).collect();
    let to = rest[rng.below(rest.len())];
    let [mut x, mut y] = [from, to].map(|k| singles(hands[k]));
    let mut now = *hands;
    if kind < 0.75 {
        let given = if kind < 0.5 && reds > 0 { Cards::RED_TEN } else { x[rng.below(x.len())] };
        let (back, sum) = draw_near(given, &y, rng)?;
        now[from].0 = now[from].0 - given.0 + back.0;
        now[to].0 = now[to].0 - back.0 + given.0;
        // The way back: the red ten for a card of where it came from, or any card as this one was.
        let (seen, others) = if kind < 0.5 && reds > 0 { (given, now[from]) } else { (back, now[to]) };
        let reverse: f64 = singles(others).iter().map(|c| nearness(seen, *c)).sum();
        return Some(Swap { hands: now, changed: [from, to], bias: (sum / reverse).ln() });
    }
    for _ in 0..(1 + rng.below(3)).min(x.len()).min(y.len()) {
        let (i, j) = (rng.below(x.len()), rng.below(y.len()));
        let (one, other) = (x.swap_remove(i), y.swap_remove(j));
        now[from].0 = now[from].0 - one.0 + other.0;
        now[to].0 = now[to].0 - other.0 + one.0;
    }
    Some(Swap { hands: now, changed: [from, to], bias: 0.0 })
}
