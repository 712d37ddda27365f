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
