//! Language models compressed and healed: LLaMA and BERT in tch, loading, pruning, packed quantisation, low-rank recovery, evaluation, export.
//! Nothing here knows of reinforcement learning.
pub mod archive;
pub mod bert;
pub mod data;
pub mod gguf;
pub mod json;
pub mod keys;
pub mod llama;
pub mod lora;
pub mod quant;
pub mod store;
pub mod tokenizer;

/// Torch has one generator for all threads: tests that seed it or draw from it take turns.
#[cfg(test)]
static GENERATOR: std::sync::Mutex<()> = std::sync::Mutex::new(());
