//! The terminal table: a game with hints, beliefs and marks, its review, and replays. `app` is what it is about, without a terminal;
//! `draw` is its picture; here is the loop between them and the terminal.
mod app;
mod cards;
mod draw;
mod fit;
mod keys;
mod layout;
mod panel;
mod scene;
mod table;
mod terminal;
#[cfg(test)]
mod tests;
#[cfg(test)]
mod tests_of_sizes;
mod viewer;

use super::{
    agent::Agent,
    session::{Session, Table},
    text::{Lang, fill},
};
use anyhow::{Context, Result};
use app::{App, Exit};
use draw::Theme;
use ratatui::crossterm::event::Event;
use rlx_red10::world::Preset;
use std::{
    io::{self, IsTerminal, Write},
    path::{Path, PathBuf},
    sync::{
        atomic::{AtomicBool, Ordering},
        mpsc::RecvTimeoutError,
    },
    time::{Duration, Instant},
};
use table::Sitting;
use viewer::{Source, Viewer};

pub use scene::Mark;
pub use terminal::signals;

/// How a terminal table looks.
#[derive(Clone, Copy, Debug)]
pub struct Look {
    /// The language.
    pub lang: Lang,
    /// How long the agents wait before a move.
    pub delay: Duration,
    /// Whether colours may be sent.
    pub color: bool,
}

/// Whether there is a terminal that can show a table: both ends are one, and it can do more than lines.
pub fn possible() -> bool {
    let dumb = std::env::var("TERM").map_or(true, |t| t.is_empty() || t == "dumb");
    !dumb && io::stdin().is_terminal() && io::stdout().is_terminal()
}

/// Plays games at a table; or shows the agents' games, where the table has no seat for a player. False when a signal or Ctrl-C ended it.
///
/// # Errors
/// When an agent, the log or the terminal fails.
pub fn play(table: &Table, agents: &mut [Agent], adviser: usize, look: Look, stop: &AtomicBool) -> Result<bool> {
    let session = Session::new(table, agents, adviser)?;
    if table.human.is_some() {
        return run(App::play(Sitting::new(session, look.lang.text())?, look.lang, look.delay), look, stop);
    }
    let mut source = Source::Watch(Box::new(session), 0);
    let mut viewer = Viewer::new(source.first()?)?;
    viewer.running = true;
    run(App::view(viewer, source, look.lang, look.delay), look, stop)
}

/// Shows the games of a file, from the `number`-th on. False when a signal or Ctrl-C ended it.
///
/// # Errors
/// When the file has no such game or the terminal fails.
pub fn replay(file: &Path, number: usize, look: Look, stop: &AtomicBool) -> Result<bool> {
    let mut source = Source::File(PathBuf::from(file), number);
    let viewer = Viewer::new(source.first()?)?;
    run(App::view(viewer, source, look.lang, look.delay), look, stop)
}

fn run(mut app: App<'_, '_>, look: Look, stop: &AtomicBool) -> Result<bool> {
    let ended = {
        let mut screen = terminal::Screen::take()?;
        events(&mut app, &mut screen, look, stop)
    };
    // The terminal is given back by now; whatever ended the game, the log has it as far as it went.
    if let Some(sitting) = &mut app.sitting {
        sitting.session.leave()?;
        // A terminal that is gone is no reason to fail.
        let say = |line: String| drop(writeln!(io::stdout(), "{line}"));
        let (text, n) = (app.lang.text(), sitting.session.tally());
        if n.games > 0 {
            say(fill(text.line_tally, &[&n.games, &n.won, &n.lost, &n.red, &n.black]));
        }
        if let Some(path) = sitting.session.log() {
            say(fill(text.saved, &[&path.display()]));
        }
        let table = sitting.session.table();
        if let Some(rules) = Preset::Both.rules().into_iter().find(|r| r.1 == table.rules) {
            say(fill(text.deal_again, &[&rules.0, &table.seed]));
        }
    }
    // A terminal that is gone is left, not a failure.
    if !stop.load(Ordering::Relaxed) && io::stdout().is_terminal() {
        ended?;
    }
    Ok(app.exit == Some(Exit::Left))
}

fn events(app: &mut App<'_, '_>, screen: &mut terminal::Screen, look: Look, stop: &AtomicBool) -> Result<()> {
    let theme = Theme { color: look.color };
    let size = screen.0.size().context("the terminal")?;
    app.update(&Event::Resize(size.width, size.height))?;
    let events = terminal::events();
    let (mut last, mut changed) = (Instant::now(), true);
    while app.exit.is_none() {
        if changed {
            let drawn = screen.0.draw(|frame| {
                // A terminal that changed its size since the last event is drawn as it is now.
                app.size = frame.area();
                draw::draw(app, theme, frame);
            });
            drawn.context("the terminal")?;
        }
        // Short enough for signals and the agents' delays to be heard in time.
        let first = events.recv_timeout(Duration::from_millis(20));
        if stop.load(Ordering::Relaxed) || matches!(first, Err(RecvTimeoutError::Disconnected)) {
            app.interrupt();
            break;
        }
        changed = first.is_ok();
        // All that came, before it is drawn again; no more than a paste's worth at a time, for the game to go on.
        for event in first.into_iter().chain(events.try_iter()).take(4096) {
            let event = event.context("the terminal")?;
            if terminal::asks_for_redraw(&event) {
                screen.0.resize(app.size).context("the terminal")?;
            }
            app.update(&event)?;
            if app.exit.is_some() {
                break;
            }
        }
        let now = Instant::now();
        changed |= app.tick(now - last)?;
        last = now;
    }
    Ok(())
}
