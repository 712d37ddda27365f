//! Fine-tuning: AdamW (arXiv 1711.05101), linear warm-up and decay, as BERT has it (arXiv 1810.04805, appendix A.3).
use super::{Classifier, classify::Task, model::Dropout};
use rlx::{Error, Result, snapshot};
use rlx_nn::{AdamConfig, TensorAdam, adam::clip_grad_norm_tensor, threads};
use serde::{Deserialize, Serialize};
use std::sync::{Mutex, PoisonError};
use tch::{Reduction, Tensor};

/// How a classifier is fine-tuned.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Plan {
    /// The highest learning rate.
    pub learning_rate: f64,
    /// Weight decay of weights; biases and layer normalisation have none.
    pub weight_decay: f64,
    /// Share of the steps in which the learning rate rises from 0.
    pub warmup: f64,
    /// Steps in all: at the last one the learning rate is all but 0.
    pub steps: u64,
    /// Share that is dropped out.
    pub dropout: f64,
    /// Gradients of a larger norm are scaled down to it; 0 for never.
    pub max_grad_norm: f64,
    /// Seed of dropout.
    pub seed: u64,
}

impl Default for Plan {
    /// Weight decay, warm-up and clipping as BERT has them; no steps yet.
    fn default() -> Self {
        let (learning_rate, weight_decay, warmup) = (1e-4, 0.01, 0.1);
        Self { learning_rate, weight_decay, warmup, steps: 0, dropout: 0.1, max_grad_norm: 1.0, seed: 0 }
    }
}

impl Plan {
    /// The learning rate of step `t`, from 0.
    pub fn rate(&self, t: u64) -> f64 {
        let (t, steps) = (t as f64, self.steps as f64);
        let rise = (self.warmup * steps).ceil();
        let part = if t < rise { (t + 1.0) / rise } else { (steps - t) / (steps - rise).max(1.0) };
        self.learning_rate * part.clamp(0.0, 1.0)
    }
}

/// A classifier being fine-tuned.
#[derive(Debug)]
pub struct Tuner {
    /// The classifier.
    pub model: Classifier,
    plan: Plan,
    steps: u64,
    parts: Vec<Stretch>,
    /// The pieces that learn, where not all do.
    learning: Option<Vec<usize>>,
}

/// A stretch of the flat vector with its optimiser. On a CPU an operation on all of it is as slow as memory, and its result is memory
/// that the system must first make: stretches that fit a cache are several times as fast, and the same numbers.
#[derive(Debug)]
struct Stretch {
    start: i64,
    /// Where its gradient starts.
    grad: i64,
    len: i64,
    /// The learning rate, as a multiple of the plan's.
    rate: f64,
    adam: TensorAdam,
}

/// Torch has one generator for all threads, which dropout draws from: whoever takes a step is alone.
static GENERATOR: Mutex<()> = Mutex::new(());

/// Floats of a stretch: 1 MiB.
const STRETCH: i64 = 1 << 18;

/// What a step reports.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Step {
    /// Mean cross-entropy of the batch.
    pub loss: f64,
    /// Norm of the gradient before it was scaled.
    pub grad_norm: f64,
    /// The learning rate.
    pub learning_rate: f64,
}

#[derive(Serialize, Deserialize)]
struct State {
    steps: u64,
    flat: Vec<f32>,
    parts: Vec<Vec<u8>>,
}

impl Tuner {
    /// Ready for the first step.
    pub fn new(model: Classifier, plan: Plan) -> Self {
        let flat = model.params.flat();
        let (n, all) = (model.decayed as i64, flat.numel() as i64);
        let config = |weight_decay| AdamConfig { weight_decay, decoupled: true, ..AdamConfig::default() };
        let most = if flat.device() == tch::Device::Cpu { STRETCH } else { all };
        let learning = model.learning();
        let pieces = model.params.layout().pieces();
        let whole = learning.len() == pieces.len();
        // (from, to, where the gradient starts, weight decay, rate)
        let mut spans = vec![(0, n, 0, plan.weight_decay, 1.0), (n, all, n, 0.0, 1.0)];
        if !whole {
            let mut at = 0;
            let span = |&p: &usize| {
                let (range, name) = (&pieces[p].range, &pieces[p].name);
                let decay = if range.end <= model.decayed { plan.weight_decay } else { 0.0 };
                let rate = if name.contains(".lora_") { model.adapter_rate } else { 1.0 };
                let grad = at;
                at += range.len() as i64;
                (range.start as i64, range.end as i64, grad, decay, rate)
            };
            spans = learning.iter().map(span).collect();
        }
        let mut parts = Vec::new();
        for (from, to, grad, weight_decay, rate) in spans {
            for start in (from..to).step_by(most as usize) {
                let len = most.min(to - start);
                let adam = TensorAdam::new(config(weight_decay), &flat.narrow(0, start, len));
                parts.push(Stretch { start, grad: grad + start - from, len, rate, adam });
            }
        }
        Self { model, plan, steps: 0, parts, learning: (!whole).then_some(learning) }
    }

    /// Steps taken.
    pub fn steps(&self) -> u64 {
        self.steps
    }
    /// How it is fine-tuned.
    pub fn plan(&self) -> &Plan {
        &self.plan
    }

    /// One step on `rows`.
    ///
    /// # Errors
    /// When the loss is not finite, or the device cannot be written; the parameters are then as they were.
    pub fn learn(&mut self, task: &Task<'_>, rows: &[usize]) -> Result<Step> {
        let (batch, labels) = task.batch(rows, self.model.params.flat().device())?;
        let _alone = GENERATOR.lock().unwrap_or_else(PoisonError::into_inner);
        // Reseeded at each step: a resumed run drops the same.
        threads::seed(self.plan.seed, self.steps);
        let dropout = Dropout { share: self.plan.dropout, learning: true };
        let (logits, _) = self.model.forward(&batch, dropout);
        let loss = logits.cross_entropy_loss::<Tensor>(&labels, None, Reduction::Mean, -100, 0.0);
        let value = loss.double_value(&[]);
        if !value.is_finite() {
            return Err(Error::NonFinite { what: "the loss".into(), step: self.steps });
        }
        loss.backward();
        let params = &mut self.model.params;
        let mut grads = match &self.learning {
            None => params.take_grads(),
            Some(pieces) => params.take_grads_of(pieces),
        };
        let most = if self.plan.max_grad_norm > 0.0 { self.plan.max_grad_norm } else { f64::INFINITY };
        let grad_norm = clip_grad_norm_tensor(&mut grads, most).double_value(&[]);
        if !grad_norm.is_finite() {
            return Err(Error::NonFinite { what: "the gradient".into(), step: self.steps });
        }
        let learning_rate = self.plan.rate(self.steps);
        let flat = self.model.params.flat_mut();
        for part in &mut self.parts {
            // Views: a step on them is a step on the whole.
            let mut values = flat.narrow(0, part.start, part.len);
            part.adam.step(&mut values, &grads.narrow(0, part.grad, part.len), learning_rate * part.rate);
        }
        self.steps += 1;
        Ok(Step { loss: value, grad_norm, learning_rate })
    }

    /// Parameters and optimiser, exact.
    ///
    /// # Errors
    /// When the device cannot be read.
    pub fn to_bytes(&self) -> Result<Vec<u8>> {
        let mut out = Vec::new();
        let flat = self.model.params.to_vec()?;
        let parts = self.parts.iter().map(|p| p.adam.to_bytes()).collect::<Result<_>>()?;
        let state = State { steps: self.steps, flat, parts };
        snapshot::put(&mut out, &state);
        Ok(out)
    }

    /// Takes a state back.
    ///
    /// # Errors
    /// When it is none, or of another model.
    pub fn restore(&mut self, bytes: &[u8]) -> Result<()> {
        let state: State = snapshot::get(bytes)?;
        if state.parts.len() != self.parts.len() {
            return Err(Error::mismatch(
                "optimiser state",
                format!("{} parts", self.parts.len()),
                state.parts.len().to_string(),
            ));
        }
        for (part, bytes) in self.parts.iter_mut().zip(&state.parts) {
            part.adam.restore(bytes)?;
        }
        self.model.params.set(&state.flat)?;
        self.steps = state.steps;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rate_rises_and_falls_in_lines() {
        let plan = Plan { learning_rate: 3e-3, steps: 120, ..Plan::default() };
        let rates: Vec<f64> = (0..120).map(|t| plan.rate(t) / plan.learning_rate).collect();
        assert!((rates[0] - 1.0 / 12.0).abs() < 1e-12 && (rates[11] - 1.0).abs() < 1e-12);
        assert!((rates[12] - 1.0).abs() < 1e-12 && (rates[66] - 0.5).abs() < 1e-12 && rates[119] < 0.01);
        let flat = Plan { warmup: 0.0, ..plan };
        assert_eq!(flat.rate(0), flat.learning_rate);
    }
}
