//! The tokenizer inside a GGUF file, as llama.cpp v0.5.0 reads it.
use super::{Tokenizer, ends::Named, framed, pre::Pre};
use crate::gguf::{Array, Value};
use rlx::{Error, Result};
use std::collections::{BTreeMap, HashMap};
use tokenizers::{
    AddedToken, Tokenizer as Inner,
    decoders::{
        byte_fallback::ByteFallback, byte_level::ByteLevel, fuse::Fuse, sequence::Sequence as Decoders, strip::Strip,
    },
    models::bpe::{BPE, Vocab},
    normalizers::{NormalizerWrapper, Prepend, Replace, Sequence as Normalizers},
};

/// Kinds of tokens in GGUF.
pub(super) mod kind {
    pub const NORMAL: i64 = 1;
    pub const UNKNOWN: i64 = 2;
    pub const CONTROL: i64 = 3;
    pub const USER_DEFINED: i64 = 4;
    pub const UNUSED: i64 = 5;
    pub const BYTE: i64 = 6;
}

/// Keys that are read.
const USED: &[&str] = &[
    "model",
    "pre",
    "tokens",
    "token_type",
    "scores",
    "merges",
    "bos_token_id",
    "eos_token_id",
    "eot_token_id",
    "eom_token_id",
    "unknown_token_id",
    "padding_token_id",
    "add_bos_token",
    "add_eos_token",
    "add_sep_token",
    "add_space_prefix",
    "remove_extra_whitespaces",
    "precompiled_charsmap",
    "suppress_tokens",
    "fim_pad_token_id",
    "fim_rep_token_id",
    "fim_sep_token_id",
];
/// Keys that change no text of these models, and why.
const HARMLESS: &[(&str, &str)] = &[
    ("fim_pre_token_id", "for filling in the middle, which nothing here does"),
    ("fim_suf_token_id", "the same"),
    ("fim_mid_token_id", "the same"),
    ("prefix_token_id", "its old name"),
    ("suffix_token_id", "its old name"),
    ("middle_token_id", "its old name"),
    ("seperator_token_id", "read with add_sep_token alone; the format spells it so"),
    ("separator_token_id", "the same, as some write it"),
    ("cls_token_id", "of encoders"),
    ("mask_token_id", "of encoders"),
    ("token_type_count", "of encoders"),
    ("normalizer.lowercase", "llama.cpp normalises for WordPiece alone"),
    ("normalizer.strip_accents", "the same"),
    ("added_tokens", "token_type says the same"),
];

/// What the keys under `tokenizer.ggml.` say.
struct Keys<'a>(&'a BTreeMap<String, Value>);

fn bad(why: impl std::fmt::Display) -> Error {
    Error::invalid(format!("GGUF tokenizer: {why}"))
}

impl<'a> Keys<'a> {
    fn get(&self, name: &str) -> Option<&'a Value> {
        self.0.get(&format!("tokenizer.ggml.{name}"))
    }
    fn flag(&self, name: &str, otherwise: bool) -> Result<bool> {
        match self.get(name) {
            None => Ok(otherwise),
            Some(Value::Bool(x)) => Ok(*x),
            Some(other) => Err(bad(format!("{name} is {}; it must be true or false", other.short()))),
        }
    }
    /// A special token's number; llama.cpp leaves one beyond the vocabulary out of account, with a warning.
    fn id(&self, name: &str, size: usize) -> Result<Option<u32>> {
        let key = format!("{name}_token_id");
        let Some(value) = self.get(&key) else { return Ok(None) };
        let id = value.uint().filter(|id| *id < size as u64);
        id.map(|id| Some(id as u32))
            .ok_or_else(|| bad(format!("{key} is {}; it must be one of the {size} tokens", value.short())))
    }
    /// Whatever is neither read nor known to be harmless is refused: it would change the text in a way that nobody knows.
    fn check(&self) -> Result<()> {
        let names = self.0.keys().filter_map(|k| k.strip_prefix("tokenizer.ggml."));
        for name in names {
            if !USED.contains(&name) && !HARMLESS.iter().any(|(known, _)| *known == name) {
                return Err(bad(format!("tokenizer.ggml.{name} is not supported")));
            }
        }
        if self.flag("add_sep_token", false)? {
            return Err(bad("add_sep_token is not supported"));
        }
        // llama.cpp reads these two for unigram models alone, sentencepiece for all: what a text is to be is in doubt.
        if self.flag("remove_extra_whitespaces", false)? {
            return Err(bad("remove_extra_whitespaces is not supported"));
        }
        if let Some(Value::List(Array::Ints(_, map))) = self.get("precompiled_charsmap")
            && !map.is_empty()
        {
            return Err(bad("precompiled_charsmap (a normalizer of sentencepiece) is not supported"));
        }
        match self.get("suppress_tokens").map(|v| (v.ints().map(<[i64]>::len), v)) {
            None | Some((Some(0), _)) => Ok(()),
            Some(_) => Err(bad("suppress_tokens (tokens that are never generated) is not supported")),
        }
    }
}

impl Tokenizer {
    /// Builds the tokenizer that GGUF metadata describe; none when they describe none.
    ///
    /// # Errors
    /// When it is of a kind that is not supported, or its lists do not fit each other.
    pub fn from_gguf(metadata: &BTreeMap<String, Value>) -> Result<Option<Self>> {
        let keys = Keys(metadata);
        let Some(model) = keys.get("model").and_then(Value::as_text).filter(|k| !["none", "no_vocab"].contains(k))
        else {
            return Ok(None);
        };
        let sentences = match model {
            "gpt2" => false,
            "llama" => true,
            other => return Err(bad(format!("model '{other}' is not supported; gpt2 and llama are"))),
        };
        keys.check()?;
        let tokens = vocabulary(&keys)?;
        let size = tokens.len();
        let ids: HashMap<&str, u32> = tokens.iter().enumerate().map(|(i, t)| (t.as_str(), i as u32)).collect();
        if let Some((i, token)) = tokens.iter().enumerate().find(|(i, t)| ids[t.as_str()] as usize != *i) {
            return Err(bad(format!("token {i} and token {} are both '{token}'", ids[token.as_str()])));
        }
        let special: BTreeMap<&str, Option<u32>> =
            ["bos", "eos", "eot", "eom", "unknown", "padding", "fim_pad", "fim_rep", "fim_sep"]
                .into_iter()
                .map(|name| Ok((name, keys.id(name, size)?)))
                .collect::<Result<_>>()?;
        // What a sentencepiece model has where its file does not say. For gpt2, llama.cpp has Falcon's 11, which elsewhere is a comma.
        let or = |name: &str, id: u32| special[name].or_else(|| (sentences && (id as usize) < size).then_some(id));
        let (bos, eos) = (or("bos", 1), or("eos", 2));
        let mut named = Named::of(|t| ids.get(t).copied(), |k| special.get(k).copied().flatten());
        named.ends.extend(eos);
        let kinds = kinds(&keys, tokens.as_slice(), &named)?;
        let (mut inner, begins) = if sentences {
            let prefix = keys.flag("add_space_prefix", true)?;
            (sentencepiece(&tokens, &scores(&keys, size)?, &kinds, or("unknown", 0), prefix)?, true)
        } else {
            let pre = Pre::named(keys.get("pre").and_then(Value::as_text))?;
            let merges = keys.get("merges").and_then(Value::texts).ok_or_else(|| bad("it has no merges"))?;
            (byte_level(&tokens, merges, pre)?, pre.bos && bos.is_some())
        };
        add(&mut inner, &tokens, &kinds);
        let frame = |flag: &str, id: Option<u32>, otherwise: bool| match (keys.flag(flag, otherwise)?, id) {
            (false, _) => Ok(None),
            (true, Some(id)) => Ok(Some(id)),
            (true, None) => Err(bad(format!("{flag} is true, but no token is named for it"))),
        };
        let (before, after) = (frame("add_bos_token", bos, begins)?, frame("add_eos_token", eos, false)?);
        framed(&mut inner, before, after)?;
        let gguf = metadata.iter().filter(|(k, _)| k.starts_with("tokenizer.")).map(|(k, v)| (k.clone(), v.clone()));
        let mut out = Self::new(inner)?;
        (out.bos, out.eos, out.unknown, out.padding) = (bos, eos, or("unknown", 0), special["padding"]);
        (out.ends, out.gguf) = (named.ends.into_iter().collect(), gguf.collect());
        out.template = metadata.get("tokenizer.chat_template").and_then(Value::as_text).map(Into::into);
        Ok(Some(out))
    }
}

/// The tokens; an empty one has llama.cpp's name for it.
fn vocabulary(keys: &Keys<'_>) -> Result<Vec<String>> {
    let tokens = keys.get("tokens").and_then(Value::texts).ok_or_else(|| bad("it has no tokens"))?;
    let name = |(i, t): (usize, &String)| if t.is_empty() { format!("[EMPTY_{i}]") } else { t.clone() };
    Ok(tokens.iter().enumerate().map(name).collect())
}

/// Kinds of the tokens, control tokens by their name included.
fn kinds(keys: &Keys<'_>, tokens: &[String], named: &Named) -> Result<Vec<i64>> {
    let given = keys.get("token_type").map(|v| v.ints().ok_or_else(|| bad("token_type is no list of integers")));
    let mut kinds = match given.transpose()? {
        None => vec![kind::NORMAL; tokens.len()],
        Some(kinds) if kinds.len() == tokens.len() => kinds.to_vec(),
        Some(kinds) => return Err(bad(format!("{} tokens but {} token types", tokens.len(), kinds.len()))),
    };
    named.control.iter().for_each(|id| kinds[*id as usize] = kind::CONTROL);
    Ok(kinds)
}

/// Tokens that are found in a text before anything else is done with it.
fn add(inner: &mut Inner, tokens: &[String], kinds: &[i64]) {
    let added = |special: bool| {
        let of = move |k: i64| match k {
            kind::CONTROL | kind::UNKNOWN => Some(true),
            kind::USER_DEFINED => Some(false),
            _ => None,
        };
        let all = tokens.iter().zip(kinds).filter(move |(_, k)| of(**k) == Some(special));
        all.map(move |(t, _)| AddedToken::from(t.clone(), special).normalized(false)).collect::<Vec<_>>()
    };
    inner.add_tokens(&added(false));
    inner.add_special_tokens(&added(true));
}

fn scores(keys: &Keys<'_>, size: usize) -> Result<Vec<f32>> {
    match keys.get("scores") {
        Some(Value::List(Array::F32(scores))) if scores.len() == size => Ok(scores.clone()),
        Some(Value::List(Array::Ints(_, scores))) if scores.len() == size => {
            Ok(scores.iter().map(|s| *s as f32).collect())
        }
        _ => Err(bad("a sentencepiece model needs one score a token")),
    }
}

fn built<T, E: std::fmt::Display>(result: std::result::Result<T, E>) -> Result<T> {
    result.map_err(bad)
}

/// GPT-2's byte-level BPE, behind what cuts texts into words.
fn byte_level(tokens: &[String], merges: &[String], pre: &Pre) -> Result<Inner> {
    let vocab: Vocab = tokens.iter().enumerate().map(|(i, t)| (t.clone(), i as u32)).collect();
    // The first blank after the first character: a token may begin with one.
    let cut = |m: &String| {
        let at = m.char_indices().skip(1).find(|(_, c)| *c == ' ')?.0;
        Some((m[..at].to_owned(), m[at + 1..].to_owned()))
    };
    let pairs: Option<Vec<(String, String)>> = merges.iter().map(cut).collect();
    let pairs = pairs.ok_or_else(|| bad("a merge is not two tokens"))?;
    let builder = BPE::builder().vocab_and_merges(vocab, pairs).ignore_merges(pre.ignore_merges);
    let mut inner = Inner::new(built(builder.build())?);
    inner.with_pre_tokenizer(Some(pre.build()?));
    inner.with_decoder(Some(ByteLevel::new(false, true, true)));
    Ok(inner)
}

/// The merges of a sentencepiece model: every pair of tokens whose join is one, the best score first.
pub(super) fn merges<'a>(tokens: &[&'a str], scores: &[f32]) -> Vec<(&'a str, &'a str)> {
    let ids: HashMap<&str, u32> = tokens.iter().enumerate().map(|(i, t)| (*t, i as u32)).collect();
    let mut merges = Vec::new();
    for (token, score) in tokens.iter().zip(scores) {
        for (cut, _) in token.char_indices().skip(1) {
            let (a, b) = token.split_at(cut);
            if let (Some(x), Some(y)) = (ids.get(a), ids.get(b)) {
                merges.push((*score, *x, *y, a, b));
            }
        }
    }
    merges.sort_by(|p, q| q.0.total_cmp(&p.0).then((p.1, p.2).cmp(&(q.1, q.2))));
    merges.into_iter().map(|(_, _, _, a, b)| (a, b)).collect()
}

/// SentencePiece's BPE; bytes for what is in no token.
fn sentencepiece(
    tokens: &[String],
    scores: &[f32],
    kinds: &[i64],
    unknown: Option<u32>,
    prefix: bool,
) -> Result<Inner> {
    let ids: Vocab = tokens.iter().enumerate().map(|(i, t)| (t.clone(), i as u32)).collect();
    let texts: Vec<&str> = tokens.iter().map(String::as_str).collect();
    let pairs = merges(&texts, scores).into_iter().map(|(a, b)| (a.to_owned(), b.to_owned())).collect();
    let unknown = kinds.iter().position(|k| *k == kind::UNKNOWN).or(unknown.map(|id| id as usize));
    let unknown = unknown.map(|id| tokens[id].clone()).unwrap_or_default();
    let bpe = BPE::builder().vocab_and_merges(ids, pairs).unk_token(unknown).fuse_unk(true).byte_fallback(true);
    let mut inner = Inner::new(built(bpe.build())?);
    let blanks: NormalizerWrapper = built(Replace::new(" ", "▁"))?.into();
    inner.with_normalizer(Some(Normalizers::new(match prefix {
        true => vec![Prepend::new("▁".into()).into(), blanks],
        false => vec![blanks],
    })));
    let mut decoders = vec![built(Replace::new("▁", " "))?.into(), ByteFallback::new().into(), Fuse::new().into()];
    if prefix {
        decoders.push(Strip::new(' ', 1, 0).into());
    }
    inner.with_decoder(Some(Decoders::new(decoders)));
    Ok(inner)
}
