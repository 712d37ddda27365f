//! The metadata of a GGUF file.
use super::{BlockShape, Config, MOST_BLOCKS, RopeScaling};
use crate::{
    gguf::{Array, Value},
    keys::{Keys, harmless},
};
use rlx::{Error, Result};
use serde_json::{Map, Value as Json};
use std::collections::BTreeMap;

const PLACE: &str = "GGUF metadata";

impl Config {
    /// From the metadata of a GGUF file, whose vocabulary has `vocab` rows and whose head is its own unless `tied`. Architectures:
    /// `llama` and `deci`, whose widths may differ by block.
    ///
    /// # Errors
    /// When the architecture is another; naming an entry that is missing, impossible, unknown, or contradicts another.
    pub fn from_gguf(metadata: &BTreeMap<String, Value>, vocab: usize, tied: bool) -> Result<Self> {
        let arch = metadata.get("general.architecture").and_then(Value::as_text).unwrap_or("nothing");
        if !["llama", "deci"].contains(&arch) {
            return Err(Error::invalid(format!("GGUF architecture '{arch}' is not supported; llama and deci are")));
        }
        let prefix = format!("{arch}.");
        // The tokenizer's are read where it is made.
        let entries = metadata.iter().filter(|(k, _)| !k.starts_with("tokenizer."));
        let (own, rest): (Map<_, _>, Map<_, _>) =
            entries.map(|(k, v)| (k.clone(), json(v))).partition(|(k, _)| k.starts_with(&prefix));
        Keys::new(PLACE, &rest).finish(&[harmless::GGUF_ANY])?;
        let keys = Keys::new(PLACE, &own).with_prefix(&prefix);
        let count = keys.need("block_count")?;
        if count as u64 > MOST_BLOCKS {
            return Err(Error::invalid(format!("GGUF metadata: {arch}.block_count is {count}")));
        }
        let heads = each(&keys, "attention.head_count", count)?;
        let kv_heads = match keys.has("attention.head_count_kv") {
            true => each(&keys, "attention.head_count_kv", count)?,
            false => heads.clone(),
        };
        let (ffn, width) = (each(&keys, "feed_forward_length", count)?, keys.need("embedding_length")?);
        let first = heads.first().copied().filter(|h| *h > 0);
        let first = first.ok_or_else(|| keys.wrong("attention.head_count", "it must be a positive whole number"))?;
        let head_dim = match keys.uint("attention.key_length")? {
            Some(n) => n,
            None if arch == "llama" => width / first,
            None => return Err(keys.wrong("attention.key_length", "it must be a whole number")),
        };
        for name in ["attention.value_length", "rope.dimension_count"] {
            if keys.uint(name)?.is_some_and(|n| n != head_dim) {
                return Err(keys.wrong(name, &format!("only {head_dim}, as the keys, is supported")));
            }
        }
        if keys.uint("vocab_size")?.is_some_and(|n| n != vocab) {
            return Err(keys.wrong("vocab_size", &format!("token_embd.weight has {vocab} rows")));
        }
        let context = keys.need("context_length")?;
        if keys.uint("attention.sliding_window")?.is_some_and(|w| w > 0 && w < context) {
            return Err(keys.wrong("attention.sliding_window", "windowed attention is not supported"));
        }
        let block = |i: usize| BlockShape { heads: heads[i], kv_heads: kv_heads[i], ffn: ffn[i] };
        let config = Self {
            vocab,
            width,
            head_dim,
            context,
            rope_theta: keys.float("rope.freq_base")?.unwrap_or(10_000.0),
            rope_scaling: scaling(&keys)?,
            // llama.cpp opens no LLaMA without it.
            eps: keys.positive("attention.layer_norm_rms_epsilon")?,
            tied,
            blocks: (0..count).map(block).collect(),
            bos: token(metadata, "bos")?,
            eos: token(metadata, "eos")?.into_iter().collect(),
        };
        keys.finish(&[harmless::GGUF])?;
        config.check()?;
        Ok(config)
    }
}

/// A positive number for each block, or one for all.
fn each(keys: &Keys, name: &str, count: usize) -> Result<Vec<usize>> {
    let all = match keys.get(name) {
        Some(Json::Array(_)) => keys.uints(name)?,
        _ => vec![keys.need(name)?; count],
    };
    match all.len() == count && all.iter().all(|x| *x > 0) {
        true => Ok(all),
        false => Err(keys.wrong(name, &format!("it must be {count} positive numbers, one a block, or one for all"))),
    }
}

fn token(metadata: &BTreeMap<String, Value>, name: &str) -> Result<Option<u32>> {
    let key = format!("tokenizer.ggml.{name}_token_id");
    let Some(value) = metadata.get(&key) else { return Ok(None) };
    let id = value.uint().and_then(|x| u32::try_from(x).ok());
    id.map(Some).ok_or_else(|| Error::invalid(format!("{PLACE}: {key} is {}; it must be a token", value.short())))
}

/// As llama.cpp (v0.5.0) takes it: a factor without a type is linear scaling, under its old name too, and a factor of 0 is none.
fn scaling(keys: &Keys) -> Result<Option<RopeScaling>> {
    const NAMES: [&str; 2] = ["rope.scaling.factor", "rope.scale_linear"];
    let (factor, old) = (keys.float(NAMES[0])?, keys.float(NAMES[1])?);
    if let (Some(a), Some(b)) = (factor, old)
        && a != b
    {
        return Err(keys.wrong(NAMES[1], &format!("{} is {a}; leave one of them out", NAMES[0])));
    }
    let name = NAMES[usize::from(factor.is_none())];
    let factor = factor.or(old).filter(|f| *f != 0.0 && *f != 1.0);
    if factor.is_some_and(|f| f < 0.0) {
        return Err(keys.wrong(name, "it must be a positive number"));
    }
    match keys.text("rope.scaling.type")? {
        None | Some("linear") => Ok(factor.map(|factor| RopeScaling::Linear { factor })),
        Some("none") if factor.is_none() => Ok(None),
        Some("none") => Err(keys.wrong(name, "rope.scaling.type is 'none'; leave one of them out")),
        Some(_) => Err(keys.wrong("rope.scaling.type", "not supported; none and linear are")),
    }
}

/// A value as JSON. Lists of other things than integers are no keys of these architectures: they only need a text for messages.
fn json(value: &Value) -> Json {
    let text = || Json::from(value.short());
    // A float that is not finite has no JSON; as a text it is refused as one.
    let float = |x: f64| serde_json::Number::from_f64(x).map_or_else(text, Json::Number);
    match value {
        Value::Int(_, x) => {
            u64::try_from(*x).map(Json::from).or(i64::try_from(*x).map(Json::from)).unwrap_or_else(|_| text())
        }
        Value::F32(x) => float((*x).into()),
        Value::F64(x) => float(*x),
        Value::Bool(x) => (*x).into(),
        Value::Text(x) => x.as_str().into(),
        Value::List(Array::Ints(_, x)) => x.clone().into(),
        _ => text(),
    }
}
