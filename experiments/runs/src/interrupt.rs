//! Signals as flags that loops poll.
use signal_hook::{
    consts::{SIGHUP, SIGINT, SIGTERM, SIGUSR1, SIGUSR2, SIGXCPU, SIGXFSZ},
    flag,
};
use std::{
    sync::{
        Arc, LazyLock, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

/// The program's own flag, for what cannot be handed one: a world that evaluates for minutes.
static ASKED: LazyLock<Arc<AtomicBool>> = LazyLock::new(Arc::default);

/// When the time of the run that this process is making is over; none outside of a run with a limit.
static OVER: Mutex<Option<Instant>> = Mutex::new(None);

/// By which schedulers say that it is time to save. They may send several: Slurm's scancel signals every process of a job, and the
/// shell around a run passes its own on 0.1 to 5 ms later (22.05.8). What does not stop in time they kill themselves.
const NOTICES: [i32; 5] = [SIGTERM, SIGHUP, SIGUSR1, SIGUSR2, SIGXCPU];

/// Whether what takes minutes must end now: the program was asked to stop, once [`Stop::install`] was called, or the time of its run is over.
pub fn asked() -> bool {
    let over = || OVER.lock().unwrap_or_else(PoisonError::into_inner).is_some_and(|at| Instant::now() >= at);
    ASKED.load(Ordering::Relaxed) || over()
}

/// The time limit of a run; dropped, there is none. A process makes one run at a time.
#[derive(Debug)]
pub struct Limit(());

impl Limit {
    /// From now on [`asked`] says so after `left`.
    pub fn new(left: Duration) -> Self {
        *OVER.lock().unwrap_or_else(PoisonError::into_inner) = Instant::now().checked_add(left);
        Self(())
    }
}

impl Drop for Limit {
    fn drop(&mut self) {
        *OVER.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }
}

/// Whether the program was asked to stop.
#[derive(Clone, Debug, Default)]
pub struct Stop(Arc<AtomicBool>);

impl Stop {
    /// Ctrl-C sets the flag, and a second one ends the program at once with code 130. A scheduler's notice sets it too, however often it
    /// comes. A file-size limit becomes an error of the write that hits it instead of a death.
    ///
    /// # Errors
    /// When the system refuses the handlers.
    pub fn install() -> std::io::Result<Self> {
        let stop = Self(ASKED.clone());
        let pressed = Arc::new(AtomicBool::new(false));
        // In this order: the shutdown looks at the flag before this very signal sets it.
        flag::register_conditional_shutdown(SIGINT, 130, pressed.clone())?;
        flag::register(SIGINT, pressed)?;
        flag::register(SIGINT, stop.0.clone())?;
        let ignored = ignored();
        for signal in NOTICES {
            // nohup has SIGHUP ignored for a reason.
            if signal == SIGTERM || ignored >> (signal - 1) & 1 == 0 {
                flag::register(signal, stop.0.clone())?;
            }
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

/// The signals that this process was started to ignore, a bit each.
fn ignored() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mask = status.lines().find_map(|l| l.strip_prefix("SigIgn:"));
    mask.and_then(|m| u64::from_str_radix(m.trim(), 16).ok()).unwrap_or(0)
}
