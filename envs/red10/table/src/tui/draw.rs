//! The screen: a picture of an [`App`], and of nothing else. What it says is in [`Block`]s, which mark what they have no room for.
use super::{
    app::{App, Popup, seconds},
    cards::Hand,
    fit::{self, Block, Item, Para},
    layout::{self, Areas},
    panel,
    scene::Scene,
    viewer::Viewer,
};
use crate::{
    guide,
    replay::moment,
    text::{Text, faces, fill, letters, percent, printable, red_tens},
};
use ratatui::{
    Frame,
    buffer::Buffer,
    layout::Rect,
    style::{Color, Modifier, Style},
};
use rlx_red10::{Kind, SEATS};

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

/// Draws the whole screen: the table or a replay, and what lies over it.
pub fn draw(app: &App<'_, '_>, theme: Theme, frame: &mut Frame<'_>) {
    let buffer = frame.buffer_mut();
    let a = app.areas();
    blocks(app, &a, theme).iter().for_each(|block| block.draw(buffer));
    match (&app.viewer, &app.sitting) {
        (Some(viewer), _) => {
            let hand = viewer.scene().players[0].hand.map(letters).unwrap_or_default();
            Hand { letters: &hand, chosen: &[], cursor: None }.draw(a.hand, theme, buffer);
        }
        (None, Some(sitting)) => {
            let letters = sitting.letters();
            let cursor = (!sitting.session.is_over()).then_some(sitting.cursor);
            Hand { letters: &letters, chosen: &sitting.chosen, cursor }.draw(a.hand, theme, buffer);
        }
        (None, None) => {}
    }
    buttons(app, a.buttons, theme, buffer);
    if let Some(popup) = popup(app) {
        popup.draw(buffer);
    }
}

/// All that is said on the screen in words, but for the buttons and what lies over it.
pub fn blocks(app: &App<'_, '_>, a: &Areas, theme: Theme) -> Vec<Block> {
    let text = app.text();
    let mut all = vec![head(app, a.head, theme)];
    let (scene, lines) = match (&app.viewer, &app.sitting) {
        (Some(viewer), _) => {
            let scene = viewer.scene();
            table(&mut all, &scene, &viewer.record.agents, a, text, theme);
            (scene, judgement(viewer, text, theme))
        }
        (None, Some(sitting)) => {
            let scene = sitting.scene();
            table(&mut all, &scene, &sitting.session.table().names, a, text, theme);
            let hints = sitting.hints.iter().enumerate().map(|(k, &(i, p))| {
                let shown = sitting.session.legal().get(i).map_or(String::new(), |m| text.play(m));
                let line = p.map_or(shown.clone(), |p| fill(text.wins, &[&shown, &percent(p)]));
                let (sign, style) = if k == sitting.hint { (">", theme.strong()) } else { ("·", Style::new()) };
                Para::of(format!("{sign} {}", fill(text.hint, &[&line])), style)
            });
            (scene, hints.collect())
        }
        (None, None) => return all,
    };
    all.push(middle(lines, &scene, a, text, theme));
    if let (false, Some(rules)) = (a.aside.is_empty(), app.rules()) {
        let short = guide::short(rules, text.lang).into_iter().map(|line| Para::of(line, theme.dim()));
        all.push(Block { area: a.aside, frame: Some((text.in_short.into(), theme.dim())), paras: short.collect() });
    }
    all.push(Block::bare(a.message, said(app, theme)));
    all
}

fn head(app: &App<'_, '_>, area: Rect, theme: Theme) -> Block {
    let text = app.text();
    let mut parts = vec![text.red10.to_owned()];
    match (&app.viewer, &app.sitting) {
        (Some(v), _) => {
            parts.push(if v.review { text.review } else { text.replay }.into());
            let number = app.source.number().map(|n| n as u64).or(v.record.number);
            parts.extend(number.map(|n| fill(text.game_n, &[&n])));
            parts.push(fill(text.ply_n, &[&v.at, &v.record.plies.len()]));
            parts.push(fill(text.seed_n, &[&v.record.seed]));
            if v.running {
                parts.push(format!("{} ({})", text.playing, fill(text.delay_n, &[&seconds(app.delay)])));
            }
            parts.push(fill(text.stake_n, &[&v.game().stake()]));
            parts.push(text.rules_name(&v.record.rules).into());
        }
        (None, Some(s)) => {
            let table = s.session.table();
            parts.push(fill(text.game_n, &[&(s.session.number() + 1)]));
            parts.push(fill(text.seed_n, &[&table.seed]));
            parts.push(fill(text.stake_n, &[&s.view().stake()]));
            let n = s.session.tally();
            if n.games > 0 {
                parts.push(fill(text.tally, &[&n.won, &n.lost, &n.games, &n.red, &n.black]));
            }
            parts.push(text.rules_name(&table.rules).into());
            parts.push(fill(text.delay_n, &[&seconds(app.delay)]));
        }
        (None, None) => {}
    }
    let style = theme.fg(Color::Cyan).add_modifier(Modifier::BOLD);
    let items = parts.into_iter().map(|p| Item::new(p, style)).collect();
    Block::bare(area, vec![Para::new(items, " · ")])
}

/// A seat as the player at `me` calls it; who is looked at over an agent's shoulder is not that agent.
fn seat(me: usize, seat: usize, names: &[String; SEATS], text: &Text) -> String {
    if seat == me && names[me] != "human" { fill(text.seat_n, &[&seat]) } else { text.seat(me, seat) }
}

/// What both the table and the viewer show of a scene: the others, the trick, the own line.
fn table(all: &mut Vec<Block>, scene: &Scene, names: &[String; SEATS], a: &Areas, text: &Text, theme: Theme) {
    let me = scene.players[0].seat;
    for (player, area) in scene.players[1..].iter().zip(a.others) {
        let (place, agent) = (text.seat(me, player.seat), printable(&names[player.seat]));
        all.push(if a.boxed {
            panel::boxed(player, format!("{place}: {agent}"), area, text, theme)
        } else {
            let name = if area.height > 1 { format!("{place}: {agent}") } else { place };
            panel::row(player, name, area, text, theme)
        });
    }
    let passed = &scene.history[scene.history.len() - scene.passes.min(scene.history.len())..];
    let passed: Vec<String> =
        passed.iter().filter(|p| p.play.kind == Kind::Pass).map(|p| seat(me, p.seat.into(), names, text)).collect();
    let trick = match scene.top_seat {
        _ if scene.players[0].paid.is_some() => vec![Item::new(text.it_is_over, theme.dim())],
        // On the smallest screens the cards are what matters.
        Some(_) if a.trick.width < 30 => vec![Item::cards(faces(scene.top.cards), theme.strong())],
        Some(owner) => {
            let beat = [
                &faces(scene.top.cards) as &dyn std::fmt::Display,
                &text.kind(&scene.top),
                &seat(me, owner, names, text),
            ];
            let mut items = vec![Item::new(fill(text.to_beat, &beat), theme.strong())];
            if !passed.is_empty() {
                items.push(Item::new(fill(text.passed, &[&passed.join(", ")]), Style::new()));
            }
            items
        }
        None => vec![Item::new(text.nothing_to_beat, theme.dim())],
    };
    all.push(Block::bare(a.trick, vec![Para::new(trick, "   ")]));
    all.push(panel::own(&scene.players[0], seat(me, me, names, text), &names[me], a.own, text, theme));
}

/// What is said of the position, and below it the last tricks, as many as there is room for.
fn middle(lines: Vec<Para>, scene: &Scene, a: &Areas, text: &Text, theme: Theme) -> Block {
    let framed = !a.aside.is_empty();
    let frame = framed.then(|| (text.so_far.to_owned(), theme.dim()));
    let mut block = Block { area: a.middle, frame, paras: lines };
    let inner = block.inner();
    let mut tricks: Vec<Vec<Item>> = Vec::new();
    for ply in &scene.history {
        let play = match ply.play.kind {
            Kind::Pass => "-".into(),
            Kind::Show => format!("({})", red_tens(ply.play.cards.red())),
            _ => faces(ply.play.cards),
        };
        let play = Item::new(format!("{}: {play}", ply.seat), theme.dim());
        match tricks.last_mut() {
            Some(trick) if !ply.lead => trick.push(play),
            _ => tricks.push(vec![play]),
        }
    }
    if let Some(last) = tricks.last_mut() {
        last.iter_mut().for_each(|play| play.style = Style::new());
    }
    let room = inner.height.saturating_sub(fit::rows(&block.paras, inner.width));
    let paras: Vec<Para> = tricks.into_iter().map(|trick| Para::new(trick, " │ ")).collect();
    // The newest are shown; how many are not is said in the first row.
    let mut from = 0;
    while fit::rows(&paras[from..], inner.width) + u16::from(from > 0) > room && from < paras.len() {
        from += 1;
    }
    if from > 0 && room > 0 {
        block.paras.push(Para::of(fill(text.earlier_n, &[&from]), theme.dim()));
    }
    if room > 0 {
        block.paras.extend(paras.into_iter().skip(from));
    }
    block
}

/// What there is to say: what was just said, and what is to be done.
pub fn said(app: &App<'_, '_>, theme: Theme) -> Vec<Para> {
    let text = app.text();
    if app.popup == Popup::Leave {
        return vec![Para::of(text.leave_ask, theme.strong())];
    }
    let (notice, prompt) = match (&app.viewer, &app.sitting) {
        (Some(v), _) => {
            let end = match (&v.record.result, v.at == v.record.plies.len()) {
                (Some(_), true) => match v.game().winner() {
                    Some(1) => text.red_wins.into(),
                    Some(_) => text.black_wins.into(),
                    None => text.draw.into(),
                },
                (None, true) => fill(text.left_record, &[&v.record.plies.len()]),
                _ => String::new(),
            };
            (&v.notice, end)
        }
        (None, Some(s)) => (&s.notice, s.prompt(text)),
        (None, None) => return Vec::new(),
    };
    let paras = [Para::of(notice.clone(), Style::new()), Para::of(prompt, theme.strong())];
    paras.into_iter().filter(|p| !p.items.is_empty()).collect()
}

fn buttons(app: &App<'_, '_>, area: Rect, theme: Theme, buffer: &mut Buffer) {
    let buttons = app.buttons();
    let labels: Vec<_> = buttons.iter().map(|b| (b.0, b.1.clone())).collect();
    let (placed, more) = layout::buttons(&labels, area);
    for (_, i, place) in placed {
        let (_, label, enabled) = &buttons[i];
        // What cannot be done now is told without colour, too.
        let label = if *enabled { label.clone() } else { label.replace('[', "(").replace(']', ")") };
        buffer.set_string(place.x, place.y, label, if *enabled { Style::new() } else { theme.dim() });
    }
    if let Some((x, y)) = more {
        buffer.set_string(x, y, "…", Style::new());
    }
}

/// What is said of the position of a record.
fn judgement(v: &Viewer, text: &Text, theme: Theme) -> Vec<Para> {
    let Some(m) = v.last() else {
        let mut lines = vec![Para::of(text.start, Style::new())];
        if v.review {
            lines.extend(v.moments().map(|m| Para::of(moment(m, text), Style::new())));
        }
        return lines;
    };
    let names = &v.record.agents;
    let played = format!("{} {}: {}", m.ply, seat(v.me, m.seat, names, text), text.written(&m.played));
    let mut line = vec![Item::new(played, Style::new())];
    if let Some(better) = &m.better {
        let costs = m.regret.map_or(String::new(), |r| format!(", {}", fill(text.costs, &[&percent(r)])));
        line.push(Item::new(format!("{}{costs}", fill(text.better, &[&text.written(better)])), theme.strong()));
    } else if m.regret.is_some() || v.record.plies[m.ply - 1].advice.is_some() {
        line.push(Item::new(text.best_move, theme.good()));
    }
    let mut lines = vec![Para::new(line, " · ")];
    let best = m.best.iter().map(|(play, p)| fill(text.wins, &[&text.written(play), &percent(*p)]));
    lines.push(Para::new(best.map(|b| Item::new(b, Style::new())).collect(), " · "));
    if let Some(p) = m.teammates {
        let others = (1..SEATS).map(|k| (m.seat + k) % SEATS);
        let each: Vec<String> = others.map(|s| format!("{} {}", seat(v.me, s, names, text), percent(p[s]))).collect();
        let each = each.join(", ");
        lines.push(Para::of(
            if v.record.agents[m.seat] == "human" {
                fill(text.adviser_thinks, &[&each])
            } else {
                fill(text.thinks, &[&seat(v.me, m.seat, names, text), &each])
            },
            Style::new(),
        ));
    }
    lines
}

/// What lies over the screen.
pub fn popup(app: &App<'_, '_>) -> Option<Block> {
    let (text, size) = (app.text(), app.size);
    match app.popup {
        Popup::None => None,
        Popup::Leave => {
            let paras = vec![Para::of(text.leave_ask, Style::new())];
            let width = size.width.min(fit::width(text.leave_ask) as u16 + 4);
            let height = size.height.min(fit::rows(&paras, width.saturating_sub(2)) + 2);
            let (x, y) = ((size.width - width) / 2, (size.height - height) / 2);
            Some(Block { area: Rect { x, y, width, height }, frame: Some((String::new(), Style::new())), paras })
        }
        Popup::Page { .. } => Some(app.page().0),
    }
}
