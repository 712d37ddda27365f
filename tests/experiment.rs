//! `rlx experiment`: bad specs, the idempotent unit, the pool with workers that are killed, changed specs, failures and their retry.
use crate::common::{TempDir, fails, ok, rlx, same_end, signal, wait_for};
use serde_json::Value;
use std::{
    fs,
    path::{Path, PathBuf},
};

/// Two configs, two seeds; small, with several checkpoints each.
const SPEC: &str = "format = 1
seeds = 2
[base]
env = \"cartpole\"
algo = \"ppo\"
steps = 20_000
num_steps = 64
epochs = 2
minibatch_size = 64
checkpoint_every = 2000
log_every = 1000
eval_every = 10_000
eval_episodes = 3
[grid]
learning_rate = [1e-3, 3e-4]
[quick]
seeds = 1
budget = { steps = 2000 }
";

fn spec(dir: &TempDir, text: &str) {
    fs::write(dir.0.join("e.toml"), text).unwrap();
}

fn status(dir: &Path) -> Vec<Value> {
    serde_json::from_str(&ok(dir, &["experiment", "status", "e.toml", "--json"])).unwrap()
}

fn words(records: &[Value]) -> Vec<&str> {
    records.iter().map(|r| r["status"].as_str().unwrap()).collect()
}

/// The run folders of `e`, by cell number.
fn folders(dir: &Path) -> Vec<PathBuf> {
    let runs = dir.join("runs/experiments/e/runs");
    status(dir).iter().map(|r| runs.join(r["run"].as_str().unwrap())).collect()
}

#[test]
fn wrong_specs_are_refused_before_anything_is_made() {
    let dir = TempDir::new();
    let wrong = |text: &str| {
        spec(&dir, text);
        fails(&dir.0, &["experiment", "run", "e.toml"], 2)
    };
    assert!(wrong(&SPEC.replace("seeds = 2", "seds = 2")).contains("did you mean 'seeds'?"));
    assert!(wrong(&SPEC.replace("seeds = 2", "seeds = [3, 3]")).contains("seeds has 3 twice"));
    assert!(wrong(&SPEC.replace("[1e-3, 3e-4]", "[]")).contains("grid.learning_rate is empty"));
    let error = wrong(&SPEC.replace("learning_rate", "lerning_rate"));
    assert!(error.contains("cell 0") && error.contains("did you mean 'learning_rate'?"), "{error}");
    assert!(wrong(&SPEC.replace("3e-4", "-3")).contains("cell 1"));
    assert!(wrong("[").contains("e.toml") || wrong("[").contains("'e'"));
    assert!(fails(&dir.0, &["experiment", "run", "clasic"], 2).contains("did you mean 'classic'?"));
    assert!(fails(&dir.0, &["experiment", "plan", "none.toml"], 2).contains("none.toml"));
    spec(&dir, SPEC);
    assert!(fails(&dir.0, &["experiment", "run", "e.toml", "--index", "4"], 2).contains("cells 0 to 3"));
    assert!(!dir.0.join("runs").exists(), "nothing was made");
}

#[test]
fn a_plan_counts_and_specs_are_listed() {
    let dir = TempDir::new();
    spec(&dir, SPEC);
    let plan: Value = serde_json::from_str(&ok(&dir.0, &["experiment", "plan", "e.toml", "--json"])).unwrap();
    let keys: Vec<&String> = plan.as_object().unwrap().keys().collect();
    let expected = [
        "experiment",
        "quick",
        "folder",
        "cells",
        "configs",
        "checked",
        "seeds",
        "tasks",
        "methods",
        "finished",
        "failed",
        "begun",
        "left",
        "jobs",
        "estimate_s",
        "estimate_from",
    ];
    assert_eq!(keys, expected);
    assert_eq!((plan["cells"].as_u64(), plan["left"].as_u64(), &plan["estimate_s"]), (Some(4), Some(4), &Value::Null));
    let measured = ok(&dir.0, &["experiment", "plan", "e.toml", "--quick", "--measure", "--json"]);
    let measured: Value = serde_json::from_str(&measured).unwrap();
    assert!(measured["estimate_s"].as_f64().unwrap() > 0.0 && measured["cells"] == 2);
    let list: Vec<Value> = serde_json::from_str(&ok(&dir.0, &["experiment", "list", "--json"])).unwrap();
    assert!(list.iter().any(|s| s["name"] == "classic") && list.iter().any(|s| s["name"] == "idrl"));
    assert!(ok(&dir.0, &["experiment", "show", "e.toml"]).contains("4 cells = 2 configs x 2 seeds"));
}

#[test]
fn cells_are_run_once_and_a_changed_spec_is_refused_with_the_difference() {
    let dir = TempDir::new();
    spec(&dir, &SPEC.replace("20_000", "2000"));
    ok(&dir.0, &["experiment", "run", "e.toml", "--index", "1", "-q"]);
    let log = |run: &Path| fs::read(run.join("metrics.jsonl")).unwrap();
    let first = folders(&dir.0);
    assert_eq!(first.len(), 1);
    let before = log(&first[0]);
    ok(&dir.0, &["experiment", "run", "e.toml", "--index", "1", "-q"]);
    ok(&dir.0, &["experiment", "run", "e.toml", "-q"]);
    assert_eq!(words(&status(&dir.0)), ["finished"; 4]);
    assert_eq!(log(&first[0]), before, "what is finished is left as it is");
    assert!(status(&dir.0).iter().all(|r| r["starts"] == 1));
    // Words and metrics may change, cells may not.
    spec(&dir, &SPEC.replace("20_000", "2000").replace("format = 1", "format = 1\nabout = \"a\""));
    ok(&dir.0, &["experiment", "run", "e.toml", "-q"]);
    spec(&dir, &SPEC.replace("20_000", "2000").replace("seeds = 2", "seeds = 3"));
    let error = fails(&dir.0, &["experiment", "run", "e.toml", "-q"], 2);
    assert!(error.contains("- seeds = [0,1]\n+ seeds = [0,1,2]"), "{error}");
    ok(&dir.0, &["experiment", "run", "e.toml", "-q", "--accept-changes"]);
    assert_eq!(words(&status(&dir.0)), ["finished"; 6]);
    assert_eq!(
        status(&dir.0).iter().filter(|r| r["starts"] == 1).count(),
        6,
        "the four that were there were not run again"
    );
    assert!(dir.0.join("runs/experiments/e/spec-before-1.toml").exists());
}

#[test]
fn a_failure_is_recorded_and_tried_again_only_when_asked() {
    let dir = TempDir::new();
    spec(&dir, &SPEC.replace("20_000", "2000").replace("[grid]", "init_from = \"runs/cartpole-ppo-first-s0\"\n[grid]"));
    let error = fails(&dir.0, &["experiment", "run", "e.toml", "-q"], 1);
    assert!(error.contains("4 cells failed") && error.contains("there is no run"), "{error}");
    let records = status(&dir.0);
    assert_eq!(words(&records), ["failed"; 4]);
    assert!(records[0]["error"].as_str().unwrap().contains("there is no run"));
    ok(&dir.0, &["train", "--env", "cartpole", "--algo", "ppo", "--name", "first", "--steps", "2000", "-q"]);
    assert!(fails(&dir.0, &["experiment", "run", "e.toml", "--index", "0"], 1).contains("failed before"));
    ok(&dir.0, &["experiment", "run", "e.toml", "-q", "--retry-failed"]);
    let records = status(&dir.0);
    assert_eq!(words(&records), ["finished"; 4]);
    assert!(records.iter().all(|r| r["starts"] == 2 && r["error"].is_null()));
}

fn children(pid: u32) -> Vec<u32> {
    let text = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap_or_default();
    let mut found: Vec<u32> = text.split_whitespace().filter_map(|p| p.parse().ok()).collect();
    // The pool's threads start the workers.
    for task in fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten() {
        let text = fs::read_to_string(task.path().join("children")).unwrap_or_default();
        found.extend(text.split_whitespace().filter_map(|p| p.parse::<u32>().ok()));
    }
    found.sort_unstable();
    found.dedup();
    found
}

#[test]
fn workers_and_pools_that_are_killed_lose_nothing() {
    let whole = TempDir::new();
    spec(&whole, SPEC);
    ok(&whole.0, &["experiment", "run", "e.toml", "-q", "--jobs", "2"]);

    let dir = TempDir::new();
    spec(&dir, SPEC);
    let runs = dir.0.join("runs/experiments/e/runs");
    let begun = || {
        fs::read_dir(&runs)
            .into_iter()
            .flatten()
            .flatten()
            .any(|r| r.path().join("checkpoints/step-000000002048").exists())
    };
    let mut pool = rlx(&dir.0, &["experiment", "run", "e.toml", "-q", "--jobs", "2"]).spawn().unwrap();
    assert!(wait_for(&mut pool, begun));
    let workers = children(pool.id());
    assert_eq!(workers.len(), 2, "two workers");
    signal(workers[0], "-KILL");
    // Another process is kept from the cells that are being run, and the pool itself is killed a moment later.
    std::thread::sleep(std::time::Duration::from_millis(200));
    signal(pool.id(), "-KILL");
    pool.wait().unwrap();
    for worker in workers {
        // A worker whose pool is gone saves and stops by itself.
        let there = || Path::new(&format!("/proc/{worker}/cmdline")).exists();
        let start = std::time::Instant::now();
        while there() && start.elapsed().as_secs() < 60 {
            std::thread::sleep(std::time::Duration::from_millis(20));
        }
    }
    // A gentle stop is 130.
    let mut pool = rlx(&dir.0, &["experiment", "run", "e.toml", "-q", "--jobs", "2"]).spawn().unwrap();
    let id = pool.id();
    if wait_for(&mut pool, || !children(id).is_empty()) {
        signal(id, "-TERM");
        let ended = pool.wait().unwrap();
        assert!(matches!(ended.code(), Some(130 | 0)), "{ended}");
    }
    ok(&dir.0, &["experiment", "run", "e.toml", "-q", "--jobs", "2"]);
    let records = status(&dir.0);
    assert_eq!(words(&records), ["finished"; 4]);
    assert!(records.iter().any(|r| r["starts"].as_u64().unwrap() > 1), "something was broken off");
    for (a, b) in folders(&whole.0).iter().zip(folders(&dir.0)) {
        assert_eq!(a.file_name(), b.file_name());
        same_end(a, &b);
    }
}

/// A signal to one worker alone stops neither the pool nor what is left of the grid.
#[test]
fn a_worker_that_is_asked_to_stop_alone_is_replaced() {
    let dir = TempDir::new();
    spec(&dir, SPEC);
    let runs = dir.0.join("runs/experiments/e/runs");
    let begun = || {
        let mut all = fs::read_dir(&runs).into_iter().flatten().flatten();
        all.any(|r| r.path().join("checkpoints/step-000000002048").exists())
    };
    let mut pool = rlx(&dir.0, &["experiment", "run", "e.toml", "-q", "--jobs", "1"]).spawn().unwrap();
    assert!(wait_for(&mut pool, begun));
    signal(children(pool.id())[0], "-TERM");
    assert_eq!(pool.wait().unwrap().code(), Some(0));
    let records = status(&dir.0);
    assert_eq!(words(&records), ["finished"; 4]);
    assert_eq!(records.iter().map(|r| r["starts"].as_u64().unwrap()).sum::<u64>(), 5, "one went on in another worker");
}

#[test]
fn c4_two_processes_never_run_one_cell_and_the_second_one_says_so() {
    let dir = TempDir::new();
    spec(&dir, &SPEC.replace("20_000", "50_000_000"));
    let args = ["experiment", "run", "e.toml", "--index", "0"];
    let mut first = rlx(&dir.0, &args).spawn().unwrap();
    let runs = dir.0.join("runs/experiments/e/runs");
    assert!(wait_for(&mut first, || fs::read_dir(&runs).is_ok_and(|mut r| r.next().is_some())));
    let second = crate::common::run(&dir.0, &args);
    let said = String::from_utf8_lossy(&second.stderr).into_owned();
    first.kill().unwrap();
    first.wait().unwrap();
    assert!(second.status.code() == Some(75) && said.contains("did not end in 60 s"), "{said}");
}

#[test]
fn c4_a_cell_that_is_freed_in_time_is_gone_on_with() {
    let dir = TempDir::new();
    spec(&dir, &SPEC.replace("20_000", "400_000"));
    let args = ["experiment", "run", "e.toml", "--index", "0"];
    let mut first = rlx(&dir.0, &args).spawn().unwrap();
    let runs = dir.0.join("runs/experiments/e/runs");
    assert!(wait_for(&mut first, || fs::read_dir(&runs).is_ok_and(|mut r| r.next().is_some())));
    let second = rlx(&dir.0, &args).spawn().unwrap();
    std::thread::sleep(std::time::Duration::from_millis(4000));
    signal(first.id(), "-TERM");
    assert!(matches!(first.wait().unwrap().code(), Some(130 | 0)));
    let out = second.wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&out.stderr).into_owned();
    assert!(out.status.success() && said.contains("waiting up to 60 s") && said.contains("cell 0"), "{said}");
}

#[test]
fn a_report_shows_what_is_missing_and_averages_nothing_away() {
    let dir = TempDir::new();
    let scaled = format!(
        "{}\n[[metrics]]\nname = \"eval/return\"\nunit = \"return\"\ntasks.cartpole = {{ low = 0, high = 500, threshold = 400 }}\n",
        SPEC.replace("20_000", "4000").replace("eval_every = 10_000", "eval_every = 1000")
    );
    spec(&dir, &scaled);
    assert!(fails(&dir.0, &["experiment", "report", "e.toml"], 1).contains("rlx experiment run e.toml"));
    ok(&dir.0, &["experiment", "run", "e.toml", "-q"]);
    let report = |more: &[&str]| -> Value {
        serde_json::from_str(&ok(&dir.0, &[&["experiment", "report", "e.toml", "--json"], more].concat())).unwrap()
    };
    let whole = report(&[]);
    let keys = |v: &Value| v.as_object().unwrap().keys().cloned().collect::<Vec<_>>();
    let expected = [
        "experiment",
        "quick",
        "about",
        "folder",
        "seeds",
        "tasks",
        "methods",
        "cells",
        "finished",
        "partial",
        "missing",
        "made_by",
        "metrics",
    ];
    assert_eq!(keys(&whole), expected);
    let metric = &whole["metrics"][0];
    let expected = ["metric", "scored", "tasks", "methods", "comparisons", "profiles", "by_steps", "by_seconds"];
    assert_eq!(keys(metric), expected);
    assert_eq!(keys(&metric["methods"][0]["scores"]), ["iqm", "median", "mean", "optimality_gap"]);
    assert_eq!(keys(&metric["methods"][0]["scores"]["iqm"]), ["value", "low", "high"]);
    // The figures are those of the runs themselves.
    let summaries = folders(&dir.0).into_iter().map(|f| fs::read_to_string(f.join("summary.json")).unwrap());
    let all: Vec<Value> = summaries.map(|s| serde_json::from_str(&s).unwrap()).collect();
    let last = |i: usize| all[i]["eval"]["return"]["mean"].as_f64().unwrap();
    let mean = metric["tasks"][0]["mean"]["value"].as_f64().unwrap();
    assert!((mean - (last(0) + last(2)) / 2.0).abs() < 1e-9, "{mean}");
    assert_eq!(metric["comparisons"][0]["pairs"], 2);
    for curves in ["by_steps", "by_seconds"] {
        assert_eq!(metric[curves].as_array().unwrap().len(), 2, "{curves}: one for each method");
    }

    ok(&dir.0, &["experiment", "report", "e.toml"]);
    let folder = dir.0.join("runs/experiments/e/report");
    let page = fs::read_to_string(folder.join("report.html")).unwrap();
    assert!(page.contains("4 of 4 runs finished") && !page.contains(">missing") && !page.contains("NaN"));
    for file in
        ["report.md", "eval-return-steps-cartpole.svg", "eval-return-steps-cartpole.png", "eval-return-profile.svg"]
    {
        assert!(folder.join(file).exists(), "{file}");
    }
    // One cell is gone: whatever is over its method is missing, and named.
    let gone = status(&dir.0)[1]["id"].as_str().unwrap().to_owned();
    fs::remove_file(dir.0.join(format!("runs/experiments/e/cells/{gone}.json"))).unwrap();
    let part = report(&[]);
    assert_eq!((part["finished"].as_u64(), part["missing"][0]["why"].as_str()), (Some(3), Some("not run")));
    let methods = &part["metrics"][0]["methods"];
    assert!(methods[0]["scores"].is_object() && methods[1]["scores"].is_null());
    assert!(part["metrics"][0]["comparisons"][0]["p"].is_null());
    assert!(report(&["--partial"])["metrics"][0]["methods"][1]["scores"].is_object());
    ok(&dir.0, &["experiment", "report", "e.toml", "--to", "there"]);
    let page = fs::read_to_string(dir.0.join("there/report.html")).unwrap();
    assert!(page.contains("missing 1 of 2 runs") && page.contains("missing: not run"));
}
