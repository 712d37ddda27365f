//! The broken model with its texts: what is seen of it before it is healed, and what healing makes of it.
use super::{Config, tiny};
use rlx::{Error, Result, Rng};
use rlx_lm::{
    bert::{
        self, Classifier, Corruption, Place, Renumbered, Scope, Tokenizer, Tuner, Weights, classify::Task, tune::Plan,
    },
    data::{Labelled, Split, batches, catalogue, labelled, sources, table::Columns},
};
use sha2::{Digest, Sha256};
use std::{
    collections::{BTreeMap, HashMap},
    sync::{Mutex, PoisonError},
};
use tch::Device;

/// Torch has one generator for all threads, which dropout draws from: whoever learns is alone.
pub(super) static GENERATOR: Mutex<()> = Mutex::new(());

/// Texts that gradients are looked at over.
const LOOKED_AT: usize = 64;

/// What is seen of the broken model without knowing the intact one or what was done to it.
#[derive(Clone, Debug, PartialEq)]
pub struct Signs {
    /// How far a layer's parameters are from those of the other layers: the mean over its tensors of |ln(root mean square / the median layer's)|.
    /// Where most layers are broken alike it is the whole ones that stand out.
    pub deviation: Vec<f64>,
    /// Norm of the gradient of the layer's parameters over 64 training texts, before anything is learnt, as a share of all layers'.
    pub gradient: Vec<f64>,
    /// What tuning the embeddings is worth beside that: the mean layer's share.
    pub embeddings: f64,
}

/// What came of a healing.
#[derive(Clone, Debug, PartialEq)]
pub struct Healed {
    /// Mean cross-entropy on the validation texts; infinite where learning diverged.
    pub loss: f64,
    /// Accuracy and macro F1 on them, and the same of the test texts.
    pub metrics: BTreeMap<String, f64>,
}

/// A corrupted classifier and the texts that it is fine-tuned on.
pub struct Patient {
    version: String,
    shape: bert::Config,
    intact: Weights,
    broken: Weights,
    corrupted: (Vec<usize>, bool),
    data: Labelled,
    texts: Renumbered,
    split: Split,
    config: Config,
    dense: HashMap<(u32, u64), f64>,
}

fn named(key: &str) -> impl Fn(Error) -> Error + '_ {
    move |e| Error::invalid(format!("{key}: {e}"))
}

/// The model, the data and each text's token ids with what fills batches.
pub(super) type Sources = (Weights, Labelled, (Vec<Vec<u32>>, u32));

fn fetched(config: &Config) -> Result<Sources> {
    let cache = catalogue::cache();
    let columns = Columns { text: &config.text, label: &config.label };
    let folder = catalogue::model(&config.model, &cache)?;
    let data = sources::load(&config.data, columns, &cache).map_err(named(&format!("data = \"{}\"", config.data)))?;
    let weights = Weights::open(&folder)?;
    let tokenizer = Tokenizer::open(&folder)?;
    let most = config.max_tokens.min(weights.config.positions);
    let words: Vec<&str> = data.texts.iter().map(String::as_str).collect();
    let ids = tokenizer.encode(&words, most).map_err(named("max_tokens"))?;
    Ok((weights, data, (ids, tokenizer.pad())))
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

impl Patient {
    /// Opens the model and the texts that a config names, and corrupts the model.
    ///
    /// # Errors
    /// Naming the file, the row, the layer or the key that is not as it must be.
    pub fn open(config: &Config) -> Result<Self> {
        if config.heal_steps.is_empty() || config.heal_steps.len() != config.train.len() {
            let (right, found) =
                (format!("{} numbers, as heal_steps has", config.heal_steps.len()), config.train.len());
            return Err(match config.heal_steps.is_empty() {
                true => Error::invalid("heal_steps: a number for each fidelity, one or more"),
                false => Error::mismatch("train", right, found.to_string()),
            });
        }
        if !config.heal_steps.is_sorted_by(|a, b| a < b) {
            return Err(Error::invalid(format!(
                "heal_steps = {:?}: they must ascend, the cheapest fidelity first",
                config.heal_steps
            )));
        }
        if config.fidelity as usize >= config.heal_steps.len() {
            let n = config.heal_steps.len();
            return Err(Error::invalid(format!("fidelity = {}: heal_steps has {n} of them, from 0", config.fidelity)));
        }
        let place: Place = config.corrupt.parse().map_err(named(&format!("corrupt = \"{}\"", config.corrupt)))?;
        let (mut intact, data, (ids, pad)) = if config.model == "tiny" { tiny::sources()? } else { fetched(config)? };
        let shape = intact.config.clone();
        // What a measure depends on: the weights, the texts, what is done to them, how it is learnt from.
        let c = config;
        let of_texts = (c.validation, c.test, c.validation_share, c.test_share, c.data_seed, c.batch);
        let of_learning = (&c.heal_steps, &c.train, c.learning_rate, c.dropout, c.pooling, c.lora_alpha, c.lora_rate);
        let of_damage = (place.to_string(), c.how, c.amount, c.part, c.corrupt_seed);
        let version = format!("1 {} {of_damage:?} {of_texts:?} {of_learning:?}", hash(&intact, &data, &ids));
        let texts = Renumbered::new(ids, pad);
        texts.trim(&mut intact)?;
        let mut broken = intact.clone();
        let (part, damage, amount, seed) = (c.part, c.how, c.amount, c.corrupt_seed);
        let done = Corruption { place, part, damage, amount, seed }
            .apply(&mut broken)
            .map_err(named(&format!("corrupt = \"{}\" of {}", c.corrupt, c.model)))?;
        let whole = Split::new(&data, c.validation_share, c.test_share, c.data_seed)?;
        let some = |key: &str, of: &[usize], most: usize| {
            labelled::some(&data, of, most, &mut Rng::named(c.data_seed, key, 0)).map_err(named(key))
        };
        let split = Split {
            validation: some("validation", &whole.validation, c.validation)?,
            test: some("test", &whole.test, c.test)?,
            train: whole.train.clone(),
        };
        for most in &c.train {
            some("train", &whole.train, *most)?;
        }
        let corrupted = (done.layers, done.embeddings);
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
        scope.parameters(&self.shape, self.data.classes.len(), self.config.pooling)
    }
    /// Names of the fidelities.
    pub fn fidelities(&self) -> Vec<String> {
        let texts = |n: usize| if n == 0 || n > self.split.train.len() { self.split.train.len() } else { n };
        let pair = self.config.heal_steps.iter().zip(&self.config.train);
        pair.map(|(steps, train)| format!("{steps} steps on {} texts", texts(*train))).collect()
    }

    fn task(&self) -> Task<'_> {
        let (texts, labels) = (&self.texts.ids, &self.data.labels);
        Task { texts, labels, pad: self.texts.pad, batch: self.config.batch }
    }

    fn classifier(&self, weights: &Weights, scope: &Scope, seed: u64) -> Result<Classifier> {
        let (classes, pooling) = (self.data.classes.len(), self.config.pooling);
        Classifier::partial(weights, classes, pooling, seed, Device::Cpu, scope)
    }

    /// Looks at the broken model.
    ///
    /// # Errors
    /// When it can not be run.
    pub fn signs(&self) -> Result<Signs> {
        let n = self.shape.layers;
        let mut rng = Rng::named(self.config.data_seed, "texts that are looked at", 0);
        let rows = labelled::some(&self.data, &self.split.train, LOOKED_AT.max(self.data.classes.len()), &mut rng)?;
        let mut model = self.classifier(&self.broken, &Scope::whole(n), self.config.corrupt_seed)?;
        let norms = tch::with_grad(|| model.gradient_norms(&self.task(), &rows))?;
        let all = norms.iter().sum::<f64>().max(f64::MIN_POSITIVE);
        let gradient = norms.into_iter().map(|g| g / all).collect();
        Ok(Signs { deviation: deviation(&self.broken), gradient, embeddings: 1.0 / n as f64 })
    }

    /// The loss of the intact model, tuned whole in the same way.
    ///
    /// # Errors
    /// As [`Patient::heal`].
    pub fn dense_loss(&mut self, fidelity: u32, seed: u64, stop: &dyn Fn() -> bool) -> Result<f64> {
        if let Some(known) = self.dense.get(&(fidelity, seed)) {
            return Ok(*known);
        }
        let whole = Scope { alpha: self.config.lora_alpha, ..Scope::whole(self.shape.layers) };
        let (_, model) = self.tuned(&self.intact, &whole, fidelity, seed, stop)?;
        let loss = model.judge(&self.task(), &self.split.validation, stop)?.loss;
        self.dense.insert((fidelity, seed), loss);
        Ok(loss)
    }

    /// Fine-tunes the broken model and judges it.
    ///
    /// # Errors
    /// [`Error::Interrupted`] once `stop` says so; when the model can not be run.
    pub fn heal(&self, scope: &Scope, fidelity: u32, seed: u64, stop: &dyn Fn() -> bool) -> Result<Healed> {
        let judged = self.tuned(&self.broken, scope, fidelity, seed, stop).and_then(|(_, model)| {
            let judge = |rows: &[usize]| model.judge(&self.task(), rows, stop);
            Ok((judge(&self.split.validation)?, judge(&self.split.test)?))
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

    /// The classifier before (its flat vector) and after it was fine-tuned: all chance is the seed's.
    ///
    /// # Errors
    /// As [`Patient::heal`].
    pub fn tune(&self, scope: &Scope, fidelity: u32, seed: u64) -> Result<(Vec<f32>, Classifier)> {
        self.tuned(&self.broken, scope, fidelity, seed, &|| false)
    }

    fn tuned(
        &self,
        weights: &Weights,
        scope: &Scope,
        fidelity: u32,
        seed: u64,
        stop: &dyn Fn() -> bool,
    ) -> Result<(Vec<f32>, Classifier)> {
        let (c, task, level) = (&self.config, self.task(), fidelity as usize);
        let mut own = Rng::named(seed, "training texts", 0);
        let rows = labelled::some(&self.data, &self.split.train, c.train[level], &mut own)?;
        let lengths: Vec<usize> = rows.iter().map(|&r| self.texts.ids[r].len()).collect();
        let model = self.classifier(weights, scope, seed)?;
        let before = model.params.to_vec()?;
        let plan = Plan {
            learning_rate: c.learning_rate,
            weight_decay: 0.01,
            warmup: 0.1,
            steps: c.heal_steps[level],
            dropout: c.dropout,
            max_grad_norm: 1.0,
            seed,
        };
        let mut tuner = Tuner::new(model, plan);
        let _alone = GENERATOR.lock().unwrap_or_else(PoisonError::into_inner);
        let mut order = Vec::new();
        while tuner.steps() < plan.steps {
            if stop() {
                return Err(Error::Interrupted);
            }
            let per_epoch = rows.len().div_ceil(c.batch) as u64;
            let (epoch, at) = (tuner.steps() / per_epoch, tuner.steps() % per_epoch);
            if at == 0 {
                order = batches::epoch(&rows, &lengths, c.batch, seed, epoch);
            }
            // A learner may call from within a stretch that records no gradients.
            tch::with_grad(|| tuner.learn(&task, &order[at as usize]))?;
        }
        Ok((before, tuner.model))
    }
}

/// See [`Signs::deviation`].
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
