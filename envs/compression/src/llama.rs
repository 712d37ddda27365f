//! A LLaMA compressed block by block: pruning ratio, bits and adapter rank under a byte budget, judged by what it then makes of held-out
//! text.
use crate::{
    CostUnit, ObjectiveConfig, SurrogateVector, World,
    compressible::{BlockChoice, BlockFacts, CompressibleModel},
    opened::{Opened, hashed, ledger_folder},
};
use rlx::{
    Error, Measure, Measured, Objective, Result, SearchSpace,
    objective::{Dimension, LedgerDir, SharedObjective, Tell},
};
use std::{
    cell::OnceCell,
    path::{Path, PathBuf},
};

mod config;
mod model;

pub use config::{Config, Decision};
pub use model::LlamaModel;

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
    model: Box<dyn CompressibleModel>,
    name: String,
    version: String,
    space: SearchSpace,
    parts: Vec<Part>,
    config: Config,
    fidelities: Vec<String>,
    features: Vec<String>,
    facts: OnceCell<std::result::Result<Vec<BlockFacts>, String>>,
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

/// Whether a fidelity has adapters to tune.
fn check_adapters(config: &Config, fidelity: u32) -> Result<()> {
    if fidelity > 0 && !config.decide.contains(&Decision::Rank) && config.rank == 0 {
        return Err(Error::invalid(format!(
            "fidelity = {fidelity}: only adapters are tuned, and there are none: let ranks be decided, or set rank"
        )));
    }
    Ok(())
}

impl Llama {
    /// The objective over a model. What calibration finds is kept in `cache`, where one is given.
    ///
    /// # Errors
    /// When choices are out of order, or nothing is decided.
    pub fn new(model: Box<dyn CompressibleModel>, config: &Config, cache: Option<PathBuf>) -> Result<Self> {
        let decided = |d: Decision| config.decide.contains(&d);
        ascending(&config.ratios, "ratios", decided(Decision::Ratio))?;
        ascending(&config.bits, "bits", decided(Decision::Bits))?;
        ascending(&config.ranks, "ranks", decided(Decision::Rank))?;
        ascending(&config.embedding_bits, "embedding_bits", decided(Decision::Embedding))?;
        check_adapters(config, config.fidelity)?;
        let numbers = |list: &[u32]| list.iter().map(|b| f64::from(*b)).collect::<Vec<_>>();
        let (mut dimensions, mut parts) = (Vec::new(), Vec::new());
        // The embedding first: what is left for the blocks depends on it.
        if decided(Decision::Embedding) {
            dimensions.push(Dimension::ordinal("embedding bits", &numbers(&config.embedding_bits)));
            parts.push(Part::Embedding);
        }
        for block in 0..model.blocks() {
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
        let mut features: Vec<String> = (0..model.blocks()).flat_map(each).collect();
        features.extend(["importance", "sensitivity", "mutual information"].map(String::from));
        // What a measure depends on beside the levels' numbers: the model and text (the model's), what the levels stand for, what is fixed.
        let fixed = (config.ratio, config.fixed_bits, config.rank, config.fixed_embedding_bits);
        let levels = (&config.ratios, &config.bits, &config.ranks, &config.embedding_bits);
        let mut version = format!("{} {:?} {levels:?} {fixed:?}", model.version(), config.decide);
        if !decided(Decision::Ratio) && config.protect != [0, 0] {
            version += &format!(" protected {:?}", config.protect);
        }
        Ok(Self {
            name: format!("compress-llama {}", config.model),
            version,
            space: SearchSpace::new(dimensions)?,
            parts,
            config: config.clone(),
            fidelities: model.fidelities(),
            features,
            facts: OnceCell::new(),
            cache,
            tell: Tell::default(),
            stop: || false,
            model,
        })
    }

    /// What a configuration says of each block, and the embedding's bits.
    pub fn choices(&self, config: &[u16]) -> (Vec<BlockChoice>, u32) {
        let c = &self.config;
        let (count, [first, last]) = (self.model.blocks(), c.protect);
        let base = |b: usize| {
            let ratio = if b < first || b + last >= count { 0.0 } else { c.ratio };
            BlockChoice { ratio, bits: c.fixed_bits, rank: c.rank }
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
    pub fn model(&mut self) -> &mut dyn CompressibleModel {
        &mut *self.model
    }

    /// What calibration finds, or why it failed. That it was interrupted is not kept: the next who asks begins again.
    fn facts(&self) -> Result<&[BlockFacts]> {
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
    fn calibrated(&self) -> Result<Vec<BlockFacts>> {
        let path = self.cache.as_ref().map(|f| f.join(format!("calibration-{}.json", hashed(self.model.version()))));
        let known = path.as_ref().and_then(|p| std::fs::read(p).ok());
        let known = known.and_then(|bytes| serde_json::from_slice::<Vec<BlockFacts>>(&bytes).ok());
        if let Some(facts) = known.filter(|f| f.len() == self.model.blocks()) {
            return Ok(facts);
        }
        self.tell.say(&format!(
            "calibrating {}: importance, sensitivity and mutual information of its blocks; once for a model and a text",
            self.config.model
        ));
        let facts = self.model.calibrate(&self.tell)?;
        if let Some(path) = path {
            // Without it the next start calibrates again, nothing else.
            let _ = serde_json::to_vec_pretty(&facts).map(|bytes| std::fs::write(path, bytes));
        }
        Ok(facts)
    }

    /// Harm of a choice by the calibration: second-order terms of what is cut and of the rounding, the latter less what adapters of that
    /// rank take back (the share of the rank in the width, at most half).
    fn harm(facts: &BlockFacts, choice: &BlockChoice) -> f64 {
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
        let sum: u64 = blocks.iter().enumerate().map(|(b, c)| self.model.block_bytes(b, c)).sum();
        (sum + self.model.rest_bytes(embedding)) as f64
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
        let dense = self.model.dense_loss(stop)?;
        let loss = self.model.loss(&choices, embedding, fidelity, seed, stop)?;
        Ok(Measure { loss, metrics: [("dense_loss".to_owned(), dense)].into() })
    }
}

/// The budgets of a config, in bytes.
fn budgets(config: &Config, objective: &Measured<Llama>) -> (f64, f64) {
    let (least, most) = (objective.cheapest().1, objective.costliest().1);
    let or_share = |mb: f64, share: f64| if mb > 0.0 { mb * 1e6 } else { least + share * (most - least) };
    (or_share(config.budget_low, 0.1), or_share(config.budget_high, 0.7))
}

/// A model's name as a part of a folder's.
fn folder_name(model: &str) -> String {
    model.chars().map(|c| if c.is_ascii_alphanumeric() || c == '-' { c } else { '_' }).collect()
}

fn opened(config: &Config, stop: fn() -> bool) -> Result<(Measured<Llama>, ObjectiveConfig)> {
    static OPEN: Opened<Llama> = Opened::new();
    OPEN.get(config, || {
        let bare = Llama::new(Box::new(LlamaModel::open(config, stop)?), config, None)?;
        let folder = ledger_folder(&config.ledger, &folder_name(&config.model), &bare.version);
        let ledgers = LedgerDir::new(&folder);
        // Calibration is the model's and the text's, whatever is decided; a folder of one's own keeps all to itself.
        let cache = if config.ledger.is_empty() { folder.parent().map(PathBuf::from) } else { Some(folder) };
        let objective = Measured::new(Llama { cache, stop, ..bare }, Some(ledgers)).with_stop(stop);
        let terms = ObjectiveConfig {
            name: "compress-llama".into(),
            unit: CostUnit::Bytes,
            budgets: budgets(config, &objective),
            least: objective.cheapest().1,
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
        Ok((objective, terms))
    })
}

/// The shared objective of a config and what a run asks of it. Equal configs of one process share one model.
///
/// # Errors
/// When the model is not there or not sound, or the choices are out of order.
pub fn open(config: &Config, stop: fn() -> bool) -> Result<(SharedObjective, ObjectiveConfig)> {
    let (objective, terms) = opened(config, stop)?;
    Ok((objective.erased(), terms))
}

/// Writes the model that a configuration makes into a new folder, after the recovery of `fidelity`; the model is opened and scored only
/// where this process has not done so for the same config. Bytes of its weights' file, and its loss.
///
/// # Errors
/// When the model is not to be had, the configuration is not of its space, or the folder is there already.
pub fn write(config: &Config, levels: &[u16], fidelity: u32, to: &Path, stop: fn() -> bool) -> Result<(u64, f64)> {
    check_adapters(config, fidelity)?;
    let (objective, _) = opened(config, stop)?;
    objective.space().check(levels)?;
    objective.with(|llama| {
        let (blocks, embedding) = llama.choices(levels);
        llama.model.save(&blocks, embedding, (fidelity, config.measure_seed), to, &stop)
    })
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
