//! What the objective needs of a language model, so that it can be tried on one that is made up.
use rlx::{Result, objective::Tell};
use serde::{Deserialize, Serialize};
use std::path::Path;

/// What is decided for a block.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct BlockChoice {
    /// The share of its heads and channels that is cut away.
    pub ratio: f64,
    /// Bits of its weights.
    pub bits: u32,
    /// Rank of its adapters; 0 for none.
    pub rank: usize,
}

/// What calibration knows of a block.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BlockFacts {
    /// Sum of the first-order importances of its groups, as a share of all blocks'.
    pub importance: f64,
    /// Mutual information between its output and the prediction, in nats.
    pub mutual_information: f64,
    /// Pruning ratios, ascending, and the harm that second-order terms see in each.
    pub pruned: Vec<(f64, f64)>,
    /// Bits, ascending, and the harm of rounding to them.
    pub quantised: Vec<(u32, f64)>,
}

impl BlockFacts {
    /// The harm of a ratio, linear between those that were looked at.
    pub fn prune_harm(&self, ratio: f64) -> f64 {
        let mut before = (0.0, 0.0);
        for point in &self.pruned {
            if point.0 >= ratio {
                let span = point.0 - before.0;
                let share = if span > 0.0 { (ratio - before.0) / span } else { 1.0 };
                return before.1 + share * (point.1 - before.1);
            }
            before = *point;
        }
        before.1 * if before.0 > 0.0 { ratio / before.0 } else { 0.0 }
    }
    /// The harm of bits: of those that were looked at, the next lower ones, a quarter for each bit more.
    pub fn quantise_harm(&self, bits: u32) -> f64 {
        let below = self.quantised.iter().rev().find(|q| q.0 <= bits).or(self.quantised.first());
        below.map_or(0.0, |(b, harm)| harm * 4f64.powi(*b as i32 - bits as i32))
    }
}

/// A language model that can be cut block by block, again and again from its whole.
pub trait CompressibleModel: Send {
    /// Stands for the model, the text and how losses are measured.
    fn version(&self) -> &str;
    /// Number of blocks.
    fn blocks(&self) -> usize;
    /// Names of the fidelities: without tuning, a few steps, a full recovery.
    fn fidelities(&self) -> Vec<String>;
    /// Bytes that a block takes where it is stored, adapters and norms with it.
    fn block_bytes(&self, block: usize, choice: &BlockChoice) -> u64;
    /// Bytes of everything else: the embedding in so many bits, the last norm, the head.
    fn rest_bytes(&self, embedding_bits: u32) -> u64;
    /// What is known of each block; how far it has come is told.
    ///
    /// # Errors
    /// When the model cannot be read or run, or the program is asked to stop.
    fn calibrate(&self, tell: &Tell) -> Result<Vec<BlockFacts>>;
    /// The whole model's loss on the tokens that measurements are made on.
    ///
    /// # Errors
    /// As [`CompressibleModel::loss`].
    fn dense_loss(&mut self, stop: &dyn Fn() -> bool) -> Result<f64>;
    /// The loss of the model once it is compressed and after the fidelity's recovery.
    ///
    /// # Errors
    /// [`rlx::Error::Interrupted`] once `stop` says so; when the model cannot be run.
    fn loss(
        &mut self,
        blocks: &[BlockChoice],
        embedding_bits: u32,
        fidelity: u32,
        seed: u64,
        stop: &dyn Fn() -> bool,
    ) -> Result<f64>;
    /// Writes the model, compressed and after the fidelity's recovery into a new folder. Bytes of its weights, and its loss.
    ///
    /// # Errors
    /// As [`CompressibleModel::loss`]; when the folder is there already, or the disk cannot take it.
    fn save(
        &mut self,
        blocks: &[BlockChoice],
        embedding_bits: u32,
        fidelity_and_seed: (u32, u64),
        to: &Path,
        stop: &dyn Fn() -> bool,
    ) -> Result<(u64, f64)>;
}
