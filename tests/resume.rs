//! Resume equals never having stopped: for each algorithm on its smallest world and each world under one learner.
use crate::common::{self, TempDir, checkpoints, fails, metrics, ok, rlx, same_end, wait_for};
use std::path::Path;

/// Small enough to be quick, long enough to be killed in the middle.
const STEPS: &str = "30000";
const EVERY: [&str; 6] = ["--set", "checkpoint_every=2000", "--set", "log_every=1000", "--set", "eval_every=5000"];

fn train<'a>(env: &'a str, algo: &'a str, name: &'a str) -> Vec<&'a str> {
    let mut args = vec!["train", "--env", env, "--algo", algo, "--name", name, "--steps", STEPS, "--seed", "5", "-q"];
    args.extend(EVERY);
    // Every kind of state there is: normalisers of observations and rewards among them.
    args.extend(["--set", "normalize_obs=true", "--set", "normalize_reward=true", "--set", "eval_episodes=3"]);
    args.extend(["--set", "num_steps=64", "--set", "epochs=2"]);
    args
}

/// Starts a training and kills it (SIGKILL) as soon as `when` holds.
fn kill_when(folder: &Path, args: &[&str], when: impl Fn() -> bool) -> bool {
    let mut child = rlx(folder, args).spawn().unwrap();
    let alive = wait_for(&mut child, when);
    child.kill().unwrap();
    child.wait().unwrap();
    alive
}

/// One go against three kills at different checkpoints.
fn same_after_kills(env: &str, algo: &str) {
    let dir = TempDir::new();
    let run = |name: &str| dir.0.join(format!("runs/{env}-{algo}-{name}-s5"));
    ok(&dir.0, &train(env, algo, "whole"));
    let (parts, name) = (run("parts"), format!("{env}-{algo}-parts-s5"));
    let killed = kill_when(&dir.0, &train(env, algo, "parts"), || parts.join("checkpoints/step-000000002048").exists());
    assert!(killed, "it was to be killed in the middle");
    for reached in [9_000, 18_000] {
        let newest = || checkpoints(&parts).last().copied().unwrap_or(0);
        kill_when(&dir.0, &["train", "--resume", &name, "-q"], || newest() >= reached);
    }
    ok(&dir.0, &["train", "--resume", &name, "-q"]);
    same_end(&run("whole"), &parts);
}

#[test]
fn cartpole_ppo_equals_the_uninterrupted_run() {
    same_after_kills("cartpole", "ppo");
}

#[test]
fn every_other_world_equals_the_uninterrupted_run() {
    let registry = rlx_experiments::registry();
    let ppo = registry.find_algo("ppo").unwrap();
    for world in registry.worlds().iter().filter(|w| w.name != "cartpole") {
        // Left out: a world whose model has to be fetched first, and whose measurements take seconds.
        let Ok(spec) = world.spec(&world.keys.defaults()) else { continue };
        // One task and one chain stand for the manipulation worlds, which are one type: their snapshots are the contract suite's.
        let scripted = spec.bots.iter().any(|b| b == "scripted");
        let spoken_for = scripted && !["push", "drawer-store"].contains(&world.name.as_str());
        if !["compress-llama", "heal-bert"].contains(&world.name.as_str())
            && !spoken_for
            && ppo.fits(&ppo.keys.defaults(), &spec).is_ok()
        {
            same_after_kills(&world.name, "ppo");
        }
    }
}

#[test]
fn killed_before_the_first_checkpoint_it_starts_again_at_0() {
    let dir = TempDir::new();
    let run = |name: &str| dir.0.join(format!("runs/cartpole-ppo-{name}-s5"));
    ok(&dir.0, &train("cartpole", "ppo", "whole"));
    let early = run("early");
    kill_when(&dir.0, &train("cartpole", "ppo", "early"), || early.join("config.toml").exists());
    assert_eq!(checkpoints(&early), [] as [u64; 0]);
    ok(&dir.0, &["train", "--resume", "cartpole-ppo-early-s5", "-q"]);
    same_end(&run("whole"), &early);
}

#[test]
fn ctrl_c_saves_and_says_130_and_goes_on() {
    let dir = TempDir::new();
    let run = |name: &str| dir.0.join(format!("runs/cartpole-ppo-{name}-s5"));
    ok(&dir.0, &train("cartpole", "ppo", "whole"));
    let stopped = run("stopped");
    let mut child = rlx(&dir.0, &train("cartpole", "ppo", "stopped")).spawn().unwrap();
    assert!(wait_for(&mut child, || !checkpoints_or_none(&stopped).is_empty()));
    let pid = child.id().to_string();
    assert!(std::process::Command::new("kill").args(["-INT", &pid]).status().unwrap().success());
    assert_eq!(child.wait().unwrap().code(), Some(130));
    let summary: serde_json::Value =
        serde_json::from_slice(&std::fs::read(stopped.join("summary.json")).unwrap()).unwrap();
    assert_eq!(summary["status"], "interrupted");
    assert_eq!(checkpoints(&stopped).last().copied(), summary["steps"].as_u64(), "it saved where it stopped");
    ok(&dir.0, &["train", "--resume", "cartpole-ppo-stopped-s5", "-q"]);
    same_end(&run("whole"), &stopped);
}

/// Sends the signals a few milliseconds apart, as Slurm's scancel and the shell around a run do.
fn storm(id: u32, names: &[&str]) {
    for name in names {
        crate::common::signal(id, name);
        std::thread::sleep(std::time::Duration::from_millis(3));
    }
}

#[test]
fn c1_a_scheduler_s_signals_save_however_many_come() {
    let dir = TempDir::new();
    for (i, names) in [
        &["-TERM", "-TERM"][..],
        &["-TERM", "-TERM", "-TERM", "-TERM"],
        &["-INT", "-TERM"],
        &["-TERM", "-INT"],
        &["-HUP", "-HUP", "-USR1"],
    ]
    .into_iter()
    .enumerate()
    {
        let name = format!("storm{i}");
        let run = dir.0.join(format!("runs/cartpole-ppo-{name}-s0"));
        let args = ["train", "--env", "cartpole", "--algo", "ppo", "--steps", "90_000_000", "--name", &name];
        let args = [&args[..], &["--set", "checkpoint_every=80_000_000", "--set", "log_every=2000", "-q"]].concat();
        let mut child = rlx(&dir.0, &args).spawn().unwrap();
        assert!(wait_for(&mut child, || std::fs::metadata(run.join("metrics.jsonl")).is_ok_and(|m| m.len() > 0)));
        storm(child.id(), names);
        assert_eq!(child.wait().unwrap().code(), Some(130), "{names:?}");
        let summary: serde_json::Value =
            serde_json::from_slice(&std::fs::read(run.join("summary.json")).unwrap()).unwrap();
        assert_eq!(summary["status"], "interrupted", "{names:?}");
        assert_eq!(
            checkpoints(&run).last().copied(),
            summary["steps"].as_u64(),
            "{names:?}: it saved where it stopped"
        );
    }
}

#[test]
fn c1_a_pool_and_a_sweep_save_on_two_sigterms() {
    let dir = TempDir::new();
    let base =
        "env = \"cartpole\"\nalgo = \"ppo\"\nsteps = 90_000_000\ncheckpoint_every = 80_000_000\nlog_every = 2000\n";
    std::fs::write(dir.0.join("e.toml"), format!("format = 1\nseeds = 1\n[base]\n{base}")).unwrap();
    let sweep =
        "[space]\nlearning_rate = { low = 1e-5, high = 1e-2, log = true }\n[search]\nmethod = \"random\"\ntrials = 1\n";
    std::fs::write(dir.0.join("s.toml"), format!("format = 1\n[base]\n{base}eval_every = 80_000_000\n{sweep}"))
        .unwrap();
    for (args, runs) in [
        (&["experiment", "run", "e.toml", "--jobs", "1", "-q"][..], "runs/experiments/e/runs"),
        (&["experiment", "run", "e.toml", "--index", "0", "--out", "one", "-q"], "one/runs"),
        (&["sweep", "s.toml", "--jobs", "1", "-q"], "runs/sweeps/s/runs"),
    ] {
        let mut child = rlx(&dir.0, args).spawn().unwrap();
        let run = || std::fs::read_dir(dir.0.join(runs)).into_iter().flatten().flatten().map(|e| e.path()).next();
        let learns = || run().is_some_and(|r| std::fs::metadata(r.join("metrics.jsonl")).is_ok_and(|m| m.len() > 0));
        assert!(wait_for(&mut child, learns), "{args:?}");
        storm(child.id(), &["-TERM", "-TERM"]);
        assert_eq!(child.wait().unwrap().code(), Some(130), "{args:?}");
        assert_eq!(checkpoints_or_none(&run().unwrap()).len(), 1, "{args:?}: its run was saved");
    }
}

#[test]
fn c1_only_a_second_ctrl_c_ends_at_once() {
    let dir = TempDir::new();
    let args = ["train", "--env", "cartpole", "--algo", "ppo", "--steps", "90_000_000", "--name", "two", "-q"];
    // A wrong signal count would save: whether it did is all the same, it must end within the time of the test.
    let mut child = rlx(&dir.0, &args).spawn().unwrap();
    let run = dir.0.join("runs/cartpole-ppo-two-s0");
    assert!(wait_for(&mut child, || run.join("metrics.jsonl").exists()));
    // Stopped, it cannot act between the two.
    storm(child.id(), &["-STOP", "-INT", "-TERM", "-CONT"]);
    assert_eq!(child.wait().unwrap().code(), Some(130));
    assert!(run.join("summary.json").exists(), "one Ctrl-C saves");
    let mut child = rlx(&dir.0, &["train", "--resume", "cartpole-ppo-two-s0", "-q"]).spawn().unwrap();
    assert!(wait_for(&mut child, || !run.join("summary.json").exists()));
    storm(child.id(), &["-INT", "-INT"]);
    assert_eq!(child.wait().unwrap().code(), Some(130));
}

fn checkpoints_or_none(run: &Path) -> Vec<u64> {
    if run.exists() { checkpoints(run) } else { Vec::new() }
}

#[test]
fn a_finished_run_goes_on_past_its_end() {
    let dir = TempDir::new();
    ok(&dir.0, &train("cartpole", "ppo", "more"));
    let run = dir.0.join("runs/cartpole-ppo-more-s5");
    let before = metrics(&run);
    ok(&dir.0, &["train", "--resume", "cartpole-ppo-more-s5", "--steps", "40_000", "-q"]);
    let after = metrics(&run);
    assert_eq!(after[..before.len()], before[..], "what was there stays");
    assert!(checkpoints(&run).last().unwrap() >= &40_000);
    assert!(common::metrics(&run).last().unwrap()["step"].as_u64().unwrap() >= 40_000);
    // Finished again: nothing is left to do, and nothing changes.
    let all = common::bytes(&run, *checkpoints(&run).last().unwrap());
    ok(&dir.0, &["train", "--resume", "cartpole-ppo-more-s5", "-q"]);
    assert_eq!(all, common::bytes(&run, *checkpoints(&run).last().unwrap()));
    assert_eq!(metrics(&run), after);
    let error = fails(&dir.0, &["train", "--resume", "cartpole-ppo-more-s5", "--seed", "3"], 2);
    assert!(error.contains("seed"), "{error}");
}
