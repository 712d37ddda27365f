//! `rlx lm convert`: the same model in another format.
use crate::lm::open;
use crate::lm::output::Output;
use crate::lm::peak_text;
use anyhow::Result;
use clap::Args;
use rlx::say;
use rlx_runs::answer::print;
use std::path::Path;

/// `rlx lm convert MODEL`
#[derive(Debug, Args)]
pub struct Convert {
    /// A GGUF file, a folder, a run that has left a model, or a name from the cache.
    model: String,
    #[command(flatten)]
    output: Output,
}

/// Writes the model anew.
pub fn run(args: &Convert, runs: &Path) -> Result<()> {
    args.output.check()?;
    let loaded = open(&args.model, runs, tch::Device::Cpu)?;
    let tokenizer = loaded.tokenizer.as_ref();
    for note in args.output.notes(&loaded.model, tokenizer)? {
        say!("note: {note}");
    }
    let written = args.output.whole(|part| args.output.write(&loaded.model, tokenizer, part))?;
    print(&format!("{}: {}{}\n", args.output.path.display(), written.what, peak_text()))
}
