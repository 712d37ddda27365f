//! A table in lines of text: for a pipe, a screen reader, a terminal that can do no more. Nothing that the player's seat may not see
//! is printed before the end.
pub use super::session::Table;
use super::{
    advice::{Advice, review},
    agent::Agent,
    record::{Record, show},
    session::Session,
    text::{Lang, Text, fill, percent, printable},
};
use anyhow::Result;
use rlx_red10::{Game, Kind, Move, SEATS, Seat};
use std::io::{BufRead, Read, Write};

/// Regrets below this chance to win are noise of the estimates.
const NOISE: f32 = 0.01;

fn seat_line(view: Seat<'_>, s: usize, names: &[String; SEATS], text: &Text) -> String {
    let you = if s == view.seat() { format!(" ({})", text.you) } else { String::new() };
    let red = match view.shown(s) {
        0 => String::new(),
        n => format!(", {}", fill(text.red_shown, &[&n])),
    };
    let seat = fill(text.seat_n, &[&s]);
    format!("  {seat} {}{you}: {}{red}\n", names[s], fill(text.cards_n, &[&view.left(s)]))
}

fn table(view: Seat<'_>, names: &[String; SEATS], text: &Text) -> String {
    let mut out: String = (0..SEATS).map(|s| seat_line(view, s, names, text)).collect();
    out += &match view.top_seat() {
        Some(s) => fill(text.line_top, &[&view.top().cards, &text.kind(&view.top()), &s, &view.passes()]),
        None => text.nothing_to_beat.into(),
    };
    out + "\n" + &fill(text.line_hand, &[&view.hand()]) + "\n"
}

/// What the adviser makes of a position: its best moves.
fn advice(legal: &[Move], stake: u8, advice: &Advice, text: &Text) -> String {
    let line = |(i, p): (usize, Option<f32>)| match p {
        Some(p) => format!("  {}\n", fill(text.line_wins, &[&format!("{:14}", show(&legal[i])), &percent(p)])),
        None => format!("  {}\n", show(&legal[i])),
    };
    advice.best(legal, stake).into_iter().map(line).collect()
}

/// P(teammate) of each other seat, as the agent sees it from the player's.
fn beliefs(advice: &Advice, me: usize, text: &Text) -> String {
    let Some(p) = advice.teammates(me) else { return String::new() };
    let line = |s: usize| format!("  {}\n", fill(text.line_with, &[&s, &percent(p[s])]));
    (1..SEATS).map(|k| line((me + k) % SEATS)).collect()
}

/// Plays games until the player leaves. `adviser` gives hints and the review; `input` is read line by line, its end leaves politely.
///
/// # Errors
/// When an agent or the log fails.
pub fn play(
    t: &Table,
    agents: &mut [Agent],
    adviser: usize,
    lang: Lang,
    input: &mut dyn BufRead,
    out: &mut dyn Write,
) -> Result<()> {
    let text = lang.text();
    let mut session = Session::new(t, agents, adviser)?;
    writeln!(out, "{}", fill(text.line_intro, &[&t.seed]))?;
    loop {
        let played = game(&mut session, text, input, out);
        if !matches!(played, Ok(true)) {
            // Whatever ended it, the log has the game as far as it went.
            session.leave()?;
            return played.map(|_| ());
        }
        if t.human.is_none() {
            return Ok(());
        }
        write!(out, "{} ", text.line_another)?;
        out.flush()?;
        match read_line(input)? {
            Some(line) if !line.trim().starts_with(['q', 'Q']) => session.deal_next()?,
            _ => return Ok(writeln!(out)?),
        }
    }
}

/// Plays one game; false when the player left it.
fn game(session: &mut Session<'_, '_>, text: &Text, input: &mut dyn BufRead, out: &mut dyn Write) -> Result<bool> {
    let t = session.table();
    let leader = session.leader();
    writeln!(out, "\n{}", fill(text.line_leads, &[&(session.number() + 1), &leader]))?;
    if let Some(view) = session.view() {
        write!(out, "{}", table(view, &t.names, text))?;
    }
    while !session.is_over() {
        let (turn, played) = if session.is_asked() {
            let Some(choice) = ask(session, text, input, out)? else {
                writeln!(out, "{}", text.left_game)?;
                return Ok(false);
            };
            (t.human.unwrap_or_default(), session.play(choice)?)
        } else {
            session.step()?
        };
        // That somebody kept red tens hidden is nobody's business.
        if played.kind != Kind::Keep {
            writeln!(out, "{} {}: {}", fill(text.seat_n, &[&turn]), t.names[turn], show(&played))?;
        }
    }
    if let (Some(game), Some(record)) = (session.open(), session.record()) {
        write!(out, "{}", ending(game, t, text))?;
        if let Some(me) = t.human {
            write!(out, "{}", judged(record, me, text)?)?;
            let n = session.tally();
            writeln!(out, "{}", fill(text.line_tally, &[&n.games, &n.won, &n.lost, &n.red, &n.black]))?;
        }
    }
    Ok(true)
}

/// The player's moves that the agent would have made otherwise, with what it thought of who is with whom.
fn judged(record: &Record, me: usize, text: &Text) -> Result<String> {
    let mut out = String::new();
    for m in review(record)?.iter().filter(|m| m.seat == me && m.regret.is_none_or(|r| r > NOISE)) {
        let Some(better) = &m.better else { continue };
        out += &format!("  {}", fill(text.line_review, &[&m.ply, &m.played, better]));
        if let Some(regret) = m.regret {
            out += &format!(", {}", fill(text.costs, &[&percent(regret)]));
        }
        if let Some(p) = m.teammates {
            let each: Vec<String> =
                (1..SEATS).map(|k| (me + k) % SEATS).map(|s| format!("{s}: {}", percent(p[s]))).collect();
            out += &format!("; {}", fill(text.adviser_thinks, &[&each.join(", ")]));
        }
        out.push('\n');
    }
    Ok(if out.is_empty() { format!("{}\n", text.no_regret) } else { out })
}

/// A line's worth of whatever is typed or pasted, as text; None at the end of the input.
fn read_line(mut input: &mut dyn BufRead) -> Result<Option<String>> {
    let mut line = Vec::new();
    let read = Read::take(&mut input, 4096).read_until(b'\n', &mut line)?;
    Ok((read > 0).then(|| String::from_utf8_lossy(&line).into_owned()))
}

/// The index of the player's move; None when the player leaves.
fn ask(
    session: &mut Session<'_, '_>,
    text: &Text,
    input: &mut dyn BufRead,
    out: &mut dyn Write,
) -> Result<Option<usize>> {
    let t = session.table();
    let advised = session.advice()?.clone();
    let Some(view) = session.view() else { return Ok(None) };
    let line = match view.top_seat() {
        _ if view.asked() => text.line_asked.into(),
        Some(s) => fill(text.line_beat, &[&view.top().cards, &s, &view.hand()]),
        None => fill(text.line_lead, &[&view.hand()]),
    };
    writeln!(out, "{line}")?;
    if t.beliefs {
        write!(out, "{}", beliefs(&advised, view.seat(), text))?;
    }
    let legal = session.legal();
    loop {
        write!(out, "> ")?;
        out.flush()?;
        let Some(line) = read_line(input)? else {
            writeln!(out)?;
            return Ok(None);
        };
        match line.trim().to_lowercase().as_str() {
            "" => {}
            // Not q: that is a queen.
            "quit" | "exit" => return Ok(None),
            "help" | "?" => writeln!(out, "{}", text.line_help)?,
            "hand" | "table" => write!(out, "{}", table(view, &t.names, text))?,
            "legal" => writeln!(out, "{}", legal.iter().map(show).collect::<Vec<_>>().join(" "))?,
            "hint" => write!(out, "{}", advice(legal, view.stake(), &advised, text))?,
            _ => match session.read(&line) {
                Ok(i) => return Ok(Some(i)),
                Err(e) => writeln!(out, "{}", fill(text.line_bad, &[&printable(&format!("{e:#}"))]))?,
            },
        }
    }
}

/// How the game ended, all hands open.
fn ending(game: &Game, t: &Table, text: &Text) -> String {
    let pay = game.payoff();
    let mut out = format!("{}\n", text.line_over);
    for (s, paid) in pay.iter().enumerate() {
        let team = if game.red_team() >> s & 1 == 1 { text.team_red } else { text.team_black };
        let paid = format!("{paid:+.0}");
        out += &format!("  {}\n", fill(text.line_end, &[&s, &team, &paid, &game.hand(s), &t.names[s]]));
    }
    if let Some(me) = t.human {
        let paid = format!("{:+.0}", pay[me]);
        out += &match pay[me] {
            p if p > 0.0 => fill(text.you_win, &[&paid]),
            p if p < 0.0 => fill(text.you_lose, &[&paid]),
            _ => text.draw.into(),
        };
        out.push('\n');
    }
    out
}
/// Shows a recorded game ply by ply, all hands open.
///
/// # Errors
/// When the record is no game.
pub fn replay(record: &Record, lang: Lang, out: &mut dyn Write) -> Result<()> {
    let text = lang.text();
    for (s, hand) in record.deal.iter().enumerate() {
        writeln!(out, "{} {}: {hand}", fill(text.seat_n, &[&s]), printable(&record.agents[s]))?;
    }
    let judged = review(record)?;
    let mut judged = judged.iter();
    let game = record.replay(|game, legal, choice, ply| {
        let turn = game.turn();
        let n = game.history().len() + 1;
        let seat = fill(text.seat_n, &[&turn]);
        write!(out, "{n:3} {seat} {:14} / {}", show(&legal[choice]), game.hand(turn))?;
        if let Some(p) = &ply.teammates {
            let each: Vec<String> = p.iter().map(|p| percent(*p)).collect();
            write!(out, "   {}", fill(text.line_next_three, &[&each.join(", ")]))?;
        }
        if let Some(better) = judged.next().and_then(|m| m.better.as_ref()) {
            write!(out, "   {}", fill(text.better, &[&printable(better)]))?;
        }
        Ok(writeln!(out)?)
    })?;
    match &record.result {
        Some(result) => {
            let winner = match game.winner() {
                Some(1) => text.red_wins,
                Some(_) => text.black_wins,
                None => text.draw,
            };
            writeln!(
                out,
                "{}",
                fill(text.line_result, &[&winner, &format!("{:?}", result.payoff), &format!("{:?}", game.out())])
            )?
        }
        None => writeln!(out, "{}", fill(text.left_record, &[&record.plies.len()]))?,
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use rlx::Rng;
    use rlx_red10::{Rules, bots};
    use std::io::Cursor;

    /// A hundred games by a player who types odd things first, and then whatever is legal.
    #[test]
    fn a_hundred_games_in_lines() {
        let mut rng = Rng::stream(9, 9);
        for n in 0..100 {
            let rules = if n % 2 == 0 { Rules::paper() } else { Rules::folk4() };
            let t = Table {
                rules,
                human: Some(n % 4),
                names: std::array::from_fn(|s| if s == n % 4 { "human".into() } else { "greedy".into() }),
                seats: [0; SEATS],
                seed: n as u64,
                beliefs: true,
                log: None,
            };
            // Every single card and pair, then a pass and keep, again and again: something of it is always legal.
            let mut script = String::from("\u{1b}[200~paste\nhint\nlegal\nhand\nhelp\n99999999999\n");
            let words =
                ["3", "4", "5", "6", "7", "8", "9", "T", "R", "J", "Q", "K", "A", "2", "33", "pass", "keep", "RR"];
            (0..4000).for_each(|_| script += &format!("{}\n", words[rng.below(words.len())]));
            script += "quit\n";
            let mut agents = [Agent::Bot(bots::make("greedy").unwrap())];
            let mut out = Vec::new();
            play(&t, &mut agents, 0, Lang::En, &mut Cursor::new(script), &mut out).unwrap();
            let out = String::from_utf8(out).unwrap();
            assert!(out.contains("the game is over"), "{out}");
            assert!(!out.contains('\u{1b}'), "control characters come back");
            // Other hands are shown at the end only.
            let first_end = out.find("the game is over").unwrap();
            assert!(!out[..first_end].contains("held "));
        }
    }

    #[test]
    fn the_end_of_the_input_leaves_politely() {
        let t = Table {
            rules: Rules::paper(),
            human: Some(0),
            names: ["human", "random", "random", "random"].map(String::from),
            seats: [0; SEATS],
            seed: 1,
            beliefs: false,
            log: None,
        };
        let mut agents = [Agent::Bot(bots::make("random").unwrap())];
        let mut out = Vec::new();
        play(&t, &mut agents, 0, Lang::En, &mut Cursor::new("3"), &mut out).unwrap();
        assert!(String::from_utf8(out).unwrap().contains("The game is left"));
    }
}
