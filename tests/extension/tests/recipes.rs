//! The recipes of docs/extend.md give a world and an algorithm the whole command line.
use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Output},
};

fn folder(name: &str) -> PathBuf {
    let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    let _ = fs::remove_dir_all(&path);
    fs::create_dir_all(&path).unwrap();
    path
}

fn run(folder: &Path, args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_extension")).args(args).current_dir(folder).output().unwrap()
}

fn ok(folder: &Path, args: &[&str]) -> String {
    let out = run(folder, args);
    assert!(out.status.success(), "{args:?}: {}", String::from_utf8_lossy(&out.stderr));
    String::from_utf8(out.stdout).unwrap()
}

#[test]
fn the_world_signs_the_contract_and_is_listed_with_the_others() {
    let dir = folder("contract");
    assert!(!ok(&dir, &["check-env", "bandit"]).contains("BROKEN"));
    let worlds = ok(&dir, &["list", "envs"]);
    assert!(worlds.contains("bandit") && worlds.contains("cartpole"), "{worlds}");
    assert!(ok(&dir, &["list", "algos", "hill-climbing"]).contains("noise = 0.5"));
}

#[test]
fn own_world_under_ppo_and_own_algorithm_in_cartpole_learn() {
    let dir = folder("learning");
    for (env, algo, steps, least) in [("bandit", "ppo", "60000", 0.75), ("cartpole", "hill-climbing", "60000", 100.0)] {
        ok(&dir, &["train", "--env", env, "--algo", algo, "--name", "own", "--steps", steps, "-q"]);
        let out = ok(&dir, &["eval", &format!("{env}-{algo}-own-s0"), "--json"]);
        let eval: serde_json::Value = serde_json::from_str(&out).unwrap();
        let mean = eval["return"]["mean"].as_f64().unwrap();
        assert!(mean > least, "{algo} in {env}: {mean}");
    }
}

#[test]
fn own_algorithm_resumes_to_the_bit() {
    let dir = folder("resume");
    let base = ["train", "--env", "bandit", "--algo", "hill-climbing", "-q", "--set", "checkpoint_every=4000"];
    ok(&dir, &[&base[..], &["--name", "whole", "--steps", "20000"]].concat());
    ok(&dir, &[&base[..], &["--name", "parts", "--steps", "8000"]].concat());
    ok(&dir, &["train", "--resume", "bandit-hill-climbing-parts-s0", "--steps", "20000", "-q"]);
    let file = |name: &str| {
        let run = dir.join(format!("runs/bandit-hill-climbing-{name}-s0/checkpoints/step-000000020000"));
        ["hill-climbing.bin", "worlds.bin"].map(|f| fs::read(run.join(f)).unwrap())
    };
    assert_eq!(file("whole"), file("parts"));
}

#[test]
fn the_book_shows_this_very_code() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let page = fs::read_to_string(root.join("../../docs/extend.md")).unwrap();
    let mut shown = 0;
    for block in page.split("```rust\n").skip(1) {
        let code = block.split("```").next().unwrap();
        let sources = ["main.rs", "bandit.rs", "hill_climbing.rs", "parts.rs"]
            .map(|f| fs::read_to_string(root.join("src").join(f)).unwrap());
        assert!(sources.iter().any(|s| s.contains(code)), "no source has:\n{code}");
        shown += 1;
    }
    assert!(shown >= 3, "the recipes show {shown} pieces");
}

/// A judge and a recorder of the world's own, without a line elsewhere.
#[test]
fn the_world_brings_its_judge_and_its_recorder() {
    let dir = folder("parts");
    let train =
        ["train", "--env", "bandit", "--algo", "ppo", "--name", "own", "--steps", "60000", "--set", "eval_every=30000"];
    let said = run(&dir, &train);
    let said = String::from_utf8_lossy(&said.stderr).into_owned();
    assert!(said.contains("over 20 bandits"), "{said}");
    let eval = ok(&dir, &["eval", "bandit-ppo-own-s0", "--episodes", "50"]);
    assert!(eval.contains("50 bandits") && eval.contains("regret"), "{eval}");
    let csv = |args: &[&str], name: &str| {
        ok(&dir, &[&["record", "bandit", "--bandits", "30", "-o", name][..], args].concat());
        let text = fs::read_to_string(dir.join(name)).unwrap();
        assert_eq!((text.lines().next(), text.lines().count()), (Some("bandit,pull,reward"), 30 * 20 + 1));
        text.lines().filter(|l| l.ends_with(",1")).count()
    };
    let (random, trained) = (csv(&[], "random.csv"), csv(&["--agent", "bandit-ppo-own-s0"], "trained.csv"));
    assert!(random < 150 && trained > 450, "of 600 pulls {random} and {trained} paid");
    // Its options are the command's flags, of this world alone.
    let help = ok(&dir, &["record", "--help"]);
    assert!(help.contains("Options of bandit") && help.contains("--bandits"), "{help}");
    let refused = |args: &[&str], what: &str| {
        let out = run(&dir, args);
        let said = String::from_utf8_lossy(&out.stderr).into_owned();
        assert!(out.status.code() == Some(2) && said.contains(what), "{said}");
    };
    refused(&["record", "red10", "--bandits", "3", "-o", "x.jsonl"], "--bandits is none of red10's options");
    refused(&["record", "bandit", "--bandits", "0", "-o", "x.csv"], "it must be an integer from 1 to 1000");
    refused(&["record", "bandit", "-o", "x.txt"], "must end in .csv");
}
