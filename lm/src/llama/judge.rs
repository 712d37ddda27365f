//! How good a model is: likelihood of text, and how far its predictions are from another's.
use super::model::Model;
use rlx::{Error, Result};
use serde::Serialize;
use tch::{Kind, Tensor};

/// Positions whose logits are held at a time.
const ROWS: i64 = 256;
/// Tokens of one forward pass, at most.
const BATCH: usize = 2048;

/// A mean over tokens.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Likelihood {
    /// Mean negative log-likelihood of a token, nats.
    pub nll: f64,
    /// Its standard error, tokens taken as independent.
    pub nll_error: f64,
    /// Mean of Σ p ln(p / q), p the reference's predictions, nats; none without a reference.
    pub kl: Option<f64>,
    /// Tokens predicted.
    pub tokens: usize,
}

impl Likelihood {
    /// exp(nll).
    pub fn perplexity(&self) -> f64 {
        self.nll.exp()
    }
}

/// Token ids cut into windows; in each, all but the first are predicted from those before them in it.
#[derive(Debug)]
pub struct Windows {
    windows: Vec<Vec<i64>>,
}

impl Windows {
    /// Cuts `ids` into windows of `len`; what is left over is a shorter one, if it has two tokens.
    ///
    /// # Errors
    /// When there are fewer than two tokens, or windows would be.
    pub fn new(ids: &[u32], len: usize) -> Result<Self> {
        if ids.len() < 2 || len < 2 {
            return Err(Error::invalid(format!(
                "{} tokens in windows of {len}: two at least are needed to predict one",
                ids.len()
            )));
        }
        let cut = ids.chunks(len).filter(|w| w.len() > 1);
        Ok(Self { windows: cut.map(|w| w.iter().map(|id| i64::from(*id)).collect()).collect() })
    }
    /// Tokens that are predicted.
    pub fn predicted(&self) -> usize {
        self.windows.iter().map(|w| w.len() - 1).sum()
    }
    /// `n` whole windows drawn with replacement, `[n, len]`.
    pub fn draw(&self, n: usize, rng: &mut rlx::Rng) -> Tensor {
        let len = self.windows[0].len();
        let whole = self.windows.iter().take_while(|w| w.len() == len).count();
        let flat: Vec<i64> = (0..n).flat_map(|_| self.windows[rng.below(whole)].clone()).collect();
        Tensor::from_slice(&flat).reshape([n as i64, len as i64])
    }
    /// Batches of windows of one length, `[n, len]`.
    pub fn batches(&self) -> impl Iterator<Item = Tensor> {
        let mut from = 0;
        std::iter::from_fn(move || {
            let len = self.windows.get(from)?.len();
            let most = (BATCH / len).max(1);
            let n = self.windows[from..].iter().take(most).take_while(|w| w.len() == len).count();
            let flat: Vec<i64> = self.windows[from..from + n].concat();
            from += n;
            Some(Tensor::from_slice(&flat).reshape([n as i64, len as i64]))
        })
    }
}

/// The dense model's last hidden states on some windows: its predictions follow from them and its head, at a thousandth of their size.
#[derive(Debug)]
pub struct Reference {
    model: Model,
    // per batch: [rows, width]
    hidden: Vec<Tensor>,
}

impl Reference {
    /// Of a model on windows.
    ///
    /// # Errors
    /// As [`evaluate`].
    pub fn new(model: &Model, windows: &Windows, stop: &dyn Fn() -> bool) -> Result<Self> {
        let mut hidden = Vec::new();
        for ids in windows.batches() {
            check(model, &ids, stop)?;
            hidden.push(tch::no_grad(|| states(model, &ids).0));
        }
        Ok(Self { model: model.clone(), hidden })
    }
}

fn check(model: &Model, ids: &Tensor, stop: &dyn Fn() -> bool) -> Result<()> {
    if stop() {
        return Err(Error::Interrupted);
    }
    let (highest, len) = (ids.max().int64_value(&[]), ids.size()[1]);
    if highest >= model.config.vocab as i64 || len > model.config.context as i64 {
        let (vocab, context) = (model.config.vocab, model.config.context);
        return Err(Error::invalid(format!(
            "windows of {len} with a token {highest}; the model has {vocab} tokens and a context of {context}"
        )));
    }
    Ok(())
}

/// Hidden states of the positions that predict, `[rows, width]`, and what they should predict, `[rows]`.
fn states(model: &Model, ids: &Tensor) -> (Tensor, Tensor) {
    let ids = ids.to_device(model.device());
    let len = ids.size()[1];
    let hidden = model.hidden(&ids.narrow(1, 0, len - 1), None, None);
    (hidden.flatten(0, 1), ids.narrow(1, 1, len - 1).flatten(0, 1))
}

/// Mean negative log-likelihood of windows under a model, and the divergence from a reference made on the same windows.
///
/// # Errors
/// [`Error::Interrupted`] once `stop` says so; when a token or the windows' length is beyond the model's.
pub fn evaluate(
    model: &Model,
    windows: &Windows,
    reference: Option<&Reference>,
    stop: &dyn Fn() -> bool,
) -> Result<Likelihood> {
    let (mut sum, mut square, mut divergence, mut count) = (0.0, 0.0, 0.0, 0usize);
    for (number, ids) in windows.batches().enumerate() {
        check(model, &ids, stop)?;
        tch::no_grad(|| -> Result<()> {
            let (hidden, targets) = states(model, &ids);
            let rows = hidden.size()[0];
            let old = reference.map(|r| {
                r.hidden
                    .get(number)
                    .filter(|h| h.size()[0] == rows)
                    .ok_or_else(|| Error::invalid("a reference of other windows"))
            });
            let old = old.transpose()?;
            for from in (0..rows).step_by(ROWS as usize) {
                if stop() {
                    return Err(Error::Interrupted);
                }
                let len = ROWS.min(rows - from);
                let logs = model.logits(&hidden.narrow(0, from, len)).log_softmax(-1, Kind::Float);
                let nll = -logs.gather(1, &targets.narrow(0, from, len).unsqueeze(1), false).to_kind(Kind::Double);
                sum += nll.sum(Kind::Double).double_value(&[]);
                square += nll.square().sum(Kind::Double).double_value(&[]);
                if let (Some(old), Some(reference)) = (old, reference) {
                    let p = reference.model.logits(&old.narrow(0, from, len)).log_softmax(-1, Kind::Float);
                    divergence += (p.exp() * (p - &logs)).sum(Kind::Double).double_value(&[]);
                }
                count += len as usize;
            }
            Ok(())
        })?;
    }
    let n = count as f64;
    let nll = sum / n;
    let nll_error = ((square / n - nll * nll).max(0.0) / n).sqrt();
    Ok(Likelihood { nll, nll_error, kl: reference.map(|_| divergence / n), tokens: count })
}
