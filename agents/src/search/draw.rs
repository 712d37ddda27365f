//! Configurations at random, under a budget.
use rlx::{
    Objective, Rng,
    objective::{cheapest, edits},
};

/// Cuts dimensions at random until the configuration fits; the cheapest one when that does not lead there.
pub fn cut(objective: &dyn Objective, config: &mut Vec<u16>, budget: f64, rng: &mut Rng) {
    let mut cost = objective.cost(config);
    while cost > budget {
        let mut all = edits(objective.space(), config);
        rng.shuffle(&mut all);
        let found = all.into_iter().find_map(|(d, level)| {
            let was = std::mem::replace(&mut config[d], level);
            let after = objective.cost(config);
            if after < cost {
                return Some(after);
            }
            config[d] = was;
            None
        });
        match found {
            Some(after) => cost = after,
            None => {
                *config = cheapest(objective);
                return;
            }
        }
    }
}

/// Raises dimensions at random as long as the configuration fits.
pub fn spend(objective: &dyn Objective, config: &mut [u16], budget: f64, rng: &mut Rng) {
    loop {
        let (cost, mut all) = (objective.cost(config), edits(objective.space(), config));
        rng.shuffle(&mut all);
        let raised = all.into_iter().any(|(d, level)| {
            let was = std::mem::replace(&mut config[d], level);
            let after = objective.cost(config);
            let raised = after > cost && after <= budget;
            if !raised {
                config[d] = was;
            }
            raised
        });
        if !raised {
            return;
        }
    }
}

/// A random configuration that fits the budget and leaves little of it.
pub fn feasible(objective: &dyn Objective, budget: f64, rng: &mut Rng) -> Vec<u16> {
    let mut config = vec![0; objective.space().dimensions().len()];
    objective.space().sample(rng, &mut config);
    cut(objective, &mut config, budget, rng);
    spend(objective, &mut config, budget, rng);
    config
}

/// `from` after `count` atomic edits at random, made to fit.
pub fn near(objective: &dyn Objective, from: &[u16], count: usize, budget: f64, rng: &mut Rng) -> Vec<u16> {
    let mut config = from.to_vec();
    for _ in 0..count {
        let all = edits(objective.space(), &config);
        if let Some((d, level)) = (!all.is_empty()).then(|| all[rng.below(all.len())]) {
            config[d] = level;
        }
    }
    cut(objective, &mut config, budget, rng);
    if rng.below(2) == 0 {
        spend(objective, &mut config, budget, rng);
    }
    config
}
