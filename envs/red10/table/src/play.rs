//! A table in lines of text: for a pipe, a screen reader, a terminal that can do no more. It is the terminal table's game: the same
//! words, the same names of cards and seats. Nothing that the player's seat may not see is printed before the end.
use crate::advice::review;
use crate::agent::Agent;
use crate::guide;
use crate::record::Record;
use crate::replay::each_other;
use crate::replay::moment;
pub use crate::replay::replay;
use crate::replay::seat;
use crate::session::Session;
pub use crate::session::Table;
use crate::text::Lang;
use crate::text::Text;
use crate::text::faces;
use crate::text::fill;
use crate::text::percent;
use crate::text::printable;
use crate::text::red_tens;
use crate::tui::Mark;
use crate::typed;
use crate::typed::Typed;
use anyhow::Result;
use rlx_red10::{Cards, Kind, SEATS, Seat};
use std::{
    io::{BufRead, Read, Write},
    path::Path,
};

/// Regrets below this chance to win are noise of the estimates.
const NOISE: f32 = 0.01;

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
    let mut session = Session::new(t, agents, adviser)?;
    let (marks, hint) = ([Mark::Unknown; SEATS], None);
    let mut lines = Lines { text: lang.text(), beliefs: t.beliefs, marks, marking: false, hint, input, out };
    let text = lines.text;
    lines.say(&fill(text.line_intro, &[&text.rules_name(&t.rules)]))?;
    loop {
        let played = lines.game(&mut session);
        if !matches!(played, Ok(true)) {
            // Whatever ended it, the log has the game as far as it went.
            session.leave()?;
            return played.map(|_| ());
        }
        if t.human.is_none() || !lines.another(&mut session)? {
            return Ok(());
        }
        session.deal_next()?;
    }
}

/// What a line of the player's comes to.
enum Choice {
    /// This legal move is made.
    Move(usize),
    /// The player leaves.
    Leave,
    /// Something else is to be typed.
    Again,
}

/// The player's end of a table.
struct Lines<'a> {
    text: &'static Text,
    /// Whether the agent's view is shown at each turn.
    beliefs: bool,
    /// The player's marks, by seat.
    marks: [Mark; SEATS],
    /// Whether the next digit marks a player.
    marking: bool,
    /// The move of the last hint, which Enter plays.
    hint: Option<usize>,
    input: &'a mut dyn BufRead,
    out: &'a mut dyn Write,
}

impl Lines<'_> {
    fn say(&mut self, line: &str) -> Result<()> {
        Ok(writeln!(self.out, "{}", line.trim_end())?)
    }

    /// A line's worth of whatever is typed or pasted, as text; None at the end of the input.
    fn read(&mut self) -> Result<Option<String>> {
        self.out.flush()?;
        let mut line = Vec::new();
        let read = Read::take(&mut *self.input, 4096).read_until(b'\n', &mut line)?;
        if read == 0 {
            writeln!(self.out)?;
        }
        Ok((read > 0).then(|| String::from_utf8_lossy(&line).into_owned()))
    }

    /// Plays one game; false when the player left it.
    fn game(&mut self, session: &mut Session<'_, '_>) -> Result<bool> {
        let t = session.table();
        let me = t.human.unwrap_or_default();
        (self.marks, self.marking) = ([Mark::Unknown; SEATS], false);
        let leader = seat(self.text, t.human, session.leader());
        let head = fill(self.text.line_leads, &[&(session.number() + 1), &t.seed, &leader]);
        self.say(&format!("\n{head}"))?;
        if let Some(view) = session.view() {
            self.table(view, &t.names)?;
        }
        while !session.is_over() {
            let (turn, played) = if session.is_asked() {
                let Some(choice) = self.ask(session)? else {
                    self.say(self.text.left_game)?;
                    return Ok(false);
                };
                (me, session.play(choice)?)
            } else {
                session.step()?
            };
            // That somebody kept red tens hidden is nobody's business.
            if played.kind != Kind::Keep {
                let play = match played.kind {
                    Kind::Show => fill(self.text.showed, &[&red_tens(played.cards.red())]),
                    _ => self.text.play(&played),
                };
                self.say(&format!("{}: {play}", seat(self.text, t.human, turn)))?;
            }
        }
        self.ending(session)?;
        Ok(true)
    }

    fn table(&mut self, view: Seat<'_>, names: &[String; SEATS]) -> Result<()> {
        let text = self.text;
        let me = view.seat();
        for s in (0..SEATS).map(|k| (me + k) % SEATS) {
            let mut line = format!("  {}, {}: ", text.seat(me, s), printable(&names[s]));
            line += &match (view.out().iter().position(|o| usize::from(*o) == s), view.left(s)) {
                (Some(place), _) => fill(text.out_n, &[&(place + 1)]),
                (None, 1) => text.card_1.into(),
                (None, n) => fill(text.cards_n, &[&n]),
            };
            line += &match view.shown(s) {
                0 => String::new(),
                n => format!(", {}", fill(text.red_shown, &[&red_tens(n.into())])),
            };
            if self.marks[s] != Mark::Unknown {
                line += &format!(", {}", fill(text.mark, &[&text.mark_name(self.marks[s])]));
            }
            self.say(&line)?;
        }
        let passed: Vec<String> = view.history()[view.history().len() - usize::from(view.passes())..]
            .iter()
            .map(|p| text.seat(me, p.seat.into()))
            .collect();
        let mut line = self.to_do(view);
        if !passed.is_empty() {
            line += &format!("; {}", fill(text.passed, &[&passed.join(", ")]));
        }
        self.say(&line)?;
        let team = if view.dealt().red() > 0 { text.team_red } else { text.team_black };
        self.say(&format!("{} ({team})", fill(text.line_hand, &[&faces(view.hand())])))
    }

    /// What must be beaten, or that there is nothing.
    fn to_do(&self, view: Seat<'_>) -> String {
        let text = self.text;
        match view.top_seat() {
            Some(s) => {
                let by = text.seat(view.seat(), s);
                fill(text.to_beat, &[&faces(view.top().cards), &text.kind(&view.top()), &by])
            }
            None if view.turn() == view.seat() && !view.asked() => text.your_lead.into(),
            None => text.nothing_to_beat.into(),
        }
    }

    /// The index of the player's move; None when the player leaves.
    fn ask(&mut self, session: &mut Session<'_, '_>) -> Result<Option<usize>> {
        session.advice()?;
        self.hint = None;
        let Some(view) = session.view() else { return Ok(None) };
        let line = if view.asked() { self.text.line_asked.to_owned() } else { self.to_do(view) };
        let hand = fill(self.text.line_hand, &[&faces(view.hand())]);
        self.say(&format!("{line}; {hand}"))?;
        if matches!(session.legal(), [only] if only.kind == Kind::Pass) {
            self.say(self.text.line_only_pass)?;
        }
        if self.beliefs {
            self.say_beliefs(session)?;
        }
        loop {
            write!(self.out, "> ")?;
            let Some(line) = self.read()? else { return Ok(None) };
            match self.answer(session, &line)? {
                Choice::Move(choice) => return Ok(Some(choice)),
                Choice::Leave => return Ok(None),
                Choice::Again => {}
            }
        }
    }

    /// Does what a line asks for during a game.
    fn answer(&mut self, session: &mut Session<'_, '_>, line: &str) -> Result<Choice> {
        let text = self.text;
        let me = session.table().human.unwrap_or_default();
        let marks = std::mem::take(&mut self.marking).then(|| line.trim().parse::<usize>().ok()).flatten();
        let typed = match marks {
            Some(k @ 1..=3) => Typed::Mark(Some(k - 1)),
            _ => typed::read(line, false, text),
        };
        let of_kind = |kind| session.legal().iter().position(|m| m.kind == kind);
        let asked = session.view().is_some_and(|v| v.asked());
        let hint = if matches!(typed, Typed::Enter) { self.hint } else { self.hint.take() };
        match typed {
            Typed::Leave => return Ok(Choice::Leave),
            Typed::Enter => {
                let only = session.legal().len() == 1;
                return Ok(hint.or(only.then_some(0)).map_or(Choice::Again, Choice::Move));
            }
            Typed::Show | Typed::Keep => {
                let kind = if typed == Typed::Show { Kind::Show } else { Kind::Keep };
                match of_kind(kind) {
                    Some(choice) => return Ok(Choice::Move(choice)),
                    None => self.say(text.line_not_asked)?,
                }
            }
            Typed::Pass => match of_kind(Kind::Pass) {
                Some(choice) => return Ok(Choice::Move(choice)),
                None => self.say(if asked { text.must_answer } else { text.must_lead })?,
            },
            Typed::Cards(cards) => {
                match session.legal().iter().position(|m| m.cards == cards && m.kind != Kind::Show) {
                    Some(choice) => return Ok(Choice::Move(choice)),
                    None => self.object(session, cards)?,
                }
            }
            Typed::Help => self.say(text.line_help)?,
            Typed::Rules => self.say(&guide::markdown(&session.table().rules, text.lang))?,
            Typed::Table => {
                if let Some(view) = session.view() {
                    self.table(view, &session.table().names)?;
                }
            }
            Typed::Legal => {
                let all: Vec<String> = session.legal().iter().map(|m| text.play(m)).collect();
                self.say(&all.join(", "))?;
            }
            Typed::Hint => self.say_hint(session)?,
            Typed::Mark(None) => {
                self.marking = true;
                self.say(text.mark_whom)?;
            }
            Typed::Mark(Some(k)) => {
                let seat = (me + 1 + k) % SEATS;
                self.marks[seat] = self.marks[seat].next();
                let mark = text.mark_name(self.marks[seat]);
                self.say(&fill(text.marked, &[&text.seat(me, seat), &mark]))?;
            }
            Typed::Beliefs => {
                self.beliefs ^= true;
                self.say(if self.beliefs { text.beliefs_on } else { text.beliefs_off })?;
                if self.beliefs {
                    self.say_beliefs(session)?;
                }
            }
            Typed::Save => self.save(session)?,
            Typed::Language => self.other_language()?,
            Typed::Clear => self.say(text.line_no_hint)?,
            Typed::Delay => self.say(text.line_no_delay)?,
            Typed::Next | Typed::Review => self.say(text.line_not_over)?,
            Typed::Unknown(what) => self.say(&fill(text.line_unknown, &[&printable(what.trim())]))?,
        }
        Ok(Choice::Again)
    }

    fn object(&mut self, session: &Session<'_, '_>, cards: Cards) -> Result<()> {
        let Some(view) = session.view() else { return Ok(()) };
        let why = self.text.objection(view, session.legal(), cards).unwrap_or_default();
        self.say(&why)
    }

    fn save(&mut self, session: &mut Session<'_, '_>) -> Result<()> {
        let line = match session.save(Path::new(".")) {
            Ok(path) => fill(self.text.saved, &[&printable(&path.display().to_string())]),
            Err(e) => fill(self.text.save_failed, &[&printable(&format!("{e:#}"))]),
        };
        self.say(&line)
    }

    fn other_language(&mut self) -> Result<()> {
        self.text = self.text.lang.other().text();
        self.say(self.text.line_help)
    }

    /// The adviser's best moves with their chances, as the table shows them; Enter then plays the first.
    fn say_hint(&mut self, session: &mut Session<'_, '_>) -> Result<()> {
        let stake = session.view().map_or(1, |v| v.stake());
        let best = session.advice()?.clone().best(session.legal(), stake);
        for (choice, chance) in &best {
            let play = self.text.play(&session.legal()[*choice]);
            let line = chance.map_or(play.clone(), |p| fill(self.text.wins, &[&play, &percent(p)]));
            self.say(&fill(self.text.hint, &[&line]))?;
        }
        self.hint = best.first().map(|b| b.0);
        self.say(self.text.line_takes_hint)
    }

    /// P(teammate) of each other seat, as the agent sees it from the player's.
    fn say_beliefs(&mut self, session: &mut Session<'_, '_>) -> Result<()> {
        let me = session.table().human.unwrap_or_default();
        let line = match session.advice()?.teammates(me) {
            Some(p) => fill(self.text.adviser_thinks, &[&each_other(self.text, Some(me), me, &p)]),
            None => self.text.beliefs_none.into(),
        };
        self.say(&line)
    }

    /// How the game ended, all hands open, and what the agent would have done otherwise.
    fn ending(&mut self, session: &Session<'_, '_>) -> Result<()> {
        let (Some(game), Some(record)) = (session.open(), session.record()) else { return Ok(()) };
        let (t, text, pay) = (session.table(), self.text, game.payoff());
        self.say(text.line_over)?;
        for (s, paid) in pay.iter().enumerate() {
            let team = if game.red_team() >> s & 1 == 1 { text.team_red } else { text.team_black };
            let (name, paid, held) = (seat(text, t.human, s), format!("{paid:+.0}"), faces(game.hand(s)));
            let line = fill(text.line_end, &[&name, &printable(&t.names[s]), &team, &paid, &held]);
            self.say(&format!("  {line}"))?;
        }
        let Some(me) = t.human else { return Ok(()) };
        let paid = format!("{:+.0}", pay[me]);
        self.say(&match pay[me] {
            p if p > 0.0 => fill(text.you_win, &[&paid]),
            p if p < 0.0 => fill(text.you_lose, &[&paid]),
            _ => text.draw.into(),
        })?;
        self.judged(record, me)?;
        let n = session.tally();
        self.say(&fill(text.line_tally, &[&n.games, &n.won, &n.lost, &n.red, &n.black]))
    }

    /// The player's moves that the agent would have made otherwise, with what it thought of who is with whom.
    fn judged(&mut self, record: &Record, me: usize) -> Result<()> {
        let all = review(record)?;
        let mut none = true;
        for m in all.iter().filter(|m| m.seat == me && m.better.is_some() && m.regret.is_none_or(|r| r > NOISE)) {
            none = false;
            let line = moment(m, self.text);
            let with = m.teammates.map(|p| fill(self.text.adviser_thinks, &[&each_other(self.text, Some(me), me, &p)]));
            self.say(&format!("  {line}{}", with.map_or(String::new(), |w| format!("; {w}"))))?;
        }
        if none { self.say(self.text.no_regret) } else { Ok(()) }
    }

    /// Between games: whether there is another.
    fn another(&mut self, session: &mut Session<'_, '_>) -> Result<bool> {
        loop {
            write!(self.out, "{} ", self.text.line_another)?;
            let Some(line) = self.read()? else { return Ok(false) };
            match typed::read(&line, true, self.text) {
                Typed::Enter | Typed::Next => return Ok(true),
                Typed::Leave => return Ok(false),
                Typed::Help => self.say(self.text.line_help)?,
                Typed::Rules => self.say(&guide::markdown(&session.table().rules, self.text.lang))?,
                Typed::Save => self.save(session)?,
                Typed::Language => self.other_language()?,
                Typed::Review => {
                    if let Some(record) = session.record() {
                        replay(record, self.text.lang, self.out)?;
                    }
                }
                _ => {}
            }
        }
    }
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
                first: 0,
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
            first: 0,
            beliefs: false,
            log: None,
        };
        let mut agents = [Agent::Bot(bots::make("random").unwrap())];
        let mut out = Vec::new();
        play(&t, &mut agents, 0, Lang::En, &mut Cursor::new("3"), &mut out).unwrap();
        assert!(String::from_utf8(out).unwrap().contains("The game is left"));
    }
}
