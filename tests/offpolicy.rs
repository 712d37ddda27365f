//! Off-policy learners, their replay and their learnt distances: resume equals never having stopped, and results do not depend on the
//! number of threads.
use crate::common::{TempDir, checkpoints, ok, rlx, same_end, wait_for};
use std::path::Path;

/// Small networks and a replay that wraps round, so that every kind of state there is was written and read.
const SMALL: &str = "hidden=24,24 batch_size=32 num_envs=8 num_steps=4 buffer_size=2000 learning_starts=400 utd=0.25 \
                     checkpoint_every=600 log_every=500 eval_every=1500 eval_episodes=3";

fn train(env: &str, algo: &str, name: &str, set: &str) -> Vec<String> {
    let args = ["train", "--env", env, "--algo", algo, "--name", name, "--steps", "4000", "--seed", "5", "-q"];
    let mut args: Vec<String> = args.map(str::to_owned).into();
    args.extend(set.split_whitespace().flat_map(|s| ["--set".to_owned(), s.to_owned()]));
    args
}

fn words(args: &[String]) -> Vec<&str> {
    args.iter().map(String::as_str).collect()
}

fn kill_when(folder: &Path, args: &[&str], when: impl Fn() -> bool) {
    let mut child = rlx(folder, args).spawn().unwrap();
    assert!(wait_for(&mut child, when), "it was to be killed in the middle");
    child.kill().unwrap();
    child.wait().unwrap();
}

/// One go against two kills.
fn same_after_kills(env: &str, algo: &str, set: &str) {
    let dir = TempDir::new();
    let run = |name: &str| dir.0.join(format!("runs/{env}-{algo}-{name}-s5"));
    ok(&dir.0, &words(&train(env, algo, "whole", set)));
    let parts = run("parts");
    let newest =
        || if parts.join("checkpoints").exists() { checkpoints(&parts).last().copied().unwrap_or(0) } else { 0 };
    kill_when(&dir.0, &words(&train(env, algo, "parts", set)), || newest() > 0);
    let name = format!("{env}-{algo}-parts-s5");
    kill_when(&dir.0, &["train", "--resume", &name, "-q"], || newest() >= 2500);
    ok(&dir.0, &["train", "--resume", &name, "-q"]);
    same_end(&run("whole"), &parts);
}

#[test]
fn sac_equals_the_uninterrupted_run() {
    same_after_kills("reach", "sac", &format!("{SMALL} random_actions=0.1 demonstrations=0.3 policy_average=0.9"));
    same_after_kills("pendulum", "sac", &format!("{SMALL} norm=batch policy_delay=2 n_step=3"));
}

#[test]
fn chain_equals_the_uninterrupted_run() {
    let small = "auxiliary_hidden=16,16 auxiliary_width=8 auxiliary_buffer=1000 begin=any demonstrations=0.25 policy_average=0.9";
    for bridge in ["tdrp", "terminal"] {
        same_after_kills("drawer-store", "chain", &format!("{SMALL} {small} bridge={bridge}"));
    }
}

#[test]
fn learnt_distances_equal_the_uninterrupted_run() {
    let small = "auxiliary_hidden=16,16 auxiliary_width=8 auxiliary_buffer=1000";
    for method in ["tdrp", "ddl", "qrl", "laplacian"] {
        same_after_kills("reach", "tdrp", &format!("{SMALL} {small} auxiliary={method}"));
    }
    let ppo =
        "hidden=16 num_envs=8 num_steps=32 epochs=2 checkpoint_every=600 log_every=500 eval_every=1500 eval_episodes=3";
    same_after_kills("reach", "ppo", &format!("{ppo} {small} auxiliary=tdrp auxiliary_form=raw"));
}

/// The two critics and the two halves of a batch are the same work whoever does it.
#[test]
fn the_number_of_threads_changes_nothing() {
    let dir = TempDir::new();
    for threads in ["1", "2"] {
        let set = format!("{SMALL} threads={threads} auxiliary_hidden=16 auxiliary_width=8");
        ok(&dir.0, &words(&train("push", "tdrp", &format!("t{threads}"), &set)));
    }
    let file = |t: &str, name: &str| {
        let run = dir.0.join(format!("runs/push-tdrp-t{t}-s5"));
        let last = *checkpoints(&run).last().unwrap();
        std::fs::read(run.join(format!("checkpoints/step-{last:012}/{name}"))).unwrap()
    };
    for name in ["actor.f32", "critic0.f32", "target1.f32", "auxiliary.bin"] {
        assert!(file("1", name) == file("2", name), "{name}");
    }
}

/// Worlds that demonstrate are played by the script, which reaches every goal, the others by the policy, which never learnt.
#[test]
fn demonstrations_are_the_scripts() {
    let dir = TempDir::new();
    for (env, algo) in [("reach", "sac"), ("drawer-store", "chain")] {
        // The smallest share is one of the eight worlds. An episode of a chain that succeeds is an eighth as long as one that does not, so
        // that one world may have half of them all.
        for (share, low, high) in [("0", 0.0, 0.05), ("0.001", 0.06, 0.7), ("0.5", 0.4, 0.95), ("1", 0.97, 1.0)] {
            let set = format!("{SMALL} demonstrations={share} random_actions=0 utd=0 log_every=2000 eval_every=0");
            ok(&dir.0, &words(&train(env, algo, share, &set)));
            let rows =
                std::fs::read_to_string(dir.0.join(format!("runs/{env}-{algo}-{share}-s5/metrics.jsonl"))).unwrap();
            let last: serde_json::Value = serde_json::from_str(rows.lines().last().unwrap()).unwrap();
            let success = last["charts/success"].as_f64().unwrap();
            assert!((low..=high).contains(&success), "{env}, {share} demonstrated: {success} succeed");
        }
    }
}

/// What does not fit is refused with a sentence before anything runs.
#[test]
fn what_does_not_fit_is_refused() {
    let dir = TempDir::new();
    let refused = |env: &str, algo: &str, set: &str| {
        let out = rlx(&dir.0, &words(&train(env, algo, "x", set))).output().unwrap();
        assert_eq!(out.status.code(), Some(2), "{env} {algo} {set}: {}", String::from_utf8_lossy(&out.stderr));
        String::from_utf8_lossy(&out.stderr).into_owned()
    };
    assert!(refused("cartpole", "sac", "").contains("continuous actions"));
    assert!(refused("pendulum", "sac", "demonstrations=0.5").contains("no player of its own"));
    assert!(refused("pendulum", "tdrp", "").contains("auxiliary=none"));
    assert!(refused("reach", "chain", "").contains("no chain of skills"));
    assert!(refused("reach", "sac", "buffer_size=10").contains("buffer_size"));
    assert!(refused("reach", "tdrp", "target_range=-20,0").contains("target_range"));
    assert!(refused("reach", "tdrp", "auxiliary_form=raw n_step=3").contains("n_step=1"));
    assert!(refused("drawer-store", "ppo", "auxiliary=tdrp").contains("no one goal"));
    assert!(refused("reach", "sac", "auxiliary=tdpr").contains("one of none, tdrp, ddl, qrl, laplacian"));
}
