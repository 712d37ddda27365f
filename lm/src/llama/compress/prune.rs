//! Structured pruning: coupled groups go together (LLM-Pruner, arXiv 2305.11627). A kv head goes with its query heads: rows of q, k and
//! v, columns of o. A channel of the MLP is a row of gate and up and a column of down.
use super::super::{
    config::BlockShape,
    model::{Block, Linear, Projection},
};
use crate::quant::Matrix;
use rlx::{Error, Result};
use tch::{Kind, Tensor};

/// What is kept of a block: ascending numbers of kv heads and channels.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Kept {
    /// Key and value heads.
    pub kv_heads: Vec<usize>,
    /// Channels.
    pub channels: Vec<usize>,
}

/// The `count` highest scores' numbers, ascending. Of equal scores the lower number stays.
fn top(scores: &[f64], count: usize) -> Vec<usize> {
    let mut order: Vec<usize> = (0..scores.len()).collect();
    order.sort_by(|a, b| scores[*b].total_cmp(&scores[*a]).then(a.cmp(b)));
    order.truncate(count);
    order.sort_unstable();
    order
}

/// The shape that remains of a block at a pruning ratio: kv groups to the nearest whole number, one at least; channels to the nearest
/// multiple of `multiple`, one multiple at least.
pub fn keep(shape: &BlockShape, ratio: f64, multiple: usize) -> BlockShape {
    let left = (1.0 - ratio).clamp(0.0, 1.0);
    if left == 1.0 {
        return *shape;
    }
    let per = shape.heads / shape.kv_heads;
    let kv_heads = ((shape.kv_heads as f64 * left).round() as usize).clamp(1, shape.kv_heads);
    let steps = ((shape.ffn as f64 * left / multiple as f64).round() as usize).max(1);
    BlockShape { heads: kv_heads * per, kv_heads, ffn: (steps * multiple).min(shape.ffn) }
}

impl Kept {
    /// The best groups by scores of kv heads and channels, as many as `shape` has.
    ///
    /// # Errors
    /// When there are not that many.
    pub fn best(heads: &[f64], channels: &[f64], shape: &BlockShape) -> Result<Self> {
        if shape.kv_heads == 0 || shape.kv_heads > heads.len() || shape.ffn == 0 || shape.ffn > channels.len() {
            return Err(Error::invalid(format!(
                "a block of {} kv heads and {} channels cannot keep {} and {}",
                heads.len(),
                channels.len(),
                shape.kv_heads,
                shape.ffn
            )));
        }
        Ok(Self { kv_heads: top(heads, shape.kv_heads), channels: top(channels, shape.ffn) })
    }
}

/// The block with only those groups: truly smaller tensors, of floats. A block of which all is kept is given back as it is.
///
/// # Errors
/// When a number is outside the block, or it carries adapters (merge them first).
pub fn narrow(block: &Block, kept: &Kept, head_dim: usize) -> Result<Block> {
    let shape = block.shape;
    let outside = kept.kv_heads.last().is_none_or(|k| *k >= shape.kv_heads)
        || kept.channels.last().is_none_or(|c| *c >= shape.ffn);
    let ascending = kept.kv_heads.is_sorted_by(|a, b| a < b) && kept.channels.is_sorted_by(|a, b| a < b);
    if outside || !ascending {
        return Err(Error::invalid("groups to keep must be ascending numbers of the block, one at least of each kind"));
    }
    if block.projections.iter().any(|p| p.adapter.is_some()) {
        return Err(Error::invalid("a block with adapters cannot be pruned: merge them first"));
    }
    if kept.kv_heads.len() == shape.kv_heads && kept.channels.len() == shape.ffn {
        return Ok(block.clone());
    }
    let per = shape.heads / shape.kv_heads;
    let rows = |groups: &[usize], size: usize| -> Tensor {
        let all: Vec<i64> = groups.iter().flat_map(|g| (g * size..(g + 1) * size).map(|r| r as i64)).collect();
        Tensor::from_slice(&all).to_device(block.attention_norm.device())
    };
    let (queries, keys, channels) =
        (rows(&kept.kv_heads, per * head_dim), rows(&kept.kv_heads, head_dim), rows(&kept.channels, 1));
    let projections = Projection::ALL.map(|p| {
        let w = block.projection(p).weight.dense(Kind::Float);
        Linear::new(Matrix::Dense(match p {
            Projection::Q => w.index_select(0, &queries),
            Projection::K | Projection::V => w.index_select(0, &keys),
            Projection::O => w.index_select(1, &queries),
            Projection::Gate | Projection::Up => w.index_select(0, &channels),
            Projection::Down => w.index_select(1, &channels),
        }))
    });
    let shape =
        BlockShape { heads: kept.kv_heads.len() * per, kv_heads: kept.kv_heads.len(), ffn: kept.channels.len() };
    Ok(Block { shape, projections, ..block.clone() })
}
