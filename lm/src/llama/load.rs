//! Loading a model: a GGUF file, a folder of transformers, or a folder that [`super::save`] wrote.
use super::{
    config::Config,
    model::{Block, Linear, Model, Projection},
    names::Names,
    rope::reorder,
    save,
};
use crate::{
    archive::Archive,
    gguf::Gguf,
    keys::{self, harmless},
    quant::Matrix,
    tokenizer::{Tokenizer, ends},
};
use rlx::{Error, Result};
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
    let mut loaded = if path.is_dir() { folder(path)? } else { gguf(path)? };
    all_ends(&mut loaded)?;
    if let Some(tokenizer) = &loaded.tokenizer {
        suits(path, tokenizer.size(), loaded.model.config.vocab)?;
    }
    Ok(loaded)
}

/// Every token that ends a text: those of the config, and those of what stands beside it or in its vocabulary.
fn all_ends(loaded: &mut Loaded) -> Result<()> {
    let (config, path) = (&mut loaded.model.config, &loaded.path);
    let more = match &loaded.tokenizer {
        Some(tokenizer) => tokenizer.ends().to_vec(),
        None if path.is_dir() => ends::generation(path)?.unwrap_or_default().ends,
        None => Vec::new(),
    };
    for id in more {
        if id as usize >= config.vocab {
            let file = path.join(ends::GENERATION);
            return Err(Error::invalid(format!(
                "{}: end token {id} is outside a vocabulary of {}",
                if path.is_dir() { file.display() } else { path.display() },
                config.vocab
            )));
        }
        if !config.eos.contains(&id) {
            config.eos.push(id);
        }
    }
    Ok(())
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
pub(super) fn config_json(path: &Path) -> Result<serde_json::Map<String, serde_json::Value>> {
    let file = path.join("config.json");
    if !file.exists() {
        let entries = std::fs::read_dir(path).map_err(|e| Error::io("reading", path, e))?;
        let mut others: Vec<PathBuf> = entries.filter_map(|e| Some(e.ok()?.path())).collect();
        others.retain(|p| p.extension().is_some_and(|e| e == "gguf"));
        others.sort();
        if let Some(first) = others.first() {
            return Err(Error::invalid(format!(
                "{} has no config.json; it has GGUF files: name one, such as {}",
                path.display(),
                first.display()
            )));
        }
    }
    crate::json::open(&file)
}

fn folder(path: &Path) -> Result<Loaded> {
    let file = path.join("config.json");
    let json = config_json(path)?;
    let mut archive = Archive::open(path)?;
    let place = path.display().to_string();
    let tokenizer = path.join("tokenizer.json");
    let tokenizer = tokenizer.exists().then(|| Tokenizer::open(&tokenizer)).transpose()?;
    if save::is_packed(&json) {
        let (model, format) = save::read(&json, &mut archive).map_err(|e| inside(path, e))?;
        return Ok(Loaded { model, tokenizer, path: path.into(), format });
    }
    let config = Config::from_transformers(&json).map_err(|e| inside(path, e))?;
    let (names, blocks) = (Names::Transformers, config.blocks.len());
    let read = names.all(blocks);
    keys::account(&place, archive.names(), |n| read.contains(n), |n| harmless::llama_tensor(n, blocks))?;
    let second = config.tied && archive.has(names.head());
    let mut kinds = Vec::new();
    let mut get = |name: &str, shape: &[usize]| {
        let t = archive.tensor(name, Some(shape))?;
        kinds.push(format!("{:?}", t.kind()));
        if !t.is_floating_point() {
            let why =
                format!("{place}: the tensor '{name}' is of type {:?}, which is not supported for weights", t.kind());
            return Err(Error::invalid(why));
        }
        finite(t.to_kind(Kind::Float), name, path)
    };
    let (model, tied) = (assemble(config, names, None, &mut get)?, [names.head(), names.embedding()]);
    if second {
        // transformers 5 does not tie then, earlier versions do; when both are the same there is nothing to choose.
        let head = get(tied[0], &[model.config.vocab, model.config.width])?;
        if !matches!(&model.embedding, Matrix::Dense(table) if head.equal(table)) {
            return Err(Error::invalid(format!(
                "{}: tie_word_embeddings is true, but {} holds a '{}' that is not '{}': set it to false to use it, or take the tensor out",
                file.display(),
                path.display(),
                tied[0],
                tied[1]
            )));
        }
    }
    let format = format!("safetensors, {}", tally(&kinds));
    Ok(Loaded { model, tokenizer, path: path.into(), format })
}

/// A fault with the file or folder that it is in.
pub(super) fn inside(path: &Path, error: Error) -> Error {
    match error {
        Error::Invalid { what } => Error::invalid(format!("{}: {what}", path.display())),
        other => other,
    }
}

/// A model of the tensors that `get` gives by name and shape, as 32-bit floats.
fn assemble(
    config: Config,
    names: Names,
    rope_factors: Option<Vec<f32>>,
    get: &mut dyn FnMut(&str, &[usize]) -> Result<Tensor>,
) -> Result<Model> {
    let (vocab, width) = (config.vocab, config.width);
    let embedding = Matrix::Dense(get(names.embedding(), &[vocab, width])?);
    let mut blocks = Vec::new();
    for (i, shape) in config.blocks.iter().enumerate() {
        let mut projections = Vec::new();
        for p in Projection::ALL {
            let weight = get(&names.projection(i, p), &p.size(&config, shape))?;
            let weight = match (names, p) {
                (Names::Gguf, Projection::Q) => reorder(&weight, shape.heads, true),
                (Names::Gguf, Projection::K) => reorder(&weight, shape.kv_heads, true),
                _ => weight,
            };
            projections.push(Linear::new(Matrix::Dense(weight)));
        }
        let [attention_norm, mlp_norm] = names.norms(i);
        blocks.push(Block {
            shape: *shape,
            attention_norm: get(&attention_norm, &[width])?,
            mlp_norm: get(&mlp_norm, &[width])?,
            projections: seven(projections),
        });
    }
    let norm = get(names.norm(), &[width])?;
    let head = if config.tied { None } else { Some(Matrix::Dense(get(names.head(), &[vocab, width])?)) };
    Ok(Model { config, embedding, blocks, norm, head, rope_factors, compute: Kind::Float })
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
    // Of both kinds of files by one name.
    let named = |n: &str| match n {
        "Float" => "F32".to_owned(),
        "Half" => "F16".to_owned(),
        "BFloat16" => "BF16".to_owned(),
        "Double" => "F64".to_owned(),
        other => other.to_owned(),
    };
    names.iter().map(|n| format!("{} ({})", named(n), count(n))).collect::<Vec<_>>().join(", ")
}

/// Divisors of the rotary frequencies, which GGUF files of Llama 3 bring.
pub(super) const ROPE_FACTORS: &str = "rope_freqs.weight";

fn gguf(path: &Path) -> Result<Loaded> {
    let mut file = Gguf::open(path)?;
    let names = Names::Gguf;
    let rows = |name: &str| file.tensors().get(name).map(|i| i.shape[0]);
    let vocab = rows(names.embedding())
        .ok_or_else(|| Error::corrupt(path, format!("there is no tensor '{}' in it", names.embedding())))?;
    let tied = rows(names.head()).is_none();
    let config = Config::from_gguf(file.metadata(), vocab, tied).map_err(|e| inside(path, e))?;
    let read = names.all(config.blocks.len());
    let all = file.tensors().keys().map(String::as_str);
    // llama.cpp refuses such files too: "wrong number of tensors" (v0.5.0).
    keys::account(&path.display().to_string(), all, |n| read.contains(n) || n == ROPE_FACTORS, |_| false)?;
    let kinds: Vec<String> = file.tensors().values().map(|i| i.kind.to_string()).collect();
    let rope_factors = match file.tensors().contains_key(ROPE_FACTORS) {
        true => {
            let factors = rlx_nn::upload::to_vec(&file.tensor(ROPE_FACTORS)?)?;
            if factors.len() != config.head_dim / 2 || factors.iter().any(|f| !(f.is_finite() && *f > 0.0)) {
                let why = format!("{ROPE_FACTORS} must be {} positive numbers", config.head_dim / 2);
                return Err(Error::corrupt(path, why));
            }
            Some(factors)
        }
        false => None,
    };
    let mut get = |name: &str, shape: &[usize]| {
        file.check(name, shape)?;
        finite(file.tensor(name)?, name, path)
    };
    let model = assemble(config, names, rope_factors, &mut get)?;
    let tokenizer = Tokenizer::from_gguf(file.metadata())?;
    Ok(Loaded { model, tokenizer, path: path.into(), format: format!("GGUF, {}", tally(&kinds)) })
}
