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

/// The parts of a screen.
pub fn areas(size: Rect) -> Areas {
    let mut left = size;
    let mut a = Areas::default();
    let (w, h) = (size.width, size.height);
    if h < 8 {
        // What can not be missed first: the hand, what to beat, what is said.
        a.hand = take(&mut left, 1);
        a.trick = take(&mut left, 1);
        a.message = take(&mut left, if h < 4 { 1 } else { 2 });
        a.buttons = take(&mut left, if h > 5 { 2 } else { 1 });
        a.head = take(&mut left, 1);
        return a;
    }
    a.head = take(&mut left, 1);
    a.boxed = w >= 57 && h >= 18;
    if a.boxed {
        let rows = take(&mut left, if h >= 22 { 8 } else { 7 });
        let each = w / 3;
        a.others = std::array::from_fn(|k| {
            let x = rows.x + each * k as u16;
            Rect { x, width: if k == 2 { w - 2 * each } else { each }, ..rows }
        });
    } else {
        a.others = std::array::from_fn(|_| take(&mut left, 1));
    }
    // From the bottom up.
    let mut from_below = |rows: u16| {
        let rows = rows.min(left.height);
        left.height -= rows;
        Rect { y: left.y + left.height, height: rows, ..left }
    };
    a.buttons = from_below(if h >= 11 && w < 100 { 2 } else { 1 });
    a.message = from_below(if h >= 12 { 2 } else { 1 });
    a.hand = from_below(if h >= 17 {
        5
    } else if h >= 11 {
        3
    } else {
        1
    });
    a.own = from_below(u16::from(h >= 13));
    a.trick = take(&mut left, 1);
    a.middle = left;
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
    let per = |w: usize| usize::from(area.width) >= w * n;
    let width = if area.height >= 5 && per(5) && area.width >= 76 {
        5
    } else if per(4) {
        4
    } else if per(3) {
        3
    } else if per(2) {
        2
    } else {
        1
    };
    let room = usize::from(area.width) / width;
    let seen = n.min(room);
    // The cursor's card is always seen.
    let first = if seen == 0 { 0 } else { cursor.min(n.saturating_sub(1)).saturating_sub(seen - 1) };
    Fan { area, width: width as u16, boxed: area.height >= 5 && width >= 4, first, seen }
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

/// Places buttons in rows, as many as fit.
pub fn buttons<T: Copy>(labels: &[(T, String)], area: Rect) -> Vec<(T, usize, Rect)> {
    let mut placed = Vec::new();
    let (mut x, mut y) = (area.x, area.y);
    for (i, (action, label)) in labels.iter().enumerate() {
        let width = Span::raw(label.as_str()).width() as u16;
        if x > area.x && x + width > area.right() {
            (x, y) = (area.x, y + 1);
        }
        if y >= area.bottom() || width > area.width {
            break;
        }
        placed.push((*action, i, Rect { x, y, width, height: 1 }));
        x += width + 1;
    }
    placed
}

#[cfg(test)]
mod tests {
    use super::*;

    /// No part leaves the screen or lies on another, whatever the size.
    #[test]
    fn parts_are_apart_and_on_the_screen() {
        for w in 0..130 {
            for h in 0..60 {
                let size = Rect::new(0, 0, w, h);
                let a = areas(size);
                let mut parts = vec![a.head, a.trick, a.middle, a.own, a.hand, a.message, a.buttons];
                parts.extend(a.others);
                for (i, p) in parts.iter().enumerate() {
                    assert!(p.is_empty() || size.union(*p) == size, "{w}x{h}: {p}");
                    assert!(parts[..i].iter().all(|q| q.intersection(*p).is_empty()), "{w}x{h}: {p}");
                }
                assert!(h == 0 || a.hand.height > 0, "{w}x{h}");
                for n in 0..15 {
                    for cursor in 0..n {
                        let fan = fan(a.hand, n, cursor);
                        let x = fan.x(cursor);
                        assert!(
                            w == 0 || h == 0 || x.is_some_and(|x| fan.card_at(x, a.hand.y) == Some(cursor)),
                            "{w}x{h} {n}"
                        );
                    }
                }
            }
        }
    }
}
