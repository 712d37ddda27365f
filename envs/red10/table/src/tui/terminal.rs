//! The terminal as a guard: whatever happens, it is left as it was found.
use anyhow::{Context, Result};
use ratatui::{
    Terminal,
    backend::CrosstermBackend,
    crossterm::{
        cursor::Show,
        event::{
            self, DisableBracketedPaste, DisableMouseCapture, EnableBracketedPaste, EnableMouseCapture, Event, KeyCode,
            KeyModifiers,
        },
        execute,
        terminal::{EnterAlternateScreen, LeaveAlternateScreen, disable_raw_mode, enable_raw_mode},
    },
};
use std::{
    io::{self, IsTerminal, Stdout},
    mem::ManuallyDrop,
    sync::{
        Arc, Once,
        atomic::{AtomicBool, Ordering},
        mpsc::{Receiver, sync_channel},
    },
    time::Duration,
};

/// Whether the terminal is ours now; the panic hook asks.
static TAKEN: AtomicBool = AtomicBool::new(false);

/// A terminal in raw mode, on its alternate screen, with mouse and bracketed paste. ratatui's own drop would complain on standard error
/// that the cursor cannot be shown on a terminal that is gone, and panic there: it is left out, [`give_back`] shows the cursor.
pub struct Screen(pub ManuallyDrop<Terminal<CrosstermBackend<Stdout>>>);

impl Screen {
    /// Takes the terminal.
    ///
    /// # Errors
    /// When it refuses; it is as it was then.
    pub fn take() -> Result<Self> {
        static HOOK: Once = Once::new();
        HOOK.call_once(|| {
            let before = std::panic::take_hook();
            std::panic::set_hook(Box::new(move |panic| {
                // The message must be seen, and the shell after it.
                give_back();
                before(panic);
            }));
        });
        enable_raw_mode().context("the terminal")?;
        TAKEN.store(true, Ordering::SeqCst);
        let taken = execute!(io::stdout(), EnterAlternateScreen, EnableMouseCapture, EnableBracketedPaste)
            .and_then(|()| Terminal::new(CrosstermBackend::new(io::stdout())));
        match taken {
            Ok(terminal) => Ok(Self(ManuallyDrop::new(terminal))),
            Err(e) => {
                give_back();
                Err(e).context("the terminal")
            }
        }
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        give_back();
    }
}

fn give_back() {
    if TAKEN.swap(false, Ordering::SeqCst) {
        // A terminal that is gone cannot be given back; nothing else may be kept from ending.
        let _ = execute!(io::stdout(), DisableBracketedPaste, DisableMouseCapture, LeaveAlternateScreen, Show);
        let _ = disable_raw_mode();
    }
}

/// What comes from the terminal, read on a thread of its own: where the terminal is gone, crossterm's reader does not come back, and
/// the game must end all the same.
pub fn events() -> Receiver<io::Result<Event>> {
    let (send, events) = sync_channel(4096);
    let lost = send.clone();
    std::thread::spawn(move || {
        loop {
            let event = event::read();
            let failed = event.is_err();
            if send.send(event).is_err() || failed {
                return;
            }
        }
    });
    // SIGHUP says that the terminal is gone to whom it belongs to; others must look.
    std::thread::spawn(move || {
        while io::stdout().is_terminal() {
            std::thread::sleep(Duration::from_secs(1));
        }
        lost.send(Err(io::Error::other("it is gone")))
    });
    events
}

/// Ctrl-L: something else wrote to the terminal.
pub fn asks_for_redraw(event: &Event) -> bool {
    matches!(event, Event::Key(key) if key.modifiers.contains(KeyModifiers::CONTROL) && key.code == KeyCode::Char('l'))
}

/// A flag that is set by the signals that ask a program to end. A file-size limit becomes an error of the write that hits it.
///
/// # Errors
/// When the system refuses the handlers.
pub fn signals() -> io::Result<Arc<AtomicBool>> {
    use signal_hook::consts::{SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGXFSZ};
    let asked = Arc::new(AtomicBool::new(false));
    for signal in [SIGINT, SIGTERM, SIGHUP, SIGQUIT] {
        signal_hook::flag::register(signal, asked.clone())?;
    }
    signal_hook::flag::register(SIGXFSZ, Arc::new(AtomicBool::new(false)))?;
    Ok(asked)
}

#[cfg(test)]
mod tests {
    use portable_pty::{CommandBuilder, PtySize, native_pty_system};
    use std::{io::Read, num::NonZero, time::Duration};

    /// What the test below runs in a pseudo-terminal.
    #[test]
    #[ignore = "it takes the terminal and panics"]
    fn panics_while_the_terminal_is_taken() {
        let _screen = super::Screen::take().unwrap();
        panic!("the reason must be read");
    }

    #[test]
    fn a_panic_gives_the_terminal_back_before_it_speaks() {
        let pair =
            native_pty_system().openpty(PtySize { rows: 24, cols: 80, pixel_width: 0, pixel_height: 0 }).unwrap();
        let modes = || format!("{:?}", pair.master.get_termios().unwrap().local_flags);
        let before = modes();
        let mut command = CommandBuilder::new(std::env::current_exe().unwrap());
        command.args(["--ignored", "--nocapture", "panics_while_the_terminal_is_taken"]);
        command.env("TERM", "xterm");
        command.env("RUST_BACKTRACE", "0");
        let mut child = pair.slave.spawn_command(command).unwrap();
        let mut reader = pair.master.try_clone_reader().unwrap();
        let (send, bytes) = std::sync::mpsc::channel();
        std::thread::spawn(move || {
            let mut chunk = [0; 4096];
            while let Ok(n @ 1..) = reader.read(&mut chunk) {
                if send.send(chunk[..n].to_vec()).is_err() {
                    return;
                }
            }
        });
        assert!(!child.wait().unwrap().success());
        let size = |n| NonZero::new(n).unwrap();
        let mut parser = vt100::Parser::new(size(24), size(80), 0);
        let mut taken = false;
        while let Ok(chunk) = bytes.recv_timeout(Duration::from_millis(500)) {
            for byte in chunk {
                parser.process(&[byte]);
                taken |= parser.screen().alternate_screen() && parser.screen().bracketed_paste();
            }
        }
        let screen = parser.screen();
        assert!(taken && !screen.alternate_screen() && !screen.bracketed_paste(), "{}", screen.contents());
        assert!(screen.contents().contains("the reason must be read"), "{}", screen.contents());
        assert_eq!(modes(), before);
    }
}
