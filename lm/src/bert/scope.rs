//! Tuning a part of a classifier: which layers learn, whole or by low-rank adapters, and how many parameters that is.
use super::{
    Config, Pooling,
    model::PROJECTIONS,
    weights::{LAYER, parameters},
};
use rlx::{Error, Result, config::nearest};
use std::{fmt, str::FromStr};

/// How a layer learns.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Learns {
    /// Not at all: its parameters stay as they are, to the bit.
    Frozen,
    /// All of its parameters do.
    #[default]
    Tuned,
    /// Adapters of that rank on each of its six projections do, the rest is frozen.
    Lora(usize),
}

impl FromStr for Learns {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        match text.trim().split_once(':') {
            None if text.trim() == "frozen" => Ok(Self::Frozen),
            None if text.trim() == "tuned" => Ok(Self::Tuned),
            Some(("lora", rank)) => rank.parse().ok().filter(|r| *r > 0).map(Self::Lora).ok_or_else(|| {
                Error::invalid(format!("'{text}': the rank must be a whole number above 0, as in lora:8"))
            }),
            _ => {
                let word = text.split(':').next().unwrap_or_default().trim();
                let near = nearest(word, ["frozen", "tuned", "lora"].into_iter());
                Err(Error::invalid(format!("a layer is frozen, tuned or like lora:8, not '{text}'{near}")))
            }
        }
    }
}

impl fmt::Display for Learns {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Frozen => f.write_str("frozen"),
            Self::Tuned => f.write_str("tuned"),
            Self::Lora(rank) => write!(f, "lora:{rank}"),
        }
    }
}

/// What of a classifier learns. The head, and a pooler with it, always does: it starts from nothing.
#[derive(Clone, Debug, PartialEq)]
pub struct Scope {
    /// Whether the embeddings do.
    pub embeddings: bool,
    /// How each layer does.
    pub layers: Vec<Learns>,
    /// What an adapter adds is scaled by alpha / rank.
    pub alpha: f64,
    /// The learning rate of adapters, as a multiple of the others'.
    pub rate: f64,
}

impl Scope {
    /// Everything learns.
    pub fn whole(layers: usize) -> Self {
        Self { embeddings: true, layers: vec![Learns::Tuned; layers], alpha: 16.0, rate: 1.0 }
    }

    /// Whether it is of such a model.
    ///
    /// # Errors
    /// Naming the layer that the model does not have, or whose rank is beyond its projections'.
    pub fn check(&self, config: &Config) -> Result<()> {
        if self.layers.len() != config.layers {
            let found = format!("{} (layer 0 to {})", self.layers.len(), self.layers.len().saturating_sub(1));
            return Err(Error::mismatch("layers that are to learn", config.layers.to_string(), found));
        }
        for (i, learns) in self.layers.iter().enumerate() {
            if let Learns::Lora(rank) = learns
                && !(1..=config.width.min(config.inner)).contains(rank)
            {
                let most = config.width.min(config.inner);
                return Err(Error::invalid(format!("layer {i}: rank {rank}; its projections have 1 to {most}")));
            }
        }
        if !(self.alpha > 0.0 && self.alpha.is_finite() && self.rate > 0.0 && self.rate.is_finite()) {
            let (alpha, rate) = (self.alpha, self.rate);
            return Err(Error::invalid(format!(
                "adapters of alpha {alpha} at {rate} times the rate: both must be above 0"
            )));
        }
        Ok(())
    }

    /// Whether the parameter of that name (as in a classifier's layout) learns.
    pub fn learns(&self, name: &str) -> bool {
        let mut parts = name.split('.');
        match (parts.next(), parts.next().and_then(|n| n.parse::<usize>().ok())) {
            (Some("embeddings"), _) => self.embeddings,
            (Some("layer"), Some(i)) => match self.layers.get(i) {
                Some(Learns::Lora(_)) => name.contains(".lora_"),
                learns => learns == Some(&Learns::Tuned),
            },
            _ => true,
        }
    }

    /// How many parameters learn in all.
    pub fn parameters(&self, config: &Config, classes: usize, pooling: Pooling) -> u64 {
        let embeddings = if self.embeddings { of_embeddings(config) } else { 0 };
        let layers: u64 = self.layers.iter().map(|l| of_layer(config, *l)).sum();
        embeddings + layers + of_head(config, classes, pooling)
    }
}

fn sizes<'a>(config: &Config, which: impl Fn(&str) -> bool + 'a) -> u64 {
    let of = parameters(config).into_iter().filter(|(name, _)| which(name));
    of.map(|(_, shape)| shape.iter().product::<usize>() as u64).sum()
}

/// Parameters of the embeddings, their layer normalisation among them.
pub fn of_embeddings(config: &Config) -> u64 {
    sizes(config, |name| name.starts_with("embeddings."))
}

/// Parameters of a layer that learn.
pub fn of_layer(config: &Config, learns: Learns) -> u64 {
    match learns {
        Learns::Frozen => 0,
        Learns::Tuned => sizes(config, |name| name.starts_with("layer.0.")),
        Learns::Lora(rank) => {
            let weight = |name: &str| {
                name.strip_prefix("layer.0.").and_then(|n| n.strip_suffix(".weight")).is_some_and(|n| {
                    debug_assert!(LAYER.contains(&n));
                    PROJECTIONS.contains(&n)
                })
            };
            let of = parameters(config).into_iter().filter(|(name, _)| weight(name));
            of.map(|(_, shape)| (rank * (shape[0] + shape[1])) as u64).sum()
        }
    }
}

/// Parameters of the head, and of the pooler where there is one.
pub fn of_head(config: &Config, classes: usize, pooling: Pooling) -> u64 {
    let pooler = if pooling == Pooling::Cls { config.width * (config.width + 1) } else { 0 };
    (pooler + classes * (config.width + 1)) as u64
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bert::{Classifier, Tuner, classify::Task, config::Family, model::fresh, tune::Plan};
    use tch::Device;

    fn config() -> Config {
        Config {
            family: Family::Bert,
            layers: 3,
            width: 16,
            heads: 2,
            inner: 32,
            vocabulary: 12,
            positions: 8,
            types: 2,
            eps: 1e-12,
            activation: "gelu".into(),
        }
    }

    const PLAN: Plan = Plan {
        learning_rate: 1e-2,
        weight_decay: 0.01,
        warmup: 0.0,
        steps: 30,
        dropout: 0.1,
        max_grad_norm: 1.0,
        seed: 5,
    };

    fn texts() -> (Vec<Vec<u32>>, Vec<usize>) {
        let mut rng = rlx::Rng::stream(8, 8);
        // Every word and every position comes, so that every row of the embeddings has a gradient.
        let text = |i: usize| ((0..8).map(|_| rng.below(12) as u32).collect(), i % 2);
        (0..32).map(text).unzip()
    }

    fn tuned(scope: &Scope, pooling: Pooling, steps: usize) -> (Classifier, Vec<f32>) {
        let model = Classifier::partial(&fresh(&config(), 1).unwrap(), 2, pooling, 2, Device::Cpu, scope).unwrap();
        let before = model.params.to_vec().unwrap();
        let (texts, labels) = texts();
        let task = Task { texts: &texts, labels: &labels, pad: 0, batch: 32 };
        let rows: Vec<usize> = (0..32).collect();
        let mut tuner = Tuner::new(model, PLAN);
        for _ in 0..steps {
            tuner.learn(&task, &rows).unwrap();
        }
        (tuner.model, before)
    }

    /// Parameters that are frozen are the same bits afterwards; what is counted is what changed.
    #[test]
    fn what_is_counted_is_what_changed_and_the_rest_is_the_same_bits() {
        let _alone = crate::GENERATOR.lock();
        use Learns::{Frozen, Lora, Tuned};
        for (embeddings, layers, pooling) in [
            (false, vec![Frozen, Frozen, Frozen], Pooling::Mean),
            (false, vec![Frozen, Tuned, Frozen], Pooling::Mean),
            (false, vec![Tuned, Frozen, Lora(2)], Pooling::Cls),
            (false, vec![Lora(4), Lora(1), Lora(16)], Pooling::Mean),
            (true, vec![Frozen, Tuned, Lora(3)], Pooling::Cls),
            (true, vec![Tuned, Tuned, Tuned], Pooling::Mean),
        ] {
            let scope = Scope { embeddings, layers, ..Scope::whole(3) };
            let (model, before) = tuned(&scope, pooling, 6);
            let after = model.params.to_vec().unwrap();
            let mut changed = 0;
            for piece in model.params.layout().pieces() {
                let differ = piece.range.clone().filter(|&i| before[i].to_bits() != after[i].to_bits()).count();
                if scope.learns(&piece.name) {
                    // Types beyond the first never come; their decay is all that changes them, and 0 stays 0.
                    assert!(differ > 0, "{} did not learn: {scope:?}", piece.name);
                } else {
                    assert_eq!(differ, 0, "{} is frozen: {scope:?}", piece.name);
                }
                changed += differ as u64;
            }
            let counted = scope.parameters(&config(), 2, pooling);
            assert!(changed <= counted && changed * 100 >= counted * 99, "{changed} of {counted}: {scope:?}");
            let trained: usize = model.learning().iter().map(|p| model.params.layout().range(*p).len()).sum();
            assert_eq!(trained as u64, counted);
        }
    }

    /// Adapters add nothing before they learn, and a full rank learns what it is given.
    #[test]
    fn adapters_start_from_the_model_as_it_is() {
        let _alone = crate::GENERATOR.lock();
        let weights = fresh(&config(), 1).unwrap();
        let (texts, labels) = texts();
        let task = Task { texts: &texts, labels: &labels, pad: 0, batch: 32 };
        let rows: Vec<usize> = (0..32).collect();
        let whole = Classifier::new(&weights, 2, Pooling::Mean, 2, Device::Cpu).unwrap();
        let scope = Scope { embeddings: false, layers: vec![Learns::Lora(4); 3], ..Scope::whole(3) };
        let adapted = Classifier::partial(&weights, 2, Pooling::Mean, 2, Device::Cpu, &scope).unwrap();
        let judge = |m: &Classifier| m.judge(&task, &rows, &|| false).unwrap();
        assert_eq!(judge(&whole).loss.to_bits(), judge(&adapted).loss.to_bits());
        assert_eq!(adapted.encoder.weights(&adapted.params).unwrap(), weights, "what was put in comes out");
        let (learnt, _) = tuned(&scope, Pooling::Mean, 30);
        assert!(judge(&learnt).loss < judge(&adapted).loss, "adapters learn");
    }

    /// No graph is built below the lowest layer that learns.
    #[test]
    fn a_backward_pass_ends_above_what_is_frozen() {
        let scope =
            Scope { embeddings: false, layers: vec![Learns::Frozen, Learns::Tuned, Learns::Frozen], ..Scope::whole(3) };
        let (model, _) = tuned(&scope, Pooling::Mean, 0);
        let (texts, labels) = texts();
        let task = Task { texts: &texts, labels: &labels, pad: 0, batch: 32 };
        let (batch, _) = task.batch(&[0, 1], Device::Cpu).unwrap();
        let (_, states) = model.forward(&batch, crate::bert::model::Dropout::NONE);
        let graphs: Vec<bool> = states.iter().map(tch::Tensor::requires_grad).collect();
        assert_eq!(graphs, [false, false, true, true]);
    }

    #[test]
    fn what_is_wrong_is_named() {
        for text in ["frozen", "tuned", "lora:12"] {
            assert_eq!(text.parse::<Learns>().unwrap().to_string(), text);
        }
        let wrong = |text: &str| text.parse::<Learns>().unwrap_err().to_string();
        assert!(wrong("frozn").contains("did you mean 'frozen'"), "{}", wrong("frozn"));
        assert!(wrong("lora:0").contains("above 0") && wrong("lora:x").contains("lora:8"));
        assert!(wrong("lora").contains("like lora:8"));
        let scope = |layers: Vec<Learns>| Scope { layers, ..Scope::whole(3) };
        let error = scope(vec![Learns::Tuned; 4]).check(&config()).unwrap_err().to_string();
        assert!(error.contains("layers that are to learn: expected 3, found 4"), "{error}");
        let error = scope(vec![Learns::Tuned, Learns::Lora(17), Learns::Frozen]).check(&config()).unwrap_err();
        assert!(error.to_string().contains("layer 1: rank 17"), "{error}");
        assert!(Scope { alpha: 0.0, ..Scope::whole(3) }.check(&config()).is_err());
    }
}
