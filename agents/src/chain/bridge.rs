//! Where skills began and ended, and what tells the two apart.
use rlx::{Error, Result, Rng, snapshot};
use rlx_nn::{Activation, Adam, AdamConfig, Layout, NativeMlp, native::Workspace};
use serde::{Deserialize, Serialize};

/// Rows that are kept of a kind.
const KEPT: usize = 256;

/// The last states of a kind, `[at most 256, width]`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct RecentStates {
    width: usize,
    rows: Vec<f32>,
    next: usize, // that is overwritten when full
}

impl RecentStates {
    pub fn new(width: usize) -> Self {
        Self { width, rows: Vec::new(), next: 0 }
    }
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }
    pub fn len(&self) -> usize {
        self.rows.len() / self.width
    }
    pub fn push(&mut self, row: &[f32]) {
        if self.len() < KEPT {
            self.rows.extend_from_slice(row);
        } else {
            self.rows[self.next * self.width..(self.next + 1) * self.width].copy_from_slice(row);
        }
        self.next = (self.next + 1) % KEPT;
    }
    /// A row drawn uniformly.
    fn one(&self, rng: &mut Rng) -> &[f32] {
        let at = rng.below(self.len()) * self.width;
        &self.rows[at..at + self.width]
    }
    /// All of them, `[rows, width]`.
    pub fn all(&self) -> &[f32] {
        &self.rows
    }
}

/// P(a row is a beginning of the next skill that led to its success), against the endings of the skill before.
pub(super) struct Discriminator {
    mlp: NativeMlp,
    params: Vec<f32>,
    grads: Vec<f32>,
    adam: Adam,
    work: Workspace,
    x: Vec<f32>,
}

/// Rows of each kind in an update.
const HALF: usize = 32;

impl Discriminator {
    pub fn new(width: usize, seed: u64) -> Self {
        let mut layout = Layout::new();
        let mlp = NativeMlp::new(&mut layout, "discriminator", &[width, 64, 64, 1], Activation::Relu, 1.0);
        let params = layout.init(seed);
        let adam = Adam::new(AdamConfig::default(), params.len());
        Self { grads: vec![0.0; params.len()], adam, mlp, params, work: Workspace::default(), x: Vec::new() }
    }

    /// A step of logistic regression.
    pub fn learn(&mut self, beginnings: &RecentStates, endings: &RecentStates, rng: &mut Rng) {
        if beginnings.is_empty() || endings.is_empty() {
            return;
        }
        self.x.clear();
        (0..HALF).for_each(|_| self.x.extend_from_slice(beginnings.one(rng)));
        (0..HALF).for_each(|_| self.x.extend_from_slice(endings.one(rng)));
        let logits = self.mlp.forward(&self.params, &self.x, &mut self.work);
        let d: Vec<f32> = logits
            .iter()
            .enumerate()
            .map(|(i, z)| (1.0 / (1.0 + (-z).exp()) - f32::from(u8::from(i < HALF))) / (2 * HALF) as f32)
            .collect();
        self.grads.fill(0.0);
        self.mlp.backward(&self.params, &self.x, &d, &mut self.work, &mut self.grads);
        self.adam.step(&mut self.params, &self.grads, 3e-4);
    }

    pub fn probability(&mut self, row: &[f32]) -> f32 {
        1.0 / (1.0 + (-self.mlp.forward(&self.params, row, &mut self.work)[0]).exp())
    }

    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        snapshot::put(&mut bytes, &self.params);
        snapshot::put(&mut bytes, &self.adam.to_bytes());
        bytes
    }

    pub fn restore(&mut self, mut bytes: &[u8]) -> Result<()> {
        let params: Vec<f32> = snapshot::take(&mut bytes)?;
        if params.len() != self.params.len() {
            let (own, found) = (self.params.len().to_string(), params.len().to_string());
            return Err(Error::mismatch("parameters of the discriminator", own, found));
        }
        self.params = params;
        self.adam.restore(&snapshot::get::<Vec<u8>>(bytes)?)
    }
}
