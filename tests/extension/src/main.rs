//! The whole command line for a world and an algorithm of one's own.
mod bandit;
mod hill_climbing;
mod parts;

fn main() -> std::process::ExitCode {
    let mut registry = rlx_experiments::registry();
    registry.world("bandit", "one arm of ten pays", bandit::Bandit::new);
    registry.of("bandit").evaluator(parts::Judge).recorder(parts::Pulls);
    registry.algorithm::<hill_climbing::HillClimbing>();
    rlx_experiments::main_with(registry)
}
