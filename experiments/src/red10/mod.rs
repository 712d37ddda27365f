//! Red-10 at the command line: judging by duplicate deals, playing, recording.
pub mod agent;
pub mod cli;
pub mod duplicate;
pub mod play;
pub mod record;
