//! The command line: the registry of this repository's worlds, learners, presets and experiments, and one file a command.
//!
//! A crate of one's own gets the whole command line for its worlds and algorithms by one call:
//!
//! ```no_run
//! fn main() -> std::process::ExitCode {
//!     let mut registry = rlx_experiments::registry();
//!     // registry.world("mine", "what it is", |config: &my_world::Config| my_world::World::new(config));
//!     // registry.of("mine").evaluator(my_world::Judge).recorder(my_world::Recorder);
//!     // registry.algorithm::<my_algorithm::Learner>();
//!     rlx_experiments::main_with(registry)
//! }
//! ```
mod commands;
#[cfg(test)]
mod documented;
pub mod front;
mod options;
mod presets;

pub use commands::main_with;

/// The worlds, algorithms, presets and experiments of this repository.
pub fn registry() -> rlx::Registry {
    let mut registry = rlx::Registry::new();
    rlx_classic::register(&mut registry);
    rlx_red10::register(&mut registry);
    rlx_red10_table::register(&mut registry);
    rlx_manipulation::register(&mut registry);
    rlx_compression::register(&mut registry, rlx_runs::interrupt::asked);
    rlx_compress::register(&mut registry);
    rlx_agents::register(&mut registry);
    rlx_heal::register(&mut registry);
    presets::register(&mut registry);
    registry
}
