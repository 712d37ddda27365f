//! `rlx play`, `rlx record` and `rlx league`.
use super::{
    agent::Agent,
    duplicate::Match,
    league,
    play::{self, Table},
    record,
};
use crate::{interrupt::Stop, progress::Counting};
use anyhow::{Context, Result, bail};
use clap::Args;
use rlx::Registry;
use rlx_red10::{Rules, SEATS};
use std::{
    io::{self, Write},
    path::{Path, PathBuf},
};

/// `rlx play`.
#[derive(Debug, Args)]
pub struct Play {
    /// The game: red10.
    #[arg(value_parser = ["red10"], required_unless_present = "replay")]
    game: Option<String>,
    /// Who plays the other seats, a run or a bot (`rlx list bots`): one for all, or one per seat in the order of play.
    #[arg(long, value_name = "RUN|BOT", default_value = "greedy")]
    agent: Vec<String>,
    /// Your seat.
    #[arg(long, default_value_t = 0, value_parser = clap::value_parser!(u8).range(0..=3))]
    seat: u8,
    /// Watch the agents instead of playing.
    #[arg(long)]
    watch: bool,
    /// The rules: paper or folk4.
    #[arg(long, default_value = "folk4", value_parser = ["paper", "folk4"])]
    rules: String,
    /// Seed of the deals.
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// Show what the agent thinks of who is with you.
    #[arg(long)]
    beliefs: bool,
    /// Write the games to this file, which must not be there yet: JSON lines, see docs/red10-records.md.
    #[arg(long, value_name = "FILE")]
    log: Option<PathBuf>,
    /// Show a recorded game again.
    #[arg(long, value_name = "FILE")]
    replay: Option<PathBuf>,
    /// With --replay: which game of the file, from 1 on.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u64).range(1..))]
    number: u64,
}

/// `rlx record`.
#[derive(Debug, Args)]
pub struct RecordArgs {
    /// The game: red10.
    #[arg(value_parser = ["red10"])]
    game: String,
    /// Who plays, a run or a bot: one for all seats, or one per seat.
    #[arg(long, value_name = "RUN|BOT", default_value = "greedy")]
    agent: Vec<String>,
    /// Games.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u64).range(1..))]
    games: u64,
    /// Seed of the deals.
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// The rules: paper or folk4.
    #[arg(long, default_value = "paper", value_parser = ["paper", "folk4"])]
    rules: String,
    /// The file to write; it must not be there yet.
    #[arg(long, short, value_name = "FILE")]
    output: PathBuf,
}

/// `rlx league`.
#[derive(Debug, Args)]
pub struct LeagueArgs {
    /// Runs and bots (`rlx list bots`), two or more: every pair of them plays.
    #[arg(required = true, value_name = "RUN|BOT")]
    pub agents: Vec<String>,
    /// Decks, the same for every pair, each played 16 times (4 rotations, red and black swapped, mixed teams).
    #[arg(long, default_value_t = 1000, value_parser = clap::value_parser!(u64).range(1..=1_000_000))]
    decks: u64,
    /// Seed of the decks.
    #[arg(long, default_value_t = 1_000_000)]
    seed: u64,
    /// The rules: paper or folk4.
    #[arg(long, default_value = "paper", value_parser = ["paper", "folk4"])]
    rules: String,
    /// The checkpoint of the runs: best, last or a step.
    #[arg(long, default_value = "best")]
    checkpoint: String,
    /// Print JSON: rules, seed, decks, ratings: [{agent, rating, low, high, win}], pairs: [{a, b, win, score}].
    #[arg(long)]
    json: bool,
    /// Show no progress.
    #[arg(long, short)]
    quiet: bool,
}

/// Runs `rlx league`.
///
/// # Errors
/// When an agent fails, or on Ctrl-C.
pub fn run_league(registry: &Registry, runs: &Path, args: &LeagueArgs) -> Result<()> {
    let stop = Stop::install()?;
    let rules = rules(&args.rules);
    let open = |name: &String| Agent::open(registry, runs, name, &args.checkpoint, &rules);
    let mut agents = args.agents.iter().map(open).collect::<Result<Vec<_>>>()?;
    let pairs = (args.agents.len() * (args.agents.len() - 1) / 2) as u64;
    let mut progress = Counting::new("decks", pairs * args.decks, args.quiet);
    let mut each = |done| progress.tick(done);
    let of = Match { rules: &rules, decks: args.decks, seed: args.seed };
    let played = league::league(of, &args.agents, &mut agents, &|| stop.asked(), &mut each);
    progress.end();
    let played = played?;
    let mut out = io::stdout().lock();
    if args.json {
        let mut json = serde_json::json!({"rules": args.rules, "seed": args.seed});
        let fields = serde_json::to_value(&played)?;
        json.as_object_mut().into_iter().for_each(|o| o.extend(fields.as_object().cloned().unwrap_or_default()));
        writeln!(out, "{json:#}")?;
    } else {
        write!(
            out,
            "{} decks a pair, rules {}, seed {}\n\n{}",
            args.decks,
            args.rules,
            args.seed,
            league::text(&played)
        )?;
    }
    Ok(())
}

/// The rules of that name.
pub fn rules(name: &str) -> Rules {
    if name == "folk4" { Rules::folk4() } else { Rules::paper() }
}

/// Agents, which of them sits where, and their names by seat; `human` names no agent.
fn seats(
    registry: &Registry,
    runs: &Path,
    names: &[String],
    human: Option<usize>,
    rules: &Rules,
) -> Result<(Vec<Agent<'static>>, [usize; SEATS], [String; SEATS])> {
    let others: Vec<usize> = (0..SEATS).filter(|s| Some(*s) != human).collect();
    if names.len() != 1 && names.len() != others.len() {
        bail!(
            "--agent is given {} times: it must be once for all, or {} times, once per seat",
            names.len(),
            others.len()
        );
    }
    let agents = names.iter().map(|n| Agent::open(registry, runs, n, "last", rules)).collect::<Result<Vec<_>>>()?;
    let (mut of, mut labels) = ([0; SEATS], std::array::from_fn(|_| "human".to_owned()));
    for (k, &s) in others.iter().enumerate() {
        of[s] = if names.len() == 1 { 0 } else { k };
        labels[s] = names[of[s]].clone();
    }
    Ok((agents, of, labels))
}

/// Runs `rlx play`.
///
/// # Errors
/// When an agent, a log or a replay fails.
pub fn run_play(registry: &Registry, runs: &Path, args: &Play) -> Result<()> {
    let mut out = io::stdout().lock();
    if let Some(file) = &args.replay {
        let game = record::read(file, usize::try_from(args.number).context("--number")?)?;
        return play::replay(&game, &mut out);
    }
    let rules = rules(&args.rules);
    let human = (!args.watch).then_some(usize::from(args.seat));
    let (mut agents, seats, names) = seats(registry, runs, &args.agent, human, &rules)?;
    let table = Table { rules, human, names, seats, seed: args.seed, beliefs: args.beliefs, log: args.log.clone() };
    play::play(&table, &mut agents, 0, &mut io::stdin().lock(), &mut out)
}

/// Runs `rlx record`.
///
/// # Errors
/// When an agent fails or the file is there already.
pub fn run_record(registry: &Registry, runs: &Path, args: &RecordArgs) -> Result<()> {
    let rules = rules(&args.rules);
    let (mut agents, of, names) = seats(registry, runs, &args.agent, None, &rules)?;
    record::record(&names, &mut agents, of, &rules, args.games, args.seed, &args.output)?;
    writeln!(io::stdout(), "{}: {} games", args.output.display(), args.games)?;
    Ok(())
}
