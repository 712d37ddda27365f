//! Tokenizers: a `tokenizer.json` as it is, or the one inside a GGUF file built into the same type.
use crate::gguf::{Array, Value};
use rlx::{Error, Result};
use std::{collections::BTreeMap, path::Path};
use tokenizers::{
    AddedToken, Tokenizer as Inner,
    decoders::{byte_fallback::ByteFallback, fuse::Fuse, sequence::Sequence as Decoders, strip::Strip},
    models::bpe::BPE,
    normalizers::{Prepend, Replace, Sequence as Normalizers},
    pre_tokenizers::{
        byte_level::ByteLevel,
        digits::Digits,
        sequence::Sequence,
        split::{Split, SplitPattern},
    },
    tokenizer::SplitDelimiterBehavior,
};

/// Splits of Llama 3.
const LLAMA3: &str = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+";
/// Kinds of tokens in GGUF.
const CONTROL: i64 = 3;
const USER_DEFINED: i64 = 4;

/// Text to token ids and back.
#[derive(Clone, Debug)]
pub struct Tokenizer {
    inner: Inner,
    // What a GGUF file said of it, so that it can be written to one again.
    gguf: Vec<(String, Value)>,
}

impl Tokenizer {
    /// Reads a `tokenizer.json`. Padding and truncation that are baked into it are switched off.
    ///
    /// # Errors
    /// When it is not one.
    pub fn open(path: &Path) -> Result<Self> {
        let mut inner = Inner::from_file(path).map_err(|e| Error::corrupt(path, e.to_string()))?;
        inner.with_padding(None);
        inner.with_truncation(None).map_err(|e| Error::corrupt(path, e.to_string()))?;
        Ok(Self { inner, gguf: Vec::new() })
    }

    /// Builds the tokenizer that GGUF metadata describe; none when they describe none.
    ///
    /// # Errors
    /// When it is of a kind that is not supported, or its lists do not fit each other.
    pub fn from_gguf(metadata: &BTreeMap<String, Value>) -> Result<Option<Self>> {
        let get = |name: &str| metadata.get(&format!("tokenizer.ggml.{name}"));
        let Some(kind) = get("model").and_then(Value::as_text).filter(|k| *k != "none") else { return Ok(None) };
        let bad = |why: String| Error::invalid(format!("GGUF tokenizer: {why}"));
        let tokens = get("tokens").and_then(Value::texts).ok_or_else(|| bad("it has no tokens".into()))?;
        let types = get("token_type").and_then(Value::ints).unwrap_or(&[]);
        if !types.is_empty() && types.len() != tokens.len() {
            return Err(bad(format!("{} tokens but {} token types", tokens.len(), types.len())));
        }
        let mut inner = match kind {
            "gpt2" => {
                let merges = get("merges").and_then(Value::texts).ok_or_else(|| bad("it has no merges".into()))?;
                let pre = get("pre").and_then(Value::as_text).unwrap_or("default");
                byte_level(tokens, merges, pre)?
            }
            "llama" => match get("scores") {
                Some(Value::List(Array::F32(scores))) if scores.len() == tokens.len() => sentencepiece(tokens, scores)?,
                _ => return Err(bad("a sentencepiece model needs one score a token".into())),
            },
            other => return Err(bad(format!("model '{other}' is not supported; gpt2 and llama are"))),
        };
        let special = |(token, kind): (&String, &i64)| match *kind {
            CONTROL => Some(AddedToken::from(token.clone(), true)),
            USER_DEFINED => Some(AddedToken::from(token.clone(), false)),
            _ => None,
        };
        let added: Vec<AddedToken> = tokens.iter().zip(types).filter_map(special).collect();
        inner.add_tokens(&added);
        let special: Vec<AddedToken> = added.into_iter().filter(|t| t.special).collect();
        inner.add_special_tokens(&special);
        let gguf = metadata.iter().filter(|(k, _)| k.starts_with("tokenizer.")).map(|(k, v)| (k.clone(), v.clone()));
        Ok(Some(Self { inner, gguf: gguf.collect() }))
    }

    /// Number of tokens, those added included.
    pub fn size(&self) -> usize {
        let highest = self.inner.get_vocab(true).into_values().max();
        highest.map_or(0, |id| id as usize + 1)
    }
    /// The number of a token.
    pub fn id(&self, token: &str) -> Option<u32> {
        self.inner.token_to_id(token)
    }
    /// What GGUF says of it; empty for one that came from elsewhere.
    pub fn gguf(&self) -> &[(String, Value)] {
        &self.gguf
    }

    /// Ids of a text. Special tokens in it are recognised; none are added.
    ///
    /// # Errors
    /// When the tokenizer fails.
    pub fn encode(&self, text: &str) -> Result<Vec<u32>> {
        let encoding = self.inner.encode(text, false).map_err(|e| Error::invalid(format!("tokenizer: {e}")))?;
        Ok(encoding.get_ids().to_vec())
    }
    /// The text of ids; special tokens are left out.
    ///
    /// # Errors
    /// When the tokenizer fails.
    pub fn decode(&self, ids: &[u32]) -> Result<String> {
        self.inner.decode(ids, true).map_err(|e| Error::invalid(format!("tokenizer: {e}")))
    }
    /// As a `tokenizer.json`.
    ///
    /// # Errors
    /// When it can not be written as one.
    pub fn to_json(&self) -> Result<String> {
        self.inner.to_string(false).map_err(|e| Error::invalid(format!("tokenizer: {e}")))
    }
}

fn built<T, E: std::fmt::Display>(result: std::result::Result<T, E>) -> Result<T> {
    result.map_err(|e| Error::invalid(format!("GGUF tokenizer: {e}")))
}

/// GPT-2's byte-level BPE, behind the splits that `pre` names.
fn byte_level(tokens: &[String], merges: &[String], pre: &str) -> Result<Inner> {
    let vocab: tokenizers::models::bpe::Vocab = tokens.iter().enumerate().map(|(i, t)| (t.clone(), i as u32)).collect();
    let pairs: Option<Vec<(String, String)>> =
        merges.iter().map(|m| m.split_once(' ').map(|(a, b)| (a.into(), b.into()))).collect();
    let pairs = pairs.ok_or_else(|| Error::invalid("GGUF tokenizer: a merge is not two tokens"))?;
    let llama3 = matches!(pre, "llama3" | "llama-bpe" | "llama-v3");
    let mut builder = BPE::builder().vocab_and_merges(vocab, pairs);
    if llama3 {
        builder = builder.ignore_merges(true);
    }
    let mut inner = Inner::new(built(builder.build())?);
    let bytes = |regex: bool| ByteLevel::new(false, true, regex);
    match pre {
        _ if llama3 => {
            let split = built(Split::new(SplitPattern::Regex(LLAMA3.into()), SplitDelimiterBehavior::Isolated, false))?;
            inner.with_pre_tokenizer(Some(Sequence::new(vec![split.into(), bytes(false).into()])));
        }
        // Digits first, each by itself, then GPT-2's pattern.
        "smollm" => {
            inner.with_pre_tokenizer(Some(Sequence::new(vec![Digits::new(true).into(), bytes(true).into()])));
        }
        "default" | "gpt-2" | "gpt2" => {
            inner.with_pre_tokenizer(Some(bytes(true)));
        }
        other => {
            return Err(Error::invalid(format!(
                "GGUF tokenizer: pre-tokenizer '{other}' is not supported; gpt-2, smollm and llama-bpe are"
            )));
        }
    }
    inner.with_decoder(Some(ByteLevel::new(false, true, true)));
    Ok(inner)
}

/// SentencePiece's BPE: a merge for every pair of tokens whose join is one, the best score first; bytes for what is in none.
fn sentencepiece(tokens: &[String], scores: &[f32]) -> Result<Inner> {
    let ids: tokenizers::models::bpe::Vocab = tokens.iter().enumerate().map(|(i, t)| (t.clone(), i as u32)).collect();
    let mut merges = Vec::new();
    for (token, score) in tokens.iter().zip(scores) {
        for (cut, _) in token.char_indices().skip(1) {
            let (a, b) = token.split_at(cut);
            if let (Some(x), Some(y)) = (ids.get(a), ids.get(b)) {
                merges.push((*score, *x, *y, a.to_owned(), b.to_owned()));
            }
        }
    }
    merges.sort_by(|p, q| q.0.total_cmp(&p.0).then((p.1, p.2).cmp(&(q.1, q.2))));
    let pairs = merges.into_iter().map(|(_, _, _, a, b)| (a, b)).collect();
    let unknown = tokens.iter().find(|t| *t == "<unk>").cloned().unwrap_or_default();
    let bpe = BPE::builder().vocab_and_merges(ids, pairs).unk_token(unknown).fuse_unk(true).byte_fallback(true);
    let mut inner = Inner::new(built(bpe.build())?);
    inner.with_normalizer(Some(Normalizers::new(vec![
        Prepend::new("▁".into()).into(),
        built(Replace::new(" ", "▁"))?.into(),
    ])));
    inner.with_decoder(Some(Decoders::new(vec![
        built(Replace::new("▁", " "))?.into(),
        ByteFallback::new().into(),
        Fuse::new().into(),
        Strip::new(' ', 1, 0).into(),
    ])));
    Ok(inner)
}
