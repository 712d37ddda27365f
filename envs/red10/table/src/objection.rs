//! Why some cards cannot be played now.
use crate::{
    guide,
    text::{Text, face, faces, fill, letters},
    typed::missing,
};
use rlx_red10::{Cards, Move, Seat};

impl Text {
    /// Why the player cannot play these cards of the own hand now; None when nothing is wrong with them.
    pub fn objection(&self, view: Seat<'_>, legal: &[Move], cards: Cards) -> Option<String> {
        if view.asked() {
            return Some(self.must_answer.into());
        }
        if view.turn() != view.seat() {
            return Some(self.not_your_turn.into());
        }
        if cards == Cards::NONE {
            return view.leads().then(|| self.must_lead.into());
        }
        if legal.iter().any(|m| m.cards == cards) {
            return None;
        }
        match letters(missing(cards, view.hand())).first() {
            Some('T') if view.hand().red() > 0 => return Some(self.no_black_ten.into()),
            Some(card) => return Some(fill(self.no_such_card, &[&face(*card)])),
            None => {}
        }
        let top = view.top();
        Some(match Move::of(cards, view.rules()) {
            Err(_) => fill(self.no_combination, &[&faces(cards), &guide::kinds(view.rules(), self.lang)]),
            Ok(m) if m.kind == top.kind && m.len == top.len => {
                fill(self.not_higher, &[&faces(cards), &faces(top.cards)])
            }
            Ok(m) => fill(self.other_kind, &[&faces(cards), &self.kind(&m), &self.kind(&top)]),
        })
    }
}
