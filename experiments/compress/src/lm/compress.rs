//! `rlx lm prune`: one choice for all blocks.
use crate::lm::{Input, On, find, open, output::Output, peak_text};
use anyhow::Result;
use clap::Args;
use rlx::{refuse, say};
use rlx_lm::{
    llama::{
        compress::{Compressor, Criterion, Plan, importance, moments},
        head::head,
        likelihood::Windows,
        recover::{Recovery, Trainer},
    },
    quant::{Rounding, Scheme},
    tokenizer::Frame,
};
use rlx_plot::text::thousands;
use rlx_runs::{answer::print, interrupt::Stop};
use std::path::{Path, PathBuf};

/// `rlx lm prune MODEL`
#[derive(Debug, Args)]
pub struct Prune {
    /// A GGUF file, a folder, a run that has left a model, or a name from the cache.
    model: String,
    #[command(flatten)]
    output: Output,
    /// Share of the kv groups and channels that goes; 0 to 0.95.
    #[arg(long, default_value_t = 0.2)]
    ratio: f64,
    /// How the projections are stored: 16, 8, 4, 3, 2, nf4, or a scheme such as q4s-g64.
    #[arg(long, default_value = "4")]
    bits: Scheme,
    /// How the embedding and head are stored.
    #[arg(long, default_value = "8")]
    embedding: Scheme,
    /// Rank of the adapters, 0 to 32; LoftQ's start.
    #[arg(long, default_value_t = 0)]
    rank: usize,
    /// Blocks at the beginning that keep their widths.
    #[arg(long, default_value_t = 4)]
    first: usize,
    /// Blocks at the end that keep theirs.
    #[arg(long, default_value_t = 2)]
    last: usize,
    /// How groups are scored; by default taylor-first on a text, magnitude without one.
    #[arg(long, value_parser = ["taylor-first", "taylor-second", "magnitude", "activation", "random"])]
    criterion: Option<String>,
    /// Text to score groups, round and recover on.
    #[arg(long, value_name = "FILE")]
    text: Option<PathBuf>,
    /// Round by GPTQ on the text instead of to the nearest level.
    #[arg(long, requires = "text")]
    gptq: bool,
    /// Updates of the adapters on the text.
    #[arg(long, default_value_t = 0)]
    steps: u64,
    /// Their highest learning rate.
    #[arg(long, default_value_t = 3e-4)]
    learning_rate: f64,
    /// Chooses windows and random scores.
    #[arg(long, default_value_t = 0)]
    seed: u64,
    #[command(flatten)]
    on: On,
}

/// Windows of training, and of scoring: LLM-Pruner's 64 tokens, 10 of them.
const TRAINED: usize = 256;
const SCORED: usize = 64;
const SAMPLES: usize = 10;

/// Compresses a model.
pub fn run(args: &Prune, runs: &Path, stop: &Stop) -> Result<()> {
    args.output.check()?;
    if !(0.0..=0.95).contains(&args.ratio) {
        refuse!("--ratio {}: it must be 0 to 0.95", args.ratio);
    }
    if args.steps > 0 && (args.text.is_none() || args.rank == 0) {
        refuse!("--steps trains adapters on a text: it needs --text FILE and --rank of 1 at least");
    }
    let named = args.criterion.as_deref().unwrap_or(if args.text.is_some() { "taylor-first" } else { "magnitude" });
    let criterion: Criterion = serde_json::from_value(named.into())?;
    let asked = &|| stop.asked();
    let input = Input::read(args.text.as_deref(), None)?;
    if input.is_none() && !matches!(criterion, Criterion::Magnitude | Criterion::Random) {
        refuse!("--criterion {named} scores on a text: say --text FILE, or --criterion magnitude");
    }
    let loaded = open(&args.model, runs, args.on.device()?)?;
    // What cannot be written is refused before the work is done, not after.
    let notes = args.output.notes(&loaded.model, loaded.tokenizer.as_ref())?;
    let ids = match &input {
        Some(input) => input.ids(&loaded, &Frame::default())?,
        None => vec![0; SCORED],
    };
    let calibration = Windows::new(&ids[..ids.len().min(SCORED * SAMPLES)], SCORED)?;
    let scores = importance(&loaded.model, &calibration, criterion, args.seed, asked)?;
    let gathered = args.gptq.then(|| moments(&loaded.model, &calibration, asked)).transpose()?;
    let mut compressor = Compressor::new(loaded.model.clone(), scores, Rounding::Clipped, gathered, args.seed)?;
    let plan = Plan::uniform(&loaded.model, args.ratio, args.bits, args.rank, (args.first, args.last), args.embedding);
    let mut model = compressor.build(&plan)?;
    if args.steps > 0 {
        let config =
            Recovery { steps: args.steps, learning_rate: args.learning_rate, seed: args.seed, ..Recovery::default() };
        let mut trainer = Trainer::new(&model, config)?;
        let windows = Windows::new(&ids, TRAINED)?;
        trainer.run(&windows, asked, &mut |s| {
            if s.step % 10 == 0 || s.step == args.steps {
                say!("step {} of {}: loss {:.4}", s.step, args.steps, s.loss);
            }
        })?;
        model = trainer.model();
    }
    let tokenizer = loaded.tokenizer.as_ref();
    let written = args.output.whole(|part| args.output.write(&model, tokenizer, part))?;
    let source = find(&args.model, runs)?;
    let dense = match source.is_file() {
        true => format!(" (it was {})", thousands(head(&source)?.bytes)),
        false => String::new(),
    };
    notes.iter().for_each(|note| say!("note: {note}"));
    print(&format!("{}: {}{dense}{}\n", args.output.path.display(), written.what, peak_text()))
}
