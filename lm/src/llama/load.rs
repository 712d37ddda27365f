//! Loading a model: a GGUF file, a folder of transformers, or a folder that [`super::save`] wrote.
use super::{
    config::Config,
    model::{Block, Linear, Model, Projection},
    rope::reorder,
    save,
};
use crate::{archive::Archive, gguf::Gguf, quant::Matrix, tokenizer::Tokenizer};
use rlx::{Error, Result};
use serde_json::{Map, Value as Json};
use std::path::{Path, PathBuf};
use tch::{Kind, Tensor};

/// A model with what belongs to it.
pub struct Loaded {
    /// The model; dense weights are 32-bit floats.
    pub model: Model,
    /// Its tokenizer, where there is one.
    pub tokenizer: Option<Tokenizer>,
    /// Where it came from.
    pub path: PathBuf,
    /// What its weights were stored as: `GGUF, Q4_1 (210), Q8_0 (1), F32 (61)`.
    pub format: String,
}

impl std::fmt::Debug for Loaded {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Loaded").field("path", &self.path).field("format", &self.format).finish_non_exhaustive()
    }
}

impl Loaded {
    /// The tokenizer.
    ///
    /// # Errors
    /// When there is none: then only token ids can be used.
    pub fn tokenizer(&self) -> Result<&Tokenizer> {
        self.tokenizer.as_ref().ok_or_else(|| {
            Error::invalid(format!(
                "{} has no tokenizer (tokenizer.json): only token ids can be used",
                self.path.display()
            ))
        })
    }
}

/// Loads a model from a GGUF file or a folder.
///
/// # Errors
/// When it is not there, damaged, of an architecture that is not supported, or its tokenizer does not fit it.
pub fn load(path: &Path) -> Result<Loaded> {
    if !path.exists() {
        return Err(Error::invalid(format!(
            "no model at {}: it must be a GGUF file or a folder with config.json",
            path.display()
        )));
    }
    let loaded = if path.is_dir() { folder(path)? } else { gguf(path)? };
    if let Some(tokenizer) = &loaded.tokenizer {
        suits(path, tokenizer.size(), loaded.model.config.vocab)?;
    }
    Ok(loaded)
}

/// That a tokenizer has no more tokens than there are rows.
pub(super) fn suits(path: &Path, words: usize, rows: usize) -> Result<()> {
    if words > rows {
        let why = format!("its tokenizer has {words} tokens, the embedding {rows} rows: they do not belong together");
        return Err(Error::corrupt(path, why));
    }
    Ok(())
}

/// `config.json` of a folder.
pub(super) fn config_json(path: &Path) -> Result<Map<String, Json>> {
    let file = path.join("config.json");
    let text = std::fs::read_to_string(&file).map_err(|e| Error::io("reading", &file, e))?;
    serde_json::from_str(&text).map_err(|e| Error::corrupt(&file, e.to_string()))
}

fn folder(path: &Path) -> Result<Loaded> {
    let json = config_json(path)?;
    let mut archive = Archive::open(path)?;
    let file = path.join("tokenizer.json");
    let tokenizer = file.exists().then(|| Tokenizer::open(&file)).transpose()?;
    if save::is_packed(&json) {
        let (model, format) = save::read(&json, &mut archive)?;
        return Ok(Loaded { model, tokenizer, path: path.into(), format });
    }
    let config = Config::from_transformers(&json)?;
    let mut kinds = Vec::new();
    let mut get = |name: &str, shape: &[usize]| {
        let t = archive.tensor(name, Some(shape))?;
        kinds.push(format!("{:?}", t.kind()));
        finite(t.to_kind(Kind::Float), name, path)
    };
    let (vocab, width) = (config.vocab, config.width);
    let embedding = get("model.embed_tokens.weight", &[vocab, width])?;
    let mut blocks = Vec::new();
    for (i, shape) in config.blocks.iter().enumerate() {
        let mut projections = Vec::new();
        for p in Projection::ALL {
            let weight = get(&format!("model.layers.{i}.{}.weight", p.name()), &p.size(&config, shape))?;
            projections.push(Linear::new(Matrix::Dense(weight)));
        }
        blocks.push(Block {
            shape: *shape,
            attention_norm: get(&format!("model.layers.{i}.input_layernorm.weight"), &[width])?,
            mlp_norm: get(&format!("model.layers.{i}.post_attention_layernorm.weight"), &[width])?,
            projections: seven(projections),
        });
    }
    let norm = get("model.norm.weight", &[width])?;
    let head = if config.tied { None } else { Some(Matrix::Dense(get("lm_head.weight", &[vocab, width])?)) };
    let format = format!("safetensors, {}", tally(&kinds));
    let embedding = Matrix::Dense(embedding);
    let model = Model { config, embedding, blocks, norm, head, rope_factors: None, compute: Kind::Float };
    Ok(Loaded { model, tokenizer, path: path.into(), format })
}

/// A damaged number would show as a NaN far from here.
fn finite(t: Tensor, name: &str, path: &Path) -> Result<Tensor> {
    match bool::try_from(t.isfinite().all()) {
        Ok(true) => Ok(t),
        _ => Err(Error::corrupt(path, format!("tensor '{name}' has numbers that are not finite"))),
    }
}

/// The seven projections of a block as an array.
pub(super) fn seven(all: Vec<Linear>) -> [Linear; 7] {
    all.try_into().expect("one projection was read for each of Projection::ALL")
}

/// `F32 (61), Q4_1 (210)`.
pub(super) fn tally(kinds: &[String]) -> String {
    let mut names: Vec<&String> = kinds.iter().collect();
    names.sort();
    names.dedup();
    let count = |n: &String| kinds.iter().filter(|k| *k == n).count();
    names.iter().map(|n| format!("{n} ({})", count(n))).collect::<Vec<_>>().join(", ")
}

fn gguf(path: &Path) -> Result<Loaded> {
    let mut file = Gguf::open(path)?;
    let rows = |name: &str| file.tensors().get(name).map(|i| i.shape.clone());
    let shape = rows("token_embd.weight")
        .ok_or_else(|| Error::corrupt(path, "there is no tensor 'token_embd.weight' in it"))?;
    let tied = rows("output.weight").is_none();
    let config = Config::from_gguf(file.metadata(), shape[0], tied)?;
    let kinds: Vec<String> = file.tensors().values().map(|i| i.kind.to_string()).collect();
    let mut get = |name: &str, shape: &[usize]| {
        file.check(name, shape)?;
        finite(file.tensor(name)?, name, path)
    };
    let (vocab, width) = (config.vocab, config.width);
    let embedding = Matrix::Dense(get("token_embd.weight", &[vocab, width])?);
    let mut blocks = Vec::new();
    for (i, shape) in config.blocks.iter().enumerate() {
        let mut projections = Vec::new();
        for p in Projection::ALL {
            let weight = get(&format!("blk.{i}.{}.weight", p.gguf_name()), &p.size(&config, shape))?;
            let weight = match p {
                Projection::Q => reorder(&weight, shape.heads, true),
                Projection::K => reorder(&weight, shape.kv_heads, true),
                _ => weight,
            };
            projections.push(Linear::new(Matrix::Dense(weight)));
        }
        blocks.push(Block {
            shape: *shape,
            attention_norm: get(&format!("blk.{i}.attn_norm.weight"), &[width])?,
            mlp_norm: get(&format!("blk.{i}.ffn_norm.weight"), &[width])?,
            projections: seven(projections),
        });
    }
    let norm = get("output_norm.weight", &[width])?;
    let head = if tied { None } else { Some(Matrix::Dense(get("output.weight", &[vocab, width])?)) };
    let rope_factors = match file.tensors().contains_key("rope_freqs.weight") {
        true => {
            let factors = file.tensor("rope_freqs.weight")?;
            let factors = rlx_nn::upload::to_vec(&factors)?;
            if factors.len() != config.head_dim / 2 || factors.iter().any(|f| !(f.is_finite() && *f > 0.0)) {
                return Err(Error::corrupt(
                    path,
                    format!("rope_freqs.weight must be {} positive numbers", config.head_dim / 2),
                ));
            }
            Some(factors)
        }
        false => None,
    };
    let tokenizer = Tokenizer::from_gguf(file.metadata())?;
    let model = Model { config, embedding, blocks, norm, head, rope_factors, compute: Kind::Float };
    Ok(Loaded { model, tokenizer, path: path.into(), format: format!("GGUF, {}", tally(&kinds)) })
}
