//! Normalisation between a layer's products and its activation, forward and backward: batch normalisation (Ioffe and Szegedy, arXiv
//! 1502.03167) and layer normalisation (Ba et al., arXiv 1607.06450).
use super::{each, vectorized};
use crate::layout::{Init, Layout};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::ops::Range;

/// What is normalised.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Norm {
    /// Nothing.
    #[default]
    None,
    /// Each feature over the batch.
    Batch,
    /// Each row over its features.
    Layer,
}

/// Added to variances.
const EPS: f32 = 1e-5;

/// Where a layer's parameters of normalisation stand.
#[derive(Clone, Debug)]
pub(super) struct Pieces {
    width: usize,
    scale: Range<usize>,
    shift: Range<usize>,
    running: Option<(Range<usize>, Range<usize>)>, // mean, variance
}

/// What a forward pass leaves.
#[derive(Clone, Debug, Default)]
pub(super) struct Normed {
    x: Vec<f32>,       // [batch, width], of mean 0 and variance 1
    inverse: Vec<f32>, // 1 / standard deviation, [width] or, of layers, [batch]
    mean: Vec<f32>,    // [width], of the batch
    variance: Vec<f32>,
    by_batch: bool, // whether the statistics were the batch's own, so that its rows are tied together
    sums: Vec<f32>, // scratch, [2, width]
}

impl Pieces {
    pub fn new(layout: &mut Layout, name: &str, width: usize, norm: Norm) -> Self {
        let mut add = |part: &str, value| {
            let piece = layout.add(format!("{name}.{part}"), &[width], Init::Constant(value));
            layout.range(piece)
        };
        let (scale, shift) = (add("scale", 1.0), add("shift", 0.0));
        let running = (norm == Norm::Batch).then(|| (add("mean", 0.0), add("variance", 1.0)));
        Self { width, scale, shift, running }
    }

    /// Normalises `y + bias`, `[batch, width]`, in place, and applies `f` to what comes out. A row stays in the nearest cache from its
    /// first use to its last where rows are normalised by themselves.
    pub fn forward(
        &self,
        params: &[f32],
        (y, bias): (&mut [f32], &[f32]),
        work: &mut Normed,
        train: bool,
        f: impl Fn(f32) -> f32,
    ) {
        let (width, batch) = (self.width, y.len() / self.width);
        work.x.resize(y.len(), 0.0);
        work.by_batch = train && self.running.is_some();
        let (scale, shift) = (&params[self.scale.clone()], &params[self.shift.clone()]);
        let (x, n) = (&mut work.x[..], batch as f32);
        let Some((mean, variance)) = &self.running else {
            work.inverse.resize(batch, 0.0);
            let inverse = &mut work.inverse[..];
            vectorized(
                #[inline(always)]
                || {
                    for ((y, x), inverse) in
                        y.chunks_exact_mut(width).zip(x.chunks_exact_mut(width)).zip(inverse.iter_mut())
                    {
                        y.iter_mut().zip(bias).for_each(|(y, b)| *y += b);
                        let mean = sum(y, |v| v) / width as f32;
                        let variance = sum(y, |v| (v - mean) * (v - mean)) / width as f32;
                        *inverse = 1.0 / (variance + EPS).sqrt();
                        for (((y, x), scale), shift) in y.iter_mut().zip(x).zip(scale).zip(shift) {
                            *x = (*y - mean) * *inverse;
                            *y = f(*x * scale + shift);
                        }
                    }
                },
            );
            return;
        };
        each(y, bias, |y| y);
        if work.by_batch {
            let (mean, variance) = (&mut work.mean, &mut work.variance);
            mean.clear();
            mean.resize(width, 0.0);
            variance.clear();
            variance.resize(width, 0.0);
            vectorized(
                #[inline(always)]
                || {
                    for row in y.chunks_exact(width) {
                        mean.iter_mut().zip(row).for_each(|(m, y)| *m += y);
                    }
                    mean.iter_mut().for_each(|m| *m /= n);
                    for row in y.chunks_exact(width) {
                        for ((v, y), m) in variance.iter_mut().zip(row).zip(&*mean) {
                            *v += (y - m) * (y - m);
                        }
                    }
                    variance.iter_mut().for_each(|v| *v /= n);
                },
            );
        } else {
            work.mean.clear();
            work.mean.extend_from_slice(&params[mean.clone()]);
            work.variance.clear();
            work.variance.extend_from_slice(&params[variance.clone()]);
        }
        work.inverse.clear();
        work.inverse.extend(work.variance.iter().map(|v| 1.0 / (v + EPS).sqrt()));
        let (mean, inverse) = (&work.mean[..], &work.inverse[..]);
        vectorized(
            #[inline(always)]
            || {
                for (y, x) in y.chunks_exact_mut(width).zip(x.chunks_exact_mut(width)) {
                    for (i, (y, x)) in y.iter_mut().zip(x).enumerate() {
                        *x = (*y - mean[i]) * inverse[i];
                        *y = f(*x * scale[i] + shift[i]);
                    }
                }
            },
        );
    }

    /// Brings `d`, the loss's derivative by what came of the activation, to that by the rows as they came, where `slope` of `y`,
    /// `[batch, width]`, is the activation's derivative; adds to the gradients of scale and shift if they are wanted.
    pub fn backward(
        &self,
        params: &[f32],
        (d, y): (&mut [f32], &[f32]),
        work: &mut Normed,
        grads: Option<&mut [f32]>,
        slope: impl Fn(f32) -> f32,
    ) {
        let (width, batch) = (self.width, d.len() / self.width);
        let scale = &params[self.scale.clone()];
        let Normed { x, inverse, sums, by_batch, .. } = work;
        sums.clear();
        sums.resize(2 * width, 0.0);
        let (by_shift, by_scale) = sums.split_at_mut(width);
        let (x, inverse, by_batch) = (&x[..], &inverse[..], *by_batch);
        let (summed, layer) = (grads.is_some() || by_batch, self.running.is_none());
        vectorized(
            #[inline(always)]
            || {
                let rows = d.chunks_exact_mut(width).zip(x.chunks_exact(width)).zip(y.chunks_exact(width));
                for (r, ((d, x), y)) in rows.enumerate() {
                    d.iter_mut().zip(y).for_each(|(d, y)| *d *= slope(*y));
                    if summed {
                        for i in 0..width {
                            by_shift[i] += d[i];
                            by_scale[i] += d[i] * x[i];
                        }
                    }
                    if layer {
                        d.iter_mut().zip(scale).for_each(|(d, s)| *d *= s);
                        let mean = sum(d, |v| v) / width as f32;
                        let along = dot(d, x) / width as f32;
                        d.iter_mut().zip(x).for_each(|(d, x)| *d = inverse[r] * (*d - mean - x * along));
                    }
                }
            },
        );
        if let Some(grads) = grads {
            grads[self.shift.clone()].iter_mut().zip(&*by_shift).for_each(|(g, d)| *g += d);
            grads[self.scale.clone()].iter_mut().zip(&*by_scale).for_each(|(g, d)| *g += d);
        }
        if layer {
            return;
        }
        let (by_shift, by_scale, n) = (&*by_shift, &*by_scale, batch as f32);
        vectorized(
            #[inline(always)]
            || {
                for (d, x) in d.chunks_exact_mut(width).zip(x.chunks_exact(width)) {
                    for i in 0..width {
                        let tied = if by_batch { (by_shift[i] + x[i] * by_scale[i]) / n } else { 0.0 };
                        d[i] = scale[i] * inverse[i] * (d[i] - tied);
                    }
                }
            },
        );
    }

    /// Forgets all rows but these, which ascend.
    pub fn keep(&self, rows: &[usize], work: &mut Normed) {
        super::keep(rows, self.width, &mut work.x);
        if self.running.is_none() {
            super::keep(rows, 1, &mut work.inverse);
        }
    }

    /// Moves the running statistics towards those of the last batch; its variance without bias, as torch has it.
    pub fn track(&self, params: &mut [f32], work: &Normed, batch: usize, rate: f32) {
        if let (Some((mean, variance)), true) = (&self.running, work.by_batch) {
            let unbiased = batch as f32 / (batch as f32 - 1.0).max(1.0);
            params[mean.clone()].iter_mut().zip(&work.mean).for_each(|(r, b)| *r += rate * (b - *r));
            params[variance.clone()].iter_mut().zip(&work.variance).for_each(|(r, b)| *r += rate * (b * unbiased - *r));
        }
    }
}

/// The sum of `of(x)`, in sixteen lanes: a plain sum is a chain that no vector register helps.
#[inline(always)]
fn sum(x: &[f32], of: impl Fn(f32) -> f32) -> f32 {
    let mut lanes = [0.0; 16];
    let chunks = x.chunks_exact(16);
    let rest: f32 = chunks.remainder().iter().map(|&v| of(v)).sum();
    for chunk in chunks {
        lanes.iter_mut().zip(chunk).for_each(|(l, &v)| *l += of(v));
    }
    lanes.iter().sum::<f32>() + rest
}

#[inline(always)]
fn dot(a: &[f32], b: &[f32]) -> f32 {
    let mut lanes = [0.0; 16];
    let (a, b) = (a.chunks_exact(16), b.chunks_exact(16));
    let rest: f32 = a.remainder().iter().zip(b.remainder()).map(|(a, b)| a * b).sum();
    for (a, b) in a.zip(b) {
        lanes.iter_mut().zip(a.iter().zip(b)).for_each(|(l, (a, b))| *l += a * b);
    }
    lanes.iter().sum::<f32>() + rest
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Activation, NativeMlp, native::Workspace};

    /// The statistics as defined, the running ones after one batch, and what they then do to another.
    #[test]
    fn batch_statistics_are_the_definition_and_are_tracked() {
        let mut layout = Layout::new();
        let norm = (Activation::Relu, Norm::Batch);
        let net = NativeMlp::normed(&mut layout, "net", &[1, 1, 1], norm, 1.0);
        let mut params = layout.init(0);
        let at = |name: &str| layout.pieces().iter().find(|p| p.name == name).unwrap().range.start;
        (params[at("net.0.weight")], params[at("net.1.weight")]) = (2.0, 1.0);
        let mut work = Workspace::default();
        // Products 2, 4, 12: mean 6, variance 56/3; only 12 is above the mean.
        let y = net.forward_train(&params, &[1.0, 2.0, 6.0], &mut work).to_vec();
        assert!((y[2] - 6.0 / (56.0f32 / 3.0 + EPS).sqrt()).abs() < 1e-6 && y[0] == 0.0 && y[1] == 0.0, "{y:?}");
        net.track(&mut params, &work, 0.5);
        assert_eq!((params[at("net.0.mean")], params[at("net.0.variance")]), (3.0, 0.5 + 14.0));
        let y = net.forward(&params, &[2.0], &mut work)[0];
        assert!((y - 1.0 / (14.5f32 + EPS).sqrt()).abs() < 1e-6, "{y}");
    }
}
