//! Language models under surgery: LLaMA and BERT in tch, loading, pruning, packed quantisation, low-rank recovery, evaluation, export.
//! Nothing here knows of reinforcement learning.
pub mod bert;
pub mod data;
pub mod llama;
