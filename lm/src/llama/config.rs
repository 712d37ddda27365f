//! What a LLaMA-like model is, block by block: from a `config.json` of transformers or the metadata of a GGUF file.
mod gguf;
mod transformers;

use rlx::{Error, Result};
use serde::{Deserialize, Serialize};

/// Limits of what is believed of a header: far above every model there is.
const MOST_BLOCKS: u64 = 4096;
const MOST_WIDTH: u64 = 1 << 20;
const MOST_VOCAB: u64 = 1 << 24;

/// The widths of one block.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BlockShape {
    /// Query heads.
    #[doc(alias = "num_attention_heads")]
    pub heads: usize,
    /// Key and value heads; `heads / kv_heads` query heads share one.
    #[doc(alias = "num_key_value_heads")]
    pub kv_heads: usize,
    /// Channels of the MLP.
    #[doc(alias = "intermediate_size")]
    pub ffn: usize,
}

/// How rotary frequencies are changed for contexts longer than the trained one.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "rope_type", rename_all = "lowercase", deny_unknown_fields)]
pub enum RopeScaling {
    /// Positions are divided by `factor`.
    Linear {
        /// The divisor.
        factor: f64,
    },
    /// Llama 3.1: long wavelengths are divided by `factor`, short ones kept, those between mixed.
    Llama3 {
        /// The divisor.
        factor: f64,
        /// Wavelengths above `original_max_position_embeddings` / this are divided.
        low_freq_factor: f64,
        /// Wavelengths below `original_max_position_embeddings` / this are kept.
        high_freq_factor: f64,
        /// The trained context.
        original_max_position_embeddings: f64,
    },
}

/// The architecture of a model.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Tokens.
    #[doc(alias = "vocab_size")]
    pub vocab: usize,
    /// Width of the residual stream.
    #[doc(alias = "hidden_size")]
    pub width: usize,
    /// Width of a head; even.
    pub head_dim: usize,
    /// Longest context.
    #[doc(alias = "max_position_embeddings")]
    pub context: usize,
    /// Base of the rotary frequencies.
    pub rope_theta: f64,
    /// How they are scaled.
    pub rope_scaling: Option<RopeScaling>,
    /// Added to the mean square of RMSNorm.
    #[doc(alias = "rms_norm_eps")]
    pub eps: f64,
    /// Whether the head is the embedding.
    #[doc(alias = "tie_word_embeddings")]
    pub tied: bool,
    /// The blocks.
    #[doc(alias = "num_hidden_layers")]
    pub blocks: Vec<BlockShape>,
    /// Token that begins a text.
    #[doc(alias = "bos_token_id")]
    pub bos: Option<u32>,
    /// Tokens that end one.
    pub eos: Vec<u32>,
}

impl Config {
    /// That all widths are positive and fit each other.
    ///
    /// # Errors
    /// Naming the field.
    pub fn check(&self) -> Result<()> {
        let bad = |what: String| Err(Error::invalid(format!("model config: {what}")));
        let ranges = [
            ("vocab", self.vocab as u64, MOST_VOCAB),
            ("width", self.width as u64, MOST_WIDTH),
            ("head_dim", self.head_dim as u64, 1 << 12),
            ("context", self.context as u64, 1 << 32),
            ("number of blocks", self.blocks.len() as u64, MOST_BLOCKS),
        ];
        if let Some((name, x, most)) = ranges.into_iter().find(|(_, x, most)| *x == 0 || x > most) {
            return bad(format!("{name} is {x}; it must be 1 to {most}"));
        }
        if !self.head_dim.is_multiple_of(2) {
            return bad(format!("head_dim is {}; rotary embeddings need an even one", self.head_dim));
        }
        let positive = |x: f64| x.is_finite() && x > 0.0;
        if !positive(self.rope_theta) || !positive(self.eps) {
            return bad(format!("rope_theta {} and eps {} must be positive", self.rope_theta, self.eps));
        }
        for (i, b) in self.blocks.iter().enumerate() {
            let fits = b.kv_heads > 0 && b.heads % b.kv_heads == 0 && b.heads > 0 && b.ffn > 0;
            if !fits || (b.heads as u64).max(b.ffn as u64) > MOST_WIDTH {
                return bad(format!("block {i}: {} heads over {} kv heads, ffn {}", b.heads, b.kv_heads, b.ffn));
            }
        }
        if let Some(id) = self.bos.iter().chain(&self.eos).find(|id| **id as usize >= self.vocab) {
            return bad(format!("special token {id} is outside a vocabulary of {}", self.vocab));
        }
        Ok(())
    }

    /// The shape that all blocks have, if they do.
    pub fn uniform(&self) -> Option<BlockShape> {
        let first = *self.blocks.first()?;
        self.blocks.iter().all(|b| *b == first).then_some(first)
    }

    /// Parameters of a block's seven projections.
    pub fn block_parameters(&self, b: &BlockShape) -> usize {
        self.width * (self.head_dim * 2 * (b.heads + b.kv_heads) + 3 * b.ffn)
    }

    /// Parameters of the model; a tied head counts once.
    pub fn parameters(&self) -> usize {
        let blocks: usize = self.blocks.iter().map(|b| self.block_parameters(b) + 2 * self.width).sum();
        blocks + self.width + self.vocab * self.width * if self.tied { 1 } else { 2 }
    }
}
