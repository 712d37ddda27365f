//! Steps between configurations: atomic edits, and what brings a configuration under a budget or up to it.
use super::{Levels, Objective, SearchSpace};

/// The atomic edits of a configuration, as (dimension, new level): the next lower and higher number, or any other name.
pub fn edits(space: &SearchSpace, config: &[u16]) -> Vec<(usize, u16)> {
    let mut out = Vec::new();
    for (d, (dimension, &level)) in space.dimensions().iter().zip(config).enumerate() {
        match &dimension.levels {
            Levels::Ordinal(_) => {
                out.extend(level.checked_sub(1).map(|l| (d, l)));
                out.extend((usize::from(level) + 1 < dimension.len()).then_some((d, level + 1)));
            }
            Levels::Categorical(names) => {
                out.extend((0..names.len() as u16).filter(|l| *l != level).map(|l| (d, l)));
            }
        }
    }
    out
}

/// Changes one dimension after the other to the level that `better` prefers, until nothing changes.
fn descend(space: &SearchSpace, cost: &dyn Fn(&[u16]) -> f64, better: fn(f64, f64) -> bool) -> Vec<u16> {
    let mut config = vec![0; space.dimensions().len()];
    let mut now = cost(&config);
    loop {
        let before = config.clone();
        for (d, dimension) in space.dimensions().iter().enumerate() {
            for level in 0..dimension.len() as u16 {
                let was = std::mem::replace(&mut config[d], level);
                let other = cost(&config);
                if better(other, now) {
                    now = other;
                } else {
                    config[d] = was;
                }
            }
        }
        if config == before {
            return config;
        }
    }
}

/// The configuration of least cost, where the cost of a level ranks alike whatever the others are.
pub fn cheapest(objective: &dyn Objective) -> Vec<u16> {
    descend(objective.space(), &|c| objective.cost(c), |a, b| a < b)
}

/// The configuration of highest cost, on the same condition.
pub fn costliest(objective: &dyn Objective) -> Vec<u16> {
    descend(objective.space(), &|c| objective.cost(c), |a, b| a > b)
}

/// Sum over the dimensions of the squared distance to the costliest level, in shares of its levels.
pub(super) fn distance_to_costliest(space: &SearchSpace, cost: &dyn Fn(&[u16]) -> f64, config: &[u16]) -> f64 {
    let top = descend(space, cost, |a, b| a > b);
    let parts = space.dimensions().iter().zip(top.iter().zip(config)).map(|(d, (t, c))| {
        let away = match d.levels {
            Levels::Ordinal(_) => f64::from(t.abs_diff(*c)) / (d.len() - 1).max(1) as f64,
            Levels::Categorical(_) => f64::from(u8::from(t != c)),
        };
        away * away
    });
    parts.sum()
}

/// Makes the edit that `rate` likes least, among those that `wanted` (by the cost after and before) allows. Whether there was one.
fn edit(
    objective: &dyn Objective,
    config: &mut [u16],
    score: &mut dyn FnMut(&[u16]) -> f64,
    wanted: &dyn Fn(f64, f64) -> bool,
    gain: bool,
) -> bool {
    let (cost, now) = (objective.cost(config), score(config));
    let mut best: Option<(f64, usize, u16)> = None;
    for (d, level) in edits(objective.space(), config) {
        let was = std::mem::replace(&mut config[d], level);
        let after = objective.cost(config);
        if wanted(after, cost) {
            let change = score(config) - now;
            // Loss per byte saved, or (negative) loss per byte added: least is best either way.
            let rate = change / (after - cost).abs();
            if rate.is_finite() && (!gain || change < 0.0) && best.is_none_or(|b| rate < b.0) {
                best = Some((rate, d, level));
            }
        }
        config[d] = was;
    }
    if let Some((_, d, level)) = best {
        config[d] = level;
    }
    best.is_some()
}

/// Brings a configuration under `budget` by the edits that lose least by `score` (lower is better) per unit of cost saved. Whether
/// it fits in the end; where no configuration does, it is left at one that cannot be cut any more.
pub fn repair(
    objective: &dyn Objective,
    config: &mut [u16],
    budget: f64,
    score: &mut dyn FnMut(&[u16]) -> f64,
) -> bool {
    while objective.cost(config) > budget {
        if !edit(objective, config, score, &|after, before| after < before, false) {
            return false;
        }
    }
    true
}

/// Spends what is left of `budget` on the edits that gain most by `score` per unit of cost, as long as one gains and fits.
pub fn fill(objective: &dyn Objective, config: &mut [u16], budget: f64, score: &mut dyn FnMut(&[u16]) -> f64) {
    while edit(objective, config, score, &|after, before| after > before && after <= budget, true) {}
}

/// What the objective itself guesses to be best under the `k`-th of `n` budgets that are spread evenly: first points for a search, which
/// has seen next to nothing that is any good without them.
pub fn guessed(objective: &dyn Objective, k: u64, n: u64) -> Vec<u16> {
    let (low, high) = objective.budgets();
    let mut config = cheapest(objective);
    fill(objective, &mut config, low + (high - low) * (k as f64 + 0.5) / n as f64, &mut |c| objective.guess(c));
    config
}
