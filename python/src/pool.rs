//! Threads of the package's own. After a fork a pool has no threads and waits for ever, so that a child makes itself a new one.
use rayon::{ThreadPool, ThreadPoolBuilder};
use rlx::{Error, Result};
use std::sync::{Arc, Mutex};

/// The pool, and the process that made it.
static POOL: Mutex<Option<(u32, Arc<ThreadPool>)>> = Mutex::new(None);

/// The number that `RLX_NUM_THREADS` or else `RAYON_NUM_THREADS` asks for, or that of the cores this process may use.
pub fn threads() -> usize {
    let asked = |name| std::env::var(name).ok()?.parse().ok().filter(|n| *n > 0);
    let cores = || std::thread::available_parallelism().map_or(1, Into::into);
    asked("RLX_NUM_THREADS").or_else(|| asked("RAYON_NUM_THREADS")).unwrap_or_else(cores)
}

/// This process' pool; None where there is one thread only, which needs none.
pub fn pool() -> Result<Option<Arc<ThreadPool>>> {
    let here = std::process::id();
    // Nothing in here can panic, so that a poisoned lock has sound contents.
    let mut slot = POOL.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    if let Some((process, pool)) = &*slot
        && *process == here
    {
        return Ok(Some(pool.clone()));
    }
    let threads = threads();
    if threads == 1 {
        return Ok(None);
    }
    let name = |i| format!("rlx {i}");
    let made = ThreadPoolBuilder::new().num_threads(threads).thread_name(name).build();
    let pool = Arc::new(made.map_err(|e| Error::invalid(format!("threads for stepping worlds: {e}")))?);
    if let Some((_, parents)) = slot.replace((here, pool.clone())) {
        // To drop it would wake threads that are in the parent alone.
        std::mem::forget(parents);
    }
    Ok(Some(pool))
}
