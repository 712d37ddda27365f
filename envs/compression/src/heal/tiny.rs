//! A small encoder and a made-up task, so that everything can be tried without a download: which of two words comes first. The encoder was
//! trained on the same task, so that its layers are worth something, and breaking them costs it.
use super::classifier::Sources;
use rlx::{Result, Rng};
use rlx_lm::{
    bert::{Classifier, Config, Healing, Pooling, Weights, config::Family, healing::Texts, model::fresh, tune::Plan},
    data::{Labelled, Row},
};
use std::sync::{Arc, Mutex, PoisonError};
use tch::Device;

/// Texts of the task.
const TEXTS: usize = 1500;
/// Steps that the encoder was trained for.
const STEPS: u64 = 500;

fn shape() -> Config {
    Config {
        family: Family::Bert,
        layers: 4,
        width: 16,
        heads: 2,
        inner: 32,
        vocabulary: 16,
        positions: 8,
        types: 2,
        eps: 1e-12,
        activation: "gelu".into(),
    }
}

/// Texts of words 5 to 15 with 3 and 4 side by side, and which of these is first. Word 0 fills batches.
fn rows(stream: u64) -> Vec<Row> {
    let mut rng = Rng::named(0, "texts of the tiny task", stream);
    let row = |i: usize| {
        let mut words: Vec<u64> = (0..5 + rng.below(4)).map(|_| 5 + rng.below(11) as u64).collect();
        let (at, swapped) = (rng.below(words.len() - 1), rng.below(2) as u64);
        (words[at], words[at + 1]) = (3 + swapped, 4 - swapped);
        let text = words.iter().map(u64::to_string).collect::<Vec<_>>().join(" ");
        Row { text, label: ["three", "four"][swapped as usize].into(), place: format!("tiny text {i}") }
    };
    (0..TEXTS).map(row).collect()
}

fn ids(data: &Labelled) -> Vec<Vec<u32>> {
    // Every word is a number that was written above.
    data.texts.iter().map(|t| t.split(' ').filter_map(|w| w.parse().ok()).collect()).collect()
}

fn trained() -> Result<Weights> {
    let data = Labelled::new(rows(1))?;
    let ids = ids(&data);
    let texts = Texts { ids, labels: data.labels.clone(), tokens: Vec::new(), pad: 0, batch: 32 };
    let model = Classifier::new(&fresh(&shape(), 1)?, 2, Pooling::Mean, 1, Device::Cpu)?;
    let plan = Plan { learning_rate: 3e-3, steps: STEPS, dropout: 0.0, seed: 1, ..Plan::default() };
    let mut healing = Healing::new(model, plan, Arc::new(texts), (0..data.len()).collect());
    // So small a model is slower with more than one thread, and this way it is the same bits whatever a run has.
    let threads = tch::get_num_threads();
    tch::set_num_threads(1);
    let learnt = healing.run(&|| false);
    tch::set_num_threads(threads);
    learnt?;
    let model = healing.into_model();
    model.encoder.weights(&model.params)
}

/// The trained encoder, texts that it has not seen, and their token ids with what fills batches.
///
/// # Errors
/// When torch fails.
pub(super) fn sources() -> Result<Sources> {
    // A second, once a process.
    static TRAINED: Mutex<Option<Weights>> = Mutex::new(None);
    let mut known = TRAINED.lock().unwrap_or_else(PoisonError::into_inner);
    let weights = match &*known {
        Some(weights) => weights.clone(),
        None => known.insert(trained()?).clone(),
    };
    drop(known);
    let data = Labelled::new(rows(0))?;
    let ids = ids(&data);
    Ok((weights, data, (ids, 0)))
}
