//! Formats that others load: safetensors of transformers, and GGUF of llama.cpp.
use super::{
    config::{BlockShape, RopeScaling},
    model::{Block, Model, Projection},
    rope::{frequencies, reorder},
    save::{new_folder, write_text},
};
use crate::{
    archive::{Plan, Stored, WEIGHTS},
    gguf::{BlockType, Value, Writer},
    tokenizer::{Tokenizer, folder},
};
use rlx::{Error, Result};
use std::{collections::BTreeMap, path::Path};
use tch::{Kind, Tensor};

/// How blocks of different widths were written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Widths {
    /// All are alike: written as they are.
    Uniform,
    /// Narrow ones were filled up with zeros to the widest: the same function, but no smaller.
    ZeroPadded,
}

/// Writes a folder that transformers loads, in floats of `stored`, adapters merged.
///
/// # Errors
/// When the folder is there already, or cannot be written.
pub fn transformers(model: &Model, tokenizer: Option<&Tokenizer>, stored: Stored, path: &Path) -> Result<Widths> {
    let config = &model.config;
    if model.rope_factors.is_some() {
        return Err(Error::invalid("rotary factors of a GGUF file cannot be written to a config.json of transformers"));
    }
    let per = config.blocks[0].heads / config.blocks[0].kv_heads;
    if config.blocks.iter().any(|b| b.heads / b.kv_heads != per) {
        return Err(Error::invalid(
            "blocks whose kv heads serve different numbers of query heads cannot be padded to one shape",
        ));
    }
    let kv_heads = config.blocks.iter().map(|b| b.kv_heads).max().unwrap_or(1);
    let ffn = config.blocks.iter().map(|b| b.ffn).max().unwrap_or(1);
    let shape = BlockShape { heads: kv_heads * per, kv_heads, ffn };
    let mut tensors: BTreeMap<String, Tensor> = BTreeMap::new();
    let kind = stored.kind();
    tensors.insert("model.embed_tokens.weight".into(), model.embedding.dense(kind));
    tensors.insert("model.norm.weight".into(), model.norm.to_kind(kind));
    if let Some(head) = &model.head {
        tensors.insert("lm_head.weight".into(), head.dense(kind));
    }
    for (i, b) in model.blocks.iter().enumerate() {
        let mut put =
            |name: &str, t: Tensor| tensors.insert(format!("model.layers.{i}.{name}.weight"), t.to_kind(kind));
        put("input_layernorm", b.attention_norm.shallow_clone());
        put("post_attention_layernorm", b.mlp_norm.shallow_clone());
        for p in Projection::ALL {
            let w = effective(b, p);
            let [rows, columns] = p.size(config, &shape).map(|x| x as i64);
            put(p.name(), w.constant_pad_nd([0, columns - w.size()[1], 0, rows - w.size()[0]]));
        }
    }
    let mut plan = Plan::new();
    plan.note("format", "pt");
    for (name, t) in &tensors {
        plan.add(name, stored, &t.size().iter().map(|d| *d as usize).collect::<Vec<_>>());
    }
    new_folder(path)?;
    let dtype = if stored == Stored::F32 { "float32" } else { "float16" };
    write_text(&path.join("config.json"), &format!("{:#}\n", config.to_transformers(shape, dtype)))?;
    folder::write(path, tokenizer, config.bos, &config.eos)?;
    plan.write(&path.join(WEIGHTS), |name| Ok(tensors[name].contiguous()))?;
    Ok(if config.uniform().is_some() { Widths::Uniform } else { Widths::ZeroPadded })
}

fn effective(block: &Block, p: Projection) -> Tensor {
    tch::no_grad(|| block.projection(p).effective(Kind::Float))
}

/// Writes a GGUF file: architecture `llama` when all blocks are alike, otherwise `deci`, whose widths may differ. Projections are stored
/// as `weights`, the embedding as `table`, norms in 32 bits, adapters merged.
///
/// # Errors
/// When it is there already, cannot be written, rows do not divide into a type's blocks, or llama.cpp has no such tokenizer.
pub fn gguf(
    model: &Model,
    tokenizer: Option<&Tokenizer>,
    weights: BlockType,
    table: BlockType,
    path: &Path,
) -> Result<&'static str> {
    let (config, mut out) = (&model.config, Writer::new());
    let uniform = config.uniform();
    let arch = if uniform.is_some() { "llama" } else { "deci" };
    out.set("general.architecture", Value::text(arch));
    out.set("general.name", Value::text("rlx"));
    let number = |x: usize| Value::u32(x as u32);
    let each = |f: fn(&BlockShape) -> usize| match &uniform {
        Some(shape) => number(f(shape)),
        None => Value::i32s(config.blocks.iter().map(|b| f(b) as i32)),
    };
    for (key, value) in [
        ("vocab_size", number(config.vocab)),
        ("context_length", number(config.context)),
        ("embedding_length", number(config.width)),
        ("block_count", number(config.blocks.len())),
        ("feed_forward_length", each(|b| b.ffn)),
        ("attention.head_count", each(|b| b.heads)),
        ("attention.head_count_kv", each(|b| b.kv_heads)),
        ("attention.key_length", number(config.head_dim)),
        ("attention.value_length", number(config.head_dim)),
        ("rope.dimension_count", number(config.head_dim)),
        ("attention.layer_norm_rms_epsilon", Value::F32(config.eps as f32)),
        ("rope.freq_base", Value::F32(config.rope_theta as f32)),
    ] {
        out.set(format!("{arch}.{key}"), value);
    }
    let mut factors = model.rope_factors.clone();
    match config.rope_scaling {
        Some(RopeScaling::Linear { factor }) => {
            out.set(format!("{arch}.rope.scaling.type"), Value::text("linear"));
            out.set(format!("{arch}.rope.scaling.factor"), Value::F32(factor as f32));
        }
        Some(RopeScaling::Llama3 { .. }) => {
            let plain = super::config::Config { rope_scaling: None, ..config.clone() };
            let both = frequencies(&plain).into_iter().zip(frequencies(config));
            factors = Some(both.map(|(plain, scaled)| (plain / scaled) as f32).collect());
        }
        None => {}
    }
    match tokenizer {
        Some(t) => {
            t.to_gguf(config.vocab, config.bos, &config.eos)?.metadata.into_iter().for_each(|(k, v)| out.set(k, v))
        }
        None => out.set("tokenizer.ggml.model", Value::text("none")),
    }
    out.tensor("token_embd.weight", &model.embedding.dense(Kind::Float), table)?;
    out.tensor("output_norm.weight", &model.norm, BlockType::F32)?;
    if let Some(head) = &model.head {
        out.tensor("output.weight", &head.dense(Kind::Float), table)?;
    }
    if let Some(factors) = factors {
        out.tensor("rope_freqs.weight", &Tensor::from_slice(&factors), BlockType::F32)?;
    }
    for (i, b) in model.blocks.iter().enumerate() {
        out.tensor(format!("blk.{i}.attn_norm.weight"), &b.attention_norm, BlockType::F32)?;
        out.tensor(format!("blk.{i}.ffn_norm.weight"), &b.mlp_norm, BlockType::F32)?;
        for p in Projection::ALL {
            let w = effective(b, p);
            let w = match p {
                Projection::Q => reorder(&w, b.shape.heads, false),
                Projection::K => reorder(&w, b.shape.kv_heads, false),
                _ => w,
            };
            out.tensor(format!("blk.{i}.{}.weight", p.gguf_name()), &w.contiguous(), weights)?;
        }
    }
    out.write(path)?;
    Ok(arch)
}
