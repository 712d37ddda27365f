//! What a healing leaves: its summary, and tensors in files.
use anyhow::{Context, Result};
use rlx_lm::bert::{classify::Scores, corrupt::CorruptionReport, healing::Best};
use rlx_runs::run_dir::write_synced;
use serde::Serialize;
use serde_json::Value;
use std::path::Path;

/// How a healing ended, as `summary.json` has it.
#[derive(Clone, Debug, Serialize)]
pub struct Summary {
    /// The run folder.
    pub run: String,
    /// `finished`, `interrupted` or `failed`.
    pub status: &'static str,
    /// Why it failed.
    pub error: Option<String>,
    /// The data.
    pub env: String,
    /// `heal`.
    pub algo: &'static str,
    /// The model.
    pub model: String,
    /// The data.
    pub data: String,
    /// The seed.
    pub seed: u64,
    /// Steps taken.
    pub steps: u64,
    /// Passes made.
    pub epochs: u64,
    /// Seconds, over all starts.
    pub elapsed_s: f64,
    /// What the corruption did.
    pub corruption: CorruptionReport,
    /// Classes and texts: `classes train validation test duplicates contradictory tokens`.
    pub sizes: Value,
    /// Validation before the first step.
    pub before: Option<Scores>,
    /// Validation at its best.
    pub best: Option<Best>,
    /// The test of the best model: `f1 f1_low f1_high accuracy accuracy_low accuracy_high loss majority`.
    pub test: Option<Value>,
    /// Version of this program.
    pub rlx: &'static str,
    /// Revision of its source.
    pub revision: &'static str,
    /// Version of libtorch it was built with.
    pub libtorch: &'static str,
    /// Threads.
    pub threads: usize,
}

/// Writes tensors of one kind, and what is said `about` them in that order.
///
/// # Errors
/// When the disk cannot take it.
pub(super) fn write_tensors(
    path: &Path,
    kind: safetensors::Dtype,
    bytes: &[(String, Vec<u8>)],
    shape: impl Fn(usize) -> Vec<usize>,
    about: &[(String, String)],
) -> Result<()> {
    let views = bytes.iter().enumerate().map(|(i, (name, data))| {
        let view = safetensors::tensor::TensorView::new(kind, shape(i), data);
        view.map(|v| (name.clone(), v))
    });
    let views: Vec<_> = views.collect::<std::result::Result<_, _>>().context("a tensor of its own size")?;
    let file = safetensors::serialize(views, None).context("writing tensors")?;
    write_synced(path, &if about.is_empty() { file } else { rlx_runs::export::with_metadata(&file, about)? })
}
