//! Everything before the first step: data, tokens, the corrupted model.
use crate::Config;
use anyhow::Result;
use rlx_lm::{
    bert::{Classifier, Healing, Renumbered, corrupt::CorruptionReport, healing::training_rows, tune::Plan},
    data::Split,
    store,
};
use std::sync::Arc;

/// A healing that is ready to begin.
pub struct Ready {
    /// The loop of fine-tuning, with its texts.
    pub healing: Healing,
    /// Rows to learn from, to stop by and to be judged by.
    pub split: Split,
    /// The names of classes.
    pub classes: Vec<String>,
    /// What the corruption did.
    pub done: CorruptionReport,
    /// Texts that came twice, and texts with two labels.
    pub dropped: (usize, usize),
    /// What became of every row of the data.
    pub account: String,
}

/// Reads the data, splits it, and corrupts the model.
///
/// # Errors
/// Naming the row, the layer or the file that is not as it must be.
pub fn prepare(config: &Config) -> Result<Ready> {
    rlx_nn::threads::set(config.threads);
    let (shared, cache) = (&config.healing, store::cache_dir());
    let data = shared.read_data(&cache)?;
    // The test is the same for all seeds; what is learnt from is a seed's own.
    let mut split = shared.split(&data, ["validation texts", "test texts"])?;
    split.train = training_rows(&data, &split.train, config.train, config.seed)?;
    let (mut weights, tokenizer) = shared.read_model(&cache)?;
    let done = shared.corrupt(&mut weights, config.seed)?;
    // Only the rows that are used, renumbered.
    let used: Vec<usize> = [&split.train, &split.validation, &split.test].into_iter().flatten().copied().collect();
    let words: Vec<&str> = used.iter().map(|&i| data.texts[i].as_str()).collect();
    let texts = Renumbered::new(shared.encode(&tokenizer, weights.config.positions, &words)?, tokenizer.pad());
    texts.trim(&mut weights)?;
    let texts = Arc::new(shared.texts(texts, used.iter().map(|&i| data.labels[i]).collect()));
    let mut next = 0..used.len();
    for set in [&mut split.train, &mut split.validation, &mut split.test] {
        set.iter_mut().for_each(|row| *row = next.next().expect("as many as there are"));
    }
    let device = rlx_runs::run_config::torch(config.device()?);
    let model = Classifier::new(&weights, data.classes.len(), shared.pooling, config.seed, device)?;
    let steps = config.epochs * split.train.len().div_ceil(shared.batch) as u64;
    let (weight_decay, warmup, max_grad_norm) = (config.weight_decay, config.warmup, config.max_grad_norm);
    let plan = Plan { weight_decay, warmup, max_grad_norm, ..shared.plan(steps, config.seed) };
    Ok(Ready {
        healing: Healing::new(model, plan, texts, split.train.clone()),
        split,
        account: data.account(),
        dropped: (data.duplicates, data.contradictory),
        classes: data.classes,
        done,
    })
}
