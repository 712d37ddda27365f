//! What cuts a text into words before byte-level BPE: the expressions of llama.cpp by the name that GGUF gives them, and back again.
//!
//! The table is that of llama.cpp v0.5.0 (`llm_tokenizer_bpe`, and `llama_vocab::impl::load` for what a name switches on). A test compares
//! every row with its shared library over the texts that tools/llama_tokens.py recorded; what differs there or is in doubt is left out and
//! refused by name.
use rlx::{Error, Result};
use serde_json::Value as Json;
use tokenizers::{
    pre_tokenizers::{
        PreTokenizerWrapper,
        byte_level::ByteLevel,
        sequence::Sequence,
        split::{Split, SplitPattern},
    },
    tokenizer::SplitDelimiterBehavior,
};

/// A way to cut a text into words.
#[derive(Debug)]
pub(super) struct Pre {
    /// What `tokenizer.ggml.pre` calls it; the first is written.
    names: &'static [&'static str],
    /// Each cuts what those before it have left.
    pub splits: &'static [&'static str],
    /// A word that is a token is one, whatever the merges say.
    pub ignore_merges: bool,
    /// A text begins with BOS unless `add_bos_token` says otherwise.
    pub bos: bool,
}

const fn plain(names: &'static [&'static str], splits: &'static [&'static str]) -> Pre {
    Pre { names, splits, ignore_merges: false, bos: false }
}

const GPT2: &str = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+";
/// English contractions. Tokenizers of others say `(?i:...)`, which takes the long s (U+017F) too; llama.cpp does not.
const CONTRACTIONS: &str = "(?:'[sS]|'[tT]|'[rR][eE]|'[vV][eE]|'[mM]|'[lL][lL]|'[dD])";
const CONTRACTIONS_OF_OTHERS: &str = "(?i:'s|'t|'re|'ve|'m|'ll|'d)";
const LLAMA3: &str = r"(?:'[sS]|'[tT]|'[rR][eE]|'[vV][eE]|'[mM]|'[lL][lL]|'[dD])|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+";
const QWEN2: &str = r"(?:'[sS]|'[tT]|'[rR][eE]|'[vV][eE]|'[mM]|'[lL][lL]|'[dD])|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+";
const SEED: &str = r"(?:'[sS]|'[tT]|'[rR][eE]|'[vV][eE]|'[mM]|'[lL][lL]|'[dD])|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1}| ?[^\s\p{L}\p{N}\r\n]+|\s*[\r\n]+|\s+(?!\S)|\s+";
const MINICPM: &str = r"(?:'[sS]|'[tT]|'[rR][eE]|'[vV][eE]|'[mM]|'[lL][lL]|'[dD])|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}+| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+";
const TEKKEN: &str = r"[^\r\n\p{L}\p{N}]?((?=[\p{L}])([^a-z]))*((?=[\p{L}])([^A-Z]))+|[^\r\n\p{L}\p{N}]?((?=[\p{L}])([^a-z]))+((?=[\p{L}])([^A-Z]))*|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+";
const GPT4O: &str = r"[^\r\n\p{L}\p{N}]?((?=[\p{L}])([^a-z]))*((?=[\p{L}])([^A-Z]))+(?:'[sS]|'[tT]|'[rR][eE]|'[vV][eE]|'[mM]|'[lL][lL]|'[dD])?|[^\r\n\p{L}\p{N}]?((?=[\p{L}])([^a-z]))+((?=[\p{L}])([^A-Z]))*(?:'[sS]|'[tT]|'[rR][eE]|'[vV][eE]|'[mM]|'[lL][lL]|'[dD])?|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+";
const BLOOM: &str = " ?[^(\\s|.,!?\u{2026}\u{3002}\u{FF0C}\u{3001}\u{964}\u{6D4}\u{60C})]+";
/// Blanks beyond ASCII, which its ranges take in, are hidden from an expression without `\p` there: `\s` alone finds them.
const CJK: &str = "[一-龥ࠀ-一가-\u{D7FF}&&[^\\s]]+";
const LETTERS: &str = "\\s?[A-Za-zµÀ-ÖØ-öø-ƺƼ-ƿǄ-ʓʕ-ʯͰ-ͳͶͷͻ-ͽͿΆΈ-ΊΌΎ-ΡΣ-ϵϷ-ҁҊ-ԯԱ-ՖႠ-ჅᎠ-Ᏽᏸ-ᏽᲐ-ᲺᲽ-Ჿᴀ-ᴫᵫ-ᵷᵹ-ᶚḀ-ἕἘ-Ἕἠ-ὅὈ-Ὅὐ-ὗὙὛ\
    ὝὟ-\u{1F7D}ᾀ-ᾴᾶ-ᾼ\u{1FBE}ῂ-ῄῆ-ῌῐ-\u{1FD3}ῖ-\u{1FDB}ῠ-Ῥῲ-ῴῶ-ῼℂℇℊ-ℓℕℙ-ℝℤ\u{2126}ℨ\u{212A}-ℭℯ-ℴℹℼ-ℿⅅ-ⅉⅎ\
    ↃↄⰀ-ⱻⱾ-ⳤⳫ-ⳮⳲⳳꙀ-ꙭꚀ-ꚛꜢ-ꝯꝱ-ꞇꞋ-ꞎꭰ-ꮿﬀ-ﬆﬓ-ﬗＡ-Ｚａ-ｚ𐐀-𐑏𐒰-𐓓𐓘-𐓻𐲀-𐲲𐳀-𐳲𑢠-𑣟𞤀-𞥃]+";
const MARKS: &str = "\\s?[!-/:-~\u{FF01}-\u{FF0F}\u{FF1A}-\u{FF5E}\u{2018}-\u{201F}\u{3001}-\u{3002}]+";
const DEEPSEEK3: &str = "[!\"#$%&'()*+,\\-./:;<=>?@\\[\\\\\\]^_`{|}~][A-Za-z]+|[^\r\n\\p{L}\\p{P}\\p{S}]?[\\p{L}\\p{M}]+| ?[\\p{P}\\p{S}]+[\r\n]*|\\s*[\r\n]+|\\s+(?!\\S)|\\s+";
const DIGIT: &str = r"\p{N}";

static TABLE: &[Pre] = &[
    Pre {
        names: &[
            "llama-bpe",
            "llama3",
            "llama-v3",
            "falcon3",
            "falcon-h1",
            "pixtral",
            "midm-2.0",
            "lfm2",
            "jina-v5-nano",
        ],
        splits: &[LLAMA3],
        ignore_merges: true,
        bos: true,
    },
    plain(&["dbrx", "smaug-bpe"], &[LLAMA3]),
    Pre { names: &["tekken"], splits: &[TEKKEN], ignore_merges: true, bos: true },
    Pre { names: &["minicpm5"], splits: &[r"\p{N}{1,3}", MINICPM], ignore_merges: true, bos: false },
    plain(
        &[
            "gpt-2",
            "phi-2",
            "gigachat",
            "a.x-4.0",
            "mellum",
            "exaone4",
            "mpt",
            "olmo",
            "jais",
            "trillion",
            "granite-docling",
        ],
        &[GPT2],
    ),
    plain(
        &["smollm", "starcoder", "refact", "command-r", "codeshell", "exaone", "minerva-7b", "mellum2"],
        &[DIGIT, GPT2],
    ),
    plain(
        &["qwen2", "deepseek-r1-qwen", "kormo", "f2llmv2", "megrez", "stablelm2", "hunyuan", "solar-open", "grok-2"],
        &[QWEN2],
    ),
    plain(&["default"], &[r"[\p{P}\$\+<=>\^~\|]+", GPT2, r"\p{N}+", "[0-9][0-9][0-9]"]),
    plain(&["falcon"], &[r"[\p{P}\$\+<=>\^~\|`]+", GPT2, "[0-9][0-9][0-9]"]),
    plain(&["gpt-4o", "llama4", "kanana2", "talkie"], &[GPT4O]),
    plain(&["seed-coder"], &[SEED]),
    plain(&["bloom", "poro-chat", "gpt3-finnish"], &[BLOOM]),
    plain(&["viking"], &[BLOOM, DIGIT]),
    plain(&["deepseek-llm"], &["[\r\n]", LETTERS, MARKS, r"\s+$", CJK, r"\p{N}+"]),
    plain(&["deepseek-coder"], &["[\r\n]", r"\s?\p{L}+", r"\s?\p{P}+", CJK, DIGIT]),
    plain(
        &["deepseek-v3", "hunyuan-dense", "joyai-llm", "hy_v4"],
        &[r"\p{N}{1,3}", "[一-龥\u{3040}-\u{309F}\u{30A0}-\u{30FF}]+", DEEPSEEK3],
    ),
];

impl Pre {
    /// The one of that name; a file without a name has llama.cpp's default, which is none of GPT-2's.
    pub fn named(name: Option<&str>) -> Result<&'static Self> {
        let name = name.filter(|n| !n.is_empty()).unwrap_or("default");
        TABLE.iter().find(|p| p.names.contains(&name)).ok_or_else(|| {
            let known: Vec<&str> = TABLE.iter().map(|p| p.names[0]).collect();
            Error::invalid(format!("GGUF tokenizer: pre-tokenizer '{name}' is not supported; {} are", known.join(", ")))
        })
    }

    /// The one that cuts as `pre_tokenizer` of a `tokenizer.json` does.
    pub fn like(pre_tokenizer: &Json, ignore_merges: bool) -> Result<&'static Self> {
        let splits = expressions(pre_tokenizer)?;
        let same = |p: &&Self| p.splits.iter().map(|s| (*s).to_owned()).eq(splits.iter().map(|s| spelt(s)));
        TABLE.iter().find(|p| same(p) && p.ignore_merges == ignore_merges).ok_or_else(|| {
            let known = TABLE.iter().any(|p| same(&p));
            let why = if known {
                format!("ignore_merges is {ignore_merges}, which llama.cpp has not with these expressions")
            } else {
                "it cuts texts by expressions that llama.cpp has no name for".into()
            };
            unwritable(&format!("{why}: {pre_tokenizer}"))
        })
    }

    /// The name that is written.
    pub fn name(&self) -> &'static str {
        self.names[0]
    }

    /// As the tokenizers library has it.
    pub fn build(&self) -> Result<PreTokenizerWrapper> {
        let mut all: Vec<PreTokenizerWrapper> = Vec::new();
        for split in self.splits {
            let split = Split::new(SplitPattern::Regex((*split).into()), SplitDelimiterBehavior::Isolated, false);
            all.push(split.map_err(|e| Error::invalid(format!("GGUF tokenizer: {e}")))?.into());
        }
        all.push(ByteLevel::new(false, true, false).into());
        Ok(Sequence::new(all).into())
    }
}

/// A tokenizer that GGUF has no words for.
pub(super) fn unwritable(why: &str) -> Error {
    Error::invalid(format!("this tokenizer is not supported in GGUF: {why}"))
}

/// An expression of a `tokenizer.json` as the table spells it.
fn spelt(split: &str) -> String {
    let split = split.replace(CONTRACTIONS_OF_OTHERS, CONTRACTIONS);
    // What Mistral and OpenAI say by classes llama.cpp says by lookaheads, which differ for letters beyond ASCII: see `approximate`.
    for (theirs, ours) in [(TEKKEN_OF_OTHERS, TEKKEN), (GPT4O_OF_OTHERS, GPT4O)] {
        if split == theirs {
            return ours.into();
        }
    }
    split
}

const TEKKEN_OF_OTHERS: &str = r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+";
const GPT4O_OF_OTHERS: &str = r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+(?:'[sS]|'[tT]|'[rR][eE]|'[vV][eE]|'[mM]|'[lL][lL]|'[dD])?|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*(?:'[sS]|'[tT]|'[rR][eE]|'[vV][eE]|'[mM]|'[lL][lL]|'[dD])?|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+";

/// What llama.cpp does otherwise for a pre-tokenizer that it calls by a name of its own.
pub(super) fn approximate(pre_tokenizer: &Json) -> bool {
    expressions(pre_tokenizer).is_ok_and(|all| {
        all.iter()
            .any(|s| [TEKKEN_OF_OTHERS, GPT4O_OF_OTHERS].contains(&&*s.replace(CONTRACTIONS_OF_OTHERS, CONTRACTIONS)))
    })
}

/// The expressions of a `pre_tokenizer` that ends in bytes, in order.
fn expressions(json: &Json) -> Result<Vec<String>> {
    let single = [json.clone()];
    let parts = match json["type"].as_str() {
        Some("Sequence") => json["pretokenizers"].as_array().map_or(&[][..], |a| a.as_slice()),
        _ => &single[..],
    };
    let mut out = Vec::new();
    let (mut bytes, flag) = (false, |part: &Json, key: &str| part[key].as_bool());
    for part in parts {
        let kind = part["type"].as_str().unwrap_or("none");
        let split = (part["behavior"].as_str(), flag(part, "invert").unwrap_or(false));
        match (kind, split) {
            ("Split", (Some("Isolated"), false) | (Some("Removed"), true)) => match part["pattern"]["Regex"].as_str() {
                Some(split) => out.push(split.to_owned()),
                None => return Err(unwritable(&format!("it splits at {}", part["pattern"]))),
            },
            ("Digits", _) if flag(part, "individual_digits") == Some(true) => out.push(DIGIT.into()),
            ("Digits", _) => out.push(r"\p{N}+".into()),
            ("ByteLevel", _) if flag(part, "add_prefix_space") != Some(true) => {
                // The library's own default is GPT-2's expression.
                if flag(part, "use_regex") != Some(false) {
                    out.push(GPT2.into());
                }
                bytes = true;
            }
            ("ByteLevel", _) => return Err(unwritable("its ByteLevel has add_prefix_space, which llama.cpp has not")),
            (other, _) => return Err(unwritable(&format!("pre-tokenizer {other}"))),
        }
    }
    if bytes { Ok(out) } else { Err(unwritable("its BPE is neither of bytes nor of sentencepiece's kind")) }
}
