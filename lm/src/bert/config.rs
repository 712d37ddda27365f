//! What an encoder's `config.json` says of its shape.
use rlx::{Error, Result};
use serde::{Deserialize, Serialize};
use serde_json::Value;
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
    pub layers: usize,
    /// Width of hidden states.
    pub width: usize,
    /// Attention heads.
    pub heads: usize,
    /// Width inside the MLP.
    pub inner: usize,
    /// Tokens.
    pub vocabulary: usize,
    /// Longest text in tokens.
    pub positions: usize,
    /// Token types; 0 where there are none.
    pub types: usize,
    /// Added to the variance in layer normalisation.
    pub eps: f64,
    /// The MLP's activation: `gelu`, `gelu_new` (its tanh approximation) or `relu`.
    pub activation: String,
}

impl Config {
    /// Reads `config.json` of a model's folder.
    ///
    /// # Errors
    /// When it is missing, no JSON, or of a model that is no BERT.
    pub fn open(folder: &Path) -> Result<Self> {
        let path = folder.join("config.json");
        let text = std::fs::read(&path).map_err(|e| Error::io("reading", &path, e))?;
        let json: Value = serde_json::from_slice(&text).map_err(|e| Error::corrupt(&path, e.to_string()))?;
        Self::parse(&json).map_err(|e| Error::corrupt(&path, e.to_string()))
    }

    /// From the JSON of a `config.json`.
    ///
    /// # Errors
    /// Naming the key that is missing or can not be.
    pub fn parse(json: &Value) -> Result<Self> {
        let family = match json["model_type"].as_str() {
            Some("bert") => Family::Bert,
            Some("distilbert") => Family::Distilbert,
            other => {
                let other = other.unwrap_or("missing");
                return Err(Error::invalid(format!(
                    "model_type is {other}: bert (MiniLM too) and distilbert are read"
                )));
            }
        };
        if json["position_embedding_type"].as_str().is_some_and(|t| t != "absolute") {
            return Err(Error::invalid("position_embedding_type is not absolute: such models are not read"));
        }
        let size = |key: &str, low: u64| match json[key].as_u64() {
            Some(n) if (low..=1 << 24).contains(&n) => Ok(n as usize),
            _ => Err(Error::invalid(format!("{key} = {}: it must be a whole number from {low} on", json[key]))),
        };
        let bert = family == Family::Bert;
        let [layers, width, heads, inner] = if bert {
            ["num_hidden_layers", "hidden_size", "num_attention_heads", "intermediate_size"]
        } else {
            ["n_layers", "dim", "n_heads", "hidden_dim"]
        };
        let activation = json[if bert { "hidden_act" } else { "activation" }].as_str().unwrap_or("gelu");
        if !["gelu", "gelu_new", "relu"].contains(&activation) {
            return Err(Error::invalid(format!("the activation '{activation}': gelu, gelu_new and relu are known")));
        }
        let config = Self {
            family,
            layers: size(layers, 1)?,
            width: size(width, 1)?,
            heads: size(heads, 1)?,
            inner: size(inner, 1)?,
            vocabulary: size("vocab_size", 1)?,
            positions: size("max_position_embeddings", 1)?,
            types: if bert { size("type_vocab_size", 1)? } else { 0 },
            eps: json["layer_norm_eps"].as_f64().filter(|e| *e > 0.0 && *e < 1.0).unwrap_or(1e-12),
            activation: activation.into(),
        };
        if !config.width.is_multiple_of(config.heads) {
            return Err(Error::invalid(format!("{} heads do not divide a width of {}", config.heads, config.width)));
        }
        Ok(config)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn configs_of_both_families_and_what_is_wrong_with_others() {
        let bert = json!({"model_type": "bert", "num_hidden_layers": 2, "hidden_size": 8, "num_attention_heads": 2, "intermediate_size": 16,
            "vocab_size": 30, "max_position_embeddings": 12, "type_vocab_size": 2, "hidden_act": "gelu"});
        assert_eq!(Config::parse(&bert).unwrap().types, 2);
        let distil = json!({"model_type": "distilbert", "n_layers": 2, "dim": 8, "n_heads": 2, "hidden_dim": 16,
            "vocab_size": 30, "max_position_embeddings": 12, "activation": "relu"});
        assert_eq!(Config::parse(&distil).unwrap().activation, "relu");
        let with = |key: &str, value: Value| {
            let mut j = bert.clone();
            j[key] = value;
            Config::parse(&j).unwrap_err().to_string()
        };
        assert!(with("model_type", json!("llama")).contains("model_type is llama"));
        assert!(with("hidden_size", json!(-8)).contains("hidden_size = -8"));
        assert!(with("num_attention_heads", json!(3)).contains("3 heads do not divide"));
        assert!(with("hidden_act", json!("swish")).contains("swish"));
        assert!(with("position_embedding_type", json!("relative_key")).contains("not absolute"));
    }
}
