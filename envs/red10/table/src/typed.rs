//! What is typed in the line mode: the keys of the terminal table as words, longer words for the same, and cards in every way that
//! people write them.
use crate::text::Text;
use rlx_red10::{Cards, cards::TEN};

/// A line, understood.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Typed {
    /// Nothing: Enter.
    Enter,
    /// Leave the game.
    Leave,
    /// The help.
    Help,
    /// The rules.
    Rules,
    /// The hand and the table.
    Table,
    /// Every legal move.
    Legal,
    /// The best moves.
    Hint,
    /// Pass.
    Pass,
    /// Show the red tens.
    Show,
    /// Keep them hidden.
    Keep,
    /// Mark the k-th other player, from 0 on; None asks whom.
    Mark(Option<usize>),
    /// Show the agent's view or hide it.
    Beliefs,
    /// Write the games to a file.
    Save,
    /// The other language.
    Language,
    /// Forget the hint.
    Clear,
    /// The agents' delay, which lines have none of.
    Delay,
    /// The next game.
    Next,
    /// The review.
    Review,
    /// These cards.
    Cards(Cards),
    /// What is no word and no cards: the first that was not understood.
    Unknown(String),
}

/// Full-width letters and digits, as Chinese keyboards type them, as plain ones; the mark that some pipes begin with is nothing.
fn narrow(c: char) -> char {
    match c {
        '\u{feff}' => ' ',
        '\u{3000}' => ' ',
        '\u{ff01}'..='\u{ff5e}' => char::from_u32(c as u32 - 0xfee0).unwrap_or(c),
        _ => c,
    }
}

/// Reads a line. After a game (`over`) `n` is the next one, before the first lead it keeps the red tens hidden.
pub fn read(line: &str, over: bool, text: &Text) -> Typed {
    let line: String = line.chars().map(narrow).collect();
    let word = line.trim().to_lowercase();
    let mark = word.strip_prefix("mark").or_else(|| word.strip_prefix('m')).map(str::trim);
    if let Some(whom) = mark {
        match whom {
            "" => return Typed::Mark(None),
            "1" | "2" | "3" => return Typed::Mark(whom.parse::<usize>().ok().map(|k| k - 1)),
            _ => {}
        }
    }
    match word.as_str() {
        "" => Typed::Enter,
        "q" if over => Typed::Leave,
        // Not q: that is a queen.
        "x" | "quit" | "exit" | "leave" => Typed::Leave,
        "?" | "help" => Typed::Help,
        "??" | "? ?" | "rules" => Typed::Rules,
        "hand" | "table" => Typed::Table,
        "legal" => Typed::Legal,
        "h" | "hint" => Typed::Hint,
        "p" | "pass" => Typed::Pass,
        "y" | "yes" | "show" => Typed::Show,
        "n" | "next" if over => Typed::Next,
        "n" | "no" | "keep" => Typed::Keep,
        "b" | "beliefs" => Typed::Beliefs,
        "s" | "save" => Typed::Save,
        "l" | "language" => Typed::Language,
        "c" | "clear" => Typed::Clear,
        "+" | "-" | "=" | "_" => Typed::Delay,
        "v" | "review" => Typed::Review,
        _ if word == text.pass_word => Typed::Pass,
        _ if word == text.show_word => Typed::Show,
        _ if word == text.keep_word => Typed::Keep,
        _ => cards(&line).map_or_else(Typed::Unknown, Typed::Cards),
    }
}

/// Cards as they are typed: `10`, `T` or `0` is a black ten; `R`, `10♥`, `10h` or `10d` a red one; `jo` and `JO`, or `w` and `W`, are the
/// jokers; the suits of other cards do not matter; in any order, with or without spaces or commas.
///
/// # Errors
/// The first character that is no card.
pub fn cards(text: &str) -> Result<Cards, String> {
    let text: Vec<char> = text.chars().collect();
    let (mut cards, mut at) = (Cards::NONE, 0);
    while let Some(&c) = text.get(at) {
        at += 1;
        if c.is_whitespace() || matches!(c, ',' | ';' | '、' | '·') {
            continue;
        }
        let next = text.get(at).copied().unwrap_or(' ');
        let letter = match (c, next) {
            ('1', '0') => 'T',
            ('0', _) => 'T',
            ('j', 'o') => 'w',
            ('J', 'O') => 'W',
            ('w' | 'W', _) => c,
            _ => c.to_ascii_uppercase(),
        };
        at += usize::from(matches!((c, next), ('1', '0') | ('j', 'o') | ('J', 'O')));
        let red = text.get(at).is_some_and(|s| matches!(s, '♥' | '♡' | '♦' | '♢' | 'h' | 'H' | 'd' | 'D'));
        let suit = red || text.get(at).is_some_and(|s| matches!(s, '♠' | '♤' | '♣' | '♧' | 's' | 'S' | 'c' | 'C'));
        at += usize::from(suit);
        let card = if letter == 'T' && red { 'R' } else { letter };
        let card: Cards = card.to_string().parse().map_err(|_| c.to_string())?;
        // More of a rank than a hand can count would run into the next one.
        let more = (0..15).any(|r| cards.count(r) + card.count(r) > 4) || cards.red() + card.red() > 2;
        if more {
            return Err(super::text::faces(card));
        }
        cards.0 += card.0;
    }
    if cards == Cards::NONE { Err(text.iter().collect()) } else { Ok(cards) }
}

/// What of some cards a hand does not hold.
pub fn missing(cards: Cards, hand: Cards) -> Cards {
    let black = |c: Cards| c.count(TEN) - c.red();
    let mut out = Cards::NONE;
    for rank in (0..15).filter(|r| *r != TEN) {
        out.0 += Cards::of(rank, cards.count(rank).saturating_sub(hand.count(rank))).0;
    }
    out.0 += Cards::of(TEN, black(cards).saturating_sub(black(hand))).0;
    (0..cards.red().saturating_sub(hand.red())).for_each(|_| out.0 += Cards::RED_TEN.0);
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::text::Lang;
    use crate::text::faces;
    use rlx::Rng;
    use rlx_red10::{Game, Rules};

    #[test]
    fn e10_cards_are_read_as_they_are_written_anywhere() {
        for (typed, meant) in [
            ("10♥", "R"),
            ("10h", "R"),
            ("10H", "R"),
            ("10d", "R"),
            ("Th", "R"),
            ("r", "R"),
            ("10", "T"),
            ("t", "T"),
            ("0", "T"),
            ("10s", "T"),
            ("10♣", "T"),
            ("jo JO", "wW"),
            ("w W", "wW"),
            ("4 5 7 7 8 8 9 10♥ J A A A 2", "4577889RJAAA2"),
            ("10 10♥", "TR"),
            ("1010h", "TR"),
            ("3♠,3♥ 3c", "333"),
            ("jj", "JJ"),
            ("j, o", ""),
            ("33333", ""),
            ("rrr", ""),
            ("1", ""),
            ("", ""),
        ] {
            let read = cards(typed).map(|c| c.to_string());
            assert_eq!(read.ok().unwrap_or_default(), meant, "{typed}");
        }
        assert_eq!(read("１０ ", false, Lang::Zh.text()), Typed::Cards("T".parse().unwrap()), "a Chinese keyboard");
        // Every hand reads as it is shown.
        for n in 0..200 {
            let game = Game::deal(&Rules { jokers: true, ..Rules::folk4() }, &mut Rng::stream(n, 1));
            for hand in (0..4).map(|s| game.hand(s)) {
                assert_eq!(cards(&faces(hand)), Ok(hand));
                assert_eq!(cards(&hand.to_string()), Ok(hand));
            }
        }
    }

    #[test]
    fn e10_the_tables_keys_are_words_in_any_case() {
        let text = Lang::En.text();
        for (typed, meant) in [
            ("y", Typed::Show),
            ("Y\n", Typed::Show),
            ("\u{feff}y\r\n", Typed::Show),
            ("show", Typed::Show),
            ("n", Typed::Keep),
            ("N", Typed::Keep),
            ("KEEP", Typed::Keep),
            ("h", Typed::Hint),
            ("H", Typed::Hint),
            ("Hint", Typed::Hint),
            ("x", Typed::Leave),
            ("X", Typed::Leave),
            ("quit", Typed::Leave),
            ("?", Typed::Help),
            ("rules", Typed::Rules),
            ("p", Typed::Pass),
            ("PASS", Typed::Pass),
            ("m", Typed::Mark(None)),
            ("M 2", Typed::Mark(Some(1))),
            ("m1", Typed::Mark(Some(0))),
            ("b", Typed::Beliefs),
            ("s", Typed::Save),
            ("L", Typed::Language),
            ("c", Typed::Clear),
            ("+", Typed::Delay),
            ("", Typed::Enter),
            ("q", Typed::Cards("Q".parse().unwrap())),
            ("k", Typed::Cards("K".parse().unwrap())),
            ("m4", Typed::Unknown("m".into())),
        ] {
            assert_eq!(read(typed, false, text), meant, "{typed}");
        }
        assert_eq!(read("n", true, text), Typed::Next);
        assert_eq!(read("q", true, text), Typed::Leave);
        assert_eq!(read("不出", false, Lang::Zh.text()), Typed::Pass);
        assert_eq!(missing("TR33".parse().unwrap(), "3RR".parse().unwrap()).to_string(), "3T");
    }
}
