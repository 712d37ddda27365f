//! Everything before the first step: data, tokens, the corrupted model.
use crate::Config;
use anyhow::{Context, Result};
use rlx::Rng;
use rlx_lm::{
    bert::{Classifier, Corruption, Renumbered, Tokenizer, Tuner, Weights, classify::Task, corrupt::Done, tune::Plan},
    data::{Split, catalogue, labelled, sources, table::Columns},
};

/// Texts as token ids, in three sets.
pub struct Texts {
    /// Token ids of the rows that are used.
    pub ids: Vec<Vec<u32>>,
    /// The class of each.
    pub labels: Vec<usize>,
    /// Rows to learn from, to stop by and to be judged by.
    pub split: Split,
    /// Token of the model by token here: words that never come take no part.
    pub tokens: Vec<u32>,
    pad: u32,
    batch: usize,
}

/// A healing that is ready to begin.
pub struct Ready {
    /// The model and its optimiser.
    pub tuner: Tuner,
    /// The texts.
    pub texts: Texts,
    /// The names of classes.
    pub classes: Vec<String>,
    /// What the corruption did.
    pub done: Done,
    /// Texts that came twice, and texts with two labels.
    pub dropped: (usize, usize),
    /// What became of every row of the data.
    pub account: String,
}

impl Texts {
    /// As a task.
    pub fn task(&self) -> Task<'_> {
        Task { texts: &self.ids, labels: &self.labels, pad: self.pad, batch: self.batch }
    }
    /// Steps of a pass.
    pub fn per_epoch(&self) -> u64 {
        self.split.train.len().div_ceil(self.batch) as u64
    }
    /// Lengths of rows.
    pub fn lengths(&self, rows: &[usize]) -> Vec<usize> {
        rows.iter().map(|&r| self.ids[r].len()).collect()
    }
}

/// Reads the data, splits it, and corrupts the model.
///
/// # Errors
/// Naming the row, the layer or the file that is not as it must be.
pub fn prepare(config: &Config) -> Result<Ready> {
    rlx_nn::threads::set(config.threads);
    let cache = catalogue::cache();
    let columns = Columns { text: &config.text, label: &config.label };
    let data = sources::load(&config.data, columns, &cache).with_context(|| format!("data = \"{}\"", config.data))?;
    let whole = Split::new(&data, config.validation_share, config.test_share, config.data_seed)?;
    let fixed = |name: &str| Rng::named(config.data_seed, name, 0);
    // The test is the same for all seeds; what is learnt from is a seed's own.
    let mut own = Rng::named(config.seed, "training texts", 0);
    let mut split = Split {
        train: labelled::some(&data, &whole.train, config.train, &mut own).context("train")?,
        validation: labelled::some(&data, &whole.validation, config.validation, &mut fixed("validation texts"))
            .context("validation")?,
        test: labelled::some(&data, &whole.test, config.test, &mut fixed("test texts")).context("test")?,
    };
    let folder = catalogue::model(&config.model, &cache)?;
    let mut weights = Weights::open(&folder)?;
    let tokenizer = Tokenizer::open(&folder)?;
    let place = config.place()?;
    let (part, damage, amount, seed) = (config.part, config.how, config.amount, config.seed);
    let done = Corruption { place, part, damage, amount, seed }
        .apply(&mut weights)
        .with_context(|| format!("corrupting {}", config.model))?;
    let most = config.max_tokens.min(weights.config.positions);
    // Only the rows that are used, renumbered.
    let used: Vec<usize> = [&split.train, &split.validation, &split.test].into_iter().flatten().copied().collect();
    let words: Vec<&str> = used.iter().map(|&i| data.texts[i].as_str()).collect();
    let texts = Renumbered::new(tokenizer.encode(&words, most)?, tokenizer.pad());
    texts.trim(&mut weights)?;
    let mut next = 0..used.len();
    for set in [&mut split.train, &mut split.validation, &mut split.test] {
        set.iter_mut().for_each(|row| *row = next.next().expect("as many as there are"));
    }
    let classes = data.classes.len();
    let device = rlx_runs::run_config::torch(config.device()?);
    let model = Classifier::new(&weights, classes, config.pooling, config.seed, device)?;
    let steps = config.epochs * split.train.len().div_ceil(config.batch) as u64;
    let plan = Plan {
        learning_rate: config.learning_rate,
        weight_decay: config.weight_decay,
        warmup: config.warmup,
        steps,
        dropout: config.dropout,
        max_grad_norm: config.max_grad_norm,
        seed: config.seed,
    };
    Ok(Ready {
        tuner: Tuner::new(model, plan),
        texts: Texts {
            labels: used.iter().map(|&i| data.labels[i]).collect(),
            ids: texts.ids,
            split,
            pad: texts.pad,
            tokens: texts.tokens,
            batch: config.batch,
        },
        account: data.account(),
        dropped: (data.duplicates, data.contradictory),
        classes: data.classes,
        done,
    })
}
