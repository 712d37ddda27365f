//! The broken model with its texts: what is seen of it before it is healed, and what healing makes of it.
use super::{Config, tiny};
use rlx::{Error, Result, Rng};
use rlx_lm::{
    bert::{
        self, Classifier, Healing, Renumbered, Scope, Weights,
        healing::{Texts, training_rows},
    },
    data::{Labelled, Split, labelled},
    store,
};
use sha2::{Digest, Sha256};
use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
};
use tch::Device;

/// Texts that gradients are looked at over.
const LOOKED_AT: usize = 64;

/// What is seen of the broken model without knowing the intact one or what was done to it.
#[derive(Clone, Debug, PartialEq)]
pub struct LayerSignals {
    /// How far a layer's parameters are from those of the other layers: the mean over its tensors of |ln(root mean square / the median layer's)|.
    /// Where most layers are broken alike it is the whole ones that stand out.
    pub deviation: Vec<f64>,
    /// Norm of the gradient of the layer's parameters over 64 training texts, before anything is learnt, as a share of all layers'.
    pub gradient: Vec<f64>,
    /// What tuning the embeddings is worth beside that: the mean layer's share.
    pub embeddings: f64,
}

/// The result of a healing.
#[derive(Clone, Debug, PartialEq)]
pub struct Healed {
    /// Mean cross-entropy on the validation texts; infinite where learning diverged.
    pub loss: f64,
    /// Accuracy and macro F1 on them, and the same of the test texts.
    pub metrics: BTreeMap<String, f64>,
}

/// A corrupted classifier and the texts that it is fine-tuned on.
pub struct CorruptedClassifier {
    version: String,
    shape: bert::Config,
    intact: Weights,
    broken: Weights,
    corrupted: (Vec<usize>, bool),
    data: Labelled,
    texts: Arc<Texts>,
    split: Split,
    config: Config,
    dense: HashMap<(u32, u64), f64>,
}

/// The model, the data and each text's token ids with what fills batches.
pub(super) type Sources = (Weights, Labelled, (Vec<Vec<u32>>, u32));

fn fetched(config: &Config) -> Result<Sources> {
    let cache = store::cache_dir();
    // That there is no such model is said before a data set is read.
    store::find_model(&config.healing.model, &cache)?;
    let data = config.healing.read_data(&cache)?;
    let (weights, tokenizer) = config.healing.read_model(&cache)?;
    let texts: Vec<&str> = data.texts.iter().map(String::as_str).collect();
    let ids = config.healing.encode(&tokenizer, weights.config.positions, &texts)?;
    Ok((weights, data, (ids, tokenizer.pad())))
}

/// Whether there is a number of steps and of texts for each fidelity.
fn check_fidelities(config: &Config) -> Result<()> {
    let (steps, n) = (&config.heal_steps, config.heal_steps.len());
    if steps.is_empty() {
        return Err(Error::invalid("heal_steps: a number for each fidelity, one or more"));
    }
    if n != config.train.len() {
        return Err(Error::mismatch(
            "train",
            format!("{n} numbers, as heal_steps has"),
            config.train.len().to_string(),
        ));
    }
    if !steps.is_sorted_by(|a, b| a < b) {
        return Err(Error::invalid(format!("heal_steps = {steps:?}: they must ascend, the cheapest fidelity first")));
    }
    if config.fidelity as usize >= n {
        return Err(Error::invalid(format!("fidelity = {}: heal_steps has {n} of them, from 0", config.fidelity)));
    }
    Ok(())
}

fn hash(weights: &Weights, data: &Labelled, ids: &[Vec<u32>]) -> String {
    let mut all = Sha256::new();
    for (name, array) in weights.iter() {
        all.update(name.as_bytes());
        array.data.iter().for_each(|x| all.update(x.to_le_bytes()));
    }
    for (text, label) in ids.iter().zip(&data.labels) {
        text.iter().for_each(|t| all.update(t.to_le_bytes()));
        all.update(format!("\n{label}\n"));
    }
    all.finalize().iter().take(8).map(|b| format!("{b:02x}")).collect()
}

impl CorruptedClassifier {
    /// Opens the model and the texts that a config names, and corrupts the model.
    ///
    /// # Errors
    /// Naming the file, the row, the layer or the key that is not as it must be.
    pub fn open(config: &Config) -> Result<Self> {
        check_fidelities(config)?;
        config.healing.check()?;
        let layers = config.healing.layers()?;
        let tiny = config.healing.model == "tiny";
        let (mut intact, data, (ids, pad)) = if tiny { tiny::sources()? } else { fetched(config)? };
        let shape = intact.config.clone();
        // What a measure depends on: the weights, the texts, what is done to them, how it is learnt from. The text is part of the keys of
        // ledgers: whatever was measured before is found by it.
        let (c, h) = (config, &config.healing);
        let of_texts = (h.validation, h.test, h.validation_share, h.test_share, h.data_seed, h.batch);
        let of_learning = (&c.heal_steps, &c.train, h.learning_rate, h.dropout, h.pooling, c.lora_alpha, c.lora_rate);
        let of_damage = (layers.to_string(), h.how, h.amount, h.part, c.corrupt_seed);
        let version = format!("1 {} {of_damage:?} {of_texts:?} {of_learning:?}", hash(&intact, &data, &ids));
        let texts = Renumbered::new(ids, pad);
        texts.trim(&mut intact)?;
        let mut broken = intact.clone();
        let done = h.corrupt(&mut broken, c.corrupt_seed)?;
        let split = h.split(&data, ["validation", "test"])?;
        for most in &c.train {
            training_rows(&data, &split.train, *most, 0)?;
        }
        let corrupted = (done.layers, done.embeddings);
        let texts = Arc::new(h.texts(texts, data.labels.clone()));
        let (config, dense) = (config.clone(), HashMap::new());
        Ok(Self { version, shape, intact, broken, corrupted, data, texts, split, config, dense })
    }

    /// Stands for everything that a healing depends on beside its arguments.
    pub fn version(&self) -> &str {
        &self.version
    }
    /// What became of every row of the data.
    pub fn account(&self) -> String {
        self.data.account()
    }
    /// The shape of the model.
    pub fn shape(&self) -> &bert::Config {
        &self.shape
    }
    /// The layers that were corrupted, and whether the embeddings were.
    pub fn corrupted(&self) -> (&[usize], bool) {
        (&self.corrupted.0, self.corrupted.1)
    }
    /// Parameters that learn: those of the model as it is, not only of words that come.
    pub fn parameters(&self, scope: &Scope) -> u64 {
        scope.parameters(&self.shape, self.data.classes.len(), self.config.healing.pooling)
    }
    /// Names of the fidelities.
    pub fn fidelities(&self) -> Vec<String> {
        let texts = |n: usize| if n == 0 || n > self.split.train.len() { self.split.train.len() } else { n };
        let pair = self.config.heal_steps.iter().zip(&self.config.train);
        pair.map(|(steps, train)| format!("{steps} steps on {} texts", texts(*train))).collect()
    }

    fn classifier(&self, weights: &Weights, scope: &Scope, seed: u64) -> Result<Classifier> {
        let (classes, pooling) = (self.data.classes.len(), self.config.healing.pooling);
        Classifier::partial(weights, classes, pooling, seed, Device::Cpu, scope)
    }

    /// Looks at the broken model.
    ///
    /// # Errors
    /// When it cannot be run.
    pub fn signals(&self) -> Result<LayerSignals> {
        let n = self.shape.layers;
        let mut rng = Rng::named(self.config.healing.data_seed, "texts that are looked at", 0);
        let rows = labelled::some(&self.data, &self.split.train, LOOKED_AT.max(self.data.classes.len()), &mut rng)?;
        let mut model = self.classifier(&self.broken, &Scope::whole(n), self.config.corrupt_seed)?;
        let norms = tch::with_grad(|| model.gradient_norms(&self.texts.task(), &rows))?;
        let all = norms.iter().sum::<f64>().max(f64::MIN_POSITIVE);
        let gradient = norms.into_iter().map(|g| g / all).collect();
        Ok(LayerSignals { deviation: deviation(&self.broken), gradient, embeddings: 1.0 / n as f64 })
    }

    /// The loss of the intact model, tuned whole in the same way.
    ///
    /// # Errors
    /// As [`CorruptedClassifier::heal`].
    pub fn dense_loss(&mut self, fidelity: u32, seed: u64, stop: &dyn Fn() -> bool) -> Result<f64> {
        if let Some(known) = self.dense.get(&(fidelity, seed)) {
            return Ok(*known);
        }
        let whole = Scope { alpha: self.config.lora_alpha, ..Scope::whole(self.shape.layers) };
        let mut healing = self.healing(&self.intact, &whole, fidelity, seed)?;
        healing.run(stop)?;
        let loss = healing.judge(&self.split.validation, stop)?.loss;
        self.dense.insert((fidelity, seed), loss);
        Ok(loss)
    }

    /// Fine-tunes the broken model and judges it.
    ///
    /// # Errors
    /// [`Error::Interrupted`] once `stop` says so; when the model cannot be run.
    pub fn heal(&self, scope: &Scope, fidelity: u32, seed: u64, stop: &dyn Fn() -> bool) -> Result<Healed> {
        let judged = self.healing(&self.broken, scope, fidelity, seed).and_then(|mut healing| {
            healing.run(stop)?;
            Ok((healing.judge(&self.split.validation, stop)?, healing.judge(&self.split.test, stop)?))
        });
        let (validation, test) = match judged {
            // A choice that diverges is a bad one, not the end of the search.
            Err(Error::NonFinite { .. }) => return Ok(Healed { loss: f64::INFINITY, metrics: BTreeMap::new() }),
            other => other?,
        };
        let (v, t) = (validation.scores(), test.scores());
        let metrics = [
            ("accuracy", v.accuracy),
            ("f1", v.f1),
            ("test_accuracy", t.accuracy),
            ("test_f1", t.f1),
            ("test_loss", test.loss),
        ];
        Ok(Healed { loss: validation.loss, metrics: metrics.map(|(n, x)| (n.to_owned(), x)).into() })
    }

    /// The fine-tuning of the broken model that [`CorruptedClassifier::heal`] judges, before its first step: all chance is the seed's.
    ///
    /// # Errors
    /// As [`CorruptedClassifier::heal`].
    pub fn start(&self, scope: &Scope, fidelity: u32, seed: u64) -> Result<Healing> {
        self.healing(&self.broken, scope, fidelity, seed)
    }

    fn healing(&self, weights: &Weights, scope: &Scope, fidelity: u32, seed: u64) -> Result<Healing> {
        let (c, level) = (&self.config, fidelity as usize);
        let rows = training_rows(&self.data, &self.split.train, c.train[level], seed)?;
        let model = self.classifier(weights, scope, seed)?;
        Ok(Healing::new(model, c.healing.plan(c.heal_steps[level], seed), self.texts.clone(), rows))
    }
}

/// See [`LayerSignals::deviation`].
fn deviation(weights: &Weights) -> Vec<f64> {
    // What is 0 throughout (a bias that was reset) is far from what is not, not infinitely far.
    const LEAST: f64 = 1e-3;
    let n = weights.config.layers;
    let mut sums = vec![(0.0, 0.0); n];
    let first = weights.iter().filter_map(|(name, _)| name.strip_prefix("layer.0."));
    for tensor in first.map(str::to_owned).collect::<Vec<_>>() {
        let size = |i: usize| {
            let data = weights.get(&format!("layer.{i}.{tensor}")).map_or(&[][..], |a| &a.data);
            let square: f64 = data.iter().map(|x| f64::from(*x).powi(2)).sum();
            LEAST + (square / data.len().max(1) as f64).sqrt()
        };
        let sizes: Vec<f64> = (0..n).map(size).collect();
        let mut sorted = sizes.clone();
        sorted.sort_by(f64::total_cmp);
        let median = f64::midpoint(sorted[(n - 1) / 2], sorted[n / 2]);
        for (sum, size) in sums.iter_mut().zip(sizes) {
            *sum = (sum.0 + (size / median).ln().abs(), sum.1 + 1.0);
        }
    }
    sums.into_iter().map(|(sum, count): (f64, f64)| sum / count.max(1.0)).collect()
}
