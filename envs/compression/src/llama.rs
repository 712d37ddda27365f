//! A LLaMA compressed block by block: pruning ratio, bits and adapter rank under a byte budget, judged by what it then makes of held-out
//! text.
use crate::{
    SurrogateVector, World,
    handle::Shared,
    shelf::Shelf,
    subject::{Choice, Facts, Subject},
    world::{Terms, Unit},
};
use rlx::{
    Error, Measure, Objective, Result, SearchSpace,
    objective::{Dimension, Tell, cheapest, costliest},
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::{cell::OnceCell, path::PathBuf};

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
    /// The text that adapters are tuned on: a file; empty for what the dense model itself says (LLM-QAT, arXiv 2305.17888), made once and
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
    /// The loss above the dense model's, in nats a token, that counts as broken.
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

/// Where a dimension's choice goes.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Part {
    Ratio(usize),
    Bits(usize),
    Rank(usize),
    Embedding,
}

/// The objective: mean negative log-likelihood of held-out tokens, in nats, and the bytes of what is stored.
pub struct Llama {
    subject: Box<dyn Subject>,
    name: String,
    version: String,
    space: SearchSpace,
    parts: Vec<Part>,
    config: Config,
    fidelities: Vec<String>,
    features: Vec<String>,
    facts: OnceCell<std::result::Result<Vec<Facts>, String>>,
    cache: Option<PathBuf>,
    tell: Tell,
    stop: fn() -> bool,
}

fn ascending<T: PartialOrd + Copy>(list: &[T], name: &str, decided: bool) -> Result<()> {
    if decided && (list.is_empty() || !list.is_sorted_by(|a, b| a < b)) {
        return Err(Error::invalid(format!("{name}: they must be at least one, ascending")));
    }
    Ok(())
}

impl Llama {
    /// The objective over a model. What calibration finds is kept in `cache`, where one is given.
    ///
    /// # Errors
    /// When choices are out of order, or nothing is decided.
    pub fn new(subject: Box<dyn Subject>, config: &Config, cache: Option<PathBuf>) -> Result<Self> {
        let decided = |d: Decision| config.decide.contains(&d);
        ascending(&config.ratios, "ratios", decided(Decision::Ratio))?;
        ascending(&config.bits, "bits", decided(Decision::Bits))?;
        ascending(&config.ranks, "ranks", decided(Decision::Rank))?;
        ascending(&config.embedding_bits, "embedding_bits", decided(Decision::Embedding))?;
        if config.fidelity > 0 && !decided(Decision::Rank) && config.rank == 0 {
            return Err(Error::invalid(format!(
                "fidelity = {}: only adapters are tuned, and there are none: let ranks be decided, or set rank",
                config.fidelity
            )));
        }
        let numbers = |list: &[u32]| list.iter().map(|b| f64::from(*b)).collect::<Vec<_>>();
        let (mut dimensions, mut parts) = (Vec::new(), Vec::new());
        // The embedding first: what is left for the blocks depends on it.
        if decided(Decision::Embedding) {
            dimensions.push(Dimension::ordinal("embedding bits", &numbers(&config.embedding_bits)));
            parts.push(Part::Embedding);
        }
        for block in 0..subject.blocks() {
            let mut add = |kind: &str, levels: &[f64], part| {
                dimensions.push(Dimension::ordinal(format!("block {block} {kind}"), levels));
                parts.push(part);
            };
            if decided(Decision::Ratio) {
                add("ratio", &config.ratios, Part::Ratio(block));
            }
            if decided(Decision::Bits) {
                add("bits", &numbers(&config.bits), Part::Bits(block));
            }
            if decided(Decision::Rank) {
                let ranks: Vec<f64> = config.ranks.iter().map(|r| *r as f64).collect();
                add("rank", &ranks, Part::Rank(block));
            }
        }
        if dimensions.is_empty() {
            return Err(Error::invalid("decide = []: at least one of ratio, bits, rank and embedding must be decided"));
        }
        let each =
            |b: usize| ["importance", "sensitivity", "mutual information", "depth"].map(|k| format!("block {b} {k}"));
        let mut features: Vec<String> = (0..subject.blocks()).flat_map(each).collect();
        features.extend(["importance", "sensitivity", "mutual information"].map(String::from));
        // What a measure depends on beside the levels' numbers: the model and text (the subject's), what the levels stand for, what is fixed.
        let fixed = (config.ratio, config.fixed_bits, config.rank, config.fixed_embedding_bits);
        let levels = (&config.ratios, &config.bits, &config.ranks, &config.embedding_bits);
        let mut version = format!("{} {:?} {levels:?} {fixed:?}", subject.version(), config.decide);
        if !decided(Decision::Ratio) && config.protect != [0, 0] {
            version += &format!(" protected {:?}", config.protect);
        }
        Ok(Self {
            name: format!("compress-llama {}", config.model),
            version,
            space: SearchSpace::new(dimensions)?,
            parts,
            config: config.clone(),
            fidelities: subject.fidelities(),
            features,
            facts: OnceCell::new(),
            cache,
            tell: Tell::default(),
            stop: || false,
            subject,
        })
    }

    /// What a configuration says of each block, and the embedding's bits.
    pub fn choices(&self, config: &[u16]) -> (Vec<Choice>, u32) {
        let c = &self.config;
        let (count, [first, last]) = (self.subject.blocks(), c.protect);
        let base = |b: usize| {
            let ratio = if b < first || b + last >= count { 0.0 } else { c.ratio };
            Choice { ratio, bits: c.fixed_bits, rank: c.rank }
        };
        let (mut out, mut embedding) = ((0..count).map(base).collect::<Vec<_>>(), c.fixed_embedding_bits);
        for (part, level) in self.parts.iter().zip(config) {
            let level = usize::from(*level);
            match *part {
                Part::Ratio(b) => out[b].ratio = c.ratios[level],
                Part::Bits(b) => out[b].bits = c.bits[level],
                Part::Rank(b) => out[b].rank = c.ranks[level],
                Part::Embedding => embedding = c.embedding_bits[level],
            }
        }
        (out, embedding)
    }

    /// The model, to save what was chosen.
    pub fn subject(&mut self) -> &mut dyn Subject {
        &mut *self.subject
    }

    /// What calibration finds, or why it failed. That it was interrupted is not kept: the next who asks begins again.
    fn facts(&self) -> Result<&[Facts]> {
        if self.facts.get().is_none() {
            // Who only guesses asks again and again.
            if (self.stop)() {
                return Err(Error::Interrupted);
            }
            let found = match self.calibrated() {
                Err(Error::Interrupted) => return Err(Error::Interrupted),
                other => other.map_err(|e| e.to_string()),
            };
            let _ = self.facts.set(found);
        }
        match self.facts.get() {
            Some(Ok(facts)) => Ok(facts),
            Some(Err(why)) => Err(Error::invalid(format!("calibrating {}: {why}", self.config.model))),
            None => Err(Error::Interrupted),
        }
    }

    /// What the cache holds of the model and text, or a calibration.
    fn calibrated(&self) -> Result<Vec<Facts>> {
        let path =
            self.cache.as_ref().map(|f| f.join(format!("calibration-{:016x}.json", hashed(self.subject.version()))));
        let known = path.as_ref().and_then(|p| std::fs::read(p).ok());
        let known = known.and_then(|bytes| serde_json::from_slice::<Vec<Facts>>(&bytes).ok());
        if let Some(facts) = known.filter(|f| f.len() == self.subject.blocks()) {
            return Ok(facts);
        }
        self.tell.say(&format!(
            "calibrating {}: importance, sensitivity and mutual information of its blocks; once for a model and a text",
            self.config.model
        ));
        let facts = self.subject.calibrate(&self.tell)?;
        if let Some(path) = path {
            // Without it the next start calibrates again, nothing else.
            let _ = serde_json::to_vec_pretty(&facts).map(|bytes| std::fs::write(path, bytes));
        }
        Ok(facts)
    }

    /// Harm of a choice by the calibration: second-order terms of what is cut and of the rounding, the latter less what adapters of that
    /// rank take back (the share of the rank in the width, at most half).
    fn harm(facts: &Facts, choice: &Choice) -> f64 {
        let kept = 1.0 - choice.ratio;
        let back = 1.0 - 0.5 * (choice.rank as f64 / (choice.rank as f64 + 32.0));
        facts.prune_harm(choice.ratio) + back * kept * facts.quantise_harm(choice.bits)
    }
}

impl Objective for Llama {
    fn name(&self) -> &str {
        &self.name
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
        let (blocks, embedding) = self.choices(config);
        let sum: u64 = blocks.iter().enumerate().map(|(b, c)| self.subject.block_bytes(b, c)).sum();
        (sum + self.subject.rest_bytes(embedding)) as f64
    }
    fn feature_names(&self) -> &[String] {
        &self.features
    }
    fn features(&self, config: &[u16], out: &mut [f32]) {
        out.fill(0.0);
        // Where calibration failed, measuring says why.
        let Ok(facts) = self.facts() else { return };
        let (choices, _) = self.choices(config);
        let n = choices.len();
        let mut sums = [0.0; 3];
        for (b, (choice, facts)) in choices.iter().zip(facts).enumerate() {
            let kept = 1.0 - choice.ratio;
            let precision = 1.0 - 4f64.powf(1.0 - f64::from(choice.bits));
            let own = [facts.importance * kept, Self::harm(facts, choice), facts.mutual_information * kept * precision];
            for (k, x) in own.into_iter().enumerate() {
                out[4 * b + k] = x as f32;
                sums[k] += x;
            }
            out[4 * b + 3] = b as f32 / n as f32;
        }
        out[4 * n..].iter_mut().zip(sums).for_each(|(o, s)| *o = s as f32);
    }
    fn guess(&self, config: &[u16]) -> f64 {
        let (choices, embedding) = self.choices(config);
        let noise = 4f64.powf(2.0 - f64::from(embedding));
        match self.facts() {
            Ok(facts) => choices.iter().zip(facts).map(|(c, f)| Self::harm(f, c)).sum::<f64>() + noise,
            Err(_) => noise,
        }
    }
    fn listen(&mut self, tell: Tell) {
        self.tell = tell;
    }
    fn evaluate(&mut self, config: &[u16], fidelity: u32, seed: u64, stop: &dyn Fn() -> bool) -> Result<Measure> {
        self.space.check(config)?;
        self.facts()?;
        let (choices, embedding) = self.choices(config);
        let dense = self.subject.dense_loss(stop)?;
        let loss = self.subject.loss(&choices, embedding, fidelity, seed, stop)?;
        Ok(Measure { loss, metrics: [("dense_loss".to_owned(), dense)].into() })
    }
}

fn hashed(text: &str) -> u64 {
    use std::hash::{Hash, Hasher};
    let mut hash = std::hash::DefaultHasher::new();
    text.hash(&mut hash);
    hash.finish()
}

fn ledger_folder(config: &Config, objective: &dyn Objective) -> PathBuf {
    let name: String =
        config.model.chars().map(|c| if c.is_ascii_alphanumeric() || c == '-' { c } else { '_' }).collect();
    if !config.ledger.is_empty() {
        return PathBuf::from(&config.ledger);
    }
    // One folder an objective; the ledger's keys have the whole version, so that a collision mixes files, not measures.
    rlx_lm::data::catalogue::cache().join("ledgers").join(format!("{name}-{:016x}", hashed(objective.version())))
}

/// The budgets of a config, in bytes.
fn budgets(config: &Config, objective: &dyn Objective) -> (f64, f64, f64) {
    let cost = |c: &[u16]| objective.cost(c);
    let (least, most) = (cost(&cheapest(objective)), cost(&costliest(objective)));
    let by_itself = |mb: f64, share: f64| if mb > 0.0 { mb * 1e6 } else { least + share * (most - least) };
    (by_itself(config.budget_low, 0.1), by_itself(config.budget_high, 0.7), least)
}

/// The shared objective of a config and what a run asks of it. Equal configs of one process share one model.
///
/// # Errors
/// When the model is not there or not sound, or the choices are out of order.
pub fn open(config: &Config, stop: fn() -> bool) -> Result<(Shared, Terms)> {
    use std::{
        collections::HashMap,
        sync::{LazyLock, Mutex, PoisonError},
    };
    // Models are large, and a run asks for several batches of worlds over one: each is opened once.
    static OPEN: LazyLock<Mutex<HashMap<String, (Shared, Terms)>>> = LazyLock::new(Mutex::default);
    let key = serde_json::to_string(config).map_err(|e| Error::invalid(e.to_string()))?;
    let mut open = OPEN.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some((shared, terms)) = open.get(&key) {
        return Ok((shared.clone(), terms.clone()));
    }
    let subject = crate::checkpointed::open(config, stop)?;
    let bare = Llama::new(subject, config, None)?;
    let folder = ledger_folder(config, &bare);
    let shelf = Shelf::new(&folder);
    // Calibration is the model's and the text's, whatever is decided; a folder of one's own keeps all to itself.
    let shared_by = if config.ledger.is_empty() { folder.parent().map(PathBuf::from) } else { Some(folder) };
    let objective = Llama { cache: shared_by, stop, ..bare };
    let (low, high, least) = budgets(config, &objective);
    let terms = Terms {
        name: "compress-llama".into(),
        unit: Unit::Bytes,
        budgets: (low, high),
        least,
        fidelity: config.fidelity,
        seed: config.measure_seed,
        reference: config.reference,
        surrogate: config.surrogate,
        guesses: config.guesses,
        recall: config.recall,
        warm_up: config.warm_up,
        imagined: config.imagined,
        evaluations: config.evaluations,
    };
    let shared = Shared::new(Box::new(objective), Some(shelf), stop);
    open.insert(key, (shared.clone(), terms.clone()));
    Ok((shared, terms))
}

/// Writes the model that a configuration makes into a new folder, after the recovery of the config's fidelity. Bytes of its weights' file, and
/// its loss.
///
/// # Errors
/// When the model is not to be had, the configuration is not of its space, or the folder is there already.
pub fn write(config: &Config, levels: &[u16], to: &std::path::Path, stop: fn() -> bool) -> Result<(u64, f64)> {
    let mut llama = Llama::new(crate::checkpointed::open(config, stop)?, config, None)?;
    llama.space.check(levels)?;
    let (blocks, embedding) = llama.choices(levels);
    llama.subject.save(&blocks, embedding, (config.fidelity, config.measure_seed), to, &stop)
}

/// Adds the world.
pub fn register(registry: &mut rlx::Registry, stop: fn() -> bool) {
    registry.world_with(
        "compress-llama",
        "prune, quantise and adapt a LLaMA block by block under a byte budget",
        move |config: &Config| {
            let (shared, terms) = open(config, stop)?;
            World::new(shared, terms, None)
        },
        move |config: &Config, n, seed| {
            let (shared, terms) = open(config, stop)?;
            Ok(Box::new(SurrogateVector::new(&shared, &terms, n, seed)?))
        },
    );
}

#[cfg(test)]
mod tests;
