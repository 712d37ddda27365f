//! NSGA-II (Deb et al. 2002) over cost and loss: non-dominated sorting, crowding distance, binary tournaments, uniform crossover, atomic
//! mutations. What costs too much is cut at random, and half of the children spend what they leave of the budget: what an operator of a
//! constrained space needs is this project's choice.
use super::{Common, Proposer, SearchView, Trial, draw};
use rlx::{Result, Rng, objective::edits};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Keys of the evolution.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct Config {
    #[serde(flatten)]
    #[allow(missing_docs)]
    pub common: Common,
    /// Configurations that survive a generation; as many are made in each.
    #[schemars(range(min = 4, max = 10_000))]
    pub population: usize,
    /// Expected number of atomic edits of a child.
    #[schemars(range(min = 0.0, max = 1000.0))]
    pub mutations: f64,
    /// Share of the children that have two parents.
    #[schemars(range(min = 0.0, max = 1.0))]
    pub crossover: f64,
}

impl Default for Config {
    fn default() -> Self {
        Self { common: Common::default(), population: 20, mutations: 2.0, crossover: 0.9 }
    }
}

/// The evolution.
#[derive(Serialize, Deserialize)]
pub struct Evolution {
    parents: Vec<Trial>,
    seen: usize, // trials that went through a selection
}

fn dominates(a: &Trial, b: &Trial) -> bool {
    // An undefined loss is the worst there is.
    let loss = |t: &Trial| if t.loss.is_nan() { f64::INFINITY } else { t.loss };
    a.cost <= b.cost && loss(a) <= loss(b) && (a.cost < b.cost || loss(a) < loss(b))
}

/// The rank of each trial: 0 is not dominated, 1 only by those, and so on.
pub fn ranks(trials: &[Trial]) -> Vec<usize> {
    let mut rank = vec![usize::MAX; trials.len()];
    let (mut level, mut left) = (0, trials.len());
    while left > 0 {
        let open = |i: &usize| rank[*i] == usize::MAX;
        let free = |i: &usize| !(0..trials.len()).filter(|k| open(k)).any(|k| dominates(&trials[k], &trials[*i]));
        let now: Vec<usize> = (0..trials.len()).filter(open).filter(free).collect();
        left -= now.len();
        now.into_iter().for_each(|i| rank[i] = level);
        level += 1;
    }
    rank
}

/// Crowding distance within each rank: the ends are infinite, others the sides of the box between their neighbours, in shares of the
/// rank's extent.
pub fn crowding(trials: &[Trial], rank: &[usize]) -> Vec<f64> {
    let mut distance = vec![0.0; trials.len()];
    for level in 0..=rank.iter().copied().max().unwrap_or(0) {
        let mut members: Vec<usize> = (0..trials.len()).filter(|i| rank[*i] == level).collect();
        for value in [|t: &Trial| t.cost, |t: &Trial| t.loss] {
            members.sort_by(|a, b| value(&trials[*a]).total_cmp(&value(&trials[*b])));
            let (Some(&first), Some(&last)) = (members.first(), members.last()) else { continue };
            let extent = value(&trials[last]) - value(&trials[first]);
            distance[first] = f64::INFINITY;
            distance[last] = f64::INFINITY;
            for three in members.windows(3) {
                let side = (value(&trials[three[2]]) - value(&trials[three[0]])) / extent;
                distance[three[1]] += if side.is_finite() { side } else { 0.0 };
            }
        }
    }
    distance
}

/// The best `keep`, by rank, then by crowding.
fn select(mut pool: Vec<Trial>, keep: usize) -> Vec<Trial> {
    let mut unique: Vec<Trial> = Vec::with_capacity(pool.len());
    pool.drain(..).for_each(|t| {
        if unique.iter().all(|u| u.config != t.config) {
            unique.push(t);
        }
    });
    let rank = ranks(&unique);
    let crowd = crowding(&unique, &rank);
    let mut order: Vec<usize> = (0..unique.len()).collect();
    order.sort_by(|a, b| rank[*a].cmp(&rank[*b]).then(crowd[*b].total_cmp(&crowd[*a])).then(a.cmp(b)));
    order.into_iter().take(keep).map(|i| unique[i].clone()).collect()
}

impl Proposer for Evolution {
    type Config = Config;
    const NAME: &'static str = "evolution";
    const ABOUT: &'static str = "search: NSGA-II over cost and loss";
    fn common(config: &Config) -> &Common {
        &config.common
    }
    fn new(_: &Config) -> Self {
        Self { parents: Vec::new(), seen: 0 }
    }
    fn propose(&mut self, config: &Config, view: &SearchView<'_>, rng: &mut Rng) -> Result<Vec<u16>> {
        let (objective, size) = (view.objective, config.population);
        if view.trials.len() < size {
            return Ok(draw::feasible(objective, view.budget, rng));
        }
        if view.trials.len() >= self.seen + size {
            // What is cheaper than anyone asks for is no better for it: under one budget, loss alone counts.
            let floor = objective.budgets().0;
            let fresh = view.trials[self.seen..].iter().map(|t| Trial { cost: t.cost.max(floor), ..t.clone() });
            let pool = self.parents.drain(..).chain(fresh).collect();
            self.parents = select(pool, size);
            self.seen = view.trials.len();
        }
        let rank = ranks(&self.parents);
        let crowd = crowding(&self.parents, &rank);
        let mut tournament = || {
            let (a, b) = (rng.below(self.parents.len()), rng.below(self.parents.len()));
            let first = (rank[a], -crowd[a]).partial_cmp(&(rank[b], -crowd[b])).is_none_or(|o| o.is_le());
            if first { a } else { b }
        };
        let (mother, father) = (tournament(), tournament());
        let mut child = self.parents[mother].config.clone();
        for _ in 0..16 {
            child.clone_from(&self.parents[mother].config);
            if rng.unit() < config.crossover {
                let other = &self.parents[father].config;
                child.iter_mut().zip(other).for_each(|(c, o)| *c = if rng.below(2) == 0 { *c } else { *o });
            }
            // Each edit goes on with a chance that makes `mutations` of them on average.
            while rng.unit() < config.mutations / (1.0 + config.mutations) {
                let all = edits(objective.space(), &child);
                if all.is_empty() {
                    break;
                }
                let (d, level) = all[rng.below(all.len())];
                child[d] = level;
            }
            draw::cut(objective, &mut child, view.budget, rng);
            if rng.below(2) == 0 {
                draw::spend(objective, &mut child, view.budget, rng);
            }
            if !view.is_known(&child) {
                break;
            }
        }
        Ok(child)
    }
}
