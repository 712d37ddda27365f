//! `rlx play`, `rlx record` and `rlx league`.
use super::{
    agent::Agent,
    duplicate::Match,
    guide, league,
    play::{self, Table},
    record,
    text::Lang,
    tui::{self, Look},
};
use crate::{film::record::RecordArgs, interrupt::Stop, progress::Counting};
use anyhow::{Context, Result};
use clap::Args;
use rlx::{Registry, Rng};
use rlx_red10::{Rules, SEATS};
use std::{
    io::{self, BufReader, Read, Write},
    path::{Path, PathBuf},
    process::ExitCode,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
        mpsc,
    },
    time::Duration,
};

/// Who plays where nobody is named.
pub const DEFAULT_AGENT: &str = super::pretrained::NAME;

/// `rlx play`.
#[derive(Debug, Args)]
pub struct Play {
    /// The game: red10.
    #[arg(value_parser = ["red10"], required_unless_present = "replay")]
    game: Option<String>,
    /// Who plays the other seats, a run or a bot (`rlx list bots`): one for all, or one per seat in the order of play, as greedy,random,belief or by --agent for each.
    #[arg(long, value_name = "RUN|BOT", default_value = DEFAULT_AGENT)]
    agent: Vec<String>,
    /// Your seat.
    #[arg(long, default_value_t = 0, value_parser = clap::value_parser!(u8).range(0..=3))]
    seat: u8,
    /// Watch the agents instead of playing.
    #[arg(long)]
    watch: bool,
    /// The rules: folk4, where red tens may be shown at the start, or paper, where the teams stay hidden; --rules-page explains both.
    #[arg(long, default_value = "folk4", value_parser = ["paper", "folk4"])]
    rules: String,
    /// Seed of the deals, to play the same ones again [default: another at every start, from the clock; it is shown].
    #[arg(long)]
    seed: Option<u64>,
    /// Print the rules as a page to read, and play nothing.
    #[arg(long)]
    rules_page: bool,
    /// Show what the agent thinks of who is with you.
    #[arg(long)]
    beliefs: bool,
    /// Lines of text instead of the terminal table: for pipes and screen readers. So it is, too, where there is no terminal.
    #[arg(long)]
    plain: bool,
    /// Language of the table: en or zh [default: what LC_ALL, LC_MESSAGES or LANG says].
    #[arg(long, value_parser = ["en", "zh"])]
    lang: Option<String>,
    /// How long agents wait before a move, and replays between two (+ and - change it).
    #[arg(long, default_value = "800ms", value_parser = humantime::parse_duration, value_name = "TIME")]
    delay: Duration,
    /// Write the games to this file, which must not be there yet: JSON lines, see docs/red10/records.md.
    #[arg(long, value_name = "FILE")]
    log: Option<PathBuf>,
    /// Show recorded games again: step forward and back, or let them play.
    #[arg(long, value_name = "FILE")]
    replay: Option<PathBuf>,
    /// Which game comes first, from 1 on: of the seed's deals or, with --replay, of the file.
    #[arg(long, default_value_t = 1, allow_negative_numbers = true, value_parser = crate::flags::count::<u64>(1..))]
    number: u64,
}

/// `rlx league`.
#[derive(Debug, Args)]
pub struct LeagueArgs {
    /// Runs and bots (`rlx list bots`), two or more: every pair of them plays.
    #[arg(required = true, value_name = "RUN|BOT")]
    pub agents: Vec<String>,
    /// Decks, the same for every pair, each played 16 times (4 rotations, red and black swapped, mixed teams).
    #[arg(long, default_value_t = 1000, allow_negative_numbers = true, value_parser = crate::flags::count::<u64>(1..=1_000_000))]
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
    // `greedy,random` is two of them; a path may have a comma in it.
    let apart = |n: &String| match Path::new(n).exists() {
        true => vec![n.clone()],
        false => n.split(',').map(|n| n.trim().to_owned()).collect(),
    };
    let names: Vec<String> = names.iter().flat_map(apart).collect();
    if names.len() != 1 && names.len() != others.len() {
        refuse!(
            "--agent names {} players: it must be one for all, or {}, one per seat in the order of play",
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

/// Runs `rlx play`; code 130 when Ctrl-C or a signal ended it.
///
/// # Errors
/// When an agent, a log or a replay fails.
pub fn run_play(registry: &Registry, runs: &Path, args: &Play) -> Result<ExitCode> {
    let lang = match args.lang.as_deref() {
        Some("zh") => Lang::Zh,
        Some(_) => Lang::En,
        None => Lang::of_environment(|k| std::env::var(k).ok()),
    };
    // https://no-color.org: whatever it is set to, unless that is nothing.
    let color = std::env::var_os("NO_COLOR").is_none_or(|v| v.is_empty());
    let look = Look { lang, delay: args.delay, color };
    let plain = args.plain || !tui::possible();
    let number = usize::try_from(args.number).context("--number")?;
    if let Some(file) = &args.replay {
        if plain {
            play::replay(&record::read(file, number)?, lang, &mut io::stdout().lock())?;
            return Ok(ExitCode::SUCCESS);
        }
        return Ok(code(tui::replay(file, number, look, &*tui::signals()?)?));
    }
    let rules = rules(&args.rules);
    if args.rules_page {
        write!(io::stdout(), "{}", guide::markdown(&rules, lang))?;
        return Ok(ExitCode::SUCCESS);
    }
    let human = (!args.watch).then_some(usize::from(args.seat));
    let (mut agents, seats, names) = seats(registry, runs, &args.agent, human, &rules)?;
    let table = Table {
        rules,
        human,
        names,
        seats,
        seed: args.seed.unwrap_or_else(fresh_seed),
        first: args.number - 1,
        beliefs: args.beliefs,
        log: args.log.clone(),
    };
    // From here on a signal leaves politely.
    let stop = tui::signals()?;
    if !plain {
        return Ok(code(tui::play(&table, &mut agents, 0, look, &stop)?));
    }
    let mut input = BufReader::new(Lines::new(stop.clone()));
    play::play(&table, &mut agents, 0, lang, &mut input, &mut io::stdout().lock())?;
    Ok(code(!stop.load(Ordering::Relaxed)))
}

/// A seed for somebody who gave none: from the clock, and short enough to be typed again.
fn fresh_seed() -> u64 {
    let clock = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).map_or(0, |t| t.as_nanos() as u64);
    Rng::stream(clock, u64::from(std::process::id())).below(1_000_000) as u64
}

fn code(left: bool) -> ExitCode {
    if left { ExitCode::SUCCESS } else { ExitCode::from(130) }
}

/// Standard input that ends when a signal asks for it: a read that waits would not hear it.
struct Lines {
    stop: Arc<AtomicBool>,
    chunks: mpsc::Receiver<io::Result<Vec<u8>>>,
    rest: Vec<u8>,
}

impl Lines {
    fn new(stop: Arc<AtomicBool>) -> Self {
        // One chunk ahead, so that an endless input does not fill the memory.
        let (send, chunks) = mpsc::sync_channel(1);
        // It ends with the input, or with the program.
        std::thread::spawn(move || {
            loop {
                let mut chunk = vec![0; 4096];
                let read = io::stdin().read(&mut chunk);
                let last = !matches!(read, Ok(n) if n > 0);
                let sent = send.send(read.map(|n| chunk[..n].to_vec()));
                if last || sent.is_err() {
                    return;
                }
            }
        });
        Self { stop, chunks, rest: Vec::new() }
    }
}

impl Read for Lines {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        while self.rest.is_empty() {
            if self.stop.load(Ordering::Relaxed) {
                return Ok(0);
            }
            match self.chunks.recv_timeout(Duration::from_millis(50)) {
                Ok(chunk) => self.rest = chunk?,
                Err(mpsc::RecvTimeoutError::Timeout) => continue,
                Err(mpsc::RecvTimeoutError::Disconnected) => return Ok(0),
            }
            if self.rest.is_empty() {
                return Ok(0);
            }
        }
        let n = self.rest.len().min(out.len());
        out[..n].copy_from_slice(&self.rest[..n]);
        self.rest.drain(..n);
        Ok(n)
    }
}

/// Runs `rlx record red10`; what it returns is said of it.
///
/// # Errors
/// When an agent fails or the file is there already.
pub fn run_record(registry: &Registry, runs: &Path, args: &RecordArgs) -> Result<String> {
    let rules = rules(args.rules.as_deref().unwrap_or("paper"));
    let by_itself = [DEFAULT_AGENT.to_owned()];
    let names = if args.agent.is_empty() { &by_itself[..] } else { &args.agent };
    let (mut agents, of, names) = seats(registry, runs, names, None, &rules)?;
    let games = args.games.unwrap_or(1);
    record::record(&names, &mut agents, of, &rules, games, args.seed, &args.output)?;
    Ok(format!("{}: {games} games, seed {}\n", args.output.display(), args.seed))
}
