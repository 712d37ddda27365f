//! Runs: what is asked for ([`experiment`]), its folder ([`run_dir`]), the training loop ([`train`]) and what it writes: metrics, TensorBoard's
//! events, checkpoints, evaluations, the report of a search.
pub mod answer;
pub mod bench;
pub mod evaluate;
pub mod experiment;
pub mod export;
pub mod flags;
pub mod host;
pub mod interrupt;
pub mod lock;
pub mod metrics;
mod program;
pub mod progress;
pub mod run_config;
pub mod run_dir;
pub mod search_report;
pub mod summary;
pub mod tensorboard;
pub mod train;
pub mod trained;

pub use program::{BUILT_IN, FRONT, FULL, LIBTORCH, REVISION, SOURCES, host_name, program};
