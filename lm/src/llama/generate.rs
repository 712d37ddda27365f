//! Generating text, a token at a time over a cache of keys and values.
use super::model::{Cache, Linear, Model};
use crate::quant::Matrix;
use rlx::{Error, Result, Rng};
use tch::{Kind, Tensor};

/// How products are computed while generating. Which is fastest depends on the machine: whoever may read a clock measures.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kernel {
    /// 32-bit floats, unpacked once.
    Float,
    /// bfloat16, unpacked once.
    Bfloat16,
    /// Codes of up to 4 bits stay packed, in libtorch's int4 layout; the rest is bfloat16.
    Int4,
}

impl Kernel {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Float, Self::Bfloat16, Self::Int4];

    /// The model made ready to run so. Adapters are merged, except beside codes that stay packed.
    pub fn ready(self, model: &Model) -> Model {
        let kind = if self == Self::Float { Kind::Float } else { Kind::BFloat16 };
        let mut out = model.clone();
        out.compute = kind;
        // An embedding is only looked up: the head is where its product is.
        out.head = Some(self.matrix(model.head.as_ref().unwrap_or(&model.embedding), kind));
        for p in out.blocks.iter_mut().flat_map(|b| &mut b.projections) {
            let weight = self.matrix(&p.weight, kind);
            *p = match weight {
                Matrix::Packed(_) => Linear { weight, adapter: p.adapter.clone() },
                Matrix::Dense(_) => Linear::new(Matrix::Dense(tch::no_grad(|| p.effective(Kind::Float).to_kind(kind)))),
            };
        }
        out
    }

    fn matrix(self, m: &Matrix, kind: Kind) -> Matrix {
        let fast = if let (Self::Int4, Matrix::Packed(p)) = (self, m) { p.int4() } else { None };
        fast.map_or_else(|| Matrix::Dense(m.dense(kind)), Matrix::Packed)
    }
}

/// A text being generated.
pub struct Generator<'a> {
    model: &'a Model,
    cache: Cache,
    rng: Rng,
    temperature: f64,
    // logits of the next token [vocab]
    next: Tensor,
}

impl<'a> Generator<'a> {
    /// Reads the prompt. Temperature 0 is greedy.
    ///
    /// # Errors
    /// When the prompt is empty, too long or has a token that the model does not have.
    pub fn new(model: &'a Model, prompt: &[u32], temperature: f64, seed: u64) -> Result<Self> {
        let ids = model.ids(prompt)?;
        let mut cache = Cache::new(model, prompt.len() + 128);
        let next = step(model, &ids, &mut cache);
        Ok(Self { model, cache, rng: Rng::named(seed, "generate", 0), temperature, next })
    }

    /// Positions read so far.
    pub fn len(&self) -> usize {
        self.cache.len()
    }
    /// Whether there is none; there always is one.
    pub fn is_empty(&self) -> bool {
        self.cache.is_empty()
    }

    /// The next token; none at the end of the text or of the context.
    ///
    /// # Errors
    /// When a logit is not a number.
    pub fn token(&mut self) -> Result<Option<u32>> {
        if self.cache.len() >= self.model.config.context {
            return Ok(None);
        }
        let most = self.next.max().double_value(&[]);
        if !most.is_finite() {
            return Err(Error::NonFinite { what: "a logit".into(), step: self.cache.len() as u64 });
        }
        let best = self.next.argmax(None, false).int64_value(&[]) as usize;
        // A temperature that a 32-bit float takes for 0 is 0. The largest logit goes off first, in 64 bits: nothing overflows.
        let id = if self.temperature >= f64::from(f32::MIN_POSITIVE) {
            let shifted = (self.next.to_kind(Kind::Double) - most) / self.temperature;
            let p: Vec<f64> = Vec::try_from(shifted.softmax(-1, Kind::Double))
                .map_err(|e| Error::invalid(format!("generating: {e}")))?;
            let mut left = self.rng.unit();
            let drawn = p.iter().position(|p| {
                left -= p;
                left < 0.0
            });
            drawn.unwrap_or(best)
        } else {
            best
        };
        let id = id as u32;
        if self.model.config.eos.contains(&id) {
            return Ok(None);
        }
        let ids = Tensor::from_slice(&[i64::from(id)]).unsqueeze(0).to_device(self.model.device());
        self.next = step(self.model, &ids, &mut self.cache);
        Ok(Some(id))
    }
}

/// Texts that a model makes itself, all side by side, each going on from a token of its own: what to tune its compressed forms on without
/// any text of others (LLM-QAT, arXiv 2305.17888). `[starts, len]`, drawn at temperature 1.
///
/// # Errors
/// When there is no start, a token is none of the model's, a logit is not a number, or `stop` says so.
pub fn self_generated(
    model: &Model,
    starts: &[u32],
    len: usize,
    seed: u64,
    stop: &dyn Fn() -> bool,
) -> Result<Vec<Vec<u32>>> {
    let mut last = model.ids(starts)?.reshape([starts.len() as i64, 1]);
    let mut texts: Vec<Vec<u32>> = starts.iter().map(|id| vec![*id]).collect();
    let (mut cache, mut rng) = (Cache::new(model, len), Rng::named(seed, "own words", 0));
    for at in 1..len {
        if stop() {
            return Err(Error::Interrupted);
        }
        let sums = tch::no_grad(|| {
            let hidden = model.hidden_states(&last, Some(&mut cache), None).select(1, 0);
            model.logits(&hidden).softmax(-1, Kind::Double).cumsum(-1, Kind::Double)
        });
        let total = sums.select(1, sums.size()[1] - 1);
        if !bool::try_from(total.isfinite().all()).unwrap_or(false) {
            return Err(Error::NonFinite { what: "a logit".into(), step: at as u64 });
        }
        let draws: Vec<f64> = starts.iter().map(|_| rng.unit()).collect();
        let draws = Tensor::from_slice(&draws).to_device(sums.device()) * total;
        // The first whose sum is above the draw.
        let next = sums.le_tensor(&draws.unsqueeze(1)).sum_dim_intlist([1i64].as_slice(), true, Kind::Int64);
        last = next.clamp_max(sums.size()[1] - 1);
        let ids = Vec::<i64>::try_from(last.squeeze_dim(1)).map_err(|e| Error::invalid(e.to_string()))?;
        texts.iter_mut().zip(ids).for_each(|(text, id)| text.push(id as u32));
    }
    Ok(texts)
}

fn step(model: &Model, ids: &Tensor, cache: &mut Cache) -> Tensor {
    tch::no_grad(|| {
        let hidden = model.hidden_states(ids, Some(cache), None);
        let last = hidden.select(1, hidden.size()[1] - 1);
        model.logits(&last).squeeze_dim(0)
    })
}
