//! What is cheaply known of a block before anything is cut: for policies, surrogates and greedy rules.
use super::{
    super::{
        likelihood::{Windows, evaluate},
        model::{Model, Probe, Site},
    },
    Choice, Compressor, Importance,
};
use crate::quant::Scheme;
use rlx::{Error, Result};
use serde::{Deserialize, Serialize};
use tch::{Kind, Tensor};

/// Cells of the histograms, a side.
const BINS: usize = 16;

/// Of one block.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Features {
    /// Its place, 0 for the first to 1 for the last.
    pub depth: f64,
    /// Its share of all scores.
    pub importance: f64,
    /// Mutual information between its output and the prediction, nats (QPruner, arXiv 2412.11629).
    pub mutual_information: f64,
    /// How much the loss rises when this block alone is stored in 2 bits, nats a token.
    pub sensitivity: f64,
}

/// For each block: the projection of its output, at each position.
struct Outputs {
    // per block: [positions]
    values: Vec<Vec<f64>>,
    directions: Vec<Tensor>,
}

impl Probe for Outputs {
    fn see(&mut self, block: usize, site: Site, x: &Tensor) {
        if site == Site::Output {
            let along = x.to_kind(Kind::Float).flatten(0, 1).matmul(&self.directions[block]);
            self.values[block].extend(Vec::<f64>::try_from(along.to_kind(Kind::Double)).unwrap_or_default());
        }
    }
}

/// Mutual information of two series by a histogram of equally full cells, with the Miller-Madow correction of its bias, at least 0.
pub(super) fn mutual_information(x: &[f64], y: &[f64]) -> f64 {
    let cells = |v: &[f64]| {
        let mut order: Vec<usize> = (0..v.len()).collect();
        order.sort_by(|a, b| v[*a].total_cmp(&v[*b]));
        let mut cell = vec![0; v.len()];
        order.iter().enumerate().for_each(|(rank, i)| cell[*i] = rank * BINS / v.len());
        cell
    };
    let (a, b, n) = (cells(x), cells(y), x.len() as f64);
    let mut joint = vec![0f64; BINS * BINS];
    a.iter().zip(&b).for_each(|(i, j)| joint[i * BINS + j] += 1.0);
    let row = |i: usize| joint[i * BINS..(i + 1) * BINS].iter().sum::<f64>();
    let column = |j: usize| (0..BINS).map(|i| joint[i * BINS + j]).sum::<f64>();
    let mut total = 0.0;
    for i in 0..BINS {
        for j in 0..BINS {
            let c = joint[i * BINS + j];
            if c > 0.0 {
                total += c / n * (c * n / (row(i) * column(j))).ln();
            }
        }
    }
    let filled = |v: &mut dyn Iterator<Item = f64>| v.filter(|c| *c > 0.0).count() as f64;
    let (r, c) = (filled(&mut (0..BINS).map(row)), filled(&mut (0..BINS).map(column)));
    let bias = (filled(&mut joint.iter().copied()) - r - c + 1.0) / (2.0 * n);
    (total - bias).max(0.0)
}

/// The features of all blocks on calibration windows. The paper leaves open how a vector becomes a number: here a block's output is
/// projected on its leading principal direction, the prediction is the log-probability of the likeliest token, and positions are the
/// samples. One forward pass for each block's sensitivity: before each `told` hears how many are done, and of how many.
///
/// # Errors
/// [`Error::Interrupted`] once `stop` says so; as [`evaluate`].
pub fn features(
    compressor: &mut Compressor,
    windows: &Windows,
    stop: &dyn Fn() -> bool,
    told: &mut dyn FnMut(usize, usize),
) -> Result<Vec<Features>> {
    let dense = compressor.dense().clone();
    let count = dense.blocks.len();
    let mut outputs = Outputs { values: vec![Vec::new(); count], directions: directions(&dense, windows)? };
    let mut predictions = Vec::new();
    for ids in windows.batches() {
        if stop() {
            return Err(Error::Interrupted);
        }
        let top = tch::no_grad(|| {
            let hidden = dense.hidden_states(&ids.to_device(dense.device()), None, Some(&mut outputs)).flatten(0, 1);
            let parts: Vec<Tensor> = hidden
                .split(256, 0)
                .iter()
                .map(|h| dense.logits(h).log_softmax(-1, Kind::Float).amax(-1i64, false))
                .collect();
            Tensor::cat(&parts, 0).to_kind(Kind::Double)
        });
        predictions.extend(Vec::<f64>::try_from(top).unwrap_or_default());
    }
    let scores = Importance::blocks(compressor.importance());
    let total: f64 = scores.iter().sum::<f64>().max(f64::MIN_POSITIVE);
    let base = evaluate(&dense, windows, None, stop)?.nll;
    let mut out = Vec::new();
    for (i, score) in scores.iter().enumerate().take(count) {
        told(i, count);
        let mut model = dense.clone();
        model.blocks[i] =
            compressor.block(i, &Choice { shape: dense.config.blocks[i], scheme: Scheme::of_bits(2)?, rank: 0 })?;
        out.push(Features {
            depth: i as f64 / (count.max(2) - 1) as f64,
            importance: score / total,
            mutual_information: mutual_information(&outputs.values[i], &predictions),
            sensitivity: evaluate(&model, windows, None, stop)?.nll - base,
        });
    }
    Ok(out)
}

/// The leading principal direction of each block's output over the first batch of windows, `[width]`, by power iteration.
fn directions(model: &Model, windows: &Windows) -> Result<Vec<Tensor>> {
    struct Means(Vec<Tensor>);
    impl Probe for Means {
        fn see(&mut self, _: usize, site: Site, x: &Tensor) {
            if site != Site::Output {
                return;
            }
            let rows = x.to_kind(Kind::Float).flatten(0, 1);
            let centred = &rows - rows.mean_dim(0i64, true, Kind::Float);
            let mut v = centred.square().sum_dim_intlist(0i64, false, Kind::Float).sqrt();
            for _ in 0..20 {
                v = centred.tr().matmul(&centred.matmul(&v));
                v = &v / v.norm().clamp_min(1e-30);
            }
            self.0.push(v);
        }
    }
    let ids = windows.batches().next().ok_or_else(|| Error::invalid("no calibration windows"))?;
    let mut means = Means(Vec::new());
    let _ = tch::no_grad(|| model.hidden_states(&ids.to_device(model.device()), None, Some(&mut means)));
    Ok(means.0)
}
