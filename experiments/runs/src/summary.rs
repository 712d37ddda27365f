//! How a run ended.
use crate::train::Best;
use rlx::Outcome;
use serde::Serialize;

/// How a training ended, as `summary.json` has it.
#[derive(Clone, Debug, Serialize)]
pub struct Summary {
    /// The run folder.
    pub run: String,
    /// `finished`, `interrupted` or `failed`.
    pub status: &'static str,
    /// Why it failed.
    pub error: Option<String>,
    /// The world.
    pub env: String,
    /// The algorithm.
    pub algo: String,
    /// The seed.
    pub seed: u64,
    /// Environment steps taken.
    pub steps: u64,
    /// Episodes ended.
    pub episodes: u64,
    /// Seconds of training, over all starts.
    pub elapsed_s: f64,
    /// Mean return of the last 100 training episodes.
    pub episodic_return: Option<f64>,
    /// The last evaluation.
    pub eval: Option<Outcome>,
    /// The best evaluation.
    pub best: Option<Best>,
    /// Version of this program.
    pub rlx: &'static str,
    /// Revision of its source.
    pub revision: &'static str,
    /// Version of libtorch it was built with.
    pub libtorch: &'static str,
    /// Threads.
    pub threads: usize,
}
