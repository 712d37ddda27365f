//! `rlx lm`: language models on the command line.
use rlx::refuse;
mod compress;
mod convert;
mod eval;
mod generate;
pub mod info;
pub(crate) mod output;

use anyhow::{Context, Result, bail};
use clap::{Args, Subcommand, ValueEnum};
use rlx_lm::{
    llama::{Loaded, load},
    store,
    tokenizer::Frame,
};
use rlx_runs::interrupt::Stop;
use rlx_runs::run_config::DeviceChoice;
use rlx_runs::run_config::torch;
use std::{
    path::{Path, PathBuf},
    process::ExitCode,
};
use tch::Device;

/// `rlx lm ...`
#[derive(Debug, Subcommand)]
pub enum Lm {
    /// Show a model's architecture and where its bytes are.
    Info(info::Info),
    /// Evaluate a model: likelihood of a text, accuracy on multiple-choice sets.
    #[command(
        after_help = "Examples:\n  rlx lm eval smollm2-135m --text held-out.txt\n  rlx lm eval OUT --text held-out.txt --reference smollm2-135m --json\n  rlx lm eval OUT --tasks strategyqa/task.json,mine.jsonl --items 500"
    )]
    Eval(eval::Eval),
    /// Continue a text, printed as it is generated.
    #[command(after_help = "Example:\n  rlx lm generate smollm2-135m --prompt \"The capital of France is\"")]
    Generate(generate::Generate),
    /// Prune and quantise all blocks alike, fine-tune adapters on a text, save.
    #[command(
        after_help = "Examples:\n  rlx lm prune smollm2-135m --ratio 0.2 --bits 4 --rank 8 -o OUT\n  rlx lm prune smollm2-135m --ratio 0.3 --bits 3 --rank 8 --text train.txt --steps 200 -o OUT\n  rlx lm prune smollm2-135m --ratio 0.2 --format gguf -o OUT.gguf"
    )]
    Prune(compress::Prune),
    /// Write the same model in another format: for llama.cpp, for transformers, or packed.
    #[command(
        after_help = "Examples:\n  rlx lm convert OUT --format gguf -o OUT.gguf\n  rlx lm convert OUT --format transformers -o FOLDER"
    )]
    Convert(convert::Convert),
}

/// Runs a subcommand of `rlx lm`.
pub fn run(command: &Lm, runs: &Path) -> Result<ExitCode> {
    let stop = Stop::install()?;
    match command {
        Lm::Info(args) => info::run(args, runs),
        Lm::Eval(args) => eval::run(args, runs, &stop),
        Lm::Generate(args) => generate::run(args, runs, &stop),
        Lm::Prune(args) => compress::run(args, runs, &stop),
        Lm::Convert(args) => convert::run(args, runs),
    }?;
    Ok(ExitCode::SUCCESS)
}

/// The model that a run has left; none where the folder is no run.
fn left(run: &Path) -> Result<Option<PathBuf>> {
    if !run.join("config.toml").is_file() || run.join("config.json").exists() {
        return Ok(None);
    }
    let model = run.join("model");
    if model.join("config.json").is_file() {
        return Ok(Some(model));
    }
    refuse!("the run {} has no model/: runs that compress a model leave one when they are finished", run.display())
}

/// The file or folder of a model: a path, a run that has left one, or a name from the cache.
fn find(model: &str, runs: &Path) -> Result<PathBuf> {
    let path = Path::new(model);
    if path.exists()
        && let Some(found) = left(path)?
    {
        return Ok(found);
    }
    if !path.exists()
        && !model.is_empty()
        && let Some(found) = left(&runs.join(model))?
    {
        return Ok(found);
    }
    Ok(store::find_model(model, &store::cache_dir())?)
}

/// Where a model runs.
#[derive(Debug, Args)]
struct On {
    /// Device of tensors: cpu, cuda, or auto (CUDA if there is one).
    #[arg(long, default_value = "cpu", value_parser = ["cpu", "cuda", "auto"])]
    device: String,
}

impl On {
    fn device(&self) -> Result<Device> {
        Ok(torch(serde_json::from_value::<DeviceChoice>(self.device.as_str().into())?.device()?))
    }
}

fn open(model: &str, runs: &Path, device: Device) -> Result<Loaded> {
    let mut loaded = load(&find(model, runs)?)?;
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

/// Whether a text begins with the model's token for that (BOS).
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Bos {
    /// As the model's own files say; an end token that they put after a text included.
    File,
    /// Always.
    Always,
    /// Never.
    Never,
}

impl Bos {
    /// What goes before and after a text.
    fn frame(self, loaded: &Loaded) -> Result<Frame> {
        let tokenizer = loaded.tokenizer()?;
        Ok(match self {
            Self::File => tokenizer.frame().context("--bos always or never settles what is in doubt")?.clone(),
            Self::Never => Frame::default(),
            Self::Always => {
                let bos = tokenizer.bos().or(loaded.model.config.bos);
                let bos =
                    bos.with_context(|| format!("--bos always: {} names no such token", loaded.path.display()))?;
                Frame { before: vec![bos], after: Vec::new() }
            }
        })
    }
}

/// `<s> (1)`, or that there is none.
fn tokens_text(loaded: &Loaded, ids: &[u32]) -> String {
    let name = |id: &u32| loaded.tokenizer.as_ref().and_then(|t| t.token(*id)).unwrap_or_default();
    let all: Vec<String> = ids.iter().map(|id| format!("{} ({id})", name(id))).collect();
    if all.is_empty() { "no special token".into() } else { all.join(" ") }
}

/// What is read before a model is loaded: a file that is not there is not worth the wait.
enum Input {
    /// A text.
    Text(String),
    /// Token ids.
    Ids(Vec<u32>),
}

impl Input {
    /// A text, or numbers between spaces, commas and brackets; none where neither is named.
    fn read(text: Option<&Path>, ids: Option<&Path>) -> Result<Option<Self>> {
        if let Some(path) = text {
            let text = rlx::read_text(path)?;
            if text.is_empty() {
                bail!("{} is empty", path.display());
            }
            return Ok(Some(Self::Text(text)));
        }
        let Some(path) = ids else { return Ok(None) };
        let body = rlx::read_text(path)?;
        let parts = body.split(|c: char| c.is_whitespace() || ",[]".contains(c)).filter(|p| !p.is_empty());
        let parse = |p: &str| p.parse().map_err(|_| anyhow::anyhow!("{}: '{p}' is not a token id", path.display()));
        Ok(Some(Self::Ids(parts.map(parse).collect::<Result<_>>()?)))
    }

    /// Its token ids; a text within its frame.
    fn ids(&self, loaded: &Loaded, frame: &Frame) -> Result<Vec<u32>> {
        Ok(match self {
            Self::Text(text) => frame.around(loaded.tokenizer()?.encode(text)?),
            Self::Ids(ids) => ids.clone(),
        })
    }
}
