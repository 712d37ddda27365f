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
    for (env, algo, steps, least) in [("bandit", "ppo", "60000", 15.0), ("cartpole", "hill-climbing", "60000", 100.0)] {
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
        let sources =
            ["main.rs", "bandit.rs", "hill_climbing.rs"].map(|f| fs::read_to_string(root.join("src").join(f)).unwrap());
        assert!(sources.iter().any(|s| s.contains(code)), "no source has:\n{code}");
        shown += 1;
    }
    assert!(shown >= 3, "the recipes show {shown} pieces");
}
