//! Signals as flags that loops poll.
use signal_hook::{
    consts::{SIGINT, SIGTERM, SIGXFSZ},
    flag,
};
use std::sync::{
    Arc, LazyLock,
    atomic::{AtomicBool, Ordering},
};

/// The program's own flag, for what can not be handed one: a world that evaluates for minutes.
static ASKED: LazyLock<Arc<AtomicBool>> = LazyLock::new(Arc::default);

/// Whether the program was asked to stop, once [`Stop::install`] was called.
pub fn asked() -> bool {
    ASKED.load(Ordering::Relaxed)
}

/// Whether the program was asked to stop.
#[derive(Clone, Debug, Default)]
pub struct Stop(Arc<AtomicBool>);

impl Stop {
    /// Ctrl-C (or SIGTERM, as a cluster's scheduler sends it) sets the flag; a second one ends the program at once with code 130. A
    /// file-size limit becomes an error of the write that hits it instead of a death.
    ///
    /// # Errors
    /// When the system refuses the handlers.
    pub fn install() -> std::io::Result<Self> {
        let stop = Self(ASKED.clone());
        for signal in [SIGINT, SIGTERM] {
            // In this order: the shutdown looks at the flag before this very signal sets it.
            flag::register_conditional_shutdown(signal, 130, stop.0.clone())?;
            flag::register(signal, stop.0.clone())?;
        }
        flag::register(SIGXFSZ, Arc::new(AtomicBool::new(false)))?;
        Ok(stop)
    }
    /// Asks it to, as a first Ctrl-C does.
    pub fn ask(&self) {
        self.0.store(true, Ordering::Relaxed);
    }
    /// Whether it was.
    pub fn asked(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}
