//! What a player reads and types at Red-10: seeds, the rules, and the line mode's words, through the real binary.
use crate::{
    common::{TempDir, ok, rlx},
    table::Pty,
};
use std::{io::Write, process::Stdio};

/// What the line mode says to some lines.
fn lines(dir: &TempDir, args: &[&str], input: &str) -> String {
    let args = [&["play", "red10", "--plain", "--agent", "greedy", "--lang", "en"], args].concat();
    let mut child = rlx(&dir.0, &args).stdin(Stdio::piped()).spawn().unwrap();
    let _ = child.stdin.take().unwrap().write_all(input.as_bytes());
    let out = child.wait_with_output().unwrap();
    assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
    String::from_utf8(out.stdout).unwrap()
}

/// The part of a text after some words, to the end of its line.
fn after<'a>(text: &'a str, words: &str) -> &'a str {
    let at = text.find(words).unwrap_or_else(|| panic!("no {words}:\n{text}")) + words.len();
    text[at..].lines().next().unwrap()
}

/// Whole games by hints: every legal move is the first hint, and no red ten is shown.
fn by_hints(games: usize) -> String {
    format!("{}{}", "n\nh\n\n".repeat(150), "next\n".repeat(games))
}

#[test]
fn e2_every_start_deals_another_hand_and_its_seed_deals_it_again() {
    let dir = TempDir::new();
    let hand = |text: &str| after(text, "your hand: ").to_owned();
    let seed = |text: &str| after(text, "game 1, seed ").split(':').next().unwrap().to_owned();
    let starts: Vec<String> = (0..3).map(|_| lines(&dir, &[], "")).collect();
    assert!(starts.iter().any(|s| hand(s) != hand(&starts[0])), "the same hand at every start: {starts:?}");
    assert!(starts.iter().any(|s| seed(s) != seed(&starts[0])));
    for text in &starts {
        let again = lines(&dir, &["--seed", &seed(text)], "");
        assert_eq!(&again, text, "the seed that was shown deals the very same");
    }
    // In the log, in a replay, and the next game is another deal of the same seed.
    let played = lines(&dir, &["--log", "g.jsonl"], &by_hints(0));
    let log = std::fs::read_to_string(dir.0.join("g.jsonl")).unwrap();
    assert!(log.contains(&format!("\"seed\":{}", seed(&played))), "{log}");
    assert!(log.contains("\"number\":1"), "{log}");
    let replay = ok(&dir.0, &["play", "--replay", "g.jsonl", "--lang", "en"]);
    assert!(replay.contains(&format!("game 1, seed {}, folk rules", seed(&played))), "{replay}");
    let second = played.find("\ngame 2, seed").map(|at| hand(&played[at..]));
    let second = second.unwrap_or_else(|| panic!("no second game:\n{played}"));
    assert_ne!(second, hand(&played));
    assert_eq!(
        hand(&lines(&dir, &["--seed", &seed(&played), "--number", "2"], "")),
        second,
        "it is deal 2 of the seed"
    );
    // At the table, watching and recording, too.
    let mut pty = Pty::start(&dir.0, &["play", "red10", "--agent", "greedy"], &[]);
    let first = pty.see("seed ");
    pty.send("\u{3}");
    pty.end(130);
    let mut pty = Pty::start(&dir.0, &["play", "red10", "--agent", "greedy", "--seed", "77"], &[]);
    assert!(pty.see("seed ").contains("game 1 · seed 77") && !first.contains("seed 77 "));
    pty.send("\u{3}");
    pty.end(130);
    assert!(lines(&dir, &["--watch"], "").contains("game 1, seed "));
    assert!(ok(&dir.0, &["record", "red10", "--agent", "greedy", "-o", "r.jsonl"]).contains("seed 0"));
}

#[test]
fn e2_the_rules_are_a_page_in_both_languages_and_offered_at_the_first_game() {
    let dir = TempDir::new();
    for (lang, words) in
        [("en", ["Order of the cards", "Hidden teams", "+4"]), ("zh", ["牌的大小", "隐藏的队伍", "+4"])]
    {
        let folk = ok(&dir.0, &["play", "red10", "--rules-page", "--lang", lang]);
        let paper = ok(&dir.0, &["play", "red10", "--rules-page", "--rules", "paper", "--lang", lang]);
        assert!(words.iter().all(|w| folk.contains(w)) && folk != paper, "{folk}");
    }
    let page = ok(&dir.0, &["play", "red10", "--rules-page", "--lang", "en"]);
    let text = lines(&dir, &["--seed", "1"], "RULES\n");
    assert!(text.contains(page.trim_end()), "{text}");
    assert!(text.find("`rules` explains it").unwrap() < text.find("your hand").unwrap(), "{text}");
    assert!(lines(&dir, &["--rules", "paper", "--seed", "1"], "4 2\n").contains("your lead"));
    // At the table: on the first screen, then by ? twice, down to the end.
    let mut pty = Pty::start(&dir.0, &["play", "red10", "--agent", "greedy", "--rules", "paper"], &[]);
    pty.see("? twice the rules");
    pty.send("??");
    pty.see("1-21 of");
    pty.send("\u{1b}[F");
    pty.see("Choose paper to play at guessing");
    pty.send("l");
    pty.see("牌的大小");
    pty.send("q");
    pty.see("轮到你领出");
    pty.send("\u{3}");
    pty.end(130);
}

#[test]
fn e10_lines_take_the_tables_keys_and_show_its_cards() {
    let dir = TempDir::new();
    // A deal at which the player is asked, and one at which not.
    let first = |seed: u64| lines(&dir, &["--seed", &seed.to_string()], "");
    let asked = (0..50).find(|s| first(*s).contains("Show your red tens?")).unwrap().to_string();
    let shown = lines(&dir, &["--seed", &asked], "Y\n");
    assert!(shown.contains("0 you: shows 10♥"), "{shown}");
    assert_eq!(shown, lines(&dir, &["--seed", &asked], "show\n"));
    let kept = lines(&dir, &["--seed", &asked], "n\n");
    assert!(!kept.contains("shows 10♥\n0 you") && kept != shown, "{kept}");
    assert_eq!(kept, lines(&dir, &["--seed", &asked], "KEEP\n"));
    // Cards have spaces and their names, as at the table.
    let hand = after(&kept, "your hand: ");
    assert!(hand.contains(' ') && hand.contains("10♥") && !hand.contains('R'), "{hand}");
    let text =
        lines(&dir, &["--rules", "paper", "--seed", "5"], "h\nH\nhint\n?\nm\n2\nM1\nb\nl\nL\nc\n+\n4 2\nzz\ny\nX\n");
    assert_eq!(text.matches("hint: ").count(), 3, "{text}");
    for said in [
        "cards in any order",
        "Mark whom? 1 next, 2 across, 3 previous",
        "2 across: + friend",
        "1 next: + friend",
        "the agent's P(with you): 1 next 44 %, 2 across 44 %, 3 previous 44 %",
        "输入", // another language and back
        "4 2 is no combination. There are single cards, pairs,",
        "'z' is neither a card nor a word",
        "Nobody asks about your red tens now.",
        "The game is left; nobody wins.",
    ] {
        let said = if said == "输入" { "牌的顺序任意" } else { said };
        assert!(text.contains(said), "{said}:\n{text}");
    }
    // Enter takes the hint, as it does at the table; cards are read as they are written.
    let played = lines(&dir, &["--rules", "paper", "--seed", "5"], "h\n\n");
    let hint = after(&played, "hint: ");
    assert!(played.contains(&format!("\n> 0 you: {hint}")) || played.contains(&format!("0 you: {hint}\n")), "{played}");
    for typed in [hint.to_owned(), hint.replace(' ', ""), hint.to_lowercase(), hint.replace(' ', ", ")] {
        let text = lines(&dir, &["--rules", "paper", "--seed", "5"], &format!("{typed}\n"));
        assert!(text.contains(&format!("0 you: {hint}\n")), "{typed}:\n{text}");
    }
    // A replay says whose chances it gives, and names the seats.
    lines(&dir, &["--seed", "5", "--log", "g.jsonl"], &by_hints(0));
    let replay = ok(&dir.0, &["play", "--replay", "g.jsonl", "--lang", "en"]);
    assert!(replay.contains("the agent's P(with 1 next): ") && replay.contains("payoff: 0 you "), "{replay}");
    assert!(!replay.contains("with the next three"), "{replay}");
}

#[test]
fn e10_the_end_of_the_input_leaves_cleanly_wherever_it_comes() {
    let dir = TempDir::new();
    for input in ["", "h", "h\n", "m\n", "rules\n", "n\nh\n\n"] {
        let text = lines(&dir, &["--seed", "2"], input);
        assert!(text.ends_with("The game is left; nobody wins.\n"), "{input:?}: {text}");
    }
    let text = lines(&dir, &["--seed", "2", "--number", "9"], &by_hints(0));
    assert!(text.contains("game 9, seed 2") && text.contains("another game?"), "{text}");
}
