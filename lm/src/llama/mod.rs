//! LLaMA-like models (Llama 1 to 3, Mistral, TinyLlama, SmolLM): loading, running, compression, recovery, likelihood, saving.
pub mod compress;
mod config;
pub mod export;
pub mod generate;
pub mod head;
pub mod likelihood;
mod load;
mod model;
mod names;
pub mod recover;
mod rope;
mod save;
pub mod tasks;
mod tiny;

pub use config::{BlockShape, Config, RopeScaling};
pub use load::{Loaded, load};
pub use model::{Block, Cache, Linear, Model, Probe, Projection, Site};
pub use save::{Layout, StoredBlock, plan, save};
pub use tiny::{random, tiny, tiny_config};

#[cfg(test)]
mod damage;
#[cfg(test)]
mod strict;
#[cfg(test)]
mod tests;
