//! Locks on files: held while a process works, and freed by the system when it ends, however it does.
use crate::interrupt;
use anyhow::{Context, Result};
use rlx::say;
use std::{
    fmt,
    fs::{File, TryLockError},
    path::Path,
    time::{Duration, Instant},
};

/// How long a run that begins waits for the one before it: an engine starts a cell anew while the old process still saves.
pub const PATIENCE: Duration = Duration::from_secs(60);
/// Another process holds what is wanted.
#[derive(Debug)]
pub struct Held(pub String);

impl fmt::Display for Held {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Held {}

/// Takes the lock in `path`; None when another process holds it for longer than `patience`. `what` is what it holds.
///
/// # Errors
/// When the file cannot be made, or the program is asked to stop while it waits.
pub fn take(path: &Path, patience: Duration, what: &str) -> Result<Option<File>> {
    let file = File::options().create(true).truncate(false).write(true).open(path);
    let file = file.with_context(|| format!("opening {}", path.display()))?;
    let (start, mut told) = (Instant::now(), false);
    loop {
        match file.try_lock() {
            Ok(()) => return Ok(Some(file)),
            Err(TryLockError::Error(e)) => return Err(e).with_context(|| format!("locking {}", path.display())),
            Err(TryLockError::WouldBlock) if start.elapsed() >= patience => return Ok(None),
            Err(TryLockError::WouldBlock) => {}
        }
        if interrupt::asked() {
            return Err(rlx::Error::Interrupted.into());
        }
        if !std::mem::replace(&mut told, true) {
            say!("another process holds {what}: waiting up to {} s for its end", patience.as_secs());
        }
        std::thread::sleep(Duration::from_millis(50));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rlx::testing::TempDir;

    #[test]
    fn c4_a_lock_that_is_freed_in_time_is_taken_and_one_that_is_not_is_told_apart() {
        let dir = TempDir::new();
        let path = dir.0.join(".lock");
        let first = take(&path, Duration::ZERO, "it").unwrap();
        assert!(first.is_some() && take(&path, Duration::from_millis(120), "it").unwrap().is_none());
        std::thread::scope(|s| {
            s.spawn(|| {
                std::thread::sleep(Duration::from_millis(200));
                drop(first);
            });
            assert!(take(&path, Duration::from_secs(20), "it").unwrap().is_some());
        });
    }
}
