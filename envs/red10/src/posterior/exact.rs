//! Every deal counted.
use super::{
    Likelihood, Posterior,
    deals::{Deals, Hidden, OTHERS, ways},
};
use crate::{Cards, Seat, cards::TEN};
use rlx::Result;
use std::collections::BTreeMap;

/// The posterior at `seat` by enumeration: the sum over deals factors into one weight per player and hand, so the likelihood is asked
/// once for each hand that somebody may hold. None when those are more than `most`.
///
/// # Errors
/// When the likelihood fails.
pub fn exact(seat: Seat<'_>, likelihood: &mut dyn Likelihood, most: usize) -> Result<Option<Posterior>> {
    let mut deals = Deals::new(seat);
    let all = Cards(deals.pool.iter().map(|c| c.0).sum());
    let mut hands: [Vec<Cards>; OTHERS] = Default::default();
    let mut left = most;
    for (k, hands) in hands.iter_mut().enumerate() {
        if !parts(all, deals.sizes[k], 0, Cards::NONE, &mut left, hands) {
            return Ok(None);
        }
        hands.retain(|h| deals.may_hold(k, *h));
    }
    // ln of each hand's part of the weight: the ways to deal it and the likelihood of its owner's decisions.
    let mut fits: [BTreeMap<Cards, f64>; OTHERS] = Default::default();
    for (k, hands) in hands.iter().enumerate() {
        let numbers: Vec<usize> = (0..deals.decisions()).filter(|&n| deals.decided(n) == k).collect();
        let mut asked = Vec::new();
        for (i, &hand) in hands.iter().enumerate() {
            let rest = Cards(all.0 - hand.0);
            let deal = fill(&deals, k, hand, rest);
            for &n in &numbers {
                asked.push((i, deals.ask(n, &deal, likelihood)));
            }
        }
        let mut answers = Vec::new();
        likelihood.answer(&mut answers)?;
        let mut next = answers.iter();
        let mut sums = vec![0.0; hands.len()];
        for (i, (cards, is_asked)) in asked {
            sums[i] += cards + if is_asked { next.next().expect("one answer a question") } else { &0.0 };
        }
        fits[k] = hands.iter().copied().zip(sums).collect();
    }
    let mut weights = Vec::new();
    for (&a, fit_a) in &fits[0] {
        let rest = Cards(all.0 - a.0);
        for (&b, fit_b) in fits[1].range(..=rest) {
            if !rest.contains(b) {
                continue;
            }
            let c = Cards(rest.0 - b.0);
            let deal = [a, b, c];
            if let (Some(fit_c), true) = (fits[2].get(&c), deals.allowed(&deal)) {
                // Of equal cards it does not matter which one goes where.
                let dealt = (ways(all, a) * ways(rest, b)).ln();
                weights.push((deals.holders(&deal), dealt + deals.leading(&deal) + fit_a + fit_b + fit_c));
            }
        }
    }
    let top = weights.iter().map(|w| w.1).fold(f64::NEG_INFINITY, f64::max);
    let mut holders = [0.0; 16];
    weights.iter().for_each(|(set, w)| holders[*set] += (w - top).exp());
    let sum: f64 = holders.iter().sum();
    holders.iter_mut().for_each(|h| *h /= sum);
    Ok(Some(Posterior { holders, effective: f64::INFINITY }))
}

/// Every set of `n` cards of `all` from rank `rank` on. False when `left`, which counts down, is used up.
fn parts(all: Cards, n: usize, rank: usize, taken: Cards, left: &mut usize, out: &mut Vec<Cards>) -> bool {
    if n == 0 {
        out.push(taken);
        let more = *left > 0;
        *left = left.saturating_sub(1);
        return more;
    }
    if rank == 15 {
        return true;
    }
    let reds = if rank == TEN { all.red() } else { 0 };
    let blacks = all.count(rank) - reds;
    for red in 0..=reds.min(n as u64) {
        for black in 0..=blacks.min(n as u64 - red) {
            let more = Cards(taken.0 + red * Cards::RED_TEN.0 + Cards::of(rank, black).0);
            if !parts(all, n - (red + black) as usize, rank + 1, more, left, out) {
                return false;
            }
        }
    }
    true
}

/// A deal in which the k-th other holds `hand` and the two others what is left, in any way.
fn fill(deals: &Deals, k: usize, hand: Cards, rest: Cards) -> Hidden {
    let next = (k + 1) % OTHERS;
    let mut some = Vec::new();
    parts(rest, deals.sizes[next], 0, Cards::NONE, &mut 0, &mut some);
    let mut deal = [hand; OTHERS];
    deal[next] = some[0];
    deal[(k + 2) % OTHERS] = Cards(rest.0 - some[0].0);
    deal
}
