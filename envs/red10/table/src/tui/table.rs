//! A game that is played: the selection, the marks, the hints, the agents' turns.
use super::{
    keys::Action,
    scene::{Mark, Scene},
};
use crate::session::Session;
use crate::text::Text;
use crate::text::face;
use crate::text::fill;
use crate::text::letters;
use crate::text::percent;
use crate::text::printable;
use anyhow::Result;
use rlx_red10::{Cards, Kind, SEATS, Seat};
use std::{path::Path, time::Duration};

/// The player at the table.
pub struct Sitting<'t, 'p> {
    /// The games.
    pub session: Session<'t, 'p>,
    /// The player's seat.
    me: usize,
    /// Which cards of the hand are selected.
    pub chosen: Vec<bool>,
    /// The card that space selects.
    pub cursor: usize,
    /// The player's marks, by seat.
    pub marks: [Mark; SEATS],
    /// Whether the next digit marks a player.
    pub marking: bool,
    /// How much of `10h` was typed.
    pub spelt: u8,
    /// Whether the agent's view is shown.
    pub beliefs: bool,
    /// What was asked for with hints: moves among the legal ones, and chances.
    pub hints: Vec<(usize, Option<f32>)>,
    /// Which of them is selected.
    pub hint: usize,
    /// Whether what is selected is the hint's.
    hinting: bool,
    /// What there is to say about the last key.
    pub notice: String,
    /// P(with the player) by seat at the player's last two turns, as the adviser sees it.
    with: [Option<[f32; SEATS]>; 2],
    idle: Duration,
}

impl<'t, 'p> Sitting<'t, 'p> {
    /// Sits down at a table with a seat for the player.
    ///
    /// # Errors
    /// When the table has none, or an agent fails.
    pub fn new(session: Session<'t, 'p>, text: &Text) -> Result<Self> {
        let Some(me) = session.table().human else { anyhow::bail!("a table to play at needs a seat for the player") };
        let beliefs = session.table().beliefs;
        let mut sitting = Self {
            session,
            me,
            chosen: Vec::new(),
            cursor: 0,
            marks: [Mark::Unknown; SEATS],
            marking: false,
            spelt: 0,
            beliefs,
            hints: Vec::new(),
            hint: 0,
            hinting: false,
            notice: String::new(),
            with: [None; 2],
            idle: Duration::ZERO,
        };
        sitting.settle()?;
        sitting.welcome(text);
        Ok(sitting)
    }

    /// What the player may know.
    pub fn view(&self) -> Seat<'_> {
        self.session.view().expect("the constructor checked that the player has a seat")
    }

    /// What is seen: all hands once the game is over.
    pub fn scene(&self) -> Scene {
        let mut scene = match self.session.open() {
            Some(game) => Scene::open(game, self.me),
            None => Scene::seen(self.view()),
        };
        for player in &mut scene.players[1..] {
            player.mark = self.marks[player.seat];
            if self.beliefs {
                let [before, now] = self.with.map(|w| w.map(|w| w[player.seat]));
                player.with = now;
                player.shift = now.zip(before).map(|(now, before)| now - before);
            }
        }
        scene
    }

    /// The own cards.
    pub fn letters(&self) -> Vec<char> {
        letters(self.view().hand())
    }

    /// The selected ones.
    pub fn selection(&self) -> Cards {
        let chosen: String = self.letters().iter().zip(&self.chosen).filter(|c| *c.1).map(|c| *c.0).collect();
        chosen.parse().unwrap_or_default()
    }

    /// Whether the player is asked to show red tens.
    pub fn is_asked_to_show(&self) -> bool {
        self.session.is_asked() && self.view().asked()
    }
    /// Whether what is selected can be played.
    pub fn can_play(&self) -> bool {
        let cards = self.selection();
        cards != Cards::NONE && self.session.legal().iter().any(|m| m.cards == cards)
    }
    /// Whether to pass is legal.
    pub fn can_pass(&self) -> bool {
        self.session.legal().iter().any(|m| m.kind == Kind::Pass)
    }
    /// Whether nothing else is.
    pub fn must_pass(&self) -> bool {
        matches!(self.session.legal(), [only] if only.kind == Kind::Pass)
    }

    /// What the player is to do, or how it ended.
    pub fn prompt(&self, text: &Text) -> String {
        if let Some(game) = self.session.open() {
            let paid = game.payoff()[self.me];
            let result = match paid {
                p if p > 0.0 => fill(text.you_win, &[&format!("{p:+.0}")]),
                p if p < 0.0 => fill(text.you_lose, &[&format!("{p:+.0}")]),
                _ => text.draw.into(),
            };
            let team = match game.winner() {
                Some(1) => text.red_wins,
                Some(_) => text.black_wins,
                None => "",
            };
            return format!("{result} {team}");
        }
        let line = match () {
            () if self.marking => text.mark_whom,
            () if self.is_asked_to_show() && self.session.is_first() => {
                return format!("{} {}", text.asked, text.new_here);
            }
            () if self.is_asked_to_show() => text.asked,
            () if !self.session.is_asked() => "",
            () if self.must_pass() => text.only_pass,
            () if self.view().leads() => text.your_lead,
            () => text.your_turn,
        };
        line.into()
    }

    /// Lets time go by: the agents move after their delay.
    ///
    /// # Errors
    /// When an agent or the log fails.
    pub fn tick(&mut self, elapsed: Duration, delay: Duration) -> Result<bool> {
        if self.session.is_over() || self.session.is_asked() {
            self.idle = Duration::ZERO;
            return Ok(false);
        }
        self.idle += elapsed;
        if self.idle < delay {
            return Ok(false);
        }
        self.idle = Duration::ZERO;
        self.session.step()?;
        self.settle()?;
        Ok(true)
    }

    /// What takes no time: the silent answers of others, and the adviser's look at the player's turn.
    fn settle(&mut self) -> Result<()> {
        while self.session.is_silent() {
            self.session.step()?;
        }
        if self.session.is_asked() {
            let now = self.session.advice()?.teammates(self.me);
            self.with = [self.with[1], now];
        }
        self.chosen.resize(self.letters().len(), false);
        Ok(())
    }

    fn clear(&mut self) {
        self.chosen = vec![false; self.letters().len()];
        self.cursor = self.cursor.min(self.chosen.len().saturating_sub(1));
        (self.hints, self.hint, self.hinting) = (Vec::new(), 0, false);
    }

    /// Does what was asked for.
    ///
    /// # Errors
    /// When an agent or the log fails.
    pub fn act(&mut self, action: Action, text: &Text, folder: &Path) -> Result<()> {
        let over = self.session.is_over();
        match action {
            Action::Save => {
                self.notice = match self.session.save(folder) {
                    Ok(path) => fill(text.saved, &[&printable(&path.display().to_string())]),
                    Err(e) => fill(text.save_failed, &[&printable(&format!("{e:#}"))]),
                }
            }
            Action::Beliefs => {
                self.beliefs ^= true;
                self.notice = match (self.beliefs, self.with[1]) {
                    (true, None) if self.session.is_asked() => text.beliefs_none,
                    (true, _) => text.beliefs_on,
                    (false, _) => text.beliefs_off,
                }
                .into();
            }
            Action::Mark => self.marking = true,
            Action::MarkPlayer(k) => {
                let seat = (self.me + 1 + k) % SEATS;
                self.marks[seat] = self.marks[seat].next();
                self.notice = fill(text.marked, &[&text.seat(self.me, seat), &text.mark_name(self.marks[seat])]);
            }
            Action::Next if over => self.next(text)?,
            _ if over => {}
            Action::Letter(letter) => self.letter(letter, text),
            Action::RedTen => self.red_ten(text),
            Action::Card(card) => self.pick(card),
            Action::Toggle => self.pick(self.cursor),
            Action::Step(by) => {
                self.cursor = self.cursor.saturating_add_signed(by).min(self.chosen.len().saturating_sub(1))
            }
            Action::Clear => self.clear(),
            Action::Hint => self.ask_hint(text)?,
            Action::Play if self.must_pass() && self.selection() == Cards::NONE => self.play(Kind::Pass, text)?,
            Action::Play => match self.hinted() {
                // A hint without cards is taken by the same key as one with cards.
                Some(kind) if self.selection() == Cards::NONE => self.play(kind, text)?,
                _ => self.play_selection(text)?,
            },
            Action::Pass => self.play(Kind::Pass, text)?,
            Action::Show => self.play(Kind::Show, text)?,
            Action::Keep => self.play(Kind::Keep, text)?,
            _ => {}
        }
        Ok(())
    }

    fn next(&mut self, text: &Text) -> Result<()> {
        self.session.deal_next()?;
        (self.marks, self.with, self.cursor) = ([Mark::Unknown; SEATS], [None; 2], 0);
        self.clear();
        self.settle()?;
        self.welcome(text);
        Ok(())
    }

    /// A question to the player comes first.
    fn welcome(&mut self, text: &Text) {
        self.notice = if self.is_asked_to_show() { String::new() } else { text.welcome.into() };
    }

    /// A card that is pointed at: one of the hint's is put back; another one begins a selection of one's own.
    fn pick(&mut self, card: usize) {
        if !self.chosen.get(card).copied().unwrap_or(false) {
            self.begin_anew();
        }
        self.hinting = false;
        self.toggle(card);
    }

    /// After a hint a card begins a selection of one's own: it is not added to the hint's.
    fn begin_anew(&mut self) {
        if std::mem::take(&mut self.hinting) {
            self.chosen.fill(false);
        }
    }

    fn toggle(&mut self, card: usize) {
        if let Some(chosen) = self.chosen.get_mut(card) {
            *chosen ^= true;
            self.cursor = card;
        }
    }

    /// Selects one more card of a letter; when all are, none.
    fn letter(&mut self, letter: char, text: &Text) {
        let all: Vec<usize> = self.letters().iter().enumerate().filter(|c| *c.1 == letter).map(|c| c.0).collect();
        if !all.is_empty() {
            self.begin_anew();
        }
        match (all.iter().find(|&&i| !self.chosen[i]), all.first()) {
            (Some(&next), _) => self.toggle(next),
            (None, Some(_)) => all.iter().for_each(|&i| self.chosen[i] = false),
            (None, None) if letter == 'T' && self.letters().contains(&'R') => self.notice = text.no_black_ten.into(),
            (None, None) => self.notice = fill(text.no_such_card, &[&face(letter)]),
        }
    }

    /// `10h`: the black ten that `10` selected, if there was one, becomes a red one.
    fn red_ten(&mut self, text: &Text) {
        let black = (0..self.chosen.len()).find(|&i| self.chosen[i] && self.letters()[i] == 'T');
        black.into_iter().for_each(|i| self.toggle(i));
        self.letter('R', text);
    }

    fn ask_hint(&mut self, text: &Text) -> Result<()> {
        if !self.session.is_asked() {
            self.notice = text.not_your_turn.into();
            return Ok(());
        }
        if self.hints.is_empty() {
            let stake = self.view().stake();
            let advice = self.session.advice()?.clone();
            self.hints = advice.best(self.session.legal(), stake);
            self.hint = 0;
        } else {
            self.hint = (self.hint + 1) % self.hints.len();
        }
        let (choice, chance) = self.hints[self.hint];
        let play = self.session.legal()[choice];
        self.chosen = vec![false; self.letters().len()];
        self.hinting = true;
        if !matches!(play.kind, Kind::Show | Kind::Keep) {
            for letter in letters(play.cards) {
                if let Some(i) = (0..self.chosen.len()).find(|&i| self.letters()[i] == letter && !self.chosen[i]) {
                    self.chosen[i] = true;
                }
            }
        }
        let shown = text.play(&play);
        let with = chance.map_or(shown.clone(), |p| fill(text.wins, &[&shown, &percent(p)]));
        self.notice = fill(text.hint, &[&with]);
        Ok(())
    }

    /// The kind of the hint that is shown, where it has no cards to select.
    fn hinted(&self) -> Option<Kind> {
        let kind = self.session.legal().get(self.hints.get(self.hint)?.0)?.kind;
        (self.hinting && matches!(kind, Kind::Pass | Kind::Show | Kind::Keep)).then_some(kind)
    }

    fn play_selection(&mut self, text: &Text) -> Result<()> {
        let cards = self.selection();
        let found = self.session.legal().iter().position(|m| m.cards == cards && cards != Cards::NONE);
        match found {
            Some(choice) if !self.is_asked_to_show() => self.make(choice),
            _ => {
                let objection = self.objection(cards, text);
                self.notice = objection.unwrap_or_else(|| text.select_first.into());
                Ok(())
            }
        }
    }

    fn objection(&self, cards: Cards, text: &Text) -> Option<String> {
        text.objection(self.view(), self.session.legal(), cards)
    }

    fn play(&mut self, kind: Kind, text: &Text) -> Result<()> {
        match self.session.legal().iter().position(|m| m.kind == kind) {
            Some(choice) => self.make(choice),
            None => {
                if let Some(objection) = self.objection(Cards::NONE, text) {
                    self.notice = objection;
                }
                Ok(())
            }
        }
    }

    fn make(&mut self, choice: usize) -> Result<()> {
        self.session.play(choice)?;
        self.clear();
        self.idle = Duration::ZERO;
        self.settle()
    }
}

#[cfg(test)]
impl Sitting<'_, '_> {
    /// What the player did so far that shows, from another table.
    pub fn copy_looks(&mut self, other: &Sitting<'_, '_>) {
        (self.cursor, self.marks, self.with) = (other.cursor, other.marks, other.with);
        self.notice.clone_from(&other.notice);
    }
}
