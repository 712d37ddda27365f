//! BERT encoders: loading, classification, corruption, healing.
pub mod config;
pub mod load;
pub mod model;
pub mod onnx;
pub mod text;
pub mod weights;

pub use config::Config;
pub use model::Encoder;
pub use text::Tokenizer;
pub use weights::Weights;
