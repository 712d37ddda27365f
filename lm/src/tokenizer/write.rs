//! A tokenizer as llama.cpp's GGUF metadata say it.
use super::{
    Tokenizer,
    ends::Named,
    pre::{Pre, approximate, unwritable},
    read::{kind, merges},
};
use crate::gguf::{Array, Value};
use rlx::{Error, Result};
use serde_json::Value as Json;
use std::collections::{HashMap, HashSet};

/// A tokenizer in GGUF's words.
#[derive(Debug, Default)]
pub struct InGguf {
    /// Keys and values.
    pub metadata: Vec<(String, Value)>,
    /// What llama.cpp will do otherwise, each in a sentence.
    pub notes: Vec<String>,
}

impl InGguf {
    fn set(&mut self, name: &str, value: Value) {
        self.metadata.push((format!("tokenizer.ggml.{name}"), value));
    }
}

impl Tokenizer {
    /// In the words of a GGUF file whose model has `vocab` tokens, of which `eos` end a text.
    ///
    /// # Errors
    /// When llama.cpp has no tokenizer that does the same.
    pub fn to_gguf(&self, vocab: usize, bos: Option<u32>, eos: &[u32]) -> Result<InGguf> {
        if !self.gguf.is_empty() {
            return Ok(InGguf { metadata: self.gguf.clone(), notes: Vec::new() });
        }
        let json: Json =
            serde_json::from_str(&self.to_json()?).map_err(|e| Error::invalid(format!("tokenizer: {e}")))?;
        let model = &json["model"];
        let kind = model["type"].as_str().unwrap_or("none");
        if kind != "BPE" {
            return Err(unwritable(&format!("it is of kind {kind}; byte-level and sentencepiece BPE are written")));
        }
        for key in ["continuing_subword_prefix", "end_of_word_suffix"] {
            if model[key].as_str().is_some_and(|s| !s.is_empty()) {
                return Err(unwritable(&format!("its {key} is {}", model[key])));
            }
        }
        let mut out = InGguf::default();
        let words = Words::of(self, &json, vocab);
        let sentences = model["byte_fallback"] == true;
        out.set("model", Value::text(if sentences { "llama" } else { "gpt2" }));
        if sentences {
            let prefix = prefix(&json, &mut out.notes)?;
            out.set("pre", Value::text("default"));
            out.set("scores", Value::List(Array::F32(words.scores(&json)?)));
            out.set("add_space_prefix", Value::Bool(prefix));
        } else {
            normalizer(&json["normalizer"], &mut out.notes)?;
            let pre = Pre::like(&json["pre_tokenizer"], model["ignore_merges"] == true)?;
            if approximate(&json["pre_tokenizer"]) {
                out.notes.push(format!(
                    "llama.cpp cuts letters beyond ASCII otherwise before its merges: '{}' has expressions of its own there",
                    pre.name()
                ));
            }
            out.set("pre", Value::text(pre.name()));
            let pairs = pairs(model).into_iter().map(|(a, b)| format!("{a} {b}")).collect();
            out.set("merges", Value::List(Array::Texts(pairs)));
        }
        words.stripped(&mut out.notes);
        out.set("token_type", Value::i32s(words.kinds.iter().map(|k| *k as i32)));
        out.set("tokens", Value::List(Array::Texts(words.tokens.clone())));
        self.special(&mut out, bos, eos)?;
        if let Some(template) = &self.template {
            out.metadata.push(("tokenizer.chat_template".into(), Value::text(template.clone())));
        }
        Ok(out)
    }

    /// The numbers of special tokens, and which go before and after a text.
    fn special(&self, out: &mut InGguf, bos: Option<u32>, eos: &[u32]) -> Result<()> {
        let frame = self.frame()?;
        let (before, after) = (&frame.before[..], &frame.after[..]);
        if before.len() > 1 || after.len() > 1 {
            return Err(unwritable(&format!("it puts tokens {before:?} before a text and {after:?} after it")));
        }
        let bos = before.first().copied().or(self.bos).or(bos);
        let last = after.first().copied().or_else(|| eos.first().copied());
        let covered = Named::of(|t| self.id(t), |_| None).ends;
        let mut left = eos.iter().filter(|id| Some(**id) != last && !covered.contains(id));
        let (eot, eom) = (left.next(), left.next());
        let names = [
            ("bos", bos),
            ("eos", last),
            ("eot", eot.copied()),
            ("eom", eom.copied()),
            ("unknown", self.unknown),
            ("padding", self.padding),
        ];
        for (name, id) in names {
            if let Some(id) = id {
                out.set(&format!("{name}_token_id"), Value::u32(id));
            }
        }
        out.set("add_bos_token", Value::Bool(!before.is_empty()));
        out.set("add_eos_token", Value::Bool(!after.is_empty()));
        let left: Vec<String> = left.map(u32::to_string).collect();
        if !left.is_empty() {
            out.notes
                .push(format!("GGUF names three end tokens at most: llama.cpp does not stop at {}", left.join(", ")));
        }
        Ok(())
    }
}

/// The vocabulary as lists, one entry a row of the embedding.
struct Words {
    tokens: Vec<String>,
    kinds: Vec<i64>,
    stripped: Vec<String>,
}

impl Words {
    fn of(tokenizer: &Tokenizer, json: &Json, vocab: usize) -> Self {
        let size = vocab.max(tokenizer.size());
        let mut tokens: Vec<String> = (0..size).map(|i| format!("[PAD{i}]")).collect();
        let mut kinds = vec![kind::UNUSED; size];
        let bytes = json["model"]["byte_fallback"] == true;
        let unknown = json["model"]["unk_token"].as_str().filter(|_| bytes);
        for (token, id) in tokenizer.inner.get_vocab(true) {
            let byte = bytes && token.len() == 6 && token.starts_with("<0x") && token.ends_with('>');
            kinds[id as usize] = match byte {
                true => kind::BYTE,
                false if Some(token.as_str()) == unknown => kind::UNKNOWN,
                false => kind::NORMAL,
            };
            tokens[id as usize] = token;
        }
        let mut stripped = Vec::new();
        for (id, token) in tokenizer.inner.get_added_tokens_decoder() {
            if token.lstrip || token.rstrip || token.single_word {
                stripped.push(token.content.clone());
            }
            if kinds[id as usize] != kind::UNKNOWN {
                kinds[id as usize] = if token.special { kind::CONTROL } else { kind::USER_DEFINED };
            }
        }
        stripped.sort();
        Self { tokens, kinds, stripped }
    }

    fn stripped(&self, notes: &mut Vec<String>) {
        if !self.stripped.is_empty() {
            notes.push(format!(
                "llama.cpp leaves the blanks beside {} in a text, and takes it within a word",
                self.stripped.join(", ")
            ));
        }
    }

    /// Scores by which sentencepiece makes the merges of a `tokenizer.json`: the earlier a token is merged, the better.
    fn scores(&self, json: &Json) -> Result<Vec<f32>> {
        let theirs = pairs(&json["model"]);
        let mut rank: HashMap<String, usize> = HashMap::new();
        for (i, (a, b)) in theirs.iter().enumerate() {
            rank.entry(format!("{a}{b}")).or_insert(i);
        }
        let score = |t: &String| rank.get(t).map_or(0.0, |r| -(*r as f32));
        let scores: Vec<f32> = self.tokens.iter().map(score).collect();
        // Special tokens are found before anything is merged.
        let plain = |(t, k): (&String, &i64)| matches!(*k, kind::NORMAL | kind::BYTE).then(|| t.clone());
        let texts: Vec<String> = self.tokens.iter().zip(&self.kinds).filter_map(plain).collect();
        let of: HashMap<&str, f32> = self.tokens.iter().map(String::as_str).zip(scores.iter().copied()).collect();
        let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
        let scored: Vec<f32> = texts.iter().map(|t| of[t]).collect();
        let ours = merges(&texts, &scored);
        let joined = |(a, b): &(&str, &str)| format!("{a}{b}");
        let known: HashSet<(&str, &str)> = theirs.iter().map(|(a, b)| (a.as_str(), b.as_str())).collect();
        let missing = ours.iter().find(|pair| !known.contains(*pair));
        let order = theirs.iter().map(|(a, b)| format!("{a}{b}")).ne(ours.iter().map(joined));
        match missing {
            Some((a, b)) => Err(unwritable(&format!("sentencepiece would merge '{a}' and '{b}', which it does not"))),
            None if order => Err(unwritable("no score a token gives its merges in their order")),
            None => Ok(scores),
        }
    }
}

/// The merges of a model, as pairs.
fn pairs(model: &Json) -> Vec<(String, String)> {
    let pair = |m: &Json| match m {
        Json::String(both) => both.split_once(' ').map(|(a, b)| (a.to_owned(), b.to_owned())),
        _ => Some((m[0].as_str()?.to_owned(), m[1].as_str()?.to_owned())),
    };
    model["merges"].as_array().into_iter().flatten().filter_map(pair).collect()
}

/// Whether a blank goes before a text of a sentencepiece model.
fn prefix(json: &Json, notes: &mut Vec<String>) -> Result<bool> {
    let (normalizer, words) = (&json["normalizer"], &json["pre_tokenizer"]);
    let steps: Vec<&Json> = match normalizer["type"].as_str() {
        None => Vec::new(),
        Some("Sequence") => normalizer["normalizers"].as_array().into_iter().flatten().collect(),
        Some(_) => vec![normalizer],
    };
    let mut prepended = false;
    let mut replaced = false;
    for step in steps {
        let replaces = step["pattern"]["String"] == " " && step["content"] == "▁";
        match step["type"].as_str() {
            Some("Prepend") if step["prepend"] == "▁" && !replaced => prepended = true,
            Some("Replace") if replaces => replaced = true,
            other => return Err(unwritable(&format!("normalizer {}: {step}", other.unwrap_or("none")))),
        }
    }
    match (words["type"].as_str(), replaced) {
        (None, true) => Ok(prepended),
        (Some("Metaspace"), false) if words["split"] == false && words["replacement"] == "▁" && !prepended => {
            let scheme = words["prepend_scheme"].as_str().unwrap_or("always");
            if scheme == "first" {
                notes.push(
                    "llama.cpp puts a blank before text after a special token too, not before the first alone".into(),
                );
            }
            if scheme != "never" {
                notes.push("llama.cpp puts a blank before a text that begins with one, too".into());
            }
            Ok(scheme != "never")
        }
        _ => Err(unwritable(&format!("it is cut by {words} after {normalizer}"))),
    }
}

/// Byte-level BPE is normalised by nothing in llama.cpp.
fn normalizer(json: &Json, notes: &mut Vec<String>) -> Result<()> {
    match json["type"].as_str() {
        None => Ok(()),
        Some("Sequence") => json["normalizers"].as_array().into_iter().flatten().try_for_each(|n| normalizer(n, notes)),
        Some("NFC") => {
            notes.push("llama.cpp does not compose accents (NFC) before it cuts a text".into());
            Ok(())
        }
        Some(other) => Err(unwritable(&format!("normalizer {other}"))),
    }
}
