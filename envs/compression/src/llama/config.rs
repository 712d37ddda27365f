//! The keys of compress-llama.
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What is decided.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Decision {
    /// The share of a block's heads and channels that is cut away.
    Ratio,
    /// Bits of a block's weights.
    Bits,
    /// Rank of the adapters of a block's projections.
    Rank,
    /// Bits of the embedding, which is most of a small model.
    Embedding,
}

/// Settings of the world.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// The model: the name of a fetched one, a GGUF file, a folder with config.json, safetensors and tokenizer.json, or `tiny`: a small
    /// random one.
    pub model: String,
    /// A text file: its first tokens are for calibration, measurements are made on those after them; empty for the text that comes with
    /// the program.
    pub text: String,
    /// Tokens that a measurement is over, at most: as many as the text has.
    #[schemars(range(min = 64, max = 1_000_000))]
    pub tokens: usize,
    /// What is decided for each block; what is not has the value that is set for it below.
    pub decide: Vec<Decision>,
    /// Pruning ratios to choose from.
    #[schemars(inner(range(min = 0.0, max = 0.95)))]
    pub ratios: Vec<f64>,
    /// Bits to choose from.
    #[schemars(inner(range(min = 2, max = 16)))]
    pub bits: Vec<u32>,
    /// Adapter ranks to choose from.
    #[schemars(inner(range(min = 0, max = 256)))]
    pub ranks: Vec<usize>,
    /// Bits of the embedding to choose from.
    #[schemars(inner(range(min = 2, max = 16)))]
    pub embedding_bits: Vec<u32>,
    /// Whether the ranges of quantised groups are fitted by least squares; without it a block is rounded six times as fast, and worse.
    pub clipped: bool,
    /// The pruning ratio where it is not decided.
    #[schemars(range(min = 0.0, max = 0.95))]
    pub ratio: f64,
    /// How many of the first and of the last blocks are not pruned, where the ratio is not decided (LLM-Pruner leaves 4 and 2).
    pub protect: [usize; 2],
    /// The bits where they are not decided.
    #[schemars(range(min = 2, max = 16))]
    pub fixed_bits: u32,
    /// The adapter rank where it is not decided.
    #[schemars(range(min = 0, max = 256))]
    pub rank: usize,
    /// The embedding's bits where they are not decided.
    #[schemars(range(min = 2, max = 16))]
    pub fixed_embedding_bits: u32,
    /// The lowest budget in MB (1e6 bytes); 0 for a tenth of the way from the smallest model to the largest.
    #[schemars(range(min = 0.0))]
    pub budget_low: f64,
    /// The highest budget in MB; 0 for seven tenths of the way.
    #[schemars(range(min = 0.0))]
    pub budget_high: f64,
    /// How episodes are measured: 0 without tuning, 1 after a few steps of the adapters, 2 after a full recovery.
    #[schemars(range(min = 0, max = 2))]
    pub fidelity: u32,
    /// Seed of what chance there is in a recovery.
    pub measure_seed: u64,
    /// The text that adapters are tuned on: a file; empty for what the full-precision model itself says (LLM-QAT, arXiv 2305.17888), made once and
    /// kept in the cache.
    pub recover_text: String,
    /// Steps of a short recovery, which is fidelity 1.
    #[schemars(range(min = 1, max = 1_000_000))]
    pub recover_few: u64,
    /// Steps of a full recovery, which is fidelity 2.
    #[schemars(range(min = 1, max = 1_000_000))]
    pub recover_full: u64,
    /// The highest learning rate of a recovery: AdamW, a tenth of the steps to rise, then a cosine.
    #[schemars(range(min = 1e-8, max = 1.0))]
    pub recover_learning_rate: f64,
    /// The loss above the full-precision model's, in nats a token, that counts as broken.
    #[schemars(range(min = 0.01, max = 100.0))]
    pub reference: f64,
    /// Whether policies learn from a surrogate between measurements, once it is better than a constant.
    pub surrogate: bool,
    /// Configurations measured before all others, where there is a surrogate: what the calibration's harms alone say is best under budgets
    /// spread evenly.
    #[schemars(range(min = 0, max = 1000))]
    pub guesses: u32,
    /// Whether the surrogate also learns from what the ledger holds of earlier runs, as it is when this one starts: sooner better, and no
    /// longer comparable by numbers of measurements.
    pub recall: bool,
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
            model: "smollm2-135m".into(),
            text: String::new(),
            tokens: 2048,
            decide: vec![Decision::Ratio, Decision::Bits, Decision::Rank, Decision::Embedding],
            ratios: vec![0.0, 0.125, 0.25, 0.375, 0.5],
            bits: vec![2, 3, 4],
            ranks: vec![0, 4, 8, 16],
            embedding_bits: vec![3, 4, 8],
            clipped: true,
            ratio: 0.0,
            protect: [0, 0],
            fixed_bits: 4,
            rank: 0,
            fixed_embedding_bits: 8,
            budget_low: 0.0,
            budget_high: 0.0,
            fidelity: 0,
            measure_seed: 0,
            recover_text: String::new(),
            recover_few: 8,
            recover_full: 100,
            recover_learning_rate: 3e-4,
            // An untuned model at half its size loses 3 to 10 nats: less would make all of a random search look alike.
            reference: 8.0,
            surrogate: true,
            guesses: 8,
            recall: false,
            warm_up: 40,
            imagined: 63,
            evaluations: 0,
            ledger: String::new(),
        }
    }
}
