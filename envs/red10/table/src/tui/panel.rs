//! What is known of a player: as a panel, or as a line where there is no room for one.
use super::{
    draw::Theme,
    fit::{Block, Item, Para},
    scene::{Mark, Player},
};
use crate::text::Text;
use crate::text::faces;
use crate::text::fill;
use crate::text::percent;
use crate::text::printable;
use crate::text::red_tens;
use ratatui::{layout::Rect, style::Style};
use rlx_red10::Kind;

fn cards(player: &Player, text: &Text) -> Item {
    let text = match (player.place, player.left) {
        (Some(place), _) => fill(text.out_n, &[&place]),
        (None, 1) => text.card_1.into(),
        (None, n) => fill(text.cards_n, &[&n]),
    };
    Item::new(text, Style::new())
}

/// What the player did in this trick.
fn doing(player: &Player, text: &Text, theme: Theme) -> Item {
    let style = if player.top { theme.strong() } else { Style::new() };
    match player.last {
        Some(m) if m.kind == Kind::Pass => Item::new(text.passes, style),
        Some(m) if m.kind == Kind::Show => Item::new(fill(text.showed, &[&red_tens(m.cards.red())]), style),
        Some(m) => Item::cards(fill(text.plays, &[&faces(m.cards)]), style),
        None => Item::new("", style),
    }
}

/// The team where it may be seen, with what was paid; the red tens that everybody has seen.
fn team(player: &Player, text: &Text, theme: Theme) -> Vec<Item> {
    let mut items = Vec::new();
    if let Some(red) = player.red {
        let mut name = if red { text.team_red } else { text.team_black }.to_owned();
        if let Some(paid) = player.paid {
            name += &format!(" {paid:+.0}");
        }
        items.push(Item::new(name, if red { theme.red() } else { Style::new() }));
    }
    if player.shown > 0 {
        items.push(Item::new(fill(text.red_shown, &[&red_tens(player.shown.into())]), theme.red()));
    }
    items
}

fn hand(player: &Player) -> Item {
    let hand = player.hand.filter(|_| player.place.is_none());
    Item::cards(hand.map_or(String::new(), faces), Style::new())
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
pub fn boxed(player: &Player, title: String, area: Rect, text: &Text, theme: Theme) -> Block {
    // Where there are rows to spare, what is not known yet is said, too; where there is no room, what follows from the rest is not.
    let roomy = area.height >= 6 && player.hand.is_none();
    let tight = area.width < 36 && player.hand.is_none();
    let mut first = vec![cards(player, text)];
    if tight && player.shown > 0 {
        first.push(Item::new(red_tens(player.shown.into()), theme.red()));
    } else {
        first.extend(team(player, text, theme));
    }
    if roomy && player.red.is_none() {
        first.push(Item::new(text.red_none, theme.dim()));
    }
    if player.mark != Mark::Unknown || roomy {
        let name = text.mark_name(player.mark);
        let mark = if tight { name.to_owned() } else { fill(text.mark, &[&name]) };
        first.push(Item::new(mark, mark_style(player.mark, theme)));
    }
    let turn = Item::new(if player.turn { text.to_move } else { "" }, theme.strong());
    // What was played is not pushed out by what is known.
    let rows = usize::from(area.height.saturating_sub(3 + u16::from(player.with.is_some()))).max(1);
    let first = Para { most: rows, ..Para::new(first, " · ") };
    let mut paras =
        vec![first, Para::new(vec![doing(player, text, theme), turn], " · "), Para::new(vec![hand(player)], " ")];
    if let Some(p) = player.with {
        let shift = player.shift.filter(|s| s.abs() >= 0.005);
        let shift = shift.map_or(String::new(), |s| format!(" {:+.0}", 100.0 * s));
        // What is left beside the words and the numbers.
        let width = usize::from(area.width).saturating_sub(22).min(24);
        let bar = if width < 3 { String::new() } else { format!("{} ", bar(p, width)) };
        paras.push(Para::of(format!("{} {bar}{}{shift}", text.with_you, percent(p)), Style::new()));
    }
    let border = if player.turn { theme.strong() } else { Style::new() };
    Block { area, frame: Some((title, border)), paras }
}

/// A line, or two.
pub fn row(player: &Player, name: String, area: Rect, text: &Text, theme: Theme) -> Block {
    let turn = Item::new(if player.turn { ">" } else { "·" }, theme.strong());
    let mark = Item::new(["?", "+", "-"][player.mark as usize], mark_style(player.mark, theme));
    let with = Item::new(player.with.map_or(String::new(), percent), Style::new());
    let mut items = vec![turn, Item::new(name, Style::new())];
    if player.hand.is_none() {
        items.extend([cards(player, text), mark, with]);
        if player.shown > 0 {
            items.push(Item::new(red_tens(player.shown.into()), theme.red()));
        }
        items.push(doing(player, text, theme));
        return Block::bare(area, vec![Para::new(items, " ")]);
    }
    if area.height < 2 {
        // The cards say how many there are.
        items.extend(if player.place.is_some() { vec![cards(player, text)] } else { vec![hand(player)] });
        items.extend(team(player, text, theme));
        items.extend([with, doing(player, text, theme)]);
        return Block::bare(area, vec![Para::new(items, " ")]);
    }
    items.push(cards(player, text));
    items.extend(team(player, text, theme));
    items.push(doing(player, text, theme));
    let below = Para::new(
        vec![Item::new(if player.place.is_some() { "" } else { " " }, Style::new()), hand(player), with],
        "  ",
    );
    Block::bare(area, vec![Para::new(items, " ").row(), below])
}

/// The line of the player at the bottom.
pub fn own(player: &Player, name: String, agent: &str, area: Rect, text: &Text, theme: Theme) -> Block {
    let mut items = vec![Item::new(name, if player.turn { theme.strong() } else { Style::new() })];
    if agent != "human" {
        items.push(Item::new(format!("({})", printable(agent)), Style::new()));
    }
    items.push(cards(player, text));
    items.extend(team(player, text, theme));
    items.push(doing(player, text, Theme { color: false }));
    Block::bare(area, vec![Para::new(items, " · ").row()])
}
