//! A recorded game as lines of text.
use crate::advice::Judged;
use crate::advice::review;
use crate::record::Record;
use crate::text::Lang;
use crate::text::Text;
use crate::text::faces;
use crate::text::fill;
use crate::text::percent;
use crate::text::printable;
use anyhow::Result;
use rlx_red10::SEATS;
use std::io::Write;

/// A seat as somebody at the table calls it; by its number alone where nobody is.
pub fn seat(text: &Text, me: Option<usize>, seat: usize) -> String {
    me.map_or_else(|| fill(text.seat_n, &[&seat]), |me| text.seat(me, seat))
}

/// P(teammate of `of`) of each other seat.
pub fn each_other(text: &Text, me: Option<usize>, of: usize, p: &[f32; SEATS]) -> String {
    let others = (1..SEATS).map(|k| (of + k) % SEATS);
    others.map(|s| format!("{} {}", seat(text, me, s), percent(p[s]))).collect::<Vec<_>>().join(", ")
}

/// A move that the agent would have made otherwise.
pub fn moment(m: &Judged, text: &Text) -> String {
    let better = m.better.as_ref().map_or(String::new(), |b| text.written(b));
    let line = fill(text.line_review, &[&m.ply, &text.written(&m.played), &better]);
    m.regret.map_or(line.clone(), |r| format!("{line}, {}", fill(text.costs, &[&percent(r)])))
}

/// Shows a recorded game ply by ply, all hands open.
///
/// # Errors
/// When the record is no game.
pub fn replay(record: &Record, lang: Lang, out: &mut dyn Write) -> Result<()> {
    let text = lang.text();
    let me = record.agents.iter().position(|a| a == "human");
    let number = record.number.map_or(String::new(), |n| format!(", {}", fill(text.game_n, &[&n])));
    let seed = fill(text.seed_n, &[&record.seed]);
    writeln!(out, "{}{number}, {seed}, {}", text.replay, text.rules_name(&record.rules))?;
    for (s, hand) in record.deal.iter().enumerate() {
        writeln!(out, "{}, {}: {}", seat(text, me, s), printable(&record.agents[s]), text.written(hand))?;
    }
    let judged = review(record)?;
    let mut judged = judged.iter();
    let game = record.replay(|game, legal, choice, _| {
        let Some(m) = judged.next() else { return Ok(()) };
        let (turn, play) = (game.turn(), text.play(&legal[choice]));
        let (who, hand) = (seat(text, me, turn), faces(game.hand(turn)));
        write!(out, "{:3} {who}: {play} / {hand}", m.ply)?;
        if let Some(better) = &m.better {
            write!(out, "; {}", fill(text.better, &[&text.written(better)]))?;
            if let Some(regret) = m.regret {
                write!(out, ", {}", fill(text.costs, &[&percent(regret)]))?;
            }
        }
        if let Some(p) = &m.teammates {
            let each = each_other(text, me, turn, p);
            let of_you = fill(text.adviser_thinks, &[&each]);
            write!(out, "; {}", if me == Some(turn) { of_you } else { fill(text.thinks, &[&who, &each]) })?;
        }
        Ok(writeln!(out)?)
    })?;
    let Some(result) = &record.result else {
        return Ok(writeln!(out, "{}", fill(text.left_record, &[&record.plies.len()]))?);
    };
    let winner = match game.winner() {
        Some(1) => text.red_wins,
        Some(_) => text.black_wins,
        None => text.draw,
    };
    let paid: Vec<String> = (0..SEATS).map(|s| format!("{} {:+.0}", seat(text, me, s), result.payoff[s])).collect();
    let order: Vec<String> = game.out().iter().map(|s| seat(text, me, usize::from(*s))).collect();
    Ok(writeln!(out, "{}", fill(text.line_result, &[&winner, &paid.join(", "), &order.join(", ")]))?)
}
