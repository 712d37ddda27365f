//! A model of a model: blocks with a size and a worth, whose loss has a closed form and whose best configuration under a budget is known.
//! What a searcher or a policy can do is measured here in milliseconds.
use crate::{CostUnit, ObjectiveConfig, SurrogateVector, World};
use rlx::{
    Measure, Measured, Objective, Result, Rng, SearchSpace,
    objective::{Dimension, SharedObjective},
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Settings of the world.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Blocks of the model.
    #[schemars(range(min = 1, max = 1000))]
    pub blocks: usize,
    /// Seed of the model's sizes and worths.
    pub model_seed: u64,
    /// How much more than the sum of its parts a harm is.
    #[schemars(range(min = 0.0, max = 100.0))]
    pub interaction: f64,
    /// The lowest budget, as a share of the way from the smallest to the largest model.
    #[schemars(range(min = 0.0, max = 1.0))]
    pub budget_low: f64,
    /// The highest budget.
    #[schemars(range(min = 0.0, max = 1.0))]
    pub budget_high: f64,
    /// Whether policies learn from a surrogate between measurements.
    pub surrogate: bool,
    /// Measurements before the surrogate is fitted.
    #[schemars(range(min = 1, max = 100_000))]
    pub warm_up: usize,
    /// Episodes by the surrogate for each measurement, which is of the most promising of them.
    #[schemars(range(min = 0, max = 1_000_000))]
    pub imagined: u32,
    /// Measurements after which only the surrogate is asked; 0 for no end.
    pub evaluations: u64,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            blocks: 8,
            model_seed: 0,
            interaction: 0.3,
            budget_low: 0.3,
            budget_high: 0.8,
            surrogate: false,
            warm_up: 48,
            imagined: 31,
            evaluations: 0,
        }
    }
}

/// The objective.
#[derive(Clone, Debug)]
pub struct Synthetic {
    space: SearchSpace,
    fidelities: Vec<String>,
    features: Vec<String>,
    version: String,
    size: Vec<f64>,
    worth: Vec<f64>,
    interaction: f64,
}

const RATIOS: [f64; 4] = [0.0, 0.2, 0.4, 0.6];
const BITS: [f64; 4] = [2.0, 3.0, 4.0, 8.0];
const DENSE: f64 = 3.0;

impl Synthetic {
    /// The model that the settings describe.
    pub fn new(config: &Config) -> Self {
        let mut rng = Rng::named(config.model_seed, "synthetic model", 0);
        let size = (0..config.blocks).map(|_| 1e6 * rng.uniform(0.5, 2.0)).collect();
        let worth = (0..config.blocks).map(|_| (0.8 * rng.normal()).exp() / config.blocks as f64).collect();
        let block = |i: usize| {
            let name = |kind: &str| format!("block {i} {kind}");
            [Dimension::ordinal(name("ratio"), &RATIOS), Dimension::ordinal(name("bits"), &BITS)]
        };
        let dimensions = (0..config.blocks).flat_map(block).collect();
        let each = |i: usize| ["importance", "mutual information", "depth"].map(|k| format!("block {i} {k}"));
        let mut features: Vec<String> = (0..config.blocks).flat_map(each).collect();
        features.push("mutual information".into());
        Self {
            space: SearchSpace::new(dimensions).expect("the levels are in order"),
            fidelities: vec!["untuned".into()],
            features,
            version: format!(
                "{} blocks, seed {}, interaction {}",
                config.blocks, config.model_seed, config.interaction
            ),
            size,
            worth,
            interaction: config.interaction,
        }
    }

    fn parts<'a>(&'a self, config: &'a [u16]) -> impl Iterator<Item = (usize, f64, f64)> + 'a {
        config.chunks_exact(2).enumerate().map(|(i, c)| (i, RATIOS[usize::from(c[0])], BITS[usize::from(c[1])]))
    }

    /// Harm of a block: pruning hurts with its square, noise of quantisation by a quarter with each bit.
    fn harm(&self, (i, ratio, bits): (usize, f64, f64)) -> f64 {
        self.worth[i] * (3.0 * ratio * ratio + 4f64.powf(2.0 - bits))
    }

    /// The loss, of closed form: the harms' sum and its square.
    pub fn loss(&self, config: &[u16]) -> f64 {
        let sum: f64 = self.parts(config).map(|p| self.harm(p)).sum();
        DENSE + sum + self.interaction * sum * sum
    }

    /// The least loss of any configuration under `budget`: the loss grows with the sum of harms, whose least under a budget is a knapsack's,
    /// solved over a grid of costs of `cells` cells, rounded down, so that it is a bound from below.
    pub fn bound(&self, budget: f64, cells: usize) -> f64 {
        let unit = budget / cells as f64;
        let mut best = vec![0.0; cells + 1];
        for i in 0..self.size.len() {
            let mut next = vec![f64::INFINITY; cells + 1];
            for ratio in RATIOS {
                for bits in BITS {
                    let weight = (self.block_bytes(i, ratio, bits) / unit) as usize;
                    for room in weight..=cells {
                        next[room] = f64::min(next[room], best[room - weight] + self.harm((i, ratio, bits)));
                    }
                }
            }
            best = next;
        }
        let sum = best[cells];
        DENSE + sum + self.interaction * sum * sum
    }

    fn block_bytes(&self, i: usize, ratio: f64, bits: f64) -> f64 {
        (self.size[i] * (1.0 - ratio) * (bits + 0.5) / 8.0).ceil()
    }
}

impl Objective for Synthetic {
    fn name(&self) -> &str {
        "compress-synthetic"
    }
    fn version(&self) -> &str {
        &self.version
    }
    fn space(&self) -> &SearchSpace {
        &self.space
    }
    fn fidelities(&self) -> &[String] {
        &self.fidelities
    }
    fn cost(&self, config: &[u16]) -> f64 {
        self.parts(config).map(|(i, ratio, bits)| self.block_bytes(i, ratio, bits)).sum()
    }
    fn feature_names(&self) -> &[String] {
        &self.features
    }
    fn features(&self, config: &[u16], out: &mut [f32]) {
        let mut total = 0.0;
        for (i, ratio, bits) in self.parts(config) {
            let kept = self.worth[i] * (1.0 - ratio) * (1.0 - 4f64.powf(1.0 - bits));
            total += kept;
            let depth = i as f64 / self.worth.len() as f64;
            out[3 * i..3 * i + 3].copy_from_slice(&[(self.worth[i] * (1.0 - ratio)) as f32, kept as f32, depth as f32]);
        }
        out[3 * self.worth.len()] = total as f32;
    }
    fn guess(&self, config: &[u16]) -> f64 {
        self.parts(config).map(|p| self.harm(p)).sum()
    }
    fn evaluate(&mut self, config: &[u16], _: u32, _: u64, _: &dyn Fn() -> bool) -> Result<Measure> {
        let metrics = [("dense_loss".to_owned(), DENSE)].into();
        Ok(Measure { loss: self.loss(config), metrics })
    }
}

fn open(config: &Config, stop: fn() -> bool) -> (SharedObjective, ObjectiveConfig) {
    let objective = Measured::new(Synthetic::new(config), None).with_stop(stop);
    let terms = terms(config, &objective);
    (objective.erased(), terms)
}

fn terms(config: &Config, objective: &Measured<Synthetic>) -> ObjectiveConfig {
    let (least, most) = (objective.cheapest().1, objective.costliest().1);
    let at = |share: f64| least + share * (most - least);
    ObjectiveConfig {
        name: objective.name().into(),
        unit: CostUnit::Bytes,
        budgets: (at(config.budget_low), at(config.budget_high)),
        least,
        fidelity: 0,
        seed: 0,
        reference: 2.0,
        surrogate: config.surrogate,
        guesses: 0,
        recall: false,
        warm_up: config.warm_up,
        imagined: config.imagined,
        evaluations: config.evaluations,
    }
}

/// Adds the world.
pub fn register(registry: &mut rlx::Registry, stop: fn() -> bool) {
    registry.world_with(
        "compress-synthetic",
        "a model of a model to compress block by block: the best configuration is known",
        move |config: &Config| {
            let (shared, terms) = open(config, stop);
            World::new(shared, terms, None)
        },
        move |config: &Config, n, seed| {
            let (shared, terms) = open(config, stop);
            Ok(Box::new(SurrogateVector::new(&shared, &terms, n, seed)?))
        },
    );
}

#[cfg(test)]
mod tests;
