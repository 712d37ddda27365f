//! Adam (arXiv 1412.6980) and AdamW (arXiv 1711.05101) over one flat parameter vector, their state open to checkpoints.
use rlx::{Error, Result, snapshot};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tch::Tensor;

/// Hyperparameters beside the learning rate, which a schedule gives at each step.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct AdamConfig {
    /// Decay of the mean of gradients.
    pub beta1: f64,
    /// Decay of the mean of their squares.
    pub beta2: f64,
    /// Added to the root, outside it.
    pub eps: f64,
    /// Weight decay.
    pub weight_decay: f64,
    /// Whether the decay shrinks the weights by themselves (AdamW) instead of joining the gradient (Adam).
    pub decoupled: bool,
}

impl Default for AdamConfig {
    fn default() -> Self {
        Self { beta1: 0.9, beta2: 0.999, eps: 1e-8, weight_decay: 0.0, decoupled: false }
    }
}

/// What a step needs beside the gradient: torch's order of operations, so that results agree with its to rounding.
struct Factors {
    shrink: f32,
    decay: f32,
    size: f32,
    root: f32,
}

impl AdamConfig {
    fn factors(&self, steps: u64, learning_rate: f64) -> Factors {
        let t = steps as f64;
        let decoupled = if self.decoupled { learning_rate * self.weight_decay } else { 0.0 };
        Factors {
            shrink: (1.0 - decoupled) as f32,
            decay: if self.decoupled { 0.0 } else { self.weight_decay as f32 },
            size: (learning_rate / (1.0 - self.beta1.powf(t))) as f32,
            root: (1.0 - self.beta2.powf(t)).sqrt() as f32,
        }
    }
}

/// What the newest counts for in an average of parameters that keeps `kept` of itself at each update, but at the `n`-th no more than
/// n / (n + 10): of few at first, so that untrained ones do not count for long.
pub fn newest_share(kept: f64, n: u64) -> f64 {
    1.0 - kept.min(n as f64 / (n as f64 + 10.0))
}

/// Adam over a slice.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Adam {
    config: AdamConfig,
    steps: u64,
    mean: Vec<f32>,
    square: Vec<f32>,
}

impl Adam {
    /// For `len` parameters.
    pub fn new(config: AdamConfig, len: usize) -> Self {
        Self { config, steps: 0, mean: vec![0.0; len], square: vec![0.0; len] }
    }

    /// One step along `grads`.
    pub fn step(&mut self, params: &mut [f32], grads: &[f32], learning_rate: f64) {
        assert_eq!((params.len(), grads.len()), (self.mean.len(), self.mean.len()), "Adam of another size");
        self.steps += 1;
        let Factors { shrink, decay, size, root } = self.config.factors(self.steps, learning_rate);
        let (b1, b2, eps) = (self.config.beta1 as f32, self.config.beta2 as f32, self.config.eps as f32);
        // The complements in f64 first: 1 - 0.999 in f32 is off by 1e-5 of itself.
        let (c1, c2) = ((1.0 - self.config.beta1) as f32, (1.0 - self.config.beta2) as f32);
        let (mean, square, unroot) = (&mut self.mean, &mut self.square, 1.0 / root);
        crate::native::vectorized(
            #[inline(always)]
            || {
                for (((p, g), m), v) in params.iter_mut().zip(grads).zip(mean.iter_mut()).zip(square.iter_mut()) {
                    let g = *g + decay * *p;
                    *m = b1 * *m + c1 * g;
                    *v = b2 * *v + c2 * g * g;
                    *p = shrink * *p - size * *m / (v.sqrt() * unroot + eps);
                }
            },
        );
    }

    /// Steps taken.
    pub fn steps(&self) -> u64 {
        self.steps
    }

    /// The state, exact.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut out = Vec::new();
        snapshot::put(&mut out, self);
        out
    }

    /// Takes a state back.
    ///
    /// # Errors
    /// When it is not one, or of another size or other hyperparameters.
    pub fn restore(&mut self, bytes: &[u8]) -> Result<()> {
        let other: Self = snapshot::get(bytes)?;
        let n = self.mean.len();
        if other.mean.len() != n || other.square.len() != n {
            return Err(Error::mismatch("optimiser state", format!("{n} parameters"), other.mean.len().to_string()));
        }
        if other.config != self.config {
            let show = |c: &AdamConfig| format!("{c:?}");
            return Err(Error::mismatch("optimiser", show(&self.config), show(&other.config)));
        }
        *self = other;
        Ok(())
    }
}

/// Adam over a flat tensor, wherever it lives: eight tensor operations however many layers there are.
#[derive(Debug)]
pub struct TensorAdam {
    config: AdamConfig,
    steps: u64,
    mean: Tensor,
    square: Tensor,
}

impl TensorAdam {
    /// For parameters like `flat`.
    pub fn new(config: AdamConfig, flat: &Tensor) -> Self {
        Self { config, steps: 0, mean: flat.zeros_like(), square: flat.zeros_like() }
    }

    /// Steps taken.
    pub fn steps(&self) -> u64 {
        self.steps
    }

    /// One step along `grads`, in place.
    pub fn step(&mut self, flat: &mut Tensor, grads: &Tensor, learning_rate: f64) {
        self.steps += 1;
        let f = self.config.factors(self.steps, learning_rate);
        let (b1, b2) = (self.config.beta1, self.config.beta2);
        tch::no_grad(|| {
            let decayed = (f.decay != 0.0).then(|| grads + &*flat * f64::from(f.decay));
            let g = decayed.as_ref().unwrap_or(grads);
            let _ = self.mean.lerp_(g, 1.0 - b1);
            let _ = self.square.g_mul_scalar_(b2).g_add_(&(g * g).g_mul_scalar(1.0 - b2));
            let denominator = (self.square.sqrt() / f64::from(f.root)).g_add_scalar(self.config.eps);
            if f.shrink != 1.0 {
                let _ = flat.g_mul_scalar_(f64::from(f.shrink));
            }
            let _ = flat.g_sub_(&(&self.mean / denominator).g_mul_scalar(f64::from(f.size)));
        });
    }

    /// The state, exact, in the form of [`Adam::to_bytes`].
    ///
    /// # Errors
    /// When the tensors cannot be read back.
    pub fn to_bytes(&self) -> Result<Vec<u8>> {
        let (mean, square) = (crate::upload::to_vec(&self.mean)?, crate::upload::to_vec(&self.square)?);
        Ok(Adam { config: self.config, steps: self.steps, mean, square }.to_bytes())
    }

    /// Takes a state back.
    ///
    /// # Errors
    /// As [`Adam::restore`].
    pub fn restore(&mut self, bytes: &[u8]) -> Result<()> {
        let mut state = Adam::new(self.config, self.mean.size().iter().product::<i64>() as usize);
        state.restore(bytes)?;
        crate::upload::upload(&state.mean, &mut self.mean)?;
        crate::upload::upload(&state.square, &mut self.square)?;
        self.steps = state.steps;
        Ok(())
    }
}

/// Scales `grads` down to a global norm of at most `max` and returns the norm it had, as torch's `clip_grad_norm_` does.
pub fn clip_grad_norm(grads: &mut [f32], max: f64) -> f64 {
    let norm = grads.iter().map(|g| f64::from(*g) * f64::from(*g)).sum::<f64>().sqrt();
    let scale = max / (norm + 1e-6);
    if scale < 1.0 {
        grads.iter_mut().for_each(|g| *g *= scale as f32);
    }
    norm
}

/// The same for a tensor; the norm stays where the tensor is, so that a GPU is not waited for.
pub fn clip_grad_norm_tensor(grads: &mut Tensor, max: f64) -> Tensor {
    tch::no_grad(|| {
        let norm = grads.norm();
        let scale = (max / (&norm + 1e-6)).clamp_max(1.0);
        let _ = grads.g_mul_(&scale);
        norm
    })
}
