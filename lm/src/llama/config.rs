//! What a LLaMA-like model is, block by block: from a `config.json` of transformers or the metadata of a GGUF file.
use crate::gguf::Value;
use rlx::{Error, Result};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value as Json};
use std::collections::BTreeMap;

/// Limits of what is believed of a header: far above every model there is.
const MOST_BLOCKS: u64 = 4096;
const MOST_WIDTH: u64 = 1 << 20;
const MOST_VOCAB: u64 = 1 << 24;

/// The widths of one block.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BlockShape {
    /// Query heads.
    pub heads: usize,
    /// Key and value heads; `heads / kv_heads` query heads share one.
    pub kv_heads: usize,
    /// Channels of the MLP.
    pub ffn: usize,
}

/// How rotary frequencies are changed for contexts longer than the trained one.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "rope_type", rename_all = "lowercase")]
pub enum RopeScaling {
    /// Positions are divided by `factor`.
    Linear {
        /// The divisor.
        factor: f64,
    },
    /// Llama 3.1: long wavelengths are divided by `factor`, short ones kept, those between mixed.
    Llama3 {
        /// The divisor.
        factor: f64,
        /// Wavelengths above `original_max_position_embeddings` / this are divided.
        low_freq_factor: f64,
        /// Wavelengths below `original_max_position_embeddings` / this are kept.
        high_freq_factor: f64,
        /// The trained context.
        original_max_position_embeddings: f64,
    },
}

/// The architecture of a model.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Tokens.
    pub vocab: usize,
    /// Width of the residual stream.
    pub width: usize,
    /// Width of a head; even.
    pub head_dim: usize,
    /// Longest context.
    pub context: usize,
    /// Base of the rotary frequencies.
    pub rope_theta: f64,
    /// How they are scaled.
    pub rope_scaling: Option<RopeScaling>,
    /// Added to the mean square of RMSNorm.
    pub eps: f64,
    /// Whether the head is the embedding.
    pub tied: bool,
    /// The blocks.
    pub blocks: Vec<BlockShape>,
    /// Token that begins a text.
    pub bos: Option<u32>,
    /// Tokens that end one.
    pub eos: Vec<u32>,
}

impl Config {
    /// That all widths are positive and fit each other.
    ///
    /// # Errors
    /// Naming the field.
    pub fn check(&self) -> Result<()> {
        let bad = |what: String| Err(Error::invalid(format!("model config: {what}")));
        let ranges = [
            ("vocab", self.vocab as u64, MOST_VOCAB),
            ("width", self.width as u64, MOST_WIDTH),
            ("head_dim", self.head_dim as u64, 1 << 12),
            ("context", self.context as u64, 1 << 32),
            ("number of blocks", self.blocks.len() as u64, MOST_BLOCKS),
        ];
        if let Some((name, x, most)) = ranges.into_iter().find(|(_, x, most)| *x == 0 || x > most) {
            return bad(format!("{name} is {x}; it must be 1 to {most}"));
        }
        if !self.head_dim.is_multiple_of(2) {
            return bad(format!("head_dim is {}; rotary embeddings need an even one", self.head_dim));
        }
        let positive = |x: f64| x.is_finite() && x > 0.0;
        if !positive(self.rope_theta) || !positive(self.eps) {
            return bad(format!("rope_theta {} and eps {} must be positive", self.rope_theta, self.eps));
        }
        for (i, b) in self.blocks.iter().enumerate() {
            let fits = b.kv_heads > 0 && b.heads % b.kv_heads == 0 && b.heads > 0 && b.ffn > 0;
            if !fits || (b.heads as u64).max(b.ffn as u64) > MOST_WIDTH {
                return bad(format!("block {i}: {} heads over {} kv heads, ffn {}", b.heads, b.kv_heads, b.ffn));
            }
        }
        if let Some(id) = self.bos.iter().chain(&self.eos).find(|id| **id as usize >= self.vocab) {
            return bad(format!("special token {id} is outside a vocabulary of {}", self.vocab));
        }
        Ok(())
    }

    /// The shape that all blocks have, if they do.
    pub fn uniform(&self) -> Option<BlockShape> {
        let first = *self.blocks.first()?;
        self.blocks.iter().all(|b| *b == first).then_some(first)
    }

    /// Parameters of a block's seven projections.
    pub fn block_parameters(&self, b: &BlockShape) -> usize {
        self.width * (self.head_dim * 2 * (b.heads + b.kv_heads) + 3 * b.ffn)
    }

    /// Parameters of the model; a tied head counts once.
    pub fn parameters(&self) -> usize {
        let blocks: usize = self.blocks.iter().map(|b| self.block_parameters(b) + 2 * self.width).sum();
        blocks + self.width + self.vocab * self.width * if self.tied { 1 } else { 2 }
    }

    /// From a `config.json` of transformers.
    ///
    /// # Errors
    /// When the architecture is not LLaMA-like, or a field is missing or impossible.
    pub fn from_transformers(json: &Map<String, Json>) -> Result<Self> {
        let kind = json.get("model_type").and_then(Json::as_str).unwrap_or("nothing");
        if !["llama", "mistral"].contains(&kind) {
            return Err(Error::invalid(format!(
                "architecture '{kind}' is not supported; llama and mistral are (Llama 1 to 3, Mistral, TinyLlama, SmolLM)"
            )));
        }
        let uint = |key: &str| json.get(key).and_then(Json::as_u64).and_then(|x| usize::try_from(x).ok());
        let need =
            |key: &str| uint(key).ok_or_else(|| Error::invalid(format!("config.json: {key} is not a whole number")));
        let flag = |key: &str| json.get(key).and_then(Json::as_bool).unwrap_or(false);
        for key in ["attention_bias", "mlp_bias"] {
            if flag(key) {
                return Err(Error::invalid(format!(
                    "config.json: {key} is true; projections with biases are not supported"
                )));
            }
        }
        if let Some(act) = json.get("hidden_act").and_then(Json::as_str).filter(|a| !["silu", "swish"].contains(a)) {
            return Err(Error::invalid(format!("config.json: hidden_act is '{act}'; only silu is supported")));
        }
        let (heads, width, count) = (need("num_attention_heads")?, need("hidden_size")?, need("num_hidden_layers")?);
        if count as u64 > MOST_BLOCKS || heads == 0 {
            return Err(Error::invalid(format!("config.json: {count} layers of {heads} heads")));
        }
        let context = need("max_position_embeddings")?;
        if let Some(window) = uint("sliding_window").filter(|w| *w < context) {
            return Err(Error::invalid(format!(
                "config.json: sliding_window of {window}: windowed attention is not supported"
            )));
        }
        let shape = BlockShape {
            heads,
            kv_heads: uint("num_key_value_heads").unwrap_or(heads),
            ffn: need("intermediate_size")?,
        };
        // transformers 5 moves theta and scaling into rope_parameters.
        let rope = json.get("rope_parameters").or_else(|| json.get("rope_scaling")).filter(|v| !v.is_null());
        let theta = json.get("rope_theta").or_else(|| rope.and_then(|r| r.get("rope_theta"))).and_then(Json::as_f64);
        let ids = |key: &str| match json.get(key) {
            Some(Json::Array(all)) => all.iter().filter_map(Json::as_u64).map(|x| x as u32).collect(),
            Some(one) => one.as_u64().map(|x| x as u32).into_iter().collect(),
            None => Vec::new(),
        };
        let config = Self {
            vocab: need("vocab_size")?,
            width,
            head_dim: uint("head_dim").unwrap_or(width / heads),
            context,
            rope_theta: theta.unwrap_or(10_000.0),
            rope_scaling: rope.map(scaling).transpose()?.flatten(),
            eps: json.get("rms_norm_eps").and_then(Json::as_f64).unwrap_or(1e-6),
            tied: flag("tie_word_embeddings"),
            blocks: vec![shape; count],
            bos: ids("bos_token_id").first().copied(),
            eos: ids("eos_token_id"),
        };
        config.check()?;
        Ok(config)
    }

    /// As a `config.json` of transformers, with all blocks as wide as `shape`.
    pub fn to_transformers(&self, shape: BlockShape, dtype: &str) -> Json {
        let scaling = self.rope_scaling.map(|s| serde_json::to_value(s).expect("numbers and a name"));
        let eos = if self.eos.len() == 1 { Json::from(self.eos[0]) } else { Json::from(self.eos.clone()) };
        serde_json::json!({
            "architectures": ["LlamaForCausalLM"],
            "model_type": "llama",
            "vocab_size": self.vocab,
            "hidden_size": self.width,
            "head_dim": self.head_dim,
            "num_hidden_layers": self.blocks.len(),
            "num_attention_heads": shape.heads,
            "num_key_value_heads": shape.kv_heads,
            "intermediate_size": shape.ffn,
            "hidden_act": "silu",
            "max_position_embeddings": self.context,
            "rope_theta": self.rope_theta,
            "rope_scaling": scaling,
            "rms_norm_eps": self.eps,
            "tie_word_embeddings": self.tied,
            "attention_bias": false,
            "mlp_bias": false,
            "bos_token_id": self.bos,
            "eos_token_id": eos,
            "torch_dtype": dtype,
        })
    }

    /// From the metadata of a GGUF file, whose vocabulary has `vocab` rows and whose head is its own unless `tied`. Architectures:
    /// `llama` and `deci`, whose widths may differ by block.
    ///
    /// # Errors
    /// When the architecture is another, or an entry is missing or impossible.
    pub fn from_gguf(metadata: &BTreeMap<String, Value>, vocab: usize, tied: bool) -> Result<Self> {
        let arch = metadata.get("general.architecture").and_then(Value::as_text).unwrap_or("nothing");
        if !["llama", "deci"].contains(&arch) {
            return Err(Error::invalid(format!("GGUF architecture '{arch}' is not supported; llama and deci are")));
        }
        let key = |name: &str| metadata.get(&format!("{arch}.{name}"));
        let missing = |name: &str| Error::invalid(format!("GGUF metadata: {arch}.{name} is missing or not a number"));
        let need = |name: &str| {
            key(name).and_then(Value::uint).and_then(|x| usize::try_from(x).ok()).ok_or_else(|| missing(name))
        };
        if key("expert_count").and_then(Value::uint).is_some_and(|n| n > 0) {
            return Err(Error::invalid("GGUF metadata: mixtures of experts are not supported"));
        }
        let count = need("block_count")?;
        if count as u64 > MOST_BLOCKS {
            return Err(Error::invalid(format!("GGUF metadata: {arch}.block_count is {count}")));
        }
        let each = |name: &str| -> Result<Vec<usize>> {
            match key(name).and_then(Value::ints) {
                Some(list) if list.len() == count && list.iter().all(|x| *x > 0) => {
                    Ok(list.iter().map(|x| *x as usize).collect())
                }
                Some(list) => Err(Error::invalid(format!(
                    "GGUF metadata: {arch}.{name} must be {count} positive numbers, one a block, and has {}",
                    list.len()
                ))),
                None => Ok(vec![need(name)?; count]),
            }
        };
        let (heads, ffn) = (each("attention.head_count")?, each("feed_forward_length")?);
        let kv_heads =
            if key("attention.head_count_kv").is_some() { each("attention.head_count_kv")? } else { heads.clone() };
        let width = need("embedding_length")?;
        let first = heads.first().copied().filter(|h| *h > 0).ok_or_else(|| missing("attention.head_count"))?;
        let head_dim = match key("attention.key_length").and_then(Value::uint) {
            Some(n) => n as usize,
            None if arch == "llama" => width / first,
            None => return Err(missing("attention.key_length")),
        };
        let (values, rotated) = (key("attention.value_length"), key("rope.dimension_count"));
        for (name, other) in [("attention.value_length", values), ("rope.dimension_count", rotated)] {
            if let Some(n) = other.and_then(Value::uint).filter(|n| *n != head_dim as u64) {
                return Err(Error::invalid(format!(
                    "GGUF metadata: {arch}.{name} is {n}; only {head_dim}, as the keys, is supported"
                )));
            }
        }
        let rope_scaling = match key("rope.scaling.type").and_then(Value::as_text) {
            None | Some("none") => None,
            Some("linear") => {
                let factor =
                    key("rope.scaling.factor").and_then(Value::float).ok_or_else(|| missing("rope.scaling.factor"))?;
                Some(RopeScaling::Linear { factor })
            }
            Some(other) => {
                return Err(Error::invalid(format!("GGUF metadata: rope scaling '{other}' is not supported")));
            }
        };
        let id = |name: &str| {
            metadata.get(&format!("tokenizer.ggml.{name}_token_id")).and_then(Value::uint).map(|x| x as u32)
        };
        let mut blocks = Vec::with_capacity(count);
        for i in 0..count {
            blocks.push(BlockShape { heads: heads[i], kv_heads: kv_heads[i], ffn: ffn[i] });
        }
        let config = Self {
            vocab,
            width,
            head_dim,
            context: need("context_length")?,
            rope_theta: key("rope.freq_base").and_then(Value::float).unwrap_or(10_000.0),
            rope_scaling,
            eps: key("attention.layer_norm_rms_epsilon").and_then(Value::float).unwrap_or(1e-5),
            tied,
            blocks,
            bos: id("bos"),
            eos: id("eos").into_iter().collect(),
        };
        config.check()?;
        Ok(config)
    }
}

/// Rope scaling of a `config.json`; plain rotary embeddings are none.
fn scaling(json: &Json) -> Result<Option<RopeScaling>> {
    let kind = json.get("rope_type").or_else(|| json.get("type")).and_then(Json::as_str).unwrap_or("default");
    let number = |key: &str| {
        let x = json.get(key).and_then(Json::as_f64).filter(|x| x.is_finite() && *x > 0.0);
        x.ok_or_else(|| Error::invalid(format!("config.json: rope scaling needs a positive {key}")))
    };
    Ok(match kind {
        "default" => None,
        "linear" => Some(RopeScaling::Linear { factor: number("factor")? }),
        "llama3" => Some(RopeScaling::Llama3 {
            factor: number("factor")?,
            low_freq_factor: number("low_freq_factor")?,
            high_freq_factor: number("high_freq_factor")?,
            original_max_position_embeddings: number("original_max_position_embeddings")?,
        }),
        other => {
            return Err(Error::invalid(format!(
                "config.json: rope scaling '{other}' is not supported; linear and llama3 are"
            )));
        }
    })
}
