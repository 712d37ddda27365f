//! The project's own format: `config.json` with the architecture and how each matrix is stored, `model.safetensors` with packed codes,
//! scales and adapters, and `tokenizer.json`. The size of the weights' file is known before a weight is made: see [`plan`].
use super::{
    config::{BlockShape, Config},
    load::seven,
    model::{Block, Linear, Model, Projection},
};
use crate::{
    archive::{Archive, Plan, Stored, WEIGHTS},
    keys::{self, Keys},
    lora::Adapter,
    quant::{Matrix, Packed, Scheme},
    tokenizer::{Tokenizer, folder},
};
use rlx::{Error, Result};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value as Json};
use std::path::Path;
use tch::{Kind, Tensor};

const FORMAT: &str = "rlx-packed-1";

/// How a block is stored.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StoredBlock {
    /// Its widths.
    pub shape: BlockShape,
    /// How its projections are stored.
    pub scheme: Scheme,
    /// Rank of the adapters on all of them; 0 is none.
    pub rank: usize,
    /// The factor of the adapters.
    pub scale: f64,
}

/// All that is needed to know a stored model's tensors, and so its size.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Layout {
    /// The architecture.
    pub config: Config,
    /// How the embedding is stored.
    pub embedding: Scheme,
    /// How the head is stored, where it is not the embedding.
    pub head: Option<Scheme>,
    /// The blocks, whose shapes are those of the config.
    pub blocks: Vec<StoredBlock>,
    /// Divisors of the rotary frequencies that came with the model.
    pub rope_factors: Option<Vec<f32>>,
}

impl Layout {
    /// Of a model as it is.
    ///
    /// # Errors
    /// When the projections of a block are stored by different schemes or ranks.
    pub fn of(model: &Model) -> Result<Self> {
        let block = |(i, b): (usize, &Block)| {
            let first = &b.projections[0];
            let (scheme, rank) = (first.weight.scheme(), first.adapter.as_ref().map_or(0, Adapter::rank));
            let scale = first.adapter.as_ref().map_or(1.0, |a| a.scale);
            let alike = |p: &Linear| {
                let (r, s) = p.adapter.as_ref().map_or((0, 1.0), |a| (a.rank(), a.scale));
                p.weight.scheme() == scheme && r == rank && s == scale
            };
            if !b.projections.iter().all(alike) {
                return Err(Error::invalid(format!(
                    "block {i}: its projections are stored by different schemes or ranks"
                )));
            }
            Ok(StoredBlock { shape: b.shape, scheme, rank, scale })
        };
        Ok(Self {
            config: model.config.clone(),
            embedding: model.embedding.scheme(),
            head: model.head.as_ref().map(Matrix::scheme),
            blocks: model.blocks.iter().enumerate().map(block).collect::<Result<_>>()?,
            rope_factors: model.rope_factors.clone(),
        })
    }
}

fn layer(i: usize, p: Projection) -> String {
    format!("model.layers.{i}.{}", p.name())
}

fn add_matrix(plan: &mut Plan, name: &str, scheme: Scheme, [rows, columns]: [usize; 2]) {
    for (suffix, stored, shape) in scheme.parts(rows, columns) {
        plan.add(format!("{name}.weight{suffix}"), stored, &shape);
    }
}

/// The weights' file of a layout: `plan(..).bytes()` is its exact size, and no weight is touched to know it.
pub fn plan(layout: &Layout) -> Plan {
    let (config, mut plan) = (&layout.config, Plan::new());
    plan.note("format", FORMAT);
    let table = [config.vocab, config.width];
    add_matrix(&mut plan, "model.embed_tokens", layout.embedding, table);
    if let Some(head) = layout.head {
        add_matrix(&mut plan, "lm_head", head, table);
    }
    plan.add("model.norm.weight", Stored::F32, &[config.width]);
    for (i, b) in layout.blocks.iter().enumerate() {
        for norm in ["input_layernorm", "post_attention_layernorm"] {
            plan.add(format!("model.layers.{i}.{norm}.weight"), Stored::F32, &[config.width]);
        }
        for p in Projection::ALL {
            let [rows, columns] = p.size(config, &b.shape);
            add_matrix(&mut plan, &layer(i, p), b.scheme, [rows, columns]);
            if b.rank > 0 {
                plan.add(format!("{}.lora_a", layer(i, p)), Stored::F16, &[b.rank, columns]);
                plan.add(format!("{}.lora_b", layer(i, p)), Stored::F16, &[rows, b.rank]);
            }
        }
    }
    plan
}

/// Makes a new folder for a model; one that is there is not touched.
pub(super) fn new_folder(path: &Path) -> Result<()> {
    std::fs::create_dir(path).map_err(|e| Error::io("creating", path, e))
}

pub(super) fn write_text(path: &Path, text: &str) -> Result<()> {
    std::fs::write(path, text).map_err(|e| Error::io("writing", path, e))
}

/// Saves a model as it is to a new folder; returns the bytes of the weights' file.
///
/// # Errors
/// When the folder is there already, or cannot be written.
pub fn save(model: &Model, tokenizer: Option<&Tokenizer>, path: &Path) -> Result<u64> {
    let layout = Layout::of(model)?;
    new_folder(path)?;
    let json = serde_json::json!({ "format": FORMAT, "layout": layout });
    write_text(&path.join("config.json"), &format!("{json:#}\n"))?;
    folder::write(path, tokenizer, model.config.bos, &model.config.eos)?;
    let mut tensors = std::collections::BTreeMap::new();
    let mut put = |name: &str, m: &Matrix| {
        let parts = m.scheme().parts(m.rows(), m.columns());
        for ((suffix, _, _), part) in parts.iter().zip(m.parts()) {
            tensors.insert(format!("{name}.weight{suffix}"), part.shallow_clone());
        }
    };
    put("model.embed_tokens", &model.embedding);
    if let Some(head) = &model.head {
        put("lm_head", head);
    }
    for (i, b) in model.blocks.iter().enumerate() {
        Projection::ALL.iter().for_each(|p| put(&layer(i, *p), &b.projection(*p).weight));
    }
    for (i, b) in model.blocks.iter().enumerate() {
        let norms = [("input_layernorm", &b.attention_norm), ("post_attention_layernorm", &b.mlp_norm)];
        for (name, norm) in norms {
            tensors.insert(format!("model.layers.{i}.{name}.weight"), norm.to_kind(Kind::Float));
        }
        for p in Projection::ALL {
            if let Some(adapter) = b.projection(p).adapter.as_ref().map(Adapter::halved) {
                tensors.insert(format!("{}.lora_a", layer(i, p)), adapter.a);
                tensors.insert(format!("{}.lora_b", layer(i, p)), adapter.b);
            }
        }
    }
    tensors.insert("model.norm.weight".into(), model.norm.to_kind(Kind::Float));
    let plan = plan(&layout);
    plan.write(&path.join(WEIGHTS), |name| {
        tensors
            .get(name)
            .map(Tensor::shallow_clone)
            .ok_or_else(|| Error::invalid(format!("no tensor '{name}' to save")))
    })?;
    Ok(plan.bytes())
}

/// Whether a `config.json` is of this format.
pub(super) fn is_packed(json: &Map<String, Json>) -> bool {
    json.get("format").and_then(Json::as_str).is_some_and(|f| f.starts_with("rlx-packed"))
}

/// That a tensor is of the type that was planned.
pub(super) fn stored_as(name: &str, stored: Stored, found: Kind) -> Result<()> {
    match found == stored.kind() {
        true => Ok(()),
        false => {
            let right = format!("{:?}", stored.kind());
            Err(Error::mismatch(format!("tensor '{name}'"), right, format!("{found:?}")))
        }
    }
}

/// What the format is called.
pub(super) fn format() -> String {
    format!("packed safetensors ({FORMAT})")
}

/// A tensor as it was planned: another type would be counted wrongly, and a damaged number would show as a NaN far from here.
fn part(archive: &mut Archive, name: &str, stored: Stored, shape: &[usize]) -> Result<Tensor> {
    let t = archive.tensor(name, Some(shape))?;
    stored_as(name, stored, t.kind())?;
    if stored != Stored::U8 && !bool::try_from(t.isfinite().all()).unwrap_or(false) {
        return Err(Error::invalid(format!("tensor '{name}' has numbers that are not finite")));
    }
    Ok(t)
}

/// The layout in a `config.json` of this format.
pub(super) fn layout(json: &Map<String, Json>) -> Result<Layout> {
    if json.get("format").and_then(Json::as_str) != Some(FORMAT) {
        return Err(Error::invalid(format!(
            "config.json: format {:?}; this version reads {FORMAT}",
            json.get("format")
        )));
    }
    let keys = Keys::new("config.json", json);
    let (_, layout) = (keys.get("format"), keys.get("layout").cloned().unwrap_or_default());
    keys.finish(&[])?;
    let layout: Layout =
        serde_json::from_value(layout).map_err(|e| Error::invalid(format!("config.json: layout: {e}")))?;
    let config = &layout.config;
    config.check()?;
    let shapes: Vec<BlockShape> = layout.blocks.iter().map(|b| b.shape).collect();
    if shapes != config.blocks || layout.head.is_some() == config.tied {
        return Err(Error::invalid("config.json: the layout's blocks or head are not those of its config"));
    }
    if layout.blocks.iter().any(|b| b.rank > config.width || !b.scale.is_finite()) {
        return Err(Error::invalid("config.json: an adapter's rank or scale is impossible"));
    }
    let factors = layout.rope_factors.as_deref().unwrap_or(&[]);
    if layout.rope_factors.is_some()
        && (factors.len() != config.head_dim / 2 || factors.iter().any(|f| !(f.is_finite() && *f > 0.0)))
    {
        return Err(Error::invalid(format!(
            "config.json: rope_factors must be {} positive numbers",
            config.head_dim / 2
        )));
    }
    Ok(layout)
}

/// That a file has no tensor that a layout does not name.
pub(super) fn account(layout: &Layout, archive: &Archive) -> Result<()> {
    let planned = plan(layout);
    let known: std::collections::BTreeSet<&str> = planned.names().collect();
    keys::account("model.safetensors", archive.names(), |n| known.contains(n), |_| false)
}

/// Reads a model of this format.
pub(super) fn read(json: &Map<String, Json>, archive: &mut Archive) -> Result<(Model, String)> {
    let layout = layout(json)?;
    let config = layout.config.clone();
    account(&layout, archive)?;
    let matrix = |archive: &mut Archive, name: &str, scheme: Scheme, [rows, columns]: [usize; 2]| {
        let mut parts = Vec::new();
        for (suffix, stored, shape) in scheme.parts(rows, columns) {
            parts.push(part(archive, &format!("{name}.weight{suffix}"), stored, &shape)?);
        }
        Ok(match scheme.group() {
            None => Matrix::Dense(parts.remove(0)),
            Some(_) => Matrix::Packed(Packed::from_parts(scheme, rows, columns, parts)?),
        })
    };
    let table = [config.vocab, config.width];
    let embedding = matrix(archive, "model.embed_tokens", layout.embedding, table)?;
    let head = layout.head.map(|s| matrix(archive, "lm_head", s, table)).transpose()?;
    let mut blocks = Vec::new();
    for (i, b) in layout.blocks.iter().enumerate() {
        let mut projections = Vec::new();
        for p in Projection::ALL {
            let [rows, columns] = p.size(&config, &b.shape);
            let mut linear = Linear::new(matrix(archive, &layer(i, p), b.scheme, [rows, columns])?);
            if b.rank > 0 {
                let a = part(archive, &format!("{}.lora_a", layer(i, p)), Stored::F16, &[b.rank, columns])?;
                let b_ = part(archive, &format!("{}.lora_b", layer(i, p)), Stored::F16, &[rows, b.rank])?;
                linear.adapter = Some(Adapter { a, b: b_, scale: b.scale });
            }
            projections.push(linear);
        }
        let mut norm =
            |name: &str| part(archive, &format!("model.layers.{i}.{name}.weight"), Stored::F32, &[config.width]);
        let (attention_norm, mlp_norm) = (norm("input_layernorm")?, norm("post_attention_layernorm")?);
        blocks.push(Block { shape: b.shape, attention_norm, mlp_norm, projections: seven(projections) });
    }
    let norm = part(archive, "model.norm.weight", Stored::F32, &[config.width])?;
    let model =
        Model { config, embedding, blocks, norm, head, rope_factors: layout.rope_factors, compute: Kind::Float };
    Ok((model, format()))
}
