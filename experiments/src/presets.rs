//! Tuned choices, experiments and benchmarks. The first preset of an environment and algorithm is what `rlx train --env .. --algo ..` uses by
//! default.
use rlx::{Preset, Registry};
use rlx_lab::workload::Lab;
use rlx_runs::bench::Cases;

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

/// Experiments: name, spec.
const EXPERIMENTS: &[(&str, &str)] = &[
    ("classic", include_str!("../presets/classic.experiment.toml")),
    ("idrl", include_str!("../presets/idrl.experiment.toml")),
    ("manipulation", include_str!("../presets/manipulation.experiment.toml")),
    ("tdrp", include_str!("../presets/tdrp.experiment.toml")),
    ("tdrp-chain", include_str!("../presets/tdrp-chain.experiment.toml")),
    ("heal-bert", include_str!("../presets/heal-bert.experiment.toml")),
    ("heal-policy", include_str!("../presets/heal-policy.experiment.toml")),
    ("compress-joint", include_str!("../presets/compress-joint.experiment.toml")),
    ("qpruner", include_str!("../presets/qpruner.experiment.toml")),
    ("rankadaptor", include_str!("../presets/rankadaptor.experiment.toml")),
];

/// Adds every preset, experiment and benchmark of this repository.
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
    let lab = registry.extension_mut::<Lab>();
    for (name, spec) in EXPERIMENTS {
        lab.spec(name, spec);
    }
    registry.extension_mut::<Cases>().add(include_str!("../presets/bench.toml"));
}

#[cfg(test)]
mod tests {
    use rlx_lab::{cells::Cells, spec::Spec, workload::Lab};

    #[test]
    fn every_experiment_of_this_repository_is_sound() {
        let registry = crate::registry();
        for (name, _) in Lab::of(&registry).specs() {
            for quick in [false, true] {
                // Whatever is fetched on this machine: the model that comes with the program stands for the real ones.
                let mut spec = Spec::open(&registry, name, quick).unwrap();
                let env = spec.base.get("env").cloned().unwrap_or_default();
                if env == "compress-llama" || env == "heal-bert" {
                    spec.base.insert("model".into(), "tiny".into());
                }
                if env == "heal-bert" {
                    // Rank 64 would be more than the whole of its layers.
                    spec.base.insert("levels".into(), serde_json::json!(["frozen", "lora:1", "tuned"]));
                }
                Cells::new(&registry, &spec).unwrap().validate(None).unwrap();
            }
        }
    }
}
