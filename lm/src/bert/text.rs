//! Texts to token ids, by the model's own `tokenizer.json`.
use super::Weights;
use rlx::{Error, Result};
use std::{collections::BTreeMap, path::Path};
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

/// Texts in a vocabulary of only the words that come: a word that never does takes no part, and its row of the embeddings costs memory and
/// time for nothing.
#[derive(Clone, Debug)]
pub struct Renumbered {
    /// Token ids of each text, in the small vocabulary.
    pub ids: Vec<Vec<u32>>,
    /// Token of the model by token of the small vocabulary.
    pub tokens: Vec<u32>,
    /// The token that fills batches, in the small vocabulary.
    pub pad: u32,
}

impl Renumbered {
    /// Renumbers `ids`, in the order of the model's own numbers.
    pub fn new(mut ids: Vec<Vec<u32>>, pad: u32) -> Self {
        let mut place: BTreeMap<u32, u32> = ids.iter().flatten().map(|t| (*t, 0)).collect();
        place.insert(pad, 0);
        place.values_mut().zip(0..).for_each(|(v, i)| *v = i);
        ids.iter_mut().flatten().for_each(|t| *t = place[t]);
        Self { ids, pad: place[&pad], tokens: place.into_keys().collect() }
    }

    /// Cuts a model down to these words and to the longest text.
    ///
    /// # Errors
    /// As [`Weights::trim`].
    pub fn trim(&self, weights: &mut Weights) -> Result<()> {
        weights.trim(&self.tokens, self.ids.iter().map(Vec::len).max().unwrap_or(1))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_that_come_are_numbered_in_their_own_order() {
        let small = Renumbered::new(vec![vec![101, 7, 102], vec![101, 2000, 7, 102]], 0);
        assert_eq!(small.ids, [vec![2, 1, 3], vec![2, 4, 1, 3]]);
        assert_eq!((small.tokens, small.pad), (vec![0, 7, 101, 102, 2000], 0));
    }
}
