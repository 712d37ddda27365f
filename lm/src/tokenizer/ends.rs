//! Where a text ends: the tokens at which llama.cpp and transformers stop generating.
use rlx::{Error, Result};
use serde_json::{Map, Value as Json};
use std::{collections::BTreeSet, path::Path};

/// The file in which transformers keeps what generating goes by.
pub(crate) const GENERATION: &str = "generation_config.json";

/// Names that llama.cpp v0.5.0 stops at wherever they are in a vocabulary, and makes control tokens of (`llama_vocab::impl::load`).
const NAMES: &[&str] = &[
    "<|eot_id|>",
    "<|im_end|>",
    "<|end|>",
    "<|return|>",
    "<|call|>",
    "<|flush|>",
    "<|calls|>",
    "<end_of_turn>",
    "<|endoftext|>",
    "</s>",
    "<|eom_id|>",
    "<EOT>",
    "_<EOT>",
    "[EOT]",
    "[EOS]",
    "<|end_of_text|>",
    "<end_of_utterance>",
    "<eos>",
    "<turn|>",
    "<|tool_response>",
    "<｜end▁of▁sentence｜>",
    "[e~[",
];

/// Tokens of filling in the middle, by the key that names one and the names that stand in for it. llama.cpp stops at the first three, and
/// makes control tokens of all.
const MIDDLE: &[(&str, &[&str])] = &[
    ("fim_pad", &["<|fim_pad|>", "<fim-pad>", "<fim_pad>", "<PAD>", "[PAD]"]),
    ("fim_rep", &["<|fim_repo|>", "<|repo_name|>", "<fim-repo>", "<REPO>", "<reponame>"]),
    ("fim_sep", &["<|file_sep|>"]),
    (
        "fim_pre",
        &[
            "<|fim_prefix|>",
            "<fim-prefix>",
            "<fim_prefix>",
            "<｜fim▁begin｜>",
            "<PRE>",
            "▁<PRE>",
            "<|code_prefix|>",
            "<|prefix|>",
        ],
    ),
    (
        "fim_suf",
        &[
            "<|fim_suffix|>",
            "<fim-suffix>",
            "<fim_suffix>",
            "<｜fim▁hole｜>",
            "<SUF>",
            "▁<SUF>",
            "<|code_suffix|>",
            "<|suffix|>",
        ],
    ),
    (
        "fim_mid",
        &[
            "<|fim_middle|>",
            "<fim-middle>",
            "<fim_middle>",
            "<｜fim▁end｜>",
            "<MID>",
            "▁<MID>",
            "<|code_middle|>",
            "<|middle|>",
        ],
    ),
];
/// Of those, how many end a text.
const ENDING: usize = 3;

/// What llama.cpp makes of a vocabulary by the names in it.
#[derive(Debug, Default)]
pub(super) struct Named {
    /// Tokens that end a text.
    pub ends: BTreeSet<u32>,
    /// Tokens that are control tokens whatever their type says.
    pub control: BTreeSet<u32>,
}

impl Named {
    /// `id` finds a token, `key` what `tokenizer.ggml.NAME_token_id` says.
    pub fn of(id: impl Fn(&str) -> Option<u32>, key: impl Fn(&str) -> Option<u32>) -> Self {
        let mut out = Self::default();
        out.ends.extend(NAMES.iter().filter_map(|n| id(n)));
        out.control = out.ends.clone();
        for (i, (name, stand_ins)) in MIDDLE.iter().enumerate() {
            let found: Vec<u32> = match key(name) {
                Some(id) => vec![id],
                None => {
                    let found: Vec<u32> = stand_ins.iter().filter_map(|n| id(n)).collect();
                    out.control.extend(&found);
                    found
                }
            };
            if i < ENDING {
                out.ends.extend(found);
            }
        }
        out.ends.extend(["eot", "eom"].into_iter().filter_map(&key));
        // Where a turn ends otherwise, its parts do not (gpt-oss, Solar, Gemma).
        let has = |name: &str| id(name).is_some_and(|id| out.ends.contains(&id));
        let calls = has("<|call|>") || has("<|calls|>");
        let mut not = Vec::new();
        if calls && (has("<|return|>") || has("<|flush|>")) {
            not.push("<|end|>");
        }
        if has("<|tool_response>") {
            not.push("</s>");
        }
        for name in not {
            if let Some(id) = id(name) {
                out.ends.remove(&id);
            }
        }
        out
    }
}

/// Keys of `generation_config.json` that change no token that is allowed nor where a text ends: `rlx lm generate` draws as its own flags
/// say.
const HARMLESS: &[&str] = &[
    "_from_model_config",
    "assistant_confidence_threshold",
    "bos_token_id",
    "cache_implementation",
    "chat_format",
    "do_sample",
    "eos_token_id",
    "epsilon_cutoff",
    "eta_cutoff",
    "max_length",
    "max_new_tokens",
    "max_window_size",
    "min_p",
    "num_beams",
    "num_return_sequences",
    "output_attentions",
    "output_hidden_states",
    "output_logits",
    "output_scores",
    "pad_token_id",
    "prompt_lookup_num_tokens",
    "return_dict_in_generate",
    "temperature",
    "top_h",
    "top_k",
    "top_p",
    "transformers_version",
    "trust_remote_code",
    "typical_p",
    "use_cache",
];

/// A `generation_config.json`: what it says of where a text ends, and what it says besides.
#[derive(Clone, Debug, Default)]
pub(crate) struct Generation {
    /// All of it.
    pub json: Map<String, Json>,
    /// Its end tokens.
    pub ends: Vec<u32>,
    /// Keys that would change what is generated and that nothing here follows.
    pub unheeded: Vec<String>,
}

/// Reads the one beside a model; none where there is none.
pub(crate) fn generation(folder: &Path) -> Result<Option<Generation>> {
    let file = folder.join(GENERATION);
    let Some(text) = optional(&file)? else { return Ok(None) };
    let json: Map<String, Json> = serde_json::from_str(&text).map_err(|e| Error::corrupt(&file, e.to_string()))?;
    let bad = |x: &Json| {
        Error::invalid(format!(
            "{}: eos_token_id is {x}; it must be a token's number or a list of them",
            file.display()
        ))
    };
    let id = |x: &Json| x.as_u64().and_then(|x| u32::try_from(x).ok()).ok_or_else(|| bad(x));
    let ends = match json.get("eos_token_id") {
        None | Some(Json::Null) => Vec::new(),
        Some(Json::Array(all)) => all.iter().map(id).collect::<Result<_>>()?,
        Some(one) => vec![id(one)?],
    };
    let neutral = |key: &str, x: &Json| match key {
        "repetition_penalty" | "encoder_repetition_penalty" | "length_penalty" | "diversity_penalty" => {
            x.as_f64().is_some_and(|p| p == 1.0 || p == 0.0)
        }
        _ => {
            matches!(x, Json::Null | Json::Bool(false))
                || x.as_f64() == Some(0.0)
                || x.as_array().is_some_and(Vec::is_empty)
        }
    };
    let unheeded = json.iter().filter(|(k, v)| !HARMLESS.contains(&k.as_str()) && !neutral(k, v));
    let unheeded = unheeded.map(|(k, _)| k.clone()).collect();
    Ok(Some(Generation { json, ends, unheeded }))
}

/// The text of a file that need not be there.
pub(super) fn optional(file: &Path) -> Result<Option<String>> {
    match std::fs::read(file) {
        Ok(bytes) => match String::from_utf8(bytes) {
            Ok(text) => Ok(Some(text)),
            Err(e) => Err(Error::corrupt(file, format!("byte {} is not UTF-8", e.utf8_error().valid_up_to()))),
        },
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(e) => Err(Error::io("reading", file, e)),
    }
}
