//! How good a model is: likelihood of text, and how far its predictions are from another's.
use super::model::Model;
use rlx::{Error, Result};
use serde::Serialize;
use tch::{Kind, Tensor};

/// Logits that are held at a time, at most: 24 MB. From 32 MB on glibc maps memory anew each time, a fifth of the whole time.
const LOGITS: i64 = 6 << 20;
/// Tokens of one forward pass, at most.
const BATCH: usize = 2048;

/// A mean over tokens.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Likelihood {
    /// Mean negative log-likelihood of a token, nats.
    pub nll: f64,
    /// Its standard error, tokens taken as independent; NaN of one token, which says nothing of its spread.
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

/// The full-precision model's last hidden states on some windows: its predictions follow from them and its head, at a thousandth of their size.
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
    let hidden = model.hidden_states(&ids.narrow(1, 0, len - 1), None, None);
    (hidden.flatten(0, 1), ids.narrow(1, 1, len - 1).flatten(0, 1))
}

/// A softmax over the vocabulary that is met a part at a time, so that a packed head is unpacked once and never whole: maxima and sums of
/// exponentials as in arXiv 1805.02867. All are `[rows]`.
struct Predictions {
    most: Tensor,
    sum: Tensor,
    target: Tensor, // the target's logit
    theirs: Option<Theirs>,
}

/// The same of a reference's predictions p, and Σ exp(a - most) (a - b) over its logits a and the model's b.
struct Theirs {
    most: Tensor,
    sum: Tensor,
    apart: Tensor,
}

impl Predictions {
    fn new(rows: i64, like: &Tensor, compared: bool) -> Self {
        let all = |x: f64| Tensor::full([rows], x, (Kind::Float, like.device()));
        let theirs = compared.then(|| Theirs { most: all(f64::NEG_INFINITY), sum: all(0.0), apart: all(0.0) });
        Self { most: all(f64::NEG_INFINITY), sum: all(0.0), target: all(0.0), theirs }
    }

    /// Takes logits `[rows, some]` of tokens `from..`, and the reference's of the same.
    fn add(&mut self, logits: &Tensor, theirs: Option<&Tensor>, from: i64, targets: &Tensor) {
        let (some, at) = (logits.size()[1], targets - from);
        let here = at.ge(0).logical_and(&at.lt(some));
        let found = logits.gather(1, &at.clamp(0, some - 1).unsqueeze(1), false).squeeze_dim(1);
        self.target = found.where_self(&here, &self.target);
        let most = self.most.maximum(&logits.amax(1i64, false));
        let new = (logits - most.unsqueeze(1)).exp();
        self.sum = &self.sum * (&self.most - &most).exp() + new.sum_dim_intlist(1i64, false, Kind::Float);
        self.most = most;
        if let (Some(old), Some(a)) = (&mut self.theirs, theirs) {
            let most = old.most.maximum(&a.amax(1i64, false));
            let fade = (&old.most - &most).exp();
            let weights = (a - most.unsqueeze(1)).exp();
            old.sum = &old.sum * &fade + weights.sum_dim_intlist(1i64, false, Kind::Float);
            old.apart = &old.apart * &fade + (weights * (a - logits)).sum_dim_intlist(1i64, false, Kind::Float);
            old.most = most;
        }
    }

    /// -ln q(target), and Σ p ln(p / q), both `[rows]` (Double).
    fn end(self) -> (Tensor, Option<Tensor>) {
        let wide = |t: Tensor| t.to_kind(Kind::Double);
        let whole = |most: Tensor, sum: Tensor| wide(most) + wide(sum).log();
        let own = whole(self.most, self.sum);
        let kl = self.theirs.map(|t| {
            let sum = wide(t.sum.shallow_clone());
            wide(t.apart) / sum - whole(t.most, t.sum) + &own
        });
        (own - wide(self.target), kl)
    }
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
            let mut seen = Predictions::new(rows, &hidden, old.is_some());
            let vocab = model.config.vocab as i64;
            let step = (LOGITS / rows).clamp(1, vocab);
            for from in (0..vocab).step_by(step as usize) {
                if stop() {
                    return Err(Error::Interrupted);
                }
                let len = step.min(vocab - from);
                let logits = model.logits_of(&hidden, from, len);
                let theirs = old.zip(reference).map(|(old, r)| r.model.logits_of(old, from, len));
                seen.add(&logits, theirs.as_ref(), from, &targets);
            }
            let (nll, kl) = seen.end();
            sum += nll.sum(Kind::Double).double_value(&[]);
            square += nll.square().sum(Kind::Double).double_value(&[]);
            divergence += kl.map_or(0.0, |kl| kl.sum(Kind::Double).double_value(&[]));
            count += rows as usize;
            Ok(())
        })?;
    }
    let n = count as f64;
    let nll = sum / n;
    let nll_error = if count < 2 { f64::NAN } else { ((square / n - nll * nll).max(0.0) / n).sqrt() };
    Ok(Likelihood { nll, nll_error, kl: reference.map(|_| divergence / n), tokens: count })
}

#[cfg(test)]
mod tests {
    use super::*;
    use tch::Device;

    #[test]
    fn a_vocabulary_in_parts_is_the_softmax_over_all_of_it() {
        let _alone = crate::GENERATOR.lock();
        tch::manual_seed(5);
        let draw = |scale: f64| Tensor::randn([6, 50], (Kind::Float, Device::Cpu)) * scale;
        // Sharp and flat ones, and far apart.
        let (own, theirs) = (draw(9.0) + 30.0, draw(3.0) - 20.0);
        let targets = Tensor::from_slice(&[0i64, 7, 8, 29, 30, 49]);
        let (q, p) = (own.log_softmax(-1, Kind::Double), theirs.log_softmax(-1, Kind::Double));
        let nll = -q.gather(1, &targets.unsqueeze(1), false).squeeze_dim(1);
        let kl = (p.exp() * (&p - &q)).sum_dim_intlist(1i64, false, Kind::Double);
        for step in [1, 7, 8, 50] {
            let mut seen = Predictions::new(6, &own, true);
            for from in (0..50).step_by(step) {
                let len = (step as i64).min(50 - from);
                seen.add(&own.narrow(1, from, len), Some(&theirs.narrow(1, from, len)), from, &targets);
            }
            let (a, b) = seen.end();
            let worst = |x: &Tensor, y: &Tensor| (x - y).abs().max().double_value(&[]);
            assert!(worst(&a, &nll) < 1e-4, "parts of {step}: {a} and {nll}");
            assert!(worst(&b.unwrap(), &kl) < 1e-4, "parts of {step}");
        }
    }
}
