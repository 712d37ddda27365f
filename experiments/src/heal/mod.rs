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

pub use config::Config;
