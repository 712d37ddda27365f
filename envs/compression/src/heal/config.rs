//! The keys of heal-bert.
use rlx_lm::bert::HealingConfig;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Settings of the world.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// The keys that it shares with `rlx heal`.
    #[serde(flatten)]
    pub healing: HealingConfig,
    /// Seed of the corruption: all runs have the same broken model. A run's own seed draws its training texts, their order, the head's
    /// start and dropout.
    pub corrupt_seed: u64,
    /// What a layer is chosen from, in rising number of parameters: frozen, tuned, and lora:R for adapters of rank R on its six projections
    /// (query, key, value, output, up, down).
    pub levels: Vec<String>,
    /// Whether tuning the embeddings is a choice too; without it they are frozen.
    pub embeddings: bool,
    /// What an adapter adds is scaled by this over its rank.
    #[schemars(range(min = 0.001, max = 10_000.0))]
    pub lora_alpha: f64,
    /// The learning rate of adapters, as a multiple of the others'.
    #[schemars(range(min = 0.001, max = 1000.0))]
    pub lora_rate: f64,
    /// The lowest budget of parameters that learn, the head's among them: at most 1 a share of what learns when all that can does, above 1 a
    /// count.
    #[schemars(range(min = 0.0))]
    pub budget_low: f64,
    /// The highest budget.
    #[schemars(range(min = 0.0))]
    pub budget_high: f64,
    /// Steps of each fidelity, the cheapest first.
    #[schemars(inner(range(min = 1, max = 1_000_000)))]
    pub heal_steps: Vec<u64>,
    /// Training texts of each fidelity; 0 for all.
    pub train: Vec<usize>,
    /// The fidelity that episodes are measured at, by its number.
    #[schemars(range(min = 0, max = 100))]
    pub fidelity: u32,
    /// The loss above that of the intact model tuned whole, in nats a text, that counts as broken.
    #[schemars(range(min = 0.01, max = 100.0))]
    pub reference: f64,
    /// Whether policies learn from a surrogate between measurements, once it is better than a constant.
    pub surrogate: bool,
    /// Measurements before the surrogate is fitted.
    #[schemars(range(min = 10, max = 100_000))]
    pub warm_up: usize,
    /// Episodes by the surrogate for each measurement, which is of the most promising of them.
    #[schemars(range(min = 0, max = 1_000_000))]
    pub imagined: u32,
    /// Measurements after which only the surrogate is asked; 0 for no end.
    pub evaluations: u64,
    /// The folder of the ledgers, where what was ever measured is kept; empty for one in the user's cache.
    pub ledger: String,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            // Shorter texts and a higher rate than the command's: a search asks for hundreds of healings.
            healing: HealingConfig {
                data: "bbc-titles".into(),
                corrupt: "bottom:2".into(),
                validation: 200,
                test: 300,
                validation_share: 0.2,
                test_share: 0.2,
                max_tokens: 32,
                batch: 16,
                learning_rate: 3e-4,
                ..HealingConfig::default()
            },
            corrupt_seed: 0,
            levels: vec!["frozen".into(), "tuned".into()],
            embeddings: false,
            lora_alpha: 16.0,
            lora_rate: 5.0,
            // Two of six layers and the head.
            budget_low: 0.34,
            budget_high: 0.34,
            heal_steps: vec![48, 240],
            train: vec![512, 0],
            fidelity: 0,
            reference: 2.0,
            surrogate: true,
            warm_up: 16,
            imagined: 15,
            evaluations: 0,
            ledger: String::new(),
        }
    }
}
