//! What a model is, by its headers: no tensor is read, so that it takes the same time and memory whatever the model's size.
use super::{
    config::Config,
    load::{ROPE_FACTORS, config_json, inside, suits, tally},
    model::Projection,
    names::Names,
    save::{self, Layout, StoredBlock, plan},
};
use crate::{
    archive::{Archive, Stored},
    bert,
    gguf::{Gguf, Value},
    keys::{self, harmless},
    quant::Scheme,
};
use rlx::{Error, Result};
use serde::{
    Deserialize, Deserializer,
    de::{IgnoredAny, MapAccess, SeqAccess, Visitor},
};
use std::{
    fs,
    path::{Path, PathBuf},
};

/// A model's headers.
#[derive(Debug)]
pub struct Head {
    /// Where it is; of a split GGUF the first part.
    pub path: PathBuf,
    /// What its weights are stored as: `GGUF, Q4_1 (210), Q8_0 (1), F32 (61)`.
    pub format: String,
    /// Files that its weights are in, and their bytes.
    pub files: usize,
    /// Bytes of those files.
    pub bytes: u64,
    /// Its architecture, and how it would be held in memory.
    pub layout: Layout,
    /// Tokens of its tokenizer, where it has one.
    pub tokens: Option<usize>,
}

/// Reads the headers of a model: what [`super::load`] would load. That every tensor is there, of the right shape and within its file, is
/// checked; the numbers are not.
///
/// # Errors
/// As [`super::load`], but for the numbers.
pub fn head(path: &Path) -> Result<Head> {
    let head = if path.is_dir() { folder(path)? } else { gguf(path)? };
    if let Some(tokens) = head.tokens {
        suits(path, tokens, head.layout.config.vocab)?;
    }
    Ok(head)
}

/// The layout of a model whose weights are held as 32-bit floats.
fn dense(config: Config) -> Layout {
    let block = |shape: &_| StoredBlock { shape: *shape, scheme: Scheme::F32, rank: 0, scale: 1.0 };
    Layout {
        embedding: Scheme::F32,
        head: (!config.tied).then_some(Scheme::F32),
        blocks: config.blocks.iter().map(block).collect(),
        rope_factors: None,
        config,
    }
}

fn folder(path: &Path) -> Result<Head> {
    let json = config_json(path)?;
    let archive = Archive::open(path)?;
    let (layout, format) = if save::is_packed(&json) {
        let layout = save::layout(&json).map_err(|e| inside(path, e))?;
        save::account(&layout, &archive)?;
        for (name, stored, shape) in plan(&layout).entries() {
            save::stored_as(name, *stored, archive.check(name, Some(shape))?)?;
        }
        (layout, save::format())
    } else {
        let layout = dense(Config::from_transformers(&json).map_err(|e| inside(path, e))?);
        let (names, blocks) = (Names::Transformers, layout.blocks.len());
        let (place, read) = (path.display().to_string(), names.all(blocks));
        keys::account(&place, archive.names(), |n| read.contains(n), |n| harmless::llama_tensor(n, blocks))?;
        let mut kinds = Vec::new();
        // A dense layout's names are those of transformers.
        for (name, _, shape) in plan(&layout).entries() {
            kinds.push(format!("{:?}", archive.check(name, Some(shape))?));
        }
        (layout, format!("safetensors, {}", tally(&kinds)))
    };
    let tokenizer = path.join("tokenizer.json");
    let tokens = tokenizer.exists().then(|| tokens(&tokenizer)).transpose()?;
    Ok(Head { path: path.into(), format, files: archive.files(), bytes: archive.file_bytes()?, layout, tokens })
}

fn gguf(path: &Path) -> Result<Head> {
    let (file, names) = (Gguf::open(path)?, Names::Gguf);
    let missing = || Error::corrupt(path, format!("there is no tensor '{}' in it", names.embedding()));
    let vocab = file.tensors().get(names.embedding()).map(|i| i.shape[0]).ok_or_else(missing)?;
    let tied = !file.tensors().contains_key(names.head());
    let layout = dense(Config::from_gguf(file.metadata(), vocab, tied).map_err(|e| inside(path, e))?);
    let config = &layout.config;
    let (read, all) = (names.all(config.blocks.len()), file.tensors().keys().map(String::as_str));
    keys::account(&path.display().to_string(), all, |n| read.contains(n) || n == ROPE_FACTORS, |_| false)?;
    let (table, width) = ([config.vocab, config.width], [config.width]);
    file.check(names.embedding(), &table)?;
    file.check(names.norm(), &width)?;
    if !tied {
        file.check(names.head(), &table)?;
    }
    if file.tensors().contains_key(ROPE_FACTORS) {
        file.check(ROPE_FACTORS, &[config.head_dim / 2])?;
    }
    for (i, block) in config.blocks.iter().enumerate() {
        names.norms(i).iter().try_for_each(|n| file.check(n, &width))?;
        Projection::ALL.iter().try_for_each(|p| file.check(&names.projection(i, *p), &p.size(config, block)))?;
    }
    let kinds: Vec<String> = file.tensors().values().map(|i| i.kind.to_string()).collect();
    let tokens = match file.metadata().get("tokenizer.ggml.model").and_then(Value::as_text) {
        None | Some("none") => None,
        Some(_) => file.metadata().get("tokenizer.ggml.tokens").and_then(Value::texts).map(<[String]>::len),
    };
    let format = format!("GGUF, {}", tally(&kinds));
    Ok(Head { path: file.path().into(), format, files: file.files(), bytes: file.bytes(), tokens, layout })
}

impl Head {
    /// Bytes of a block's projection in memory, its adapter included.
    pub fn projection_bytes(&self, block: &StoredBlock, p: Projection) -> u64 {
        let [rows, columns] = p.size(&self.layout.config, &block.shape);
        block.scheme.bytes(rows, columns) + Stored::F16.bytes() * (block.rank * (rows + columns)) as u64
    }
    /// Bytes of a block in memory.
    pub fn block_bytes(&self, block: &StoredBlock) -> u64 {
        let norms = 2 * Stored::F32.bytes() * self.layout.config.width as u64;
        norms + Projection::ALL.iter().map(|p| self.projection_bytes(block, *p)).sum::<u64>()
    }
    /// Bytes of the embedding, or of a head, stored by a scheme.
    pub fn table_bytes(&self, scheme: Scheme) -> u64 {
        scheme.bytes(self.layout.config.vocab, self.layout.config.width)
    }
}

/// Tokens of a `tokenizer.json`: one more than the highest id. It is not built, which takes a second and 100 MB for large ones.
fn tokens(path: &Path) -> Result<usize> {
    #[derive(Deserialize)]
    struct File {
        model: Model,
        #[serde(default)]
        added_tokens: Vec<Added>,
    }
    #[derive(Deserialize)]
    struct Model {
        vocab: Vocabulary,
    }
    #[derive(Deserialize)]
    struct Added {
        id: u64,
    }
    let bytes = fs::read(path).map_err(|e| Error::io("reading", path, e))?;
    let file: File = serde_json::from_slice(&bytes).map_err(|e| Error::corrupt(path, e.to_string()))?;
    let most = file.added_tokens.iter().map(|t| t.id + 1).max().unwrap_or(0).max(file.model.vocab.0);
    Ok(usize::try_from(most).unwrap_or(usize::MAX))
}

/// How many ids a vocabulary needs: a map from tokens to ids, or a list of tokens with their scores.
struct Vocabulary(u64);

impl<'de> Deserialize<'de> for Vocabulary {
    fn deserialize<D: Deserializer<'de>>(from: D) -> std::result::Result<Self, D::Error> {
        struct Count;
        impl<'de> Visitor<'de> for Count {
            type Value = Vocabulary;
            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("a map of tokens to ids, or a list of tokens")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> std::result::Result<Vocabulary, A::Error> {
                let mut most = 0;
                while let Some((_, id)) = map.next_entry::<IgnoredAny, u32>()? {
                    most = most.max(u64::from(id) + 1);
                }
                Ok(Vocabulary(most))
            }
            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> std::result::Result<Vocabulary, A::Error> {
                let mut most = 0;
                while list.next_element::<IgnoredAny>()?.is_some() {
                    most += 1;
                }
                Ok(Vocabulary(most))
            }
        }
        from.deserialize_any(Count)
    }
}

/// The headers of an encoder's folder.
#[derive(Debug)]
pub struct EncoderHead {
    /// Its shape.
    pub config: bert::Config,
    /// Files that its weights are in.
    pub files: usize,
    /// Bytes of those files.
    pub bytes: u64,
    /// Numbers in them; none for ONNX, whose sizes are among its weights.
    pub parameters: Option<u64>,
}

/// Whether a folder is an encoder's.
///
/// # Errors
/// When it has no `config.json`, or a broken one.
pub fn is_encoder(folder: &Path) -> Result<bool> {
    let json = config_json(folder)?;
    Ok(json.get("model_type").and_then(|t| t.as_str()).is_some_and(|t| ["bert", "distilbert"].contains(&t)))
}

/// Reads the headers of an encoder's folder.
///
/// # Errors
/// When it is no encoder, has no weights, or a header is not what its file is.
pub fn encoder(folder: &Path) -> Result<EncoderHead> {
    let config = bert::Config::open(folder)?;
    if let Some(graph) = bert::load::graph(folder)? {
        let bytes = fs::metadata(&graph).map_err(|e| Error::io("reading", &graph, e))?.len();
        return Ok(EncoderHead { config, files: 1, bytes, parameters: None });
    }
    let archive = Archive::open(folder)?;
    let (files, bytes) = (archive.files(), archive.file_bytes()?);
    Ok(EncoderHead { config, files, bytes, parameters: Some(archive.parameters()) })
}
