//! Every screen at every size from 40x12 to 200x60: nothing is cut without a mark, and nothing lies on anything else.
use super::{
    app::{App, Exit, Popup},
    draw::{Theme, blocks, popup},
    fit::{Block, width},
    layout,
    tests::{bot, picture, play_to_the_end, press, sit, table},
    viewer::{Source, Viewer},
};
use crate::record;
use crate::text::Lang;
use crate::text::face;
use crate::text::faces;
use ratatui::{crossterm::event::KeyCode, layout::Rect};
use rlx_red10::{Rules, SEATS};

const SIZES: [(u16, u16); 14] = [
    (40, 12),
    (41, 15),
    (48, 16),
    (60, 20),
    (57, 16),
    (76, 22),
    (80, 24),
    (80, 30),
    (99, 29),
    (100, 30),
    (120, 40),
    (160, 48),
    (200, 50),
    (200, 60),
];
const PLAIN: Theme = Theme { color: false };

/// The cells of a part of the screen, row by row.
fn region(screen: &[String], r: Rect) -> String {
    let row = |line: &String| {
        let (mut x, mut text) = (0, String::new());
        for c in line.chars() {
            if x >= r.x && x < r.right() {
                text.push(c);
            }
            x += width(c.encode_utf8(&mut [0; 4])).max(1) as u16;
        }
        text
    };
    let rows: Vec<String> = screen[usize::from(r.y)..usize::from(r.bottom())].iter().map(row).collect();
    rows.join("\n")
}

fn squeezed(text: &str) -> String {
    text.chars().filter(|c| !c.is_whitespace()).collect()
}

/// Every item of a block is on the screen, in order, or a mark says that something is not.
fn whole_or_marked(block: &Block, screen: &[String], what: &str) {
    if block.area.is_empty() {
        return;
    }
    let seen = squeezed(&region(screen, block.inner()));
    let mut at = 0;
    for item in block.paras.iter().flat_map(|p| &p.items) {
        let wanted = squeezed(&item.text);
        match seen[at..].find(&wanted) {
            Some(found) => at += found + wanted.len(),
            None => {
                assert!(
                    seen[at..].contains('…'),
                    "{what}: {:?} is lost in {seen:?}:\n{}",
                    item.text,
                    screen.join("\n")
                );
                break;
            }
        }
    }
    if let Some((title, _)) = &block.frame {
        let top = region(screen, Rect { height: 1, ..block.area });
        assert!(squeezed(&top).contains(&squeezed(title)) || top.contains('…'), "{what}: {title} in {top}");
        let place: String = title.chars().take_while(|c| *c != ':').collect();
        assert!(squeezed(&top).contains(&squeezed(&place)), "{what}: whose panel it is comes first: {top}");
    }
}

/// Looks at what is on the screen at every size and in both languages.
fn look(app: &mut App<'_, '_>, what: &str) {
    look_at(app, what, &SIZES);
}

fn look_at(app: &mut App<'_, '_>, what: &str, sizes: &[(u16, u16)]) {
    for lang in [Lang::En, Lang::Zh] {
        app.lang = lang;
        for &size in sizes {
            let screen = picture(app, size);
            let what = format!("{what} at {size:?}");
            for line in &screen {
                assert_eq!(width(line), usize::from(size.0), "{what}: {line:?}");
            }
            if let Some(over) = popup(app) {
                whole_or_marked(&over, &screen, &what);
                let text = region(&screen, over.area);
                assert!(text.contains('┌') && text.contains('└'), "{what}: it has a frame:\n{}", screen.join("\n"));
                continue;
            }
            let a = app.areas();
            blocks(app, &a, PLAIN).iter().for_each(|b| whole_or_marked(b, &screen, &what));
            // Every card of the hand at the bottom.
            let hand = match (&app.viewer, &app.sitting) {
                (Some(v), _) => v.scene().players[0].hand.unwrap_or_default(),
                (None, Some(s)) => s.view().hand(),
                (None, None) => panic!("nothing is there"),
            };
            let cards = region(&screen, a.hand);
            for letter in crate::text::letters(hand) {
                assert!(cards.contains(face(letter).trim_end_matches('♥')), "{what}: {letter}\n{}", screen.join("\n"));
            }
            assert_eq!(cards.contains('♥'), hand.red() > 0, "{what}: a red ten is told without colour");
            // Every button, or a mark.
            let labels: Vec<_> = app.buttons().into_iter().map(|b| (b.0, b.1)).collect();
            let (placed, more) = layout::buttons(&labels, a.buttons);
            let seen = region(&screen, a.buttons).replace(['(', ')', '[', ']'], "");
            for (_, label) in &labels[..placed.len()] {
                assert!(seen.contains(label.trim_matches(['[', ']'])), "{what}: {label} in {seen}");
            }
            assert_eq!(placed.len() < labels.len(), more.is_some(), "{what}: {seen}");
            assert_eq!(seen.contains('…'), more.is_some(), "{what}: {seen}");
        }
    }
    app.lang = Lang::En;
}

#[test]
fn e11_every_screen_of_a_game_marks_what_it_cuts() {
    for rules in [Rules::paper(), Rules::folk4()] {
        let names = ["pretrained", "red10-idrl-a-long-name-of-a-run-s0", "greedy"];
        // A seat that holds a red ten: with showing it is asked.
        let me = record::deal(&rules, 3, 0).red_team().trailing_zeros() as usize;
        let mut table = table(rules, 3, me);
        (1..SEATS).for_each(|k| table.names[(me + k) % SEATS] = names[k - 1].into());
        let mut agents = bot("greedy");
        let mut app = sit(&table, &mut agents, Lang::En);
        app.sitting.as_mut().unwrap().beliefs = false;
        look(&mut app, "the deal");
        for _ in 0..5 {
            while !app.sitting.as_ref().unwrap().session.is_asked() {
                app.tick(std::time::Duration::from_secs(9)).unwrap();
            }
            look(&mut app, "my turn");
            for key in ['4', '2', 'h', 'h', 'b', 'm', '2', 's'] {
                app.folder = std::path::PathBuf::from("/nonexistent/a folder that is not there");
                press(&mut app, KeyCode::Char(key));
                look(&mut app, &format!("after {key}"));
            }
            press(&mut app, KeyCode::Enter);
            press(&mut app, KeyCode::Char('n'));
        }
        for key in ['?', '?', ' ', 'x', 'x'] {
            press(&mut app, KeyCode::Char(key));
            look(&mut app, &format!("page {key}"));
        }
        assert_eq!(app.popup, Popup::Leave);
        press(&mut app, KeyCode::Esc);
        play_to_the_end(&mut app);
        look(&mut app, "the end");
        press(&mut app, KeyCode::Char('v'));
        for _ in 0..25 {
            look(&mut app, "review");
            press(&mut app, KeyCode::Right);
            press(&mut app, KeyCode::Tab);
        }
        press(&mut app, KeyCode::End);
        look(&mut app, "the end of the review");
    }
}

/// A few screens at all sizes from 40x12 to 200x60, but for every other one.
#[test]
fn e11_all_sizes_from_40x12_to_200x60() {
    let sizes: Vec<(u16, u16)> =
        (40..=200).step_by(4).flat_map(|w| (12..=60).step_by(3).map(move |h| (w, h))).collect();
    let (table, mut agents) = (table(Rules::folk4(), 3, 1), bot("greedy"));
    let mut app = sit(&table, &mut agents, Lang::En);
    look_at(&mut app, "the deal", &sizes);
    press(&mut app, KeyCode::Char('x'));
    look_at(&mut app, "the question", &sizes);
    press(&mut app, KeyCode::Esc);
    play_to_the_end(&mut app);
    look_at(&mut app, "the end", &sizes);
    press(&mut app, KeyCode::Char('v'));
    (0..9).for_each(|_| press(&mut app, KeyCode::Right));
    look_at(&mut app, "the review", &sizes);
    press(&mut app, KeyCode::Char('?'));
    press(&mut app, KeyCode::Char('?'));
    look_at(&mut app, "the rules", &sizes);
}

/// The cards of all four hands in a review are there, or how many are not is said.
#[test]
fn e11_a_review_shows_all_hands_or_counts_what_it_cuts() {
    let folder = rlx::testing::TempDir::new();
    let path = folder.0.join("games.jsonl");
    let mut agents = bot("greedy");
    record::record(&std::array::from_fn(|_| "greedy".into()), &mut agents, [0; SEATS], &Rules::folk4(), 1, 3, &path)
        .unwrap();
    let mut source = Source::File(path, 1);
    let viewer = Viewer::new(source.first().unwrap()).unwrap();
    let mut app = App::view(viewer, source, Lang::En, std::time::Duration::ZERO);
    let hands: Vec<String> =
        app.viewer.as_ref().unwrap().record.deal.iter().map(|h| faces(h.parse().unwrap())).collect();
    for size in SIZES {
        let screen = picture(&mut app, size);
        assert!(screen[0].contains("seed 3") || screen[0].contains('…'), "{}", screen[0]);
        assert!(
            size.0 < 60 || screen[0].contains("game 1 · ply 0 of") && screen[0].contains("seed 3"),
            "{}",
            screen[0]
        );
        let a = app.areas();
        for (k, area) in a.others.into_iter().enumerate() {
            let seen = region(&screen, if a.boxed { area.inner(ratatui::layout::Margin::new(1, 1)) } else { area });
            let words: Vec<&str> = seen.split_whitespace().collect();
            let hand: Vec<&str> = hands[k + 1].split(' ').collect();
            let shown =
                (0..=hand.len()).rev().find(|n| words.windows((*n).max(1)).any(|w| *w == hand[..*n])).unwrap_or(0);
            let counted = format!("…+{}", hand.len() - shown);
            assert!(
                shown == hand.len() || words.contains(&counted.as_str()),
                "{size:?} {hand:?}\n{}",
                screen.join("\n")
            );
            // From 60x20 on nothing of them is cut.
            assert!(shown == hand.len() || size.0 < 57, "{size:?}\n{}", screen.join("\n"));
        }
    }
}

#[test]
fn e11_a_large_screen_is_used_and_names_are_whole() {
    let mut table = table(Rules::paper(), 5, 0);
    table.names = ["human", "pretrained", "pretrained", "red10-idrl-main-s0"].map(String::from);
    let mut agents = bot("greedy");
    let mut app = sit(&table, &mut agents, Lang::En);
    let screen = picture(&mut app, (120, 40));
    let all = screen.join("\n");
    for title in ["1 next: pretrained", "2 across: pretrained", "3 previous: red10-idrl-main-s0"] {
        assert!(all.contains(title), "{all}");
    }
    assert!(all.contains(Lang::En.text().in_short) && all.contains("straight of 5 or more"), "{all}");
    let a = app.areas();
    let fan = layout::fan(a.hand, 13, 0);
    assert!(fan.width >= 9 && a.hand.height >= 9, "large cards: {fan:?}");
    // Nowhere are a dozen rows in a row without anything.
    let empty = |line: &String| line.chars().all(|c| c == ' ' || c == '│');
    let most = screen.split(|l| !empty(l)).map(<[String]>::len).max();
    assert!(most < Some(12), "{most:?} empty rows:\n{all}");
    app.sitting.as_mut().unwrap().beliefs = false;
    // At 80x24 a panel has two rows, and the log the rest.
    let screen = picture(&mut app, (80, 24));
    assert!(app.areas().others[0].height == 4 && app.areas().middle.height >= 6, "{}", screen.join("\n"));
}

#[test]
fn e11_the_first_key_after_a_hint_begins_a_selection_of_its_own() {
    let table = table(Rules::folk4(), 3, 0);
    let mut agents = bot("greedy");
    let mut app = sit(&table, &mut agents, Lang::En);
    loop {
        let sitting = app.sitting.as_ref().unwrap();
        if !sitting.session.is_asked() {
            app.tick(std::time::Duration::from_secs(9)).unwrap();
        } else if sitting.is_asked_to_show() {
            press(&mut app, KeyCode::Char('n'));
        } else {
            press(&mut app, KeyCode::Char('h'));
            let sitting = app.sitting.as_ref().unwrap();
            let (hint, hand) = (sitting.selection(), sitting.letters());
            let other = hand.iter().position(|c| !hint.to_string().contains(*c) && *c != 'T' && *c != 'R');
            if let (true, Some(other)) = (hint.total() > 0, other) {
                press(&mut app, KeyCode::Char(hand[other].to_ascii_lowercase()));
                assert_eq!(app.sitting.as_ref().unwrap().selection().to_string(), hand[other].to_string());
                // The next key adds to it.
                press(&mut app, KeyCode::Home);
                press(&mut app, KeyCode::Char(' '));
                let n = app.sitting.as_ref().unwrap().selection().total();
                assert_eq!(n, if other == 0 { 0 } else { 2 });
                return;
            }
            press(&mut app, KeyCode::Enter);
        }
    }
}

/// `10`, `0` and `t` are a black ten at the table and in lines, `r` and `10h` a red one; `h` alone is the hint.
#[test]
fn e10_a_ten_is_spelt_at_the_table_as_in_lines() {
    let deal = |n: u64| record::deal(&Rules::paper(), n, 0).hand(0);
    let seed = (0..200).find(|n| deal(*n).red() == 1 && deal(*n).count(7) == 2).unwrap();
    let table = table(Rules::paper(), seed, 0);
    for (typed, meant) in [("10", "T"), ("0", "T"), ("t", "T"), ("r", "R"), ("10h", "R"), ("10D", "R"), ("10r", "TR")] {
        let mut agents = bot("greedy");
        let mut app = sit(&table, &mut agents, Lang::En);
        typed.chars().for_each(|c| press(&mut app, KeyCode::Char(c)));
        assert_eq!(app.sitting.as_ref().unwrap().selection().to_string(), meant, "{typed}");
        assert_eq!(crate::typed::cards(typed).unwrap().to_string(), meant, "{typed}");
    }
}

#[test]
fn e11_leaving_is_asked_in_a_frame_and_the_same_key_leaves() {
    for (keys, left) in [("xx", true), ("xy", true), ("x\n", true), ("xn", false), ("x3", false), ("x3xx", true)] {
        let table = table(Rules::paper(), 5, 0);
        let mut agents = bot("greedy");
        let mut app = sit(&table, &mut agents, Lang::En);
        press(&mut app, KeyCode::Char('x'));
        let a = app.areas();
        let screen = picture(&mut app, (80, 24));
        let ask = Lang::En.text().leave_ask;
        assert!(region(&screen, a.message).contains(ask), "the message line agrees:\n{}", screen.join("\n"));
        assert!(screen.iter().any(|l| l.contains(&format!("│{ask}"))), "{}", screen.join("\n"));
        assert!(region(&screen, a.buttons).starts_with("[x Leave] [Esc stay]"), "{}", screen.join("\n"));
        for key in keys.chars().skip(1) {
            press(&mut app, if key == '\n' { KeyCode::Enter } else { KeyCode::Char(key) });
        }
        assert_eq!(app.exit, left.then_some(Exit::Left), "{keys:?}");
    }
}

/// The page is read to its end at every size, by its keys; `?` turns it and any other key closes it.
#[test]
fn e2_the_rules_page_is_read_to_its_end_at_every_size() {
    for (rules, lang) in [(Rules::folk4(), Lang::En), (Rules::paper(), Lang::Zh)] {
        let page = squeezed(&crate::guide::markdown(&rules, lang).replace("### ", ""));
        let table = table(rules, 5, 0);
        let mut agents = bot("greedy");
        let mut app = sit(&table, &mut agents, lang);
        let first = picture(&mut app, (80, 24)).join("\n");
        assert!(first.contains("? twice") || first.contains("再按 ?") || first.contains("两次 ?"), "offered:\n{first}");
        for size in SIZES {
            press(&mut app, KeyCode::Char('?'));
            picture(&mut app, size);
            press(&mut app, KeyCode::Char('?'));
            let (mut read, mut turns) = (String::new(), 0);
            loop {
                let screen = picture(&mut app, size);
                let over = app.page().0.inner();
                read += &squeezed(&region(&screen, Rect { height: over.height - 1, ..over })).replace('\u{a0}', "");
                let before = app.popup;
                press(&mut app, KeyCode::PageDown);
                turns += 1;
                if app.popup == before {
                    break;
                }
                let Popup::Page { top, .. } = app.popup else { panic!("the page is closed") };
                let (Popup::Page { top: was, .. }, rows) = (before, app.page().1) else { panic!("no page") };
                let seen = usize::from(over.height) - 1;
                // The last turn overlaps: what was read twice is taken back.
                if top < was + seen {
                    let (_, again) = (rows, was + seen - top);
                    let twice =
                        region(&screen, Rect { y: over.y + (seen - again) as u16, height: again as u16, ..over });
                    let twice = squeezed(&twice).replace('\u{a0}', "").len();
                    read.truncate(read.len() - twice);
                }
                assert!(turns < 300, "it does not end");
            }
            assert_eq!(read, page, "{size:?}");
            press(&mut app, KeyCode::Esc);
            assert_eq!(app.popup, Popup::None);
        }
    }
}
