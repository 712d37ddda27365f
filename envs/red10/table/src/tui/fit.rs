//! Text that fits its place: it is wrapped where there are rows, and what does not fit is marked, never dropped in silence.
use ratatui::{
    buffer::Buffer,
    layout::Rect,
    style::Style,
    text::{Line, Span},
    widgets::{Block as Frame, Clear, Widget},
};

/// A part of a paragraph.
#[derive(Clone, Debug)]
pub struct Item {
    /// What it says.
    pub text: String,
    /// How it looks.
    pub style: Style,
    /// Whether its words are cards: those that do not fit are counted.
    pub cards: bool,
}

impl Item {
    /// Words.
    pub fn new(text: impl Into<String>, style: Style) -> Self {
        Self { text: text.into(), style, cards: false }
    }
    /// Cards.
    pub fn cards(text: impl Into<String>, style: Style) -> Self {
        Self { text: text.into(), style, cards: true }
    }
}

/// Items one after the other, over as many rows as there are.
#[derive(Clone, Debug)]
pub struct Para {
    /// The items; empty ones are left out.
    pub items: Vec<Item>,
    /// What stands between two of them in one row.
    pub between: &'static str,
    /// Most rows that it takes.
    pub most: usize,
}

impl Para {
    /// Items with something between them.
    pub fn new(items: Vec<Item>, between: &'static str) -> Self {
        Self { items: items.into_iter().filter(|i| !i.text.is_empty()).collect(), between, most: usize::MAX }
    }
    /// A single item.
    pub fn of(text: impl Into<String>, style: Style) -> Self {
        Self::new(vec![Item::new(text, style)], "")
    }
    /// In one row.
    pub fn row(self) -> Self {
        Self { most: 1, ..self }
    }
}

/// Columns of a text.
pub fn width(text: &str) -> usize {
    Span::raw(text).width()
}

/// A text in one row of that many columns; where it is cut, that is marked.
pub fn cut(text: &str, columns: usize) -> String {
    if width(text) <= columns {
        return text.into();
    }
    let mut short = text.to_owned();
    while width(&short) + 1 > columns && short.pop().is_some() {}
    if columns == 0 { String::new() } else { short + "…" }
}

/// What is not torn apart: a word, or a Chinese character.
struct Unit {
    text: String,
    /// What stands before it, unless it begins a row.
    gap: String,
    item: usize,
    /// Columns of the whole item, at its first unit.
    whole: Option<usize>,
}

fn units(para: &Para, columns: usize) -> Vec<Unit> {
    let mut all: Vec<Unit> = Vec::new();
    for (item, i) in para.items.iter().enumerate() {
        let (mut gap, mut word) = (if item > 0 { para.between.to_owned() } else { String::new() }, String::new());
        let mut whole = Some(width(&i.text));
        let mut push = |gap: &mut String, word: &mut String| {
            if !word.is_empty() {
                let (text, gap) = (std::mem::take(word), std::mem::take(gap));
                all.push(Unit { text, gap, item, whole: whole.take() });
            }
        };
        for c in i.text.chars() {
            let wide = width(c.encode_utf8(&mut [0; 4])) > 1;
            // A stop stays with what it ends.
            let ends = matches!(c, '，' | '。' | '、' | '；' | '：' | '）' | '」' | ',' | '.' | ':' | ';' | ')');
            if c == ' ' {
                push(&mut gap, &mut word);
                gap.push(' ');
                continue;
            }
            let full = width(&word) + width(c.encode_utf8(&mut [0; 4])) > columns;
            if full || (!ends && !word.is_empty() && (wide || word.chars().last().is_some_and(is_wide))) {
                push(&mut gap, &mut word);
            }
            word.push(c);
        }
        push(&mut gap, &mut word);
    }
    all
}

fn is_wide(c: char) -> bool {
    width(c.encode_utf8(&mut [0; 4])) > 1
}

/// The rows of a paragraph, at most so many; what does not fit is marked by `…`, with the number of cards that are left out.
pub fn flow(para: &Para, columns: usize, rows: usize) -> Vec<Line<'static>> {
    let (units, rows) = (units(para, columns), rows.min(para.most));
    let mut lines: Vec<Line<'static>> = Vec::new();
    let (mut from, mut used) = (0, 0);
    if rows == 0 || columns == 0 {
        return lines;
    }
    for (i, u) in units.iter().enumerate() {
        let gap = if i == from && from > 0 { 0 } else { width(&u.gap) };
        let last = lines.len() + 1 == rows;
        // An item that a row of its own would hold is not torn apart, but in the last row.
        let need = u.whole.filter(|w| *w <= columns && !last).unwrap_or_else(|| width(&u.text));
        if i > from && used + gap + need > columns {
            if last {
                lines.push(marked(para, &units, from, i, columns));
                return lines;
            }
            lines.push(line(para, &units[from..i], from > 0));
            (from, used) = (i, width(&u.text));
        } else {
            used += gap + width(&u.text);
        }
    }
    if from < units.len() {
        lines.push(line(para, &units[from..], from > 0));
    }
    lines
}

fn line(para: &Para, units: &[Unit], trim: bool) -> Line<'static> {
    let mut spans = Vec::new();
    for (k, u) in units.iter().enumerate() {
        if !(u.gap.is_empty() || k == 0 && trim) {
            let inside = k > 0 && units[k - 1].item == u.item;
            spans.push(if inside {
                Span::styled(u.gap.clone(), para.items[u.item].style)
            } else {
                u.gap.clone().into()
            });
        }
        spans.push(Span::styled(u.text.clone(), para.items[u.item].style));
    }
    Line::from(spans)
}

/// The last row, from unit `from` on, where unit `end` and what follows do not fit.
fn marked(para: &Para, units: &[Unit], from: usize, mut end: usize, columns: usize) -> Line<'static> {
    loop {
        let item = units[end].item;
        let left = units[end..].iter().filter(|u| u.item == item).count();
        let mark = if para.items[item].cards { format!("…+{left}") } else { "…".into() };
        let mut row = line(para, &units[from..end], from > 0);
        let gap = usize::from(end > from);
        if end == from || row.width() + gap + width(&mark) <= columns {
            row.push_span(Span::raw(format!("{}{mark}", " ".repeat(gap))));
            return row;
        }
        end -= 1;
    }
}

/// Paragraphs in their place, with or without a frame.
#[derive(Clone, Debug)]
pub struct Block {
    /// The place.
    pub area: Rect,
    /// The frame's title and style.
    pub frame: Option<(String, Style)>,
    /// What it says.
    pub paras: Vec<Para>,
}

impl Block {
    /// Without a frame.
    pub fn bare(area: Rect, paras: Vec<Para>) -> Self {
        Self { area, frame: None, paras }
    }

    /// Where the text is.
    pub fn inner(&self) -> Rect {
        if self.frame.is_some() { Frame::bordered().inner(self.area) } else { self.area }
    }

    /// Draws it; what does not fit is marked at the end.
    pub fn draw(&self, buffer: &mut Buffer) {
        if self.area.is_empty() {
            return;
        }
        Clear.render(self.area, buffer);
        // A wide character that begins left of it would lie on its edge.
        for y in self.area.y..self.area.bottom().min(buffer.area.bottom()) {
            if let Some(cell) = self.area.x.checked_sub(1).and_then(|x| buffer.cell_mut((x, y)))
                && width(cell.symbol()) > 1
            {
                cell.set_symbol(" ");
            }
        }
        if let Some((title, style)) = &self.frame {
            let title = cut(title, usize::from(self.area.width).saturating_sub(4));
            let title = if title.is_empty() { title } else { format!(" {title} ") };
            Frame::bordered().border_style(*style).title(title).render(self.area, buffer);
        }
        let inner = self.inner();
        let mut left = usize::from(inner.height);
        for para in self.paras.iter().filter(|p| !p.items.is_empty()) {
            let lines = flow(para, inner.width.into(), left);
            if lines.is_empty() && inner.width > 1 && inner.height > 0 {
                buffer.set_string(inner.right() - 2, inner.bottom() - 1, " …", Style::new());
                return;
            }
            for line in lines {
                let y = inner.bottom() - left as u16;
                buffer.set_line(inner.x, y, &line, inner.width);
                left -= 1;
            }
        }
    }
}

/// Rows that some paragraphs take at a width.
pub fn rows(paras: &[Para], columns: u16) -> u16 {
    paras.iter().map(|p| flow(p, columns.into(), 999).len() as u16).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(para: &Para, columns: usize, rows: usize) -> Vec<String> {
        flow(para, columns, rows).iter().map(Line::to_string).collect()
    }

    #[test]
    fn e11_what_does_not_fit_is_marked_and_cards_are_counted() {
        let hand =
            Para::new(vec![Item::new("1 next", Style::new()), Item::cards("3 3 10♥ J Q K", Style::new())], " · ");
        assert_eq!(lines(&hand, 22, 9), ["1 next · 3 3 10♥ J Q K"]);
        assert_eq!(lines(&hand, 21, 9), ["1 next", "3 3 10♥ J Q K"]);
        assert_eq!(lines(&hand, 21, 1), ["1 next · 3 3 10♥ …+3"]);
        assert_eq!(lines(&hand, 10, 2), ["1 next · 3", "3 10♥ …+3"]);
        assert_eq!(cut("2 across: pretrained", 12), "2 across: p…");
        assert_eq!(cut("轮到你领出。", 12), "轮到你领出。");
        assert_eq!(cut("轮到你领出。", 8), "轮到你…");
        assert_eq!(lines(&Para::of("轮到你领出。再来", Style::new()), 12, 3), ["轮到你领出。", "再来"]);
    }

    /// Nothing is lost at any size: all words are there, in order, or the last row says that they are not.
    #[test]
    fn e11_no_word_is_lost_in_silence() {
        let para = Para::new(
            vec![Item::new("Holders of the red tens", Style::new()), Item::cards("3 4 10♥ J Q K A 2", Style::new())],
            " · ",
        );
        for columns in 1..60 {
            for rows in 1..6 {
                let rows = lines(&para, columns, rows);
                let said = rows.join(" ").replace(" · ", " ").replace(' ', "");
                let whole = said == "Holdersoftheredtens3410♥JQKA2";
                assert!(whole || rows.last().unwrap().contains('…'), "{columns}: {rows:?}");
                assert!(rows.iter().all(|r| width(r) <= columns.max(3)), "{columns}: {rows:?}");
            }
        }
    }
}
