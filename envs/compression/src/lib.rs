//! Compressing and healing language models as worlds: a costly objective (what a model loses, what it weighs) whose configuration is decided
//! block by block, for policies; the same objective directly, for searchers.
pub mod batch;
pub mod checkpointed;
pub mod handle;
pub mod heal;
pub mod judge;
pub mod llama;
pub mod shelf;
pub mod steps;
pub mod subject;
pub mod synthetic;
pub mod world;

pub use batch::SurrogateVector;
pub use handle::{Handle, Shared};
pub use judge::Judge;
pub use world::{Terms, Unit, World};

/// Adds every world of this crate. `stop` says whether the program was asked to stop, which long evaluations look at.
pub fn register(registry: &mut rlx::Registry, stop: fn() -> bool) {
    synthetic::register(registry, stop);
    llama::register(registry, stop);
    heal::register(registry, stop);
}
