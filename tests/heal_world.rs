//! `heal-bert`, the world, by the command line, over the tiny model and its made-up task.
use crate::common::{TempDir, fails, ok};
use serde_json::Value;
use std::{fs, path::Path};

/// One of four layers may learn, and the lowest is broken.
const SET: [&str; 24] = [
    "--set",
    "model=tiny",
    "--set",
    "corrupt=bottom:1",
    "--set",
    "budget_low=0.3",
    "--set",
    "budget_high=0.3",
    "--set",
    "heal_steps=80",
    "--set",
    "train=0",
    "--set",
    "batch=32",
    "--set",
    "env.learning_rate=1e-2",
    "--set",
    "dropout=0",
    "--set",
    "ledger=ledger",
    "--set",
    "eval_every=0",
    "--threads",
    "1",
];

fn train<'a>(algo: &'a str, more: &[&'a str]) -> Vec<&'a str> {
    let own = ["train", "--env", "heal-bert", "--preset", "none", "-q", "--algo", algo];
    // A run's folder is named once.
    let name = if more.contains(&"--name") { &[][..] } else { &["--name", "t"][..] };
    own.into_iter().chain(SET).chain(name.iter().chain(more).copied()).collect()
}

fn rows(folder: &Path, run: &str) -> Vec<Value> {
    let file = fs::read_to_string(folder.join("runs").join(run).join("metrics.jsonl")).unwrap();
    file.lines().map(|l| serde_json::from_str(l).unwrap()).collect()
}

/// From chance to the layer that was broken: 32 episodes at first against 32 in the end.
#[test]
fn ppo_learns_to_tune_the_broken_layer() {
    let dir = TempDir::new();
    let own = "run.steps=3200 log_every=128 num_envs=8 num_steps=16 epochs=6 minibatch_size=64 algo.learning_rate=3e-3 gamma=1 \
               gae_lambda=0.95 entropy_coef=0.01 normalize_obs=true hidden=32 surrogate=false";
    let own: Vec<&str> = own.split_whitespace().flat_map(|s| ["--set", s]).collect();
    ok(&dir.0, &train("ppo", &own));
    let of: Vec<f64> =
        rows(&dir.0, "heal-bert-ppo-t-s0").iter().filter_map(|r| r["charts/episodic_return"].as_f64()).collect();
    let (first, last) = (of[0], of[of.len() - 1]);
    // The corrupted layer alone, which is what a person would choose who knew.
    ok(&dir.0, &train("baseline", &["--set", "baseline=corrupted", "--steps", "4"]));
    let known = -rows(&dir.0, "heal-bert-baseline-t-s0")[0]["search/best_excess_loss"].as_f64().unwrap();
    assert!(last > first + 0.1 && last > known - 0.05, "from {first} to {last}; who knows has {known}: {of:?}");
}

#[test]
fn baselines_stand_in_the_metrics_and_what_is_wrong_is_said() {
    let dir = TempDir::new();
    ok(&dir.0, &train("baseline", &["--steps", "8", "--set", "log_every=4"]));
    let rows = rows(&dir.0, "heal-bert-baseline-t-s0");
    // The head alone and the corrupted layer fit; all layers do not.
    let costs: Vec<f64> = rows.iter().map(|r| r["search/cost"].as_f64().unwrap()).collect();
    assert_eq!(costs.len(), 2, "{rows:?}");
    assert!(costs[0] == 34.0 && costs[1] > 2000.0, "{costs:?}");
    let last = &rows[1];
    assert_eq!(last["search/best_parameters"], last["search/cost"]);
    for name in ["search/best_test_f1", "search/best_test_accuracy", "search/best_f1", "search/best_accuracy"] {
        assert!(last[name].as_f64().is_some_and(|x| (0.0..=1.0).contains(&x)), "{name}: {last}");
    }
    let wrong = |more: &[&str], code| fails(&dir.0, &train("baseline", more), code);
    assert!(wrong(&["--set", "baseline=al", "--name", "a"], 2).contains("did you mean 'all'"));
    assert!(wrong(&["--set", "baseline=all", "--name", "b"], 1).contains("and the budget is"));
    let wrong = |more: &[&str], code| fails(&dir.0, &train("random", more), code);
    let layer = ["--set", "corrupt=layer:4"];
    assert!(wrong(&layer, 2).contains("layer 4: the model has layers 0 to 3"), "{}", wrong(&layer, 2));
}
