//! The table without a terminal: random keys through whole games, and pictures at many sizes.
use super::{
    app::{App, Exit},
    draw::{Theme, draw},
    keys::Action,
    table::Sitting,
    viewer::{Source, Viewer},
};
use crate::{
    agent::Agent,
    record,
    session::{Session, Table},
    text::{Lang, faces},
};
use ratatui::{
    Terminal,
    backend::TestBackend,
    crossterm::event::{Event, KeyCode, KeyEvent, KeyModifiers, MouseButton, MouseEvent, MouseEventKind},
};
use rlx::Rng;
use rlx_red10::{Game, Kind, Rules, SEATS, Seat, bots};
use std::time::Duration;

const SIZES: [(u16, u16); 7] = [(80, 24), (60, 20), (40, 12), (10, 3), (200, 50), (1, 1), (57, 18)];
const DELAY: Duration = Duration::from_millis(100);

pub(super) fn table(rules: Rules, seed: u64, me: usize) -> Table {
    let names = std::array::from_fn(|s| if s == me { "human".into() } else { "greedy".into() });
    Table { rules, human: Some(me), names, seats: [0; SEATS], seed, first: 0, beliefs: true, log: None }
}

pub(super) fn bot(name: &str) -> [Agent<'static>; 1] {
    [Agent::Bot(bots::make(name).unwrap())]
}

pub(super) fn sit<'t>(table: &'t Table, agents: &'t mut [Agent<'static>], lang: Lang) -> App<'t, 'static> {
    let session = Session::new(table, agents, 0).unwrap();
    App::play(Sitting::new(session, lang.text()).unwrap(), lang, DELAY)
}

pub(super) fn press(app: &mut App<'_, '_>, code: KeyCode) {
    app.update(&Event::Key(KeyEvent::new(code, KeyModifiers::NONE))).unwrap();
}

/// The screen as lines of text; the second cell of a wide character is left out.
pub(super) fn picture(app: &mut App<'_, '_>, (w, h): (u16, u16)) -> Vec<String> {
    app.update(&Event::Resize(w, h)).unwrap();
    let mut terminal = Terminal::new(TestBackend::new(w, h)).unwrap();
    terminal.draw(|frame| draw(app, Theme { color: false }, frame)).unwrap();
    let buffer = terminal.backend().buffer();
    let line = |y| {
        let (mut text, mut x) = (String::new(), 0);
        while x < w {
            let symbol = buffer[(x, y)].symbol();
            text += symbol;
            x += (ratatui::text::Span::raw(symbol).width() as u16).max(1);
        }
        text
    };
    (0..h).map(line).collect()
}

/// Everything a keyboard and a mouse can send, and more of what moves a game on.
fn random_event(rng: &mut Rng) -> Event {
    const KEYS: &[char] =
        &['3', '4', '5', '6', '7', '8', '9', '0', 't', 'r', 'j', 'q', 'k', 'a', '2', 'p', 'p', 'h', 'y', 'n'];
    let key = |code| Event::Key(KeyEvent::new(code, KeyModifiers::NONE));
    match rng.below(12) {
        0..4 => key(KeyCode::Char(KEYS[rng.below(KEYS.len())])),
        4..6 => key(KeyCode::Enter),
        6 => key(KeyCode::Char(char::from(32 + rng.below(95) as u8))),
        7 => {
            let codes = [KeyCode::Left, KeyCode::Right, KeyCode::Home, KeyCode::End, KeyCode::Esc, KeyCode::Tab];
            key(codes[rng.below(codes.len())])
        }
        8 => {
            let modifiers = [KeyModifiers::ALT, KeyModifiers::CONTROL, KeyModifiers::SHIFT][rng.below(3)];
            let c = char::from(32 + rng.below(95) as u8);
            // Ctrl-C has its own test.
            let c = if c.eq_ignore_ascii_case(&'c') { '1' } else { c };
            Event::Key(KeyEvent::new(KeyCode::Char(c), modifiers))
        }
        9 => Event::Mouse(MouseEvent {
            kind: MouseEventKind::Down(MouseButton::Left),
            column: rng.below(210) as u16,
            row: rng.below(60) as u16,
            modifiers: KeyModifiers::NONE,
        }),
        10 => Event::Paste("3344\u{1b}[A\n\u{0}x".into()),
        _ => {
            let (w, h) = SIZES[rng.below(SIZES.len())];
            Event::Resize(w, h)
        }
    }
}

/// Random keys play whole games in both rules: never a panic, never an illegal move (the record is checked against the rules), and
/// the games end.
#[test]
fn random_keys_play_whole_games() {
    for n in 0..40 {
        let rules = if n % 2 == 0 { Rules::paper() } else { Rules::folk4() };
        let (table, mut agents) = (table(rules, n, n as usize % 4), bot(if n % 3 == 0 { "random" } else { "greedy" }));
        let mut app = sit(&table, &mut agents, if n % 4 < 2 { Lang::En } else { Lang::Zh });
        // `s` is among the keys, so logs go where they are thrown away.
        let folder = rlx::testing::TempDir::new();
        app.folder.clone_from(&folder.0);
        let mut rng = Rng::stream(n, 5);
        let mut events = 0;
        while app.sitting.as_ref().unwrap().session.tally().games < 2 {
            app.update(&random_event(&mut rng)).unwrap();
            if app.exit.take().is_some() {
                // It asked and was told to leave: the test stays.
                assert!(app.sitting.is_some());
            }
            app.tick(DELAY).unwrap();
            if events % 50 == 0 {
                picture(&mut app, SIZES[rng.below(SIZES.len())]);
            }
            events += 1;
            assert!(events < 200_000, "game {n} does not end");
        }
        let sitting = app.sitting.as_mut().unwrap();
        for game in sitting.session.games() {
            let end = game.replay(|_, _, _, _| Ok(())).unwrap();
            assert_eq!(game.result.is_some(), end.is_over());
        }
    }
}

/// Plays the adviser's move by keys until the game is over.
pub(super) fn play_to_the_end(app: &mut App<'_, '_>) {
    for _ in 0..2000 {
        let sitting = app.sitting.as_ref().unwrap();
        if sitting.session.is_over() {
            return;
        }
        if !sitting.session.is_asked() {
            app.tick(DELAY).unwrap();
        } else if sitting.is_asked_to_show() {
            press(app, KeyCode::Char('n'));
        } else {
            press(app, KeyCode::Char('h'));
            let sitting = app.sitting.as_ref().unwrap();
            press(app, if sitting.can_play() { KeyCode::Enter } else { KeyCode::Char('p') });
        }
    }
    panic!("the game does not end");
}

#[test]
fn a_whole_game_by_hints_then_its_review() {
    for (lang, won) in [(Lang::En, ["You win", "You lose", "A draw"]), (Lang::Zh, ["你赢了", "你输了", "平局"])]
    {
        for rules in [Rules::paper(), Rules::folk4()] {
            let (table, mut agents) = (table(rules, 3, 2), bot("greedy"));
            let mut app = sit(&table, &mut agents, lang);
            play_to_the_end(&mut app);
            for size in SIZES.into_iter().filter(|s| s.0 >= 40) {
                let screen = picture(&mut app, size).join("\n");
                assert!(won.iter().any(|w| screen.contains(w)), "{screen}");
            }
            press(&mut app, KeyCode::Char('v'));
            // The player did as the agent would have done.
            let screen = picture(&mut app, (80, 24)).join("\n");
            assert!(screen.contains(lang.text().no_regret), "{screen}");
            for _ in 0..300 {
                press(&mut app, KeyCode::Right);
                picture(&mut app, (80, 24));
            }
            assert_eq!(app.viewer.as_ref().unwrap().at, app.viewer.as_ref().unwrap().record.plies.len());
            press(&mut app, KeyCode::Esc);
            assert!(app.viewer.is_none() && app.exit.is_none());
            press(&mut app, KeyCode::Char('n'));
            assert_eq!(app.sitting.as_ref().unwrap().session.number(), 1);
            press(&mut app, KeyCode::Char('x'));
            assert!(app.exit.is_none(), "it asks first");
            press(&mut app, KeyCode::Enter);
            assert_eq!(app.exit, Some(Exit::Left));
        }
    }
}

#[test]
fn control_c_leaves_from_everywhere() {
    let (table, mut agents) = (table(Rules::folk4(), 1, 0), bot("greedy"));
    let mut app = sit(&table, &mut agents, Lang::En);
    for key in [None, Some('?'), Some('x'), Some('m')] {
        key.iter().for_each(|c| press(&mut app, KeyCode::Char(*c)));
        app.update(&Event::Key(KeyEvent::new(KeyCode::Char('c'), KeyModifiers::CONTROL))).unwrap();
        assert_eq!(app.exit.take(), Some(Exit::Interrupted), "{key:?}");
    }
}

#[test]
fn illegal_plays_are_explained_and_nothing_happens() {
    let (table, mut agents) = (table(Rules::paper(), 5, 0), bot("greedy"));
    let mut app = sit(&table, &mut agents, Lang::En);
    let notice = |app: &App<'_, '_>| app.sitting.as_ref().unwrap().notice.clone();
    // Seat 0 leads in these rules.
    press(&mut app, KeyCode::Char('p'));
    assert!(notice(&app).contains("You lead"), "{}", notice(&app));
    press(&mut app, KeyCode::Enter);
    assert!(notice(&app).contains("a card must be played"), "{}", notice(&app));
    let buttons = app.buttons();
    assert!(buttons.iter().any(|b| b.0 == Action::Pass && !b.2), "pass is shown as what cannot be done");
    let letters = app.sitting.as_ref().unwrap().letters();
    for card in [0, letters.len() - 1] {
        app.act(Action::Card(card)).unwrap();
    }
    press(&mut app, KeyCode::Enter);
    assert!(notice(&app).contains("is no combination"), "{}", notice(&app));
    assert!(app.sitting.as_ref().unwrap().view().history().is_empty());
    assert_eq!(app.sitting.as_ref().unwrap().selection().total(), 2, "the selection stays");
    press(&mut app, KeyCode::Char('w'));
    assert!(notice(&app).contains("You hold no"), "{}", notice(&app));
}

/// The hands of the others, as every text they could stand there in.
fn hidden(game: &Game, me: usize) -> Vec<String> {
    let hands = (0..SEATS).filter(|s| *s != me).map(|s| game.hand(s)).filter(|h| h.total() > 4);
    hands.flat_map(|h| [h.to_string(), faces(h)]).collect()
}

/// The game with some cards of the other seats exchanged, everything that `me` saw the same: the tens stay where they are, and so
/// does what has been played. None where that cannot be done.
fn exchanged(game: &Game, me: usize, rng: &mut Rng) -> Option<Game> {
    let mut left: [Vec<char>; SEATS] = std::array::from_fn(|s| game.hand(s).to_string().chars().collect());
    let others: Vec<usize> = (0..SEATS).filter(|s| *s != me).collect();
    let ten = |c: &char| matches!(c, 'T' | 'R' | '-');
    for _ in 0..60 {
        let (a, b) = (others[rng.below(3)], others[rng.below(3)]);
        let (i, j) = (rng.below(left[a].len()), rng.below(left[b].len()));
        if a != b && !ten(&left[a][i]) && !ten(&left[b][j]) {
            let swap = left[a][i];
            left[a][i] = left[b][j];
            left[b][j] = swap;
        }
    }
    let hand = |s: usize| {
        let text: String = left[s].iter().filter(|c| **c != '-').collect();
        let held = if text.is_empty() { 0 } else { text.parse::<rlx_red10::Cards>().unwrap().0 };
        rlx_red10::Cards(held + game.played(s).0)
    };
    let mut other = Game::from_hands(game.rules(), std::array::from_fn(hand), game.leader() as u8).ok()?;
    for ply in game.history() {
        while other.asking() && ply.play.kind != Kind::Show {
            let mut legal = Vec::new();
            other.legal(&mut legal);
            other.play(legal[1]);
        }
        other.try_play(ply.play).ok()?;
    }
    (other != *game).then_some(other)
}

/// No picture before the end depends on what the player may not see: the others' cards are exchanged behind the player's back, and
/// the screen stays the same to the last cell.
#[test]
fn the_screen_is_the_same_whatever_the_others_hold() {
    let (mut compared, mut rng) = (0, Rng::stream(4, 4));
    for n in 0..12 {
        let rules = if n % 2 == 0 { Rules::paper() } else { Rules::folk4() };
        let me = n as usize % 4;
        let (table, mut agents, mut others) = (table(rules, n, me), bot("greedy"), bot("greedy"));
        let lang = if n % 3 == 0 { Lang::Zh } else { Lang::En };
        let mut app = sit(&table, &mut agents, lang);
        while !app.sitting.as_ref().unwrap().session.is_over() {
            let sitting = app.sitting.as_mut().unwrap();
            if sitting.session.is_asked() && !sitting.is_asked_to_show() {
                let game = sitting.session.clone_game();
                for size in SIZES {
                    let screen = picture(&mut app, size).join("\n");
                    for hand in hidden(&game, me) {
                        assert!(!screen.contains(&hand), "{hand} of another seat:\n{screen}");
                    }
                }
                if let Some(other) = exchanged(&game, me, &mut rng) {
                    let mut session = Session::new(&table, &mut others, 0).unwrap();
                    session.replace_game(other);
                    let mut twin = App::play(Sitting::new(session, lang.text()).unwrap(), lang, DELAY);
                    let sitting = app.sitting.as_ref().unwrap();
                    let state = twin.sitting.as_mut().unwrap();
                    state.copy_looks(sitting);
                    press(&mut app, KeyCode::Char('h'));
                    press(&mut twin, KeyCode::Char('h'));
                    for size in SIZES {
                        assert_eq!(picture(&mut app, size), picture(&mut twin, size));
                    }
                    compared += 1;
                }
            }
            step(&mut app);
        }
    }
    assert!(compared > 60, "{compared}");
}

/// One move, whoever's it is.
fn step(app: &mut App<'_, '_>) {
    let sitting = app.sitting.as_ref().unwrap();
    if !sitting.session.is_asked() {
        app.tick(DELAY).unwrap();
    } else if sitting.is_asked_to_show() {
        press(app, KeyCode::Char('n'));
    } else {
        press(app, KeyCode::Char('h'));
        let can = app.sitting.as_ref().unwrap().can_play();
        press(app, if can { KeyCode::Enter } else { KeyCode::Char('p') });
    }
}

/// What must be on the screen at each size, in both languages.
#[test]
fn pictures_at_many_sizes() {
    for (lang, wanted) in [(Lang::En, ["Red-10", "1 next", "your lead"]), (Lang::Zh, ["红十", "下家", "轮到你领出"])]
    {
        let (table, mut agents) = (table(Rules::paper(), 5, 0), bot("greedy"));
        let mut app = sit(&table, &mut agents, lang);
        let hand = app.sitting.as_ref().unwrap().letters();
        press(&mut app, KeyCode::Esc);
        for (w, h) in SIZES {
            let lines = picture(&mut app, (w, h));
            for line in &lines {
                assert_eq!(ratatui::text::Span::raw(line.as_str()).width(), usize::from(w), "{line:?}");
            }
            let screen = lines.join("\n");
            if w >= 40 {
                wanted.iter().for_each(|t| assert!(screen.contains(t), "{w}x{h} {t}:\n{screen}"));
                let ranks = |c: &char| screen.contains(crate::text::face(*c).trim_end_matches('♥'));
                assert!(hand.iter().all(ranks), "{w}x{h}:\n{screen}");
            }
            if w == 10 {
                assert!(lines[0].contains(hand[0]), "the own hand is the last thing to go:\n{screen}");
            }
            assert_eq!(app.popup, super::app::Popup::None);
            press(&mut app, KeyCode::Char('?'));
            picture(&mut app, (w, h));
            press(&mut app, KeyCode::Esc);
        }
    }
}

/// What is drawn and what a click hits are the same.
#[test]
fn a_click_hits_what_is_drawn() {
    let (table, mut agents) = (table(Rules::paper(), 5, 0), bot("greedy"));
    let mut app = sit(&table, &mut agents, Lang::En);
    for size in [(80, 24), (60, 20), (40, 12), (200, 50)] {
        press(&mut app, KeyCode::Char('c'));
        let before = picture(&mut app, size);
        let click = |app: &mut App<'_, '_>, x: usize, y: usize| {
            let kind = MouseEventKind::Down(MouseButton::Left);
            let event = MouseEvent { kind, column: x as u16, row: y as u16, modifiers: KeyModifiers::NONE };
            app.update(&Event::Mouse(event)).unwrap();
        };
        let find = |screen: &[String], what: &str| {
            let y = screen.iter().position(|l| l.contains(what)).unwrap_or_else(|| panic!("{what}: {screen:#?}"));
            (screen[y][..screen[y].find(what).unwrap()].chars().count(), y)
        };
        let (x, y) = find(&before, "[h Hint]");
        click(&mut app, x + 1, y);
        let sitting = app.sitting.as_ref().unwrap();
        assert!(sitting.selection().total() > 0, "{size:?}: a hint selects");
        let chosen = sitting.chosen.clone();
        let fan = super::layout::fan(app.areas().hand, chosen.len(), 0);
        click(&mut app, usize::from(fan.x(0).unwrap()), usize::from(fan.area.y + 1));
        assert_ne!(app.sitting.as_ref().unwrap().chosen[0], chosen[0], "{size:?}");
        let (x, y) = find(&before, "2 across");
        click(&mut app, x, y);
        assert!(app.sitting.as_ref().unwrap().notice.contains("2 across"), "{size:?}");
    }
    assert_eq!(app.sitting.as_ref().unwrap().marks[2], crate::text::Mark::Friend, "four clicks: round and one on");
}

/// Replays step, play by themselves, hide hands, and go through the games of a file.
#[test]
fn replays_step_and_play_and_go_through_a_file() {
    let folder = rlx::testing::TempDir::new();
    let path = folder.0.join("games.jsonl");
    let names = ["greedy", "random", "greedy", "random"].map(String::from);
    let mut agents = [bot("greedy"), bot("random")].map(|[a]| a);
    record::record(&names, &mut agents, [0, 1, 0, 1], &Rules::folk4(), 2, 3, &path).unwrap();
    let mut source = Source::File(path, 1);
    let viewer = Viewer::new(source.first().unwrap()).unwrap();
    let mut app = App::view(viewer, source, Lang::En, DELAY);
    let at = |app: &App<'_, '_>| app.viewer.as_ref().unwrap().at;
    press(&mut app, KeyCode::Right);
    press(&mut app, KeyCode::Right);
    press(&mut app, KeyCode::Left);
    assert_eq!(at(&app), 1);
    let game = record::deal(&Rules::folk4(), 3, 0);
    let open = picture(&mut app, (200, 50)).join("\n");
    assert!(open.contains(&faces(game.dealt(1))) || open.contains(&faces(game.dealt(2))), "{open}");
    press(&mut app, KeyCode::Char('o'));
    let closed = picture(&mut app, (200, 50)).join("\n");
    assert!(hidden(&game, 0).iter().all(|h| !closed.contains(h)), "{closed}");
    press(&mut app, KeyCode::Char(' '));
    for _ in 0..500 {
        app.tick(DELAY).unwrap();
    }
    let viewer = app.viewer.as_ref().unwrap();
    assert!(!viewer.running && viewer.game().is_over());
    press(&mut app, KeyCode::Char('n'));
    assert_eq!(app.viewer.as_ref().unwrap().record.plies, record_of(&app.source, 2));
    press(&mut app, KeyCode::Char('n'));
    assert!(app.viewer.as_ref().unwrap().notice.contains("2 games"), "{}", app.viewer.as_ref().unwrap().notice);
    press(&mut app, KeyCode::Char('p'));
    assert_eq!(app.viewer.as_ref().unwrap().record.plies, record_of(&app.source, 1));
    for size in SIZES {
        for _ in 0..40 {
            press(&mut app, KeyCode::Right);
            picture(&mut app, size);
        }
        press(&mut app, KeyCode::Tab);
    }
    press(&mut app, KeyCode::Char('x'));
    assert_eq!(app.exit, Some(Exit::Left));
}

fn record_of(source: &Source<'_, '_>, n: usize) -> Vec<record::Ply> {
    match source {
        Source::File(path, _) => record::read(path, n).unwrap().plies,
        _ => panic!("no file"),
    }
}

/// The games that are saved by key are the games that were played, before and after.
#[test]
fn a_log_is_saved_by_key() {
    let folder = rlx::testing::TempDir::new();
    std::fs::write(folder.0.join("red10-6.jsonl"), "mine").unwrap();
    let (table, mut agents) = (table(Rules::folk4(), 6, 1), bot("greedy"));
    let mut app = sit(&table, &mut agents, Lang::En);
    app.folder.clone_from(&folder.0);
    play_to_the_end(&mut app);
    press(&mut app, KeyCode::Char('s'));
    press(&mut app, KeyCode::Char('n'));
    play_to_the_end(&mut app);
    assert_eq!(std::fs::read_to_string(folder.0.join("red10-6.jsonl")).unwrap(), "mine");
    let path = folder.0.join("red10-6-2.jsonl");
    for n in 1..=2 {
        let game = record::read(&path, n).unwrap();
        assert!(game.result.is_some() && game.plies.iter().any(|p| p.advice.is_some()));
        let view = Seat::new(&game.start().unwrap(), 1).hand();
        assert_eq!(view.to_string(), game.deal[1]);
    }
    assert!(record::read(&path, 3).is_err());
}
