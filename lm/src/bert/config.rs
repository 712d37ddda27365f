//! What an encoder's `config.json` says of its shape.
use crate::{
    json,
    keys::{Keys, harmless},
};
use rlx::{Error, Result};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use std::path::Path;

/// How a model's tensors are named.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Family {
    /// BERT (arXiv 1810.04805) and MiniLM (arXiv 2002.10957).
    Bert,
    /// DistilBERT (arXiv 1910.01108): no token types, no pooler.
    Distilbert,
}

/// The shape of an encoder.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Config {
    /// How its tensors are named.
    pub family: Family,
    /// Layers.
    #[doc(alias = "num_hidden_layers")]
    pub layers: usize,
    /// Width of hidden states.
    #[doc(alias = "hidden_size")]
    pub width: usize,
    /// Attention heads.
    #[doc(alias = "num_attention_heads")]
    pub heads: usize,
    /// Width inside the MLP.
    #[doc(alias = "intermediate_size")]
    pub inner: usize,
    /// Tokens.
    #[doc(alias = "vocab_size")]
    pub vocabulary: usize,
    /// Longest text in tokens.
    #[doc(alias = "max_position_embeddings")]
    pub positions: usize,
    /// Token types; 0 where there are none.
    #[doc(alias = "type_vocab_size")]
    pub types: usize,
    /// Added to the variance in layer normalisation.
    #[doc(alias = "layer_norm_eps")]
    pub eps: f64,
    /// The MLP's activation: `gelu`, `gelu_new` (its tanh approximation) or `relu`.
    #[doc(alias = "hidden_act")]
    pub activation: String,
}

impl Config {
    /// Reads `config.json` of a model's folder.
    ///
    /// # Errors
    /// When it is missing, no JSON, or of a model that is no BERT.
    pub fn open(folder: &Path) -> Result<Self> {
        let path = folder.join("config.json");
        Self::parse(&json::open(&path)?).map_err(|e| Error::invalid(format!("{}: {e}", folder.display())))
    }

    /// From the JSON of a `config.json`.
    ///
    /// # Errors
    /// Naming the key that is missing, cannot be, or is not known.
    pub fn parse(json: &Map<String, Value>) -> Result<Self> {
        let keys = Keys::new("config.json", json);
        let family = match keys.text("model_type")? {
            Some("bert") => Family::Bert,
            Some("distilbert") => Family::Distilbert,
            other => {
                let other = other.unwrap_or("missing");
                return Err(Error::invalid(format!(
                    "config.json: model_type is {other}, which is not supported: bert (MiniLM too) and distilbert are"
                )));
            }
        };
        let bert = family == Family::Bert;
        architectures(&keys, if bert { "Bert" } else { "DistilBert" })?;
        keys.never_null(&["hidden_act", "activation", "layer_norm_eps", "position_embedding_type"])?;
        if keys.text("position_embedding_type")?.is_some_and(|t| t != "absolute") {
            return Err(keys.wrong("position_embedding_type", "not supported: only 'absolute' is"));
        }
        // DistilBERT has names of its own, and transformers takes BERT's for them too.
        let [layers, width, heads, inner] = if bert {
            [["num_hidden_layers"; 2], ["hidden_size"; 2], ["num_attention_heads"; 2], ["intermediate_size"; 2]]
        } else {
            [
                ["n_layers", "num_hidden_layers"],
                ["dim", "hidden_size"],
                ["n_heads", "num_attention_heads"],
                ["hidden_dim"; 2],
            ]
        };
        let eps = keys.float("layer_norm_eps")?;
        let config = Self {
            family,
            layers: size(&keys, layers)?,
            width: size(&keys, width)?,
            heads: size(&keys, heads)?,
            inner: size(&keys, inner)?,
            vocabulary: size(&keys, ["vocab_size"; 2])?,
            positions: size(&keys, ["max_position_embeddings"; 2])?,
            types: if bert { size(&keys, ["type_vocab_size"; 2])? } else { 0 },
            eps: eps.unwrap_or(EPS),
            activation: activation(&keys, if bert { "hidden_act" } else { "activation" })?.into(),
        };
        // transformers' DistilBERT has its epsilon in its code and reads none.
        if !(config.eps > 0.0 && config.eps < 1.0) || (!bert && config.eps != EPS) {
            let right =
                if bert { "it must be above 0 and below 1".into() } else { format!("a DistilBERT's is {EPS:e}") };
            return Err(keys.wrong("layer_norm_eps", &right));
        }
        // TinyBERT's configs say the width twice.
        if keys.uint("emb_size")?.is_some_and(|n| n != config.width) {
            return Err(
                keys.wrong("emb_size", &format!("not supported: only the hidden states' width of {} is", config.width))
            );
        }
        keys.finish(harmless::BERT)?;
        if !config.width.is_multiple_of(config.heads) {
            return Err(Error::invalid(format!("{} heads do not divide a width of {}", config.heads, config.width)));
        }
        Ok(config)
    }
}

/// Where no epsilon is given.
const EPS: f64 = 1e-12;

/// The classes of transformers that are this encoder, alone or with a head on it.
fn architectures(keys: &Keys, family: &str) -> Result<()> {
    const HEADS: [&str; 9] = [
        "Model",
        "ForMaskedLM",
        "ForPreTraining",
        "ForNextSentencePrediction",
        "ForSequenceClassification",
        "ForTokenClassification",
        "ForQuestionAnswering",
        "ForMultipleChoice",
        "LMHeadModel",
    ];
    let known = |a: &Value| a.as_str().and_then(|a| a.strip_prefix(family)).is_some_and(|head| HEADS.contains(&head));
    match keys.get("architectures") {
        Some(all) if !all.as_array().is_some_and(|all| all.iter().all(known)) => {
            Err(keys
                .wrong("architectures", &format!("not supported: {family}Model is, and {family} with a head on it")))
        }
        _ => Ok(()),
    }
}

/// A size under either of two names, which must agree.
fn size(keys: &Keys, [name, other]: [&str; 2]) -> Result<usize> {
    let (a, b) = (keys.uint(name)?, keys.uint(other)?);
    if let (Some(a), Some(b)) = (a, b)
        && a != b
    {
        return Err(keys.wrong(other, &format!("{name} is {a}; leave one of them out")));
    }
    let right = "it must be a whole number from 1 on";
    a.or(b).filter(|n| (1..=1 << 24).contains(n)).ok_or_else(|| keys.wrong(name, right))
}

/// The names that transformers 5.23.0 has for three functions (its ACT2FN); the exact gelu is the default.
fn activation<'a>(keys: &Keys, key: &str) -> Result<&'a str> {
    Ok(match keys.text(key)? {
        None | Some("gelu" | "gelu_python") => "gelu",
        Some("gelu_new" | "gelu_pytorch_tanh" | "gelu_python_tanh" | "gelu_fast" | "gelu_accurate") => "gelu_new",
        Some("relu") => "relu",
        Some(_) => return Err(keys.wrong(key, "not supported: gelu, gelu_new (the tanh approximation) and relu are")),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn bert() -> Value {
        json!({"model_type": "bert", "num_hidden_layers": 2, "hidden_size": 8, "num_attention_heads": 2, "intermediate_size": 16,
            "vocab_size": 30, "max_position_embeddings": 12, "type_vocab_size": 2, "hidden_act": "gelu"})
    }

    fn distilbert() -> Value {
        json!({"model_type": "distilbert", "n_layers": 2, "dim": 8, "n_heads": 2, "hidden_dim": 16,
            "vocab_size": 30, "max_position_embeddings": 12, "activation": "relu"})
    }

    fn with(mut base: Value, key: &str, value: Value) -> Result<Config> {
        base[key] = value;
        Config::parse(base.as_object().unwrap())
    }

    #[test]
    fn configs_of_both_families_and_what_is_wrong_with_others() {
        assert_eq!(with(bert(), "type_vocab_size", json!(2.0)).unwrap().types, 2);
        assert_eq!(with(distilbert(), "num_hidden_layers", json!(2)).unwrap().activation, "relu");
        for (key, value, said) in [
            ("model_type", json!("llama"), "model_type is llama, which is not supported"),
            ("hidden_size", json!(-8), "hidden_size is -8"),
            ("hidden_size", json!("8"), "hidden_size is \"8\""),
            ("num_attention_heads", json!(3), "3 heads do not divide"),
            ("hidden_act", json!("swish"), "swish"),
            ("hidden_act", json!(null), "hidden_act is null"),
            ("position_embedding_type", json!("relative_key"), "only 'absolute' is"),
            ("layer_norm_eps", json!("1e-12"), "it must be a number"),
            ("layer_norm_eps", json!(1.5), "above 0 and below 1"),
            ("is_decoder", json!(true), "a decoder sees only what came before"),
            ("architectures", json!(["JinaBertForMaskedLM"]), "JinaBertForMaskedLM"),
            ("pruned_heads", json!({"0": [1]}), "pruned heads"),
            ("quantization_config", json!({"bits": 4}), "quantization_config"),
            ("embedding_size", json!(4), "nothing here knows this key"),
        ] {
            let error = with(bert(), key, value).unwrap_err().to_string();
            assert!(error.contains(said), "{key}: {error}");
        }
        let error = with(distilbert(), "hidden_size", json!(16)).unwrap_err().to_string();
        assert!(error.contains("hidden_size is 16; dim is 8"), "{error}");
        assert!(with(distilbert(), "layer_norm_eps", json!(1e-5)).unwrap_err().to_string().contains("1e-12"));
    }

    #[test]
    fn a7_other_names_of_the_tanh_gelu_are_gelu_new() {
        for name in ["gelu_pytorch_tanh", "gelu_new", "gelu_fast", "gelu_accurate", "gelu_python_tanh"] {
            assert_eq!(with(bert(), "hidden_act", json!(name)).unwrap().activation, "gelu_new", "{name}");
            assert_eq!(with(distilbert(), "activation", json!(name)).unwrap().activation, "gelu_new", "{name}");
        }
        assert_eq!(with(bert(), "hidden_act", json!("gelu_python")).unwrap().activation, "gelu");
    }

    /// Keys of configs as they were published: all-MiniLM-L6-v2, bert-base-multilingual-cased, distilbert-base-uncased-finetuned-sst-2,
    /// TinyBERT_General_4L_312D.
    #[test]
    fn a3_published_configs_are_not_refused() {
        let published = [
            (
                bert(),
                json!({"_name_or_path": "x", "architectures": ["BertModel"], "attention_probs_dropout_prob": 0.1,
                "gradient_checkpointing": false, "hidden_dropout_prob": 0.1, "initializer_range": 0.02, "layer_norm_eps": 1e-12,
                "pad_token_id": 0, "position_embedding_type": "absolute", "transformers_version": "4.8.2", "use_cache": true,
                "classifier_dropout": null, "dtype": "float32", "add_cross_attention": false, "is_decoder": false}),
            ),
            (
                bert(),
                json!({"architectures": ["BertForMaskedLM"], "directionality": "bidi", "pooler_fc_size": 768,
                "pooler_num_attention_heads": 12, "pooler_num_fc_layers": 3, "pooler_size_per_head": 128,
                "pooler_type": "first_token_transform", "pruned_heads": {}, "torchscript": false, "output_past": true}),
            ),
            (
                distilbert(),
                json!({"activation": "gelu", "architectures": ["DistilBertForSequenceClassification"], "attention_dropout": 0.1,
                "dropout": 0.1, "finetuning_task": "sst-2", "id2label": {"0": "N", "1": "P"}, "initializer_range": 0.02,
                "label2id": {"N": 0}, "output_past": true, "pad_token_id": 0, "qa_dropout": 0.1, "seq_classif_dropout": 0.2,
                "sinusoidal_pos_embds": false, "tie_weights_": true, "problem_type": "single_label_classification",
                "tie_word_embeddings": true, "bos_token_id": null}),
            ),
            (bert(), json!({"cell": {}, "structure": [], "emb_size": 8, "pre_trained": "", "training": ""})),
        ];
        for (mut base, more) in published {
            more.as_object().unwrap().iter().for_each(|(k, v)| base[k] = v.clone());
            Config::parse(base.as_object().unwrap()).unwrap();
        }
    }
}
