//! A record that is looked at: a replay, a game that agents play, the review of a game.
use super::{keys::Action, scene::Scene};
use crate::advice::Judged;
use crate::advice::review;
use crate::record;
use crate::record::Record;
use crate::session::Session;
use crate::text::Text;
use crate::text::fill;
use anyhow::{Context, Result};
use rlx_red10::{Game, SEATS};
use std::{path::PathBuf, time::Duration};

/// A review speaks of moves that cost at least this chance to win, where the agent has values.
const COSTLY: f32 = 0.01;

/// Where other records come from.
pub enum Source<'t, 'p> {
    /// There are none.
    None,
    /// The games of a file, and which it is, from 1 on.
    File(PathBuf, usize),
    /// Agents that play, and which of their games it is, from 0 on.
    Watch(Box<Session<'t, 'p>>, usize),
}

impl Source<'_, '_> {
    /// The number of the record, from 1 on, where there are others.
    pub fn number(&self) -> Option<usize> {
        match self {
            Self::None => None,
            Self::File(_, n) => Some(*n),
            Self::Watch(_, n) => Some(n + 1),
        }
    }

    /// The first record.
    ///
    /// # Errors
    /// When there is none or an agent fails.
    pub fn first(&mut self) -> Result<Record> {
        match self {
            Self::None => anyhow::bail!("this is the only one"),
            Self::File(path, n) => record::read(path, *n),
            Self::Watch(session, n) => watched(session, *n),
        }
    }

    /// The next record, or the one before.
    ///
    /// # Errors
    /// When there is none or an agent fails; nothing changes then.
    pub fn other(&mut self, next: bool) -> Result<Record> {
        match self {
            Self::None => anyhow::bail!("this is the only one"),
            Self::File(path, n) => {
                let other =
                    if next { *n + 1 } else { n.checked_sub(1).filter(|n| *n > 0).context("this is the first")? };
                let record = record::read(path, other)?;
                *n = other;
                Ok(record)
            }
            Self::Watch(session, n) => {
                let other = if next { *n + 1 } else { n.checked_sub(1).context("this is the first")? };
                let record = watched(session, other)?;
                *n = other;
                Ok(record)
            }
        }
    }
}

/// The agents' n-th game.
fn watched(session: &mut Session<'_, '_>, n: usize) -> Result<Record> {
    while session.games().len() <= n {
        if session.is_over() {
            session.deal_next()?;
        }
        while !session.is_over() {
            session.step()?;
        }
    }
    session.games().get(n).cloned().context("there is no such game")
}

/// A record, one position of which is seen.
pub struct Viewer {
    /// The record.
    pub record: Record,
    /// Every move, judged by what the agents recorded.
    pub judged: Vec<Judged>,
    /// Positions: before each move, then the end.
    games: Vec<Game>,
    /// Moves made.
    pub at: usize,
    /// Whose view is at the bottom.
    pub me: usize,
    /// Whether all hands are seen.
    pub open: bool,
    /// Whether it plays by itself.
    pub running: bool,
    /// Whether it is the review of the player's own game: then only the own moves are judged.
    pub review: bool,
    /// What there is to say about the last key.
    pub notice: String,
    idle: Duration,
}

impl Viewer {
    /// The record's deal.
    ///
    /// # Errors
    /// When the record is no game.
    pub fn new(record: Record) -> Result<Self> {
        let mut games = Vec::with_capacity(record.plies.len() + 1);
        let end = record.replay(|game, _, _, _| {
            games.push(game.clone());
            Ok(())
        })?;
        games.push(end);
        let judged = review(&record)?;
        let me = record.agents.iter().position(|a| a == "human").unwrap_or(0);
        Ok(Self {
            record,
            judged,
            games,
            at: 0,
            me,
            open: true,
            running: false,
            review: false,
            notice: String::new(),
            idle: Duration::ZERO,
        })
    }

    /// The position that is seen.
    pub fn game(&self) -> &Game {
        &self.games[self.at]
    }

    /// What is seen of it.
    pub fn scene(&self) -> Scene {
        let game = self.game();
        let mut scene = if self.open || game.is_over() {
            Scene::open(game, self.me)
        } else {
            Scene::seen(rlx_red10::Seat::new(game, self.me))
        };
        let mut own = self.judged.iter().take(self.at + 1).rev().filter(|m| m.seat == self.me && m.teammates.is_some());
        let now = own.next().and_then(|m| m.teammates);
        let before = own.next().and_then(|m| m.teammates);
        for player in &mut scene.players {
            // Who is asked to show red tens is not seen with closed hands.
            player.turn &= self.open || !game.asking() || player.seat == self.me;
        }
        for player in &mut scene.players[1..] {
            player.with = now.map(|w| w[player.seat]);
            player.shift = now.zip(before).map(|(now, before)| now[player.seat] - before[player.seat]);
        }
        scene
    }

    /// The move that led here.
    pub fn last(&self) -> Option<&Judged> {
        self.judged.get(self.at.checked_sub(1)?)
    }

    /// Whether a move is one that the agent would have made otherwise.
    fn is_moment(&self, m: &Judged) -> bool {
        m.better.is_some() && m.regret.is_none_or(|r| r >= COSTLY) && (!self.review || m.seat == self.me)
    }

    /// All of them.
    pub fn moments(&self) -> impl Iterator<Item = &Judged> {
        self.judged.iter().filter(|m| self.is_moment(m))
    }

    /// How many there are, in words.
    pub fn summary(&self, text: &Text) -> String {
        match self.moments().count() {
            0 => text.no_regret.into(),
            n => fill(text.moments, &[&n]),
        }
    }

    /// Lets time go by; whether that changed what is seen.
    pub fn tick(&mut self, elapsed: Duration, delay: Duration) -> bool {
        if !self.running {
            return false;
        }
        self.idle += elapsed;
        // Without any delay it would be over before it is seen.
        if self.idle < delay.max(Duration::from_millis(30)) {
            return false;
        }
        self.idle = Duration::ZERO;
        self.go(self.at + 1);
        self.running = self.at + 1 < self.games.len();
        true
    }

    fn go(&mut self, to: usize) {
        self.at = to.min(self.games.len() - 1);
    }

    /// Does what was asked for.
    pub fn act(&mut self, action: Action, text: &Text) {
        match action {
            Action::Step(by) => {
                self.running = false;
                self.go(self.at.saturating_add_signed(by));
            }
            Action::Run => {
                self.running ^= true;
                if self.running && self.at + 1 == self.games.len() {
                    self.at = 0;
                }
            }
            Action::Hands => self.open ^= true,
            Action::Turn => self.me = (self.me + 1) % SEATS,
            Action::Moment => {
                self.running = false;
                let next = (self.at..self.judged.len()).find(|&i| self.is_moment(&self.judged[i]));
                match next {
                    Some(i) => self.go(i + 1),
                    None => {
                        self.at = 0;
                        self.notice = self.summary(text);
                    }
                }
            }
            _ => {}
        }
    }
}
