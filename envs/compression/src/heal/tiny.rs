//! A small encoder and a made-up task, so that everything can be tried without a download: which of two words comes first. The encoder was
//! trained on the same task, so that its layers are worth something, and breaking them costs it.
use super::patient::{GENERATOR, Sources};
use rlx::{Result, Rng};
use rlx_lm::{
    bert::{Classifier, Config, Pooling, Tuner, Weights, classify::Task, config::Family, model::fresh, tune::Plan},
    data::{Labelled, Row, batches},
};
use std::sync::{Mutex, PoisonError};
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
    let task = Task { texts: &ids, labels: &data.labels, pad: 0, batch: 32 };
    let all: Vec<usize> = (0..data.len()).collect();
    let lengths: Vec<usize> = ids.iter().map(Vec::len).collect();
    let model = Classifier::new(&fresh(&shape(), 1)?, 2, Pooling::Mean, 1, Device::Cpu)?;
    let plan = Plan {
        learning_rate: 3e-3,
        weight_decay: 0.01,
        warmup: 0.1,
        steps: STEPS,
        dropout: 0.0,
        max_grad_norm: 1.0,
        seed: 1,
    };
    let mut tuner = Tuner::new(model, plan);
    let _alone = GENERATOR.lock().unwrap_or_else(PoisonError::into_inner);
    // So small a model is slower with more than one thread, and this way it is the same bits whatever a run has.
    let threads = tch::get_num_threads();
    tch::set_num_threads(1);
    let order = (0..).flat_map(|epoch| batches::epoch(&all, &lengths, task.batch, 1, epoch));
    let learnt = order.take(STEPS as usize).try_for_each(|b| tch::with_grad(|| tuner.learn(&task, &b)).map(|_| ()));
    tch::set_num_threads(threads);
    learnt?;
    tuner.model.encoder.weights(&tuner.model.params)
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
