//! What is known of a player: as a panel, or as a line where there is no room for one.
use super::{
    draw::{Theme, mark_name, seat_name},
    scene::{Mark, Player},
};
use crate::red10::text::{Text, faces, fill, percent, printable, red_tens};
use ratatui::{
    Frame,
    layout::Rect,
    style::Style,
    text::{Line, Span},
    widgets::{Block, Paragraph, Wrap},
};
use rlx_red10::Kind;

fn cards(player: &Player, text: &Text) -> String {
    match (player.place, player.left) {
        (Some(place), _) => fill(text.out_n, &[&place]),
        (None, 1) => text.card_1.into(),
        (None, n) => fill(text.cards_n, &[&n]),
    }
}

/// What the player did in this trick.
fn doing(player: &Player, text: &Text) -> String {
    match player.last {
        Some(m) if m.kind == Kind::Pass => text.passes.into(),
        Some(m) if m.kind == Kind::Show => fill(text.showed, &[&red_tens(m.cards.red())]),
        Some(m) => fill(text.plays, &[&faces(m.cards)]),
        None => String::new(),
    }
}

fn team(player: &Player, text: &Text, theme: Theme) -> Option<Span<'static>> {
    let style = |red| if red { theme.red() } else { Style::new() };
    player.red.map(|red| {
        let mut name = if red { text.team_red } else { text.team_black }.to_owned();
        if let Some(paid) = player.paid {
            name += &format!(" {paid:+.0}");
        }
        Span::styled(name, style(red))
    })
}

/// P(with the player) as a bar.
fn bar(p: f32, width: usize) -> String {
    let filled = (p.clamp(0.0, 1.0) * width as f32).round() as usize;
    format!("{}{}", "█".repeat(filled), "░".repeat(width - filled))
}

fn mark_style(mark: Mark, theme: Theme) -> Style {
    match mark {
        Mark::Unknown => theme.dim(),
        Mark::Friend => theme.good(),
        Mark::Foe => theme.red(),
    }
}

/// A panel with a border.
pub fn boxed(player: &Player, title: &str, area: Rect, text: &Text, theme: Theme, frame: &mut Frame<'_>) {
    let mut lines = Vec::new();
    let mut first = vec![Span::raw(cards(player, text))];
    if player.turn {
        first.push(Span::styled(format!("  {}", text.to_move), theme.strong()));
    }
    lines.push(Line::from(first));
    let seen = red_tens(player.shown.into());
    lines.push(match (team(player, text, theme), player.shown) {
        (Some(team), 0) => Line::from(team),
        (Some(team), _) => Line::from(vec![team, Span::raw(format!(" · {}", fill(text.red_shown, &[&seen])))]),
        (None, _) => Line::styled(text.red_none, theme.dim()),
    });
    lines.push(Line::styled(doing(player, text), if player.top { theme.strong() } else { Style::new() }));
    match player.hand {
        Some(hand) if player.place.is_none() => lines.push(Line::from(faces(hand))),
        _ => {}
    }
    if player.hand.is_none() || player.mark != Mark::Unknown {
        lines.push(Line::styled(fill(text.mark, &[&mark_name(player.mark, text)]), mark_style(player.mark, theme)));
    }
    if let Some(p) = player.with {
        let shift = player.shift.filter(|s| s.abs() >= 0.005);
        let shift = shift.map_or(String::new(), |s| format!(" {:+.0}", 100.0 * s));
        // What is left beside the words and the numbers.
        let width = usize::from(area.width).saturating_sub(22).min(12);
        let bar = if width < 3 { String::new() } else { format!("{} ", bar(p, width)) };
        lines.push(Line::from(format!("{} {bar}{}{shift}", text.with_you, percent(p))));
    }
    let border = if player.turn { theme.strong() } else { Style::new() };
    let block = Block::bordered().border_style(border).title(format!(" {title} "));
    frame.render_widget(Paragraph::new(lines).wrap(Wrap { trim: true }).block(block), area);
}

/// A line.
pub fn row(player: &Player, name: &str, area: Rect, text: &Text, theme: Theme, frame: &mut Frame<'_>) {
    let mark = ["?", "+", "-"][player.mark as usize];
    let mut line = vec![
        Span::styled(if player.turn { "> " } else { "  " }, theme.strong()),
        Span::raw(format!("{name} {}", cards(player, text))),
        Span::styled(format!(" {mark}"), mark_style(player.mark, theme)),
    ];
    if let Some(p) = player.with {
        line.push(Span::raw(format!(" {}", percent(p))));
    }
    if player.shown > 0 {
        line.push(Span::styled(format!(" {}", red_tens(player.shown.into())), theme.red()));
    }
    if player.paid.is_some() {
        line.extend([Span::raw(" ")].into_iter().chain(team(player, text, theme)));
    }
    let doing = match player.hand {
        Some(hand) if player.place.is_none() => faces(hand),
        _ => doing(player, text),
    };
    line.push(Span::styled(format!(" {doing}"), if player.top { theme.strong() } else { Style::new() }));
    frame.render_widget(Paragraph::new(Line::from(line)), area);
}

/// The line of the player at the bottom.
pub fn own(player: &Player, agent: &str, me: usize, area: Rect, text: &Text, theme: Theme, frame: &mut Frame<'_>) {
    let mut line =
        vec![Span::styled(seat_name(me, player.seat, text), if player.turn { theme.strong() } else { Style::new() })];
    if agent != "human" {
        line.push(Span::raw(format!(" ({})", printable(agent))));
    }
    line.push(Span::raw(format!(" · {}", cards(player, text))));
    if let Some(team) = team(player, text, theme) {
        line.extend([Span::raw(" · "), team]);
    }
    if player.shown > 0 {
        let shown = fill(text.red_shown, &[&red_tens(player.shown.into())]);
        line.push(Span::styled(format!(" · {shown}"), theme.red()));
    }
    let doing = doing(player, text);
    if !doing.is_empty() {
        line.push(Span::raw(format!(" · {doing}")));
    }
    frame.render_widget(Paragraph::new(Line::from(line)), area);
}
