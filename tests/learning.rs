//! Learning, statistically and seeded: what docs/results/classic.md claims, on fewer seeds.
use crate::common::{TempDir, ok};
use serde_json::Value;

/// Mean greedy return over 100 held-out episodes of the last checkpoint, for each seed.
fn returns(env: &str, algo: &str, seeds: u64, steps: &str) -> Vec<f64> {
    let dir = TempDir::new();
    (0..seeds)
        .map(|seed| {
            let seed = seed.to_string();
            let args = ["train", "--env", env, "--algo", algo, "--name", "t", "--seed", &seed, "--steps", steps, "-q"];
            ok(&dir.0, &[&args[..], &["--set", "eval_every=0"]].concat());
            let run = format!("{env}-{algo}-t-s{seed}");
            let out: Value =
                serde_json::from_str(&ok(&dir.0, &["eval", &run, "--checkpoint", "last", "--json"])).unwrap();
            out["return"]["mean"].as_f64().unwrap()
        })
        .collect()
}

#[test]
fn ppo_solves_cartpole_on_nine_of_ten_seeds_within_150k_steps() {
    let all = returns("cartpole", "ppo", 10, "100_000");
    assert!(all.iter().filter(|r| **r >= 475.0).count() >= 9, "{all:?}");
}

#[test]
fn ppo_beats_minus_250_on_pendulum_within_300k_steps() {
    let all = returns("pendulum", "ppo", 3, "300_000");
    assert!(all.iter().all(|r| *r > -250.0), "{all:?}");
}
