//! `rlx lm info`: headers only. Nothing here may reach a tensor: see `experiments/src/main.rs`.
use crate::lm::find;
use anyhow::Result;
use clap::Args;
use rlx_lm::llama::{
    BlockShape, Projection, StoredBlock,
    head::{EncoderHead, Head, encoder, head, is_encoder},
};
use rlx_plot::text::thousands;
use rlx_runs::answer::print;
use serde_json::{Value, json};
use std::path::Path;

/// `rlx lm info MODEL`
#[derive(Debug, Args)]
pub struct Info {
    /// A GGUF file (any part of one that is split), a folder, a run that has left a model, or a name from the cache.
    model: String,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

/// Shows what a model is.
pub fn run(args: &Info, runs: &Path) -> Result<()> {
    let path = find(&args.model, runs)?;
    if path.is_dir() && is_encoder(&path)? {
        let head = encoder(&path)?;
        return print(&if args.json {
            format!("{:#}\n", encoder_json(&path, &head))
        } else {
            encoder_text(&path, &head)
        });
    }
    let head = head(&path)?;
    let sums = Sums::of(&head);
    print(&if args.json { format!("{:#}\n", as_json(&head, &sums)) } else { as_text(&head, &sums) })
}

/// Bytes in memory, by what they are for.
struct Sums {
    attention: u64,
    mlp: u64,
    embedding: u64,
    head: u64,
    norms: u64,
}

impl Sums {
    fn of(head: &Head) -> Self {
        let layout = &head.layout;
        let of = |all: &[Projection]| -> u64 {
            all.iter().flat_map(|p| layout.blocks.iter().map(|b| head.projection_bytes(b, *p))).sum()
        };
        let attention = of(&[Projection::Q, Projection::K, Projection::V, Projection::O]);
        let mlp = of(&[Projection::Gate, Projection::Up, Projection::Down]);
        let blocks: u64 = layout.blocks.iter().map(|b| head.block_bytes(b)).sum();
        Self {
            attention,
            mlp,
            embedding: head.table_bytes(layout.embedding),
            head: layout.head.map_or(0, |s| head.table_bytes(s)),
            // The last norm is apart from the blocks.
            norms: blocks - attention - mlp + 4 * layout.config.width as u64,
        }
    }
    fn total(&self) -> u64 {
        self.attention + self.mlp + self.embedding + self.head + self.norms
    }
}

fn as_json(head: &Head, sums: &Sums) -> Value {
    let config = &head.layout.config;
    let block = |b: &StoredBlock| {
        json!({"heads": b.shape.heads, "kv_heads": b.shape.kv_heads, "ffn": b.shape.ffn, "bytes": head.block_bytes(b),
               "scheme": b.scheme.to_string(), "rank": b.rank})
    };
    let blocks: Vec<Value> = head.layout.blocks.iter().map(block).collect();
    json!({"model": head.path, "format": head.format, "files": head.files, "file_bytes": head.bytes, "parameters": config.parameters(),
        "bytes": {"attention": sums.attention, "mlp": sums.mlp, "embedding": sums.embedding, "head": sums.head, "norms": sums.norms,
                  "total": sums.total()},
        "vocab": config.vocab, "width": config.width, "head_dim": config.head_dim, "context": config.context,
        "rope_theta": config.rope_theta, "eps": config.eps, "tied": config.tied, "tokenizer": head.tokens, "blocks": blocks})
}

/// `2 files, 1,234 bytes`, or the bytes alone of one.
fn on_disk(files: usize, bytes: u64) -> String {
    let bytes = thousands(bytes);
    if files == 1 { format!("{bytes} bytes") } else { format!("{files} files, {bytes} bytes") }
}

fn as_text(head: &Head, sums: &Sums) -> String {
    let config = &head.layout.config;
    let mut text = format!("{}\n{}, {}\n", head.path.display(), head.format, on_disk(head.files, head.bytes));
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
    let tokens = head.tokens.map(|n| format!("a tokenizer of {} tokens\n", thousands(n as u64)));
    text += tokens.as_deref().unwrap_or("no tokenizer\n");
    let describe = |b: &BlockShape| format!("{} heads over {} kv heads, {} channels", b.heads, b.kv_heads, b.ffn);
    let blocks = &head.layout.blocks;
    let mut from = 0;
    for run in blocks.chunk_by(|a, b| (a.shape, a.scheme, a.rank) == (b.shape, b.scheme, b.rank)) {
        let first = &run[0];
        let last = from + run.len() - 1;
        let numbers = if from == last { format!("block {from}") } else { format!("blocks {from} to {last}") };
        let adapter = if first.rank > 0 { format!(", adapters of rank {}", first.rank) } else { String::new() };
        text += &format!(
            "{numbers}: {}, {}{adapter}, {} bytes each\n",
            describe(&first.shape),
            first.scheme,
            thousands(head.block_bytes(first))
        );
        from = last + 1;
    }
    text += "in memory, bytes:\n";
    for (name, bytes) in [
        ("attention", sums.attention),
        ("mlp", sums.mlp),
        ("embedding", sums.embedding),
        ("head", sums.head),
        ("norms", sums.norms),
    ] {
        let share = 100.0 * bytes as f64 / sums.total() as f64;
        text += &format!("  {name:10} {:>14}  {share:4.1} %\n", thousands(bytes));
    }
    text
}

fn encoder_json(path: &Path, head: &EncoderHead) -> Value {
    json!({"model": path, "format": encoder_format(head), "files": head.files, "file_bytes": head.bytes,
           "parameters": head.parameters, "config": head.config})
}

fn encoder_format(head: &EncoderHead) -> &'static str {
    if head.parameters.is_some() { "encoder, safetensors" } else { "encoder, ONNX" }
}

fn encoder_text(path: &Path, head: &EncoderHead) -> String {
    let c = &head.config;
    let numbers = head.parameters.map_or(String::new(), |n| format!("{} numbers, ", thousands(n)));
    format!(
        "{}\n{}, {}\n{numbers}{} layers, width {}, {} heads, {} wide inside, {} tokens, texts of up to {}\n",
        path.display(),
        encoder_format(head),
        on_disk(head.files, head.bytes),
        c.layers,
        c.width,
        c.heads,
        c.inner,
        thousands(c.vocabulary as u64),
        c.positions
    )
}
