//! Language models under surgery: LLaMA and BERT in tch, loading, pruning, packed quantisation, low-rank recovery, evaluation, export.
//! Nothing here knows of reinforcement learning.
pub mod archive;
pub mod bert;
pub mod data;
pub mod gguf;
pub mod llama;
pub mod lora;
pub mod quant;
pub mod tokenizer;
