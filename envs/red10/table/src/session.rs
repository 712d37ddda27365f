//! Games at a table, one after the other: who is asked, what is recorded, what the adviser says. The line mode and the terminal table
//! both drive this, and see of a game that goes on only what the player's seat may know.
use crate::{
    advice::Advice,
    agent::{Agent, Waiting},
    record::{self, Record, show},
};
use anyhow::{Context, Result};
use rlx::Rng;
use rlx_red10::{Game, Move, Rules, SEATS, Seat};
use std::{
    fs::File,
    io::Write,
    path::{Path, PathBuf},
};

/// A table to sit down at.
#[derive(Debug)]
pub struct Table {
    /// The rules.
    pub rules: Rules,
    /// The player's seat; None to watch.
    pub human: Option<usize>,
    /// Names of the agents by seat; `human` at the player's.
    pub names: [String; SEATS],
    /// Which agent plays each seat.
    pub seats: [usize; SEATS],
    /// Seed of the deals.
    pub seed: u64,
    /// Which deal of the seed comes first, from 0 on.
    pub first: u64,
    /// Whether the agent's P(teammate) for the player's seat is shown.
    pub beliefs: bool,
    /// Where the games are written.
    pub log: Option<PathBuf>,
}

/// How the games of a table went.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Games that were played to their end.
    pub games: u32,
    /// Those the player won.
    pub won: u32,
    /// Those the player lost.
    pub lost: u32,
    /// Those the red team won.
    pub red: u32,
    /// Those the black team won.
    pub black: u32,
}

/// The games of a table, written to a file when there is one.
#[derive(Debug, Default)]
struct Log {
    file: Option<(PathBuf, File)>,
    games: Vec<Record>,
}

impl Log {
    fn push(&mut self, record: Record) -> Result<()> {
        self.games.push(record);
        self.write(self.games.len() - 1)
    }

    fn write(&mut self, from: usize) -> Result<()> {
        let Some((path, file)) = &mut self.file else { return Ok(()) };
        let mut lines = Vec::new();
        for record in &self.games[from..] {
            serde_json::to_writer(&mut lines, record)?;
            lines.push(b'\n');
        }
        file.write_all(&lines).with_context(|| format!("writing {}", path.display()))
    }
}

/// Games at a table.
pub struct Session<'t, 'p> {
    table: &'t Table,
    agents: &'t mut [Agent<'p>],
    adviser: usize,
    number: u64,
    game: Game,
    legal: Vec<Move>,
    rngs: [Rng; 1],
    record: Record,
    advice: Option<Advice>,
    tally: Tally,
    log: Log,
}

impl<'t, 'p> Session<'t, 'p> {
    /// Deals the first game. `adviser` gives hints and the review.
    ///
    /// # Errors
    /// When the table's log is there already.
    pub fn new(table: &'t Table, agents: &'t mut [Agent<'p>], adviser: usize) -> Result<Self> {
        let file = table.log.as_ref().map(|path| anyhow::Ok((path.clone(), rlx::create_file(path)?))).transpose()?;
        let number = table.first;
        let game = record::deal(&table.rules, table.seed, number);
        let record = Record::new(&game, (table.seed, number), table.names.clone());
        let mut session = Self {
            table,
            agents,
            adviser,
            number,
            game,
            legal: Vec::new(),
            rngs: [Rng::named(table.seed, "play", number)],
            record,
            advice: None,
            tally: Tally::default(),
            log: Log { file, games: Vec::new() },
        };
        session.game.legal(&mut session.legal);
        Ok(session)
    }

    /// Deals the next game; the one that goes on is left.
    ///
    /// # Errors
    /// When the log fails.
    pub fn deal_next(&mut self) -> Result<()> {
        self.leave()?;
        self.number += 1;
        self.game = record::deal(&self.table.rules, self.table.seed, self.number);
        self.record = Record::new(&self.game, (self.table.seed, self.number), self.table.names.clone());
        self.rngs = [Rng::named(self.table.seed, "play", self.number)];
        self.advice = None;
        self.game.legal(&mut self.legal);
        Ok(())
    }

    /// The table.
    pub fn table(&self) -> &'t Table {
        self.table
    }
    /// Which deal of the seed the game is, from 0 on.
    pub fn number(&self) -> u64 {
        self.number
    }
    /// Whether it is the first game at this table.
    pub fn is_first(&self) -> bool {
        self.number == self.table.first
    }
    /// Who leads the first trick.
    pub fn leader(&self) -> usize {
        self.game.leader()
    }
    /// How the games went.
    pub fn tally(&self) -> Tally {
        self.tally
    }
    /// Whether the game is over.
    pub fn is_over(&self) -> bool {
        self.game.is_over()
    }
    /// Whether the player is to move.
    pub fn is_asked(&self) -> bool {
        !self.game.is_over() && self.table.human == Some(self.game.turn())
    }
    /// Whether another seat decides whether it shows its red tens: that it is asked is nobody's business, so it must take no time
    /// and show nothing.
    pub fn is_silent(&self) -> bool {
        self.game.asking() && !self.is_asked()
    }
    /// What the player may know; None where nobody plays.
    pub fn view(&self) -> Option<Seat<'_>> {
        self.table.human.map(|me| Seat::new(&self.game, me))
    }
    /// All hands, once the game is over.
    pub fn open(&self) -> Option<&Game> {
        self.game.is_over().then_some(&self.game)
    }
    /// The record, once the game is over.
    pub fn record(&self) -> Option<&Record> {
        self.game.is_over().then_some(&self.record)
    }
    /// The player's legal moves; none while others are to move.
    pub fn legal(&self) -> &[Move] {
        if self.is_asked() { &self.legal } else { &[] }
    }
    /// The legal move of the player's that a text names.
    ///
    /// # Errors
    /// When there is none, with the reason.
    pub fn read(&self, text: &str) -> Result<usize> {
        anyhow::ensure!(self.is_asked(), "others are to move");
        record::read_move(text, &self.game, &self.legal)
    }

    /// What the adviser makes of the player's position.
    ///
    /// # Errors
    /// When the agent fails or the player is not to move.
    pub fn advice(&mut self) -> Result<&Advice> {
        anyhow::ensure!(self.is_asked(), "others are to move");
        if self.advice.is_none() {
            // A stream of its own: whether a hint is asked for changes nothing in how the others play.
            let ply = self.record.plies.len();
            let mut rng = [Rng::named(self.table.seed, "advise", self.number << 16 | ply as u64)];
            let at = [Waiting { game: &self.game, legal: &self.legal }];
            let (choice, insight) = self.agents[self.adviser].choose(&at, &mut rng)?.remove(0);
            self.advice = Some(Advice { choice, insight });
        }
        self.advice.as_ref().context("the adviser said nothing")
    }

    /// The player makes the legal move of that index.
    ///
    /// # Errors
    /// When the adviser, whose opinion goes into the record, or the log fails.
    pub fn play(&mut self, choice: usize) -> Result<Move> {
        let Advice { choice: better, insight } = self.advice()?.clone();
        anyhow::ensure!(choice < self.legal.len(), "move {choice}: there are {}", self.legal.len());
        self.record.push(&self.game, &self.legal, choice, insight.as_ref());
        let advice = show(&self.legal[better]);
        if let Some(ply) = self.record.plies.last_mut() {
            ply.advice = Some(advice);
        }
        self.make(choice)
    }

    /// The agent that is to move moves; who it was and what.
    ///
    /// # Errors
    /// When the agent or the log fails.
    pub fn step(&mut self) -> Result<(usize, Move)> {
        anyhow::ensure!(!self.game.is_over() && !self.is_asked(), "no agent is to move");
        let turn = self.game.turn();
        let at = [Waiting { game: &self.game, legal: &self.legal }];
        let (choice, insight) = self.agents[self.table.seats[turn]].choose(&at, &mut self.rngs)?.remove(0);
        self.record.push(&self.game, &self.legal, choice, insight.as_ref());
        Ok((turn, self.make(choice)?))
    }

    fn make(&mut self, choice: usize) -> Result<Move> {
        let played = self.legal[choice];
        self.game.play(played);
        self.advice = None;
        if self.game.is_over() {
            self.legal.clear();
            self.record.finish(&self.game);
            self.count();
            self.log.push(self.record.clone())?;
        } else {
            self.game.legal(&mut self.legal);
        }
        Ok(played)
    }

    fn count(&mut self) {
        self.tally.games += 1;
        match self.game.winner() {
            Some(1) => self.tally.red += 1,
            Some(_) => self.tally.black += 1,
            None => {}
        }
        let paid = self.table.human.map_or(0.0, |me| self.game.payoff()[me]);
        self.tally.won += u32::from(paid > 0.0);
        self.tally.lost += u32::from(paid < 0.0);
    }

    /// Leaves the table; a game that goes on is written as it stands.
    ///
    /// # Errors
    /// When the log fails.
    pub fn leave(&mut self) -> Result<()> {
        if self.game.is_over() || self.record.plies.is_empty() {
            return Ok(());
        }
        let left = Record { plies: std::mem::take(&mut self.record.plies), ..self.record.clone() };
        self.log.push(left)
    }

    /// Writes the games so far to a file that is not there yet in `folder`, and later ones too; its path.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn save(&mut self, folder: &Path) -> Result<PathBuf> {
        if let Some((path, _)) = &self.log.file {
            return Ok(path.clone());
        }
        for n in 1.. {
            let path = folder.join(match n {
                1 => format!("red10-{}.jsonl", self.table.seed),
                n => format!("red10-{}-{n}.jsonl", self.table.seed),
            });
            if !path.exists() {
                self.log.file = Some((path.clone(), rlx::create_file(&path)?));
                if let Err(e) = self.log.write(0) {
                    // Half a log is not written on.
                    self.log.file = None;
                    return Err(e);
                }
                return Ok(path);
            }
        }
        anyhow::bail!("{} is full of logs", folder.display())
    }

    /// Where the games are written.
    pub fn log(&self) -> Option<&Path> {
        self.log.file.as_ref().map(|(path, _)| path.as_path())
    }
    /// The games that are over or were left.
    pub fn games(&self) -> &[Record] {
        &self.log.games
    }
}

#[cfg(test)]
impl Session<'_, '_> {
    /// The whole game, for tests that compare what is seen with what is.
    pub(super) fn clone_game(&self) -> Game {
        self.game.clone()
    }
    /// Puts another game on the table.
    pub(super) fn replace_game(&mut self, game: Game) {
        self.record = Record::new(&game, (self.table.seed, self.number), self.table.names.clone());
        self.game = game;
        self.game.legal(&mut self.legal);
        self.advice = None;
    }
}
