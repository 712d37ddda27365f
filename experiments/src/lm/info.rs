//! `rlx lm info`.
use super::{open, print};
use crate::progress::thousands;
use anyhow::Result;
use clap::Args;
use rlx_lm::llama::{BlockShape, Projection};
use serde_json::json;

/// `rlx lm info MODEL`
#[derive(Debug, Args)]
pub struct Info {
    /// A GGUF file, a folder, a run that has left a model, or a name from the cache.
    model: String,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

/// Shows what a model is.
pub fn run(args: &Info, runs: &std::path::Path) -> Result<()> {
    let loaded = open(&args.model, runs, tch::Device::Cpu)?;
    let (model, config) = (&loaded.model, &loaded.model.config);
    let disk = std::fs::metadata(if loaded.path.is_dir() {
        loaded.path.join("model.safetensors")
    } else {
        loaded.path.clone()
    });
    let disk = disk.map_or(0, |m| m.len());
    let of = |p: Projection| model.blocks.iter().map(|b| b.projection(p).bytes()).sum::<u64>();
    let attention = [Projection::Q, Projection::K, Projection::V, Projection::O].map(of).iter().sum::<u64>();
    let mlp = [Projection::Gate, Projection::Up, Projection::Down].map(of).iter().sum::<u64>();
    let head = model.head.as_ref().map_or(0, |h| h.bytes());
    let embedding = model.embedding.bytes();
    let norms = model.bytes() - attention - mlp - head - embedding;
    let describe = |b: &BlockShape| format!("{} heads over {} kv heads, {} channels", b.heads, b.kv_heads, b.ffn);
    if args.json {
        let blocks = model.blocks.iter().map(|b| {
            json!({"heads": b.shape.heads, "kv_heads": b.shape.kv_heads, "ffn": b.shape.ffn, "bytes": b.bytes(),
                   "scheme": b.projections[0].weight.scheme().to_string(),
                   "rank": b.projections[0].adapter.as_ref().map_or(0, |a| a.rank())})
        });
        let blocks: Vec<_> = blocks.collect();
        let out = json!({"model": loaded.path, "format": loaded.format, "file_bytes": disk, "parameters": config.parameters(),
            "bytes": {"attention": attention, "mlp": mlp, "embedding": embedding, "head": head, "norms": norms, "total": model.bytes()},
            "vocab": config.vocab, "width": config.width, "head_dim": config.head_dim, "context": config.context,
            "rope_theta": config.rope_theta, "eps": config.eps, "tied": config.tied, "tokenizer": loaded.tokenizer.as_ref().map(|t| t.size()),
            "blocks": blocks});
        return print(&format!("{out:#}\n"));
    }
    let mut text = format!("{}\n{}, {} bytes\n", loaded.path.display(), loaded.format, thousands(disk));
    text += &format!(
        "{} parameters, {} blocks, width {}, heads of {}, {} tokens, context {}, rope base {}, {}\n",
        thousands(config.parameters() as u64),
        config.blocks.len(),
        config.width,
        config.head_dim,
        thousands(config.vocab as u64),
        config.context,
        config.rope_theta,
        if config.tied { "the head is the embedding" } else { "a head of its own" }
    );
    let tokens = loaded
        .tokenizer
        .as_ref()
        .map_or("no tokenizer".into(), |t| format!("a tokenizer of {} tokens", thousands(t.size() as u64)));
    text += &format!("{tokens}\n");
    let mut from = 0;
    for i in 1..=model.blocks.len() {
        let key = |k: usize| {
            (
                model.blocks[k].shape,
                model.blocks[k].projections[0].weight.scheme(),
                model.blocks[k].projections[0].adapter.as_ref().map_or(0, |a| a.rank()),
            )
        };
        if i < model.blocks.len() && key(i) == key(from) {
            continue;
        }
        let (shape, scheme, rank) = key(from);
        let numbers = if i - from == 1 { format!("block {from}") } else { format!("blocks {from} to {}", i - 1) };
        let adapter = if rank > 0 { format!(", adapters of rank {rank}") } else { String::new() };
        text += &format!(
            "{numbers}: {}, {scheme}{adapter}, {} bytes each\n",
            describe(&shape),
            thousands(model.blocks[from].bytes())
        );
        from = i;
    }
    text += "in memory, bytes:\n";
    for (name, bytes) in
        [("attention", attention), ("mlp", mlp), ("embedding", embedding), ("head", head), ("norms", norms)]
    {
        text +=
            &format!("  {name:10} {:>14}  {:4.1} %\n", thousands(bytes), 100.0 * bytes as f64 / model.bytes() as f64);
    }
    print(&text)
}
