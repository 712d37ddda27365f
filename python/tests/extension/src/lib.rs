//! Two worlds of one's own for Python: the bandit of the workspace outside, and one that breaks on purpose.
#[path = "../../../../tests/extension/src/bandit.rs"]
mod bandit;
mod faulty;

fn registry() -> rlx::Registry {
    let mut registry = rlx::Registry::new();
    registry.world("bandit", "one arm of ten pays", bandit::Bandit::new);
    registry.world("faulty", "breaks when it is told to", faulty::Faulty::new);
    registry
}

rlx_python::module!(bandits, registry());
