//! Healing: a corrupted encoder is fine-tuned on labelled texts ("Healing Powers of BERT", arXiv 2406.14459).
//!
//! [`HealingConfig`] says what the data, the model and the corruption are; [`Healing`] is the one loop of fine-tuning. A run folder, an
//! objective of a search and cells of an experiment are its clients: what learns ([`Scope`](super::Scope)) and when it ends is theirs.
mod config;

pub use config::{HealingConfig, named, training_rows};

use super::{
    Classifier,
    classify::{Judged, Scores, Task},
    tune::{Plan, Step, Tuner},
};
use crate::data::batches;
use rlx::{Error, Result, snapshot};
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// Tokenised texts with their classes.
#[derive(Clone, Debug)]
pub struct Texts {
    /// Token ids of each text.
    pub ids: Vec<Vec<u32>>,
    /// The class of each.
    pub labels: Vec<usize>,
    /// Token of the model by token here: words that never come take no part.
    pub tokens: Vec<u32>,
    /// The token that fills batches.
    pub pad: u32,
    /// Texts of a step.
    pub batch: usize,
}

impl Texts {
    /// As a task.
    pub fn task(&self) -> Task<'_> {
        Task { texts: &self.ids, labels: &self.labels, pad: self.pad, batch: self.batch }
    }
}

/// The best pass so far, by F1 and then by loss on the validation texts.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Best {
    /// The pass; 0 is before the first.
    pub epoch: u64,
    /// Steps taken.
    pub step: u64,
    /// Its scores.
    pub scores: Scores,
    /// Its loss.
    pub loss: f64,
}

/// What validation said so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Validation {
    /// Passes whose validation is done, the one before the first among them.
    #[serde(rename = "judged")]
    pub done: u64,
    /// The scores before the first step.
    pub before: Option<Scores>,
    /// The best pass.
    pub best: Option<Best>,
}

/// A fine-tuning that can be stepped, stopped, saved and resumed at every step: all chance is its plan's seed.
#[derive(Debug)]
pub struct Healing {
    tuner: Tuner,
    texts: Arc<Texts>,
    rows: Vec<usize>,
    lengths: Vec<usize>,
    /// The batches of a pass, and which pass that is.
    order: Option<(u64, Vec<Vec<usize>>)>,
    validation: Validation,
    /// The parameters of the best pass.
    best: Vec<f32>,
}

impl Healing {
    /// Fine-tunes `model` on `rows` of `texts`.
    pub fn new(model: Classifier, plan: Plan, texts: Arc<Texts>, rows: Vec<usize>) -> Self {
        let lengths = rows.iter().map(|&r| texts.ids[r].len()).collect();
        let (validation, best) = (Validation::default(), Vec::new());
        Self { tuner: Tuner::new(model, plan), texts, rows, lengths, order: None, validation, best }
    }

    /// The model as it is now.
    pub fn model(&self) -> &Classifier {
        &self.tuner.model
    }
    /// The model, when nothing more is to be learnt.
    pub fn into_model(self) -> Classifier {
        self.tuner.model
    }
    /// The texts.
    pub fn texts(&self) -> &Texts {
        &self.texts
    }
    /// Steps taken.
    pub fn steps(&self) -> u64 {
        self.tuner.steps()
    }
    /// Steps of a pass over the training texts.
    pub fn per_epoch(&self) -> u64 {
        self.rows.len().div_ceil(self.texts.batch) as u64
    }
    /// The pass that the next step is of, from 0.
    pub fn epoch(&self) -> u64 {
        self.steps() / self.per_epoch()
    }
    /// Whether the next step begins a pass.
    pub fn begins_epoch(&self) -> bool {
        self.steps().is_multiple_of(self.per_epoch())
    }
    /// Whether its plan has no step left.
    pub fn is_done(&self) -> bool {
        self.steps() >= self.tuner.plan().steps
    }

    /// One step on the next batch.
    ///
    /// # Errors
    /// When the loss or the gradient is not finite, or the device cannot be written; the parameters are then as they were.
    pub fn step(&mut self) -> Result<Step> {
        let (epoch, seed) = (self.epoch(), self.tuner.plan().seed);
        let at = (self.steps() % self.per_epoch()) as usize;
        if self.order.as_ref().is_none_or(|(of, _)| *of != epoch) {
            self.order = Some((epoch, batches::epoch(&self.rows, &self.lengths, self.texts.batch, seed, epoch)));
        }
        let rows = self.order.as_ref().map_or(&[][..], |(_, batches)| &batches[at]);
        // A caller may be within a stretch that records no gradients.
        tch::with_grad(|| self.tuner.learn(&self.texts.task(), rows))
    }

    /// All steps of its plan.
    ///
    /// # Errors
    /// [`Error::Interrupted`] once `stop` says so; as [`Healing::step`].
    pub fn run(&mut self, stop: &dyn Fn() -> bool) -> Result<()> {
        while !self.is_done() {
            if stop() {
                return Err(Error::Interrupted);
            }
            self.step()?;
        }
        Ok(())
    }

    /// Judges the model as it is now on `rows`.
    ///
    /// # Errors
    /// [`Error::Interrupted`] once `stop` says so; when the model cannot be run.
    pub fn judge(&self, rows: &[usize], stop: &dyn Fn() -> bool) -> Result<Judged> {
        self.tuner.model.judge(&self.texts.task(), rows, stop)
    }

    /// Whether a validation is due: before the first pass and after each.
    pub fn wants_validation(&self) -> bool {
        self.begins_epoch() && self.validation.done <= self.epoch()
    }

    /// Judges the model on the validation rows, and keeps its parameters where it is the best so far.
    ///
    /// # Errors
    /// As [`Healing::judge`].
    pub fn validate(&mut self, rows: &[usize], stop: &dyn Fn() -> bool) -> Result<Judged> {
        let judged = self.judge(rows, stop)?;
        let (epoch, step, scores, loss) = (self.epoch(), self.steps(), judged.scores(), judged.loss);
        if epoch == 0 {
            self.validation.before = Some(scores);
        }
        let better = |b: &Best| (scores.f1, -loss) > (b.scores.f1, -b.loss);
        if self.validation.best.as_ref().is_none_or(better) {
            self.validation.best = Some(Best { epoch, step, scores, loss });
            self.best = self.tuner.model.params.to_vec()?;
        }
        self.validation.done = epoch + 1;
        Ok(judged)
    }

    /// What validation said so far.
    pub fn validation(&self) -> &Validation {
        &self.validation
    }

    /// Whether so many passes in a row brought nothing better (early stopping); never for 0.
    pub fn is_stale(&self, patience: u64) -> bool {
        let waited = self.epoch() - self.validation.best.map_or(0, |b| b.epoch);
        patience > 0 && self.begins_epoch() && waited >= patience
    }

    /// The parameters of the best pass; empty before the first validation.
    pub fn best(&self) -> &[f32] {
        &self.best
    }

    /// Puts the parameters of the best pass back.
    ///
    /// # Errors
    /// When there was no validation yet, or the device cannot be written.
    pub fn take_best(&mut self) -> Result<()> {
        self.tuner.model.params.set(&self.best)
    }

    /// Parameters and optimiser, and the parameters of the best pass, exact: with [`Healing::validation`] all there is.
    ///
    /// # Errors
    /// When the device cannot be read.
    pub fn save(&self) -> Result<[Vec<u8>; 2]> {
        let mut best = Vec::new();
        snapshot::put(&mut best, &self.best);
        Ok([self.tuner.to_bytes()?, best])
    }

    /// Takes back what [`Healing::save`] gave and what validation had said.
    ///
    /// # Errors
    /// When they are of another model.
    pub fn restore(&mut self, [tuner, best]: [&[u8]; 2], validation: Validation) -> Result<()> {
        self.tuner.restore(tuner)?;
        (self.best, self.validation) = (snapshot::get(best)?, validation);
        Ok(())
    }
}

#[cfg(test)]
mod tests;
