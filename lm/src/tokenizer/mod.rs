//! Tokenizers: a `tokenizer.json` with what stands beside it, or the one inside a GGUF file built into the same type; and back into either.
pub(crate) mod ends;
pub(crate) mod folder;
mod pre;
mod read;
mod write;

pub use write::InGguf;

use crate::gguf::Value;
use rlx::{Error, Result};
use serde_json::{Map, Value as Json, json};
use std::path::Path;
use tokenizers::{Encoding, PostProcessorWrapper, Token, Tokenizer as Inner};

/// Text to token ids and back.
#[derive(Clone, Debug)]
pub struct Tokenizer {
    inner: Inner,
    frame: Frame,
    // Two files say different things of how a text begins or ends.
    doubt: Option<String>,
    bos: Option<u32>,
    eos: Option<u32>,
    unknown: Option<u32>,
    padding: Option<u32>,
    // Tokens that end a text by what stands with the tokenizer, config.json aside.
    ends: Vec<u32>,
    template: Option<String>,
    // What a GGUF file said of it, so that it can be written to one again.
    gguf: Vec<(String, Value)>,
    // Files beside a tokenizer.json, by name.
    files: Vec<(String, String)>,
    config: Map<String, Json>,
    generation: ends::Generation,
}

/// Special tokens that go before and after a text, by what its file says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Frame {
    /// Before: mostly BOS.
    pub before: Vec<u32>,
    /// After: mostly nothing.
    pub after: Vec<u32>,
}

impl Frame {
    /// Ids within it.
    pub fn around(&self, ids: Vec<u32>) -> Vec<u32> {
        [&self.before[..], &ids, &self.after].concat()
    }
}

impl Tokenizer {
    fn new(inner: Inner) -> Result<Self> {
        // What a template adds is what the mask marks, around a token of nobody's.
        let text = Encoding::from_tokens(vec![Token::new(0, "a".into(), (0, 1))], 0);
        let whole = inner.post_process(text, None, true).map_err(|e| Error::invalid(format!("tokenizer: {e}")))?;
        let (ids, mask) = (whole.get_ids(), whole.get_special_tokens_mask());
        let first = mask.iter().position(|m| *m == 0).unwrap_or(ids.len());
        let last = mask.iter().rposition(|m| *m == 0).map_or(ids.len(), |i| i + 1);
        let frame = Frame { before: ids[..first].to_vec(), after: ids[last..].to_vec() };
        Ok(Self {
            inner,
            frame,
            doubt: None,
            bos: None,
            eos: None,
            unknown: None,
            padding: None,
            ends: Vec::new(),
            template: None,
            gguf: Vec::new(),
            files: Vec::new(),
            config: Map::new(),
            generation: ends::Generation::default(),
        })
    }

    /// Reads a `tokenizer.json`, and what stands beside it. Padding and truncation that are baked into it are switched off.
    ///
    /// # Errors
    /// When it is not one, or a file beside it is damaged or says something else.
    pub fn open(path: &Path) -> Result<Self> {
        let mut inner = Inner::from_file(path).map_err(|e| Error::corrupt(path, e.to_string()))?;
        inner.with_padding(None);
        inner.with_truncation(None).map_err(|e| Error::corrupt(path, e.to_string()))?;
        Self::beside(inner, path)
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
    /// The token of a number.
    pub fn token(&self, id: u32) -> Option<String> {
        self.inner.id_to_token(id)
    }
    /// The token that begins a text, where one is named.
    pub fn bos(&self) -> Option<u32> {
        self.bos
    }
    /// Tokens that end a text, by what stands with the tokenizer.
    pub fn ends(&self) -> &[u32] {
        &self.ends
    }
    /// Keys of generation_config.json that would change what is generated and that nothing here follows.
    pub fn unheeded(&self) -> &[String] {
        &self.generation.unheeded
    }

    /// What goes before and after a text.
    ///
    /// # Errors
    /// When two files say different things of it.
    pub fn frame(&self) -> Result<&Frame> {
        match &self.doubt {
            None => Ok(&self.frame),
            Some(why) => Err(Error::invalid(why.clone())),
        }
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
    /// When it cannot be written as one.
    pub fn to_json(&self) -> Result<String> {
        self.inner.to_string(false).map_err(|e| Error::invalid(format!("tokenizer: {e}")))
    }
}

/// Makes a tokenizer put special tokens before and after a text where it is asked to.
fn framed(inner: &mut Inner, before: Option<u32>, after: Option<u32>) -> Result<()> {
    if before.or(after).is_none() {
        return Ok(());
    }
    let name = |id: u32| inner.id_to_token(id).unwrap_or_default();
    let one = |id: u32| json!({"SpecialToken": {"id": name(id), "type_id": 0}});
    let part = |sequence: &str| {
        let text = json!({"Sequence": {"id": sequence, "type_id": 0}});
        before.map(one).into_iter().chain([text]).chain(after.map(one)).collect::<Vec<_>>()
    };
    let tokens: Map<String, Json> = before
        .into_iter()
        .chain(after)
        .map(|id| (name(id), json!({"id": name(id), "ids": [id], "tokens": [name(id)]})))
        .collect();
    let pair = [part("A"), part("B")].concat();
    let template = json!({"type": "TemplateProcessing", "single": part("A"), "pair": pair, "special_tokens": tokens});
    let template: PostProcessorWrapper =
        serde_json::from_value(template).map_err(|e| Error::invalid(format!("tokenizer: {e}")))?;
    inner.with_post_processor(Some(template));
    Ok(())
}

#[cfg(test)]
mod tests;
