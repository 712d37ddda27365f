//! A classifier over an encoder, and how its answers are judged.
use super::{
    Encoder, Scope, Weights,
    model::{Dropout, mean_pooled},
    scope::Learns,
};
use crate::data::batches::{self, Batch};
use rlx::{Error, Result, bootstrap};
use rlx_nn::{Init, Layout, Params};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tch::{Device, Kind, Reduction, Tensor};

/// How a text's hidden states become one vector.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Pooling {
    /// Their mean: what sentence models such as MiniLM were trained for.
    #[default]
    Mean,
    /// The state of `[CLS]` through the pooler (a layer with tanh): BERT's own. A model without one gets a fresh one.
    Cls,
}

/// An encoder with a linear head.
#[derive(Debug)]
pub struct Classifier {
    /// The encoder.
    pub encoder: Encoder,
    /// All parameters: first those that weight decay shrinks.
    pub params: Params,
    /// Floats of the flat vector that weight decay shrinks.
    pub decayed: usize,
    /// Classes.
    pub classes: usize,
    /// The learning rate of adapters, as a multiple of the others'.
    pub adapter_rate: f64,
    pooler: Option<(usize, usize)>,
    head: (usize, usize),
}

impl Classifier {
    /// Over `weights`; the head (and a pooler that the model lacks) starts normal with deviation .02, by `seed`.
    ///
    /// # Errors
    /// When the device cannot be written.
    pub fn new(weights: &Weights, classes: usize, pooling: Pooling, seed: u64, device: Device) -> Result<Self> {
        Self::partial(weights, classes, pooling, seed, device, &Scope::whole(weights.config.layers))
    }

    /// The same, of which only `scope` and the head (with a pooler) learn; the rest is frozen. Where the lowest layers are frozen, a backward
    /// pass ends above them.
    ///
    /// # Errors
    /// When the scope is not of such a model, or the device cannot be written.
    pub fn partial(
        weights: &Weights,
        classes: usize,
        pooling: Pooling,
        seed: u64,
        device: Device,
        scope: &Scope,
    ) -> Result<Self> {
        scope.check(&weights.config)?;
        let (config, mut layout) = (&weights.config, Layout::new());
        let (w, start) = (config.width, Init::Normal { std: 0.02 });
        let cls = pooling == Pooling::Cls;
        Encoder::add_weights(config, &mut layout);
        let pooler = cls.then(|| layout.add("pooler.weight", &[w, w], start));
        let head = layout.add("head.weight", &[classes, w], start);
        let decayed = layout.len();
        let mut encoder = Encoder::rest(config, &mut layout);
        let pooler = pooler.map(|p| (p, layout.add("pooler.bias", &[w], Init::Zeros)));
        let head = (head, layout.add("head.bias", &[classes], Init::Zeros));
        // Last, so that a model without adapters is laid out as one that never heard of them. No weight decay reaches them: this project's
        // choice.
        for (layer, learns) in scope.layers.iter().enumerate() {
            if let Learns::Lora(rank) = learns {
                encoder.adapt(layer, *rank, scope.alpha, &mut layout);
            }
        }
        let mut flat = layout.init(seed);
        encoder.put(weights, &layout, &mut flat);
        let mut params = Params::new(layout, seed, device)?;
        params.set(&flat)?;
        let frozen: Vec<usize> =
            (0..params.layout().pieces().len()).filter(|p| !scope.learns(&params.layout().pieces()[*p].name)).collect();
        frozen.into_iter().for_each(|p| params.freeze(p));
        Ok(Self { encoder, params, decayed, classes, adapter_rate: scope.rate, pooler, head })
    }

    /// The pieces of the layout that learn.
    pub fn learning(&self) -> Vec<usize> {
        (0..self.params.layout().pieces().len()).filter(|p| !self.params.is_frozen(*p)).collect()
    }

    /// The norm of the gradient of each layer's parameters, over one batch without dropout.
    ///
    /// # Errors
    /// When the device cannot be written, or a norm is not finite, naming the layer.
    pub fn gradient_norms(&mut self, task: &Task<'_>, rows: &[usize]) -> Result<Vec<f64>> {
        let (batch, labels) = task.batch(rows, self.params.flat().device())?;
        let (logits, _) = self.forward(&batch, Dropout::NONE);
        logits.cross_entropy_loss::<Tensor>(&labels, None, Reduction::Mean, -100, 0.0).backward();
        let grads = self.params.take_grads();
        let norm = |layer: usize| {
            let name = format!("layer.{layer}.");
            let pieces = self.params.layout().pieces().iter().filter(|p| p.name.starts_with(&name));
            let part = |p: &rlx_nn::layout::Piece| {
                let part = grads.narrow(0, p.range.start as i64, p.range.len() as i64);
                part.norm().double_value(&[]).powi(2)
            };
            let norm = pieces.map(part).sum::<f64>().sqrt();
            match norm.is_finite() {
                true => Ok(norm),
                false => Err(Error::NonFinite { what: format!("the gradient of layer {layer}"), step: 0 }),
            }
        };
        (0..self.encoder.config().layers).map(norm).collect()
    }

    /// Logits `[rows, classes]`, and the hidden states they came from.
    pub fn forward(&self, batch: &Batch, dropout: Dropout) -> (Tensor, Vec<Tensor>) {
        let states = self.encoder.forward(&self.params, &batch.ids, &batch.mask, dropout);
        let last = states.last().expect("there are the embeddings");
        let leaf = |p: usize| self.params.leaf(p);
        let pooled = match self.pooler {
            None => mean_pooled(last, &batch.mask),
            Some((w, b)) => last.select(1, 0).linear(leaf(w), Some(leaf(b))).tanh(),
        };
        (dropout.of(pooled).linear(leaf(self.head.0), Some(leaf(self.head.1))), states)
    }

    /// Classifies `rows` of `texts`.
    ///
    /// # Errors
    /// When `stop` says so, a logit is not finite, or the device cannot be written.
    pub fn judge(&self, task: &Task<'_>, rows: &[usize], stop: &dyn Fn() -> bool) -> Result<Judged> {
        let lengths: Vec<usize> = rows.iter().map(|&r| task.texts[r].len()).collect();
        let mut of_row = vec![usize::MAX; task.texts.len()];
        let mut loss = 0.0;
        for part in batches::all(rows, &lengths, task.batch) {
            if stop() {
                return Err(Error::Interrupted);
            }
            let (batch, labels) = task.batch(&part, self.params.flat().device())?;
            tch::no_grad(|| -> Result<()> {
                let (logits, _) = self.forward(&batch, Dropout::NONE);
                let each = logits.cross_entropy_loss::<Tensor>(&labels, None, Reduction::Sum, -100, 0.0);
                loss += each.double_value(&[]);
                let chosen =
                    Vec::<i64>::try_from(logits.argmax(-1, false)).map_err(|e| Error::invalid(e.to_string()))?;
                part.iter().zip(chosen).for_each(|(&r, c)| of_row[r] = c as usize);
                Ok(())
            })?;
        }
        if !loss.is_finite() {
            return Err(Error::NonFinite { what: "the loss of an evaluation".into(), step: 0 });
        }
        let answers = rows.iter().map(|&r| of_row[r]).collect();
        let truth = rows.iter().map(|&r| task.labels[r]).collect();
        Ok(Judged { truth, answers, loss: loss / rows.len().max(1) as f64, classes: self.classes })
    }

    /// The mean over tokens of each text's hidden states: for each state `[rows * width]`, in the order of `rows`.
    ///
    /// # Errors
    /// When the device cannot be written or read.
    pub fn represent(&self, task: &Task<'_>, rows: &[usize]) -> Result<Vec<Vec<f32>>> {
        let mut out = vec![Vec::new(); self.encoder.config().layers + 1];
        for part in rows.chunks(task.batch) {
            let (batch, _) = task.batch(part, self.params.flat().device())?;
            let states = tch::no_grad(|| self.forward(&batch, Dropout::NONE).1);
            for (state, out) in states.iter().zip(&mut out) {
                out.extend(rlx_nn::upload::to_vec(&mean_pooled(state, &batch.mask))?);
            }
        }
        Ok(out)
    }
}

/// Texts as token ids, with their classes.
#[derive(Clone, Copy, Debug)]
pub struct Task<'a> {
    /// Token ids of every text.
    pub texts: &'a [Vec<u32>],
    /// Its class.
    pub labels: &'a [usize],
    /// What fills batches.
    pub pad: u32,
    /// Rows of a batch.
    pub batch: usize,
}

impl Task<'_> {
    /// A padded batch of rows and its labels, `[rows]`.
    ///
    /// # Errors
    /// When the device cannot be written.
    pub fn batch(&self, rows: &[usize], device: Device) -> Result<(Batch, Tensor)> {
        let texts: Vec<&[u32]> = rows.iter().map(|&r| self.texts[r].as_slice()).collect();
        let labels: Vec<i64> = rows.iter().map(|&r| self.labels[r] as i64).collect();
        let mut to = Tensor::zeros([rows.len() as i64], (Kind::Int64, device));
        rlx_nn::upload::upload(&labels, &mut to)?;
        Ok((Batch::new(&texts, self.pad, device)?, to))
    }
}

/// Answers beside the truth.
#[derive(Clone, Debug, PartialEq)]
pub struct Judged {
    /// The classes.
    pub truth: Vec<usize>,
    /// The answers.
    pub answers: Vec<usize>,
    /// Mean cross-entropy.
    pub loss: f64,
    /// Classes.
    pub classes: usize,
}

/// Accuracy and macro-averaged F1.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Scores {
    /// Share of right answers.
    pub accuracy: f64,
    /// The mean over classes of 2 right / (answered + true); a class that neither comes nor is answered counts 0, as scikit-learn has it.
    pub f1: f64,
}

/// The scores of answers.
pub fn scores(truth: &[usize], answers: &[usize], classes: usize) -> Scores {
    let (mut right, mut said, mut real) = (vec![0f64; classes], vec![0f64; classes], vec![0f64; classes]);
    for (&t, &a) in truth.iter().zip(answers) {
        (real[t], said[a]) = (real[t] + 1.0, said[a] + 1.0);
        right[t] += f64::from(u8::from(t == a));
    }
    let f1 = |c: usize| if said[c] + real[c] > 0.0 { 2.0 * right[c] / (said[c] + real[c]) } else { 0.0 };
    Scores {
        accuracy: right.iter().sum::<f64>() / truth.len().max(1) as f64,
        f1: (0..classes).map(f1).sum::<f64>() / classes as f64,
    }
}

impl Judged {
    /// Their scores.
    pub fn scores(&self) -> Scores {
        scores(&self.truth, &self.answers, self.classes)
    }

    /// 95 % percentile intervals of accuracy and F1 over draws of texts: how far another test set of the same kind would tell otherwise.
    pub fn intervals(&self, draws: usize) -> [(f64, f64); 2] {
        bootstrap(self.truth.len(), draws, "bootstrap of texts", |drawn| {
            let (t, a): (Vec<usize>, Vec<usize>) = drawn.iter().map(|i| (self.truth[*i], self.answers[*i])).unzip();
            let s = scores(&t, &a, self.classes);
            [s.accuracy, s.f1]
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scores_by_hand() {
        // Truth 0 0 0 1 1 2, answers 0 0 1 1 0 0: F1 of 0 is 2*2/(4+3), of 1 2*1/(2+2), of 2 is 0.
        let s = scores(&[0, 0, 0, 1, 1, 2], &[0, 0, 1, 1, 0, 0], 3);
        assert!((s.accuracy - 0.5).abs() < 1e-12);
        assert!((s.f1 - (4.0 / 7.0 + 0.5) / 3.0).abs() < 1e-12);
        assert_eq!(scores(&[1, 0], &[1, 0], 2), Scores { accuracy: 1.0, f1: 1.0 });
        let j = Judged { truth: [0, 1].repeat(200), answers: [0, 0, 0, 1].repeat(100), loss: 0.0, classes: 2 };
        let [accuracy, f1] = j.intervals(1000);
        // A share of .75 of 400: deviation .0217.
        assert!(
            (accuracy.0 - (0.75 - 1.96 * 0.0217)).abs() < 0.01 && (accuracy.1 - (0.75 + 1.96 * 0.0217)).abs() < 0.01
        );
        assert!(f1.0 < j.scores().f1 && j.scores().f1 < f1.1);
    }
}
