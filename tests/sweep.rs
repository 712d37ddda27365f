//! `rlx sweep`, `rlx plot`, `rlx runs` and `rlx tensorboard`.
use crate::common::{TempDir, fails, ok, rlx, wait_for};
use serde_json::Value;
use std::fs;

const SWEEP: &str = "format = 1
[base]
env = \"cartpole\"
algo = \"ppo\"
steps = 6000
num_steps = 64
eval_every = 2000
eval_episodes = 3
checkpoint_every = 2000
[space]
learning_rate = { low = 1e-5, high = 1e-2, log = true }
epochs = { low = 1, high = 4 }
[search]
method = \"METHOD\"
trials = 4
startup = 2
";

fn json(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_else(|e| panic!("{e}: {text}"))
}

#[test]
fn a_sweep_that_is_killed_goes_on_and_ends_as_if_it_had_not_been() {
    let (whole, dir) = (TempDir::new(), TempDir::new());
    for d in [&whole, &dir] {
        fs::write(d.0.join("s.toml"), SWEEP.replace("METHOD", "tpe")).unwrap();
    }
    let args = ["sweep", "s.toml", "--jobs", "1", "-q", "--json"];
    let a = json(&ok(&whole.0, &args));
    let mut child = rlx(&dir.0, &args).spawn().unwrap();
    assert!(wait_for(&mut child, || dir.0.join("runs/sweeps/s/trials/00002.json").exists()));
    let busy = fails(&dir.0, &args, 2);
    assert!(busy.contains("another process"), "{busy}");
    child.kill().unwrap();
    child.wait().unwrap();
    // The process of its trial notices that it is alone, saves and stops.
    let waited = std::time::Instant::now();
    let b = loop {
        let out = crate::common::run(&dir.0, &args);
        let b = json(&String::from_utf8_lossy(&out.stdout));
        if b["trials"].as_array().unwrap().iter().all(|t| t["status"] == "finished") {
            break b;
        }
        assert!(waited.elapsed().as_secs() < 120, "{b:#}");
        fs::read_dir(dir.0.join("runs/sweeps/s/trials")).unwrap().flatten().for_each(|t| {
            // Begun in the moment of the kill, while its first process still had the run: tried again, as a person would.
            if json(&fs::read_to_string(t.path()).unwrap())["status"] == "failed" {
                fs::remove_file(t.path()).unwrap();
            }
        });
    };
    let keys = |v: &Value| {
        v["trials"].as_array().unwrap().iter().map(|t| (t["keys"].clone(), t["value"].clone())).collect::<Vec<_>>()
    };
    assert_eq!(keys(&a), keys(&b), "the same trials with the same values");
    assert_eq!(a["trials"].as_array().unwrap().len(), 4);
    for file in ["report.html", "report.md", "best.svg", "best.png"] {
        assert!(dir.0.join("runs/sweeps/s/report").join(file).exists(), "{file}");
    }
    let changed = SWEEP.replace("METHOD", "tpe").replace("1e-2", "1e-3");
    fs::write(dir.0.join("s.toml"), changed).unwrap();
    let error = fails(&dir.0, &args, 2);
    assert!(
        error.contains("another sweep") && error.contains("- high = 0.01") && error.contains("+ high = 0.001"),
        "{error}"
    );
    // More trials of the same are no other sweep.
    fs::write(dir.0.join("s.toml"), SWEEP.replace("METHOD", "tpe").replace("trials = 4", "trials = 5")).unwrap();
    assert_eq!(json(&ok(&dir.0, &args))["trials"].as_array().unwrap().len(), 5);
}

#[test]
fn wrong_sweeps_are_refused_before_anything_is_made() {
    let dir = TempDir::new();
    let wrong = |a: &str, b: &str| {
        fs::write(dir.0.join("s.toml"), SWEEP.replace("METHOD", "sobol").replace(a, b)).unwrap();
        fails(&dir.0, &["sweep", "s.toml"], 2)
    };
    assert!(wrong("learning_rate", "lerning_rate").contains("did you mean 'learning_rate'?"));
    assert!(wrong("1e-2", "7.0").contains("from 0.00000001 to 1"));
    assert!(wrong("sobol", "grid").contains("tpe"));
    assert!(wrong("eval_every = 2000", "eval_every = 0").contains("eval_every is 0"));
    assert!(!dir.0.join("runs").exists(), "nothing was made");
}

#[test]
fn runs_are_plotted_listed_compared_and_pruned() {
    let dir = TempDir::new();
    for seed in ["0", "1"] {
        let args =
            ["train", "--env", "cartpole", "--algo", "ppo", "--name", "a", "--steps", "3000", "-q", "--seed", seed];
        ok(&dir.0, &[&args[..], &["--set", "log_every=500"]].concat());
    }
    ok(
        &dir.0,
        &["train", "--env", "pendulum", "--algo", "ppo", "--name", "b", "--steps", "3000", "-q", "--set", "gamma=0.5"],
    );
    let names = ["cartpole-ppo-a-s0", "cartpole-ppo-a-s1"];
    ok(&dir.0, &["plot", names[0], names[1], "--smooth", "0.5"]);
    let svg = fs::read_to_string(dir.0.join("plot.svg")).unwrap();
    assert!(svg.contains("cartpole-ppo-a (seeds 0, 1)") && svg.contains("environment steps"));
    assert!(fails(&dir.0, &["plot", names[0]], 1).contains("plot.svg"), "nothing is overwritten");
    ok(&dir.0, &["plot", names[0], "--metric", "losses/entropy", "-o", "e.png"]);
    assert!(fs::read(dir.0.join("e.png")).unwrap().starts_with(b"\x89PNG"));
    let error = fails(&dir.0, &["plot", names[0], "--metric", "losses/entrop", "-o", "x.svg"], 1);
    assert!(error.contains("did you mean 'losses/entropy'?"), "{error}");

    let list = json(&ok(&dir.0, &["runs", "list", "--json"]));
    let keys: Vec<&String> = list[0].as_object().unwrap().keys().collect();
    assert_eq!(
        keys,
        ["run", "env", "algo", "seed", "status", "steps", "return", "eval", "elapsed_s", "bytes", "modified"]
    );
    let count =
        |args: &[&str]| json(&ok(&dir.0, &[&["runs", "list", "--json"], args].concat())).as_array().unwrap().len();
    assert_eq!((count(&[]), count(&["--env", "cartpole"]), count(&["ppo-b"]), count(&["--older", "1h"])), (3, 2, 1, 0));
    let compared = json(&ok(&dir.0, &["runs", "compare", names[0], names[1], "--json"]));
    assert_eq!(compared["differ"], serde_json::json!({"run.seed": [0, 1]}));
    assert!(ok(&dir.0, &["runs", "compare", names[0], "pendulum-ppo-b-s0"]).contains("algo.gamma"));

    assert!(fails(&dir.0, &["runs", "prune"], 2).contains("which runs"));
    assert!(fails(&dir.0, &["runs", "prune", "--env", "pendulum"], 1).contains("--yes"));
    assert_eq!(count(&[]), 3);
    ok(&dir.0, &["runs", "prune", "--env", "pendulum", "--yes"]);
    assert_eq!((count(&[]), count(&["--env", "pendulum"])), (2, 0));

    let mut bare = rlx(&dir.0, &["tensorboard"]);
    let out = bare.env("PATH", "/nowhere").output().unwrap();
    assert!(out.status.code() == Some(1) && String::from_utf8_lossy(&out.stderr).contains("pip install tensorboard"));
    assert!(fails(&dir.0, &["tensorboard", "cartpole-ppo-a-s7"], 1).contains("there is no run"));
}
