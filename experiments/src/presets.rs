//! Tuned choices per world and algorithm. The first preset of a pair is what `rlx train --env .. --algo ..` uses by itself.
use rlx::{Preset, Registry};

const PRESETS: &[(&str, &str, &str, &str, &str)] = &[
    (
        "red10-idrl",
        "red10",
        "idrl",
        "guesses teammates: an hour on two cores",
        include_str!("../presets/red10-idrl.toml"),
    ),
    ("red10-dmc", "red10", "dmc", "the same without a guess", include_str!("../presets/red10-dmc.toml")),
    ("red10-mfrl", "red10", "mfrl", "mean-field Q-learning, a baseline", include_str!("../presets/red10-mfrl.toml")),
    ("cartpole-ppo", "cartpole", "ppo", "solves it within 100k steps", include_str!("../presets/cartpole-ppo.toml")),
    ("pendulum-ppo", "pendulum", "ppo", "swings up within 200k steps", include_str!("../presets/pendulum-ppo.toml")),
    (
        "acrobot-ppo",
        "acrobot",
        "ppo",
        "swings above the line in about 80 steps",
        include_str!("../presets/acrobot-ppo.toml"),
    ),
    (
        "mountain-car-continuous-ppo",
        "mountain-car-continuous",
        "ppo",
        "leaves the valley",
        include_str!("../presets/mountain-car-continuous-ppo.toml"),
    ),
    (
        "pick-place-sac",
        "pick-place",
        "sac",
        "begun in the hand, judged empty-handed",
        include_str!("../presets/pick-place-sac.toml"),
    ),
    (
        "pick-place-tdrp",
        "pick-place",
        "tdrp",
        "begun in the hand, judged empty-handed",
        include_str!("../presets/pick-place-tdrp.toml"),
    ),
    (
        "stack-sac",
        "stack",
        "sac",
        "with demonstrations of the scripted player",
        include_str!("../presets/stack-sac.toml"),
    ),
    (
        "drawer-store-chain",
        "drawer-store",
        "chain",
        "each skill from its start, judged from the first",
        include_str!("../presets/drawer-store-chain.toml"),
    ),
    (
        "assemble-chain",
        "assemble",
        "chain",
        "each skill from its start, judged from the first",
        include_str!("../presets/assemble-chain.toml"),
    ),
    (
        "stack3-chain",
        "stack3",
        "chain",
        "each skill from its start, judged from the first",
        include_str!("../presets/stack3-chain.toml"),
    ),
    (
        "compress-llama-ppo",
        "compress-llama",
        "ppo",
        "a policy for every byte budget: 43 minutes on two cores",
        include_str!("../presets/compress-llama-ppo.toml"),
    ),
    (
        "heal-bert-ppo",
        "heal-bert",
        "ppo",
        "which layers of a broken BERT to tune: some minutes on two cores",
        include_str!("../presets/heal-bert-ppo.toml"),
    ),
    (
        "compress-llama-evolution",
        "compress-llama",
        "evolution",
        "NSGA-II over bytes and loss",
        include_str!("../presets/compress-llama-evolution.toml"),
    ),
    (
        "compress-llama-bo",
        "compress-llama",
        "bo",
        "Bayesian optimisation",
        include_str!("../presets/compress-llama-bo.toml"),
    ),
    (
        "compress-llama-qpruner",
        "compress-llama",
        "qpruner",
        "bits of a pruned model (arXiv 2412.11629)",
        include_str!("../presets/compress-llama-qpruner.toml"),
    ),
    (
        "compress-llama-rankadaptor",
        "compress-llama",
        "rankadaptor",
        "adapter ranks of a pruned model (arXiv 2406.15734)",
        include_str!("../presets/compress-llama-rankadaptor.toml"),
    ),
    (
        "compress-llama-knapsack",
        "compress-llama",
        "knapsack",
        "the best sum of measured losses",
        include_str!("../presets/compress-llama-knapsack.toml"),
    ),
    (
        "compress-llama-greedy-mi",
        "compress-llama",
        "greedy-mi",
        "upgrades by mutual information",
        include_str!("../presets/compress-llama-greedy-mi.toml"),
    ),
    (
        "compress-llama-uniform",
        "compress-llama",
        "uniform",
        "the same for every block",
        include_str!("../presets/compress-llama-uniform.toml"),
    ),
    (
        "compress-llama-random",
        "compress-llama",
        "random",
        "configurations at random",
        include_str!("../presets/compress-llama-random.toml"),
    ),
];

/// Adds every preset of this repository.
pub fn register(registry: &mut Registry) {
    for (name, env, algo, about, config) in PRESETS {
        registry.preset(Preset {
            name: (*name).into(),
            about: (*about).into(),
            env: (*env).into(),
            algo: (*algo).into(),
            config: (*config).into(),
        });
    }
}
