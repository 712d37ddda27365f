//! Texts to token ids, by the model's own `tokenizer.json`.
use rlx::{Error, Result};
use std::path::Path;
use tokenizers::TruncationParams;

/// A model's tokenizer. The padding and truncation that its file may have baked in are not used: batches pad to their own longest
/// text, and the length is the caller's.
#[derive(Clone, Debug)]
pub struct Tokenizer {
    inner: tokenizers::Tokenizer,
    pad: u32,
}

impl Tokenizer {
    /// Opens `tokenizer.json` of a model's folder.
    ///
    /// # Errors
    /// When it is missing, damaged, or has no `[PAD]`.
    pub fn open(folder: &Path) -> Result<Self> {
        let path = folder.join("tokenizer.json");
        let bytes = std::fs::read(&path).map_err(|e| Error::io("reading", &path, e))?;
        let mut inner = tokenizers::Tokenizer::from_bytes(&bytes).map_err(|e| Error::corrupt(&path, e.to_string()))?;
        inner.with_padding(None);
        inner.with_truncation(None).map_err(|e| Error::corrupt(&path, e.to_string()))?;
        let pad = inner.token_to_id("[PAD]").ok_or_else(|| Error::corrupt(&path, "it has no token [PAD]"))?;
        Ok(Self { inner, pad })
    }

    /// The token that fills batches.
    pub fn pad(&self) -> u32 {
        self.pad
    }

    /// The ids of `texts`, `[CLS]` and `[SEP]` among them, cut to `most` each.
    ///
    /// # Errors
    /// When `most` leaves no room for a word.
    pub fn encode(&self, texts: &[&str], most: usize) -> Result<Vec<Vec<u32>>> {
        if most < 3 {
            return Err(Error::invalid(format!("texts of {most} tokens: 3 are needed for [CLS], a word and [SEP]")));
        }
        let mut inner = self.inner.clone();
        let cut = TruncationParams { max_length: most, ..TruncationParams::default() };
        inner.with_truncation(Some(cut)).map_err(|e| Error::invalid(e.to_string()))?;
        let encode = |text: &&str| match inner.encode(*text, true) {
            Ok(encoding) => Ok(encoding.get_ids().to_vec()),
            Err(e) => Err(Error::invalid(format!("tokenizing '{}': {e}", text.chars().take(40).collect::<String>()))),
        };
        texts.iter().map(encode).collect()
    }
}
