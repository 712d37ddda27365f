//! `config.json` of transformers, read and written.
use super::{BlockShape, Config, MOST_BLOCKS, RopeScaling};
use crate::keys::{Keys, harmless};
use rlx::{Error, Result};
use serde_json::{Map, Value as Json, json};

/// Where no base of the rotary frequencies is given.
const BASE: f64 = 10_000.0;

/// What transformers writes for models that are these blocks and this head, and what the first LLaMA conversions wrote.
const ARCHITECTURES: [&str; 3] = ["LlamaForCausalLM", "MistralForCausalLM", "LLaMAForCausalLM"];

impl Config {
    /// From a `config.json` of transformers.
    ///
    /// # Errors
    /// When the architecture is not LLaMA-like; naming a key that is missing, impossible, unknown, or contradicts another.
    pub fn from_transformers(json: &Map<String, Json>) -> Result<Self> {
        let keys = Keys::new("config.json", json);
        let kind = keys.text("model_type")?.unwrap_or("nothing");
        if !["llama", "mistral"].contains(&kind) {
            return Err(Error::invalid(format!(
                "architecture '{kind}' is not supported; llama and mistral are (Llama 1 to 3, Mistral, TinyLlama, SmolLM)"
            )));
        }
        plain_model(&keys)?;
        let (heads, width, count) =
            (keys.need("num_attention_heads")?, keys.need("hidden_size")?, keys.need("num_hidden_layers")?);
        if count as u64 > MOST_BLOCKS || heads == 0 {
            return Err(Error::invalid(format!("config.json: {count} layers of {heads} heads")));
        }
        let context = keys.need("max_position_embeddings")?;
        window(&keys, kind, context)?;
        let kv_heads = keys.uint("num_key_value_heads")?.unwrap_or_else(|| {
            // Mistral's default in transformers 5.23.0; a null, and nothing in a LLaMA, is one for each query head.
            if kind == "mistral" && !keys.has("num_key_value_heads") { 8 } else { heads }
        });
        let shape = BlockShape { heads, kv_heads, ffn: keys.need("intermediate_size")? };
        let (rope_theta, rope_scaling) = rope(&keys)?;
        let bos = ids(&keys, "bos_token_id")?;
        if bos.len() > 1 {
            return Err(keys.wrong("bos_token_id", "it must be one token"));
        }
        let config = Self {
            vocab: keys.need("vocab_size")?,
            width,
            head_dim: keys.uint("head_dim")?.unwrap_or(width / heads),
            context,
            rope_theta,
            rope_scaling,
            eps: keys.float("rms_norm_eps")?.unwrap_or(1e-6),
            tied: keys.flag("tie_word_embeddings")?,
            blocks: vec![shape; count],
            bos: bos.first().copied(),
            eos: ids(&keys, "eos_token_id")?,
        };
        keys.finish(harmless::LLAMA)?;
        config.check()?;
        Ok(config)
    }

    /// As a `config.json` of transformers, with all blocks as wide as `shape`.
    pub fn to_transformers(&self, shape: BlockShape, dtype: &str) -> Json {
        // transformers 5.23.0 checks types: no end token is null and not [], and the trained context is an integer.
        let eos = match self.eos[..] {
            [] => Json::Null,
            [one] => one.into(),
            _ => self.eos.clone().into(),
        };
        json!({
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
            "rope_scaling": self.rope_scaling.map(scaling_json),
            "rms_norm_eps": self.eps,
            "tie_word_embeddings": self.tied,
            "attention_bias": false,
            "mlp_bias": false,
            "bos_token_id": self.bos,
            "eos_token_id": eos,
            "torch_dtype": dtype,
        })
    }
}

/// What makes another model of the same blocks: other classes, biases, activations.
fn plain_model(keys: &Keys) -> Result<()> {
    keys.never_null(&[
        "rms_norm_eps",
        "rope_theta",
        "hidden_act",
        "tie_word_embeddings",
        "attention_bias",
        "mlp_bias",
    ])?;
    if let Some(all) = keys.get("architectures") {
        let known = |a: &Json| a.as_str().is_some_and(|a| ARCHITECTURES.contains(&a));
        if !all.as_array().is_some_and(|all| all.iter().all(known)) {
            let right = format!("not supported: {} are", ARCHITECTURES[..2].join(" and "));
            return Err(keys.wrong("architectures", &right));
        }
    }
    for key in ["attention_bias", "mlp_bias"] {
        if keys.flag(key)? {
            return Err(Error::invalid(format!(
                "config.json: {key} is true; projections with biases are not supported"
            )));
        }
    }
    if let Some(act) = keys.text("hidden_act")?.filter(|a| !["silu", "swish"].contains(a)) {
        return Err(Error::invalid(format!("config.json: hidden_act is '{act}'; only silu is supported")));
    }
    Ok(())
}

/// Windowed attention is not supported; a window as long as the context is none.
fn window(keys: &Keys, kind: &str, context: usize) -> Result<()> {
    let said = keys.uint("sliding_window")?;
    // transformers gives a Mistral of which nothing is said a window of 4,096 tokens; null is none.
    let window = said.or((kind == "mistral" && !keys.has("sliding_window")).then_some(4096));
    match window.filter(|w| *w < context) {
        None => Ok(()),
        Some(w) if said.is_some() => {
            Err(Error::invalid(format!("config.json: sliding_window of {w}: windowed attention is not supported")))
        }
        Some(w) => Err(Error::invalid(format!(
            "config.json: sliding_window is missing, which in a mistral means {w}; windowed attention is not supported, null is none"
        ))),
    }
}

fn ids(keys: &Keys, key: &str) -> Result<Vec<u32>> {
    let id = |x: usize| u32::try_from(x).map_err(|_| keys.wrong(key, "it must be a token"));
    keys.uints(key)?.into_iter().map(id).collect()
}

/// The base of the rotary frequencies and how they are scaled. transformers 5 moves both into rope_parameters.
fn rope(keys: &Keys) -> Result<(f64, Option<RopeScaling>)> {
    let (new, old) = (keys.object("rope_parameters")?, keys.object("rope_scaling")?);
    if new.is_some() && old.is_some() && new != old {
        // transformers 5.23.0 takes rope_scaling whole and forgets the base of rope_parameters; earlier ones know rope_scaling only.
        return Err(Error::invalid(
            "config.json: rope_parameters and rope_scaling are both there and not the same; leave one of them out",
        ));
    }
    let (name, place) = if new.is_some() { ("rope_parameters", new) } else { ("rope_scaling", old) };
    let top = keys.float("rope_theta")?;
    let Some(place) = place else { return Ok((top.unwrap_or(BASE), None)) };
    let inner = Keys::new(format!("config.json: {name}"), place);
    inner.never_null(&["rope_theta", "rope_type", "type"])?;
    let theta = inner.float("rope_theta")?;
    if let (Some(a), Some(b)) = (top, theta)
        && a != b
    {
        return Err(Error::invalid(format!(
            "config.json: rope_theta is {a}, and {b} in {name}; leave one of them out"
        )));
    }
    let scaling = scaling(&inner, name, keys.uint("original_max_position_embeddings")?)?;
    Ok((theta.or(top).unwrap_or(BASE), scaling))
}

/// Rope scaling of a `config.json`; plain rotary embeddings are none. `trained` is the trained context that the config gives outside.
fn scaling(keys: &Keys, name: &str, trained: Option<usize>) -> Result<Option<RopeScaling>> {
    let (kind, old) = (keys.text("rope_type")?, keys.text("type")?);
    if let (Some(a), Some(b)) = (kind, old)
        && a != b
    {
        return Err(Error::invalid(format!(
            "config.json: {name}: rope_type is '{a}' and type is '{b}'; leave one of them out"
        )));
    }
    let kind = kind.or(old);
    let scaling = match kind.unwrap_or("default") {
        "default" => None,
        "linear" => Some(RopeScaling::Linear { factor: keys.positive("factor")? }),
        "llama3" => {
            let inside = keys.uint("original_max_position_embeddings")?;
            if let (Some(a), Some(b)) = (inside, trained)
                && a != b
            {
                return Err(Error::invalid(format!(
                    "config.json: original_max_position_embeddings is {b}, and {a} in {name}; leave one of them out"
                )));
            }
            let old = inside.or(trained).filter(|x| *x > 0);
            Some(RopeScaling::Llama3 {
                factor: keys.positive("factor")?,
                low_freq_factor: keys.positive("low_freq_factor")?,
                high_freq_factor: keys.positive("high_freq_factor")?,
                original_max_position_embeddings: old.ok_or_else(|| {
                    keys.wrong("original_max_position_embeddings", "it must be a positive whole number")
                })? as f64,
            })
        }
        other => {
            return Err(Error::invalid(format!(
                "config.json: rope scaling '{other}' is not supported; linear and llama3 are"
            )));
        }
    };
    if kind.is_none() && keys.has("factor") {
        return Err(
            keys.wrong("factor", "without a rope_type that says what it scales; linear and llama3 are supported")
        );
    }
    keys.finish(&[harmless::ROPE])?;
    Ok(scaling)
}

fn scaling_json(scaling: RopeScaling) -> Json {
    match scaling {
        RopeScaling::Linear { factor } => json!({"rope_type": "linear", "factor": factor}),
        RopeScaling::Llama3 { factor, low_freq_factor, high_freq_factor, original_max_position_embeddings: old } => {
            json!({
                "rope_type": "llama3",
                "factor": factor,
                "low_freq_factor": low_freq_factor,
                "high_freq_factor": high_freq_factor,
                "original_max_position_embeddings": if old.fract() == 0.0 { json!(old as u64) } else { json!(old) },
            })
        }
    }
}
