//! `rlx export`.
use super::Context;
use rlx::say;
use rlx_runs::{
    answer::{Answer, printed},
    export, trained,
};
use std::path::PathBuf;

/// `rlx export`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The run: its folder or its name.
    run: String,
    /// The file to write; by default `<run>.safetensors` here.
    #[arg(long, short, value_name = "FILE")]
    output: Option<PathBuf>,
    /// The checkpoint: best, last or a step.
    #[arg(long, default_value = "best")]
    checkpoint: String,
    /// In half precision, and only what is needed to act: a small file to play against.
    #[arg(long)]
    half: bool,
}

/// Writes a run's policy.
pub fn run(context: &Context<'_>, args: &Args) -> Answer {
    let warn = &mut |w| say!("warning: {w}");
    let (dir, experiment, learner, checkpoint) =
        trained::load(context.registry, &context.runs, &args.run, &args.checkpoint, warn)?;
    let path = args.output.clone().unwrap_or_else(|| PathBuf::from(format!("{}.safetensors", dir.name())));
    let mut policy = learner.export()?;
    policy.about.push(("run".into(), dir.name()));
    policy.about.push(("step".into(), checkpoint.step().to_string()));
    policy.about.push(("rlx".into(), env!("CARGO_PKG_VERSION").into()));
    policy.about.push(("config".into(), experiment.to_toml()));
    export::write(&policy, &path, args.half)?;
    printed(&format!("{}: the policy of {} at step {}\n", path.display(), dir.name(), checkpoint.step()))
}
