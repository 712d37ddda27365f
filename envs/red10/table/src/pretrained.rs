//! The agent that comes with the program, so that the first game needs no training.
use anyhow::Result;
use rlx::{Host, Trained};

/// Its name.
pub const NAME: &str = "pretrained";
/// One line of what it is.
pub const ABOUT: &str = "a small IDRL agent for both rules that comes with the program";
/// As `rlx export --half` wrote it.
const BYTES: &[u8] = include_bytes!("../agents/red10.safetensors");

/// Its policy.
///
/// # Errors
/// When the program cannot read it.
pub fn shipped(host: &dyn Host) -> Result<Trained> {
    host.exported(NAME, BYTES)
}
