//! Keys and tensors that are not read, and why a model is the same without them. This is the only place for such reasons.
//!
//! config.json: all that transformers 4.20 to 5.23.0 write for LLaMA, Mistral, BERT and DistilBERT, and what other tools are known to add.
//! GGUF: all keys of gguf 0.19.0 that convert_hf_to_gguf and llama-quantize write for the architecture `llama`.
use serde_json::Value;

/// Keys that change nothing, with the values of which that is so.
pub struct Harmless {
    /// The keys; one that ends in `*` stands for all that begin so.
    keys: &'static [&'static str],
    allowed: fn(&Value) -> bool,
    /// Why they change nothing, or what another value would ask for.
    pub why: &'static str,
}

impl Harmless {
    /// Whether it speaks of that key.
    pub fn names(&self, key: &str) -> bool {
        self.keys.iter().any(|k| k.strip_suffix('*').map_or(*k == key, |front| key.starts_with(front)))
    }
    /// Whether it is harmless with that value.
    pub fn allows(&self, value: &Value) -> bool {
        (self.allowed)(value)
    }
}

const fn any(keys: &'static [&'static str], why: &'static str) -> Harmless {
    Harmless { keys, allowed: |_| true, why }
}
const fn only(keys: &'static [&'static str], allowed: fn(&Value) -> bool, why: &'static str) -> Harmless {
    Harmless { keys, allowed, why }
}

/// False, 0, an empty text, list or object.
fn off(v: &Value) -> bool {
    match v {
        Value::Null => true,
        Value::Bool(x) => !x,
        Value::Number(x) => x.as_f64() == Some(0.0),
        Value::String(x) => x.is_empty(),
        Value::Array(x) => x.is_empty(),
        Value::Object(x) => x.is_empty(),
    }
}
fn one(v: &Value) -> bool {
    v.as_f64() == Some(1.0)
}
fn off_or_one(v: &Value) -> bool {
    off(v) || one(v)
}
fn on(v: &Value) -> bool {
    v.as_bool() == Some(true)
}
fn number(v: &Value) -> bool {
    v.is_number()
}

/// `config.json` of any model.
const COMMON: &[Harmless] = &[
    any(
        &[
            "_name_or_path",
            "name_or_path",
            "_commit_hash",
            "transformers_version",
            "finetuning_task",
            "task_specific_params",
            "problem_type",
        ],
        "where the model comes from, and which program wrote it",
    ),
    any(&["torch_dtype", "dtype", "use_bfloat16"], "the tensors say their types themselves"),
    any(&["id2label", "label2id", "num_labels", "_num_labels"], "names of the classes of a head that is not read"),
    any(
        &[
            "use_cache",
            "output_past",
            "output_attentions",
            "output_hidden_states",
            "return_dict",
            "torchscript",
            "xla_device",
            "tf_legacy_loss",
            "gradient_checkpointing",
            "chunk_size_feed_forward",
            "attn_implementation",
            "_attn_implementation",
            "_attn_implementation_autoset",
            "_flash_attn_2_enabled",
            "use_flash_attention",
            "use_flash_attention_2",
            "use_flash_attn",
        ],
        "how it is computed and what is handed back, not what comes out",
    ),
    any(&["initializer_range", "initializer_factor"], "how weights were drawn before training"),
    any(
        &[
            "attention_dropout",
            "hidden_dropout",
            "dropout",
            "attn_pdrop",
            "resid_pdrop",
            "embd_pdrop",
            "hidden_dropout_prob",
            "attention_probs_dropout_prob",
            "classifier_dropout",
            "qa_dropout",
            "seq_classif_dropout",
            "layerdrop",
        ],
        "dropout is for training; here each command says its own",
    ),
    // The defaults of generation that transformers kept in config.json before generation_config.json.
    any(
        &[
            "max_length",
            "min_length",
            "max_new_tokens",
            "min_new_tokens",
            "max_time",
            "stop_strings",
            "do_sample",
            "early_stopping",
            "num_beams",
            "num_beam_groups",
            "diversity_penalty",
            "temperature",
            "top_k",
            "top_p",
            "min_p",
            "typical_p",
            "epsilon_cutoff",
            "eta_cutoff",
            "repetition_penalty",
            "length_penalty",
            "no_repeat_ngram_size",
            "encoder_no_repeat_ngram_size",
            "encoder_repetition_penalty",
            "bad_words_ids",
            "num_return_sequences",
            "output_scores",
            "output_logits",
            "return_dict_in_generate",
            "forced_bos_token_id",
            "forced_eos_token_id",
            "remove_invalid_values",
            "exponential_decay_length_penalty",
            "suppress_tokens",
            "begin_suppress_tokens",
            "renormalize_logits",
            "force_words_ids",
            "constraints",
            "penalty_alpha",
            "low_memory",
            "prefill_chunk_size",
            "cache_implementation",
        ],
        "how a text is drawn from the model, which every command says itself",
    ),
    any(
        &[
            "tokenizer_class",
            "prefix",
            "pad_token_id",
            "sep_token_id",
            "cls_token_id",
            "mask_token_id",
            "unk_token_id",
            "decoder_start_token_id",
            "model_max_length",
            "tokenizer_model_max_length",
            "tokenizer_padding_side",
        ],
        "tokens and tokenizers are read from the tokenizer's own files; batches are masked",
    ),
    any(&["transformers.js_config", "unsloth_version", "unsloth_fixed"], "notes of other tools to themselves"),
    only(
        &["is_encoder_decoder", "add_cross_attention", "tie_encoder_decoder", "cross_attention_hidden_size"],
        off,
        "models of an encoder and a decoder are another architecture",
    ),
    only(&["pruned_heads"], off, "only without pruned heads have the tensors the sizes that the config says"),
    only(
        &["quantization_config", "compression_config", "quantization"],
        off,
        "weights that were quantised by others are read from GGUF files only",
    ),
    only(&["per_layer_config"], off, "layers that differ from each other"),
    only(&["auto_map"], off, "a model with code of its own may compute anything"),
];

/// `config.json` of a LLaMA or Mistral.
pub const LLAMA: &[&[Harmless]] = &[
    COMMON,
    &[
        any(
            &["max_sequence_length", "seq_length", "max_window_layers", "original_max_position_embeddings"],
            "what the model was trained on; the context is max_position_embeddings",
        ),
        only(&["pretraining_tp"], |v| v.as_f64().is_some_and(|x| x >= 1.0), "the same products in so many slices"),
        only(&["is_decoder"], Value::is_boolean, "a LLaMA is one whatever this says"),
        only(&["is_llama_config"], on, "SmolLM's configs say so"),
        only(&["rope_interleaved"], off, "pairs of rotary embeddings that lie side by side"),
        only(&["use_sliding_window"], off, "attention within windows"),
        only(&["partial_rotary_factor"], one, "rotary embeddings on a part of a head"),
        only(
            &["layer_types"],
            |v| v.as_array().is_some_and(|all| all.iter().all(|t| t == "full_attention" || t == "attention")),
            "only full attention is",
        ),
        only(&["attn_logit_softcapping", "final_logit_softcapping"], off, "soft caps of logits"),
        only(
            &["logit_scale", "logits_scaling", "embedding_multiplier", "residual_multiplier", "attention_multiplier"],
            one,
            "scales of activations",
        ),
        only(&["num_experts", "num_local_experts", "num_experts_per_tok"], off, "mixtures of experts"),
        only(&["use_qk_norm", "qkv_bias", "use_bias", "bias"], off, "norms of queries and keys, and biases"),
    ],
];

/// The object of rotary parameters in a `config.json`.
pub const ROPE: &[Harmless] = &[
    any(&["original_max_position_embeddings"], "only Llama 3's scaling reads it"),
    only(
        &["factor", "attention_factor", "partial_rotary_factor", "mscale"],
        one,
        "this kind of rotary embeddings has no such scale",
    ),
];

/// `config.json` of a BERT or DistilBERT.
pub const BERT: &[&[Harmless]] = &[
    COMMON,
    &[
        any(&["bos_token_id", "eos_token_id"], "tokens are read from the tokenizer's own files"),
        any(&["tie_word_embeddings", "tie_weights_"], "the head that guesses words is not read"),
        any(
            &[
                "directionality",
                "pooler_fc_size",
                "pooler_num_attention_heads",
                "pooler_num_fc_layers",
                "pooler_size_per_head",
                "pooler_type",
            ],
            "Google's notes on the pooler, whose size is the width in every BERT of transformers",
        ),
        any(&["sinusoidal_pos_embds"], "how the table of positions was made: it is stored, and read"),
        any(&["pre_trained", "training"], "TinyBERT's notes on its training"),
        only(&["cell", "structure"], off, "TinyBERT leaves them empty"),
        only(&["is_decoder"], off, "a decoder sees only what came before"),
    ],
];

/// Metadata of a GGUF file without those of its architecture.
pub const GGUF_ANY: &[Harmless] = &[
    only(&["general.type"], |v| v == "model", "adapters, projectors and tables of importances are no models"),
    only(
        &["general.quantization_version"],
        |v| v.as_f64() == Some(2.0),
        "blocks are laid out as version 2 of ggml's quantisation has them",
    ),
    any(&["general.architecture", "general.alignment", "split.*"], "read where the file is opened"),
    any(&["general.*"], "names, authors, licences, sources, and defaults of sampling"),
    any(&["quantize.*", "imatrix.*", "mradermacher.*"], "how and by whom the weights were quantised"),
];

/// Metadata of a GGUF file under its architecture's name.
pub const GGUF: &[Harmless] = &[
    any(&["rope.scaling.original_context_length", "rope.scaling.finetuned"], "linear scaling does not read them"),
    any(&["pooling_type"], "how a text's embedding is made of its tokens'"),
    only(&["rope.scaling.attn_factor"], one, "a factor on attention"),
    only(
        &[
            "expert_count",
            "expert_used_count",
            "expert_shared_count",
            "leading_dense_block_count",
            "nextn_predict_layers",
        ],
        off,
        "mixtures of experts, and heads that guess several tokens",
    ),
    only(&["attention.causal"], on, "a model that sees what comes after"),
    only(&["use_parallel_residual"], off, "attention and MLP side by side"),
    only(
        &["tensor_data_layout"],
        |v| v == "Meta AI original pth" || v == "reference",
        "llama.cpp has one layout of these tensors",
    ),
    only(&["logit_scale", "residual_scale", "embedding_scale"], off_or_one, "scales of activations"),
    only(
        &[
            "attention.scale",
            "attn_logit_softcapping",
            "final_logit_softcapping",
            "attention.clamp_kqv",
            "attention.max_alibi_bias",
        ],
        off,
        "attention that is scaled or cut off otherwise",
    ),
    only(&["attention.layer_norm_epsilon"], number, "the norms are RMSNorm, which has an epsilon of its own"),
];

/// Whether a tensor of a LLaMA's safetensors may stay unread: the rotary frequencies, a buffer that old versions of transformers saved and
/// that no version reads.
pub fn llama_tensor(name: &str, blocks: usize) -> bool {
    let block = |rest: &str| {
        rest.split_once('.')
            .and_then(|(i, rest)| Some((i.parse::<usize>().ok()?, rest == "self_attn.rotary_emb.inv_freq")))
    };
    name == "model.rotary_emb.inv_freq"
        || name.strip_prefix("model.layers.").and_then(block).is_some_and(|(i, fits)| fits && i < blocks)
}

/// Whether a tensor of an encoder may stay unread: buffers that number positions, and heads that sit on the encoder and change nothing in it.
/// `name` is without what wraps the model.
pub fn bert_tensor(name: &str) -> bool {
    const BUFFERS: [&str; 2] = ["embeddings.position_ids", "embeddings.token_type_ids"];
    // Masked words and next sentences (BERT, DistilBERT), classes, spans of answers.
    const HEADS: [&str; 7] = [
        "cls.",
        "vocab_transform.",
        "vocab_layer_norm.",
        "vocab_projector.",
        "classifier.",
        "pre_classifier.",
        "qa_outputs.",
    ];
    BUFFERS.contains(&name) || HEADS.iter().any(|h| name.starts_with(h))
}
