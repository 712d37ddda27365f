//! The forward pass of a LLaMA whose blocks may differ in their widths.
use super::{
    config::{BlockShape, Config},
    rope::Angles,
};
use crate::{lora::Adapter, quant::Matrix};
use rlx::{Error, Result};
use tch::{Device, Kind, Tensor};

/// A projection without bias, perhaps with a low-rank adapter beside it.
#[derive(Debug)]
pub struct Linear {
    /// Its weights, `[outputs, inputs]`.
    pub weight: Matrix,
    /// What is added to them.
    pub adapter: Option<Adapter>,
}

impl Clone for Linear {
    /// Shares the tensors, which nothing changes in place.
    fn clone(&self) -> Self {
        Self { weight: self.weight.clone(), adapter: self.adapter.clone() }
    }
}

impl Linear {
    /// Without an adapter.
    pub fn new(weight: Matrix) -> Self {
        Self { weight, adapter: None }
    }
    /// x `[.., inputs]` to `[.., outputs]`.
    pub fn apply(&self, x: &Tensor) -> Tensor {
        let y = self.weight.apply(x);
        match &self.adapter {
            Some(adapter) => y + adapter.apply(x),
            None => y,
        }
    }
    /// Bytes of the weights and the adapter.
    pub fn bytes(&self) -> u64 {
        self.weight.bytes() + self.adapter.as_ref().map_or(0, Adapter::bytes)
    }
    /// The weights that it acts by, the adapter added in, `[outputs, inputs]` of `kind`.
    pub fn effective(&self, kind: Kind) -> Tensor {
        let w = self.weight.dense(kind);
        match &self.adapter {
            Some(adapter) => w + adapter.product().to_kind(kind),
            None => w,
        }
    }
}

/// The seven projections of a block.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Projection {
    /// Queries.
    Q,
    /// Keys.
    K,
    /// Values.
    V,
    /// From the heads back to the residual stream.
    O,
    /// The MLP's gate.
    Gate,
    /// What is gated.
    Up,
    /// From the MLP back to the residual stream.
    Down,
}

impl Projection {
    /// All, in this order.
    pub const ALL: [Self; 7] = [Self::Q, Self::K, Self::V, Self::O, Self::Gate, Self::Up, Self::Down];

    /// Its name in transformers' files.
    pub fn name(self) -> &'static str {
        match self {
            Self::Q => "self_attn.q_proj",
            Self::K => "self_attn.k_proj",
            Self::V => "self_attn.v_proj",
            Self::O => "self_attn.o_proj",
            Self::Gate => "mlp.gate_proj",
            Self::Up => "mlp.up_proj",
            Self::Down => "mlp.down_proj",
        }
    }
    /// Its name in GGUF files.
    pub fn gguf_name(self) -> &'static str {
        match self {
            Self::Q => "attn_q",
            Self::K => "attn_k",
            Self::V => "attn_v",
            Self::O => "attn_output",
            Self::Gate => "ffn_gate",
            Self::Up => "ffn_up",
            Self::Down => "ffn_down",
        }
    }
    /// Outputs and inputs in a block of that shape.
    pub fn size(self, config: &Config, shape: &BlockShape) -> [usize; 2] {
        let (width, heads, kv) = (config.width, shape.heads * config.head_dim, shape.kv_heads * config.head_dim);
        match self {
            Self::Q => [heads, width],
            Self::K | Self::V => [kv, width],
            Self::O => [width, heads],
            Self::Gate | Self::Up => [shape.ffn, width],
            Self::Down => [width, shape.ffn],
        }
    }
    /// Where its inputs come from.
    pub fn site(self) -> Site {
        match self {
            Self::Q | Self::K | Self::V => Site::Attention,
            Self::O => Site::Heads,
            Self::Gate | Self::Up => Site::Mlp,
            Self::Down => Site::Channels,
        }
    }
}

/// Places in a block where projections read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Site {
    /// The normed input of the attention, `width` wide.
    Attention,
    /// The heads' outputs, `heads * head_dim` wide.
    Heads,
    /// The normed input of the MLP, `width` wide.
    Mlp,
    /// The gated channels, `ffn` wide.
    Channels,
    /// The residual stream after the block, `width` wide. No projection reads there.
    Output,
}

/// One transformer block. Cloning shares tensors.
#[derive(Debug)]
pub struct Block {
    /// Its widths.
    pub shape: BlockShape,
    /// Factors of the norm before the attention, `[width]`.
    pub attention_norm: Tensor,
    /// Factors of the norm before the MLP, `[width]`.
    pub mlp_norm: Tensor,
    /// The projections in the order of [`Projection::ALL`].
    pub projections: [Linear; 7],
}

impl Clone for Block {
    /// Shares the tensors, which nothing changes in place.
    fn clone(&self) -> Self {
        let (attention_norm, mlp_norm) = (self.attention_norm.shallow_clone(), self.mlp_norm.shallow_clone());
        Self { attention_norm, mlp_norm, projections: self.projections.clone(), ..*self }
    }
}

/// Sees what flows through the blocks.
pub trait Probe {
    /// `x` is `[batch, positions, width of the site]`.
    fn see(&mut self, block: usize, site: Site, x: &Tensor);
}

/// Keys and values of the positions so far.
#[derive(Debug)]
pub struct Cache {
    // per block: keys and values [batch, kv_heads, positions, head_dim]
    blocks: Vec<Option<(Tensor, Tensor)>>,
    len: usize,
    capacity: usize,
}

impl Cache {
    /// An empty one with room for `capacity` positions; it grows beyond.
    pub fn new(model: &Model, capacity: usize) -> Self {
        Self { blocks: model.blocks.iter().map(|_| None).collect(), len: 0, capacity: capacity.max(16) }
    }
    /// Positions in it.
    pub fn len(&self) -> usize {
        self.len
    }
    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }
    /// Forgets positions from `len` on.
    pub fn truncate(&mut self, len: usize) {
        self.len = self.len.min(len);
    }
    /// A copy of some rows of the batch, each as often as its number is among `rows` (Int64), with room for `more` positions.
    pub fn branch(&self, rows: &Tensor, more: usize) -> Self {
        let len = self.len as i64;
        let copy = |t: &Tensor| {
            let chosen = t.narrow(2, 0, len).index_select(0, rows);
            let mut size = chosen.size();
            size[2] += more as i64;
            let out = Tensor::empty(&size, (t.kind(), t.device()));
            out.narrow(2, 0, len).copy_(&chosen);
            out
        };
        let blocks = self.blocks.iter().map(|b| b.as_ref().map(|(k, v)| (copy(k), copy(v)))).collect();
        Self { blocks, len: self.len, capacity: self.len + more }
    }

    /// Appends to a block's and returns all of it.
    pub(super) fn extend(&mut self, block: usize, k: &Tensor, v: &Tensor) -> (Tensor, Tensor) {
        let (at, new) = (self.len as i64, k.size()[2]);
        let room = self.blocks[block].as_ref().map_or(0, |(k, _)| k.size()[2]);
        if at + new > room {
            let capacity = (self.capacity as i64).max(room * 2).max(at + new);
            let grow = |old: Option<&Tensor>, new: &Tensor| {
                let mut size = new.size();
                size[2] = capacity;
                let out = Tensor::empty(&size, (new.kind(), new.device()));
                if let Some(old) = old {
                    out.narrow(2, 0, at).copy_(&old.narrow(2, 0, at));
                }
                out
            };
            let old = self.blocks[block].take();
            let old = old.as_ref();
            self.blocks[block] = Some((grow(old.map(|o| &o.0), k), grow(old.map(|o| &o.1), v)));
        }
        let (all_k, all_v) = self.blocks[block].as_ref().expect("it was just made");
        all_k.narrow(2, at, new).copy_(k);
        all_v.narrow(2, at, new).copy_(v);
        (all_k.narrow(2, 0, at + new), all_v.narrow(2, 0, at + new))
    }
    pub(super) fn advance(&mut self, by: usize) {
        self.len += by;
    }
}

/// A LLaMA. Cloning shares tensors.
#[derive(Debug)]
pub struct Model {
    /// Its architecture; `blocks` holds the shapes of `self.blocks`.
    pub config: Config,
    /// `[vocab, width]`.
    pub embedding: Matrix,
    /// The blocks.
    pub blocks: Vec<Block>,
    /// Factors of the last norm, `[width]`.
    pub norm: Tensor,
    /// `[vocab, width]`; none where the embedding is used.
    pub head: Option<Matrix>,
    /// What divides the rotary frequencies, `[head_dim / 2]`, for files that bring it.
    pub rope_factors: Option<Vec<f32>>,
    /// The kind that activations are computed in.
    pub compute: Kind,
}

impl Clone for Model {
    /// Shares the tensors, which nothing changes in place.
    fn clone(&self) -> Self {
        Self {
            config: self.config.clone(),
            embedding: self.embedding.clone(),
            blocks: self.blocks.clone(),
            norm: self.norm.shallow_clone(),
            head: self.head.clone(),
            rope_factors: self.rope_factors.clone(),
            compute: self.compute,
        }
    }
}

/// Root-mean-square norm (arXiv 1910.07467), in 32 bits.
pub(super) fn rms_norm(x: &Tensor, factors: &Tensor, eps: f64) -> Tensor {
    let kind = x.kind();
    let wide = x.to_kind(Kind::Float);
    let scale = (wide.square().mean_dim(-1, true, Kind::Float) + eps).rsqrt();
    (wide * scale * factors).to_kind(kind)
}

/// softmax(q kᵀ / √d) v with the causal mask; q `[batch, heads, new, d]`, k and v `[batch, kv_heads, all, d]`, the new ones last.
pub(super) fn attention(q: &Tensor, k: &Tensor, v: &Tensor) -> Tensor {
    let (heads, kv, new, all) = (q.size()[1], k.size()[1], q.size()[2], k.size()[2]);
    let widen =
        |t: &Tensor| if heads == kv { t.shallow_clone() } else { t.repeat_interleave_self_int(heads / kv, 1, None) };
    let (k, v) = (widen(k), widen(v));
    // From the second of several new positions on, older ones are seen and later ones are not; torch's causal flag counts from the top.
    let mask = (new > 1 && all > new).then(|| Tensor::ones([new, all], (Kind::Bool, q.device())).tril(all - new));
    Tensor::scaled_dot_product_attention(q, &k, &v, mask.as_ref(), 0.0, new > 1 && all == new, None::<f64>, false)
}

impl Block {
    /// One of the projections.
    pub fn projection(&self, p: Projection) -> &Linear {
        &self.projections[p as usize]
    }
    /// Bytes of all its tensors.
    pub fn bytes(&self) -> u64 {
        let norms = [&self.attention_norm, &self.mlp_norm];
        let norms: usize = norms.iter().map(|n| n.numel() * n.kind().elt_size_in_bytes()).sum();
        norms as u64 + self.projections.iter().map(Linear::bytes).sum::<u64>()
    }

    fn forward(&self, x: Tensor, pass: &mut Pass<'_>, number: usize) -> Tensor {
        let (size, dim) = (x.size(), pass.head_dim);
        let (batch, positions) = (size[0], size[1]);
        let h = rms_norm(&x, &self.attention_norm, pass.eps);
        pass.see(number, Site::Attention, &h);
        let heads = |p: Projection| self.projection(p).apply(&h).view([batch, positions, -1, dim]).transpose(1, 2);
        let (q, k, v) =
            (pass.angles.turn(&heads(Projection::Q)), pass.angles.turn(&heads(Projection::K)), heads(Projection::V));
        let (k, v) = match &mut pass.cache {
            Some(cache) => cache.extend(number, &k, &v),
            None => (k, v),
        };
        let mixed = attention(&q, &k, &v).transpose(1, 2).reshape([batch, positions, -1]);
        pass.see(number, Site::Heads, &mixed);
        let x = x + self.projection(Projection::O).apply(&mixed);
        let h = rms_norm(&x, &self.mlp_norm, pass.eps);
        pass.see(number, Site::Mlp, &h);
        let gated = self.projection(Projection::Gate).apply(&h).silu() * self.projection(Projection::Up).apply(&h);
        pass.see(number, Site::Channels, &gated);
        let x = x + self.projection(Projection::Down).apply(&gated);
        pass.see(number, Site::Output, &x);
        x
    }
}

/// What the blocks of one forward pass share.
struct Pass<'a> {
    angles: Angles,
    cache: Option<&'a mut Cache>,
    probe: Option<&'a mut (dyn Probe + 'a)>,
    head_dim: i64,
    eps: f64,
}

impl Pass<'_> {
    fn see(&mut self, block: usize, site: Site, x: &Tensor) {
        if let Some(probe) = &mut self.probe {
            probe.see(block, site, x);
        }
    }
}

impl Model {
    /// Where its tensors live.
    pub fn device(&self) -> Device {
        self.norm.device()
    }

    /// The hidden states after the last norm, `[batch, positions, width]`, of tokens `[batch, positions]` (Int64) that follow those in
    /// `cache`, which takes them up.
    pub fn hidden_states<'a>(
        &self,
        ids: &Tensor,
        cache: Option<&'a mut Cache>,
        probe: Option<&'a mut (dyn Probe + 'a)>,
    ) -> Tensor {
        let (from, len) = (cache.as_ref().map_or(0, |c| c.len()), ids.size()[1] as usize);
        let factors = self.rope_factors.as_deref();
        let angles = Angles::new(&self.config, factors, from, len, self.compute, self.device());
        let mut pass = Pass { angles, cache, probe, head_dim: self.config.head_dim as i64, eps: self.config.eps };
        let mut x = self.embedding.lookup(ids, self.compute);
        for (number, block) in self.blocks.iter().enumerate() {
            x = block.forward(x, &mut pass, number);
        }
        if let Some(cache) = pass.cache {
            cache.advance(len);
        }
        rms_norm(&x, &self.norm, self.config.eps)
    }

    /// Logits `[.., vocab]` (Float) of hidden states `[.., width]`.
    pub fn logits(&self, hidden: &Tensor) -> Tensor {
        self.head.as_ref().unwrap_or(&self.embedding).apply(hidden).to_kind(Kind::Float)
    }

    /// Logits `[rows, len]` (Float) of the tokens `from..from + len`, of hidden states `[rows, width]`.
    pub(super) fn logits_of(&self, hidden: &Tensor, from: i64, len: i64) -> Tensor {
        let head = self.head.as_ref().unwrap_or(&self.embedding);
        head.rows_of(from as usize, len as usize).apply(hidden).to_kind(Kind::Float)
    }

    /// Logits `[batch, positions, vocab]` of tokens `[batch, positions]`, without gradients: memory for all of them.
    pub fn logits_no_grad(&self, ids: &Tensor) -> Tensor {
        tch::no_grad(|| self.logits(&self.hidden_states(ids, None, None)))
    }

    /// Tokens as a tensor, `[1, n]`.
    ///
    /// # Errors
    /// When there is none, one is outside the vocabulary, or there are more than the context takes.
    pub fn ids(&self, ids: &[u32]) -> Result<Tensor> {
        if let Some(id) = ids.iter().find(|id| **id as usize >= self.config.vocab) {
            return Err(Error::invalid(format!(
                "token {id} is outside the model's vocabulary of {}",
                self.config.vocab
            )));
        }
        if ids.is_empty() || ids.len() > self.config.context {
            return Err(Error::invalid(format!("{} tokens; the model takes 1 to {}", ids.len(), self.config.context)));
        }
        let ids: Vec<i64> = ids.iter().map(|id| i64::from(*id)).collect();
        Ok(Tensor::from_slice(&ids).unsqueeze(0).to_device(self.device()))
    }

    /// On a device.
    pub fn to_device(&self, device: Device) -> Self {
        let mut model = self.clone();
        model.embedding = self.embedding.to_device(device);
        model.head = self.head.as_ref().map(|h| h.to_device(device));
        model.norm = self.norm.to_device(device);
        for block in &mut model.blocks {
            block.attention_norm = block.attention_norm.to_device(device);
            block.mlp_norm = block.mlp_norm.to_device(device);
            for p in &mut block.projections {
                p.weight = p.weight.to_device(device);
                p.adapter = p.adapter.as_ref().map(|a| a.to_device(device));
            }
        }
        model
    }

    /// Bytes of all tensors; the file that it is saved to has a header beside them.
    pub fn bytes(&self) -> u64 {
        let head = self.head.as_ref().map_or(0, Matrix::bytes);
        let norm = (self.norm.numel() * self.norm.kind().elt_size_in_bytes()) as u64;
        self.embedding.bytes() + head + norm + self.blocks.iter().map(Block::bytes).sum::<u64>()
    }

    /// With all weights as floats of `kind` and adapters merged: faster to use many times, at the price of memory.
    pub fn dense(&self, kind: Kind) -> Self {
        tch::no_grad(|| {
            let mut model = self.clone();
            model.embedding = Matrix::Dense(self.embedding.dense(kind));
            model.head = self.head.as_ref().map(|head| Matrix::Dense(head.dense(kind)));
            for p in model.blocks.iter_mut().flat_map(|b| &mut b.projections) {
                *p = Linear::new(Matrix::Dense(p.effective(kind)));
            }
            model
        })
    }
}
