//! The screen: a picture of an [`App`], and of nothing else.
use super::{
    app::{App, Popup, seconds},
    cards::Hand,
    layout::{self, Areas},
    panel,
    scene::{Mark, Scene},
    viewer::Viewer,
};
use crate::red10::advice::Judged;
use crate::red10::text::{Text, faces, fill, letters, percent, printable, red_tens};
use ratatui::{
    Frame,
    layout::Rect,
    style::{Color, Modifier, Style},
    text::{Line, Span},
    widgets::{Block, Clear, Paragraph, Wrap},
};
use rlx_red10::{Kind, Rules, SEATS};

/// Whether there is colour; nothing is told by colour alone.
#[derive(Clone, Copy, Debug)]
pub struct Theme {
    /// Whether colours may be sent.
    pub color: bool,
}

impl Theme {
    fn fg(self, color: Color) -> Style {
        if self.color { Style::new().fg(color) } else { Style::new() }
    }
    /// The red team and its tens.
    pub fn red(self) -> Style {
        self.fg(Color::Red).add_modifier(Modifier::BOLD)
    }
    /// What matters now.
    pub fn strong(self) -> Style {
        self.fg(Color::Yellow).add_modifier(Modifier::BOLD)
    }
    /// A friend.
    pub fn good(self) -> Style {
        self.fg(Color::Green)
    }
    /// What matters less.
    pub fn dim(self) -> Style {
        Style::new().add_modifier(Modifier::DIM)
    }
}

/// A seat as the player at the bottom calls it.
pub fn seat_name(me: usize, seat: usize, text: &Text) -> String {
    format!("{} {}", fill(text.seat_n, &[&seat]), place(me, seat, text))
}

fn place(me: usize, seat: usize, text: &Text) -> &'static str {
    [text.you, text.next, text.across, text.previous][(seat + SEATS - me) % SEATS]
}

/// A mark as text.
pub fn mark_name(mark: Mark, text: &Text) -> &'static str {
    match mark {
        Mark::Unknown => text.unknown,
        Mark::Friend => text.friend,
        Mark::Foe => text.foe,
    }
}

/// Draws it.
pub fn draw(app: &App<'_, '_>, theme: Theme, frame: &mut Frame<'_>) {
    let area = frame.area();
    let a = layout::areas(area);
    let text = app.text();
    match (&app.viewer, &app.sitting) {
        (Some(viewer), _) => {
            let scene = viewer.scene();
            table(&scene, &viewer.record.agents, &a, text, theme, frame);
            view(viewer, &scene, &a, text, theme, frame);
        }
        (None, Some(sitting)) => {
            let scene = sitting.scene();
            table(&scene, &sitting.session.table().names, &a, text, theme, frame);
            let hints = sitting.hints.iter().enumerate().map(|(k, &(i, p))| {
                let shown = sitting.session.legal().get(i).map_or(String::new(), |m| text.play(m));
                let line = p.map_or(shown.clone(), |p| fill(text.wins, &[&shown, &percent(p)]));
                let style = if k == sitting.hint { theme.strong() } else { Style::new() };
                Line::styled(
                    format!("{} {}", if k == sitting.hint { ">" } else { " " }, fill(text.hint, &[&line])),
                    style,
                )
            });
            middle(hints.collect(), &scene, a.middle, theme, frame);
            let letters = sitting.letters();
            let cursor = (!sitting.session.is_over()).then_some(sitting.cursor);
            Hand { letters: &letters, chosen: &sitting.chosen, cursor }.draw(a.hand, theme, frame.buffer_mut());
            message(&sitting.notice, &sitting.prompt(text), a.message, theme, frame);
        }
        (None, None) => {}
    }
    head(app, a.head, theme, frame);
    buttons(app, a.buttons, theme, frame);
    match app.popup {
        Popup::None => {}
        Popup::Help => {
            let body = if app.viewer.is_some() { text.help_replay } else { text.help_table };
            popup(&format!("{body}\n\n{}", text.any_key), area, frame);
        }
        Popup::Leave => popup(text.leave_ask, area, frame),
    }
}

fn rules_name(rules: &Rules, text: &Text) -> &'static str {
    if *rules == Rules::folk4() {
        text.rules_folk4
    } else if *rules == Rules::paper() {
        text.rules_paper
    } else {
        text.rules_other
    }
}

fn head(app: &App<'_, '_>, area: Rect, theme: Theme, frame: &mut Frame<'_>) {
    let text = app.text();
    let mut parts = vec![text.red10.to_owned()];
    match (&app.viewer, &app.sitting) {
        (Some(v), _) => {
            parts.push(if v.review { text.review } else { text.replay }.into());
            if let Some(n) = app.source.number() {
                parts.push(fill(text.game_n, &[&n]));
            }
            parts.push(fill(text.ply_n, &[&v.at, &v.record.plies.len()]));
            if v.running {
                parts.push(format!("{} ({})", text.playing, fill(text.delay_n, &[&seconds(app.delay)])));
            }
            parts.push(rules_name(&v.record.rules, text).into());
            parts.push(fill(text.stake_n, &[&v.game().stake()]));
        }
        (None, Some(s)) => {
            let table = s.session.table();
            parts.push(fill(text.game_n, &[&(s.session.number() + 1)]));
            parts.push(fill(text.stake_n, &[&s.view().stake()]));
            let n = s.session.tally();
            parts.push(fill(text.tally, &[&n.won, &n.lost, &n.games, &n.red, &n.black]));
            parts.push(rules_name(&table.rules, text).into());
            parts.push(fill(text.seed_n, &[&table.seed]));
            parts.push(fill(text.delay_n, &[&seconds(app.delay)]));
        }
        (None, None) => {}
    }
    let style = theme.fg(Color::Cyan).add_modifier(Modifier::BOLD);
    // Parts that do not fit whole are left out; the first are what matters.
    let mut line = String::new();
    for part in parts {
        let longer = if line.is_empty() { part } else { format!("{line} · {part}") };
        if Span::raw(longer.as_str()).width() > area.width.into() && !line.is_empty() {
            break;
        }
        line = longer;
    }
    frame.render_widget(Paragraph::new(line).style(style), area);
}

/// What both the table and the viewer show of a scene: the others, the trick, the own line.
fn table(scene: &Scene, names: &[String; SEATS], a: &Areas, text: &Text, theme: Theme, frame: &mut Frame<'_>) {
    let me = scene.players[0].seat;
    for (player, area) in scene.players[1..].iter().zip(a.others) {
        let title = format!("{}: {}", seat_name(me, player.seat, text), printable(&names[player.seat]));
        if a.boxed {
            panel::boxed(player, &title, area, text, theme, frame);
        } else {
            panel::row(player, &format!("{} {}", player.seat, place(me, player.seat, text)), area, text, theme, frame);
        }
    }
    let trick = match scene.top_seat {
        _ if scene.players[0].paid.is_some() => Line::styled(text.it_is_over, theme.dim()),
        Some(seat) => {
            let by = seat_name(me, seat, text);
            let mut line = vec![Span::styled(
                fill(text.to_beat, &[&faces(scene.top.cards), &text.kind(&scene.top), &by]),
                theme.strong(),
            )];
            let passed = scene.history[scene.history.len() - scene.passes.min(scene.history.len())..].iter();
            let passed: Vec<String> =
                passed.filter(|p| p.play.kind == Kind::Pass).map(|p| seat_name(me, p.seat.into(), text)).collect();
            if !passed.is_empty() {
                line.push(Span::raw(format!("   {}", fill(text.passed, &[&passed.join(", ")]))));
            }
            Line::from(line)
        }
        None => Line::styled(text.nothing_to_beat, theme.dim()),
    };
    // On the smallest screens the cards are what matters.
    let trick = match scene.top_seat {
        Some(_) if a.trick.width < 30 => Line::from(faces(scene.top.cards)),
        _ => trick,
    };
    frame.render_widget(Paragraph::new(trick), a.trick);
    panel::own(&scene.players[0], &names[me], me, a.own, text, theme, frame);
}

/// The last tricks, below what is said of the position.
fn middle(mut lines: Vec<Line<'static>>, scene: &Scene, area: Rect, theme: Theme, frame: &mut Frame<'_>) {
    let room = usize::from(area.height).saturating_sub(lines.len());
    let mut tricks: Vec<String> = Vec::new();
    for ply in &scene.history {
        let play = match ply.play.kind {
            Kind::Pass => "-".into(),
            Kind::Show => format!("({})", red_tens(ply.play.cards.red())),
            _ => faces(ply.play.cards),
        };
        let play = format!("{}: {play}", ply.seat);
        match tricks.last_mut() {
            Some(trick) if !ply.lead => *trick += &format!(" │ {play}"),
            _ => tricks.push(play),
        }
    }
    let from = tricks.len().saturating_sub(room);
    for (i, trick) in tricks.iter().enumerate().skip(from) {
        // The end of a long trick is what matters.
        let width = usize::from(area.width);
        let n = trick.chars().count();
        let shown: String = if n > width {
            format!("…{}", trick.chars().skip(n + 1 - width).collect::<String>())
        } else {
            trick.clone()
        };
        let style = if i + 1 == tricks.len() { Style::new() } else { theme.dim() };
        lines.push(Line::styled(shown, style));
    }
    frame.render_widget(Paragraph::new(lines), area);
}

fn message(notice: &str, prompt: &str, area: Rect, theme: Theme, frame: &mut Frame<'_>) {
    let (notice, prompt) = (Line::from(notice.to_owned()), Line::styled(prompt.to_owned(), theme.strong()));
    let rows = |line: &Line<'_>| line.width().div_ceil(usize::from(area.width).max(1));
    // What was just said comes before what is to be done, which comes back with the next key.
    let lines = match (notice.width() > 0, rows(&notice) + rows(&prompt) <= usize::from(area.height)) {
        (false, _) => vec![prompt],
        (true, false) => vec![notice],
        (true, true) => vec![notice, prompt],
    };
    frame.render_widget(Paragraph::new(lines).wrap(Wrap { trim: true }), area);
}

fn buttons(app: &App<'_, '_>, area: Rect, theme: Theme, frame: &mut Frame<'_>) {
    let buttons = app.buttons();
    let labels: Vec<_> = buttons.iter().map(|b| (b.0, b.1.clone())).collect();
    for (_, i, place) in layout::buttons(&labels, area) {
        let (_, label, enabled) = &buttons[i];
        // What can not be done now is told without colour, too.
        let label = if *enabled { label.clone() } else { label.replace('[', "(").replace(']', ")") };
        let style = if *enabled { Style::new() } else { theme.dim() };
        frame.render_widget(Paragraph::new(label).style(style), place);
    }
}

/// A move that the agent would have made otherwise.
fn moment(m: &Judged, text: &Text) -> String {
    let better = m.better.as_ref().map_or(String::new(), |b| text.written(b));
    let line = fill(text.line_review, &[&m.ply, &text.written(&m.played), &better]);
    m.regret.map_or(line.clone(), |r| format!("{line}, {}", fill(text.costs, &[&percent(r)])))
}

/// What is said of the position of a record.
fn view(v: &Viewer, scene: &Scene, a: &Areas, text: &Text, theme: Theme, frame: &mut Frame<'_>) {
    let mut lines = Vec::new();
    match v.last() {
        None => {
            lines.push(Line::from(text.start));
            if v.review {
                lines.extend(v.moments().map(|m| Line::from(moment(m, text))));
                lines.truncate(a.middle.height.into());
            }
        }
        Some(m) => {
            let played = text.written(&m.played);
            let mut line = vec![Span::raw(format!("{} {} {played}", m.ply, seat_name(v.me, m.seat, text)))];
            if let Some(better) = &m.better {
                line.push(Span::styled(format!("   {}", fill(text.better, &[&text.written(better)])), theme.strong()));
                if let Some(regret) = m.regret {
                    line.push(Span::raw(format!(", {}", fill(text.costs, &[&percent(regret)]))));
                }
            } else if m.regret.is_some() || v.record.plies[m.ply - 1].advice.is_some() {
                line.push(Span::styled(format!("   {}", text.best_move), theme.good()));
            }
            lines.push(Line::from(line));
            if !m.best.is_empty() {
                let each = m.best.iter().map(|(play, p)| fill(text.wins, &[&text.written(play), &percent(*p)]));
                lines.push(Line::from(each.collect::<Vec<_>>().join("   ")));
            }
            if let Some(p) = m.teammates {
                let others = (1..SEATS).map(|k| (m.seat + k) % SEATS);
                let each: Vec<String> =
                    others.map(|s| format!("{} {}", fill(text.seat_n, &[&s]), percent(p[s]))).collect();
                let template = if v.record.agents[m.seat] == "human" { text.adviser_thinks } else { text.thinks };
                lines.push(Line::from(fill(template, &[&each.join(", ")])));
            }
        }
    }
    middle(lines, scene, a.middle, theme, frame);
    let hand = scene.players[0].hand.map(letters).unwrap_or_default();
    Hand { letters: &hand, chosen: &[], cursor: None }.draw(a.hand, theme, frame.buffer_mut());
    let end = match (&v.record.result, v.at == v.record.plies.len()) {
        (Some(_), true) => match v.game().winner() {
            Some(1) => text.red_wins.into(),
            Some(_) => text.black_wins.into(),
            None => text.draw.into(),
        },
        (None, true) => fill(text.left_record, &[&v.record.plies.len()]),
        _ => String::new(),
    };
    message(&v.notice, &end, a.message, theme, frame);
}

/// A text over the middle of the screen.
fn popup(text: &str, area: Rect, frame: &mut Frame<'_>) {
    let lines: Vec<Line<'_>> = text.lines().map(Line::from).collect();
    let widest = lines.iter().map(Line::width).max().unwrap_or(0) as u16;
    let width = area.width.min(widest + 4);
    // A line that is too long takes more than one.
    let inner = usize::from(width.saturating_sub(2)).max(1);
    let needed: usize = lines.iter().map(|l| l.width().div_ceil(inner).max(1)).sum();
    let height = area.height.min(needed as u16 + 2);
    let place = Rect { x: area.x + (area.width - width) / 2, y: area.y + (area.height - height) / 2, width, height };
    frame.render_widget(Clear, place);
    let text = Paragraph::new(lines).wrap(Wrap { trim: false });
    let bordered = place.width > 20 && place.height > 4;
    frame.render_widget(if bordered { text.block(Block::bordered()) } else { text }, place);
}
