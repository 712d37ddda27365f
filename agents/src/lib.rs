//! Learners: one file per algorithm, each owning its loop. They know environments only through the core's contracts.
mod actor_critic;
pub mod advantage;
pub mod chain;
pub mod distance;
pub mod dmc;
mod export;
pub mod idrl;
pub mod mfrl;
pub mod ppo;
pub mod sac;
pub mod schedule;
pub mod search;
pub mod selfplay;
pub mod tdrp;

pub use chain::Chain;
pub use dmc::Dmc;
pub use idrl::Idrl;
pub use mfrl::Mfrl;
pub use ppo::Ppo;
pub use sac::Sac;
pub use schedule::Schedule;
pub use tdrp::Tdrp;

/// Adds every algorithm of this crate.
pub fn register(registry: &mut rlx::Registry) {
    registry
        .algorithm::<Ppo>()
        .algorithm::<Dmc>()
        .algorithm::<Idrl>()
        .algorithm::<Mfrl>()
        .algorithm::<Sac>()
        .algorithm::<Tdrp>()
        .algorithm::<Chain>();
    search::register(registry);
}
