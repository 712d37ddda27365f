//! `rlx heal`: an encoder is corrupted, fine-tuned on a classification task, and compared with what it was (arXiv 2406.14459).
//!
//! A healing is a run folder like any other; experiments make them as cells, and [`report`] says what many of them show.
pub mod cli;
pub mod config;
pub mod pages;
mod prepare;
pub mod report;
pub mod run;
pub mod summary;
mod workload;

pub use config::Config;
pub use workload::Healing;

/// Adds healings as a kind of work for experiments.
pub fn register(registry: &mut rlx::Registry) {
    registry.extension_mut::<rlx_lab::workload::Lab>().workload(Healing);
}
