//! Red-10's table through the real binary: in a pseudo-terminal, by keys, and in lines through a hundred games.
use crate::common::{TempDir, ok, rlx};
use portable_pty::{Child, CommandBuilder, MasterPty, PtySize, native_pty_system};
use rlx::Rng;
use std::{
    io::{Read, Write},
    num::NonZero,
    path::Path,
    process::{Command, Stdio},
    sync::{
        Arc, Condvar, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    thread::JoinHandle,
    time::{Duration, Instant},
};

const PATIENCE: Duration = Duration::from_secs(60);

/// A terminal, and a bell that rings when it was written to.
type Screen = Arc<(Mutex<vt100::Parser>, Condvar)>;

/// A program in a pseudo-terminal, and a terminal that reads what it draws.
pub struct Pty {
    child: Box<dyn Child + Send + Sync>,
    master: Box<dyn MasterPty + Send>,
    // Kept, so that the terminal is still there when the program has ended.
    _slave: Box<dyn portable_pty::SlavePty + Send>,
    writer: Box<dyn Write + Send>,
    screen: Screen,
    reader: Option<JoinHandle<()>>,
    /// Tells the reader to let go of the terminal when it has read once more.
    let_go: Arc<AtomicBool>,
    before: String,
}

fn size(cols: u16, rows: u16) -> PtySize {
    PtySize { rows, cols, pixel_width: 0, pixel_height: 0 }
}

fn cells(n: u16) -> NonZero<u16> {
    NonZero::new(n).unwrap()
}

impl Pty {
    pub fn start(folder: &Path, args: &[&str], env: &[(&str, &str)]) -> Self {
        let pair = native_pty_system().openpty(size(80, 24)).unwrap();
        let mut command = CommandBuilder::new(env!("CARGO_BIN_EXE_rlx"));
        command.args(args);
        command.cwd(folder);
        command.env("TERM", "xterm-256color");
        command.env("LC_ALL", "en_US.UTF-8");
        env.iter().for_each(|(k, v)| command.env(k, v));
        let before = modes(&*pair.master);
        let child = pair.slave.spawn_command(command).unwrap();
        let screen = Arc::new((Mutex::new(vt100::Parser::new(cells(24), cells(80), 0)), Condvar::new()));
        let (mut reader, to) = (pair.master.try_clone_reader().unwrap(), screen.clone());
        let let_go = Arc::new(AtomicBool::new(false));
        let done = let_go.clone();
        let reader = std::thread::spawn(move || {
            let mut chunk = [0; 4096];
            while let Ok(n @ 1..) = reader.read(&mut chunk) {
                to.0.lock().unwrap().process(&chunk[..n]);
                to.1.notify_all();
                if done.load(Ordering::SeqCst) {
                    return;
                }
            }
        });
        let writer = pair.master.take_writer().unwrap();
        Self { child, master: pair.master, _slave: pair.slave, writer, screen, reader: Some(reader), let_go, before }
    }

    pub fn send(&mut self, keys: &str) {
        self.writer.write_all(keys.as_bytes()).unwrap();
        self.writer.flush().unwrap();
    }

    fn resize(&mut self, cols: u16, rows: u16) {
        self.screen.0.lock().unwrap().screen_mut().set_size(cells(rows), cells(cols));
        self.master.resize(size(cols, rows)).unwrap();
    }

    fn text(&self) -> String {
        self.screen.0.lock().unwrap().screen().contents()
    }

    /// Waits for a screen.
    fn wait(&self, what: &str, good: impl Fn(&str) -> bool) -> String {
        let start = Instant::now();
        loop {
            let text = self.text();
            if good(&text) {
                return text;
            }
            assert!(start.elapsed() < PATIENCE, "no {what} came:\n{text}");
            self.listen();
        }
    }

    /// A screen that comes within a second.
    fn soon(&self, good: impl Fn(&str) -> bool) -> Option<String> {
        let start = Instant::now();
        while start.elapsed() < Duration::from_secs(1) {
            let text = self.text();
            if good(&text) {
                return Some(text);
            }
            self.listen();
        }
        None
    }

    /// Until something is written, but not for long.
    fn listen(&self) {
        drop(self.screen.1.wait_timeout(self.screen.0.lock().unwrap(), Duration::from_millis(20)).unwrap());
    }

    pub fn see(&self, what: &str) -> String {
        self.wait(what, |text| text.contains(what))
    }

    /// The terminal is closed under the program; its exit code.
    fn hang_up(mut self) -> u32 {
        self.let_go.store(true, Ordering::SeqCst);
        // Another language: something is written.
        self.send("l");
        self.reader.take().unwrap().join().unwrap();
        let Self { mut child, master, writer, .. } = self;
        drop((master, writer));
        let start = Instant::now();
        loop {
            if let Some(status) = child.try_wait().unwrap() {
                return status.exit_code();
            }
            if start.elapsed() > PATIENCE {
                child.kill().unwrap();
                panic!("it lives on without its terminal");
            }
            std::thread::yield_now();
        }
    }

    /// Waits for the end: its code, the terminal as it was found.
    pub fn end(mut self, code: u32) -> String {
        let start = Instant::now();
        let status = loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                break status;
            }
            assert!(start.elapsed() < PATIENCE, "it does not end:\n{}", self.text());
            self.listen();
        };
        self.wait("main screen", |_| !self.screen.0.lock().unwrap().screen().alternate_screen());
        assert_eq!(status.exit_code(), code, "{}", self.text());
        assert_eq!(modes(&*self.master), self.before, "raw mode is left");
        let parser = self.screen.0.lock().unwrap();
        let screen = parser.screen();
        assert!(!screen.bracketed_paste() && !screen.hide_cursor());
        assert_eq!(screen.mouse_protocol_mode(), vt100::MouseProtocolMode::None);
        screen.contents()
    }
}

/// Raw or not, echo or not.
fn modes(master: &dyn MasterPty) -> String {
    let modes = master.get_termios().unwrap();
    format!("{:?} {:?} {:?}", modes.input_flags, modes.output_flags, modes.local_flags)
}

const TURNS: [&str; 4] = ["your turn", "your lead", "passes.", "Show your red tens?"];
const ENDS: [&str; 3] = ["You win", "You lose", "A draw."];

fn has(text: &str, any: &[&str]) -> bool {
    any.iter().any(|t| text.contains(t))
}

/// Plays as the hints say until the game is over, `each` time doing something else first.
fn play(pty: &mut Pty, mut each: impl FnMut(&mut Pty, usize)) {
    for turn in 0..200 {
        let text = pty.wait("turn", |t| !t.contains("hint:") && (has(t, &TURNS) || has(t, &ENDS)));
        if has(&text, &ENDS) {
            return;
        }
        each(pty, turn);
        if text.contains(TURNS[3]) {
            pty.send("n");
            pty.wait("answer", |t| !t.contains(TURNS[3]));
            continue;
        }
        // What was on the screen may have been of the turn before: then the key came too early, and is pressed again.
        let text = (0..60).find_map(|_| {
            pty.send("h");
            pty.soon(|t| t.contains("hint:"))
        });
        let text = text.unwrap_or_else(|| panic!("no hint came:\n{}", pty.text()));
        pty.send(if text.contains("hint: pass") { "p" } else { "\r" });
    }
    panic!("the game does not end");
}

#[test]
fn a_whole_game_in_a_terminal_by_keys() {
    for (rules, env) in [("folk4", None), ("paper", Some(("NO_COLOR", "1")))] {
        let dir = TempDir::new();
        let args = [
            "play", "red10", "--agent", "greedy", "--rules", rules, "--seed", "3", "--delay", "0s", "--log", "g.jsonl",
        ];
        let mut pty = Pty::start(&dir.0, &args, env.as_slice());
        play(&mut pty, |pty, turn| match turn {
            1 => {
                // Too small for anything, and back.
                pty.resize(10, 3);
                pty.wait("small screen", |t| !t.contains("Red-10"));
                pty.send("\u{1b}[C");
                pty.resize(200, 50);
                pty.see("Red-10");
                pty.resize(80, 24);
                pty.wait("screen of the old size", |t| t.contains("Red-10") && t.contains("Leave]"));
            }
            2 => {
                // What is pasted plays nothing and leaves nothing.
                pty.send("\u{1b}[200~p\rx\ry\r\u{7}\u{0}33\u{1b}[A\r\n\u{1b}[201~");
                pty.see("Pasted text is not read.");
                // Odd keys, a mouse far outside, half an escape sequence, bytes that are no text.
                pty.writer.write_all(b"\x00\x01\x1a\x1b[<0;500;500M\x1b[999~\xff\xfe\x80\x1bOP").unwrap();
                pty.see("any other key closes this");
                // A lone escape is a key as well.
                pty.send("\u{1b}");
                pty.wait("table", |t| !t.contains("any other key closes this"));
            }
            3 => {
                pty.send("x");
                pty.see("Leave the game?");
                pty.send("3");
                pty.wait("table", |t| !t.contains("Leave the game?"));
                // The rules, from anywhere in a game.
                pty.send("?");
                pty.see("The keys");
                pty.send("?");
                pty.see("Order of the cards");
                pty.send("x");
                pty.wait("table", |t| !t.contains("Order of the cards"));
            }
            _ => {}
        });
        let colored = {
            let parser = pty.screen.0.lock().unwrap();
            let color = |row, col| parser.screen().cell(row, col).is_some_and(|c| c.fgcolor() != vt100::Color::Default);
            (0..24).any(|row| (0..80).any(|col| color(row, col)))
        };
        assert_eq!(env.is_none(), colored, "NO_COLOR is heard:\n{}", pty.text());
        pty.send("v");
        pty.see("review");
        pty.send("\u{1b}[F");
        pty.see("team wins");
        pty.send("x");
        pty.wait("table", |t| !t.contains("review ·"));
        pty.send("n");
        pty.see("game 2");
        pty.send("x");
        pty.see("Leave the game?");
        // The same key again leaves.
        pty.send("x");
        let after = pty.end(0);
        assert!(after.contains("g.jsonl"), "{after}");
        assert!(after.contains(&format!("rlx play red10 --rules {rules} --seed 3")), "{after}");
        assert!(ok(&dir.0, &["play", "--replay", "g.jsonl"]).contains("payoff"));
    }
}

#[test]
fn whatever_ends_it_the_terminal_is_given_back_and_the_log_kept() {
    for how in ["\u{3}", "TERM", "HUP", "INT"] {
        let dir = TempDir::new();
        // Seat 0 leads in these rules; with this delay the others are still thinking when it ends.
        let args = ["play", "red10", "--agent", "greedy", "--rules", "paper", "--delay", "30s", "--log", "g.jsonl"];
        let mut pty = Pty::start(&dir.0, &args, &[]);
        pty.see("your lead");
        pty.send("h");
        pty.see("hint:");
        pty.send("\r");
        pty.see("to move");
        if how.len() == 1 {
            pty.send(how);
        } else {
            let pid = pty.child.process_id().unwrap().to_string();
            assert!(Command::new("kill").args(["-s", how, &pid]).status().unwrap().success());
        }
        pty.end(130);
        assert!(ok(&dir.0, &["play", "--replay", "g.jsonl"]).contains("left after 1 plies"), "{how}");
    }
}

/// A window that is closed, a connection that breaks: nothing is left behind that runs on.
#[test]
fn a_terminal_that_is_gone_ends_the_game_and_the_log_is_kept() {
    let dir = TempDir::new();
    let args = ["play", "red10", "--agent", "greedy", "--rules", "paper", "--delay", "30s", "--log", "g.jsonl"];
    let mut pty = Pty::start(&dir.0, &args, &[]);
    pty.see("your lead");
    pty.send("h\r");
    pty.see("to move");
    assert_eq!(pty.hang_up(), 130);
    assert!(ok(&dir.0, &["play", "--replay", "g.jsonl", "--lang", "en"]).contains("left after 1 plies"));
}

#[test]
fn the_table_speaks_chinese_and_replays() {
    let dir = TempDir::new();
    let mut pty = Pty::start(&dir.0, &["play", "red10", "--rules", "paper"], &[("LC_ALL", "zh_CN.UTF-8")]);
    pty.see("轮到你领出");
    pty.send("l");
    pty.see("your lead");
    pty.send("\u{3}");
    pty.end(130);
    ok(&dir.0, &["record", "red10", "--games", "2", "-o", "g.jsonl"]);
    let mut pty = Pty::start(&dir.0, &["play", "--replay", "g.jsonl", "--lang", "zh", "--delay", "0s"], &[]);
    pty.see("回放");
    pty.send(" ");
    pty.see("队胜");
    pty.send("nl");
    pty.see("game 2");
    pty.send("q");
    pty.end(0);
    let watch = ["play", "red10", "--watch", "--agent", "greedy", "--delay", "0s", "--seed", "0"];
    let mut pty = Pty::start(&dir.0, &watch, &[]);
    pty.see("team wins");
    pty.send("x");
    pty.end(0);
}

/// A terminal that can do no more than lines, and one whose player wants no more.
#[test]
fn lines_where_there_is_no_terminal_to_draw_on() {
    let dir = TempDir::new();
    let cases = [(vec!["play", "red10"], ("TERM", "dumb")), (vec!["play", "red10", "--plain"], ("TERM", "xterm"))];
    for (args, env) in cases {
        let mut pty = Pty::start(&dir.0, &[&args[..], &["--rules", "paper"]].concat(), &[env]);
        pty.see("your lead; your hand");
        assert!(!pty.screen.0.lock().unwrap().screen().alternate_screen());
        // Ctrl-C at a prompt leaves politely.
        pty.send("\u{3}");
        assert!(pty.end(130).contains("The game is left"));
    }
}

/// A hundred games through the binary in lines, by a player who makes any legal move.
#[test]
fn a_hundred_random_games_in_lines() {
    let mut rng = Rng::stream(1, 8);
    for rules in ["paper", "folk4"] {
        let dir = TempDir::new();
        let args =
            ["play", "red10", "--plain", "--agent", "greedy", "--rules", rules, "--lang", "en", "--log", "g.jsonl"];
        let mut child = rlx(&dir.0, &args).stdin(Stdio::piped()).spawn().unwrap();
        let (mut to, mut from) = (child.stdin.take().unwrap(), child.stdout.take().unwrap());
        let (mut seen, mut games, mut asked) = (Vec::new(), 0, false);
        while games < 50 {
            let mut byte = [0];
            assert_eq!(from.read(&mut byte).unwrap(), 1, "it ended: {}", String::from_utf8_lossy(&seen));
            seen.push(byte[0]);
            if seen.ends_with(b"x: leave] ") {
                games += 1;
                to.write_all(if games == 50 { b"quit\n" } else { b"\n" }).unwrap();
                seen.clear();
            } else if seen.ends_with(b"\n> ") || seen.ends_with(b"> > ") {
                let text = String::from_utf8(std::mem::take(&mut seen)).unwrap();
                let answer = if asked {
                    let legal: Vec<&str> = text.trim_end_matches("> ").trim().split(", ").collect();
                    legal[rng.below(legal.len())].to_owned()
                } else {
                    "legal".into()
                };
                asked ^= true;
                to.write_all(format!("{answer}\n").as_bytes()).unwrap();
            }
        }
        assert!(child.wait().unwrap().success());
        let log = std::fs::read_to_string(dir.0.join("g.jsonl")).unwrap();
        assert_eq!(log.lines().count(), 50);
        assert!(ok(&dir.0, &["play", "--replay", "g.jsonl", "--number", "50"]).contains("payoff"));
    }
}
