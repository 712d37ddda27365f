//! BERT encoders: loading, classification, corruption, healing.
pub mod classify;
pub mod config;
pub mod corrupt;
pub mod healing;
pub mod load;
pub mod model;
pub mod onnx;
pub mod scope;
pub mod similarity;
pub mod text;
pub mod tune;
pub mod weights;

pub use classify::{Classifier, Pooling};
pub use config::Config;
pub use corrupt::{Corruption, CorruptionMethod, CorruptionScope, LayerSelection};
pub use healing::{Healing, HealingConfig};
pub use model::Encoder;
pub use scope::Scope;
pub use text::{Renumbered, Tokenizer};
pub use tune::Tuner;
pub use weights::Weights;
