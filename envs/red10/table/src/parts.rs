//! What the world brings to the program: `rlx eval`, `rlx league`, `rlx record` and `rlx play` of Red-10.
use crate::{
    agent::{Agent, WORLD},
    bound, duplicate, guide,
    input::Lines,
    league, play, pretrained, record, report,
    text::Lang,
    tui::{self, Look},
};
use anyhow::{Context, Result};
use rlx::{
    EvalPlan, Evaluator, Host, Meeting, OnFinish, Outcome, Playable, Policy, Recorder, Registry, Report, Rng, Table,
    config::{Keys, from_map},
    refuse,
};
use rlx_red10::{Rules, SEATS, bots};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;
use std::{
    io::{self, BufReader, Write},
    path::{Path, PathBuf},
    sync::atomic::Ordering,
};

/// Adds the table to the world, which is registered already.
pub fn register(registry: &mut Registry) {
    let parts = registry.of(WORLD);
    parts.evaluator(AgainstBots).arena(DuplicateDeals).recorder(Games).playable(Terminal).on_finish(Next);
    parts.bots(&bots::BOTS).bots(&[(pretrained::NAME, pretrained::ABOUT)]);
}

/// The rules of a table.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum RulesName {
    /// The teams stay hidden.
    #[default]
    Paper,
    /// Red tens may be shown at the start.
    Folk4,
}

impl RulesName {
    fn rules(self) -> Rules {
        match self {
            Self::Paper => Rules::paper(),
            Self::Folk4 => Rules::folk4(),
        }
    }
    fn word(self) -> &'static str {
        match self {
            Self::Paper => "paper",
            Self::Folk4 => "folk4",
        }
    }
}

/// A return of self-play says nothing: there it is the payoff against bots.
struct AgainstBots;

impl Evaluator for AgainstBots {
    fn evaluate(
        &self,
        env: &Table,
        policy: &mut dyn Policy,
        plan: EvalPlan,
        stop: &dyn Fn() -> bool,
    ) -> Result<Outcome> {
        duplicate::against_bots(&from_map(env)?, policy, plan, stop)
    }
    fn unit(&self) -> &'static str {
        "decks"
    }
    fn greedy_only(&self) -> bool {
        true
    }
}

/// How agents meet.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
struct Deals {
    /// Decks, each played 16 times (4 rotations, red and black swapped, mixed teams).
    #[schemars(range(min = 1, max = 1_000_000))]
    decks: u64,
    /// The rules of the table.
    rules: RulesName,
    /// Also the exact-belief bound on guesses of who is with whom, by the run's own network, at this many positions of its own games; 0 for none.
    #[schemars(range(max = 1_000_000))]
    bound: u64,
}

impl Default for Deals {
    fn default() -> Self {
        Self { decks: 1000, rules: RulesName::Paper, bound: 0 }
    }
}

struct DuplicateDeals;

impl rlx::Arena for DuplicateDeals {
    fn keys(&self) -> Keys {
        Keys::of::<Deals>()
    }

    fn versus(&self, host: &dyn Host, meeting: Meeting<'_>, [who, vs]: [&str; 2]) -> Result<Report> {
        let deals: Deals = from_map(meeting.options)?;
        let (rules, name, seed) = (deals.rules.rules(), deals.rules.word(), meeting.seed);
        let open = |name: &str| Agent::open(host, name, meeting.checkpoint, &rules);
        let (mut a, mut b) = (open(who)?, open(vs)?);
        // Said before the decks are played, not after.
        if deals.bound > 0 && a.policy().is_none() {
            refuse!("--bound: '{who}' is a bot, and only a run's network says how likely it makes each move");
        }
        let of = duplicate::Match { rules: &rules, decks: deals.decks, seed };
        let stop = || host.asked_to_stop();
        let mut progress = host.counting("decks", deals.decks);
        let judged = duplicate::judge_telling(of, &mut a, &mut b, &stop, &mut |done| progress.tick(done));
        drop(progress);
        let judged = judged?;
        let mut out = json!(judged);
        out["agent"] = json!(who);
        out["vs"] = json!(vs);
        out["rules"] = json!(name);
        out["seed"] = json!(seed);
        let mut text = format!("{who} against {vs}: {} decks, rules {name}, seed {seed}\n", deals.decks);
        text += &report::text(&judged);
        if deals.bound > 0 {
            let mut progress = host.counting("positions", deals.bound);
            let mut each = |done| progress.tick(done);
            let bound = bound::bound(&rules, &mut a, deals.bound as usize, seed, &stop, &mut each)?;
            drop(progress);
            out["bound"] = json!(bound);
            text += &report::bound(&bound);
        }
        Ok(Report { text, json: out })
    }

    fn league(&self, host: &dyn Host, meeting: Meeting<'_>, agents: &[String]) -> Result<Report> {
        let deals: Deals = from_map(meeting.options)?;
        if deals.bound > 0 {
            refuse!("--bound is for two agents: rlx eval RUN --vs OTHER --bound");
        }
        league::check(agents).map_err(|e| rlx::Error::usage(format!("{e:#}")))?;
        let (rules, name) = (deals.rules.rules(), deals.rules.word());
        let open = |agent: &String| Agent::open(host, agent, meeting.checkpoint, &rules);
        let mut opened = agents.iter().map(open).collect::<Result<Vec<_>>>()?;
        let pairs = (agents.len() * (agents.len() - 1) / 2) as u64;
        let mut progress = host.counting("decks", pairs * deals.decks);
        let of = duplicate::Match { rules: &rules, decks: deals.decks, seed: meeting.seed };
        let stop = || host.asked_to_stop();
        let played = league::league(of, agents, &mut opened, &stop, &mut |done| progress.tick(done));
        drop(progress);
        let played = played?;
        let mut out = json!({"rules": name, "seed": meeting.seed});
        let fields = serde_json::to_value(&played)?;
        out.as_object_mut().into_iter().for_each(|o| o.extend(fields.as_object().cloned().unwrap_or_default()));
        let text =
            format!("{} decks a pair, rules {name}, seed {}\n\n{}", deals.decks, meeting.seed, league::text(&played));
        Ok(Report { text, json: out })
    }
}

/// How games are recorded.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
struct Recording {
    /// Games to write.
    #[schemars(range(min = 1))]
    games: u64,
    /// The rules of the table.
    rules: RulesName,
}

impl Default for Recording {
    fn default() -> Self {
        Self { games: 1, rules: RulesName::Paper }
    }
}

/// Games as JSON lines.
struct Games;

impl Recorder for Games {
    fn keys(&self) -> Keys {
        Keys::of::<Recording>()
    }
    fn extensions(&self) -> &'static [&'static str] {
        &["jsonl"]
    }
    fn record(&self, host: &dyn Host, options: &Table, agents: &[String], seed: u64, output: &Path) -> Result<String> {
        let Recording { games, rules } = from_map(options)?;
        let by_default = [pretrained::NAME.to_owned()];
        let names = if agents.is_empty() { &by_default[..] } else { agents };
        let rules = rules.rules();
        let (mut agents, of, names) = seats(host, names, None, &rules)?;
        record::record(&names, &mut agents, of, &rules, games, seed, output)?;
        Ok(format!("{}: {games} games, seed {seed}\n", output.display()))
    }
}

/// The language of the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
enum Language {
    /// English.
    En,
    /// Chinese.
    Zh,
}

/// How people play.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
struct Sitting {
    /// Who plays the other seats, a run or a bot (`rlx list bots`): one for all, or one per seat in the order of play, as greedy,random,belief or by --agent for each.
    agent: Vec<String>,
    /// Your seat, from 0 on.
    #[schemars(range(max = 3))]
    seat: u64,
    /// Watch the agents instead of playing.
    watch: bool,
    /// The rules: folk4, where red tens may be shown at the start, or paper, where the teams stay hidden; --rules-page explains both.
    rules: RulesName,
    /// Seed of the deals, to play the same ones again; by default another at every start, from the clock, which is shown.
    seed: Option<u64>,
    /// Print the rules as a page to read, and play nothing.
    rules_page: bool,
    /// Show what the agent thinks of who is with you.
    beliefs: bool,
    /// Lines of text instead of the terminal table: for pipes and screen readers. It is the default where there is no terminal.
    plain: bool,
    /// Language of the table: en or zh; by default what LC_ALL, LC_MESSAGES or LANG says.
    lang: Option<Language>,
    /// How long agents wait before a move, and replays between two (+ and - change it).
    delay: String,
    /// Write the games to this file, which must not be there yet: JSON lines, see docs/red10-records.md.
    log: Option<PathBuf>,
    /// Show recorded games again: step forward and back, or let them play.
    replay: Option<PathBuf>,
    /// Which game comes first, from 1 on: of the seed's deals or, with --replay, of the file.
    #[schemars(range(min = 1))]
    number: u64,
}

impl Default for Sitting {
    fn default() -> Self {
        Self {
            agent: vec![pretrained::NAME.into()],
            seat: 0,
            watch: false,
            rules: RulesName::Folk4,
            seed: None,
            rules_page: false,
            beliefs: false,
            plain: false,
            lang: None,
            delay: "800ms".into(),
            log: None,
            replay: None,
            number: 1,
        }
    }
}

/// A table in the terminal.
struct Terminal;

impl Playable for Terminal {
    fn keys(&self) -> Keys {
        Keys::of::<Sitting>()
    }

    fn play(&self, host: &dyn Host, options: &Table) -> Result<bool> {
        let sitting: Sitting = from_map(options)?;
        let lang = match sitting.lang {
            Some(Language::Zh) => Lang::Zh,
            Some(Language::En) => Lang::En,
            None => Lang::of_environment(|k| std::env::var(k).ok()),
        };
        // https://no-color.org: whatever it is set to, unless that is nothing.
        let color = std::env::var_os("NO_COLOR").is_none_or(|v| v.is_empty());
        let delay = humantime::parse_duration(&sitting.delay)
            .map_err(|e| rlx::Error::usage(format!("--delay {}: {e}: it must be like 800ms or 2s", sitting.delay)))?;
        let look = Look { lang, delay, color };
        let plain = sitting.plain || !tui::possible();
        let number = usize::try_from(sitting.number).context("--number")?;
        if let Some(file) = &sitting.replay {
            if plain {
                play::replay(&record::read(file, number)?, lang, &mut io::stdout().lock())?;
                return Ok(true);
            }
            return tui::replay(file, number, look, &*tui::signals()?);
        }
        let rules = sitting.rules.rules();
        if sitting.rules_page {
            write!(io::stdout(), "{}", guide::markdown(&rules, lang))?;
            return Ok(true);
        }
        let human = (!sitting.watch).then_some(sitting.seat as usize);
        let (mut agents, seats, names) = seats(host, &sitting.agent, human, &rules)?;
        let table = play::Table {
            rules,
            human,
            names,
            seats,
            seed: sitting.seed.unwrap_or_else(fresh_seed),
            first: sitting.number - 1,
            beliefs: sitting.beliefs,
            log: sitting.log,
        };
        // From here on a signal leaves politely.
        let stop = tui::signals()?;
        if !plain {
            return tui::play(&table, &mut agents, 0, look, &stop);
        }
        let mut input = BufReader::new(Lines::new(stop.clone()));
        play::play(&table, &mut agents, 0, lang, &mut input, &mut io::stdout().lock())?;
        Ok(!stop.load(Ordering::Relaxed))
    }
}

/// What to do with a trained agent.
struct Next;

impl OnFinish for Next {
    fn next(&self, run: &str, env: &Table) -> Vec<String> {
        let config: Option<rlx_red10::Config> = from_map(env).ok();
        let Some(rules) = config.and_then(|c| Some(c.rules.rules().first()?.0)) else { return Vec::new() };
        vec![
            format!("rlx eval {run} --vs greedy --rules {rules}"),
            format!("rlx play {WORLD} --rules {rules} --agent {run}"),
        ]
    }
}

/// Agents, which of them sits where, and their names by seat; `human` names no agent.
fn seats(
    host: &dyn Host,
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
    let agents = names.iter().map(|n| Agent::open(host, n, "last", rules)).collect::<Result<Vec<_>>>()?;
    let (mut of, mut labels) = ([0; SEATS], std::array::from_fn(|_| "human".to_owned()));
    for (k, &s) in others.iter().enumerate() {
        of[s] = if names.len() == 1 { 0 } else { k };
        labels[s] = names[of[s]].clone();
    }
    Ok((agents, of, labels))
}

/// A seed for somebody who gave none: from the clock, and short enough to be typed again.
fn fresh_seed() -> u64 {
    let clock = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).map_or(0, |t| t.as_nanos() as u64);
    Rng::stream(clock, u64::from(std::process::id())).below(1_000_000) as u64
}
