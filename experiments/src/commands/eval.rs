//! `rlx eval`.
use super::{Context, meeting};
use anyhow::{Context as _, anyhow};
use rlx::{EvalPlan, Mode, Outcome, say, shown};
use rlx_plot::text::{quoted, thousands};
use rlx_runs::{
    answer::{Answer, print, printed, usage},
    evaluate::evaluate,
    flags,
    interrupt::Stop,
    progress::Progress,
    run_dir, trained,
};
use serde_json::json;
use std::{io::IsTerminal, process::ExitCode};

/// `rlx eval`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The run: its folder or its name.
    pub run: String,
    /// Episodes to play.
    #[arg(long, default_value_t = 100, allow_negative_numbers = true, value_parser = flags::count::<u64>(1..=10_000_000))]
    episodes: u64,
    /// The checkpoint: best, last or a step.
    #[arg(long, default_value = "best")]
    pub checkpoint: String,
    /// Seed of the episodes; by default apart from all that training and its evaluations used.
    #[arg(long, default_value_t = 1_000_000)]
    pub seed: u64,
    /// Draw actions as in training instead of the best ones.
    #[arg(long, conflicts_with = "vs")]
    explore: bool,
    /// In another setting of the environment than the run's own (`eval_set`), which the policy sees and acts on alike.
    #[arg(long, value_name = "KEY=VALUE", conflicts_with = "vs")]
    set: Vec<String>,
    /// Let the run meet this bot (`rlx list bots`) or run, by the rules and judgement of their game.
    #[arg(long, value_name = "RUN|BOT")]
    vs: Option<String>,
    /// Print JSON: run, checkpoint_step, episodes, seed, mode, set, return, length, metrics; estimates as {mean, low, high, median, std, min, max, count}.
    #[arg(long)]
    pub json: bool,
}

/// Evaluates a run's policy.
pub fn run(context: &Context<'_>, args: &Args) -> Answer {
    if let Some(vs) = &args.vs {
        return meeting::versus(context, args, vs);
    }
    if let Some(flag) = context.options.first() {
        return Err(usage(anyhow!("{flag} is for two agents: rlx eval RUN --vs OTHER")));
    }
    let stop = Stop::install()?;
    let warn = &mut |w| say!("warning: {w}");
    let (dir, mut experiment, mut learner, checkpoint) =
        trained::load(context.registry, &context.runs, &args.run, &args.checkpoint, warn)?;
    if args.explore && experiment.world.parts.evaluator.as_ref().is_some_and(|e| e.greedy_only()) {
        return Err(usage(anyhow!(
            "--explore: in {} agents are judged by their best moves alone",
            experiment.world.name
        )));
    }
    experiment.judge_in(&args.set).context("--set").map_err(usage)?;
    let mode = if args.explore { Mode::Explore } else { Mode::Greedy };
    let plan = EvalPlan { episodes: args.episodes as usize, seed: args.seed, mode };
    let report = dir.path().join("report/report.html");
    // What is measured may take minutes: it is heard of, wherever standard error goes.
    if !args.json && (std::io::stderr().is_terminal() || report.exists()) {
        say!("playing {} episodes", args.episodes);
    }
    let tell = (!args.json).then(|| Progress::new(0, false).teller());
    let outcome = evaluate(&experiment, learner.policy(), plan, &stop, tell)?;
    if args.json {
        let out = json!({
            "run": dir.path(),
            "env": experiment.world.name,
            "algo": experiment.algo.name,
            "checkpoint_step": checkpoint.step(),
            "episodes": outcome.returns.count,
            "seed": args.seed,
            "mode": mode,
            "set": args.set,
            "return": outcome.returns,
            "length": outcome.length,
            "metrics": outcome.metrics,
        });
        return printed(&format!("{out:#}\n"));
    }
    let (step, n) = (thousands(checkpoint.step()), outcome.returns.count);
    let set = if args.set.is_empty() { String::new() } else { format!(", {}", args.set.join(", ")) };
    let which = run_dir::which(&args.checkpoint, &checkpoint);
    let unit = experiment.world.parts.unit();
    print(&format!("{}, {which} at step {step}, {n} {unit}{set}\n{}", dir.name(), lines(&outcome)))?;
    if report.exists() {
        say!("{} says more: all that was measured, and the front", report.display());
        let run = quoted(&dir.path().display().to_string());
        let after = experiment.world.parts.on_finish.as_ref();
        after.map(|a| a.next(&run, &experiment.env)).unwrap_or_default().iter().for_each(|line| say!("  {line}"));
    }
    Ok(ExitCode::SUCCESS)
}

fn lines(outcome: &Outcome) -> String {
    let metrics = outcome.metrics.iter().map(|(n, e)| (n.as_str(), e));
    let all = [("return", &outcome.returns), ("length", &outcome.length)].into_iter().chain(metrics);
    let line = |(name, e): (&str, &rlx::Estimate)| {
        let show = |x: f64| if name == "bytes" { in_megabytes(x) } else { format!("{x:.2}") };
        format!(
            "{name:16} {} {}  median {}, {} to {}\n",
            show(e.mean),
            shown(e.low, e.high, show),
            show(e.median),
            show(e.min),
            show(e.max)
        )
    };
    all.map(line).collect()
}

/// Bytes for people.
fn in_megabytes(bytes: f64) -> String {
    // Small models would all be 0.1 MB.
    let decimals = if bytes < 1e6 { 3 } else { 1 };
    format!("{:.decimals$} MB", bytes / 1e6)
}
