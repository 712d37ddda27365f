//! Blocks in tch over one flat parameter tensor.
use crate::{
    layout::{Init, Layout},
    upload,
};
use rlx::Result;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tch::{Device, Kind, Tensor};

/// What stands between layers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Activation {
    /// Hyperbolic tangent.
    #[default]
    Tanh,
    /// max(0, x).
    Relu,
    /// x above 0, exp(x) - 1 below.
    Elu,
    /// x sigmoid(x).
    Silu,
}

impl Activation {
    /// Applies it.
    pub fn apply(self, x: &Tensor) -> Tensor {
        match self {
            Self::Tanh => x.tanh(),
            Self::Relu => x.relu(),
            Self::Elu => x.elu(),
            Self::Silu => x.silu(),
        }
    }
}

/// All parameters of a learner in one flat tensor. The leaves that autograd sees are detached views of its pieces, so that a step of
/// the optimiser is a few operations on the flat tensor however many layers there are.
#[derive(Debug)]
pub struct Params {
    layout: Layout,
    flat: Tensor,
    leaves: Vec<Tensor>,
}

impl Params {
    /// Fresh parameters of `layout` on `device`.
    ///
    /// # Errors
    /// When the device cannot be written.
    pub fn new(layout: Layout, seed: u64, device: Device) -> Result<Self> {
        let mut flat = Tensor::zeros([layout.len() as i64], (Kind::Float, device));
        upload::upload(&layout.init(seed), &mut flat)?;
        let leaf = |p: &crate::layout::Piece| {
            let shape: Vec<i64> = p.shape.iter().map(|&n| n as i64).collect();
            flat.narrow(0, p.range.start as i64, p.range.len() as i64).view(&shape[..]).detach().set_requires_grad(true)
        };
        let leaves = layout.pieces().iter().map(leaf).collect();
        Ok(Self { layout, flat, leaves })
    }

    /// A parameter, as autograd sees it.
    pub fn leaf(&self, piece: usize) -> &Tensor {
        &self.leaves[piece]
    }
    /// The layout.
    pub fn layout(&self) -> &Layout {
        &self.layout
    }
    /// The flat tensor.
    pub fn flat(&self) -> &Tensor {
        &self.flat
    }
    /// The flat tensor, to step on.
    pub fn flat_mut(&mut self) -> &mut Tensor {
        &mut self.flat
    }

    /// The gradients of the leaves as one flat tensor, and forgets them; zeros where a leaf has none.
    pub fn take_grads(&mut self) -> Tensor {
        let mut parts = Vec::with_capacity(2 * self.leaves.len());
        let mut end = 0;
        let zeros = |n: usize| Tensor::zeros([n as i64], (Kind::Float, self.flat.device()));
        for (piece, leaf) in self.layout.pieces().iter().zip(&self.leaves) {
            if piece.range.start > end {
                parts.push(zeros(piece.range.start - end));
            }
            let grad = leaf.grad();
            parts.push(if grad.defined() { grad.reshape([-1]) } else { zeros(piece.range.len()) });
            end = piece.range.end;
        }
        if self.layout.len() > end {
            parts.push(zeros(self.layout.len() - end));
        }
        let flat = Tensor::cat(&parts, 0);
        // Only now: the parts are views of the gradients.
        self.leaves.iter_mut().for_each(Tensor::zero_grad);
        flat
    }

    /// Makes a parameter one that autograd leaves alone: it has no gradient, and no graph is built for what depends on frozen ones alone.
    pub fn freeze(&mut self, piece: usize) {
        self.leaves[piece] = self.leaves[piece].set_requires_grad(false);
    }
    /// Whether a parameter is frozen.
    pub fn is_frozen(&self, piece: usize) -> bool {
        !self.leaves[piece].requires_grad()
    }

    /// The gradients of those leaves one after the other, without padding, and forgets them; zeros where a leaf has none.
    pub fn take_grads_of(&mut self, pieces: &[usize]) -> Tensor {
        let part = |&p: &usize| {
            let grad = self.leaves[p].grad();
            let zeros = || Tensor::zeros([self.layout.range(p).len() as i64], (Kind::Float, self.flat.device()));
            if grad.defined() { grad.reshape([-1]) } else { zeros() }
        };
        let parts: Vec<Tensor> = pieces.iter().map(part).collect();
        let flat = Tensor::cat(&parts, 0);
        pieces.iter().for_each(|&p| self.leaves[p].zero_grad());
        flat
    }

    /// Moves every parameter the fraction `tau` towards `other`'s: target averaging.
    pub fn lerp_from(&mut self, other: &Self, tau: f64) {
        tch::no_grad(|| {
            let _ = self.flat.lerp_(&other.flat, tau);
        });
    }

    /// The flat vector.
    ///
    /// # Errors
    /// When the device cannot be read.
    pub fn to_vec(&self) -> Result<Vec<f32>> {
        upload::to_vec(&self.flat)
    }
    /// Takes a flat vector over.
    ///
    /// # Errors
    /// When it is of another size.
    pub fn set(&mut self, flat: &[f32]) -> Result<()> {
        upload::upload(flat, &mut self.flat)
    }
}

/// A multi-layer perceptron: the same layers, names and start as [`crate::NativeMlp`].
#[derive(Clone, Debug)]
pub struct Mlp {
    layers: Vec<(usize, usize)>,
    activation: Activation,
}

impl Mlp {
    /// Adds the layers' parameters to `layout`.
    pub fn new(layout: &mut Layout, name: &str, sizes: &[usize], activation: Activation, last_gain: f32) -> Self {
        let last = sizes.len().saturating_sub(2);
        let layers = sizes.windows(2).enumerate().map(|(i, pair)| {
            let gain = if i == last { last_gain } else { std::f32::consts::SQRT_2 };
            let weight = layout.add(format!("{name}.{i}.weight"), &[pair[1], pair[0]], Init::Orthogonal { gain });
            (weight, layout.add(format!("{name}.{i}.bias"), &[pair[1]], Init::Zeros))
        });
        Self { layers: layers.collect(), activation }
    }

    /// `[batch, in]` to `[batch, out]`.
    pub fn forward(&self, params: &Params, x: &Tensor) -> Tensor {
        let mut y = x.shallow_clone();
        for (i, &(weight, bias)) in self.layers.iter().enumerate() {
            y = y.linear(params.leaf(weight), Some(params.leaf(bias)));
            if i + 1 < self.layers.len() {
                y = self.activation.apply(&y);
            }
        }
        y
    }
}

/// A gated recurrent unit (Cho et al., arXiv 1406.1078), torch's variant and order of gates (reset, update, new).
#[derive(Clone, Debug)]
pub struct Gru {
    input: (usize, usize),
    hidden: (usize, usize),
    size: i64,
}

impl Gru {
    /// Adds its parameters to `layout`: orthogonal, biases zero.
    pub fn new(layout: &mut Layout, name: &str, inputs: usize, size: usize) -> Self {
        let mut pair = |part: &str, width: usize| {
            let weight =
                layout.add(format!("{name}.weight_{part}"), &[3 * size, width], Init::Orthogonal { gain: 1.0 });
            (weight, layout.add(format!("{name}.bias_{part}"), &[3 * size], Init::Zeros))
        };
        let input = pair("ih", inputs);
        Self { input, hidden: pair("hh", size), size: size as i64 }
    }

    /// Runs over `x`, `[ticks, batch, in]`, from the state `h`, `[batch, size]`; where `start`, `[ticks, batch, 1]`, is 1 an episode
    /// starts and the state is zero before the tick. Returns every state, `[ticks, batch, size]`.
    pub fn forward(&self, params: &Params, x: &Tensor, h: &Tensor, start: &Tensor) -> Tensor {
        let leaf = |p: (usize, usize)| (params.leaf(p.0), params.leaf(p.1));
        let ((wi, bi), (wh, bh)) = (leaf(self.input), leaf(self.hidden));
        // The inputs' part of all ticks at once: one large product instead of many small ones.
        let from_x = x.linear(wi, Some(bi));
        let mut h = h.shallow_clone();
        let mut states = Vec::new();
        for t in 0..x.size()[0] {
            h = &h * (1.0 - start.get(t));
            let (a, b) = (from_x.get(t), h.linear(wh, Some(bh)));
            let gate = |i: i64| (a.narrow(1, i * self.size, self.size), b.narrow(1, i * self.size, self.size));
            let ((xr, hr), (xz, hz), (xn, hn)) = (gate(0), gate(1), gate(2));
            let r = (xr + hr).sigmoid();
            let z = (xz + hz).sigmoid();
            let n = (xn + r * hn).tanh();
            h = &n + z * (&h - &n);
            states.push(h.shallow_clone());
        }
        Tensor::stack(&states, 0)
    }
}
