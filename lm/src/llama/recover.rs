//! Recovery: training the low-rank adapters of a compressed model on text, its weights frozen as they are stored.
use super::{
    likelihood::Windows,
    model::{Linear, Model},
};
use crate::{lora::Adapter, quant::Matrix};
use rlx::{Error, Result, Rng, snapshot};
use rlx_nn::{AdamConfig, Init, Layout, TensorAdam};
use serde::{Deserialize, Serialize};
use tch::{Kind, Tensor};

/// How adapters are trained.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Recovery {
    /// Updates.
    pub steps: u64,
    /// Highest learning rate.
    pub learning_rate: f64,
    /// Updates of linear warm-up; then it falls by a cosine to zero.
    pub warmup: u64,
    /// Windows of a forward pass.
    pub batch: usize,
    /// Passes whose gradients make an update.
    pub accumulate: usize,
    /// AdamW's weight decay.
    pub weight_decay: f64,
    /// Largest global norm of a gradient.
    pub clip: f64,
    /// Chooses the windows.
    pub seed: u64,
}

impl Default for Recovery {
    fn default() -> Self {
        Self {
            steps: 100,
            learning_rate: 3e-4,
            warmup: 10,
            batch: 4,
            accumulate: 1,
            weight_decay: 0.0,
            clip: 1.0,
            seed: 0,
        }
    }
}

impl Recovery {
    /// The learning rate of update `step`, counted from 0.
    pub fn rate(&self, step: u64) -> f64 {
        if step < self.warmup {
            return self.learning_rate * (step + 1) as f64 / self.warmup as f64;
        }
        let done = (step - self.warmup) as f64 / (self.steps.saturating_sub(self.warmup)).max(1) as f64;
        self.learning_rate * 0.5 * (1.0 + (std::f64::consts::PI * done.min(1.0)).cos())
    }
}

/// Gives every projection without an adapter a fresh one, which adds nothing yet: block i's of rank `ranks[i]`, 0 for none.
///
/// # Errors
/// When there is not one rank a block.
pub fn attach(model: &Model, ranks: &[usize], scale: f64, seed: u64) -> Result<Model> {
    if ranks.len() != model.blocks.len() {
        return Err(Error::mismatch("ranks", model.blocks.len().to_string(), ranks.len().to_string()));
    }
    let (mut model, device) = (model.clone(), model.device());
    for (i, (block, rank)) in model.blocks.iter_mut().zip(ranks).enumerate().filter(|(_, (_, r))| **r > 0) {
        for (k, p) in block.projections.iter_mut().enumerate().filter(|(_, p)| p.adapter.is_none()) {
            let mut rng = Rng::named(seed, "adapter", (i * 7 + k) as u64);
            let fresh = Adapter::fresh(*rank, p.weight.rows(), p.weight.columns(), scale, &mut rng);
            p.adapter = Some(fresh.to_device(device));
        }
    }
    Ok(model)
}

/// Adds adapters into weights that are stored as floats; beside packed ones they stay, for their sum is on no grid.
pub fn merge(model: &Model) -> Model {
    let mut model = model.clone();
    for p in model.blocks.iter_mut().flat_map(|b| &mut b.projections) {
        if let (Matrix::Dense(w), Some(_)) = (&p.weight, &p.adapter) {
            let kind = w.kind();
            *p = Linear::new(Matrix::Dense(tch::no_grad(|| p.effective(Kind::Float).to_kind(kind))));
        }
    }
    model
}

/// What a step did.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Step {
    /// Its number, from 1.
    pub step: u64,
    /// Mean loss of its windows, nats a token.
    pub loss: f64,
    /// Norm of its gradient before clipping.
    pub norm: f64,
}

#[derive(Serialize, Deserialize)]
struct State {
    config: String,
    step: u64,
    flat: Vec<f32>,
    adam: Vec<u8>,
}

/// Training in progress. The frozen weights are unpacked to floats once, so it takes the memory of the full-precision model beside activations.
pub struct Trainer {
    config: Recovery,
    stored: Model,
    running: Model,
    flat: Tensor,
    leaves: Vec<Tensor>,
    layout: Layout,
    adam: TensorAdam,
    step: u64,
}

impl Trainer {
    /// For a model with adapters.
    ///
    /// # Errors
    /// When it has none, or the config makes no step.
    pub fn new(model: &Model, config: Recovery) -> Result<Self> {
        if config.batch == 0 || config.accumulate == 0 || config.learning_rate <= 0.0 || config.learning_rate.is_nan() {
            return Err(Error::invalid("recovery: batch, accumulate and learning_rate must be positive"));
        }
        let mut layout = Layout::new();
        let mut starts = Vec::new();
        for (i, block) in model.blocks.iter().enumerate() {
            for (k, adapter) in block.projections.iter().enumerate().filter_map(|(k, p)| Some((k, p.adapter.as_ref()?)))
            {
                for (name, t) in [("a", &adapter.a), ("b", &adapter.b)] {
                    let shape: Vec<usize> = t.size().iter().map(|d| *d as usize).collect();
                    layout.add(format!("{i}.{k}.{name}"), &shape, Init::Zeros);
                    starts.push(rlx_nn::upload::to_vec(&t.to_kind(Kind::Float))?);
                }
            }
        }
        if layout.is_empty() {
            return Err(Error::invalid("recovery: the model has no adapters; attach some"));
        }
        let mut values = vec![0.0; layout.len()];
        layout.pieces().iter().zip(starts).for_each(|(p, v)| values[p.range.clone()].copy_from_slice(&v));
        let flat = Tensor::from_slice(&values).to_device(model.device());
        let leaves: Vec<Tensor> = layout
            .pieces()
            .iter()
            .map(|p| {
                let shape: Vec<i64> = p.shape.iter().map(|d| *d as i64).collect();
                flat.narrow(0, p.range.start as i64, p.range.len() as i64)
                    .view(&shape[..])
                    .detach()
                    .set_requires_grad(true)
            })
            .collect();
        let mut running = model.clone();
        running.embedding = Matrix::Dense(running.embedding.dense(model.compute));
        running.head = running.head.as_ref().map(|h| Matrix::Dense(h.dense(model.compute)));
        let mut next = leaves.chunks(2);
        for p in running.blocks.iter_mut().flat_map(|b| &mut b.projections) {
            p.weight = Matrix::Dense(p.weight.dense(model.compute));
            let Some(adapter) = &mut p.adapter else { continue };
            if let Some([a, b]) = next.next() {
                (adapter.a, adapter.b) = (a.shallow_clone(), b.shallow_clone());
            }
        }
        let adam = AdamConfig { decoupled: true, weight_decay: config.weight_decay, ..AdamConfig::default() };
        let adam = TensorAdam::new(adam, &flat);
        Ok(Self { config, stored: model.clone(), running, flat, leaves, layout, adam, step: 0 })
    }

    /// Parameters that are trained.
    pub fn parameters(&self) -> usize {
        self.layout.parameters()
    }
    /// Updates made.
    pub fn steps(&self) -> u64 {
        self.step
    }
    /// Whether all are made.
    pub fn done(&self) -> bool {
        self.step >= self.config.steps
    }

    /// One update. Its windows are drawn by (seed, step) alone.
    ///
    /// # Errors
    /// [`Error::Interrupted`] once `stop` says so, with nothing changed; [`Error::NonFinite`].
    pub fn update(&mut self, text: &Windows, stop: &dyn Fn() -> bool) -> Result<Step> {
        let mut rng = Rng::named(self.config.seed, "recovery", self.step);
        let mut sum: Option<Vec<Tensor>> = None;
        let (mut loss, n) = (0.0, self.config.accumulate as f64);
        for _ in 0..self.config.accumulate {
            if stop() {
                return Err(Error::Interrupted);
            }
            let ids = text.draw(self.config.batch, &mut rng).to_device(self.running.device());
            let len = ids.size()[1];
            let hidden = self.running.hidden_states(&ids.narrow(1, 0, len - 1), None, None).flatten(0, 1);
            let targets = ids.narrow(1, 1, len - 1).flatten(0, 1);
            let part = self.running.logits(&hidden).cross_entropy_for_logits(&targets);
            loss += part.double_value(&[]) / n;
            let grads = Tensor::f_run_backward(&[part / n], &self.leaves, false, false);
            let grads = grads.map_err(|e| Error::invalid(format!("recovery: {e}")))?;
            sum = Some(match sum {
                None => grads,
                Some(old) => old.iter().zip(&grads).map(|(a, b)| a + b).collect(),
            });
        }
        let mut flat = self.flat.zeros_like();
        for (piece, g) in self.layout.pieces().iter().zip(sum.iter().flatten()) {
            flat.narrow(0, piece.range.start as i64, piece.range.len() as i64).copy_(&g.flatten(0, -1));
        }
        let norm = rlx_nn::adam::clip_grad_norm_tensor(&mut flat, self.config.clip).double_value(&[]);
        if !loss.is_finite() || !norm.is_finite() {
            return Err(Error::NonFinite { what: "the loss or gradient of recovery".into(), step: self.step });
        }
        self.adam.step(&mut self.flat, &flat, self.config.rate(self.step));
        self.step += 1;
        Ok(Step { step: self.step, loss, norm })
    }

    /// All updates that are left; `each` sees every one.
    ///
    /// # Errors
    /// As [`Trainer::update`]; what was done stays done.
    pub fn run(&mut self, text: &Windows, stop: &dyn Fn() -> bool, each: &mut dyn FnMut(Step)) -> Result<()> {
        while !self.done() {
            each(self.update(text, stop)?);
        }
        Ok(())
    }

    /// The model as it is stored, with the adapters as they are now, in half floats.
    pub fn model(&self) -> Model {
        let mut model = self.stored.clone();
        let mut next = self.leaves.chunks(2);
        for adapter in model.blocks.iter_mut().flat_map(|b| &mut b.projections).filter_map(|p| p.adapter.as_mut()) {
            if let Some([a, b]) = next.next() {
                let now = Adapter { a: a.detach().copy(), b: b.detach().copy(), scale: adapter.scale };
                *adapter = now.halved();
            }
        }
        model
    }

    /// What it takes to go on, exact.
    ///
    /// # Errors
    /// When the tensors cannot be read back.
    pub fn to_bytes(&self) -> Result<Vec<u8>> {
        let flat = rlx_nn::upload::to_vec(&self.flat)?;
        let config = serde_json::to_string(&self.config).unwrap_or_default();
        let mut out = Vec::new();
        snapshot::put(&mut out, &State { config, step: self.step, flat, adam: self.adam.to_bytes()? });
        Ok(out)
    }

    /// Goes on where [`Trainer::to_bytes`] was.
    ///
    /// # Errors
    /// When they are of another model or config.
    pub fn restore(&mut self, bytes: &[u8]) -> Result<()> {
        let state: State = snapshot::get(bytes)?;
        let own = serde_json::to_string(&self.config).unwrap_or_default();
        if state.config != own {
            return Err(Error::mismatch("recovery", own, state.config));
        }
        self.adam.restore(&state.adam)?;
        rlx_nn::upload::upload(&state.flat, &mut self.flat)?;
        self.step = state.step;
        Ok(())
    }
}
