//! Games as JSON lines: what other tools can check and learn from, and what `rlx play --replay` shows again. The format is
//! described in docs/red10/records.md.
use crate::agent::{Agent, Waiting};
use anyhow::{Context, Result, ensure};
use rlx::{PolicyInfo, Rng, create_file, refuse};
use rlx_red10::{Cards, Game, Kind, Move, Rules, SEATS};
use serde::{Deserialize, Serialize};
use std::{fs, io::Write, path::Path};

/// Name and version of the format.
pub const FORMAT: &str = "rlx-red10-1";
/// Longest line that is read: a game is far below.
const LONGEST: usize = 4 << 20;

/// A game.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Record {
    /// [`FORMAT`].
    pub format: String,
    /// The rules, each flag.
    pub rules: Rules,
    /// Seed of the deals.
    pub seed: u64,
    /// Which deal of the seed it is, from 1 on; records of before this key was written are deal i in line i.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub number: Option<u64>,
    /// The hands, by seat.
    pub deal: [String; SEATS],
    /// Who leads the first trick.
    pub leader: u8,
    /// Who sat where: a bot, a run, or `human`.
    pub agents: [String; SEATS],
    /// What was done.
    pub plies: Vec<Ply>,
    /// How it ended; none of a game that was left.
    pub result: Option<Outcome>,
}

/// A move, and what could have been done.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Ply {
    /// Whose move.
    pub seat: u8,
    /// Every legal move: cards, `pass`, `show` or `keep`.
    pub legal: Vec<String>,
    /// The chosen one.
    pub play: String,
    /// What the agent expected each legal move to be paid.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub values: Option<Vec<f32>>,
    /// P(same team) of the next three seats in the order of play, as the agent saw it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub teammates: Option<Vec<f32>>,
    /// At a person's seat, what the adviser would have played; `values` and `teammates` are the adviser's then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub advice: Option<String>,
}

/// How a game ended.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Outcome {
    /// By seat.
    pub payoff: [f32; SEATS],
    /// `red`, `black` or `draw`.
    pub winner: String,
    /// Seats that held the red tens.
    pub red_team: Vec<u8>,
    /// Seats in the order in which they went out.
    pub out: Vec<u8>,
}

/// A move as text.
pub fn show(m: &Move) -> String {
    match m.kind {
        Kind::Pass => "pass".into(),
        Kind::Show => "show".into(),
        Kind::Keep => "keep".into(),
        _ => m.cards.to_string(),
    }
}

/// The legal move that a text names, in any order of cards and case.
///
/// # Errors
/// When there is none, with the reason.
pub fn read_move(text: &str, game: &Game, legal: &[Move]) -> Result<usize> {
    let text = text.trim();
    let word = text.to_lowercase();
    if let Some(i) = legal.iter().position(|m| show(m) == word) {
        return Ok(i);
    }
    let cards = match word.as_str() {
        "pass" | "p" => Cards::NONE,
        // The jokers are w and W: only other letters may be written small.
        _ => text.chars().map(|c| if c == 'w' { c } else { c.to_ascii_uppercase() }).collect::<String>().parse()?,
    };
    let found = game.find(cards)?;
    legal.iter().position(|m| *m == found).context("not a legal move")
}

impl Record {
    /// The start of a game: deal `number`, from 0 on, of `seed`.
    pub fn new(game: &Game, (seed, number): (u64, u64), agents: [String; SEATS]) -> Self {
        Self {
            format: FORMAT.into(),
            rules: game.rules().clone(),
            seed,
            number: Some(number + 1),
            deal: std::array::from_fn(|s| game.dealt(s).to_string()),
            leader: game.leader() as u8,
            agents,
            plies: Vec::new(),
            result: None,
        }
    }

    /// Adds a move that is about to be made.
    pub fn push(&mut self, game: &Game, legal: &[Move], choice: usize, info: Option<&PolicyInfo>) {
        let some = |name| info.map(|i| i.get(name).to_vec()).filter(|v| !v.is_empty());
        self.plies.push(Ply {
            seat: game.turn() as u8,
            legal: legal.iter().map(show).collect(),
            play: show(&legal[choice]),
            values: some(PolicyInfo::Q_VALUES),
            teammates: some(PolicyInfo::P_TEAMMATE),
            advice: None,
        });
    }

    /// Adds how it ended.
    pub fn finish(&mut self, game: &Game) {
        let red = game.red_team();
        let winner = match game.winner() {
            Some(1) => "red",
            Some(_) => "black",
            None => "draw",
        };
        self.result = Some(Outcome {
            payoff: game.payoff(),
            winner: winner.into(),
            red_team: (0..SEATS as u8).filter(|s| red >> s & 1 == 1).collect(),
            out: game.out().to_vec(),
        });
    }

    /// The game before its first move.
    ///
    /// # Errors
    /// When the deal is none.
    pub fn start(&self) -> Result<Game> {
        let mut hands = [Cards::NONE; SEATS];
        for (hand, text) in hands.iter_mut().zip(&self.deal) {
            *hand = text.parse()?;
        }
        Ok(Game::from_hands(&self.rules, hands, self.leader)?)
    }

    /// Plays the record again, every ply checked: `each` sees the position before each ply and the index of its move.
    ///
    /// # Errors
    /// Naming the ply that cannot be.
    pub fn replay(&self, mut each: impl FnMut(&Game, &[Move], usize, &Ply) -> Result<()>) -> Result<Game> {
        ensure!(self.format == FORMAT, "format '{}': this reads {FORMAT}", self.format.escape_debug());
        let mut game = self.start()?;
        let mut legal = Vec::new();
        for (n, ply) in self.plies.iter().enumerate() {
            let at = || format!("ply {}", n + 1);
            ensure!(!game.is_over(), "{}: the game is over before it", at());
            ensure!(usize::from(ply.seat) == game.turn(), "{}: seat {} plays out of turn", at(), ply.seat);
            game.legal(&mut legal);
            let choice = legal.iter().position(|m| show(m) == ply.play);
            let choice = choice.with_context(|| format!("{}: '{}' is not legal", at(), ply.play.escape_debug()))?;
            ensure!(
                ply.legal.iter().eq(legal.iter().map(show).collect::<Vec<_>>().iter()),
                "{}: other legal moves",
                at()
            );
            each(&game, &legal, choice, ply)?;
            game.play(legal[choice]);
        }
        if let Some(result) = &self.result {
            ensure!(game.is_over() && result.payoff == game.payoff(), "the result is not the game's");
        }
        Ok(game)
    }
}

/// The `number`-th game (from 1) of a file.
///
/// # Errors
/// Naming the line and what is wrong with it.
pub fn read(path: &Path, number: usize) -> Result<Record> {
    use std::io::{BufRead, Read};
    let file = fs::File::open(path).map_err(|e| rlx::Error::io("reading", path, e))?;
    let mut reader = std::io::BufReader::new(file);
    let mut line = Vec::new();
    for n in 1..=number {
        line.clear();
        reader
            .by_ref()
            .take(LONGEST as u64)
            .read_until(b'\n', &mut line)
            .with_context(|| format!("reading {}", path.display()))?;
        if line.is_empty() {
            refuse!("{} has {} games: there is no game {number}", path.display(), n - 1);
        }
    }
    let record: Record = serde_json::from_slice(&line)
        .with_context(|| format!("{} line {number} is no game of {FORMAT}", path.display()))?;
    record.replay(|_, _, _, _| Ok(())).with_context(|| format!("{} line {number}", path.display()))?;
    Ok(Record { number: record.number.or(Some(number as u64)), ..record })
}

/// Plays `games` games and writes each as a line; game i is the deal i of `seed`.
///
/// # Errors
/// When an agent fails or the file is there already.
pub fn record(
    names: &[String; SEATS],
    agents: &mut [Agent],
    seats: [usize; SEATS],
    rules: &Rules,
    games: u64,
    seed: u64,
    path: &Path,
) -> Result<()> {
    let mut out = std::io::BufWriter::new(create_file(path)?);
    let mut legal = Vec::new();
    for i in 0..games {
        let mut game = deal(rules, seed, i);
        let mut record = Record::new(&game, (seed, i), names.clone());
        let mut rngs = [Rng::named(seed, "record", i)];
        while !game.is_over() {
            game.legal(&mut legal);
            let agent = &mut agents[seats[game.turn()]];
            let (choice, insight) = agent.choose(&[Waiting { game: &game, legal: &legal }], &mut rngs)?.remove(0);
            record.push(&game, &legal, choice, insight.as_ref());
            game.play(legal[choice]);
        }
        record.finish(&game);
        serde_json::to_writer(&mut out, &record)?;
        out.write_all(b"\n")?;
    }
    out.flush().with_context(|| format!("writing {}", path.display()))
}

/// Deal number `i` of `seed`.
pub fn deal(rules: &Rules, seed: u64, i: u64) -> Game {
    Game::deal(rules, &mut Rng::named(seed, "red10-deal", i))
}

#[cfg(test)]
mod tests {
    use super::*;
    use rlx_red10::bots;

    #[test]
    fn what_is_recorded_is_replayed_and_damage_is_an_error() {
        let folder = rlx::testing::TempDir::new();
        for (name, rules) in [("paper", Rules::paper()), ("folk4", Rules::folk4())] {
            let path = folder.0.join(name);
            let mut agents = [Agent::Bot(bots::make("greedy").unwrap()), Agent::Bot(bots::make("random").unwrap())];
            let names = ["greedy", "random", "greedy", "random"].map(String::from);
            record(&names, &mut agents, [0, 1, 0, 1], &rules, 5, 3, &path).unwrap();
            assert!(record_again(&path).contains("never overwritten"));
            for n in 1..=5 {
                let game = read(&path, n).unwrap();
                assert_eq!(game.start().unwrap(), deal(&rules, 3, n as u64 - 1));
            }
            assert!(format!("{:#}", read(&path, 6).unwrap_err()).contains("5 games"));
            let whole = fs::read(&path).unwrap();
            let line = &whole[..whole.iter().position(|b| *b == b'\n').unwrap()];
            let bad = folder.0.join("bad");
            for cut in (0..line.len()).step_by(97) {
                fs::write(&bad, &line[..cut]).unwrap();
                assert!(read(&bad, 1).is_err(), "cut at {cut}");
            }
            for at in (0..line.len()).step_by(31) {
                let mut other = line.to_vec();
                other[at] ^= 1 << (at % 7);
                fs::write(&bad, &other).unwrap();
                // A change may be harmless (in a name); it never panics.
                let _ = read(&bad, 1);
            }
        }
    }

    /// Games that were recorded once stay legal, with the same legal moves at every ply and the same results.
    #[test]
    fn golden_games_stay_what_they_are() {
        for name in ["paper-greedy", "paper-random", "folk4-greedy", "folk4-random"] {
            let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("../../../tests/golden/red10/{name}.jsonl"));
            for n in 1..=3 {
                let game = read(&path, n).unwrap();
                assert!(game.result.is_some());
                assert_eq!(
                    game.start().unwrap(),
                    deal(&game.rules, game.seed, n as u64 - 1),
                    "the same deal of the same seed"
                );
            }
        }
    }

    fn record_again(path: &Path) -> String {
        format!("{:#}", create_file(path).unwrap_err())
    }
}
