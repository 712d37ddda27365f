//! A small multi-layer perceptron on the CPU, forward and backward, allocation-free, over a flat parameter slice.
//!
//! The products run in `faer`, which picks AVX2 or AVX-512 at run time; the element-wise loops are compiled for AVX2 as well, through
//! `pulp`, and chosen where it is there.
use crate::{
    blocks::Activation,
    layout::{Init, Layout},
};
use faer::{Accum, MatMut, MatRef, Par, linalg::matmul::matmul};
use pulp::{Arch, NullaryFnOnce};
use std::ops::Range;

mod norm;
pub use norm::Norm;
use norm::Normed;

/// Layers `sizes[0] -> sizes[1] -> ...`, a normalisation (if any) and the activation between them, none after the last. Weights are
/// `[out, in]`.
#[derive(Clone, Debug)]
pub struct NativeMlp {
    sizes: Vec<usize>,
    activation: Activation,
    weights: Vec<Range<usize>>,
    biases: Vec<Range<usize>>,
    norms: Vec<norm::Pieces>, // per hidden layer, where they are normalised
}

/// What a forward pass leaves for the backward one; as big as the largest batch it was used with.
#[derive(Clone, Debug, Default)]
pub struct Workspace {
    outputs: Vec<Vec<f32>>, // per layer, [batch, out], after the activation
    slopes: Vec<Vec<f32>>, // per hidden layer, [batch, out]: the activation's derivative, where its output does not tell it
    grads: Vec<Vec<f32>>,  // per layer, [batch, out]: the loss's derivative by the layer's output
    normed: Vec<Normed>,   // per hidden layer
    zeros: Vec<f32>,
    batch: usize,
}

fn view(data: &[f32], rows: usize, columns: usize) -> MatRef<'_, f32> {
    MatRef::from_row_major_slice(data, rows, columns)
}

fn view_mut(data: &mut [f32], rows: usize, columns: usize) -> MatMut<'_, f32> {
    MatMut::from_row_major_slice_mut(data, rows, columns)
}

/// `c = a b`, or `c += a b`, on this thread.
fn multiply(c: MatMut<'_, f32>, add: Accum, a: MatRef<'_, f32>, b: MatRef<'_, f32>) {
    matmul(c, add, a, b, 1.0, Par::Seq);
}

impl NativeMlp {
    /// Adds the layers' parameters to `layout`, named `<name>.<layer>.weight` and `.bias`: orthogonal with gain sqrt 2 within and
    /// `last_gain` at the end, biases zero, as is the custom for policy gradients (arXiv 2005.12729).
    ///
    /// # Panics
    /// With fewer than two sizes: there is no layer then.
    pub fn new(layout: &mut Layout, name: &str, sizes: &[usize], activation: Activation, last_gain: f32) -> Self {
        Self::normed(layout, name, sizes, (activation, Norm::None), last_gain)
    }

    /// The same with a normalisation before each activation: `<name>.<layer>.scale` and `.shift`, and for batch normalisation the
    /// running `.mean` and `.variance`, which have no gradient.
    ///
    /// # Panics
    /// With fewer than two sizes.
    pub fn normed(
        layout: &mut Layout,
        name: &str,
        sizes: &[usize],
        (activation, norm): (Activation, Norm),
        last_gain: f32,
    ) -> Self {
        assert!(sizes.len() >= 2, "a perceptron has an input and an output size");
        let last = sizes.len() - 2;
        let (mut weights, mut biases, mut norms) = (Vec::new(), Vec::new(), Vec::new());
        for (i, pair) in sizes.windows(2).enumerate() {
            let gain = if i == last { last_gain } else { std::f32::consts::SQRT_2 };
            let weight = layout.add(format!("{name}.{i}.weight"), &[pair[1], pair[0]], Init::Orthogonal { gain });
            let bias = layout.add(format!("{name}.{i}.bias"), &[pair[1]], Init::Zeros);
            weights.push(layout.range(weight));
            biases.push(layout.range(bias));
            if norm != Norm::None && i < last {
                norms.push(norm::Pieces::new(layout, &format!("{name}.{i}"), pair[1], norm));
            }
        }
        Self { sizes: sizes.into(), activation, weights, biases, norms }
    }

    /// Width of an input row.
    pub fn inputs(&self) -> usize {
        self.sizes[0]
    }
    /// Width of an output row.
    pub fn outputs(&self) -> usize {
        self.sizes[self.sizes.len() - 1]
    }
    /// Multiply-adds of one row's forward pass.
    pub fn multiply_adds(&self) -> usize {
        self.sizes.windows(2).map(|p| p[0] * p[1]).sum()
    }

    /// The outputs `[batch, outputs]` for inputs `x`, `[batch, inputs]`. Batch normalisation uses its running statistics.
    pub fn forward<'w>(&self, params: &[f32], x: &[f32], work: &'w mut Workspace) -> &'w [f32] {
        self.run(params, x, work, false)
    }

    /// The same by the statistics of this batch, where there is batch normalisation; [`NativeMlp::track`] then takes them over.
    pub fn forward_train<'w>(&self, params: &[f32], x: &[f32], work: &'w mut Workspace) -> &'w [f32] {
        self.run(params, x, work, true)
    }

    /// Moves the running statistics of batch normalisation the fraction `rate` towards those of the last
    /// [`NativeMlp::forward_train`] on `work`.
    pub fn track(&self, params: &mut [f32], work: &Workspace, rate: f32) {
        for (pieces, normed) in self.norms.iter().zip(&work.normed) {
            pieces.track(params, normed, work.batch, rate);
        }
    }

    fn run<'w>(&self, params: &[f32], x: &[f32], work: &'w mut Workspace, train: bool) -> &'w [f32] {
        let batch = x.len() / self.inputs();
        debug_assert_eq!(x.len(), batch * self.inputs());
        work.fit(&self.sizes, batch, self.activation);
        let last = self.weights.len() - 1;
        for layer in 0..=last {
            let (inputs, outputs) = (self.sizes[layer], self.sizes[layer + 1]);
            let (before, after) = work.outputs.split_at_mut(layer);
            let x = if layer == 0 { x } else { &before[layer - 1][..batch * inputs] };
            let y = &mut after[0][..batch * outputs];
            let bias = &params[self.biases[layer].clone()];
            let weight = view(&params[self.weights[layer].clone()], outputs, inputs);
            multiply(view_mut(y, batch, outputs), Accum::Replace, view(x, batch, inputs), weight.transpose());
            if layer == last {
                each(y, bias, |y| y);
                continue;
            }
            let Some(pieces) = self.norms.get(layer) else {
                activate(self.activation, y, bias, &mut work.slopes[layer]);
                continue;
            };
            let (rows, normed) = ((&mut *y, bias), &mut work.normed[layer]);
            match self.activation {
                Activation::Tanh => pieces.forward(params, rows, normed, train, tanh),
                Activation::Relu => pieces.forward(params, rows, normed, train, relu),
                Activation::Elu => pieces.forward(params, rows, normed, train, elu),
                Activation::Silu => {
                    pieces.forward(params, rows, normed, train, |y| y);
                    activate(self.activation, y, &work.zeros[..outputs], &mut work.slopes[layer]);
                }
            }
        }
        &work.outputs[last][..batch * self.outputs()]
    }

    /// The outputs of the last [`NativeMlp::forward`] on `work`.
    pub fn output<'w>(&self, work: &'w Workspace) -> &'w [f32] {
        &work.outputs[self.weights.len() - 1][..work.batch * self.outputs()]
    }

    /// Adds the gradients of the parameters to `grads` for a loss whose derivative by the outputs of the last
    /// [`NativeMlp::forward`] on `work`, with inputs `x`, is `dy`, `[batch, outputs]`.
    pub fn backward(&self, params: &[f32], x: &[f32], dy: &[f32], work: &mut Workspace, grads: &mut [f32]) {
        debug_assert_eq!(x.len(), work.batch * self.inputs());
        self.propagate(params, dy, work, Some((x, grads)));
    }

    /// As [`NativeMlp::backward`], but only by the inputs: what [`NativeMlp::input_grads`] then reads.
    pub fn backward_inputs(&self, params: &[f32], dy: &[f32], work: &mut Workspace) {
        self.propagate(params, dy, work, None);
    }

    fn propagate(&self, params: &[f32], dy: &[f32], work: &mut Workspace, mut learn: Option<(&[f32], &mut [f32])>) {
        let batch = work.batch;
        debug_assert_eq!(dy.len(), batch * self.outputs());
        let last = self.weights.len() - 1;
        work.grads[last][..dy.len()].copy_from_slice(dy);
        for layer in (0..=last).rev() {
            let (inputs, outputs) = (self.sizes[layer], self.sizes[layer + 1]);
            let (lower, upper) = work.grads.split_at_mut(layer);
            let dy = &upper[0][..batch * outputs];
            let dy_view = view(dy, batch, outputs);
            if let Some((x, grads)) = &mut learn {
                let x = if layer == 0 { x } else { &work.outputs[layer - 1][..batch * inputs] };
                let dw = view_mut(&mut grads[self.weights[layer].clone()], outputs, inputs);
                multiply(dw, Accum::Add, dy_view.transpose(), view(x, batch, inputs));
                let db = &mut grads[self.biases[layer].clone()];
                vectorized(
                    #[inline(always)]
                    || {
                        for row in dy.chunks_exact(outputs) {
                            db.iter_mut().zip(row).for_each(|(b, d)| *b += d);
                        }
                    },
                );
            }
            if layer > 0 {
                let dx = &mut lower[layer - 1][..batch * inputs];
                let weight = view(&params[self.weights[layer].clone()], outputs, inputs);
                multiply(view_mut(dx, batch, inputs), Accum::Replace, dy_view, weight);
                let y = &work.outputs[layer - 1][..batch * inputs];
                let slopes = &work.slopes[layer - 1];
                let Some(pieces) = self.norms.get(layer - 1) else {
                    deactivate(self.activation, dx, y, slopes);
                    continue;
                };
                let (grads, normed) = (learn.as_mut().map(|(_, grads)| &mut **grads), &mut work.normed[layer - 1]);
                match self.activation {
                    Activation::Tanh => pieces.backward(params, (dx, y), normed, grads, tanh_slope),
                    Activation::Relu => pieces.backward(params, (dx, y), normed, grads, relu_slope),
                    Activation::Elu => pieces.backward(params, (dx, y), normed, grads, elu_slope),
                    Activation::Silu => pieces.backward(params, (dx, &slopes[..batch * inputs]), normed, grads, |s| s),
                }
            }
        }
    }
}

impl NativeMlp {
    /// Leaves of the last [`NativeMlp::forward`] on `work` only these of its rows, which ascend: where the others' derivatives are 0 a
    /// backward pass, whose `x` and `dy` are then of these rows, need not go through them. Not after [`NativeMlp::forward_train`] by
    /// batch normalisation, which ties rows together.
    pub fn keep(&self, rows: &[usize], work: &mut Workspace) {
        debug_assert!(rows.is_sorted() && rows.last().is_none_or(|r| *r < work.batch));
        for (layer, width) in self.sizes[1..].iter().enumerate() {
            keep(rows, *width, &mut work.outputs[layer]);
            if !work.slopes[layer].is_empty() {
                keep(rows, *width, &mut work.slopes[layer]);
            }
            if let Some(pieces) = self.norms.get(layer) {
                pieces.keep(rows, &mut work.normed[layer]);
            }
        }
        work.batch = rows.len();
    }

    /// The loss's derivative by the inputs, `[batch, inputs]`, into `dx`, after a backward pass on `work`.
    pub fn input_grads(&self, params: &[f32], work: &Workspace, dx: &mut [f32]) {
        let (batch, inputs, outputs) = (work.batch, self.sizes[0], self.sizes[1]);
        let dy = view(&work.grads[0][..batch * outputs], batch, outputs);
        let weight = view(&params[self.weights[0].clone()], outputs, inputs);
        multiply(view_mut(dx, batch, inputs), Accum::Replace, dy, weight);
    }
}

impl Workspace {
    /// Grows to `batch` rows; never shrinks, so that alternating batch sizes do not allocate.
    fn fit(&mut self, sizes: &[usize], batch: usize, activation: Activation) {
        self.batch = batch;
        let layers = sizes.len() - 1;
        self.outputs.resize_with(layers, Vec::new);
        self.slopes.resize_with(layers, Vec::new);
        self.grads.resize_with(layers, Vec::new);
        self.normed.resize_with(layers, Normed::default);
        for (layer, &outputs) in sizes[1..].iter().enumerate() {
            if self.outputs[layer].len() < batch * outputs {
                self.outputs[layer].resize(batch * outputs, 0.0);
                self.grads[layer].resize(batch * outputs, 0.0);
            }
            if activation == Activation::Silu && self.slopes[layer].len() < batch * outputs {
                self.slopes[layer].resize(batch * outputs, 0.0);
            }
            if self.zeros.len() < outputs {
                self.zeros.resize(outputs, 0.0);
            }
        }
    }
}

/// Moves those rows of `width` to the front.
fn keep(rows: &[usize], width: usize, of: &mut [f32]) {
    rows.iter().enumerate().for_each(|(to, from)| of.copy_within(from * width..(from + 1) * width, to * width));
}

/// `c = a b` for square matrices of `n` rows, row-major: what the networks here spend their time on, to measure.
///
/// # Panics
/// When a slice is of another size.
pub fn product(a: &[f32], b: &[f32], c: &mut [f32], n: usize) {
    multiply(view_mut(c, n, n), Accum::Replace, view(a, n, n), view(b, n, n));
}

/// Moves `target` the fraction `tau` towards `params`: target averaging.
pub fn lerp(target: &mut [f32], params: &[f32], tau: f32) {
    vectorized(
        #[inline(always)]
        || target.iter_mut().zip(params).for_each(|(t, p)| *t += tau * (p - *t)),
    );
}

/// Runs a loop as compiled for the vector registers that are there. The closure must be `#[inline(always)]`; it is called in place, for
/// what calls a closure that is handed over whole is a function of its own, for which no registers are chosen.
#[inline(always)]
pub(crate) fn vectorized(f: impl FnMut()) {
    struct Loop<F>(F);
    impl<F: FnMut()> NullaryFnOnce for Loop<F> {
        type Output = ();
        #[inline(always)]
        fn call(mut self) {
            (self.0)();
        }
    }
    Arch::new().dispatch(Loop(f));
}

/// `y = f(y + bias)`, row by row.
#[inline(always)]
fn each(y: &mut [f32], bias: &[f32], f: impl Fn(f32) -> f32) {
    vectorized(
        #[inline(always)]
        || {
            for row in y.chunks_exact_mut(bias.len()) {
                row.iter_mut().zip(bias).for_each(|(y, b)| *y = f(*y + *b));
            }
        },
    );
}

/// `d *= f(y)`.
#[inline(always)]
fn scale(d: &mut [f32], y: &[f32], f: impl Fn(f32) -> f32) {
    vectorized(
        #[inline(always)]
        || d.iter_mut().zip(y).for_each(|(d, y)| *d *= f(*y)),
    );
}

/// Adds the bias and applies the activation in place; writes its derivative where the output does not tell it.
fn activate(activation: Activation, y: &mut [f32], bias: &[f32], slope: &mut [f32]) {
    match activation {
        Activation::Tanh => each(y, bias, tanh),
        Activation::Relu => each(y, bias, relu),
        Activation::Elu => each(y, bias, elu),
        Activation::Silu => {
            for (y, slope) in y.chunks_exact_mut(bias.len()).zip(slope.chunks_exact_mut(bias.len())) {
                for ((y, s), b) in y.iter_mut().zip(slope).zip(bias) {
                    let x = *y + b;
                    let sigmoid = 1.0 / (1.0 + (-x).exp());
                    *s = sigmoid * (1.0 + x * (1.0 - sigmoid));
                    *y = x * sigmoid;
                }
            }
        }
    }
}

/// Multiplies `d` by the activation's derivative where it gave `y`.
fn deactivate(activation: Activation, d: &mut [f32], y: &[f32], slope: &[f32]) {
    match activation {
        Activation::Tanh => scale(d, y, tanh_slope),
        Activation::Relu => scale(d, y, relu_slope),
        Activation::Elu => scale(d, y, elu_slope),
        Activation::Silu => scale(d, slope, |s| s),
    }
}

#[inline(always)]
fn relu(x: f32) -> f32 {
    x.max(0.0)
}
#[inline(always)]
fn elu(x: f32) -> f32 {
    if x > 0.0 { x } else { x.exp_m1() }
}

// Derivatives where the activation gave y.
#[inline(always)]
fn tanh_slope(y: f32) -> f32 {
    1.0 - y * y
}
#[inline(always)]
fn relu_slope(y: f32) -> f32 {
    if y > 0.0 { 1.0 } else { 0.0 }
}
#[inline(always)]
fn elu_slope(y: f32) -> f32 {
    1.0 + y.min(0.0)
}

/// Hyperbolic tangent to within 5e-7 absolute, without a branch, so that a loop over it runs in vector registers: the rational
/// minimax approximation x P(x^2) / Q(x^2) of degree 13/6 on [-7.9, 7.9], coefficients as published in Eigen.
#[inline(always)]
pub fn tanh(x: f32) -> f32 {
    // A NaN stays one: clamp keeps it.
    let x = x.clamp(-7.905_311, 7.905_311);
    let z = x * x;
    let p = [
        -2.760_768_5e-16_f32,
        2.000_188e-13,
        -8.604_672e-11,
        5.122_297e-8,
        1.485_722_4e-5,
        6.372_619_3e-4,
        4.893_524_6e-3,
    ];
    let q = [1.198_258_4e-6_f32, 1.185_347e-4, 2.268_434_6e-3, 4.893_525e-3];
    let p = p.iter().skip(1).fold(p[0], |a, c| a * z + c);
    let q = q.iter().skip(1).fold(q[0], |a, c| a * z + c);
    x * p / q
}

#[cfg(test)]
mod tests;
