//! A table in lines of text: for a terminal, a pipe, a screen reader. Nothing that the player's seat may not see is printed before
//! the end.
use super::{
    agent::{Agent, Waiting},
    record::{self, Record, read_move, show},
};
use anyhow::Result;
use rlx::{Insight, Rng};
use rlx_red10::{Game, Kind, Move, Rules, SEATS, Seat, describe};
use std::{
    io::{BufRead, Write},
    path::PathBuf,
};

/// A table to sit down at.
#[derive(Debug)]
pub struct Table {
    /// The rules.
    pub rules: Rules,
    /// The player's seat; None to watch.
    pub human: Option<usize>,
    /// Names of the agents by seat; `human` at the player's.
    pub names: [String; SEATS],
    /// Which agent plays each seat.
    pub seats: [usize; SEATS],
    /// Seed of the deals.
    pub seed: u64,
    /// Whether the agent's P(teammate) for the player's seat is shown.
    pub beliefs: bool,
    /// Where the games are written.
    pub log: Option<PathBuf>,
}

const HELP: &str = "cards as letters in any order: 3456789 T J Q K A 2, R a red ten (334455, RR); or one of
  pass   leave the trick          hint    the best moves as the agent sees them
  show   show your red tens       keep    keep them hidden (before the first lead)
  legal  every legal move         hand    your hand and the table
  quit   leave the game";

fn seat_line(view: Seat<'_>, s: usize, names: &[String; SEATS]) -> String {
    let you = if s == view.seat() { " (you)" } else { "" };
    let red = match view.shown(s) {
        0 => String::new(),
        n => format!(", {n} red ten{} seen", if n > 1 { "s" } else { "" }),
    };
    format!("  seat {s} {}{you}: {} cards{red}\n", names[s], view.left(s))
}

fn table(view: Seat<'_>, names: &[String; SEATS]) -> String {
    let mut out: String = (0..SEATS).map(|s| seat_line(view, s, names)).collect();
    out += &match view.top_seat() {
        Some(s) => format!(
            "to beat: {} ({}) by seat {s}, {} passed since\n",
            view.top().cards,
            describe(view.top()),
            view.passes()
        ),
        None => "nothing to beat\n".into(),
    };
    out + &format!("your hand: {}\n", view.hand())
}

fn percent(p: f32) -> String {
    format!("{:.0} %", 100.0 * p)
}

/// What the adviser makes of a position: its best moves.
fn advice(legal: &[Move], choice: usize, insight: Option<&Insight>) -> String {
    let mut out = String::new();
    match insight.filter(|i| i.values.len() == legal.len()) {
        Some(insight) => {
            let mut order: Vec<usize> = (0..legal.len()).collect();
            order.sort_by(|&a, &b| insight.values[b].total_cmp(&insight.values[a]));
            for &i in order.iter().take(3) {
                // A payoff of -1 to 1 as a chance to win.
                out += &format!(
                    "  {:14} wins {}\n",
                    show(&legal[i]),
                    percent((insight.values[i] / 2.0 + 0.5).clamp(0.0, 1.0))
                );
            }
        }
        None => out += &format!("  {}\n", show(&legal[choice])),
    }
    out
}

/// P(teammate) of each other seat, as the agent sees it from the player's.
fn beliefs(insight: &Insight, me: usize) -> String {
    let line = |(k, p): (usize, &f32)| format!("  seat {} is with you: {}\n", (me + k + 1) % SEATS, percent(*p));
    insight.teammates.iter().enumerate().map(line).collect()
}

/// A moment of the player's: for the review after the game.
struct Moment {
    ply: usize,
    chosen: String,
    better: String,
    regret: f32,
}

/// Plays games until the player leaves. `adviser` gives hints and the review; `input` is read line by line, its end leaves politely.
///
/// # Errors
/// When an agent or the log fails.
pub fn play(
    t: &Table,
    agents: &mut [Agent],
    adviser: usize,
    input: &mut dyn BufRead,
    out: &mut dyn Write,
) -> Result<()> {
    let mut log = t.log.as_deref().map(record::create).transpose()?;
    writeln!(
        out,
        "red-10, seed {}. The holders of the red tens are one team; nobody is told. `help` lists what can be typed.",
        t.seed
    )?;
    for number in 0.. {
        let mut game = record::deal(&t.rules, t.seed, number);
        let mut record = Record::new(&game, t.seed, t.names.clone());
        let mut rngs = [Rng::named(t.seed, "play", number)];
        let (mut legal, mut moments) = (Vec::new(), Vec::new());
        writeln!(out, "\ngame {}: seat {} leads", number + 1, game.leader())?;
        if let Some(me) = t.human {
            write!(out, "{}", table(Seat::new(&game, me), &t.names))?;
        }
        while !game.is_over() {
            game.legal(&mut legal);
            let turn = game.turn();
            let at = [Waiting { game: &game, legal: &legal }];
            let (choice, insight) = if t.human == Some(turn) {
                let advised = agents[adviser].choose(&at, &mut rngs)?.remove(0);
                let Some(choice) = ask(t, &game, &legal, &advised, input, out)? else {
                    writeln!(out, "the game is left; nobody wins")?;
                    return write_log(&mut log, &record);
                };
                if let Some(values) = advised.1.as_ref().map(|i| &i.values).filter(|v| v.len() == legal.len()) {
                    let best = (0..values.len()).fold(0, |b, i| if values[i] > values[b] { i } else { b });
                    let (chosen, better) = (show(&legal[choice]), show(&legal[best]));
                    moments.push(Moment {
                        ply: record.plies.len() + 1,
                        chosen,
                        better,
                        regret: values[best] - values[choice],
                    });
                }
                (choice, None)
            } else {
                agents[t.seats[turn]].choose(&at, &mut rngs)?.remove(0)
            };
            record.push(&game, &legal, choice, insight.as_ref());
            let played = legal[choice];
            game.play(played);
            // That somebody kept red tens hidden is nobody's business.
            if played.kind != Kind::Keep {
                writeln!(out, "seat {turn} {}: {}", t.names[turn], show(&played))?;
            }
        }
        record.finish(&game);
        write!(out, "{}", ending(&game, t))?;
        for m in moments.iter().filter(|m| m.regret > 0.02) {
            writeln!(
                out,
                "  ply {}: {} for {}, which the agent values {:.2} higher",
                m.ply, m.chosen, m.better, m.regret
            )?;
        }
        write_log(&mut log, &record)?;
        if t.human.is_none() {
            return Ok(());
        }
        write!(out, "another game? [enter, or quit] ")?;
        out.flush()?;
        let mut line = String::new();
        if input.read_line(&mut line)? == 0 || line.trim().starts_with('q') {
            writeln!(out)?;
            return Ok(());
        }
    }
    Ok(())
}

fn write_log(log: &mut Option<std::fs::File>, record: &Record) -> Result<()> {
    if let Some(file) = log {
        let mut line = serde_json::to_vec(record)?;
        line.push(b'\n');
        file.write_all(&line)?;
    }
    Ok(())
}

/// The index of the player's move; None when the player leaves.
fn ask(
    t: &Table,
    game: &Game,
    legal: &[Move],
    advised: &(usize, Option<Insight>),
    input: &mut dyn BufRead,
    out: &mut dyn Write,
) -> Result<Option<usize>> {
    let view = Seat::new(game, game.turn());
    if game.asking() {
        writeln!(out, "before the first lead: show your red tens, which doubles the stake, or keep them hidden?")?;
    } else if let Some(s) = view.top_seat() {
        writeln!(out, "to beat: {} by seat {s}; your hand: {}", view.top().cards, view.hand())?;
    } else {
        writeln!(out, "you lead; your hand: {}", view.hand())?;
    }
    if let (true, Some(insight)) = (t.beliefs, &advised.1) {
        write!(out, "{}", beliefs(insight, game.turn()))?;
    }
    loop {
        write!(out, "> ")?;
        out.flush()?;
        let mut line = Vec::new();
        // Whatever is typed or pasted is read as text, and no more than a line's worth of it.
        use std::io::Read;
        if input.take(4096).read_until(b'\n', &mut line)? == 0 {
            writeln!(out)?;
            return Ok(None);
        }
        let line = String::from_utf8_lossy(&line);
        match line.trim().to_lowercase().as_str() {
            "" => {}
            // Not q: that is a queen.
            "quit" | "exit" => return Ok(None),
            "help" | "?" => writeln!(out, "{HELP}")?,
            "hand" | "table" => write!(out, "{}", table(view, &t.names))?,
            "legal" => writeln!(out, "{}", legal.iter().map(show).collect::<Vec<_>>().join(" "))?,
            "hint" => write!(out, "{}", advice(legal, advised.0, advised.1.as_ref()))?,
            _ => match read_move(&line, game, legal) {
                Ok(i) => return Ok(Some(i)),
                Err(e) => writeln!(out, "{}", printable(&format!("{e:#}")))?,
            },
        }
    }
}

/// Control characters must not reach the terminal.
fn printable(text: &str) -> String {
    text.chars().take(300).map(|c| if c.is_control() { '?' } else { c }).collect()
}

/// How the game ended, all hands open.
fn ending(game: &Game, t: &Table) -> String {
    let pay = game.payoff();
    let mut out = String::from("the game is over:\n");
    for (s, paid) in pay.iter().enumerate() {
        let team = if game.red_team() >> s & 1 == 1 { "red  " } else { "black" };
        out += &format!("  seat {s} {team} {paid:+.0}  held {}  ({})\n", game.hand(s), t.names[s]);
    }
    if let Some(me) = t.human {
        out += match pay[me] {
            p if p > 0.0 => "you win\n",
            p if p < 0.0 => "you lose\n",
            _ => "a draw\n",
        };
    }
    out
}

/// Shows a recorded game ply by ply, all hands open.
///
/// # Errors
/// When the record is no game.
pub fn replay(record: &Record, out: &mut dyn Write) -> Result<()> {
    for (s, hand) in record.deal.iter().enumerate() {
        writeln!(out, "seat {s} {}: {hand}", printable(&record.agents[s]))?;
    }
    let game = record.replay(|game, legal, choice, ply| {
        let belief = ply.teammates.as_ref().map_or(String::new(), |p| {
            let each: Vec<String> = p.iter().map(|p| percent(*p)).collect();
            format!("   with the next three: {}", each.join(", "))
        });
        let turn = game.turn();
        writeln!(
            out,
            "{:3} seat {turn} {:14} of {}{belief}",
            game.history().len() + 1,
            show(&legal[choice]),
            game.hand(turn)
        )?;
        Ok(())
    })?;
    match &record.result {
        Some(result) => writeln!(out, "{} wins, payoff {:?}, out: {:?}", result.winner, result.payoff, result.out)?,
        None => writeln!(out, "left after {} plies", game.history().len())?,
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use rlx_red10::bots;
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
            play(&t, &mut agents, 0, &mut Cursor::new(script), &mut out).unwrap();
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
        play(&t, &mut agents, 0, &mut Cursor::new("3"), &mut out).unwrap();
        assert!(String::from_utf8(out).unwrap().contains("the game is left"));
    }
}
