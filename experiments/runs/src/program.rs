//! The program itself: where it is, and from which sources it was built.
use anyhow::{Context, Result};
use std::{env, path::PathBuf};

/// Revision of the source.
pub const REVISION: &str = env!("RLX_REVISION");
/// Version of libtorch it was built with.
pub const LIBTORCH: &str = env!("RLX_LIBTORCH");
/// One number for all sources.
pub const SOURCES: &str = env!("RLX_SOURCES");
/// The folder that its programs were built in.
pub const BUILT_IN: &str = env!("RLX_BUILT_IN");
/// The program that people start.
pub const FRONT: &str = "rlx";
/// The one that it becomes where tensors are needed.
pub const FULL: &str = "rlx-torch";

/// The program to start for another run of this one: `rlx`, not the program that it became.
///
/// # Errors
/// When the system does not say which program this is.
pub fn program() -> Result<PathBuf> {
    let own = env::current_exe().context("finding this program")?;
    let front = own.with_file_name(FRONT);
    Ok(if own.file_name().is_some_and(|n| n == FULL) && front.exists() { front } else { own })
}

/// The name of this machine.
pub fn host_name() -> String {
    std::fs::read_to_string("/proc/sys/kernel/hostname").map_or_else(|_| "unknown".into(), |s| s.trim().to_owned())
}
