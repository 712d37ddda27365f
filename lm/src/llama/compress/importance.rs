//! How much each group matters.
use super::super::{
    likelihood::Windows,
    model::{Model, Probe, Projection, Site},
};
use crate::quant::Matrix;
use rlx::{Error, Result, Rng};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use tch::{Kind, Tensor};

/// Ways to score a weight; a group's score is the sum over its weights.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Criterion {
    /// |w g|, g the mean gradient: first-order Taylor (LLM-Pruner, arXiv 2305.11627, eq. 4 without its second term).
    #[default]
    TaylorFirst,
    /// w² mean(g²): the diagonal of the empirical Fisher matrix stands for the second derivative.
    TaylorSecond,
    /// |w|.
    Magnitude,
    /// |w| times the norm of its input (Wanda, arXiv 2306.11695).
    Activation,
    /// Uniform random scores: what the others must beat.
    Random,
}

/// Scores by block.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Importance {
    /// Per block, of each kv head with its query heads.
    pub heads: Vec<Vec<f64>>,
    /// Per block, of each channel of the MLP.
    pub channels: Vec<Vec<f64>>,
}

impl Importance {
    /// Total score of each block.
    pub fn blocks(&self) -> Vec<f64> {
        self.heads.iter().zip(&self.channels).map(|(h, c)| h.iter().chain(c).sum()).collect()
    }
}

/// Second moments Σ x xᵀ of what the projections of each block read, by site, `[width, width]` (Float), and the number of positions.
#[derive(Debug, Default)]
pub struct Moments {
    sums: BTreeMap<(usize, Site), Tensor>,
    diagonal: bool,
}

impl Moments {
    /// Those of a block's site.
    pub fn get(&self, block: usize, site: Site) -> Option<&Tensor> {
        self.sums.get(&(block, site))
    }
}

impl Probe for Moments {
    fn see(&mut self, block: usize, site: Site, x: &Tensor) {
        if site == Site::Output {
            return;
        }
        let rows = x.to_kind(Kind::Float).flatten(0, 1);
        let new = if self.diagonal {
            rows.square().sum_dim_intlist(0i64, false, Kind::Float)
        } else {
            rows.tr().matmul(&rows)
        };
        match self.sums.get_mut(&(block, site)) {
            Some(sum) => {
                let _ = sum.g_add_(&new);
            }
            None => {
                self.sums.insert((block, site), new);
            }
        }
    }
}

/// Second moments of a model on windows: what GPTQ needs. Memory: width² floats for each block and site.
///
/// # Errors
/// [`Error::Interrupted`] once `stop` says so.
pub fn moments(model: &Model, windows: &Windows, stop: &dyn Fn() -> bool) -> Result<Moments> {
    collect(model, windows, false, stop)
}

fn collect(model: &Model, windows: &Windows, diagonal: bool, stop: &dyn Fn() -> bool) -> Result<Moments> {
    let mut moments = Moments { diagonal, ..Moments::default() };
    for ids in windows.batches() {
        if stop() {
            return Err(Error::Interrupted);
        }
        let _ = tch::no_grad(|| model.hidden_states(&ids.to_device(model.device()), None, Some(&mut moments)));
    }
    Ok(moments)
}

/// Scores all groups of a model on calibration windows (LLM-Pruner: 10 of 64 tokens).
///
/// # Errors
/// [`Error::Interrupted`] once `stop` says so; when a score is not finite.
pub fn importance(
    model: &Model,
    windows: &Windows,
    criterion: Criterion,
    seed: u64,
    stop: &dyn Fn() -> bool,
) -> Result<Importance> {
    let config = &model.config;
    if criterion == Criterion::Random {
        let mut rng = Rng::named(seed, "random importance", 0);
        let mut draw = |n: usize| (0..n).map(|_| rng.unit()).collect();
        let heads = config.blocks.iter().map(|b| draw(b.kv_heads)).collect();
        let channels = config.blocks.iter().map(|b| draw(b.ffn)).collect();
        return Ok(Importance { heads, channels });
    }
    let model = model.dense(Kind::Float);
    let scores = match criterion {
        Criterion::TaylorFirst | Criterion::TaylorSecond => taylor(&model, windows, criterion, stop)?,
        Criterion::Activation => {
            let moments = collect(&model, windows, true, stop)?;
            each(&model, |i, p, w| {
                let norms = moments.get(i, p.site()).map(Tensor::sqrt);
                norms.map_or_else(|| w.abs(), |n| w.abs() * n.unsqueeze(0))
            })
        }
        _ => each(&model, |_, _, w| w.abs()),
    };
    let mut out = Importance { heads: Vec::new(), channels: Vec::new() };
    for (shape, s) in config.blocks.iter().zip(&scores) {
        let kv = shape.kv_heads as i64;
        let rows = |p: Projection, n: i64| {
            s[p as usize].sum_dim_intlist(1i64, false, Kind::Double).reshape([n, -1]).sum_dim_intlist(
                1i64,
                false,
                Kind::Double,
            )
        };
        let columns = |p: Projection, n: i64| {
            s[p as usize].sum_dim_intlist(0i64, false, Kind::Double).reshape([n, -1]).sum_dim_intlist(
                1i64,
                false,
                Kind::Double,
            )
        };
        let heads =
            rows(Projection::Q, kv) + rows(Projection::K, kv) + rows(Projection::V, kv) + columns(Projection::O, kv);
        let ffn = shape.ffn as i64;
        let channels = rows(Projection::Gate, ffn) + rows(Projection::Up, ffn) + columns(Projection::Down, ffn);
        let list = |t: &Tensor| Vec::<f64>::try_from(t).map_err(|e| Error::invalid(format!("importance: {e}")));
        out.heads.push(list(&heads)?);
        out.channels.push(list(&channels)?);
    }
    if out.heads.iter().chain(&out.channels).flatten().any(|x| !x.is_finite()) {
        return Err(Error::invalid("importance: a score is not finite"));
    }
    Ok(out)
}

fn each(model: &Model, score: impl Fn(usize, Projection, &Tensor) -> Tensor) -> Vec<Vec<Tensor>> {
    let of = |(i, b): (usize, &super::super::model::Block)| {
        let one = |p: &Projection| tch::no_grad(|| score(i, *p, &b.projection(*p).weight.dense(Kind::Float)));
        Projection::ALL.iter().map(one).collect()
    };
    model.blocks.iter().enumerate().map(of).collect()
}

/// Scores by gradients of the mean loss of each window.
fn taylor(model: &Model, windows: &Windows, criterion: Criterion, stop: &dyn Fn() -> bool) -> Result<Vec<Vec<Tensor>>> {
    let mut model = model.clone();
    let mut leaves = Vec::new();
    for p in model.blocks.iter_mut().flat_map(|b| &mut b.projections) {
        let leaf = p.weight.dense(Kind::Float).detach().set_requires_grad(true);
        leaves.push(leaf.shallow_clone());
        p.weight = Matrix::Dense(leaf);
    }
    let mut sums: Vec<Tensor> = leaves.iter().map(|l| l.detach().zeros_like()).collect();
    let mut count = 0.0;
    for batch in windows.batches() {
        for row in 0..batch.size()[0] {
            if stop() {
                return Err(Error::Interrupted);
            }
            let ids = batch.narrow(0, row, 1).to_device(model.device());
            let len = ids.size()[1];
            let logits = model.logits(&model.hidden_states(&ids.narrow(1, 0, len - 1), None, None));
            let loss = logits.flatten(0, 1).cross_entropy_for_logits(&ids.narrow(1, 1, len - 1).flatten(0, 1));
            let grads = Tensor::f_run_backward(&[loss], &leaves, false, false);
            let grads = grads.map_err(|e| Error::invalid(format!("importance: {e}")))?;
            for (sum, g) in sums.iter_mut().zip(&grads) {
                let _ = if criterion == Criterion::TaylorFirst { sum.g_add_(g) } else { sum.g_add_(&g.square()) };
            }
            count += 1.0;
        }
    }
    let scored = leaves.iter().zip(sums).map(|(w, sum)| {
        let (w, mean) = (w.detach(), sum / count);
        if criterion == Criterion::TaylorFirst { (w * mean).abs() } else { w.square() * mean }
    });
    let scored: Vec<Tensor> = scored.collect();
    Ok(scored.chunks(7).map(|c| c.iter().map(Tensor::shallow_clone).collect()).collect())
}
