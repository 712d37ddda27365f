//! From a full-precision model and a plan to a compressed model, with what was made for a block kept for the next plan.
use super::{
    super::{
        config::BlockShape,
        model::{Block, Model, Projection, Site},
        save::{self, Layout, StoredBlock},
    },
    Importance, Kept, Moments, keep, narrow,
};
use crate::{
    lora::Adapter,
    quant::{Matrix, Rounding, Scheme, gptq},
};
use rlx::{Error, Result, Rng};
use serde::{Deserialize, Serialize};
use std::collections::HashMap;
use tch::Kind;

/// Largest rank of an adapter: what is kept of a residual for all smaller ones.
const MOST_RANK: usize = 32;

/// What is chosen for a block.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Choice {
    /// The shape that is kept.
    pub shape: BlockShape,
    /// How the weights are stored.
    pub scheme: Scheme,
    /// Rank of the adapters on all seven projections, 0 to 32; they start as LoftQ's.
    pub rank: usize,
}

/// A whole configuration.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Plan {
    /// For each block.
    pub blocks: Vec<Choice>,
    /// How the embedding, and a head of its own, are stored.
    pub embedding: Scheme,
}

impl Plan {
    /// The same ratio, scheme and rank for all blocks but the first and last `protected` = (first, last), which keep their shape.
    pub fn uniform(
        model: &Model,
        ratio: f64,
        scheme: Scheme,
        rank: usize,
        protected: (usize, usize),
        embedding: Scheme,
    ) -> Self {
        let count = model.config.blocks.len();
        let choice = |(i, shape): (usize, &BlockShape)| {
            let safe = i < protected.0 || i + protected.1 >= count;
            Choice { shape: keep(shape, if safe { 0.0 } else { ratio }, 32), scheme, rank }
        };
        Self { blocks: model.config.blocks.iter().enumerate().map(choice).collect(), embedding }
    }

    /// How a model of this plan is stored.
    pub fn layout(&self, dense: &Model) -> Layout {
        let mut config = dense.config.clone();
        config.blocks = self.blocks.iter().map(|c| c.shape).collect();
        let stored = |c: &Choice| StoredBlock { shape: c.shape, scheme: c.scheme, rank: c.rank, scale: 1.0 };
        let blocks = self.blocks.iter().map(stored).collect();
        let head = (!config.tied).then_some(self.embedding);
        Layout { config, embedding: self.embedding, head, blocks, rope_factors: dense.rope_factors.clone() }
    }

    /// Bytes of the weights' file that a model of this plan is saved to, exactly.
    pub fn bytes(&self, dense: &Model) -> u64 {
        save::plan(&self.layout(dense)).bytes()
    }
}

impl Choice {
    /// Bytes of the block's tensors: additive, unlike the header, whose numbers grow with what is before them.
    pub fn bytes(&self, model: &Model) -> u64 {
        let config = &model.config;
        let one = |p: Projection| {
            let [rows, columns] = p.size(config, &self.shape);
            self.scheme.bytes(rows, columns) + Adapter::size(self.rank, rows, columns)
        };
        Projection::ALL.map(one).iter().sum::<u64>() + 8 * config.width as u64
    }
}

/// A block for a shape and scheme, and what quantising took from it.
struct Variant {
    block: Block,
    residuals: Option<Vec<Adapter>>,
}

/// Makes models from a full-precision one.
pub struct Compressor {
    dense: Model,
    importance: Importance,
    rounding: Rounding,
    moments: Option<Moments>,
    seed: u64,
    variants: HashMap<(usize, BlockShape, Scheme), Variant>,
    tables: HashMap<Scheme, (Matrix, Option<Matrix>)>,
}

impl Compressor {
    /// For a full-precision model and the scores of its groups. With `moments` of the full-precision model, integer codes and NF4 are chosen by GPTQ; they
    /// are those of the whole model, not of one that is already quantised up to the block.
    ///
    /// # Errors
    /// When the scores are another model's.
    pub fn new(
        dense: Model,
        importance: Importance,
        rounding: Rounding,
        moments: Option<Moments>,
        seed: u64,
    ) -> Result<Self> {
        let fits = importance.heads.len() == dense.blocks.len()
            && importance.channels.len() == dense.blocks.len()
            && dense
                .config
                .blocks
                .iter()
                .zip(importance.heads.iter().zip(&importance.channels))
                .all(|(b, (h, c))| b.kv_heads == h.len() && b.ffn == c.len());
        if !fits {
            return Err(Error::invalid("the scores of groups are another model's"));
        }
        Ok(Self { dense, importance, rounding, moments, seed, variants: HashMap::new(), tables: HashMap::new() })
    }

    /// The full-precision model.
    pub fn dense(&self) -> &Model {
        &self.dense
    }
    /// The scores.
    pub fn importance(&self) -> &Importance {
        &self.importance
    }
    /// Bytes of all that is kept of blocks and tables.
    pub fn cached_bytes(&self) -> u64 {
        let residuals = |v: &Variant| v.residuals.iter().flatten().map(|a| 2 * a.bytes()).sum::<u64>();
        let tables = self.tables.values().map(|(e, h)| e.bytes() + h.as_ref().map_or(0, Matrix::bytes)).sum::<u64>();
        tables + self.variants.values().map(|v| v.block.bytes() + residuals(v)).sum::<u64>()
    }
    /// Forgets what was kept.
    pub fn forget(&mut self) {
        self.variants.clear();
        self.tables.clear();
    }

    /// The model of a plan. Floats at full shape are the full-precision model's own tensors: logits are bit-identical.
    ///
    /// # Errors
    /// When the plan is not one for this model.
    pub fn build(&mut self, plan: &Plan) -> Result<Model> {
        if plan.blocks.len() != self.dense.blocks.len() {
            return Err(Error::mismatch(
                "blocks of a plan",
                self.dense.blocks.len().to_string(),
                plan.blocks.len().to_string(),
            ));
        }
        let mut model = self.dense.clone();
        let (embedding, head) = self.tables(plan.embedding)?;
        (model.embedding, model.head) = (embedding, head);
        for (i, choice) in plan.blocks.iter().enumerate() {
            model.blocks[i] = self.block(i, choice)?;
            model.config.blocks[i] = choice.shape;
        }
        Ok(model)
    }

    fn tables(&mut self, scheme: Scheme) -> Result<(Matrix, Option<Matrix>)> {
        if let Some((embedding, head)) = self.tables.get(&scheme) {
            return Ok((embedding.clone(), head.clone()));
        }
        let rounding = self.rounding;
        let store = |m: &Matrix| Matrix::store(&m.dense(Kind::Float), scheme, rounding);
        let made = (store(&self.dense.embedding)?, self.dense.head.as_ref().map(store).transpose()?);
        self.tables.insert(scheme, made.clone());
        Ok(made)
    }

    /// The block of a choice.
    ///
    /// # Errors
    /// When it keeps more than there is, or its rank is above 32.
    pub fn block(&mut self, number: usize, choice: &Choice) -> Result<Block> {
        let full = self.dense.config.blocks.get(number).copied();
        let full =
            full.ok_or_else(|| Error::invalid(format!("block {number} of a model of {}", self.dense.blocks.len())))?;
        let per = full.heads / full.kv_heads;
        if choice.shape.heads != choice.shape.kv_heads * per || choice.rank > MOST_RANK {
            return Err(Error::invalid(format!(
                "block {number}: {choice:?}; {per} query heads go with a kv head, and a rank is 0 to {MOST_RANK}"
            )));
        }
        let key = (number, choice.shape, choice.scheme);
        if !self.variants.contains_key(&key) {
            let variant = self.variant(number, &choice.shape, choice.scheme)?;
            self.variants.insert(key, variant);
        }
        if choice.rank > 0 && self.variants[&key].residuals.is_none() {
            let residuals = self.residuals(number, &choice.shape, &self.variants[&key].block)?;
            if let Some(v) = self.variants.get_mut(&key) {
                v.residuals = Some(residuals);
            }
        }
        let variant = &self.variants[&key];
        let mut block = variant.block.clone();
        if choice.rank > 0 {
            for (p, adapter) in block.projections.iter_mut().zip(variant.residuals.iter().flatten()) {
                // A narrow matrix has fewer directions than asked for: the rest is zero, so that every choice has the size it is said to.
                p.adapter = Some(adapter.first(choice.rank));
            }
        }
        Ok(block)
    }

    fn pruned(&self, number: usize, shape: &BlockShape) -> Result<(Block, Kept)> {
        let kept = Kept::best(&self.importance.heads[number], &self.importance.channels[number], shape)?;
        Ok((narrow(&self.dense.blocks[number], &kept, self.dense.config.head_dim)?, kept))
    }

    fn variant(&self, number: usize, shape: &BlockShape, scheme: Scheme) -> Result<Variant> {
        let (mut block, kept) = self.pruned(number, shape)?;
        if scheme == Scheme::F32 {
            return Ok(Variant { block, residuals: None });
        }
        for p in Projection::ALL {
            let linear = &mut block.projections[p as usize];
            let w = linear.weight.dense(Kind::Float);
            let moments = self.moments.as_ref().and_then(|m| m.get(number, p.site()));
            linear.weight = match moments.filter(|_| scheme.group().is_some()) {
                Some(all) => {
                    let index = self.inputs(number, p.site(), &kept).map(|i| i.to_device(all.device()));
                    let own =
                        index.map_or_else(|| all.shallow_clone(), |i| all.index_select(0, &i).index_select(1, &i));
                    Matrix::Packed(gptq(&w, &own, scheme, self.rounding)?)
                }
                None => Matrix::store(&w, scheme, self.rounding)?,
            };
        }
        Ok(Variant { block, residuals: None })
    }

    /// Which of a site's inputs are left, where pruning takes some.
    fn inputs(&self, number: usize, site: Site, kept: &Kept) -> Option<tch::Tensor> {
        let shape = &self.dense.config.blocks[number];
        let size = shape.heads / shape.kv_heads * self.dense.config.head_dim;
        let all: Vec<i64> = match site {
            Site::Heads => kept.kv_heads.iter().flat_map(|g| (g * size..(g + 1) * size).map(|x| x as i64)).collect(),
            Site::Channels => kept.channels.iter().map(|x| *x as i64).collect(),
            _ => return None,
        };
        Some(tch::Tensor::from_slice(&all))
    }

    /// LoftQ (arXiv 2310.08659, one iteration): the leading directions of what quantising took away.
    fn residuals(&self, number: usize, shape: &BlockShape, quantized: &Block) -> Result<Vec<Adapter>> {
        let (pruned, _) = self.pruned(number, shape)?;
        let one = |p: &Projection| {
            let w = pruned.projection(*p).weight.dense(Kind::Float);
            let difference = w - quantized.projection(*p).weight.dense(Kind::Float);
            let mut rng = Rng::named(self.seed, p.name(), number as u64);
            let made = Adapter::residual(&difference, MOST_RANK, &mut rng)?;
            let missing = MOST_RANK as i64 - made.a.size()[0];
            let (a, b) = (made.a.constant_pad_nd([0, 0, 0, missing]), made.b.constant_pad_nd([0, missing]));
            Ok(Adapter { a, b, scale: 1.0 })
        };
        Projection::ALL.iter().map(one).collect()
    }
}
