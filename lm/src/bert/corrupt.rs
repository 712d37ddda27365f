//! Corrupting an encoder before it is fine-tuned: as "Healing Powers of BERT" (arXiv 2406.14459) has it, and in other ways.
use super::Weights;
use rlx::{Array, Error, Result, Rng, config::nearest};
use rlx_nn::Init;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::{fmt, str::FromStr};

/// What is done to a parameter.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum CorruptionMethod {
    /// As published: LayerNorm weights 1, other weights Kaiming-uniform (bound sqrt(6 / fan in), torch's `kaiming_uniform_`; the paper
    /// names no gain, so that is this project's choice), biases 0.
    #[default]
    Kaiming,
    /// Normal noise of `amount` times the root mean square of the parameter's numbers is added.
    Gaussian,
    /// A share `amount` of the numbers becomes 0.
    Zero,
    /// A share `amount` of the numbers change places with each other, inside their parameter.
    Permute,
    /// Each of the 32 bits of each number flips with probability `amount`. What leaves the range of the parameter's own numbers is put at its
    /// end, as range-restricted memory would: a single flip in an exponent otherwise decides everything.
    Bitflip,
}

/// Which parameters of the layers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum CorruptionScope {
    /// All of them.
    #[default]
    All,
    /// Query, key, value and output.
    Attention,
    /// The two products of the MLP.
    Mlp,
    /// Layer normalisation.
    Layernorm,
}

/// Which layers: `none`, `all`, `embeddings`, `bottom:2`, `top:2`, `middle:2`, `scattered:2` (drawn by the seed), `layer:3`, `layers:0,3`;
/// several joined by `+`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LayerSelection(Vec<Piece>);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Piece {
    All,
    Embeddings,
    Bottom(usize),
    Top(usize),
    Middle(usize),
    Scattered(usize),
    Layers(Vec<usize>),
}

const WORDS: [&str; 9] = ["none", "all", "embeddings", "bottom", "top", "middle", "scattered", "layer", "layers"];

impl FromStr for LayerSelection {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let mut pieces = Vec::new();
        for part in text.split('+') {
            let (word, number) = part.trim().split_once(':').unwrap_or((part.trim(), ""));
            let wrong = || Error::invalid(format!("'{part}': it must be like bottom:2 or layers:0,3"));
            let count = || number.parse::<usize>().ok().filter(|n| *n > 0).ok_or_else(wrong);
            pieces.push(match word {
                "none" | "all" | "embeddings" if !number.is_empty() => return Err(wrong()),
                "none" if text.trim() == "none" => continue,
                "none" => return Err(Error::invalid(format!("'{text}': none stands alone"))),
                "all" => Piece::All,
                "embeddings" => Piece::Embeddings,
                "bottom" => Piece::Bottom(count()?),
                "top" => Piece::Top(count()?),
                "middle" => Piece::Middle(count()?),
                "scattered" => Piece::Scattered(count()?),
                "layer" | "layers" => Piece::Layers(
                    number.split(',').map(|n| n.trim().parse().map_err(|_| wrong())).collect::<Result<_>>()?,
                ),
                other => {
                    let near = nearest(other, WORDS.into_iter());
                    return Err(Error::invalid(format!("there are no layers '{other}'{near}")));
                }
            });
        }
        Ok(Self(pieces))
    }
}

impl fmt::Display for LayerSelection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = |p: &Piece| match p {
            Piece::All => "all".to_owned(),
            Piece::Embeddings => "embeddings".into(),
            Piece::Bottom(k) => format!("bottom:{k}"),
            Piece::Top(k) => format!("top:{k}"),
            Piece::Middle(k) => format!("middle:{k}"),
            Piece::Scattered(k) => format!("scattered:{k}"),
            Piece::Layers(l) => format!("layers:{}", l.iter().map(usize::to_string).collect::<Vec<_>>().join(",")),
        };
        match self.0.is_empty() {
            true => f.write_str("none"),
            false => f.write_str(&self.0.iter().map(text).collect::<Vec<_>>().join("+")),
        }
    }
}

impl LayerSelection {
    /// Whether nothing is corrupted.
    pub fn is_none(&self) -> bool {
        self.0.is_empty()
    }

    /// The layers, ascending, and whether the embeddings are meant, of a model of so many layers.
    ///
    /// # Errors
    /// Naming the layer that the model does not have.
    pub fn layers(&self, of: usize, seed: u64) -> Result<(Vec<usize>, bool)> {
        let (mut chosen, mut embeddings) = (vec![false; of], false);
        let fits = |k: usize, what: &str| match k <= of {
            true => Ok(k),
            false => Err(Error::invalid(format!("{what}:{k}: the model has {of} layers"))),
        };
        for piece in &self.0 {
            match piece {
                Piece::All => chosen.fill(true),
                Piece::Embeddings => embeddings = true,
                Piece::Bottom(k) => chosen[..fits(*k, "bottom")?].fill(true),
                Piece::Top(k) => chosen[of - fits(*k, "top")?..].fill(true),
                Piece::Middle(k) => {
                    let start = (of - fits(*k, "middle")?) / 2;
                    chosen[start..start + k].fill(true);
                }
                Piece::Scattered(k) => {
                    let mut order: Vec<usize> = (0..of).collect();
                    Rng::named(seed, "scattered layers", *k as u64).shuffle(&mut order);
                    order[..fits(*k, "scattered")?].iter().for_each(|l| chosen[*l] = true);
                }
                Piece::Layers(list) => {
                    for l in list {
                        let slot = chosen.get_mut(*l);
                        *slot.ok_or_else(|| {
                            Error::invalid(format!("layer {l}: the model has layers 0 to {}", of - 1))
                        })? = true;
                    }
                }
            }
        }
        Ok(((0..of).filter(|l| chosen[*l]).collect(), embeddings))
    }
}

/// A corruption.
#[derive(Clone, Debug, PartialEq)]
pub struct Corruption {
    /// Which layers.
    pub layers: LayerSelection,
    /// Which of their parameters.
    pub scope: CorruptionScope,
    /// What is done to them.
    pub method: CorruptionMethod,
    /// How much of it, for all but `kaiming`.
    pub strength: f64,
    /// Decides everything that is drawn.
    pub seed: u64,
}

/// What a corruption did.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct CorruptionReport {
    /// The layers.
    pub layers: Vec<usize>,
    /// Whether the embeddings were corrupted.
    pub embeddings: bool,
    /// Parameters that were touched.
    pub tensors: usize,
    /// Numbers in them.
    pub numbers: usize,
    /// Numbers that are other ones now.
    pub changed: usize,
}

impl Corruption {
    /// Corrupts `weights`. Each parameter draws from a stream of its own, so that one corruption is part of a larger one of the same seed.
    ///
    /// # Errors
    /// When the model lacks a layer, or the amount is out of range; nothing is then changed.
    pub fn apply(&self, weights: &mut Weights) -> Result<CorruptionReport> {
        let (layers, embeddings) = self.layers.layers(weights.config.layers, self.seed)?;
        let most = if self.method == CorruptionMethod::Gaussian { f64::INFINITY } else { 1.0 };
        if self.method != CorruptionMethod::Kaiming
            && !(self.strength > 0.0 && self.strength <= most && self.strength.is_finite())
        {
            let range = if most.is_finite() { "above 0, at most 1" } else { "above 0" };
            return Err(Error::invalid(format!("amount = {}: it must be {range}", self.strength)));
        }
        let mut done = CorruptionReport { layers, embeddings, tensors: 0, numbers: 0, changed: 0 };
        let (layers, seed) = (done.layers.clone(), self.seed);
        for (name, array) in weights.iter_mut() {
            if !self.hits(name, &layers, embeddings) {
                continue;
            }
            let before = array.data.clone();
            self.corrupt(array, &mut Rng::named(seed, &format!("corruption of {name}"), 0));
            done.tensors += 1;
            done.numbers += before.len();
            done.changed += before.iter().zip(&array.data).filter(|(a, b)| a.to_bits() != b.to_bits()).count();
        }
        Ok(done)
    }

    fn hits(&self, name: &str, layers: &[usize], embeddings: bool) -> bool {
        let mut parts = name.split('.');
        match (parts.next(), parts.next(), parts.next()) {
            (Some("embeddings"), what, _) => {
                embeddings
                    && (self.scope == CorruptionScope::All
                        || (self.scope == CorruptionScope::Layernorm && what == Some("norm")))
            }
            (Some("layer"), Some(number), Some(part)) => {
                let of_part = match self.scope {
                    CorruptionScope::All => true,
                    CorruptionScope::Attention => ["query", "key", "value", "output"].contains(&part),
                    CorruptionScope::Mlp => ["up", "down"].contains(&part),
                    CorruptionScope::Layernorm => part.ends_with("norm"),
                };
                of_part && number.parse().is_ok_and(|n: usize| layers.contains(&n))
            }
            _ => false,
        }
    }

    fn corrupt(&self, array: &mut Array, rng: &mut Rng) {
        let data = &mut array.data;
        match self.method {
            CorruptionMethod::Kaiming if array.name.ends_with(".bias") => data.fill(0.0),
            CorruptionMethod::Kaiming if array.name.contains("norm") => data.fill(1.0),
            CorruptionMethod::Kaiming => {
                let bound = (6.0 / array.shape[1] as f64).sqrt() as f32;
                Init::Uniform { bound }.fill(&array.shape, data, rng);
            }
            CorruptionMethod::Gaussian => {
                let square: f64 = data.iter().map(|x| f64::from(*x).powi(2)).sum();
                let size = self.strength * (square / data.len() as f64).sqrt();
                data.iter_mut().for_each(|x| *x += (rng.normal() * size) as f32);
            }
            CorruptionMethod::Zero => drawn(data.len(), self.strength, rng).for_each(|i| data[i] = 0.0),
            CorruptionMethod::Permute => {
                let places: Vec<usize> = drawn(data.len(), self.strength, rng).collect();
                let mut values: Vec<f32> = places.iter().map(|&i| data[i]).collect();
                rng.shuffle(&mut values);
                places.into_iter().zip(values).for_each(|(i, x)| data[i] = x);
            }
            CorruptionMethod::Bitflip => {
                let most = data.iter().fold(0f32, |m, x| m.max(x.abs()));
                for bit in drawn(data.len() * 32, self.strength, rng) {
                    let x = &mut data[bit / 32];
                    *x = f32::from_bits(x.to_bits() ^ 1 << (bit % 32));
                }
                data.iter_mut().for_each(|x| *x = if x.is_nan() { 0.0 } else { x.clamp(-most, most) });
            }
        }
    }
}

/// Numbers below `n`, ascending, each with probability `share`: by the gaps between them, which are geometric.
fn drawn(n: usize, share: f64, rng: &mut Rng) -> impl Iterator<Item = usize> {
    let per_log = 1.0 / (1.0 - share.min(1.0)).ln(); // -0 where all are drawn
    let mut next = 0usize;
    let mut gap = move || if share >= 1.0 { 0 } else { ((1.0 - rng.unit()).ln() * per_log) as usize };
    std::iter::from_fn(move || {
        let at = next.saturating_add(gap());
        next = at.saturating_add(1);
        (at < n).then_some(at)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bert::{Config, config::Family, model::fresh};

    fn model() -> Weights {
        let config = Config {
            family: Family::Bert,
            layers: 6,
            width: 32,
            heads: 4,
            inner: 64,
            vocabulary: 50,
            positions: 16,
            types: 2,
            eps: 1e-12,
            activation: "gelu".into(),
        };
        let mut w = fresh(&config, 3).unwrap();
        // Nothing may be 0 or 1 by itself.
        let mut rng = Rng::stream(4, 4);
        w.iter_mut().for_each(|(_, a)| a.data.iter_mut().for_each(|x| *x += 0.1 + 0.01 * rng.normal() as f32));
        w
    }

    fn with(
        layers: &str,
        scope: CorruptionScope,
        method: CorruptionMethod,
        strength: f64,
    ) -> (Weights, CorruptionReport) {
        let mut w = model();
        let c = Corruption { layers: layers.parse().unwrap(), scope, method, strength, seed: 7 };
        let done = c.apply(&mut w).unwrap();
        (w, done)
    }

    fn touched(layers: &str, scope: CorruptionScope) -> Vec<String> {
        let (w, done) = with(layers, scope, CorruptionMethod::Gaussian, 1.0);
        let before = model();
        let out: Vec<String> = w.iter().filter(|(n, a)| before.get(n) != Some(a)).map(|(n, _)| n.to_owned()).collect();
        assert_eq!(out.len(), done.tensors);
        out
    }

    #[test]
    fn places_are_the_layers_that_they_say() {
        let layers = |text: &str| text.parse::<LayerSelection>().unwrap().layers(6, 1).unwrap();
        assert_eq!(layers("none"), (vec![], false));
        assert_eq!(layers("bottom:2"), (vec![0, 1], false));
        assert_eq!(layers("top:2+embeddings"), (vec![4, 5], true));
        assert_eq!(layers("middle:2"), (vec![2, 3], false));
        assert_eq!(layers("middle:3").0.len(), 3);
        assert_eq!(layers("layers:5,0+layer:2"), (vec![0, 2, 5], false));
        assert_eq!(layers("all").0.len(), 6);
        assert_eq!(layers("scattered:3").0.len(), 3);
        let of = |seed| "scattered:2".parse::<LayerSelection>().unwrap().layers(6, seed).unwrap();
        assert!((0..20).any(|s| of(s) != of(0)), "the seed decides");
        for text in ["bottom:2", "top:1+embeddings", "none", "layers:0,3"] {
            assert_eq!(text.parse::<LayerSelection>().unwrap().to_string(), text);
        }
        let wrong = |text: &str| match text.parse::<LayerSelection>() {
            Err(e) => e.to_string(),
            Ok(p) => p.layers(6, 0).unwrap_err().to_string(),
        };
        assert!(wrong("bottom:7").contains("the model has 6 layers"));
        assert!(wrong("layer:6").contains("layer 6: the model has layers 0 to 5"));
        assert!(wrong("botom:2").contains("did you mean 'bottom'?"));
        for text in ["bottom", "bottom:0", "top:-1", "layers:", "all:3", "none+top:1", ""] {
            assert!(!wrong(text).is_empty(), "{text}");
        }
    }

    #[test]
    fn parts_are_the_parameters_that_they_say() {
        assert_eq!(touched("bottom:2", CorruptionScope::All).len(), 2 * 16);
        assert!(
            touched("bottom:2", CorruptionScope::All)
                .iter()
                .all(|n| n.starts_with("layer.0.") || n.starts_with("layer.1."))
        );
        assert_eq!(touched("top:1", CorruptionScope::Attention).len(), 8);
        assert!(touched("top:1", CorruptionScope::Mlp).iter().all(|n| n.contains(".up.") || n.contains(".down.")));
        assert!(
            touched("all", CorruptionScope::Layernorm).iter().all(|n| n.contains("norm") && n.starts_with("layer"))
        );
        assert_eq!(touched("embeddings", CorruptionScope::All).len(), 5);
    }

    #[test]
    fn the_published_damage_is_what_was_published() {
        let (w, _) = with("layer:2", CorruptionScope::All, CorruptionMethod::Kaiming, 0.0);
        assert!(w.get("layer.2.mlp_norm.weight").unwrap().data.iter().all(|x| *x == 1.0));
        assert!(w.get("layer.2.up.bias").unwrap().data.iter().all(|x| *x == 0.0));
        let down = &w.get("layer.2.down.weight").unwrap();
        let bound = (6.0f32 / 64.0).sqrt();
        assert!(down.data.iter().all(|x| x.abs() <= bound));
        let square = down.data.iter().map(|x| f64::from(*x).powi(2)).sum::<f64>() / down.data.len() as f64;
        // A uniform number's variance is bound^2 / 3; its square's deviation over 2,048 draws is 2 %.
        assert!((square / (f64::from(bound).powi(2) / 3.0) - 1.0).abs() < 0.1, "{square}");
        assert_eq!(w, with("layer:2", CorruptionScope::All, CorruptionMethod::Kaiming, 0.0).0);
        let both = with("layers:2,3", CorruptionScope::All, CorruptionMethod::Kaiming, 0.0).0;
        assert_eq!(w.get("layer.2.up.weight"), both.get("layer.2.up.weight"), "a part of a larger one");
    }

    #[test]
    fn amounts_are_shares_and_sizes() {
        for share in [0.001, 0.1, 0.5, 1.0] {
            let (w, done) = with("all", CorruptionScope::Mlp, CorruptionMethod::Zero, share);
            let n = done.numbers as f64;
            let zeros = w.iter().flat_map(|(_, a)| &a.data).filter(|x| **x == 0.0).count() as f64;
            assert!((zeros - share * n).abs() <= 5.0 * (n * share * (1.0 - share)).sqrt(), "{share}: {zeros} of {n}");
            assert_eq!(zeros as usize, done.changed);
        }
        let (w, done) = with("all", CorruptionScope::Mlp, CorruptionMethod::Permute, 0.5);
        let sorted = |w: &Weights| {
            let mut d = w.get("layer.0.up.weight").unwrap().data.clone();
            d.sort_by(f32::total_cmp);
            d
        };
        assert_eq!(sorted(&w), sorted(&model()), "the same numbers in other places");
        assert!((0.4..0.55).contains(&(done.changed as f64 / done.numbers as f64)));
        let (w, done) = with("all", CorruptionScope::All, CorruptionMethod::Bitflip, 0.001);
        let expected = 1.0 - 0.999f64.powi(32);
        assert!((done.changed as f64 / done.numbers as f64 - expected).abs() < 0.1 * expected);
        let before = model();
        for (name, array) in w.iter() {
            let most = before.get(name).unwrap().data.iter().fold(0f32, |m, x| m.max(x.abs()));
            assert!(array.data.iter().all(|x| x.abs() <= most), "{name}");
        }
        for (method, strength) in
            [(CorruptionMethod::Zero, 0.0), (CorruptionMethod::Bitflip, 1.5), (CorruptionMethod::Gaussian, f64::NAN)]
        {
            let c =
                Corruption { layers: "all".parse().unwrap(), scope: CorruptionScope::All, method, strength, seed: 0 };
            assert!(c.apply(&mut model()).unwrap_err().to_string().contains("amount"));
        }
    }
}
