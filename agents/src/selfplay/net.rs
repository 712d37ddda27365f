//! The networks of self-play, on the CPU over flat parameters: values of candidates, and what is to be guessed of the others.
use rlx_nn::{
    Activation, Init, Layout, NativeMlp,
    native::Workspace,
    sparse::{Active, add_grads, add_rows},
};
use std::ops::Range;

/// A first layer over sparse features and an optional dense context, with ReLU, then a perceptron.
#[derive(Clone, Debug)]
pub(super) struct SparseMlp {
    table: Range<usize>,
    bias: Range<usize>,
    context: Range<usize>, // [context width, hidden]
    hidden: usize,
    mlp: NativeMlp,
}

/// What a forward pass leaves for the backward one.
#[derive(Clone, Debug, Default)]
pub(super) struct Scratch {
    first: Vec<f32>, // [batch, hidden], after ReLU
    grads: Vec<f32>,
    work: Workspace,
}

impl SparseMlp {
    /// Adds its parameters to `layout`: `sizes` are the widths from the first layer's outputs on.
    pub fn new(
        layout: &mut Layout,
        name: &str,
        features: usize,
        context: usize,
        sizes: &[usize],
        last_gain: f32,
    ) -> Self {
        let hidden = sizes[0];
        // About a hundred features are on at a time: each row's part of the sum's variance is small.
        let table = layout.add(format!("{name}.table"), &[features, hidden], Init::Normal { std: 0.1 });
        let bias = layout.add(format!("{name}.bias"), &[hidden], Init::Zeros);
        // Zero: what a guess is worth is learnt, and until then it disturbs nothing.
        let weights = layout.add(format!("{name}.context"), &[context, hidden], Init::Zeros);
        let mlp = NativeMlp::new(layout, name, sizes, Activation::Relu, last_gain);
        let range = |i| layout.range(i);
        Self { table: range(table), bias: range(bias), context: range(weights), hidden, mlp }
    }

    /// Floating-point operations of a forward pass over `rows` lists with `on` features in all; with `back`, of the backward pass too.
    pub fn flop(&self, rows: usize, on: usize, back: bool) -> f64 {
        let dense = 2.0 * rows as f64 * (self.context.len() + self.mlp.multiply_adds()) as f64;
        let sparse = on as f64 * self.hidden as f64;
        if back { 3.0 * dense + 2.0 * sparse } else { dense + sparse }
    }

    /// Outputs for each list of `active`; `context` is `[batch, context width]`.
    pub fn forward<'s>(&self, params: &[f32], active: &Active, context: &[f32], s: &'s mut Scratch) -> &'s [f32] {
        let (h, n) = (self.hidden, active.len());
        s.first.resize(n * h, 0.0);
        let bias = &params[self.bias.clone()];
        s.first.chunks_exact_mut(h).for_each(|row| row.copy_from_slice(bias));
        add_rows(&params[self.table.clone()], h, active, &mut s.first);
        add_context(&params[self.context.clone()], h, context, &mut s.first);
        s.first.iter_mut().for_each(|x| *x = x.max(0.0));
        self.mlp.forward(params, &s.first, &mut s.work)
    }

    /// The outputs of the last forward pass on `s`.
    pub fn output<'s>(&self, s: &'s Scratch) -> &'s [f32] {
        self.mlp.output(&s.work)
    }

    /// Adds the gradients for the outputs' derivatives `dy` of the last forward pass on `s`.
    pub fn backward(
        &self,
        params: &[f32],
        active: &Active,
        context: &[f32],
        dy: &[f32],
        s: &mut Scratch,
        grads: &mut [f32],
    ) {
        let h = self.hidden;
        self.mlp.backward(params, &s.first, dy, &mut s.work, grads);
        s.grads.resize(s.first.len(), 0.0);
        self.mlp.input_grads(params, &s.work, &mut s.grads);
        s.grads.iter_mut().zip(&s.first).for_each(|(d, y)| *d = if *y > 0.0 { *d } else { 0.0 });
        let bias = &mut grads[self.bias.clone()];
        s.grads.chunks_exact(h).for_each(|row| bias.iter_mut().zip(row).for_each(|(b, d)| *b += d));
        add_grads(&s.grads, h, active, &mut grads[self.table.clone()]);
        add_context_grads(&s.grads, h, context, &mut grads[self.context.clone()]);
    }
}

fn add_context(weights: &[f32], h: usize, context: &[f32], out: &mut [f32]) {
    let width = weights.len() / h;
    if width > 0 {
        for (out, context) in out.chunks_exact_mut(h).zip(context.chunks_exact(width)) {
            // Many are zero: who has so many cards left is one of so many.
            for (row, &c) in weights.chunks_exact(h).zip(context).filter(|(_, c)| **c != 0.0) {
                out.iter_mut().zip(row).for_each(|(o, w)| *o += c * w);
            }
        }
    }
}

fn add_context_grads(d_out: &[f32], h: usize, context: &[f32], grads: &mut [f32]) {
    let width = grads.len() / h;
    if width > 0 {
        for (d, context) in d_out.chunks_exact(h).zip(context.chunks_exact(width)) {
            for (row, &c) in grads.chunks_exact_mut(h).zip(context).filter(|(_, c)| **c != 0.0) {
                row.iter_mut().zip(d).for_each(|(g, d)| *g += c * d);
            }
        }
    }
}

/// Values of candidates: the state's half once per state ([`SparseMlp`]), the candidate's rows added to it, ReLU, a perceptron.
#[derive(Clone, Debug)]
pub(super) struct ValueNet {
    state: SparseMlp,
    candidates: Range<usize>, // [candidate features, joint]
    joint: usize,
    head: NativeMlp,
}

/// What a forward pass of [`ValueNet`] leaves.
#[derive(Clone, Debug, Default)]
pub(super) struct ValueScratch {
    state: Scratch,
    joined: Vec<f32>, // [candidates, joint], after ReLU
    d_joined: Vec<f32>,
    d_state: Vec<f32>,
    work: Workspace,
}

/// Sizes of a [`ValueNet`].
#[derive(Clone, Copy, Debug)]
pub(super) struct Sizes {
    /// Features of a state.
    pub features: usize,
    /// Features of a candidate.
    pub candidate_features: usize,
    /// Width of the dense context.
    pub context: usize,
    /// Width of the layers.
    pub hidden: usize,
    /// Layers of the state's half.
    pub layers: usize,
    /// Layers after the candidate has joined, the output's not counted.
    pub head_layers: usize,
    /// Their width.
    pub head: usize,
}

impl ValueNet {
    /// Adds its parameters to `layout`.
    pub fn new(layout: &mut Layout, name: &str, s: Sizes) -> Self {
        let mut sizes = vec![s.hidden; s.layers.max(1)];
        sizes.push(s.head);
        let state = SparseMlp::new(layout, &format!("{name}.state"), s.features, s.context, &sizes, 1.0);
        let table =
            layout.add(format!("{name}.candidates"), &[s.candidate_features, s.head], Init::Normal { std: 0.2 });
        let mut sizes = vec![s.head; s.head_layers.max(1)];
        sizes.push(1);
        let head = NativeMlp::new(layout, &format!("{name}.head"), &sizes, Activation::Relu, 0.1);
        Self { state, candidates: layout.range(table), joint: s.head, head }
    }

    /// Floating-point operations of a forward pass; with `back`, of the backward pass too.
    pub fn flop(&self, states: &Active, candidates: &Active, back: bool) -> f64 {
        let dense = 2.0 * candidates.len() as f64 * self.head.multiply_adds() as f64;
        let sparse = candidates.features.len() as f64 * self.joint as f64;
        let half = self.state.flop(states.len(), states.features.len(), back);
        half + if back { 3.0 * dense + 2.0 * sparse } else { dense + sparse }
    }

    /// The value of each candidate; candidate i belongs to state `owner[i]`.
    pub fn forward<'s>(
        &self,
        params: &[f32],
        states: &Active,
        context: &[f32],
        candidates: &Active,
        owner: &[u32],
        s: &'s mut ValueScratch,
    ) -> &'s [f32] {
        let j = self.joint;
        let halves = self.state.forward(params, states, context, &mut s.state);
        s.joined.resize(owner.len() * j, 0.0);
        for (row, &o) in s.joined.chunks_exact_mut(j).zip(owner) {
            row.copy_from_slice(&halves[o as usize * j..][..j]);
        }
        add_rows(&params[self.candidates.clone()], j, candidates, &mut s.joined);
        s.joined.iter_mut().for_each(|x| *x = x.max(0.0));
        self.head.forward(params, &s.joined, &mut s.work)
    }

    /// The state's half of the last forward pass on `s`, `[states, head]`: what other heads may look at.
    pub fn halves<'s>(&self, s: &'s ValueScratch) -> &'s [f32] {
        self.state.output(&s.state)
    }

    #[allow(clippy::too_many_arguments)] // one forward pass's inputs, again
    /// Adds the gradients for the values' derivatives `dy`, after a forward pass with one candidate per state, in order; `d_halves`
    /// are derivatives that other heads hand back, or none.
    pub fn backward(
        &self,
        params: &[f32],
        states: &Active,
        context: &[f32],
        candidates: &Active,
        dy: &[f32],
        d_halves: &[f32],
        s: &mut ValueScratch,
        grads: &mut [f32],
    ) {
        self.head.backward(params, &s.joined, dy, &mut s.work, grads);
        s.d_joined.resize(s.joined.len(), 0.0);
        self.head.input_grads(params, &s.work, &mut s.d_joined);
        s.d_joined.iter_mut().zip(&s.joined).for_each(|(d, y)| *d = if *y > 0.0 { *d } else { 0.0 });
        add_grads(&s.d_joined, self.joint, candidates, &mut grads[self.candidates.clone()]);
        s.d_state.clear();
        s.d_state.extend_from_slice(&s.d_joined);
        s.d_state.iter_mut().zip(d_halves).for_each(|(d, more)| *d += more);
        self.state.backward(params, states, context, &s.d_state, &mut s.state, grads);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Central differences reproduce the gradients of sum(c * value) + sum(halves) / 4.
    #[test]
    fn gradients_agree_with_finite_differences() {
        let mut layout = Layout::new();
        let sizes =
            Sizes { features: 9, candidate_features: 5, context: 2, hidden: 6, layers: 2, head_layers: 2, head: 4 };
        let net = ValueNet::new(&mut layout, "q", sizes);
        let mut params = layout.init(5);
        let mut rng = rlx::Rng::stream(1, 1);
        params.iter_mut().for_each(|p| *p += 0.3 * rng.normal() as f32);
        let list = |lists: &[&[u32]]| {
            let mut a = Active::default();
            for l in lists {
                a.features.extend_from_slice(l);
                a.end();
            }
            a
        };
        let (states, candidates) = (list(&[&[0, 3, 8], &[1], &[2, 3]]), list(&[&[0], &[4, 1], &[]]));
        let context = [0.5, -1.0, 0.3, 0.7, -0.2, 0.1];
        let c = [1.0, -2.0, 0.5];
        let mut s = ValueScratch::default();
        let loss = |p: &[f32], s: &mut ValueScratch| -> f64 {
            let y = net.forward(p, &states, &context, &candidates, &[0, 1, 2], s);
            let values: f64 = y.iter().zip(&c).map(|(y, c)| f64::from(*y) * f64::from(*c)).sum();
            values + net.halves(s).iter().map(|h| 0.25 * f64::from(*h)).sum::<f64>()
        };
        loss(&params, &mut s);
        let mut grads = vec![0.0; layout.len()];
        let more = vec![0.25; 3 * 4];
        net.backward(&params, &states, &context, &candidates, &c, &more, &mut s, &mut grads);
        let (mut off, mut checked) = (0, 0);
        for piece in layout.pieces() {
            for i in piece.range.clone() {
                let mut at = |h: f32| {
                    let mut p = params.clone();
                    p[i] += h;
                    loss(&p, &mut s)
                };
                let numeric = (at(1e-3) - at(-1e-3)) / 2e-3;
                checked += 1;
                off += usize::from((numeric - f64::from(grads[i])).abs() > 2e-2 * (1.0 + numeric.abs()));
            }
        }
        // A kink of ReLU may lie within the step of a few.
        assert!(off <= checked / 50, "{off} of {checked}");
    }
}
