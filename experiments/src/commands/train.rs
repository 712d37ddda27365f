//! `rlx train`.
use super::Context;
use anyhow::{Context as _, Result, anyhow};
use rlx::{OnFinish, Registry, Table, say};
use rlx_plot::text::{quoted, thousands};
use rlx_runs::{
    answer::{Answer, INTERRUPTED, print, usage},
    experiment::{Experiment, Request},
    interrupt::Stop,
    progress::{Progress, in_a_line},
    run_dir::RunDir,
    summary::Summary,
    train::{self, Trainer},
};
use serde_json::json;
use std::{
    path::{Path, PathBuf},
    process::ExitCode,
    sync::Arc,
    time::Duration,
};

/// `rlx train`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The environment: see `rlx list envs`.
    #[arg(long)]
    env: Option<String>,
    /// The algorithm: see `rlx list algos`.
    #[arg(long)]
    algo: Option<String>,
    /// Tuned choices to start from: see `rlx list presets`; by default the first for the environment and algorithm, `none` for plain defaults.
    #[arg(long)]
    preset: Option<String>,
    /// A config file (TOML), such as the config.toml of another run.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Set a key of the run, the environment or the algorithm: see `rlx list algos ppo`.
    #[arg(long, value_name = "KEY=VALUE")]
    set: Vec<String>,
    /// Seed of everything random.
    #[arg(long, allow_negative_numbers = true)]
    seed: Option<String>,
    /// Environment steps to train for: 1e6, 500_000.
    #[arg(long, allow_negative_numbers = true)]
    steps: Option<String>,
    /// Time to train for at most, over all starts of the run: 90s, 30m, 2h.
    #[arg(long, allow_hyphen_values = true)]
    time: Option<String>,
    /// Where tensors live: cpu, cuda or auto.
    #[arg(long)]
    device: Option<String>,
    /// Threads for environments and tensors.
    #[arg(long, allow_negative_numbers = true)]
    threads: Option<String>,
    /// The run's name; by default the time.
    #[arg(long)]
    name: Option<String>,
    /// Start from the policy of another run.
    #[arg(long, value_name = "RUN")]
    init_from: Option<String>,
    /// Resume a run from its newest checkpoint; with --steps also past its first end.
    #[arg(long, value_name = "RUN")]
    resume: Option<String>,
    /// Print the summary as JSON on standard output.
    #[arg(long)]
    json: bool,
    /// Show nothing but warnings and errors.
    #[arg(long, short)]
    quiet: bool,
}

/// The flags that stand for a key of the run.
fn flags(args: &Args) -> Result<Vec<(&'static str, String)>> {
    let mut flags: Vec<(&'static str, String)> = Vec::new();
    let pairs = [
        ("seed", &args.seed),
        ("steps", &args.steps),
        ("device", &args.device),
        ("threads", &args.threads),
        ("init_from", &args.init_from),
    ];
    flags.extend(pairs.into_iter().filter_map(|(key, value)| Some((key, value.clone()?))));
    if let Some(text) = &args.time {
        let time = humantime::parse_duration(text)
            .with_context(|| format!("--time {text}: it must be like 90s, 30m or 2h"))?;
        flags.push(("time_s", time.as_secs_f64().to_string()));
    }
    Ok(flags)
}

/// Trains until the end, Ctrl-C, or the time limit.
pub fn run(context: &Context<'_>, args: Args) -> Answer {
    let (registry, runs) = (context.registry, context.runs.as_path());
    let flags = flags(&args).map_err(usage)?;
    let stop = Stop::install()?;
    let mut progress = Progress::new(0, args.quiet);
    let trainer = match &args.resume {
        Some(run) => {
            let given = [args.env.is_some(), args.algo.is_some(), args.preset.is_some(), args.config.is_some()];
            if given.contains(&true) || !args.set.is_empty() || args.name.is_some() {
                return Err(usage(anyhow!(
                    "--resume goes on with the run's own environment, algorithm and config: leave --env, --algo, --preset, --config, --set and --name out"
                )));
            }
            train::check_resume_flags(&flags).map_err(usage)?;
            set_threads(registry, runs, run)?;
            Trainer::resume(registry, runs, run, flags, &mut progress, &stop)?
        }
        None => {
            let read = |path: &PathBuf| {
                std::fs::read_to_string(path).with_context(|| format!("reading {}", path.display())).map_err(usage)
            };
            let config = args.config.as_ref().map(read).transpose()?;
            let request = Request { env: args.env, algo: args.algo, preset: args.preset, config, set: args.set, flags };
            let experiment = Experiment::new(registry, &request).map_err(usage)?;
            experiment.device().map_err(usage)?;
            build_pool(experiment.run.threads)?;
            Trainer::start(registry, runs, experiment, args.name.as_deref(), &mut progress, &stop).map_err(usage)?
        }
    };
    greet(&trainer, args.quiet);
    let (run, experiment) = (trainer.dir().path().to_owned(), trainer.experiment());
    let unit = experiment.world.parts.unit();
    let after = experiment.world.parts.on_finish.clone().map(|after| (after, experiment.env.clone()));
    let summary = trainer.run()?;
    if let Some((after, env)) = after.as_ref().filter(|_| summary.status == "finished")
        && let Some(did) = after.finished(&run, env)?.filter(|_| !args.quiet)
    {
        say!("{did}");
    }
    if args.json {
        print(&format!("{:#}\n", json!(summary)))?;
    }
    if !args.quiet {
        farewell(&summary, unit, after.as_ref());
    }
    Ok(if summary.status == "interrupted" { ExitCode::from(INTERRUPTED) } else { ExitCode::SUCCESS })
}

fn build_pool(threads: usize) -> Result<()> {
    rayon::ThreadPoolBuilder::new().num_threads(threads).build_global().context("starting threads")
}

/// A resumed run has the threads it started with: results depend on them only through libtorch, but they may.
fn set_threads(registry: &Registry, runs: &Path, run: &str) -> Result<()> {
    let dir = RunDir::open(runs, run)?;
    build_pool(Experiment::from_toml(registry, &dir.config()?).map_or(1, |e| e.run.threads))
}

fn greet(trainer: &Trainer<'_>, quiet: bool) {
    if quiet {
        return;
    }
    let e = trainer.experiment();
    let preset = if e.run.preset.is_empty() { String::new() } else { format!(", preset {}", e.run.preset) };
    let from = if trainer.step() > 0 { format!(" from step {}", thousands(trainer.step())) } else { String::new() };
    // By itself a number of steps says nothing of a run that ends by its time.
    let bound = match Duration::try_from_secs_f64(e.run.time_s) {
        Ok(time) if !time.is_zero() => format!(" for at most {}", humantime::format_duration(time)),
        _ => String::new(),
    };
    say!(
        "{} in {} (seed {}{preset}): {} steps{from}{bound}, into {}\nCtrl-C stops and saves; a second one stops at once.",
        e.algo.name,
        e.world.name,
        e.run.seed,
        thousands(e.run.steps),
        trainer.dir().path().display()
    );
}

fn farewell(s: &Summary, unit: &str, after: Option<&(Arc<dyn OnFinish>, Table)>) {
    let value = s.episodic_return.map_or(String::new(), |r| format!(", return {r:.1} over the last 100 episodes"));
    say!("{} after {} steps in {:.1} s{value}", s.status, thousands(s.steps), s.elapsed_s);
    if let Some(eval) = &s.eval {
        say!("held-out {}", in_a_line(eval, unit));
    }
    let next = if s.status == "finished" { "--steps N goes on past its end" } else { "goes on" };
    // Only what works is suggested: without a checkpoint there is no policy to be asked.
    let run = Path::new(&s.run);
    let store = rlx::checkpoint::Store::new(run.join("checkpoints"));
    let saved = ["step", "best"].iter().any(|label| store.steps(label).is_ok_and(|steps| !steps.is_empty()));
    let report = run.join("report/report.html");
    let shown = quoted(&s.run);
    say!("next:\n  rlx train --resume {shown}     # {next}\n  rlx tensorboard {shown}");
    // Measuring an objective's models again tells nothing that its report does not.
    if report.exists() {
        say!("  open {} in a browser", report.display());
    } else if saved {
        say!("  rlx eval {shown}");
    }
    for line in after.filter(|_| saved).map(|(after, env)| after.next(&shown, env)).unwrap_or_default() {
        say!("  {line}");
    }
}
