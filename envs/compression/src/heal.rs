//! A corrupted BERT healed layer by layer: which layers learn, whole or by adapters of which rank, under a budget of parameters, judged by
//! what the fine-tuned model then makes of validation texts.
use crate::{
    CostUnit, ObjectiveConfig, SurrogateVector, World,
    opened::{Opened, ledger_folder},
};
use rlx::{
    Error, Measure, Measured, Objective, Result, SearchSpace,
    objective::{Dimension, LedgerDir, SharedObjective, Tell},
};
use rlx_lm::bert::{
    Scope,
    scope::{Learns, of_layer},
};
use std::cell::OnceCell;

mod classifier;
mod config;
mod tiny;

pub use classifier::{CorruptedClassifier, Healed, LayerSignals};
pub use config::Config;

/// The objective: mean cross-entropy on validation texts after fine-tuning, and the parameters that learn.
pub struct Heal {
    classifier: CorruptedClassifier,
    name: String,
    version: String,
    space: SearchSpace,
    levels: Vec<Learns>,
    config: Config,
    fidelities: Vec<String>,
    features: Vec<String>,
    signals: OnceCell<std::result::Result<LayerSignals, String>>,
}

/// Features of a layer.
const OF_LAYER: [&str; 4] = ["depth", "deviation", "gradient", "parameters"];

impl Heal {
    /// The objective over a broken model.
    ///
    /// # Errors
    /// Naming the key, the layer or the level that is not as it must be.
    pub fn new(classifier: CorruptedClassifier, config: &Config) -> Result<Self> {
        let named = |e: Error| Error::invalid(format!("levels: {e}"));
        let levels = config.levels.iter().map(|l| l.parse()).collect::<Result<Vec<Learns>>>().map_err(named)?;
        if levels.len() < 2 {
            return Err(Error::invalid("levels: there must be two or more to choose from, as frozen,tuned"));
        }
        for pair in levels.windows(2) {
            let sizes = [0, 1].map(|i| of_layer(classifier.shape(), pair[i]));
            if sizes[0] >= sizes[1] {
                return Err(Error::invalid(format!(
                    "levels: '{}' ({} parameters a layer) is before '{}' ({}); they must be in rising number",
                    pair[0], sizes[0], pair[1], sizes[1]
                )));
            }
        }
        let names: Vec<&str> = config.levels.iter().map(|l| l.trim()).collect();
        let layers = classifier.shape().layers;
        // The embeddings first: what is left for the layers depends on them.
        let mut dimensions = Vec::new();
        if config.embeddings {
            dimensions.push(Dimension::categorical("embeddings tune", &["frozen", "tuned"]));
        }
        dimensions.extend((0..layers).map(|i| Dimension::categorical(format!("block {i} tune"), &names)));
        let mut features: Vec<String> = (0..layers).flat_map(|i| OF_LAYER.map(|k| format!("block {i} {k}"))).collect();
        features.extend(["deviation", "gradient"].map(String::from));
        let objective = Self {
            name: format!("heal-bert {}", config.healing.model),
            version: format!("{} {:?} embeddings {}", classifier.version(), names, config.embeddings),
            space: SearchSpace::new(dimensions)?,
            levels,
            fidelities: classifier.fidelities(),
            features,
            signals: OnceCell::new(),
            config: config.clone(),
            classifier,
        };
        objective
            .scope(&vec![(objective.levels.len() - 1) as u16; layers + usize::from(config.embeddings)])
            .check(objective.classifier.shape())
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
    pub fn classifier(&mut self) -> &mut CorruptedClassifier {
        &mut self.classifier
    }

    fn signals(&self) -> &std::result::Result<LayerSignals, String> {
        self.signals.get_or_init(|| self.classifier.signals().map_err(|e| e.to_string()))
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
        self.classifier.parameters(&self.scope(config)) as f64
    }
    fn feature_names(&self) -> &[String] {
        &self.features
    }

    /// Of each layer: its depth, what one sees of it without the intact model ([`LayerSignals`]), and its share of the parameters that learn. Of
    /// the whole: how much of the deviation and of the gradient is in layers that learn.
    fn features(&self, config: &[u16], out: &mut [f32]) {
        out.fill(0.0);
        // Where looking failed, measuring says why.
        let Ok(signals) = self.signals() else { return };
        let (scope, shape) = (self.scope(config), self.classifier.shape());
        let n = scope.layers.len();
        let all = self.cost(config).max(1.0);
        for (i, &learns) in scope.layers.iter().enumerate() {
            let own =
                [i as f64 / n as f64, signals.deviation[i], signals.gradient[i], of_layer(shape, learns) as f64 / all];
            out[4 * i..4 * i + 4].iter_mut().zip(own).for_each(|(o, x)| *o = x as f32);
            out[4 * n] += (signals.deviation[i] * reach(learns)) as f32;
            out[4 * n + 1] += (signals.gradient[i] * reach(learns)) as f32;
        }
    }

    fn is_random(&self, _: u32) -> bool {
        true
    }

    /// A run listens once: what became of the rows of its data is said then.
    fn listen(&mut self, tell: Tell) {
        // The tiny model has data of its own.
        let data = if self.config.healing.model == "tiny" { "tiny" } else { &self.config.healing.data };
        tell.say(&format!("{data}: {}", self.classifier.account()));
    }

    /// What is frozen loses by the gradient that it does not follow.
    fn guess(&self, config: &[u16]) -> f64 {
        let Ok(signals) = self.signals() else { return 0.0 };
        let scope = self.scope(config);
        let lost = |(i, l): (usize, &Learns)| (1.0 - reach(*l)) * signals.gradient[i];
        let embeddings = if self.config.embeddings && !scope.embeddings { signals.embeddings } else { 0.0 };
        scope.layers.iter().enumerate().map(lost).sum::<f64>() + embeddings
    }

    /// `head`: only the head learns; `all`: all that can; `corrupted`: what was corrupted, at the highest level; and each level of adapters on
    /// all layers.
    fn baselines(&self) -> Vec<(String, Vec<u16>)> {
        let (most, e) = ((self.levels.len() - 1) as u16, usize::from(self.config.embeddings));
        let layers = self.classifier.shape().layers;
        let uniform = |embeddings: u16, level: u16| [vec![embeddings; e], vec![level; layers]].concat();
        let mut out = vec![("head".to_owned(), uniform(0, 0)), ("all".into(), uniform(1, most))];
        let (broken, embeddings) = self.classifier.corrupted();
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
        if let Err(why) = self.signals() {
            return Err(Error::invalid(format!("looking at {}: {why}", self.config.healing.model)));
        }
        let dense = self.classifier.dense_loss(fidelity, seed, stop)?;
        let healed = self.classifier.heal(&self.scope(config), fidelity, seed, stop)?;
        let mut metrics = healed.metrics;
        metrics.insert("dense_loss".into(), dense);
        Ok(Measure { loss: healed.loss, metrics })
    }
}

/// The budgets of a config, in parameters.
fn budgets(config: &Config, objective: &Measured<Heal>) -> (f64, f64) {
    let of = |budget: f64| if budget <= 1.0 { budget * objective.costliest().1 } else { budget };
    (of(config.budget_low), of(config.budget_high))
}

/// The shared objective of a config and what a run of that seed asks of it. Equal configs of one process share one model.
///
/// # Errors
/// When the model or the data are not there or not sound, or the choices are out of order.
pub fn open(config: &Config, seed: u64, stop: fn() -> bool) -> Result<(SharedObjective, ObjectiveConfig)> {
    static OPEN: Opened<Heal> = Opened::new();
    let (objective, terms) = OPEN.get(config, || {
        let objective = Heal::new(CorruptedClassifier::open(config)?, config)?;
        let folder = ledger_folder(&config.ledger, "heal", objective.version());
        let objective = Measured::new(objective, Some(LedgerDir::new(&folder))).with_stop(stop);
        let terms = ObjectiveConfig {
            name: "heal-bert".into(),
            unit: CostUnit::Parameters,
            budgets: budgets(config, &objective),
            least: objective.cheapest().1,
            fidelity: config.fidelity,
            seed: 0,
            reference: config.reference,
            surrogate: config.surrogate,
            guesses: 0,
            recall: false,
            warm_up: config.warm_up,
            imagined: config.imagined,
            evaluations: config.evaluations,
        };
        Ok((objective, terms))
    })?;
    Ok((objective.erased(), ObjectiveConfig { seed, ..terms }))
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
