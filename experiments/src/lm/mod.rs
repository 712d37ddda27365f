//! `rlx lm`: language models on the command line.
mod compress;
mod eval;
mod generate;
pub(crate) mod info;

use crate::{
    experiment::{DeviceChoice, torch},
    interrupt::Stop,
};
use anyhow::{Result, bail};
use clap::{Args, Subcommand};
use rlx_lm::{
    data::catalogue,
    llama::{Loaded, load},
};
use std::{
    io::Write,
    path::{Path, PathBuf},
    process::ExitCode,
};
use tch::Device;

/// `rlx lm ...`
#[derive(Debug, Subcommand)]
pub enum Lm {
    /// Show a model's architecture and where its bytes are.
    Info(info::Info),
    /// Judge a model: likelihood of a text, accuracy on multiple-choice sets.
    #[command(
        after_help = "Examples:\n  rlx lm eval smollm2-135m --text held-out.txt\n  rlx lm eval OUT --text held-out.txt --reference smollm2-135m --json\n  rlx lm eval OUT --tasks strategyqa/task.json,mine.jsonl --items 500"
    )]
    Eval(eval::Eval),
    /// Continue a text, as it is generated.
    #[command(after_help = "Example:\n  rlx lm generate smollm2-135m --prompt \"The capital of France is\"")]
    Generate(generate::Generate),
    /// Prune and quantise all blocks alike, recover on a text, save.
    #[command(
        after_help = "Examples:\n  rlx lm prune smollm2-135m --ratio 0.2 --bits 4 --rank 8 -o OUT\n  rlx lm prune smollm2-135m --ratio 0.3 --bits 3 --rank 8 --text train.txt --steps 200 -o OUT\n  rlx lm prune smollm2-135m --ratio 0.2 --format gguf -o OUT.gguf"
    )]
    Prune(compress::Prune),
}

/// Runs one of them.
pub fn run(command: &Lm) -> Result<ExitCode> {
    let stop = Stop::install()?;
    match command {
        Lm::Info(args) => info::run(args),
        Lm::Eval(args) => eval::run(args, &stop),
        Lm::Generate(args) => generate::run(args, &stop),
        Lm::Prune(args) => compress::run(args, &stop),
    }?;
    Ok(ExitCode::SUCCESS)
}

/// The file or folder of a model: a path, or a name from the cache.
fn find(model: &str) -> Result<PathBuf> {
    Ok(catalogue::model(model, &catalogue::cache())?)
}

/// Where a model runs.
#[derive(Debug, Args)]
struct On {
    /// Where tensors live: cpu, cuda, or auto, which takes CUDA if there is one.
    #[arg(long, default_value = "cpu", value_parser = ["cpu", "cuda", "auto"])]
    device: String,
}

impl On {
    fn device(&self) -> Result<Device> {
        Ok(torch(serde_json::from_value::<DeviceChoice>(self.device.as_str().into())?.device()?))
    }
}

fn open(model: &str, device: Device) -> Result<Loaded> {
    let mut loaded = load(&find(model)?)?;
    loaded.model = loaded.model.to_device(device);
    Ok(loaded)
}

/// The most main memory that this process has held, bytes; none where the system does not say.
fn peak_memory() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|l| l.strip_prefix("VmHWM:"))?;
    Some(line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()? * 1024)
}

/// The same for people.
fn peak_text() -> String {
    peak_memory().map_or_else(String::new, |b| format!(", peak memory {:.0} MB", b as f64 / 1e6))
}

fn print(text: &str) -> Result<()> {
    let mut out = std::io::stdout().lock();
    out.write_all(text.as_bytes())?;
    Ok(out.flush()?)
}

/// Token ids of a file: a text, or numbers between spaces, commas and brackets.
fn read_ids(loaded: &Loaded, text: Option<&Path>, ids: Option<&Path>) -> Result<Vec<u32>> {
    let read = |path: &Path| std::fs::read_to_string(path).map_err(|e| rlx::Error::io("reading", path, e));
    if let Some(path) = text {
        return Ok(loaded.tokenizer()?.encode(&read(path)?)?);
    }
    let Some(path) = ids else { bail!("say --text FILE or --ids FILE") };
    let body = read(path)?;
    let parts = body.split(|c: char| c.is_whitespace() || ",[]".contains(c)).filter(|p| !p.is_empty());
    let parse = |p: &str| p.parse().map_err(|_| anyhow::anyhow!("{}: '{p}' is not a token id", path.display()));
    parts.map(parse).collect()
}
