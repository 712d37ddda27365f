//! What the tensors of a LLaMA are called in the formats of others.
use super::model::Projection;
use std::collections::BTreeSet;

/// Whose names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Names {
    /// transformers' safetensors.
    Transformers,
    /// llama.cpp's GGUF files.
    Gguf,
}

impl Names {
    /// The table of words.
    pub fn embedding(self) -> &'static str {
        match self {
            Self::Transformers => "model.embed_tokens.weight",
            Self::Gguf => "token_embd.weight",
        }
    }
    /// The last norm.
    pub fn norm(self) -> &'static str {
        match self {
            Self::Transformers => "model.norm.weight",
            Self::Gguf => "output_norm.weight",
        }
    }
    /// The head, where it is not the table of words.
    pub fn head(self) -> &'static str {
        match self {
            Self::Transformers => "lm_head.weight",
            Self::Gguf => "output.weight",
        }
    }
    /// The norms before a block's attention and before its MLP.
    pub fn norms(self, block: usize) -> [String; 2] {
        match self {
            Self::Transformers => {
                ["input_layernorm", "post_attention_layernorm"].map(|n| format!("model.layers.{block}.{n}.weight"))
            }
            Self::Gguf => ["attn_norm", "ffn_norm"].map(|n| format!("blk.{block}.{n}.weight")),
        }
    }
    /// A projection of a block.
    pub fn projection(self, block: usize, p: Projection) -> String {
        match self {
            Self::Transformers => format!("model.layers.{block}.{}.weight", p.name()),
            Self::Gguf => format!("blk.{block}.{}.weight", p.gguf_name()),
        }
    }
    /// All tensors of a model of so many blocks, a head of its own among them.
    pub fn all(self, blocks: usize) -> BTreeSet<String> {
        let mut all: BTreeSet<String> = [self.embedding(), self.norm(), self.head()].map(String::from).into();
        for block in 0..blocks {
            all.extend(self.norms(block));
            all.extend(Projection::ALL.map(|p| self.projection(block, p)));
        }
        all
    }
}
