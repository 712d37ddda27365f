//! Where things are on a screen of some size: what is drawn and what a click hits both ask this.
use ratatui::{layout::Rect, text::Span};

/// The parts of the screen; a part without room has no height.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Areas {
    /// The head line.
    pub head: Rect,
    /// The three other players, in the order of play.
    pub others: [Rect; 3],
    /// Whether they have borders.
    pub boxed: bool,
    /// What must be beaten.
    pub trick: Rect,
    /// What was played, hints.
    pub middle: Rect,
    /// The rules in short, where there is room beside that.
    pub aside: Rect,
    /// The own line.
    pub own: Rect,
    /// The own hand.
    pub hand: Rect,
    /// What there is to say.
    pub message: Rect,
    /// What can be clicked.
    pub buttons: Rect,
}

/// Takes rows from the top of what is left.
fn take(left: &mut Rect, rows: u16) -> Rect {
    let rows = rows.min(left.height);
    let part = Rect { height: rows, ..*left };
    left.y += rows;
    left.height -= rows;
    part
}

/// What the parts depend on beside the screen's size.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Needs {
    /// All hands are open: a record, or a game that is over.
    pub open: bool,
    /// The others' panels have a row more: marks, the agent's view.
    pub more: bool,
    /// Rows of what there is to say.
    pub message: u16,
    /// Rows of buttons.
    pub buttons: u16,
}

/// Rows inside the panels of the others.
fn panel_rows(size: Rect, needs: Needs) -> u16 {
    match (needs.open, size.height >= 30) {
        (true, true) => 5,
        (true, false) => {
            if size.width >= 100 {
                4
            } else {
                5
            }
        }
        (false, true) => 4,
        (false, false) => 2 + u16::from(needs.more),
    }
}

/// Rows of the own hand: large where there is room, small where it is only looked at.
fn hand_rows(h: u16, open: bool) -> u16 {
    match (open, h) {
        (false, 44..) => 11,
        (false, 36..) | (true, 44..) => 9,
        (false, 28..) | (true, 36..) => 7,
        (false, 16..) | (true, 30..) => 5,
        (false, 11..) | (true, 16..) => 3,
        _ => 1,
    }
}

/// The parts of a screen.
pub fn areas(size: Rect, needs: Needs) -> Areas {
    let mut left = size;
    let mut a = Areas::default();
    let (w, h) = (size.width, size.height);
    if h < 8 {
        // What cannot be missed first: the hand, what to beat, what is said.
        a.hand = take(&mut left, 1);
        a.trick = take(&mut left, 1);
        a.message = take(&mut left, if h < 4 { 1 } else { 2 });
        a.buttons = take(&mut left, if h > 5 { 2 } else { 1 });
        a.head = take(&mut left, 1);
        return a;
    }
    a.head = take(&mut left, 1);
    a.boxed = if needs.open { w >= 76 && h >= 22 } else { w >= 57 && h >= 16 };
    if a.boxed {
        let rows = take(&mut left, panel_rows(size, needs) + 2);
        let each = w / 3;
        a.others = std::array::from_fn(|k| {
            let x = rows.x + each * k as u16;
            Rect { x, width: if k == 2 { w - 2 * each } else { each }, ..rows }
        });
    } else {
        let rows = if needs.open && h >= 16 { 2 } else { 1 };
        a.others = std::array::from_fn(|_| take(&mut left, rows));
    }
    a.trick = take(&mut left, 1);
    // From the bottom up; what is said comes before the own line, and both before the log.
    let buttons = needs.buttons.clamp(1, if h >= 14 { 2 } else { 1 });
    let hand = hand_rows(h, needs.open);
    let room = left.height.saturating_sub(buttons + hand);
    let message = needs.message.max(if h >= 12 && !needs.open { 2 } else { 1 }).min(room).min(4);
    let own = u16::from(h >= 12 && room > message);
    let mut from_below = |rows: u16| {
        let rows = rows.min(left.height);
        left.height -= rows;
        Rect { y: left.y + left.height, height: rows, ..left }
    };
    a.buttons = from_below(buttons);
    a.hand = from_below(hand);
    a.own = from_below(own);
    a.message = from_below(message);
    a.middle = left;
    if w >= 100 && left.height >= 8 {
        let aside = (w * 9 / 20).clamp(50, 80);
        a.aside = Rect { x: left.right() - aside, width: aside, ..left };
        a.middle.width -= aside;
    }
    a
}

/// How a hand of cards lies in its area.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fan {
    /// The area.
    pub area: Rect,
    /// Columns of a card: 4 or more with a border, 1 as a letter.
    pub width: u16,
    /// Whether the cards have borders.
    pub boxed: bool,
    /// The first card that is seen, where not all are.
    pub first: usize,
    /// How many are seen.
    pub seen: usize,
}

/// The hand of `n` cards with the cursor at `cursor`.
pub fn fan(area: Rect, n: usize, cursor: usize) -> Fan {
    // As wide as a whole hand allows, so that the cards stay as they are when there are fewer.
    let whole = n.max(13);
    let boxed = area.height >= 5 && usize::from(area.width) >= 4 * whole;
    let widest = if boxed { usize::from(area.height - 2) * 3 / 2 + 2 } else { 4 };
    let width = (usize::from(area.width) / whole).clamp(1, widest);
    let room = usize::from(area.width) / width;
    let seen = n.min(room);
    // The cursor's card is always seen.
    let first = if seen == 0 { 0 } else { cursor.min(n.saturating_sub(1)).saturating_sub(seen - 1) };
    // In the middle of wide screens.
    let indent = if boxed && area.width >= 100 { (usize::from(area.width) - width * whole) / 2 } else { 0 };
    let area = Rect { x: area.x + indent as u16, width: area.width - indent as u16, ..area };
    Fan { area, width: width as u16, boxed, first, seen }
}

impl Fan {
    /// The column of a card.
    pub fn x(&self, card: usize) -> Option<u16> {
        (card >= self.first && card < self.first + self.seen)
            .then(|| self.area.x + (card - self.first) as u16 * self.width)
    }

    /// The card at a place.
    pub fn card_at(&self, x: u16, y: u16) -> Option<usize> {
        if !self.area.contains((x, y).into()) || self.width == 0 {
            return None;
        }
        let k = usize::from((x - self.area.x) / self.width);
        (k < self.seen).then_some(self.first + k)
    }
}

/// A button: what it does, the number of its label, and where it is.
pub type Button<T> = (T, usize, Rect);

/// Places buttons in rows, as many as fit, and where a mark stands if not all do.
pub fn buttons<T: Copy>(labels: &[(T, String)], area: Rect) -> (Vec<Button<T>>, Option<(u16, u16)>) {
    let mut placed: Vec<Button<T>> = Vec::new();
    let (mut x, mut y) = (area.x, area.y);
    for (i, (action, label)) in labels.iter().enumerate() {
        let width = Span::raw(label.as_str()).width() as u16;
        let (next_x, next_y) = if x > area.x && x + width > area.right() { (area.x, y + 1) } else { (x, y) };
        if next_y >= area.bottom() || width > area.width {
            // The mark takes the place of a button where there is none beside it.
            while let Some(last) =
                placed.last().filter(|l| l.2.right() + 2 > area.right() && l.2.y + 1 == area.bottom())
            {
                x = last.2.x;
                placed.pop();
            }
            let at = if x + 1 > area.right() { None } else { Some((x, y)) };
            return (placed, at.filter(|_| !area.is_empty()));
        }
        placed.push((*action, i, Rect { x: next_x, y: next_y, width, height: 1 }));
        (x, y) = (next_x + width + 1, next_y);
    }
    (placed, None)
}

/// Rows that buttons take at a width.
pub fn button_rows<T: Copy>(labels: &[(T, String)], width: u16) -> u16 {
    let (placed, _) = buttons(labels, Rect::new(0, 0, width, u16::MAX));
    placed.last().map_or(1, |b| b.2.y + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// No part leaves the screen or lies on another, whatever the size.
    #[test]
    fn parts_are_apart_and_on_the_screen() {
        let needs =
            (0..32).map(|k| Needs { open: k & 1 > 0, more: k & 2 > 0, message: k >> 2 & 3, buttons: 1 + (k >> 4 & 1) });
        for needs in needs {
            for w in 0..130 {
                for h in 0..60 {
                    let size = Rect::new(0, 0, w, h);
                    let a = areas(size, needs);
                    let mut parts = vec![a.head, a.trick, a.middle, a.aside, a.own, a.hand, a.message, a.buttons];
                    parts.extend(a.others);
                    for (i, p) in parts.iter().enumerate() {
                        assert!(p.is_empty() || size.union(*p) == size, "{w}x{h}: {p}");
                        assert!(parts[..i].iter().all(|q| q.intersection(*p).is_empty()), "{w}x{h}: {p}");
                    }
                    assert!(h == 0 || a.hand.height > 0, "{w}x{h}");
                    let said = a.message.height >= needs.message.clamp(1, 2);
                    assert!(
                        w < 40 || h < 12 || (said && a.buttons.height > 0 && a.trick.height > 0),
                        "{w}x{h} {needs:?}"
                    );
                }
            }
        }
    }

    #[test]
    fn every_card_under_the_cursor_is_seen_and_can_be_clicked() {
        for w in 1..210 {
            for h in 1..12 {
                for n in 0..15 {
                    for cursor in 0..n {
                        let fan = fan(Rect::new(3, 2, w, h), n, cursor);
                        let x = fan.x(cursor);
                        assert!(x.is_some_and(|x| fan.card_at(x, fan.area.y) == Some(cursor)), "{w}x{h} {n}");
                        let last = fan.x(fan.first + fan.seen - 1).unwrap() + fan.width;
                        assert!(last <= fan.area.right() && fan.area.right() == 3 + w, "{w}x{h} {n}");
                        // From 40 columns on a whole hand is seen.
                        assert!(w < 40 || fan.seen == n, "{w}x{h} {n}");
                    }
                }
            }
        }
    }
}
