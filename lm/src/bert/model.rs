//! The encoder in tch, over parameters that are part of a flat vector.
use super::{Config, Weights};
use crate::{lora::Adapter, quant::product};
use rlx::{Result, Rng};
use rlx_nn::{Init, Layout, Params};
use tch::{Kind, Tensor};

type Pair = (usize, usize);

#[derive(Clone, Debug)]
struct Layer {
    /// Query, key and value as one product.
    qkv: Pair,
    output: Pair,
    attention_norm: Pair,
    up: Pair,
    down: Pair,
    mlp_norm: Pair,
    lora: Option<Lora>,
}

/// Projections of a layer that adapters are added to: all of them.
pub const PROJECTIONS: [&str; 6] = ["query", "key", "value", "output", "up", "down"];

/// Adapters of a layer: A and B of each of [`PROJECTIONS`].
#[derive(Clone, Debug)]
struct Lora {
    pairs: [Pair; 6],
    scale: f64,
}

impl Lora {
    /// What the adapter of projection `which` adds for `x`.
    fn added(&self, which: usize, params: &Params, x: &Tensor) -> Tensor {
        let (a, b) = self.pairs[which];
        let leaf = |p: usize| params.leaf(p).shallow_clone();
        Adapter { a: leaf(a), b: leaf(b), scale: self.scale }.apply(x)
    }
}

/// An encoder: which parameters of a [`Params`] it is made of, and how they are put together.
#[derive(Clone, Debug)]
pub struct Encoder {
    config: Config,
    words: usize,
    positions: usize,
    types: Option<usize>,
    norm: Pair,
    layers: Vec<Layer>,
}

/// What is dropped out while learning.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Dropout {
    /// Of hidden states and attention alike.
    pub share: f64,
    /// Whether the model is learning.
    pub learning: bool,
}

impl Dropout {
    /// Nothing: for judging.
    pub const NONE: Self = Self { share: 0.0, learning: false };

    pub(super) fn of(self, x: Tensor) -> Tensor {
        if self.learning && self.share > 0.0 { x.dropout(self.share, true) } else { x }
    }
}

/// Names and shapes.
type Shapes = Vec<(String, Vec<usize>)>;

/// Names of an encoder's pieces in a layout: weights first, then what weight decay leaves alone (biases and layer normalisation).
fn pieces(config: &Config) -> (Shapes, Shapes) {
    let w = config.width;
    let mut out = Vec::new();
    for (name, shape) in super::weights::parameters(config) {
        let Some((place, kind)) = name.rsplit_once('.').filter(|(p, _)| p.starts_with("layer.")) else {
            out.push((name, shape));
            continue;
        };
        match place.rsplit('.').next() {
            Some("query") if kind == "weight" => out.push((name.replace("query", "qkv"), vec![3 * w, w])),
            Some("query") => out.push((name.replace("query", "qkv"), vec![3 * w])),
            Some("key" | "value") => {}
            _ => out.push((name, shape)),
        }
    }
    out.into_iter().partition(|(name, shape)| shape.len() > 1 && !name.contains("norm"))
}

impl Encoder {
    /// Adds the weights of an encoder to `layout`: what weight decay shrinks. [`Encoder::rest`] adds the others.
    pub fn add_weights(config: &Config, layout: &mut Layout) {
        for (name, shape) in pieces(config).0 {
            layout.add(name, &shape, Init::Zeros);
        }
    }

    /// Adds biases and layer normalisation, and gives the encoder.
    pub fn rest(config: &Config, layout: &mut Layout) -> Self {
        for (name, shape) in pieces(config).1 {
            layout.add(name, &shape, Init::Zeros);
        }
        let find = |name: &str| layout.pieces().iter().position(|p| p.name == name).expect("it was added");
        let pair = |name: &str| (find(&format!("{name}.weight")), find(&format!("{name}.bias")));
        let layer = |i: usize| {
            let of = |part: &str| pair(&format!("layer.{i}.{part}"));
            Layer {
                qkv: of("qkv"),
                output: of("output"),
                attention_norm: of("attention_norm"),
                up: of("up"),
                down: of("down"),
                mlp_norm: of("mlp_norm"),
                lora: None,
            }
        };
        Self {
            words: find("embeddings.words"),
            positions: find("embeddings.positions"),
            types: (config.types > 0).then(|| find("embeddings.types")),
            norm: pair("embeddings.norm"),
            layers: (0..config.layers).map(layer).collect(),
            config: config.clone(),
        }
    }

    /// Adds low-rank adapters (LoRA, arXiv 2106.09685) to the projections of a layer: A Kaiming-uniform, B zero, their product times
    /// alpha / rank.
    pub fn adapt(&mut self, layer: usize, rank: usize, alpha: f64, layout: &mut Layout) {
        let (w, inner) = (self.config.width, self.config.inner);
        let pairs = PROJECTIONS.map(|name| {
            let (outputs, inputs) = match name {
                "up" => (inner, w),
                "down" => (w, inner),
                _ => (w, w),
            };
            let a = layout.add(format!("layer.{layer}.{name}.lora_a"), &[rank, inputs], Init::KaimingUniform);
            (a, layout.add(format!("layer.{layer}.{name}.lora_b"), &[outputs, rank], Init::Zeros))
        });
        self.layers[layer].lora = Some(Lora { pairs, scale: alpha / rank as f64 });
    }

    /// The shape.
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// Copies `weights` into the pieces of `flat`, which is of `layout`.
    pub fn put(&self, weights: &Weights, layout: &Layout, flat: &mut [f32]) {
        for piece in layout.pieces() {
            let parts = match weights.get(&piece.name) {
                Some(array) => vec![array],
                None => {
                    let of = |part: &str| weights.get(&piece.name.replace(".qkv.", part));
                    [".query.", ".key.", ".value."].into_iter().filter_map(of).collect()
                }
            };
            let mut at = piece.range.start;
            for array in parts {
                flat[at..at + array.data.len()].copy_from_slice(&array.data);
                at += array.data.len();
            }
        }
    }

    /// The encoder's parameters as they are now, without adapters: the inverse of [`Encoder::put`].
    ///
    /// # Errors
    /// When the device cannot be read, or a parameter is not finite.
    pub fn weights(&self, params: &Params) -> Result<Weights> {
        let (flat, layout) = (params.to_vec()?, params.layout());
        let shapes: std::collections::HashMap<_, _> = super::weights::parameters(&self.config).into_iter().collect();
        Weights::new(self.config.clone(), |name| {
            let Some(shape) = shapes.get(name) else { return Ok(None) };
            let thirds = ["query", "key", "value"].iter().position(|p| name.contains(&format!(".{p}.")));
            let piece =
                ["query", "key", "value"].iter().fold(name.to_owned(), |n, p| n.replace(&format!(".{p}."), ".qkv."));
            let range = layout.pieces().iter().find(|p| p.name == piece).map(|p| p.range.clone());
            let size: usize = shape.iter().product();
            let data = range.map(|r| flat[r.start + thirds.unwrap_or(0) * size..][..size].to_vec());
            Ok(data.map(|data| rlx::Array { name: name.into(), shape: shape.clone(), data }))
        })
    }

    /// Hidden states, `[rows, tokens, width]`: after the embeddings, then after each layer. `ids` is `[rows, tokens]`, `mask` 1 where there
    /// is a token.
    pub fn forward(&self, params: &Params, ids: &Tensor, mask: &Tensor, dropout: Dropout) -> Vec<Tensor> {
        let leaf = |p: usize| params.leaf(p);
        let norm = |x: &Tensor, p: Pair| {
            x.layer_norm([self.config.width as i64], Some(leaf(p.0)), Some(leaf(p.1)), self.config.eps, false)
        };
        let tokens = ids.size()[1];
        let mut x =
            Tensor::embedding(leaf(self.words), ids, -1, false, false) + leaf(self.positions).narrow(0, 0, tokens);
        if let Some(types) = self.types {
            // One text: its tokens are all of the first type.
            x += leaf(types).narrow(0, 0, 1);
        }
        let mut states = vec![dropout.of(norm(&x, self.norm))];
        // -inf would make rows of padding alone NaN.
        let hidden = ((mask - 1.0) * f64::from(f32::MAX)).unsqueeze(1).unsqueeze(1); // [rows, 1, 1, tokens]
        for layer in &self.layers {
            let x = states.last().expect("there are the embeddings");
            let attended = self.attend(layer, params, x, &hidden, dropout);
            let x = norm(&(x + dropout.of(attended)), layer.attention_norm);
            // Projection `which` of `x`, with what its adapter adds.
            let project = |which: usize, p: Pair, x: &Tensor| {
                let y = product(x, leaf(p.0), Some(leaf(p.1)));
                layer.lora.as_ref().map_or_else(|| y.shallow_clone(), |l| &y + l.added(which, params, x))
            };
            let inner = project(4, layer.up, &x);
            let inner = match self.config.activation.as_str() {
                "relu" => inner.relu(),
                "gelu_new" => inner.gelu("tanh"),
                _ => inner.gelu("none"),
            };
            let down = project(5, layer.down, &inner);
            states.push(norm(&(&x + dropout.of(down)), layer.mlp_norm));
        }
        states
    }

    fn attend(&self, layer: &Layer, params: &Params, x: &Tensor, hidden: &Tensor, dropout: Dropout) -> Tensor {
        let (size, heads) = (x.size(), self.config.heads as i64);
        let (rows, tokens, width) = (size[0], size[1], size[2]);
        let qkv = product(x, params.leaf(layer.qkv.0), Some(params.leaf(layer.qkv.1)));
        let qkv = layer.lora.as_ref().map_or_else(
            || qkv.shallow_clone(),
            |l| &qkv + Tensor::cat(&[0, 1, 2].map(|which| l.added(which, params, x)), -1),
        );
        // [3, rows, heads, tokens, width of a head]
        let qkv = qkv.view([rows, tokens, 3, heads, width / heads]).permute([2, 0, 3, 1, 4]);
        let (q, k, v) = (qkv.get(0), qkv.get(1), qkv.get(2));
        let scale = 1.0 / ((width / heads) as f64).sqrt();
        let scores = (q * scale).matmul(&k.transpose(-2, -1)) + hidden;
        let shares = dropout.of(scores.softmax(-1, Kind::Float));
        let mixed = shares.matmul(&v).transpose(1, 2).reshape([rows, tokens, width]);
        let out = product(&mixed, params.leaf(layer.output.0), Some(params.leaf(layer.output.1)));
        layer.lora.as_ref().map_or_else(|| out.shallow_clone(), |l| &out + l.added(3, params, &mixed))
    }
}

/// The mean of hidden states over tokens, `[rows, width]`; padding does not count.
pub fn mean_pooled(state: &Tensor, mask: &Tensor) -> Tensor {
    let mask = mask.unsqueeze(-1);
    (state * &mask).sum_dim_intlist([1i64].as_slice(), false, Kind::Float)
        / mask.sum_dim_intlist([1i64].as_slice(), false, Kind::Float)
}

/// An encoder by itself with its parameters, for reading hidden states.
///
/// # Errors
/// When the device cannot be written.
pub fn bare(weights: &Weights, device: tch::Device) -> Result<(Encoder, Params)> {
    let mut layout = Layout::new();
    Encoder::add_weights(&weights.config, &mut layout);
    let encoder = Encoder::rest(&weights.config, &mut layout);
    let mut flat = vec![0.0; layout.len()];
    encoder.put(weights, &layout, &mut flat);
    let mut params = Params::new(layout, 0, device)?;
    params.set(&flat)?;
    Ok((encoder, params))
}

/// Random weights of that shape, for tests and for models from scratch: normal with deviation .02, biases 0, LayerNorm weights 1, as
/// BERT starts.
///
/// # Errors
/// Never for a config that was checked.
pub fn fresh(config: &Config, seed: u64) -> Result<Weights> {
    let shapes: std::collections::HashMap<_, _> = super::weights::parameters(config).into_iter().collect();
    Weights::new(config.clone(), |name| {
        let Some(shape) = shapes.get(name) else { return Ok(None) };
        let mut rng = Rng::named(seed, name, 0);
        let mut data = vec![0.0; shape.iter().product()];
        match (name.contains("norm"), name.ends_with("bias")) {
            (_, true) => {}
            (true, false) => data.fill(1.0),
            _ => Init::Normal { std: 0.02 }.fill(shape, &mut data, &mut rng),
        }
        Ok(Some(rlx::Array { name: name.into(), shape: shape.clone(), data }))
    })
}
