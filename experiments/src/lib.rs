//! The only crate that knows both worlds and learners: the command line, run folders, logging, evaluation, benchmarks.
//!
//! A crate of one's own gets the whole command line for its worlds and algorithms by one call:
//!
//! ```no_run
//! fn main() -> std::process::ExitCode {
//!     let mut registry = rlx_experiments::registry();
//!     // registry.world("mine", "what it is", |config: &my_world::Config| my_world::World::new(config));
//!     // registry.algorithm::<my_algorithm::Learner>();
//!     rlx_experiments::main_with(registry)
//! }
//! ```
/// A line on standard error. Nobody may be reading it any more, and nothing ends for that: training least of all.
macro_rules! say {
    ($($part:tt)*) => {{
        use std::io::Write as _;
        let _ = writeln!(std::io::stderr(), $($part)*);
    }};
}

/// Refuses what was asked for, as `bail!` gives up: the program ends with the exit code for bad arguments.
macro_rules! refuse {
    ($($part:tt)*) => {
        return Err(rlx::Error::usage(format!($($part)*)).into())
    };
}

pub mod bench;
mod cli;
mod columns;
pub mod compress;
mod distance;
#[cfg(test)]
mod documented;
pub mod evaluate;
pub mod experiment;
mod export;
mod fetch;
pub mod film;
mod flags;
pub mod front;
pub mod heal;
mod interrupt;
pub mod lab;
mod list;
mod lm;
pub mod lock;
pub mod metrics;
mod presets;
mod progress;
pub mod red10;
pub mod run_dir;
pub mod stats;
pub mod tensorboard;
pub mod testing;
pub mod train;

use cli::ended;
pub use cli::main_with;

/// The worlds, algorithms and presets of this repository.
pub fn registry() -> rlx::Registry {
    let mut registry = rlx::Registry::new();
    rlx_classic::register(&mut registry);
    rlx_red10::register(&mut registry);
    rlx_manipulation::register(&mut registry);
    rlx_compression::register(&mut registry, interrupt::asked);
    rlx_agents::register(&mut registry);
    presets::register(&mut registry);
    registry
}
