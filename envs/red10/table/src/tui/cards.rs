//! The own hand: cards that stand up when they are selected.
use super::{
    draw::Theme,
    layout::{Fan, fan},
};
use crate::text::face;
use ratatui::{
    buffer::Buffer,
    layout::Rect,
    style::{Modifier, Style},
};

/// A hand to draw.
pub struct Hand<'a> {
    /// The cards, from low to high.
    pub letters: &'a [char],
    /// Which are selected.
    pub chosen: &'a [bool],
    /// The card that space selects, where there is a cursor.
    pub cursor: Option<usize>,
}

impl Hand<'_> {
    /// Draws the cards into the buffer, fanned where they do not fit.
    pub fn draw(&self, area: Rect, theme: Theme, buffer: &mut Buffer) {
        let fan = fan(area, self.letters.len(), self.cursor.unwrap_or(0));
        for i in fan.first..fan.first + fan.seen {
            let chosen = self.chosen.get(i).copied().unwrap_or(false);
            if fan.boxed {
                self.boxed(i, chosen, fan, theme, buffer);
            } else {
                self.flat(i, chosen, fan, theme, buffer);
            }
        }
        let more = Style::new().add_modifier(Modifier::BOLD);
        if fan.first > 0 {
            buffer.set_stringn(area.x, area.y, "<", 1, more);
        }
        if fan.first + fan.seen < self.letters.len() && fan.seen > 0 {
            buffer.set_stringn(area.right() - 1, area.y, ">", 1, more);
        }
    }

    fn style(&self, i: usize, chosen: bool, theme: Theme) -> Style {
        let style = if self.letters[i] == 'R' { theme.red() } else { Style::new() };
        if chosen { style.add_modifier(Modifier::BOLD) } else { style }
    }

    fn boxed(&self, i: usize, chosen: bool, fan: Fan, theme: Theme, buffer: &mut Buffer) {
        let Some(x) = fan.x(i) else { return };
        let y = fan.area.y + u16::from(!chosen);
        let inner = usize::from(fan.width) - 2;
        let style = self.style(i, chosen, theme);
        let red = self.letters[i] == 'R';
        // A red ten is told without colour: by its hearts.
        let label = if red && inner < 3 { "10" } else { face(self.letters[i]) };
        let foot = if red { "♥" } else { "─" };
        let inside = if chosen { style.add_modifier(Modifier::REVERSED) } else { style };
        let rows = fan.area.height - 2;
        buffer.set_string(x, y, format!("┌{}┐", "─".repeat(inner)), style);
        for row in 1..rows - 1 {
            // Upper left and lower right, as on paper.
            let text = match row {
                1 => format!("{label:inner$}"),
                _ if row == rows - 2 => format!("{label:>inner$}"),
                _ if red && row == (rows - 1) / 2 => format!("{:^inner$}", "♥"),
                _ => " ".repeat(inner),
            };
            buffer.set_string(x, y + row, "│", style);
            buffer.set_string(x + 1, y + row, text, inside);
            buffer.set_string(x + 1 + inner as u16, y + row, "│", style);
        }
        buffer.set_string(x, y + rows - 1, format!("└{}┘", foot.repeat(inner)), style);
        if self.cursor == Some(i) {
            buffer.set_string(x + fan.width / 2, fan.area.bottom() - 1, "▲", Style::new());
        }
    }

    fn flat(&self, i: usize, chosen: bool, fan: Fan, theme: Theme, buffer: &mut Buffer) {
        let Some(x) = fan.x(i) else { return };
        let width = usize::from(fan.width);
        let letter = self.letters[i].to_string();
        let label = if width >= 3 { face(self.letters[i]) } else { &letter };
        let mut style = self.style(i, chosen, theme);
        if chosen {
            style = style.add_modifier(Modifier::REVERSED);
        }
        let tall = fan.area.height >= 3;
        if self.cursor == Some(i) {
            if tall {
                buffer.set_stringn(x, fan.area.y + 2, "^", width, Style::new());
            } else {
                style = style.add_modifier(Modifier::UNDERLINED);
            }
        }
        let y = fan.area.y + u16::from(tall && !chosen);
        buffer.set_stringn(x, y, label, width, style);
    }
}
