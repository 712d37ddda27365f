//! A corrupted BERT healed layer by layer: which layers learn, whole or by adapters of which rank, under a budget of parameters, judged by
//! what the fine-tuned model then makes of validation texts.
use crate::{SurrogateVector, Unit, World, handle::Shared, shelf::Shelf, world::Terms};
use rlx::{
    Error, Measure, Objective, Result, SearchSpace,
    objective::{Dimension, Tell, cheapest, costliest},
};
use rlx_lm::bert::{
    Damage, Part, Pooling, Scope,
    scope::{Learns, of_layer},
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::{cell::OnceCell, path::PathBuf};

mod patient;
mod tiny;

pub use patient::{Healed, Patient, Signs};

/// Settings of the world.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// The model: a fetched one (`rlx list models`), the folder of one's own, or `tiny`: a small one with a made-up task.
    pub model: String,
    /// The data: rotten-tomatoes, imdb, bbc, bbc-titles, spam, or the path of a table (.csv, .tsv, .jsonl); `tiny` has its own.
    pub data: String,
    /// Column with the texts, for a table of your own.
    pub text: String,
    /// Column with the labels, for a table of your own.
    pub label: String,
    /// Which layers are corrupted: none, all, embeddings, bottom:2, top:2, middle:2, scattered:2, layer:3, layers:0,3; joined by +.
    pub corrupt: String,
    /// What is done to them; kaiming is as published: LayerNorm weights 1, other weights Kaiming-uniform, biases 0.
    pub how: Damage,
    /// How much of it: the share that becomes zero or is permuted, the rate of bit flips, or noise in root mean squares; kaiming has none.
    #[schemars(range(min = 0.0))]
    pub amount: f64,
    /// Which parameters of the layers.
    pub part: Part,
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
    /// Validation texts, which losses are measured on; 0 for all.
    pub validation: usize,
    /// Test texts, which nothing is chosen by; 0 for all.
    pub test: usize,
    /// Share of the texts that are for validation.
    #[schemars(range(min = 0.01, max = 0.3))]
    pub validation_share: f64,
    /// Share of the texts that are for the test.
    #[schemars(range(min = 0.01, max = 0.3))]
    pub test_share: f64,
    /// Seed of the split into training, validation and test.
    pub data_seed: u64,
    /// Tokens of a text at most; the rest of it is cut.
    #[schemars(range(min = 3))]
    pub max_tokens: usize,
    /// How a text's hidden states become one vector.
    pub pooling: Pooling,
    /// Texts of a step.
    #[schemars(range(min = 1))]
    pub batch: usize,
    /// The highest learning rate (AdamW, a tenth of the steps to rise, then a line to 0).
    #[schemars(range(min = 0.0))]
    pub learning_rate: f64,
    /// Share of hidden states and attention that is dropped out.
    #[schemars(range(min = 0.0, max = 0.9))]
    pub dropout: f64,
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
            model: "minilm-l6".into(),
            data: "bbc-titles".into(),
            text: "text".into(),
            label: "label".into(),
            corrupt: "bottom:2".into(),
            how: Damage::Kaiming,
            amount: 0.1,
            part: Part::All,
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
            validation: 200,
            test: 300,
            validation_share: 0.2,
            test_share: 0.2,
            data_seed: 0,
            max_tokens: 32,
            pooling: Pooling::Mean,
            batch: 16,
            learning_rate: 3e-4,
            dropout: 0.1,
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

/// The objective: mean cross-entropy on validation texts after fine-tuning, and the parameters that learn.
pub struct Heal {
    patient: Patient,
    name: String,
    version: String,
    space: SearchSpace,
    levels: Vec<Learns>,
    config: Config,
    fidelities: Vec<String>,
    features: Vec<String>,
    signs: OnceCell<std::result::Result<Signs, String>>,
}

/// Features of a layer.
const OF_LAYER: [&str; 4] = ["depth", "deviation", "gradient", "parameters"];

impl Heal {
    /// The objective over a broken model.
    ///
    /// # Errors
    /// Naming the key, the layer or the level that is not as it must be.
    pub fn new(patient: Patient, config: &Config) -> Result<Self> {
        let named = |e: Error| Error::invalid(format!("levels: {e}"));
        let levels = config.levels.iter().map(|l| l.parse()).collect::<Result<Vec<Learns>>>().map_err(named)?;
        if levels.len() < 2 {
            return Err(Error::invalid("levels: there must be two or more to choose from, as frozen,tuned"));
        }
        for pair in levels.windows(2) {
            let sizes = [0, 1].map(|i| of_layer(patient.shape(), pair[i]));
            if sizes[0] >= sizes[1] {
                return Err(Error::invalid(format!(
                    "levels: '{}' ({} parameters a layer) is before '{}' ({}); they must be in rising number",
                    pair[0], sizes[0], pair[1], sizes[1]
                )));
            }
        }
        let names: Vec<&str> = config.levels.iter().map(|l| l.trim()).collect();
        let layers = patient.shape().layers;
        // The embeddings first: what is left for the layers depends on them.
        let mut dimensions = Vec::new();
        if config.embeddings {
            dimensions.push(Dimension::categorical("embeddings tune", &["frozen", "tuned"]));
        }
        dimensions.extend((0..layers).map(|i| Dimension::categorical(format!("block {i} tune"), &names)));
        let mut features: Vec<String> = (0..layers).flat_map(|i| OF_LAYER.map(|k| format!("block {i} {k}"))).collect();
        features.extend(["deviation", "gradient"].map(String::from));
        let objective = Self {
            name: format!("heal-bert {}", config.model),
            version: format!("{} {:?} embeddings {}", patient.version(), names, config.embeddings),
            space: SearchSpace::new(dimensions)?,
            levels,
            fidelities: patient.fidelities(),
            features,
            signs: OnceCell::new(),
            config: config.clone(),
            patient,
        };
        objective
            .scope(&vec![(objective.levels.len() - 1) as u16; layers + usize::from(config.embeddings)])
            .check(objective.patient.shape())
            .map_err(named)?;
        Ok(objective)
    }

    /// What a configuration lets learn.
    pub fn scope(&self, config: &[u16]) -> Scope {
        let (embeddings, layers) = config.split_at(usize::from(self.config.embeddings));
        Scope {
            embeddings: embeddings.first().is_some_and(|l| *l > 0),
            layers: layers.iter().map(|l| self.levels[usize::from(*l)]).collect(),
            alpha: self.config.lora_alpha,
            rate: self.config.lora_rate,
        }
    }

    /// The model, to look at what was chosen.
    pub fn patient(&mut self) -> &mut Patient {
        &mut self.patient
    }

    fn signs(&self) -> &std::result::Result<Signs, String> {
        self.signs.get_or_init(|| self.patient.signs().map_err(|e| e.to_string()))
    }
}

/// How much of a layer is reached by what learns of it: an order for repairs, not a forecast.
fn reach(learns: Learns) -> f64 {
    match learns {
        Learns::Frozen => 0.0,
        Learns::Tuned => 1.0,
        Learns::Lora(rank) => rank as f64 / (rank as f64 + 16.0),
    }
}

impl Objective for Heal {
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
        self.patient.parameters(&self.scope(config)) as f64
    }
    fn feature_names(&self) -> &[String] {
        &self.features
    }

    /// Of each layer: its depth, what one sees of it without the intact model ([`Signs`]), and its share of the parameters that learn. Of
    /// the whole: how much of the deviation and of the gradient is in layers that learn.
    fn features(&self, config: &[u16], out: &mut [f32]) {
        out.fill(0.0);
        // Where looking failed, measuring says why.
        let Ok(signs) = self.signs() else { return };
        let (scope, shape) = (self.scope(config), self.patient.shape());
        let n = scope.layers.len();
        let all = self.cost(config).max(1.0);
        for (i, &learns) in scope.layers.iter().enumerate() {
            let own =
                [i as f64 / n as f64, signs.deviation[i], signs.gradient[i], of_layer(shape, learns) as f64 / all];
            out[4 * i..4 * i + 4].iter_mut().zip(own).for_each(|(o, x)| *o = x as f32);
            out[4 * n] += (signs.deviation[i] * reach(learns)) as f32;
            out[4 * n + 1] += (signs.gradient[i] * reach(learns)) as f32;
        }
    }

    fn is_random(&self, _: u32) -> bool {
        true
    }

    /// A run listens once: what became of the rows of its data is said then.
    fn listen(&mut self, tell: Tell) {
        // The tiny model has data of its own.
        let data = if self.config.model == "tiny" { "tiny" } else { &self.config.data };
        tell.say(&format!("{data}: {}", self.patient.account()));
    }

    /// What is frozen loses by the gradient that it does not follow.
    fn guess(&self, config: &[u16]) -> f64 {
        let Ok(signs) = self.signs() else { return 0.0 };
        let scope = self.scope(config);
        let lost = |(i, l): (usize, &Learns)| (1.0 - reach(*l)) * signs.gradient[i];
        let embeddings = if self.config.embeddings && !scope.embeddings { signs.embeddings } else { 0.0 };
        scope.layers.iter().enumerate().map(lost).sum::<f64>() + embeddings
    }

    /// `head`: only the head learns; `all`: all that can; `corrupted`: what was corrupted, at the highest level; and each level of adapters on
    /// all layers.
    fn baselines(&self) -> Vec<(String, Vec<u16>)> {
        let (most, e) = ((self.levels.len() - 1) as u16, usize::from(self.config.embeddings));
        let layers = self.patient.shape().layers;
        let uniform = |embeddings: u16, level: u16| [vec![embeddings; e], vec![level; layers]].concat();
        let mut out = vec![("head".to_owned(), uniform(0, 0)), ("all".into(), uniform(1, most))];
        let (broken, embeddings) = self.patient.corrupted();
        if !broken.is_empty() || (embeddings && e > 0) {
            let mut config = uniform(u16::from(embeddings), 0);
            broken.iter().for_each(|l| config[e + l] = most);
            out.push(("corrupted".into(), config));
        }
        let lora = self.levels.iter().enumerate().filter(|(_, l)| matches!(l, Learns::Lora(_)));
        out.extend(lora.map(|(i, l)| (l.to_string(), uniform(0, i as u16))));
        out
    }

    fn evaluate(&mut self, config: &[u16], fidelity: u32, seed: u64, stop: &dyn Fn() -> bool) -> Result<Measure> {
        self.space.check(config)?;
        if let Err(why) = self.signs() {
            return Err(Error::invalid(format!("looking at {}: {why}", self.config.model)));
        }
        let dense = self.patient.dense_loss(fidelity, seed, stop)?;
        let healed = self.patient.heal(&self.scope(config), fidelity, seed, stop)?;
        let mut metrics = healed.metrics;
        metrics.insert("dense_loss".into(), dense);
        Ok(Measure { loss: healed.loss, metrics })
    }
}

fn hashed(text: &str) -> u64 {
    use std::hash::{Hash, Hasher};
    let mut hash = std::hash::DefaultHasher::new();
    text.hash(&mut hash);
    hash.finish()
}

fn ledger_folder(config: &Config, objective: &dyn Objective) -> PathBuf {
    if !config.ledger.is_empty() {
        return PathBuf::from(&config.ledger);
    }
    rlx_lm::data::catalogue::cache().join("ledgers").join(format!("heal-{:016x}", hashed(objective.version())))
}

/// The budgets of a config, in parameters, and the cost of the cheapest configuration.
fn budgets(config: &Config, objective: &dyn Objective) -> (f64, f64, f64) {
    let cost = |c: &[u16]| objective.cost(c);
    let (least, most) = (cost(&cheapest(objective)), cost(&costliest(objective)));
    let of = |budget: f64| if budget <= 1.0 { budget * most } else { budget };
    (of(config.budget_low), of(config.budget_high), least)
}

/// The shared objective of a config and what a run of that seed asks of it. Equal configs of one process share one model.
///
/// # Errors
/// When the model or the data are not there or not sound, or the choices are out of order.
pub fn open(config: &Config, seed: u64, stop: fn() -> bool) -> Result<(Shared, Terms)> {
    use std::{
        collections::HashMap,
        sync::{LazyLock, Mutex, PoisonError},
    };
    static OPEN: LazyLock<Mutex<HashMap<String, (Shared, Terms)>>> = LazyLock::new(Mutex::default);
    let key = serde_json::to_string(config).map_err(|e| Error::invalid(e.to_string()))?;
    let mut open = OPEN.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some((shared, terms)) = open.get(&key) {
        return Ok((shared.clone(), Terms { seed, ..terms.clone() }));
    }
    let objective = Heal::new(Patient::open(config)?, config)?;
    let shelf = Shelf::new(&ledger_folder(config, &objective));
    let (low, high, least) = budgets(config, &objective);
    let terms = Terms {
        name: "heal-bert".into(),
        unit: Unit::Parameters,
        budgets: (low, high),
        least,
        fidelity: config.fidelity,
        seed,
        reference: config.reference,
        surrogate: config.surrogate,
        guesses: 0,
        recall: false,
        warm_up: config.warm_up,
        imagined: config.imagined,
        evaluations: config.evaluations,
    };
    let shared = Shared::new(Box::new(objective), Some(shelf), stop);
    open.insert(key, (shared.clone(), terms.clone()));
    Ok((shared, terms))
}

/// Adds the world.
pub fn register(registry: &mut rlx::Registry, stop: fn() -> bool) {
    registry.world_with(
        "heal-bert",
        "choose which layers of a corrupted BERT learn, whole or by LoRA, under a parameter budget",
        move |config: &Config| {
            let (shared, terms) = open(config, 0, stop)?;
            World::new(shared, terms, None)
        },
        move |config: &Config, n, seed| {
            let (shared, terms) = open(config, seed, stop)?;
            Ok(Box::new(SurrogateVector::new(&shared, &terms, n, seed)?))
        },
    );
}

#[cfg(test)]
mod tests;
