//! What the screen is about and how events change it. No terminal here: tests send it events and draw it into a buffer.
use super::{
    draw::{self, Theme},
    fit::{self, Block, Item, Para},
    keys::{Action, spell_ten, table_key, viewer_key},
    layout::{self, Areas, Needs},
    scene::Mark,
    table::Sitting,
    viewer::{Source, Viewer},
};
use crate::guide;
use crate::text::Lang;
use crate::text::Text;
use crate::text::fill;
use anyhow::Result;
use ratatui::{
    crossterm::event::{Event, KeyCode, KeyEvent, KeyEventKind, KeyModifiers, MouseButton, MouseEventKind},
    layout::Rect,
    style::{Modifier, Style},
    text::Line,
};
use rlx_red10::Rules;
use std::{path::PathBuf, time::Duration};

/// The agents' delays and the replay's speeds that + and - go through, in milliseconds.
const DELAYS_MS: [u64; 9] = [0, 100, 200, 400, 800, 1200, 2000, 3000, 5000];

/// What lies over the screen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Popup {
    /// Nothing.
    #[default]
    None,
    /// The keys, or the rules, from some row on.
    Page {
        /// Whether it is the rules.
        rules: bool,
        /// The first row that is seen.
        top: usize,
    },
    /// Whether to leave a game that goes on.
    Leave,
}

/// How it ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// The player left.
    Left,
    /// Ctrl-C or a signal.
    Interrupted,
}

/// A button: what it does, its label, whether it can be used now.
pub type Button = (Action, String, bool);

/// The table, or a record that is looked at.
pub struct App<'t, 'p> {
    /// The language.
    pub lang: Lang,
    /// The screen's size.
    pub size: Rect,
    /// How long the agents wait before a move, and a replay between two.
    pub delay: Duration,
    /// What lies over the screen.
    pub popup: Popup,
    /// The game that is played.
    pub sitting: Option<Sitting<'t, 'p>>,
    /// The record that is looked at.
    pub viewer: Option<Viewer>,
    /// Where other records come from.
    pub source: Source<'t, 'p>,
    /// Where logs are saved.
    pub folder: PathBuf,
    /// Set at the end.
    pub exit: Option<Exit>,
}

impl<'t, 'p> App<'t, 'p> {
    /// A table with nothing on it yet.
    fn empty(lang: Lang, delay: Duration) -> Self {
        Self {
            lang,
            size: Rect::new(0, 0, 80, 24),
            delay,
            popup: Popup::None,
            sitting: None,
            viewer: None,
            source: Source::None,
            folder: PathBuf::from("."),
            exit: None,
        }
    }

    /// A table to play at.
    pub fn play(sitting: Sitting<'t, 'p>, lang: Lang, delay: Duration) -> Self {
        Self { sitting: Some(sitting), ..Self::empty(lang, delay) }
    }

    /// Records to look at.
    pub fn view(viewer: Viewer, source: Source<'t, 'p>, lang: Lang, delay: Duration) -> Self {
        Self { viewer: Some(viewer), source, ..Self::empty(lang, delay) }
    }

    /// The texts.
    pub fn text(&self) -> &'static Text {
        self.lang.text()
    }

    /// Takes what came from the terminal.
    ///
    /// # Errors
    /// When an agent or the log fails.
    pub fn update(&mut self, event: &Event) -> Result<()> {
        match event {
            Event::Resize(w, h) => self.size = Rect::new(0, 0, *w, *h),
            Event::Paste(_) => self.say(self.text().paste_ignored.into()),
            Event::Key(key) if key.kind != KeyEventKind::Release => self.key(*key)?,
            Event::Mouse(mouse) => match mouse.kind {
                MouseEventKind::Down(MouseButton::Left) => self.click(mouse.column, mouse.row)?,
                MouseEventKind::ScrollUp if self.viewer.is_some() => self.act(Action::Step(-1))?,
                MouseEventKind::ScrollDown if self.viewer.is_some() => self.act(Action::Step(1))?,
                _ => {}
            },
            _ => {}
        }
        Ok(())
    }

    /// Time went by; whether that changed anything.
    ///
    /// # Errors
    /// When an agent or the log fails.
    pub fn tick(&mut self, elapsed: Duration) -> Result<bool> {
        match (&mut self.viewer, &mut self.sitting) {
            (Some(viewer), _) => Ok(viewer.tick(elapsed, self.delay)),
            // A question lies over the game: it waits.
            (None, Some(_)) if self.popup != Popup::None => Ok(false),
            (None, Some(sitting)) => sitting.tick(elapsed, self.delay),
            (None, None) => Ok(false),
        }
    }

    /// Leaves at once, the log kept.
    pub fn interrupt(&mut self) {
        self.exit = Some(Exit::Interrupted);
    }

    fn say(&mut self, notice: String) {
        if let Some(viewer) = &mut self.viewer {
            viewer.notice = notice;
        } else if let Some(sitting) = &mut self.sitting {
            sitting.notice = notice;
        }
    }

    fn key(&mut self, key: KeyEvent) -> Result<()> {
        let control = key.modifiers.contains(KeyModifiers::CONTROL);
        if control && matches!(key.code, KeyCode::Char('c' | 'C')) {
            self.interrupt();
            return Ok(());
        }
        match std::mem::take(&mut self.popup) {
            Popup::Page { rules, top } => {
                self.turn_page(key.code, rules, top);
                return Ok(());
            }
            Popup::Leave => {
                // The key that asked leaves, too: pressed again it must not mean to stay.
                if matches!(key.code, KeyCode::Char('y' | 'Y' | 'x' | 'X') | KeyCode::Enter) {
                    self.exit = Some(Exit::Left);
                }
                return Ok(());
            }
            Popup::None => {}
        }
        self.say(String::new());
        if control {
            return Ok(());
        }
        let action = match (&self.viewer, &mut self.sitting) {
            (Some(_), _) => viewer_key(key.code),
            (None, Some(sitting)) => {
                let alt = key.modifiers.contains(KeyModifiers::ALT);
                let marks = std::mem::take(&mut sitting.marking) || alt;
                let ten = if marks { None } else { spell_ten(&mut sitting.spelt, key.code) };
                ten.or_else(|| table_key(key.code, marks, sitting.session.is_over(), sitting.is_asked_to_show()))
            }
            (None, None) => None,
        };
        action.map_or(Ok(()), |a| self.act(a))
    }

    /// Keys over a page: some move it, `?` turns it, any other closes it.
    fn turn_page(&mut self, code: KeyCode, rules: bool, top: usize) {
        self.popup = Popup::Page { rules, top };
        let (page, rows) = self.page();
        // The last row of the page says what can be done.
        let seen = usize::from(page.inner().height).saturating_sub(1).max(1);
        let end = rows.saturating_sub(seen);
        let top = match code {
            KeyCode::Up => top.saturating_sub(1),
            KeyCode::Down => top + 1,
            KeyCode::PageUp => top.saturating_sub(seen),
            KeyCode::PageDown | KeyCode::Char(' ') => top + seen,
            KeyCode::Home => 0,
            KeyCode::End => end,
            KeyCode::Char('l' | 'L') => {
                self.lang = self.lang.other();
                0
            }
            KeyCode::Char('?') | KeyCode::F(1) => {
                self.popup = Popup::Page { rules: !rules, top: 0 };
                return;
            }
            _ => {
                self.popup = Popup::None;
                return;
            }
        };
        self.popup = Popup::Page { rules, top: top.min(end) };
    }

    /// The page that lies over the screen, and how many rows it has.
    pub fn page(&self) -> (Block, usize) {
        let Popup::Page { rules, top } = self.popup else { return (Block::bare(Rect::ZERO, Vec::new()), 0) };
        let t = self.text();
        let (title, body, more) = match self.rules() {
            Some(of) if rules => (t.rules_title, guide::markdown(of, self.lang).replace("### ", ""), t.more_help),
            _ => (t.keys_title, if self.viewer.is_some() { t.help_replay } else { t.help_table }.into(), t.more_rules),
        };
        let width = self.size.width.min(if rules { 90 } else { 84 });
        let columns = usize::from(width.saturating_sub(2));
        let paras = body.lines().map(|l| Para::of(if l.is_empty() { " " } else { l }, Style::new()));
        let blank = || vec![Line::from("")];
        let rows = paras.map(|p| Some(fit::flow(&p, columns, 999)).filter(|l| !l.is_empty()).unwrap_or_else(blank));
        let rows: Vec<String> = rows.flatten().map(|l| l.to_string()).collect();
        let height = self.size.height.min(rows.len() as u16 + 3);
        let seen = usize::from(height).saturating_sub(3).max(1);
        let last = (top + seen).min(rows.len());
        let place =
            if last - top < rows.len() { fill(t.rows_n, &[&(top + 1), &last, &rows.len()]) } else { String::new() };
        // A row without words is drawn as one, too.
        let row = |l: &String| Para::of(if l.is_empty() { "\u{a0}" } else { l }, Style::new()).row();
        let mut paras: Vec<Para> = rows[top.min(rows.len())..last].iter().map(row).collect();
        let strong = Style::new().add_modifier(Modifier::BOLD);
        let foot = [place.as_str(), more, t.any_key].map(|f| Item::new(f, strong));
        paras.push(Para::new(foot.into(), " · ").row());
        let (x, y) = ((self.size.width - width) / 2, (self.size.height - height) / 2);
        let area = Rect { x, y, width, height };
        (Block { area, frame: Some((title.into(), Style::new())), paras }, rows.len())
    }

    /// The rules of what is on the screen.
    pub fn rules(&self) -> Option<&Rules> {
        let table = self.sitting.as_ref().map(|s| &s.session.table().rules);
        self.viewer.as_ref().map(|v| &v.record.rules).or(table)
    }

    /// Where everything is on the screen.
    pub fn areas(&self) -> Areas {
        let width = self.size.width;
        let labels: Vec<(Action, String)> = self.buttons().into_iter().map(|b| (b.0, b.1)).collect();
        let over = self.sitting.as_ref().is_some_and(|s| s.session.is_over());
        let more = self.sitting.as_ref().is_some_and(|s| s.beliefs || s.marks.iter().any(|m| *m != Mark::Unknown));
        let needs = Needs {
            open: self.viewer.is_some() || over,
            more,
            message: fit::rows(&draw::said(self, Theme { color: false }), width),
            buttons: layout::button_rows(&labels, width),
        };
        layout::areas(self.size, needs)
    }

    fn click(&mut self, x: u16, y: u16) -> Result<()> {
        // What is clicked is what was drawn: with the question, and before the last notice goes.
        let (areas, buttons) = (self.areas(), self.buttons());
        let labels: Vec<(Action, String)> = buttons.into_iter().map(|b| (b.0, b.1)).collect();
        let hit = |r: &Rect| r.contains((x, y).into());
        let button = layout::buttons(&labels, areas.buttons).0.into_iter().find(|b| hit(&b.2)).map(|b| b.0);
        match std::mem::take(&mut self.popup) {
            Popup::None => {}
            Popup::Leave if button == Some(Action::Leave) => {
                self.exit = Some(Exit::Left);
                return Ok(());
            }
            _ => return Ok(()),
        }
        self.say(String::new());
        if let Some(sitting) = &mut self.sitting {
            sitting.marking = false;
        }
        if let Some(action) = button {
            return self.act(action);
        }
        let Some(sitting) = self.sitting.as_ref().filter(|_| self.viewer.is_none()) else { return Ok(()) };
        if let Some(k) = areas.others.iter().position(hit) {
            return self.act(Action::MarkPlayer(k));
        }
        let fan = layout::fan(areas.hand, sitting.letters().len(), sitting.cursor);
        fan.card_at(x, y).map_or(Ok(()), |card| self.act(Action::Card(card)))
    }

    /// What can be clicked now.
    pub fn buttons(&self) -> Vec<Button> {
        let t = self.text();
        if self.popup == Popup::Leave {
            let ask = |action, key, label| (action, format!("[{key} {label}]"), true);
            return vec![ask(Action::Leave, "x", t.b_leave), ask(Action::Clear, "Esc", t.stay)];
        }
        let on = |action: Action, key: &str, label: &str| {
            let space = if label.is_empty() { "" } else { " " };
            (action, format!("[{key}{space}{label}]"), true)
        };
        let mut all = match (&self.viewer, &self.sitting) {
            (Some(_), _) => vec![
                on(Action::Step(-1), "←", ""),
                on(Action::Step(1), "→", ""),
                on(Action::Run, "space", t.b_run),
                on(Action::Hands, "o", t.b_hands),
                on(Action::Turn, "Tab", t.b_seat),
                on(Action::Moment, "m", t.b_moment),
            ],
            (None, Some(s)) if s.session.is_over() => {
                vec![
                    on(Action::Next, "n", t.b_next),
                    on(Action::Review, "v", t.b_review),
                    on(Action::Save, "s", t.b_save),
                ]
            }
            (None, Some(s)) if s.is_asked_to_show() => {
                vec![on(Action::Show, "y", t.b_show), on(Action::Keep, "n", t.b_keep), on(Action::Hint, "h", t.b_hint)]
            }
            (None, Some(s)) => {
                let asked = s.session.is_asked();
                let mut all = vec![
                    on(Action::Play, "⏎", t.b_play),
                    on(Action::Pass, "p", t.b_pass),
                    on(Action::Hint, "h", t.b_hint),
                    on(Action::Clear, "c", t.b_clear),
                    on(Action::Mark, "m", t.b_mark),
                    on(Action::Beliefs, "b", t.b_beliefs),
                    on(Action::Save, "s", t.b_save),
                ];
                all[0].2 = asked && s.can_play();
                all[1].2 = asked && s.can_pass();
                all[2].2 = asked;
                all
            }
            (None, None) => Vec::new(),
        };
        if self.source.number().is_some() {
            all.push(on(Action::Next, "n", t.b_next));
        }
        all.push(on(Action::Language, "l", t.b_lang));
        // Where not all fit, the last are left out: these are not among them.
        let back = self.viewer.is_some() && self.sitting.is_some();
        let leave = on(Action::Leave, "x", if back { t.b_back } else { t.b_leave });
        let at = all.len().min(3);
        all.splice(at..at, [on(Action::Help, "?", t.b_help), leave]);
        all
    }

    /// Does what was asked for.
    ///
    /// # Errors
    /// When an agent or the log fails.
    pub fn act(&mut self, action: Action) -> Result<()> {
        match action {
            Action::Language => self.lang = self.lang.other(),
            Action::Help => self.popup = Popup::Page { rules: false, top: 0 },
            Action::Faster | Action::Slower => self.change_delay(action),
            Action::Leave => self.leave(),
            Action::Review => self.review()?,
            Action::Next | Action::Previous if self.viewer.is_some() && self.sitting.is_none() => {
                self.other_game(action == Action::Next)
            }
            _ => match (&mut self.viewer, &mut self.sitting) {
                (Some(viewer), _) => viewer.act(action, self.lang.text()),
                (None, Some(sitting)) => sitting.act(action, self.lang.text(), &self.folder)?,
                (None, None) => {}
            },
        }
        Ok(())
    }

    fn change_delay(&mut self, action: Action) {
        let now = self.delay.as_millis() as u64;
        let next = if action == Action::Faster {
            DELAYS_MS.into_iter().rev().find(|d| *d < now).unwrap_or(0)
        } else {
            DELAYS_MS.into_iter().find(|d| *d > now).unwrap_or(now)
        };
        self.delay = Duration::from_millis(next);
        self.say(fill(self.text().delay_now, &[&seconds(self.delay)]));
    }

    fn leave(&mut self) {
        match (&self.viewer, &self.sitting) {
            // From the review back to the table.
            (Some(_), Some(_)) => self.viewer = None,
            (None, Some(s)) if !s.session.is_over() => self.popup = Popup::Leave,
            _ => self.exit = Some(Exit::Left),
        }
    }

    fn review(&mut self) -> Result<()> {
        let Some(session) = self.sitting.as_ref().map(|s| &s.session) else { return Ok(()) };
        if let Some(record) = session.record() {
            let mut viewer = Viewer::new(record.clone())?;
            viewer.me = session.table().human.unwrap_or(0);
            viewer.review = true;
            viewer.notice = viewer.summary(self.lang.text());
            self.viewer = Some(viewer);
        }
        Ok(())
    }

    /// The next game of the file, or the one before; where there is none, that is said and nothing changes.
    fn other_game(&mut self, next: bool) {
        match self.source.other(next).and_then(Viewer::new) {
            Ok(mut viewer) => {
                if let Some(old) = &self.viewer {
                    (viewer.me, viewer.open) = (old.me, old.open);
                    viewer.running = old.running || matches!(self.source, Source::Watch(..));
                }
                self.viewer = Some(viewer);
            }
            Err(e) => self.say(fill(self.text().no_more, &[&crate::text::printable(&format!("{e:#}"))])),
        }
    }
}

/// A delay for people.
pub fn seconds(d: Duration) -> String {
    format!("{:.1} s", d.as_secs_f32())
}
