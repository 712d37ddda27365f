//! Compressing and healing language models as worlds: a costly objective (what a model loses, what it weighs) whose configuration is decided
//! block by block, for policies; the same objective directly, for searchers.
pub mod batch;
pub mod compressible;
pub mod heal;
pub mod llama;
pub mod objective_config;
mod opened;
pub mod run_objective;
pub mod search_state;
pub mod steps;
pub mod synthetic;
pub mod world;

pub use batch::SurrogateVector;
pub use objective_config::{CostUnit, ObjectiveConfig};
pub use run_objective::RunObjective;
pub use search_state::SearchState;
pub use world::World;

/// Adds every world of this crate. `stop` says whether the program was asked to stop, which long evaluations look at.
pub fn register(registry: &mut rlx::Registry, stop: fn() -> bool) {
    synthetic::register(registry, stop);
    llama::register(registry, stop);
    heal::register(registry, stop);
}
